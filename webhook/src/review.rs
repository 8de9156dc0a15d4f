//! The AdmissionReview as it comes and goes (`admission.k8s.io/v1`): small types of our own.
//!
//! kube's types turn the whole object, `managedFields` included, into a tree and write the patch as an array of
//! numbers. Here objects stay text until somebody judges them, `managedFields` is never built, and the patch is
//! base64. [`crate::server`] reads and writes reviews; nothing here decides anything.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The only version of the review that is spoken.
pub const API_VERSION: &str = "admission.k8s.io/v1";
/// The kind of the review.
pub const KIND: &str = "AdmissionReview";

/// Why a body is no review that could be judged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The body is not JSON.
    #[error("the body must be an AdmissionReview in JSON: {0}")]
    NotJson(serde_json::Error),
    /// Another kind, or another version of the kind.
    #[error("the body must be of apiVersion {API_VERSION:?}, kind {KIND:?}; it is of {given}")]
    WrongType {
        /// What the body says it is, cut to a bearable length.
        given: String,
    },
    /// A review without a request, or whose request has no uid to answer to.
    #[error("the AdmissionReview must have a request with a uid")]
    NoRequest,
    /// The request does not parse; there is a uid to answer to.
    #[error("the request of the AdmissionReview does not parse: {why}")]
    BadRequest {
        /// The uid of the request.
        uid: String,
        /// What the parser said.
        why: serde_json::Error,
    },
}

/// A review as nearly every one is: right, and read in one go.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    api_version: &'a str,
    kind: &'a str,
    #[serde(borrow)]
    request: Request<'a>,
}

/// A review that may be anything, read far enough to say what is wrong with it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(borrow, default)]
    request: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct OnlyUid {
    uid: String,
}

/// The request of a review.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    /// Echoed in the answer.
    pub uid: String,
    /// The kind of the object, after conversion to the version the webhook asked for.
    pub kind: Kind,
    /// The resource of the request; for a subresource still the resource of the parent.
    pub resource: Resource,
    /// Empty, or the subresource: `scale`, `status`.
    #[serde(default)]
    pub sub_resource: String,
    /// Empty on CREATE with `generateName`.
    #[serde(default)]
    pub name: String,
    /// Empty for cluster-scoped objects.
    #[serde(default)]
    pub namespace: String,
    /// CREATE, UPDATE or DELETE.
    pub operation: String,
    /// Who asks, as the API server authenticated it.
    #[serde(default)]
    pub user_info: UserInfo,
    /// The object as it would be stored; absent on DELETE.
    #[serde(borrow, default)]
    pub object: Option<&'a RawValue>,
    /// The stored object; absent on CREATE.
    #[serde(borrow, default)]
    pub old_object: Option<&'a RawValue>,
    /// Whether nothing will be stored. Judged the same, only not counted.
    #[serde(default)]
    pub dry_run: Option<bool>,
}

/// A kind with its group and version.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Kind {
    /// API group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind.
    pub kind: String,
}

/// A resource with its group and version.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Resource {
    /// API group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Plural name.
    pub resource: String,
}

/// Who asks.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct UserInfo {
    /// User name.
    pub username: String,
    /// Opaque identifier of the user, often empty.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
    /// What else the authenticator said.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Reads the request of a review.
///
/// # Errors
/// When the body is none, or its request does not parse.
pub fn parse(body: &[u8]) -> Result<Request<'_>, Error> {
    match serde_json::from_slice::<Review<'_>>(body) {
        Ok(review)
            if review.api_version == API_VERSION
                && review.kind == KIND
                && !review.request.uid.is_empty() =>
        {
            Ok(review.request)
        }
        Ok(_) | Err(_) => parse_slowly(body),
    }
}

fn parse_slowly(body: &[u8]) -> Result<Request<'_>, Error> {
    let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(Error::NotJson)?;
    if envelope.api_version != API_VERSION || envelope.kind != KIND {
        let given: String = format!("{:?}, {:?}", envelope.api_version, envelope.kind)
            .chars()
            .take(160)
            .collect();
        return Err(Error::WrongType { given });
    }
    let request = envelope.request.ok_or(Error::NoRequest)?.get();
    let uid = serde_json::from_str::<OnlyUid>(request)
        .map_err(|_| Error::NoRequest)?
        .uid;
    if uid.is_empty() {
        return Err(Error::NoRequest);
    }
    serde_json::from_str(request).map_err(|why| Error::BadRequest { uid, why })
}

/// The most JSON values that an object may be made of. A server with a thousand tools has half of them; each more
/// would only cost time.
pub const MOST_VALUES: usize = 30_000;

/// The object as a tree, without `metadata.managedFields`, which is often its largest part and never judged.
///
/// # Errors
/// When the text is no JSON, nested deeper than 128 levels, or made of more than [`MOST_VALUES`].
pub fn object(text: &RawValue) -> Result<Value, serde_json::Error> {
    let left = Cell::new(MOST_VALUES);
    let mut reader = serde_json::Deserializer::from_str(text.get());
    let tree = Tree {
        part: Part::Object,
        left: &left,
    };
    tree.deserialize(&mut reader)
}

/// Reads a tree and leaves `metadata.managedFields` out.
#[derive(Clone, Copy)]
struct Tree<'a> {
    part: Part,
    /// How many values may still come.
    left: &'a Cell<usize>,
}

/// Where in the object.
#[derive(Clone, Copy)]
enum Part {
    Object,
    Metadata,
    Other,
}

