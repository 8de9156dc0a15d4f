//! Objects that break every bound of our schemas, made from the schemas themselves: for each kind and each keyword one
//! object with every field beyond its bound, and for what must be given one for each depth.
//!
//! Fields of Kubernetes' own types are left alone: their bounds are not ours.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Map, Value, json};
use tests::recorded::repository;

use super::case::Case;

/// The keywords of a schema that bound a value.
const KEYWORDS: [&str; 10] = [
    "maxLength",
    "minLength",
    "pattern",
    "enum",
    "format",
    "maximum",
    "minimum",
    "maxItems",
    "minItems",
    "x-kubernetes-list-map-keys",
];
/// What must be given is left out at one depth at a time: what is not there breaks no other bound.
const REQUIRED: &str = "required";
/// How deep our schemas are at most.
const DEPTH: usize = 8;
/// Longer texts than this are in no file, but made when the test runs.
const LONGEST: u64 = 40_000;
/// Kubernetes' own types.
const FOREIGN: [&str; 13] = [
    "spec.env[0]",
    "spec.envFrom[0]",
    "spec.volumes[0]",
    "spec.volumeMounts[0]",
    "spec.resources",
    "spec.podTemplate",
    "spec.toolSelector",
    "spec.gateway.resources",
    "spec.networkPolicy.ingressFrom[0]",
    "spec.networkPolicy.egressTo[0]",
    "spec.defaults.resources",
    "spec.namespaceSelector",
    "spec.source.cluster.namespaceSelector",
];
/// Patterns that a made-up word does not fit, with one that does.
const PATTERNS: [(&str, &str); 7] = [
    ("^/[A-Za-z0-9._~!$&'()*+,;=:@{}/-]*$", "/x"),
    ("^https?://", "https://x.example"),
    ("^[A-Za-z][A-Za-z0-9+.-]*:[!-~]+$", "x:x"),
    (r"^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$", "1s"),
    ("^(None|ClientIP)$", "None"),
    ("^MCP[0-9]{4}$", "MCP0102"),
    (
        "^[0-9a-f]{64}$",
        "0000000000000000000000000000000000000000000000000000000000000000",
    ),
];

/// The schema of the spec of every kind, by its name in lower case.
pub(super) fn kinds() -> Vec<(String, Value)> {
    crds()
        .into_iter()
        .map(|(kind, spec)| (kind.to_lowercase(), spec))
        .collect()
}

fn crds() -> Vec<(String, Value)> {
    let mut paths: Vec<_> = fs::read_dir(repository().join("manifests/crds"))
        .expect("the CRDs are there")
        .map(|entry| entry.expect("it can be read").path())
        .collect();
    paths.sort();
    let read = |path: std::path::PathBuf| {
        let text = fs::read_to_string(path).expect("a CRD is text");
        let crd: Value = serde_saphyr::from_str(&text).expect("a CRD is YAML");
        let kind = crd["spec"]["names"]["kind"]
            .as_str()
            .expect("it has a kind")
            .to_owned();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        (kind, schema["properties"]["spec"].clone())
    };
    paths.into_iter().map(read).collect()
}

