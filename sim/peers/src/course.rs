//! What is done to a mesh while it is measured: the same to each library.

use core::time::Duration;

/// One way, between any two nodes.
pub const LATENCY: Duration = Duration::from_millis(1);
/// Nodes start at a random time within it.
pub const SPREAD: Duration = Duration::from_millis(100);
/// The size of an update.
pub const UPDATE_BYTES: usize = 64;
/// How long an update has before the next comes; one that is not everywhere by then has missed somebody.
pub const UPDATE_PATIENCE: Duration = Duration::from_secs(6);

/// Loss from here on, of every datagram or segment by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// When it begins.
    pub from: Duration,
    /// In percent.
    pub percent: u32,
}

/// A node publishes something small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update {
    /// When.
    pub at: Duration,
    /// Who.
    pub host: usize,
}

/// A machine loses its power: nobody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// When.
    pub at: Duration,
    /// Whose.
    pub host: usize,
}

/// No packet passes between two halves for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Since when.
    pub from: Duration,
    /// Until when.
    pub to: Duration,
}

/// When a run may end before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enough {
    /// Everybody sees everybody, at or after this instant.
    AllSeeAll(Duration),
    /// Nobody takes the crashed node for alive.
    CrashKnown,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    /// How many nodes, all of which start together and know the first.
    pub nodes: usize,
    /// What is lost.
    pub loss: Option<Loss>,
    /// What is published.
    pub updates: Vec<Update>,
    /// Who dies.
    pub crash: Option<Crash>,
    /// How the network splits.
    pub split: Option<Split>,
    /// When it is over.
    pub end: Duration,
    /// When it may be over earlier.
    pub enough: Enough,
    /// The time over which the bytes that nodes send are counted.
    pub counted: (Duration, Duration),
}

impl Course {
    /// Nodes start, and nothing else happens until `end`.
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

    /// The payload of an update: unlike any other's, and found in bytes.
    #[must_use]
    pub fn payload(index: usize) -> String {
        format!("{:<UPDATE_BYTES$}", format!("{MARK}{index:04}")).replace(' ', "x")
    }
}

/// How every payload begins.
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
