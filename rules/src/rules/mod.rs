//! One file per rule. A rule is a `RULE`: what is known of it, and the function that judges.
//!
//! To add one: a file here, a line in [`ALL`], a page in `docs/rules/`, fixtures in `tests/fixtures/rules/`; the
//! registry's tests say what is missing.

pub(crate) use crate::context::{Context, Report};
pub(crate) use crate::kind::Kind;
pub(crate) use crate::registry::{Class, Meta, Need, Plain, Rule};

pub use unsafe_annotation::HARMLESS as HARMLESS_ANNOTATIONS;

macro_rules! rules {
    ($($module:ident),+ $(,)?) => {
        $(mod $module;)+
        /// Every rule, by code.
        pub(crate) const ALL: &[&dyn Rule] = &[$(&$module::RULE),+];
    };
}

rules! {
    invalid_image,
    image_registry,
    mutable_tag,
    digest_required,
    tag_twice,
    override_form,
    no_provisioned_registry,
    pull_secret,
    not_in_catalogue,
    hidden_image,
    invalid_host,
    host_required,
    invalid_path,
    host_not_allowed,
    route_taken,
    reserved_path,
    unsafe_annotation,
    unknown_class,
    tls_required,
    path_prefix,
    both_paths,
    wildcard_host,
    one_source,
    name_too_long,
    name_clash,
    ports,
    quantities,
    replicas,
    env_names,
    literal_secret,
    missing_secret,
    host_access,
    template_container,
    rollout,
    stdio_command,
    stdio_fields,
    permission_profile,
    limits,
    remote_url,
    service_account,
    mount_paths,
    not_yet_supported,
    secret_reference,
    egress_not_allowed,
    gateway_required,
    unenforced,
    auth_mode,
    oauth_issuer,
    headers,
    observe,
    durations,
    rate_limit,
    audit_sink,
    weakened,
    issuer_not_allowed,
    trusted_proxy,
    bearer_in_clear,
    tool_names,
    misclassified,
    orphaned_rule,
    bad_pin,
    no_inventory,
    unknown_server,
    empty_subject,
    unknown_tool,
    dead_grant,
    expired,
    trust_ceiling,
    escalation,
    four_eyes,
    reason_required,
    immutable_ref,
    too_broad,
    own_identity,
    token_hash,
    lifetime,
    unrevoke,
    frozen,
    no_grant,
    upstream_secret,
    others_session,
    too_many_sessions,
    blocked_subject,
    duplicate_tool,
    nobody_selects,
    selects_nothing,
    missing_service,
    cross_namespace,
    input_schema,
    template_variables,
    path_parameters,
    content,
    service_path,
    redis,
    source,
    sync_policy,
    policy_entry,
    policy_selects_nothing,
    policy_contradiction,
    policy_breaks,
    in_use,
    unknown_field,
    forged_stamp,
    schema,
    terminating,
    owner_references,
}

/// Kinds that most rules share.
pub(crate) const SERVER: &[Kind] = &[Kind::Server];
pub(crate) const GRANT: &[Kind] = &[Kind::Grant];
pub(crate) const SESSION: &[Kind] = &[Kind::Session];
pub(crate) const POLICY: &[Kind] = &[Kind::Policy];

/// The field that the public path comes from.
pub(crate) fn path_field(spec: &api::MCPServerSpec) -> &'static str {
    if spec.ingress_path.is_none() && spec.public_path_prefix.is_some() {
        "spec.publicPathPrefix"
    } else {
        "spec.ingressPath"
    }
}

/// The field that decides from which registry the image comes.
pub(crate) fn image_field(spec: &api::MCPServerSpec) -> &'static str {
    if spec.registry_override.is_some() && spec.use_provisioned_registry != Some(true) {
        "spec.registryOverride"
    } else {
        "spec.image"
    }
}

/// A duration in the largest unit that says it whole.
pub(crate) fn say(duration: std::time::Duration) -> String {
    match duration.as_secs() {
        0 => format!("{}ms", duration.as_millis()),
        seconds if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds if seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

/// Names of objects, the first few of them: `grants 'a', 'b', 'c' and 4 more`.
pub(crate) fn some_of(kind: &str, names: &[&str]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<_> = names
        .iter()
        .take(SHOWN)
        .map(|name| format!("'{}'", crate::finding::escape(name)))
        .collect();
    let more = match names.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let plural = match (names.len(), kind.strip_suffix('y')) {
        (1, _) => kind.to_owned(),
        (_, Some(stem)) => format!("{stem}ies"),
        (_, None) => format!("{kind}s"),
    };
    format!("{plural} {}{more}", shown.join(", "))
}
