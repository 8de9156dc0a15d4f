//! The strict JSON scan: one pass over the bytes that refuses whatever two parsers could read differently, and
//! remembers where the few values are that a decision needs.
//!
//! Refused: invalid UTF-8, a byte order mark, duplicate keys at every depth (compared after unescaping), lone
//! surrogates, numbers outside the grammar (`NaN`, `01`, `.5`), data after the value, and more depth, members or
//! values than the limits. What is accepted is forwarded as the same bytes, so order of keys and text of numbers stay.
//!
//! Used for requests by [`message`](crate::message) and for lists in answers by [`filter`](crate::filter). It makes
//! no copy of a value; a string is unescaped only when somebody asks for it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

/// Bounds of a scan.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Deepest nesting that is accepted.
    pub depth: usize,
    /// Values up to this depth are remembered; the root has depth 0.
    pub recorded_depth: usize,
    /// Most values that are remembered.
    pub recorded: usize,
    /// Most members of one object.
    pub members: usize,
    /// Members of this name at depth 2 are remembered, but nothing inside them is.
    pub opaque: Option<&'static str>,
}

impl Limits {
    /// For what callers send.
    pub const REQUEST: Self = Self {
        depth: 64,
        recorded_depth: 4,
        recorded: 16_384,
        members: 8192,
        opaque: Some("arguments"),
    };
    /// For lists that the server sends.
    pub const ANSWER: Self = Self {
        depth: 128,
        recorded_depth: 4,
        recorded: 262_144,
        members: 65_536,
        opaque: None,
    };
}

/// Why bytes are refused. Positions are bytes from the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not UTF-8.
    #[error("must be UTF-8, is not from byte {at} on")]
    Utf8 {
        /// Where.
        at: usize,
    },
    /// Begins with a byte order mark.
    #[error("must not begin with a byte order mark")]
    Bom,
    /// Not JSON.
    #[error("must be JSON, is not at byte {at}")]
    Syntax {
        /// Where.
        at: usize,
    },
    /// Ends within a value.
    #[error("must be one whole JSON value, ends early")]
    Ends,
    /// Something follows the value.
    #[error("must be one JSON value, something follows it at byte {at}")]
    Trailing {
        /// Where.
        at: usize,
    },
    /// A key stands twice in one object.
    #[error("must not have a key twice in one object, has at byte {at}")]
    DuplicateKey {
        /// Where the second one is.
        at: usize,
    },
    /// A surrogate without its other half.
    #[error("must not have a lone surrogate, has at byte {at}")]
    LoneSurrogate {
        /// Where.
        at: usize,
    },
    /// Nested too deeply.
    #[error("must not be nested deeper than the limit, is at byte {at}")]
    TooDeep {
        /// Where.
        at: usize,
    },
    /// More members or values than the limits.
    #[error("must not have more members or values than the limit, has at byte {at}")]
    TooMany {
        /// Where.
        at: usize,
    },
}

/// What sort of value a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// The text between the quotes of a string.
#[derive(Clone, Copy, Debug)]
struct Text {
    start: usize,
    end: usize,
    escaped: bool,
}

/// A remembered value. Its children follow it in the list, up to `next`.
#[derive(Clone, Copy, Debug)]
struct Node {
    kind: Kind,
    start: usize,
    end: usize,
    next: usize,
    key: Option<Text>,
    escaped: bool,
}

/// Accepted bytes, and where their values are.
#[derive(Debug)]
pub struct Document<'a> {
    bytes: &'a [u8],
    nodes: Vec<Node>,
}

/// One remembered value of a document.
#[derive(Clone, Copy, Debug)]
pub struct Value<'d> {
    document: &'d Document<'d>,
    index: usize,
}

impl<'a> Document<'a> {
    /// Scans bytes.
    pub fn scan(bytes: &'a [u8], limits: Limits) -> Result<Self, Error> {
        std::str::from_utf8(bytes).map_err(|error| Error::Utf8 {
            at: error.valid_up_to(),
        })?;
        if bytes.starts_with(b"\xef\xbb\xbf") {
            return Err(Error::Bom);
        }
        let mut scanner = Scanner {
            bytes,
            at: 0,
            nodes: Vec::with_capacity(24),
            keys: Vec::new(),
            limits,
        };
        scanner.space();
        scanner.value(0, None, true)?;
        scanner.space();
        if scanner.at < bytes.len() {
            return Err(Error::Trailing { at: scanner.at });
        }
        Ok(Self {
            bytes,
            nodes: scanner.nodes,
        })
    }

