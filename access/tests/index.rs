//! An index finds the grants that speak of a caller: it changes no answer.

#![allow(missing_docs, reason = "a test")]

mod support;

use access::{Caller, GrantEntry, Identity, Index, Item, Judge, RuleEntry};
use api::{Effect, ServiceAccountRef, SideEffect, Subject, Trust};
use proptest::option::of;
use proptest::prelude::*;
use support::*;

const ITEMS: [Item<'static>; 3] = [
    Item::Tool("echo"),
    Item::Tool("write"),
    Item::Prompt("echo"),
];

fn account() -> impl Strategy<Value = ServiceAccountRef> {
    ("(a|b)", "(x|y)").prop_map(|(namespace, name)| ServiceAccountRef { namespace, name })
}

prop_compose! {
    fn subject()(
        human_id in of("(alice|bob)"), agent_id in of("(a|b)"), team_id in of("(core|ext)"),
        service_account in of(account()), group in of("(g|h)"), issuer in of("https://i"),
    ) -> Subject {
        Subject { human_id, agent_id, team_id, service_account, group, issuer }
    }
}

prop_compose! {
    fn identity()(
        human in of("(alice|bob)"), agent in of("(a|b)"), team in of("(core|ext)"), service_account in of(account()),
        groups in prop::collection::vec("(g|h)", 0..3), teams in prop::collection::vec("(core|ext)", 0..3),
        issuer in of("https://i"),
    ) -> Identity {
        Identity { human, agent, team, service_account, groups, teams, issuer }
    }
}

prop_compose! {
    fn grant()(
        subject in subject(), takes in prop::bool::weighted(0.2), high in any::<bool>(),
        rules in prop::collection::vec(("(echo|write|\\*)", prop::bool::weighted(0.2)), 0..2),
    ) -> GrantEntry {
        GrantEntry {
            name: String::new(),
            effect: if takes { Effect::Deny } else { Effect::Allow },
            subject,
            max_trust: if high { Trust::High } else { Trust::Low },
            side_effects: vec![SideEffect::Read, SideEffect::Write],
            rules: rules
                .into_iter()
                .map(|(name, deny)| RuleEntry { name, deny: deny || takes, required_trust: None })
                .collect(),
            prompts: vec!["e*".to_owned()],
            resources: Vec::new(),
            expires_at: None,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn with_an_index_every_verdict_is_the_same(
        grants in prop::collection::vec(grant(), 0..12), identity in identity(),
    ) {
        let mut bundle = World::new().bundle();
        bundle.grants = grants;
        for (i, grant) in bundle.grants.iter_mut().enumerate() {
            grant.name = format!("g{i:02}");
        }
        let caller = Caller { identity, session: None };
        let plain = Judge::new(&bundle, &caller, now());
        let index = Index::of(&bundle);
        let indexed = Judge::indexed(&bundle, &index, &caller, now());
        for item in ITEMS {
            prop_assert_eq!(plain.decide(&item), indexed.decide(&item), "{:?}", item);
            prop_assert_eq!(plain.allows(&item), indexed.allows(&item), "{:?}", item);
        }
    }
}
