//! What the operator counts. Labels are words of closed lists, never names of objects.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// The kind of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: String,
}

/// The kind of an object, and how its reconcile ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reconcile {
    kind: String,
    result: &'static str,
}

/// Counters and histograms of the operator. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    reconciles: Family<Reconcile, Histogram, fn() -> Histogram>,
    writes: Family<Kind, Counter>,
    unreadable: Family<Kind, Counter>,
}

impl Metrics {
    /// Registers everything under `mcp_operator_`.
    pub fn register(registry: &mut Registry) -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(exponential_buckets(0.001, 2.0, 14));
        let metrics = Self {
            reconciles: Family::new_with_constructor(histogram),
            writes: Family::default(),
            unreadable: Family::default(),
        };
        let registry = registry.sub_registry_with_prefix("mcp_operator");
        registry.register(
            "reconcile_seconds",
            "Reconciles by kind and result",
            metrics.reconciles.clone(),
        );
        registry.register(
            "writes",
            "Writes to the API server by kind",
            metrics.writes.clone(),
        );
        registry.register(
            "unreadable_objects",
            "Objects that do not parse, by kind",
            metrics.unreadable.clone(),
        );
        metrics
    }

    /// Notes a finished reconcile.
    pub fn reconciled(&self, kind: &str, result: &'static str, took: Duration) {
        self.reconciles
            .get_or_create(&Reconcile {
                kind: kind.to_owned(),
                result,
            })
            .observe(took.as_secs_f64());
    }

    /// Notes a write.
    pub fn wrote(&self, kind: &str) {
        self.writes
            .get_or_create(&Kind {
                kind: kind.to_owned(),
            })
            .inc();
    }

    /// Notes an object that could not be read.
    pub fn unreadable(&self, kind: &str) {
        self.unreadable
            .get_or_create(&Kind {
                kind: kind.to_owned(),
            })
            .inc();
    }
}
