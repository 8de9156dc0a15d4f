//! The decision about one item.
//!
//! **Allowed if and only if one live grant of the caller alone covers the item, its side effect and the trust it
//! needs, and no matching grant denies it.** Needed is the higher of the tool's and the rule's `requiredTrust`,
//! available the lowest of the grant's, the session's and the policy's. Nothing is combined from several grants.
//! `defaultDecision: allow` works like one more grant, of everything to everybody.

use api::{Decision, Effect, PolicyMode, SideEffect, Trust};
use jiff::Timestamp;

use crate::bundle::{Bundle, GrantEntry};
use crate::caller::Caller;
use crate::glob;
use crate::hint;
use crate::index::Index;
use crate::reason::Reason;

/// What a message names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A tool by name.
    Tool(&'a str),
    /// A prompt by name.
    Prompt(&'a str),
    /// A resource by URI.
    Resource(&'a str),
    /// A URI template, in a list: it is allowed if some expansion could be. Each expanded URI is judged by itself.
    ResourceTemplate(&'a str),
}

impl<'a> Item<'a> {
    /// `tool`, `prompt` or `resource`.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Tool(_) => "tool",
            Self::Prompt(_) => "prompt",
            Self::Resource(_) | Self::ResourceTemplate(_) => "resource",
        }
    }

    /// The name or URI.
    pub fn name(self) -> &'a str {
        match self {
            Self::Tool(name)
            | Self::Prompt(name)
            | Self::Resource(name)
            | Self::ResourceTemplate(name) => name,
        }
    }
}

/// A decision, and how it came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the message may pass.
    pub allowed: bool,
    /// It passes only because the server's policy is `observe`; `reason` says what would have stopped it.
    pub would_deny: bool,
    /// Why.
    pub reason: Reason,
    /// The grant that decided, if one did.
    pub grant: Option<String>,
    /// The caller's session, if it has one.
    pub session: Option<String>,
    /// The trust that the caller has for this item. Of a denial: as far as it was looked at.
    pub trust: Option<Trust>,
    /// A sentence for the caller. Empty when allowed.
    pub message: String,
    /// The command that would change the answer, where there is one.
    pub hint: Option<String>,
}

/// Decides about one item. To decide about many for one caller, make a [`Judge`].
pub fn decide(bundle: &Bundle, caller: &Caller, item: &Item<'_>, now: Timestamp) -> Verdict {
    Judge::new(bundle, caller, now).decide(item)
}

/// The grants that speak of one caller at one time.
#[derive(Debug)]
pub struct Judge<'a> {
    pub(crate) bundle: &'a Bundle,
    pub(crate) caller: &'a Caller,
    pub(crate) grants: Vec<&'a GrantEntry>,
    /// The grants whose denials speak of the caller: those above, and those to its teams.
    denying: Vec<&'a GrantEntry>,
    now: Timestamp,
}

/// What an item needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needs {
    /// Trust, before rules.
    pub(crate) trust: Trust,
    /// Side effect; `None` of a tool that is not declared and must be.
    pub(crate) side_effect: Option<SideEffect>,
}

/// How far one grant goes towards an item. Ordered: later is further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// It does not name the item, or denies it.
    NotGranted,
    /// It names it, but the tool is not declared.
    Unknown,
    /// It does not allow the side effect.
    SideEffect,
    /// The trust does not suffice.
    Trust { needed: Trust, available: Trust },
    /// It covers the item.
    Covers { available: Trust },
}

impl<'a> Judge<'a> {
    /// Picks the live grants that speak of `caller`.
    pub fn new(bundle: &'a Bundle, caller: &'a Caller, now: Timestamp) -> Self {
        Self::among(bundle.grants.iter(), bundle, caller, now)
    }

    /// The same, where many callers are judged by one bundle. `index` must be [of](Index::of) this bundle.
    pub fn indexed(bundle: &'a Bundle, index: &Index, caller: &'a Caller, now: Timestamp) -> Self {
        let candidates = index.candidates(bundle, &caller.identity);
        Self::among(candidates, bundle, caller, now)
    }

    fn among(
        candidates: impl Iterator<Item = &'a GrantEntry>,
        bundle: &'a Bundle,
        caller: &'a Caller,
        now: Timestamp,
    ) -> Self {
        let denying: Vec<_> = candidates
            .filter(|grant| grant.expires_at.is_none_or(|expiry| expiry > now))
            .filter(|grant| caller.identity.is_denied_as(&grant.subject))
            .collect();
        let grants = denying
            .iter()
            .copied()
            .filter(|grant| caller.identity.is(&grant.subject))
            .collect();
        Self {
            bundle,
            caller,
            grants,
            denying,
            now,
        }
    }

