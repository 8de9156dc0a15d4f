//! Lists in answers, cut down to what the caller could call. Pure: bytes in, bytes out.
//!
//! Only entries are taken out, and caching is limited to this caller; every other byte stays. An answer that must be
//! filtered and is not what MCP says is an error, and never passed; so is one in which some parsers would find another
//! list than others. Under an error status only a JSON-RPC error is passed.

use std::ops::Range;

use access::{Item, Judge};

use crate::json::{self, Document, Kind, Limits, Value};
use crate::protocol::{List, keys};

/// How long a filtered list may be kept, in milliseconds.
const LONGEST_TTL_MS: u64 = 30_000;

/// Why an answer is not passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not JSON that every parser reads alike.
    #[error("the server's answer {0}")]
    Json(#[from] json::Error),
    /// Not an answer to this method.
    #[error("the server's answer has no list {0:?}")]
    NoList(&'static str),
    /// An entry without a name.
    #[error("an entry of the server's list {0:?} has no name")]
    NoName(&'static str),
    /// A key that some parsers take for the one that is filtered.
    #[error("a key of the server's answer differs from {0:?} only in case")]
    CaseVariant(&'static str),
    /// Not a message.
    #[error("the server's answer is not a JSON-RPC message")]
    NotAMessage,
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Filtered {
    /// It passes as it is.
    Same,
    /// It passes like this.
    Changed(Vec<u8>),
}

/// Filters one message of the server. `expected` is the list that the caller asked for, if that is known.
pub fn message(bytes: &[u8], expected: Option<List>, judge: &Judge<'_>) -> Result<Filtered, Error> {
    let document = Document::scan(bytes, Limits::ANSWER)?;
    let root = document.root();
    if root.kind() != Kind::Object {
        return Err(Error::NotAMessage);
    }
    no_case_variants(root, keys::TOP)?;
    if root.get("method").is_some() {
        return if root.get("result").is_some() {
            Err(Error::NotAMessage)
        } else {
            Ok(Filtered::Same)
        };
    }
    let Some(result) = root.get("result") else {
        return if root.get("error").is_some() {
            Ok(Filtered::Same)
        } else {
            Err(Error::NotAMessage)
        };
    };
    no_case_variants(result, keys::RESULT)?;
    let mut edits = Edits::default();
    for list in List::ALL {
        match result.get(list.member()) {
            Some(entries) if entries.kind() == Kind::Array => {
                cut(entries, list, judge, &mut edits)?;
            }
            None | Some(_) if expected == Some(list) => return Err(Error::NoList(list.member())),
            None | Some(_) => {}
        }
    }
    if expected.is_some() {
        limit_caching(result, &mut edits);
    }
    Ok(edits.apply(bytes))
}

/// Whether bytes are a JSON-RPC error and nothing else, so that no client can find a list in them.
pub fn is_error(bytes: &[u8]) -> bool {
    let Ok(document) = Document::scan(bytes, Limits::ANSWER) else {
        return false;
    };
    let root = document.root();
    let is_string = |value: Value<'_>, text: &str| value.as_str().is_some_and(|s| s == text);
    root.get("jsonrpc").is_some_and(|v| is_string(v, "2.0"))
        && root
            .get("error")
            .is_some_and(|error| error.kind() == Kind::Object)
        && root
            .children()
            .filter_map(Value::key)
            .all(|key| matches!(key.as_ref(), "jsonrpc" | "id" | "error"))
}

fn no_case_variants(value: Value<'_>, expected: &'static [&'static str]) -> Result<(), Error> {
    match value.case_variant(expected) {
        Some((_, expected)) => Err(Error::CaseVariant(expected)),
        None => Ok(()),
    }
}

/// Takes out the entries that the caller could not call.
fn cut(entries: Value<'_>, list: List, judge: &Judge<'_>, edits: &mut Edits) -> Result<(), Error> {
    let mut kept: Vec<Range<usize>> = Vec::new();
    let mut all = true;
    for entry in entries.children() {
        no_case_variants(entry, keys::ENTRY)?;
        let name = entry
            .get(list.name())
            .and_then(Value::as_str)
            .ok_or(Error::NoName(list.member()))?;
        let item = match list {
            List::Tools => Item::Tool(&name),
            List::Prompts => Item::Prompt(&name),
            List::Resources => Item::Resource(&name),
            List::Templates => Item::ResourceTemplate(&name),
        };
        if judge.allows(&item) {
            kept.push(entry.range());
        } else {
            all = false;
        }
    }
    if !all {
        edits.replace_list(entries.range(), kept);
    }
    Ok(())
}

/// A list for one caller must not be served to another, and not for long.
fn limit_caching(result: Value<'_>, edits: &mut Edits) {
    if let Some(scope) = result
        .get("cacheScope")
        .filter(|s| s.as_str().as_deref() != Some("private"))
    {
        edits.replace(scope.range(), b"\"private\"".to_vec());
    }
    if let Some(ttl) = result.get("ttlMs") {
        let short = std::str::from_utf8(ttl.raw())
            .ok()
            .and_then(|t| t.parse::<u64>().ok());
        if short.is_none_or(|ms| ms > LONGEST_TTL_MS) {
            edits.replace(ttl.range(), LONGEST_TTL_MS.to_string().into_bytes());
        }
    }
}

/// Changes to bytes, none overlapping another.
#[derive(Default)]
struct Edits(Vec<(Range<usize>, Replacement)>);

enum Replacement {
    Bytes(Vec<u8>),
    /// A list of these ranges of the same bytes.
    List(Vec<Range<usize>>),
}

impl Edits {
    fn replace(&mut self, range: Range<usize>, bytes: Vec<u8>) {
        self.0.push((range, Replacement::Bytes(bytes)));
    }

    fn replace_list(&mut self, range: Range<usize>, kept: Vec<Range<usize>>) {
        self.0.push((range, Replacement::List(kept)));
    }

    fn apply(mut self, bytes: &[u8]) -> Filtered {
        if self.0.is_empty() {
            return Filtered::Same;
        }
        self.0.sort_by_key(|(range, _)| range.start);
        let mut out = Vec::with_capacity(bytes.len());
        let mut at = 0;
        for (range, replacement) in self.0 {
            out.extend_from_slice(&bytes[at..range.start]);
            match replacement {
                Replacement::Bytes(with) => out.extend_from_slice(&with),
                Replacement::List(kept) => {
                    out.push(b'[');
                    for (i, part) in kept.into_iter().enumerate() {
                        if i > 0 {
                            out.push(b',');
                        }
                        out.extend_from_slice(&bytes[part]);
                    }
                    out.push(b']');
                }
            }
            at = range.end;
        }
        out.extend_from_slice(&bytes[at..]);
        Filtered::Changed(out)
    }
}

#[cfg(test)]
mod tests {
    use access::{Caller, Settings};
    use api::{MCPAccessGrant, MCPServer, SideEffect, Subject, Tool};
    use std::sync::Arc;

    use super::*;

    fn filter(text: &str, expected: Option<List>) -> Result<String, Error> {
        let now: jiff::Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let mut server = MCPServer::new("weather", api::MCPServerSpec::default());
        server.spec.tools = ["echo", "add"]
            .map(|name| Tool {
                name: name.to_owned(),
                ..Tool::default()
            })
            .into();
        let mut grant = MCPAccessGrant::new("g", api::MCPAccessGrantSpec::default());
        grant.spec.server_ref.name = "weather".to_owned();
        grant.spec.subject = Subject {
            human_id: Some("alice".to_owned()),
            ..Subject::default()
        };
        grant.spec.allowed_side_effects = vec![SideEffect::Read];
        grant.spec.tool_rules = vec![api::ToolRule {
            name: "echo".to_owned(),
            ..api::ToolRule::default()
        }];
        grant.spec.resources = vec!["a://*".to_owned()];
        let bundle = access::compile(
            &Settings::new("ns", "weather"),
            &server,
            &[Arc::new(grant.clone())],
            &[],
            now,
        );
        let caller = Caller::of(&grant.spec.subject, Vec::new());
        let judge = Judge::new(&bundle, &caller, now);
        message(text.as_bytes(), expected, &judge).map(|filtered| match filtered {
            Filtered::Same => text.to_owned(),
            Filtered::Changed(bytes) => String::from_utf8(bytes).unwrap(),
        })
    }

    #[test]
    fn only_what_can_be_called_is_listed_and_every_other_byte_stays() {
        let text = r#"{"jsonrpc":"2.0", "id":1,"result":{"x":1.50,"tools":[ {"name":"add"}, {"name":"echo","n":1e2 } ],"nextCursor":"c"}}"#;
        assert_eq!(
            filter(text, Some(List::Tools)).unwrap(),
            r#"{"jsonrpc":"2.0", "id":1,"result":{"x":1.50,"tools":[{"name":"echo","n":1e2 }],"nextCursor":"c"}}"#
        );
        let resources = r#"{"id":1,"result":{"resources":[{"uri":"a://1"},{"uri":"b://1"}]}}"#;
        assert_eq!(
            filter(resources, Some(List::Resources)).unwrap(),
            r#"{"id":1,"result":{"resources":[{"uri":"a://1"}]}}"#
        );
        let templates = r#"{"id":1,"result":{"resourceTemplates":[{"uriTemplate":"{s}://1"},{"uriTemplate":"b://{x}"}]}}"#;
        assert_eq!(
            filter(templates, Some(List::Templates)).unwrap(),
            r#"{"id":1,"result":{"resourceTemplates":[{"uriTemplate":"{s}://1"}]}}"#
        );
        let prompts = r#"{"id":1,"result":{"prompts":[{"name":"echo"}]}}"#;
        assert_eq!(
            filter(prompts, Some(List::Prompts)).unwrap(),
            r#"{"id":1,"result":{"prompts":[]}}"#
        );
    }

    #[test]
    fn a_filtered_list_is_for_this_caller_and_not_for_long() {
        let text = r#"{"id":1,"result":{"tools":[],"ttlMs":3600000,"cacheScope":"public"}}"#;
        assert_eq!(
            filter(text, Some(List::Tools)).unwrap(),
            r#"{"id":1,"result":{"tools":[],"ttlMs":30000,"cacheScope":"private"}}"#
        );
    }

    #[test]
    fn what_is_no_list_passes_as_it_is() {
        for text in [
            r#"{"id":1,"error":{"code":1,"message":"m"}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#,
        ] {
            assert_eq!(filter(text, Some(List::Tools)).unwrap(), text);
        }
        let text = r#"{"id":1,"result":{"content":[]}}"#;
        assert_eq!(filter(text, None).unwrap(), text);
    }

    #[test]
    fn an_error_is_an_error_only_with_nothing_beside_it() {
        for text in [
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}}"#,
            r#"{"jsonrpc":"2.0","error":{"code":1,"message":"m","data":{"supported":[]}}}"#,
        ] {
            assert!(is_error(text.as_bytes()), "{text}");
        }
        for text in [
            r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{},"result":{"tools":[]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{},"Result":{"tools":[]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{},"error":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":"m"}"#,
            r#"{"id":1,"error":{}}"#,
            r#"[{"jsonrpc":"2.0","id":1,"error":{}}]"#,
            "not found",
            "",
        ] {
            assert!(!is_error(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn an_answer_that_cannot_be_filtered_is_an_error() {
        for text in [
            r#"{"id":1,"result":{}}"#,
            r#"{"id":1,"result":{"tools":{}}}"#,
            r#"{"id":1,"result":{"tools":[{"title":"x"}]}}"#,
            r#"{"id":1,"result":{"tools":[{"name":7}]}}"#,
            r#"{"id":1,"result":{"tools":["echo"]}}"#,
            r#"{"id":1,"result":{"tools":[]},"result":{"tools":[{"name":"add"}]}}"#,
            r#"{"id":1,"method":"x","result":{"tools":[{"name":"add"}]}}"#,
            r#"{"id":1,"error":{},"Result":{"tools":[{"name":"add"}]}}"#,
            r#"{"id":1,"result":{"tools":[],"Tools":[{"name":"add"}]}}"#,
            r#"{"id":1,"result":{"tools":[{"name":"echo","Name":"add"}]}}"#,
            r#"[{"id":1,"result":{"tools":[{"name":"add"}]}}]"#,
            "",
        ] {
            assert!(filter(text, Some(List::Tools)).is_err(), "{text}");
        }
    }

    #[test]
    fn a_list_on_a_stream_of_unknown_origin_is_filtered_too() {
        let text = r#"{"id":1,"result":{"tools":[{"name":"add"}]}}"#;
        assert_eq!(
            filter(text, None).unwrap(),
            r#"{"id":1,"result":{"tools":[]}}"#
        );
    }
}
