//! One answer to a request for metrics.

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

/// The labels of one sample.
type Labels<'a> = Vec<(&'static str, &'a str)>;
/// The samples of a metric with labels.
type OwnedLabels = Vec<(&'static str, String)>;

/// The metrics of one answer. Each name gets the prefix `phalanx_`.
#[derive(Debug)]
pub(super) struct MetricsPage {
    registry: Registry,
}

impl MetricsPage {
    pub(super) fn new() -> Self {
        Self {
            registry: Registry::with_prefix("phalanx"),
        }
    }

    /// Adds metrics that are kept between requests.
    pub(super) fn kept(&mut self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.registry);
    }

    /// Adds labels that describe the program.
    pub(super) fn info(&mut self, name: &str, help: &str, labels: Labels<'_>) {
        self.registry.register(name, help, Info::new(owned(labels)));
    }

    /// Adds a value that rises and falls.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: u64) {
        let gauge = Gauge::<u64, AtomicU64>::default();
        gauge.set(value);
        self.registry.register(name, help, gauge);
    }

    /// Adds a time.
    pub(super) fn seconds(&mut self, name: &str, help: &str, value: f64) {
        let gauge = Gauge::<f64, AtomicU64>::default();
        gauge.set(value);
        self.registry.register(name, help, gauge);
    }

    /// Adds one value for each set of labels.
    pub(super) fn gauges<'a>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, u64)>,
    ) {
        let family = Family::<OwnedLabels, Gauge<u64, AtomicU64>>::default();
        for (labels, value) in samples {
            family.get_or_create(&owned(labels)).set(value);
        }
        self.registry.register(name, help, family);
    }

    /// Adds one time for each set of labels.
    pub(super) fn seconds_each<'a>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) {
        let family = Family::<OwnedLabels, Gauge<f64, AtomicU64>>::default();
        for (labels, value) in samples {
            family.get_or_create(&owned(labels)).set(value);
        }
        self.registry.register(name, help, family);
    }

    /// Adds one count since the start for each set of labels.
    pub(super) fn counters<'a>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, u64)>,
    ) {
        let family = Family::<OwnedLabels, Counter<u64, AtomicU64>>::default();
        for (labels, value) in samples {
            family.get_or_create(&owned(labels)).inc_by(value);
        }
        self.registry.register(name, help, family);
    }

    /// The text of the page.
    ///
    /// # Errors
    /// If a metric cannot be encoded.
    pub(super) fn text(&self) -> Result<String, core::fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn owned(labels: Labels<'_>) -> OwnedLabels {
    let labels = labels.into_iter();
    labels.map(|(key, value)| (key, value.to_owned())).collect()
}
