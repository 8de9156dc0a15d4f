//! The text of JSON-RPC messages: taken apart, and put together again with only the asked changes. Pure.
//!
//! What nobody asks to change keeps its source text: numbers, escapes and the order of members. A message of a server
//! is read more leniently than one of a caller, because nothing is decided by it; its parts go on as they came.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// One message, by what it is. Ids, parameters and results are source texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    /// Wants an answer.
    Request {
        id: &'a str,
        method: &'a str,
        params: Option<&'a str>,
    },
    /// Wants none.
    Notification {
        method: &'a str,
        params: Option<&'a str>,
    },
    /// Answers a request.
    Response { id: &'a str, outcome: Outcome<'a> },
}

/// What a response says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome<'a> {
    Result(&'a str),
    Error(&'a str),
}

/// The members of a message, still as bytes.
#[derive(serde::Deserialize)]
pub(super) struct Parts<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(default)]
    method: Option<String>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

impl<'a> Parts<'a> {
    /// The parts of a message; `None` if it is no JSON object.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// What they make up; `None` if it is no message.
    pub(super) fn message(&self) -> Option<Message<'_>> {
        let params = self.params.map(RawValue::get);
        match (self.method.as_deref(), self.id.map(RawValue::get)) {
            (Some(method), Some(id)) => Some(Message::Request { id, method, params }),
            (Some(method), None) => Some(Message::Notification { method, params }),
            (None, Some(id)) => {
                let outcome = match (self.result, self.error) {
                    (Some(result), None) => Outcome::Result(result.get()),
                    (None, Some(error)) => Outcome::Error(error.get()),
                    _ => return None,
                };
                Some(Message::Response { id, outcome })
            }
            (None, None) => None,
        }
    }
}

/// A JSON object: its members in order, each with the source text of its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Object<'a>(Vec<(String, Cow<'a, str>)>);

impl<'a> Object<'a> {
    /// The members of `text`; `None` if it is no object.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The members of `text`, or none.
    pub(super) fn of(text: Option<&'a str>) -> Self {
        text.and_then(Self::read).unwrap_or_default()
    }

    /// The source text of a member.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let found = self.0.iter().find(|(k, _)| k == key);
        found.map(|(_, value)| value.as_ref())
    }

    /// The string that a member is.
    pub(super) fn string(&self, key: &str) -> Option<String> {
        serde_json::from_str(self.get(key)?).ok()
    }

    /// Puts a value in the place of the member's, or at the end.
    pub(super) fn set(&mut self, key: &str, value: impl Into<Cow<'a, str>>) {
        let value = value.into();
        match self.0.iter_mut().find(|(k, _)| k == key) {
            Some(member) => member.1 = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// Keeps the members whose key fits.
    pub(super) fn retain(&mut self, mut fits: impl FnMut(&str) -> bool) {
        self.0.retain(|(key, _)| fits(key));
    }

    /// The object as JSON.
    pub(super) fn text(&self) -> String {
        let mut out = String::from("{");
        for (index, (key, value)) in self.0.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            out.push_str(&quoted(key));
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
        out
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut members = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
                    members.push((key, Cow::Borrowed(value.get())));
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A string as JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Parameters with a member of their `_meta` set to `value`.
pub(super) fn with_meta(params: Option<&str>, key: &str, value: &str) -> String {
    let mut params = Object::of(params);
    let mut meta = Object::of(params.get("_meta"));
    meta.set(key, value);
    let meta = meta.text();
    params.set("_meta", meta);
    params.text()
}

/// A member of `_meta`.
pub(super) fn meta(params: Option<&str>, key: &str) -> Option<String> {
    let params = Object::read(params?)?;
    let meta = Object::read(params.get("_meta")?)?;
    meta.get(key).map(str::to_owned)
}

/// Whether two ids are the same, however each is written.
pub(super) fn same_id(a: &str, b: &str) -> bool {
    let value = |text| serde_json::from_str::<serde_json::Value>(text).ok();
    a == b || matches!((value(a), value(b)), (Some(a), Some(b)) if a == b)
}

/// A message as JSON in one line: a line break can only stand between its values.
pub(super) fn text(message: &Message<'_>) -> String {
    let params = |params: Option<&str>| match params {
        Some(params) => format!(r#","params":{params}"#),
        None => String::new(),
    };
    let text = match message {
        Message::Request {
            id,
            method,
            params: p,
        } => format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":{}{}}}"#,
            quoted(method),
            params(*p)
        ),
        Message::Notification { method, params: p } => format!(
            r#"{{"jsonrpc":"2.0","method":{}{}}}"#,
            quoted(method),
            params(*p)
        ),
        Message::Response { id, outcome } => match outcome {
            Outcome::Result(result) => {
                format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
            }
            Outcome::Error(error) => format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#),
        },
    };
    if text.contains(['\n', '\r']) {
        text.replace(['\n', '\r'], " ")
    } else {
        text
    }
}

/// A message as bytes in one line.
pub(super) fn bytes(message: &Message<'_>) -> Bytes {
    Bytes::from(text(message))
}

/// The JSON-RPC error object.
pub(super) fn error(code: i32, message: &str) -> String {
    serde_json::json!({ "code": code, "message": message }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(source: &str) -> Option<String> {
        let parts = Parts::read(source.as_bytes())?;
        parts.message().map(|message| text(&message))
    }

    #[test]
    fn what_is_not_changed_keeps_its_source_text() {
        for source in [
            r#"{"jsonrpc":"2.0","id":"a\u0062","method":"tools/call","params":{"b":1.0e2,"a":"\u2028 \ud800 😀"}}"#,
            "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"z\":\"\u{2028}\u{7f}\\u001b[31m\",\"a\":[1.50]}}",
            r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":{"k":1,"k":2}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32002,"message":"x"}}"#,
        ] {
            assert_eq!(again(source).as_deref(), Some(source));
        }
    }

    #[test]
    fn a_message_becomes_one_line() {
        let pretty = "{\r\n \"jsonrpc\": \"2.0\", \"id\": 1,\n \"method\": \"ping\",\n \"params\": {\n \"a\": \"\\n\"\r}\n}";
        let line = again(pretty).unwrap();
        assert!(!line.contains(['\n', '\r']), "{line:?}");
        assert!(line.contains(r#""a": "\n""#), "{line:?}");
    }

    #[test]
    fn what_is_no_message_is_none() {
        for source in [
            "",
            "hello",
            "[]",
            "{}",
            "7",
            r#"{"id":1}"#,
            r#"{"id":1,"result":{},"error":{}}"#,
            r#"{"id":1,"id":2,"result":{}}"#,
        ] {
            assert_eq!(again(source), None, "{source}");
        }
    }

    #[test]
    fn a_member_is_set_in_its_place_and_the_others_stay() {
        let params =
            r#"{"name":"a","_meta":{"x":1e0,"progressToken":"t","y":[ 2 ]},"arguments":{}}"#;
        assert_eq!(
            with_meta(Some(params), "progressToken", "5"),
            r#"{"name":"a","_meta":{"x":1e0,"progressToken":5,"y":[ 2 ]},"arguments":{}}"#
        );
        assert_eq!(with_meta(None, "k", "1"), r#"{"_meta":{"k":1}}"#);
        assert_eq!(
            meta(Some(params), "progressToken").as_deref(),
            Some(r#""t""#)
        );
    }

    #[test]
    fn ids_are_compared_by_value_and_type() {
        assert!(same_id(r#""ab""#, r#""a\u0062""#));
        assert!(same_id("7", "7"));
        assert!(!same_id("7", r#""7""#));
    }
}
