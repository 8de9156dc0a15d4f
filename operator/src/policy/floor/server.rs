//! Gateway, authentication, decisions, limits and service accounts of servers in CEL.

use super::cel;
use super::check::{Check, SCALES, SERVERS, some_of};
use super::scope::Scope;

const ENABLED: &str = "variables.spec.?gateway.?enabled.orValue(true)";
const WAS_ENABLED: &str = "variables.before.?gateway.?enabled.orValue(true)";

/// What the policy says about how servers are called and run.
pub(super) fn checks(scope: &Scope) -> Vec<Check> {
    let mut checks = access(scope);
    checks.extend(limits(scope));
    checks.extend(accounts(scope));
    checks
}

fn access(scope: &Scope) -> Vec<Check> {
    const MODE: &str = "variables.spec.?auth.?mode.orValue('session')";
    const WAS_MODE: &str = "variables.before.?auth.?mode.orValue('session')";
    const OBSERVES: &str = "variables.spec.?policy.?mode.orValue('') == 'observe'";
    const ALLOWS: &str = "variables.spec.?policy.?defaultDecision.orValue('') == 'allow'";
    let Some(access) = &scope.spec().access else {
        return Vec::new();
    };
    let title = scope.title();
    let mut checks = Vec::new();
    if access.require_gateway == Some(true) {
        checks.push(
            Check::server("MCP0401", "spec.gateway.enabled", ENABLED.to_owned())
                .unchanged(format!("!{WAS_ENABLED}"))
                .must(format!(
                    "must be true: {title} asks for a gateway in front of every server"
                )),
        );
    }
    if let Some(modes) = &access.allowed_auth_modes {
        let words: Vec<String> = modes.iter().map(ToString::to_string).collect();
        let fits = format!(
            "!{ENABLED} || {MODE} in {}",
            cel::list(words.iter().map(String::as_str))
        );
        checks.push(
            Check::server("MCP0403", "spec.auth.mode", fits)
                .unchanged(format!("{WAS_ENABLED} && {MODE} == {WAS_MODE}"))
                .value(MODE)
                .must(format!(
                    "must be a mode that {title} allows: {}",
                    some_of(&words)
                )),
        );
    }
    if access.forbid_observe == Some(true) {
        checks.push(
            Check::server("MCP0406", "spec.policy.mode", format!("!({OBSERVES})"))
                .unchanged("variables.before.?policy.?mode.orValue('') == 'observe'")
                .must(format!("must be allow-list: {title} forbids observe")),
        );
        checks.push(
            Check::server(
                "MCP0406",
                "spec.policy.defaultDecision",
                format!("!({ALLOWS})"),
            )
            .unchanged("variables.before.?policy.?defaultDecision.orValue('') == 'allow'")
            .must(format!(
                "must be deny: {title} forbids to allow what nobody granted"
            )),
        );
    }
    checks
}

fn limits(scope: &Scope) -> Vec<Check> {
    const REPLICAS: &str = "variables.spec.?replicas.orValue(1)";
    const TOOLS: &str = "variables.spec.?tools.orValue([]).size()";
    // A Scale without replicas says none.
    const SCALED: &str = "variables.spec.?replicas.orValue(0)";
    let Some(limits) = &scope.spec().limits else {
        return Vec::new();
    };
    let counted = [
        (
            SERVERS,
            "spec.replicas",
            REPLICAS,
            "variables.before.?replicas.orValue(1)",
            limits.replicas,
        ),
        (
            SCALES,
            "spec.replicas",
            SCALED,
            "variables.before.?replicas.orValue(0)",
            limits.replicas,
        ),
        (
            SERVERS,
            "spec.tools",
            TOOLS,
            "variables.before.?tools.orValue([]).size()",
            limits.tools_per_server,
        ),
    ];
    counted
        .into_iter()
        .filter_map(|(resource, field, count, before, most)| {
            let most = most?;
            Some(
                Check::new("MCP0316", resource, field, format!("{count} <= {most}"))
                    .unchanged(format!("{count} == {before}"))
                    .must(format!(
                        "must be at most {most}, the limit of {}",
                        scope.title()
                    )),
            )
        })
        .collect()
}

fn accounts(scope: &Scope) -> Option<Check> {
    const ACCOUNT: &str = "variables.spec.?serviceAccountName.orValue('')";
    let entries = scope
        .spec()
        .workload
        .as_ref()?
        .allowed_service_accounts
        .as_ref()?;
    let fits = format!(
        "{ACCOUNT} == '' || {ACCOUNT} in {}",
        cel::list(entries.iter().map(String::as_str))
    );
    Some(
        Check::server("MCP0318", "spec.serviceAccountName", fits)
            .unchanged(format!(
                "{ACCOUNT} == variables.before.?serviceAccountName.orValue('')"
            ))
            .value(ACCOUNT)
            .must(format!(
                "must be a service account that {} allows: {}",
                scope.title(),
                some_of(entries)
            )),
    )
}