    /// The outermost value.
    pub fn root(&self) -> Value<'_> {
        Value {
            document: self,
            index: 0,
        }
    }
}

impl<'d> Value<'d> {
    fn node(self) -> &'d Node {
        &self.document.nodes[self.index]
    }

    /// What it is.
    pub fn kind(self) -> Kind {
        self.node().kind
    }

    /// Where it is.
    pub fn range(self) -> Range<usize> {
        self.node().start..self.node().end
    }

    /// Its source text.
    pub fn raw(self) -> &'d [u8] {
        &self.document.bytes[self.range()]
    }

    /// The key under which it stands in its object, unescaped.
    pub fn key(self) -> Option<Cow<'d, str>> {
        self.node()
            .key
            .map(|text| unescape(self.document.bytes, text))
    }

    /// The string it is.
    pub fn as_str(self) -> Option<Cow<'d, str>> {
        let node = self.node();
        (node.kind == Kind::String).then(|| {
            unescape(
                self.document.bytes,
                Text {
                    start: node.start + 1,
                    end: node.end - 1,
                    escaped: node.escaped,
                },
            )
        })
    }

    /// Remembered members or elements.
    pub fn children(self) -> impl Iterator<Item = Self> {
        let end = self.node().next;
        let mut index = self.index + 1;
        std::iter::from_fn(move || {
            (index < end).then(|| {
                let child = Self {
                    document: self.document,
                    index,
                };
                index = child.node().next;
                child
            })
        })
    }

    /// A member by its key.
    pub fn get(self, key: &str) -> Option<Self> {
        self.children()
            .find(|child| child.key().is_some_and(|k| k == key))
    }
}

/// A string without its escapes. The scan has already found them well formed.
fn unescape(bytes: &[u8], text: Text) -> Cow<'_, str> {
    if !text.escaped {
        return String::from_utf8_lossy(&bytes[text.start..text.end]);
    }
    let quoted = &bytes[text.start - 1..=text.end];
    Cow::Owned(
        serde_json::from_slice(quoted).expect("the scan accepts only strings that are well formed"),
    )
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    /// Keys of the objects that are open, innermost last.
    keys: Vec<Text>,
    limits: Limits,
}

/// Up to this many keys are compared one by one.
const FEW_KEYS: usize = 16;

impl<'a> Scanner<'a> {
    fn peek(&self) -> Result<u8, Error> {
        self.bytes.get(self.at).copied().ok_or(Error::Ends)
    }

    fn syntax(&self) -> Error {
        if self.at < self.bytes.len() {
            Error::Syntax { at: self.at }
        } else {
            Error::Ends
        }
    }

    fn space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// One value at `depth`; it and its children are remembered if `record`.
    fn value(&mut self, depth: usize, key: Option<Text>, record: bool) -> Result<(), Error> {
        if depth > self.limits.depth {
            return Err(Error::TooDeep { at: self.at });
        }
        let start = self.at;
        let record = record && depth <= self.limits.recorded_depth;
        let index = self.nodes.len();
        if record {
            if index >= self.limits.recorded {
                return Err(Error::TooMany { at: self.at });
            }
            self.nodes.push(Node {
                kind: Kind::Null,
                start,
                end: start,
                next: 0,
                key,
                escaped: false,
            });
        }
        let inner = record && !(depth == 2 && self.is_opaque(key));
        let mut escaped = false;
        let kind = match self.peek()? {
            b'{' => self.object(depth, inner)?,
            b'[' => self.array(depth, inner)?,
            b'"' => {
                escaped = self.string()?.escaped;
                Kind::String
            }
            b't' => self.word(b"true", Kind::Bool)?,
            b'f' => self.word(b"false", Kind::Bool)?,
            b'n' => self.word(b"null", Kind::Null)?,
            _ => self.number()?,
        };
        if record {
            let next = self.nodes.len();
            self.nodes[index] = Node {
                kind,
                start,
                end: self.at,
                next,
                key,
                escaped,
            };
        }
        Ok(())
    }

