//! Recent broadcasts, kept for neighbours that request them.
//!
//! Bounds: [`RECENT_MAX`] broadcasts and [`RECENT_BYTES_MAX`] bytes of payload, of which the oldest is dropped first;
//! the latest is always kept.

use crate::channel::message::{Update, UpdateId};
use crate::link::LinkId;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Maximum number of broadcasts kept for neighbours that request them.
pub const RECENT_MAX: usize = 1_024;
/// Maximum number of bytes of the payloads of kept broadcasts.
pub const RECENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The latest broadcasts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Recent {
    /// The broadcasts, each with the link of the tree that delivered its first copy.
    kept: BTreeMap<UpdateId, (Arc<Update>, Option<LinkId>)>,
    /// The names of the broadcasts, oldest first.
    order: VecDeque<UpdateId>,
    bytes: usize,
}

impl Recent {
    /// Keeps a broadcast. `received_on` is the link of the tree that delivered the broadcast; none for this node's own
    /// broadcasts and for repairs.
    pub(super) fn push(&mut self, update: &Arc<Update>, received_on: Option<LinkId>) {
        let replaced = self
            .kept
            .insert(update.id.clone(), (Arc::clone(update), received_on));
        if let Some((replaced, _)) = replaced {
            self.bytes -= replaced.payload.len();
        } else {
            self.order.push_back(update.id.clone());
        }
        self.bytes += update.payload.len();
        while self.order.len() > RECENT_MAX || self.bytes > RECENT_BYTES_MAX && self.order.len() > 1
        {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            if let Some((dropped, _)) = self.kept.remove(&oldest) {
                self.bytes -= dropped.payload.len();
            }
        }
    }

    /// A broadcast that is still kept.
    pub(super) fn get(&self, id: &UpdateId) -> Option<&Arc<Update>> {
        self.kept.get(id).map(|(update, _)| update)
    }

    /// Whether a link of the tree other than `link` delivered the broadcast.
    pub(super) fn came_over_another(&self, id: &UpdateId, link: LinkId) -> bool {
        let received_on = self.kept.get(id).and_then(|(_, received_on)| *received_on);
        received_on.is_some_and(|received_on| received_on != link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::tests::sample::message;

    fn update(sequence: u64, bytes: usize) -> Arc<Update> {
        message("a", sequence, bytes)
    }

    #[test]
    fn the_oldest_broadcasts_are_dropped_first() {
        let mut recent = Recent::default();
        for sequence in 0..=RECENT_MAX as u64 {
            recent.push(&update(sequence, 1), None);
        }
        assert!(recent.get(&update(0, 1).id).is_none());
        assert!(recent.get(&update(1, 1).id).is_some());
        recent.push(&update(9_999, RECENT_BYTES_MAX + 1), None);
        assert_eq!(
            recent.order.len(),
            1,
            "the latest is kept whatever its size"
        );
    }

    #[test]
    fn a_broadcast_kept_twice_counts_once() {
        let mut recent = Recent::default();
        recent.push(&update(1, 10), Some(LinkId(1)));
        recent.push(&update(1, 10), Some(LinkId(2)));
        assert_eq!((recent.order.len(), recent.bytes), (1, 10));
        assert!(recent.came_over_another(&update(1, 10).id, LinkId(1)));
        assert!(!recent.came_over_another(&update(1, 10).id, LinkId(2)));
    }

    #[test]
    fn a_broadcast_that_did_not_come_along_the_tree_came_over_no_other_link() {
        let mut recent = Recent::default();
        recent.push(&update(1, 10), None);
        assert!(!recent.came_over_another(&update(1, 10).id, LinkId(1)));
        assert!(!recent.came_over_another(&update(2, 10).id, LinkId(1)));
    }
}
