//! The two programs beside the gateway, each a process of its own made from this binary: the server behind, and the bare
//! proxy that is the limit of what a gateway on hyper can cost. One thread each, as the gateway has.

use std::convert::Infallible;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpListener;

const TOOLS: &str = r#"{"tools":[{"name":"echo","description":"says what it is told","inputSchema":{"type":"object"}}]}"#;
const INITIALIZED: &str = r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"bench","version":"1"}}"#;
const CALLED: &str = r#"{"content":[{"type":"text","text":"42"}],"isError":false}"#;

type Reply = Response<BoxBody<Bytes, Infallible>>;

/// Runs on one thread until it is killed.
pub(crate) fn run<F: Future<Output = ()>>(program: impl FnOnce(TcpListener) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        // Whoever started this process reads the port from here.
        let mut out = std::io::stdout();
        writeln!(out, "{}", address.port()).expect("somebody reads");
        program(listener).await;
    });
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: &'a str,
}

/// The cheapest MCP server: any call gets 91 bytes of JSON, a GET a stream that says nothing.
pub(crate) async fn upstream(listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        stream.set_nodelay(true).expect("a TCP option");
        tokio::spawn(async move {
            let service =
                service_fn(|request| async { Ok::<_, Infallible>(answer(request).await) });
            // A connection that a caller ends early ends nothing else.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Reply {
    match *request.method() {
        Method::POST => {}
        Method::GET => return silent_stream(),
        _ => return plain(StatusCode::OK),
    }
    let Ok(body) = request.into_body().collect().await else {
        return plain(StatusCode::BAD_REQUEST);
    };
    let body = body.to_bytes();
    let Ok(Call {
        id: Some(id),
        method,
    }) = serde_json::from_slice(&body)
    else {
        return plain(StatusCode::ACCEPTED);
    };
    let result = match method {
        "tools/call" => CALLED,
        "tools/list" => TOOLS,
        "initialize" => INITIALIZED,
        _ => "{}",
    };
    let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
    let mut reply = Response::new(Full::new(Bytes::from(text)).boxed());
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if method == "initialize" {
        let id = HeaderValue::from_static("b0b5e55e-0000-4000-8000-000000000001");
        headers.insert("mcp-session-id", id);
    }
    reply
}

fn plain(status: StatusCode) -> Reply {
    let mut reply = Response::new(Full::default().boxed());
    *reply.status_mut() = status;
    reply
}

fn silent_stream() -> Reply {
    let first = futures::stream::iter([Ok(Frame::data(Bytes::from_static(b": open\n\n")))]);
    let stream = futures::StreamExt::chain(first, futures::stream::pending());
    let mut reply = Response::new(BodyExt::boxed(StreamBody::new(stream)));
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    reply
}

/// Passes everything through, and looks at nothing.
pub(crate) async fn bare(listener: TcpListener, upstream: u16) {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(connector);
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, upstream));
    let to: Uri = format!("http://{to}/mcp").parse().expect("a URL");
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        stream.set_nodelay(true).expect("a TCP option");
        let (client, to) = (client.clone(), to.clone());
        tokio::spawn(async move {
            let service = service_fn(move |mut request: Request<Incoming>| {
                *request.uri_mut() = to.clone();
                request.headers_mut().remove(HOST);
                client.request(request)
            });
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
