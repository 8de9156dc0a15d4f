//! Headers: which era a request speaks, whether headers and body agree, and what is passed on. Pure.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::message::{Kind, Message};
use crate::protocol::{Era, LEGACY, MODERN};

/// `MCP-Protocol-Version`
pub const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// `Mcp-Method`
pub const METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// `Mcp-Name`
pub const NAME: HeaderName = HeaderName::from_static("mcp-name");
/// `Mcp-Session-Id`
pub const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// `X-Accel-Buffering`
pub const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Why headers and body cannot be taken together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A header of the modern era is missing.
    #[error(
        "the header {name} is missing: a request of this protocol version must repeat {what} in it"
    )]
    Missing {
        /// Which header.
        name: &'static str,
        /// What it repeats.
        what: &'static str,
    },
    /// A header stands twice, or cannot be read.
    #[error("the header {name} must stand exactly once, with a value that can be read")]
    Unreadable {
        /// Which header.
        name: &'static str,
    },
    /// Header and body say different things.
    #[error("the header {name} and the body disagree about {what}")]
    Disagree {
        /// Which header.
        name: &'static str,
        /// About what.
        what: &'static str,
    },
    /// The envelope in `_meta` is missing or incomplete.
    #[error("params._meta must have {0}")]
    Envelope(&'static str),
    /// A protocol version that is not served.
    #[error("the protocol version {0:?} is not served")]
    Version(String),
}

/// A header stands more than once, or its value is no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header must stand exactly once, with a value that can be read")]
pub struct NotOne;

/// The one value of a header, or none.
pub fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, NotOne> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value
            .to_str()
            .map(|text| Some(text.trim()))
            .map_err(|_| NotOne),
        (Some(_), Some(_)) => Err(NotOne),
    }
}

/// The era of a request without a body: a modern one has only POST.
pub fn era_of_headers(headers: &HeaderMap) -> Result<Era, Error> {
    let version = single(headers, &PROTOCOL_VERSION).map_err(|NotOne| Error::Unreadable {
        name: "MCP-Protocol-Version",
    })?;
    match version {
        None => Ok(Era::Legacy),
        Some(version) if LEGACY.contains(&version) => Ok(Era::Legacy),
        Some(version) if MODERN.contains(&version) => Ok(Era::Modern),
        Some(version) => Err(Error::Version(version.to_owned())),
    }
}

/// The era of a message, after checking that a modern one repeats itself faithfully in its headers.
///
/// It is modern if its envelope or its header says so, and then never falls back to legacy.
pub fn era(headers: &HeaderMap, message: &Message) -> Result<Era, Error> {
    let by_header = era_of_headers(headers)?;
    if by_header == Era::Legacy && !message.envelope.claimed {
        return Ok(Era::Legacy);
    }
    // Notifications of the modern era have no rules about headers and envelope yet.
    if message.kind != Kind::Request {
        return Ok(Era::Modern);
    }
    let version = message
        .envelope
        .version
        .as_deref()
        .ok_or(Error::Envelope(crate::protocol::META_VERSION))?;
    let told = agrees(
        headers,
        &PROTOCOL_VERSION,
        "MCP-Protocol-Version",
        "the protocol version",
        version,
    );
    // Who says two things has asked for neither version.
    if let Err(error @ Error::Disagree { .. }) = told {
        return Err(error);
    }
    if !MODERN.contains(&version) {
        return Err(Error::Version(version.to_owned()));
    }
    if !message.envelope.capabilities {
        return Err(Error::Envelope(crate::protocol::META_CAPABILITIES));
    }
    told?;
    agrees(
        headers,
        &METHOD,
        "Mcp-Method",
        "the method",
        &message.method,
    )?;
    if let Some(name) = message.header_name() {
        agrees(headers, &NAME, "Mcp-Name", "what is named", name)?;
    }
    Ok(Era::Modern)
}

/// Takes away what [`era`] did not compare with the body, so that nobody behind the gateway goes by it.
pub fn remove_unchecked(headers: &mut HeaderMap, message: &Message) {
    if message.kind != Kind::Request {
        headers.remove(METHOD);
    }
    if message.kind != Kind::Request || message.header_name().is_none() {
        headers.remove(NAME);
    }
}

