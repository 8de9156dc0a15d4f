//! The command lines of the three verbs, and what `setup`'s flags mean as options of an installation.

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use common::app::CommandLine;
use common::output::DryRun;
use common::printer::TerminalArgs;
use common::{Error, KubeArgs, Result};

use crate::install::{ImageFlags, LiveImages, Options, PolicyFlags};

/// Install kubectl-mcp into a cluster, upgrade or remove it
///
/// Without a subcommand it installs. It can be run again at any time: what is there and right stays as it is.
#[derive(Clone, Debug, Parser)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_precedence_over_arg = true
)]
pub struct SetupCli {
    /// What to do instead of installing
    #[command(subcommand)]
    pub command: Option<SetupCommand>,
    /// How to install
    #[command(flatten)]
    pub install: InstallArgs,
    /// Which cluster
    #[command(flatten)]
    pub kube: KubeArgs,
    /// How to speak
    #[command(flatten)]
    pub terminal: TerminalArgs,
}

/// What `setup` can do.
#[derive(Clone, Debug, Subcommand)]
pub enum SetupCommand {
    /// Install, which is also what setup does without a subcommand
    Install(Box<InstallArgs>),
    /// Bring an installation to the version of this plugin
    Upgrade(Box<InstallArgs>),
    /// Show what setup would change, and change nothing (exit code 1 if there is something)
    Diff(Box<InstallArgs>),
    /// Remove what setup installed; kinds, servers, grants and policies stay unless --purge
    Uninstall(UninstallArgs),
}

/// How to install.
#[derive(Clone, Debug, Args)]
pub struct InstallArgs {
    /// Host of servers that name none; it is allowed, too
    #[arg(long, value_name = "HOST")]
    pub default_host: Option<String>,
    /// Further host that servers may name; may be given several times, `*.example.com` is exactly one label
    #[arg(long, value_name = "HOST")]
    pub allow_host: Vec<String>,
    /// Registry that images may come from, with path if wanted; may be given several times
    #[arg(long, value_name = "REGISTRY")]
    pub allow_registry: Vec<String>,
    /// Ingress class of servers that name none
    #[arg(long, value_name = "NAME")]
    pub ingress_class: Option<String>,
    /// TLS Secret of servers that name none
    #[arg(long, value_name = "SECRET")]
    pub default_tls_secret: Option<String>,
    /// Servers must have a TLS Secret
    #[arg(long)]
    pub require_tls: bool,
    /// Registry with the images mcp-webhook, mcp-operator and mcp-gateway [default: the one in use, at first
    /// localhost/kubectl-mcp]
    #[arg(long, value_name = "REGISTRY")]
    pub image_registry: Option<String>,
    /// Image of the webhook
    #[arg(long, value_name = "IMAGE")]
    pub webhook_image: Option<String>,
    /// Image of the operator
    #[arg(long, value_name = "IMAGE")]
    pub operator_image: Option<String>,
    /// Image of the gateway in every server's pod
    #[arg(long, value_name = "IMAGE")]
    pub gateway_image: Option<String>,
    /// Replicas of the webhook and of the operator, of which one works [default: 2 and 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=20))]
    pub replicas: Option<u16>,
    /// Whether to only say what would be done
    #[arg(long, value_enum, default_value = "none", value_name = "MODE", num_args = 0..=1, require_equals = true,
        default_missing_value = "client")]
    pub dry_run: DryRun,
    /// With --dry-run=client: print the objects
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub output: Option<ManifestFormat>,
    /// Wait until the webhook really answers
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1,
        default_missing_value = "true", require_equals = true)]
    pub wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = common::age::parse)]
    pub timeout: Duration,
}

/// How a manifest is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ManifestFormat {
    /// A stream of YAML documents
    Yaml,
    /// A JSON List
    Json,
    /// One name per line
    Name,
}

/// How to remove an installation.
#[derive(Clone, Debug, Args)]
pub struct UninstallArgs {
    /// Also delete every server, grant, session and policy of the cluster, and their kinds
    #[arg(long)]
    pub purge: bool,
    /// Whether to only say what would be deleted
    #[arg(long, value_enum, default_value = "none", value_name = "MODE", num_args = 0..=1, require_equals = true,
        default_missing_value = "client")]
    pub dry_run: DryRun,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// How long to wait until it is gone
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = common::age::parse)]
    pub timeout: Duration,
}

