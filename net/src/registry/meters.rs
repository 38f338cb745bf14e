//! Counts and times of a registry since its start.

use super::message::status;
use phalanx_core::registry::sequencer::Input;
use phalanx_core::registry::watch::ResetReason;
use phalanx_core::registry::write::WriteRefusal;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The count of each reason.
type ByReason = Family<[(&'static str, &'static str); 1], Counter>;

/// The meters of one registry. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct RegistryMeters {
    /// The time at which the store got the group that it commits.
    ordered: Arc<Mutex<Option<Instant>>>,
    /// Seconds from the order to the completion of a commit.
    commit_seconds: Histogram,
    /// Batches of a group.
    group_batches: Histogram,
    /// Commits that failed.
    failed: ByReason,
    /// Writes refused.
    refused: ByReason,
    /// Watches that got a snapshot instead of changes.
    resets: ByReason,
}

impl RegistryMeters {
    pub(super) fn new() -> Self {
        Self {
            ordered: Arc::default(),
            commit_seconds: Histogram::new(exponential_buckets(0.000_25, 2.0, 16)),
            group_batches: Histogram::new(exponential_buckets(1.0, 2.0, 12)),
            failed: ByReason::default(),
            refused: ByReason::default(),
            resets: ByReason::default(),
        }
    }

    /// The store gets a group of this many batches.
    pub(super) fn on_commit_ordered(&self, batches: usize) {
        let mut ordered = self.ordered.lock().unwrap_or_else(PoisonError::into_inner);
        *ordered = Some(Instant::now());
        // A group has far fewer than 2^52 batches.
        self.group_batches.observe(batches as f64);
    }

    /// The store has completed an order.
    pub(super) fn on_completed(&self, input: &Input) {
        let is_commit = match input {
            Input::Committed { .. } => true,
            Input::CommitFailed { failure, .. } => {
                count(&self.failed, failure.word());
                true
            }
            Input::Start
            | Input::Opened(_)
            | Input::OpenFailed(_)
            | Input::StoreHeld { .. }
            | Input::StoreFenced
            | Input::Write(_)
            | Input::OpenWatch { .. }
            | Input::GrantWatch { .. }
            | Input::CloseWatch { .. }
            | Input::OpenFeed { .. }
            | Input::ConfirmFeed { .. }
            | Input::CloseFeed { .. }
            | Input::Registries(_)
            | Input::Link { .. }
            | Input::Routed { .. }
            | Input::Wake => false,
        };
        let mut ordered = self.ordered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ordered) = ordered.take_if(|_| is_commit) {
            self.commit_seconds.observe(ordered.elapsed().as_secs_f64());
        }
    }

    pub(super) fn on_refused(&self, refusal: &WriteRefusal) {
        count(&self.refused, status::reason(refusal));
    }

    pub(super) fn on_reset(&self, reason: ResetReason) {
        count(&self.resets, reason.word());
    }

    /// Adds the metrics to a registry of metrics.
    pub(crate) fn register(&self, metrics: &mut Registry) {
        metrics.register(
            "registry_commit_seconds",
            "Time in which the store makes a group of batches durable",
            self.commit_seconds.clone(),
        );
        metrics.register(
            "registry_commit_batches",
            "Batches that one commit of the store makes durable",
            self.group_batches.clone(),
        );
        metrics.register(
            "registry_failed_commits",
            "Commits that the store refused, by reason",
            self.failed.clone(),
        );
        metrics.register(
            "registry_refused_writes",
            "Writes that were refused, by reason",
            self.refused.clone(),
        );
        metrics.register(
            "registry_watch_resets",
            "Watches that got a snapshot instead of changes, by reason",
            self.resets.clone(),
        );
    }
}

fn count(family: &ByReason, reason: &'static str) {
    family.get_or_create(&[("reason", reason)]).inc();
}
