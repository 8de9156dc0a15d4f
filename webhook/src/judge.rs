//! What one request asks, and what the rules say to it. Pure: the snapshot, the time and the answers to questions
//! about the requester come from the caller ([`crate::server`]).

use jiff::Timestamp;
use rules::{Facts, Findings, Kind, LiveServer, Operation, Question, Requester};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::answer::About;
use crate::review::{Request, Status};
use crate::snapshot::{Asked, Snapshot};

/// Which of the two endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// `/mutate`: fills in defaults and judges the result, so that a refusal holds every finding.
    Mutate,
    /// `/validate`: judges the final state, and who asks.
    Validate,
}

impl Door {
    /// The word in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mutate => "mutate",
            Self::Validate => "validate",
        }
    }
}

/// What a request is about.
#[derive(Debug)]
pub enum Case {
    /// An object of ours is created, changed or deleted.
    Object(Box<Object>),
    /// Nothing that rules judge: a status, which the API server lets change nothing else.
    Pass,
}

/// A change of one object.
#[derive(Debug)]
pub struct Object {
    kind: Kind,
    operation: Operation,
    namespace: String,
    name: String,
    new: Option<Value>,
    old: Option<Value>,
    requester: Requester,
    /// A change of `mcpservers/scale`: only what it says about replicas is passed on.
    scale: bool,
}

/// What `/mutate` decides.
#[derive(Debug)]
pub struct Mutated {
    /// What to change.
    pub patch: json_patch::Patch,
    /// What the rules say to the changed object.
    pub findings: Findings,
}

/// Judges an empty object of every kind, so that the first request does not pay for the schemas that rules read once.
pub fn warm_up() {
    for kind in Kind::ALL {
        let object = json!({"apiVersion": format!("{}/{}", api::GROUP, api::VERSION), "kind": kind.as_str()});
        rules::check(Some(&object), None, &Facts::default());
    }
}

/// Reads what a request asks.
///
/// # Errors
/// A status for requests that nobody may send: default deny.
pub fn read(request: &Request<'_>, snapshot: &Snapshot) -> Result<Case, Status> {
    if request.resource.group != api::GROUP {
        return Err(bad_request(format!(
            "mcp-webhook judges objects of the group {}, not of {:?}: correct the rules of the webhook configuration",
            api::GROUP,
            shown(&request.resource.group)
        )));
    }
    let operation = match request.operation.as_str() {
        "CREATE" => Operation::Create,
        "UPDATE" => Operation::Update,
        "DELETE" => Operation::Delete,
        other => {
            return Err(bad_request(format!(
                "operation must be CREATE, UPDATE or DELETE, not {:?}",
                shown(other)
            )));
        }
    };
    match (
        request.resource.resource.as_str(),
        request.sub_resource.as_str(),
    ) {
        (_, "") => object(request, operation).map(|object| Case::Object(Box::new(object))),
        (_, "status") => Ok(Case::Pass),
        ("mcpservers", "scale") if operation == Operation::Update => {
            scale(request, snapshot).map(|object| Case::Object(Box::new(object)))
        }
        (resource, sub) => {
            let given = format!("{resource}/{sub}");
            Err(bad_request(format!(
                "mcp-webhook knows no subresource {:?}",
                shown(&given)
            )))
        }
    }
}

fn object(request: &Request<'_>, operation: Operation) -> Result<Object, Status> {
    let kind = kind(request)?;
    let new = tree(request.object, "object", kind)?;
    let old = tree(request.old_object, "oldObject", kind)?;
    let (new, old) = match (operation, new, old) {
        (Operation::Create | Operation::Live, Some(new), _) => (Some(new), None),
        (Operation::Update, Some(new), Some(old)) => (Some(new), Some(old)),
        (Operation::Delete, _, Some(old)) => (None, Some(old)),
        (Operation::Create | Operation::Update | Operation::Live, _, _) => {
            return Err(bad_request(
                "CREATE needs an object, UPDATE an object and an oldObject",
            ));
        }
        (Operation::Delete, _, None) => return Err(bad_request("DELETE needs an oldObject")),
    };
    let judged = new.as_ref().or(old.as_ref());
    let name = judged
        .map(|object| text(object, "name"))
        .filter(|name| !name.is_empty());
    Ok(Object {
        kind,
        operation,
        namespace: request.namespace.clone(),
        name: name.unwrap_or_else(|| request.name.clone()),
        new: new.map(|object| in_namespace(object, &request.namespace)),
        old,
        requester: requester(request),
        scale: false,
    })
}

