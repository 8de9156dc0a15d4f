//! What MCP says, as tables: versions, eras, methods, error codes. No I/O and no decisions.
//!
//! Two eras are served on one endpoint: *legacy* (2024-11-05 to 2025-11-25, `initialize` and sessions) and *modern*
//! (2026-07-28, stateless, an envelope in `_meta` of every request).

/// The modern versions that are served.
pub const MODERN: [&str; 1] = ["2026-07-28"];
/// The legacy versions that are passed through.
pub const LEGACY: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
/// The version with which the gateway itself initialises legacy servers.
pub const NEWEST_LEGACY: &str = "2025-11-25";

/// Key of the envelope in `_meta`: the protocol version.
pub const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// Key of the envelope in `_meta`: the client's capabilities.
pub const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// Key in `_meta` of what comes on a stream of `subscriptions/listen`: the id of that request.
pub const META_SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// Error codes. The specification's are in -32768..-32000; the gateway's own lie outside that range and resemble
/// the HTTP status of the same meaning.
pub mod code {
    /// Not JSON.
    pub const PARSE_ERROR: i32 = -32700;
    /// JSON, but no message.
    pub const INVALID_REQUEST: i32 = -32600;
    /// A method that the gateway does not know, so nobody could say what it does.
    pub const METHOD_NOT_FOUND: i32 = -32601;
    /// Parameters that the method needs are absent or of the wrong type.
    pub const INVALID_PARAMS: i32 = -32602;
    /// The request cannot be answered, for a reason that no other code has.
    pub const INTERNAL_ERROR: i32 = -32603;
    /// Headers and body disagree.
    pub const HEADER_MISMATCH: i32 = -32020;
    /// A protocol version that is not served.
    pub const UNSUPPORTED_VERSION: i32 = -32022;
    /// The HTTP request is not one that the gateway takes.
    pub const BAD_REQUEST: i32 = -31400;
    /// The caller is not known.
    pub const UNAUTHENTICATED: i32 = -31401;
    /// The caller is known, and may not do this.
    pub const DENIED: i32 = -31403;
    /// A limit is reached.
    pub const LIMITED: i32 = -31429;
    /// The MCP session is unknown, or of another principal.
    pub const SESSION_NOT_FOUND: i32 = -31404;
    /// The server could not be reached, or answered what MCP does not know.
    pub const UPSTREAM: i32 = -31502;
    /// The gateway cannot decide now.
    pub const UNAVAILABLE: i32 = -31503;
    /// The call took too long.
    pub const TIMEOUT: i32 = -31504;
}

/// Which protocol a message speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// Up to 2025-11-25.
    Legacy,
    /// From 2026-07-28.
    Modern,
}

impl Era {
    /// The word in audit lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
        }
    }
}

/// What a method names, and therefore what access is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Nothing: authentication suffices.
    Nothing,
    /// A tool, in `params.name`.
    Tool,
    /// A prompt, in `params.name`.
    Prompt,
    /// A resource, in `params.uri`.
    Resource,
    /// A prompt or a resource template, in `params.ref`.
    Reference,
    /// Resources, in `params.notifications.resourceSubscriptions`, and tasks, in `taskIds` beside it. What may not be
    /// read is taken out of the request.
    Subscriptions,
    /// A task, in `params.taskId`.
    Task,
}

/// The lists that are filtered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// `tools/list`
    Tools,
    /// `prompts/list`
    Prompts,
    /// `resources/list`
    Resources,
    /// `resources/templates/list`
    Templates,
    /// `tasks/list`
    Tasks,
}

impl List {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Tools,
        Self::Prompts,
        Self::Resources,
        Self::Templates,
        Self::Tasks,
    ];

    /// The member of the result that holds the list.
    pub fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
            Self::Tasks => "tasks",
        }
    }

    /// The member of an entry that names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::Templates => "uriTemplate",
            Self::Tasks => "taskId",
        }
    }
}

/// One method that callers may send.
#[derive(Debug, PartialEq, Eq)]
pub struct Method {
    /// As it stands in `method`.
    pub name: &'static str,
    /// Exists in the modern era.
    pub modern: bool,
    /// Exists in the legacy era.
    pub legacy: bool,
    /// What it names.
    pub names: Names,
    /// The list it answers with.
    pub list: Option<List>,
}

const fn method(name: &'static str, modern: bool, legacy: bool, names: Names) -> Method {
    Method {
        name,
        modern,
        legacy,
        names,
        list: None,
    }
}

const fn list(name: &'static str, list: List) -> Method {
    Method {
        name,
        modern: true,
        legacy: true,
        names: Names::Nothing,
        list: Some(list),
    }
}

