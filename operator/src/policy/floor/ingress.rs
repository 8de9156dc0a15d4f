//! Hosts, paths, classes and TLS of servers in CEL.
//!
//! What a server leaves out comes from the policies; the checks judge it only where every policy that may have a say
//! leads to the same refusal.

use api::{Defaults, IngressPolicy, MCPPolicySpec};
use rules::HARMLESS_ANNOTATIONS;
use rules::effective::{INGRESS_CLASS, PATH_TEMPLATE};
use rules::parse::path::RESERVED;

use super::cel;
use super::check::{Check, some_of};
use super::scope::Scope;

const LABEL: &str = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";
/// A number of an IPv4 address, with leading zeros as the API server takes them.
const OCTET: &str = "0*(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
/// A server behind a Gateway API gateway has no Ingress.
const ROUTED: &str = "variables.spec.?gatewayRef.hasValue()";
const WAS_ROUTED: &str = "variables.before.?gatewayRef.hasValue()";

/// The variables that the checks read. An empty text is what a server does not say, or what an Ingress would say that
/// it does not have.
pub(super) fn variables() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (root, suffix) in [("spec", ""), ("before", "Before")] {
        let routed = format!("variables.{root}.?gatewayRef.hasValue()");
        all.push((
            format!("host{suffix}"),
            format!("{routed} ? '' : variables.{root}.?ingressHost.orValue('')"),
        ));
        let prefix = format!("variables.{root}.?publicPathPrefix");
        all.push((
            format!("path{suffix}"),
            format!(
                "{routed} ? '' : variables.{root}.?ingressPath.orValue({prefix}.hasValue() \
                 ? '/' + {prefix}.orValue('').find('(?s)[^/](.*[^/])?') + '/mcp' : '')"
            ),
        ));
    }
    all
}

/// What holds of hosts and paths, and what the policy says about them.
pub(super) fn checks(scope: &Scope) -> Vec<Check> {
    let mut checks = vec![
        host_form(scope),
        path_form(scope),
        own_path_form(),
        reserved(scope),
        unusual_host(scope),
        annotations(scope),
    ];
    if let Some(ingress) = &scope.spec().ingress {
        checks.extend(hosts(scope, ingress));
        checks.extend(classes(scope, ingress));
        checks.extend(tls(scope, ingress));
        checks.extend(prefixes(scope, ingress));
    }
    checks
}

/// The host is as it was, or what the server got from a policy before it said so itself.
fn same_host(scope: &Scope) -> String {
    let defaults = cel::list(scope.defaults(|defaults| defaults.ingress_host.as_ref()));
    format!(
        "variables.host == variables.hostBefore \
         || (!{WAS_ROUTED} && variables.hostBefore == '' && variables.host in {defaults})"
    )
}

/// The path is as it was, or what the server got from a template before it said so itself.
fn same_path(scope: &Scope) -> String {
    let mut templates = scope.defaults(|defaults| defaults.path_template.as_ref());
    templates.push(PATH_TEMPLATE);
    let templates = cel::list(templates);
    format!(
        "variables.path == variables.pathBefore || (!{WAS_ROUTED} && variables.pathBefore == '' \
         && {templates}.exists(t, variables.path == t.replace('{{namespace}}', request.namespace)\
         .replace('{{name}}', object.metadata.name)))"
    )
}

fn host_form(scope: &Scope) -> Check {
    let fits = format!(
        "variables.host == '' || (variables.host.size() <= 253 \
         && variables.host.matches('^([*][.])?{LABEL}([.]{LABEL})*$') \
         && !variables.host.matches('^{OCTET}([.]{OCTET}){{3}}$'))"
    );
    Check::server("MCP0201", "spec.ingressHost", fits)
        .unchanged(same_host(scope))
        .value("variables.host")
        .must("must be a lower-case DNS name, not an address, without scheme, port and path")
}

