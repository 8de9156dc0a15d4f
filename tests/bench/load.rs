//! `wrk` against one endpoint, and what the process behind it used meanwhile. Shared by all benchmarks over HTTP.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

/// Ticks of `/proc/PID/stat` in a second: Linux has fixed it for programs.
const TICKS: f64 = 100.0;

/// A process whose use of the machine is read from `/proc`.
pub(crate) struct Proc(u32);

impl Proc {
    pub(crate) fn new(id: u32) -> Self {
        Self(id)
    }

    /// Seconds on a processor so far.
    fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).expect("the process runs");
        let (_, fields) = stat.rsplit_once(')').expect("its name is in brackets");
        let ticks = fields.split_whitespace().skip(11).take(2);
        ticks
            .filter_map(|ticks| ticks.parse::<f64>().ok())
            .sum::<f64>()
            / TICKS
    }

    /// Resident memory in MiB.
    pub(crate) fn rss(&self) -> f64 {
        self.status("VmRSS:")
    }

    /// Resident memory that is the process's own, and no file's, in MiB.
    pub(crate) fn anonymous(&self) -> f64 {
        self.status("RssAnon:")
    }

    /// The most resident memory so far, in MiB.
    pub(crate) fn peak(&self) -> f64 {
        self.status("VmHWM:")
    }

    fn status(&self, key: &str) -> f64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.0)).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.expect("Linux says it") / 1024.0
    }
}

/// What one round of `wrk` showed, or the medians of some.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) per_second: f64,
    /// Milliseconds.
    pub(crate) p50: f64,
    /// Milliseconds.
    pub(crate) p99: f64,
    /// Seconds on a processor for 10,000 requests.
    pub(crate) cpu: f64,
    /// MiB.
    pub(crate) rss: f64,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} | {:.2} | {:.2} | {:.3} | {:.1}",
            self.per_second, self.p50, self.p99, self.cpu, self.rss
        )
    }
}

/// What is sent, and where to.
pub(crate) struct Target<'t> {
    pub(crate) url: &'t str,
    /// The file with the body.
    pub(crate) body: &'t Path,
    /// `Name: value`, separated by `|`.
    pub(crate) headers: &'t str,
    /// Whose use of the machine is asked for.
    pub(crate) process: &'t Proc,
}

/// Loads an endpoint once.
pub(crate) fn round(target: &Target<'_>, connections: u32, seconds: u64) -> Row {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/bench/post.lua");
    let before = target.process.cpu();
    let output = Command::new("wrk")
        .arg("-t1")
        .arg(format!("-c{connections}"))
        .arg(format!("-d{seconds}s"))
        .args(["-s", script, target.url])
        .env("BODY_FILE", target.body)
        .env("HDRS", target.headers)
        .output()
        .expect("wrk is installed");
    let used = target.process.cpu() - before;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let json = text.lines().find_map(|line| line.strip_prefix("WRKJSON "));
    assert!(json.is_some(), "wrk said:\n{text}");
    let said: Value = serde_json::from_str(json.unwrap_or_default()).expect("JSON");
    let failed: f64 = ["e_connect", "e_read", "e_write", "e_status", "e_timeout"]
        .iter()
        .filter_map(|key| said[*key].as_f64())
        .sum();
    assert!(failed == 0.0, "requests failed: {said}");
    let number = |key: &str| said[key].as_f64().unwrap_or_default();
    Row {
        per_second: number("requests") / number("us") * 1e6,
        p50: number("p50") / 1e3,
        p99: number("p99") / 1e3,
        cpu: used / number("requests") * 1e4,
        rss: target.process.rss(),
    }
}

/// The medians of some rounds.
pub(crate) fn median(rows: &[Row]) -> Row {
    let of = |pick: fn(&Row) -> f64| {
        let mut values: Vec<f64> = rows.iter().map(pick).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Row {
        per_second: of(|row| row.per_second),
        p50: of(|row| row.p50),
        p99: of(|row| row.p99),
        cpu: of(|row| row.cpu),
        rss: of(|row| row.rss),
    }
}

/// Loads an endpoint: a second to get warm, and some rounds.
pub(crate) fn wrk(target: &Target<'_>, connections: u32, each: Duration, rounds: usize) -> Row {
    round(target, connections, 1);
    let rows: Vec<Row> = (0..rounds)
        .map(|_| round(target, connections, each.as_secs()))
        .collect();
    median(&rows)
}
