//! Every reason of a decision, one row each; and what compile leaves out, keeps and cuts.

#![allow(missing_docs, reason = "a test")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use access::{Caller, Item, Reason, authenticate, decide, explain, grant_status};
use api::{Decision, Effect, PolicyMode, SideEffect, Trust};
use support::*;

/// What a caller with one grant made by `change` is told about the tool `echo` (low, read).
fn told(change: impl FnOnce(&mut World)) -> (bool, Reason) {
    let mut world = World::new();
    change(&mut world);
    let verdict = decide(&world.bundle(), &world.caller(), &Item::Tool("echo"), now());
    (verdict.allowed, verdict.reason)
}

#[test]
fn a_grant_that_covers_the_tool_allows_it() {
    assert_eq!(told(|w| w.allow("g", |_| {})), (true, Reason::Allowed));
    assert_eq!(
        told(|w| w.allow("g", |g| rule(g, "echo", Decision::Allow, None))),
        (true, Reason::Allowed)
    );
    assert_eq!(
        told(|w| w.allow("g", |g| rule(g, "e*", Decision::Allow, None))),
        (true, Reason::Allowed)
    );
    assert_eq!(
        told(|w| w.allow("g", |g| rule(g, "other", Decision::Deny, None))),
        (true, Reason::Allowed)
    );
}

#[test]
fn without_a_grant_the_default_decides() {
    assert_eq!(told(|_| {}), (false, Reason::NoMatchingGrant));
    assert_eq!(
        told(|w| w.settings.default_decision = Decision::Allow),
        (true, Reason::AllowedByDefault)
    );
    assert_eq!(
        told(|w| w.allow("g", |g| human(g, "bob"))),
        (false, Reason::NoMatchingGrant)
    );
}

#[test]
fn a_grant_of_other_tools_does_not_cover_this_one() {
    assert_eq!(
        told(|w| w.allow("g", |g| rule(g, "add", Decision::Allow, None))),
        (false, Reason::ToolNotGranted)
    );
}

#[test]
fn a_denial_wins_wherever_it_stands() {
    assert_eq!(
        told(|w| {
            w.allow("a", |_| {});
            w.allow("b", |g| rule(g, "echo", Decision::Deny, None));
        }),
        (false, Reason::ToolDenied)
    );
    assert_eq!(
        told(|w| {
            w.allow("a", |_| {});
            w.allow("b", |g| g.spec.effect = Effect::Deny);
        }),
        (false, Reason::ToolDenied)
    );
    let named = |name: &'static str| {
        told(move |w| {
            w.allow("a", |_| {});
            w.allow("b", |g| {
                g.spec.effect = Effect::Deny;
                rule(g, name, Decision::Allow, None);
            });
        })
    };
    assert_eq!(named("echo"), (false, Reason::ToolDenied));
    assert_eq!(named("add"), (true, Reason::Allowed));
}

#[test]
fn an_undeclared_tool_has_no_known_side_effect() {
    let undeclared = |decision: Decision, effects: &[SideEffect]| {
        let mut world = World::new();
        world.settings.undeclared_tools = decision;
        world.allow("g", |g| g.spec.allowed_side_effects = effects.to_vec());
        decide(
            &world.bundle(),
            &world.caller(),
            &Item::Tool("unheard-of"),
            now(),
        )
        .reason
    };
    assert_eq!(
        undeclared(Decision::Deny, &[SideEffect::Destructive]),
        Reason::ToolSideEffectUnknown
    );
    assert_eq!(
        undeclared(Decision::Allow, &[SideEffect::Read]),
        Reason::SideEffectNotAllowed
    );
    assert_eq!(
        undeclared(Decision::Allow, &[SideEffect::Destructive]),
        Reason::Allowed
    );
}

#[test]
fn the_side_effect_must_be_allowed() {
    let mut world = World::new();
    world.allow("g", |_| {});
    let verdict = decide(
        &world.bundle(),
        &world.caller(),
        &Item::Tool("write"),
        now(),
    );
    assert_eq!(verdict.reason, Reason::SideEffectNotAllowed);
    assert_eq!(
        verdict.hint.as_deref(),
        Some(
            "kubectl mcp grant create --server weather --subject human:alice --tool write --side-effect write --trust medium -n team-a"
        )
    );
}

