//! Settings of a node's channels.

use crate::identity::NodeId;
use crate::sabotage::Sabotage;
use crate::time::{Duration, Wall};

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
    /// The calendar time at the start.
    pub started: Wall,
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
            life: life(epoch, instance),
            started: Wall(0),
            tuning,
            bytes_max: BYTES_MAX,
            sabotage: Sabotage::NONE,
        }
    }
}

/// The epoch from which lives have another form.
const LIFE_EPOCHS: u64 = 1 << 31;
/// The highest bit of a life with the second form.
const LIFE_HIGH: u64 = 1 << 63;

/// The life of a start of a node: rises with the epoch, and differs between instances of one epoch. An epoch far above
/// the calendar, which a node takes to outrank a forged one, leaves room for 12 bits of the instance.
const fn life(epoch: u64, instance: u32) -> u64 {
    if epoch < LIFE_EPOCHS {
        return epoch << 32 | instance as u64;
    }
    LIFE_HIGH | epoch << 12 & !LIFE_HIGH | instance as u64 & 0xfff
}

/// The highest life of an epoch.
pub(super) const fn life_max(epoch: u64) -> u64 {
    life(epoch, u32::MAX)
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