/// The one value of a header, out of its Base64 if it is in one; `shown` names it in an error.
pub fn decoded<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
    shown: &'static str,
) -> Result<Option<Cow<'h, str>>, Error> {
    single(headers, name)
        .map_err(|NotOne| Error::Unreadable { name: shown })?
        .map(|value| decode(value).ok_or(Error::Unreadable { name: shown }))
        .transpose()
}

fn agrees(
    headers: &HeaderMap,
    name: &HeaderName,
    shown: &'static str,
    what: &'static str,
    body: &str,
) -> Result<(), Error> {
    let value = decoded(headers, name, shown)?.ok_or(Error::Missing { name: shown, what })?;
    if value == body {
        Ok(())
    } else {
        Err(Error::Disagree { name: shown, what })
    }
}

/// A header value that may be wrapped as `=?base64?...?=`.
fn decode(value: &str) -> Option<Cow<'_, str>> {
    let Some(inner) = value
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="))
    else {
        return Some(Cow::Borrowed(value));
    };
    let bytes = STANDARD.decode(inner).ok()?;
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// The header value for a text: wrapped where it could not stand as it is.
#[allow(clippy::missing_panics_doc, reason = "it cannot")]
pub fn encode(text: &str) -> HeaderValue {
    let plain = text.bytes().all(|b| (b' '..=b'~').contains(&b))
        && text.trim() == text
        && !(text.starts_with("=?") && text.ends_with("?="));
    let wrapped = || format!("=?base64?{}?=", STANDARD.encode(text));
    let value = if plain {
        HeaderValue::from_str(text)
    } else {
        HeaderValue::from_str(&wrapped())
    };
    value.expect("it is of visible characters and spaces")
}

/// Headers that belong to one connection, or that say where a message came from, and are never passed on.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::CONTENT_LENGTH,
];

/// Credentials, addresses and internals of the caller's side that the server never sees. `Accept-Encoding` too:
/// a compressed list could not be filtered.
const CALLERS_OWN: [HeaderName; 18] = [
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::COOKIE,
    header::ORIGIN,
    header::HOST,
    header::EXPECT,
    header::ACCEPT_ENCODING,
    header::FORWARDED,
    header::VIA,
    HeaderName::from_static("x-method-override"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-client-ip"),
    HeaderName::from_static("x-cluster-client-ip"),
    HeaderName::from_static("x-envoy-external-address"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("cf-connecting-ip"),
    HeaderName::from_static("remote-user"),
    HeaderName::from_static("x-ms-client-principal"),
];

/// What proxies say of who calls and from where, and at the end what lets some servers do something else than the request
/// line says.
const CALLERS_OWN_PREFIXES: [&str; 14] = [
    "x-kubectl-mcp-",
    "x-forwarded-",
    "x-remote-",
    "x-auth-request-",
    "x-goog-authenticated-user-",
    "x-ms-client-principal-",
    "x-amzn-oidc-",
    "ssl-client-",
    "impersonate-",
    "sec-",
    "access-control-",
    "x-http-method",
    "x-original-",
    "x-rewrite-",
];

fn named_by_connection(headers: &HeaderMap) -> Vec<String> {
    let values = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok());
    values
        .flat_map(|v| v.split(','))
        .map(|v| v.trim().to_ascii_lowercase())
        .collect()
}

/// What of a request's headers goes to the server. `secret` are the names that carry identity for this server.
/// A legacy message loses the headers that only the modern era checks.
pub fn to_server(headers: &HeaderMap, era: Era, secret: &[HeaderName]) -> HeaderMap {
    let connection = if headers.contains_key(header::CONNECTION) {
        named_by_connection(headers)
    } else {
        Vec::new()
    };
    let mut out = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let text = name.as_str();
        let dropped = HOP_BY_HOP.contains(name)
            || CALLERS_OWN.contains(name)
            || CALLERS_OWN_PREFIXES.iter().any(|p| text.starts_with(p))
            || secret.contains(name)
            || *name == SESSION_ID
            // Some servers read an underscore as a hyphen.
            || text.contains('_')
            || (era == Era::Legacy && text.starts_with("mcp-") && *name != PROTOCOL_VERSION)
            || (era == Era::Modern && text == "last-event-id")
            || connection.iter().any(|c| c == text);
        if !dropped {
            out.append(name.clone(), value.clone());
        }
    }
    out
}

