//! What the server has, as the gateway found it by its own requests: for the operator, for pins, and to tell callers
//! when their lists change. Taken in by [`handshake`](crate::handshake), read by everybody without a lock.

use std::collections::HashMap;
use std::sync::Arc;

use access::{Bundle, Standing};
use api::PinMode;
use arc_swap::ArcSwapOption;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use crate::definitions::Definition;
use crate::handshake::Inventory;
use crate::metrics::Metrics;

/// Most text of definitions that the inventory shows, in bytes; beyond it only their hashes.
const SHOWN: usize = 1 << 20;

/// The tools of an inventory, by name.
pub type Tools = HashMap<String, Tool>;

/// One tool of an inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Its definition; `None` if it has none that every parser reads alike, or two.
    pub definition: Option<Definition>,
    /// The text of the last definition that was an approved one, if it is not the present one.
    pub approved: Option<Arc<str>>,
}

/// The newest inventory.
#[derive(Debug)]
pub struct Discovery {
    found: ArcSwapOption<Inventory>,
    changes: watch::Sender<u64>,
    news: Notify,
    metrics: Arc<Metrics>,
}

impl Discovery {
    /// Without an inventory.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            found: ArcSwapOption::empty(),
            changes: watch::Sender::new(0),
            news: Notify::new(),
            metrics,
        }
    }

    /// The newest inventory, if there is one yet.
    pub fn inventory(&self) -> Option<Arc<Inventory>> {
        self.found.load_full()
    }

    /// Tells of every inventory that differs from the one before.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Asks for a new inventory, because something was seen that the present one does not know.
    pub fn nudge(&self) {
        self.news.notify_one();
    }

    /// Resolves when somebody asked for a new inventory.
    pub async fn nudged(&self) {
        self.news.notified().await;
    }

    /// Takes in a new inventory. What was approved under `bundle` and is no more the server's is kept for people to
    /// compare.
    pub fn store(&self, mut inventory: Inventory, bundle: Option<&Bundle>) {
        let before = self.inventory();
        if let (Some(before), Some(bundle)) = (&before, bundle) {
            remember(&before.definitions, &mut inventory.definitions, bundle);
        }
        let changed = before.as_deref() != Some(&inventory);
        self.report(&inventory, bundle, changed);
        self.found.store(Some(Arc::new(inventory)));
        if changed {
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Metrics, and a warning for what became suspicious.
    fn report(&self, inventory: &Inventory, bundle: Option<&Bundle>, changed: bool) {
        let mut standings = HashMap::new();
        let mut findings = HashMap::new();
        for (name, tool) in &inventory.definitions {
            if let Some(bundle) = bundle.filter(|bundle| bundle.pins != PinMode::Off) {
                let standing = bundle.standing(name, tool.hash());
                *standings.entry(standing).or_default() += 1;
                if changed && standing == Standing::Drifted {
                    tracing::warn!(tool = ?name, "the definition of a tool is not the approved one");
                }
            }
            for finding in tool.definition.iter().flat_map(|d| &d.findings) {
                *findings.entry(*finding).or_default() += 1;
                if changed {
                    tracing::warn!(tool = ?name, finding = finding.as_str(), "the definition of a tool is suspicious");
                }
            }
        }
        self.metrics.tools(&standings, &findings);
    }
}

impl Tool {
    /// The hash of its definition.
    pub fn hash(&self) -> Option<&str> {
        self.definition.as_ref().map(|d| d.hash.as_str())
    }
}

/// Carries approved texts from one inventory to the next.
fn remember(before: &Tools, after: &mut Tools, bundle: &Bundle) {
    for (name, tool) in after {
        let Some(old) = before.get(name) else {
            continue;
        };
        if bundle.standing(name, tool.hash()) != Standing::Pinned {
            let was_pinned = bundle.standing(name, old.hash()) == Standing::Pinned;
            let text = old.definition.as_ref().filter(|_| was_pinned);
            tool.approved = text
                .map(|definition| definition.text.as_str().into())
                .or_else(|| old.approved.clone());
        }
    }
}

/// The document that the admin port shows: the inventory, and how its tools stand against the pins of the bundle.
pub fn document(inventory: &Inventory, bundle: Option<&Bundle>) -> Value {
    let mut document = json!(inventory);
    let mut room = SHOWN;
    let mut names: Vec<&String> = inventory.definitions.keys().collect();
    names.sort();
    let definitions: Vec<Value> = names
        .into_iter()
        .filter_map(|name| Some((name, inventory.definitions.get(name)?)))
        .map(|(name, tool)| definition(name, tool, bundle, &mut room))
        .collect();
    document["tools"]["definitions"] = definitions.into();
    if let Some(bundle) = bundle.filter(|bundle| bundle.pins != PinMode::Off) {
        document["pins"] = json!(bundle.pins);
        // A pinned tool that the server does not list any more is in no definition.
        let gone = bundle.tools.iter().filter(|tool| {
            !tool.pins.is_empty() && !inventory.definitions.contains_key(&tool.name)
        });
        document["tools"]["gone"] = gone.map(|tool| tool.name.as_str()).collect();
    }
    document
}

fn definition(name: &str, tool: &Tool, bundle: Option<&Bundle>, room: &mut usize) -> Value {
    let mut shown = json!({ "name": name, "hash": tool.hash() });
    if let Some(bundle) = bundle.filter(|bundle| bundle.pins != PinMode::Off) {
        shown["standing"] = bundle.standing(name, tool.hash()).as_str().into();
    }
    let texts = [
        (
            "definition",
            tool.definition.as_ref().map(|d| d.text.as_str()),
        ),
        ("approved", tool.approved.as_deref()),
    ];
    for (member, text) in texts {
        if let Some(text) = text
            && let Some(left) = room.checked_sub(text.len())
        {
            *room = left;
            shown[member] = serde_json::from_str(text).unwrap_or_default();
        }
    }
    let findings = tool.definition.iter().flat_map(|d| &d.findings);
    let findings: Vec<&str> = findings.map(|finding| finding.as_str()).collect();
    if !findings.is_empty() {
        shown["findings"] = json!(findings);
    }
    shown
}

#[cfg(test)]
mod tests {
    use access::Settings;
    use api::{MCPServer, MCPServerSpec, Pins};

    use super::*;

    fn inventory(description: &str) -> Inventory {
        let text = json!({ "name": "echo", "description": description }).to_string();
        let mut inventory = Inventory::default();
        inventory.definitions.insert(
            "echo".to_owned(),
            Tool {
                definition: Definition::read(text.as_bytes()).ok(),
                approved: None,
            },
        );
        inventory
    }

    fn bundle(pin: &str) -> Bundle {
        let tool = |name: &str| api::Tool {
            name: name.to_owned(),
            pin: Some(Pins::One(pin.to_owned())),
            ..api::Tool::default()
        };
        let spec = MCPServerSpec {
            tools: vec![tool("echo"), tool("gone")],
            ..MCPServerSpec::default()
        };
        let mut settings = Settings::new("ns", "w");
        settings.pins = PinMode::Enforce;
        let server = MCPServer::new("w", spec);
        access::compile(&settings, &server, &[], &[], jiff::Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn the_inventory_says_how_each_tool_stands_and_what_it_was() {
        let discovery = Discovery::new(Arc::new(Metrics::new().0));
        let approved = inventory("Echoes").definitions["echo"]
            .hash()
            .unwrap()
            .to_owned();
        let bundle = bundle(&approved);
        let shown = || document(&discovery.inventory().unwrap(), Some(&bundle));
        discovery.store(inventory("Echoes"), Some(&bundle));
        let first = shown();
        assert_eq!(first["pins"], "enforce");
        assert_eq!(first["tools"]["gone"], json!(["gone"]));
        let echo = &first["tools"]["definitions"][0];
        assert_eq!(
            (&echo["hash"], &echo["standing"]),
            (&json!(approved), &json!("pinned"))
        );
        assert_eq!(echo["definition"]["description"], "Echoes");
        for other in ["Echoes\u{200b}", "Echoes, and mails it"] {
            discovery.store(inventory(other), Some(&bundle));
            let echo = &shown()["tools"]["definitions"][0];
            assert_eq!(echo["standing"], "drifted");
            assert_eq!(echo["definition"]["description"], other);
            assert_eq!(echo["approved"]["description"], "Echoes");
        }
        discovery.store(inventory("Echoes"), Some(&bundle));
        let again = &shown()["tools"]["definitions"][0];
        assert_eq!(
            (&again["standing"], &again["approved"]),
            (&json!("pinned"), &Value::Null)
        );
    }

    #[test]
    fn only_what_differs_is_a_change() {
        let discovery = Discovery::new(Arc::new(Metrics::new().0));
        let mut changes = discovery.changes();
        discovery.store(inventory("a"), None);
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        discovery.store(inventory("a"), None);
        assert!(!changes.has_changed().unwrap());
        discovery.store(inventory("b"), None);
        assert!(changes.has_changed().unwrap());
    }

    #[test]
    fn the_document_is_bounded() {
        let mut large = Inventory::default();
        for n in 0..40 {
            let name = format!("tool-{n}");
            let text = json!({ "name": name, "description": "x".repeat(64 * 1024) }).to_string();
            let definition = Definition::read(text.as_bytes()).ok();
            large.definitions.insert(
                name,
                Tool {
                    definition,
                    approved: None,
                },
            );
        }
        let text = document(&large, None).to_string();
        assert!(text.len() < SHOWN + 64 * 1024, "{}", text.len());
        assert_eq!(text.matches("sha256:").count(), 40);
    }
}
