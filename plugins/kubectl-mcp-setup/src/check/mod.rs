//! `kubectl mcp check`: looks at an installation from the client to the webhook, and says what to type next.
//!
//! What could not be looked at is `unknown` and never counts as well. The checks read and dry-run; they change nothing.

mod cluster;
mod platform;
mod render;

use std::time::{Duration, Instant};

use common::error::{Exit, Result};
use common::{Cluster, Printer};
use serde::Serialize;

use crate::cli::{CheckCli, CheckFormat};
use crate::progress::Progress;

/// How a check came out, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// As it should be.
    Ok,
    /// Works, but somebody should look at it.
    Warn,
    /// Could not be looked at.
    Unknown,
    /// Broken.
    Fail,
}

/// One check and how it came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// The heading it stands under.
    pub(crate) category: &'static str,
    /// What should be.
    pub(crate) description: String,
    /// How it came out.
    pub(crate) result: Verdict,
    /// What is, in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
    /// What to type next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
}

impl Check {
    /// A check that came out well.
    pub(crate) fn ok(category: &'static str, description: impl Into<String>) -> Self {
        Self {
            category,
            description: description.into(),
            result: Verdict::Ok,
            detail: None,
            hint: None,
        }
    }

    /// The same check with another result, what is, and what to type next.
    pub(crate) fn but(
        mut self,
        result: Verdict,
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        self.result = result;
        self.detail = Some(detail.into());
        self.hint = Some(hint.into());
        self
    }

    /// The same check with what is.
    pub(crate) fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The check could not be made.
    pub(crate) fn unknown(self, error: &common::Error) -> Self {
        let hint = error.hint().unwrap_or("kubectl auth whoami").to_owned();
        self.but(Verdict::Unknown, format!("could not look: {error}"), hint)
    }
}

/// Whether every check looked and found nothing broken. A warning is no failure.
pub(crate) fn is_well(checks: &[Check]) -> bool {
    checks
        .iter()
        .all(|check| matches!(check.result, Verdict::Ok | Verdict::Warn))
}

/// Runs the checks and prints them.
pub async fn run(cli: CheckCli, printer: &mut Printer) -> Result<Exit> {
    let cluster = cli.kube.connect().await?;
    let mut checks = look(&cluster).await;
    if let Some(patience) = cli.wait {
        checks = wait_until_well(&cluster, checks, patience, printer).await;
    }
    match cli.output {
        CheckFormat::Table => printer.line(render::table(&checks)),
        CheckFormat::Short => {
            let text = render::short(&checks);
            if !text.is_empty() {
                printer.line(text);
            }
        }
        CheckFormat::Json => printer.line(common::output::pretty_json(&render::json(&checks))),
    }
    Ok(if is_well(&checks) {
        Exit::Ok
    } else {
        Exit::Found
    })
}

async fn wait_until_well(
    cluster: &Cluster,
    mut checks: Vec<Check>,
    patience: Duration,
    printer: &mut Printer,
) -> Vec<Check> {
    let deadline = Instant::now() + patience;
    let progress = Progress::begin(printer, "all to be well");
    while !is_well(&checks) && Instant::now() < deadline {
        if let Some(bad) = checks
            .iter()
            .find(|c| matches!(c.result, Verdict::Fail | Verdict::Unknown))
        {
            progress.hangs_on(&bad.description);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        checks = look(cluster).await;
    }
    checks
}

/// Every check, in the order in which they are printed. A cluster that does not answer is asked nothing more.
async fn look(cluster: &Cluster) -> Vec<Check> {
    let (mut checks, reached) = cluster::checks(cluster).await;
    if reached {
        checks.extend(platform::checks(cluster).await);
    }
    checks
}