/// What of an answer's headers goes to the caller.
pub fn to_caller(headers: &HeaderMap) -> HeaderMap {
    let connection = if headers.contains_key(header::CONNECTION) {
        named_by_connection(headers)
    } else {
        Vec::new()
    };
    let mut out = HeaderMap::with_capacity(headers.len() + 2);
    for (name, value) in headers {
        let text = name.as_str();
        let dropped = HOP_BY_HOP.contains(name)
            || *name == SESSION_ID
            || *name == header::SET_COOKIE
            || *name == header::WWW_AUTHENTICATE
            || *name == header::LOCATION
            || text.starts_with("access-control-")
            || connection.iter().any(|c| c == text);
        if !dropped {
            out.append(name.clone(), value.clone());
        }
    }
    if is_event_stream(headers) {
        out.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    }
    out
}

/// The media type without its parameters, in lower case.
pub fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = single(headers, &header::CONTENT_TYPE).ok()??;
    Some(
        value
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase(),
    )
}

/// Whether the media type names no character set but UTF-8.
pub fn is_utf8(headers: &HeaderMap) -> bool {
    let Ok(Some(value)) = single(headers, &header::CONTENT_TYPE) else {
        return false;
    };
    // A quoted semicolon splits too, which only makes more parameters of one.
    value.split(';').skip(1).all(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        !name.trim().to_ascii_lowercase().starts_with("charset")
            || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    })
}

