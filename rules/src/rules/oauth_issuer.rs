//! MCP0404 oauth-issuer: mode oauth without an issuer, or an issuer whose URL, keys or audiences cannot be relied upon.

use std::collections::BTreeSet;

use api::{AuthMode, Issuer};

use crate::parse::url::{OutsideUrl, UrlFault, meant, quotable};

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0404", "oauth-issuer", SERVER, Class::Structural).summary(
        "mode `oauth` without an issuer; an issuer or `jwksURL` that is not https or leads to a loopback or metadata address; an \
         empty audience",
    ),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, effective)) = context.server() else { return };
    let oauth = spec.auth.as_ref().and_then(|auth| auth.oauth.as_ref());
    let issuers = oauth.map(|oauth| oauth.issuers.as_slice()).unwrap_or_default();
    if effective.auth.mode == AuthMode::OAuth && issuers.is_empty() {
        report
            .at("spec.auth.oauth.issuers")
            .must("must name an issuer: with auth.mode oauth and no issuer nobody's token would be taken")
            .hint("issuers: [{url: https://login.example.com}]");
    }
    let mut seen = BTreeSet::new();
    for (index, issuer) in issuers.iter().enumerate() {
        let field = format!("spec.auth.oauth.issuers[{index}]");
        judge(&format!("{field}.url"), "url", &issuer.url, report);
        if let Some(keys) = &issuer.jwks_url {
            judge(&format!("{field}.jwksURL"), "jwksURL", keys, report);
        }
        audiences(&field, issuer, report);
        if !seen.insert(&issuer.url) {
            report
                .at(format!("{field}.url"))
                .given(quotable(&issuer.url))
                .judging(&issuer.url)
                .must("must not be there twice: which of the two entries counts would be chance")
                .hint("put the audiences of both into one entry");
        }
    }
}

fn judge(field: &str, name: &str, text: &str, report: &mut Report) {
    let fault = match OutsideUrl::parse(text) {
        Err(fault) => fault,
        Ok(url) if !url.is_https() => UrlFault::Insecure,
        Ok(url) if !url.place().can_be_allowed() => UrlFault::Inside(url.place()),
        Ok(url) if name == "url" && url.query().is_some() => {
            let draft = report.at(field).given(quotable(text)).judging(text);
            draft.must("must not have a query: an issuer is a name that tokens repeat (RFC 8414, 2)");
            return;
        }
        Ok(_) => return,
    };
    let secure = text.strip_prefix("http://").map(|rest| format!("https://{rest}"));
    let draft = report.at(field).given(quotable(text)).judging(text).must(fault.requirement());
    let replacement = secure.filter(|_| fault == UrlFault::Insecure).or_else(|| meant(text));
    if let Some(replacement) = replacement.filter(|_| !matches!(fault, UrlFault::Inside(_))) {
        draft.hint(format!("{name}: {}", quotable(&replacement)));
    }
}

fn audiences(field: &str, issuer: &Issuer, report: &mut Report) {
    for (index, audience) in issuer.audiences.iter().enumerate() {
        if audience.trim().is_empty() || audience == "*" {
            report
                .at(format!("{field}.audiences[{index}]"))
                .given(audience)
                .must("must be the audience that the issuer writes into tokens for this server")
                .hint("take audiences away: the server's own URL is the audience then");
        }
    }
}
