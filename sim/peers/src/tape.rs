//! The observations of a run and the figures derived from them, equal for each library.

use crate::course::{Course, CourseUpdate, Crash, Enough, UPDATE_PATIENCE};
use core::time::Duration;

/// An observation of one node about another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerObservation {
    /// The other node is alive, for the first time or after it was declared dead.
    Up,
    /// The other node is dead.
    Down,
    /// The other node published an update.
    Updated,
}

/// An observation with its time and node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedObservation {
    /// The time.
    pub at: Duration,
    /// The observing node.
    pub host: usize,
    /// The observed node.
    pub about: usize,
    /// The observation.
    pub found: PeerObservation,
}

/// A run.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    /// The observations in order of time.
    pub events: Vec<TimedObservation>,
    /// The arrival times of all messages that carry an update.
    pub copies: Vec<Duration>,
    /// Bytes that all nodes sent in the counted time.
    pub sent: u64,
}

/// The outcome of an update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reach {
    /// Time until the last node that the update reached had received it.
    pub took: Duration,
    /// Whether the update reached every node.
    pub complete: bool,
    /// Copies of the update that arrived, per node.
    pub copies: f64,
}

/// The members that each node considers alive.
#[derive(Clone, Debug)]
pub struct Views {
    nodes: usize,
    up: Vec<bool>,
    count: usize,
}

impl Views {
    /// Views in which no node knows any other node.
    #[must_use]
    pub fn new(nodes: usize) -> Self {
        Self {
            nodes,
            up: vec![false; nodes * nodes],
            count: 0,
        }
    }

    /// Applies an observation.
    pub fn take(&mut self, event: &TimedObservation) {
        let up = match event.found {
            PeerObservation::Up => true,
            PeerObservation::Down => false,
            PeerObservation::Updated => return,
        };
        if event.host == event.about {
            return;
        }
        let known = &mut self.up[event.host * self.nodes + event.about];
        if *known != up {
            *known = up;
            self.count = if up { self.count + 1 } else { self.count - 1 };
        }
    }

    /// Returns whether every node considers every other node alive.
    #[must_use]
    pub const fn all_see_all(&self) -> bool {
        self.count == self.nodes * (self.nodes - 1)
    }

    /// Returns whether no other node considers a node alive.
    #[must_use]
    pub fn is_seen_by_none(&self, about: usize) -> bool {
        let others = (0..self.nodes).filter(|host| *host != about);
        others
            .into_iter()
            .all(|host| !self.up[host * self.nodes + about])
    }

    /// Returns whether the condition of a course for an early end holds.
    #[must_use]
    pub fn are_enough(&self, course: &Course, now: Duration) -> bool {
        match (course.enough, course.crash) {
            (Enough::AllSeeAll(from), _) => now >= from && self.all_see_all(),
            (Enough::CrashKnown, Some(crash)) => now >= crash.at && self.is_seen_by_none(crash.host),
            (Enough::CrashKnown, None) => false,
        }
    }
}

impl Tape {
    /// Returns the time after `from` until every node considers every other node alive; `None` if this does not happen
    /// in the run.
    #[must_use]
    pub fn all_see_all(&self, nodes: usize, from: Duration) -> Option<Duration> {
        self.when(nodes, from, Views::all_see_all)
    }

    /// Returns the time after a crash until no node considers the dead node alive; `None` if this does not happen in
    /// the run.
    #[must_use]
    pub fn crash_known(&self, nodes: usize, crash: Crash) -> Option<Duration> {
        self.when(nodes, crash.at, |views| views.is_seen_by_none(crash.host))
    }

    /// Returns the time after `from` until the views satisfy a condition; `None` if this does not happen in the run.
    fn when(
        &self,
        nodes: usize,
        from: Duration,
        wanted: impl Fn(&Views) -> bool,
    ) -> Option<Duration> {
        let mut views = Views::new(nodes);
        let mut events = self.events.iter().peekable();
        while let Some(event) = events.next_if(|event| event.at < from) {
            views.take(event);
        }
        if wanted(&views) {
            return Some(Duration::ZERO);
        }
        events.find_map(|event| {
            views.take(event);
            wanted(&views).then(|| event.at - from)
        })
    }