/// Whether an answer is a stream of events.
pub fn is_event_stream(headers: &HeaderMap) -> bool {
    media_type(headers).as_deref() == Some("text/event-stream")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(version: &str, method: &str, params: &str) -> Message {
        let meta = if version.is_empty() {
            String::new()
        } else {
            format!(
                r#""_meta":{{"io.modelcontextprotocol/protocolVersion":"{version}","io.modelcontextprotocol/clientCapabilities":{{}}}}"#
            )
        };
        let comma = if meta.is_empty() || params.is_empty() {
            ""
        } else {
            ","
        };
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}{comma}{meta}}}}}"#
        );
        Message::read(text.as_bytes()).unwrap()
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        map
    }

    const VERSION: (&str, &str) = ("mcp-protocol-version", "2026-07-28");
    const CALL: (&str, &str) = ("mcp-method", "tools/call");

    #[test]
    fn the_era_follows_envelope_or_header() {
        let call = |version| message(version, "tools/call", r#""name":"echo""#);
        let legacy = [("mcp-protocol-version", "2025-11-25")];
        assert_eq!(era(&headers(&[]), &call("")), Ok(Era::Legacy));
        assert_eq!(era(&headers(&legacy), &call("")), Ok(Era::Legacy));
        assert_eq!(
            era(
                &headers(&[VERSION, CALL, ("mcp-name", "echo")]),
                &call("2026-07-28")
            ),
            Ok(Era::Modern)
        );
        assert!(matches!(
            era(&headers(&[VERSION]), &call("")),
            Err(Error::Envelope(_))
        ));
        assert!(matches!(
            era(&headers(&[]), &call("2026-07-28")),
            Err(Error::Missing { .. })
        ));
        assert!(matches!(
            era(&headers(&legacy), &call("2026-07-28")),
            Err(Error::Disagree { .. })
        ));
        assert!(matches!(
            era(&headers(&[VERSION]), &call("2099-01-01")),
            Err(Error::Disagree { .. })
        ));
        assert!(matches!(
            era(&headers(&[]), &call("2025-11-25")),
            Err(Error::Version(_))
        ));
        assert!(matches!(
            era(
                &headers(&[("mcp-protocol-version", "2099-01-01")]),
                &call("")
            ),
            Err(Error::Version(_))
        ));
        assert!(matches!(
            era(&headers(&[VERSION, VERSION]), &call("2026-07-28")),
            Err(Error::Unreadable { .. })
        ));
    }

    #[test]
    fn headers_must_repeat_the_body() {
        type Row = (&'static [(&'static str, &'static str)], Result<Era, Error>);
        let call = message("2026-07-28", "tools/call", r#""name":"echo""#);
        let rows: &[Row] = &[
            (&[VERSION, CALL, ("mcp-name", "echo")], Ok(Era::Modern)),
            (&[VERSION, CALL, ("mcp-name", "  echo  ")], Ok(Era::Modern)),
            (
                &[VERSION, CALL, ("mcp-name", "=?base64?ZWNobw==?=")],
                Ok(Era::Modern),
            ),
            (
                &[VERSION, CALL],
                Err(Error::Missing {
                    name: "Mcp-Name",
                    what: "what is named",
                }),
            ),
            (
                &[VERSION, ("mcp-name", "echo")],
                Err(Error::Missing {
                    name: "Mcp-Method",
                    what: "the method",
                }),
            ),
            (
                &[VERSION, CALL, ("mcp-name", "Echo")],
                Err(Error::Disagree {
                    name: "Mcp-Name",
                    what: "what is named",
                }),
            ),
            (
                &[VERSION, ("mcp-method", "tools/list"), ("mcp-name", "echo")],
                Err(Error::Disagree {
                    name: "Mcp-Method",
                    what: "the method",
                }),
            ),
            (
                &[VERSION, CALL, ("mcp-name", "echo"), ("mcp-name", "echo")],
                Err(Error::Unreadable { name: "Mcp-Name" }),
            ),
            (
                &[VERSION, CALL, ("mcp-name", "=?base64?!!?=")],
                Err(Error::Unreadable { name: "Mcp-Name" }),
            ),
        ];
        for (pairs, expected) in rows {
            assert_eq!(era(&headers(pairs), &call), *expected, "{pairs:?}");
        }
    }

    #[test]
    fn a_body_is_read_in_one_character_set() {
        for (given, good) in [
            ("application/json", true),
            ("application/json; charset=utf-8", true),
            ("application/json;charset=\"UTF-8\"", true),
            ("application/json; profile=x", true),
            ("application/json; charset=utf-7", false),
            ("application/json; charset=utf-8; charset=utf-7", false),
            ("application/json; x=\"; charset=utf-7\"", false),
            ("application/json; charset*=utf-8''utf-7", false),
            ("application/json; Charset = utf-7", false),
            ("application/json; charset", false),
        ] {
            let map = headers(&[("content-type", given)]);
            assert_eq!(is_utf8(&map), good, "{given}");
        }
        assert!(!is_utf8(&headers(&[])));
    }

    #[test]
    fn what_was_not_compared_with_the_body_is_taken_away() {
        let given = [METHOD, NAME];
        let left = |text: &str| {
            let mut map = headers(&[("mcp-method", "tools/call"), ("mcp-name", "wipe")]);
            remove_unchecked(&mut map, &Message::read(text.as_bytes()).unwrap());
            given.clone().map(|name| map.contains_key(name))
        };
        let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"wipe"}}"#;
        assert_eq!(left(call), [true, true]);
        assert_eq!(
            left(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#),
            [true, false]
        );
        let note = r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#;
        assert_eq!(left(note), [false, false]);
    }

    #[test]
    fn every_text_comes_back_from_its_header() {
        for text in [
            "echo",
            "a b",
            "",
            " a",
            "é",
            "a\nb",
            "=?base64?YQ==?=",
            "\u{2028}",
        ] {
            let value = encode(text);
            assert_eq!(decode(value.to_str().unwrap()).unwrap(), text);
        }
        assert_eq!(encode("echo"), "echo");
    }

    #[test]
    fn what_says_who_calls_never_reaches_the_server() {
        let map = headers(&[
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("origin", "https://a"),
            ("host", "a"),
            ("x-mcp-human-id", "root"),
            ("x_mcp_human_id", "root"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-remote-user", "root"),
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("mcp-session-id", "sealed"),
            ("mcp-name", "other"),
            ("accept", "application/json"),
            ("x-api-version", "2"),
        ]);
        let secret = [HeaderName::from_static("x-mcp-human-id")];
        let mut left: Vec<_> = to_server(&map, Era::Legacy, &secret)
            .keys()
            .map(ToString::to_string)
            .collect();
        left.sort();
        assert_eq!(left, ["accept", "x-api-version"]);
        assert!(to_server(&map, Era::Modern, &secret).contains_key("mcp-name"));
    }
}
