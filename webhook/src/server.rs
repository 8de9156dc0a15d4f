//! `POST /mutate` and `POST /validate`.
//!
//! Bodies are hostile: bounded in size, time and total memory, and turned away with 413, 408 or 503 before anything
//! waits. A request that is judged always gets a review back. Health and metrics are on another port.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response as HttpResponse};
use axum::routing::post;
use futures::StreamExt as _;
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::Published;
use crate::access::{Answers, Asker};
use crate::answer::{answer, codes};
use crate::judge::{self, Case, Door, Object};
use crate::metrics::{Decision, Metrics};
use crate::review::{self, Answered, Request, Response, Status};
use crate::snapshot::Snapshot;

/// The largest body. The API server takes 3 MiB from clients, and an UPDATE carries two objects.
pub const BODY_LIMIT: usize = 8 << 20;
/// How long a body may take; the API server sends it at once.
const BODY_TIMEOUT: Duration = Duration::from_secs(3);
/// How much all bodies together may hold, in KiB.
const BODIES_KIB: usize = 64 << 10;

/// From which size on a body waits for its turn, in bytes: ordinary reviews are a tenth of it.
const LARGE: usize = 64 << 10;
/// How long it waits.
const TURN_TIMEOUT: Duration = Duration::from_secs(2);

/// What the handlers share.
pub struct App {
    published: Published,
    asker: Asker,
    metrics: Metrics,
    slots: Semaphore,
    /// Large bodies are judged one after the other.
    large: Semaphore,
    bodies: Arc<Semaphore>,
    body_timeout: Duration,
    turn_timeout: Duration,
    draining: CancellationToken,
}

impl App {
    /// At most `concurrency` requests are judged at a time.
    pub fn new(
        published: Published,
        asker: Asker,
        metrics: Metrics,
        concurrency: u32,
        draining: CancellationToken,
    ) -> Self {
        let slots = Semaphore::new(usize::try_from(concurrency).unwrap_or(Semaphore::MAX_PERMITS));
        let bodies = Arc::new(Semaphore::new(BODIES_KIB));
        Self {
            published,
            asker,
            metrics,
            slots,
            large: Semaphore::new(1),
            bodies,
            body_timeout: BODY_TIMEOUT,
            turn_timeout: TURN_TIMEOUT,
            draining,
        }
    }
}

/// The two routes.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/mutate", post(mutate))
        .route("/validate", post(validate))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app),
            close_while_draining,
        ))
        .with_state(app)
}

