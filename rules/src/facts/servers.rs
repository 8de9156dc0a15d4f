//! The servers of a cluster, by what rules ask of them: those of a namespace, one by name, and those whose route could
//! overlap with another. Made once per change, shared by all reviews.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use super::{Known, ServerFact};
use crate::parse::host;
use crate::parse::route::Route;

/// What is claimed, by the path in lower case without its last slash.
type Paths = BTreeMap<String, Vec<Claim>>;
/// The paths claimed on each host in lower case; the empty text stands for every host.
type Hosts = HashMap<String, Paths>;

/// The servers that claim one and the same route, by namespace and name. Nearly always it is one.
#[derive(Clone, Debug)]
struct Claim {
    servers: Vec<Arc<ServerFact>>,
}

impl Claim {
    /// The first servers of a namespace, and the first of others.
    fn first(&self, namespace: &str) -> impl Iterator<Item = &Arc<ServerFact>> {
        let begin = self
            .servers
            .partition_point(|server| server.namespace.as_str() < namespace);
        let end = self
            .servers
            .partition_point(|server| server.namespace.as_str() <= namespace);
        let others = self.servers[..begin].iter().chain(&self.servers[end..]);
        self.servers[begin..end]
            .iter()
            .take(FIRST)
            .chain(others.take(FIRST))
    }
}

/// How many servers of one claim are told: the judged one may be the first.
const FIRST: usize = 2;

/// Every server of the cluster.
#[derive(Clone, Debug, Default)]
pub struct Servers {
    by_namespace: BTreeMap<String, BTreeMap<String, Arc<ServerFact>>>,
    /// By ingress class: each has a data plane of its own.
    claims: HashMap<String, Hosts>,
}

impl Servers {
    /// The server of that name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Arc<ServerFact>> {
        self.by_namespace.get(namespace)?.get(name)
    }

    /// The servers of a namespace, by name.
    pub fn of(&self, namespace: &str) -> impl Iterator<Item = &Arc<ServerFact>> + use<'_> {
        self.by_namespace
            .get(namespace)
            .into_iter()
            .flat_map(BTreeMap::values)
    }

    /// All servers, by namespace and name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<ServerFact>> + use<'_> {
        self.by_namespace.values().flat_map(BTreeMap::values)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_namespace.values().map(BTreeMap::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_namespace.is_empty()
    }

    /// The servers of a namespace whose names begin with a text.
    pub fn beginning_with<'a>(
        &'a self,
        namespace: &str,
        beginning: &'a str,
    ) -> impl Iterator<Item = &'a Arc<ServerFact>> {
        self.by_namespace
            .get(namespace)
            .into_iter()
            .flat_map(move |servers| from(servers, beginning))
            .map(|(_, server)| server)
    }

    /// Servers whose route [`crate::parse::route::overlap`] may find to overlap with this one, and few others. Of those
    /// that claim one and the same route the first two of `namespace` and the first two of others stand for all.
    pub fn near(&self, route: &Route, namespace: &str) -> Vec<&Arc<ServerFact>> {
        let mut found = Vec::new();
        let Some(hosts) = self.claims.get(&route.class) else {
            return found;
        };
        let path = key(&route.path);
        let host = route
            .host
            .as_deref()
            .unwrap_or_default()
            .to_ascii_lowercase();
        if host.is_empty() || host.starts_with('*') {
            for (theirs, paths) in hosts {
                if host.is_empty()
                    || theirs.is_empty()
                    || *theirs == host
                    || host::covers(&host, theirs)
                {
                    touching(paths, &path, namespace, &mut found);
                }
            }
            return found;
        }
        let wildcard = host
            .split_once('.')
            .map(|(_, parent)| format!("*.{parent}"));
        let keys = [Some(host.as_str()), Some(""), wildcard.as_deref()];
        for paths in keys.into_iter().flatten().filter_map(|key| hosts.get(key)) {
            touching(paths, &path, namespace, &mut found);
        }
        found
    }
}

