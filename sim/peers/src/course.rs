//! The course of a measured run: starts, faults and updates, equal for each library.

use core::time::Duration;

/// One-way latency between any two nodes.
pub const LATENCY: Duration = Duration::from_millis(1);
/// Nodes start at a random time within this span.
pub const SPREAD: Duration = Duration::from_millis(100);
/// The size of an update, in bytes.
pub const UPDATE_BYTES: usize = 64;
/// Time between two updates. An update that has not reached every node by the time of the next one counts as
/// incomplete.
pub const UPDATE_PATIENCE: Duration = Duration::from_secs(6);

/// Packet loss that begins at an instant; each datagram or segment is lost independently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The start of the loss.
    pub from: Duration,
    /// The share of lost packets, in percent.
    pub percent: u32,
}

/// A node publishes a small update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CourseUpdate {
    /// The time.
    pub at: Duration,
    /// The node.
    pub host: usize,
}

/// A host loses power, so its peers are not notified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// The time.
    pub at: Duration,
    /// The host.
    pub host: usize,
}

/// No packet passes between two halves for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// The start of the split.
    pub from: Duration,
    /// The end of the split.
    pub to: Duration,
}

/// The condition under which a run may end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enough {
    /// Every node considers every other node alive, at or after this instant.
    AllSeeAll(Duration),
    /// No node considers the crashed node alive.
    CrashKnown,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    /// The number of nodes. All nodes start together, with the first node as seed.
    pub nodes: usize,
    /// The loss, if any.
    pub loss: Option<Loss>,
    /// The published updates.
    pub updates: Vec<CourseUpdate>,
    /// The crash, if any.
    pub crash: Option<Crash>,
    /// The split of the network, if any.
    pub split: Option<Split>,
    /// The end of the run.
    pub end: Duration,
    /// The condition for an earlier end.
    pub enough: Enough,
    /// The time over which the bytes that nodes send are counted.
    pub counted: (Duration, Duration),
}

impl Course {
    /// A course in which nodes start and no other event happens until `end`.
    #[must_use]
    pub fn join(nodes: usize, end: Duration) -> Self {
        Self {
            nodes,
            loss: None,
            updates: Vec::new(),
            crash: None,
            split: None,
            end,
            enough: Enough::AllSeeAll(Duration::ZERO),
            counted: (Duration::ZERO, end),
        }
    }

    /// Returns the payload of an update, which is unique and can be found in encoded bytes.
    #[must_use]
    pub fn payload(index: usize) -> String {
        format!("{:<UPDATE_BYTES$}", format!("{MARK}{index:04}")).replace(' ', "x")
    }
}

/// The beginning of every payload.
pub const MARK: &str = "update-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_have_the_size_that_is_announced_and_differ() {
        assert_eq!(Course::payload(3).len(), UPDATE_BYTES);
        assert_ne!(Course::payload(3), Course::payload(4));
        assert!(Course::payload(3).starts_with(MARK));
    }
}
