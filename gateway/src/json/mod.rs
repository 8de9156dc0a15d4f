//! The strict JSON scan: one pass over the bytes that refuses whatever two parsers could read differently, and
//! remembers where the few values are that a decision needs.
//!
//! Refused: invalid UTF-8, a byte order mark, duplicate keys at every depth (compared after unescaping), lone
//! surrogates, numbers outside the grammar (`NaN`, `01`, `.5`), data after the value, and more depth, members or
//! values than the limits. What is accepted is forwarded as the same bytes, so order of keys and text of numbers stay.
//!
//! Used for requests by [`message`](crate::message) and for lists in answers by [`filter`](crate::filter). It makes
//! no copy of a value; a string is unescaped only when somebody asks for it.

mod scanner;

use std::borrow::Cow;
use std::ops::Range;

use scanner::Scanner;

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
    /// For one definition of a tool, all of which is remembered.
    pub const DEFINITION: Self = Self {
        depth: 128,
        recorded_depth: 128,
        recorded: 65_536,
        members: 8192,
        opaque: None,
    };
    /// For the arguments of a call, as far as headers repeat them.
    pub const ARGUMENTS: Self = Self {
        depth: 64,
        recorded_depth: 8,
        recorded: 16_384,
        members: 8192,
        opaque: None,
    };
    /// For events that may notify of something or create a task, and may hold a large result.
    pub const EVENT: Self = Self {
        depth: 128,
        recorded_depth: 3,
        recorded: 65_536,
        members: 65_536,
        opaque: None,
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
    text: &'a str,
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
        let text = std::str::from_utf8(bytes).map_err(|error| Error::Utf8 {
            at: error.valid_up_to(),
        })?;
        if bytes.starts_with(b"\xef\xbb\xbf") {
            return Err(Error::Bom);
        }
        let nodes = Scanner::new(text, limits).whole()?;
        Ok(Self { text, nodes })
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
        &self.document.text.as_bytes()[self.range()]
    }

    /// The key under which it stands in its object, unescaped.
    pub fn key(self) -> Option<Cow<'d, str>> {
        self.node()
            .key
            .map(|text| unescape(self.document.text, text))
    }

    /// The string it is.
    pub fn as_str(self) -> Option<Cow<'d, str>> {
        let node = self.node();
        (node.kind == Kind::String).then(|| {
            unescape(
                self.document.text,
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
        self.children().find(|child| {
            let own = child.node().key;
            own.is_some_and(|own| unescape(self.document.text, own) == key)
        })
    }

    /// A member whose key equals one of `expected` but for case, by Unicode's simple folding as some parsers do it, or
    /// up to a NUL, as a parser in C may read it; and the key that those parsers would take it for.
    pub fn case_variant(self, expected: &'static [&'static str]) -> Option<(String, &'static str)> {
        self.children().filter_map(Self::key).find_map(|key| {
            let folded = fold(&key);
            let folded = folded.split('\0').next().unwrap_or_default();
            let known = expected
                .iter()
                .find(|known| key != **known && folded.eq_ignore_ascii_case(known))?;
            Some((key.clone().into_owned(), *known))
        })
    }
}

/// The two letters outside ASCII that fold into it: long s and the Kelvin sign.
fn fold(key: &str) -> Cow<'_, str> {
    if key.is_ascii() {
        Cow::Borrowed(key)
    } else {
        Cow::Owned(key.replace('\u{17f}', "s").replace('\u{212a}', "k"))
    }
}

/// A string without its escapes. The scan has already found them well formed.
fn unescape(whole: &str, text: Text) -> Cow<'_, str> {
    if !text.escaped {
        return Cow::Borrowed(&whole[text.start..text.end]);
    }
    let quoted = &whole[text.start - 1..=text.end];
    Cow::Owned(
        serde_json::from_str(quoted).expect("the scan accepts only strings that are well formed"),
    )
}

#[cfg(test)]
mod tests;
