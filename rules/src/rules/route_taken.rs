//! MCP0205 route-taken: host and path overlap with a server of another namespace on the same class; within a namespace, or only as text, a warning.

use api::MCPServerSpec;

use crate::facts::ServerFact;
use crate::parse::host::Host;
use crate::parse::path::{HttpPath, is_segment_prefix};
use crate::parse::route::{Overlap, Route, overlap};

use super::{Class, Context, Meta, Need, Plain, Report, SERVER, path_field};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0205", "route-taken", SERVER, Class::Structural)
        .summary("host and path overlap with a server of another namespace on the same class; within a namespace, or only as text, a warning")
        .needs(&[Need::Servers]),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, effective)) = context.server() else { return };
    let Some(ours) = effective.route() else { return };
    if HttpPath::parse(&ours.path).is_err() || ours.host.as_ref().is_some_and(|host| Host::parse(host).is_err()) {
        return;
    }
    let Some(others) = context.rivals(&ours, report) else { return };
    // The worst first: one conflict is enough, and the person can only mend one at a time.
    let worst = others
        .iter()
        .filter_map(|other| {
            let found = overlap(&ours, other.route.as_ref()?);
            let foreign = other.namespace != context.namespace;
            (found > Overlap::None).then_some((found == Overlap::Taken && foreign, found, *other))
        })
        .max_by_key(|(refused, found, other)| {
            (*refused, *found, std::cmp::Reverse((other.namespace.as_str(), other.name.as_str())))
        });
    let Some((refused, found, other)) = worst else { return };
    let draft = report.at(path_field(spec)).given(claim(&ours)).judging(&ours.class).must(message(context, found, other));
    if !refused {
        draft.warning();
    }
    if let Some(path) = free_path(context, &ours) {
        draft.hint(path_hint(spec, &path));
    }
}

fn message(context: &Context<'_>, found: Overlap, other: &ServerFact) -> String {
    let theirs = other.route.as_ref().map(claim).unwrap_or_default();
    // The other's name is not told to somebody who may not read that namespace.
    let owner = if other.namespace == context.namespace {
        format!("MCPServer '{}'", other.name)
    } else {
        "an MCPServer of another namespace".to_owned()
    };
    match found {
        Overlap::Taken => format!("must not overlap with '{theirs}' of {owner}"),
        Overlap::Close | Overlap::None => format!("is close to '{theirs}' of {owner}: some controllers mix them up"),
    }
}

fn claim(route: &Route) -> String {
    format!("{}{}", route.host.as_deref().unwrap_or("*"), route.path)
}

/// A path on the same host that nobody claims and that the policies allow.
pub(super) fn free_path(context: &Context<'_>, ours: &Route) -> Option<String> {
    let servers = context.facts.servers.get()?;
    let namespace = context.namespace;
    candidates(context).into_iter().find(|path| {
        let route = Route { path: path.clone(), ..ours.clone() };
        let near = servers.near(&route, namespace);
        let free = near
            .iter()
            .filter(|other| other.namespace != namespace || other.name != context.name)
            .filter_map(|other| other.route.as_ref())
            .all(|theirs| overlap(&route, theirs) == Overlap::None);
        free && *path != ours.path
    })
}

/// Paths for hints that no rule refuses: below what every policy with `allowedPathPrefixes` allows.
pub(super) fn candidates(context: &Context<'_>) -> Vec<String> {
    let (namespace, name) = (context.namespace, context.name_in_hints());
    let lists: Vec<Vec<String>> = context
        .selected()
        .iter()
        .filter_map(|(_, spec)| spec.ingress.as_ref()?.allowed_path_prefixes.as_ref())
        .map(|prefixes| prefixes.iter().map(|prefix| prefix.replace("{namespace}", namespace)).collect())
        .collect();
    let roots: Vec<&str> = if lists.is_empty() {
        vec![""]
    } else {
        lists.iter().flatten().map(|prefix| prefix.trim_end_matches('/')).collect()
    };
    let below = |root: &str| {
        [
            format!("{root}/{name}/mcp"),
            format!("{root}/{namespace}/{name}/mcp"),
            format!("{root}/{namespace}-{name}/mcp"),
            format!("{root}/mcp/{namespace}/{name}"),
        ]
    };
    let allowed = |path: &String| lists.iter().all(|prefixes| prefixes.iter().any(|prefix| is_segment_prefix(prefix, path)));
    let plain = |path: &String| HttpPath::parse(path).is_ok_and(|path| path.reserved().is_none());
    roots.into_iter().flat_map(below).filter(|path| plain(path) && allowed(path)).collect()
}

/// What to write to have the path: both fields at once are refused.
pub(super) fn path_hint(spec: &MCPServerSpec, path: &str) -> String {
    if spec.public_path_prefix.is_some() {
        format!("ingressPath: {path}, in the place of publicPathPrefix")
    } else {
        format!("ingressPath: {path}")
    }
}
