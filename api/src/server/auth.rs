//! How callers of a server are known.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::words;

/// How callers are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "!(has(self.mode) && self.mode == 'header') || (has(self.trustedProxies) && size(self.trustedProxies) > 0)"
).message("mode header needs trustedProxies"))]
#[x_kube(validation = Rule::new(
    "!(has(self.mode) && self.mode == 'oauth') || (has(self.oauth) && has(self.oauth.issuers) && size(self.oauth.issuers) > 0)"
).message("mode oauth needs oauth.issuers"))]
pub struct Auth {
    /// session when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<AuthMode>,
    /// Header with the person. X-MCP-Human-ID when absent.
    #[serde(
        rename = "humanIDHeader",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
    )]
    pub human_id_header: Option<String>,
    /// Header with the agent. X-MCP-Agent-ID when absent.
    #[serde(
        rename = "agentIDHeader",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
    )]
    pub agent_id_header: Option<String>,
    /// Header with the team. X-MCP-Team-ID when absent.
    #[serde(
        rename = "teamIDHeader",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
    )]
    pub team_id_header: Option<String>,
    /// Header with a session token beside another identity. X-MCP-Agent-Session when absent.
    #[serde(
        rename = "sessionIDHeader",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
    )]
    pub session_id_header: Option<String>,
    /// Header with the bearer token. Authorization when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
    )]
    pub token_header: Option<String>,
    /// Who may set the identity headers, with mode header.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub trusted_proxies: Vec<TrustedProxy>,
    /// Issuers and scopes, with mode oauth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth: Option<OAuth>,
}

/// How callers are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum AuthMode {
    #[default]
    Session,
    OAuth,
    Kubernetes,
    Header,
    None,
}

/// Pods or addresses that may set identity headers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.podLabels) || has(self.namespaceLabels) || has(self.cidr)")
    .message("must have podLabels, namespaceLabels or cidr"))]
pub struct TrustedProxy {
    /// Pods of these labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pod_labels: BTreeMap<String, String>,
    /// Namespaces of these labels; this one when absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub namespace_labels: BTreeMap<String, String>,
    /// Addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub cidr: Option<String>,
}

/// The server as an OAuth resource server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OAuth {
    /// Scopes that every call needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 256)))]
    pub required_scopes: Vec<String>,
    /// Whose tokens are taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub issuers: Vec<Issuer>,
}

/// An issuer of OAuth tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("self.url.startsWith('https://')").message("url must begin with https://"))]
#[x_kube(validation = Rule::new("!has(self.jwksURL) || self.jwksURL.startsWith('https://')")
    .message("jwksURL must begin with https://"))]
pub struct Issuer {
    /// The `iss` of its tokens.
    #[schemars(length(min = 1, max = 2048))]
    pub url: String,
    /// Audiences that are taken; the server's URL when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 2048)))]
    pub audiences: Vec<String>,
    /// Where its keys are; discovered when absent.
    #[serde(rename = "jwksURL", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub jwks_url: Option<String>,
    /// Which claims hold whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<IssuerClaims>,
}

/// Names of claims.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IssuerClaims {
    /// The person. sub when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub human: Option<String>,
    /// The agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub agent: Option<String>,
    /// The team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub team: Option<String>,
    /// The scopes. scope when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub scopes: Option<String>,
}

words! {
    AuthMode {
        Session => "session", OAuth => "oauth", Kubernetes => "kubernetes", Header => "header", None => "none"
    }
}
