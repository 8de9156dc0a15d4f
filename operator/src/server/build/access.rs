//! The access bundle and its ConfigMap.

use ::access::{Bundle, Ceilings, HeaderNames, Settings};
use api::names;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ObjectMeta;
use rules::Effective;

/// What decides beside grants and sessions, from the effective values.
pub fn settings(effective: &Effective) -> Settings {
    let public = effective.ingress.as_ref();
    let mut paths = vec!["/mcp".to_owned()];
    paths.extend(
        public
            .map(|route| route.path.clone())
            .filter(|path| path != "/mcp"),
    );
    let (name, namespace) = (&effective.name, &effective.namespace);
    let mut hosts = vec![
        name.clone(),
        format!("{name}.{namespace}"),
        format!("{name}.{namespace}.svc"),
        format!("{name}.{namespace}.svc.cluster.local"),
    ];
    hosts.extend(public.and_then(|route| route.host.clone()));
    hosts.extend(effective.gateway.allowed_hosts.iter().cloned());
    let own = effective.session.max_lifetime;
    Settings {
        namespace: namespace.clone(),
        server: name.clone(),
        auth: effective.auth.mode,
        headers: HeaderNames {
            token: effective.auth.token_header.clone(),
            session: effective.auth.session_id_header.clone(),
            human: effective.auth.human_id_header.clone(),
            agent: effective.auth.agent_id_header.clone(),
            team: effective.auth.team_id_header.clone(),
        },
        mode: effective.policy.mode,
        default_decision: effective.policy.default_decision,
        undeclared_tools: effective.policy.undeclared_tools,
        session_required: effective.session.required,
        ceilings: Ceilings {
            max_trust: effective.access.max_trust,
            max_grant_lifetime: effective.access.max_grant_lifetime,
            max_session_lifetime: Some(
                effective
                    .access
                    .max_session_lifetime
                    .map_or(own, |policy| policy.min(own)),
            ),
            max_staleness: effective.access.max_staleness,
        },
        paths,
        hosts,
        origins: effective.gateway.allowed_origins.clone(),
        audit: effective.audit_sink,
    }
}

/// The ConfigMap of a bundle.
pub fn config_map(bundle: &Bundle) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(names::access_config_map(&bundle.server)),
            namespace: Some(bundle.namespace.clone()),
            labels: Some(super::labels(&bundle.server)),
            ..ObjectMeta::default()
        },
        data: Some([(names::BUNDLE_KEY.to_owned(), bundle.to_json())].into()),
        ..ConfigMap::default()
    }
}
