//! MCP0811 redis: the Service or the password Secret of a virtual server's Redis is missing.

use api::{Redis, SecretKeyRef};

use crate::parse::near::meant;

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0811", "redis", SERVER, Class::Warning)
        .summary("the Service or its port, or the Secret or its key, of `redis` is missing")
        .needs(&[Need::Services, Need::Secrets]),
    check,
};

/// The port of a Redis that does not say.
const PORT: i32 = 6379;

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, _)) = context.server() else { return };
    let Some(redis) = &spec.redis else { return };
    service(context, redis, report);
    if let Some(reference) = &redis.password_secret_ref {
        secret(context, reference, report);
    }
}

fn service(context: &Context<'_>, redis: &Redis, report: &mut Report) {
    let Some(services) = context.services(report) else { return };
    let name = &redis.service_name;
    let Some(service) = services.get(&(context.namespace.to_owned(), name.clone())) else {
        let draft = report.at("spec.redis.serviceName").given(name);
        draft.must(format!("is no Service of namespace '{}' (yet)", context.namespace));
        let there = services.keys().filter(|(namespace, _)| namespace == context.namespace);
        if let Some(name) = meant(name, there.map(|(_, name)| name.as_str())) {
            draft.hint(format!("did you mean '{name}'?"));
        }
        return;
    };
    let port = redis.port.unwrap_or(PORT);
    if !service.external_name && !service.ports.iter().any(|there| i32::from(there.port) == port) {
        let draft = report.at("spec.redis.port").given(port);
        let ports: Vec<String> = service.ports.iter().map(|port| port.port.to_string()).collect();
        let ports = if ports.is_empty() { "none".to_owned() } else { ports.join(", ") };
        draft.must(format!("is no port of Service '{name}', which has {ports}"));
        if let [port] = service.ports.as_slice() {
            draft.hint(format!("port: {}", port.port));
        }
    }
}

fn secret(context: &Context<'_>, reference: &SecretKeyRef, report: &mut Report) {
    let Some(secrets) = context.secrets(report) else { return };
    let Some(secret) = secrets.get(&reference.name) else {
        let draft = report.at("spec.redis.passwordSecretRef.name").given(&reference.name);
        draft.must(format!("is no Secret of namespace '{}' (yet)", context.namespace));
        if let Some(name) = meant(&reference.name, secrets.keys().map(String::as_str)) {
            draft.hint(format!("did you mean '{name}'?"));
        }
        return;
    };
    if !secret.keys.contains(&reference.key) {
        let draft = report.at("spec.redis.passwordSecretRef.key").given(&reference.key);
        draft.must(format!("is no key of Secret '{}'", reference.name));
        if let Some(key) = meant(&reference.key, secret.keys.iter().map(String::as_str)) {
            draft.hint(format!("did you mean '{key}'?"));
        }
    }
}
