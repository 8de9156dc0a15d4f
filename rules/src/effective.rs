//! Every effective value of a server: what it says, else what the policies give, else the project's default.
//!
//! The one place where defaults are written down; webhook, operator, gateway and plugins read them here. It never
//! fails: a value out of range becomes the default, because rules refuse it before anything is built from it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::{
    AuditSink, AuthMode, Decision, MCPServer, MCPServerSpec, OAuth, PinMode, PolicyMode, RateLimit,
    RolloutStrategy, StdioScope, TeamMapping, Translate, Transport, Trust, TrustedProxy, duration,
};
use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::parse::quantity;
use crate::parse::route::Route;
use crate::policy::PolicySet;

pub mod provenance;

/// The server's own port.
pub const PORT: u16 = 8088;
/// Port of the Service.
pub const SERVICE_PORT: u16 = 80;
/// The gateway's port.
pub const GATEWAY_PORT: u16 = 8091;
/// The server's own path.
pub const PATH: &str = "/mcp";
/// Class of the Ingress.
pub const INGRESS_CLASS: &str = "traefik";
/// The public path, where neither server nor policy says.
pub const PATH_TEMPLATE: &str = "/{name}/mcp";
/// The longest life of an MCPAgentSession.
pub const MAX_SESSION_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// When an idle MCP protocol session ends.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);
/// How old a gateway's knowledge may become before it denies.
pub const MAX_STALENESS: Duration = Duration::from_secs(600);
/// How long a call may take. A person may be asked during a call, so it is long.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a call of a virtual server may take.
pub const VIRTUAL_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Calls at a time.
pub const MAX_CONCURRENT_REQUESTS: u32 = 100;
/// Live sessions of one requester on one server.
pub const SESSIONS_PER_REQUESTER: i32 = 20;

/// Processes of a stdio server.
pub const MAX_PROCESSES: u16 = 3;
/// When an idle process of a stdio server ends.
pub const STDIO_IDLE_TIMEOUT: Duration = Duration::from_secs(300);

const REQUESTS: [(&str, &str); 2] = [("cpu", "50m"), ("memory", "64Mi")];
const LIMITS: [(&str, &str); 2] = [("cpu", "500m"), ("memory", "256Mi")];

/// Every effective value of one server.
#[derive(Clone, Debug, PartialEq)]
pub struct Effective {
    /// The server's namespace.
    pub namespace: String,
    /// The server's name.
    pub name: String,
    /// The image as it is to run: after tag, override and provisioned registry.
    pub image: Option<String>,
    /// Pull secrets by name.
    pub image_pull_secrets: Vec<String>,
    /// Pods.
    pub replicas: i32,
    /// How the server speaks.
    pub transport: Transport,
    /// The server's own port.
    pub port: u16,
    /// Port of the Service.
    pub service_port: u16,
    /// The server's own path.
    pub path: String,
    /// Resources of the server's container.
    pub resources: ResourceRequirements,
    /// The service account that the server names.
    pub service_account: Option<String>,
    /// The server's container gets a token of the service account.
    pub server_token: bool,
    /// How the server is exposed; `None` with a Gateway API gateway.
    pub ingress: Option<Ingress>,
    /// The gateway in the server's pod.
    pub gateway: Gateway,
    /// How callers are known.
    pub auth: Auth,
    /// What happens to a call.
    pub policy: Policy,
    /// Sessions of callers.
    pub session: Session,
    /// Where the audit lines go.
    pub audit_sink: AuditSink,
    /// Where the audit lines go with sink http.
    pub audit_url: Option<String>,
    /// What is left out of audit lines.
    pub audit_redact: Vec<String>,
    /// Rate limits, as the server says them.
    pub rate_limits: Vec<RateLimit>,
    /// How long calls may take, and how many there may be at a time.
    pub requests: Requests,
    /// Whether the gateway translates for a server of another era.
    pub translate: Translate,
    /// What no grant or session gets beyond.
    pub access: Arc<Access>,
    /// How a change reaches the pods.
    pub rollout: RolloutStrategy,
    /// Processes of a stdio server.
    pub stdio: Stdio,
}

