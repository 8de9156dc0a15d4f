//! JSON with places: one value, or several in a row as `jq` prints them.
//!
//! YAML takes most JSON too, but neither several values in a row nor every key. What this reader does not take is left
//! to the YAML parser, which says what is wrong.

use serde_json::Value;

use super::node::{Node, Place, Tree};
use super::yaml::{DEEPEST, LARGEST};

/// Every value of a text, or nothing where it is not all JSON.
pub(super) fn parse(text: &str) -> Option<Vec<Node>> {
    let mut reader = Reader {
        rest: text,
        place: Place { line: 1, column: 1 },
        left: LARGEST,
    };
    let mut values = Vec::new();
    reader.skip_space();
    while !reader.rest.is_empty() {
        values.push(reader.value(0)?);
        reader.skip_space();
    }
    Some(values)
}

struct Reader<'a> {
    rest: &'a str,
    place: Place,
    /// How many more values are taken.
    left: usize,
}

impl<'a> Reader<'a> {
    /// Takes so many bytes, which must end between two characters.
    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        for byte in taken.bytes() {
            match byte {
                b'\n' => {
                    self.place.line += 1;
                    self.place.column = 1;
                }
                // Every byte of a character but its first begins with the bits 10.
                byte if byte & 0b1100_0000 != 0b1000_0000 => self.place.column += 1,
                _ => {}
            }
        }
        self.rest = rest;
        taken
    }

    fn skip_space(&mut self) {
        let space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        self.take(self.rest.bytes().take_while(space).count());
    }

    fn next_is(&mut self, byte: u8) -> bool {
        let found = self.rest.as_bytes().first() == Some(&byte);
        if found {
            self.take(1);
        }
        found
    }

    fn value(&mut self, depth: usize) -> Option<Node> {
        self.left = self.left.checked_sub(1)?;
        let place = self.place;
        let tree = match self.rest.as_bytes().first()? {
            b'{' if depth < DEEPEST => self.map(depth)?,
            b'[' if depth < DEEPEST => self.list(depth)?,
            b'"' => Tree::Scalar(Value::String(self.text()?)),
            _ => self.word()?,
        };
        Some(Node { place, tree })
    }

    fn map(&mut self, depth: usize) -> Option<Tree> {
        self.take(1);
        let mut entries: Vec<(String, Place, Node)> = Vec::new();
        self.skip_space();
        if self.next_is(b'}') {
            return Some(Tree::Map(entries));
        }
        loop {
            self.skip_space();
            let place = self.place;
            let key = self.text()?;
            self.skip_space();
            if !self.next_is(b':') {
                return None;
            }
            self.skip_space();
            let value = self.value(depth + 1)?;
            entries.push((key, place, value));
            self.skip_space();
            if self.next_is(b'}') {
                break;
            }
            if !self.next_is(b',') {
                return None;
            }
        }
        let mut keys: Vec<&str> = entries.iter().map(|(key, ..)| key.as_str()).collect();
        keys.sort_unstable();
        let twice = keys.windows(2).any(|pair| pair[0] == pair[1]);
        (!twice).then_some(Tree::Map(entries))
    }

    fn list(&mut self, depth: usize) -> Option<Tree> {
        self.take(1);
        let mut items = Vec::new();
        self.skip_space();
        if self.next_is(b']') {
            return Some(Tree::List(items));
        }
        loop {
            self.skip_space();
            items.push(self.value(depth + 1)?);
            self.skip_space();
            if self.next_is(b']') {
                return Some(Tree::List(items));
            }
            if !self.next_is(b',') {
                return None;
            }
        }
    }

    fn text(&mut self) -> Option<String> {
        let bytes = self.rest.as_bytes();
        if bytes.first() != Some(&b'"') {
            return None;
        }
        let mut end = 1;
        while *bytes.get(end)? != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        // A quote is a character of its own, so this cuts none in two.
        serde_json::from_str(self.take(end + 1)).ok()
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> Option<Tree> {
        let part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let length = self.rest.bytes().take_while(part).count();
        serde_json::from_str(self.take(length))
            .ok()
            .map(|value| Tree::Scalar(super::yaml::whole(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn several_values_in_a_row_know_where_they_stand() {
        let text = "{\"a\": 1}\n{\"kind\": \"\\ud83d\\ude00\",\n \"é\": [true, null,\n  {\"x\": -1.5e1}]}\n";
        let values = parse(text).unwrap();
        assert_eq!(values[0].value(), json!({"a": 1}));
        assert_eq!(
            values[1].value(),
            json!({"kind": "😀", "é": [true, null, {"x": -15}]})
        );
        assert_eq!(values[1].place, Place { line: 2, column: 1 });
        assert_eq!(values[1].place_of("é"), Place { line: 3, column: 2 });
        assert_eq!(
            values[1].place_of("é[1]"),
            Place {
                line: 3,
                column: 14
            }
        );
        assert_eq!(values[1].place_of("é[2].x"), Place { line: 4, column: 4 });
    }

    #[test]
    fn what_is_no_json_is_left_to_yaml() {
        for text in [
            "{a: 1}",
            "{\"a\": 1",
            "{\"a\": 1, \"a\": 2}",
            "[1,]",
            "{\"a\": \"\\x\"}",
            "{\"a\": 01}",
            "{\"a\":\"b\\",
            "{} x",
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
        assert!(parse(&"[".repeat(10_000)).is_none());
    }
}
