//! `session create`: a random token, of which the cluster gets the hash and a file of the caller the rest.

use std::time::Duration;

use api::{MCPAgentSession, MCPAgentSessionSpec, ServerRef, Subject, Trust, names as api_names};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::api_error::During as _;
use common::cluster::Cluster;
use common::output::{DryRun, DryRunArgs, OutputArgs, print_change};
use common::tokens::{StoredToken, TokenStore};
use common::{Error, Exit, Printer, Result, age};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};

use crate::grant::trust;
use crate::{names, subject};

/// Arguments of `create`.
#[derive(clap::Args)]
pub(crate) struct CreateArgs {
    /// Name of the session; made up when absent
    name: Option<String>,
    /// The server
    #[arg(long, short)]
    server: String,
    /// When the session ends, such as 15m
    #[arg(long = "for", value_name = "DURATION", value_parser = age::parse, default_value = "8h")]
    lifetime: Duration,
    /// The highest trust that you consent to
    #[arg(long, value_parser = trust, default_value = "low")]
    trust: Trust,
    /// Name of the agent that acts for you, self-declared
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Make a session for somebody else, which needs the verb `impersonate`; its token is only shown, never stored
    #[arg(long, value_parser = subject::parse, requires = "show_token")]
    subject: Option<Subject>,
    /// Print the token
    #[arg(long)]
    show_token: bool,
    #[command(flatten)]
    dry_run: DryRunArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// `session create`.
pub(crate) async fn create(
    cluster: &Cluster,
    args: CreateArgs,
    printer: &mut Printer,
) -> Result<Exit> {
    let own = args.subject.is_none();
    let mut subject = match args.subject {
        Some(subject) => subject,
        None => subject::of_caller(&cluster.whoami().await?),
    };
    if args.agent.is_some() {
        subject.agent_id = args.agent;
    }
    let name = match args.name {
        Some(name) => name,
        None => names::generate(&args.server, &subject.to_string())?,
    };
    let expires_at = age::deadline(Timestamp::now(), args.lifetime)?;
    let token = new_token()?;
    let session = MCPAgentSession {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(cluster.namespace.clone()),
            ..ObjectMeta::default()
        },
        spec: MCPAgentSessionSpec {
            server_ref: ServerRef {
                name: args.server.clone(),
            },
            subject,
            consented_trust: args.trust,
            expires_at: Time(expires_at),
            revoked: false,
            token_hash: access::token_hash(&token),
            upstream_token_secret_ref: None,
        },
        status: None,
    };
    let dry_run = args.dry_run.dry_run;
    if dry_run == DryRun::Client {
        print_change(printer, args.output.output, &session, "created", dry_run)?;
        return Ok(Exit::Ok);
    }
    // Before the session exists: a token that cannot be kept is no use.
    let store = if own {
        Some(TokenStore::open(cluster)?)
    } else {
        None
    };
    let params = PostParams {
        dry_run: dry_run == DryRun::Server,
        field_manager: Some(api_names::PLUGIN.to_owned()),
    };
    let api = cluster.api::<MCPAgentSession>();
    let created = api
        .create(&params, &session)
        .await
        .during(format!("cannot create session '{name}'"))?;
    if let Some(store) = store.filter(|_| dry_run == DryRun::None) {
        let stored = StoredToken {
            session: created.name_any(),
            expires_at,
            token: token.clone(),
        };
        // A file that cannot be read names no session that could still be used from here.
        let before = store.read(&cluster.namespace, &args.server).ok().flatten();
        match store.write(&cluster.namespace, &args.server, &stored) {
            Ok(path) => printer.note(format_args!("The token is in {}", path.display())),
            Err(error) => return Err(undo(&api, &name, error).await),
        }
        if let Some(before) = before
            && let Some(until) = still_active(&api, &before).await
        {
            printer.note(format_args!(
                "note: session {0} is still active until {until}; end it with: kubectl mcp session revoke {0}{1}",
                before.session,
                cluster.flags()
            ));
        }
    }
    print_change(printer, args.output.output, &created, "created", dry_run)?;
    if args.show_token && dry_run == DryRun::None {
        printer.line(&token);
    }
    Ok(Exit::Ok)
}

/// When the session of an earlier token ends; `None` when it has ended. A session that may not be looked at ends when
/// its file says.
async fn still_active(api: &kube::Api<MCPAgentSession>, before: &StoredToken) -> Option<Timestamp> {
    let until = match api.get_opt(&before.session).await {
        Ok(Some(session)) if session.spec.revoked => return None,
        Ok(Some(session)) => session.spec.expires_at.0,
        Ok(None) => return None,
        Err(_) => before.expires_at,
    };
    (until > Timestamp::now()).then_some(until)
}

/// Ends a session whose token could not be kept, so that nothing is left that nobody can use.
async fn undo(api: &kube::Api<MCPAgentSession>, name: &str, error: Error) -> Error {
    let patch = Patch::Merge(serde_json::json!({"spec": {"revoked": true}}));
    match api.patch(name, &PatchParams::default(), &patch).await {
        Ok(_) => error,
        Err(_) => Error::failed(format!(
            "{error}; session '{name}' was made and could not be revoked"
        ))
        .with_hint(format!("kubectl mcp session revoke {name}")),
    }
}

/// 256 random bits, behind a prefix that secret scanners know.
fn new_token() -> Result<String> {
    let mut random = [0; 32];
    getrandom::fill(&mut random)
        .map_err(|error| Error::failed(format!("the system gives no random bytes: {error}")))?;
    Ok(format!(
        "{}{}",
        api_names::SESSION_TOKEN_PREFIX,
        URL_SAFE_NO_PAD.encode(random)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_256_bits_and_can_stand_in_a_header() {
        let (one, other) = (new_token().unwrap(), new_token().unwrap());
        assert_ne!(one, other);
        let random = one.strip_prefix(api_names::SESSION_TOKEN_PREFIX).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(random).unwrap().len(), 32);
        assert!(
            one.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
        );
    }
}
