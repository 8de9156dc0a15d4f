//! What the server sends, cut down to what the caller may see: lists to what it could call, notifications to what it
//! could read. Pure but for notes about tasks and changes: bytes in, bytes out.
//!
//! Only entries are taken out, and caching is limited to this caller; every other byte stays. An answer that must be
//! filtered and is not what MCP says is an error, and never passed; so is one in which some parsers would find another
//! list than others. Under an error status only a JSON-RPC error is passed.

use std::ops::Range;

use crate::json::{self, Document, Kind, Limits, Value};
use crate::protocol::{Era, List, keys};
use crate::viewer::Viewer;

/// How long a filtered list may be kept, in milliseconds.
const LONGEST_TTL_MS: u64 = 30_000;

/// What was asked, as far as it says what to look for in the answer.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// In which era.
    pub(crate) era: Era,
    /// For which list.
    pub(crate) list: Option<List>,
    /// For something that says how long it may be kept.
    pub(crate) cacheable: bool,
    /// For a call of this tool, which may be answered with a task.
    pub(crate) task_of: Option<String>,
    /// For nothing but a stream of notifications. After a reconnect it may repeat any answer.
    pub(crate) standalone: bool,
}

impl Ask {
    /// Whether the answer must be understood to be passed.
    pub(crate) fn is_strict(&self) -> bool {
        self.list.is_some() || self.standalone
    }

    /// Whether there is something to look for in an answer that is no stream.
    pub(crate) fn wants_json(&self) -> bool {
        self.list.is_some() || self.cacheable || self.task_of.is_some()
    }
}

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
    /// It is not for this caller.
    Dropped,
    /// It is a request, which the server must not send on this stream. It does not pass.
    Stray,
}

