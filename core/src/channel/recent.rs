//! Recent broadcasts, kept for neighbours that ask for them, and announced broadcasts that have not arrived.

use super::message::{Update, UpdateId};
use crate::link::LinkId;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The most broadcasts kept for neighbours that ask for them.
pub const RECENT_MAX: usize = 1_024;
/// The most bytes of them.
pub const RECENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// An announced broadcast that has not come.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Missing {
    pub(super) announcers: Vec<LinkId>,
}

/// The latest broadcasts, for neighbours that ask for them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Recent {
    held: BTreeMap<UpdateId, (Arc<Update>, Option<LinkId>)>,
    order: VecDeque<UpdateId>,
    bytes: usize,
}

impl Recent {
    pub(super) const fn new() -> Self {
        Self {
            held: BTreeMap::new(),
            order: VecDeque::new(),
            bytes: 0,
        }
    }

    pub(super) fn push(&mut self, update: &Arc<Update>, brought: Option<LinkId>) {
        let held = self
            .held
            .insert(update.id.clone(), (Arc::clone(update), brought));
        if let Some((old, _)) = held {
            self.bytes -= old.payload.len();
        } else {
            self.order.push_back(update.id.clone());
        }
        self.bytes += update.payload.len();
        while self.order.len() > RECENT_MAX || self.bytes > RECENT_BYTES_MAX && self.order.len() > 1
        {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            if let Some((gone, _)) = self.held.remove(&oldest) {
                self.bytes -= gone.payload.len();
            }
        }
    }

    pub(super) fn get(&self, id: &UpdateId) -> Option<&Arc<Update>> {
        self.held.get(id).map(|(update, _)| update)
    }

    /// Whether another link than this one brought it.
    pub(super) fn by_another_than(&self, id: &UpdateId, link: LinkId) -> bool {
        let brought = self.held.get(id).and_then(|(_, brought)| *brought);
        brought.is_some_and(|brought| brought != link)
    }
}
