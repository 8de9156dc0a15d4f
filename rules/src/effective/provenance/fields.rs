//! Every field of an MCPPolicy that says something about a namespace, and what holds of it.

use api::{Defaults, Enforcement, Limits, MCPPolicySpec, Trust, duration};
use serde_json::{Map, Value, json};

use super::{Combined, Given, Line};
use crate::effective::{Effective, INGRESS_CLASS, PATH_TEMPLATE, SESSIONS_PER_REQUESTER};
use crate::parse::image::ImageRef;
use crate::parse::path::is_segment_prefix;
use crate::parse::{host, quantity};
use crate::policy::PolicySet;
use crate::registry::find;
use crate::rules::say;

/// A field, how it is combined, and what holds by the functions that decide.
pub(super) type Field = (
    &'static str,
    Combined,
    fn(&Sources<'_>, &str) -> Option<Value>,
);

pub(super) const FIELDS: [Field; 42] = [
    ("defaults.ingressHost", Combined::MostSpecific, |s, _| {
        s.default(|defaults| Some(json!(defaults.ingress_host.as_ref()?)))
    }),
    ("defaults.ingressClass", Combined::MostSpecific, |s, _| {
        let given = s.default(|defaults| Some(json!(defaults.ingress_class.as_ref()?)));
        given.or_else(|| Some(json!(INGRESS_CLASS)))
    }),
    (
        "defaults.ingressTLSSecret",
        Combined::MostSpecific,
        |s, _| s.default(|defaults| Some(json!(defaults.ingress_tls_secret.as_ref()?))),
    ),
    ("defaults.pathTemplate", Combined::MostSpecific, |s, _| {
        let given = s.default(|defaults| Some(json!(defaults.path_template.as_ref()?)));
        given.or_else(|| Some(json!(PATH_TEMPLATE)))
    }),
    ("defaults.resources", Combined::MostSpecific, |s, _| {
        serde_json::to_value(&s.effective.resources).ok()
    }),
    (
        "defaults.imagePullSecrets",
        Combined::MostSpecific,
        |s, _| {
            let secrets = &s.effective.image_pull_secrets;
            (!secrets.is_empty()).then(|| json!(secrets))
        },
    ),
    ("defaults.labels", Combined::MostSpecific, |s, _| s.labels()),
    ("registry", Combined::MostSpecific, |s, _| {
        serde_json::to_value(s.policies.registry()?.1).ok()
    }),
    ("gateway.image", Combined::MostSpecific, |s, _| {
        Some(json!(s.effective.gateway.image.as_ref()?))
    }),
    ("images.allowedRegistries", Combined::Every, |s, field| {
        s.every(field, |broad, narrow| {
            ImageRef::parse(&format!("{narrow}/x")).is_ok_and(|image| image.matches(broad))
        })
    }),
    ("images.requireDigest", Combined::Any, |s, _| {
        s.asked("MCP0104")
    }),
    ("images.forbidMutableTags", Combined::Any, |s, _| {
        s.asked("MCP0103")
    }),
    ("images.catalogOnly", Combined::Any, |s, _| {
        s.asked("MCP0109")
    }),
    ("images.catalogs", Combined::Every, |s, field| s.only(field)),
    ("ingress.allowedHosts", Combined::Every, |s, field| {
        s.every(field, host::covers)
    }),
    ("ingress.requireHost", Combined::Any, |s, _| {
        s.asked("MCP0202")
    }),
    ("ingress.requireTLS", Combined::Any, |s, _| {
        s.asked("MCP0209")
    }),
    ("ingress.allowedClasses", Combined::Every, |s, field| {
        s.same(field)
    }),
    ("ingress.allowedAnnotations", Combined::Every, |s, field| {
        s.every(field, |broad, narrow| {
            broad
                .strip_suffix('*')
                .is_some_and(|beginning| narrow.starts_with(beginning))
        })
    }),
    (
        "ingress.allowedPathPrefixes",
        Combined::Every,
        |s, field| {
            let fill = |text: &str| text.replace("{namespace}", s.namespace);
            s.every(field, |broad, narrow| {
                is_segment_prefix(&fill(broad), &fill(narrow))
            })
        },
    ),
    (
        "ingress.allowWildcardHosts",
        Combined::Relaxed,
        |s, field| Some(json!(s.relaxed("MCP0212", field, true))),
    ),
    ("access.requireGateway", Combined::Any, |s, _| {
        s.asked("MCP0401")
    }),
    ("access.allowedAuthModes", Combined::Every, |s, field| {
        s.same(field)
    }),
    ("access.allowedIssuers", Combined::Every, |s, field| {
        s.same(field)
    }),
    ("access.forbidObserve", Combined::Any, |s, _| {
        s.asked("MCP0406")
    }),
    ("access.maxTrust", Combined::Lowest, |s, _| {
        Some(json!(s.effective.access.max_trust?))
    }),
    ("access.maxGrantLifetime", Combined::Lowest, |s, _| {
        Some(json!(say(s.effective.access.max_grant_lifetime?)))
    }),
    ("access.maxSessionLifetime", Combined::Lowest, |s, _| {
        Some(json!(say(s.effective.session.max_lifetime)))
    }),
    ("access.maxStaleness", Combined::Lowest, |s, _| {
        Some(json!(say(s.effective.access.max_staleness)))
    }),
    ("access.teams", Combined::Union, |s, _| {
        let teams = &s.effective.access.teams;
        (!teams.is_empty()).then(|| json!(teams))
    }),
    ("access.requireReason", Combined::Any, |s, _| {
        s.asked("MCP0609")
    }),
    ("access.fourEyesFor", Combined::Union, |s, field| {
        s.union(field)
    }),
    ("workload.forbidLiteralSecrets", Combined::Any, |s, _| {
        s.asked("MCP0308")
    }),
    (
        "workload.forbidHostAccess",
        Combined::Relaxed,
        |s, field| Some(json!(!s.relaxed("MCP0310", field, false))),
    ),
    (
        "workload.allowedServiceAccounts",
        Combined::Every,
        |s, field| s.same(field),
    ),
    ("limits.serversPerNamespace", Combined::Lowest, |s, _| {
        s.least(|limits| limits.servers_per_namespace)
    }),
    ("limits.replicas", Combined::Lowest, |s, _| {
        s.least(|limits| limits.replicas)
    }),
    ("limits.toolsPerServer", Combined::Lowest, |s, _| {
        s.least(|limits| limits.tools_per_server)
    }),
    ("limits.sessionsPerRequester", Combined::Lowest, |s, _| {
        let given = s.least(|limits| limits.sessions_per_requester);
        given.or_else(|| Some(json!(SESSIONS_PER_REQUESTER)))
    }),
    ("limits.cpu", Combined::Lowest, |s, _| {
        s.smallest(|limits| limits.cpu.as_ref())
    }),
    ("limits.memory", Combined::Lowest, |s, _| {
        s.smallest(|limits| limits.memory.as_ref())
    }),
    ("egress.allowed", Combined::Every, |s, field| s.only(field)),
];

/// The policies in the forms that the fields need.
pub(super) struct Sources<'a> {
    pub(super) policies: &'a PolicySet,
    pub(super) namespace: &'a str,
    /// Of a server that says nothing itself.
    pub(super) effective: Effective,
    /// Name and spec of each policy, most specific first.
    pub(super) specs: Vec<(String, Value)>,
}

