//! Bodies: JSON that parsers read differently, and messages that are not one message.

use crate::{CALL, PASSES, Row, Verdict, refused};

const MIB: usize = 1024 * 1024;

fn call(params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{{params}}}}}"#)
}

fn arguments(arguments: &str) -> String {
    call(&format!(r#""name":"echo","arguments":{arguments}"#))
}

fn with(bytes: &[u8]) -> Vec<u8> {
    let (before, after) = (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"#,
        r#""}}"#,
    );
    [before.as_bytes(), bytes, after.as_bytes()].concat()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

pub(crate) fn rows() -> Vec<Row> {
    let none: Verdict = refused(400, "rpc_inspection_failed");
    let denied = refused(200, "tool_not_granted");
    vec![
        Row::body("a usual call", PASSES, CALL),
        // Keys that stand twice.
        Row::body(
            "name twice, the granted one first",
            none,
            call(r#""name":"echo","name":"wipe""#),
        ),
        Row::body(
            "name twice, the granted one last",
            none,
            call(r#""name":"wipe","name":"echo""#),
        ),
        Row::body(
            "name twice, once escaped",
            none,
            call(r#""name":"echo","n\u0061me":"wipe""#),
        ),
        Row::body(
            "method twice",
            none,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call","params":{"name":"wipe"}}"#,
        ),
        Row::body(
            "params twice",
            none,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"},"params":{"name":"wipe"}}"#,
        ),
        Row::body(
            "params twice, once escaped",
            none,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"},"par\u0061ms":{"name":"wipe"}}"#,
        ),
        Row::body(
            "id twice",
            none,
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/call","params":{"name":"echo"}}"#,
        ),
        Row::body(
            "a key of _meta twice",
            none,
            call(r#""name":"echo","_meta":{"progressToken":1,"progressToken":2}"#),
        ),
        Row::body(
            "an argument twice",
            none,
            arguments(r#"{"path":"/tmp","path":"/etc"}"#),
        ),
        Row::body(
            "an argument twice, deep inside",
            none,
            arguments(r#"{"a":[{"b":{"c":[[{"d":1,"d":2}]]}}]}"#),
        ),
        // Keys that differ in case only.
        Row::body(
            "Name beside name",
            none,
            call(r#""name":"echo","Name":"wipe""#),
        ),
        Row::body("NAME without name", none, call(r#""NAME":"wipe""#)),
        Row::body(
            "Method beside method",
            none,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","Method":"tools/list","params":{"name":"echo"}}"#,
        ),
        Row::body(
            "PARAMS beside params",
            none,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"},"PARAMS":{"name":"wipe"}}"#,
        ),
        Row::body(
            "params with a long s",
            none,
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\"},\"param\u{17f}\":{\"name\":\"wipe\"}}",
        ),
        Row::body(
            "token with a Kelvin sign",
            none,
            call("\"name\":\"echo\",\"_meta\":{\"progressTo\u{212a}en\":1}"),
        ),
        Row::body(
            "Arguments beside arguments",
            none,
            call(r#""name":"echo","arguments":{},"Arguments":{"a":1}"#),
        ),
        Row::body(
            "another case inside the arguments",
            PASSES,
            arguments(r#"{"Name":"wipe","METHOD":"x","params":{"NAME":1}}"#),
        ),
        // Not one message.
        Row::body("a batch of one", none, format!("[{CALL}]")),
        Row::body(
            "a batch of two",
            none,
            format!("[{CALL},{}]", call(r#""name":"wipe""#)),
        ),
        Row::body("an empty batch", none, "[]"),
        Row::body(
            "two messages",
            none,
            format!("{CALL}{}", call(r#""name":"wipe""#)),
        ),
        Row::body(
            "two messages on two lines",
            none,
            format!("{CALL}\n{}", call(r#""name":"wipe""#)),
        ),
        Row::body("a letter after the message", none, format!("{CALL}x")),
        Row::body("a NUL after the message", none, format!("{CALL}\0")),
        Row::body("a NUL before the message", none, format!("\0{CALL}")),
        Row::body(
            "white space around the message",
            PASSES,
            format!("\r\n\t {CALL} \n"),
        ),
        Row::body(
            "a no-break space before the message",
            none,
            format!("\u{a0}{CALL}"),
        ),
        Row::body("nothing", none, ""),
        Row::body("half a message", none, &CALL[..CALL.len() - 2]),
        Row::body(
            "request and response in one",
            none,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","result":{},"params":{"name":"wipe"}}"#,
        ),
        Row::body(
            "a response with parameters",
            none,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"params":{"name":"wipe"}}"#,
        ),
        Row::body(
            "a response without a session",
            refused(400, "bad_request"),
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        ),
        // Encodings.
        Row::body("a byte order mark", none, format!("\u{feff}{CALL}")),
        Row::body(
            "UTF-16 with a byte order mark",
            none,
            [vec![0xff, 0xfe], utf16(CALL)].concat(),
        ),
        Row::body("UTF-16 without one", none, utf16(CALL)),
        Row::body("a byte that is not UTF-8", none, with(b"\xff")),
        Row::body("a long form of a slash", none, with(b"\xc0\xaf")),
        Row::body("a surrogate in UTF-8", none, with(b"\xed\xa0\x80")),
        Row::body(
            "a lone surrogate in the name",
            none,
            call(r#""name":"echo\ud800""#),
        ),
        Row::body(
            "a lone surrogate in the arguments",
            none,
            arguments(r#"{"a":"\udc00"}"#),
        ),
        Row::body(
            "a pair of surrogates the wrong way round",
            none,
            arguments(r#"{"a":"\ude00\ud83d"}"#),
        ),
        Row::body(
            "a pair of surrogates",
            PASSES,
            arguments(r#"{"a":"\ud83d\ude00"}"#),
        ),
        // What is not JSON for everybody.
        Row::body("NaN", none, arguments(r#"{"a":NaN}"#)),
        Row::body("Infinity", none, arguments(r#"{"a":Infinity}"#)),
        Row::body("minus Infinity", none, arguments(r#"{"a":-Infinity}"#)),
        Row::body("a hexadecimal number", none, arguments(r#"{"a":0x10}"#)),
        Row::body(
            "a number with a leading zero",
            none,
            arguments(r#"{"a":010}"#),
        ),
        Row::body("a number with a plus", none, arguments(r#"{"a":+1}"#)),
        Row::body(
            "a number that no double holds",
            PASSES,
            arguments(r#"{"a":1e999,"b":12345678901234567890.5}"#),
        ),
        Row::body("a comma at the end", none, arguments(r#"{"a":1,}"#)),
        Row::body(
            "a comment",
            none,
            call(r#""name":"echo"/*,"name":"wipe"*/"#),
        ),
        Row::body("single quotes", none, call("'name':'echo'")),
        Row::body("a key without quotes", none, call(r#"name:"echo""#)),
        Row::body(
            "a line break in a string",
            none,
            call("\"name\":\"echo\n\""),
        ),
        Row::body(
            "an escape that JSON does not have",
            none,
            call(r#""name":"\x65cho""#),
        ),
        // Size and depth.
        Row::body(
            "a key of 1 MiB",
            PASSES,
            arguments(&format!(r#"{{"{}":1}}"#, "k".repeat(MIB))),
        ),
        Row::body(
            "a key of 1 MiB twice",
            none,
            arguments(&format!(r#"{{"{0}":1,"{0}":2}}"#, "k".repeat(MIB))),
        ),
        Row::body(
            "a key of 1 MiB beside the name",
            PASSES,
            call(&format!(
                r#""name":"echo","{}":"wipe""#,
                "name".repeat(MIB / 4)
            )),
        ),
        Row::body(
            "an id of 1 MiB",
            none,
            format!(
                r#"{{"jsonrpc":"2.0","id":"{}","method":"tools/call","params":{{"name":"echo"}}}}"#,
                "i".repeat(MIB)
            ),
        ),
        Row::body(
            "nested 40 deep",
            PASSES,
            arguments(&format!(r#"{{"a":{}{}}}"#, "[".repeat(40), "]".repeat(40))),
        ),
        Row::body(
            "nested 100 deep",
            none,
            arguments(&format!(
                r#"{{"a":{}{}}}"#,
                "[".repeat(100),
                "]".repeat(100)
            )),
        ),
        Row::body(
            "nested 100,000 deep, never closed",
            none,
            arguments(&format!(r#"{{"a":{}"#, "[".repeat(100_000))),
        ),
        Row::body(
            "100,000 keys",
            none,
            arguments(&format!(
                "{{{}}}",
                (0..100_000)
                    .map(|i| format!(r#""k{i}":1"#))
                    .collect::<Vec<_>>()
                    .join(",")
            )),
        ),
        Row::body(
            "larger than the limit",
            refused(413, "bad_request"),
            arguments(&format!(r#"{{"a":"{}"}}"#, "x".repeat(5 * MIB))),
        ),
        // Names that are almost the granted one.
        Row::body("a name with a NUL", denied, call(r#""name":"echo\u0000""#)),
        Row::body("a name with a space", denied, call(r#""name":"echo ""#)),
        Row::body("a name in capitals", denied, call(r#""name":"ECHO""#)),
        Row::body(
            "a name in full width",
            denied,
            call("\"name\":\"\u{ff45}cho\""),
        ),
        Row::body(
            "a name with a zero-width space",
            denied,
            call("\"name\":\"echo\u{200b}\""),
        ),
        Row::body(
            "a name with a path",
            denied,
            call(r#""name":"echo/../wipe""#),
        ),
        Row::body(
            "a name that is escaped",
            PASSES,
            call(r#""name":"\u0065cho""#),
        ),
        Row::body("another tool", denied, call(r#""name":"wipe""#)),
        Row::body(
            "another tool without an id",
            denied,
            r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"wipe"}}"#,
        ),
        // Types.
        Row::body("a name that is a list", none, call(r#""name":["echo"]"#)),
        Row::body("a name that is a number", none, call(r#""name":1"#)),
        Row::body(
            "a name that is an object",
            none,
            call(r#""name":{"toString":"echo"}"#),
        ),
        Row::body("no name", refused(200, "bad_request"), call("")),
        Row::body(
            "params that are a list",
            none,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["echo"]}"#,
        ),
        Row::body(
            "an id that is null",
            none,
            r#"{"jsonrpc":"2.0","id":null,"method":"tools/call","params":{"name":"echo"}}"#,
        ),
        Row::body(
            "an id with a fraction",
            none,
            r#"{"jsonrpc":"2.0","id":1.0,"method":"tools/call","params":{"name":"echo"}}"#,
        ),
        Row::body(
            "an id that is an object",
            none,
            r#"{"jsonrpc":"2.0","id":{},"method":"tools/call","params":{"name":"echo"}}"#,
        ),
        Row::body(
            "another version of JSON-RPC",
            none,
            r#"{"jsonrpc":"1.0","id":1,"method":"tools/call","params":{"name":"echo"}}"#,
        ),
        Row::body(
            "a method with an escaped slash",
            PASSES,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools\/call","params":{"name":"echo"}}"#,
        ),
        Row::body(
            "a method that nobody knows",
            refused(200, "method_not_found"),
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call ","params":{"name":"echo"}}"#,
        ),
        Row::body(
            "a method in other letters",
            refused(200, "method_not_found"),
            r#"{"jsonrpc":"2.0","id":1,"method":"Tools/Call","params":{"name":"echo"}}"#,
        ),
    ]
}
