//! What a message names, where a grant alone does not decide: definitions, tasks, repeated arguments, subscriptions.
//! Steps of the [`pipeline`](crate::pipeline), after access was asked.

use std::ops::Range;

use access::{Item, Reason};
use api::PinMode;
use http::StatusCode;
use http::header::HeaderMap;
use jiff::Timestamp;

use crate::answer::Answer;
use crate::definitions::params;
use crate::exchange::{Exchange, Step, refuse};
use crate::filter::{self, Filtered};
use crate::identity::Known;
use crate::message::{Message, Texts};
use crate::pipeline::{Gateway, check_item, check_scopes, no_agreement};
use crate::policy::View;
use crate::protocol::code;
use crate::viewer::pin_fault;

/// A tool whose definition nobody approved is not called where pins are enforced, whatever grants say, and in
/// `observe` too.
pub(crate) fn check_pin(
    gateway: &Gateway,
    exchange: &mut Exchange,
    view: &View,
    tool: &str,
) -> Step<()> {
    let bundle = &view.bundle;
    if bundle.pins == PinMode::Off {
        return Ok(());
    }
    let found = gateway.discovery.inventory();
    let Some((standing, reason)) = pin_fault(bundle, found.as_deref(), tool) else {
        return Ok(());
    };
    exchange.record.pin = Some(standing.as_str());
    if bundle.enforces_pins() {
        return refuse(Answer::denied(&bundle.pin_denial(tool, reason)));
    }
    Ok(())
}

/// A task is named only by the principal that made it, and while the tool that made it is allowed.
pub(crate) fn check_task(
    gateway: &Gateway,
    exchange: &mut Exchange,
    view: &View,
    known: &Known,
    message: &Message,
) -> Step<()> {
    let id = message.task_id.as_deref().unwrap_or_default();
    let Some(tool) = gateway.tasks.tool(&known.principal, id) else {
        return refuse(Answer::new(
            StatusCode::OK,
            code::INVALID_PARAMS,
            Reason::TaskNotFound,
            "the task is unknown: it was made by somebody else, too long ago, or before the gateway was restarted",
        ));
    };
    let judge = view.judge(&known.caller, Timestamp::now());
    let item = Item::Tool(&tool);
    check_item(exchange, &judge, &item)?;
    // Whatever became of the tool, what it does may be stopped.
    if message.method != "tasks/cancel" {
        check_pin(gateway, exchange, view, &tool)?;
    }
    check_scopes(known, &[item], view)
}

/// Headers that repeat arguments of a call, as the tool's own schema says.
pub(crate) fn check_params(
    gateway: &Gateway,
    message: &Message,
    caller_headers: &HeaderMap,
    arguments: Option<&[u8]>,
) -> Step<()> {
    let found = gateway.discovery.inventory();
    let tool = message.name.as_deref().unwrap_or_default();
    let known = found.as_ref().and_then(|f| f.definitions.get(tool));
    let Some(definition) = known.and_then(|tool| tool.definition.as_ref()) else {
        return Ok(());
    };
    params::agree(&definition.params, caller_headers, arguments)
        .or_else(|error| refuse(no_agreement(&error)))
}

/// A subscription without what the caller may not read. The server's acknowledgement says what is left.
pub(crate) fn narrowed(
    gateway: &Gateway,
    view: &View,
    known: &Known,
    message: &Message,
    body: &[u8],
) -> Filtered {
    let judge = view.judge(&known.caller, Timestamp::now());
    let readable = |uri: &str| judge.allows(&Item::Resource(uri));
    let own = |task: &str| gateway.tasks.tool(&known.principal, task).is_some();
    let cuts = [
        cut(message.listen.uris.as_ref(), readable),
        cut(message.listen.tasks.as_ref(), own),
    ];
    filter::keep(body, cuts.into_iter().flatten().collect())
}

/// Where a list is and which of its entries stay, if some do not.
fn cut(
    texts: Option<&Texts>,
    stays: impl Fn(&str) -> bool,
) -> Option<(Range<usize>, Vec<Range<usize>>)> {
    let texts = texts?;
    let kept = texts.entries.iter().filter(|(_, text)| stays(text));
    let kept: Vec<_> = kept.map(|(range, _)| range.clone()).collect();
    (kept.len() < texts.entries.len()).then(|| texts.at.clone().map(|at| (at, kept)))?
}
