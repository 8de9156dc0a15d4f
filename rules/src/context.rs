//! What a rule is given, and what it writes into.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use api::{
    MCPAccessGrantSpec, MCPAgentSessionSpec, MCPPolicySpec, MCPPrompt, MCPPromptSpec,
    MCPRegistrySpec, MCPResource, MCPResourceSpec, MCPServerSpec, MCPTool, MCPToolSpec,
};
use jiff::Timestamp;
use serde_json::Value;

use crate::effective::{Effective, of_spec};
use crate::facts::{
    CatalogueFact, Facts, Known, Labels, LiveServer, Operation, Requester, SecretFact, ServerFact,
    ServiceFact,
};
use crate::finding::{Draft, Weight};
use crate::kind::Kind;
use crate::parse::image::ImageRef;
use crate::parse::meant::label;
use crate::parse::name::{is_dns_1035, longest_name};
use crate::parse::route::Route;
use crate::policy::PolicySet;
use crate::references::{Reference, secrets_of};
use crate::registry::Need;
use crate::schema::{self, Typed, Violation};

/// The object under judgement, and everything a rule may look at.
pub struct Context<'a> {
    /// The object's kind.
    pub kind: Kind,
    /// The object as it was given: hostile, maybe not even of the right shape.
    pub object: &'a Value,
    /// What it is to replace.
    pub old: Option<&'a Value>,
    /// Why it is judged.
    pub operation: Operation,
    /// What may be known beyond the object.
    pub facts: &'a Facts,
    /// The object's namespace; empty for a kind of the cluster.
    pub namespace: &'a str,
    /// The object's name; empty where the API server will make one.
    pub name: &'a str,
    policies: Arc<PolicySet>,
    typed: Typed,
    old_typed: Option<Typed>,
    effective: Option<Effective>,
    image: OnceCell<Option<ImageRef>>,
    violations: Vec<Violation>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        kind: Kind,
        object: &'a Value,
        old: Option<&'a Value>,
        operation: Operation,
        facts: &'a Facts,
    ) -> Self {
        let namespace = match (
            kind.is_namespaced(),
            text(object, "/metadata/namespace"),
            facts.namespace.get(),
        ) {
            (true, Some(namespace), _) => namespace,
            (true, None, Some(known)) => &known.name,
            (false, _, _) | (true, None, None) => "",
        };
        let name = text(object, "/metadata/name").unwrap_or_default();
        let policies = if kind == Kind::Policy {
            Arc::default()
        } else {
            facts.selected(namespace)
        };
        let (typed, violations) = schema::read(kind, object);
        let effective = as_server(&typed).map(|spec| of_spec(spec, namespace, name, &policies));
        let old_typed = old.map(|old| schema::read(kind, old).0);
        Self {
            kind,
            object,
            old,
            operation,
            facts,
            namespace,
            name,
            policies,
            typed,
            old_typed,
            effective,
            image: OnceCell::new(),
            violations,
        }
    }

    /// The server's spec with all its effective values.
    pub fn server(&self) -> Option<(&MCPServerSpec, &Effective)> {
        as_server(&self.typed).zip(self.effective.as_ref())
    }

    /// The server's spec before the change.
    pub fn old_server(&self) -> Option<&MCPServerSpec> {
        as_server(self.old_typed.as_ref()?)
    }

    /// The grant's spec.
    pub fn grant(&self) -> Option<&MCPAccessGrantSpec> {
        as_grant(&self.typed)
    }

    /// The grant's spec before the change.
    pub fn old_grant(&self) -> Option<&MCPAccessGrantSpec> {
        as_grant(self.old_typed.as_ref()?)
    }

    /// The session's spec.
    pub fn session(&self) -> Option<&MCPAgentSessionSpec> {
        as_session(&self.typed)
    }

    /// The session's spec before the change.
    pub fn old_session(&self) -> Option<&MCPAgentSessionSpec> {
        as_session(self.old_typed.as_ref()?)
    }

    /// The policy's spec.
    pub fn policy(&self) -> Option<&MCPPolicySpec> {
        as_policy(&self.typed)
    }

    /// The tool's spec.
    pub fn tool(&self) -> Option<&MCPToolSpec> {
        as_tool(&self.typed)
    }

    /// The prompt's spec.
    pub fn prompt(&self) -> Option<&MCPPromptSpec> {
        as_prompt(&self.typed)
    }

    /// The resource's spec.
    pub fn resource(&self) -> Option<&MCPResourceSpec> {
        as_resource(&self.typed)
    }

    /// The catalogue's spec.
    pub fn registry(&self) -> Option<&MCPRegistrySpec> {
        as_registry(&self.typed)
    }

    /// The image as it is to run, as text and taken apart; none where it is no reference, which MCP0101 says.
    pub(crate) fn image(&self) -> Option<(&str, &ImageRef)> {
        let text = self.effective.as_ref()?.image.as_deref()?;
        let image = self.image.get_or_init(|| ImageRef::parse(text).ok());
        Some((text, image.as_ref()?))
    }

    /// The Secrets that the object names, and those that it named before the change.
    pub(crate) fn secrets_named(&self) -> (Vec<Reference>, Vec<Reference>) {
        let before = self.old_typed.as_ref().map(secrets_of);
        (secrets_of(&self.typed), before.unwrap_or_default())
    }

    /// A name for hints: the server's own, or what it probably was meant to be. A hint must not build on a name that is
    /// not given or refused itself.
    pub(crate) fn name_in_hints(&self) -> String {
        if is_dns_1035(self.name) {
            return self.name.to_owned();
        }
        let image = self
            .image()
            .and_then(|(_, image)| image.path().rsplit('/').next());
        let generated =
            text(self.object, "/metadata/generateName").map(|stem| stem.trim_end_matches('-'));
        [Some(self.name), generated, image]
            .into_iter()
            .flatten()
            .find_map(|meant| label(meant, longest_name()))
            .unwrap_or_else(|| "NAME".to_owned())
    }

    /// Whether the object is about to be created without a name and without a beginning of one.
    pub(crate) fn is_nameless(&self) -> bool {
        let given = |key: &str| {
            self.object
                .pointer(key)
                .is_some_and(|name| !name.is_null() && name != "")
        };
        self.creating() && !given("/metadata/name") && !given("/metadata/generateName")
    }

    /// What the schema has against the object.
    pub(crate) fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// A field of the spec by its dotted path, if it was given and is not null.
    pub fn raw(&self, path: &str) -> Option<&'a Value> {
        let mut value = self.object.get("spec")?;
        for key in path.split('.') {
            value = value.get(key)?;
        }
        (!value.is_null()).then_some(value)
    }

    /// An annotation, as it was given.
    pub fn annotation(&self, key: &str) -> Option<&'a str> {
        annotation(self.object, key)
    }

    /// The policies of the object's namespace; none where they are not known.
    pub fn selected(&self) -> &PolicySet {
        &self.policies
    }

    /// The policies of the object's namespace; where they are not known, the rule is noted as unchecked.
    pub fn policies(&self, report: &mut Report) -> Option<&PolicySet> {
        known(&self.facts.policies, Need::Policies, report).map(|_| self.policies.as_ref())
    }

    /// The servers of the object's namespace but the judged one; where they are not known, the rule is noted as
    /// unchecked.
    pub fn other_servers(
        &self,
        report: &mut Report,
    ) -> Option<impl Iterator<Item = &'a ServerFact> + use<'a>> {
        let judged = (self.kind == Kind::Server).then_some(self.name);
        let servers = known(&self.facts.servers, Need::Servers, report)?;
        let others = servers.of(self.namespace).map(AsRef::as_ref);
        Some(others.filter(move |server: &&ServerFact| judged != Some(server.name.as_str())))
    }

    /// The servers anywhere, but the judged one, whose route could overlap with `route`; where they are not known, the
    /// rule is noted as unchecked.
    pub fn rivals(&self, route: &Route, report: &mut Report) -> Option<Vec<&'a ServerFact>> {
        let servers = known(&self.facts.servers, Need::Servers, report)?;
        let near = servers
            .near(route, self.namespace)
            .into_iter()
            .map(AsRef::as_ref);
        let itself =
            |server: &ServerFact| server.namespace == self.namespace && server.name == self.name;
        Some(near.filter(|server| !itself(server)).collect())
    }

    /// The stored servers; where they are not known, the rule is noted as unchecked.
    pub fn live(&self, report: &mut Report) -> Option<&'a [Arc<LiveServer>]> {
        known(&self.facts.live, Need::Servers, report).map(|live| live.as_slice())
    }

    /// The Secrets of the namespace; where they are not known, the rule is noted as unchecked.
    pub fn secrets(&self, report: &mut Report) -> Option<&'a BTreeMap<String, SecretFact>> {
        known(&self.facts.secrets, Need::Secrets, report).map(AsRef::as_ref)
    }

    /// The data of the namespace's ConfigMaps; where they are not known, the rule is noted as unchecked.
    pub fn config_maps(
        &self,
        report: &mut Report,
    ) -> Option<&'a BTreeMap<String, BTreeMap<String, String>>> {
        known(&self.facts.config_maps, Need::ConfigMaps, report).map(AsRef::as_ref)
    }

    /// The Services of the cluster; where they are not known, the rule is noted as unchecked.
    pub fn services(
        &self,
        report: &mut Report,
    ) -> Option<&'a BTreeMap<(String, String), ServiceFact>> {
        known(&self.facts.services, Need::Services, report).map(AsRef::as_ref)
    }

    /// The labels of every namespace; where they are not known, the rule is noted as unchecked.
    pub fn namespaces(&self, report: &mut Report) -> Option<&'a Labels> {
        known(&self.facts.namespaces, Need::Namespaces, report).map(AsRef::as_ref)
    }

    /// The MCPTools of the namespace; where they are not known, the rule is noted as unchecked.
    pub fn tools(&self, report: &mut Report) -> Option<&'a [Arc<MCPTool>]> {
        known(&self.facts.tools, Need::Tools, report).map(|found| found.as_slice())
    }

    /// The MCPPrompts of the namespace; where they are not known, the rule is noted as unchecked.
    pub fn prompts(&self, report: &mut Report) -> Option<&'a [Arc<MCPPrompt>]> {
        known(&self.facts.prompts, Need::Tools, report).map(|found| found.as_slice())
    }

    /// The MCPResources of the namespace; where they are not known, the rule is noted as unchecked.
    pub fn resources(&self, report: &mut Report) -> Option<&'a [Arc<MCPResource>]> {
        known(&self.facts.resources, Need::Tools, report).map(|found| found.as_slice())
    }

    /// The synced catalogues; where they are not known, the rule is noted as unchecked.
    pub fn catalogues(&self, report: &mut Report) -> Option<&'a [CatalogueFact]> {
        known(&self.facts.catalogues, Need::Catalogues, report).map(|found| found.as_slice())
    }

    /// The time; where it is not known, the rule is noted as unchecked.
    pub fn now(&self, report: &mut Report) -> Option<Timestamp> {
        known(&self.facts.now, Need::Time, report).copied()
    }

    /// Who asks; where that is not known, the rule is noted as unchecked.
    pub fn requester(&self, report: &mut Report) -> Option<&'a Requester> {
        known(&self.facts.requester, Need::Requester, report)
    }

    /// Whether the object is about to be created.
    pub fn creating(&self) -> bool {
        self.operation == Operation::Create
    }
}

