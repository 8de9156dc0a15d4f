//! MCP0705 frozen: subject, server or token of a session was changed, its end moved back, or its trust raised.

use super::{Class, Context, Meta, Plain, Report, SESSION};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0705", "frozen", SESSION, Class::Structural)
        .summary("subject, server or token of a session was changed, its end moved back, or its trust raised")
        .never_ratchets(),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let (Some(new), Some(old)) = (context.session(), context.old_session()) else { return };
    let hint = "make a new session";
    for (field, changed) in [
        ("spec.serverRef", new.server_ref != old.server_ref),
        ("spec.subject", new.subject != old.subject),
        ("spec.tokenHash", new.token_hash != old.token_hash),
    ] {
        if changed {
            report.at(field).must("must not change").hint(hint);
        }
    }
    if new.expires_at.0 > old.expires_at.0 {
        report.at("spec.expiresAt").given(new.expires_at.0).must(format!("must not be after {}", old.expires_at.0)).hint(hint);
    }
    if new.consented_trust > old.consented_trust {
        report
            .at("spec.consentedTrust")
            .given(new.consented_trust)
            .must(format!("must not be above {}", old.consented_trust))
            .hint(hint);
    }
}
