//! Recent broadcasts, kept for neighbours that request them.
//!
//! Bounds: [`RECENT_MAX`] broadcasts and [`RECENT_BYTES_MAX`] bytes of payload, of which the oldest is dropped first;
//! the latest is kept until its memory is needed for a payload that arrives.

use crate::channel::message::{Update, UpdateId};
use crate::link::LinkId;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Maximum number of broadcasts kept for neighbours that request them.
pub const RECENT_MAX: usize = 1_024;
/// Maximum number of bytes of the payloads of kept broadcasts.
pub const RECENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A recent broadcast.
#[derive(Clone, Debug, PartialEq)]
struct Kept {
    /// None if the name alone is kept.
    update: Option<Arc<Update>>,
    /// The link of the tree that delivered the first copy.
    received_on: Option<LinkId>,
}

impl Kept {
    fn bytes(&self) -> usize {
        self.update.as_ref().map_or(0, |it| it.payload.len())
    }
}

/// The latest broadcasts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Recent {
    kept: BTreeMap<UpdateId, Kept>,
    /// The names of the broadcasts, oldest first.
    order: VecDeque<UpdateId>,
    bytes: usize,
}

impl Recent {
    /// Keeps a broadcast. `received_on` is the link of the tree that delivered the broadcast; none for this node's own
    /// broadcasts and for repairs.
    pub(super) fn push(&mut self, update: &Arc<Update>, received_on: Option<LinkId>) {
        let kept = Kept {
            update: Some(Arc::clone(update)),
            received_on,
        };
        self.insert(&update.id, kept);
    }

    /// Keeps the name of a broadcast that is not relayed.
    pub(super) fn push_name(&mut self, id: &UpdateId, received_on: Option<LinkId>) {
        let kept = Kept {
            update: None,
            received_on,
        };
        self.insert(id, kept);
    }

    fn insert(&mut self, id: &UpdateId, kept: Kept) {
        self.bytes += kept.bytes();
        if let Some(replaced) = self.kept.insert(id.clone(), kept) {
            self.bytes -= replaced.bytes();
        } else {
            self.order.push_back(id.clone());
        }
        while self.order.len() > RECENT_MAX || self.bytes > RECENT_BYTES_MAX && self.order.len() > 1
        {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            if let Some(dropped) = self.kept.remove(&oldest) {
                self.bytes -= dropped.bytes();
            }
        }
    }

    /// Drops the payloads of more than `bytes` bytes for which `is_held` is false: nothing else holds their memory.
    pub(super) fn drop_payloads(&mut self, bytes: usize, is_held: impl Fn(&Update) -> bool) {
        if self.bytes <= bytes {
            return;
        }
        for kept in self.kept.values_mut() {
            let update = kept.update.take_if(|update| {
                let payload = update.payload.len();
                payload > bytes && !is_held(update)
            });
            self.bytes -= update.map_or(0, |dropped| dropped.payload.len());
        }
    }

    /// A broadcast that is still kept.
    pub(super) fn get(&self, id: &UpdateId) -> Option<&Arc<Update>> {
        self.kept.get(id).and_then(|kept| kept.update.as_ref())
    }

    /// Whether a link of the tree other than `link` delivered the broadcast.
    pub(super) fn came_over_another(&self, id: &UpdateId, link: LinkId) -> bool {
        let received_on = self.kept.get(id).and_then(|kept| kept.received_on);
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
    fn the_payloads_that_nothing_else_holds_are_dropped_and_their_names_are_kept() {
        let mut recent = Recent::default();
        let (held, alone, small) = (update(1, 100), update(2, 100), update(3, 10));
        for it in [&held, &alone, &small] {
            recent.push(it, Some(LinkId(1)));
        }
        recent.push_name(&update(4, 0).id, Some(LinkId(1)));
        recent.drop_payloads(10, |it| it.id == held.id);
        assert_eq!(recent.get(&held.id), Some(&held));
        assert_eq!(recent.get(&small.id), Some(&small));
        assert_eq!(recent.bytes, 110);
        for name in [&alone.id, &update(4, 0).id] {
            assert!(recent.get(name).is_none() && recent.came_over_another(name, LinkId(2)));
        }
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