/// Functions that give the spec of one kind.
macro_rules! specs {
    ($($function:ident: $variant:ident($spec:ty)),+ $(,)?) => {$(
        fn $function(typed: &Typed) -> Option<&$spec> {
            if let Typed::$variant(spec) = typed { Some(spec) } else { None }
        }
    )+};
}

specs! {
    as_server: Server(MCPServerSpec),
    as_grant: Grant(MCPAccessGrantSpec),
    as_session: Session(MCPAgentSessionSpec),
    as_policy: Policy(MCPPolicySpec),
    as_tool: Tool(MCPToolSpec),
    as_prompt: Prompt(MCPPromptSpec),
    as_resource: Resource(MCPResourceSpec),
    as_registry: Registry(MCPRegistrySpec),
}

/// A text by its JSON pointer.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer)?.as_str()
}

/// An annotation, as it was given.
pub(crate) fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object
        .get("metadata")?
        .get("annotations")?
        .get(key)?
        .as_str()
}

/// The fact, or a note that the rule could not be checked.
pub(crate) fn known<'a, T>(fact: &'a Known<T>, need: Need, report: &mut Report) -> Option<&'a T> {
    let value = fact.get();
    if value.is_none() {
        report.unchecked(need);
    }
    value
}

/// What one rule writes into.
#[derive(Debug, Default)]
pub struct Report {
    pub(crate) drafts: Vec<Draft>,
}

impl Report {
    /// Says something about a field.
    pub fn at(&mut self, field: impl Into<String>) -> &mut Draft {
        let at = self.drafts.len();
        self.drafts.push(Draft::at(field));
        &mut self.drafts[at]
    }

    /// Notes that the rule could not look up what it needs.
    pub fn unchecked(&mut self, need: Need) {
        let draft = self.at("");
        draft.must(format!(
            "not checked: {} could not be looked up",
            need.as_str()
        ));
        draft.weight = Weight::Unchecked;
    }

    /// Notes that the rule looked at a part only, and at which.
    pub fn incomplete(&mut self, what: impl std::fmt::Display) {
        let draft = self.at("").must(format!("not checked to the end: {what}"));
        draft.weight = Weight::Unchecked;
    }
}
