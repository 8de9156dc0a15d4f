//! Server-sent events, cut into their blocks as the bytes come in. Pure.
//!
//! A block is what stands between two empty lines: fields and comments. Its lines are kept, so that a block that
//! needs no change passes as it came, with its event id; only line ends become line feeds.

/// Why a stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A block is larger than the limit.
    #[error("an event is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
}

/// One block of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its bytes, the empty line that ends it included.
    pub raw: Vec<u8>,
    /// Its data, lines joined by a line feed; `None` if it has none or only empty lines.
    pub data: Option<Vec<u8>>,
}

/// Cuts a stream into blocks.
#[derive(Debug)]
pub struct Parser {
    limit: usize,
    pending: Vec<u8>,
    line_start: usize,
    skip_feed: bool,
    first: bool,
}

impl Parser {
    /// A parser that takes blocks of up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            pending: Vec::new(),
            line_start: 0,
            skip_feed: false,
            first: true,
        }
    }

    /// Takes bytes in, and calls `found` with every block that they complete.
    pub fn feed(&mut self, bytes: &[u8], mut found: impl FnMut(Block)) -> Result<(), Error> {
        for &byte in bytes {
            let follows_return = std::mem::take(&mut self.skip_feed);
            if follows_return && byte == b'\n' {
                // The second half of a line end whose first half has already ended the line.
                continue;
            }
            // Line ends are written as one line feed: the stream means the same, and simple readers expect it.
            self.pending.push(if byte == b'\r' { b'\n' } else { byte });
            if byte != b'\n' && byte != b'\r' {
                continue;
            }
            self.skip_feed = byte == b'\r';
            if self.line_start + 1 == self.pending.len() {
                let raw = std::mem::take(&mut self.pending);
                self.line_start = 0;
                let data = data(&raw, std::mem::take(&mut self.first));
                found(Block { raw, data });
            } else {
                self.line_start = self.pending.len();
            }
        }
        if self.pending.len() > self.limit {
            Err(Error::TooLarge { limit: self.limit })
        } else {
            Ok(())
        }
    }
}

/// The lines of a block, without their ends.
fn lines(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    raw.split(|b| *b == b'\n').filter(|line| !line.is_empty())
}

/// The value of a line that is the field `data`.
fn data_value(line: &[u8]) -> Option<&[u8]> {
    if line == b"data" {
        return Some(b"");
    }
    let value = line.strip_prefix(b"data:")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

fn without_mark(raw: &[u8], first: bool) -> &[u8] {
    if first {
        raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw)
    } else {
        raw
    }
}

fn data(raw: &[u8], first: bool) -> Option<Vec<u8>> {
    let values: Vec<&[u8]> = lines(without_mark(raw, first))
        .filter_map(data_value)
        .collect();
    let joined = values.join(&b'\n');
    (!joined.iter().all(|b| *b == b'\n')).then_some(joined)
}

impl Block {
    /// What stays of the block when its data is not for the reader: its id, if it has one, so that a reader who comes
    /// back goes on from there.
    pub fn without_data(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for line in
            lines(without_mark(&self.raw, true)).filter(|l| *l == b"id" || l.starts_with(b"id:"))
        {
            out.extend_from_slice(line);
            out.push(b'\n');
        }
        if !out.is_empty() {
            out.push(b'\n');
        }
        out
    }

    /// The value of a field, as text; the last one if it stands more than once.
    pub fn field(&self, name: &str) -> Option<&str> {
        let values = lines(without_mark(&self.raw, true)).filter_map(|line| {
            let value = line
                .strip_prefix(name.as_bytes())?
                .strip_prefix(b":")
                .map(|value| value.strip_prefix(b" ").unwrap_or(value));
            value.and_then(|value| std::str::from_utf8(value).ok())
        });
        values.last()
    }

    /// The same block with other data.
    pub fn with_data(&self, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.raw.len() + 16);
        for line in lines(without_mark(&self.raw, true)).filter(|line| data_value(line).is_none()) {
            out.extend_from_slice(line);
            out.push(b'\n');
        }
        for line in data.split(|b| *b == b'\n' || *b == b'\r') {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(line);
            out.push(b'\n');
        }
        out.push(b'\n');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] =
        b"\xef\xbb\xbf: hello\r\n\r\nid: 7\r\nevent: message\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\n\
        id: 8\ndata:\n\nretry: 5\rdata:x\r\rdata\ndata: tail\n\nunfinished";

    fn blocks(chunks: &[&[u8]]) -> Vec<Block> {
        let mut parser = Parser::new(1024);
        let mut all = Vec::new();
        for chunk in chunks {
            parser.feed(chunk, |block| all.push(block)).unwrap();
        }
        all.retain(|b| b.raw != b"\n");
        all
    }

    #[test]
    fn events_are_found_with_every_sort_of_line_end() {
        let data: Vec<_> = blocks(&[STREAM]).into_iter().map(|b| b.data).collect();
        assert_eq!(
            data,
            [
                None,
                Some(b"{\"a\":\n1}".to_vec()),
                None,
                Some(b"x".to_vec()),
                Some(b"\ntail".to_vec())
            ]
        );
    }

    #[test]
    fn it_does_not_matter_where_the_bytes_are_cut() {
        let whole = blocks(&[STREAM]);
        for cut in 0..=STREAM.len() {
            let (a, b) = STREAM.split_at(cut);
            assert_eq!(blocks(&[a, b]), whole, "cut at {cut}");
        }
        let single: Vec<&[u8]> = STREAM.chunks(1).collect();
        assert_eq!(blocks(&single), whole);
    }

    #[test]
    fn other_data_keeps_the_other_fields() {
        let block = &blocks(&[b"id: 7\nevent: message\ndata: old\n: note\n\n"])[0];
        assert_eq!(
            block.with_data(b"new"),
            b"id: 7\nevent: message\n: note\ndata: new\n\n"
        );
        assert_eq!(
            block.with_data(b"a\nb"),
            b"id: 7\nevent: message\n: note\ndata: a\ndata: b\n\n"
        );
    }

    #[test]
    fn without_its_data_only_the_id_is_left() {
        let block = &blocks(&[b"id: 7\nevent: message\ndata: secret\n: note\n\n"])[0];
        assert_eq!(block.without_data(), b"id: 7\n\n");
        assert_eq!(blocks(&[b"data: secret\n\n"])[0].without_data(), b"");
    }

    #[test]
    fn a_field_is_read_by_its_whole_name() {
        let block =
            &blocks(&[b"identity: 1\nid:6\nid:  7\nevent: endpoint\nretry\ndata: x\n\n"])[0];
        assert_eq!(block.field("id"), Some(" 7"));
        assert_eq!(block.field("event"), Some("endpoint"));
        assert_eq!(block.field("retry"), None);
    }

    #[test]
    fn a_block_without_end_is_refused() {
        let mut parser = Parser::new(16);
        assert_eq!(
            parser.feed(&[b'a'; 17], drop),
            Err(Error::TooLarge { limit: 16 })
        );
    }
}
