//! Checks of what setup installed: kinds, servers, admission, its proof, certificates, the default policy.

use api::{MCPPolicy, names};
use common::Cluster;
use common::api_error::During as _;
use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicyBinding, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ListParams};

use super::{Check, Verdict};
use crate::install::{VERSION, VERSION_LABEL};
use crate::pods::{self, Trouble};
use crate::proof::{self, Verdict as Judged};
use crate::{expiry, setup, wait};

const SETUP: &str = "kubectl mcp setup";
/// A certificate authority that ends sooner is worth a look: its rotation should have begun.
const EXPIRES_SOON_HOURS: i64 = 24 * 30;

/// The checks, in the order in which they are printed.
pub(super) async fn checks(cluster: &Cluster) -> Vec<Check> {
    let mut found = vec![crds(cluster).await];
    found.push(deployment(cluster, "operator", names::OPERATOR_NAME).await);
    found.push(deployment(cluster, "webhook", names::WEBHOOK_NAME).await);
    let (asked, trusted) = configuration(cluster).await;
    found.push(asked);
    found.extend(proofs(cluster).await);
    found.extend(trusted);
    found.push(floor(cluster).await);
    found.push(default_policy(cluster).await);
    found
}

async fn crds(cluster: &Cluster) -> Check {
    let wanted = api::crds();
    let check = Check::ok(
        "crds",
        format!(
            "the {} kinds are served, in version {VERSION}",
            wanted.len()
        ),
    );
    let api: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    let (mut missing, mut other) = (Vec::new(), Vec::new());
    for crd in wanted {
        let name = crd.metadata.name.unwrap_or_default();
        match api
            .get_opt(&name)
            .await
            .during(format!("cannot get customresourcedefinition {name}"))
        {
            Err(error) => return check.unknown(&error),
            Ok(Some(live)) if wait::is_established(&live) => {
                let label = live
                    .metadata
                    .labels
                    .and_then(|labels| labels.get(VERSION_LABEL).cloned());
                if label.as_deref() != Some(VERSION) {
                    other.push(format!(
                        "{name} is of version {}",
                        label.as_deref().unwrap_or("unknown")
                    ));
                }
            }
            Ok(_) => missing.push(name),
        }
    }
    if !missing.is_empty() {
        return check.but(
            Verdict::Fail,
            format!("missing: {}", missing.join(", ")),
            SETUP,
        );
    }
    if !other.is_empty() {
        return check.but(Verdict::Warn, other.join(", "), "kubectl mcp setup upgrade");
    }
    check
}

async fn deployment(cluster: &Cluster, category: &'static str, name: &str) -> Check {
    let check = Check::ok(category, format!("deployment {name} is available"));
    let api: Api<Deployment> = Api::namespaced(cluster.client.clone(), names::SYSTEM_NAMESPACE);
    let live = match api
        .get_opt(name)
        .await
        .during(format!("cannot get deployment {name}"))
    {
        Err(error) => return check.unknown(&error),
        Ok(None) => return check.but(Verdict::Fail, "it does not exist", SETUP),
        Ok(Some(live)) => live,
    };
    let trouble = if wait::rollout_missing(&live).is_some() {
        pods::trouble(&cluster.client, name).await
    } else {
        None
    };
    rolled_out(check, name, &live, trouble.as_ref())
}

