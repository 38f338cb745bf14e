//! The credentials machine: one node with a calendar that can be set, and a fleet.

mod certificates;
mod fleet;
mod links;
mod time;

use super::*;
use crate::link::{LinkId, LocalClose};
use crate::machine::{Wake, wake_checked};
use crate::time::Duration;

/// The calendar time at which the tests begin: 2026.
const BEGIN: Wall = Wall(1_780_000_000);
const DAY: u64 = 86_400;

/// A validity that began `since` seconds before the beginning of the test and ends `until` seconds after it.
fn validity(since: u64, until: u64) -> Validity {
    Validity {
        not_before: Wall(BEGIN.0 - since),
        not_after: Wall(BEGIN.0 + until),
    }
}

fn expiry(since: u64, until: u64) -> Expiry {
    Expiry::first_of(validity(since, until), validity(0, 1_000 * 365 * DAY))
}

/// One node, its machine's calendar, and all outputs except orders to read the calendar.
struct Node {
    machine: Credentials,
    now: Instant,
    /// The number of seconds by which the calendar is ahead of the time that passed since the beginning.
    ahead: i64,
    orders: Vec<(Instant, Output)>,
}

impl Node {
    fn new(validity: Validity, seed: u64) -> Self {
        Self {
            machine: Credentials::new(validity, BEGIN, seed, Instant::ZERO),
            now: Instant::ZERO,
            ahead: 0,
            orders: Vec::new(),
        }
    }

    /// The time that the calendar shows.
    fn wall(&self) -> Wall {
        let passed = self.now.since(Instant::ZERO).as_secs();
        Wall((BEGIN.0 + passed).saturating_add_signed(self.ahead))
    }

    fn input(&mut self, input: Input) {
        let mut out = Outbox::new();
        self.machine.step(self.now, input, &mut out);
        self.take(&mut out);
    }

    /// Stores the outputs, and reads the calendar if an output orders a reading.
    fn take(&mut self, out: &mut Outbox<Output>) {
        let mut reads = 0;
        for order in out.drain() {
            if order == Output::ReadCalendar {
                reads += 1;
            } else {
                self.orders.push((self.now, order));
            }
        }
        for _ in 0..reads {
            self.input(Input::Calendar(self.wall()));
        }
    }

    /// Wakes the machine at each deadline until `end`.
    fn run_until(&mut self, end: Instant) {
        while let Some(at) = self.machine.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            let mut out = Outbox::new();
            wake_checked(&mut self.machine, self.now, &mut out);
            self.take(&mut out);
        }
        self.now = self.now.max(end);
    }

    fn run_for(&mut self, duration: Duration) {
        self.run_until(self.now + duration);
    }

    fn run_for_seconds(&mut self, seconds: u64) {
        self.run_for(Duration::from_secs(seconds));
    }

    fn open(&mut self, link: u64, dialed: bool, expiry: Expiry, generation: u64) {
        self.input(Input::LinkOpened {
            link: LinkId(link),
            dialed,
            expiry,
            generation,
        });
    }

    fn take_orders(&mut self) -> Vec<(Instant, Output)> {
        std::mem::take(&mut self.orders)
    }

    /// All instants at which an output was given.
    fn times_of(&self, wanted: &Output) -> Vec<Instant> {
        let of = self.orders.iter().filter(|(_, order)| order == wanted);
        of.map(|(at, _)| *at).collect()
    }
}

/// The pauses between instants, in milliseconds.
fn pauses(times: &[Instant]) -> Vec<u64> {
    let pairs = times.windows(2);
    let pause = |pair: &[Instant]| pair[1].as_millis() - pair[0].as_millis();
    pairs.map(pause).collect()
}