/// The files that break every bound, without what the API server says to them.
pub(super) fn cases() -> Vec<Case> {
    let breakers = || runs().map(|(keyword, depth)| Breaker::new(keyword, depth, false));
    crds()
        .iter()
        .flat_map(|crd| {
            breakers()
                .filter_map(move |breaker| breaker.case(crd))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// The same for texts that are too long for a file. What must be refused is in it by its path.
pub(super) fn long() -> Vec<Case> {
    crds()
        .iter()
        .filter_map(|crd| Breaker::new("maxLength", None, true).case(crd))
        .collect()
}

/// What is broken by one object each: a keyword, and for [`REQUIRED`] the depth.
fn runs() -> impl Iterator<Item = (&'static str, Option<usize>)> {
    let keywords = KEYWORDS.iter().map(|keyword| (*keyword, None));
    keywords.chain((0..DEPTH).map(|depth| (REQUIRED, Some(depth))))
}

fn short(keyword: &str) -> &str {
    keyword.strip_prefix("x-kubernetes-").unwrap_or(keyword)
}

/// Every place at which the API server must refuse something in [`cases`]: kind and path.
pub(super) fn all() -> BTreeSet<(String, String)> {
    let mut places = BTreeSet::new();
    for (kind, spec) in kinds() {
        for (keyword, depth) in runs() {
            let mut breaker = Breaker::new(keyword, depth, false);
            breaker.value(&spec, "spec", 0);
            places.extend(breaker.broken.into_iter().map(|path| (kind.clone(), path)));
        }
    }
    places
}

/// Breaks every bound of one keyword.
struct Breaker {
    keyword: &'static str,
    /// For [`REQUIRED`]: the depth at which it is broken.
    depth: Option<usize>,
    /// Whether only texts are broken that are too long for a file, or only others.
    long: bool,
    /// Where it was broken.
    broken: Vec<String>,
}

impl Breaker {
    fn new(keyword: &'static str, depth: Option<usize>, long: bool) -> Self {
        Self {
            keyword,
            depth,
            long,
            broken: Vec::new(),
        }
    }

    /// The object of a kind that breaks the keyword; none where nothing can.
    fn case(mut self, (kind, spec): &(String, Value)) -> Option<Case> {
        let broken = self.value(spec, "spec", 0)?;
        let object = json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": kind, "metadata": {"name": "probe"}, "spec": broken
        });
        let folder = kind.to_lowercase();
        let depth = self
            .depth
            .map(|depth| format!("-{depth}"))
            .unwrap_or_default();
        Some(Case {
            name: format!("{folder}/bounds-{}{depth}.yaml", short(self.keyword)),
            kind: folder,
            refused: if self.long {
                self.broken.into_iter().collect()
            } else {
                BTreeSet::new()
            },
            codes: Vec::new(),
            documents: vec![serde_saphyr::to_string(&object).expect("JSON is YAML")],
        })
    }

    /// A value that breaks the keyword in as many places as it can; none where the schema has no such bound.
    fn value(&mut self, schema: &Value, path: &str, depth: usize) -> Option<Value> {
        if FOREIGN.contains(&path) {
            return None;
        }
        match schema["type"].as_str() {
            Some("object") => self.object(schema, path, depth),
            Some("array") => self.array(schema, path, depth),
            _ => {
                if (schema[self.keyword].as_u64() > Some(LONGEST) && self.keyword == "maxLength")
                    != self.long
                {
                    return None;
                }
                let broken = beyond(schema, self.keyword)?;
                self.broken.push(path.to_owned());
                Some(broken)
            }
        }
    }

    fn object(&mut self, schema: &Value, path: &str, depth: usize) -> Option<Value> {
        let required = names(&schema["required"]);
        if self.depth == Some(depth) && !required.is_empty() {
            self.broken
                .extend(required.iter().map(|name| format!("{path}.{name}")));
            return Some(json!({}));
        }
        let mut object = Map::new();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            if let Some(broken) = self.value(property, &format!("{path}.{name}"), depth + 1) {
                object.insert(name.clone(), broken);
            }
        }
        if object.is_empty() {
            return None;
        }
        for name in required {
            object
                .entry(&name)
                .or_insert_with(|| within(&schema["properties"][&name], 0));
        }
        Some(Value::Object(object))
    }

    fn array(&mut self, schema: &Value, path: &str, depth: usize) -> Option<Value> {
        let item = self.value(&schema["items"], &format!("{path}[0]"), depth + 1);
        let number = |key: &str| {
            schema[key]
                .as_u64()
                .and_then(|bound| usize::try_from(bound).ok())
        };
        let items = |count: usize| (0..count).map(|index| within(&schema["items"], index));
        match self.keyword {
            "maxItems" => {
                let Some(most) = number("maxItems") else {
                    return item.map(|item| json!([item]));
                };
                self.broken.push(path.to_owned());
                let rest = items(most + 1).skip(usize::from(item.is_some()));
                Some(item.into_iter().chain(rest).collect())
            }
            "minItems" if number("minItems").is_some_and(|fewest| fewest > 0) => {
                self.broken.push(path.to_owned());
                Some(json!([]))
            }
            "x-kubernetes-list-map-keys" if schema.get(self.keyword).is_some() => {
                self.broken.push(format!("{path}[1]"));
                Some(json!([
                    within(&schema["items"], 0),
                    within(&schema["items"], 0)
                ]))
            }
            _ => item.map(|item| json!([item])),
        }
    }
}

/// A scalar that breaks the bound; none where there is no such bound.
fn beyond(schema: &Value, keyword: &str) -> Option<Value> {
    let bound = schema.get(keyword)?;
    let number = || {
        bound
            .as_f64()
            .and_then(|bound| format!("{bound:.0}").parse::<i64>().ok())
    };
    match keyword {
        "maxLength" => Some("x".repeat(usize::try_from(number()?).ok()? + 1).into()),
        "minLength" => (number()? > 0).then(|| "".into()),
        "pattern" => Some(" ".into()),
        "enum" => Some("no-such-word".into()),
        "format" => (bound == "date-time").then(|| "yesterday".into()),
        "maximum" => Some((number()? + 1).into()),
        "minimum" => Some((number()? - 1).into()),
        _ => None,
    }
}

/// A value within all bounds, as short as may be; the `index`th of several that differ.
fn within(schema: &Value, index: usize) -> Value {
    if let Some(first) = schema["enum"].as_array().and_then(|words| words.first()) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("object") => names(&schema["required"])
            .into_iter()
            .map(|name| {
                let value = within(&schema["properties"][&name], index);
                (name, value)
            })
            .collect::<Map<_, _>>()
            .into(),
        Some("array") => {
            let fewest = schema["minItems"].as_u64().unwrap_or_default();
            (0..fewest)
                .map(|_| within(&schema["items"], index))
                .collect()
        }
        Some("string") if schema["format"] == "date-time" => "2030-01-01T00:00:00Z".into(),
        Some("string") => {
            let pattern = schema["pattern"].as_str().unwrap_or_default();
            let known = PATTERNS.iter().find(|(known, _)| *known == pattern);
            known.map_or_else(|| format!("x{index}").into(), |(_, word)| (*word).into())
        }
        Some("boolean") => false.into(),
        _ => schema["minimum"].as_f64().map_or_else(
            || 1.into(),
            |least| format!("{least:.0}").parse::<i64>().unwrap_or(1).into(),
        ),
    }
}

fn names(list: &Value) -> Vec<String> {
    let names = list
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    names.map(str::to_owned).collect()
}
