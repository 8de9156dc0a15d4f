//! MCP0308 literal-secret: a literal value in `env` has the name or the shape of a secret; a warning without `workload.forbidLiteralSecrets`.

use api::names::SESSION_TOKEN_PREFIX;
use k8s_openapi::api::core::v1::EnvVar;

use crate::finding::escape;

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0308", "literal-secret", SERVER, Class::Policy)
        .summary("a literal value in `env` has the name or the shape of a secret; a warning without `workload.forbidLiteralSecrets`")
        .mentioned_by(|spec| spec.workload.as_ref().is_some_and(|workload| workload.forbid_literal_secrets == Some(true))),
    check,
};

/// Parts of a name between underscores that say "secret".
const WORDS: [&str; 11] = [
    "TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "PWD", "APIKEY", "KEY", "CREDENTIAL", "CREDENTIALS", "PAT",
];
/// Last parts of a name that say "only about a secret": where it is, which one, how long it lives.
const ABOUT: [&str; 12] =
    ["FILE", "PATH", "DIR", "URL", "ID", "NAME", "TTL", "EXPIRY", "LENGTH", "LIMIT", "TYPE", "HEADER"];
/// What tokens of well-known services begin with, and how long they are at least.
const SHAPES: [(&str, usize); 19] = [
    ("ghp_", 36), ("gho_", 36), ("ghu_", 36), ("ghs_", 36), ("ghr_", 36), ("github_pat_", 40), ("glpat-", 20),
    ("sk-", 20), ("sk_live_", 20), ("rk_live_", 20), ("xoxb-", 20), ("xoxp-", 20), ("xapp-", 20), ("AKIA", 20),
    ("AIza", 35), ("npm_", 36), ("hf_", 30), ("dop_v1_", 40), (SESSION_TOKEN_PREFIX, 20),
];

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, _)) = context.server() else { return };
    judge(context, "spec.env", &spec.env, report);
    let Some(pod) = spec.pod_template.as_ref().and_then(|template| template.spec.as_ref()) else { return };
    for (list, containers) in [("containers", Some(&pod.containers)), ("initContainers", pod.init_containers.as_ref())] {
        for (index, container) in containers.into_iter().flatten().enumerate() {
            let env = container.env.as_deref().unwrap_or_default();
            judge(context, &format!("spec.podTemplate.spec.{list}[{index}].env"), env, report);
        }
    }
}

fn judge(context: &Context<'_>, path: &str, env: &[EnvVar], report: &mut Report) {
    for (index, variable) in env.iter().enumerate() {
        let Some(value) = variable.value.as_deref().filter(|value| !value.is_empty()) else { continue };
        let name = escape(&variable.name);
        let why = if is_secret_name(&variable.name) {
            format!("'{name}' names a secret")
        } else if is_secret_shape(value) {
            format!("the value of '{name}' has the shape of a token")
        } else {
            continue;
        };
        report
            .at(format!("{path}[{index}].value"))
            .judging(value)
            .must(format!("must not be a literal: {why}"))
            .hint(format!("valueFrom: {{secretKeyRef: {{name: {}-secrets, key: {name}}}}}", context.name_in_hints()));
    }
}

fn is_secret_name(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let parts: Vec<&str> = upper.split(['_', '-', '.']).collect();
    let about = parts.last().is_some_and(|last| ABOUT.contains(last));
    let public = parts.windows(2).any(|pair| pair == ["PUBLIC", "KEY"]);
    let word = parts.iter().any(|part| WORDS.contains(part));
    let inside = ["PASSWORD", "APIKEY", "SECRET"].iter().any(|word| upper.contains(word)) || upper.ends_with("TOKEN");
    !about && !public && (word || inside)
}

fn is_secret_shape(value: &str) -> bool {
    let value = value.trim();
    let token = SHAPES.iter().any(|(prefix, length)| {
        value.starts_with(prefix) && value.len() >= *length && value.bytes().all(|b| b.is_ascii_graphic())
    });
    let jwt = value.starts_with("eyJ") && value.split('.').count() == 3;
    let private_key = value.starts_with("-----BEGIN ") && value.contains("PRIVATE KEY");
    token || jwt || private_key || has_password(value)
}

/// `scheme://user:password@host`.
fn has_password(value: &str) -> bool {
    let Some((_, rest)) = value.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let Some((user, _)) = authority.rsplit_once('@') else { return false };
    user.split_once(':').is_some_and(|(_, password)| !password.is_empty() && !password.starts_with("$("))
}
