//! MCP0702 token-hash: the hash is not 64 hexadecimal digits, or another session has it.

use crate::context::known;

use super::{Class, Context, Meta, Need, Plain, Report, SESSION};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0702", "token-hash", SESSION, Class::Structural)
        .summary("the hash is not 64 hexadecimal digits, or another session has it")
        .needs(&[Need::Sessions]),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some(spec) = context.session() else { return };
    let hash = spec.token_hash.as_str();
    if hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        report
            .at("spec.tokenHash")
            .judging(hash)
            .must("must be 64 lower-case hexadecimal digits, the SHA-256 of the token")
            .hint("kubectl mcp session create makes the token and its hash");
        return;
    }
    let Some(sessions) = known(&context.facts.sessions, Need::Sessions, report) else { return };
    let taken = sessions.iter().any(|other| {
        let here = other.metadata.namespace.as_deref() == Some(context.namespace);
        let itself = other.metadata.name.as_deref() == Some(context.name);
        here && !itself && other.spec.server_ref == spec.server_ref && other.spec.token_hash == hash
    });
    if taken {
        report.at("spec.tokenHash").judging(hash).must("must not be the hash of another session: make a new token");
    }
}