/// Find out what is wrong, and what to type next
#[derive(Clone, Debug, Parser)]
pub struct CheckCli {
    /// How to print; short prints only what is not well
    #[arg(
        short,
        long,
        value_enum,
        default_value = "table",
        value_name = "FORMAT"
    )]
    pub output: CheckFormat,
    /// Look again until all is well, for at most that long
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "2m",
        value_parser = common::age::parse)]
    pub wait: Option<Duration>,
    /// Which cluster; -n is where a server is proposed to the webhook
    #[command(flatten)]
    pub kube: KubeArgs,
    /// How to speak
    #[command(flatten)]
    pub terminal: TerminalArgs,
}

/// How the checks are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// Every check, by category
    #[default]
    Table,
    /// Only what is not well
    Short,
    /// For programs
    Json,
}

/// Show the platform and its servers on one screen
#[derive(Clone, Debug, Parser)]
pub struct StatusCli {
    /// How to print
    #[arg(
        short,
        long,
        value_enum,
        default_value = "table",
        value_name = "FORMAT"
    )]
    pub output: StatusFormat,
    /// Show it again whenever something changed
    #[arg(short, long)]
    pub watch: bool,
    /// Which cluster, and whose servers: this namespace's, or all with -A
    #[command(flatten)]
    pub kube: KubeArgs,
    /// How to speak
    #[command(flatten)]
    pub terminal: TerminalArgs,
}

/// How the status is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum StatusFormat {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
}

impl CommandLine for SetupCli {
    fn terminal(&self) -> &TerminalArgs {
        &self.terminal
    }
}

impl CommandLine for CheckCli {
    fn terminal(&self) -> &TerminalArgs {
        &self.terminal
    }
}

impl CommandLine for StatusCli {
    fn terminal(&self) -> &TerminalArgs {
        &self.terminal
    }
}

impl InstallArgs {
    /// The options of the installation that these flags describe, where `live` are the images of the one that is there.
    pub fn options(&self, live: &LiveImages) -> Result<Options> {
        if self.output.is_some() && self.dry_run != DryRun::Client {
            return Err(Error::usage(
                "-o prints the objects that would be applied, so it needs --dry-run=client",
            ));
        }
        let flags = self.image_flags();
        flags.check().map_err(|error| {
            let example = if error.flag == "--image-registry" {
                "ghcr.io/acme"
            } else {
                "ghcr.io/acme/image:1.2.3"
            };
            Error::usage(error.to_string()).with_hint(format!("{} {example}", error.flag))
        })?;
        let policy = PolicyFlags {
            default_host: self.default_host.clone(),
            allow_hosts: self.allow_host.clone(),
            allow_registries: self.allow_registry.clone(),
            ingress_class: self.ingress_class.clone(),
            default_tls_secret: self.default_tls_secret.clone(),
            require_tls: self.require_tls,
        };
        check_policy_flags(&policy)?;
        let images = flags.resolve(live);
        Ok(Options {
            webhook_image: images.webhook,
            operator_image: images.operator,
            gateway_image: images.gateway,
            webhook_replicas: self.replicas,
            operator_replicas: self.replicas,
            policy,
        })
    }

    /// What these flags say about images.
    pub fn image_flags(&self) -> ImageFlags {
        ImageFlags {
            registry: self.image_registry.clone(),
            webhook: self.webhook_image.clone(),
            operator: self.operator_image.clone(),
            gateway: self.gateway_image.clone(),
        }
    }
}

