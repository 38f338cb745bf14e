//! Settings of a node's channels.

use crate::identity::NodeId;
use crate::sabotage::Sabotage;
use crate::time::Duration;

/// Maximum number of channels that a node knows; a quarter is reserved for its own applications.
pub const CHANNELS_MAX: usize = 256;

/// Default for the maximum memory of the messages and maps of all channels, in bytes.
pub const BYTES_MAX: usize = 24 * 1024 * 1024;

/// The identity of this start of a node, and the settings of its channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The node's id.
    pub id: NodeId,
    /// Distinguishes this start of the node from all other starts.
    pub life: u64,
    /// Timings.
    pub tuning: Tuning,
    /// Maximum memory of the messages and maps of all channels, in bytes.
    pub bytes_max: usize,
    /// Switched-off mechanisms and planted bugs; empty outside the simulator.
    pub sabotage: Sabotage,
}

impl Config {
    /// The settings of a node's channels, with these timings.
    #[must_use]
    pub const fn new(id: NodeId, epoch: u64, instance: u32, tuning: Tuning) -> Self {
        Self {
            id,
            life: epoch.wrapping_shl(32) | instance as u64,
            tuning,
            bytes_max: BYTES_MAX,
            sabotage: Sabotage::NONE,
        }
    }
}

/// Timings of channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Minimum time between two batches on one link.
    pub coalesce: Duration,
    /// Delay of announcements, so that several announcements are sent together.
    pub announce_after: Duration,
    /// A missing announced broadcast is requested after this time plus a uniform draw below `graft_jitter`.
    pub graft_after: Duration,
    /// Maximum random addition to `graft_after`.
    pub graft_jitter: Duration,
    /// Time between the requests to two announcers.
    pub graft_interval: Duration,
    /// Time after which an unanswered message is resent; doubles with each attempt.
    pub answer_after: Duration,
    /// Time after which an unanswered message fails.
    pub give_up_after: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            coalesce: ms(1),
            announce_after: ms(5),
            graft_after: ms(10),
            graft_jitter: ms(30),
            graft_interval: ms(20),
            answer_after: ms(1_000),
            give_up_after: ms(15_000),
        }
    }
}
