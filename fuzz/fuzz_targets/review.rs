//! A body as it comes from the network: read, and judged at both doors. No panic, no unbounded memory.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use webhook::judge::{self, Case};
use webhook::review;
use webhook::snapshot::Snapshot;

fuzz_target!(|body: &[u8]| {
    let snapshot = Snapshot::default();
    let Ok(request) = review::parse(body) else {
        return;
    };
    if let Ok(Case::Object(object)) = judge::read(&request, &snapshot) {
        let now = Timestamp::UNIX_EPOCH;
        let _ = object.mutate(&snapshot, now);
        let facts = object.facts(&snapshot, now);
        let _ = object.questions(&facts);
        let _ = object.validate(&facts);
    }
});
