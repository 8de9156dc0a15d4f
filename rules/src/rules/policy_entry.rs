//! MCP0903 policy-entry: an entry of a policy that can never match or means something else than it says.

use api::{AccessPolicy, MCPPolicySpec};

use crate::parse::entry;
use crate::parse::host::{Error, Host};
use crate::parse::image::ImageRef;
use crate::parse::path::HttpPath;
use crate::registry::find;

use super::{Class, Context, Meta, POLICY, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0903", "policy-entry", POLICY, Class::Structural)
        .summary("an entry of a policy that can never match or means something else than it says"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some(spec) = context.policy() else { return };
    registries(spec, report);
    hosts(spec, report);
    paths(spec, report);
    overrides(spec, report);
    let annotations = spec.ingress.as_ref().and_then(|ingress| ingress.allowed_annotations.as_ref());
    for (index, key) in annotations.into_iter().flatten().enumerate() {
        if key.trim_end_matches('*').contains('*') || key.ends_with("**") || key == "*" {
            report
                .at(format!("spec.ingress.allowedAnnotations[{index}]"))
                .given(key)
                .must("must be a key, or the beginning of one with a single '*' behind it");
        }
    }
    if let Some(image) = spec.gateway.as_ref().and_then(|gateway| gateway.image.as_ref())
        && let Err(error) = ImageRef::parse(image)
    {
        report.at("spec.gateway.image").given(image).must(error.requirement());
    }
}

fn registries(spec: &MCPPolicySpec, report: &mut Report) {
    let allowed = spec.images.as_ref().and_then(|images| images.allowed_registries.as_ref());
    let allowed = allowed.into_iter().flatten().enumerate();
    let allowed = allowed.map(|(index, text)| (format!("spec.images.allowedRegistries[{index}]"), text));
    let own = spec.registry.iter().map(|registry| ("spec.registry.host".to_owned(), &registry.host));
    for (field, text) in allowed.chain(own) {
        if let Err(error) = entry::check(text) {
            let draft = report.at(field).given(text).must(error.requirement());
            if let Some(meant) = entry::meant(text) {
                draft.hint(format!("did you mean '{meant}'?"));
            }
        }
    }
}

fn hosts(spec: &MCPPolicySpec, report: &mut Report) {
    let allowed = spec.ingress.as_ref().and_then(|ingress| ingress.allowed_hosts.as_ref());
    let allowed = allowed.into_iter().flatten().enumerate();
    let allowed = allowed.map(|(index, text)| (format!("spec.ingress.allowedHosts[{index}]"), text));
    let own = spec.defaults.as_ref().and_then(|defaults| defaults.ingress_host.as_ref());
    for (field, text) in allowed.chain(own.map(|text| ("spec.defaults.ingressHost".to_owned(), text))) {
        if let Err(error) = Host::parse(text) {
            let draft = report.at(field).given(text).must(error.requirement());
            if let Error::NotAscii(Some(a_labels)) = error {
                draft.hint(format!("did you mean '{a_labels}'?"));
            }
        }
    }
}

fn paths(spec: &MCPPolicySpec, report: &mut Report) {
    let allowed = spec.ingress.as_ref().and_then(|ingress| ingress.allowed_path_prefixes.as_ref());
    let allowed = allowed.into_iter().flatten().enumerate();
    let allowed = allowed.map(|(index, text)| (format!("spec.ingress.allowedPathPrefixes[{index}]"), text));
    let own = spec.defaults.as_ref().and_then(|defaults| defaults.path_template.as_ref());
    for (field, text) in allowed.chain(own.map(|text| ("spec.defaults.pathTemplate".to_owned(), text))) {
        if let Err(error) = HttpPath::parse(&text.replace("{namespace}", "n").replace("{name}", "n")) {
            report.at(field).given(text).must(error.requirement());
        }
    }
}

/// An override of a rule that does not exist, or that no policy can change, would be a wrong belief.
fn overrides(spec: &MCPPolicySpec, report: &mut Report) {
    for (index, rule) in spec.overrides.iter().enumerate() {
        let message = match find(&rule.rule).map(|rule| (rule.meta().class, rule.meta().mentions)) {
            None => "must be the code of a rule of this version".to_owned(),
            Some((Class::Structural, mentions)) if !mentions(&ceiling()) => {
                "must be the code of a policy rule: this one holds whatever a policy says".to_owned()
            }
            Some((Class::Warning, _)) => "must be the code of a policy rule: this one only warns".to_owned(),
            Some(_) => continue,
        };
        report.at(format!("spec.overrides[{index}].rule")).given(&rule.rule).must(message);
    }
}

/// A policy that mentions the part of MCP0605 that follows policies.
fn ceiling() -> MCPPolicySpec {
    let access = AccessPolicy { max_grant_lifetime: Some("1h".to_owned()), ..AccessPolicy::default() };
    MCPPolicySpec { access: Some(access), ..MCPPolicySpec::default() }
}
