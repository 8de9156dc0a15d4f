//! The flags of `mcp-webhook`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use daemon::log::LogArgs;

use crate::certificates::authority;

/// The admission server of the group kubectl-mcp.dev: defaults and judges MCPServers, grants, sessions and policies.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "mcp-webhook", version)]
pub struct Args {
    /// Where to serve /mutate and /validate over HTTPS.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8443")]
    pub listen: SocketAddr,
    /// Where to serve /livez, /readyz and /metrics over plain HTTP.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:9090")]
    pub admin: SocketAddr,
    /// Namespace of the webhook: its Service, its CA Secret and its lease.
    #[arg(long, env = "POD_NAMESPACE", default_value = api::names::SYSTEM_NAMESPACE)]
    pub namespace: String,
    /// Service under which the API server calls the webhook.
    #[arg(long, default_value = api::names::WEBHOOK_NAME)]
    pub service: String,
    /// URL under which the API server calls the webhook, when it is not behind a Service. The certificate is then for
    /// the host of this URL.
    #[arg(long, value_name = "URL", conflicts_with_all = ["service", "cert_dir"], value_parser = url_host)]
    pub url: Option<UrlHost>,
    /// Directory with a provided tls.crt and tls.key, read again every 10 s. The webhook then makes no CA, and whoever
    /// provides the certificate writes caBundle.
    #[arg(long, value_name = "DIRECTORY")]
    pub cert_dir: Option<PathBuf>,
    /// Name of this replica in the lease: the name of its pod.
    #[arg(long, env = "POD_NAME", default_value = "mcp-webhook")]
    pub identity: String,
    /// How long to serve on after SIGTERM, while endpoints still point here.
    #[arg(long, default_value = "15s", value_parser = duration)]
    pub drain: Duration,
    /// How many requests are judged at a time. More are answered 503 at once, instead of waiting into the API
    /// server's timeout.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65535))]
    pub concurrency: u32,
    /// How long a SubjectAccessReview may take. A question without an answer counts as refused.
    #[arg(long, default_value = "500ms", value_parser = duration)]
    pub sar_timeout: Duration,
    /// Logs.
    #[command(flatten)]
    pub log: LogArgs,
}

/// The host of `--url`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlHost(pub String);

impl Args {
    /// The names that the certificate must carry.
    pub fn names(&self) -> Vec<String> {
        match &self.url {
            Some(UrlHost(host)) => vec![host.clone()],
            None => authority::service_names(&self.service, &self.namespace),
        }
    }
}

fn duration(text: &str) -> Result<Duration, api::duration::Error> {
    api::duration::parse(text)
}

fn url_host(text: &str) -> Result<UrlHost, String> {
    let uri: axum::http::Uri = text
        .parse()
        .map_err(|error| format!("must be a URL: {error}"))?;
    if uri.scheme_str() != Some("https") {
        return Err("must begin with https://".to_owned());
    }
    let host = uri
        .host()
        .unwrap_or_default()
        .trim_start_matches('[')
        .trim_end_matches(']');
    if host.is_empty() {
        Err("must have a host".to_owned())
    } else {
        Ok(UrlHost(host.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn the_certificate_is_for_the_service_unless_a_url_is_given() {
        let args = Args::try_parse_from(["mcp-webhook", "--namespace", "ns"]).unwrap();
        assert!(args.names().contains(&"mcp-webhook.ns.svc".to_owned()));
        let args =
            Args::try_parse_from(["mcp-webhook", "--url", "https://127.0.0.1:9443"]).unwrap();
        assert_eq!(args.names(), ["127.0.0.1"]);
        let args =
            Args::try_parse_from(["mcp-webhook", "--url", "https://[::1]:9443/mutate"]).unwrap();
        assert_eq!(args.names(), ["::1"]);
    }

    #[test]
    fn a_url_without_https_and_a_drain_without_a_unit_are_refused() {
        assert!(Args::try_parse_from(["mcp-webhook", "--url", "http://127.0.0.1"]).is_err());
        assert!(Args::try_parse_from(["mcp-webhook", "--drain", "15"]).is_err());
    }
}
