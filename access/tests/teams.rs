//! Teams come from the policies' mappings: they deny whatever the session says, and give only to sessions that name them.

#![allow(missing_docs, reason = "a test")]

mod support;

use access::{Item, Reason, decide, explain};
use api::{Decision, Effect};
use support::*;

/// A session of alice that does not name her team, stamped by `by` with the group that makes her a contractor.
fn contractor(by: &str) -> World {
    let mut world = World::new();
    world.settings.teams = vec![api::TeamMapping {
        name: "contractors".to_owned(),
        groups: vec!["ext".to_owned()],
    }];
    world.session.metadata.annotations = Some(
        [
            (api::names::REQUESTED_BY.to_owned(), by.to_owned()),
            (
                api::names::REQUESTED_BY_GROUPS.to_owned(),
                r#"["ext"]"#.to_owned(),
            ),
        ]
        .into(),
    );
    world
}

fn team(grant: &mut api::MCPAccessGrant) {
    grant.spec.subject.human_id = None;
    grant.spec.subject.team_id = Some("contractors".to_owned());
}

#[test]
fn a_denial_to_a_team_reaches_members_whose_session_leaves_the_team_out() {
    let told = |by: &str, deny: fn(&mut api::MCPAccessGrant)| {
        let mut world = contractor(by);
        world.allow("a", |_| {});
        world.allow("d", deny);
        let (bundle, caller) = (world.bundle(), world.caller());
        let explanation = explain(&bundle, &caller, &Item::Tool("echo"), now());
        assert_eq!(
            access::Judge::new(&bundle, &caller, now()).allows(&Item::Tool("echo")),
            explanation.verdict.allowed
        );
        (explanation.verdict.reason, explanation.steps[1].outcome)
    };
    let denied = (Reason::ToolDenied, access::Outcome::Denies);
    let whole = |g: &mut api::MCPAccessGrant| {
        team(g);
        g.spec.effect = Effect::Deny;
    };
    let by_rule = |g: &mut api::MCPAccessGrant| {
        team(g);
        rule(g, "echo", Decision::Deny, None);
    };
    assert_eq!(told("alice", whole), denied);
    assert_eq!(told("alice", by_rule), denied);
    // Groups of whoever made the session for her are not hers.
    assert_eq!(
        told("mallory", whole),
        (Reason::Allowed, access::Outcome::OtherSubject)
    );
}

#[test]
fn a_member_who_names_another_team_is_still_denied_with_hers() {
    let mut world = contractor("alice");
    world.session.spec.subject.team_id = Some("core".to_owned());
    world.allow("a", |_| {});
    world.allow("d", |g| {
        team(g);
        g.spec.effect = Effect::Deny;
    });
    let verdict = decide(&world.bundle(), &world.caller(), &Item::Tool("echo"), now());
    assert_eq!(verdict.reason, Reason::ToolDenied);
}

#[test]
fn a_team_gives_only_to_sessions_that_name_it() {
    let mut world = contractor("alice");
    world.allow("g", team);
    let reason =
        |world: &World| decide(&world.bundle(), &world.caller(), &Item::Tool("echo"), now()).reason;
    assert_eq!(reason(&world), Reason::NoMatchingGrant);
    world.session.spec.subject.team_id = Some("contractors".to_owned());
    assert_eq!(reason(&world), Reason::Allowed);
}

#[test]
fn a_bundle_without_teams_still_reads() {
    let text = contractor("alice").bundle().to_json();
    let old = text.replace(r#""teams":["contractors"],"#, "");
    assert_ne!(old, text);
    let read = access::Bundle::from_json(&old).unwrap();
    assert!(read.sessions[0].teams.is_empty());
}