    /// Returns the number of false verdicts between two instants; each verdict counts once for every node that reached
    /// it.
    #[must_use]
    pub fn false_deaths(&self, from: Duration, to: Duration) -> usize {
        let inside = |event: &&TimedObservation| event.at >= from && event.at < to;
        let deaths = self.events.iter().filter(inside);
        deaths
            .filter(|event| event.found == PeerObservation::Down)
            .count()
    }

    /// The outcome of an update.
    #[must_use]
    pub fn reach(&self, nodes: usize, update: CourseUpdate) -> Reach {
        let over = update.at + UPDATE_PATIENCE;
        let inside = |at: Duration| at >= update.at && at < over;
        let mut reached = vec![false; nodes];
        reached[update.host] = true;
        let mut last = update.at;
        for event in &self.events {
            if event.found == PeerObservation::Updated
                && event.about == update.host
                && inside(event.at)
                && !reached[event.host]
            {
                reached[event.host] = true;
                last = event.at;
            }
        }
        let copies = self.copies.iter().filter(|at| inside(**at)).count();
        Reach {
            took: last - update.at,
            complete: reached.iter().all(|reached| *reached),
            copies: copies as f64 / (nodes - 1) as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: u64, host: usize, about: usize, found: PeerObservation) -> TimedObservation {
        TimedObservation {
            at: Duration::from_millis(at),
            host,
            about,
            found,
        }
    }

    #[test]
    fn all_see_all_when_the_last_pair_does_and_again_after_a_split() {
        let tape = Tape {
            events: vec![
                event(1, 0, 1, PeerObservation::Up),
                event(5, 1, 0, PeerObservation::Up),
                event(9, 1, 0, PeerObservation::Down),
                event(14, 1, 0, PeerObservation::Up),
            ],
            ..Tape::default()
        };
        let ms = Duration::from_millis;
        assert_eq!(tape.all_see_all(2, ms(0)), Some(ms(5)));
        assert_eq!(tape.all_see_all(2, ms(10)), Some(ms(4)));
        assert_eq!(tape.all_see_all(3, ms(0)), None);
        assert_eq!(tape.false_deaths(ms(9), ms(10)), 1);
        assert_eq!(tape.false_deaths(ms(10), ms(20)), 0);
    }

    #[test]
    fn a_crash_is_known_when_the_last_observer_knows() {
        let tape = Tape {
            events: vec![
                event(1, 0, 2, PeerObservation::Up),
                event(1, 1, 2, PeerObservation::Up),
                event(50, 0, 2, PeerObservation::Down),
                event(60, 1, 2, PeerObservation::Down),
            ],
            ..Tape::default()
        };
        let crash = Crash {
            at: Duration::from_millis(40),
            host: 2,
        };
        let known = tape.crash_known(3, crash);
        assert_eq!(known, Some(Duration::from_millis(20)));
    }

    #[test]
    fn an_update_that_a_member_lacks_is_not_complete() {
        let update = CourseUpdate {
            at: Duration::from_secs(1),
            host: 0,
        };
        let mut tape = Tape {
            events: vec![event(1_004, 1, 0, PeerObservation::Updated)],
            copies: vec![Duration::from_millis(1_004), Duration::from_millis(1_005)],
            sent: 0,
        };
        assert!(!tape.reach(3, update).complete);
        tape.events
            .push(event(1_007, 2, 0, PeerObservation::Updated));
        let reach = tape.reach(3, update);
        assert!(reach.complete);
        assert_eq!(reach.took, Duration::from_millis(7));
        assert_eq!(reach.copies, 1.0);
    }
}