/// The claims of which one is, as text, the beginning of the other: no other can overlap.
fn touching<'a>(
    paths: &'a Paths,
    path: &str,
    namespace: &str,
    found: &mut Vec<&'a Arc<ServerFact>>,
) {
    let around = path
        .char_indices()
        .filter_map(|(end, _)| paths.get(&path[..end]));
    let below = from(paths, path).map(|(_, claims)| claims);
    for claim in around.chain(below).flatten() {
        found.extend(claim.first(namespace));
    }
}

/// The entries whose keys begin with a text.
fn from<'a, 'b, V>(
    map: &'a BTreeMap<String, V>,
    beginning: &'b str,
) -> impl Iterator<Item = (&'a String, &'a V)> + use<'a, 'b, V> {
    map.range::<str, _>((Bound::Included(beginning), Bound::Unbounded))
        .take_while(move |(key, _)| key.starts_with(beginning))
}

fn key(path: &str) -> String {
    path.trim_end_matches('/').to_ascii_lowercase()
}

impl FromIterator<Arc<ServerFact>> for Servers {
    fn from_iter<I: IntoIterator<Item = Arc<ServerFact>>>(servers: I) -> Self {
        let mut all = Self::default();
        for server in servers {
            if let Some(route) = &server.route {
                let host = route.host.as_deref().unwrap_or_default();
                let hosts = all.claims.entry(route.class.clone()).or_default();
                let paths = hosts.entry(host.to_ascii_lowercase()).or_default();
                let claims = paths.entry(key(&route.path)).or_default();
                let same = |claim: &&mut Claim| claim.servers[0].route.as_ref() == Some(route);
                if let Some(claim) = claims.iter_mut().find(same) {
                    claim.servers.push(Arc::clone(&server));
                } else {
                    let servers = vec![Arc::clone(&server)];
                    claims.push(Claim { servers });
                }
            }
            all.by_namespace
                .entry(server.namespace.clone())
                .or_default()
                .insert(server.name.clone(), server);
        }
        let hosts = all.claims.values_mut().flat_map(HashMap::values_mut);
        for claim in hosts.flat_map(BTreeMap::values_mut).flatten() {
            claim.servers.sort_by(|one, other| {
                (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name))
            });
            claim.servers.shrink_to_fit();
        }
        all
    }
}

impl FromIterator<ServerFact> for Servers {
    fn from_iter<I: IntoIterator<Item = ServerFact>>(servers: I) -> Self {
        servers.into_iter().map(Arc::new).collect()
    }
}

impl From<Vec<ServerFact>> for Known<Arc<Servers>> {
    fn from(servers: Vec<ServerFact>) -> Self {
        Self::Known(Arc::new(servers.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::parse::route::{Overlap, overlap};

    fn routes() -> impl Strategy<Value = Route> {
        let host = prop::option::of(prop::sample::select(vec![
            "a.example.com",
            "A.example.com",
            "b.example.com",
            "*.example.com",
            "example.com",
            "*.a.example.com",
        ]));
        let path = "(/|(/[aAb]{1,2}){1,3}/?)";
        (host, path, any::<bool>(), any::<bool>()).prop_map(|(host, path, exact, other)| Route {
            class: if other { "nginx" } else { "traefik" }.to_owned(),
            host: host.map(str::to_owned),
            path,
            exact,
        })
    }

    proptest! {
        #[test]
        fn the_index_leaves_out_no_route_that_overlaps(new in routes(), there in prop::collection::vec(routes(), 0..12)) {
            let servers: Servers = there
                .iter()
                .enumerate()
                .map(|(index, route)| ServerFact { name: format!("s{index:02}"), route: Some(route.clone()), ..ServerFact::default() })
                .collect();
            let worst = |found: &mut dyn Iterator<Item = &Route>| found.map(|theirs| overlap(&new, theirs)).max().unwrap_or(Overlap::None);
            let near = worst(&mut servers.near(&new, "").into_iter().filter_map(|server| server.route.as_ref()));
            prop_assert_eq!(near, worst(&mut there.iter()));
        }
    }
}
