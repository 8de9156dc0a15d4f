//! The grants of a bundle by whom they name, so that a decision looks at a few grants and not at all of them.
//!
//! Made once for each bundle by the gateway. It only narrows: [`Judge`](crate::Judge) asks every candidate the same
//! question as it would without an index, so the answers are the same.

use std::collections::HashMap;

use crate::bundle::{Bundle, GrantEntry};
use crate::caller::Identity;

/// Positions in the bundle's list of grants, in its order.
type Positions = Vec<u32>;

/// The grants of one bundle, each under one of the names that its subject asks for.
#[derive(Debug, Default)]
pub struct Index {
    humans: HashMap<String, Positions>,
    /// By the name alone: the namespace is compared later, as everything else.
    service_accounts: HashMap<String, Positions>,
    teams: HashMap<String, Positions>,
    groups: HashMap<String, Positions>,
}

impl Index {
    /// The index of a bundle, good as long as its grants do not change.
    pub fn of(bundle: &Bundle) -> Self {
        let mut index = Self::default();
        for (position, grant) in (0..).zip(&bundle.grants) {
            let subject = &grant.subject;
            let account = subject.service_account.as_ref().map(|a| &a.name);
            // All that a subject names must match, so any one of its names finds it. The one that fewest share is best.
            let (map, name) = match (&subject.human_id, account, &subject.team_id, &subject.group) {
                (Some(name), ..) => (&mut index.humans, name),
                (None, Some(name), ..) => (&mut index.service_accounts, name),
                (None, None, Some(name), _) => (&mut index.teams, name),
                (None, None, None, Some(name)) => (&mut index.groups, name),
                // It speaks of nobody.
                (None, None, None, None) => continue,
            };
            map.entry(name.clone()).or_default().push(position);
        }
        index
    }

    /// Every grant that could speak of `identity` or deny it something, in the bundle's order.
    pub(crate) fn candidates<'b>(
        &self,
        bundle: &'b Bundle,
        identity: &Identity,
    ) -> impl Iterator<Item = &'b GrantEntry> {
        let account = identity.service_account.as_ref().map(|a| &a.name);
        let human = identity.human.iter().filter_map(|n| self.humans.get(n));
        let account = account.and_then(|n| self.service_accounts.get(n));
        let teams = identity.team.iter().chain(&identity.teams);
        let teams = teams.filter_map(|n| self.teams.get(n));
        let groups = identity.groups.iter().filter_map(|n| self.groups.get(n));
        let found = human.chain(account).chain(teams).chain(groups);
        let mut positions: Positions = found.flatten().copied().collect();
        positions.sort_unstable();
        // A team or a group may be named twice.
        positions.dedup();
        positions
            .into_iter()
            .filter_map(|position| bundle.grants.get(position as usize))
    }
}
