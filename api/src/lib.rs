//! The API of the group `kubectl-mcp.dev`, version `v1alpha1`: one file per kind, and the names, labels and
//! conditions that every part agrees on.
//!
//! Everything of the project reads these types; nothing here reads a file, a clock or a network. The CRDs under
//! `manifests/crds/` are generated from here, so the comment on a field is what `kubectl explain` prints.

#![allow(
    unreachable_pub,
    reason = "the KubeSchema derive makes a private twin of each public type"
)]
#![allow(
    clippy::doc_markdown,
    reason = "the comment on a field is what kubectl explain prints, where backticks are noise"
)]
#![allow(
    clippy::struct_excessive_bools,
    reason = "the booleans of the status are part of the API"
)]

pub mod access;
pub mod conditions;
pub mod duration;
pub mod grant;
pub mod names;
pub mod policy;
pub mod prompt;
pub mod registry;
pub mod resource;
pub mod server;
pub mod session;
pub mod status;
pub mod tool;
pub mod workload;

pub use access::{Decision, Effect, ServerRef, ServiceAccountRef, SideEffect, Subject, Trust};
pub use grant::{GrantStatus, MCPAccessGrant, MCPAccessGrantSpec, ToolRule};
pub use policy::{
    AccessPolicy, CatalogRef, Defaults, EgressPolicy, Enforcement, GatewayPolicy, ImagePolicy,
    IngressPolicy, Limits, MCPPolicy, MCPPolicySpec, PolicyStatus, RegistryPolicy, RuleOverride,
    TeamMapping, WorkloadPolicy,
};
pub use prompt::{MCPPrompt, MCPPromptSpec, PromptVariable};
pub use registry::{
    ClusterSource, ConfigMapSource, GitSource, IncludeExclude, MCPRegistry, MCPRegistrySpec,
    RegistryFilter, RegistryFormat, RegistryPhase, RegistrySource, RegistrySourceType,
    RegistryStatus, RetryPolicy, SyncPolicy, SyncType, UrlSource,
};
pub use resource::{
    MCPResource, MCPResourceSpec, OperationParameter, ParameterPlace, ResourceContent,
    ResourceOperation,
};
pub use server::{
    Audit, AuditSink, Auth, AuthMode, ConfigMapRef, Gateway, GatewayRef, Issuer, IssuerClaims,
    MCPServer, MCPServerSpec, NamedItem, NetworkPolicySpec, OAuth, PermissionProfile,
    PermissionProfileType, PinMode, Pins, PolicyMode, Protocol, REDACTABLE, RateLimit,
    RateLimitScope, Redis, Remote, RemoteService, SecretHeader, SecretKeyRef, ServerPolicy,
    SessionSettings, Stdio, StdioScope, Tool, Translate, Transport, TrustedProxy, VirtualConfig,
};
pub use session::{MCPAgentSession, MCPAgentSessionSpec, SessionPhase, SessionStatus};
pub use status::{Definition, Discovered, Phase, ServerInfo, ServerStatus};
pub use tool::{ItemStatus, MCPTool, MCPToolSpec, Method, ServiceTarget, ToolEntry, ToolView};
pub use workload::{Autoscaling, Canary, Rollout, RolloutStrategy};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt as _;

/// The API group of every kind of this project.
pub const GROUP: &str = "kubectl-mcp.dev";
/// The only served version.
pub const VERSION: &str = "v1alpha1";

/// The CRDs in the order in which `setup` applies them.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut crds = vec![
        MCPServer::crd(),
        MCPAccessGrant::crd(),
        MCPAgentSession::crd(),
        MCPPolicy::crd(),
        MCPTool::crd(),
        MCPPrompt::crd(),
        MCPResource::crd(),
        MCPRegistry::crd(),
    ];
    for crd in &mut crds {
        crd.metadata.labels = Some([(names::PART_OF.to_owned(), names::PROJECT.to_owned())].into());
        for version in &mut crd.spec.versions {
            let schema = version.schema.iter_mut();
            schema
                .flat_map(|s| s.open_api_v3_schema.iter_mut())
                .for_each(without_null);
        }
    }
    crds
}

/// Takes `null` out of a schema. The derive allows it for every optional field, but `kubectl apply` stumbles over a null
/// in an enum (kube#1906), and a field that is there and null would be neither set nor unset for CEL's `has()`.
fn without_null(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(values) = &mut schema.enum_ {
        values.retain(|value| !value.0.is_null());
    }
    schema
        .properties
        .iter_mut()
        .flat_map(|p| p.values_mut())
        .for_each(without_null);
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => without_null(items),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(without_null),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        without_null(values);
    }
}

#[cfg(test)]
mod tests;
