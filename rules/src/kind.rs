//! Which of our kinds a document is.

use std::fmt;

use api::{GROUP, VERSION};
use serde_json::Value;

/// The kinds that rules judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// MCPServer.
    Server,
    /// MCPAccessGrant.
    Grant,
    /// MCPAgentSession.
    Session,
    /// MCPPolicy.
    Policy,
    /// MCPTool.
    Tool,
    /// MCPPrompt.
    Prompt,
    /// MCPResource.
    Resource,
    /// MCPRegistry.
    Registry,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Server,
        Self::Grant,
        Self::Session,
        Self::Policy,
        Self::Tool,
        Self::Prompt,
        Self::Resource,
        Self::Registry,
    ];

    /// The kind as it stands in YAML.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Server => "MCPServer",
            Self::Grant => "MCPAccessGrant",
            Self::Session => "MCPAgentSession",
            Self::Policy => "MCPPolicy",
            Self::Tool => "MCPTool",
            Self::Prompt => "MCPPrompt",
            Self::Resource => "MCPResource",
            Self::Registry => "MCPRegistry",
        }
    }

    /// The resource as it stands in a URL.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Server => "mcpservers",
            Self::Grant => "mcpaccessgrants",
            Self::Session => "mcpagentsessions",
            Self::Policy => "mcppolicies",
            Self::Tool => "mcptools",
            Self::Prompt => "mcpprompts",
            Self::Resource => "mcpresources",
            Self::Registry => "mcpregistries",
        }
    }

    /// Whether objects of the kind are in a namespace.
    pub fn is_namespaced(self) -> bool {
        self != Self::Policy
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The kind of a document by its `apiVersion` and `kind`; `None` for everything that no rule judges.
pub fn kind_of(object: &Value) -> Option<Kind> {
    let (group, version) = object.get("apiVersion")?.as_str()?.split_once('/')?;
    if group != GROUP || version != VERSION {
        return None;
    }
    let kind = object.get("kind")?.as_str()?;
    Kind::ALL.into_iter().find(|known| known.as_str() == kind)
}