    /// Decides about one item.
    pub fn decide(&self, item: &Item<'_>) -> Verdict {
        let mut verdict = self.strict(item);
        if !verdict.allowed
            && self.bundle.mode == PolicyMode::Observe
            && !self.session_stops(verdict.reason)
        {
            verdict.allowed = true;
            verdict.would_deny = true;
        }
        verdict
    }

    /// Whether an item is allowed, without the words.
    pub fn allows(&self, item: &Item<'_>) -> bool {
        self.bundle.mode == PolicyMode::Observe && self.session_fault().is_none()
            || self.outcome(item).0.is_ok()
    }

    /// The decision before `observe`.
    fn strict(&self, item: &Item<'_>) -> Verdict {
        let (outcome, grant) = self.outcome(item);
        let session = self.caller.session.as_ref().map(|s| s.name.clone());
        let grant = grant.map(|g| g.name.clone());
        match outcome {
            Ok((reason, trust)) => Verdict {
                allowed: true,
                would_deny: false,
                reason,
                grant,
                session,
                trust: Some(trust),
                message: String::new(),
                hint: None,
            },
            Err((reason, lack)) => {
                let (message, hint) = hint::of_denial(self, item, reason, lack, grant.as_deref());
                let trust = lack.map(|(_, available)| available);
                Verdict {
                    allowed: false,
                    would_deny: false,
                    reason,
                    grant,
                    session,
                    trust,
                    message,
                    hint,
                }
            }
        }
    }

    /// The decision: reason and trust, or reason and (needed, available) trust; and the grant that decided.
    #[allow(
        clippy::type_complexity,
        reason = "private, used twice, and named by its comment"
    )]
    fn outcome(
        &self,
        item: &Item<'_>,
    ) -> (
        Result<(Reason, Trust), (Reason, Option<(Trust, Trust)>)>,
        Option<&'a GrantEntry>,
    ) {
        if let Some(fault) = self.session_fault() {
            return (Err((fault, None)), None);
        }
        if let Some(grant) = self.denying.iter().find(|grant| denies(grant, item)) {
            return (Err((denied(item), None)), Some(grant));
        }
        let needs = self.needs(item);
        let mut best: Option<(Reach, &GrantEntry)> = None;
        for grant in self
            .grants
            .iter()
            .filter(|grant| grant.effect == Effect::Allow)
        {
            let reach = self.reach(grant, item, needs);
            if best.is_none_or(|(far, _)| reach > far) {
                best = Some((reach, grant));
            }
        }
        if let Some((Reach::Covers { available }, grant)) = best {
            return (Ok((Reason::Allowed, available)), Some(grant));
        }
        if self.bundle.default_decision == Decision::Allow {
            return (self.by_default(needs), None);
        }
        let (reason, lack) = match best {
            None => (Reason::NoMatchingGrant, None),
            Some((Reach::Trust { needed, available }, _)) => {
                (Reason::TrustTooLow, Some((needed, available)))
            }
            Some((Reach::SideEffect, _)) => (Reason::SideEffectNotAllowed, None),
            Some((Reach::Unknown, _)) => (Reason::ToolSideEffectUnknown, None),
            Some((Reach::NotGranted | Reach::Covers { .. }, _)) => (not_granted(item), None),
        };
        let named = best
            .filter(|(reach, _)| *reach > Reach::NotGranted)
            .map(|(_, grant)| grant);
        (Err((reason, lack)), named)
    }

    /// `defaultDecision: allow`: a grant of everything to everybody, under the session's and the policy's trust.
    #[allow(clippy::type_complexity, reason = "the result of `outcome`")]
    fn by_default(
        &self,
        needs: Needs,
    ) -> Result<(Reason, Trust), (Reason, Option<(Trust, Trust)>)> {
        let available = self.available(Trust::High);
        match needs.side_effect {
            None => Err((Reason::ToolSideEffectUnknown, None)),
            Some(_) if needs.trust > available => {
                Err((Reason::TrustTooLow, Some((needs.trust, available))))
            }
            Some(_) => Ok((Reason::AllowedByDefault, available)),
        }
    }

    /// What is wrong with the caller's session whatever it asks for.
    fn session_fault(&self) -> Option<Reason> {
        match &self.caller.session {
            None if self.bundle.session_required => Some(Reason::MissingSession),
            Some(session) if session.expires_at <= self.now => Some(Reason::SessionExpired),
            None | Some(_) => None,
        }
    }

    /// Whether a denial is about who calls, which `observe` does not lift.
    fn session_stops(&self, reason: Reason) -> bool {
        self.session_fault() == Some(reason)
    }

    pub(crate) fn needs(&self, item: &Item<'_>) -> Needs {
        let Item::Tool(name) = item else {
            return Needs {
                trust: Trust::Low,
                side_effect: Some(SideEffect::Read),
            };
        };
        match (self.bundle.tool(name), self.bundle.undeclared_tools) {
            (Some(tool), _) => Needs {
                trust: tool.required_trust,
                side_effect: Some(tool.side_effect),
            },
            // Nobody said what it does, so a grant must allow the worst.
            (None, Decision::Allow) => Needs {
                trust: Trust::Low,
                side_effect: Some(SideEffect::Destructive),
            },
            (None, Decision::Deny) => Needs {
                trust: Trust::Low,
                side_effect: None,
            },
        }
    }

    /// How far `grant`, of effect Allow, goes.
    pub(crate) fn reach(&self, grant: &GrantEntry, item: &Item<'_>, needs: Needs) -> Reach {
        let Some(rule_trust) = names(grant, item) else {
            return Reach::NotGranted;
        };
        let Some(side_effect) = needs.side_effect else {
            return Reach::Unknown;
        };
        if !grant.side_effects.contains(&side_effect) {
            return Reach::SideEffect;
        }
        let needed = needs.trust.max(rule_trust);
        let available = self.available(grant.max_trust);
        if needed > available {
            Reach::Trust { needed, available }
        } else {
            Reach::Covers { available }
        }
    }

    /// The lowest of what grant, session and policy give.
    fn available(&self, grant: Trust) -> Trust {
        let session = self
            .caller
            .session
            .as_ref()
            .map_or(Trust::High, |s| s.consented_trust);
        grant
            .min(session)
            .min(self.bundle.max_trust.unwrap_or(Trust::High))
    }
}

