//! `MCPPolicy/default`: the template, and what the flags of `setup` say on top of it.

use api::{MCPPolicy, MCPPolicySpec, names};
use serde_json::Value;

use super::yaml;

/// What the flags of `setup` say about the default policy. Everything empty says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyFlags {
    /// Host for servers that name none; it is allowed, too.
    pub default_host: Option<String>,
    /// Further hosts that servers may name.
    pub allow_hosts: Vec<String>,
    /// Registries that images may come from.
    pub allow_registries: Vec<String>,
    /// Ingress class for servers that name none.
    pub ingress_class: Option<String>,
    /// TLS Secret for servers that name none.
    pub default_tls_secret: Option<String>,
    /// Every server must have a TLS Secret.
    pub require_tls: bool,
}

/// The default policy of a first installation.
///
/// # Panics
/// Never: its template is compiled in.
pub fn default_policy(flags: &PolicyFlags) -> MCPPolicy {
    let documents =
        yaml::documents(include_str!("../../templates/policy.yaml")).expect("the template is YAML");
    let template = documents.into_iter().next().unwrap_or(Value::Null);
    let mut policy: MCPPolicy =
        serde_json::from_value(template).expect("the template is an MCPPolicy");
    policy.spec = merge_policy(policy.spec, flags);
    policy.metadata.name = Some(names::DEFAULT_POLICY.to_owned());
    policy
}

/// A policy with the flags added: single values are replaced, lists grow, nothing is taken away. Without flags it is
/// the policy as it was, so a second `setup` changes nothing.
///
/// A list that is absent allows everything, so the first `--allow-host`, `--default-host` or `--allow-registry` makes
/// the list and means *only these*.
pub fn merge_policy(mut spec: MCPPolicySpec, flags: &PolicyFlags) -> MCPPolicySpec {
    let PolicyFlags {
        default_host,
        allow_hosts,
        allow_registries,
        ingress_class,
        default_tls_secret,
        require_tls,
    } = flags;
    if default_host.is_some() || ingress_class.is_some() || default_tls_secret.is_some() {
        let defaults = spec.defaults.get_or_insert_default();
        replace(&mut defaults.ingress_host, default_host.as_ref());
        replace(&mut defaults.ingress_class, ingress_class.as_ref());
        replace(
            &mut defaults.ingress_tls_secret,
            default_tls_secret.as_ref(),
        );
    }
    if default_host.is_some() || !allow_hosts.is_empty() || ingress_class.is_some() || *require_tls
    {
        let ingress = spec.ingress.get_or_insert_default();
        if default_host.is_some() || !allow_hosts.is_empty() {
            extend(
                ingress.allowed_hosts.get_or_insert_default(),
                default_host.iter().chain(allow_hosts),
            );
        }
        // The default class must be one of those allowed, where the policy restricts them.
        if let (Some(classes), Some(class)) = (&mut ingress.allowed_classes, ingress_class) {
            extend(classes, std::iter::once(class));
        }
        if *require_tls {
            ingress.require_tls = Some(true);
        }
    }
    if !allow_registries.is_empty() {
        let images = spec.images.get_or_insert_default();
        extend(
            images.allowed_registries.get_or_insert_default(),
            allow_registries.iter(),
        );
    }
    spec
}

fn replace(slot: &mut Option<String>, value: Option<&String>) {
    if let Some(value) = value {
        *slot = Some(value.clone());
    }
}

fn extend<'a>(list: &mut Vec<String>, values: impl Iterator<Item = &'a String>) {
    for value in values {
        if !list.contains(value) {
            list.push(value.clone());
        }
    }
}
