//! What a client is told that has no token, or not the right one: the metadata of a protected resource (RFC 9728) and
//! the challenges that lead to it (RFC 6750). Made once per bundle; the names in it come from the bundle, never from a
//! request. Pure.

use access::OAuthEntry;
use api::names::PROTECTED_RESOURCE;
use bytes::Bytes;
use http::header::HeaderValue;
use serde_json::json;

/// The metadata of one server, and where it is served.
#[derive(Debug)]
pub struct Metadata {
    document: Bytes,
    paths: Vec<String>,
    location: String,
    /// The challenge to a request without a token.
    pub missing: HeaderValue,
    /// The challenge to one whose token is not taken.
    pub invalid: HeaderValue,
}

impl Metadata {
    /// Of the server with these endpoints.
    pub fn new(entry: &OAuthEntry, server: &str, endpoints: &[String]) -> Self {
        let mut document = json!({
            "resource": entry.resource,
            "authorization_servers": entry.issuers.iter().map(|issuer| &issuer.url).collect::<Vec<_>>(),
            "bearer_methods_supported": ["header"],
            "resource_name": server,
        });
        if !entry.required_scopes.is_empty() {
            document["scopes_supported"] = json!(entry.required_scopes);
        }
        let mut paths: Vec<String> = endpoints.iter().map(|path| at(path)).collect();
        paths.push(PROTECTED_RESOURCE.to_owned());
        let location = location(&entry.resource);
        let scopes = &entry.required_scopes;
        Self {
            document: document.to_string().into(),
            paths,
            missing: challenge(None, &location, scopes),
            invalid: challenge(Some("invalid_token"), &location, scopes),
            location,
        }
    }

    /// The document, if this is one of its paths.
    pub fn at(&self, path: &str) -> Option<Bytes> {
        self.paths
            .iter()
            .any(|own| own == path)
            .then(|| self.document.clone())
    }

    /// The challenge to a token that lacks some of these scopes: all that the operation needs.
    pub fn insufficient(&self, scopes: &[String]) -> HeaderValue {
        challenge(Some("insufficient_scope"), &self.location, scopes)
    }
}

/// The path of the metadata of a resource at `path` (RFC 9728, 3.1).
fn at(path: &str) -> String {
    format!("{PROTECTED_RESOURCE}{}", path.trim_end_matches('/'))
}

/// The URL of the metadata of a resource.
fn location(resource: &str) -> String {
    let begin = resource.find("://").map_or(0, |scheme| scheme + 3);
    let end = resource[begin..]
        .find('/')
        .map_or(resource.len(), |slash| begin + slash);
    format!("{}{}", &resource[..end], at(&resource[end..]))
}

fn challenge(error: Option<&str>, location: &str, scopes: &[String]) -> HeaderValue {
    // What is no scope (RFC 6749, 3.3) could end the quotes; no token can have it either.
    let scopes: Vec<&str> = scopes
        .iter()
        .map(String::as_str)
        .filter(|scope| is_scope(scope))
        .collect();
    let scopes = (!scopes.is_empty()).then(|| scopes.join(" "));
    let parameters = [
        ("error", error),
        ("scope", scopes.as_deref()),
        ("resource_metadata", Some(location)),
    ];
    let parameters: Vec<String> = parameters
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}=\"{}\"", value?)))
        .collect();
    let text = format!("Bearer {}", parameters.join(", "));
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("Bearer"))
}

fn is_scope(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(resource: &str, scopes: &[&str]) -> OAuthEntry {
        OAuthEntry {
            resource: resource.to_owned(),
            required_scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            issuers: Vec::new(),
        }
    }

    #[test]
    fn the_well_known_path_stands_between_host_and_path() {
        for (resource, expected) in [
            (
                "https://a.test/team/mcp",
                "https://a.test/.well-known/oauth-protected-resource/team/mcp",
            ),
            (
                "https://a.test",
                "https://a.test/.well-known/oauth-protected-resource",
            ),
            (
                "https://a.test:8443/",
                "https://a.test:8443/.well-known/oauth-protected-resource",
            ),
        ] {
            assert_eq!(location(resource), expected);
        }
    }

    #[test]
    fn both_forms_of_the_path_lead_to_the_document_and_no_other() {
        let metadata = Metadata::new(
            &entry("https://a.test/x/mcp", &[]),
            "x",
            &["/mcp".to_owned(), "/x/mcp".to_owned()],
        );
        for path in ["", "/mcp", "/x/mcp"] {
            assert!(metadata.at(&at(path)).is_some(), "{path}");
        }
        for path in [
            "/mcp",
            "/.well-known/oauth-protected-resource/y",
            "/.well-known/oauth-protected-resource/",
        ] {
            assert!(metadata.at(path).is_none(), "{path}");
        }
    }

    #[test]
    fn a_challenge_names_the_metadata_and_every_scope() {
        let metadata = Metadata::new(&entry("https://a.test/mcp", &["a", "b:c"]), "x", &[]);
        assert_eq!(
            metadata.missing,
            r#"Bearer scope="a b:c", resource_metadata="https://a.test/.well-known/oauth-protected-resource/mcp""#
        );
        let more = ["a".to_owned(), "x\", y=\"".to_owned()];
        assert_eq!(
            metadata.insufficient(&more),
            r#"Bearer error="insufficient_scope", scope="a", resource_metadata="https://a.test/.well-known/oauth-protected-resource/mcp""#
        );
    }
}
