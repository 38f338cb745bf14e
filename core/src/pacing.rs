//! Output pacing: an idle link sends at once, and then collects output for a given time.
//!
//! [`Pacer`] decides when one link sends. [`Pending`] lists the links that may have output, so that a step examines
//! only those links. The content of messages and the timers belong to the caller.

use crate::time::{Duration, Instant};

/// The output waiting on a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Whether output waits that is to be sent as soon as pacing allows.
    pub urgent: bool,
    /// The latest time at which the other waiting output is sent.
    pub due: Option<Instant>,
}

impl Demand {
    /// The time at which the link would send without pacing; none if no output waits.
    const fn at(self, now: Instant) -> Option<Instant> {
        if self.urgent { Some(now) } else { self.due }
    }
}

/// Decision of a [`Pacer`] about its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Nothing waits.
    Idle,
    /// Send at this time.
    Wait(Instant),
    /// Send at once.
    Send,
}

/// The pacing of one link: two batches are at least `coalesce` apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pacer {
    sent: Option<Instant>,
}

impl Pacer {
    /// The pacing of a link that has sent nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { sent: None }
    }

    /// Decides what the link does with the waiting output.
    #[must_use]
    pub fn decide(&self, now: Instant, demand: Demand, coalesce: Duration) -> Pace {
        let Some(due) = demand.at(now) else {
            return Pace::Idle;
        };
        let at = self.sent.map_or(due, |sent| due.max(sent + coalesce));
        if at > now { Pace::Wait(at) } else { Pace::Send }
    }

    /// Notes that a batch was sent.
    pub const fn note_sent(&mut self, now: Instant) {
        self.sent = Some(now);
    }
}

/// The time at which the output left after a batch is sent; none if no output is left.
#[must_use]
pub fn next_batch(now: Instant, left: Demand, coalesce: Duration) -> Option<Instant> {
    left.at(now).map(|at| at.max(now + coalesce))
}

/// Links that may have output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending<L> {
    /// The list may contain duplicates.
    links: Vec<L>,
}

impl<L> Default for Pending<L> {
    fn default() -> Self {
        Self::new()
    }
}

impl<L> Pending<L> {
    /// No link has output.
    #[must_use]
    pub const fn new() -> Self {
        Self { links: Vec::new() }
    }

    /// Notes that a link may have output.
    pub fn mark(&mut self, link: L) {
        self.links.push(link);
    }

    /// Whether no link has output.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// The number of marks, including duplicates.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.links.len()
    }
}

impl<L: Ord> Pending<L> {
    /// Takes the links, each once and in order.
    #[must_use]
    pub fn take(&mut self) -> Vec<L> {
        let mut links = core::mem::take(&mut self.links);
        links.sort_unstable();
        links.dedup();
        links
    }

    /// Takes back the memory of a list obtained from [`take`](Self::take), and drops the links marked meanwhile,
    /// because the caller has examined them.
    pub fn reset(&mut self, mut links: Vec<L>) {
        links.clear();
        self.links = links;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COALESCE: Duration = Duration::from_millis(1);
    const URGENT: Demand = Demand {
        urgent: true,
        due: None,
    };

    #[test]
    fn an_idle_link_sends_at_once_and_a_busy_one_coalesces() {
        let mut pacer = Pacer::new();
        let now = Instant::from_millis(5);
        assert_eq!(pacer.decide(now, Demand::default(), COALESCE), Pace::Idle);
        assert_eq!(pacer.decide(now, URGENT, COALESCE), Pace::Send);
        pacer.note_sent(now);
        assert_eq!(
            pacer.decide(now, URGENT, COALESCE),
            Pace::Wait(now + COALESCE)
        );
        assert_eq!(
            pacer.decide(now + COALESCE, URGENT, COALESCE),
            Pace::Send,
            "the interval is over"
        );
    }

    #[test]
    fn output_that_may_wait_is_sent_when_it_is_due() {
        let pacer = Pacer::new();
        let now = Instant::from_millis(5);
        let due = now + Duration::from_millis(3);
        let demand = Demand {
            urgent: false,
            due: Some(due),
        };
        assert_eq!(pacer.decide(now, demand, COALESCE), Pace::Wait(due));
        assert_eq!(pacer.decide(due, demand, COALESCE), Pace::Send);
        let both = Demand {
            urgent: true,
            ..demand
        };
        assert_eq!(pacer.decide(now, both, COALESCE), Pace::Send);
    }

    #[test]
    fn remaining_items_wait_for_the_next_batch_at_least() {
        let now = Instant::from_millis(5);
        assert_eq!(next_batch(now, Demand::default(), COALESCE), None);
        assert_eq!(next_batch(now, URGENT, COALESCE), Some(now + COALESCE));
        let due = now + Duration::from_millis(3);
        let later = Demand {
            urgent: false,
            due: Some(due),
        };
        assert_eq!(next_batch(now, later, COALESCE), Some(due));
    }

    #[test]
    fn links_are_taken_once_and_in_order() {
        let mut pending = Pending::new();
        for link in [3, 1, 3, 2] {
            pending.mark(link);
        }
        assert_eq!(pending.len(), 4);
        let taken = pending.take();
        assert_eq!(taken, [1, 2, 3]);
        pending.mark(1);
        pending.reset(taken);
        assert!(pending.is_empty() && pending.links.capacity() >= 3);
    }

    proptest! {
        /// Batches are `coalesce` apart, urgent output does not wait longer than that, and a waiting link states the
        /// time at which it sends.
        #[test]
        fn batches_keep_their_distance(steps in prop::collection::vec((0_u64..3_000_000, any::<bool>(), prop::option::of(0_u64..4_000_000)), 0..100)) {
            let (mut pacer, mut now, mut last) = (Pacer::new(), Instant::ZERO, None::<Instant>);
            for (nanos, urgent, due) in steps {
                now += Duration::from_nanos(nanos);
                let demand = Demand { urgent, due: due.map(|due| now + Duration::from_nanos(due)) };
                match pacer.decide(now, demand, COALESCE) {
                    Pace::Idle => prop_assert!(!urgent && demand.due.is_none()),
                    Pace::Wait(at) => {
                        prop_assert!(at > now);
                        prop_assert!(!urgent || at - now <= COALESCE);
                        prop_assert_eq!(pacer.decide(at, demand, COALESCE), Pace::Send);
                    }
                    Pace::Send => {
                        prop_assert!(last.is_none_or(|last| now - last >= COALESCE));
                        pacer.note_sent(now);
                        last = Some(now);
                    }
                }
            }
        }
    }
}
