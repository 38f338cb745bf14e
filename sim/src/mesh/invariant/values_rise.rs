//! What a node holds under a key of a map is only replaced by a later write.
//!
//! Reason: copies that let an earlier write win never come to hold the same, and a watcher would see the past come
//! back. Source: DESIGN section 4 (channels); Lamport (CACM 1978).

use super::{Mesh, Seen};
use crate::invariant::{Invariant, Verdict};
use crate::mesh::Event;
use crate::system::Effect;
use phalanx_core::channel::{ChannelName, Delivery, Version};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) struct ValuesRise {
    /// The latest write that each host told its application of.
    told: Vec<HashMap<(ChannelName, Arc<str>), Version>>,
}

impl ValuesRise {
    pub(super) fn new(hosts: usize) -> Self {
        Self {
            told: vec![HashMap::new(); hosts],
        }
    }
}

impl Invariant<Mesh> for ValuesRise {
    fn name(&self) -> &'static str {
        "values-rise"
    }

    fn on_start(&mut self, host: usize) {
        self.told[host].clear();
    }

    fn after_step(&mut self, seen: &Seen<'_>, _: &Mesh) -> Verdict {
        for effect in seen.effects {
            let Effect::Report(Event::Handed(channel, delivery)) = effect else {
                continue;
            };
            let Delivery::Changed { key, version, .. } = delivery else {
                continue;
            };
            let place = (channel.clone(), Arc::clone(key));
            let before = self.told[seen.host].insert(place, version.clone());
            if let Some(before) = before.filter(|before| before >= version) {
                return Err(format!(
                    "`{key}` of {channel} went back: from {before:?} to {version:?}"
                ));
            }
        }
        Ok(())
    }
}
