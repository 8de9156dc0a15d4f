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
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FindingLabels {
    code: &'static str,
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
