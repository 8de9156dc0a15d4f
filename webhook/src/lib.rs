//! `mcp-webhook`, the admission server: fills in defaults and judges every MCPServer, grant, session and policy before
//! it is stored, by the same rules as `kubectl mcp lint`.
//!
//! [`server`] speaks HTTP, [`review`] the AdmissionReview, [`judge`] puts a request to the rules, [`answer`] words the
//! answer, [`cache`] and [`snapshot`] know the cluster, [`access`] asks about the requester, [`certificates`] keeps the
//! certificate. Nothing in the path of a request reads the network but [`access`].

pub mod access;
pub mod answer;
pub mod args;
pub mod cache;
pub mod certificates;
pub mod judge;
pub mod kept;
pub mod metrics;
pub mod review;
pub mod server;
mod slim;
pub mod snapshot;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwapOption;
use daemon::tls::Certificate;
use daemon::{Readiness, Shutdown, admin, tls};
use kube::Client;
use kube::api::Api;

pub use args::Args;

use access::Asker;
use certificates::announce::Announcer;
use certificates::rotation::Known;
use certificates::{Follower, publish, report_expiry};
use metrics::Metrics;
use server::{App, router};
use snapshot::Snapshot;

/// The snapshot that requests see; nothing before every cache was filled once. Clones share it.
pub type Published = Arc<ArcSwapOption<Snapshot>>;

/// How long connections may take to finish after the drain.
const GRACE: Duration = Duration::from_secs(10);
/// How long whoever reads the admin port may take after that.
const LAST_LOOK: Duration = Duration::from_secs(1);
/// Who we are to the API server.
const USER_AGENT: &str = concat!("mcp-webhook/", env!("CARGO_PKG_VERSION"));

/// Serves until the process is told to stop.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let mut config = kube::Config::infer()
        .await
        .context("cannot find a cluster: neither in it, nor by KUBECONFIG")?;
    config.headers.push((
        axum::http::header::USER_AGENT,
        axum::http::HeaderValue::from_static(USER_AGENT),
    ));
    let client = Client::try_from(config).context("cannot make a client for the cluster")?;

    let (readiness, metrics, certificate) = (
        Readiness::default(),
        Metrics::default(),
        Certificate::default(),
    );
    let shutdown =
        Shutdown::on_signals(readiness.clone(), args.drain).context("cannot listen for signals")?;
    let published = Published::default();

    // Before anything can be ready: a ready replica that refuses connections would cost calls.
    let listener = tls::bind(args.listen)?;
    let pages = admin::router(readiness.clone(), Arc::new(metrics.registry()));
    // Health and metrics end last: somebody may look while connections finish.
    let last = Shutdown::default();
    let mut admin = tokio::spawn(admin::serve(args.admin, pages, last.clone()));
    tokio::spawn(cache::run(
        client.clone(),
        Arc::clone(&published),
        metrics.clone(),
        readiness.clone(),
    ));
    let leader = keep_certificate(
        &args,
        &client,
        &certificate,
        &metrics,
        &readiness,
        &shutdown,
    );

    judge::warm_up();
    let asker = Asker::new(client, args.sar_timeout, metrics.clone());
    let app = App::new(
        published,
        asker,
        metrics,
        args.concurrency,
        shutdown.draining.clone(),
    );
    tracing::info!(listen = %args.listen, admin = %args.admin, "serving");
    let https = tls::serve(
        listener,
        router(Arc::new(app)),
        certificate,
        shutdown.clone(),
        GRACE,
    );
    tokio::select! {
        served = https => served?,
        ended = &mut admin => {
            ended.context("the admin server panicked")??;
            anyhow::bail!("the admin server ended by itself");
        }
    }
    if let Some(leader) = leader {
        // Lets go of the lease, so that another replica leads at once.
        tokio::time::timeout(GRACE, leader)
            .await
            .context("the lease could not be released")??;
    }
    last.stopped.cancel();
    // Whoever still reads the admin port then is cut off.
    if let Ok(ended) = tokio::time::timeout(LAST_LOOK, admin).await {
        ended.context("the admin server panicked")??;
    }
    Ok(())
}

/// Starts what keeps the certificate valid. The handle is of the task that competes for the lease.
fn keep_certificate(
    args: &Args,
    client: &Client,
    certificate: &Certificate,
    metrics: &Metrics,
    readiness: &Readiness,
    shutdown: &Shutdown,
) -> Option<tokio::task::JoinHandle<()>> {
    let announcer = Arc::new(Announcer::new(
        client.clone(),
        &args.namespace,
        &args.identity,
    ));
    if let Some(directory) = &args.cert_dir {
        tokio::spawn(tls::follow_directory(
            directory.clone(),
            certificate.clone(),
            readiness.clone(),
        ));
        tokio::spawn(report_expiry(
            certificate.clone(),
            metrics.clone(),
            announcer,
        ));
        return None;
    }
    let secrets = Api::namespaced(client.clone(), &args.namespace);
    let known = Known::default();
    let follower = Follower::new(
        args.names(),
        certificate.clone(),
        metrics.clone(),
        Arc::clone(&known),
    );
    let pending = readiness.register("certificate");
    tokio::spawn(follower.run(secrets, Arc::clone(&announcer), pending));
    let (namespace, identity) = (args.namespace.clone(), args.identity.clone());
    Some(tokio::spawn(publish::lead(
        client.clone(),
        namespace,
        identity,
        known,
        announcer,
        shutdown.clone(),
    )))
}
