//! A document of YAML with the place of every key and value. JSON is YAML too.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

/// Line and column, counted from 1; 0 when unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Line.
    pub(crate) line: u64,
    /// Column, in characters.
    pub(crate) column: u64,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) tree: Tree,
}

/// A value whose parts know where they stand.
#[derive(Clone, Debug)]
pub(crate) enum Tree {
    Scalar(Value),
    List(Vec<Node>),
    /// Key, place of the key, value.
    Map(Vec<(String, Place, Node)>),
}

impl Node {
    /// The value without places. Of equal keys, which the parser refuses, the last would win.
    pub(crate) fn value(&self) -> Value {
        match &self.tree {
            Tree::Scalar(value) => value.clone(),
            Tree::List(items) => items.iter().map(Self::value).collect(),
            Tree::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|(key, _, node)| (key.clone(), node.value()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }

    /// Where a field such as `spec.env[2].value` stands; of one that is not there, the nearest that is.
    pub(crate) fn place_of(&self, field: &str) -> Place {
        let mut place = self.place;
        let mut node = self;
        for step in steps(field) {
            let next = match (&node.tree, step) {
                (Tree::Map(entries), Step::Key(name)) => entries
                    .iter()
                    .find(|(key, ..)| *key == name)
                    .map(|(_, place, node)| (*place, node)),
                (Tree::List(items), Step::Index(index)) => {
                    items.get(index).map(|node| (node.place, node))
                }
                _ => None,
            };
            match next {
                Some((at, inner)) => (place, node) = (at, inner),
                None => break,
            }
        }
        place
    }

    /// The value of a key of a map.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        match &self.tree {
            Tree::Map(entries) => entries
                .iter()
                .find(|(key, ..)| key == name)
                .map(|(.., node)| node),
            Tree::Scalar(_) | Tree::List(_) => None,
        }
    }
}

/// One step of a field path.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// `spec.env[2].value`, `metadata.labels[app.kubernetes.io/name]`, `metadata.annotations["x.y"]`.
fn steps(field: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = field;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let (text, after) = inside.split_once(']').unwrap_or((inside, ""));
            let text = text.trim_matches(['"', '\'']);
            steps.push(
                text.parse()
                    .map_or_else(|_| Step::Key(text.to_owned()), Step::Index),
            );
            rest = after;
        } else {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            if end > 0 {
                steps.push(Step::Key(rest[..end].to_owned()));
            }
            rest = &rest[end..];
        }
    }
    steps
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

fn place(location: &serde_saphyr::Location) -> Place {
    Place {
        line: location.line(),
        column: location.column(),
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
        // JSON has no infinity; what was meant cannot be sent to a cluster either.
        Ok(Tree::Scalar(
            Number::from_f64(value).map_or(Value::Null, Value::Number),
        ))
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

/// All documents of a text. Empty ones are left out.
pub(crate) fn parse(text: &str) -> Result<Vec<Node>, String> {
    // Without the snippet: a manifest may hold what should not be in a log of CI.
    serde_saphyr::from_multiple(text).map_err(|error| error.without_snippet().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TEXT: &str = "\
apiVersion: v1
metadata:
  labels: {app.kubernetes.io/name: x}
spec:
  on: yes
  env:
  - name: A
  - name: B
    value: 1
---
# nothing
---
kind: Second
";

    #[test]
    fn every_field_knows_where_it_stands() {
        let documents = parse(TEXT).unwrap();
        assert_eq!(documents.len(), 2);
        for (field, line, column) in [
            ("", 1, 1),
            ("apiVersion", 1, 1),
            ("metadata.labels[app.kubernetes.io/name]", 3, 12),
            ("spec.env", 6, 3),
            ("spec.env[1]", 8, 5),
            ("spec.env[1].value", 9, 5),
            ("spec.env[1].valueFrom.x", 8, 5),
            ("spec.env[7].name", 6, 3),
            ("status", 1, 1),
        ] {
            assert_eq!(
                documents[0].place_of(field),
                Place { line, column },
                "{field}"
            );
        }
        assert_eq!(
            documents[1].place_of("kind"),
            Place {
                line: 13,
                column: 1
            }
        );
    }

    #[test]
    fn values_are_read_as_kubectl_reads_them() {
        let value =
            parse("{a: yes, b: 'yes', c: 010, d: 1.5, e: null, f: ~, g: [1], \"h\": \"1\"}")
                .unwrap()[0]
                .value();
        assert_eq!(value["a"], json!(true));
        assert_eq!(value["b"], json!("yes"));
        assert_eq!(
            (&value["d"], &value["e"], &value["f"]),
            (&json!(1.5), &json!(null), &json!(null))
        );
        assert_eq!((&value["g"], &value["h"]), (&json!([1]), &json!("1")));
    }

    #[test]
    fn a_key_that_is_given_twice_is_refused() {
        let error = parse("a: 1\nb: SECRET\na: 2\n").unwrap_err();
        assert!(error.contains('3') && !error.contains("SECRET"), "{error}");
    }

    #[test]
    fn paths_are_taken_apart_at_dots_and_brackets() {
        let key = |name: &str| Step::Key(name.to_owned());
        assert_eq!(
            steps("a.b[2].c"),
            [key("a"), key("b"), Step::Index(2), key("c")]
        );
        assert_eq!(steps("a[x.y/z].c"), [key("a"), key("x.y/z"), key("c")]);
        assert_eq!(steps("a[\"x.y\"]"), [key("a"), key("x.y")]);
        assert_eq!(steps(""), []);
    }
}
