//! Framing: where a request begins and ends, which path it is for, and what else is HTTP about it.

use crate::{CALL, PASSES, Row, refused};

const CHUNKED: &str = "Transfer-Encoding: chunked";

/// The usual call in one chunk.
fn chunk(size: &str) -> String {
    format!("{size}\r\n{CALL}\r\n0\r\n\r\n")
}

fn hex() -> String {
    format!("{:x}", CALL.len())
}

fn length(value: &str) -> String {
    format!("Content-Length: {value}")
}

/// A request for another tool, to be hidden in the body of one for the granted tool.
fn hidden() -> String {
    let body = CALL.replace("echo", "wipe");
    let length = body.len();
    format!(
        "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAuthorization: Bearer mcps_alice\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// A usual call and the hidden one after it, on a connection that stays open. Each is judged by itself.
fn kept_open(name: &'static str, framing: &str, wire: &str) -> Row {
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Row: {name}\r\nContent-Type: application/json\r\nAuthorization: Bearer mcps_alice\r\n{framing}\r\n"
    );
    Row::raw(name, PASSES, format!("{head}{wire}{}", hidden()).as_bytes())
}

pub(crate) fn rows() -> Vec<Row> {
    let none = refused(400, "");
    let ours = refused(400, "bad_request");
    let instead = Row::instead;
    let long = CALL.len().to_string();
    vec![
        // Chunks.
        Row::framed("one chunk", PASSES, &[CHUNKED], chunk(&hex())),
        Row::framed("chunked in mixed case", PASSES, &["tRaNsFeR-eNcOdInG: cHuNkEd"], chunk(&hex())),
        Row::framed("a chunk with an extension", PASSES, &[CHUNKED], chunk(&format!("{};name=wipe", hex()))),
        Row::framed("a chunk with leading zeros", PASSES, &[CHUNKED], chunk(&format!("000{}", hex()))),
        Row::framed("a chunk with an extension of 100 KiB", ours, &[CHUNKED], chunk(&format!("{};{}", hex(), "x".repeat(102_400)))),
        Row::framed("a chunk of no size", ours, &[CHUNKED], chunk("")),
        Row::framed("a chunk whose size is no number", ours, &[CHUNKED], chunk("zz")),
        Row::framed("a chunk whose size has 0x", ours, &[CHUNKED], chunk(&format!("0x{}", hex()))),
        Row::framed("a chunk whose size is negative", ours, &[CHUNKED], chunk("-1")),
        Row::framed("a chunk whose size overflows", ours, &[CHUNKED], chunk("ffffffffffffffff1")),
        Row::framed("a chunk that is longer than its size", ours, &[CHUNKED], chunk("2")),
        Row::framed("a chunk that is shorter than its size", ours, &[CHUNKED], chunk("ffff")).ending(),
        Row::framed("chunks without their end", ours, &[CHUNKED], format!("{}\r\n{CALL}\r\n", hex())).ending(),
        Row::framed("trailers", PASSES, &[CHUNKED, "Trailer: Mcp-Name"], format!("{}\r\n{CALL}\r\n0\r\nMcp-Name: wipe\r\nX-MCP-Human-ID: root\r\n\r\n", hex())),
        // Two lengths.
        Row::framed("a length beside chunks", PASSES, &[CHUNKED, &length(&long)], chunk(&hex())),
        Row::framed("a length that hides a request in the chunks", PASSES, &[&length("4"), CHUNKED], format!("{}{}", chunk(&hex()), hidden())),
        Row::framed("chunks that hide a request in the length", refused(400, "rpc_inspection_failed"), &[&length("200"), CHUNKED], format!("0\r\n\r\n{}", hidden())),
        kept_open("a length and chunks with a request after them", &format!("Content-Length: 500\r\n{CHUNKED}\r\n"), &chunk(&hex())),
        kept_open("a request after the length", &format!("Content-Length: {}\r\n", CALL.len()), CALL),
        Row::framed("two lengths", none, &[&length(&long), &length("3")], CALL),
        Row::framed("two lengths that agree", PASSES, &[&length(&long), &length(&long)], CALL),
        Row::framed("two lengths in one", none, &[&length(&format!("{long}, 3"))], CALL),
        Row::framed("a length with a plus", none, &[&length(&format!("+{long}"))], CALL),
        Row::framed("a negative length", none, &[&length("-1")], CALL),
        Row::framed("a hexadecimal length", none, &[&length("0x10")], CALL),
        Row::framed("a length that is empty", none, &[&length("")], CALL),
        Row::framed("a length that overflows", none, &[&length("99999999999999999999")], CALL),
        Row::framed("a length that is too large", refused(413, "bad_request"), &[&length("999999999")], CALL).ending(),
        Row::framed("a body that is shorter than its length", ours, &[&length("500")], CALL).ending(),
        Row::framed("no length", refused(400, "rpc_inspection_failed"), &[], CALL),
        // Encodings that hide the chunks.
        Row::framed("chunked twice", ours, &[CHUNKED, CHUNKED], chunk(&hex())),
        Row::framed("chunked and then identity", none, &["Transfer-Encoding: chunked, identity"], chunk(&hex())),
        Row::framed("gzip and then chunked", ours, &["Transfer-Encoding: gzip, chunked"], chunk(&hex())),
        Row::framed("identity", none, &["Transfer-Encoding: identity", &length(&long)], CALL),
        Row::framed("almost chunked", none, &["Transfer-Encoding: xchunked", &length(&long)], CALL),
        Row::framed("chunked behind a vertical tab", none, &["Transfer-Encoding: \x0bchunked", &length(&long)], CALL),
        Row::framed("a space before the colon", none, &["Transfer-Encoding : chunked", &length(&long)], CALL),
        Row::raw("chunked in HTTP/1.0", none, format!("POST /mcp HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAuthorization: Bearer mcps_alice\r\nTransfer-Encoding: chunked\r\n\r\n{}", chunk(&hex())).as_bytes()),
        // Heads.
        Row::framed("a header that is folded", none, &["X-Folded: a\r\n b", &length(&long)], CALL),
        Row::framed("a header with a space in its name", none, &["X Y: z", &length(&long)], CALL),
        Row::framed("a header with a NUL", none, &["X-Nul: a\0b", &length(&long)], CALL),
        Row::framed("a header with a bare CR", none, &["X-Cr: a\rMcp-Name: wipe", &length(&long)], CALL),
        Row::framed("a head that is too long", refused(431, ""), &[&format!("X-Long: {}", "x".repeat(300_000)), &length(&long)], CALL),
        Row::raw("HTTP/2 without being asked", refused(0, ""), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        instead("HTTP/1.0", PASSES, &["POST /mcp HTTP/1.0"]),
        instead("an upgrade to h2c", PASSES, &["Connection: close, Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"]),
        instead("Expect: 100-continue", PASSES, &["Expect: 100-continue"]),
        // Whose request it is, and for which path.
        instead("no Host", refused(403, "host_not_allowed"), &["Host: "]),
        instead("two Hosts", refused(403, "host_not_allowed"), &["Host: 127.0.0.1", "Host: evil.example"]),
        instead("a Host with a user", refused(403, "host_not_allowed"), &["Host: 127.0.0.1@evil.example"]),
        instead("a Host with two ports", refused(403, "host_not_allowed"), &["Host: 127.0.0.1:80:80"]),
        instead("an absolute target", PASSES, &["POST http://127.0.0.1/mcp HTTP/1.1"]),
        instead("an absolute target elsewhere", refused(403, "host_not_allowed"), &["POST http://evil.example/mcp HTTP/1.1"]),
        instead("an absolute target with a foreign Host", refused(403, "host_not_allowed"), &["POST http://127.0.0.1/mcp HTTP/1.1", "Host: evil.example"]),
        instead("another path", ours_404(), &["POST /admin HTTP/1.1"]),
        instead("a path with two slashes", ours_404(), &["POST //mcp HTTP/1.1"]),
        instead("a path with dots", ours_404(), &["POST /mcp/../admin HTTP/1.1"]),
        instead("a path that is escaped", ours_404(), &["POST /%6dcp HTTP/1.1"]),
        instead("a path with a parameter", ours_404(), &["POST /mcp;x=1 HTTP/1.1"]),
        instead("a query", PASSES, &["POST /mcp?_method=DELETE&name=wipe HTTP/1.1"]),
        instead("GET with a body", refused(405, "bad_request"), &["GET /mcp HTTP/1.1"]),
        instead("PUT", refused(405, "bad_request"), &["PUT /mcp HTTP/1.1"]),
        instead("CONNECT", refused(403, "host_not_allowed"), &["CONNECT evil.example:443 HTTP/1.1"]),
        instead("TRACE", refused(405, "bad_request"), &["TRACE /mcp HTTP/1.1"]),
    ]
}

fn ours_404() -> crate::Verdict {
    refused(404, "bad_request")
}
