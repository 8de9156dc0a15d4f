//! The proof that admission works: a server-side dry run of a good `MCPServer` that must be accepted, and of a bad one
//! that must be refused by our own rule. Nothing is stored.

use std::time::{Duration, Instant};

use api::{AuthMode, MCPPolicySpec};
use kube::Client;
use kube::api::{DynamicObject, PostParams};
use serde_json::{Value, json};

use crate::kinds;

/// What a dry run of one server came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It would be stored.
    Accepted,
    /// Refused by a rule of ours, in the webhook.
    Refused(String),
    /// The API server could not ask the webhook.
    NotAnswering(String),
    /// The caller may not create servers there.
    Forbidden(String),
    /// Anything else, in the API server's words.
    Failed(String),
}

/// Both verdicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    /// Of a server that keeps to the default policy.
    pub(crate) good: Verdict,
    /// Of a server whose image is no image, which rule MCP0101 refuses whatever a policy says.
    pub(crate) bad: Verdict,
    /// How long the API server took for the good one.
    pub(crate) round_trip: Duration,
}

impl Proof {
    /// Whether the webhook judged both: a good one that some other policy refuses is judged, too.
    pub(crate) fn holds(&self) -> bool {
        matches!(self.good, Verdict::Accepted | Verdict::Refused(_)) && self.refuses_bad()
    }

    /// Whether the bad server was refused for what is wrong with it.
    pub(crate) fn refuses_bad(&self) -> bool {
        matches!(&self.bad, Verdict::Refused(message) if message.contains(BAD_RULE))
    }

    /// What is missing, for people.
    pub(crate) fn missing(&self) -> String {
        match (&self.good, &self.bad) {
            (Verdict::NotAnswering(why) | Verdict::Forbidden(why) | Verdict::Failed(why), _) => {
                why.clone()
            }
            (_, Verdict::Accepted) => "a server with an invalid image was accepted".to_owned(),
            (
                _,
                Verdict::Refused(why)
                | Verdict::NotAnswering(why)
                | Verdict::Forbidden(why)
                | Verdict::Failed(why),
            ) => why.clone(),
        }
    }
}

const BAD_RULE: &str = "MCP0101";
const NAME: &str = "kubectl-mcp-check";

/// Asks the API server for both verdicts in that namespace.
pub(crate) async fn prove(
    client: &Client,
    namespace: &str,
    policy: Option<&MCPPolicySpec>,
) -> Proof {
    let begin = Instant::now();
    let good = propose(client, &good_server(namespace, policy)).await;
    let round_trip = begin.elapsed();
    let bad = propose(client, &bad_server(namespace)).await;
    Proof {
        good,
        bad,
        round_trip,
    }
}

async fn propose(client: &Client, server: &Value) -> Verdict {
    let object: DynamicObject = match serde_json::from_value(server.clone()) {
        Ok(object) => object,
        Err(error) => return Verdict::Failed(error.to_string()),
    };
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    match kinds::api(client, server).create(&params, &object).await {
        Ok(_) => Verdict::Accepted,
        Err(kube::Error::Api(status)) => {
            verdict(status.code, common::api_error::status_message(&status))
        }
        Err(error) => match common::api_error::api_error(String::new(), &error) {
            common::Error::Api { message, .. } => Verdict::Failed(message),
            other => Verdict::Failed(other.to_string()),
        },
    }
}

/// Reads the API server's refusal.
fn verdict(code: u16, message: String) -> Verdict {
    if message.contains("failed calling webhook") {
        Verdict::NotAnswering(message)
    } else if names_a_rule(&message) && !message.contains("ValidatingAdmissionPolicy") {
        Verdict::Refused(message)
    } else if code == 403 {
        Verdict::Forbidden(message)
    } else {
        Verdict::Failed(message)
    }
}

/// Whether a code such as MCP0101 stands in the text.
fn names_a_rule(text: &str) -> bool {
    text.match_indices("MCP").any(|(at, _)| {
        let digits = text.as_bytes().get(at + 3..at + 7);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_digit))
    })
}

