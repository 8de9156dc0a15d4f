//! Any JSON as the spec of any kind, judged and defaulted: defaulting twice changes nothing more.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rules::{Facts, Kind};
use serde_json::{Value, json};

fuzz_target!(|data: &[u8]| {
    let Some((first, text)) = data.split_first() else {
        return;
    };
    let Ok(spec) = serde_json::from_slice::<Value>(text) else {
        return;
    };
    let kind = Kind::ALL[usize::from(*first) % Kind::ALL.len()];
    let mut object = json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": kind.as_str(),
        "metadata": {"name": "fuzzed", "namespace": "n"}});
    object["spec"] = spec;
    let facts = Facts::default();
    let _ = rules::check(Some(&object), None, &facts);
    rules::default(&mut object, None, &facts);
    let once = object.clone();
    rules::default(&mut object, None, &facts);
    assert_eq!(object, once);
    let _ = rules::check(Some(&object), Some(&once), &facts);
});
