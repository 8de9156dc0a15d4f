//! The floor beside the rules: it refuses nothing that the rules allow, and what it lets through is written down.
//!
//! The rows of both corpora, and for each a few mutations of it, go through the floor of a policy that a rule of the same
//! name judges in this process. `tests/fixtures/floor-gaps.tsv` is recorded by `cargo xtask test --layer api --write`.
//! Rows of other files (see `corpora`) need not stand in it, but their gaps must be of a kind that does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::MCPPolicy;
use rules::{Facts, Known, NamespaceFacts, Operation};
use serde_json::{Value, json};
use tests::Environment;
use tests::recorded::Recorder;

use super::{Team, server};
use crate::corpora::{image_rows, ingress_rows};

const GAPS: &str = "tests/fixtures/floor-gaps.tsv";
const HEADER: &str = "corpus\tcode\trow";
/// How often each row is mutated.
const MUTATIONS: u32 = 4;

/// A row, its object, and how it ended.
struct Row {
    spec: Value,
    /// What the table says; none for a mutation, which only the rules judge.
    allowed: Option<bool>,
    /// The row as it stands in the list of gaps.
    line: String,
}

/// What the rules refuse about a server under one policy: the codes.
fn refused_by_the_rules(
    policy: &Value,
    namespace: &str,
    spec: &Value,
    codes: &[&str],
) -> BTreeSet<String> {
    let policy: MCPPolicy = serde_json::from_value(policy.clone()).expect("it is a policy");
    let facts = Facts {
        operation: Some(Operation::Create),
        namespace: Known::Known(Arc::new(NamespaceFacts {
            name: namespace.to_owned(),
            ..NamespaceFacts::default()
        })),
        policies: Known::Known(Arc::new(vec![Arc::new(policy)])),
        ..Facts::default()
    };
    let findings = rules::check(Some(&server("row", spec)), None, &facts);
    let found = findings
        .errors()
        .map(|finding| finding.code)
        .filter(|code| codes.contains(code));
    found.map(str::to_owned).collect()
}

/// What was learnt of a corpus.
#[derive(Default)]
struct Report {
    judged: usize,
    wrong: Vec<String>,
    gaps: Vec<String>,
}

impl Report {
    /// Puts rows to the floor of a team.
    fn judge(&mut self, team: &Team<'_>, spec: &Value, corpus: &str, codes: &[&str], rows: &[Row]) {
        let policy = team.policy(spec);
        let objects: Vec<Value> = rows
            .iter()
            .enumerate()
            .map(|(index, row)| server(&format!("row-{index}"), &row.spec))
            .collect();
        let refused = team.put(&objects);
        for (index, row) in rows.iter().enumerate() {
            self.judged += 1;
            let said = refused.get(&format!("row-{index}"));
            let by_rules = refused_by_the_rules(&policy, &team.name, &row.spec, codes);
            let allowed = row.allowed.unwrap_or(by_rules.is_empty());
            match said {
                Some(text) if allowed => self.wrong.push(format!("{}: refused: {text}", row.line)),
                // The schema may refuse it before; whatever else does must be the floor.
                Some(text) if !text.contains("MCP0") && !text.contains("Invalid value") => {
                    self.wrong
                        .push(format!("{}: refused for another reason: {text}", row.line));
                }
                None if !allowed && row.allowed.is_none() => {
                    self.wrong.push(format!(
                        "{}: let through, refused by {by_rules:?}",
                        row.line
                    ));
                }
                // What the rules find in one object, the floor must find, too.
                None if !by_rules.is_empty() => self
                    .wrong
                    .push(format!("{}: let through, {by_rules:?}", row.line)),
                None if !allowed => self.gaps.push(format!("{corpus}\tMCP0205\t{}", row.line)),
                Some(_) | None => {}
            }
        }
    }

    #[allow(clippy::print_stdout, reason = "a figure for whoever runs the tests")]
    fn finish(self, corpus: &str, other: bool) {
        let (judged, gaps) = (self.judged, self.gaps.len());
        println!(
            "floor, {corpus}: {judged} rows and mutations, {} wrong, {gaps} gaps",
            self.wrong.len()
        );
        assert!(
            self.wrong.is_empty(),
            "{} wrong:\n{}",
            self.wrong.len(),
            self.wrong.join("\n")
        );
        let recorded =
            std::fs::read_to_string(tests::recorded::repository().join(GAPS)).unwrap_or_default();
        if other {
            let known: BTreeSet<&str> = recorded
                .lines()
                .skip(1)
                .filter_map(|line| line.split('\t').nth(1))
                .collect();
            let unknown: Vec<_> = self
                .gaps
                .iter()
                .filter(|gap| {
                    !gap.split('\t')
                        .nth(1)
                        .is_some_and(|code| known.contains(code))
                })
                .collect();
            assert!(unknown.is_empty(), "{unknown:#?}");
            return;
        }
        let foreign = recorded
            .lines()
            .skip(1)
            .filter(|line| !line.starts_with(&format!("{corpus}\t")))
            .map(str::to_owned);
        let mut lines: Vec<String> = foreign.chain(self.gaps).collect();
        lines.sort();
        let text: String = std::iter::once(HEADER.to_owned())
            .chain(lines)
            .map(|line| line + "\n")
            .collect();
        let mut gaps = Recorder::default();
        gaps.expect(GAPS, &text);
        gaps.finish();
    }
}