#[test]
fn trust_is_the_lowest_of_grant_session_and_policy() {
    let told = |grant: Trust, session: Trust, policy: Option<Trust>, rule_trust: Option<Trust>| {
        let mut world = World::new();
        world.settings.ceilings.max_trust = policy;
        world.session.spec.consented_trust = session;
        world.allow("g", |g| {
            g.spec.max_trust = grant;
            g.spec.allowed_side_effects = vec![SideEffect::Write];
            rule(g, "write", Decision::Allow, rule_trust);
        });
        decide(
            &world.bundle(),
            &world.caller(),
            &Item::Tool("write"),
            now(),
        )
        .reason
    };
    // The tool `write` needs medium.
    assert_eq!(
        told(Trust::Medium, Trust::Medium, None, None),
        Reason::Allowed
    );
    assert_eq!(
        told(Trust::Low, Trust::High, None, None),
        Reason::TrustTooLow
    );
    assert_eq!(
        told(Trust::High, Trust::Low, None, None),
        Reason::TrustTooLow
    );
    assert_eq!(
        told(Trust::High, Trust::High, Some(Trust::Low), None),
        Reason::TrustTooLow
    );
    assert_eq!(
        told(Trust::Medium, Trust::High, None, Some(Trust::High)),
        Reason::TrustTooLow
    );
    assert_eq!(
        told(
            Trust::High,
            Trust::High,
            Some(Trust::High),
            Some(Trust::High)
        ),
        Reason::Allowed
    );
}

#[test]
fn two_grants_are_never_combined() {
    let mut world = World::new();
    world.session.spec.consented_trust = Trust::High;
    world.allow("effect", |g| {
        g.spec.allowed_side_effects = vec![SideEffect::Write];
    });
    world.allow("trust", |g| g.spec.max_trust = Trust::High);
    let verdict = decide(
        &world.bundle(),
        &world.caller(),
        &Item::Tool("write"),
        now(),
    );
    assert_eq!(
        (verdict.allowed, verdict.reason),
        (false, Reason::TrustTooLow)
    );
    assert_eq!(verdict.grant.as_deref(), Some("effect"));
}

#[test]
fn prompts_and_resources_are_granted_only_by_name() {
    let mut world = World::new();
    world.allow("g", |g| {
        g.spec.prompts = vec!["greet*".to_owned()];
        g.spec.resources = vec!["file:///public/*".to_owned()];
    });
    let reason = |item| decide(&world.bundle(), &world.caller(), &item, now()).reason;
    assert_eq!(reason(Item::Prompt("greeting")), Reason::Allowed);
    assert_eq!(reason(Item::Prompt("other")), Reason::PromptNotGranted);
    assert_eq!(reason(Item::Resource("file:///public/a")), Reason::Allowed);
    assert_eq!(
        reason(Item::Resource("file:///secret/a")),
        Reason::ResourceNotGranted
    );
    assert_eq!(
        reason(Item::ResourceTemplate("file:///{area}/{name}")),
        Reason::Allowed
    );
    assert_eq!(
        reason(Item::ResourceTemplate("demo://{name}")),
        Reason::ResourceNotGranted
    );
}

#[test]
fn prompts_and_resources_are_denied_by_name() {
    let mut world = World::new();
    world.allow("a", |g| {
        g.spec.prompts = vec!["*".to_owned()];
        g.spec.resources = vec!["*".to_owned()];
    });
    world.allow("d", |g| {
        g.spec.effect = Effect::Deny;
        g.spec.prompts = vec!["greet".to_owned()];
        g.spec.resources = vec!["file:///secret/*".to_owned()];
    });
    let reason = |item| decide(&world.bundle(), &world.caller(), &item, now()).reason;
    assert_eq!(reason(Item::Prompt("greet")), Reason::PromptDenied);
    assert_eq!(reason(Item::Prompt("other")), Reason::Allowed);
    assert_eq!(
        reason(Item::Resource("file:///secret/x")),
        Reason::ResourceDenied
    );
    assert_eq!(
        reason(Item::ResourceTemplate("file:///secret/{x}")),
        Reason::ResourceDenied
    );
    assert_eq!(
        reason(Item::ResourceTemplate("file:///{x}")),
        Reason::Allowed
    );
    assert_eq!(reason(Item::Tool("echo")), Reason::Allowed);
}

#[test]
fn observe_lets_pass_and_says_what_it_would_have_said() {
    let mut world = World::new();
    world.settings.mode = PolicyMode::Observe;
    let verdict = decide(&world.bundle(), &world.caller(), &Item::Tool("echo"), now());
    assert!(verdict.allowed && verdict.would_deny);
    assert_eq!(verdict.reason, Reason::NoMatchingGrant);
    world.settings.session_required = true;
    let verdict = decide(
        &world.bundle(),
        &Caller::anonymous(),
        &Item::Tool("echo"),
        now(),
    );
    assert_eq!(
        (verdict.allowed, verdict.reason),
        (false, Reason::MissingSession)
    );
}

