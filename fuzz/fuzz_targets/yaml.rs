//! A file as `kubectl mcp lint` reads it: any text, no panic, no unbounded memory, no quadratic time.
#![no_main]
#![allow(dead_code)]

use libfuzzer_sys::fuzz_target;

mod manifests;

fuzz_target!(|text: &str| manifests::read(text));
