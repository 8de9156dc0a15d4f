//! Ceilings of grants and sessions in CEL.
//!
//! CEL has no clock. At creation the API server has just written `creationTimestamp`, whatever the requester wrote
//! there, so a lifetime can be measured then; a later extension is the webhook's.

use std::time::Duration;

use api::{AccessPolicy, Trust, duration};

use super::cel;
use super::check::{Check, GRANTS, SESSIONS};
use super::scope::Scope;

/// More than the rules allow the clocks of requesters to be ahead, so that the floor is never the stricter one.
const SLACK: Duration = Duration::from_secs(120);
/// The longest duration that CEL can hold, about.
const LONGEST: Duration = Duration::from_secs(9_000_000_000);
/// What CEL surely reads as a time. The schema has refused what is none; anything unusual is left to the webhook.
const TIME: &str = "^[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?\
                    (Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$";
/// As text: the schema calls it a time, but objects come to CEL as they are stored.
const ENDS: &str = "string(dyn(variables.spec).?expiresAt.orValue(''))";
const DENIES: &str = "variables.spec.?effect.orValue('Allow') == 'Deny'";

/// Whose sessions may be made, and what the policy says about grants and sessions.
pub(super) fn checks(scope: &Scope) -> Vec<Check> {
    let mut checks = vec![team(scope)];
    let Some(access) = &scope.spec().access else {
        return checks;
    };
    checks.extend(access.max_trust.map(|ceiling| trust(scope, ceiling)));
    checks.extend(reason(scope, access));
    let read = |text: &Option<String>| {
        let text = text.as_ref()?;
        let most = duration::parse(text).ok().filter(|most| *most <= LONGEST)?;
        Some((text.clone(), most))
    };
    if let Some((text, most)) = read(&access.max_grant_lifetime) {
        let fits = format!("{DENIES} || ({ENDS} != '' && ({}))", lasts(most));
        let must = format!(
            "must be given, and at most {text} from now, the limit of {}",
            scope.title()
        );
        let check = Check::new("MCP0605", GRANTS, "spec.expiresAt", fits).unchanged("true");
        checks.push(check.value(ENDS).must(must).by_policy());
    }
    if let Some((text, most)) = read(&access.max_session_lifetime) {
        let must = format!(
            "must be at most {text} from now, the limit of {}",
            scope.title()
        );
        let check = Check::new("MCP0703", SESSIONS, "spec.expiresAt", lasts(most));
        checks.push(check.unchanged("true").value(ENDS).must(must));
    }
    checks
}

fn lasts(most: Duration) -> String {
    let seconds = (most + SLACK).as_secs();
    let created = "string(dyn(object.metadata).?creationTimestamp.orValue(''))";
    format!(
        "!{ENDS}.matches('{TIME}') || !{created}.matches('{TIME}') \
         || timestamp({ENDS}) <= timestamp({created}) + duration('{seconds}s')"
    )
}

/// A team is the requester's only if a policy maps one of his groups to it. The static policies hold the rest of whose
/// a session may be: they do not know the mappings.
fn team(scope: &Scope) -> Check {
    const TEAM: &str = "variables.spec.?subject.?teamID.orValue('')";
    let mapped: Vec<String> = scope
        .everybody()
        .filter_map(|spec| spec.access.as_ref()?.teams.as_ref())
        .flatten()
        .map(|mapping| {
            let groups = cel::list(mapping.groups.iter().map(String::as_str));
            let name = cel::text(&mapping.name);
            format!("({TEAM} == {name} && request.userInfo.?groups.orValue([]).exists(g, g in {groups}))")
        })
        .collect();
    let mut fits = vec![format!("{TEAM} == ''")];
    fits.extend(mapped);
    fits.push(
        "authorizer.group('kubectl-mcp.dev').resource('mcpagentsessions').namespace(request.namespace)\
         .name(object.metadata.?name.orValue('')).check('impersonate').allowed()"
            .to_owned(),
    );
    Check::new("MCP0701", SESSIONS, "spec.subject.teamID", fits.join(" || "))
        .unchanged("true")
        .value(TEAM)
        .must("must be a team that a policy maps to one of the requester's groups; others need the verb impersonate on mcpagentsessions")
}

fn trust(scope: &Scope, ceiling: Trust) -> Check {
    const TRUST: &str = "variables.spec.?maxTrust.orValue('low')";
    let within = [Trust::Low, Trust::Medium, Trust::High]
        .into_iter()
        .filter(|trust| *trust <= ceiling)
        .map(Trust::as_str);
    let fits = format!("{DENIES} || {TRUST} in {}", cel::list(within));
    Check::new("MCP0606", GRANTS, "spec.maxTrust", fits)
        .unchanged(format!(
            "variables.before.?effect.orValue('Allow') != 'Deny' \
             && {TRUST} == variables.before.?maxTrust.orValue('low')"
        ))
        .value(TRUST)
        .must(format!(
            "must be at most {ceiling}, the ceiling of {}",
            scope.title()
        ))
}

fn reason(scope: &Scope, access: &AccessPolicy) -> Option<Check> {
    let given = |root: &str| format!(r"variables.{root}.?reason.orValue('').matches('\\S')");
    (access.require_reason == Some(true)).then(|| {
        Check::new("MCP0609", GRANTS, "spec.reason", given("spec"))
            .unchanged(format!("!{}", given("before")))
            .must(format!("must be given: {} asks why", scope.title()))
    })
}
