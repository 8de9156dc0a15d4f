//! One message of a caller, read strictly: its kind, its method, and what it names. Pure.
//!
//! The bytes themselves are forwarded; this only says what is in them.

use std::borrow::Cow;
use std::ops::Range;

use crate::json::{self, Document, Kind as JsonKind, Limits, Value};
use crate::news::Wanted;
use crate::protocol::{META_CAPABILITIES, META_VERSION, Method, Names, keys};
use crate::trace::Meta;

/// What sort of message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Wants an answer.
    Request,
    /// Wants none.
    Notification,
    /// Is the answer to a request of the server.
    Response,
}

/// What is in the bytes of one message.
#[derive(Debug)]
pub struct Message {
    /// What sort of message it is.
    pub kind: Kind,
    /// Source text of `id`; absent from notifications.
    pub id: Option<String>,
    /// `method`; empty of a response.
    pub method: String,
    /// `params.name`.
    pub name: Option<String>,
    /// `params.uri`.
    pub uri: Option<String>,
    /// `params.ref`: its type, and its name or URI.
    pub reference: Option<(String, String)>,
    /// `params.taskId`.
    pub task_id: Option<String>,
    /// The call may be answered with a task: it asks for one, or the client knows extensions.
    pub takes_task: bool,
    /// `params.notifications`.
    pub listen: Listen,
    /// The envelope of the modern era.
    pub envelope: Envelope,
    /// The trace context in `params._meta`.
    pub trace: Meta,
    /// Where `params.arguments` is.
    pub arguments: Option<Range<usize>>,
}

/// What a `subscriptions/listen` asks for.
#[derive(Debug)]
pub struct Listen {
    /// Changes of lists.
    pub(crate) lists: Wanted,
    /// `resourceSubscriptions`; `None` if it is no list of strings.
    pub uris: Option<Texts>,
    /// `taskIds`; `None` if it is no list of strings.
    pub tasks: Option<Texts>,
}

/// A list of strings, and where it and they are.
#[derive(Debug, Default)]
pub struct Texts {
    /// Where the list is; `None` if there is none.
    pub at: Option<Range<usize>>,
    /// The strings.
    pub entries: Vec<(Range<usize>, String)>,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            lists: Wanted::default(),
            uris: Some(Texts::default()),
            tasks: Some(Texts::default()),
        }
    }
}

impl Texts {
    fn read(list: Option<Value<'_>>) -> Option<Self> {
        let Some(list) = list else {
            return Some(Self::default());
        };
        let entry = |v: Value<'_>| Some((v.range(), v.as_str()?.into_owned()));
        let entries = list.children().map(entry).collect::<Option<_>>()?;
        (list.kind() == JsonKind::Array).then(|| Self {
            at: Some(list.range()),
            entries,
        })
    }
}