#[test]
fn a_session_ends_by_revocation_and_by_time_and_never_falls_back() {
    let mut world = World::new();
    world.allow("g", |_| {});
    let hash = world.session.spec.token_hash.clone();
    assert!(authenticate(&world.bundle(), &hash, now()).is_ok());
    assert_eq!(
        authenticate(&world.bundle(), &"0".repeat(64), now()),
        Err(Reason::InvalidToken)
    );
    let later = now() + jiff::SignedDuration::from_hours(2);
    let bundle = world.bundle();
    assert_eq!(
        authenticate(&bundle, &hash, later),
        Err(Reason::SessionExpired)
    );
    assert_eq!(
        decide(&bundle, &world.caller(), &Item::Tool("echo"), later).reason,
        Reason::SessionExpired
    );
    world.session.spec.revoked = true;
    assert_eq!(
        authenticate(&world.bundle(), &hash, now()),
        Err(Reason::SessionRevoked)
    );
}

#[test]
fn the_oldest_session_of_one_hash_counts() {
    let world = World::new();
    let mut copy = world.session.clone();
    copy.metadata.name = Some("a-copy".to_owned());
    copy.metadata.creation_timestamp = Some(time(now() + jiff::SignedDuration::from_secs(5)));
    copy.spec.subject.human_id = Some("mallory".to_owned());
    for sessions in [
        [copy.clone(), world.session.clone()],
        [world.session.clone(), copy],
    ] {
        let sessions = sessions.map(Arc::new);
        let bundle = access::compile(&world.settings, &world.server, &[], &sessions, now());
        assert_eq!(bundle.sessions.len(), 1);
        assert_eq!(
            bundle.sessions[0].subject.human_id.as_deref(),
            Some("alice")
        );
    }
}

#[test]
fn groups_count_only_if_the_subject_created_the_session() {
    let mut world = World::new();
    world.allow("g", |g| {
        g.spec.subject.human_id = None;
        g.spec.subject.group = Some("devs".to_owned());
    });
    let stamp = |by: &str| {
        [
            (api::names::REQUESTED_BY.to_owned(), by.to_owned()),
            (
                api::names::REQUESTED_BY_GROUPS.to_owned(),
                r#"["devs"]"#.to_owned(),
            ),
        ]
    };
    let reason =
        |world: &World| decide(&world.bundle(), &world.caller(), &Item::Tool("echo"), now()).reason;
    assert_eq!(reason(&world), Reason::NoMatchingGrant);
    world.session.metadata.annotations = Some(stamp("alice").into());
    assert_eq!(reason(&world), Reason::Allowed);
    world.session.metadata.annotations = Some(stamp("mallory").into());
    assert_eq!(reason(&world), Reason::NoMatchingGrant);
}

#[test]
fn an_issuer_is_never_taken_for_another() {
    assert_eq!(
        told(|w| w.allow("g", |g| g.spec.subject.issuer =
            Some("https://idp.example.com".to_owned()))),
        (false, Reason::NoMatchingGrant)
    );
}

#[test]
fn an_agent_alone_is_nobody() {
    assert_eq!(
        told(|w| {
            w.session.spec.subject.agent_id = Some("bot".to_owned());
            w.allow("g", |g| {
                g.spec.subject.human_id = None;
                g.spec.subject.agent_id = Some("bot".to_owned());
            });
        }),
        (false, Reason::NoMatchingGrant)
    );
}

#[test]
fn anonymous_callers_are_granted_through_their_group() {
    let mut world = World::new();
    let anonymous = Caller::anonymous();
    assert!(!decide(&world.bundle(), &anonymous, &Item::Tool("echo"), now()).allowed);
    world.allow("g", |g| {
        g.spec.subject.human_id = None;
        g.spec.subject.group = Some("system:unauthenticated".to_owned());
    });
    assert!(decide(&world.bundle(), &anonymous, &Item::Tool("echo"), now()).allowed);
}

#[test]
fn a_grant_that_is_off_over_or_for_another_server_takes_no_part() {
    let past = now() - jiff::SignedDuration::from_secs(1);
    assert_eq!(
        told(|w| w.allow("g", |g| g.spec.disabled = true)).1,
        Reason::NoMatchingGrant
    );
    assert_eq!(
        told(|w| w.allow("g", |g| g.spec.expires_at = Some(time(past)))).1,
        Reason::NoMatchingGrant
    );
    assert_eq!(
        told(|w| w.allow("g", |g| g.spec.server_ref.name = "other".into())).1,
        Reason::NoMatchingGrant
    );
    assert_eq!(
        told(|w| w.allow("g", |g| g.metadata.namespace = Some("other".into()))).1,
        Reason::NoMatchingGrant
    );
}

