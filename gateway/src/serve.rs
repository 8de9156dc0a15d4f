//! `mcp-gateway serve`: puts the parts together and runs them until a signal comes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use daemon::{Pending, Readiness, Shutdown};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::args::Serve;
use crate::audit::Audit;
use crate::bridge::stdio::Stdio;
use crate::bridge::{self, Bridge};
use crate::discovery::{self, Discovery};
use crate::handshake;
use crate::identity::Memory;
use crate::keys::{self, Keys};
use crate::limits::{self, Limits, shared::Shared};
use crate::metrics::Metrics;
use crate::peers::Peers;
use crate::pipeline::{self, Gateway};
use crate::policy::{Store, file, watch};
use crate::seal::Sealer;
use crate::sessions::{self, Sessions};
use crate::trace::Tracer;
use crate::upstream::{Address, Files, SetupError, Upstream};

/// Most connections at a time.
const CONNECTIONS: usize = 1024;
/// How many of the largest bodies may be under way at a time; of smaller ones as many as take the same room.
const BODIES: usize = 8;
/// How long a caller may take to send the head of a request.
const HEAD: Duration = Duration::from_secs(10);
/// Bytes that one connection buffers at most: also the bound of the head of a request.
const BUFFER: usize = 64 * 1024;
/// After how long the mounted file is good enough if the API has not answered.
const FILE_GRACE: Duration = Duration::from_secs(30);
/// How long calls that are under way may go on after the drain. With a drain of 5 s, well within the 30 s that
/// Kubernetes gives a pod.
const LAST: Duration = Duration::from_secs(20);

/// Serves until a signal comes.
///
/// # Errors
/// When an address is taken, the upstream is none, or the system gives no thread or no random numbers.
pub async fn run(args: Serve) -> anyhow::Result<()> {
    let readiness = Readiness::default();
    let handshake = readiness.register("handshake with the server");
    let bundle = readiness.register("access bundle");
    let upstream = upstream(&args).await?;
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        anyhow::anyhow!(
            "cannot listen on the address {} (--listen): {error}",
            args.listen
        )
    })?;
    let shutdown =
        Shutdown::on_signals(readiness.clone(), Duration::from_secs(args.drain_seconds))?;
    let (metrics, registry) = Metrics::new();
    let metrics = Arc::new(metrics);
    let store = Arc::new(Store::new(
        &args.namespace,
        &args.server,
        Arc::clone(&metrics),
    ));
    let (audit, outlets) = Audit::start(Arc::clone(&store), args.audit_key_file.clone(), &metrics)?;
    let (tracer, spans) = args
        .otlp_endpoint
        .as_ref()
        .map(|endpoint| Tracer::start(endpoint, &args.namespace, &args.server, &metrics))
        .unzip();
    follow_bundle(&args, &store, bundle).await?;

    let discovery = Arc::new(Discovery::new(Arc::clone(&metrics)));
    let routes = daemon::admin::router(readiness, Arc::new(registry)).merge(
        Router::new()
            .route("/inventory", get(show_inventory))
            .with_state((Arc::clone(&discovery), Arc::clone(&store))),
    );
    let admin = tokio::spawn(daemon::admin::serve(args.admin, routes, shutdown.clone()));
    tokio::spawn(handshake::run(
        upstream.clone(),
        Arc::clone(&discovery),
        Arc::clone(&store),
        move || drop(handshake),
    ));

    let limits = Limits::new(share(&args, &metrics)?, Arc::clone(&metrics));
    let own = args
        .pod_ip
        .map(|ip| SocketAddr::new(ip, args.listen.port()));
    let sealer = Arc::new(Sealer::new(own)?);
    // Read once before the first caller, so that no id of an earlier process is unknown.
    match Keys::read(&args.session_key) {
        Ok(Some(keys)) => sealer.take(keys),
        Ok(None) => tracing::info!(
            folder = %args.session_key.display(),
            "no key of the server yet: MCP sessions end with this process"
        ),
        Err(error) => tracing::warn!(%error, "MCP sessions end with this process"),
    }
    tokio::spawn(keys::follow(
        Arc::clone(&sealer),
        args.session_key.clone(),
        Duration::from_millis(args.bundle_poll_ms),
    ));
    let (sessions, ended) = Sessions::new();
    tokio::spawn(sessions::watch(Arc::clone(&sessions), Arc::clone(&store)));
    tokio::spawn(sessions::delete(upstream.clone(), ended));

    let gateway = Arc::new(Gateway {
        store,
        limits,
        upstream,
        sealer,
        sessions,
        peers: Peers::default(),
        shutdown: shutdown.clone(),
        memory: Memory::new(args.insecure_issuers),
        audit: Arc::new(audit),
        tracer,
        metrics,
        discovery,
        tasks: Arc::default(),
        largest_body: args.max_body as usize,
        bodies: Semaphore::new(BODIES * (args.max_body as usize / 1024 + 1)),
        namespace: args.namespace.into(),
        server: args.server.into(),
    });
    tracing::info!(listen = %listener.local_addr()?, admin = %args.admin, "serving");
    tokio::select! {
        () = accept(&listener, &gateway, &shutdown) => {}
        ended = admin => ended??,
    }
    drop(listener);
    wait_for_connections(gateway, &shutdown).await;
    // Lines of connections that were cut off are lost with their tasks; all others are written.
    let spans = async {
        if let Some(spans) = spans {
            spans.finish().await;
        }
    };
    tokio::join!(outlets.finish(), spans);
    Ok(())
}