/// Whether a grant of effect Allow names the item, and the trust its rules ask for: the highest of those that match.
fn names(grant: &GrantEntry, item: &Item<'_>) -> Option<Trust> {
    let any = |patterns: &[String]| patterns.iter().any(|p| fits(p, item)).then_some(Trust::Low);
    match item {
        Item::Tool(name) => {
            let mut allowing = grant.rules.iter().filter(|rule| !rule.deny).peekable();
            if allowing.peek().is_none() {
                return Some(Trust::Low);
            }
            allowing
                .filter(|rule| glob::matches(&rule.name, name))
                .map(|rule| rule.required_trust.unwrap_or_default())
                .max()
        }
        Item::Prompt(_) => any(&grant.prompts),
        Item::Resource(_) | Item::ResourceTemplate(_) => any(&grant.resources),
    }
}

/// Whether a grant, of whatever effect, denies the item.
pub(crate) fn denies(grant: &GrantEntry, item: &Item<'_>) -> bool {
    let everything = grant.effect == Effect::Deny
        && grant.rules.is_empty()
        && grant.prompts.is_empty()
        && grant.resources.is_empty();
    let takes_away = grant.effect == Effect::Deny;
    everything
        || match item {
            Item::Tool(name) => grant
                .rules
                .iter()
                .any(|rule| rule.deny && glob::matches(&rule.name, name)),
            Item::Prompt(_) => takes_away && grant.prompts.iter().any(|p| fits(p, item)),
            Item::Resource(_) => takes_away && grant.resources.iter().any(|p| fits(p, item)),
            Item::ResourceTemplate(template) => {
                let expansions = glob::of_template(template);
                takes_away && grant.resources.iter().any(|p| glob::covers(p, &expansions))
            }
        }
}

fn fits(pattern: &str, item: &Item<'_>) -> bool {
    match item {
        Item::ResourceTemplate(template) => glob::intersect(pattern, &glob::of_template(template)),
        Item::Tool(name) | Item::Prompt(name) | Item::Resource(name) => {
            glob::matches(pattern, name)
        }
    }
}

fn denied(item: &Item<'_>) -> Reason {
    match item {
        Item::Tool(_) => Reason::ToolDenied,
        Item::Prompt(_) => Reason::PromptDenied,
        Item::Resource(_) | Item::ResourceTemplate(_) => Reason::ResourceDenied,
    }
}

fn not_granted(item: &Item<'_>) -> Reason {
    match item {
        Item::Tool(_) => Reason::ToolNotGranted,
        Item::Prompt(_) => Reason::PromptNotGranted,
        Item::Resource(_) | Item::ResourceTemplate(_) => Reason::ResourceNotGranted,
    }
}