/// `params._meta`, as far as it says how the message is to be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// There is a protocol version, whatever its type.
    pub claimed: bool,
    /// The protocol version, if it is a string.
    pub version: Option<String>,
    /// The client's capabilities are an object.
    pub capabilities: bool,
}

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not JSON that every parser reads alike.
    #[error("the body {0}")]
    Json(#[from] json::Error),
    /// A batch.
    #[error("the body must be a single JSON-RPC message: batches are not part of MCP")]
    Batch,
    /// Not a JSON object.
    #[error("the body must be a JSON-RPC message, an object")]
    NotAnObject,
    /// Not of JSON-RPC 2.0.
    #[error("jsonrpc must be \"2.0\"")]
    Version,
    /// A key that some parsers take for another one.
    #[error("the key {given:?} differs from {expected:?} only in case, or after a NUL")]
    CaseVariant {
        /// What was sent.
        given: String,
        /// What it resembles.
        expected: &'static str,
    },
    /// An id that is neither a string nor an integer.
    #[error("id must be a string or an integer of at most 15 digits")]
    Id,
    /// Neither request, notification nor response, or more than one of them.
    #[error("the body must have a method, or an id with either result or error")]
    Shape,
    /// A response with a member that responses do not have.
    #[error("a response must have jsonrpc, id, and either result or error, and not {given:?}")]
    ResponseMember {
        /// What was sent.
        given: String,
    },
    /// A member is of the wrong type.
    #[error("{member} must be {expected}")]
    Type {
        /// Which.
        member: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

impl Message {
    /// Reads a message.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let document = Document::scan(bytes, Limits::REQUEST)?;
        let root = document.root();
        match root.kind() {
            JsonKind::Object => {}
            JsonKind::Array => return Err(Error::Batch),
            JsonKind::Null | JsonKind::Bool | JsonKind::Number | JsonKind::String => {
                return Err(Error::NotAnObject);
            }
        }
        no_case_variants(root, keys::TOP)?;
        if root.get("jsonrpc").and_then(Value::as_str).as_deref() != Some("2.0") {
            return Err(Error::Version);
        }
        let id = root.get("id").map(id).transpose()?;
        let answer = (root.get("result").is_some(), root.get("error").is_some());
        let (kind, method) = match (root.get("method"), &id, answer) {
            (Some(method), Some(_), (false, false)) => (Kind::Request, string(method, "method")?),
            (Some(method), None, (false, false)) => (Kind::Notification, string(method, "method")?),
            (None, Some(_), (true, false) | (false, true)) => (Kind::Response, String::new()),
            _ => return Err(Error::Shape),
        };
        if kind == Kind::Response {
            only_of_a_response(root)?;
        }
        let mut message = Self {
            kind,
            id,
            method,
            name: None,
            uri: None,
            reference: None,
            task_id: None,
            takes_task: false,
            listen: Listen::default(),
            envelope: Envelope::default(),
            trace: Meta::default(),
            arguments: None,
        };
        if let Some(params) = root.get("params") {
            message.read_params(params)?;
        }
        Ok(message)
    }

    fn read_params(&mut self, params: Value<'_>) -> Result<(), Error> {
        object(params, "params")?;
        no_case_variants(params, keys::PARAMS)?;
        self.name = params
            .get("name")
            .map(|v| string(v, "params.name"))
            .transpose()?;
        self.uri = params
            .get("uri")
            .map(|v| string(v, "params.uri"))
            .transpose()?;
        self.task_id = params
            .get("taskId")
            .map(|v| string(v, "params.taskId"))
            .transpose()?;
        self.arguments = params.get("arguments").map(Value::range);
        if let Some(meta) = params.get("_meta") {
            object(meta, "params._meta")?;
            no_case_variants(meta, keys::META)?;
            let text = |key: &str| meta.get(key).and_then(Value::as_str).map(Cow::into_owned);
            self.trace = Meta {
                parent: text("traceparent"),
                state: text("tracestate"),
            };
            let version = meta.get(META_VERSION);
            let capabilities = meta.get(META_CAPABILITIES);
            self.envelope = Envelope {
                claimed: version.is_some(),
                version: version.and_then(Value::as_str).map(Cow::into_owned),
                capabilities: capabilities.is_some_and(|v| v.kind() == JsonKind::Object),
            };
            self.takes_task = capabilities.is_some_and(|v| v.get("extensions").is_some());
        }
        if let Some(reference) = params.get("ref") {
            object(reference, "params.ref")?;
            no_case_variants(reference, keys::REF)?;
            let text = |key: &str| {
                reference
                    .get(key)
                    .and_then(Value::as_str)
                    .map(Cow::into_owned)
            };
            self.reference = match text("type").as_deref() {
                Some("ref/prompt") => text("name").map(|name| ("ref/prompt".to_owned(), name)),
                Some("ref/resource") => text("uri").map(|uri| ("ref/resource".to_owned(), uri)),
                Some(_) | None => None,
            };
        }
        if let Some(task) = params.get("task").filter(|t| t.kind() == JsonKind::Object) {
            no_case_variants(task, keys::TASK)?;
            self.takes_task = true;
        }
        if let Some(notifications) = params
            .get("notifications")
            .filter(|n| n.kind() == JsonKind::Object)
        {
            no_case_variants(notifications, keys::NOTIFICATIONS)?;
            let on = |key: &str| notifications.get(key).is_some_and(|v| v.raw() == b"true");
            self.listen = Listen {
                lists: Wanted {
                    tools: on("toolsListChanged"),
                    prompts: on("promptsListChanged"),
                    resources: on("resourcesListChanged"),
                },
                uris: Texts::read(notifications.get("resourceSubscriptions")),
                tasks: Texts::read(notifications.get("taskIds")),
            };
        }
        Ok(())
    }

    /// What `method` names: the items that access is asked about. An error says which parameter is missing.
    pub fn items(&self, method: &Method) -> Result<Vec<access::Item<'_>>, Error> {
        let name = || {
            self.name.as_deref().ok_or(Error::Type {
                member: "params.name",
                expected: "a string",
            })
        };
        let uri = || {
            self.uri.as_deref().ok_or(Error::Type {
                member: "params.uri",
                expected: "a string",
            })
        };
        Ok(match method.names {
            // Whose a task is, and what of a subscription is passed, is not a question of a grant alone.
            Names::Task if self.task_id.is_none() => {
                return Err(must_be("params.taskId", "a string"));
            }
            Names::Subscriptions if self.listen.uris.is_none() => {
                return Err(must_be(RESOURCE_SUBSCRIPTIONS, "a list of strings"));
            }
            Names::Subscriptions if self.listen.tasks.is_none() => {
                return Err(must_be("params.notifications.taskIds", "a list of strings"));
            }
            Names::Nothing | Names::Task | Names::Subscriptions => Vec::new(),
            Names::Tool => vec![access::Item::Tool(name()?)],
            Names::Prompt => vec![access::Item::Prompt(name()?)],
            Names::Resource => vec![access::Item::Resource(uri()?)],
            Names::Reference => match &self.reference {
                Some((kind, name)) if kind == "ref/prompt" => vec![access::Item::Prompt(name)],
                Some((_, uri)) => vec![access::Item::ResourceTemplate(uri)],
                None => {
                    return Err(Error::Type {
                        member: "params.ref",
                        expected: "a ref/prompt or a ref/resource",
                    });
                }
            },
        })
    }

    /// The value that `Mcp-Name` must repeat, for methods that have one.
    pub fn header_name(&self) -> Option<&str> {
        match self.method.as_str() {
            "tools/call" | "prompts/get" => self.name.as_deref(),
            "resources/read" => self.uri.as_deref(),
            "tasks/get" | "tasks/update" | "tasks/cancel" => self.task_id.as_deref(),
            _ => None,
        }
    }
}