/// The stored server with other replicas. The object of the request is an `autoscaling/v1` Scale.
fn scale(request: &Request<'_>, snapshot: &Snapshot) -> Result<Object, Status> {
    let malformed =
        || bad_request("the object of mcpservers/scale must be a Scale with spec.replicas");
    let scale = request.object.ok_or_else(malformed)?;
    let scale: Value = serde_json::from_str(scale.get()).map_err(|_| malformed())?;
    // A Scale whose replicas are zero has no such field.
    let replicas = scale
        .get("spec")
        .ok_or_else(malformed)?
        .get("replicas")
        .cloned()
        .unwrap_or_else(|| 0.into());
    let Some(server) = snapshot.server(&request.namespace, &request.name) else {
        return Err(Status::failure(
            503,
            "ServiceUnavailable",
            format!(
                "mcp-webhook has not seen MCPServer {:?} yet: try again",
                shown(&request.name)
            ),
        ));
    };
    let old = stored(server)?;
    let mut new = old.clone();
    new["spec"]["replicas"] = replicas;
    // A Scale has no annotations of the server to stamp, so that the rules see whom /mutate would have named.
    new["metadata"]["annotations"][api::names::EDITED_BY] =
        request.user_info.username.as_str().into();
    Ok(Object {
        kind: Kind::Server,
        operation: Operation::Update,
        namespace: request.namespace.clone(),
        name: request.name.clone(),
        new: Some(new),
        old: Some(old),
        requester: requester(request),
        scale: true,
    })
}

fn stored(server: &LiveServer) -> Result<Value, Status> {
    serde_json::from_str(&server.text).map_err(|error| {
        Status::failure(
            500,
            "InternalError",
            format!("cannot read the stored MCPServer: {error}"),
        )
    })
}

fn kind(request: &Request<'_>) -> Result<Kind, Status> {
    let given = &request.kind;
    let known = Kind::ALL.into_iter().find(|kind| {
        kind.as_str() == given.kind && given.group == api::GROUP && given.version == api::VERSION
    });
    known.ok_or_else(|| {
        bad_request(format!(
            "mcp-webhook {} knows no kind {:?} of {:?}: install the version that does with 'kubectl mcp setup upgrade'",
            env!("CARGO_PKG_VERSION"),
            shown(&given.kind),
            shown(&format!("{}/{}", given.group, given.version)),
        ))
    })
}

fn tree(text: Option<&RawValue>, field: &str, kind: Kind) -> Result<Option<Value>, Status> {
    let Some(text) = text else { return Ok(None) };
    let object = crate::review::object(text)
        .map_err(|error| bad_request(format!("request.{field} does not parse: {error}")))?;
    if rules::kind_of(&object) != Some(kind) {
        return Err(bad_request(format!(
            "request.{field} must be of the kind {kind} that request.kind names"
        )));
    }
    Ok(Some(object))
}

/// The API server sets the namespace before admission; a sender that does not gets the request's.
fn in_namespace(mut object: Value, namespace: &str) -> Value {
    if !namespace.is_empty()
        && text(&object, "namespace").is_empty()
        && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
    {
        metadata.insert("namespace".to_owned(), namespace.into());
    }
    object
}

/// A text of the object's metadata, or nothing.
fn text(object: &Value, field: &str) -> String {
    object
        .get("metadata")
        .and_then(|m| m.get(field))
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn requester(request: &Request<'_>) -> Requester {
    let user = request.user_info.clone();
    Requester {
        username: user.username,
        uid: user.uid,
        groups: user.groups,
        extra: user.extra,
    }
}

fn bad_request(message: impl Into<String>) -> Status {
    Status::failure(400, "BadRequest", message)
}

/// Given text as it may stand in a message: `{:?}` escapes it, this bounds it.
fn shown(text: &str) -> String {
    text.chars().take(120).collect()
}

impl Object {
    /// What the answer calls the object.
    pub fn about(&self) -> About {
        let name = if self.name.is_empty() {
            self.new
                .as_ref()
                .map(|object| text(object, "generateName"))
                .unwrap_or_default()
        } else {
            self.name.clone()
        };
        About {
            kind: self.kind.as_str(),
            name,
        }
    }

    /// Kind of the object.
    pub fn kind(&self) -> &'static str {
        self.kind.as_str()
    }

    /// Who asks.
    pub fn requester(&self) -> &Requester {
        &self.requester
    }

    /// What happens to the object when it is only looked at: `None` when there is nothing to change.
    pub fn mutate(&self, snapshot: &Snapshot, now: Timestamp) -> Option<Mutated> {
        let new = self.new.as_ref().filter(|_| !self.scale)?;
        let facts = self.facts(snapshot, now);
        let mut object = new.clone();
        rules::default(&mut object, self.old.as_ref(), &facts);
        let patch = json_patch::diff(new, &object);
        let findings = rules::check(Some(&object), self.old.as_ref(), &facts);
        Some(Mutated { patch, findings })
    }

    /// What must be asked about the requester before the object can be validated.
    pub fn questions(&self, facts: &Facts) -> Vec<Question> {
        rules::questions(self.new.as_ref(), self.old.as_ref(), facts)
    }

    /// What the rules say to the final state.
    pub fn validate(&self, facts: &Facts) -> Verdict {
        Verdict {
            findings: rules::check(self.new.as_ref(), self.old.as_ref(), facts),
            quiet: self.scale,
        }
    }

    /// What the rules may know, but for the answers to [`Self::questions`].
    pub fn facts(&self, snapshot: &Snapshot, now: Timestamp) -> Facts {
        snapshot.facts(&Asked {
            namespace: &self.namespace,
            operation: self.operation,
            requester: &self.requester,
            now,
        })
    }
}

/// What `/validate` decides.
#[derive(Debug)]
pub struct Verdict {
    /// What the rules say.
    pub findings: Findings,
    /// Nobody reads warnings: the horizontal autoscaler scales every few seconds.
    pub quiet: bool,
}
