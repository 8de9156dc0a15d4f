//! MCP0205 route-taken: host and path overlap with a server of another namespace on the same class; within a namespace, or only as text, a warning.

use crate::facts::ServerFact;
use crate::parse::host::Host;
use crate::parse::path::HttpPath;
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
        draft.hint(format!("ingressPath: {path}"));
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

/// A path on the same host that nobody claims.
fn free_path(context: &Context<'_>, ours: &Route) -> Option<String> {
    let servers = context.facts.servers.get()?;
    let (namespace, name) = (context.namespace, context.name);
    let candidates = [
        format!("/{name}/mcp"),
        format!("/{namespace}/{name}/mcp"),
        format!("/{namespace}-{name}/mcp"),
        format!("/mcp/{namespace}/{name}"),
    ];
    candidates.into_iter().find(|path| {
        let route = Route { path: path.clone(), ..ours.clone() };
        let near = servers.near(&route, namespace);
        let free = near
            .iter()
            .filter(|other| other.namespace != namespace || other.name != name)
            .filter_map(|other| other.route.as_ref())
            .all(|theirs| overlap(&route, theirs) == Overlap::None);
        free && *path != ours.path && HttpPath::parse(path).is_ok()
    })
}