/// Refuses members that say what a request asks for: a server that looks for them first would take the response,
/// which access is not asked about, for a request.
fn only_of_a_response(root: Value<'_>) -> Result<(), Error> {
    let other = root
        .children()
        .filter_map(Value::key)
        .find(|key| !keys::RESPONSE.contains(&key.as_ref()));
    match other {
        Some(key) => Err(Error::ResponseMember {
            given: key.chars().take(64).collect(),
        }),
        None => Ok(()),
    }
}

const RESOURCE_SUBSCRIPTIONS: &str = "params.notifications.resourceSubscriptions";

fn must_be(member: &'static str, expected: &'static str) -> Error {
    Error::Type { member, expected }
}

fn object(value: Value<'_>, member: &'static str) -> Result<(), Error> {
    if value.kind() == JsonKind::Object {
        Ok(())
    } else {
        Err(Error::Type {
            member,
            expected: "an object",
        })
    }
}

fn string(value: Value<'_>, member: &'static str) -> Result<String, Error> {
    value.as_str().map(Cow::into_owned).ok_or(Error::Type {
        member,
        expected: "a string",
    })
}

/// The source text of an id that every parser reads alike.
fn id(value: Value<'_>) -> Result<String, Error> {
    let raw = std::str::from_utf8(value.raw()).map_err(|_| Error::Id)?;
    let digits = raw.strip_prefix('-').unwrap_or(raw);
    let integer = value.kind() == JsonKind::Number
        && digits.len() <= 15
        && digits.bytes().all(|b| b.is_ascii_digit());
    let text = value.kind() == JsonKind::String && raw.len() <= 1024;
    if integer || text {
        Ok(raw.to_owned())
    } else {
        Err(Error::Id)
    }
}

