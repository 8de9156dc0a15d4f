//! Condition types, and how a condition is set so that its transition time moves only when its status does.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The spec could be understood and nothing stands in its way.
pub const ACCEPTED: &str = "Accepted";
/// Everything the spec asks for works.
pub const READY: &str = "Ready";
/// The Deployment has all its replicas.
pub const DEPLOYMENT_READY: &str = "DeploymentReady";
/// The Service has an address.
pub const SERVICE_READY: &str = "ServiceReady";
/// The Ingress has an address (or rules, in permissive mode).
pub const INGRESS_READY: &str = "IngressReady";
/// The gateway completed a handshake with the server.
pub const GATEWAY_READY: &str = "GatewayReady";
/// The access bundle is in place.
pub const POLICY_READY: &str = "PolicyReady";
/// The API server holds by itself what it can of a policy.
pub const FLOOR_READY: &str = "FloorReady";
/// A grant decides something now.
pub const EFFECTIVE: &str = "Effective";

/// One condition as it should be, before it is compared with what stands in the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// One of the constants of this module.
    pub type_: &'static str,
    /// True or False; Unknown is for a part that could not be looked at.
    pub status: Status,
    /// One `CamelCase` word of a closed list.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
}

/// The three values of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Status {
    True,
    False,
    Unknown,
}

impl Status {
    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Status {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

/// The conditions to store: `wanted`, each with the transition time it had in `old` if its status did not change.
/// Conditions of `old` that are not wanted are dropped.
pub fn merge(
    old: &[Condition],
    wanted: Vec<Wanted>,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    wanted
        .into_iter()
        .map(|w| {
            let since = old
                .iter()
                .find(|c| c.type_ == w.type_ && c.status == w.status.as_str())
                .map_or(Time(now), |c| c.last_transition_time.clone());
            Condition {
                type_: w.type_.to_owned(),
                status: w.status.as_str().to_owned(),
                reason: w.reason.to_owned(),
                message: w.message,
                observed_generation: generation,
                last_transition_time: since,
            }
        })
        .collect()
}