    fn is_opaque(&self, key: Option<Text>) -> bool {
        match (self.limits.opaque, key) {
            (Some(name), Some(text)) => unescape(self.bytes, text) == name,
            _ => false,
        }
    }

    fn object(&mut self, depth: usize, record: bool) -> Result<Kind, Error> {
        self.at += 1;
        self.space();
        if self.peek()? == b'}' {
            self.at += 1;
            return Ok(Kind::Object);
        }
        let base = self.keys.len();
        let mut many: HashSet<Cow<'a, str>> = HashSet::new();
        loop {
            let at = self.at;
            if self.peek()? != b'"' {
                return Err(self.syntax());
            }
            let key = self.string()?;
            if self.keys.len() - base >= self.limits.members {
                return Err(Error::TooMany { at });
            }
            if self.is_duplicate(base, key, &mut many) {
                return Err(Error::DuplicateKey { at });
            }
            self.keys.push(key);
            self.space();
            self.expect(b':')?;
            self.space();
            self.value(depth + 1, Some(key), record)?;
            self.space();
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    self.keys.truncate(base);
                    return Ok(Kind::Object);
                }
                _ => return Err(self.syntax()),
            }
            self.space();
        }
    }

    /// Whether `key` is among the keys of the innermost open object. Few are compared, many are hashed.
    fn is_duplicate(&self, base: usize, key: Text, many: &mut HashSet<Cow<'a, str>>) -> bool {
        let known = &self.keys[base..];
        if known.len() < FEW_KEYS {
            let text = unescape(self.bytes, key);
            return known.iter().any(|k| unescape(self.bytes, *k) == text);
        }
        if many.is_empty() {
            many.extend(known.iter().map(|k| unescape(self.bytes, *k)));
        }
        !many.insert(unescape(self.bytes, key))
    }

    fn array(&mut self, depth: usize, record: bool) -> Result<Kind, Error> {
        self.at += 1;
        self.space();
        if self.peek()? == b']' {
            self.at += 1;
            return Ok(Kind::Array);
        }
        loop {
            self.value(depth + 1, None, record)?;
            self.space();
            match self.peek()? {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Ok(Kind::Array);
                }
                _ => return Err(self.syntax()),
            }
            self.space();
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), Error> {
        if self.peek()? != byte {
            return Err(self.syntax());
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Result<Kind, Error> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(self.syntax());
        }
        self.at += word.len();
        Ok(kind)
    }

    fn string(&mut self) -> Result<Text, Error> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Ok(Text {
                        start,
                        end: self.at - 1,
                        escaped,
                    });
                }
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                0..=0x1f => return Err(self.syntax()),
                _ => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<(), Error> {
        let at = self.at;
        self.at += 1;
        match self.peek()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
            b'u' => match self.unit()? {
                0xd800..=0xdbff => {
                    if !self.bytes[self.at..].starts_with(b"\\u") {
                        return Err(Error::LoneSurrogate { at });
                    }
                    self.at += 1;
                    if !matches!(self.unit()?, 0xdc00..=0xdfff) {
                        return Err(Error::LoneSurrogate { at });
                    }
                }
                0xdc00..=0xdfff => return Err(Error::LoneSurrogate { at }),
                _ => {}
            },
            _ => return Err(self.syntax()),
        }
        Ok(())
    }

    /// The four digits after `u`, at which we stand.
    fn unit(&mut self) -> Result<u32, Error> {
        let mut unit = 0;
        for _ in 0..4 {
            self.at += 1;
            let digit = (self.peek()? as char)
                .to_digit(16)
                .ok_or(Error::Syntax { at: self.at })?;
            unit = unit * 16 + digit;
        }
        self.at += 1;
        Ok(unit)
    }

    fn number(&mut self) -> Result<Kind, Error> {
        if self.peek()? == b'-' {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits()?,
            _ => return Err(self.syntax()),
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Kind::Number)
    }

    fn digits(&mut self) -> Result<(), Error> {
        let start = self.at;
        while matches!(self.bytes.get(self.at), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start {
            Err(self.syntax())
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
