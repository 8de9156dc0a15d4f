//! MCP0907 in-use: a server is deleted that grants or sessions name, or a catalogue that policies rely on.

use api::names::SYSTEM_NAMESPACE;
use api::{MCPAccessGrant, MCPAgentSession, MCPPolicySpec};

use crate::context::known;
use crate::facts::Operation;
use crate::subject::is_live;

use super::{Class, Context, Kind, Meta, Need, Plain, Report, some_of};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0907", "in-use", &[Kind::Server, Kind::Registry], Class::Warning)
        .summary("a server is deleted that live grants or sessions name, or a catalogue that policies rely on")
        .needs(&[Need::Grants, Need::Sessions, Need::Policies, Need::Time])
        .deletions(),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    if context.operation != Operation::Delete {
        return;
    }
    if context.kind == Kind::Server {
        server(context, report);
    } else {
        catalogue(context, report);
    }
}

fn server(context: &Context<'_>, report: &mut Report) {
    let now = context.facts.now.get().copied();
    let here = |meta: &kube::core::ObjectMeta, server: &str| meta.namespace.as_deref() == Some(context.namespace) && server == context.name;
    if let Some(grants) = known(&context.facts.grants, Need::Grants, report) {
        let live = |grant: &&MCPAccessGrant| here(&grant.metadata, &grant.spec.server_ref.name) && is_live(grant, now);
        let names: Vec<&str> = grants.iter().map(AsRef::as_ref).filter(live).filter_map(|grant| grant.metadata.name.as_deref()).collect();
        if !names.is_empty() {
            report
                .at("metadata.name")
                .given(context.name)
                .must(format!("is still named by {}: they will hold for the next server of this name", some_of("grant", &names)))
                .hint(format!("kubectl mcp grant list --server {} -n {}", context.name, context.namespace));
        }
    }
    if let Some(sessions) = known(&context.facts.sessions, Need::Sessions, report) {
        let live = |session: &&MCPAgentSession| {
            let spec = &session.spec;
            here(&session.metadata, &spec.server_ref.name) && !spec.revoked && now.is_none_or(|now| spec.expires_at.0 > now)
        };
        let names: Vec<&str> =
            sessions.iter().map(AsRef::as_ref).filter(live).filter_map(|session| session.metadata.name.as_deref()).collect();
        if !names.is_empty() {
            report
                .at("metadata.name")
                .given(context.name)
                .must(format!("is still named by {}: their tokens will open the next server of this name", some_of("session", &names)))
                .hint(format!("kubectl mcp session list --server {} -n {}", context.name, context.namespace));
        }
    }
}

fn catalogue(context: &Context<'_>, report: &mut Report) {
    let Some(policies) = known(&context.facts.policies, Need::Policies, report) else { return };
    let relies = |spec: &MCPPolicySpec| {
        spec.images.as_ref().is_some_and(|images| {
            images.catalog_only == Some(true)
                && match &images.catalogs {
                    Some(catalogs) => catalogs.iter().any(|entry| entry.namespace == context.namespace && entry.name == context.name),
                    None => context.namespace == SYSTEM_NAMESPACE,
                }
        })
    };
    let names: Vec<&str> =
        policies.iter().filter(|policy| relies(&policy.spec)).filter_map(|policy| policy.metadata.name.as_deref()).collect();
    if !names.is_empty() {
        report
            .at("metadata.name")
            .given(context.name)
            .must(format!("is relied on by {}: images that only it lists will be refused", some_of("MCPPolicy", &names)))
            .hint("take it out of images.catalogs first, or turn images.catalogOnly off");
    }
}
