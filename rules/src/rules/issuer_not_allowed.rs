//! MCP0411 issuer-not-allowed: an OAuth issuer, or where its keys are, is outside `access.allowedIssuers`.

use api::MCPPolicySpec;

use crate::parse::near::nearest;
use crate::parse::url::{OutsideUrl, quotable};

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0411", "issuer-not-allowed", SERVER, Class::Policy)
        .summary("an OAuth issuer is none of `access.allowedIssuers`, or its `jwksURL` is neither one of them nor below one")
        .needs(&[Need::Policies])
        .mentioned_by(|spec| list(spec).is_some()),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, _)) = context.server() else { return };
    let oauth = spec.auth.as_ref().and_then(|auth| auth.oauth.as_ref());
    let issuers = oauth.map(|oauth| oauth.issuers.as_slice()).unwrap_or_default();
    if issuers.is_empty() || context.policies(report).is_none() {
        return;
    }
    for (index, issuer) in issuers.iter().enumerate() {
        let field = format!("spec.auth.oauth.issuers[{index}]");
        judge(context, &format!("{field}.url"), &issuer.url, |entry| entry == issuer.url, report);
        if let Some(keys) = &issuer.jwks_url {
            judge(context, &format!("{field}.jwksURL"), keys, |entry| is_below(keys, entry), report);
        }
    }
}

fn judge(context: &Context<'_>, field: &str, url: &str, allows: impl Fn(&str) -> bool, report: &mut Report) {
    // What is no URL is said by MCP0404, whatever a policy allows.
    if OutsideUrl::parse(url).is_err() {
        return;
    }
    let refusing = context.selected().first(|spec| {
        let entries = list(spec)?;
        (!entries.iter().any(|entry| allows(entry))).then_some(entries)
    });
    let Some((policy, entries)) = refusing else { return };
    let draft = report.at(field).given(quotable(url)).judging(url);
    match nearest(url, entries.iter().map(String::as_str)) {
        None => draft.must(format!("must not be set: MCPPolicy '{policy}' allows no issuer")),
        Some(entry) => draft
            .must(format!("must be an allowed issuer; nearest entry is '{}' in MCPPolicy '{policy}'", quotable(entry)))
            .hint(format!("ask a platform engineer to add it to access.allowedIssuers of MCPPolicy '{policy}'")),
    };
}

/// Whether a URL is the entry or lies below it, by whole path segments. Both are texts that [`OutsideUrl`] takes, so
/// neither dots nor encoded slashes lead out again.
fn is_below(url: &str, entry: &str) -> bool {
    url.strip_prefix(entry).is_some_and(|rest| rest.is_empty() || entry.ends_with('/') || rest.starts_with(['/', '?']))
}

fn list(spec: &MCPPolicySpec) -> Option<&Vec<String>> {
    spec.access.as_ref()?.allowed_issuers.as_ref()
}

#[cfg(test)]
mod tests {
    use super::is_below;

    #[test]
    fn keys_lie_below_an_issuer_by_whole_segments() {
        for (url, entry, expected) in [
            ("https://a.test/keys", "https://a.test", true),
            ("https://a.test/realms/x/keys", "https://a.test/realms/x", true),
            ("https://a.test/realms/x?keys", "https://a.test/realms/x", true),
            ("https://a.test/realms/xy/keys", "https://a.test/realms/x", false),
            ("https://a.test.evil/keys", "https://a.test", false),
            ("https://a.test:8443/keys", "https://a.test", false),
            ("https://b.test/keys", "https://a.test", false),
        ] {
            assert_eq!(is_below(url, entry), expected, "{url} {entry}");
        }
    }
}
