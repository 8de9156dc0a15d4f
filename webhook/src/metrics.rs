//! The webhook's metrics. Labels come from closed sets: never a name of an object, a namespace or a user.

use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// From 100 us: the API server's own histogram of webhook calls begins at 5 ms, where we should never be.
const BUCKETS: [f64; 13] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
];

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Decision {
    /// `mutate` or `validate`.
    pub door: &'static str,
    /// Kind of the object, or `other`.
    pub kind: &'static str,
    /// `CREATE`, `UPDATE`, `DELETE` or `other`.
    pub operation: &'static str,
    /// `allow`, `deny` or `error`.
    pub decision: &'static str,
    /// Code of the first rule that refuses, in the order in which findings are shown, or `none`: one of the codes that
    /// exist, so that there are no more series than rules.
    pub code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FindingLabels {
    code: &'static str,
    /// `error`, `warning`, `audit` or `unchecked`.
    severity: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Which {
    certificate: &'static str,
}

/// All metrics. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    decisions: Family<Decision, Histogram, fn() -> Histogram>,
    findings: Family<FindingLabels, Counter>,
    rejected: Family<Reason, Counter>,
    access_reviews: Family<Reason, Counter>,
    cached: Family<Kind, Gauge>,
    unreadable: Family<Kind, Gauge>,
    not_after: Family<Which, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            decisions: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            findings: Family::default(),
            rejected: Family::default(),
            access_reviews: Family::default(),
            cached: Family::default(),
            unreadable: Family::default(),
            not_after: Family::default(),
        }
    }
}

impl Metrics {
    /// The registry that `/metrics` prints.
    pub fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("mcp_webhook");
        let own = self.clone();
        registry.register_with_unit(
            "decision",
            "Time from the read body to the answer",
            Unit::Seconds,
            own.decisions,
        );
        registry.register(
            "findings",
            "Findings of the rules, dry runs aside",
            own.findings,
        );
        registry.register(
            "rejected_requests",
            "Requests that were not judged",
            own.rejected,
        );
        registry.register(
            "access_reviews",
            "SubjectAccessReviews by outcome",
            own.access_reviews,
        );
        registry.register(
            "cached_objects",
            "Objects that the rules can see",
            own.cached,
        );
        registry.register(
            "unreadable_objects",
            "Objects that do not parse and are left out",
            own.unreadable,
        );
        registry.register_with_unit(
            "certificate_not_after",
            "When a certificate ends, as a Unix time",
            Unit::Seconds,
            own.not_after,
        );
        registry
    }

    /// A request was judged.
    pub fn decided(&self, decision: &Decision, took: Duration) {
        self.decisions
            .get_or_create(decision)
            .observe(took.as_secs_f64());
    }

    /// A rule found something.
    pub fn found(&self, code: &'static str, severity: &'static str) {
        self.findings
            .get_or_create(&FindingLabels { code, severity })
            .inc();
    }

    /// A request was turned away unjudged.
    pub fn rejected(&self, reason: &'static str) {
        self.rejected.get_or_create(&Reason { reason }).inc();
    }

    /// A SubjectAccessReview ended, or was answered from the cache.
    pub fn asked(&self, reason: &'static str) {
        self.access_reviews.get_or_create(&Reason { reason }).inc();
    }

    /// How many objects of a kind are cached, and how many could not be read.
    pub fn cached(&self, kind: &'static str, cached: usize, unreadable: usize) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.cached.get_or_create(&Kind { kind }).set(gauge(cached));
        self.unreadable
            .get_or_create(&Kind { kind })
            .set(gauge(unreadable));
    }

    /// When the certificate `which` (`leaf` or `ca`) ends.
    pub fn expires(&self, which: &'static str, not_after: Timestamp) {
        self.not_after
            .get_or_create(&Which { certificate: which })
            .set(not_after.as_second());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use prometheus_client::encoding::text::encode;

    use super::*;

    /// What the API server itself counts.
    const FOREIGN: [&str; 2] = [
        "apiserver_admission_webhook_rejection_count",
        "apiserver_admission_webhook_fail_open_count",
    ];

    /// Every metric with a sample.
    fn shown() -> String {
        let metrics = Metrics::default();
        let decision = Decision {
            door: "validate",
            kind: "MCPServer",
            operation: "CREATE",
            decision: "deny",
            code: "MCP0102",
        };
        metrics.decided(&decision, Duration::from_micros(80));
        metrics.found("MCP0102", "audit");
        metrics.rejected("busy");
        metrics.asked("timeout");
        metrics.cached("MCPServer", 1, 0);
        metrics.expires("leaf", Timestamp::UNIX_EPOCH);
        let mut text = String::new();
        encode(&mut text, &metrics.registry()).unwrap();
        text
    }

    fn read(path: &str) -> String {
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path))
            .unwrap()
    }

    /// The words of a text that begin so.
    fn words<'a>(text: &'a str, beginning: &str) -> BTreeSet<&'a str> {
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| word.starts_with(beginning))
            .collect()
    }

    #[test]
    fn decisions_are_counted_from_a_hundred_microseconds_by_what_and_never_by_whom() {
        let text = shown();
        let first = text.lines().find(|line| line.contains("_bucket{")).unwrap();
        for label in [
            r#"le="0.0001""#,
            r#"kind="MCPServer""#,
            r#"operation="CREATE""#,
            r#"decision="deny""#,
            r#"code="MCP0102""#,
        ] {
            assert!(first.contains(label), "{label} is not in {first}");
        }
        assert!(first.ends_with(" 1"), "{first}");
    }

    #[test]
    fn every_metric_that_an_alert_or_the_page_names_is_registered() {
        let shown = shown();
        let samples: BTreeSet<&str> = shown
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split(['{', ' ']).next())
            .collect();
        for file in ["manifests/alerts/kubectl-mcp.yaml", "docs/operations.md"] {
            let text = read(file);
            let named = words(&text, "mcp_webhook_");
            assert!(named.len() > 5, "{file} names only {named:?}");
            for name in named {
                let histogram = format!("{name}_count");
                assert!(
                    samples.contains(name) || samples.contains(histogram.as_str()),
                    "{file}: nobody counts {name}"
                );
            }
            for name in words(&text, "apiserver_") {
                assert!(FOREIGN.contains(&name), "{file}: {name} is not known");
            }
        }
    }

    #[test]
    fn every_alert_has_a_section_on_the_page() {
        let page = read("docs/operations.md");
        let alerts = read("manifests/alerts/kubectl-mcp.yaml");
        let names: Vec<&str> = alerts
            .lines()
            .filter_map(|line| line.strip_prefix("  - alert: "))
            .collect();
        assert!(names.len() >= 10, "{names:?}");
        for name in names {
            assert!(
                page.contains(&format!("\n### {name}\n")),
                "{name} is not explained"
            );
            let runbook = format!("runbook: docs/operations.md#{}\n", name.to_lowercase());
            assert!(
                alerts.contains(&runbook),
                "{name} does not name its section"
            );
        }
    }

    #[test]
    fn every_label_that_an_alert_groups_by_exists() {
        let shown = shown();
        let alerts = read("manifests/alerts/kubectl-mcp.yaml");
        for grouped in alerts
            .split("by (")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            for label in grouped.split(", ") {
                assert!(
                    shown.contains(&format!("{label}=\"")),
                    "no metric has the label {label}"
                );
            }
        }
    }
}
