//! MCP0903 policy-entry: an entry of a policy that can never match or means something else than it says.

use api::{AccessPolicy, MCPPolicySpec};

use crate::parse::egress::EgressEntry;
use crate::parse::entry;
use crate::parse::host::{Error, Host};
use crate::parse::image::{self, ImageRef};
use crate::parse::name::{is_dns_1123, is_subdomain};
use crate::parse::meant;
use crate::parse::near;
use crate::parse::path::HttpPath;
use crate::parse::quantity;
use crate::parse::url::{self, OutsideUrl, UrlFault};
use crate::registry::{REGISTRY, find};

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
    outside(spec, report);
    names(spec, report);
    selector(spec, report);
    quantities(spec, report);
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
        report.at("spec.gateway.image").given(image::quotable(image)).judging(image).must(error.requirement());
    }
}

fn registries(spec: &MCPPolicySpec, report: &mut Report) {
    let allowed = spec.images.as_ref().and_then(|images| images.allowed_registries.as_ref());
    let allowed = allowed.into_iter().flatten().enumerate();
    let allowed = allowed.map(|(index, text)| (format!("spec.images.allowedRegistries[{index}]"), text));
    let own = spec.registry.iter().map(|registry| ("spec.registry.host".to_owned(), &registry.host));
    let mirror = spec.registry.iter().filter_map(|registry| Some(("spec.registry.mirror".to_owned(), registry.mirror.as_ref()?)));
    for (field, text) in allowed.chain(own).chain(mirror) {
        if let Err(error) = entry::check(text) {
            let draft = report.at(field).given(url::quotable(text)).judging(text).must(error.requirement());
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
            let draft = report.at(field).given(url::quotable(text)).judging(text).must(error.requirement());
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

/// Where servers may connect to, and whose tokens they may take.
fn outside(spec: &MCPPolicySpec, report: &mut Report) {
    let egress = spec.egress.as_ref().and_then(|egress| egress.allowed.as_ref());
    for (index, text) in egress.into_iter().flatten().enumerate() {
        if let Err(fault) = EgressEntry::parse(text) {
            let draft = report.at(format!("spec.egress.allowed[{index}]")).given(url::quotable(text)).judging(text).must(fault.requirement());
            let host = url::meant(text).and_then(|url| OutsideUrl::parse(&url).ok());
            if let Some(host) = host.filter(|host| EgressEntry::parse(host.host()).is_ok()) {
                draft.hint(format!("did you mean '{}'?", host.host()));
            }
        }
    }
    let issuers = spec.access.as_ref().and_then(|access| access.allowed_issuers.as_ref());
    for (index, text) in issuers.into_iter().flatten().enumerate() {
        let fault = match OutsideUrl::parse(text) {
            Err(fault) => fault,
            Ok(url) if !url.is_https() => UrlFault::Insecure,
            Ok(_) => continue,
        };
        let field = format!("spec.access.allowedIssuers[{index}]");
        let draft = report.at(field).given(url::quotable(text)).judging(text).must(fault.requirement());
        if let Some(meant) = url::meant(text) {
            draft.hint(format!("did you mean '{}'?", url::quotable(&meant)));
        }
    }
}

/// Names of objects: one that no object can have never matches.
fn names(spec: &MCPPolicySpec, report: &mut Report) {
    let mut judge = |field: &str, names: &[String], fits: fn(&str) -> bool, what: &str| {
        for (index, name) in names.iter().enumerate().filter(|(_, name)| !fits(name)) {
            let lower = name.trim().to_ascii_lowercase();
            let draft = report.at(format!("{field}[{index}]")).given(name);
            draft.must(format!("must be the name of {what}: lower-case letters, digits and '-'; there are no patterns here"));
            if lower != *name && fits(&lower) {
                draft.hint(format!("did you mean '{lower}'?"));
            }
        }
    };
    judge("spec.excludeNamespaces", &spec.exclude_namespaces, is_dns_1123, "a namespace");
    let classes = spec.ingress.as_ref().and_then(|ingress| ingress.allowed_classes.as_ref());
    judge("spec.ingress.allowedClasses", classes.map_or(&[], Vec::as_slice), is_subdomain, "an IngressClass");
    let accounts = spec.workload.as_ref().and_then(|workload| workload.allowed_service_accounts.as_ref());
    judge("spec.workload.allowedServiceAccounts", accounts.map_or(&[], Vec::as_slice), is_subdomain, "a service account");
}

/// A requirement that Kubernetes does not know selects nothing.
fn selector(spec: &MCPPolicySpec, report: &mut Report) {
    let requirements = spec.namespace_selector.as_ref().and_then(|selector| selector.match_expressions.as_ref());
    for (index, requirement) in requirements.into_iter().flatten().enumerate() {
        let field = format!("spec.namespaceSelector.matchExpressions[{index}]");
        let values = requirement.values.as_ref().is_some_and(|values| !values.is_empty());
        match requirement.operator.as_str() {
            "In" | "NotIn" if !values => {
                report.at(format!("{field}.values")).must("must have at least one value with the operators In and NotIn");
            }
            "Exists" | "DoesNotExist" if values => {
                let draft = report.at(format!("{field}.values")).must("must be absent with the operators Exists and DoesNotExist");
                draft.hint("operator: In");
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            operator => {
                let draft = report.at(format!("{field}.operator")).given(operator);
                draft.must("must be In, NotIn, Exists or DoesNotExist");
                if let Some(meant) = near::meant(operator, ["In", "NotIn", "Exists", "DoesNotExist"]) {
                    draft.hint(format!("operator: {meant}"));
                }
            }
        }
    }
}

fn quantities(spec: &MCPPolicySpec, report: &mut Report) {
    let Some(limits) = &spec.limits else { return };
    for (name, text) in [("cpu", &limits.cpu), ("memory", &limits.memory)] {
        if let Some((text, error)) = text.as_ref().and_then(|text| Some((text, quantity::parse(text).err()?))) {
            let draft = report.at(format!("spec.limits.{name}")).given(text).must(error.requirement());
            if let Some(meant) = meant::quantity(text) {
                draft.hint(format!("did you mean '{meant}'?"));
            }
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
        let draft = report.at(format!("spec.overrides[{index}].rule")).given(&rule.rule).must(message);
        if let Some(code) = code_of(&rule.rule) {
            draft.hint(format!("rule: {code}"));
        }
    }
}

/// The code of the rule that somebody named or wrote in lower case.
fn code_of(text: &str) -> Option<&'static str> {
    let upper = text.to_ascii_uppercase();
    let metas = || REGISTRY.iter().map(|rule| rule.meta());
    let meant = near::meant(text, metas().map(|meta| meta.name));
    let mut found = metas().filter(|meta| Some(meta.name) == meant || meta.code == upper);
    found.next().map(|meta| meta.code).filter(|code| *code != text)
}

/// A policy that mentions the parts of MCP0407 and MCP0605 that follow policies.
fn ceiling() -> MCPPolicySpec {
    let hour = || Some("1h".to_owned());
    let access = AccessPolicy { max_grant_lifetime: hour(), max_session_lifetime: hour(), ..AccessPolicy::default() };
    MCPPolicySpec { access: Some(access), ..MCPPolicySpec::default() }
}
