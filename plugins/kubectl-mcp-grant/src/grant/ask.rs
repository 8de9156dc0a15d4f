//! `grant can-i`, `who-can` and `explain`: what `access` decides about live objects.

use access::{Caller, CallerSession, Item, Outcome, Settings, Step, Verdict};
use api::{Decision, Effect, MCPAgentSession, Subject, Trust};
use common::api_error::During as _;
use common::cluster::Cluster;
use common::declared::undeclared_hint;
use common::live::LiveServer;
use common::output::{OutputArgs, print_value};
use common::printer::{BAD, GOOD, styled};
use common::table::Table;
use common::tokens::TokenStore;
use common::{Error, Exit, Printer, Result, age};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::create::trust;
use crate::subject;

/// Which item a question is about.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct ItemArgs {
    /// A tool
    #[arg(value_name = "TOOL")]
    tool: Option<String>,
    /// A prompt
    #[arg(long)]
    prompt: Option<String>,
    /// A resource's URI
    #[arg(long, value_name = "URI")]
    resource: Option<String>,
}

impl ItemArgs {
    fn item(&self) -> Item<'_> {
        match (&self.tool, &self.prompt, &self.resource) {
            (Some(name), _, _) => Item::Tool(name),
            (None, Some(name), _) => Item::Prompt(name),
            (None, None, uri) => Item::Resource(uri.as_deref().unwrap_or_default()),
        }
    }
}

