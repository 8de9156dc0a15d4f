//! What would stop an installation, looked up before anything is changed. All of it at once, each with its fix.

use std::collections::BTreeSet;

use api::names;
use common::api_error::During as _;
use common::error::{Error, Result};
use common::output::name_of;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Client;
use kube::api::{Api, DynamicObject, PostParams};

use crate::apply;
use crate::install::{Installed, VERSION, VERSION_LABEL};
use crate::kinds;

/// The oldest minor version of Kubernetes 1 that works: validating admission policies are stable since then.
pub(crate) const MINIMUM_MINOR: u32 = 30;

/// How many questions are asked at the same time.
const PARALLEL: usize = 8;

/// One thing in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blocker {
    /// What is the matter.
    pub(crate) what: String,
    /// What to type or whom to ask.
    pub(crate) fix: String,
}

/// Everything in the way of installing these objects. Empty means go.
pub(crate) async fn blockers(client: &Client, objects: &[Installed]) -> Result<Vec<Blocker>> {
    let mut found = Vec::new();
    let version = server_version(client).await?;
    found.extend(too_old(&version));
    let forbidden = forbidden(client, objects).await?;
    let may_read = forbidden.is_empty();
    found.extend(forbidden);
    if may_read {
        found.extend(foreign_or_newer(client, objects).await?);
    }
    Ok(found)
}

/// The blockers as one error.
pub(crate) fn refuse(blockers: &[Blocker]) -> Error {
    let lines: Vec<String> = blockers
        .iter()
        .map(|b| format!("\n* {}\n    {}", b.what, b.fix))
        .collect();
    let things = if blockers.len() == 1 {
        "one thing stands".to_owned()
    } else {
        format!("{} things stand", blockers.len())
    };
    Error::failed(format!(
        "{things} in the way, nothing was changed:{}",
        lines.concat()
    ))
}

/// Version of the API server: `git` for people, major and minor as numbers (0 where they are none).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerVersion {
    pub(crate) git: String,
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

/// Asks the API server for its version.
pub(crate) async fn server_version(client: &Client) -> Result<ServerVersion> {
    let info = client
        .apiserver_version()
        .await
        .during("cannot ask the API server for its version")?;
    Ok(ServerVersion {
        git: info.git_version,
        major: leading_number(&info.major),
        minor: leading_number(&info.minor),
    })
}

/// `30+` of a cloud provider is 30.
fn leading_number(text: &str) -> u32 {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

/// A server that is too old.
pub(crate) fn too_old(version: &ServerVersion) -> Option<Blocker> {
    ((version.major, version.minor) < (1, MINIMUM_MINOR)).then(|| Blocker {
        what: format!(
            "the API server is {}, it must be at least v1.{MINIMUM_MINOR}",
            version.git
        ),
        fix: "upgrade the cluster, or choose another: kubectl config get-contexts".to_owned(),
    })
}

/// One question to the API server about the caller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Right {
    pub(crate) verb: &'static str,
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) namespace: Option<String>,
}

impl Right {
    /// The same question for a person, with `kubectl`.
    pub(crate) fn command(&self) -> String {
        let dot = if self.group.is_empty() { "" } else { "." };
        let place = self
            .namespace
            .as_ref()
            .map(|namespace| format!(" -n {namespace}"))
            .unwrap_or_default();
        format!(
            "kubectl auth can-i {} {}{dot}{}{place}",
            self.verb, self.resource, self.group
        )
    }
}

/// Asks whether the caller has that right.
pub(crate) async fn may(client: &Client, right: &Right) -> Result<bool> {
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: Some(right.verb.to_owned()),
                group: Some(right.group.clone()),
                resource: Some(right.resource.clone()),
                namespace: right.namespace.clone(),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let answer = Api::all(client.clone())
        .create(&PostParams::default(), &review)
        .await
        .during(format!("cannot ask: {}", right.command()))?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// The rights that applying these objects needs.
pub(crate) fn rights(objects: &[Installed]) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for one in objects {
        let resource = kinds::resource(&one.object);
        for verb in ["get", "create", "patch"] {
            rights.insert(Right {
                verb,
                group: resource.group.clone(),
                resource: resource.plural.clone(),
                namespace: kinds::namespace(&one.object).map(str::to_owned),
            });
        }
    }
    rights
}

async fn forbidden(client: &Client, objects: &[Installed]) -> Result<Vec<Blocker>> {
    let missing: Vec<Right> = stream::iter(rights(objects))
        .map(async |right| Ok::<_, Error>((may(client, &right).await?, right)))
        .buffered(PARALLEL)
        .try_filter_map(async |(allowed, right)| Ok((!allowed).then_some(right)))
        .try_collect()
        .await?;
    Ok(summarise(&missing))
}

/// How many kinds are named before the rest is only counted.
const NAMED: usize = 5;

