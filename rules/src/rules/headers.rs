//! MCP0405 headers: a header is no token, one of the protocol's own, or the same for two identities.

use api::names::SESSION_TOKEN_HEADER;

use crate::parse::name::is_token;

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0405", "headers", SERVER, Class::Structural)
        .summary("a header is no token, one of the protocol's own, or the same for two identities"),
    check,
};

/// Headers that belong to one connection (RFC 9110, 7.6.1), and those that say how to read a request.
const TAKEN: [&str; 10] = [
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
    "upgrade", "host", SESSION_TOKEN_HEADER,
];

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, effective)) = context.server() else { return };
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
