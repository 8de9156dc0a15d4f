//! What a call through the gateway costs, side by side with the same call made directly and through a bare proxy: run by
//! `cargo xtask bench gateway`. Figures are printed, never asserted.
//!
//! Session auth, a legacy session, the audit line of every call to a pipe that another process reads. All processes and
//! `wrk` share this machine's processors, so the rows of one table can be compared, and two machines' cannot.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark ends when something is wrong"
)]

#[path = "../../../tests/bench/load.rs"]
#[allow(dead_code, reason = "the benchmark of the webhook needs more of it")]
mod load;
mod programs;
mod stand;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::path::Path;

use load::{Proc, Row, Target, median, round};
use stand::{Gateway, Program, streams};

/// Grants, and as many sessions.
const FEW: usize = 20;
const MANY: usize = 1000;
const STREAMS: usize = 500;
const CONNECTIONS: [u32; 3] = [1, 8, 32];
const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"a":1,"b":2}}}"#;

/// How long a round lasts, and how many there are of each.
struct Length {
    seconds: u64,
    rounds: usize,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["upstream"] => programs::run(programs::upstream),
        ["bare", upstream] => {
            let upstream = upstream.parse().unwrap();
            programs::run(|listener| programs::bare(listener, upstream));
        }
        _ => measure(),
    }
}

fn measure() {
    let number = |name: &str, default| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let length = Length {
        seconds: number("KUBECTL_MCP_BENCH_SECONDS", 3),
        rounds: usize::try_from(number("KUBECTL_MCP_BENCH_ROUNDS", 5)).unwrap(),
    };
    let folder = tempfile::tempdir().unwrap();
    let body = folder.path().join("call.json");
    std::fs::write(&body, CALL).unwrap();

    let upstream = Program::start(&["upstream"]);
    let bare = Program::start(&["bare", &upstream.port.to_string()]);
    let few = Gateway::start(FEW, upstream.port);
    let many = Gateway::start(MANY, upstream.port);
    let idle = Memory::of(&many.proc());

    let direct = [
        ("direct", upstream.port, upstream.proc(), few.headers()),
        ("bare proxy", bare.port, bare.proc(), few.headers()),
    ];
    let gateways = [
        ("gateway, 20 grants", few.port, few.proc(), few.headers()),
        (
            "gateway, 1,000 grants",
            many.port,
            many.proc(),
            many.headers(),
        ),
    ];
    let ways: Vec<_> = direct.into_iter().chain(gateways).collect();
    table(&ways, &body, &length);
    memory(idle, Memory::of(&many.proc()), upstream.port);
}

type Way = (&'static str, u16, Proc, String);

fn table(ways: &[Way], body: &Path, length: &Length) {
    println!(
        "A call of a tool, 91 bytes of answer; {} rounds of {} s each, medians; load of the machine before: {}",
        length.rounds,
        length.seconds,
        std::fs::read_to_string("/proc/loadavg").unwrap().trim()
    );
    println!("| connections | | calls/s | p50 us | added | p99 us | CPU s per 10,000 | x bare |");
    println!("|---|---|---|---|---|---|---|---|");
    for connections in CONNECTIONS {
        let rows = side_by_side(ways, body, connections, length);
        let (direct, bare) = (rows[0], rows[1]);
        for ((name, ..), row) in ways.iter().zip(&rows) {
            println!(
                "| {connections} | {name} | {:.0} | {:.0} | {:+.0} | {:.0} | {:.3} | {:.2} |",
                row.per_second,
                row.p50 * 1e3,
                (row.p50 - direct.p50) * 1e3,
                row.p99 * 1e3,
                row.cpu,
                row.cpu / bare.cpu
            );
        }
    }
}

/// Every way in turn, so that what else the machine does meets all of them alike.
fn side_by_side(ways: &[Way], body: &Path, connections: u32, length: &Length) -> Vec<Row> {
    let mut rounds = vec![Vec::new(); ways.len()];
    for turn in 0..=length.rounds {
        for (rows, (_, port, process, headers)) in rounds.iter_mut().zip(ways) {
            let url = format!("http://127.0.0.1:{port}/mcp");
            let target = Target {
                url: &url,
                body,
                headers,
                process,
            };
            // The first turn is for getting warm.
            let seconds = if turn == 0 { 1 } else { length.seconds };
            let row = round(&target, connections, seconds);
            if turn > 0 {
                rows.push(row);
            }
        }
    }
    rounds.iter().map(|rows| median(rows)).collect()
}

/// Megabytes of one process.
#[derive(Clone, Copy)]
struct Memory {
    anonymous: f64,
    rss: f64,
}

impl Memory {
    fn of(process: &Proc) -> Self {
        Self {
            anonymous: process.anonymous(),
            rss: process.rss(),
        }
    }
}

/// A gateway that has done nothing else holds the streams: memory that a load left behind would hide them.
fn memory(idle: Memory, loaded: Memory, upstream: u16) {
    let fresh = Gateway::start(MANY, upstream);
    let process = fresh.proc();
    let before = Memory::of(&process);
    let open = streams(&fresh, STREAMS);
    let held = Memory::of(&process);
    drop(open);
    println!("\nMemory of a gateway with {MANY} grants and as many sessions:");
    println!("| | RssAnon MiB | RSS MiB |");
    println!("|---|---|---|");
    for (when, memory) in [
        ("idle", idle),
        ("after the load", loaded),
        ("another, with 500 open streams", held),
    ] {
        println!("| {when} | {:.1} | {:.1} |", memory.anonymous, memory.rss);
    }
    #[allow(clippy::cast_precision_loss, reason = "a few hundred")]
    let each = (held.anonymous - before.anonymous) * 1024.0 / STREAMS as f64;
    println!("\nPer open stream: {each:.1} KiB of RssAnon");
}
