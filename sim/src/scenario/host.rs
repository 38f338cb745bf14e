//! A host of a scenario: what it is, its clock, and what its programs' own words say of it.

use super::argument::Arguments;
use super::names::Named;
use core::time::Duration;
use phalanx_core::identity::NodeId;

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
    /// The role.
    pub role: Option<String>,
    /// Where it stands.
    pub region: Option<String>,
    /// Where it stands, closer.
    pub zone: Option<String>,
    /// What its programs' own words say of it.
    pub own: Arguments,
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