/// Processes of a stdio server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stdio {
    /// Who shares one.
    pub scope: StdioScope,
    /// Most at a time.
    pub max_processes: u16,
    /// When an idle one ends.
    pub idle_timeout: Duration,
}

/// How a server is exposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingress {
    /// Host; `None` answers on every host.
    pub host: Option<String>,
    /// Public path.
    pub path: String,
    /// Class.
    pub class: String,
    /// Annotations, as the server says them.
    pub annotations: BTreeMap<String, String>,
    /// TLS Secret.
    pub tls_secret: Option<String>,
}

/// The gateway in a server's pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// False is direct mode: nothing is enforced.
    pub enabled: bool,
    /// Its port.
    pub port: u16,
    /// Its image, when a policy says; else the operator's.
    pub image: Option<String>,
    /// Its resources, when the server says.
    pub resources: Option<ResourceRequirements>,
    /// Hosts beyond those that the operator derives.
    pub allowed_hosts: Vec<String>,
    /// Origins of browser clients.
    pub allowed_origins: Vec<String>,
}

/// How callers are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// The way.
    pub mode: AuthMode,
    /// Header with the person.
    pub human_id_header: String,
    /// Header with the agent.
    pub agent_id_header: String,
    /// Header with the team.
    pub team_id_header: String,
    /// Header with a session token beside another identity.
    pub session_id_header: String,
    /// Header with the bearer token.
    pub token_header: String,
    /// Issuers and scopes, with mode oauth.
    pub oauth: Option<OAuth>,
    /// Who may set the identity headers; empty but with mode header.
    pub trusted_proxies: Vec<TrustedProxy>,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether grants decide.
    pub mode: PolicyMode,
    /// When no grant matches.
    pub default_decision: Decision,
    /// For a tool that the spec does not declare.
    pub undeclared_tools: Decision,
    /// For a tool whose definition is not the approved one.
    pub pins: PinMode,
}

/// Sessions of callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Every call needs a session token.
    pub required: bool,
    /// The longest life of an MCPAgentSession: the server's, but never beyond the policies'.
    pub max_lifetime: Duration,
    /// When an idle MCP protocol session ends.
    pub idle_timeout: Duration,
}

/// How long calls may take, and how many there may be at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requests {
    /// From the arrival of a request to the end of its answer.
    pub timeout: Duration,
    /// Calls at a time, of all callers together, in one gateway.
    pub most: u32,
}

/// What no grant or session gets beyond.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The highest trust.
    pub max_trust: Option<Trust>,
    /// The longest life of a grant.
    pub max_grant_lifetime: Option<Duration>,
    /// The longest life of a session.
    pub max_session_lifetime: Option<Duration>,
    /// How old a gateway's knowledge may become before it denies.
    pub max_staleness: Duration,
    /// Which groups make a person a member of a team: the mappings of all policies.
    pub teams: Vec<TeamMapping>,
}

impl Effective {
    /// The URL for callers from outside, where the server has a host: also its name as an OAuth resource.
    pub fn public_url(&self) -> Option<String> {
        let route = self.ingress.as_ref()?;
        let host = route.host.as_ref()?;
        let scheme = if route.tls_secret.is_some() {
            "https"
        } else {
            "http"
        };
        Some(format!("{scheme}://{host}{}", route.path))
    }

    /// The URL for callers from inside the cluster.
    pub fn internal_url(&self) -> String {
        format!(
            "http://{}.{}.svc:{}/mcp",
            self.name, self.namespace, self.service_port
        )
    }

    /// The route that the server claims.
    pub fn route(&self) -> Option<Route> {
        self.ingress.as_ref().map(|ingress| Route {
            class: ingress.class.clone(),
            host: ingress.host.clone(),
            path: ingress.path.clone(),
            exact: false,
        })
    }
}

