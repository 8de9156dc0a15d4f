//! Headers: those that repeat the body, those that say how to read it, and those that some servers obey.

use crate::{CALL, PASSES, Row, Verdict, refused};

const MODERN: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
const VERSION: &str = "MCP-Protocol-Version: 2026-07-28";
const METHOD: &str = "Mcp-Method: tools/call";
const NAME: &str = "Mcp-Name: echo";

/// A modern call with these headers.
fn modern(name: &'static str, verdict: Verdict, lines: &[&str]) -> Row {
    Row::head(name, verdict, lines, MODERN)
}

/// A legacy call with these headers.
fn legacy(name: &'static str, verdict: Verdict, lines: &[&str]) -> Row {
    Row::head(name, verdict, lines, CALL)
}

pub(crate) fn rows() -> Vec<Row> {
    let mismatch = refused(400, "header_mismatch");
    let unsupported = refused(400, "unsupported_protocol_version");
    let media = refused(415, "bad_request");
    let instead = Row::instead;
    vec![
        // Those that repeat the body.
        modern("a usual modern call", PASSES, &[VERSION, METHOD, NAME]),
        modern(
            "names of headers in other letters",
            PASSES,
            &[VERSION, "mcp-METHOD: tools/call", "MCP-NAME: echo"],
        ),
        modern(
            "white space around values",
            PASSES,
            &[VERSION, "Mcp-Method: \t tools/call ", "Mcp-Name:   echo\t"],
        ),
        modern(
            "a name in Base64",
            PASSES,
            &[VERSION, METHOD, "Mcp-Name: =?base64?ZWNobw==?="],
        ),
        modern(
            "another name",
            mismatch,
            &[VERSION, METHOD, "Mcp-Name: wipe"],
        ),
        modern(
            "another name in Base64",
            mismatch,
            &[VERSION, METHOD, "Mcp-Name: =?base64?d2lwZQ==?="],
        ),
        modern(
            "Base64 without its padding",
            mismatch,
            &[VERSION, METHOD, "Mcp-Name: =?base64?ZWNobw?="],
        ),
        modern(
            "Base64 with a space",
            mismatch,
            &[VERSION, METHOD, "Mcp-Name: =?base64?ZWNo bw==?="],
        ),
        modern(
            "Base64 with bits to spare",
            mismatch,
            &[VERSION, METHOD, "Mcp-Name: =?base64?ZWNobx==?="],
        ),
        modern(
            "Base64 with a sentinel in capitals",
            mismatch,
            &[VERSION, METHOD, "Mcp-Name: =?BASE64?ZWNobw==?="],
        ),
        modern(
            "Base64 that is not closed",
            mismatch,
            &[VERSION, METHOD, "Mcp-Name: =?base64?ZWNobw=="],
        ),
        modern(
            "Base64 in Base64",
            mismatch,
            &[
                VERSION,
                METHOD,
                "Mcp-Name: =?base64?PT9iYXNlNjQ/WldOb2J3PT0/PQ==?=",
            ],
        ),
        modern(
            "Base64 of no UTF-8",
            mismatch,
            &[VERSION, METHOD, "Mcp-Name: =?base64?/w==?="],
        ),
        modern(
            "a name in capitals",
            mismatch,
            &[VERSION, METHOD, "Mcp-Name: ECHO"],
        ),
        modern(
            "two names",
            mismatch,
            &[VERSION, METHOD, NAME, "Mcp-Name: wipe"],
        ),
        modern(
            "the same name twice",
            mismatch,
            &[VERSION, METHOD, NAME, NAME],
        ),
        modern(
            "two names in one",
            mismatch,
            &[VERSION, METHOD, "Mcp-Name: echo, wipe"],
        ),
        modern(
            "a name with an invisible byte",
            mismatch,
            &[VERSION, METHOD, "Mcp-Name: echo\u{200b}"],
        ),
        modern("no name", mismatch, &[VERSION, METHOD]),
        modern("an empty name", mismatch, &[VERSION, METHOD, "Mcp-Name:"]),
        modern(
            "another method",
            mismatch,
            &[VERSION, "Mcp-Method: tools/list", NAME],
        ),
        modern(
            "a method in capitals",
            mismatch,
            &[VERSION, "Mcp-Method: TOOLS/CALL", NAME],
        ),
        modern("no method", mismatch, &[VERSION, NAME]),
        modern(
            "two methods",
            mismatch,
            &[VERSION, METHOD, "Mcp-Method: tools/list", NAME],
        ),
        modern(
            "a name with an underscore beside it",
            PASSES,
            &[VERSION, METHOD, NAME, "Mcp_Name: wipe"],
        ),
        // Versions.
        modern("no version beside an envelope", mismatch, &[METHOD, NAME]),
        modern(
            "a legacy version beside an envelope",
            mismatch,
            &["MCP-Protocol-Version: 2025-11-25", METHOD, NAME],
        ),
        modern(
            "two versions",
            mismatch,
            &[VERSION, "MCP-Protocol-Version: 2025-11-25", METHOD, NAME],
        ),
        modern(
            "two versions in one",
            unsupported,
            &["MCP-Protocol-Version: 2026-07-28, 2025-11-25", METHOD, NAME],
        ),
        legacy(
            "a modern version without an envelope",
            refused(400, "bad_request"),
            &[VERSION, METHOD, NAME],
        ),
        legacy(
            "a version that nobody knows",
            unsupported,
            &["MCP-Protocol-Version: 1999-01-01"],
        ),
        Row::head(
            "an envelope of a version that nobody knows",
            mismatch,
            &[VERSION, METHOD, NAME],
            &MODERN.replace("2026-07-28", "2099-01-01"),
        ),
        Row::head(
            "an envelope whose version is no text",
            refused(400, "bad_request"),
            &[VERSION, METHOD, NAME],
            &MODERN.replace("\"2026-07-28\"", "20260728"),
        ),
        Row::head(
            "an envelope without capabilities",
            refused(400, "bad_request"),
            &[VERSION, METHOD, NAME],
            &MODERN.replace("clientCapabilities", "clientInfo"),
        ),
        // What a message of the other era has no use for.
        legacy(
            "a name on a legacy call",
            PASSES,
            &[
                "Mcp-Name: wipe",
                "Mcp-Method: tools/list",
                "Mcp-Param-Path: /etc",
            ],
        ),
        modern(
            "a session on a modern call",
            PASSES,
            &[
                VERSION,
                METHOD,
                NAME,
                "Mcp-Session-Id: someone-elses",
                "Last-Event-ID: 7",
            ],
        ),
        legacy(
            "a session that nobody has",
            refused(404, "mcp_session_not_found"),
            &["Mcp-Session-Id: someone-elses"],
        ),
        legacy(
            "two sessions",
            refused(400, "bad_request"),
            &["Mcp-Session-Id: a", "Mcp-Session-Id: b"],
        ),
        // Those that say how to read the body.
        instead("no type", media, &["Content-Type: "]),
        instead(
            "a form",
            media,
            &["Content-Type: application/x-www-form-urlencoded"],
        ),
        instead("text", media, &["Content-Type: text/plain"]),
        instead(
            "two types",
            media,
            &["Content-Type: application/json", "Content-Type: text/plain"],
        ),
        instead(
            "two types in one",
            media,
            &["Content-Type: application/json, text/plain"],
        ),
        instead(
            "a type like JSON",
            media,
            &["Content-Type: application/json5"],
        ),
        instead(
            "JSON in UTF-8",
            PASSES,
            &["Content-Type: application/json; charset=\"UTF-8\""],
        ),
        instead(
            "JSON in UTF-7",
            media,
            &["Content-Type: application/json; charset=utf-7"],
        ),
        instead(
            "JSON in UTF-16",
            media,
            &["Content-Type: application/json;charset=utf-16le"],
        ),
        instead(
            "JSON in EBCDIC, in quotes",
            media,
            &["Content-Type: application/json; charset=\"ibm037\""],
        ),
        instead(
            "JSON in two character sets",
            media,
            &["Content-Type: application/json; charset=utf-8; charset=utf-7"],
        ),
        legacy("a compressed body", media, &["Content-Encoding: gzip"]),
        legacy(
            "a body compressed twice",
            media,
            &["Content-Encoding: identity", "Content-Encoding: gzip"],
        ),
        // Those that some servers and proxies obey.
        legacy(
            "another verb in a header",
            PASSES,
            &[
                "X-HTTP-Method-Override: DELETE",
                "X-HTTP-Method: DELETE",
                "X-Method-Override: DELETE",
            ],
        ),
        legacy(
            "another path in a header",
            PASSES,
            &["X-Original-URL: /admin", "X-Rewrite-URL: /admin"],
        ),
        legacy(
            "a header that Connection takes away",
            PASSES,
            &["Connection: X-MCP-Human-ID, Content-Length"],
        ),
        legacy(
            "two tokens",
            refused(400, "duplicate_token"),
            &["Authorization: Bearer mcps_bob"],
        ),
        legacy(
            "a second token elsewhere",
            refused(400, "duplicate_token"),
            &["X-MCP-Session-Token: mcps_bob"],
        ),
        instead(
            "two tokens in one",
            refused(401, "invalid_token"),
            &["Authorization: Bearer mcps_bob, Bearer mcps_alice"],
        ),
        legacy(
            "an identity that was made up",
            PASSES,
            &[
                "X-MCP-Human-ID: root",
                "X_MCP_Human_ID: root",
                "X-Forwarded-User: root",
                "X-Remote-User: root",
            ],
        ),
    ]
}
