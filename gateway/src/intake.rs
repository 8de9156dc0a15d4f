//! The body of a request on its way in: its type, its size, and the time and room that it may take. Used by
//! [`pipeline`](crate::pipeline) for a caller that is already known; what the bytes say is not read here.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use access::Reason;
use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderMap};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::SemaphorePermit;

use crate::answer::Answer;
use crate::exchange::{Step, refuse};
use crate::headers;
use crate::pipeline::Gateway;

/// How long a caller may take to send its body.
const BODY: Duration = Duration::from_secs(30);

/// The body of a request.
pub(crate) enum RequestBody {
    /// From the network, as it comes.
    Network(Incoming),
    /// From another gateway, which has read it.
    Whole(Bytes),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut *self {
            Self::Network(incoming) => Pin::new(incoming).poll_frame(context),
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Network(incoming) => incoming.is_end_stream(),
            Self::Whole(bytes) => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Network(incoming) => incoming.size_hint(),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}

/// Refuses what is not plain JSON by its headers: another type, charset or coding.
pub(crate) fn check_type(headers: &HeaderMap) -> Step<()> {
    let unsupported = |message| {
        refuse(Answer {
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ..Answer::bad_request(message)
        })
    };
    let chunked = headers::single(headers, &header::TRANSFER_ENCODING)
        .is_ok_and(|coding| coding.is_none_or(|coding| coding.eq_ignore_ascii_case("chunked")));
    if !chunked {
        return refuse(Answer::bad_request(
            "Transfer-Encoding must be chunked and nothing else",
        ));
    }
    if headers::media_type(headers).as_deref() != Some("application/json") {
        return unsupported("Content-Type must be application/json");
    }
    // Node's servers would read the same bytes as UTF-7, in which a string can hide a quote.
    if !headers::is_utf8(headers) {
        return unsupported("the charset of Content-Type must be utf-8");
    }
    match headers::single(headers, &header::CONTENT_ENCODING) {
        Ok(None | Some("identity")) => Ok(()),
        Ok(Some(_)) | Err(headers::NotOne) => unsupported("the body must not be compressed"),
    }
}

/// The whole body, if it has at most `most` bytes and comes soon enough; and its room, to be held until it is forwarded.
pub(crate) async fn collect(
    incoming: RequestBody,
    gateway: &Gateway,
    most: usize,
) -> Step<(Bytes, SemaphorePermit<'_>)> {
    let too_large = || {
        let message = format!("the body must not be larger than {most} bytes");
        refuse(Answer {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            ..Answer::bad_request(message)
        })
    };
    let size = incoming.size_hint();
    if size.lower() > most as u64 {
        discard(incoming, 4 * most).await;
        return too_large();
    }
    let expected = size
        .exact()
        .and_then(|size| usize::try_from(size).ok())
        .unwrap_or(most);
    let Ok(mut room) = gateway.bodies.try_acquire_many(kib(expected)) else {
        return refuse(Answer::unavailable(
            Reason::ServerBusy,
            "too many messages are under way: try again",
        ));
    };
    match tokio::time::timeout(BODY, Limited::new(incoming, most).collect()).await {
        Ok(Ok(collected)) => {
            let body = collected.to_bytes();
            // Room that was kept for a body of unknown size goes back.
            drop(room.split((kib(expected) - kib(body.len())) as usize));
            Ok((body, room))
        }
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => too_large(),
        Ok(Err(_)) => refuse(Answer::bad_request("the body ended early")),
        Err(_) => refuse(Answer {
            status: StatusCode::REQUEST_TIMEOUT,
            ..Answer::bad_request(format!("the body must come within {} s", BODY.as_secs()))
        }),
    }
}

/// Reads a body that is not wanted, up to a bound: a caller who is still sending when the connection closes would not
/// see the answer.
async fn discard(mut incoming: RequestBody, most: usize) {
    let reading = async {
        let mut read = 0;
        while let Some(Ok(frame)) = incoming.frame().await {
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > most {
                return;
            }
        }
    };
    if tokio::time::timeout(BODY, reading).await.is_err() {
        tracing::debug!("a body that was too large did not end in time");
    }
}

/// KiB begun, at least one.
fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX)
}
