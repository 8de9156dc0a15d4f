//! Images in CEL: what a server runs after tag, registry override and provisioned registry, and the grammar of
//! references, step by step as `rules::parse::image` has them.
//!
//! Which registry is the provisioned one is decided among policies, so a server may have several candidates; it is
//! refused only if all of them are.

use super::cel;
use super::check::{Check, some_of};
use super::scope::Scope;

/// Letters and digits, with '-' inside.
const LABEL: &str = "[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?";
/// Lower case, separated by one '.', one or two '_', or any number of '-'.
const COMPONENT: &str = "[a-z0-9]+(([.]|__?|-+)[a-z0-9]+)*";
const TAG: &str = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}";
const DIGEST: &str = "(sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})";
/// What runtimes take for the id of an image on the node. The longest is no reference at all.
const ID: &str = "^((sha256|sha384|sha512):[0-9a-f]*|[0-9a-f]{12,63})$";
const LONG_ID: &str = "^[0-9a-f]{64}$";
/// The first component names a host.
const HOSTED: &str = "^([^/]*[.:A-Z][^/]*|localhost)/";
/// The first component is replaced by another registry.
const REPLACED: &str = "^([^/]*[.:][^/]*|localhost)/";

/// The variables that the checks read, in the order in which they need each other.
pub(super) fn variables(scope: &Scope) -> Vec<(String, String)> {
    let mut all = resolved(scope, "spec", "");
    all.extend(resolved(scope, "before", "Before"));
    all.push((
        "references".to_owned(),
        format!(
            "variables.images.filter(i, i.size() <= 4096 && !i.matches('{LONG_ID}')).map(i, !i.matches('{HOSTED}') \
             ? 'docker.io/' + i : i.startsWith('index.docker.io/') ? 'docker.io/' + i.substring(16) : i)"
        ),
    ));
    let host = format!(r"({LABEL}([.]{LABEL})*|\\[[0-9A-Fa-f:]+\\])(:[0-9]+)?");
    all.push((
        "repositories".to_owned(),
        format!(
            "variables.references.filter(i, i.matches('^{host}/{COMPONENT}(/{COMPONENT})*(:{TAG})?(@{DIGEST})?$'))\
             .map(i, i.find('^[^/]*/[^:@]*'))\
             .map(r, r.matches('^docker[.]io/[^/]*$') ? 'docker.io/library/' + r.substring(10) : r)\
             .filter(r, r.size() - r.indexOf('/') <= 256).map(r, r + '/')"
        ),
    ));
    all
}

/// The image of `variables.ROOT` as it would run, whatever the grammar says to it.
fn resolved(scope: &Scope, root: &str, suffix: &str) -> Vec<(String, String)> {
    let given = format!("variables.{root}.?image.orValue('')");
    let tag = format!("variables.{root}.?imageTag");
    let tagged = format!("variables.tagged{suffix}");
    let provisioned = cel::list(scope.everybody().filter_map(|spec| {
        spec.registry
            .as_ref()
            .map(|registry| registry.host.as_str())
    }));
    vec![
        (
            format!("tagged{suffix}"),
            format!(
                "!{tag}.hasValue() || {given}.contains('@') || {given}.matches(':[^/]*$') ? {given} \
                 : {given} + ':' + {tag}.orValue('')"
            ),
        ),
        (
            format!("registries{suffix}"),
            format!(
                "variables.{root}.?useProvisionedRegistry.orValue(false) ? {provisioned} \
                 : variables.{root}.?registryOverride.hasValue() \
                 ? [variables.{root}.?registryOverride.orValue('')] : []"
            ),
        ),
        (
            format!("images{suffix}"),
            format!(
                "variables.registries{suffix}.size() == 0 ? [{tagged}] : variables.registries{suffix}\
                 .map(r, r + '/' + ({tagged}.matches('{REPLACED}') \
                 ? {tagged}.substring({tagged}.indexOf('/') + 1) : {tagged}))"
            ),
        ),
    ]
}

/// That an image is a reference, and what the policy says about it.
pub(super) fn checks(scope: &Scope) -> Vec<Check> {
    const NONE: &str = "!variables.spec.?image.hasValue()";
    const SAME: &str = "variables.images == variables.imagesBefore";
    const VALUE: &str = "variables.images.join(' or ')";
    let mut checks = vec![
        Check::server(
            "MCP0101",
            "spec.image",
            format!("{NONE} || variables.repositories.size() > 0"),
        )
        .unchanged(SAME)
        .value(VALUE)
        .must("must be an image reference such as registry.example.com/team/server:1.2.3"),
    ];
    let Some(images) = &scope.spec().images else {
        return checks;
    };
    if let Some(entries) = &images.allowed_registries {
        let beginnings: Vec<String> = entries.iter().map(|entry| format!("{entry}/")).collect();
        let beginnings = cel::list(beginnings.iter().map(String::as_str));
        let fits = format!(
            "{NONE} || (!variables.images.exists(i, i.matches('{ID}')) \
             && variables.repositories.exists(r, {beginnings}.exists(e, r.startsWith(e))))"
        );
        checks.push(
            Check::server("MCP0102", "spec.image", fits)
                .unchanged(SAME)
                .value(VALUE)
                .must(format!(
                    "must be in a registry that {} allows: {}",
                    scope.title(),
                    some_of(entries)
                )),
        );
    }
    if images.require_digest == Some(true) {
        let fits = format!("{NONE} || variables.images.exists(i, i.matches('@{DIGEST}$'))");
        checks.push(
            Check::server("MCP0104", "spec.image", fits)
                .unchanged(SAME)
                .value(VALUE)
                .must(format!("must name a digest: {} asks for it", scope.title())),
        );
    }
    checks
}