/// One blocker for each kind, with all its verbs; the others of a long list are counted.
fn summarise(missing: &[Right]) -> Vec<Blocker> {
    let mut kinds: Vec<(&Right, Vec<&str>)> = Vec::new();
    for right in missing {
        let same =
            |other: &Right| (&other.group, &other.resource) == (&right.group, &right.resource);
        match kinds.iter_mut().find(|(other, _)| same(other)) {
            Some((_, verbs)) => verbs.push(right.verb),
            None => kinds.push((right, vec![right.verb])),
        }
    }
    let rest = kinds.len().saturating_sub(NAMED);
    let named = kinds.iter().take(NAMED).map(|(right, verbs)| Blocker {
        what: format!("you may not {} {}", verbs.join(", "), right.resource),
        fix: format!(
            "ask an administrator of the cluster; to see it: {}",
            right.command()
        ),
    });
    let counted = (rest > 0).then(|| Blocker {
        what: format!("you may not change {rest} more kinds that setup installs"),
        fix:
            "run setup as an administrator of the cluster; to see who you are: kubectl auth whoami"
                .to_owned(),
    });
    named.chain(counted).collect()
}

async fn foreign_or_newer(client: &Client, objects: &[Installed]) -> Result<Vec<Blocker>> {
    let live: Vec<(&Installed, Option<DynamicObject>)> = stream::iter(objects)
        .map(async |one| match apply::live(client, &one.object).await {
            Err(error) if error.is_not_found() => Ok((one, None)),
            other => other.map(|live| (one, live)),
        })
        .buffered(PARALLEL)
        .try_collect()
        .await?;
    let mut found = Vec::new();
    for (one, live) in live {
        let Some(live) = live else { continue };
        // The default policy is the user's once it exists: his changes, and his labels, stay.
        if kinds::kind(&one.object) == "MCPPolicy" {
            continue;
        }
        if !kinds::is_ours(&live) {
            found.push(Blocker {
                what: format!(
                    "{} exists and was not installed by kubectl-mcp",
                    name_of(&one.object)
                ),
                fix: apply::take_over(&one.object),
            });
        } else if kinds::name(&one.object) == names::OPERATOR_NAME
            && kinds::kind(&one.object) == "Deployment"
            && let Some(installed) = installed_version(&live)
            && is_newer(&installed, VERSION)
        {
            found.push(Blocker {
                what: format!("version {installed} is installed, and this plugin is {VERSION}: setup does not go back"),
                fix: "upgrade the plugin: kubectl krew upgrade mcp".to_owned(),
            });
        }
    }
    Ok(found)
}

/// The version that installed an object.
pub(crate) fn installed_version(object: &DynamicObject) -> Option<String> {
    object.metadata.labels.as_ref()?.get(VERSION_LABEL).cloned()
}

/// Whether version `a` is newer than `b`, by the numbers of `major.minor.patch`. Words that are no versions are not.
pub(crate) fn is_newer(a: &str, b: &str) -> bool {
    let numbers = |text: &str| -> Vec<u32> {
        text.split(['.', '-', '+'])
            .take(3)
            .map(leading_number)
            .collect()
    };
    numbers(a) > numbers(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::{Options, objects};

    fn version(minor: &str) -> ServerVersion {
        ServerVersion {
            git: format!("v1.{minor}"),
            major: 1,
            minor: leading_number(minor),
        }
    }

    #[test]
    fn a_server_older_than_the_floor_is_refused() {
        assert!(too_old(&version("29")).is_some());
        assert_eq!(too_old(&version("30+")), None);
        assert_eq!(too_old(&version("36")), None);
        assert!(too_old(&version("what")).is_some());
    }

    #[test]
    fn versions_are_compared_by_number() {
        assert!(is_newer("0.10.0", "0.9.1"));
        assert!(!is_newer("0.1.0", "0.1.0"));
        assert!(!is_newer("0.1.0", "0.2.0"));
        assert!(is_newer("1.0.0-rc1", "0.9.0"));
    }

    #[test]
    fn every_kind_that_is_applied_is_asked_for() {
        let rights = rights(&objects(&Options::default()));
        for resource in [
            "customresourcedefinitions",
            "validatingadmissionpolicies",
            "deployments",
            "mcppolicies",
        ] {
            for verb in ["get", "create", "patch"] {
                assert!(
                    rights
                        .iter()
                        .any(|r| r.resource == resource && r.verb == verb),
                    "{verb} {resource}"
                );
            }
        }
    }

    #[test]
    fn a_question_can_be_asked_again_by_hand() {
        let right = Right {
            verb: "patch",
            group: "apps".to_owned(),
            resource: "deployments".to_owned(),
            namespace: Some("kubectl-mcp-system".to_owned()),
        };
        assert_eq!(
            right.command(),
            "kubectl auth can-i patch deployments.apps -n kubectl-mcp-system"
        );
    }

    #[test]
    fn missing_rights_are_said_by_kind_and_a_long_list_is_cut() {
        let all: Vec<Right> = rights(&objects(&Options::default())).into_iter().collect();
        let blockers = summarise(&all);
        assert_eq!(blockers.len(), NAMED + 1);
        assert_eq!(
            blockers[0].what,
            "you may not create, get, patch namespaces"
        );
        assert!(
            blockers[NAMED].what.contains("11 more kinds"),
            "{}",
            blockers[NAMED].what
        );
        assert_eq!(summarise(&all[..1]).len(), 1);
    }

    #[test]
    fn all_blockers_are_said_at_once() {
        let blocker = |n: u8| Blocker {
            what: format!("thing {n}"),
            fix: format!("fix {n}"),
        };
        assert_eq!(
            refuse(&[blocker(1), blocker(2)]).to_string(),
            "2 things stand in the way, nothing was changed:\n* thing 1\n    fix 1\n* thing 2\n    fix 2"
        );
    }
}
