//! What the way to the server takes from mounted files: the CA that signs the server's certificate, and headers from
//! Secrets. Their content is in no argument, no log and no error.

use std::path::PathBuf;
use std::str::FromStr;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use rules::parse::name::is_own_header;

/// `NAME=FILE`: a header whose value is in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderFile {
    /// The header.
    pub name: HeaderName,
    /// The file.
    pub path: PathBuf,
}

/// Why a text is no [`HeaderFile`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Not of this form.
    #[error("must be NAME=FILE, such as Authorization=/etc/headers/authorization")]
    Form,
    /// A header of HTTP or MCP.
    #[error("must not be a header of HTTP or MCP itself")]
    Own,
}

impl FromStr for HeaderFile {
    type Err = HeaderError;

    fn from_str(text: &str) -> Result<Self, HeaderError> {
        let (name, path) = text.split_once('=').ok_or(HeaderError::Form)?;
        let name: HeaderName = name.parse().map_err(|_| HeaderError::Form)?;
        if path.is_empty() {
            return Err(HeaderError::Form);
        }
        if is_own_header(name.as_str()) {
            return Err(HeaderError::Own);
        }
        Ok(Self {
            name,
            path: path.into(),
        })
    }
}

/// Which files there are.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// Certificates of the authorities that may sign for the server, PEM. The system's when absent.
    pub ca: Option<PathBuf>,
    /// Headers that every request gets.
    pub headers: Vec<HeaderFile>,
}

/// What is in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) ca: Option<Vec<u8>>,
    pub(super) headers: HeaderMap,
}

/// Why files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Cannot be the value of a header.
    #[error(
        "the content of {} must be the value of the header {name}: one line of visible characters", path.display()
    )]
    Value {
        /// Which file.
        path: PathBuf,
        /// Of which header.
        name: HeaderName,
    },
}

impl Files {
    /// Whether there is nothing to read.
    pub(super) fn is_empty(&self) -> bool {
        self.ca.is_none() && self.headers.is_empty()
    }

    /// Reads all of them.
    pub(super) async fn read(&self) -> Result<Content, Error> {
        let mut content = Content::default();
        if let Some(path) = &self.ca {
            content.ca = Some(read(path).await?);
        }
        for HeaderFile { name, path } in &self.headers {
            let bytes = read(path).await?;
            // Whoever writes a Secret by hand ends its last line.
            let mut value = HeaderValue::from_bytes(bytes.trim_ascii_end())
                .ok()
                .filter(|value| !value.is_empty())
                .ok_or_else(|| Error::Value {
                    path: path.clone(),
                    name: name.clone(),
                })?;
            value.set_sensitive(true);
            content.headers.insert(name.clone(), value);
        }
        Ok(content)
    }
}

async fn read(path: &std::path::Path) -> Result<Vec<u8>, Error> {
    tokio::fs::read(path).await.map_err(|error| Error::Read {
        path: path.to_owned(),
        error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_named_with_its_file() {
        let header: HeaderFile = "Authorization=/etc/a=b".parse().unwrap();
        assert_eq!(
            (header.name.as_str(), header.path.to_str().unwrap()),
            ("authorization", "/etc/a=b")
        );
        for (text, error) in [
            ("Authorization", HeaderError::Form),
            ("Authorization=", HeaderError::Form),
            ("a b=/x", HeaderError::Form),
            ("=/x", HeaderError::Form),
            ("Host=/x", HeaderError::Own),
            ("Mcp-Session-Id=/x", HeaderError::Own),
            ("Content-Length=/x", HeaderError::Own),
        ] {
            assert_eq!(text.parse::<HeaderFile>(), Err(error), "{text}");
        }
    }

    #[tokio::test]
    async fn a_value_is_one_line_and_stays_out_of_logs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let files = Files {
            ca: None,
            headers: vec![HeaderFile {
                name: HeaderName::from_static("x-api-key"),
                path: path.clone(),
            }],
        };
        assert!(matches!(files.read().await, Err(Error::Read { .. })));
        std::fs::write(&path, "s3cret\n").unwrap();
        let content = files.read().await.unwrap();
        assert_eq!(content.headers["x-api-key"], "s3cret");
        assert!(!format!("{content:?}").contains("s3cret"));
        for text in ["", "\n", "s3cret\nX-Other: 1", "s3\u{0}cret"] {
            std::fs::write(&path, text).unwrap();
            let error = files.read().await.unwrap_err();
            assert!(matches!(error, Error::Value { .. }), "{text:?}");
            assert!(!format!("{error} {error:?}").contains("s3"), "{text:?}");
        }
    }
}