impl Sources<'_> {
    pub(super) fn line(&self, (field, combined, holds): &Field) -> Option<Line> {
        let mut given: Vec<_> = self
            .given(field)
            .map(|(policy, value)| Given {
                policy: policy.to_owned(),
                value,
                counts: true,
            })
            .collect();
        let holds = match holds(self, field) {
            Some(holds) => holds,
            None if given.is_empty() => return None,
            None => Value::Null,
        };
        let found: Vec<_> = given.iter().map(|given| given.value.clone()).collect();
        for (index, given) in given.iter_mut().enumerate() {
            given.counts = match combined {
                Combined::MostSpecific => *field == "defaults.labels" || index == 0,
                Combined::Union | Combined::Every => true,
                Combined::Any | Combined::Relaxed => given.value == holds,
                Combined::Lowest => found.iter().all(|other| !below(other, &given.value)),
            };
        }
        Some(Line {
            field,
            combined: *combined,
            holds,
            given,
        })
    }

    /// What each policy says of a field that says something.
    fn given(&self, field: &str) -> impl Iterator<Item = (&str, Value)> {
        let pointer = format!("/{}", field.replace('.', "/"));
        self.specs.iter().filter_map(move |(policy, spec)| {
            let value = match spec.pointer(&pointer) {
                Some(value) => value.clone(),
                // True when absent, but only where a policy speaks of exposure at all.
                None if pointer == "/ingress/requireHost" && spec.get("ingress").is_some() => {
                    json!(true)
                }
                None => return None,
            };
            Some((policy.as_str(), value))
        })
    }

    fn default(&self, pick: fn(&Defaults) -> Option<Value>) -> Option<Value> {
        self.policies.default_of(pick).map(|(_, value)| value)
    }

    /// Key by key the most specific policy's.
    fn labels(&self) -> Option<Value> {
        let mut labels = Map::new();
        for (_, spec) in self.policies.iter() {
            for (key, value) in spec.defaults.iter().flat_map(|defaults| &defaults.labels) {
                labels.entry(key).or_insert_with(|| json!(value));
            }
        }
        (!labels.is_empty()).then_some(Value::Object(labels))
    }

    /// Whether some policy asks for what the rule is about.
    fn asked(&self, code: &str) -> Option<Value> {
        let asks = find(code)?.meta().mentions;
        self.policies.any(asks).then_some(json!(true))
    }

    /// Whether a rule that holds by default is off where a policy has `value` in the field.
    fn relaxed(&self, code: &str, field: &str, value: bool) -> bool {
        let relaxing = self.given(field).filter(|(_, given)| *given == value);
        let relaxing: Vec<_> = relaxing.map(|(policy, _)| policy.to_owned()).collect();
        let Some(rule) = find(code) else { return false };
        let mentions = rule.meta().mentions;
        self.policies.enforcement(code, mentions, &relaxing) == Some(Enforcement::Off)
    }

    fn least(&self, pick: fn(&Limits) -> Option<i32>) -> Option<Value> {
        let lowest = self.policies.lowest(|spec| pick(spec.limits.as_ref()?));
        lowest.map(|(_, least)| json!(least))
    }

    fn smallest(&self, pick: fn(&Limits) -> Option<&String>) -> Option<Value> {
        let amount = |spec: &MCPPolicySpec| quantity::parse(pick(spec.limits.as_ref()?)?).ok();
        let (policy, _) = self.policies.lowest(amount)?;
        let (_, spec) = self.policies.iter().find(|(name, _)| *name == policy)?;
        Some(json!(pick(spec.limits.as_ref()?)?))
    }

    /// All entries of all policies.
    fn union(&self, field: &str) -> Option<Value> {
        let mut all = Vec::new();
        for entry in self.given(field).flat_map(|(_, list)| entries(list)) {
            if !all.contains(&entry) {
                all.push(entry);
            }
        }
        (!all.is_empty()).then_some(Value::Array(all))
    }

    /// The list where one policy has it; of several, nobody can say in a list what satisfies all.
    fn only(&self, field: &str) -> Option<Value> {
        let mut lists = self.given(field).map(|(_, list)| list);
        let first = lists.next()?;
        lists.all(|list| list == first).then_some(first)
    }

    /// What is in every policy's list.
    fn same(&self, field: &str) -> Option<Value> {
        self.every(field, |_, _| false)
    }

    /// What satisfies every policy's list. `covers` says whether the first entry allows all that the second does.
    fn every(&self, field: &str, covers: impl Fn(&str, &str) -> bool) -> Option<Value> {
        let wider = |broad: &Value, narrow: &Value| match (broad.as_str(), narrow.as_str()) {
            (Some(broad), Some(narrow)) => broad == narrow || covers(broad, narrow),
            _ => broad == narrow,
        };
        let mut lists = self.given(field).map(|(_, list)| entries(list));
        let mut all = lists.next()?;
        for list in lists {
            let mut both: Vec<Value> = Vec::new();
            for (one, other) in all
                .iter()
                .flat_map(|one| list.iter().map(move |other| (one, other)))
            {
                let narrower = match () {
                    () if wider(other, one) => one,
                    () if wider(one, other) => other,
                    () => continue,
                };
                if !both.contains(narrower) {
                    both.push(narrower.clone());
                }
            }
            all = both;
        }
        Some(Value::Array(all))
    }
}

fn entries(list: Value) -> Vec<Value> {
    match list {
        Value::Array(entries) => entries,
        other => vec![other],
    }
}

/// Whether one limit is lower than another: numbers, durations, quantities and words of trust.
fn below(one: &Value, other: &Value) -> bool {
    if let (Some(one), Some(other)) = (one.as_i64(), other.as_i64()) {
        return one < other;
    }
    let (Some(one), Some(other)) = (one.as_str(), other.as_str()) else {
        return false;
    };
    if let (Ok(one), Ok(other)) = (duration::parse(one), duration::parse(other)) {
        return one < other;
    }
    if let (Ok(one), Ok(other)) = (quantity::parse(one), quantity::parse(other)) {
        return one < other;
    }
    let trust = |word: &str| serde_json::from_value::<Trust>(json!(word)).ok();
    matches!((trust(one), trust(other)), (Some(one), Some(other)) if one < other)
}
