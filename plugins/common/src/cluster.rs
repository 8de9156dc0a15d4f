//! kubectl's own flags, and the client that they and the kubeconfig make.

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;
use http::header::USER_AGENT;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Config};

use crate::api_error::During as _;
use crate::error::{Error, Result};

const HEADING: &str = "Global options";

/// kubectl's own flags. They may stand anywhere after the verb, and the dispatcher takes them before it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct KubeArgs {
    /// Path of the kubeconfig
    #[arg(long, global = true, value_name = "FILE", help_heading = HEADING)]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME", help_heading = HEADING)]
    pub context: Option<String>,
    /// Cluster of the kubeconfig
    #[arg(long, global = true, value_name = "NAME", help_heading = HEADING)]
    pub cluster: Option<String>,
    /// User of the kubeconfig
    #[arg(long, global = true, value_name = "NAME", help_heading = HEADING)]
    pub user: Option<String>,
    /// Namespace; the context's when absent
    #[arg(short, long, global = true, value_name = "NAME", help_heading = HEADING)]
    pub namespace: Option<String>,
    /// All namespaces, where something is listed
    #[arg(short = 'A', long, global = true, help_heading = HEADING)]
    pub all_namespaces: bool,
    /// User to act as
    #[arg(long = "as", global = true, value_name = "USER", help_heading = HEADING)]
    pub as_user: Option<String>,
    /// Group to act as; may be given several times
    #[arg(long = "as-group", global = true, value_name = "GROUP", requires = "as_user", help_heading = HEADING)]
    pub as_group: Vec<String>,
    /// How long to wait for one answer, such as 30s; 0 waits for ever
    #[arg(long, global = true, value_name = "DURATION", value_parser = request_timeout, help_heading = HEADING)]
    pub request_timeout: Option<Timeout>,
    /// Do not check the cluster's certificate
    #[arg(long, global = true, help_heading = HEADING)]
    pub insecure_skip_tls_verify: bool,
}

/// How long to wait for one answer; `None` is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout(pub Option<Duration>);

/// kubectl takes whole seconds without a unit, and 0 for "for ever".
fn request_timeout(text: &str) -> Result<Timeout, String> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(Timeout(
            (seconds > 0).then(|| Duration::from_secs(seconds.into())),
        ));
    }
    crate::age::parse(text).map(|duration| Timeout(Some(duration)))
}

/// A cluster as this caller reaches it.
#[derive(Clone)]
pub struct Cluster {
    /// The client.
    pub client: Client,
    /// The namespace of `-n`, else of the context, else `default`.
    pub namespace: String,
    /// `-A` was given.
    pub all_namespaces: bool,
    /// Name of the context, or `in-cluster`.
    pub context: String,
    /// Where the API server is.
    pub url: String,
    /// `--as`, for hints.
    pub acting_as: Option<String>,
}

impl KubeArgs {
    /// Makes the client. Nothing is sent yet.
    pub async fn connect(&self) -> Result<Cluster> {
        let (mut config, context) = self.config().await?;
        if let Some(Timeout(timeout)) = self.request_timeout {
            config.read_timeout = timeout;
            config.connect_timeout = timeout.or(config.connect_timeout);
        }
        if let Some(user) = &self.as_user {
            config.auth_info.impersonate = Some(user.clone());
            config.auth_info.impersonate_groups =
                (!self.as_group.is_empty()).then(|| self.as_group.clone());
        }
        // kube would repeat a 503 for minutes, and a call through the service proxy may have run: a person decides.
        config.default_retry = false;
        config.accept_invalid_certs |= self.insecure_skip_tls_verify;
        let agent = concat!("kubectl-mcp/", env!("CARGO_PKG_VERSION"));
        config
            .headers
            .push((USER_AGENT, HeaderValue::from_static(agent)));
        let namespace = self
            .namespace
            .clone()
            .unwrap_or_else(|| config.default_namespace.clone());
        let url = config.cluster_url.to_string();
        let client = Client::try_from(config).map_err(|error| Error::Kubeconfig {
            message: error.to_string(),
            hint: None,
        })?;
        let all_namespaces = self.all_namespaces;
        Ok(Cluster {
            client,
            namespace,
            all_namespaces,
            context,
            url,
            acting_as: self.as_user.clone(),
        })
    }