fn hosts(scope: &Scope, ingress: &IngressPolicy) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(entries) = &ingress.allowed_hosts {
        let exact = cel::list(entries.iter().map(String::as_str));
        let parents = cel::list(
            entries
                .iter()
                .filter_map(|entry| entry.strip_prefix('*').filter(|rest| rest.starts_with('.'))),
        );
        let fits = format!(
            "variables.host == '' || variables.host in {exact} || (variables.host.matches('^[^.*]+[.]') \
             && variables.host.substring(variables.host.indexOf('.')) in {parents})"
        );
        checks.push(
            Check::server("MCP0204", "spec.ingressHost", fits)
                .unchanged(same_host(scope))
                .value("variables.host")
                .must(format!(
                    "must be a host that {} allows: {}",
                    scope.title(),
                    some_of(entries)
                )),
        );
    }
    let given = scope.defaults(|defaults| defaults.ingress_host.as_ref());
    if ingress.require_host != Some(false) && given.is_empty() {
        let fits = format!("{ROUTED} || variables.spec.?ingressHost.hasValue()");
        let unchanged = format!("!{WAS_ROUTED} && variables.hostBefore == ''");
        checks.push(
            Check::server("MCP0202", "spec.ingressHost", fits)
                .unchanged(unchanged)
                .must(format!(
                    "must be given: {} asks for a host, and no policy has a default",
                    scope.title()
                )),
        );
    }
    checks
}

/// Wildcards, single labels, names of a cluster's or a site's inside, and what some clients read as an address.
fn unusual_host(scope: &Scope) -> Check {
    let says = |allowed| {
        move |spec: &MCPPolicySpec| {
            spec.ingress
                .as_ref()
                .is_some_and(|ingress| ingress.allow_wildcard_hosts == Some(allowed))
        }
    };
    // Allowed where some policy allows it and none forbids it.
    let may_be_allowed = !says(false)(scope.spec()) && scope.everybody().any(says(true));
    let wildcard = if may_be_allowed { "true" } else { "false" };
    let fits = format!(
        "variables.host == '' || (variables.host.startsWith('*.') ? {wildcard} \
         : (variables.host.contains('.') && !variables.host.matches('(^|[.])([0-9]+|0x[0-9a-f]*)$') \
         && !variables.host.matches('[.](local|internal|localhost)$')))"
    );
    Check::server("MCP0212", "spec.ingressHost", fits)
        .unchanged(same_host(scope))
        .value("variables.host")
        .must("must be a full public name: no wildcard, no single label, no internal suffix, no number at its end")
}

fn path_form(scope: &Scope) -> Check {
    Check::server("MCP0203", "spec.ingressPath", path_fits("variables.path"))
        .unchanged(same_path(scope))
        .value("variables.path")
        .must("must be letters, digits, '-', '.', '_', '~' and single '/' after a '/', without dot segments")
}

fn own_path_form() -> Check {
    const OWN: &str = "variables.spec.?path.orValue('')";
    Check::server("MCP0203", "spec.path", path_fits(OWN))
        .unchanged(format!("{OWN} == variables.before.?path.orValue('')"))
        .value(OWN)
        .must("must be letters, digits, '-', '.', '_', '~' and single '/' after a '/', without dot segments")
}

fn path_fits(path: &str) -> String {
    format!(
        "{path} == '' || ({path}.size() <= 255 && {path}.matches('^/[A-Za-z0-9._~/-]*$') && !{path}.contains('//') \
         && !({path} + '/').matches('/[.][.]?/'))"
    )
}

fn reserved(scope: &Scope) -> Check {
    let words = RESERVED.map(|word| word.replace('.', "[.]")).join("|");
    let fits = format!("!(variables.path + '/').matches('^/({words})/')");
    Check::server("MCP0206", "spec.ingressPath", fits)
        .unchanged(same_path(scope))
        .value("variables.path")
        .must("must not begin with a segment that shared hosts keep for themselves")
}

