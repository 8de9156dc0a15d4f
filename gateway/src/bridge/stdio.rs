//! Conversations with child processes: each connection to the socket of `mcp-gateway exec` is one child, and each line
//! one message.

use std::path::PathBuf;

use bytes::Bytes;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::channel::{Connect, Opening, Pipe};
use crate::exec::{BUSY, STARTED};
use crate::upstream::Error;

/// The longest line that a server may write, in bytes.
const LINE: usize = 16 * 1024 * 1024;
/// Lines that may wait on their way in either direction.
const WAITING: usize = 64;

/// Opens conversations at a socket.
#[derive(Debug)]
pub struct Stdio {
    socket: PathBuf,
}

impl Stdio {
    /// At the socket of `mcp-gateway exec`.
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    async fn connect(&self) -> Result<Pipe, Error> {
        let start = |error: std::io::Error| Error::Start(error.to_string());
        let stream = UnixStream::connect(&self.socket).await.map_err(start)?;
        let (incoming, outgoing) = stream.into_split();
        let mut incoming = BufReader::new(incoming);
        // The first line is the bridge's own word; all others are the child's.
        match line(&mut incoming).await.map_err(start)? {
            Some(first) if first == STARTED => {}
            Some(first) if first == BUSY => return Err(Error::Busy),
            Some(first) => return Err(Error::Start(String::from_utf8_lossy(&first).into_owned())),
            None => {
                return Err(Error::Start(
                    "it does not take the gateway's connection".to_owned(),
                ));
            }
        }
        let (to_server, messages) = mpsc::channel(WAITING);
        let (lines, from_server) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            tokio::select! {
                () = read(incoming, &lines) => {}
                () = write(outgoing, messages) => {}
                () = lines.closed() => {}
            }
        });
        Ok(Pipe {
            to_server,
            from_server,
        })
    }
}

impl Connect for Stdio {
    fn open(&self) -> Opening<'_> {
        Box::pin(self.connect())
    }
}

/// Passes lines on until the child ends.
async fn read(mut from: impl AsyncBufRead + Unpin, lines: &mpsc::Sender<Bytes>) {
    loop {
        match line(&mut from).await {
            Ok(Some(line)) if line.is_empty() => {}
            Ok(Some(line)) => {
                if lines.send(Bytes::from(line)).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "the server's process is ended");
                return;
            }
        }
    }
}

/// Writes messages, one to a line.
async fn write(mut to: impl AsyncWrite + Unpin, mut messages: mpsc::Receiver<Bytes>) {
    while let Some(message) = messages.recv().await {
        let mut line = Vec::with_capacity(message.len() + 1);
        line.extend_from_slice(&message);
        line.push(b'\n');
        if let Err(error) = to.write_all(&line).await {
            tracing::debug!(%error, "the server's process takes no more messages");
            return;
        }
    }
}

/// The next line without its end; `None` at the end of the stream.
async fn line(from: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        let buffer = from.fill_buf().await?;
        if buffer.is_empty() {
            return Ok((!line.is_empty()).then_some(line));
        }
        let end = buffer.iter().position(|b| *b == b'\n');
        line.extend_from_slice(&buffer[..end.unwrap_or(buffer.len())]);
        let used = end.map_or(buffer.len(), |end| end + 1);
        from.consume(used);
        if line.len() > LINE {
            return Err(std::io::Error::other(format!(
                "it wrote a line of more than {LINE} bytes"
            )));
        }
        if end.is_some() {
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            return Ok(Some(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_end_at_line_feeds_only() {
        let mut source: &[u8] = "a\u{2028}b\r\n\n{\"c\":1}\nrest".as_bytes();
        let mut found = Vec::new();
        while let Some(line) = line(&mut source).await.unwrap() {
            found.push(String::from_utf8(line).unwrap());
        }
        assert_eq!(found, ["a\u{2028}b", "", "{\"c\":1}", "rest"]);
    }

    #[tokio::test]
    async fn a_line_without_end_is_an_error() {
        let mut source = BufReader::new(tokio::io::repeat(b'x'));
        assert!(line(&mut source).await.is_err());
    }
}