    /// The configuration and the name of its context.
    async fn config(&self) -> Result<(Config, String)> {
        let file = match &self.kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        let file = match file {
            Ok(file) => file,
            Err(error) => return self.in_cluster(&error),
        };
        let context = self
            .context
            .clone()
            .or_else(|| file.current_context.clone())
            .unwrap_or_default();
        let options = KubeConfigOptions {
            context: self.context.clone(),
            cluster: self.cluster.clone(),
            user: self.user.clone(),
        };
        let config = Config::from_custom_kubeconfig(file, &options)
            .await
            .map_err(|error| Error::Kubeconfig {
                message: error.to_string(),
                hint: Some("kubectl config get-contexts".to_owned()),
            })?;
        Ok((config, context))
    }

    /// The configuration of a pod, when there is no kubeconfig and none was named; else what was wrong with the file.
    fn in_cluster(&self, error: &kube::config::KubeconfigError) -> Result<(Config, String)> {
        if self.kubeconfig.is_none()
            && std::env::var_os("KUBECONFIG").is_none()
            && let Ok(config) = Config::incluster()
        {
            return Ok((config, "in-cluster".to_owned()));
        }
        Err(Error::Kubeconfig {
            message: error.to_string(),
            hint: Some("kubectl config view    (name another file with --kubeconfig)".to_owned()),
        })
    }
}

impl Cluster {
    /// Objects of one kind in the caller's namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Objects of one kind where a list is asked for: everywhere with `-A`.
    pub fn list_api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        if self.all_namespaces {
            Api::all(self.client.clone())
        } else {
            self.api()
        }
    }

    /// Who the API server says the caller is.
    pub async fn whoami(&self) -> Result<WhoAmI> {
        let api: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let review = api
            .create(&PostParams::default(), &SelfSubjectReview::default())
            .await
            .during("cannot ask the cluster who you are")?;
        let user = review
            .status
            .and_then(|status| status.user_info)
            .unwrap_or_default();
        match user.username {
            Some(username) if !username.is_empty() => Ok(WhoAmI {
                username,
                groups: user.groups.unwrap_or_default(),
            }),
            _ => Err(Error::failed("the cluster did not say who you are")
                .with_hint("kubectl auth whoami")),
        }
    }

    /// ` -n team-a`, and the context when it was named: what makes a hint work when it is copied.
    pub fn flags(&self) -> String {
        format!(" -n {}", self.namespace)
    }
}

/// Who the API server says the caller is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WhoAmI {
    /// The user name.
    pub username: String,
    /// The groups.
    pub groups: Vec<String>,
}

impl WhoAmI {
    /// Namespace and name, when the caller is a service account.
    pub fn service_account(&self) -> Option<(&str, &str)> {
        self.username
            .strip_prefix("system:serviceaccount:")?
            .split_once(':')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        kube: KubeArgs,
    }

    fn parse(line: &str) -> Result<KubeArgs, String> {
        use clap::Parser as _;
        Cli::try_parse_from(line.split_whitespace())
            .map(|cli| cli.kube)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn kubectls_flags_are_taken() {
        let args = parse(
            "x -n team-a -A --context c --as bob --as-group a --as-group b --request-timeout 5s",
        )
        .unwrap();
        assert_eq!(args.namespace.as_deref(), Some("team-a"));
        assert!(args.all_namespaces);
        assert_eq!(args.as_group, ["a", "b"]);
        assert_eq!(
            args.request_timeout,
            Some(Timeout(Some(Duration::from_secs(5))))
        );
        assert_eq!(
            parse("x --request-timeout 0").unwrap().request_timeout,
            Some(Timeout(None))
        );
        assert!(parse("x --request-timeout soon").is_err());
        assert!(parse("x --as-group a").unwrap_err().contains("--as"));
    }

    #[tokio::test]
    async fn a_kubeconfig_that_is_not_there_is_named() {
        let args = KubeArgs {
            kubeconfig: Some("/does/not/exist".into()),
            ..KubeArgs::default()
        };
        let error = args
            .connect()
            .await
            .err()
            .map(|error| error.render())
            .unwrap_or_default();
        assert!(
            error.contains("/does/not/exist") && error.contains("hint:"),
            "{error}"
        );
    }

    #[test]
    fn a_service_account_is_known_by_its_user_name() {
        let who = WhoAmI {
            username: "system:serviceaccount:ci:bot".to_owned(),
            groups: vec![],
        };
        assert_eq!(who.service_account(), Some(("ci", "bot")));
        assert_eq!(
            WhoAmI {
                username: "alice".to_owned(),
                groups: vec![]
            }
            .service_account(),
            None
        );
    }
}
