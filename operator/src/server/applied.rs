//! Brings the cluster to what a server wants, in the order in which each thing is needed: the access bundle first, so
//! that a revocation never waits for a workload, and the Deployment after its account.

use std::sync::Arc;

use api::{MCPServer, names};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::networking::v1::Ingress;
use kube::ResourceExt as _;
use kube::core::Resource as _;
use kube::runtime::reflector::ObjectRef;

use super::build::{self, Prepared};
use super::session_key;
use super::validate::Valid;
use crate::apply::{Error, Owner, ensure, remove};
use crate::context::Context;

/// How much of a revision the status shows: enough to tell two apart.
const SHOWN: usize = 16;

/// What the API server holds after a reconcile; the status is made of this and nothing else.
#[derive(Clone, Debug)]
pub(super) struct Applied {
    pub revision: Option<String>,
    pub service: Arc<Service>,
    pub deployment: Arc<Deployment>,
    pub ingress: Option<Arc<Ingress>>,
    pub ingress_wanted: bool,
}

/// Applies everything.
pub(super) async fn apply(
    context: &Context,
    valid: &Valid,
    prepared: Prepared,
) -> Result<Applied, Error> {
    let Prepared {
        service_account,
        role,
        role_binding,
        service,
        network_policy,
        deployment,
        ingress,
    } = prepared;
    let (caches, owner) = (&context.caches, &valid.owner);
    let (name, gateway) = (
        &valid.effective.name,
        names::gateway_account(&valid.effective.name),
    );

    let revision = if valid.effective.gateway.enabled {
        Some(apply_access(context, owner, &valid.effective, &valid.server).await?)
    } else {
        remove(
            context,
            &caches.config_maps,
            owner,
            &names::access_config_map(name),
        )
        .await?;
        None
    };
    match service_account {
        Some(wanted) => drop(ensure(context, &caches.service_accounts, owner, wanted).await?),
        None => remove(context, &caches.service_accounts, owner, &gateway).await?,
    }
    match role {
        Some(wanted) => drop(ensure(context, &caches.roles, owner, wanted).await?),
        None => remove(context, &caches.roles, owner, &gateway).await?,
    }
    match role_binding {
        Some(wanted) => drop(ensure(context, &caches.role_bindings, owner, wanted).await?),
        None => remove(context, &caches.role_bindings, owner, &gateway).await?,
    }
    session_key::ensure(context, valid).await;
    // Before the pods: they are never reachable without it.
    ensure(context, &caches.network_policies, owner, network_policy).await?;
    let service = ensure(context, &caches.services, owner, service).await?;
    let deployment = ensure(context, &caches.deployments, owner, deployment).await?;
    let ingress_wanted = ingress.is_some();
    let ingress = if let Some(wanted) = ingress {
        Some(ensure(context, &caches.ingresses, owner, wanted).await?)
    } else {
        remove(context, &caches.ingresses, owner, name).await?;
        None
    };
    Ok(Applied {
        revision,
        service,
        deployment,
        ingress,
        ingress_wanted,
    })
}

/// Keeps the bundle of a server that is refused but still runs up to date: a revocation must reach its gateway all
/// the same. Nothing is made where there is no bundle yet.
pub(super) async fn refresh_access(context: &Context, server: &MCPServer) -> Result<(), Error> {
    let (namespace, name) = (server.namespace().unwrap_or_default(), server.name_any());
    let existing = ObjectRef::new(&names::access_config_map(&name)).within(&namespace);
    let Some(reference) = server.controller_owner_ref(&()) else {
        return Ok(());
    };
    if context.caches.config_maps.get(&existing).is_none() {
        return Ok(());
    }
    let effective = rules::effective(server, &context.policy_set(&namespace));
    apply_access(
        context,
        &Owner {
            namespace,
            reference,
        },
        &effective,
        server,
    )
    .await
    .map(drop)
}

/// Writes the bundle when its content changed; its sequence only ever grows. The revision of the bundle.
async fn apply_access(
    context: &Context,
    owner: &Owner,
    effective: &rules::Effective,
    server: &MCPServer,
) -> Result<String, Error> {
    let bundle = super::validate::bundle(effective, server, context);
    let revision = bundle.revision();
    let reference =
        ObjectRef::new(&names::access_config_map(&effective.name)).within(&owner.namespace);
    let before = context
        .caches
        .config_maps
        .get(&reference)
        .and_then(|map| stored(&map));
    let sequence = match &before {
        Some(before) if before.revision() == revision => before.sequence,
        before => next_sequence(before.as_ref().map(|b| b.sequence), jiff::Timestamp::now()),
    };
    let wanted = build::config_map(&bundle.with_sequence(sequence));
    ensure(context, &context.caches.config_maps, owner, wanted).await?;
    Ok(revision.chars().take(SHOWN).collect())
}

fn stored(map: &ConfigMap) -> Option<access::Bundle> {
    let text = map.data.as_ref()?.get(names::BUNDLE_KEY)?;
    access::Bundle::from_json(text).ok()
}

/// The clock in milliseconds, or one more than before: a ConfigMap that was deleted and made again must not begin at
/// one, because gateways never go back.
fn next_sequence(before: Option<u64>, now: jiff::Timestamp) -> u64 {
    let clock = u64::try_from(now.as_millisecond()).unwrap_or(0);
    before.map_or(clock, |before| clock.max(before.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_grows_even_when_the_clock_goes_back_or_the_config_map_was_lost() {
        let now = jiff::Timestamp::from_millisecond(1_000).unwrap();
        assert_eq!(next_sequence(Some(5_000), now), 5_001);
        assert_eq!(next_sequence(Some(5), now), 1_000);
        assert_eq!(next_sequence(None, now), 1_000);
    }
}
