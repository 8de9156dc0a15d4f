//! The server's origin over HTTP: one client with kept connections, and the headers that the gateway adds. Redirects are
//! not followed: they are answers.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response, Uri};

use super::address::Address;
use super::connector::{self, Error as TlsError};
use super::files::{Content, Files};
use super::{ANSWER, Error, SetupError, UpstreamBody};

/// How often the mounted files are read again. The kubelet brings a changed Secret within a minute or two.
const REREAD: Duration = Duration::from_secs(10);

/// A server at one address, which no caller can change.
#[derive(Clone, Debug)]
pub struct Http {
    address: Arc<Address>,
    link: Arc<ArcSwap<Link>>,
}

/// What of the way changes with the mounted files.
#[derive(Debug)]
struct Link {
    client: connector::Client,
    headers: HeaderMap,
}

impl Link {
    fn new(address: &Address, content: Content) -> Result<Self, TlsError> {
        Ok(Self {
            client: connector::client(address, content.ca.as_deref())?,
            headers: content.headers,
        })
    }
}

impl Http {
    /// The server at this address. With `files`, they are read now, and again for ever: the task ends with the process.
    ///
    /// # Errors
    /// When a file cannot be read or used, or the system has no certificates of authorities.
    pub async fn new(address: Address, files: Files) -> Result<Self, SetupError> {
        let content = files.read().await?;
        let http = Self {
            link: Arc::new(ArcSwap::from_pointee(Link::new(&address, content.clone())?)),
            address: Arc::new(address),
        };
        if !files.is_empty() {
            tokio::spawn(http.clone().follow(files, content));
        }
        Ok(http)
    }

    /// Where the server is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Puts in force what changes in the files. What cannot be used is logged once, and the last good stays.
    async fn follow(self, files: Files, mut last: Content) {
        let mut said = false;
        loop {
            tokio::time::sleep(REREAD).await;
            let link = match files.read().await {
                Ok(content) if content == last => {
                    said = false;
                    continue;
                }
                Ok(content) => {
                    let link = Link::new(&self.address, content.clone());
                    link.map(|link| (link, content)).map_err(SetupError::from)
                }
                Err(error) => Err(error.into()),
            };
            match link {
                Ok((link, content)) => {
                    tracing::info!("the credentials for the server changed");
                    self.link.store(Arc::new(link));
                    (last, said) = (content, false);
                }
                Err(error) if !std::mem::replace(&mut said, true) => {
                    tracing::warn!(%error, "the last good credentials for the server stay in force");
                }
                Err(_) => {}
            }
        }
    }

    /// Sends one request; its answer may be a stream that goes on.
    pub async fn send(
        &self,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<UpstreamBody>, Error> {
        self.request(method, self.address.uri.clone(), headers, body)
            .await
    }

    /// The same to another path of the same origin.
    pub async fn send_to(
        &self,
        path: PathAndQuery,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<UpstreamBody>, Error> {
        let mut parts = self.address.uri.clone().into_parts();
        parts.path_and_query = Some(path);
        let uri = Uri::from_parts(parts).map_err(http::Error::from)?;
        self.request(method, uri, headers, body).await
    }

    async fn request(
        &self,
        method: Method,
        uri: Uri,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<UpstreamBody>, Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .body(body.into())?;
        let answer = {
            let link = self.link.load();
            for (name, value) in &link.headers {
                headers.insert(name.clone(), value.clone());
            }
            *request.headers_mut() = headers;
            link.client.request(request)
        };
        match tokio::time::timeout(ANSWER, answer).await {
            Err(_) => Err(Error::Timeout),
            Ok(Err(error)) if error.is_connect() => Err(Error::Connect(error)),
            Ok(Err(error)) => Err(Error::Broken(error)),
            Ok(Ok(response)) => Ok(response.map(UpstreamBody::Http)),
        }
    }
}