/// The API server keeps connections to a terminating pod in its pool; this tells it to open others.
async fn close_while_draining(
    State(app): State<Arc<App>>,
    request: HttpRequest,
    next: Next,
) -> HttpResponse {
    let mut response = next.run(request).await;
    if app.draining.is_cancelled() {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn mutate(
    State(app): State<Arc<App>>,
    request: HttpRequest,
) -> Result<HttpResponse, Rejection> {
    serve(&app, Door::Mutate, request).await
}

async fn validate(
    State(app): State<Arc<App>>,
    request: HttpRequest,
) -> Result<HttpResponse, Rejection> {
    serve(&app, Door::Validate, request).await
}

/// Why a request is turned away without a review.
#[derive(Debug, thiserror::Error)]
enum Rejection {
    #[error("content type must be application/json")]
    ContentType,
    #[error("the body must not be larger than {BODY_LIMIT} bytes")]
    TooLarge,
    #[error("the body did not arrive in time")]
    TooSlow,
    #[error("the body could not be read")]
    Broken,
    #[error("too many requests at a time: try again")]
    Busy,
    #[error("mcp-webhook has not read the cluster yet: try again")]
    NotReady,
    #[error(transparent)]
    Malformed(#[from] review::Error),
    #[error("cannot write the answer: {0}")]
    Unwritable(serde_json::Error),
}

impl Rejection {
    fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::ContentType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "too_slow"),
            Self::Broken => (StatusCode::BAD_REQUEST, "broken"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::NotReady => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
            Self::Malformed(_) => (StatusCode::BAD_REQUEST, "malformed"),
            Self::Unwritable(_) => (StatusCode::INTERNAL_SERVER_ERROR, "unwritable"),
        }
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> HttpResponse {
        (self.status().0, format!("{self}\n")).into_response()
    }
}

async fn serve(app: &App, door: Door, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    let judged = async {
        check_content_type(request.headers())?;
        let (body, _kept) = read(app, request).await?;
        let _turn = turn(app, body.len()).await?;
        let _slot = app.slots.try_acquire().map_err(|_| Rejection::Busy)?;
        let review = judge(app, door, &body).await?;
        serde_json::to_vec(&review).map_err(Rejection::Unwritable)
    };
    let body = judged.await.inspect_err(|rejection| {
        let (_, reason) = rejection.status();
        app.metrics.rejected(reason);
        tracing::debug!(door = door.as_str(), reason, %rejection, "turned a request away");
    })?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// The turn of a large body. Judging cannot be interrupted, so that large ones side by side would take every processor
/// from the small ones.
async fn turn(app: &App, length: usize) -> Result<Option<SemaphorePermit<'_>>, Rejection> {
    if length < LARGE {
        return Ok(None);
    }
    match tokio::time::timeout(app.turn_timeout, app.large.acquire()).await {
        Ok(turn) => Ok(turn.ok()),
        Err(_) => Err(Rejection::Busy),
    }
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Rejection> {
    let Some(given) = headers.get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let essence = given
        .to_str()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    if essence.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(Rejection::ContentType)
    }
}

/// The whole body, and the share of the common memory that it holds.
async fn read(
    app: &App,
    request: HttpRequest,
) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), Rejection> {
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > BODY_LIMIT as u64) {
        return Err(Rejection::TooLarge);
    }
    let collected = tokio::time::timeout(app.body_timeout, collect(app, request.into_body()));
    collected.await.map_err(|_| Rejection::TooSlow)?
}

async fn collect(
    app: &App,
    body: Body,
) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), Rejection> {
    let (mut all, mut held): (Vec<u8>, Option<OwnedSemaphorePermit>) = (Vec::new(), None);
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk: Bytes = chunk.map_err(|_| Rejection::Broken)?;
        if all.len() + chunk.len() > BODY_LIMIT {
            return Err(Rejection::TooLarge);
        }
        let kib = u32::try_from(chunk.len().div_ceil(1024)).unwrap_or(u32::MAX);
        let share = Arc::clone(&app.bodies)
            .try_acquire_many_owned(kib)
            .map_err(|_| Rejection::Busy)?;
        match &mut held {
            Some(held) => held.merge(share),
            None => held = Some(share),
        }
        all.extend_from_slice(&chunk);
    }
    Ok((all, held))
}

async fn judge(app: &App, door: Door, body: &[u8]) -> Result<Answered, Rejection> {
    let started = Instant::now();
    let snapshot = app.published.load_full().ok_or(Rejection::NotReady)?;
    let request = match review::parse(body) {
        Ok(request) => request,
        Err(error @ review::Error::BadRequest { .. }) => {
            return Ok(unreadable(app, door, error, started));
        }
        Err(error) => return Err(error.into()),
    };
    let (kind, response) = answer_request(app, door, &request, &snapshot).await;
    let decision = match &response {
        response if response.allowed => "allow",
        Response {
            status: Some(status),
            ..
        } if status.code >= 500 => "error",
        _ => "deny",
    };
    let operation = operation(&request.operation);
    app.metrics.decided(
        &Decision {
            door: door.as_str(),
            kind,
            operation,
            decision,
            code: response.refused_by.unwrap_or("none"),
        },
        started.elapsed(),
    );
    Ok(response.into_review())
}

fn unreadable(app: &App, door: Door, error: review::Error, started: Instant) -> Answered {
    let message = error.to_string();
    let uid = if let review::Error::BadRequest { uid, .. } = error {
        uid
    } else {
        String::new()
    };
    let decision = Decision {
        door: door.as_str(),
        kind: "other",
        operation: "other",
        decision: "deny",
        code: "none",
    };
    app.metrics.decided(&decision, started.elapsed());
    Response::denied(&uid, Status::failure(400, "BadRequest", message)).into_review()
}