/// The mistakes of MCP0903 that a flag invites: said here, before anything is installed.
fn check_policy_flags(flags: &PolicyFlags) -> Result<()> {
    for (flag, value) in flags
        .default_host
        .iter()
        .map(|host| ("--default-host", host))
        .chain(flags.allow_hosts.iter().map(|host| ("--allow-host", host)))
    {
        let labels = if flag == "--allow-host" {
            value.strip_prefix("*.").unwrap_or(value)
        } else {
            value
        };
        let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        if labels.is_empty() || !labels.chars().all(valid) || labels.split('.').any(str::is_empty) {
            return Err(Error::usage(format!(
                "{flag}: '{value}' must be a lower-case DNS name without scheme or port"
            ))
            .with_hint(format!("{flag} mcp.example.com")));
        }
    }
    for value in &flags.allow_registries {
        let bad = value.contains("://")
            || value.contains(['@', '*', ' '])
            || value.ends_with('/')
            || value.is_empty();
        if bad
            || value
                .chars()
                .any(|c| c.is_ascii_uppercase() || !c.is_ascii())
        {
            return Err(Error::usage(format!(
                "--allow-registry: '{value}' must be a host, with port and path if wanted, without scheme, tag, digest, \
                 wildcard or slash at the end"
            ))
            .with_hint("--allow-registry ghcr.io/acme"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(args: &str) -> Result<SetupCli, clap::Error> {
        SetupCli::try_parse_from(std::iter::once("setup").chain(args.split_whitespace()))
    }

    fn options(args: &str) -> Result<Options> {
        setup(args).unwrap().install.options(&LiveImages::default())
    }

    #[test]
    fn the_command_lines_are_consistent() {
        use clap::CommandFactory as _;
        SetupCli::command().debug_assert();
        CheckCli::command().debug_assert();
        StatusCli::command().debug_assert();
    }

    #[test]
    fn without_flags_the_images_are_those_of_a_development_build() {
        assert_eq!(options("").unwrap(), Options::default());
    }

    #[test]
    fn one_image_can_be_named_apart_from_the_others() {
        let options =
            options("--image-registry ghcr.io/acme/ --gateway-image localhost/gw:1").unwrap();
        assert_eq!(options.gateway_image, "localhost/gw:1");
        assert_eq!(
            options.webhook_image,
            format!("ghcr.io/acme/mcp-webhook:{}", crate::install::VERSION)
        );
    }

    #[test]
    fn lists_are_given_by_repeating_a_flag() {
        let policy = options(
            "--allow-host a.example --allow-host *.b.example --allow-registry localhost:5000/x",
        )
        .unwrap()
        .policy;
        assert_eq!(policy.allow_hosts, ["a.example", "*.b.example"]);
        assert_eq!(policy.allow_registries, ["localhost:5000/x"]);
    }

    #[test]
    fn a_flag_that_no_policy_could_hold_is_refused_before_anything_happens() {
        for args in [
            "--default-host https://a.example",
            "--default-host *.a.example",
            "--allow-host A.example",
            "--allow-host a..example",
            "--allow-host a.example:80",
            "--allow-registry https://ghcr.io",
            "--allow-registry ghcr.io/",
            "--allow-registry ghcr.io/*",
            "--image-registry https://ghcr.io/acme",
            "--gateway-image ghcr.io/Acme/gw",
        ] {
            assert!(matches!(options(args), Err(Error::Usage { .. })), "{args}");
        }
    }

    #[test]
    fn dry_run_alone_means_client_and_output_needs_it() {
        assert_eq!(setup("--dry-run").unwrap().install.dry_run, DryRun::Client);
        assert!(options("--dry-run=client -o yaml").is_ok());
        assert!(options("-o yaml").is_err());
    }

    #[test]
    fn waiting_can_be_turned_off() {
        assert!(setup("").unwrap().install.wait);
        assert!(!setup("--wait=false").unwrap().install.wait);
        assert_eq!(
            setup("--timeout 30s").unwrap().install.timeout,
            Duration::from_secs(30)
        );
    }

    #[test]
    fn subcommands_take_the_global_flags_after_them() {
        let cli = setup("uninstall --purge --context x").unwrap();
        assert_eq!(cli.kube.context.as_deref(), Some("x"));
        assert!(matches!(
            cli.command,
            Some(SetupCommand::Uninstall(UninstallArgs { purge: true, .. }))
        ));
        assert!(matches!(
            setup("upgrade --replicas 3").unwrap().command,
            Some(SetupCommand::Upgrade(_))
        ));
    }
}