/// Texts near a text: one character taken away, doubled or replaced by one that means something. Always the same.
fn near(text: &str) -> Vec<String> {
    const SIGNIFICANT: [char; 22] = [
        '/', ':', '.', '-', '_', '@', '*', ' ', '~', '%', '[', ']', 'A', 'z', '0', '9', '\n', '\t',
        'é', '\u{2044}', '\\', '\'',
    ];
    let characters: Vec<char> = text.chars().collect();
    let mut state = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap_or_default() % below.max(1)
    };
    (0..MUTATIONS)
        .map(|_| {
            let mut mutated = characters.clone();
            let at = next(mutated.len());
            match next(4) {
                0 if !mutated.is_empty() => {
                    mutated.remove(at);
                }
                1 if !mutated.is_empty() => mutated.insert(at, mutated[at]),
                2 if !mutated.is_empty() => mutated[at] = SIGNIFICANT[next(SIGNIFICANT.len())],
                _ => mutated.insert(at, SIGNIFICANT[next(SIGNIFICANT.len())]),
            }
            mutated.into_iter().collect()
        })
        .collect()
}

/// Text as it stands in the tables.
fn escaped(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

pub(super) fn no_allowed_image_is_refused_and_the_gaps_are_known(environment: &Environment) {
    let (rows, other) = image_rows();
    let mut by_entry: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
    for row in &rows {
        let [image, entry, verdict, why] = row.as_slice() else {
            panic!("{row:?}")
        };
        let line = |image: &str| format!("{}\t{entry}", escaped(image));
        let of_entry = by_entry.entry(entry).or_default();
        of_entry.push(Row {
            spec: json!({"image": image}),
            allowed: Some(verdict == "allow"),
            line: format!("{}\t{verdict}\t{why}", line(image)),
        });
        of_entry.extend(
            near(image)
                .into_iter()
                .filter(|text| !text.is_empty())
                .map(|text| Row {
                    line: line(&text),
                    spec: json!({"image": text}),
                    allowed: None,
                }),
        );
    }
    let spec = |entry: &str| json!({"images": {"allowedRegistries": [entry]}});
    let teams: Vec<(Team<'_>, &str, Vec<Row>)> = by_entry
        .into_iter()
        .enumerate()
        .map(|(index, (entry, rows))| {
            (
                Team::unguarded(environment, &format!("image-{index}"), &spec(entry)),
                entry,
                rows,
            )
        })
        .collect();
    let mut report = Report::default();
    for (team, entry, rows) in &teams {
        team.await_floor();
        report.judge(
            team,
            &spec(entry),
            "image-refs.tsv",
            &["MCP0101", "MCP0102"],
            rows,
        );
    }
    report.finish("image-refs.tsv", other);
}

pub(super) fn no_allowed_host_or_path_is_refused_and_the_gaps_are_known(environment: &Environment) {
    const CODES: [&str; 5] = ["MCP0201", "MCP0203", "MCP0204", "MCP0206", "MCP0212"];
    let (rows, other) = ingress_rows();
    let spec = |host: &str, path: &str| json!({"image": "ghcr.io/acme/x:1", "ingressHost": host, "ingressPath": path});
    let mut all = Vec::new();
    let mut hosts = BTreeSet::new();
    // A claim of an exact path is nobody's but the overlap function's: servers claim prefixes.
    for row in rows.iter().filter(|row| !row[1].starts_with("Exact:")) {
        let [host, path, existing, verdict, why] = row.as_slice() else {
            panic!("{row:?}")
        };
        let line = |host: &str, path: &str| format!("{}\t{}", escaped(host), escaped(path));
        let allowed = matches!(verdict.as_str(), "allow" | "warn");
        if allowed {
            hosts.insert(host.clone());
        }
        all.push(Row {
            spec: spec(host, path),
            allowed: Some(allowed),
            line: format!("{}\t{existing}\t{verdict}\t{why}", line(host, path)),
        });
        let mutated = near(host).into_iter().map(|host| (host, path.clone()));
        let mutated = mutated.chain(near(path).into_iter().map(|path| (host.clone(), path)));
        all.extend(
            mutated
                .filter(|(host, path)| !host.is_empty() && !path.is_empty())
                .map(|(host, path)| Row {
                    spec: spec(&host, &path),
                    allowed: None,
                    line: line(&host, &path),
                }),
        );
    }
    let mut report = Report::default();
    let open = json!({});
    report.judge(
        &Team::new(environment, "ingress", &open),
        &open,
        "ingress.tsv",
        &CODES,
        &all,
    );
    let listed = json!({"ingress": {"allowedHosts": hosts}});
    report.judge(
        &Team::new(environment, "ingress-list", &listed),
        &listed,
        "ingress.tsv",
        &CODES,
        &all,
    );
    report.gaps.sort();
    report.gaps.dedup();
    report.finish("ingress.tsv", other);
}