#[test]
fn a_terminating_grant_gives_nothing_and_still_denies() {
    let gone = |g: &mut api::MCPAccessGrant| g.metadata.deletion_timestamp = Some(time(now()));
    assert_eq!(told(|w| w.allow("g", gone)).1, Reason::NoMatchingGrant);
    assert_eq!(
        told(|w| {
            w.allow("a", |_| {});
            w.allow("d", |g| {
                gone(g);
                rule(g, "echo", Decision::Deny, None);
                rule(g, "add", Decision::Allow, None);
            });
        })
        .1,
        Reason::ToolDenied
    );
}

#[test]
fn the_lifetime_ceiling_ends_grants_that_give_and_no_denial() {
    let hour = Some(Duration::from_secs(3600));
    let old = |g: &mut api::MCPAccessGrant| {
        g.metadata.creation_timestamp = Some(time(now() - jiff::SignedDuration::from_hours(2)));
    };
    assert_eq!(
        told(|w| {
            w.settings.ceilings.max_grant_lifetime = hour;
            w.allow("g", old);
        })
        .1,
        Reason::NoMatchingGrant
    );
    assert_eq!(
        told(|w| {
            w.settings.ceilings.max_grant_lifetime = hour;
            w.allow("a", |_| {});
            w.allow("d", |g| {
                old(g);
                g.spec.effect = Effect::Deny;
            });
        })
        .1,
        Reason::ToolDenied
    );
}

#[test]
fn the_bundle_is_the_same_whatever_the_order_and_reads_back() {
    let mut world = World::new();
    world.allow("b", |g| rule(g, "x*", Decision::Allow, Some(Trust::High)));
    world.allow("a", |g| rule(g, "echo", Decision::Deny, None));
    let bundle = world.bundle();
    world.grants.reverse();
    world.server.spec.tools.reverse();
    assert_eq!(world.bundle().to_json(), bundle.to_json());
    assert_eq!(
        access::Bundle::from_json(&bundle.to_json()).unwrap(),
        bundle
    );
    assert_eq!(
        bundle.revision(),
        bundle.clone().with_sequence(7).revision()
    );
    assert!(!bundle.to_json().contains("mcps_"), "no token in a bundle");
}

#[test]
fn a_bundle_of_a_later_form_is_refused() {
    let text = World::new()
        .bundle()
        .to_json()
        .replace("\"schema\":1", "\"schema\":2");
    let error = access::Bundle::from_json(&text).unwrap_err().to_string();
    assert!(error.contains("schema 2"), "{error}");
}

#[test]
fn the_command_of_a_denial_quotes_what_the_caller_sent() {
    let world = World::new();
    let hint =
        |name: &str| decide(&world.bundle(), &world.caller(), &Item::Prompt(name), now()).hint;
    assert!(
        hint("it's; rm -rf ~")
            .unwrap()
            .contains(r"--prompt 'it'\''s; rm -rf ~' "),
        "quoted"
    );
    assert_eq!(hint("two\nlines"), None);
    assert_eq!(hint("*"), None);
}

#[test]
fn explain_says_what_each_grant_does() {
    use access::Outcome;
    let mut world = World::new();
    world.allow("1-bob", |g| human(g, "bob"));
    world.allow("2-other", |g| rule(g, "add", Decision::Allow, None));
    world.allow("3-covers", |_| {});
    let bundle = world.bundle();
    let explanation = explain(&bundle, &world.caller(), &Item::Tool("echo"), now());
    let outcomes: Vec<_> = explanation.steps.iter().map(|s| s.outcome).collect();
    assert_eq!(
        outcomes,
        [Outcome::OtherSubject, Outcome::NotNamed, Outcome::Covers]
    );
    assert_eq!(
        explanation.verdict,
        decide(&bundle, &world.caller(), &Item::Tool("echo"), now())
    );
}

#[test]
fn the_status_of_a_grant_counts_tools_and_names_dead_rules() {
    let mut world = World::new();
    world.allow("g", |g| {
        rule(g, "echo", Decision::Allow, None);
        rule(g, "gone_*", Decision::Allow, None);
    });
    let report =
        |world: &World| grant_status(&world.grants[0], &world.server, &world.settings, now());
    let first = report(&world);
    assert_eq!(
        (first.effective, first.matched_tools, first.dead_rules),
        (true, 1, vec!["gone_*".to_owned()])
    );
    Arc::make_mut(&mut world.grants[0])
        .spec
        .allowed_side_effects
        .clear();
    assert_eq!(report(&world).reason, "NoSideEffects");
    Arc::make_mut(&mut world.grants[0]).spec.disabled = true;
    assert_eq!(
        (report(&world).effective, report(&world).reason),
        (false, "Disabled")
    );
}

#[test]
fn every_reason_has_its_own_word() {
    let words: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|r| r.as_str()).collect();
    assert_eq!(words.len(), Reason::ALL.len());
}
