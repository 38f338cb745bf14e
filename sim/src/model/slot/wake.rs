//! The next wake of a process.

/// A time that is never reached.
const NEVER: u64 = u64::MAX;

/// Maximum time, in nanoseconds, for which waiting inputs delay a due timer of a process, as in the driver of `net`:
/// inputs are handled first, but cannot starve timers.
const INPUTS_FIRST: u64 = 100_000_000;

/// Delay, in nanoseconds, of the next wake of a machine whose deadline is already due after a wake.
const OVERDUE_DELAY: u64 = 1_000_000;

/// The wake timer of one process. Times are nanoseconds of true time.
pub(super) struct WakeTimer {
    /// The time of the earliest scheduled wake.
    scheduled_at: u64,
    /// Whether a due wake waits for the queued inputs.
    waits: bool,
    /// The time until which queued inputs may delay a due wake.
    waits_until: u64,
}

impl WakeTimer {
    pub(super) const fn new() -> Self {
        Self {
            scheduled_at: NEVER,
            waits: false,
            waits_until: 0,
        }
    }

    /// Moves the next wake forward to a deadline; returns the time to schedule, unless an earlier wake is already
    /// scheduled. `woke` is whether the latest step was a wake: a machine whose deadline is still due after its wake
    /// must not stall the run that reports this bug.
    pub(super) fn schedule(&mut self, now: u64, deadline: u64, woke: bool) -> Option<u64> {
        let overdue = woke && deadline <= now;
        let at = deadline.max(now + if overdue { OVERDUE_DELAY } else { 0 });
        let earlier = at < self.scheduled_at;
        if earlier {
            self.scheduled_at = at;
        }
        earlier.then_some(at)
    }

    /// Handles the wake scheduled for this time; returns whether there is such a wake.
    pub(super) const fn fire(&mut self, now: u64) -> bool {
        let due = self.scheduled_at == now;
        if due {
            self.scheduled_at = NEVER;
        }
        due
    }

    /// Postpones a due wake until the queued inputs are handled.
    pub(super) const fn postpone(&mut self, now: u64) {
        if !self.waits {
            self.waits = true;
            self.waits_until = now + INPUTS_FIRST;
        }
    }

    /// Takes a postponed wake if no inputs remain or its time limit has passed; returns whether there is such a wake.
    pub(super) fn resume(&mut self, now: u64, no_inputs: bool, paused_until: u64) -> bool {
        let limit = self.waits_until.max(paused_until + INPUTS_FIRST);
        let due = self.waits && (no_inputs || limit <= now);
        if due {
            self.waits = false;
        }
        due
    }

    /// Cancels the scheduled wake, because the process's clock changed.
    pub(super) const fn cancel(&mut self) {
        self.scheduled_at = NEVER;
    }

    /// Cancels all wakes.
    pub(super) const fn reset(&mut self) {
        self.scheduled_at = NEVER;
        self.waits = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_earlier_deadline_is_scheduled_and_only_the_earliest_fires() {
        let mut timer = WakeTimer::new();
        assert_eq!(timer.schedule(0, 50, false), Some(50));
        assert_eq!(timer.schedule(0, 60, false), None);
        assert_eq!(timer.schedule(0, 40, false), Some(40));
        assert!(timer.fire(40) && !timer.fire(50));
        assert_eq!(timer.schedule(50, 45, false), Some(50), "a past deadline");
    }

    #[test]
    fn a_deadline_that_is_due_after_its_wake_is_delayed() {
        let mut timer = WakeTimer::new();
        assert_eq!(timer.schedule(10, 10, true), Some(10 + OVERDUE_DELAY));
    }

    #[test]
    fn a_due_wake_waits_for_inputs_for_a_limited_time() {
        let mut timer = WakeTimer::new();
        assert!(!timer.resume(0, true, 0), "no wake waits");
        timer.postpone(5);
        timer.postpone(9);
        assert!(!timer.resume(10, false, 0));
        assert!(
            !timer.resume(5 + INPUTS_FIRST, false, 20),
            "the pause ended later"
        );
        assert!(timer.resume(20 + INPUTS_FIRST, false, 20));
        timer.postpone(5);
        assert!(timer.resume(6, true, 0) && !timer.resume(6, true, 0));
    }
}