/// Arguments of `can-i` and `explain`.
#[derive(clap::Args)]
pub(crate) struct CanIArgs {
    #[command(flatten)]
    item: ItemArgs,
    /// The server
    #[arg(long, short)]
    server: String,
    /// Who: alice, serviceaccount:ns/name, ...; you when absent
    #[arg(long, value_parser = subject::parse)]
    subject: Option<Subject>,
    /// A group that the subject is in; may be given several times
    #[arg(long = "group", requires = "subject")]
    groups: Vec<String>,
    /// Ask for the holder of this session instead
    #[arg(long, value_name = "NAME", conflicts_with = "subject")]
    session: Option<String>,
    /// The trust that a session consents to; that of your own session when absent, else high
    #[arg(long, value_parser = trust, conflicts_with = "session")]
    trust: Option<Trust>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Arguments of `who-can`.
#[derive(clap::Args)]
pub(crate) struct WhoCanArgs {
    #[command(flatten)]
    item: ItemArgs,
    /// The server
    #[arg(long, short)]
    server: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// `grant can-i`.
pub(crate) async fn can_i(
    cluster: &Cluster,
    args: &CanIArgs,
    printer: &mut Printer,
) -> Result<Exit> {
    let now = Timestamp::now();
    let live = read(cluster, &args.server, now, printer).await?;
    let Asked { caller, session } = asked(cluster, args, &live, now).await?;
    let mut verdict = access::decide(&live.bundle, &caller, &args.item.item(), now);
    mend_hint(&mut verdict, &live, &args.item.item());
    if args.output.output.is_table() {
        say(&verdict, &session, printer);
    } else {
        print_value(printer, args.output.output, &verdict_json(&verdict))?;
    }
    Ok(exit(&verdict))
}

/// `grant explain`.
pub(crate) async fn explain(
    cluster: &Cluster,
    args: &CanIArgs,
    printer: &mut Printer,
) -> Result<Exit> {
    let now = Timestamp::now();
    let live = read(cluster, &args.server, now, printer).await?;
    let Asked { caller, session } = asked(cluster, args, &live, now).await?;
    let mut explanation = access::explain(&live.bundle, &caller, &args.item.item(), now);
    mend_hint(&mut explanation.verdict, &live, &args.item.item());
    if !args.output.output.is_table() {
        let mut value = verdict_json(&explanation.verdict);
        value["subject"] = caller.identity.to_string().into();
        value["grants"] = explanation.steps.iter().map(step_json).collect();
        print_value(printer, args.output.output, &value)?;
        return Ok(exit(&explanation.verdict));
    }
    say(&explanation.verdict, &session, printer);
    if !explanation.steps.is_empty() {
        printer.line(format_args!("\n{}", steps_table(&explanation.steps)));
    }
    let left_out = live.grants.len().saturating_sub(explanation.steps.len());
    if left_out > 0 {
        printer.note(format_args!(
            "{left_out} more are disabled, expired or being deleted."
        ));
    }
    Ok(exit(&explanation.verdict))
}

/// `grant who-can`.
pub(crate) async fn who_can(
    cluster: &Cluster,
    args: &WhoCanArgs,
    printer: &mut Printer,
) -> Result<Exit> {
    let now = Timestamp::now();
    let live = read(cluster, &args.server, now, printer).await?;
    let answers = answers(&live, &args.item.item(), now);
    if !args.output.output.is_table() {
        let list: Vec<_> = answers.iter().map(Answer::json).collect();
        print_value(printer, args.output.output, &Value::Array(list))?;
        return Ok(Exit::Ok);
    }
    if answers.is_empty() {
        printer.note(format_args!(
            "Nobody by a grant: no live grant of server '{}' covers it.",
            args.server
        ));
        return Ok(Exit::Ok);
    }
    printer.line(answers_table(&answers, now));
    Ok(Exit::Ok)
}

async fn read(
    cluster: &Cluster,
    server: &str,
    now: Timestamp,
    printer: &mut Printer,
) -> Result<LiveServer> {
    let live = LiveServer::read(cluster, server, now).await?;
    for sentence in &live.unseen {
        printer.warning(sentence);
    }
    if !live.effective.gateway.enabled {
        printer.warning(format_args!(
            "server '{server}' has no gateway: nothing of this is enforced"
        ));
    }
    Ok(live)
}

/// Who is asked about, and by which session.
struct Asked {
    caller: Caller,
    /// In words, behind the answer; nothing when the session was named.
    session: String,
}

/// Who is asked about.
async fn asked(
    cluster: &Cluster,
    args: &CanIArgs,
    live: &LiveServer,
    now: Timestamp,
) -> Result<Asked> {
    if let Some(name) = &args.session {
        return Ok(Asked {
            caller: session_caller(cluster, live, name, now).await?,
            session: String::new(),
        });
    }
    if args.subject.is_none()
        && args.trust.is_none()
        && let Some(asked) = stored_session(cluster, live, now)
    {
        return Ok(asked);
    }
    let trust = args.trust.unwrap_or(Trust::High);
    Ok(Asked {
        caller: assumed_caller(cluster, args, live, trust).await?,
        session: format!(" (with a session of --trust {trust})"),
    })
}

/// The caller by the session that `server call` would use; `None` when it has none that opens this server.
fn stored_session(cluster: &Cluster, live: &LiveServer, now: Timestamp) -> Option<Asked> {
    let stored = TokenStore::open(cluster)
        .and_then(|store| store.read(&cluster.namespace, &live.bundle.server))
        .ok()??;
    let hash = access::token_hash(&stored.token);
    let caller = access::authenticate(&live.bundle, &hash, now).ok()?;
    Some(Asked {
        caller,
        session: format!(" (with your session {})", stored.session),
    })
}

/// The caller, or another, with a session that is yet to be made.
async fn assumed_caller(
    cluster: &Cluster,
    args: &CanIArgs,
    live: &LiveServer,
    trust: Trust,
) -> Result<Caller> {
    let (subject, groups) = if let Some(subject) = &args.subject {
        (
            subject.clone(),
            args.groups.iter().chain(&subject.group).cloned().collect(),
        )
    } else {
        let who = cluster.whoami().await?;
        (subject::of_caller(&who), who.groups)
    };
    let teams = Settings::from(&live.effective).teams_of(&groups);
    let mut caller = Caller::of(&subject, groups).in_teams(teams);
    // Somebody with a session of his own that consents to so much: what `session create --trust` would give.
    caller.session = Some(CallerSession {
        name: "(new)".to_owned(),
        consented_trust: trust,
        expires_at: Timestamp::MAX,
    });
    Ok(caller)
}

async fn session_caller(
    cluster: &Cluster,
    live: &LiveServer,
    name: &str,
    now: Timestamp,
) -> Result<Caller> {
    let session = cluster
        .api::<MCPAgentSession>()
        .get(name)
        .await
        .during(format!("cannot get session '{name}'"))?;
    access::authenticate(&live.bundle, &session.spec.token_hash, now).map_err(|reason| {
        Error::found(format!(
            "session '{name}' opens nothing on server '{}' ({reason})",
            live.bundle.server
        ))
        .with_hint(format!("kubectl mcp session get {name}{}", cluster.flags()))
    })
}

fn exit(verdict: &Verdict) -> Exit {
    if verdict.allowed && !verdict.would_deny {
        Exit::Ok
    } else {
        Exit::Found
    }
}

/// A tool that is not declared is most often one whose name has a slip in it: no grant helps there.
fn mend_hint(verdict: &mut Verdict, live: &LiveServer, item: &Item<'_>) {
    let Item::Tool(tool) = item else { return };
    let refused = !verdict.allowed || verdict.would_deny;
    if refused && live.effective.policy.undeclared_tools == Decision::Deny {
        let better = undeclared_hint(&live.server, tool);
        verdict.hint = better.or(verdict.hint.take());
    }
}

fn say(verdict: &Verdict, session: &str, printer: &mut Printer) {
    if verdict.allowed && !verdict.would_deny {
        let by = verdict
            .grant
            .as_ref()
            .map(|name| format!(" (grant {name})"))
            .unwrap_or_default();
        printer.line(format_args!("{}{by}{session}", styled(GOOD, "yes")));
        return;
    }
    let word = if verdict.allowed {
        "yes, but only because the server observes"
    } else {
        "no"
    };
    printer.line(format_args!(
        "{} - {} ({}){session}",
        styled(BAD, word),
        verdict.message,
        verdict.reason
    ));
    if let Some(hint) = &verdict.hint {
        printer.note(format_args!(
            "{} {hint}",
            styled(common::printer::HINT, "hint:")
        ));
    }
}

fn verdict_json(verdict: &Verdict) -> Value {
    json!({
        "allowed": verdict.allowed, "wouldDeny": verdict.would_deny, "reason": verdict.reason.to_string(),
        "grant": verdict.grant, "trust": verdict.trust, "message": verdict.message, "hint": verdict.hint,
    })
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Expired => "expired",
        Outcome::OtherSubject => "other subject",
        Outcome::Denies => "denies",
        Outcome::NotNamed => "not named",
        Outcome::Undeclared => "undeclared",
        Outcome::SideEffect => "side effect",
        Outcome::TrustTooLow => "trust too low",
        Outcome::Covers => "covers",
    }
}

fn step_json(step: &Step) -> Value {
    json!({"grant": step.grant, "effect": step.effect, "outcome": outcome(step.outcome), "text": step.text})
}

fn steps_table(steps: &[Step]) -> String {
    let mut table = Table::new(&["grant", "effect", "outcome", "says"]);
    for step in steps {
        table.row([
            step.grant.clone(),
            step.effect.to_string(),
            outcome(step.outcome).to_owned(),
            step.text.clone(),
        ]);
    }
    table.render()
}

/// One subject that a grant speaks of, and whether it may.
struct Answer {
    subject: String,
    grant: String,
    allowed: bool,
    trust: Option<Trust>,
    expires: Option<Timestamp>,
}

impl Answer {
    fn json(&self) -> Value {
        json!({
            "subject": self.subject, "grant": self.grant, "allowed": self.allowed, "trust": self.trust,
            "expiresAt": self.expires.map(|time| time.to_string()),
        })
    }
}

/// For each grant that speaks of the item: whether exactly its subject may have it, all grants considered.
fn answers(live: &LiveServer, item: &Item<'_>, now: Timestamp) -> Vec<Answer> {
    let mut answers = Vec::new();
    let settings = Settings::from(&live.effective);
    for grant in &live.bundle.grants {
        let groups: Vec<_> = grant.subject.group.iter().cloned().collect();
        let teams = settings.teams_of(&groups);
        let mut caller = Caller::of(&grant.subject, groups).in_teams(teams);
        caller.session = Some(CallerSession {
            name: "(new)".to_owned(),
            consented_trust: Trust::High,
            expires_at: Timestamp::MAX,
        });
        let explanation = access::explain(&live.bundle, &caller, item, now);
        let Some(step) = explanation
            .steps
            .into_iter()
            .find(|step| step.grant == grant.name)
        else {
            continue;
        };
        let (allowed, trust) = match (step.outcome, grant.effect) {
            (Outcome::Covers, _) => (explanation.verdict.allowed, explanation.verdict.trust),
            (Outcome::Denies, Effect::Deny | Effect::Allow) => (false, None),
            _ => continue,
        };
        answers.push(Answer {
            subject: grant.subject.to_string(),
            grant: grant.name.clone(),
            allowed,
            trust,
            expires: grant.expires_at,
        });
    }
    answers
}

fn answers_table(answers: &[Answer], now: Timestamp) -> String {
    let mut table = Table::new(&["subject", "can", "grant", "trust", "expires"]);
    for answer in answers {
        table.row([
            answer.subject.clone(),
            if answer.allowed { "yes" } else { "no" }.to_owned(),
            answer.grant.clone(),
            answer
                .trust
                .map_or_else(|| "-".to_owned(), |trust| trust.to_string()),
            age::until(answer.expires, now),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_about_one_item() {
        #[derive(clap::Parser)]
        struct Cli {
            #[command(flatten)]
            args: WhoCanArgs,
        }
        use clap::Parser as _;
        let parse = |line: &str| Cli::try_parse_from(line.split_whitespace()).map(|cli| cli.args);
        assert_eq!(
            parse("x echo --server w").unwrap().item.item(),
            Item::Tool("echo")
        );
        assert_eq!(
            parse("x --prompt p --server w").unwrap().item.item(),
            Item::Prompt("p")
        );
        assert!(parse("x --server w").is_err());
        assert!(parse("x echo --prompt p --server w").is_err());
        assert!(parse("x echo --server w").unwrap().output.output.is_table());
    }
}
