//! What virtual servers are made of: MCPTools, MCPPrompts and MCPResources, what each claims of a server that selects it,
//! and which labels a server wants. Asked by the rules MCP0801 to MCP0803.

use std::borrow::Cow;
use std::collections::BTreeMap;

use api::{MCPPromptSpec, MCPResourceSpec, MCPToolSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use crate::context::{Context, Report};
use crate::kind::Kind;
use crate::policy::{Unmet, all_unmet};

/// Labels of an object.
pub(crate) type Labels = BTreeMap<String, String>;

/// Something that one server can have only once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sort {
    /// The name of a tool.
    Tool,
    /// The name of a prompt.
    Prompt,
    /// The URI of a resource.
    Uri,
    /// Method and path of plain HTTP.
    Path,
}

impl Sort {
    /// The sort in words.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool name",
            Self::Prompt => "prompt name",
            Self::Uri => "resource URI",
            Self::Path => "path for plain HTTP",
        }
    }
}

/// What an object claims of the servers that select it.
#[derive(Clone, Debug)]
pub(crate) struct Claim<'a> {
    /// What is claimed.
    pub(crate) sort: Sort,
    /// What two claims must not have in common. In a path all parameters are alike: `GET /docs/{}`.
    pub(crate) key: Cow<'a, str>,
    /// As it was written.
    pub(crate) given: &'a str,
    /// Where it was written.
    pub(crate) field: String,
}

impl Claim<'_> {
    /// What two claims must not have in common.
    pub(crate) fn id(&self) -> (Sort, &str) {
        (self.sort, &self.key)
    }
}

/// The spec of an object that virtual servers select.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spec<'a> {
    Tool(&'a MCPToolSpec),
    Prompt(&'a MCPPromptSpec),
    Resource(&'a MCPResourceSpec),
}

impl<'a> Spec<'a> {
    /// The spec of the judged object; none if no server selects its kind.
    pub(crate) fn judged(context: &'a Context<'_>) -> Option<Self> {
        let tool = context.tool().map(Self::Tool);
        let prompt = || context.prompt().map(Self::Prompt);
        let resource = || context.resource().map(Self::Resource);
        tool.or_else(prompt).or_else(resource)
    }

    /// What it claims of the servers that select it.
    pub(crate) fn claims(self) -> Vec<Claim<'a>> {
        match self {
            Self::Tool(spec) => tool_claims(spec),
            Self::Prompt(spec) => {
                let name = Claim {
                    sort: Sort::Prompt,
                    key: Cow::Borrowed(&spec.name),
                    given: &spec.name,
                    field: "spec.name".to_owned(),
                };
                let path = spec.ingress_path.as_deref();
                let path = path.map(|path| path_claim("GET", path, "spec.ingressPath".to_owned()));
                [Some(name), path].into_iter().flatten().collect()
            }
            Self::Resource(spec) => resource_claims(spec),
        }
    }
}

fn tool_claims(spec: &MCPToolSpec) -> Vec<Claim<'_>> {
    let mut claims = Vec::new();
    for tool in spec.views() {
        let field = |name: &str| match tool.index {
            Some(index) => format!("spec.tools[{index}].{name}"),
            None => format!("spec.{name}"),
        };
        claims.push(Claim {
            sort: Sort::Tool,
            key: Cow::Borrowed(tool.name),
            given: tool.name,
            field: field("name"),
        });
        if let Some(path) = tool.ingress_path {
            claims.push(path_claim(tool.method.as_str(), path, field("ingressPath")));
        }
    }
    claims
}

fn resource_claims(spec: &MCPResourceSpec) -> Vec<Claim<'_>> {
    let uri = spec.content.as_ref().map(|content| Claim {
        sort: Sort::Uri,
        key: Cow::Borrowed(content.uri.as_str()),
        given: &content.uri,
        field: "spec.content.uri".to_owned(),
    });
    let paths = spec
        .operations
        .iter()
        .flatten()
        .enumerate()
        .map(|(index, operation)| {
            let field = format!("spec.operations[{index}].ingressPath");
            path_claim(operation.method.as_str(), &operation.ingress_path, field)
        });
    uri.into_iter().chain(paths).collect()
}

fn path_claim<'a>(method: &str, path: &'a str, field: String) -> Claim<'a> {
    Claim {
        sort: Sort::Path,
        key: Cow::Owned(format!(
            "{method} {}",
            anonymous(path.trim_end_matches('/'))
        )),
        given: path,
        field,
    }
}

/// The path with its parameters all alike.
fn anonymous(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((_, behind)) = after.split_once('}') else {
            break;
        };
        out.push_str(before);
        out.push_str("{}");
        rest = behind;
    }
    out + rest
}

