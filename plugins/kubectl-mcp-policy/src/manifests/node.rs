//! A document with the place of every key and value.

use serde_json::{Map, Value};

/// Line and column, counted from 1; 0 when unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Line.
    pub(crate) line: u64,
    /// Column, in characters.
    pub(crate) column: u64,
}

impl Place {
    /// The place in a text with so many lines before this one.
    pub(super) fn below(self, lines: u64) -> Self {
        Self {
            line: self.line + lines,
            ..self
        }
    }
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
    /// The value without places. Of equal keys, which the parsers refuse, the last would win.
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

    /// How many values it holds, itself with them.
    pub(super) fn size(&self) -> usize {
        1 + match &self.tree {
            Tree::Scalar(_) => 0,
            Tree::List(items) => items.iter().map(Self::size).sum(),
            Tree::Map(entries) => entries.iter().map(|(.., node)| node.size()).sum(),
        }
    }

    /// The same in a text with so many lines before it.
    pub(super) fn below(mut self, lines: u64) -> Self {
        if lines > 0 {
            self.shift(lines);
        }
        self
    }

    fn shift(&mut self, lines: u64) {
        self.place = self.place.below(lines);
        match &mut self.tree {
            Tree::Scalar(_) => {}
            Tree::List(items) => items.iter_mut().for_each(|item| item.shift(lines)),
            Tree::Map(entries) => {
                for (_, place, node) in entries {
                    *place = place.below(lines);
                    node.shift(lines);
                }
            }
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
                // A key of a map may be a number: `data[8080]`.
                (Tree::Map(entries), Step::Index(index)) => entries
                    .iter()
                    .find(|(key, ..)| key.parse() == Ok(index))
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

    /// The text that it is.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.tree {
            Tree::Scalar(value) => value.as_str(),
            Tree::List(_) | Tree::Map(_) => None,
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let (documents, faults) = super::super::yaml::parse(TEXT);
        assert_eq!((documents.len(), faults.len()), (2, 0));
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
        let expected = Place {
            line: 13,
            column: 1,
        };
        assert_eq!(documents[1].place_of("kind"), expected);
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
