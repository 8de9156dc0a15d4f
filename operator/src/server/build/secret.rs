//! The Secret of a server's gateways: the key of its MCP sessions.

use api::names;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use super::{Valid, metadata};

/// The Secret with this key. It is made once and never read by the operator, so it is not among the
/// [`Prepared`](super::Prepared) objects.
pub fn secret(valid: &Valid, key: [u8; names::SESSION_KEY_BYTES]) -> Secret {
    let mut metadata = metadata(valid, &names::upstream_secret(&valid.effective.name));
    metadata.owner_references = Some(vec![valid.owner.reference.clone()]);
    Secret {
        metadata,
        type_: Some("Opaque".to_owned()),
        data: Some([(names::SESSION_KEY.to_owned(), ByteString(key.to_vec()))].into()),
        ..Secret::default()
    }
}
