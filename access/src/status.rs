//! What the operator writes into the status of a grant.

use api::{Effect, MCPAccessGrant, MCPServer};
use jiff::Timestamp;

use crate::bundle::GrantEntry;
use crate::compile::{Absent, live_grant};
use crate::glob;
use crate::settings::Settings;

/// What a grant does now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantReport {
    /// Whether it decides anything.
    pub effective: bool,
    /// One word of a closed list, for the condition `Effective`.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
    /// How many declared tools it speaks of: gives to, or takes away.
    pub matched_tools: i32,
    /// Names of rules that match no declared tool.
    pub dead_rules: Vec<String>,
    /// When the answer changes by itself.
    pub expires_at: Option<Timestamp>,
}

/// What `grant` does on `server` at `now`.
pub fn grant_status(
    grant: &MCPAccessGrant,
    server: &MCPServer,
    settings: &Settings,
    now: Timestamp,
) -> GrantReport {
    let tools = &server.spec.tools;
    let dead_rules: Vec<String> = grant
        .spec
        .tool_rules
        .iter()
        .filter(|rule| {
            !tools
                .iter()
                .any(|tool| glob::matches(&rule.name, &tool.name))
        })
        .map(|rule| rule.name.clone())
        .collect();
    let report = |effective, reason, message: String, matched_tools, expires_at| GrantReport {
        effective,
        reason,
        message,
        matched_tools,
        dead_rules: dead_rules.clone(),
        expires_at,
    };
    let entry = match live_grant(settings, grant, now) {
        Ok(entry) => entry,
        Err(absent) => {
            let (reason, message) = absence(absent);
            return report(false, reason, message.to_owned(), 0, None);
        }
    };
    let matched = tools.iter().filter(|tool| speaks_of(&entry, tool)).count();
    let matched = i32::try_from(matched).unwrap_or(i32::MAX);
    let other = !entry.prompts.is_empty() || !entry.resources.is_empty();
    let expiry = entry.expires_at;
    match entry.effect {
        Effect::Deny if grant.metadata.deletion_timestamp.is_some() => report(
            true,
            "Terminating",
            "is being deleted; its denials hold until it is gone".to_owned(),
            matched,
            expiry,
        ),
        Effect::Deny => report(
            true,
            "Denies",
            format!("denies {matched} declared tools"),
            matched,
            expiry,
        ),
        Effect::Allow if entry.side_effects.is_empty() => report(
            false,
            "NoSideEffects",
            "allowedSideEffects is empty, so nothing can be called".to_owned(),
            0,
            expiry,
        ),
        Effect::Allow if matched == 0 && !other && !entry.rules.iter().any(|rule| rule.deny) => {
            report(
                false,
                "MatchesNothing",
                "covers no declared tool, no prompt and no resource".to_owned(),
                0,
                expiry,
            )
        }
        Effect::Allow => report(
            true,
            "Grants",
            format!("covers {matched} declared tools"),
            matched,
            expiry,
        ),
    }
}

fn absence(absent: Absent) -> (&'static str, &'static str) {
    match absent {
        Absent::OtherServer => ("OtherServer", "is for another server"),
        Absent::NoSubject => (
            "NoSubject",
            "the subject must name a humanID, teamID, serviceAccount or group",
        ),
        Absent::Disabled => ("Disabled", "is disabled"),
        Absent::Expired => (
            "Expired",
            "has expired, by itself or by the policy's maxGrantLifetime",
        ),
        Absent::Terminating => ("Terminating", "is being deleted"),
    }
}

/// Whether the grant covers the tool (Allow: side effect and trust included, with a session of enough trust) or
/// denies it (Deny).
fn speaks_of(entry: &GrantEntry, tool: &api::Tool) -> bool {
    let fits = |deny: bool| {
        entry
            .rules
            .iter()
            .filter(move |r| r.deny == deny)
            .filter(|r| glob::matches(&r.name, &tool.name))
    };
    let denied = fits(true).next().is_some();
    if entry.effect == Effect::Deny {
        return denied
            || (entry.rules.is_empty() && entry.prompts.is_empty() && entry.resources.is_empty());
    }
    let all_others = entry.rules.iter().all(|r| r.deny);
    let rule_trust = fits(false)
        .map(|r| r.required_trust.unwrap_or_default())
        .max();
    let Some(rule_trust) = rule_trust.or(all_others.then(Default::default)) else {
        return false;
    };
    let needed = rule_trust.max(tool.required_trust.unwrap_or_default());
    !denied
        && entry
            .side_effects
            .contains(&tool.side_effect.unwrap_or_default())
        && needed <= entry.max_trust
}