impl Tree<'_> {
    fn below<E: serde::de::Error>(self, key: &str) -> Result<Self, E> {
        let left = self.left.get().checked_sub(1);
        let left =
            left.ok_or_else(|| E::custom(format!("it has more than {MOST_VALUES} values")))?;
        self.left.set(left);
        let part = match (self.part, key) {
            (Part::Object, "metadata") => Part::Metadata,
            (Part::Object | Part::Metadata | Part::Other, _) => Part::Other,
        };
        Ok(Self { part, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            if matches!(self.part, Part::Metadata) && key == "managedFields" {
                fields.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = fields.next_value_seed(self.below(&key)?)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element_seed(self.below("")?)? {
            list.push(entry);
        }
        Ok(Value::Array(list))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_bool<E: serde::de::Error>(self, boolean: bool) -> Result<Value, E> {
        Ok(boolean.into())
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

/// A review with an answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answered {
    api_version: &'static str,
    kind: &'static str,
    /// The answer.
    pub response: Response,
}

/// The answer to one request.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    /// The uid of the request.
    pub uid: String,
    /// Whether the API server goes on.
    pub allowed: bool,
    /// Why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// A JSON patch as base64 text. Present together with `patch_type`, or not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    /// What the client prints although the request goes through; at most 120 characters each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Lines for the API server's audit log.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub audit_annotations: BTreeMap<String, String>,
    /// The code of the first rule that refuses, for the metrics.
    #[serde(skip)]
    pub refused_by: Option<&'static str>,
}

/// `metav1.Status` of a refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Always `Failure`.
    pub status: &'static str,
    /// The HTTP status the client gets.
    pub code: u16,
    /// One word: `Invalid`, `Forbidden`, ...
    pub reason: &'static str,
    /// The sentence for clients that do not print causes.
    pub message: String,
    /// What was refused, and each finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<Details>>,
}

/// What was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Details {
    /// Name of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// API group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// One for each finding.
    pub causes: Vec<Cause>,
}

/// One finding, as kubectl prints it: `* field: message`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// One word for programs.
    pub reason: &'static str,
    /// The sentence.
    pub message: String,
    /// Path of the field.
    pub field: String,
}

impl Response {
    /// The request goes on unchanged.
    pub fn allowed(uid: &str) -> Self {
        Self {
            uid: uid.to_owned(),
            allowed: true,
            ..Self::default()
        }
    }

    /// The request ends here.
    pub fn denied(uid: &str, status: Status) -> Self {
        Self {
            uid: uid.to_owned(),
            status: Some(status),
            ..Self::default()
        }
    }

    /// Adds a patch. One without operations is left out.
    ///
    /// # Errors
    /// When the patch cannot be written as JSON.
    pub fn with_patch(mut self, patch: &json_patch::Patch) -> Result<Self, serde_json::Error> {
        if !patch.0.is_empty() {
            self.patch =
                Some(base64::engine::general_purpose::STANDARD.encode(serde_json::to_vec(patch)?));
            self.patch_type = Some("JSONPatch");
        }
        Ok(self)
    }

    /// Whether there is a patch.
    pub fn is_patched(&self) -> bool {
        self.patch.is_some()
    }

    /// The answer in its review.
    pub fn into_review(self) -> Answered {
        Answered {
            api_version: API_VERSION,
            kind: KIND,
            response: self,
        }
    }
}

impl Status {
    /// A refusal that speaks of the request, not of fields.
    pub fn failure(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: "Failure",
            code,
            reason,
            message: message.into(),
            details: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn managed_fields_are_left_out_and_everything_else_stays() {
        let text = r#"{"kind":"X","metadata":{"name":"a","managedFields":[{"manager":"m"}]},"spec":{"n":1}}"#;
        let expected =
            serde_json::json!({"kind": "X", "metadata": {"name": "a"}, "spec": {"n": 1}});
        assert_eq!(object(&raw(text)).unwrap(), expected);
    }

    #[test]
    fn an_object_of_too_many_values_is_refused_before_it_is_built() {
        let text = format!("[{}0]", "0,".repeat(MOST_VALUES));
        let error = object(&raw(&text)).unwrap_err();
        assert!(error.to_string().contains("more than"), "{error}");
    }

    #[test]
    fn an_object_that_is_none_is_read_as_what_it_is() {
        assert_eq!(object(&raw("[1]")).unwrap(), serde_json::json!([1]));
        assert_eq!(
            object(&raw(r#"{"metadata":7}"#)).unwrap(),
            serde_json::json!({"metadata": 7})
        );
    }

    #[test]
    fn a_request_that_does_not_parse_keeps_its_uid() {
        let body = br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","kind":3}}"#;
        assert!(matches!(parse(body), Err(Error::BadRequest { uid, .. }) if uid == "u"));
    }

    #[test]
    fn another_version_of_the_review_is_refused() {
        let body = br#"{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{"uid":"u"}}"#;
        assert!(matches!(parse(body), Err(Error::WrongType { .. })));
    }

    #[test]
    fn a_patch_is_base64_of_its_json() {
        let patch: json_patch::Patch = serde_json::from_value(
            serde_json::json!([{"op": "add", "path": "/spec/x", "value": 1}]),
        )
        .unwrap();
        let review = serde_json::to_value(
            Response::allowed("u")
                .with_patch(&patch)
                .unwrap()
                .into_review(),
        )
        .unwrap();
        assert_eq!(review["response"]["patchType"], "JSONPatch");
        let text = review["response"]["patch"].as_str().unwrap();
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(text)
            .unwrap();
        assert_eq!(
            serde_json::from_slice::<json_patch::Patch>(&bytes).unwrap(),
            patch
        );
    }
}
