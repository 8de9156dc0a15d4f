//! Hosts and paths: a claim overlaps with itself, and the index leaves no overlap out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rules::parse::host::Host;
use rules::parse::path::HttpPath;
use rules::parse::route::{Overlap, Route, overlap};
use rules::{ServerFact, Servers};

fuzz_target!(|texts: (&str, &str, &str, &str)| {
    let (host, path, other_host, other_path) = texts;
    let _ = (Host::parse(host), HttpPath::parse(path));
    let route = |host: &str, path: &str| Route {
        class: "c".to_owned(),
        host: (!host.is_empty()).then(|| host.to_owned()),
        path: path.to_owned(),
        exact: false,
    };
    let (new, there) = (route(host, path), route(other_host, other_path));
    if Host::parse(host).is_err() || Host::parse(other_host).is_err() {
        return;
    }
    assert_eq!(overlap(&new, &new), Overlap::Taken);
    let fact = ServerFact {
        route: Some(there.clone()),
        ..ServerFact::default()
    };
    let servers: Servers = [fact].into_iter().collect();
    if overlap(&new, &there) != Overlap::None {
        assert_eq!(servers.near(&new, "n").len(), 1);
    }
});
