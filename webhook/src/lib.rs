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
pub mod metrics;
pub mod review;
pub mod server;
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
use certificates::{Follower, publish, report_expiry};
use metrics::Metrics;
use server::{App, router};
use snapshot::Snapshot;

/// The snapshot that requests see; nothing before every cache was filled once. Clones share it.
pub type Published = Arc<ArcSwapOption<Snapshot>>;

/// How long connections may take to finish after the drain.
const GRACE: Duration = Duration::from_secs(10);
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

    let pages = admin::router(readiness.clone(), Arc::new(metrics.registry()));
    let admin = tokio::spawn(admin::serve(args.admin, pages, shutdown.clone()));
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
        args.listen,
        router(Arc::new(app)),
        certificate,
        shutdown.clone(),
        GRACE,
    );
    tokio::select! {
        served = https => served?,
        ended = admin => ended.context("the admin server panicked")??,
    }
    if let Some(leader) = leader {
        // Lets go of the lease, so that another replica leads at once.
        tokio::time::timeout(GRACE, leader)
            .await
            .context("the lease could not be released")??;
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
    if let Some(directory) = &args.cert_dir {
        tokio::spawn(tls::follow_directory(
            directory.clone(),
            certificate.clone(),
            readiness.clone(),
        ));
        tokio::spawn(report_expiry(certificate.clone(), metrics.clone()));
        return None;
    }
    let secrets = Api::namespaced(client.clone(), &args.namespace);
    let follower = Follower::new(secrets, args.names(), certificate.clone(), metrics.clone());
    tokio::spawn(follower.run(readiness.register("certificate")));
    let (namespace, identity) = (args.namespace.clone(), args.identity.clone());
    Some(tokio::spawn(publish::lead(
        client.clone(),
        namespace,
        identity,
        shutdown.clone(),
    )))
}
