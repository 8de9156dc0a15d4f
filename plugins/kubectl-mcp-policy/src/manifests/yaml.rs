//! YAML with places, as kubectl reads it: YAML 1.1 words and numbers, aliases, merges, several documents.
//!
//! Each document is read for itself, so that one that is broken hides no other. What grows without end when it is
//! read - nesting, aliases of aliases - is bounded, and refused with its line.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_saphyr::options::AliasLimits;
use serde_saphyr::{Options, Spanned};

use super::node::{Node, Place, Tree};

/// How deep values may be nested.
pub(super) const DEEPEST: usize = 100;
/// How many values a file may hold, with what its aliases stand for.
pub(super) const LARGEST: usize = 2_000_000;
/// How many values the aliases of one document may stand for.
const REPEATED: usize = 100_000;

/// Why a document was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Where; unknown where the parser does not say.
    pub(crate) place: Option<Place>,
    /// Why, without a word of what stands there.
    pub(crate) message: String,
}

/// Every document of a text, and what could not be understood. Empty documents are left out.
pub(super) fn parse(text: &str) -> (Vec<Node>, Vec<Fault>) {
    let (mut nodes, mut faults) = (Vec::new(), Vec::new());
    let mut left = LARGEST;
    for (before, document) in documents(text) {
        match read(document, left) {
            Ok(found) => {
                left = left.saturating_sub(found.iter().map(Node::size).sum());
                nodes.extend(found.into_iter().map(|node| node.below(before)));
            }
            Err(refusal) => {
                let place = refusal.fault.place.map(|place| place.below(before));
                faults.push(Fault {
                    place,
                    ..refusal.fault
                });
                // The next document may be as hostile: nobody waits for a thousand of them.
                if refusal.too_much {
                    break;
                }
            }
        }
    }
    (nodes, faults)
}

/// The documents, each with the number of lines before it. Nothing but a marker may begin with `---` at the start of a
/// line, so the text is cut there.
fn documents(text: &str) -> Vec<(u64, &str)> {
    let mut found = Vec::new();
    let (mut start, mut start_line, mut at) = (0, 0, 0);
    for (line, content) in (0..).zip(text.split_inclusive('\n')) {
        let marker = content
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        if marker && !only_directives(&text[start..at]) {
            found.push((start_line, &text[start..at]));
            (start, start_line) = (at, line);
        }
        at += content.len();
    }
    found.push((start_line, &text[start..]));
    found
}

/// `%YAML 1.1` and comments belong to the document that follows.
fn only_directives(text: &str) -> bool {
    text.lines()
        .all(|line| line.trim().is_empty() || line.starts_with(['%', '#']))
}

struct Refusal {
    fault: Fault,
    /// It was stopped because it grew, and not because it is wrong.
    too_much: bool,
}

fn read(document: &str, left: usize) -> Result<Vec<Node>, Refusal> {
    // Files that were put together carry the mark of each.
    let document = document.strip_prefix('\u{feff}').unwrap_or(document);
    serde_saphyr::from_multiple_with_options(document, options(left)).map_err(|error| {
        let location = error.location();
        refusal(&error, location, document)
    })
}

fn options(left: usize) -> Options {
    let mut budget = serde_saphyr::Budget::default();
    budget.max_events = left.saturating_mul(3);
    budget.max_nodes = left;
    budget.max_depth = DEEPEST;
    budget.flow_nesting_limit = DEEPEST;
    budget.max_documents = usize::MAX;
    budget.simple_key_max_lookahead = 64 << 10;
    budget.enforce_alias_anchor_ratio = false;
    let mut limits = AliasLimits::default();
    limits.max_total_replayed_events = REPEATED;
    let mut options = Options::default();
    options.budget = Some(budget);
    options.alias_limits = limits;
    options.emit_comments = false;
    options.legacy_octal_numbers = true;
    options.with_snippet = false;
    options
}

/// The parser's complaint in our words where it speaks of its own options, else in its own.
fn refusal(
    error: &serde_saphyr::Error,
    location: Option<serde_saphyr::Location>,
    document: &str,
) -> Refusal {
    use serde_saphyr::Error;
    let place = location.map(|location| place(&location));
    let mut inner = error;
    while let Error::AliasError { error, .. } | Error::WithSnippet { error, .. } = inner {
        inner = error;
    }
    let mut too_much = false;
    let message = match inner {
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("the key '{}' is given twice", rules::escape(key))
        }
        Error::DuplicateMappingKey { key: None, .. } => "a key is given twice".to_owned(),
        Error::Budget {
            breach: serde_saphyr::budget::BudgetBreach::Depth { .. },
            ..
        } => too_deep(),
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasReplayCounterOverflow { .. } => {
            too_much = true;
            "it stands for more values than can be judged: aliases of aliases grow quickly"
                .to_owned()
        }
        Error::NonFiniteFloat { .. } => {
            "'.inf' and '.nan' cannot be sent to a cluster: quote what is meant as text".to_owned()
        }
        other => {
            let words = other.without_snippet().to_string();
            let words = words
                .split_once(" at line ")
                .map_or(words.as_str(), |(words, _)| words);
            match words {
                "recursion limit exceeded" => too_deep(),
                "expected string scalar" if is_template(document, place) => {
                    "a template must be rendered first: helm template CHART | kubectl mcp lint -f -"
                        .to_owned()
                }
                "expected string scalar" => "a key must be text".to_owned(),
                words if words.starts_with("cannot deserialize null into string") => {
                    "a key must be text".to_owned()
                }
                words if is_template(document, place) => {
                    format!(
                        "{words}; a template must be rendered first: helm template CHART | kubectl mcp lint -f -"
                    )
                }
                words => words.to_owned(),
            }
        }
    };
    Refusal {
        fault: Fault {
            place,
            message: rules_text(&message),
        },
        too_much,
    }
}

