//! Server-sent events, as far as MCP needs them: the `data` of each event. Pure, fed with bytes as they come.

/// The longest event, in bytes. Beyond it the stream is given up.
const LONGEST: usize = 64 << 20;

/// Reads events from chunks that may be cut anywhere.
#[derive(Debug, Default)]
pub(crate) struct Events {
    line: Vec<u8>,
    data: Option<Vec<u8>>,
    after_return: bool,
}

/// An event is longer than anything that a client should hold.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Events {
    /// The data of the events that end in `chunk`.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut events = Vec::new();
        for byte in chunk {
            // CR, LF and CRLF all end a line.
            match byte {
                b'\n' if self.after_return => self.after_return = false,
                b'\n' | b'\r' => {
                    self.after_return = *byte == b'\r';
                    events.extend(self.end_of_line());
                }
                other => {
                    self.after_return = false;
                    self.line.push(*other);
                }
            }
            if self.line.len() + self.data.as_ref().map_or(0, Vec::len) > LONGEST {
                return Err(TooLong);
            }
        }
        Ok(events)
    }

    /// An empty line ends an event.
    fn end_of_line(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return self.data.take();
        }
        if let Some(value) = line.strip_prefix(b"data") {
            let value = match value {
                [] => value,
                [b':', b' ', rest @ ..] | [b':', rest @ ..] => rest,
                _ => return None,
            };
            match &mut self.data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => self.data = Some(value.to_vec()),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] =
        b": hello\r\nevent: message\r\nid: 1\r\ndata: {\"a\":\r\ndata:1}\r\n\r\ndatabase: no\n\ndata: two\n\ndata\n\nretry: 5\r\rdata: three\r\r";

    #[test]
    fn events_are_the_same_wherever_the_stream_is_cut() {
        let whole = Events::default().push(STREAM).unwrap();
        assert_eq!(whole, [&b"{\"a\":\n1}"[..], b"two", b"", b"three"]);
        for cut in 0..=STREAM.len() {
            let mut events = Events::default();
            let mut got = events.push(&STREAM[..cut]).unwrap();
            got.extend(events.push(&STREAM[cut..]).unwrap());
            assert_eq!(got, whole, "cut at {cut}");
        }
    }
}
