//! Waits for a condition with a deadline, asking again and again.

use std::time::{Duration, Instant};

use common::api_error::During as _;
use common::error::{Error, Result};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};

use crate::progress::Progress;

const EVERY: Duration = Duration::from_millis(250);

/// Asks `look` until it answers None. What it answers otherwise is what is missing; the last of it is the error.
pub(crate) async fn until(
    progress: &Progress,
    deadline: Instant,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<Option<String>>,
) -> Result<()> {
    loop {
        let missing = look().await?;
        let Some(missing) = missing else {
            return Ok(());
        };
        progress.hangs_on(&missing);
        if Instant::now() >= deadline {
            return Err(Error::failed(format!(
                "waited in vain for {what}: {missing}"
            )));
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// What is missing until a CRD is served. It is established a moment before its first object can be read.
pub(crate) async fn crd_missing(client: &Client, name: &str) -> Result<Option<String>> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let crd = api
        .get_opt(name)
        .await
        .during(format!("cannot get customresourcedefinition {name}"))?;
    let Some(crd) = crd.filter(is_established) else {
        return Ok(Some(format!("{name} is not established")));
    };
    let gvk = GroupVersionKind::gvk(&crd.spec.group, api::VERSION, &crd.spec.names.kind);
    let resource = ApiResource::from_gvk_with_plural(&gvk, &crd.spec.names.plural);
    let objects: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    match objects
        .list_metadata(&ListParams::default().limit(1))
        .await
        .during(format!("cannot list {name}"))
    {
        Ok(_) => Ok(None),
        Err(error) if error.is_not_found() => Ok(Some(format!("{name} is not served yet"))),
        Err(error) => Err(error),
    }
}

/// Whether the API server serves a CRD.
pub(crate) fn is_established(crd: &CustomResourceDefinition) -> bool {
    crd.status
        .as_ref()
        .and_then(|status| status.conditions.as_ref())
        .is_some_and(|conditions| {
            conditions
                .iter()
                .any(|condition| condition.type_ == "Established" && condition.status == "True")
        })
}

/// What is missing until a Deployment is rolled out: `kubectl rollout status` in words.
pub(crate) async fn deployment_missing(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<Option<String>> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let deployment = api
        .get_opt(name)
        .await
        .during(format!("cannot get deployment {name}"))?;
    Ok(match deployment {
        None => Some(format!("deployment {name} does not exist")),
        Some(deployment) => rollout_missing(&deployment),
    })
}

/// The same for a Deployment at hand.
pub(crate) fn rollout_missing(deployment: &Deployment) -> Option<String> {
    let name = deployment.metadata.name.as_deref().unwrap_or_default();
    let wanted = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    let status = deployment.status.clone().unwrap_or_default();
    if status.observed_generation < deployment.metadata.generation {
        return Some(format!("deployment {name} has not been looked at yet"));
    }
    let failed = status
        .conditions
        .iter()
        .flatten()
        .find(|c| c.type_ == "ReplicaFailure" && c.status == "True");
    if let Some(failed) = failed {
        return Some(format!(
            "deployment {name}: {}",
            failed
                .message
                .as_deref()
                .unwrap_or("its pods cannot be made")
        ));
    }
    let (updated, available) = (
        status.updated_replicas.unwrap_or(0),
        status.available_replicas.unwrap_or(0),
    );
    let ready = updated.min(available);
    (ready < wanted)
        .then(|| format!("deployment {name}: {ready} of {wanted} replicas are available"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment(value: serde_json::Value) -> Deployment {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_deployment_is_rolled_out_when_the_new_replicas_are_available() {
        let at = |generation: i64, updated: i32, available: i32| {
            rollout_missing(&deployment(json!({
                "metadata": {"name": "d", "generation": 2},
                "spec": {"replicas": 2, "selector": {}, "template": {}},
                "status": {"observedGeneration": generation, "updatedReplicas": updated, "availableReplicas": available},
            })))
        };
        assert_eq!(
            at(1, 2, 2),
            Some("deployment d has not been looked at yet".to_owned())
        );
        assert_eq!(
            at(2, 1, 2),
            Some("deployment d: 1 of 2 replicas are available".to_owned())
        );
        assert_eq!(at(2, 2, 2), None);
    }

    #[test]
    fn a_quota_that_forbids_the_pods_is_said() {
        let missing = rollout_missing(&deployment(json!({
            "metadata": {"name": "d"},
            "spec": {"selector": {}, "template": {}},
            "status": {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]},
        })));
        assert_eq!(missing, Some("deployment d: exceeded quota".to_owned()));
    }
}