/// Every method that is let through; whatever is not here is denied.
static METHODS: [Method; 27] = [
    method("tools/call", true, true, Names::Tool),
    list("tools/list", List::Tools),
    method("resources/read", true, true, Names::Resource),
    list("resources/list", List::Resources),
    list("resources/templates/list", List::Templates),
    method("prompts/get", true, true, Names::Prompt),
    list("prompts/list", List::Prompts),
    method("completion/complete", true, true, Names::Reference),
    method("server/discover", true, false, Names::Nothing),
    method("subscriptions/listen", true, false, Names::Subscriptions),
    method("tasks/get", true, true, Names::Task),
    method("tasks/result", false, true, Names::Task),
    method("tasks/cancel", true, true, Names::Task),
    method("tasks/update", true, false, Names::Task),
    Method {
        modern: false,
        ..list("tasks/list", List::Tasks)
    },
    // Of a task of the client's own, which the server asked for.
    method("notifications/tasks/status", false, true, Names::Nothing),
    method("initialize", false, true, Names::Nothing),
    method("ping", false, true, Names::Nothing),
    method("logging/setLevel", false, true, Names::Nothing),
    method("resources/subscribe", false, true, Names::Resource),
    method("resources/unsubscribe", false, true, Names::Resource),
    method("notifications/initialized", false, true, Names::Nothing),
    method("notifications/cancelled", true, true, Names::Nothing),
    method("notifications/progress", false, true, Names::Nothing),
    method(
        "notifications/roots/list_changed",
        false,
        true,
        Names::Nothing,
    ),
    method(
        "notifications/elicitation/complete",
        false,
        true,
        Names::Nothing,
    ),
    method("notifications/message", false, true, Names::Nothing),
];

impl Method {
    /// The method of that name in that era.
    pub fn find(name: &str, era: Era) -> Option<&'static Self> {
        METHODS.iter().find(|m| {
            m.name == name
                && match era {
                    Era::Modern => m.modern,
                    Era::Legacy => m.legacy,
                }
        })
    }

    /// Whether its modern results say how long they may be kept, besides the lists.
    pub fn is_cacheable(&self) -> bool {
        matches!(self.name, "server/discover" | "resources/read")
    }

    /// The name if it is one of the table, else `other`: a label that callers cannot multiply.
    pub fn label(name: &str) -> &'static str {
        METHODS
            .iter()
            .find(|m| m.name == name)
            .map_or("other", |m| m.name)
    }
}

/// Protocol keys by the object in which they stand. A key that differs from one of them only in case is refused,
/// because some parsers would take it for the real one.
pub mod keys {
    /// Of the message.
    pub const TOP: &[&str] = &["jsonrpc", "id", "method", "params", "result", "error"];
    /// Of a response: all that it may have.
    pub const RESPONSE: &[&str] = &["jsonrpc", "id", "result", "error"];
    /// Of a result with a list.
    pub const RESULT: &[&str] = &[
        "tools",
        "prompts",
        "resources",
        "resourceTemplates",
        "tasks",
        "nextCursor",
        "ttlMs",
        "cacheScope",
    ];
    /// Of an entry of a list.
    pub const ENTRY: &[&str] = &["name", "uri", "uriTemplate", "taskId"];
    /// Of `params`.
    pub const PARAMS: &[&str] = &[
        "_meta",
        "name",
        "arguments",
        "uri",
        "ref",
        "argument",
        "context",
        "cursor",
        "task",
        "taskId",
        "requestId",
        "reason",
        "progressToken",
        "progress",
        "total",
        "message",
        "level",
        "protocolVersion",
        "capabilities",
        "clientInfo",
        "inputResponses",
        "requestState",
        "notifications",
    ];
    /// Of `params._meta`.
    pub const META: &[&str] = &[
        super::META_VERSION,
        super::META_CAPABILITIES,
        "io.modelcontextprotocol/clientInfo",
        "io.modelcontextprotocol/logLevel",
        super::META_SUBSCRIPTION,
        "io.modelcontextprotocol/related-task",
        "progressToken",
        "traceparent",
        "tracestate",
        "baggage",
    ];
    /// Of `params.ref`.
    pub const REF: &[&str] = &["type", "name", "uri"];
    /// Of `params.task`.
    pub const TASK: &[&str] = &["ttl", "taskId", "pollInterval"];
    /// Of `params.notifications`.
    pub const NOTIFICATIONS: &[&str] = &[
        "toolsListChanged",
        "promptsListChanged",
        "resourcesListChanged",
        "resourceSubscriptions",
        "taskIds",
    ];
}
