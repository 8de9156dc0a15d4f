//! Whose a task is. A task is named by an id alone, and the server behind the gateway sees no principals, so the
//! gateway remembers to whom it passed which id, and lets nobody else name it.
//!
//! In memory only: after a restart of the gateway, or on another pod, a task is unknown, which is a denial.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// Most tasks of one principal; its oldest gives way.
const PER_PRINCIPAL: usize = 256;
/// Most principals with tasks; the one that did nothing for the longest gives way.
const PRINCIPALS: usize = 1024;
/// The longest id that is remembered, in bytes.
const LONGEST_ID: usize = 512;

/// The tasks that were passed to callers.
#[derive(Debug, Default)]
pub struct Tasks(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    owners: HashMap<String, Owner>,
    clock: u64,
}

#[derive(Debug, Default)]
struct Owner {
    /// Ids and the tools that made them, oldest first.
    tasks: VecDeque<(String, String)>,
    used: u64,
}

impl Tasks {
    /// Notes that a call of `tool` by `principal` was answered with this task.
    pub fn bind(&self, principal: &str, id: &str, tool: &str) {
        if id.is_empty() || id.len() > LONGEST_ID {
            return;
        }
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let owner = table.owner(principal);
        owner.tasks.retain(|(known, _)| known != id);
        if owner.tasks.len() >= PER_PRINCIPAL {
            owner.tasks.pop_front();
        }
        owner.tasks.push_back((id.to_owned(), tool.to_owned()));
    }

    /// The tool that made the task, if it is this principal's.
    pub fn tool(&self, principal: &str, id: &str) -> Option<String> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !table.owners.contains_key(principal) {
            return None;
        }
        let owner = table.owner(principal);
        let mut tasks = owner.tasks.iter();
        tasks
            .find(|(known, _)| known == id)
            .map(|(_, tool)| tool.clone())
    }
}

impl Table {
    /// The entry of a principal, made if need be, as the one that was used last.
    fn owner(&mut self, principal: &str) -> &mut Owner {
        self.clock += 1;
        if !self.owners.contains_key(principal) && self.owners.len() >= PRINCIPALS {
            let idle = self.owners.iter().min_by_key(|(_, owner)| owner.used);
            if let Some(idle) = idle.map(|(name, _)| name.clone()) {
                self.owners.remove(&idle);
            }
        }
        let owner = self.owners.entry(principal.to_owned()).or_default();
        owner.used = self.clock;
        owner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_known_to_its_principal_only() {
        let tasks = Tasks::default();
        tasks.bind("alice", "t1", "echo");
        assert_eq!(tasks.tool("alice", "t1").as_deref(), Some("echo"));
        assert_eq!(tasks.tool("bob", "t1"), None);
        assert_eq!(tasks.tool("alice", "t2"), None);
        // Servers that count their tasks per session use an id more than once.
        tasks.bind("bob", "t1", "add");
        assert_eq!(tasks.tool("alice", "t1").as_deref(), Some("echo"));
        assert_eq!(tasks.tool("bob", "t1").as_deref(), Some("add"));
    }

    #[test]
    fn the_table_is_bounded_and_nobody_pushes_out_anothers_tasks() {
        let tasks = Tasks::default();
        tasks.bind("alice", "first", "echo");
        for n in 0..2 * PER_PRINCIPAL {
            tasks.bind("mallory", &n.to_string(), "echo");
        }
        assert!(tasks.tool("alice", "first").is_some());
        assert_eq!(tasks.tool("mallory", "0"), None);
        assert!(tasks.tool("mallory", &PER_PRINCIPAL.to_string()).is_some());
        for n in 0..PRINCIPALS {
            tasks.bind(&format!("p{n}"), "t", "echo");
        }
        assert_eq!(tasks.0.lock().unwrap().owners.len(), PRINCIPALS);
        tasks.bind("alice", &"x".repeat(LONGEST_ID + 1), "echo");
        assert_eq!(tasks.tool("alice", &"x".repeat(LONGEST_ID + 1)), None);
    }
}