fn operation(given: &str) -> &'static str {
    ["CREATE", "UPDATE", "DELETE"]
        .into_iter()
        .find(|known| *known == given)
        .unwrap_or("other")
}

/// The kind for metrics, and the answer. A panic of a rule is an answer too: a dropped connection would tell the
/// person nothing.
async fn answer_request(
    app: &App,
    door: Door,
    request: &Request<'_>,
    snapshot: &Snapshot,
) -> (&'static str, Response) {
    let uid = request.uid.as_str();
    let case = guarded(|| judge::read(request, snapshot));
    let object = match case {
        Ok(Ok(Case::Object(object))) => object,
        Ok(Ok(Case::Pass)) => return ("other", Response::allowed(uid)),
        Ok(Err(status)) | Err(status) => return ("other", Response::denied(uid, status)),
    };
    let response = match door {
        Door::Mutate => guarded(|| mutated(app, request, &object, snapshot)),
        Door::Validate => validated(app, request, &object, snapshot).await,
    };
    (
        object.kind(),
        response.unwrap_or_else(|status| Response::denied(uid, status)),
    )
}

/// Says nothing about what it allows but the patch: `/validate` repeats the warnings on the final state.
fn mutated(app: &App, request: &Request<'_>, object: &Object, snapshot: &Snapshot) -> Response {
    let uid = request.uid.as_str();
    let Some(mutated) = object.mutate(snapshot, Timestamp::now()) else {
        return Response::allowed(uid);
    };
    if mutated.findings.is_refused() {
        count(app, request, object, &mutated.findings);
        return answer(uid, &object.about(), &mutated.findings, None);
    }
    Response::allowed(uid)
        .with_patch(&mutated.patch)
        .unwrap_or_else(|error| {
            Response::denied(
                uid,
                Status::failure(
                    500,
                    "InternalError",
                    format!("cannot write the patch: {error}"),
                ),
            )
        })
}

async fn validated(
    app: &App,
    request: &Request<'_>,
    object: &Object,
    snapshot: &Snapshot,
) -> Result<Response, Status> {
    let (mut facts, questions) = guarded(|| {
        let facts = object.facts(snapshot, Timestamp::now());
        let questions = object.questions(&facts);
        (facts, questions)
    })?;
    let Answers { given, failure } = app.asker.ask(object.requester(), questions).await;
    facts.answers = given;
    guarded(|| {
        let verdict = object.validate(&facts);
        count(app, request, object, &verdict.findings);
        let mut response = answer(
            &request.uid,
            &object.about(),
            &verdict.findings,
            failure.as_deref(),
        );
        if verdict.quiet {
            response.warnings.clear();
        }
        response
    })
}

/// Dry runs are judged the same and not counted, because alerts hang on the counters.
fn count(app: &App, request: &Request<'_>, object: &Object, findings: &rules::Findings) {
    if findings.is_refused() {
        tracing::info!(
            operation = operation(&request.operation),
            kind = object.kind(),
            namespace = ?request.namespace,
            name = ?object.about().name,
            user = ?request.user_info.username,
            codes = codes(findings.errors()),
            dry_run = request.dry_run.unwrap_or(false),
            "refused"
        );
    }
    if request.dry_run != Some(true) {
        findings
            .iter()
            .for_each(|finding| app.metrics.found(finding.code, weight(finding)));
    }
}

/// The severity in metrics: what a policy only wants noted is no warning to anybody.
fn weight(finding: &rules::Finding) -> &'static str {
    if finding.audit {
        "audit"
    } else {
        finding.severity.as_str()
    }
}

fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Status> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| {
        tracing::error!("a rule panicked: the request is refused");
        Status::failure(
            500,
            "InternalError",
            "mcp-webhook failed on this object: see its log, and report it",
        )
    })
}

#[cfg(test)]
mod tests;
