//! The gateway's metrics. No label has a value that a caller can make up.

use std::collections::HashMap;
use std::time::Duration;

use access::{Reason, Standing};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::definitions::hygiene::Finding;
use crate::policy::Source;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It passed.
    Allow,
    /// It did not.
    Deny,
    /// It passed because the policy only observes.
    WouldDeny,
}

impl Decision {
    /// The word in audit lines and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::WouldDeny => "would-deny",
        }
    }
}

/// What is sent away in batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Audit lines.
    Audit,
    /// Spans.
    Traces,
}

/// What became of an offered bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "the words of `policy::Offered`, and Refused for an error"
)]
pub enum ReloadResult {
    Taken,
    Known,
    Older,
    Refused,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    rpc_method: &'static str,
    decision: &'static str,
    reason: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    rpc_method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    source: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BatchLabels {
    of: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StandingLabels {
    standing: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FindingLabels {
    finding: &'static str,
}

/// The metrics, to be counted up from everywhere.
#[derive(Debug)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    duration: Family<MethodLabels, Histogram>,
    inflight: Gauge,
    reloads: Family<ReloadLabels, Counter>,
    sequence: Gauge,
    age: Gauge,
    audit_dropped: Counter,
    spans_dropped: Counter,
    batches: Family<BatchLabels, Counter>,
    streams: Gauge,
    redis: Gauge,
    tools: Family<StandingLabels, Gauge>,
    findings: Family<FindingLabels, Gauge>,
    stray_requests: Counter,
}

fn histogram() -> Histogram {
    Histogram::new([
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
    ])
}

impl Metrics {
    /// The metrics, and the registry that the admin port shows.
    pub fn new() -> (Self, Registry) {
        let metrics = Self {
            requests: Family::default(),
            duration: Family::new_with_constructor(histogram),
            inflight: Gauge::default(),
            reloads: Family::default(),
            sequence: Gauge::default(),
            age: Gauge::default(),
            audit_dropped: Counter::default(),
            spans_dropped: Counter::default(),
            batches: Family::default(),
            streams: Gauge::default(),
            redis: Gauge::default(),
            tools: Family::default(),
            findings: Family::default(),
            stray_requests: Counter::default(),
        };
        let mut registry = Registry::with_prefix("mcp_gateway");
        registry.register(
            "requests",
            "Messages by what became of them",
            metrics.requests.clone(),
        );
        registry.register(
            "request_duration_seconds",
            "Time until the answer ended",
            metrics.duration.clone(),
        );
        registry.register(
            "inflight_requests",
            "Messages and streams that are open",
            metrics.inflight.clone(),
        );
        registry.register(
            "policy_reloads",
            "Access bundles that were offered",
            metrics.reloads.clone(),
        );
        registry.register(
            "policy_sequence",
            "Sequence number of the access bundle in force",
            metrics.sequence.clone(),
        );
        registry.register(
            "policy_age_seconds",
            "Time since the access bundle was confirmed",
            metrics.age.clone(),
        );
        registry.register(
            "audit_dropped",
            "Audit lines that were lost",
            metrics.audit_dropped.clone(),
        );
        registry.register(
            "spans_dropped",
            "Spans that were lost",
            metrics.spans_dropped.clone(),
        );
        registry.register(
            "batches",
            "Batches of audit lines and spans, by whether they were taken",
            metrics.batches.clone(),
        );
        registry.register(
            "open_streams",
            "Standalone streams and subscriptions that are open",
            metrics.streams.clone(),
        );
        registry.register(
            "redis_up",
            "Whether rate limits are shared in Redis: 1, or 0 while they are counted by this gateway alone",
            metrics.redis.clone(),
        );
        registry.register(
            "tools",
            "Tools of the server by how their definitions stand against the pins",
            metrics.tools.clone(),
        );
        registry.register(
            "tool_findings",
            "Tools of the server with something suspicious in their definitions",
            metrics.findings.clone(),
        );
        registry.register(
            "stray_requests",
            "Requests that the server sent on a stream where it must send none",
            metrics.stray_requests.clone(),
        );
        (metrics, registry)
    }

    /// One message is done.
    pub fn done(
        &self,
        method: &'static str,
        decision: Decision,
        reason: Reason,
        status: u16,
        took: Duration,
    ) {
        let labels = RequestLabels {
            rpc_method: method,
            decision: decision.as_str(),
            reason: reason.as_str(),
            status,
        };
        self.requests.get_or_create(&labels).inc();
        self.duration
            .get_or_create(&MethodLabels { rpc_method: method })
            .observe(took.as_secs_f64());
        self.inflight.dec();
    }

    /// One message has come.
    pub fn begun(&self) {
        self.inflight.inc();
    }

    /// A bundle was offered.
    pub fn reloaded(&self, source: Source, result: ReloadResult) {
        let source = match source {
            Source::File => "file",
            Source::Api => "api",
        };
        let result = match result {
            ReloadResult::Taken => "taken",
            ReloadResult::Known => "known",
            ReloadResult::Older => "older",
            ReloadResult::Refused => "refused",
        };
        self.reloads
            .get_or_create(&ReloadLabels { source, result })
            .inc();
    }

    /// A bundle is in force.
    pub fn sequence(&self, sequence: u64) {
        self.sequence
            .set(i64::try_from(sequence).unwrap_or(i64::MAX));
    }

    /// How long ago the bundle was confirmed.
    pub fn age(&self, age: Duration) {
        self.age
            .set(i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
    }

    /// A stream was opened.
    pub fn stream_opened(&self) {
        self.streams.inc();
    }

    /// A stream is closed.
    pub fn stream_closed(&self) {
        self.streams.dec();
    }

    /// Whether Redis answers.
    pub fn redis(&self, up: bool) {
        self.redis.set(i64::from(up));
    }

    /// Counts audit lines that are lost.
    pub fn audit_dropped(&self) -> Counter {
        self.audit_dropped.clone()
    }

    /// Counts spans that are lost.
    pub fn spans_dropped(&self) -> Counter {
        self.spans_dropped.clone()
    }

    /// A batch was sent, and taken or lost.
    pub fn delivered(&self, what: Delivery, taken: bool) {
        let of = match what {
            Delivery::Audit => "audit",
            Delivery::Traces => "traces",
        };
        let result = if taken { "taken" } else { "lost" };
        self.batches
            .get_or_create(&BatchLabels { of, result })
            .inc();
    }

    /// How the server's tools stand against the pins, and what is suspicious in them.
    pub fn tools(&self, standings: &HashMap<Standing, i64>, findings: &HashMap<Finding, i64>) {
        for standing in Standing::ALL {
            let labels = StandingLabels {
                standing: standing.as_str(),
            };
            let count = standings.get(&standing).copied().unwrap_or_default();
            self.tools.get_or_create(&labels).set(count);
        }
        for finding in Finding::ALL {
            let labels = FindingLabels {
                finding: finding.as_str(),
            };
            let count = findings.get(&finding).copied().unwrap_or_default();
            self.findings.get_or_create(&labels).set(count);
        }
    }

    /// The server sent a request where it must send none.
    pub fn stray_request(&self) {
        self.stray_requests.inc();
    }
}
