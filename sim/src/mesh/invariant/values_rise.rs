//! The value of a key of a map is replaced only by a later write.
//!
//! Reason: copies in which an earlier write wins never converge, and a watcher would see old values return. Source:
//! DESIGN section 4 (channels); Lamport (CACM 1978).

use super::{Program, Report};
use crate::invariant::{Invariant, InvariantResult, Steps};
use crate::mesh::Event;
use phalanx_core::channel::{ChannelName, Delivery, Version};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) struct ValuesRise {
    /// For each host, the latest write of each key that was delivered to its application.
    told: Vec<HashMap<(ChannelName, Arc<str>), Version>>,
    checked: u64,
}

impl ValuesRise {
    pub(super) fn new(hosts: usize) -> Self {
        Self {
            told: vec![HashMap::new(); hosts],
            checked: 0,
        }
    }
}

impl Invariant for ValuesRise {
    fn name(&self) -> &'static str {
        "values-rise"
    }

    fn steps(&self) -> Steps {
        Steps::None
    }

    fn on_start(&mut self, host: usize) {
        self.told[host].clear();
    }

    fn on_report(&mut self, report: &Report<'_>, _: &dyn Program) -> InvariantResult {
        let Some(Event::Handed(channel, Delivery::Changed { key, version, .. })) =
            report.event.of()
        else {
            return Ok(());
        };
        let place = (channel.clone(), Arc::clone(key));
        let before = self.told[report.host].insert(place, version.clone());
        self.checked += u64::from(before.is_some());
        match before.filter(|before| before >= version) {
            Some(before) => Err(format!(
                "`{key}` of {channel} went back: from {before:?} to {version:?}"
            )),
            None => Ok(()),
        }
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}
