//! MCP0201 invalid-host: the host is no lower-case DNS name of A-labels.

use crate::parse::host::{Error, Host};
use crate::parse::url::quotable;

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0201", "invalid-host", SERVER, Class::Structural)
        .summary("the host is no lower-case DNS name of A-labels"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((_, effective)) = context.server() else { return };
    let Some(host) = effective.ingress.as_ref().and_then(|ingress| ingress.host.as_ref()) else { return };
    let Err(error) = Host::parse(host) else { return };
    let draft = report.at("spec.ingressHost").given(quotable(host)).judging(host).must(error.requirement());
    if let Some(meant) = meant(host, &error) {
        draft.hint(format!("ingressHost: {meant}"));
    }
}

/// The host alone: what stands before '@' may be a password.
fn bare(text: &str) -> Option<&str> {
    let behind_user = text.rsplit('@').next()?;
    let behind_scheme = behind_user.split_once("://").map_or(behind_user, |(_, rest)| rest);
    behind_scheme.split(['/', ':', '?', '#']).next()
}

/// The host that was probably meant.
fn meant(host: &str, error: &Error) -> Option<String> {
    let candidate = match error {
        Error::NotAscii(a_labels) => return a_labels.clone(),
        Error::Scheme | Error::Port | Error::NotOnlyAHost => bare(host)?.to_ascii_lowercase(),
        Error::UpperCase => host.to_ascii_lowercase(),
        Error::EmptyLabel => host.trim_matches('.').to_owned(),
        Error::Empty | Error::TooLong | Error::Address | Error::LongLabel | Error::Wildcard | Error::Characters => {
            return None;
        }
    };
    Host::parse(&candidate).is_ok().then_some(candidate)
}
