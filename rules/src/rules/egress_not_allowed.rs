//! MCP0322 egress-not-allowed: `networkPolicy.egressTo`, the permission profile or `remote.url` is outside `egress.allowed`.

use api::{MCPPolicySpec, MCPServerSpec, PermissionProfileType};
use k8s_openapi::api::networking::v1::NetworkPolicyPeer;

use crate::parse::address::Network;
use crate::parse::egress::EgressEntry;
use crate::parse::near::nearest;
use crate::parse::profile::Profile;
use crate::parse::url::{OutsideUrl, quotable};

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0322", "egress-not-allowed", SERVER, Class::Policy)
        .summary("`networkPolicy.egressTo`, the permission profile or `remote.url` is outside `egress.allowed`")
        .needs(&[Need::Policies, Need::ConfigMaps])
        .mentioned_by(|spec| allowed(spec).is_some()),
    check,
};

/// How many targets are named that are not allowed: to find the nearest entry takes time.
const MOST: usize = 64;

/// One thing that a server wants to connect to.
struct Target {
    field: String,
    given: String,
    to: To,
}

enum To {
    Url(OutsideUrl),
    Name(String),
    Network(Network),
    /// Pods by their labels, which no entry can cover.
    Pods,
    Everything,
}

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, _)) = context.server() else { return };
    if spec.remote.is_none() && spec.network_policy.is_none() && spec.permission_profile.is_none() {
        return;
    }
    let Some(policies) = context.policies(report) else { return };
    let lists: Vec<List<'_>> = policies
        .iter()
        .filter_map(|(policy, spec)| {
            let texts = allowed(spec)?;
            let entries = texts.iter().filter_map(|text| EgressEntry::parse(text).ok()).collect();
            Some(List { policy, texts, entries })
        })
        .collect();
    if lists.is_empty() {
        return;
    }
    let mut targets = written(spec);
    targets.extend(of_profile(context, spec, report));
    let refused = targets.iter().filter_map(|target| {
        let refusing = lists.iter().find(|list| !covered(&target.to, &list.entries))?;
        Some((target, refusing))
    });
    for (target, refusing) in refused.take(MOST) {
        refuse(target, refusing, report);
    }
}

/// What one policy allows.
struct List<'a> {
    policy: &'a str,
    texts: &'a [String],
    entries: Vec<EgressEntry>,
}

fn allowed(spec: &MCPPolicySpec) -> Option<&[String]> {
    spec.egress.as_ref()?.allowed.as_deref()
}

fn covered(to: &To, entries: &[EgressEntry]) -> bool {
    match to {
        To::Url(url) => entries.iter().any(|entry| entry.covers(url)),
        To::Name(name) => entries.iter().any(|entry| entry.covers_name(name)),
        To::Network(network) => entries.iter().any(|entry| entry.covers_network(network)),
        To::Pods => false,
        To::Everything => ["0.0.0.0/0", "::/0"]
            .into_iter()
            .filter_map(Network::parse)
            .all(|everything| entries.iter().any(|entry| entry.covers_network(&everything))),
    }
}

fn refuse(target: &Target, list: &List<'_>, report: &mut Report) {
    let policy = list.policy;
    let draft = report.at(&target.field).given(&target.given);
    match target.to {
        To::Pods => draft
            .must(format!("must be an ipBlock: MCPPolicy '{policy}' lists targets, and no entry covers pods by their labels"))
            .hint("ipBlock: {cidr: 10.0.0.0/24}, within what egress.allowed lists"),
        To::Everything => draft
            .must(format!("must not be every target: MCPPolicy '{policy}' lists those that are allowed"))
            .hint("permissionProfile: {type: configmap, name: NAME, key: profile.json}, with the hosts that the server needs"),
        To::Url(_) | To::Name(_) | To::Network(_) => match nearest(&target.given, list.texts.iter().map(String::as_str)) {
            None => draft.must(format!("must not be set: MCPPolicy '{policy}' allows no target")).hint("take it away"),
            Some(entry) => draft
                .must(format!("must be within egress.allowed of MCPPolicy '{policy}'; nearest entry is '{entry}'"))
                .hint("ask a platform engineer to add it to egress.allowed"),
        },
    };
}

/// What stands in the spec itself. Texts that are no URL or no network are other rules' business.
fn written(spec: &MCPServerSpec) -> Vec<Target> {
    let mut targets = Vec::new();
    if let Some(text) = spec.remote.as_ref().and_then(|remote| remote.url.as_ref())
        && let Ok(url) = OutsideUrl::parse(text)
    {
        targets.push(Target { field: "spec.remote.url".to_owned(), given: quotable(text), to: To::Url(url) });
    }
    let peers = spec.network_policy.iter().flat_map(|policy| policy.egress_to.iter().flatten());
    targets.extend(peers.enumerate().map(|(index, peer)| of_peer(&format!("spec.networkPolicy.egressTo[{index}]"), peer)));
    targets
}

/// Exceptions only take away, so that the block counts as a whole. A block that is no network is none of the list.
fn of_peer(path: &str, peer: &NetworkPolicyPeer) -> Target {
    match &peer.ip_block {
        Some(block) => Target {
            field: format!("{path}.ipBlock.cidr"),
            given: block.cidr.clone(),
            to: Network::parse(&block.cidr).map_or(To::Name(String::new()), To::Network),
        },
        None => Target {
            field: path.to_owned(),
            given: serde_json::to_string(peer).unwrap_or_default(),
            to: To::Pods,
        },
    }
}

/// What the permission profile opens.
fn of_profile(context: &Context<'_>, spec: &MCPServerSpec, report: &mut Report) -> Vec<Target> {
    const FIELD: &str = "spec.permissionProfile";
    let Some(profile) = &spec.permission_profile else { return Vec::new() };
    let everything = |given: String| vec![Target { field: format!("{FIELD}.name"), given, to: To::Everything }];
    let key = match (profile.type_, &profile.key) {
        (PermissionProfileType::Builtin, _) if profile.name == "network" => return everything(profile.name.clone()),
        (PermissionProfileType::Builtin, _) | (PermissionProfileType::ConfigMap, None) => return Vec::new(),
        (PermissionProfileType::ConfigMap, Some(key)) => key,
    };
    let Some(maps) = context.config_maps(report) else { return Vec::new() };
    let text = maps.get(&profile.name).and_then(|data| data.get(key));
    let Some(Ok(parsed)) = text.map(|text| Profile::parse(text)) else { return Vec::new() };
    let outbound = parsed.network.outbound;
    if outbound.insecure_allow_all {
        return everything(format!("{}/{key}", profile.name));
    }
    let target = |host: String| Target {
        field: FIELD.to_owned(),
        to: Network::parse(&host).map_or_else(|| To::Name(host.clone()), To::Network),
        given: host,
    };
    outbound.allow_host.into_iter().map(target).collect()
}