/// How a Deployment of the platform stands, with what its pods say when it is not rolled out.
fn rolled_out(check: Check, name: &str, live: &Deployment, trouble: Option<&Trouble>) -> Check {
    let wanted = live
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    if wanted == 0 {
        let hint = format!("{SETUP}    (restores the replicas)");
        return check.but(Verdict::Fail, "it was scaled to 0 replicas", hint);
    }
    let available = live
        .status
        .as_ref()
        .and_then(|status| status.available_replicas)
        .unwrap_or(0);
    let because = |what: String| match trouble {
        Some(trouble) => (format!("{what}: {trouble}"), trouble.hint(name)),
        None => (what, pods::describe(name)),
    };
    if available == 0 {
        let (detail, hint) = because(format!("0 of {wanted} replicas are available"));
        return check.but(Verdict::Fail, detail, hint);
    }
    if let Some(missing) = wait::rollout_missing(live) {
        let (detail, hint) = because(missing);
        return check.but(Verdict::Warn, detail, hint);
    }
    let labels = live.metadata.labels.as_ref();
    let version = labels.and_then(|labels| labels.get(VERSION_LABEL).cloned());
    if version.as_deref() != Some(VERSION) {
        let version = version.unwrap_or_else(|| "unknown".to_owned());
        let detail = format!("it is version {version}, this plugin is {VERSION}");
        return check.but(Verdict::Warn, detail, "kubectl mcp setup upgrade");
    }
    check.with_detail(format!("{available} of {wanted}"))
}

/// The validating configuration: there, and fail closed; and, if it is there, with a certificate authority that does
/// not end soon.
async fn configuration(cluster: &Cluster) -> (Check, Option<Check>) {
    let asked = Check::ok(
        "webhook",
        "the API server asks the webhook, and refuses when it does not answer",
    );
    let trusted = Check::ok(
        "certificates",
        "the API server trusts the webhook's certificate authority",
    );
    let api: Api<ValidatingWebhookConfiguration> = Api::all(cluster.client.clone());
    let live = api.get_opt(names::WEBHOOK_NAME).await;
    let live = match live.during("cannot get the webhook's configuration") {
        Err(error) => return (asked.unknown(&error), Some(trusted.unknown(&error))),
        Ok(live) => live,
    };
    let mut hooks = live.and_then(|live| live.webhooks).into_iter().flatten();
    let Some(hook) = hooks.find(|hook| hook.name == names::VALIDATING_WEBHOOK) else {
        let detail = "its validating configuration does not exist";
        return (asked.but(Verdict::Fail, detail, SETUP), None);
    };
    let asked = match hook.failure_policy.as_deref() {
        Some("Fail") | None => asked,
        Some(other) => asked.but(
            Verdict::Fail,
            format!("its failurePolicy is {other}, it must be Fail"),
            SETUP,
        ),
    };
    let bundle = hook.client_config.ca_bundle.map(|bundle| bundle.0);
    let trusted = authority(trusted, &bundle.unwrap_or_default(), Timestamp::now());
    (asked, Some(trusted))
}

fn authority(check: Check, bundle: &[u8], now: Timestamp) -> Check {
    let logs = format!(
        "kubectl -n {} logs deployment/{}",
        names::SYSTEM_NAMESPACE,
        names::WEBHOOK_NAME
    );
    if bundle.is_empty() {
        return check.but(
            Verdict::Fail,
            "caBundle is empty: no webhook has become the leader that writes it",
            logs,
        );
    }
    // The bundle trusts each of its authorities; the one that ends last decides.
    let Some(end) = expiry::latest(bundle) else {
        return check.but(
            Verdict::Unknown,
            "could not look: caBundle is no PEM certificate",
            logs,
        );
    };
    let hours = end.duration_since(now).as_hours();
    if end <= now {
        check.but(Verdict::Fail, format!("it ended on {end}"), logs)
    } else if hours < EXPIRES_SOON_HOURS {
        check.but(
            Verdict::Warn,
            format!("it ends on {end}, in {} days", hours / 24),
            logs,
        )
    } else {
        check.with_detail(format!("until {end}"))
    }
}

async fn floor(cluster: &Cluster) -> Check {
    let check = Check::ok("floor", "the static policies hold even without the webhook");
    let wanted = [
        "kubectl-mcp-stamps",
        "kubectl-mcp-managed-objects",
        "kubectl-mcp-reserved-names",
    ];
    let api: Api<ValidatingAdmissionPolicyBinding> = Api::all(cluster.client.clone());
    let live = match api
        .list(&ListParams::default())
        .await
        .during("cannot list validating admission policy bindings")
    {
        Err(error) => return check.unknown(&error),
        Ok(live) => live,
    };
    let denies = |name: &str| {
        live.items.iter().any(|binding| {
            binding.metadata.name.as_deref() == Some(name)
                && binding
                    .spec
                    .validation_actions
                    .iter()
                    .any(|action| action == "Deny")
        })
    };
    let missing: Vec<&str> = wanted.into_iter().filter(|name| !denies(name)).collect();
    if missing.is_empty() {
        return check;
    }
    check.but(
        Verdict::Fail,
        format!("not bound, or not denying: {}", missing.join(", ")),
        SETUP,
    )
}

