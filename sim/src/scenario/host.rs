//! A host of a scenario: what it is, what it publishes, its clock and its settings.

use super::channels::Opening;
use super::names::Named;
use core::time::Duration;
use phalanx_core::channel::ChannelName;
use phalanx_core::identity::NodeId;
use phalanx_core::topology::record::Service;
use std::collections::{BTreeMap, BTreeSet};

/// The content of a node's disk after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// All written data.
    Keep,
    /// Only synced data.
    Synced,
    /// Nothing.
    Lose,
}

/// How a node's clock differs from true time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// The calendar is off by this, in nanoseconds.
    pub offset: i64,
    /// It runs fast (or, negative, slow) by this many millionths.
    pub drift_ppm: i32,
}

/// One machine of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name in the file.
    pub name: String,
    /// The node id it runs under: its name, but for clones.
    pub id: NodeId,
    /// The class it publishes; empty: the usual one.
    pub kind: String,
    /// The services at its start.
    pub services: BTreeSet<Service>,
    /// The metadata at its start.
    pub metadata: BTreeMap<String, String>,
    /// The channels that its applications open at its start.
    pub channels: BTreeMap<ChannelName, Opening>,
    /// Whether it publishes an address to be dialled at.
    pub dialable: bool,
    /// The role.
    pub role: Option<String>,
    /// Where it stands.
    pub region: Option<String>,
    /// Where it stands, closer.
    pub zone: Option<String>,
    /// Settings of the protocol in which it differs from all others.
    pub tuning: TuningChanges,
    /// The word for its group.
    pub group: Option<String>,
    /// Its clock.
    pub clock: Clock,
    /// When it starts; none when only a step starts it.
    pub start: Option<Duration>,
    /// The host whose id it copies.
    pub clone_of: Option<usize>,
}

impl Named for Host {
    fn name(&self) -> &str {
        &self.name
    }
}

/// Settings of the protocol that differ from the defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TuningChanges {
    /// See `gossip::Tuning`.
    pub forget_after: Option<Duration>,
    /// See `gossip::Tuning`.
    pub random_link_interval: Option<Duration>,
    /// See `gossip::Tuning`.
    pub hash_interval: Option<Duration>,
    /// See `gossip::Tuning`.
    pub links_max: Option<usize>,
}

impl TuningChanges {
    /// The defaults with these changes.
    #[must_use]
    pub fn tuning(&self) -> phalanx_core::gossip::Tuning {
        self.over(phalanx_core::gossip::Tuning::default())
    }

    /// Other settings with these changes.
    #[must_use]
    pub fn over(&self, mut tuning: phalanx_core::gossip::Tuning) -> phalanx_core::gossip::Tuning {
        tuning.forget_after = self.forget_after.unwrap_or(tuning.forget_after);
        tuning.random_link_interval = self
            .random_link_interval
            .unwrap_or(tuning.random_link_interval);
        tuning.hash_interval = self.hash_interval.unwrap_or(tuning.hash_interval);
        tuning.links_max = self.links_max.unwrap_or(tuning.links_max);
        tuning
    }
}