fn too_deep() -> String {
    format!("it is nested deeper than {DEEPEST} levels")
}

/// One line of printable characters, whatever stood in the file.
fn rules_text(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(300)
        .collect()
}

/// Whether `{{` stands in the line of the complaint.
fn is_template(document: &str, place: Option<Place>) -> bool {
    let line = place.map_or(1, |place| place.line.max(1));
    usize::try_from(line - 1)
        .ok()
        .and_then(|line| document.lines().nth(line))
        .is_some_and(|line| line.contains("{{"))
}

fn place(location: &serde_saphyr::Location) -> Place {
    Place {
        line: location.line(),
        column: location.column(),
    }
}

/// A number without a fraction as Go writes it into JSON: `1.0` and `1e3` are integers to the API server.
pub(super) fn whole(value: Value) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value.as_f64() {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "it has no fraction and fits"
        )]
        Some(number) if value.is_f64() && number.fract() == 0.0 && number.abs() <= EXACT => {
            Value::from(number as i64)
        }
        _ => value,
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Tree>::deserialize(deserializer)?;
        Ok(Self {
            place: place(&spanned.referenced),
            tree: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any YAML")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        // JSON has no infinity, and the parser refuses it before it comes here.
        let number = Number::from_f64(value).map_or(Value::Null, Value::Number);
        Ok(Tree::Scalar(whole(number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::String(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            entries.push((key.value, place(&key.referenced), map.next_value()?));
        }
        Ok(Tree::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn one(text: &str) -> Value {
        let (nodes, faults) = parse(text);
        assert_eq!((nodes.len(), faults.len()), (1, 0), "{text}: {faults:?}");
        nodes[0].value()
    }

    fn fault(text: &str) -> Fault {
        let (_, mut faults) = parse(text);
        assert_eq!(faults.len(), 1, "{faults:?}");
        faults.remove(0)
    }

    #[test]
    fn values_are_read_as_kubectl_reads_them() {
        let value = one("{a: yes, b: 'yes', c: 010, d: 1.5, e: null, f: ~, g: [1], \"h\": \"1\"}");
        assert_eq!(
            value,
            json!({"a": true, "b": "yes", "c": 8, "d": 1.5, "e": null, "f": null, "g": [1], "h": "1"})
        );
        assert_eq!(
            one("{a: 1.0, b: 1e3, c: 0x10, d: 2026-01-02}"),
            json!({"a": 1, "b": 1000, "c": 16, "d": "2026-01-02"})
        );
        assert_eq!(
            one("x: &a {p: 1, q: 2}\ny:\n  <<: *a\n  q: 3\n")["y"],
            json!({"p": 1, "q": 3})
        );
    }

    #[test]
    fn line_ends_byte_order_marks_and_long_comments_do_not_matter() {
        assert_eq!(
            one("\u{feff}a: 1\r\nb:\r\n- 2\r\n"),
            json!({"a": 1, "b": [2]})
        );
        let (nodes, faults) = parse("a: 1\n---\n\u{feff}b: 2\n");
        // A mark inside of a document is one that somebody put there.
        assert_eq!((nodes.len(), faults.len()), (1, 1));
        let comments = format!("{0}a:\n{0}- 1\n", "# c\n".repeat(100));
        assert_eq!(one(&comments), json!({"a": [1]}));
    }

    #[test]
    fn a_broken_document_hides_no_other() {
        let (nodes, faults) = parse("a: 1\n---\nb: [\n---\nc:\n  d: 3\n");
        assert_eq!(
            nodes.iter().map(Node::value).collect::<Vec<_>>(),
            [json!({"a": 1}), json!({"c": {"d": 3}})]
        );
        assert_eq!(nodes[1].place_of("c.d"), Place { line: 6, column: 3 });
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].place.map(|place| place.line >= 3), Some(true));
    }

    #[test]
    fn directives_belong_to_the_document_after_them() {
        assert_eq!(one("%YAML 1.1\n# x\n---\na: 1\n"), json!({"a": 1}));
        let (nodes, faults) = parse("a: 1\n...\n---\nb: '\n --- x'\n--- {c: 1}\n");
        assert_eq!((nodes.len(), faults.len()), (3, 0), "{faults:?}");
        assert_eq!(nodes[2].place_of("c").line, 6);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let twice = fault("a: 1\nb: SECRET\na: 2\n");
        assert_eq!(
            (twice.place, twice.message.as_str()),
            (
                Some(Place { line: 3, column: 1 }),
                "the key 'a' is given twice"
            )
        );
        assert_eq!(
            fault("a:\n\tb: 1\n").place,
            Some(Place { line: 2, column: 2 })
        );
        assert_eq!(fault("a: .inf").place, Some(Place { line: 1, column: 4 }));
        assert_eq!(fault("? [a]\n: 1\n").message, "a key must be text");
        assert_eq!(fault("{null: 1}").message, "a key must be text");
        assert!(fault("a: *x").message.contains("anchor"));
        for template in ["a: {{ .Values.x }}\n", "{{- if .x }}\na: 1\n{{- end }}\n"] {
            assert!(fault(template).message.contains("helm template"));
        }
    }
}
