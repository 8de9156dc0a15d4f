//! MCP0317 remote-url: `remote.url` is not https, has a user or a fragment, or leads to where no server elsewhere is.

use api::MCPPolicySpec;

use crate::parse::address::Place;
use crate::parse::egress::EgressEntry;
use crate::parse::url::{OutsideUrl, UrlFault, meant, quotable};
use crate::policy::PolicySet;

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0317", "remote-url", SERVER, Class::Structural)
        .summary(
            "`remote.url` is no https URL, has a user or a fragment, or leads to a loopback, link-local, metadata, private \
             or cluster-internal address; `egress.allowed` of every policy that has one can open private ones, and \
             `http://` there plain HTTP",
        )
        .needs(&[Need::Policies]),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    const FIELD: &str = "spec.remote.url";
    let Some((spec, _)) = context.server() else { return };
    let Some(text) = spec.remote.as_ref().and_then(|remote| remote.url.as_ref()) else { return };
    let mut refuse = |fault: &UrlFault, hint: Option<String>| {
        let draft = report.at(FIELD);
        draft.given(quotable(text)).judging(text).must(fault.requirement());
        if let Some(hint) = hint {
            draft.hint(hint);
        }
    };
    let url = match OutsideUrl::parse(text) {
        Ok(url) => url,
        Err(fault) => return refuse(&fault, meant(text).map(|meant| format!("url: {}", quotable(&meant)))),
    };
    let place = url.place();
    if place != Place::Public && !place.can_be_allowed() {
        return refuse(&UrlFault::Inside(place), None);
    }
    if url.is_https() && place == Place::Public {
        return;
    }
    // From here a policy may allow it: without policies nobody can tell.
    let Some(policies) = context.policies(report) else { return };
    let mut refuse = |fault: &UrlFault, hint: String| {
        report.at(FIELD).given(quotable(text)).judging(text).must(fault.requirement()).hint(hint);
    };
    if place != Place::Public && !opened(policies, &url, EgressEntry::opens_inside) {
        let hint = match place {
            Place::Cluster => "remote.service names a Service of this namespace".to_owned(),
            _ => format!("ask a platform engineer to list {} in egress.allowed of the MCPPolicy", url.host()),
        };
        refuse(&UrlFault::Inside(place), hint);
    }
    if !url.is_https() && !opened(policies, &url, EgressEntry::allows_plain) {
        refuse(&UrlFault::Insecure, format!("url: {}", quotable(&text.replacen("http://", "https://", 1))));
    }
}

/// Whether every policy that lists targets, and at least one, has an entry that covers the URL and says so.
fn opened(policies: &PolicySet, url: &OutsideUrl, says: fn(&EgressEntry) -> bool) -> bool {
    let lists = |spec: &MCPPolicySpec| spec.egress.as_ref().is_some_and(|egress| egress.allowed.is_some());
    let opens = |spec: &MCPPolicySpec| {
        let entries = spec.egress.as_ref().and_then(|egress| egress.allowed.as_ref());
        entries.into_iter().flatten().filter_map(|entry| EgressEntry::parse(entry).ok()).any(|entry| entry.covers(url) && says(&entry))
    };
    policies.any(lists) && policies.iter().all(|(_, spec)| !lists(spec) || opens(spec))
}
