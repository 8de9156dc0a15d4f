//! Where a tool's definition stands against its pins, and what that means for a call.
//!
//! A pin is the hash of one approved definition. What the server lists is not known here: the caller brings the hash.

use api::PinMode;

use crate::bundle::Bundle;
use crate::decide::Verdict;
use crate::hint::{quoted, shown};
use crate::reason::Reason;

/// Where one tool stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Its definition is an approved one.
    Pinned,
    /// Nobody approved any definition of it.
    Unpinned,
    /// It has pins, and its definition is none of them, or the server lists it no more.
    Drifted,
}

impl Standing {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pinned, Self::Unpinned, Self::Drifted];

    /// The word in audit lines and the inventory.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pinned => "pinned",
            Self::Unpinned => "unpinned",
            Self::Drifted => "drifted",
        }
    }

    /// Why a call is denied under `pins: enforce`; `None` if it is not.
    pub fn fault(self) -> Option<Reason> {
        match self {
            Self::Pinned => None,
            Self::Unpinned => Some(Reason::ToolNotPinned),
            Self::Drifted => Some(Reason::ToolDrifted),
        }
    }
}

impl Bundle {
    /// Where `tool` stands if the server defines it with this hash; `None` if the server does not list it.
    pub fn standing(&self, tool: &str, hash: Option<&str>) -> Standing {
        let pins = self.tool(tool).map_or(&[][..], |entry| &entry.pins);
        match hash {
            _ if pins.is_empty() => Standing::Unpinned,
            Some(hash) if pins.iter().any(|pin| pin == hash) => Standing::Pinned,
            Some(_) | None => Standing::Drifted,
        }
    }

    /// Whether only approved definitions are listed and called.
    pub fn enforces_pins(&self) -> bool {
        self.pins == PinMode::Enforce
    }

    /// The denial of a call that access allows and the pins do not.
    pub fn pin_denial(&self, tool: &str, reason: Reason) -> Verdict {
        let (server, what) = (shown(&self.server), shown(tool));
        let command = |verb: &str| {
            Some(format!(
                "kubectl mcp server tools {verb} {} {} -n {}",
                quoted(&self.server),
                quoted(tool),
                quoted(&self.namespace)
            ))
        };
        let plain = !tool.chars().any(char::is_control);
        let (message, hint) = match reason {
            Reason::ToolNotPinned => (
                format!(
                    "nobody approved a definition of tool {what} of server {server}, which asks for it (policy.pins: enforce)"
                ),
                command("approve"),
            ),
            Reason::InventoryUnavailable => (
                format!(
                    "the gateway of server {server} has not seen its definitions yet, so tool {what} is not compared with its pins: try again"
                ),
                None,
            ),
            _ => (
                format!(
                    "the definition of tool {what} of server {server} is not the approved one: it changed, or is listed no more"
                ),
                command("diff"),
            ),
        };
        Verdict {
            allowed: false,
            would_deny: false,
            reason,
            grant: None,
            session: None,
            trust: None,
            message,
            hint: hint.filter(|_| plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use api::{MCPServer, MCPServerSpec, Pins, Tool};

    use super::*;
    use crate::Settings;

    fn bundle() -> Bundle {
        let tool = |name: &str, pin| Tool {
            name: name.to_owned(),
            pin,
            ..Tool::default()
        };
        let spec = MCPServerSpec {
            tools: vec![
                tool("one", Some(Pins::One("a".to_owned()))),
                tool(
                    "many",
                    Some(Pins::Many(vec!["b".to_owned(), "a".to_owned()])),
                ),
                tool("none", None),
            ],
            ..MCPServerSpec::default()
        };
        crate::compile(
            &Settings::new("team-a", "weather"),
            &MCPServer::new("weather", spec),
            &[],
            &[],
            jiff::Timestamp::UNIX_EPOCH,
        )
    }

    #[test]
    fn only_a_hash_that_is_a_pin_is_pinned() {
        for (tool, hash, standing) in [
            ("one", Some("a"), Standing::Pinned),
            ("one", Some("b"), Standing::Drifted),
            ("one", None, Standing::Drifted),
            ("many", Some("b"), Standing::Pinned),
            ("many", Some("c"), Standing::Drifted),
            ("none", Some("a"), Standing::Unpinned),
            ("undeclared", Some("a"), Standing::Unpinned),
        ] {
            assert_eq!(bundle().standing(tool, hash), standing, "{tool} {hash:?}");
        }
    }

    #[test]
    fn a_denial_names_the_command_that_changes_it() {
        let verdict = bundle().pin_denial("one", Reason::ToolDrifted);
        assert!(!verdict.allowed && verdict.message.contains("not the approved one"));
        assert_eq!(
            verdict.hint.as_deref(),
            Some("kubectl mcp server tools diff weather one -n team-a")
        );
        let verdict = bundle().pin_denial("none", Reason::ToolNotPinned);
        assert_eq!(
            verdict.hint.as_deref(),
            Some("kubectl mcp server tools approve weather none -n team-a")
        );
        assert_eq!(bundle().pin_denial("a\nb", Reason::ToolDrifted).hint, None);
    }
}