/// A server that keeps to the default policy, as far as one can be made up for any policy.
fn good_server(namespace: &str, policy: Option<&MCPPolicySpec>) -> Value {
    let registry = policy
        .and_then(|p| {
            p.images
                .as_ref()?
                .allowed_registries
                .as_ref()?
                .first()
                .cloned()
        })
        .unwrap_or_else(|| "registry.example.com".to_owned());
    let mut spec = json!({
        "image": format!("{registry}/{NAME}@sha256:{}", "0".repeat(64)),
        "tools": [{"name": "check"}],
    });
    let (defaults, ingress) = (
        policy.and_then(|p| p.defaults.as_ref()),
        policy.and_then(|p| p.ingress.as_ref()),
    );
    if defaults.is_none_or(|d| d.ingress_host.is_none()) {
        let allowed = ingress.and_then(|i| i.allowed_hosts.as_ref()?.first());
        let host = allowed.map_or_else(
            || format!("{NAME}.example.com"),
            |host| host.replacen('*', NAME, 1),
        );
        spec["ingressHost"] = json!(host);
    }
    if defaults.is_none_or(|d| d.ingress_class.is_none())
        && let Some(class) = ingress.and_then(|i| i.allowed_classes.as_ref()?.first())
    {
        spec["ingressClass"] = json!(class);
    }
    if defaults.is_none_or(|d| d.ingress_tls_secret.is_none())
        && ingress.is_some_and(|i| i.require_tls == Some(true))
    {
        spec["ingressTLSSecret"] = json!(NAME);
    }
    if let Some(prefix) = ingress.and_then(|i| i.allowed_path_prefixes.as_ref()?.first()) {
        let prefix = prefix.replace("{namespace}", namespace);
        spec["ingressPath"] = json!(format!("{}/{NAME}/mcp", prefix.trim_end_matches('/')));
    }
    if let Some(modes) = policy.and_then(|p| p.access.as_ref()?.allowed_auth_modes.as_ref())
        && !modes.contains(&AuthMode::Session)
        && let Some(mode) = modes.first()
    {
        spec["auth"] = json!({ "mode": mode });
    }
    server(namespace, &spec)
}

/// A server that the schema lets through and MCP0101 never does.
fn bad_server(namespace: &str) -> Value {
    server(
        namespace,
        &json!({"image": "this is not an image", "tools": [{"name": "check"}]}),
    )
}

fn server(namespace: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": format!("{}/{}", api::GROUP, api::VERSION),
        "kind": "MCPServer",
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": spec,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::{PolicyFlags, default_policy};

    #[test]
    fn the_good_server_keeps_to_the_policy_of_the_flags() {
        let flags = PolicyFlags {
            allow_hosts: vec!["*.example.org".to_owned()],
            allow_registries: vec!["ghcr.io/acme".to_owned()],
            require_tls: true,
            ..PolicyFlags::default()
        };
        let server = good_server("ns", Some(&default_policy(&flags).spec));
        assert_eq!(
            server["spec"]["ingressHost"],
            "kubectl-mcp-check.example.org"
        );
        assert_eq!(server["spec"]["ingressTLSSecret"], "kubectl-mcp-check");
        assert!(
            server["spec"]["image"]
                .as_str()
                .unwrap()
                .starts_with("ghcr.io/acme/kubectl-mcp-check@sha256:0000")
        );
    }

    #[test]
    fn a_default_host_is_left_to_the_webhook() {
        let flags = PolicyFlags {
            default_host: Some("mcp.example.org".to_owned()),
            ..PolicyFlags::default()
        };
        let server = good_server("ns", Some(&default_policy(&flags).spec));
        assert_eq!(server["spec"].get("ingressHost"), None);
    }

    #[test]
    fn refusals_are_told_apart() {
        let words = |text: &str| text.to_owned();
        assert_eq!(
            verdict(422, words("spec.image: x (MCP0101)")),
            Verdict::Refused(words("spec.image: x (MCP0101)"))
        );
        assert_eq!(
            verdict(403, words("not allowed")),
            Verdict::Forbidden(words("not allowed"))
        );
        assert_eq!(
            verdict(422, words("spec.image: MCPServer")),
            Verdict::Failed(words("spec.image: MCPServer"))
        );
        let down = words(
            "Internal error occurred: failed calling webhook \"run-kubectl-mcp-check.kubectl-mcp.dev\"",
        );
        assert_eq!(verdict(500, down.clone()), Verdict::NotAnswering(down));
        let floor =
            words("ValidatingAdmissionPolicy 'kubectl-mcp-stamps' denied request: MCP0910: x");
        assert_eq!(
            verdict(403, floor.clone()),
            Verdict::Forbidden(floor),
            "the floor is not the webhook"
        );
    }

    #[test]
    fn only_a_refusal_by_the_rule_for_images_proves_the_webhook() {
        let proof = |good: Verdict, bad: Verdict| Proof {
            good,
            bad,
            round_trip: Duration::ZERO,
        };
        let refused = |text: &str| Verdict::Refused(text.to_owned());
        assert!(proof(Verdict::Accepted, refused("MCP0101")).holds());
        assert!(proof(refused("MCP0316"), refused("MCP0101")).holds());
        assert!(!proof(Verdict::Accepted, Verdict::Accepted).holds());
        assert!(!proof(Verdict::Accepted, refused("MCP0910")).holds());
        assert!(!proof(Verdict::NotAnswering(String::new()), refused("MCP0101")).holds());
    }
}