/// Redis, if there is one.
fn share(args: &Serve, metrics: &Arc<Metrics>) -> anyhow::Result<Option<Arc<Shared>>> {
    let Some(address) = &args.redis else {
        return Ok(None);
    };
    let options = limits::shared::Options {
        address: address.clone(),
        password: args.redis_password_file.clone(),
        patience: Duration::from_millis(args.redis_timeout_ms),
    };
    Ok(Some(Shared::start(options, Arc::clone(metrics))?))
}

/// The way to the server.
async fn upstream(args: &Serve) -> Result<Upstream, SetupError> {
    if let Some(socket) = args.upstream.strip_prefix("stdio:") {
        let settings = bridge::Settings {
            scope: args.stdio_scope,
            most: usize::from(args.stdio_max_processes),
            idle: Duration::from_secs(args.stdio_idle_seconds),
        };
        let stdio = Arc::new(Stdio::new(socket.into()));
        return Ok(Upstream::bridged(Bridge::new(stdio, settings)));
    }
    let address = Address::parse(&args.upstream, &args.namespace)?;
    let files = Files {
        ca: args.upstream_ca.clone(),
        headers: args.upstream_headers.clone(),
    };
    Upstream::new(address, files).await
}

/// Starts the sources of the bundle. `pending` is done when a bundle is in force that may be trusted to be current.
async fn follow_bundle(args: &Serve, store: &Arc<Store>, pending: Pending) -> anyhow::Result<()> {
    let every = Duration::from_millis(args.bundle_poll_ms);
    let options = file::Options {
        directory: args.bundle.clone(),
        every,
        confirms: !args.watch,
    };
    let (read, mut first_read) = tokio::sync::watch::channel(false);
    if args.watch {
        let client = watch::client().await?;
        tokio::spawn(watch::follow(Arc::clone(store), client, move || {
            read.send_replace(true);
        }));
    } else {
        read.send_replace(true);
        tokio::spawn(async move {
            let _read = read;
            std::future::pending::<()>().await;
        });
    }
    let store = Arc::clone(store);
    tokio::spawn(async move {
        // A file from before a restart may not know of a revocation, so the API is asked first.
        let late = tokio::time::timeout(FILE_GRACE, first_read.wait_for(|read| *read))
            .await
            .is_err();
        if late {
            tracing::warn!(
                "the API did not answer within {FILE_GRACE:?}: using the mounted access bundle"
            );
        }
        let mut changes = store.changes();
        let following = tokio::spawn(file::follow(Arc::clone(&store), options));
        while store.view().is_none() && changes.changed().await.is_ok() {}
        drop(pending);
        if let Err(error) = following.await {
            tracing::error!(%error, "the access bundle's file is not followed any more");
        }
    });
    Ok(())
}

async fn show_inventory(
    State((discovery, store)): State<(Arc<Discovery>, Arc<Store>)>,
) -> Response {
    let Some(found) = discovery.inventory() else {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "no handshake with the server yet\n",
        )
            .into_response();
    };
    let view = store.view();
    let document = discovery::document(&found, view.as_ref().map(|view| &view.bundle));
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, document.to_string()).into_response()
}

/// Takes connections until the drain is over.
async fn accept(listener: &TcpListener, gateway: &Arc<Gateway>, shutdown: &Shutdown) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let slot = tokio::select! {
            slot = Arc::clone(&slots).acquire_owned() => slot,
            () = shutdown.stopped.cancelled() => return,
        };
        let Ok(slot) = slot else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.stopped.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (gateway, shutdown) = (Arc::clone(gateway), shutdown.clone());
                tokio::spawn(async move {
                    connection(stream, peer, gateway, shutdown).await;
                    drop(slot);
                });
            }
            Err(error) => {
                // Out of descriptors, usually: give connections time to end.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    gateway: Arc<Gateway>,
    shutdown: Shutdown,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "no TCP_NODELAY");
    }
    let service = service_fn(move |request| {
        let gateway = Arc::clone(&gateway);
        async move { Ok::<_, Infallible>(pipeline::handle(gateway, request, peer.ip()).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(BUFFER);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = shutdown.stopped.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                result = connection.as_mut() => result,
                () = tokio::time::sleep(LAST) => return,
                () = shutdown.hurried.cancelled() => return,
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%peer, %error, "a connection ended");
    }
}

/// Waits until every connection is done, or the last grace is over.
async fn wait_for_connections(gateway: Arc<Gateway>, shutdown: &Shutdown) {
    let until = tokio::time::Instant::now() + LAST + Duration::from_millis(200);
    let waits = || !shutdown.hurried.is_cancelled() && tokio::time::Instant::now() < until;
    while Arc::strong_count(&gateway) > 1 && waits() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
