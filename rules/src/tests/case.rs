//! The fixtures of the rules: what one says, and how it is judged.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::{nothing_there, root, server_fact};
use crate::check::check_by;
use crate::{
    CatalogueFact, Facts, Findings, Known, Labels, LiveServer, NamespaceFacts, Question, REGISTRY,
    Rule, SecretFact, ServiceFact, ServicePortFact, default, questions,
};

/// One case: the objects, and what there is besides.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    #[serde(default)]
    facts: CaseFacts,
    /// The object comes as it is, without passing the mutating door first.
    #[serde(default)]
    raw: bool,
    #[serde(default)]
    pub(super) old: Option<Value>,
    #[serde(default)]
    pub(super) new: Option<Value>,
}

/// What there is besides the object: everything is known, and what is not said is not there.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CaseFacts {
    #[serde(default)]
    policies: Vec<api::MCPPolicy>,
    #[serde(default)]
    servers: Vec<Value>,
    #[serde(default)]
    grants: Vec<api::MCPAccessGrant>,
    #[serde(default)]
    sessions: Vec<api::MCPAgentSession>,
    #[serde(default)]
    tools: Vec<api::MCPTool>,
    #[serde(default)]
    prompts: Vec<api::MCPPrompt>,
    #[serde(default)]
    resources: Vec<api::MCPResource>,
    #[serde(default)]
    ingress_classes: Option<Vec<String>>,
    /// Labels by name. Without it there is team-a, without labels.
    #[serde(default)]
    namespaces: Option<Labels>,
    /// Secrets of the object's namespace, by name.
    #[serde(default)]
    secrets: BTreeMap<String, CaseSecret>,
    /// Data of the ConfigMaps of the object's namespace, by name.
    #[serde(default)]
    config_maps: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(default)]
    services: Vec<CaseService>,
    #[serde(default)]
    catalogues: Vec<CaseCatalogue>,
    /// What every SubjectAccessReview says. Unless it says otherwise, the requester has the verb `grant` and may read
    /// every Secret, and has no other verb.
    #[serde(default)]
    answers: Option<bool>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseSecret {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    keys: BTreeSet<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CaseService {
    namespace: String,
    name: String,
    #[serde(default)]
    ports: Vec<CasePort>,
    #[serde(default)]
    external_name: bool,
    #[serde(default)]
    headless: bool,
    #[serde(default)]
    endpoints: Option<bool>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct CasePort {
    #[serde(default)]
    name: Option<String>,
    port: u16,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseCatalogue {
    namespace: String,
    name: String,
    #[serde(default)]
    repositories: BTreeSet<String>,
    #[serde(default)]
    digests: BTreeSet<String>,
}

fn arcs<T>(items: Vec<T>) -> Known<Arc<Vec<Arc<T>>>> {
    items.into_iter().map(Arc::new).collect::<Vec<_>>().into()
}

fn live(server: &Value) -> Arc<LiveServer> {
    let text = |pointer: &str| {
        server
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    Arc::new(LiveServer {
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name"),
        text: server.to_string().into(),
    })
}

impl CaseFacts {
    fn facts(&self) -> Facts {
        let mut facts = nothing_there();
        facts.policies = arcs(self.policies.clone());
        facts.servers = self
            .servers
            .iter()
            .map(server_fact)
            .collect::<Vec<_>>()
            .into();
        facts.live = self.servers.iter().map(live).collect::<Vec<_>>().into();
        facts.grants = arcs(self.grants.clone());
        facts.sessions = arcs(self.sessions.clone());
        facts.tools = arcs(self.tools.clone());
        facts.prompts = arcs(self.prompts.clone());
        facts.resources = arcs(self.resources.clone());
        if let Some(classes) = &self.ingress_classes {
            facts.ingress_classes = classes.clone().into();
        }
        if let Some(namespaces) = &self.namespaces {
            let labels = namespaces.get("team-a").cloned().unwrap_or_default();
            facts.namespace = NamespaceFacts {
                name: "team-a".to_owned(),
                labels,
            }
            .into();
            facts.namespaces = namespaces.clone().into();
        }
        facts.config_maps = self.config_maps.clone().into();
        self.others(&mut facts);
        facts
    }

    fn others(&self, facts: &mut Facts) {
        let secrets = self.secrets.clone().into_iter().map(|(name, secret)| {
            let CaseSecret { kind, keys, labels } = secret;
            (name, SecretFact { kind, keys, labels })
        });
        facts.secrets = secrets.collect::<BTreeMap<_, _>>().into();
        let services = self.services.iter().map(|service| {
            let ports = service.ports.iter().map(|port| ServicePortFact {
                name: port.name.clone(),
                port: port.port,
            });
            let fact = ServiceFact {
                ports: ports.collect(),
                external_name: service.external_name,
                headless: service.headless,
                endpoints: service.endpoints.map_or(Known::Unknown, Known::Known),
                labels: service.labels.clone(),
            };
            ((service.namespace.clone(), service.name.clone()), fact)
        });
        facts.services = services.collect::<BTreeMap<_, _>>().into();
        let catalogues = self.catalogues.iter().map(|catalogue| CatalogueFact {
            namespace: catalogue.namespace.clone(),
            name: catalogue.name.clone(),
            repositories: catalogue.repositories.clone(),
            digests: catalogue.digests.clone(),
        });
        facts.catalogues = catalogues.collect::<Vec<_>>().into();
    }
}

impl Case {
    /// What the case says that there is.
    pub(super) fn facts(&self) -> Facts {
        self.facts.facts()
    }

    /// What all rules say to it.
    pub(super) fn findings(&self) -> Findings {
        self.findings_by(REGISTRY)
    }

    /// What some rules say to it, by the way that an object takes through the webhook.
    pub(super) fn findings_by(&self, rules: &[&dyn Rule]) -> Findings {
        let mut facts = self.facts();
        let mut new = self.new.clone();
        if let Some(new) = new.as_mut().filter(|_| !self.raw) {
            default(new, self.old.as_ref(), &facts);
        }
        let asked: Vec<Question> = questions(new.as_ref(), self.old.as_ref(), &facts);
        facts.answers = asked
            .into_iter()
            .map(|question| {
                let answer = self
                    .facts
                    .answers
                    .unwrap_or(["grant", "get"].contains(&question.verb));
                (question, answer)
            })
            .collect();
        check_by(rules, new.as_ref(), self.old.as_ref(), &facts)
    }
}

/// The cases of a rule, by their file names.
pub(super) fn cases(code: &str) -> Vec<(String, Case)> {
    let folder = root().join("tests/fixtures/rules").join(code);
    // Where there is none, the test that asks for fixtures says so.
    let Ok(files) = fs::read_dir(&folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = files.map(|f| f.unwrap().path()).collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let case =
                serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                case,
            )
        })
        .collect()
}
