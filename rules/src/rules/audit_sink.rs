//! MCP0409 audit-sink: the audit goes nowhere, in clear, outside `egress.allowed`, or with a Secret that is for something else.

use api::{Audit, AuditSink, MCPPolicySpec, MCPServerSpec, REDACTABLE, SecretKeyRef, names};

use crate::effective::Effective;
use crate::finding::escape;
use crate::parse::address::Place;
use crate::parse::egress::EgressEntry;
use crate::parse::near;
use crate::parse::url::{OutsideUrl, UrlFault, meant, quotable};

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0409", "audit-sink", SERVER, Class::Policy)
        .summary(
            "the audit URL is outside `egress.allowed` or not https, or its key comes from a Secret of another purpose; always \
             refused: a sink `http` without a usable URL, and an unknown field `@...` in `redact`",
        )
        .needs(&[Need::Policies, Need::Secrets])
        .mentioned_by(|spec| list(spec).is_some()),
    check,
};

/// Types of Secrets that hold a key of somebody's choosing.
const PLAIN: [&str; 3] = ["", "Opaque", "kubernetes.io/basic-auth"];

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, effective)) = context.server() else { return };
    let Some(audit) = &spec.audit else { return };
    match (effective.audit_sink, &audit.url) {
        (AuditSink::Http, None) => {
            report
                .at("spec.audit.url")
                .must("must be given with sink http: the audit would go nowhere")
                .hint("url: https://audit.example.com/mcp")
                .structural();
        }
        (sink @ (AuditSink::Stdout | AuditSink::Off), Some(url)) => {
            report
                .at("spec.audit.url")
                .given(quotable(url))
                .judging(url)
                .must(format!("is not used with sink {sink}"))
                .hint("sink: http")
                .warning();
        }
        (AuditSink::Http, Some(_)) | (AuditSink::Stdout | AuditSink::Off, None) => {}
    }
    redact(audit, report);
    if let Some(url) = &audit.url {
        target(context, url, report);
    }
    if let Some(reference) = &audit.api_key_secret_ref {
        key(context, spec, effective, reference, report);
    }
}

/// A field that no line has would hide nothing.
fn redact(audit: &Audit, report: &mut Report) {
    for (index, entry) in audit.redact.iter().enumerate() {
        if entry.starts_with('@') && !REDACTABLE.contains(&entry.as_str()) {
            let draft = report.at(format!("spec.audit.redact[{index}]")).given(entry);
            draft
                .must(format!("must be the name of an argument, or one of {}", REDACTABLE.join(", ")))
                .hint(format!("- \"{}\"", near::meant(entry, REDACTABLE).unwrap_or(REDACTABLE[0])))
                .structural();
        }
    }
}

fn target(context: &Context<'_>, text: &str, report: &mut Report) {
    let field = "spec.audit.url";
    let url = match OutsideUrl::parse(text) {
        Ok(url) if url.place().can_be_allowed() => url,
        unusable => {
            let fault = unusable.map_or_else(|fault| fault, |url| UrlFault::Inside(url.place()));
            let draft = report.at(field).given(quotable(text)).judging(text).must(fault.requirement()).structural();
            if let Some(meant) = meant(text) {
                draft.hint(format!("url: {}", quotable(&meant)));
            }
            return;
        }
    };
    // What the policies could not be asked about is noted, and https is asked for in any case.
    let known = context.policies(report).is_some();
    let covering = |spec: &MCPPolicySpec| -> Option<Vec<EgressEntry>> {
        let entries = list(spec)?.iter().filter_map(|entry| EgressEntry::parse(entry).ok());
        let inside = url.place() != Place::Public;
        Some(entries.filter(|entry| entry.covers(&url) && (!inside || entry.opens_inside())).collect())
    };
    let refusing = context.selected().first(|spec| covering(spec).filter(Vec::is_empty));
    if let Some((policy, _)) = refusing.filter(|_| known) {
        report
            .at(field)
            .given(quotable(text))
            .judging(text)
            .must(format!("must be within egress.allowed of MCPPolicy '{policy}'"))
            .hint(format!("ask a platform engineer to add '{}' to egress.allowed", escape(url.host())));
    }
    let plain = context.selected().any(|spec| covering(spec).is_some_and(|entries| entries.iter().any(EgressEntry::allows_plain)));
    if !url.is_https() && !plain {
        let secure = text.replacen("http://", "https://", 1);
        let draft = report.at(field).given(quotable(text)).judging(text).must(UrlFault::Insecure.requirement());
        draft.hint(format!("url: {}", quotable(&secure)));
    }
}

fn key(context: &Context<'_>, spec: &MCPServerSpec, effective: &Effective, reference: &SecretKeyRef, report: &mut Report) {
    let field = "spec.audit.apiKeySecretRef";
    let mut refuse = |purpose: &str| {
        report
            .at(field)
            .given(&reference.name)
            .judging(&reference.key)
            .must(format!("must be a Secret for the audit sink: {purpose}, and would be sent to {}", host(spec.audit.as_ref())))
            .hint(format!("kubectl create secret generic {}-audit -n {} --from-file=key=FILE", context.name_in_hints(), context.namespace));
    };
    if let Some(purpose) = other_purpose(context.name, spec, effective, reference) {
        return refuse(purpose);
    }
    let Some(secrets) = context.facts.secrets.get() else {
        return report.unchecked(Need::Secrets);
    };
    if let Some(secret) = secrets.get(&reference.name).filter(|secret| !PLAIN.contains(&secret.kind.as_str())) {
        refuse(&format!("this one is of type {}", escape(&secret.kind)));
    }
}

/// What the server uses the same Secret for. One that is all of one purpose is taken by its name, others by name and key.
fn other_purpose(name: &str, spec: &MCPServerSpec, effective: &Effective, reference: &SecretKeyRef) -> Option<&'static str> {
    let ingress = effective.ingress.as_ref().and_then(|ingress| ingress.tls_secret.as_ref());
    let remote = spec.remote.iter().flat_map(|remote| &remote.headers_from_secret).map(|header| &header.secret_key_ref);
    let redis = spec.redis.iter().filter_map(|redis| redis.password_secret_ref.as_ref());
    let env = spec.env.iter().filter_map(|env| env.value_from.as_ref()?.secret_key_ref.as_ref());
    if ingress == Some(&reference.name) {
        Some("this one is the Ingress's TLS key")
    } else if effective.image_pull_secrets.contains(&reference.name) {
        Some("this one pulls images")
    } else if names::upstream_secret(name) == reference.name {
        Some("this one holds the sessions' upstream tokens")
    } else if remote.into_iter().any(|other| other == reference) {
        Some("this key is a header for the remote server")
    } else if redis.into_iter().any(|other| other == reference) {
        Some("this key is the password of Redis")
    } else if env.into_iter().any(|other| other.name == reference.name && other.key == reference.key) {
        Some("this key is the server's own")
    } else {
        None
    }
}

/// Where the key would be sent to.
fn host(audit: Option<&Audit>) -> String {
    let url = audit.and_then(|audit| OutsideUrl::parse(audit.url.as_ref()?).ok());
    url.map_or_else(|| "the audit sink".to_owned(), |url| url.host().to_owned())
}

fn list(spec: &MCPPolicySpec) -> Option<&Vec<String>> {
    spec.egress.as_ref()?.allowed.as_ref()
}
