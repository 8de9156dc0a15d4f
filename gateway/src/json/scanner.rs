//! The grammar behind [`Document::scan`](super::Document::scan): walks the bytes once and collects the nodes that are
//! to be remembered. A byte order mark is refused by its caller.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{Error, Kind, Limits, Node, Text, unescape};

/// Where one scan stands.
pub(super) struct Scanner<'a> {
    text: &'a str,
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
    /// At the beginning of this text.
    pub(super) fn new(text: &'a str, limits: Limits) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            at: 0,
            nodes: Vec::with_capacity(24),
            keys: Vec::new(),
            limits,
        }
    }

    /// The nodes of the one value that the bytes must be.
    pub(super) fn whole(mut self) -> Result<Vec<Node>, Error> {
        self.space();
        self.value(0, None, true)?;
        self.space();
        if self.at < self.bytes.len() {
            return Err(Error::Trailing { at: self.at });
        }
        Ok(self.nodes)
    }

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
            (Some(name), Some(text)) => unescape(self.text, text) == name,
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
            let text = unescape(self.text, key);
            return known.iter().any(|k| unescape(self.text, *k) == text);
        }
        if many.is_empty() {
            many.extend(known.iter().map(|k| unescape(self.text, *k)));
        }
        !many.insert(unescape(self.text, key))
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
            let rest = self.bytes[self.at..].iter();
            self.at += rest
                .take_while(|b| !matches!(b, b'"' | b'\\' | 0..=0x1f))
                .count();
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
                _ => return Err(self.syntax()),
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
