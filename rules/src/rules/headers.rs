//! MCP0405 headers: a header of `auth` or `remote` is no token, one of the protocol's own, or the same twice.

use api::MCPServerSpec;
use api::names::SESSION_TOKEN_HEADER;

use crate::parse::name::{is_own_header, is_token};

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0405", "headers", SERVER, Class::Structural)
        .summary(
            "a header of `auth` or of `remote.headersFromSecret` is no token, one of the protocol's own, or the same twice",
        ),
    check,
};

/// Headers that belong to one connection (RFC 9110, 7.6.1), and those that say how to read a request.
const TAKEN: [&str; 10] = [
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
    "upgrade", "host", SESSION_TOKEN_HEADER,
];

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, effective)) = context.server() else { return };
    of_secrets(spec, report);
    let Some(given) = &spec.auth else { return };
    let auth = &effective.auth;
    let headers = [
        ("humanIDHeader", given.human_id_header.is_some(), &auth.human_id_header),
        ("agentIDHeader", given.agent_id_header.is_some(), &auth.agent_id_header),
        ("teamIDHeader", given.team_id_header.is_some(), &auth.team_id_header),
        ("sessionIDHeader", given.session_id_header.is_some(), &auth.session_id_header),
        ("tokenHeader", given.token_header.is_some(), &auth.token_header),
    ];
    for (index, (name, written, header)) in headers.iter().enumerate() {
        if !written {
            continue;
        }
        let field = format!("spec.auth.{name}");
        let lower = header.to_ascii_lowercase();
        let twin = headers.iter().enumerate().find(|(other, (_, written, text))| {
            *other != index && (*other < index || !written) && text.eq_ignore_ascii_case(header)
        });
        if !is_token(header) {
            report.at(field).given(header).must("must be the name of a header: letters, digits and '-'");
        } else if TAKEN.contains(&lower.as_str()) || lower.starts_with("content-") || lower.starts_with("mcp-") {
            report.at(field).given(header).must("must not be a header of HTTP or MCP itself");
        } else if let Some((_, (other, _, _))) = twin {
            report.at(field).given(header).must(format!("must not be the header of {other} too"));
        }
    }
}

/// The headers that the gateway gets from Secrets, for a server elsewhere.
fn of_secrets(spec: &MCPServerSpec, report: &mut Report) {
    let headers = spec.remote.as_ref().map(|remote| remote.headers_from_secret.as_slice()).unwrap_or_default();
    for (index, header) in headers.iter().enumerate() {
        let field = format!("spec.remote.headersFromSecret[{index}].name");
        let name = &header.name;
        if is_own_header(name) {
            report.at(field).given(name).must("must not be a header of HTTP or MCP itself");
        } else if headers[..index].iter().any(|other| other.name.eq_ignore_ascii_case(name)) {
            report.at(field).given(name).must("must not stand twice").hint("take one away");
        }
    }
}