fn classes(scope: &Scope, ingress: &IngressPolicy) -> Option<Check> {
    let entries = ingress.allowed_classes.as_ref()?;
    let mut given = scope.defaults(|defaults: &Defaults| defaults.ingress_class.as_ref());
    given.push(INGRESS_CLASS);
    // A server without a class gets one of these.
    let absent = given
        .iter()
        .any(|class| entries.iter().any(|entry| entry == class));
    let fits = format!(
        "{ROUTED} || (variables.spec.?ingressClass.hasValue() \
         ? variables.spec.?ingressClass.orValue('') in {} : {absent})",
        cel::list(entries.iter().map(String::as_str))
    );
    let unchanged = format!(
        "!{WAS_ROUTED} && (variables.spec.?ingressClass.orValue('') == variables.before.?ingressClass.orValue('') \
         || (!variables.before.?ingressClass.hasValue() && variables.spec.?ingressClass.orValue('') in {}))",
        cel::list(given)
    );
    Some(
        Check::server("MCP0208", "spec.ingressClass", fits)
            .unchanged(unchanged)
            .value("variables.spec.?ingressClass.orValue('')")
            .must(format!(
                "must be a class that {} allows: {}",
                scope.title(),
                some_of(entries)
            )),
    )
}

fn tls(scope: &Scope, ingress: &IngressPolicy) -> Option<Check> {
    let given = scope.defaults(|defaults| defaults.ingress_tls_secret.as_ref());
    if ingress.require_tls != Some(true) || !given.is_empty() {
        return None;
    }
    let fits = format!("{ROUTED} || variables.spec.?ingressTLSSecret.hasValue()");
    let unchanged = format!("!{WAS_ROUTED} && !variables.before.?ingressTLSSecret.hasValue()");
    Some(
        Check::server("MCP0209", "spec.ingressTLSSecret", fits)
            .unchanged(unchanged)
            .must(format!("must be given: {} asks for TLS", scope.title())),
    )
}

fn prefixes(scope: &Scope, ingress: &IngressPolicy) -> Option<Check> {
    let entries = ingress.allowed_path_prefixes.as_ref()?;
    let beginnings: Vec<String> = entries
        .iter()
        .map(|entry| format!("{}/", entry.trim_end_matches('/')))
        .collect();
    let beginnings = cel::list(beginnings.iter().map(String::as_str));
    let fits = format!(
        "variables.path == '' || {beginnings}.exists(e, (variables.path.endsWith('/') ? variables.path \
         : variables.path + '/').startsWith(e.replace('{{namespace}}', request.namespace)))"
    );
    Some(
        Check::server("MCP0210", "spec.ingressPath", fits)
            .unchanged(same_path(scope))
            .value("variables.path")
            .must(format!(
                "must be below a path that {} allows: {}",
                scope.title(),
                some_of(entries)
            )),
    )
}

/// Each annotation ratchets by itself.
fn annotations(scope: &Scope) -> Check {
    const HERE: &str = "variables.spec.?ingressAnnotations.orValue({})";
    const BEFORE: &str = "variables.before.?ingressAnnotations.orValue({})";
    let (entries, must) = allowed_annotations(scope);
    let exact = cel::list(entries.iter().copied().filter(|e| !e.ends_with('*')));
    let open = cel::list(entries.iter().filter_map(|entry| entry.strip_suffix('*')));
    let fits = format!(
        "{HERE}.all(k, k in {exact} || {open}.exists(e, k.startsWith(e)) \
         || (k in {BEFORE} && {BEFORE}[k] == {HERE}[k]))"
    );
    Check::server("MCP0207", "spec.ingressAnnotations", fits).must(must)
}

/// What annotations a server may have, and the sentence. A policy without a list leaves the harmless ones, and what
/// another that may select the same namespaces lists: whether that one does is the webhook's to see.
fn allowed_annotations(scope: &Scope) -> (Vec<&str>, String) {
    fn listed(spec: &MCPPolicySpec) -> Option<&Vec<String>> {
        spec.ingress.as_ref()?.allowed_annotations.as_ref()
    }
    if let Some(entries) = listed(scope.spec()) {
        let must = format!(
            "must have only annotations that {} allows: {}",
            scope.title(),
            some_of(entries)
        );
        return (entries.iter().map(String::as_str).collect(), must);
    }
    let others = scope.everybody().filter_map(listed).flatten();
    let entries = HARMLESS_ANNOTATIONS
        .into_iter()
        .chain(others.map(String::as_str))
        .collect();
    let must =
        "must have only harmless annotations: another may change how a shared host is served";
    (entries, must.to_owned())
}
