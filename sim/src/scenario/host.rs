//! A host of a scenario: its identity, location and clock, and the settings of its programs.

use super::argument::Arguments;
use super::names::Named;
use core::time::Duration;
use phalanx_core::identity::NodeId;

/// The state of a node's disk after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// All written data.
    Keep,
    /// Only synced data.
    Synced,
    /// No data.
    Lose,
}

/// How a node's clock differs from true time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// The offset of the wall clock, in nanoseconds.
    pub offset: i64,
    /// The drift in parts per million; negative if the clock runs slow.
    pub drift_ppm: i32,
}

/// One machine of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The host's name in the file.
    pub name: String,
    /// The node id; equal to the name, except for clones.
    pub id: NodeId,
    /// The role.
    pub role: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// The zone within the region.
    pub zone: Option<String>,
    /// The host's settings in the vocabulary of its programs.
    pub own: Arguments,
    /// The name of the host's group.
    pub group: Option<String>,
    /// The host's clock.
    pub clock: Clock,
    /// The start time; `None` if only a step starts the host.
    pub start: Option<Duration>,
    /// The time after which a service manager starts a process again that exited at its start; `None`: no service
    /// manager does.
    pub restart_after: Option<Duration>,
    /// The host whose id this clone uses.
    pub clone_of: Option<usize>,
}

impl Named for Host {
    fn name(&self) -> &str {
        &self.name
    }
}
