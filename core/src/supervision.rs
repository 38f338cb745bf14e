//! Decides when a node that cannot work ends, so that its supervisor can act.
//!
//! A node whose id is taken by another node waits for the other one to leave, for a limited time: then the node ends, and
//! an operator or a supervisor learns of the duplicate.

use crate::gossip::Phase;
use crate::time::{Duration, Instant};

/// The time for which the id of a node has been taken without interruption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenIdLimit {
    max: Duration,
    since: Option<Instant>,
}

impl TakenIdLimit {
    /// A node ends after its id was taken for `max`.
    #[must_use]
    pub const fn new(max: Duration) -> Self {
        Self { max, since: None }
    }

    /// Observes the phase of the node. Returns whether the node ends.
    pub fn observe(&mut self, now: Instant, phase: Phase) -> bool {
        if phase != Phase::NameTaken {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        now.since(since) >= self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_id_that_is_taken_for_the_whole_time_ends_the_node() {
        let mut limit = TakenIdLimit::new(Duration::from_secs(300));
        let at = |seconds: u64| Instant::from_millis(seconds * 1_000);
        assert!(!limit.observe(at(0), Phase::NameTaken));
        assert!(!limit.observe(at(299), Phase::NameTaken));
        assert!(
            !limit.observe(at(299), Phase::Running),
            "the other node left"
        );
        assert!(!limit.observe(at(400), Phase::NameTaken));
        assert!(!limit.observe(at(699), Phase::NameTaken));
        assert!(limit.observe(at(700), Phase::NameTaken));
    }
}
