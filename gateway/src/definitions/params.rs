//! Arguments that a modern call repeats in `Mcp-Param-*` headers, as `x-mcp-header` in a tool's schema says. Pure.
//!
//! Whoever decides by such a header must be able to believe it, so a header that the body does not bear out is
//! refused. Headers of which the schema says nothing are not judged, and passed on.

use http::header::{HeaderMap, HeaderName};

use crate::headers::{self, Error};
use crate::json::{Document, Kind, Limits, Value};

/// Most headers of one tool. A schema with more is not checked.
const MOST: usize = 64;
const PREFIX: &str = "mcp-param-";

/// One argument that is repeated in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// The header.
    pub header: HeaderName,
    /// Where the argument is: names of members, outermost first.
    pub path: Vec<String>,
}

/// The headers that an `inputSchema` asks for. Of two arguments with one header neither is checked.
pub(super) fn of_schema(schema: Value<'_>) -> Vec<Param> {
    let mut all = Vec::new();
    collect(schema, &mut Vec::new(), &mut all);
    let unique = |param: &Param| all.iter().filter(|p| p.header == param.header).count() == 1;
    if all.len() > MOST {
        return Vec::new();
    }
    all.iter().filter(|param| unique(param)).cloned().collect()
}

/// Follows `properties` only: what stands behind a condition or a reference has no fixed place.
fn collect(schema: Value<'_>, path: &mut Vec<String>, all: &mut Vec<Param>) {
    for property in schema
        .get("properties")
        .into_iter()
        .flat_map(Value::children)
    {
        let Some(key) = property.key() else { continue };
        path.push(key.into_owned());
        let header = property.get("x-mcp-header").and_then(Value::as_str);
        let kind = property.get("type").and_then(Value::as_str);
        if let (Some(header), Some("string" | "integer" | "boolean")) = (header, kind.as_deref())
            && let Ok(header) = HeaderName::from_bytes(format!("{PREFIX}{header}").as_bytes())
            && all.len() <= MOST
        {
            let path = path.clone();
            all.push(Param { header, path });
        }
        collect(property, path, all);
        path.pop();
    }
}

/// Whether the headers of a call repeat its arguments faithfully. `arguments` is their source text, if there are any.
pub fn agree(params: &[Param], map: &HeaderMap, arguments: Option<&[u8]>) -> Result<(), Error> {
    const NAME: &str = "Mcp-Param-*";
    const WHAT: &str = "an argument";
    if params.is_empty() {
        return Ok(());
    }
    let document = arguments
        .map(|text| Document::scan(text, Limits::ARGUMENTS))
        .transpose()
        .map_err(|_| Error::Unreadable { name: NAME })?;
    for param in params {
        let in_header = headers::decoded(map, &param.header, NAME)?;
        let start = document.as_ref().map(Document::root);
        let in_body = param
            .path
            .iter()
            .fold(start, |at, key| at?.get(key))
            .filter(|value| value.kind() != Kind::Null);
        match (in_body, in_header) {
            (None, None) => {}
            (Some(value), Some(header)) if same(value, &header) => {}
            (Some(_), None) => {
                return Err(Error::Missing {
                    name: NAME,
                    what: WHAT,
                });
            }
            (Some(_) | None, Some(_)) => {
                return Err(Error::Disagree {
                    name: NAME,
                    what: WHAT,
                });
            }
        }
    }
    Ok(())
}

fn same(value: Value<'_>, header: &str) -> bool {
    match value.kind() {
        Kind::String => value.as_str().is_some_and(|text| text == header),
        Kind::Bool => value.raw() == header.as_bytes(),
        Kind::Number => {
            let body = std::str::from_utf8(value.raw()).ok().map(str::parse::<f64>);
            // `NaN`, `inf` and their like are numbers for Rust's parser only.
            let plain = header
                .bytes()
                .all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E'));
            plain
                && (value.raw() == header.as_bytes()
                    || matches!((body, header.parse::<f64>()), (Some(Ok(a)), Ok(b)) if a.to_bits() == b.to_bits() && a.abs() < 9_007_199_254_740_992.0))
        }
        Kind::Null | Kind::Array | Kind::Object => false,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const SCHEMA: &str = r#"{"type":"object","properties":{
        "region":{"type":"string","x-mcp-header":"Region"},
        "count":{"type":"integer","x-mcp-header":"Count"},
        "on":{"type":"boolean","x-mcp-header":"On"},
        "deep":{"type":"object","properties":{"er":{"type":"string","x-mcp-header":"Deeper"}}},
        "list":{"type":"array","x-mcp-header":"List"},
        "a":{"type":"string","x-mcp-header":"Twice"},"b":{"type":"string","x-mcp-header":"twice"},
        "bad":{"type":"string","x-mcp-header":"no header"}}}"#;

    fn params() -> Vec<Param> {
        let document = Document::scan(SCHEMA.as_bytes(), Limits::DEFINITION).unwrap();
        of_schema(document.root())
    }

    fn check(pairs: &[(&'static str, &'static str)], arguments: &str) -> Result<(), Error> {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        agree(&params(), &map, Some(arguments.as_bytes()))
    }

    #[test]
    fn a_schema_says_which_arguments_have_headers() {
        let found: Vec<_> = params()
            .into_iter()
            .map(|param| format!("{}={}", param.header, param.path.join(".")))
            .collect();
        assert_eq!(
            found,
            [
                "mcp-param-region=region",
                "mcp-param-count=count",
                "mcp-param-on=on",
                "mcp-param-deeper=deep.er"
            ]
        );
    }

    #[test]
    fn a_header_must_repeat_its_argument() {
        const REGION: &str = "mcp-param-region";
        const COUNT: &str = "mcp-param-count";
        for (pairs, arguments) in [
            (&[][..], "{}"),
            (&[], r#"{"region":null,"other":1}"#),
            (&[(REGION, "eu")], r#"{"region":"eu"}"#),
            (&[(REGION, "=?base64?w7w=?=")], r#"{"region":"\u00fc"}"#),
            (&[(COUNT, "42")], r#"{"count":42}"#),
            (&[(COUNT, "42")], r#"{"count":42.0}"#),
            (&[("mcp-param-on", "true")], r#"{"on":true}"#),
            (&[("mcp-param-deeper", "x")], r#"{"deep":{"er":"x"}}"#),
            (&[("mcp-param-unknown", "x")], "{}"),
        ] {
            assert_eq!(check(pairs, arguments), Ok(()), "{pairs:?} {arguments}");
        }
        for (pairs, arguments) in [
            (&[][..], r#"{"region":"eu"}"#),
            (&[(REGION, "eu")], "{}"),
            (&[(REGION, "eu")], r#"{"region":null}"#),
            (&[(REGION, "us")], r#"{"region":"eu"}"#),
            (&[(REGION, "EU")], r#"{"region":"eu"}"#),
            (&[(REGION, "eu"), (REGION, "eu")], r#"{"region":"eu"}"#),
            (&[(REGION, "=?base64?!?=")], r#"{"region":"eu"}"#),
            (&[(REGION, "[]")], r#"{"region":[]}"#),
            (&[(COUNT, "43")], r#"{"count":42}"#),
            (&[(COUNT, "inf")], r#"{"count":1e999}"#),
            (
                &[(COUNT, "9007199254740993")],
                r#"{"count":9007199254740992e0}"#,
            ),
            (&[("mcp-param-on", "True")], r#"{"on":true}"#),
            (&[("mcp-param-deeper", "x")], r#"{"deep.er":"x"}"#),
        ] {
            assert!(check(pairs, arguments).is_err(), "{pairs:?} {arguments}");
        }
    }
}
