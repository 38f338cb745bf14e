//! The counts of failed dials of a run.

use std::collections::BTreeMap;

/// Maximum number of distinct reasons of failed dials that are counted.
const REASONS_MAX: usize = 32;

/// Counts the failed dials of a run, by reason.
#[derive(Debug, Default)]
pub(super) struct FailedDials(BTreeMap<String, u64>);

impl FailedDials {
    pub(super) fn count(&mut self, reason: &str) {
        if let Some(count) = self.0.get_mut(reason) {
            *count += 1;
        } else if self.0.len() < REASONS_MAX {
            self.0.insert(reason.to_owned(), 1);
        }
    }

    /// The reasons with their counts.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0
            .iter()
            .map(|(reason, count)| (reason.as_str(), *count))
    }
}