/// All effective values of a server under the policies that select its namespace.
pub fn effective(server: &MCPServer, policies: &PolicySet) -> Effective {
    let metadata = &server.metadata;
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    of_spec(
        &server.spec,
        namespace,
        metadata.name.as_deref().unwrap_or_default(),
        policies,
    )
}

/// The same, of a spec that is not in an object of its own yet.
pub(crate) fn of_spec(
    spec: &MCPServerSpec,
    namespace: &str,
    name: &str,
    policies: &PolicySet,
) -> Effective {
    Effective {
        image: resolve_image(spec, policies),
        image_pull_secrets: pull_secrets(spec, policies),
        replicas: spec
            .replicas
            .filter(|replicas| (0..=1000).contains(replicas))
            .unwrap_or(1),
        transport: spec.transport.unwrap_or_default(),
        port: port(spec.port, PORT),
        service_port: port(spec.service_port, SERVICE_PORT),
        path: spec.path.clone().unwrap_or_else(|| PATH.to_owned()),
        resources: resources(spec, policies),
        service_account: spec.service_account_name.clone(),
        server_token: spec.server_token.unwrap_or(false),
        ingress: ingress(spec, namespace, name, policies),
        gateway: gateway(spec, policies),
        auth: auth(spec),
        policy: policy(spec),
        session: session(spec, policies),
        audit_sink: spec
            .audit
            .as_ref()
            .and_then(|audit| audit.sink)
            .unwrap_or_default(),
        audit_url: spec.audit.as_ref().and_then(|audit| audit.url.clone()),
        audit_redact: spec
            .audit
            .as_ref()
            .map(|audit| audit.redact.clone())
            .unwrap_or_default(),
        rate_limits: spec.rate_limits.clone(),
        requests: requests(spec),
        translate: spec
            .protocol
            .as_ref()
            .and_then(|protocol| protocol.translate)
            .unwrap_or_default(),
        access: policies.access(),
        rollout: spec
            .rollout
            .as_ref()
            .and_then(|rollout| rollout.strategy)
            .unwrap_or_default(),
        stdio: stdio(spec),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

fn stdio(spec: &MCPServerSpec) -> Stdio {
    let given = spec.stdio.clone().unwrap_or_default();
    let idle = given.idle_timeout.as_deref();
    Stdio {
        scope: given.scope.unwrap_or_default(),
        max_processes: given
            .max_processes
            .and_then(|most| u16::try_from(most).ok())
            .filter(|most| (1..=100).contains(most))
            .unwrap_or(MAX_PROCESSES),
        idle_timeout: idle
            .and_then(|text| duration::parse(text).ok())
            .unwrap_or(STDIO_IDLE_TIMEOUT),
    }
}

fn port(given: Option<i32>, default: u16) -> u16 {
    given
        .and_then(|port| u16::try_from(port).ok())
        .filter(|port| *port > 0)
        .unwrap_or(default)
}

/// The image after tag, override and provisioned registry (design of mcp-runtime): the tag is appended only where the
/// image has neither tag nor digest; the registry takes the place of a first component that is a host.
fn resolve_image(spec: &MCPServerSpec, policies: &PolicySet) -> Option<String> {
    let mut image = spec.image.clone()?;
    if let Some(tag) = &spec.image_tag
        && !has_tag_or_digest(&image)
    {
        image = format!("{image}:{tag}");
    }
    let registry = if spec.use_provisioned_registry == Some(true) {
        policies
            .registry()
            .map(|(_, registry)| registry.host.as_str())
    } else {
        spec.registry_override.as_deref()
    };
    Some(match registry {
        Some(registry) => format!("{registry}/{}", without_host(&image)),
        None => image,
    })
}

/// The canary's image, where it names one of its own: resolved as the server's is.
pub(crate) fn canary_image(spec: &MCPServerSpec, policies: &PolicySet) -> Option<String> {
    let canary = spec.rollout.as_ref()?.canary.as_ref()?;
    if canary.image.is_none() && canary.image_tag.is_none() {
        return None;
    }
    let other = MCPServerSpec {
        image: canary.image.clone().or_else(|| spec.image.clone()),
        image_tag: canary.image_tag.clone(),
        registry_override: spec.registry_override.clone(),
        use_provisioned_registry: spec.use_provisioned_registry,
        ..MCPServerSpec::default()
    };
    resolve_image(&other, policies)
}

/// Whether a reference has a tag or a digest, by its text alone.
pub(crate) fn has_tag_or_digest(image: &str) -> bool {
    image.contains('@')
        || image
            .rsplit('/')
            .next()
            .is_some_and(|last| last.contains(':'))
}

fn without_host(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => rest,
        _ => image,
    }
}

fn pull_secrets(spec: &MCPServerSpec, policies: &PolicySet) -> Vec<String> {
    if !spec.image_pull_secrets.is_empty() {
        return spec.image_pull_secrets.clone();
    }
    policies
        .default_of(|defaults| {
            (!defaults.image_pull_secrets.is_empty()).then(|| defaults.image_pull_secrets.clone())
        })
        .map(|(_, secrets)| secrets)
        .unwrap_or_default()
}

/// The server's resources, else the policy's; a missing entry gets the default, moved to the other side's value where
/// the default alone would put the request above the limit.
fn resources(spec: &MCPServerSpec, policies: &PolicySet) -> ResourceRequirements {
    let mut resources = match &spec.resources {
        Some(resources) => resources.clone(),
        None => policies
            .default_of(|defaults| defaults.resources.clone())
            .map(|(_, r)| r)
            .unwrap_or_default(),
    };
    let mut requests = resources.requests.take().unwrap_or_default();
    let mut limits = resources.limits.take().unwrap_or_default();
    for ((key, request), (_, limit)) in REQUESTS.into_iter().zip(LIMITS) {
        if !requests.contains_key(key) {
            let value = limits
                .get(key)
                .filter(|limit| exceeds(request, &limit.0))
                .cloned();
            requests.insert(
                key.to_owned(),
                value.unwrap_or_else(|| Quantity(request.to_owned())),
            );
        }
        if !limits.contains_key(key) {
            let value = requests
                .get(key)
                .filter(|request| exceeds(&request.0, limit))
                .cloned();
            limits.insert(
                key.to_owned(),
                value.unwrap_or_else(|| Quantity(limit.to_owned())),
            );
        }
    }
    resources.requests = Some(requests);
    resources.limits = Some(limits);
    resources
}

/// Whether the first quantity is above the second. What is no quantity exceeds nothing.
fn exceeds(first: &str, second: &str) -> bool {
    match (quantity::parse(first), quantity::parse(second)) {
        (Ok(first), Ok(second)) => first > second,
        _ => false,
    }
}

fn ingress(
    spec: &MCPServerSpec,
    namespace: &str,
    name: &str,
    policies: &PolicySet,
) -> Option<Ingress> {
    if spec.gateway_ref.is_some() {
        return None;
    }
    let given = |own: &Option<String>, pick: fn(&api::Defaults) -> Option<&String>| {
        own.clone()
            .or_else(|| policies.default_of(pick).map(|(_, value)| value.clone()))
    };
    Some(Ingress {
        host: given(&spec.ingress_host, |defaults| {
            defaults.ingress_host.as_ref()
        }),
        path: public_path(spec, namespace, name, policies),
        class: given(&spec.ingress_class, |defaults| {
            defaults.ingress_class.as_ref()
        })
        .unwrap_or_else(|| INGRESS_CLASS.to_owned()),
        annotations: spec.ingress_annotations.clone(),
        tls_secret: given(&spec.ingress_tls_secret, |defaults| {
            defaults.ingress_tls_secret.as_ref()
        }),
    })
}

fn public_path(spec: &MCPServerSpec, namespace: &str, name: &str, policies: &PolicySet) -> String {
    if let Some(path) = &spec.ingress_path {
        return path.clone();
    }
    if let Some(prefix) = &spec.public_path_prefix {
        return format!("/{}/mcp", prefix.trim_matches('/'));
    }
    let template = policies.default_of(|defaults| defaults.path_template.as_deref());
    template
        .map_or(PATH_TEMPLATE, |(_, template)| template)
        .replace("{namespace}", namespace)
        .replace("{name}", name)
}

fn gateway(spec: &MCPServerSpec, policies: &PolicySet) -> Gateway {
    let given = spec.gateway.clone().unwrap_or_default();
    Gateway {
        enabled: given.enabled.unwrap_or(true),
        port: port(given.port, GATEWAY_PORT),
        image: policies
            .first(|spec| spec.gateway.as_ref()?.image.clone())
            .map(|(_, image)| image),
        resources: given.resources,
        allowed_hosts: given.allowed_hosts,
        allowed_origins: given.allowed_origins,
    }
}

fn auth(spec: &MCPServerSpec) -> Auth {
    let given = spec.auth.clone().unwrap_or_default();
    let header = |own: Option<String>, default: &str| own.unwrap_or_else(|| default.to_owned());
    let mode = given.mode.unwrap_or_default();
    Auth {
        mode,
        oauth: given.oauth.filter(|_| mode == AuthMode::OAuth),
        trusted_proxies: if mode == AuthMode::Header {
            given.trusted_proxies
        } else {
            Vec::new()
        },
        human_id_header: header(given.human_id_header, "X-MCP-Human-ID"),
        agent_id_header: header(given.agent_id_header, "X-MCP-Agent-ID"),
        team_id_header: header(given.team_id_header, "X-MCP-Team-ID"),
        session_id_header: header(given.session_id_header, "X-MCP-Agent-Session"),
        token_header: header(given.token_header, "Authorization"),
    }
}

fn policy(spec: &MCPServerSpec) -> Policy {
    let given = spec.policy.clone().unwrap_or_default();
    Policy {
        mode: given.mode.unwrap_or_default(),
        default_decision: given.default_decision.unwrap_or(Decision::Deny),
        undeclared_tools: given.undeclared_tools.unwrap_or(Decision::Deny),
        pins: given.pins.unwrap_or_default(),
    }
}

fn session(spec: &MCPServerSpec, policies: &PolicySet) -> Session {
    let given = spec.session.clone().unwrap_or_default();
    let read = |text: Option<String>| text.and_then(|text| duration::parse(&text).ok());
    let ceiling = policies.access().max_session_lifetime;
    let wanted = read(given.max_lifetime).unwrap_or(MAX_SESSION_LIFETIME);
    Session {
        required: given.required.unwrap_or(false),
        max_lifetime: ceiling.map_or(wanted, |ceiling| wanted.min(ceiling)),
        idle_timeout: read(given.idle_timeout).unwrap_or(IDLE_TIMEOUT),
    }
}

fn requests(spec: &MCPServerSpec) -> Requests {
    let given = spec.config.clone().unwrap_or_default();
    let usual = if spec.tool_selector.is_some() {
        VIRTUAL_REQUEST_TIMEOUT
    } else {
        REQUEST_TIMEOUT
    };
    Requests {
        timeout: given
            .request_timeout
            .and_then(|text| duration::parse(&text).ok())
            .filter(|timeout| !timeout.is_zero())
            .unwrap_or(usual),
        most: given
            .max_concurrent_requests
            .and_then(|most| u32::try_from(most).ok())
            .filter(|most| *most > 0)
            .unwrap_or(MAX_CONCURRENT_REQUESTS),
    }
}

impl Access {
    pub(crate) fn of(policies: &PolicySet) -> Self {
        let shortest = |pick| policies.shortest(pick).map(|(_, duration)| duration);
        Self {
            max_trust: policies.max_trust().map(|(_, trust)| trust),
            max_grant_lifetime: shortest(|access| access.max_grant_lifetime.as_ref()),
            max_session_lifetime: shortest(|access| access.max_session_lifetime.as_ref()),
            max_staleness: shortest(|access| access.max_staleness.as_ref())
                .unwrap_or(MAX_STALENESS),
            teams: policies
                .iter()
                .filter_map(|(_, spec)| spec.access.as_ref()?.teams.as_ref())
                .flatten()
                .cloned()
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests;
