//! The operator: turns what was admitted into Deployments, Services, Ingresses and access bundles, and says in the
//! status of each object how far it came.
//!
//! One folder per reconciled kind. Reading and writing the cluster happens at the edges (`watch`, `apply`, the
//! `status` modules); what is built from a spec is a pure function of it.

pub mod apply;
pub mod backoff;
pub mod context;
pub mod follow;
pub mod grant;
pub mod inventory;
pub mod metrics;
pub mod policy;
pub mod reconcile;
pub mod server;
pub mod session;
pub mod watch;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use daemon::log::LogArgs;
use daemon::{Readiness, Shutdown};
use prometheus_client::registry::Registry;

use crate::context::{Context, IngressReadiness, Settings};
use crate::metrics::Metrics;
use crate::watch::Caches;

/// Flags of `mcp-operator`.
#[derive(Clone, Debug, clap::Parser)]
#[command(
    version,
    about = "Turns MCPServers into Deployments, Services, Ingresses and access bundles"
)]
pub struct Args {
    /// Address of health and metrics.
    #[arg(long, default_value = "0.0.0.0:9090")]
    pub admin: SocketAddr,
    /// Namespace of the operator, for its lease.
    #[arg(long, env = "POD_NAMESPACE", default_value = api::names::SYSTEM_NAMESPACE)]
    pub namespace: String,
    /// Name of this process among its replicas.
    #[arg(long, env = "POD_NAME", default_value = "mcp-operator")]
    pub identity: String,
    /// Image of the gateway in every server's pod; an `MCPPolicy` may name another.
    #[arg(long, env = "GATEWAY_IMAGE")]
    pub gateway_image: String,
    /// Collector of the gateways' traces (OTLP over HTTP): its base URL, such as
    /// `http://collector.obs.svc:4318`.
    #[arg(long, env = "GATEWAY_OTLP_ENDPOINT")]
    pub gateway_otlp_endpoint: Option<String>,
    /// What makes an Ingress ready: an address of the load balancer, or that it has rules.
    #[arg(long, default_value = "strict", value_enum)]
    pub ingress_readiness: IngressReadiness,
    /// Reconciles at a time, of each kind.
    #[arg(long, default_value_t = 8)]
    pub workers: u16,
    /// Logs.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Runs the operator until a signal ends it.
///
/// # Errors
/// When it cannot start, or lost its lease: a new process then begins with a clean memory.
pub fn start(args: Args) -> anyhow::Result<()> {
    daemon::log::init(&args.log)?;
    daemon::install_crypto()?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(run(args))
}

async fn run(args: Args) -> anyhow::Result<()> {
    let readiness = Readiness::default();
    let shutdown = Shutdown::on_signals(readiness.clone(), Duration::ZERO)
        .context("cannot listen for signals")?;
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let admin = daemon::admin::router(readiness.clone(), Arc::new(registry));
    let admin = tokio::spawn(daemon::admin::serve(args.admin, admin, shutdown.clone()));

    let client = kube::Client::try_default()
        .await
        .context("cannot find the API server: neither a pod nor a kubeconfig")?;
    let (caches, triggers) = Caches::start(&client, &readiness, &metrics);
    let lease = daemon::lease::Candidate::new(
        client.clone(),
        &args.namespace,
        api::names::OPERATOR_NAME,
        &args.identity,
    );
    let Some(held) = lease.acquire(shutdown.draining.clone()).await else {
        return Ok(());
    };

    let settings = Settings {
        system_namespace: args.namespace,
        gateway_image: args.gateway_image,
        otlp_endpoint: args.gateway_otlp_endpoint,
        ingress_readiness: args.ingress_readiness,
        workers: args.workers,
    };
    let context = Arc::new(Context::new(client, caches, settings, metrics));
    tokio::select! {
        () = controllers(context, triggers) => anyhow::bail!("a controller ended by itself"),
        () = shutdown.stopped.cancelled() => {
            held.lost.cancelled().await;
            Ok(())
        }
        () = held.lost.cancelled() => {
            anyhow::ensure!(shutdown.draining.is_cancelled(), "the lease was lost");
            Ok(())
        }
        ended = admin => ended.context("the admin server broke off")?.context("the admin server ended"),
    }
}

async fn controllers(context: Arc<Context>, triggers: watch::Triggers) {
    context.caches.wait_until_ready().await;
    tokio::join!(
        server::run(Arc::clone(&context), triggers.servers),
        grant::run(Arc::clone(&context), triggers.grants),
        session::run(Arc::clone(&context), triggers.sessions),
        policy::run(context, triggers.policies, triggers.recount),
    );
}
