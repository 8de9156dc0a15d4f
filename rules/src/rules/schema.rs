//! MCP0911 schema: a value that the CRD schema does not take.

use api::MCPToolSpec;
use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicyPeer};

use crate::parse::address::Network;

use super::{Class, Context, Kind, Meta, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0911", "schema", &Kind::ALL, Class::Structural)
        .summary("a value that the CRD schema does not take"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    for violation in context.violations().iter().filter(|violation| !violation.unknown) {
        let draft = report.at(&violation.path);
        if let Some(value) = &violation.value {
            draft.given(value);
        }
        draft.must(&violation.message);
        if let Some(hint) = &violation.hint {
            draft.hint(hint);
        }
    }
    // MCP0302 says it of a server.
    if context.kind != Kind::Server && context.is_nameless() {
        report.at("metadata.name").must("must be given").hint("name: NAME; or generateName: NAME-, to have one made");
    }
    if let Some(spec) = context.tool() {
        tool(spec, report);
    }
    if let Some(policy) = context.server().and_then(|(spec, _)| spec.network_policy.as_ref()) {
        for (list, peers) in [("ingressFrom", &policy.ingress_from), ("egressTo", &policy.egress_to)] {
            for (index, each) in peers.iter().flatten().enumerate() {
                peer(&format!("spec.networkPolicy.{list}[{index}]"), each, report);
            }
        }
    }
}

/// A peer that the API server would refuse in the NetworkPolicy that is made of it, so that there would be none.
fn peer(field: &str, peer: &NetworkPolicyPeer, report: &mut Report) {
    let selects = peer.pod_selector.is_some() || peer.namespace_selector.is_some();
    match &peer.ip_block {
        None if !selects => {
            report
                .at(field)
                .judging("nothing")
                .must("must have an ipBlock, a podSelector or a namespaceSelector")
                .hint("podSelector: {}, for all pods of the namespace");
        }
        Some(_) if selects => {
            report
                .at(field)
                .judging("both")
                .must("must not have an ipBlock together with a podSelector or namespaceSelector")
                .hint("make two entries of it");
        }
        Some(block) => networks(&format!("{field}.ipBlock"), block, report),
        None => {}
    }
}

fn networks(field: &str, block: &IPBlock, report: &mut Report) {
    const NETWORK: &str = "must be a network without bits behind its prefix such as 10.0.0.0/8";
    let Some(whole) = Network::parse(&block.cidr).filter(|_| block.cidr.contains('/')) else {
        report.at(format!("{field}.cidr")).given(&block.cidr).must(NETWORK);
        return;
    };
    for (index, text) in block.except.iter().flatten().enumerate() {
        let part = Network::parse(text).filter(|_| text.contains('/'));
        let inside = part.is_some_and(|part| part.is_within(&whole) && part.prefix_length() > whole.prefix_length());
        if !inside {
            let draft = report.at(format!("{field}.except[{index}]")).given(text).judging(&block.cidr);
            draft.must(format!("must be a network, smaller than {} and within it", block.cidr));
        }
    }
}

/// What the expressions of an MCPTool's schema say, in their words: no other rule judges how a tool is written.
fn tool(spec: &MCPToolSpec, report: &mut Report) {
    match (&spec.name, &spec.tools) {
        (Some(_), None) | (None, Some(_)) => {}
        (Some(name), Some(_)) => {
            report
                .at("spec")
                .judging("both")
                .must("must have exactly one of name and tools")
                .hint(format!("add to spec.tools: - name: {name}"));
        }
        (None, None) => {
            report
                .at("spec")
                .judging("neither")
                .must("must have exactly one of name and tools")
                .hint("name: NAME, for one tool of the Service");
        }
    }
    let single = [("inputSchema", spec.input_schema.is_some()), ("ingressPath", spec.ingress_path.is_some())];
    for (field, given) in single {
        if given && spec.tools.is_some() {
            report
                .at(format!("spec.{field}"))
                .judging(field)
                .must("must not be set beside tools: it belongs to their entries")
                .hint(format!("write it into spec.tools[].{field}"));
        }
    }
}
