//! What must hold for every set of grants.

#![allow(missing_docs, reason = "a test")]

mod support;

use access::{Item, Judge, Reason, decide};
use api::{Decision, Effect, MCPAccessGrant, SideEffect, Trust};
use proptest::prelude::*;
use support::*;

fn trust() -> impl Strategy<Value = Trust> {
    prop_oneof![Just(Trust::Low), Just(Trust::Medium), Just(Trust::High)]
}

fn pattern() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("*".to_owned()),
        "(echo|add|write|wipe|e\\*|w\\*|\\*e|other)"
    ]
}

fn decision(deny: bool) -> impl Strategy<Value = Decision> {
    prop_oneof![
        Just(Decision::Allow),
        Just(if deny {
            Decision::Deny
        } else {
            Decision::Allow
        })
    ]
}

#[derive(Clone, Debug)]
struct Sketch {
    deny: bool,
    human: String,
    trust: Trust,
    effects: Vec<SideEffect>,
    rules: Vec<(String, Decision, Option<Trust>)>,
    prompts: Vec<String>,
    resources: Vec<String>,
}

impl Sketch {
    fn draw(&self, grant: &mut MCPAccessGrant) {
        human(grant, &self.human);
        grant.spec.effect = if self.deny {
            Effect::Deny
        } else {
            Effect::Allow
        };
        grant.spec.max_trust = self.trust;
        grant.spec.allowed_side_effects.clone_from(&self.effects);
        grant.spec.prompts.clone_from(&self.prompts);
        grant.spec.resources.clone_from(&self.resources);
        for (name, decision, trust) in &self.rules {
            rule(grant, name, *decision, *trust);
        }
    }
}

/// Any grant; `deny` lets it take away as well.
fn sketch(deny: bool) -> impl Strategy<Value = Sketch> {
    let effects = prop::sample::subsequence(
        vec![SideEffect::Read, SideEffect::Write, SideEffect::Destructive],
        0..=3,
    );
    (
        if deny {
            prop::bool::weighted(0.2).boxed()
        } else {
            Just(false).boxed()
        },
        "(alice|alice|bob)",
        trust(),
        effects,
        prop::collection::vec((pattern(), decision(deny), prop::option::of(trust())), 0..3),
        prop::collection::vec(pattern(), 0..2),
        prop::collection::vec("(a://\\*|a://x|\\*)", 0..2),
    )
        .prop_map(
            |(deny, human, trust, effects, rules, prompts, resources)| Sketch {
                deny,
                human,
                trust,
                effects,
                rules,
                prompts,
                resources,
            },
        )
}

const ITEMS: [Item<'static>; 9] = [
    Item::Tool("echo"),
    Item::Tool("add"),
    Item::Tool("write"),
    Item::Tool("wipe"),
    Item::Tool("undeclared"),
    Item::Prompt("echo"),
    Item::Prompt("zzz"),
    Item::Resource("a://x"),
    Item::Resource("b://y"),
];

fn world(
    grants: &[Sketch],
    consent: Trust,
    most: Option<Trust>,
    default: bool,
    observe: bool,
) -> World {
    let mut world = World::new();
    world.session.spec.consented_trust = consent;
    world.settings.ceilings.max_trust = most;
    if default {
        world.settings.default_decision = Decision::Allow;
    }
    if observe {
        world.settings.mode = api::PolicyMode::Observe;
    }
    for (i, sketch) in grants.iter().enumerate() {
        world.allow(&format!("g{i}"), |grant| sketch.draw(grant));
    }
    world
}

proptest! {
    #[test]
    fn what_is_listed_is_exactly_what_can_be_called(
        grants in prop::collection::vec(sketch(true), 0..5), consent in trust(), most in prop::option::of(trust()),
        default in any::<bool>(), observe in any::<bool>(),
    ) {
        let world = world(&grants, consent, most, default, observe);
        let (bundle, caller) = (world.bundle(), world.caller());
        let judge = Judge::new(&bundle, &caller, now());
        for item in ITEMS {
            prop_assert_eq!(judge.allows(&item), decide(&bundle, &caller, &item, now()).allowed, "{:?}", item);
        }
    }

    #[test]
    fn a_grant_that_only_gives_never_removes_access(
        grants in prop::collection::vec(sketch(true), 0..4), extra in sketch(false), consent in trust(),
        default in any::<bool>(),
    ) {
        let before = world(&grants, consent, None, default, false);
        let mut more = grants.clone();
        more.push(extra);
        let after = world(&more, consent, None, default, false);
        for item in ITEMS {
            if decide(&before.bundle(), &before.caller(), &item, now()).allowed {
                prop_assert!(decide(&after.bundle(), &after.caller(), &item, now()).allowed, "{:?}", item);
            }
        }
    }

    #[test]
    fn no_call_gets_more_trust_than_grant_session_and_policy(
        grants in prop::collection::vec(sketch(true), 0..4), consent in trust(), most in trust(),
    ) {
        let world = world(&grants, consent, Some(most), false, false);
        let bundle = world.bundle();
        for item in ITEMS {
            let verdict = decide(&bundle, &world.caller(), &item, now());
            if verdict.allowed {
                let given = verdict.trust.unwrap();
                prop_assert!(given <= consent && given <= most);
                prop_assert_eq!(verdict.reason, Reason::Allowed);
                if let Item::Tool(name) = item {
                    prop_assert!(bundle.tool(name).unwrap().required_trust <= given);
                }
            } else {
                prop_assert!(!verdict.message.is_empty());
            }
        }
    }

    #[test]
    fn a_denial_to_the_caller_stands_whatever_else_is_granted(
        grants in prop::collection::vec(sketch(false), 0..4), default in any::<bool>(),
    ) {
        let mut world = world(&grants, Trust::High, None, default, false);
        world.allow("zz", |grant| grant.spec.effect = Effect::Deny);
        for item in ITEMS {
            prop_assert!(!decide(&world.bundle(), &world.caller(), &item, now()).allowed);
        }
    }

    #[test]
    fn a_denial_to_a_team_stands_whichever_team_the_session_names(
        grants in prop::collection::vec(sketch(false), 0..4), named in prop::option::of("(contractors|core)"),
        default in any::<bool>(),
    ) {
        let mut world = world(&grants, Trust::High, None, default, false);
        world.settings.teams = vec![api::TeamMapping {
            name: "contractors".to_owned(),
            groups: vec!["ext".to_owned()],
        }];
        world.session.spec.subject.team_id = named;
        world.session.metadata.annotations = Some([
            (api::names::REQUESTED_BY.to_owned(), "alice".to_owned()),
            (api::names::REQUESTED_BY_GROUPS.to_owned(), r#"["ext"]"#.to_owned()),
        ].into());
        world.allow("zz", |grant| {
            grant.spec.effect = Effect::Deny;
            grant.spec.subject.human_id = None;
            grant.spec.subject.team_id = Some("contractors".to_owned());
        });
        let (bundle, caller) = (world.bundle(), world.caller());
        for item in ITEMS {
            prop_assert!(!decide(&bundle, &caller, &item, now()).allowed, "{:?}", item);
            prop_assert!(!Judge::new(&bundle, &caller, now()).allows(&item), "{:?}", item);
        }
    }

    #[test]
    fn a_bundle_reads_back_as_it_was(grants in prop::collection::vec(sketch(true), 0..5)) {
        let bundle = world(&grants, Trust::Low, None, false, false).bundle();
        prop_assert_eq!(access::Bundle::from_json(&bundle.to_json()).unwrap(), bundle);
    }
}