/// An object of the namespace that a server may select.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'a> {
    /// Its kind.
    pub(crate) kind: Kind,
    /// Its name in the cluster.
    pub(crate) name: &'a str,
    /// Its labels; none means no label.
    labels: Option<&'a Labels>,
    /// Its spec.
    pub(crate) spec: Spec<'a>,
}

impl<'a> Item<'a> {
    fn new(kind: Kind, metadata: &'a ObjectMeta, spec: Spec<'a>) -> Self {
        let name = metadata.name.as_deref().unwrap_or_default();
        let labels = metadata.labels.as_ref();
        Self {
            kind,
            name,
            labels,
            spec,
        }
    }

    /// Its labels.
    pub(crate) fn labels(&self) -> &'a Labels {
        static NONE: Labels = Labels::new();
        self.labels.unwrap_or(&NONE)
    }

    /// What a selector wants of it that it does not have.
    pub(crate) fn unmet<'s>(&self, selector: &'s LabelSelector) -> Vec<Unmet<'s>> {
        all_unmet(selector, self.labels()).collect()
    }
}

/// The objects of the namespace that servers select, but the judged one and those that are being deleted; where they are
/// not known, the rule is noted as unchecked.
pub(crate) fn others<'a>(context: &Context<'a>, report: &mut Report) -> Option<Vec<Item<'a>>> {
    let tools = context.tools(report)?.iter();
    let prompts = context.prompts(report)?.iter();
    let resources = context.resources(report)?.iter();
    let tools = tools.map(|tool| (&tool.metadata, Kind::Tool, Spec::Tool(&tool.spec)));
    let prompts =
        prompts.map(|prompt| (&prompt.metadata, Kind::Prompt, Spec::Prompt(&prompt.spec)));
    let resources = resources.map(|resource| {
        (
            &resource.metadata,
            Kind::Resource,
            Spec::Resource(&resource.spec),
        )
    });
    let there = |metadata: &ObjectMeta, kind: Kind| {
        let judged = kind == context.kind && metadata.name.as_deref() == Some(context.name);
        metadata.namespace.as_deref() == Some(context.namespace)
            && metadata.deletion_timestamp.is_none()
            && !judged
    };
    let all = tools.chain(prompts).chain(resources);
    Some(
        all.filter(|(metadata, kind, _)| there(metadata, *kind))
            .map(|(metadata, kind, spec)| Item::new(kind, metadata, spec))
            .collect(),
    )
}

/// The labels of the judged object. What is no text is no label.
pub(crate) fn own_labels(context: &Context<'_>) -> Labels {
    let labels = context
        .object
        .get("metadata")
        .and_then(|metadata| metadata.get("labels"))
        .and_then(serde_json::Value::as_object);
    labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// What to do about a requirement that labels do not meet, as it stands in YAML.
pub(crate) fn remedy(unmet: &Unmet<'_>) -> String {
    let key = unmet.key;
    match (unmet.operator, unmet.values.first()) {
        ("In", Some(value)) => format!("{key}: {value}"),
        ("Exists", _) => format!("{key}: \"true\""),
        ("NotIn", _) => format!("another value of {key}"),
        ("DoesNotExist", _) => format!("no {key}"),
        _ => format!("what '{}' means of {key}", unmet.operator),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_that_differ_only_in_the_names_of_parameters_are_one_claim() {
        for (one, other, same) in [
            ("/docs/{a}", "/docs/{section}/", true),
            ("/docs/{a}", "/docs/a", false),
            ("/docs/{a", "/docs/{b", false),
        ] {
            let key = |path| path_claim("GET", path, String::new()).key.into_owned();
            assert_eq!(key(one) == key(other), same, "{one} {other}");
        }
    }

    #[test]
    fn a_tool_claims_each_of_its_names_and_paths() {
        let spec: MCPToolSpec = serde_json::from_value(json!({
            "service": {"name": "s", "port": 80}, "method": "PUT",
            "tools": [{"name": "a", "ingressPath": "/a"}, {"name": "b", "ingressPath": "/b", "method": "GET"}]
        }))
        .unwrap();
        let claims = Spec::Tool(&spec).claims();
        let claims: Vec<_> = claims
            .iter()
            .map(|claim| (claim.key.as_ref(), claim.field.as_str()))
            .collect();
        assert_eq!(
            claims,
            [
                ("a", "spec.tools[0].name"),
                ("PUT /a", "spec.tools[0].ingressPath"),
                ("b", "spec.tools[1].name"),
                ("GET /b", "spec.tools[1].ingressPath"),
            ]
        );
    }
}