fn no_case_variants(value: Value<'_>, expected: &'static [&'static str]) -> Result<(), Error> {
    match value.case_variant(expected) {
        Some((given, expected)) => Err(Error::CaseVariant { given, expected }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Message, Error> {
        Message::read(text.as_bytes())
    }

    #[test]
    fn requests_notifications_and_responses_are_told_apart() {
        let kind = |text| read(text).map(|m| m.kind);
        assert_eq!(
            kind(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#),
            Ok(Kind::Request)
        );
        assert_eq!(
            kind(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#),
            Ok(Kind::Notification)
        );
        assert_eq!(
            kind(r#"{"jsonrpc":"2.0","id":"a","result":{}}"#),
            Ok(Kind::Response)
        );
        assert_eq!(
            kind(r#"{"jsonrpc":"2.0","id":"a","error":{}}"#),
            Ok(Kind::Response)
        );
    }

    #[test]
    fn what_is_no_single_message_is_refused() {
        for (text, error) in [
            (
                r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
                Error::Batch,
            ),
            ("[]", Error::Batch),
            ("7", Error::NotAnObject),
            (r#"{"id":1,"method":"ping"}"#, Error::Version),
            (r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#, Error::Version),
            (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, Error::Id),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, Error::Id),
            (r#"{"jsonrpc":"2.0","id":1e3,"method":"ping"}"#, Error::Id),
            (
                r#"{"jsonrpc":"2.0","id":12345678901234567890,"method":"ping"}"#,
                Error::Id,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#,
                Error::Shape,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
                Error::Shape,
            ),
            (r#"{"jsonrpc":"2.0","result":{}}"#, Error::Shape),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
                Error::Type {
                    member: "method",
                    expected: "a string",
                },
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"x","params":[]}"#,
                Error::Type {
                    member: "params",
                    expected: "an object",
                },
            ),
        ] {
            assert_eq!(read(text).map(|m| m.kind), Err(error), "{text}");
        }
    }

    #[test]
    fn a_response_has_nothing_of_a_request() {
        for (member, given) in [
            (r#""params":{"name":"wipe"}"#, "params"),
            (r#""par\u0061ms":{}"#, "params"),
            (r#""_meta":{}"#, "_meta"),
        ] {
            for answer in [r#""result":{}"#, r#""error":{}"#] {
                let text = format!(r#"{{"jsonrpc":"2.0","id":1,{answer},{member}}}"#);
                let given = given.to_owned();
                let error = Error::ResponseMember { given };
                assert_eq!(read(&text).map(|m| m.kind), Err(error), "{text}");
            }
        }
        let inside = r#"{"jsonrpc":"2.0","id":1,"result":{"method":"x","params":{"name":"wipe"}}}"#;
        assert_eq!(read(inside).map(|m| m.kind), Ok(Kind::Response));
    }

    #[test]
    fn a_protocol_key_in_another_case_is_refused_except_inside_arguments() {
        for text in [
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Name":"b"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","Params":{"name":"b"}}"#,
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"param\u{17f}\":{}}",
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_META":{}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"name":"a","name\u0000b":"c"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"IO.modelcontextprotocol/protocolVersion":"1"}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"ref":{"type":"ref/prompt","Name":"a"}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"task":{"TTL":1}}}"#,
        ] {
            assert!(
                matches!(read(text), Err(Error::CaseVariant { .. })),
                "{text}"
            );
        }
        let fine = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"Name":1,"METHOD":2,"uri":{"Params":1}}}}"#;
        assert!(read(fine).is_ok());
    }

    #[test]
    fn what_a_method_names_is_found() {
        use crate::protocol::Era;
        let items = |text: &str| {
            let message = read(text).unwrap();
            let method = Method::find(&message.method, Era::Modern).unwrap();
            message
                .items(method)
                .map(|items| items.iter().map(|i| format!("{i:?}")).collect::<Vec<_>>())
        };
        let of = |method: &str, params: &str| {
            items(&format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#
            ))
        };
        assert_eq!(
            of("tools/call", r#"{"name":"echo"}"#).unwrap(),
            [r#"Tool("echo")"#]
        );
        assert_eq!(
            of("resources/read", r#"{"uri":"a://b"}"#).unwrap(),
            [r#"Resource("a://b")"#]
        );
        assert_eq!(
            of(
                "completion/complete",
                r#"{"ref":{"type":"ref/resource","uri":"a://{b}"}}"#
            )
            .unwrap(),
            [r#"ResourceTemplate("a://{b}")"#]
        );
        assert!(of("tools/call", "{}").is_err());
        assert!(
            of(
                "completion/complete",
                r#"{"ref":{"type":"ref/other","name":"x"}}"#
            )
            .is_err()
        );
    }

    #[test]
    fn what_a_subscription_asks_for_is_found() {
        let listen = |notifications: &str| {
            let text = format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{{"notifications":{notifications}}}}}"#
            );
            let listen = read(&text).unwrap().listen;
            let names = |texts: Option<Texts>| {
                texts.map(|texts| {
                    let part = |(range, name): (Range<usize>, String)| {
                        assert_eq!(text[range], format!("{name:?}"));
                        name
                    };
                    texts.entries.into_iter().map(part).collect::<Vec<_>>()
                })
            };
            (listen.lists, names(listen.uris), names(listen.tasks))
        };
        let (lists, uris, tasks) = listen(
            r#"{"toolsListChanged":true,"promptsListChanged":false,"resourceSubscriptions":["a://1","a://2"]}"#,
        );
        assert!(lists.tools && !lists.prompts && !lists.resources);
        assert_eq!(uris.unwrap(), ["a://1", "a://2"]);
        assert_eq!(tasks.unwrap(), [] as [&str; 0]);
        assert_eq!(listen(r#"{"taskIds":["t"]}"#).2.unwrap(), ["t"]);
        assert_eq!(listen(r#"{"resourceSubscriptions":[7]}"#).1, None);
        assert_eq!(listen(r#"{"resourceSubscriptions":{"a":"b"}}"#).1, None);
    }
}
