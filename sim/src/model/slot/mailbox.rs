//! The inputs that wait while a process is paused, slow or busy.

use crate::record::Cause;
use crate::world::ProcessEvent;
use std::collections::VecDeque;

/// A queued input.
pub(crate) struct QueuedInput {
    pub input: ProcessEvent,
    /// The encoded bytes of the input's message; 0 without a message.
    pub bytes: usize,
    /// The cause of the input.
    pub cause: Cause,
}

/// The mailbox of one process. Times are nanoseconds of true time.
#[derive(Default)]
pub(super) struct ProcessMailbox {
    paused_until: u64,
    /// The delay of each input, in nanoseconds.
    delay: u64,
    busy_until: u64,
    /// The step that delays the inputs.
    delayed_by: Option<usize>,
    inputs: VecDeque<QueuedInput>,
    /// The time at which the mailbox is scheduled to open, if it is scheduled.
    opens_at: Option<u64>,
}

impl ProcessMailbox {
    /// Returns whether an input that occurs now is handled immediately.
    pub(super) fn passes(&self, now: u64) -> bool {
        self.delay == 0 && self.inputs.is_empty() && !self.is_busy(now)
    }

    /// Returns whether the process handles no input at this time.
    pub(super) const fn is_busy(&self, now: u64) -> bool {
        self.paused_until > now || self.busy_until > now
    }

    pub(super) fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    pub(super) const fn paused_until(&self) -> u64 {
        self.paused_until
    }

    /// Returns the step that delays the inputs.
    pub(super) const fn delayed_by(&self) -> Option<usize> {
        self.delayed_by
    }

    /// Pauses the process until this time.
    pub(super) fn pause(&mut self, until: u64, step: Option<usize>) {
        self.paused_until = self.paused_until.max(until);
        self.delayed_by = step;
    }

    /// Delays each input. When a delay ends, `step` is `None`.
    pub(super) const fn slow_down(&mut self, delay: u64, step: Option<usize>) {
        self.delay = delay;
        if step.is_some() {
            self.delayed_by = step;
        }
    }

    /// Appends an input.
    pub(super) fn push(&mut self, now: u64, waiting: QueuedInput) {
        if self.inputs.is_empty() && !self.is_busy(now) {
            self.busy_until = now + self.delay;
        }
        self.inputs.push_back(waiting);
    }

    /// Returns the time at which the mailbox is to be opened, unless the opening is already scheduled.
    pub(super) fn schedule(&mut self, now: u64) -> Option<u64> {
        if self.opens_at.is_some() {
            return None;
        }
        self.opens_at = Some(self.paused_until.max(self.busy_until).max(now));
        self.opens_at
    }

    /// Handles the scheduled opening of the mailbox; returns whether it is due.
    pub(super) fn open(&mut self, now: u64) -> bool {
        let due = self.opens_at == Some(now);
        if due {
            self.opens_at = None;
        }
        due
    }

    /// Returns the number of inputs that the process handles at once.
    pub(super) fn batch(&self) -> usize {
        if self.delay > 0 { 1 } else { self.inputs.len() }
    }

    /// Removes and returns the first input.
    pub(super) fn pop(&mut self) -> Option<QueuedInput> {
        self.inputs.pop_front()
    }

    /// Ends a batch; returns whether inputs remain, which then wait for the delay.
    pub(super) fn end_batch(&mut self, now: u64) -> bool {
        let remain = !self.inputs.is_empty();
        if remain {
            self.busy_until = now + self.delay;
        }
        remain
    }

    /// Drops all inputs, and ends a pause. A delay outlasts restarts of the process.
    pub(super) fn reset(&mut self) {
        self.inputs.clear();
        self.opens_at = None;
        self.paused_until = 0;
        self.busy_until = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting() -> QueuedInput {
        QueuedInput {
            input: ProcessEvent::Wake,
            bytes: 0,
            cause: Cause::NONE,
        }
    }

    #[test]
    fn a_paused_mailbox_opens_at_the_end_of_the_pause_with_all_inputs() {
        let mut mailbox = ProcessMailbox::default();
        assert!(mailbox.passes(5));
        mailbox.pause(100, Some(7));
        mailbox.pause(50, Some(7));
        assert!(!mailbox.passes(5) && mailbox.delayed_by() == Some(7));
        mailbox.push(5, waiting());
        mailbox.push(6, waiting());
        assert_eq!(mailbox.schedule(6), Some(100));
        assert_eq!(mailbox.schedule(7), None, "it is scheduled");
        assert!(!mailbox.open(99) && mailbox.open(100));
        assert_eq!(mailbox.batch(), 2);
        while mailbox.pop().is_some() {}
        assert!(!mailbox.end_batch(100) && mailbox.passes(100));
    }

    #[test]
    fn a_slow_process_handles_one_input_per_delay() {
        let mut mailbox = ProcessMailbox::default();
        mailbox.slow_down(10, Some(1));
        assert!(!mailbox.passes(0));
        mailbox.push(0, waiting());
        mailbox.push(3, waiting());
        assert_eq!(mailbox.schedule(3), Some(10));
        assert!(mailbox.open(10) && mailbox.batch() == 1);
        assert!(mailbox.pop().is_some());
        assert!(mailbox.end_batch(10) && mailbox.is_busy(10));
        assert_eq!(mailbox.schedule(10), Some(20));
    }

    #[test]
    fn a_restart_ends_a_pause_and_keeps_a_delay() {
        let mut mailbox = ProcessMailbox::default();
        mailbox.pause(100, None);
        mailbox.slow_down(10, None);
        mailbox.push(0, waiting());
        mailbox.reset();
        assert!(mailbox.is_empty() && !mailbox.is_busy(0));
        assert!(!mailbox.passes(0), "the delay remains");
        assert!(!mailbox.open(100), "the look at the mailbox is cancelled");
    }
}
