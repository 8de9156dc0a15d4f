//! For whom an answer is: what of it this caller may see. Asked by [`filter`](crate::filter) and
//! [`news`](crate::news), and by the pipeline before a call, so that what is listed is what can be called.

use std::sync::Arc;

use access::{Bundle, Item, Judge, Reason, Standing};
use api::PinMode;

use crate::definitions;
use crate::discovery::Discovery;
use crate::handshake::Inventory;
use crate::protocol::List;
use crate::tasks::Tasks;

/// A caller at one time, under one bundle.
pub(crate) struct Viewer<'a> {
    bundle: &'a Bundle,
    judge: Judge<'a>,
    discovery: &'a Discovery,
    found: Option<Arc<Inventory>>,
    tasks: &'a Tasks,
    principal: &'a str,
}

/// How a tool stands, and what becomes of a call for it.
pub(crate) fn pin_fault(
    bundle: &Bundle,
    found: Option<&Inventory>,
    tool: &str,
) -> Option<(Standing, Reason)> {
    if bundle.pins == PinMode::Off {
        return None;
    }
    let Some(found) = found else {
        return Some((Standing::Unpinned, Reason::InventoryUnavailable));
    };
    let hash = found.definitions.get(tool).and_then(|tool| tool.hash());
    let standing = bundle.standing(tool, hash);
    standing.fault().map(|reason| (standing, reason))
}

impl<'a> Viewer<'a> {
    pub(crate) fn new(
        bundle: &'a Bundle,
        judge: Judge<'a>,
        principal: &'a str,
        discovery: &'a Discovery,
        tasks: &'a Tasks,
    ) -> Self {
        Self {
            bundle,
            judge,
            discovery,
            found: discovery.inventory(),
            tasks,
            principal,
        }
    }

    /// What the server has.
    pub(crate) fn inventory(&self) -> Option<&Inventory> {
        self.found.as_deref()
    }

    /// Whether the caller could use what a list calls `name`, as far as the gateway knows by itself.
    pub(crate) fn may_use(&self, list: List, name: &str) -> bool {
        match list {
            List::Tools => {
                self.judge.allows(&Item::Tool(name))
                    && !(self.bundle.enforces_pins()
                        && pin_fault(self.bundle, self.inventory(), name).is_some())
            }
            List::Prompts => self.judge.allows(&Item::Prompt(name)),
            List::Resources => self.judge.allows(&Item::Resource(name)),
            List::Templates => self.judge.allows(&Item::ResourceTemplate(name)),
            List::Tasks => self.owns(name),
        }
    }

    /// Whether an entry of a list is shown. Of a tool, also its definition as it stands there must be an approved one.
    pub(crate) fn lists(&self, list: List, name: &str, entry: &[u8]) -> bool {
        if list == List::Tools && self.bundle.pins != PinMode::Off {
            let hash = definitions::hash(entry).ok();
            let known = self.found.as_ref().and_then(|f| f.definitions.get(name));
            if known.is_none_or(|tool| tool.hash() != hash.as_deref()) {
                self.discovery.nudge();
            }
            let standing = self.bundle.standing(name, hash.as_deref());
            if self.bundle.enforces_pins() && standing != Standing::Pinned {
                return false;
            }
        }
        self.may_use(list, name)
    }

    /// Whether the task is the caller's.
    pub(crate) fn owns(&self, task: &str) -> bool {
        self.tasks.tool(self.principal, task).is_some()
    }

    /// Notes that a call of `tool` was answered with a task.
    pub(crate) fn bind(&self, task: &str, tool: &str) {
        self.tasks.bind(self.principal, task, tool);
    }

    /// Notes that the server says that one of its lists changed.
    pub(crate) fn heard_of_change(&self) {
        self.discovery.nudge();
    }
}
