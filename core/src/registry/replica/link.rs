//! The connection of a copy to its owner: when to connect, and when a silent connection is given up.
//!
//! ```text
//! waiting ──► connecting ──► connected
//!    ▲            │              │
//!    └────────────┴──────────────┘  (failure, silence; after a back-off)
//!             any ──(another sequencer has the store)──► ended
//! ```

use super::message::ReplicaTuning;
use crate::random::Random;
use crate::time::{Duration, Instant, nanos};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinkPhase {
    Waiting { until: Instant },
    Connecting,
    Connected,
    Ended,
}

/// The action that a deadline of the connection calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkTurn {
    /// Connect.
    Connect,
    /// The connection was silent for the idle timeout.
    TimedOut,
}

/// The connection of a copy.
#[derive(Clone, Debug)]
pub(super) struct ReplicaLink {
    phase: LinkPhase,
    /// The time of the last sign of the owner, or of the beginning of the attempt to connect.
    heard_at: Instant,
    failures: u32,
    /// The number of the latest attempt to connect.
    attempt: u64,
    tuning: ReplicaTuning,
    random: Random,
}

impl ReplicaLink {
    /// A connection that is made at the next wake.
    pub(super) const fn new(now: Instant, tuning: ReplicaTuning, random: Random) -> Self {
        Self {
            phase: LinkPhase::Waiting { until: now },
            heard_at: now,
            failures: 0,
            attempt: 0,
            tuning,
            random,
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.phase == LinkPhase::Connected
    }

    /// Whether the connection or the attempt of this number is the present one.
    pub(super) fn is_current(&self, attempt: u64) -> bool {
        let is_open = matches!(self.phase, LinkPhase::Connecting | LinkPhase::Connected);
        is_open && self.attempt == attempt
    }

    /// The number of the latest attempt to connect.
    pub(super) const fn attempt(&self) -> u64 {
        self.attempt
    }

    /// The number of failures since the last success.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    /// The owner can be dialled at another address: the next attempt is made at once.
    pub(super) fn hurry(&mut self, now: Instant) {
        if let LinkPhase::Waiting { until } = &mut self.phase {
            *until = now.min(*until);
            self.failures = 0;
        }
    }

    pub(super) const fn tuning(&self) -> ReplicaTuning {
        self.tuning
    }

    /// The connection is made. Returns false if none was wanted.
    pub(super) fn on_connected(&mut self, now: Instant) -> bool {
        let is_expected = self.phase == LinkPhase::Connecting;
        if is_expected {
            self.phase = LinkPhase::Connected;
            self.heard_at = now;
        }
        is_expected
    }

    /// The owner was heard.
    pub(super) const fn on_heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// The copy follows its owner: the next failure is followed by the least back-off.
    pub(super) const fn on_success(&mut self) {
        self.failures = 0;
    }

    /// Waits before the next attempt: the back-off is between half and all of its bound. Returns whether there was a
    /// connection or an attempt.
    pub(super) fn back_off(&mut self, now: Instant) -> bool {
        match self.phase {
            LinkPhase::Waiting { .. } | LinkPhase::Ended => return false,
            LinkPhase::Connecting | LinkPhase::Connected => {}
        }
        let doubled = self.tuning.retry_min * 2_u32.pow(self.failures.min(16));
        let bound = doubled.min(self.tuning.retry_max);
        self.failures = self.failures.saturating_add(1);
        let half = Duration::from_nanos(nanos(bound) / 2);
        let until = now + half + self.random.duration_below(half) + Duration::from_nanos(1);
        self.phase = LinkPhase::Waiting { until };
        true
    }

    /// Makes no more connections. Returns whether there was one, or an attempt.
    pub(super) fn end(&mut self) -> bool {
        let was_used = matches!(self.phase, LinkPhase::Connecting | LinkPhase::Connected);
        self.phase = LinkPhase::Ended;
        was_used
    }

    pub(super) fn on_wake(&mut self, now: Instant) -> Option<LinkTurn> {
        if self.deadline().is_none_or(|at| at > now) {
            return None;
        }
        match self.phase {
            LinkPhase::Waiting { .. } => {
                self.phase = LinkPhase::Connecting;
                self.attempt += 1;
                self.heard_at = now;
                Some(LinkTurn::Connect)
            }
            LinkPhase::Connecting | LinkPhase::Connected => Some(LinkTurn::TimedOut),
            LinkPhase::Ended => None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            LinkPhase::Waiting { until } => Some(until),
            LinkPhase::Connecting | LinkPhase::Connected => {
                Some(self.heard_at + self.tuning.idle_timeout)
            }
            LinkPhase::Ended => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TUNING: ReplicaTuning = ReplicaTuning {
        window: 1,
        idle_timeout: Duration::from_secs(15),
        retry_min: Duration::from_secs(1),
        retry_max: Duration::from_secs(8),
        hold: Duration::ZERO,
    };

    #[test]
    fn what_is_told_of_an_earlier_attempt_is_not_current() {
        let now = Instant::ZERO;
        let mut link = ReplicaLink::new(now, TUNING, Random::from_seed(1));
        assert!(!link.is_current(0), "nothing was attempted");
        assert_eq!(link.on_wake(now), Some(LinkTurn::Connect));
        let first = link.attempt();
        assert!(link.is_current(first) && link.on_connected(now));
        assert!(link.back_off(now));
        assert!(!link.is_current(first), "the connection was given up");
        let later = now + TUNING.retry_max;
        assert_eq!(link.on_wake(later), Some(LinkTurn::Connect));
        assert!(!link.is_current(first) && link.is_current(link.attempt()));
    }

    #[test]
    fn another_address_is_dialled_at_once() {
        let now = Instant::ZERO;
        let mut link = ReplicaLink::new(now, TUNING, Random::from_seed(1));
        for turn in 0..4 {
            let at = now + TUNING.retry_max * (turn + 1);
            assert_eq!(link.on_wake(at), Some(LinkTurn::Connect));
            assert!(link.back_off(at));
        }
        assert_eq!(link.failures(), 4);
        let now = now + TUNING.retry_max * 4;
        assert!(link.deadline().is_some_and(|at| at > now));
        link.hurry(now);
        assert_eq!((link.deadline(), link.failures()), (Some(now), 0));
        assert_eq!(link.on_wake(now), Some(LinkTurn::Connect));
        // An attempt that is under way goes on.
        link.hurry(now);
        assert_eq!(link.deadline(), Some(now + TUNING.idle_timeout));
    }
}