/// Filters one message of the server.
pub(crate) fn message(bytes: &[u8], ask: &Ask, viewer: &Viewer<'_>) -> Result<Filtered, Error> {
    let limits = if ask.is_strict() {
        Limits::ANSWER
    } else {
        Limits::EVENT
    };
    let document = Document::scan(bytes, limits)?;
    let root = document.root();
    if root.kind() != Kind::Object {
        return Err(Error::NotAMessage);
    }
    no_case_variants(root, keys::TOP)?;
    if let Some(method) = root.get("method") {
        if root.get("result").is_some() {
            return Err(Error::NotAMessage);
        }
        let method = method.as_str().ok_or(Error::NotAMessage)?;
        return match (root.get("id"), ask.era) {
            (None, _) => notification(&method, root.get("params"), ask, viewer),
            (Some(_), Era::Modern) => Ok(Filtered::Stray),
            (Some(_), Era::Legacy) => Ok(Filtered::Same),
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
    if ask.is_strict() {
        for list in List::ALL {
            match result.get(list.member()) {
                Some(entries) if entries.kind() == Kind::Array => {
                    cut(entries, list, viewer, &mut edits)?;
                }
                None | Some(_) if ask.list == Some(list) => {
                    return Err(Error::NoList(list.member()));
                }
                None | Some(_) => {}
            }
        }
    }
    if let (Some(tool), Some(id)) = (&ask.task_of, task(result)) {
        viewer.bind(&id, tool);
    }
    if ask.list.is_some() || ask.cacheable {
        limit_caching(result, &mut edits);
    }
    Ok(edits.apply(bytes))
}

/// What becomes of a notification.
fn notification(
    method: &str,
    params: Option<Value<'_>>,
    ask: &Ask,
    viewer: &Viewer<'_>,
) -> Result<Filtered, Error> {
    let member = |key: &'static str| -> Result<_, Error> {
        let Some(params) = params else {
            return Ok(None);
        };
        no_case_variants(params, keys::PARAMS)?;
        Ok(params.get(key).and_then(Value::as_str))
    };
    let passes = match method {
        "notifications/resources/updated" => {
            member("uri")?.is_some_and(|uri| viewer.may_use(List::Resources, &uri))
        }
        "notifications/tasks/status" | "notifications/tasks" => {
            member("taskId")?.is_some_and(|task| viewer.owns(&task))
        }
        // Logs belong to the request that asked for them.
        "notifications/message" => !(ask.standalone && ask.era == Era::Modern),
        "notifications/tools/list_changed"
        | "notifications/prompts/list_changed"
        | "notifications/resources/list_changed" => {
            viewer.heard_of_change();
            true
        }
        _ => true,
    };
    Ok(if passes {
        Filtered::Same
    } else {
        Filtered::Dropped
    })
}

/// The id of the task with which a call was answered: of 2025-11-25, or of the extension.
fn task(result: Value<'_>) -> Option<std::borrow::Cow<'_, str>> {
    let own = result
        .get("resultType")
        .and_then(Value::as_str)
        .filter(|word| word == "task")
        .and_then(|_| result.get("taskId"));
    let task = result.get("task").and_then(|task| task.get("taskId"));
    own.or(task).and_then(Value::as_str)
}

/// Takes entries out of a list that stands in `bytes`, of which `kept` stay.
pub(crate) fn keep(bytes: &[u8], lists: Vec<(Range<usize>, Vec<Range<usize>>)>) -> Filtered {
    let mut edits = Edits::default();
    for (list, kept) in lists {
        edits.replace_list(list, kept);
    }
    edits.apply(bytes)
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
fn cut(
    entries: Value<'_>,
    list: List,
    viewer: &Viewer<'_>,
    edits: &mut Edits,
) -> Result<(), Error> {
    let mut kept: Vec<Range<usize>> = Vec::new();
    let mut all = true;
    for entry in entries.children() {
        no_case_variants(entry, keys::ENTRY)?;
        let name = entry
            .get(list.name())
            .and_then(Value::as_str)
            .ok_or(Error::NoName(list.member()))?;
        if viewer.lists(list, &name, entry.raw()) {
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
    use crate::discovery::Discovery;
    use crate::metrics::Metrics;
    use crate::tasks::Tasks;
    use access::{Caller, Settings};
    use api::{MCPAccessGrant, MCPServer, SideEffect, Subject, Tool};
    use std::sync::Arc;

    use super::*;

    /// The answer to a request for a list; without one, an event of a standalone stream.
    fn filter(text: &str, expected: Option<List>) -> Result<String, Error> {
        let ask = Ask {
            list: expected,
            standalone: expected.is_none(),
            ..ask(Era::Modern)
        };
        filtered(text, &ask, &Tasks::default()).map(|filtered| match filtered {
            Filtered::Same => text.to_owned(),
            Filtered::Changed(bytes) => String::from_utf8(bytes).unwrap(),
            Filtered::Dropped | Filtered::Stray => String::new(),
        })
    }

    fn ask(era: Era) -> Ask {
        Ask {
            era,
            list: None,
            cacheable: false,
            task_of: None,
            standalone: false,
        }
    }

    fn filtered(text: &str, ask: &Ask, tasks: &Tasks) -> Result<Filtered, Error> {
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
        let discovery = Discovery::new(Arc::new(Metrics::new().0));
        let viewer = Viewer::new(
            &bundle,
            access::Judge::new(&bundle, &caller, now),
            "human:alice",
            &discovery,
            tasks,
        );
        message(text.as_bytes(), ask, &viewer)
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
    fn a_notification_passes_if_its_subject_may_be_read() {
        let tasks = Tasks::default();
        tasks.bind("human:alice", "mine", "echo");
        let stream = Ask {
            standalone: true,
            ..ask(Era::Modern)
        };
        let note = |method: &str, params: &str| {
            let text = format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/{method}","params":{params}}}"#
            );
            let call = filtered(&text, &ask(Era::Legacy), &tasks).ok();
            (filtered(&text, &stream, &tasks).ok(), call)
        };
        let same = || Some(Filtered::Same);
        let dropped = || Some(Filtered::Dropped);
        for (method, params) in [
            ("resources/updated", r#"{"uri":"a://1"}"#),
            ("tasks/status", r#"{"taskId":"mine","status":"working"}"#),
            ("tasks", r#"{"taskId":"mine"}"#),
            ("tools/list_changed", "{}"),
            ("progress", r#"{"progressToken":1}"#),
        ] {
            assert_eq!(note(method, params), (same(), same()), "{method}");
        }
        for (method, params) in [
            ("resources/updated", r#"{"uri":"b://1"}"#),
            ("resources/updated", "{}"),
            ("tasks/status", r#"{"taskId":"theirs"}"#),
            ("tasks", "{}"),
        ] {
            assert_eq!(note(method, params), (dropped(), dropped()), "{method}");
        }
        assert_eq!(note("message", r#"{"data":"x"}"#), (dropped(), same()));
        let hidden = r#"{"uri":"a://1","URI":"b://1"}"#;
        assert_eq!(note("resources/updated", hidden), (None, None));
    }

    #[test]
    fn a_modern_server_sends_no_requests() {
        let text = r#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}"#;
        let filtered = |era| filtered(text, &ask(era), &Tasks::default()).unwrap();
        assert_eq!(filtered(Era::Modern), Filtered::Stray);
        assert_eq!(filtered(Era::Legacy), Filtered::Same);
    }

    #[test]
    fn a_task_is_bound_to_who_made_it_and_listed_to_nobody_else() {
        let tasks = Tasks::default();
        let call = Ask {
            task_of: Some("echo".to_owned()),
            ..ask(Era::Modern)
        };
        for text in [
            r#"{"jsonrpc":"2.0","id":1,"result":{"task":{"taskId":"legacy","status":"working"}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"task","taskId":"modern"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","taskId":"none"}}"#,
        ] {
            assert_eq!(filtered(text, &call, &tasks).unwrap(), Filtered::Same);
        }
        for (id, known) in [("legacy", true), ("modern", true), ("none", false)] {
            assert_eq!(tasks.tool("human:alice", id).is_some(), known, "{id}");
        }
        let list = Ask {
            list: Some(List::Tasks),
            ..ask(Era::Legacy)
        };
        let text = r#"{"id":1,"result":{"tasks":[{"taskId":"theirs"},{"taskId":"legacy"}]}}"#;
        let left = r#"{"id":1,"result":{"tasks":[{"taskId":"legacy"}]}}"#;
        assert_eq!(
            filtered(text, &list, &tasks).unwrap(),
            Filtered::Changed(left.into())
        );
    }

    #[test]
    fn what_may_be_kept_is_kept_by_this_caller_only() {
        let text = r#"{"id":1,"result":{"contents":[],"ttlMs":60000,"cacheScope":"public"}}"#;
        let read = Ask {
            cacheable: true,
            ..ask(Era::Modern)
        };
        let limited = r#"{"id":1,"result":{"contents":[],"ttlMs":30000,"cacheScope":"private"}}"#;
        assert_eq!(
            filtered(text, &read, &Tasks::default()).unwrap(),
            Filtered::Changed(limited.into())
        );
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
