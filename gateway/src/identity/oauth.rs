//! The server as an OAuth resource server: whose tokens are taken, for whom, and what their claims say. Pure.

use access::{Identity, IssuerEntry, OAuthEntry};

use super::issuers::Source;
use super::jwt::{Claims, Error};
use super::metadata::Metadata;

/// The longest name of a person, an agent or a team, in bytes.
const LONGEST: usize = 512;

/// A server as an OAuth resource server.
#[derive(Debug)]
pub struct Resource {
    /// What clients are told.
    pub metadata: Metadata,
    /// Scopes that every request needs.
    pub required: Vec<String>,
    issuers: Vec<(IssuerEntry, Source)>,
}

impl Resource {
    /// As the bundle says.
    pub fn new(entry: &OAuthEntry, server: &str, endpoints: &[String]) -> Self {
        let issuers = entry.issuers.iter().map(|issuer| {
            let source = Source::OAuth {
                issuer: issuer.url.clone(),
                keys: issuer.keys.clone(),
            };
            (issuer.clone(), source)
        });
        Self {
            metadata: Metadata::new(entry, server, endpoints),
            required: entry.required_scopes.clone(),
            issuers: issuers.collect(),
        }
    }

    /// A trusted issuer, and where its keys come from. The name must be equal to the last character.
    pub fn issuer(&self, name: &str) -> Result<(&IssuerEntry, &Source), Error> {
        self.issuers
            .iter()
            .find(|(issuer, _)| issuer.url == name)
            .map(|(issuer, source)| (issuer, source))
            .ok_or(Error::Issuer)
    }

    /// All scopes that an operation needs, if some of them are not among `granted`.
    pub fn lacking<'s>(
        &self,
        granted: &[String],
        more: impl Iterator<Item = &'s String>,
    ) -> Option<Vec<String>> {
        let mut needed = self.required.clone();
        for scope in more {
            if !needed.contains(scope) {
                needed.push(scope.clone());
            }
        }
        needed
            .iter()
            .any(|scope| !granted.contains(scope))
            .then_some(needed)
    }
}

/// Whom the claims name, by the names of the issuer's claims.
pub fn identity(claims: &Claims, issuer: &IssuerEntry) -> Result<Identity, Error> {
    let human = one(claims, &issuer.human)?.ok_or(Error::Identity)?;
    let agent = optional(claims, issuer.agent.as_deref())?;
    let mut identity = Identity {
        human: Some(human),
        agent,
        issuer: Some(issuer.url.clone()),
        ..Identity::default()
    };
    if let Some(name) = &issuer.team {
        // A member of several teams speaks for none of them, but a denial to any of them holds.
        let teams = match claims.get(name) {
            None | Some(serde_json::Value::Null) => Vec::new(),
            Some(_) => claims.texts(name).ok_or(Error::Identity)?,
        };
        if let [team] = teams[..] {
            identity.team = Some(bounded(team)?);
        }
        identity.teams = teams.into_iter().map(str::to_owned).collect();
    }
    Ok(identity)
}

/// The scopes of a token: words in a text (RFC 8693, 4.2), or a list.
pub fn scopes(claims: &Claims, issuer: &IssuerEntry) -> Vec<String> {
    claims
        .texts(&issuer.scopes)
        .unwrap_or_default()
        .into_iter()
        .flat_map(|text| text.split(' '))
        .filter(|scope| !scope.is_empty())
        .map(str::to_owned)
        .collect()
}

fn optional(claims: &Claims, name: Option<&str>) -> Result<Option<String>, Error> {
    name.map_or(Ok(None), |name| one(claims, name))
}

fn one(claims: &Claims, name: &str) -> Result<Option<String>, Error> {
    match claims.get(name) {
        None | Some(serde_json::Value::Null) => Ok(None),
        Some(serde_json::Value::String(text)) => bounded(text).map(Some),
        Some(_) => Err(Error::Identity),
    }
}

/// A name as grants can have it: not empty, not endless, without control characters.
fn bounded(text: &str) -> Result<String, Error> {
    let good = !text.is_empty() && text.len() <= LONGEST && !text.chars().any(char::is_control);
    good.then(|| text.to_owned()).ok_or(Error::Identity)
}