/// What a person would try: a good server, a bad one.
async fn proofs(cluster: &Cluster) -> Vec<Check> {
    let namespace = &cluster.namespace;
    let accepts = Check::ok(
        "webhook",
        format!("a good server would be accepted in namespace {namespace} (dry run)"),
    );
    let refuses = Check::ok(
        "webhook",
        format!("a bad server would be refused in namespace {namespace} (dry run)"),
    );
    // Whoever may not read the policy can still propose a server, if not one that is made for it.
    let policy = setup::live_policy(&cluster.client).await.ok().flatten();
    let policy = policy.map(|policy| policy.spec);
    let proof = proof::prove(&cluster.client, namespace, policy.as_ref()).await;
    let accepts = match &proof.good {
        Judged::Accepted => {
            accepts.with_detail(format!("round trip {} ms", proof.round_trip.as_millis()))
        }
        Judged::Refused(why) => accepts.but(
            Verdict::Warn,
            format!(
                "the webhook answers; a policy refuses what the default policy would take: {why}"
            ),
            "kubectl get mcppolicies -o yaml",
        ),
        Judged::NotAnswering(_) | Judged::Forbidden(_) | Judged::Failed(_) => {
            not_proven(accepts, &proof.good)
        }
    };
    let refuses = match &proof.bad {
        Judged::Refused(_) if proof.refuses_bad() => refuses,
        Judged::Refused(why) => {
            refuses.but(Verdict::Warn, format!("for another reason: {why}"), SETUP)
        }
        Judged::Accepted => refuses.but(
            Verdict::Fail,
            "it was accepted: nobody judges servers here",
            SETUP,
        ),
        Judged::NotAnswering(_) | Judged::Forbidden(_) | Judged::Failed(_) => {
            not_proven(refuses, &proof.bad)
        }
    };
    vec![accepts, refuses]
}

/// A dry run that came to no judgement.
fn not_proven(check: Check, judged: &Judged) -> Check {
    let pods = format!("kubectl -n {} get pods -o wide", names::SYSTEM_NAMESPACE);
    match judged {
        Judged::NotAnswering(why) => {
            let hint = if why.contains("x509") {
                format!(
                    "kubectl -n {} rollout restart deployment/{}",
                    names::SYSTEM_NAMESPACE,
                    names::WEBHOOK_NAME
                )
            } else if why.contains("deadline exceeded") {
                format!(
                    "open the way from the API server to port 8443 of the webhook's pods; {pods}"
                )
            } else if why.contains("no endpoints available") {
                format!(
                    "{SETUP}    (nothing is ready behind the webhook's service; setup restores its replicas)"
                )
            } else {
                pods
            };
            check.but(Verdict::Fail, why.clone(), hint)
        }
        Judged::Forbidden(why) => check.but(
            Verdict::Unknown,
            format!("could not look: {why}"),
            "kubectl mcp check -n NAMESPACE    (one where you may create mcpservers)",
        ),
        Judged::Failed(why) => check.but(Verdict::Fail, why.clone(), SETUP),
        Judged::Accepted | Judged::Refused(_) => check,
    }
}

async fn default_policy(cluster: &Cluster) -> Check {
    let check = Check::ok(
        "policies",
        format!("MCPPolicy/{} exists", names::DEFAULT_POLICY),
    );
    match setup::live_policy(&cluster.client).await {
        Err(error) => check.unknown(&error),
        Ok(None) => check.but(
            Verdict::Warn,
            "only the rules that need no policy hold",
            "kubectl mcp setup --default-host HOST --allow-registry REGISTRY",
        ),
        Ok(Some(policy)) => judge_policy(check, policy),
    }
}

