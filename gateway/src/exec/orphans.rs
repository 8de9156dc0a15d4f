//! Processes that a child left behind: they become ours, and their end must be taken note of, or they stay as zombies.

use rustix::process::{Pid, WaitOptions, waitpid};

use super::child::Children;

/// Makes orphans ours. Process 1 has them anyway.
pub(super) fn adopt() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        tracing::warn!(%error, "processes that the server leaves behind will not be ours");
    }
}

/// Takes note of the end of orphans. The end of a child itself is for whoever waits for it.
pub(super) fn reap(children: &Children) {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    for pid in pids.filter(|pid| !children.has(*pid)) {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if is_zombie_of(&stat, own)
            && let Some(pid) = Pid::from_raw(pid)
            && let Err(error) = waitpid(Some(pid), WaitOptions::NOHANG)
        {
            tracing::debug!(%error, "an orphan's end is not known");
        }
    }
}

/// Whether a process, by its `/proc/PID/stat`, has ended and waits for this parent to take note.
fn is_zombie_of(stat: &str, parent: i32) -> bool {
    // The name stands in parentheses, and may have any.
    let mut fields = stat
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace();
    fields.next() == Some("Z") && fields.next().and_then(|f| f.parse().ok()) == Some(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_does_not_hide_the_state() {
        assert!(is_zombie_of("12 (sh) Z 1 12 12 0", 1));
        assert!(is_zombie_of("12 (a) R 7 (b) Z 1 12", 1));
        assert!(!is_zombie_of("12 (sh) Z 2 12", 1));
        assert!(!is_zombie_of("12 (sh) S 1 12", 1));
        assert!(!is_zombie_of("12 (Z 1) S 1 12", 1));
        assert!(!is_zombie_of("", 1));
    }
}
