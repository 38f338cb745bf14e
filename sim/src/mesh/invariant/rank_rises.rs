//! What a view holds about a member never becomes older.
//!
//! Reason: merging takes the greater record; a view that goes back would show withdrawn services again and would
//! keep two nodes exchanging the same two values for ever. Source: DESIGN section 4 (merge is monotone).

use super::{Mesh, Seen};
use crate::invariant::{Invariant, Verdict};
use crate::system::Effect;
use phalanx_core::gossip::Event;
use phalanx_core::identity::NodeId;
use phalanx_core::topology::record::Record;
use std::collections::HashMap;
use std::sync::Arc;

pub(super) struct RankRises {
    /// What each view held at latest of each id, by host; forgotten when the host starts anew.
    held: Vec<HashMap<NodeId, Arc<Record>>>,
}

impl RankRises {
    pub(super) fn new(hosts: usize) -> Self {
        Self {
            held: vec![HashMap::new(); hosts],
        }
    }

    fn remember(&mut self, seen: &Seen<'_>, system: &Mesh) {
        let held = &mut self.held[seen.host];
        for effect in seen.effects {
            if let Effect::Report(Event::PeerForgotten { id }) = effect {
                held.remove(id);
            }
        }
        for record in &system.received {
            if let Some(now) = seen.view().topology().record(record.id()) {
                match held.get_mut(record.id()) {
                    Some(before) => {
                        if !Arc::ptr_eq(before, now) {
                            before.clone_from(now);
                        }
                    }
                    None => {
                        held.insert(record.id().clone(), Arc::clone(now));
                    }
                }
            }
        }
    }
}

impl Invariant<Mesh> for RankRises {
    fn name(&self) -> &'static str {
        "rank-rises"
    }

    fn on_start(&mut self, host: usize) {
        self.held[host].clear();
    }

    fn after_step(&mut self, seen: &Seen<'_>, system: &Mesh) -> Verdict {
        let before = &self.held[seen.host];
        let went_back = system.received.iter().find_map(|received| {
            let before = before.get(received.id())?;
            let now = seen.view().topology().record(received.id())?;
            (**now < **before).then(|| {
                let (id, before, now) = (received.id(), before.rank(), now.rank());
                format!("went back about {id}: from {before:?} to {now:?}")
            })
        });
        self.remember(seen, system);
        went_back.map_or(Ok(()), Err)
    }
}