/// How the default policy is set.
fn judge_policy(check: Check, policy: MCPPolicy) -> Check {
    let enforcement = policy.spec.enforcement.unwrap_or_default();
    let host = policy
        .spec
        .defaults
        .and_then(|defaults| defaults.ingress_host);
    match host {
        Some(host) => check.with_detail(format!("{enforcement}, default host {host}")),
        None => check.but(
            Verdict::Warn,
            format!("{enforcement}, {}", setup::NO_DEFAULT_HOST),
            "kubectl mcp setup --default-host HOST",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::{PolicyFlags, default_policy};
    use serde_json::json;

    #[test]
    fn a_configuration_without_certificate_authority_is_broken() {
        let check = authority(
            Check::ok("certificates", "trusted"),
            b"",
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(check.result, Verdict::Fail);
        let check = authority(
            Check::ok("certificates", "trusted"),
            b"junk",
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(check.result, Verdict::Unknown);
    }

    #[test]
    fn an_authority_that_ends_soon_is_worth_a_look() {
        let pem = include_bytes!("../../tests/ca.pem");
        let end = expiry::latest(pem).unwrap();
        let at = |hours: i64| {
            let now = end - jiff::SignedDuration::from_hours(hours);
            authority(Check::ok("certificates", "trusted"), pem, now).result
        };
        assert_eq!(at(24 * 365), Verdict::Ok);
        assert_eq!(at(24 * 29), Verdict::Warn);
        assert_eq!(at(-1), Verdict::Fail);
    }

    fn webhook(replicas: i32, available: i32) -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"name": "mcp-webhook", "labels": {VERSION_LABEL: VERSION}},
            "spec": {"replicas": replicas, "selector": {}, "template": {}},
            "status": {"updatedReplicas": replicas, "availableReplicas": available},
        }))
        .unwrap()
    }

    #[test]
    fn a_server_scaled_to_nothing_is_broken_and_setup_mends_it() {
        let check = |live: &Deployment, trouble: Option<&Trouble>| {
            rolled_out(Check::ok("webhook", "x"), "mcp-webhook", live, trouble)
        };
        let scaled = check(&webhook(0, 0), None);
        assert_eq!(scaled.result, Verdict::Fail);
        assert!(scaled.hint.unwrap_or_default().starts_with(SETUP));
        let pulling = Trouble::Waiting {
            image: "a/b:1".to_owned(),
            reason: "ErrImagePull".to_owned(),
            message: String::new(),
        };
        let down = check(&webhook(2, 0), Some(&pulling));
        assert_eq!(
            down.detail.unwrap_or_default(),
            "0 of 2 replicas are available: image a/b:1: ErrImagePull"
        );
        assert_eq!(check(&webhook(2, 2), None).result, Verdict::Ok);
    }

    #[test]
    fn a_default_policy_without_a_host_is_worth_a_look() {
        let judge = |host: Option<&str>| {
            let flags = PolicyFlags {
                default_host: host.map(str::to_owned),
                ..PolicyFlags::default()
            };
            judge_policy(Check::ok("policies", "x"), default_policy(&flags))
        };
        assert_eq!(judge(Some("mcp.example.test")).result, Verdict::Ok);
        let bare = judge(None);
        assert_eq!(bare.result, Verdict::Warn);
        assert!(bare.detail.unwrap_or_default().contains("spec.ingressHost"));
    }

    #[test]
    fn a_timeout_names_the_port_and_a_wrong_certificate_the_restart() {
        let hint = |why: &str| {
            not_proven(
                Check::ok("webhook", "x"),
                &Judged::NotAnswering(why.to_owned()),
            )
            .hint
            .unwrap_or_default()
        };
        assert!(hint("failed calling webhook: no endpoints available").starts_with(SETUP));
        assert!(hint("failed calling webhook: context deadline exceeded").contains("8443"));
        assert!(
            hint("failed calling webhook: x509: unknown authority").contains("rollout restart")
        );
    }
}
