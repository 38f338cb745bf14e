//! One machine whose neighbours are played by the test.

use crate::machine::{Machine, Outbox, wake_checked};
use crate::time::{Duration, Instant};

/// A machine and its clock.
pub(crate) struct Alone<M: Machine> {
    pub(crate) machine: M,
    pub(crate) now: Instant,
}

impl<M: Machine> Alone<M> {
    /// Gives the machine an input. Returns the machine's outputs and their time.
    pub(crate) fn give(&mut self, input: M::Input) -> Vec<(Instant, M::Output)> {
        let mut out = Outbox::new();
        self.machine.step(self.now, input, &mut out);
        out.drain().map(|output| (self.now, output)).collect()
    }

    /// Lets time pass without inputs. Returns the machine's outputs and their times; each wake is checked against the
    /// contract of machines.
    pub(crate) fn pass(&mut self, duration: Duration) -> Vec<(Instant, M::Output)> {
        let end = self.now + duration;
        let (mut outputs, mut out) = (Vec::new(), Outbox::new());
        while let Some(at) = self.machine.next_deadline().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            wake_checked(&mut self.machine, self.now, &mut out);
            outputs.extend(out.drain().map(|output| (self.now, output)));
        }
        self.now = end;
        outputs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Wake;

    /// Counts the seconds since the machine's first input.
    #[derive(Default)]
    struct Clock(Option<Instant>);

    impl Machine for Clock {
        type Input = Wake;
        type Output = u64;

        fn step(&mut self, now: Instant, _: Wake, out: &mut Outbox<u64>) {
            out.push(now.as_millis() / 1_000);
            self.0 = Some(now + Duration::from_secs(1));
        }

        fn next_deadline(&self) -> Option<Instant> {
            self.0
        }
    }

    #[test]
    fn outputs_have_the_times_of_their_wakes() {
        let mut alone = Alone {
            machine: Clock::default(),
            now: Instant::ZERO,
        };
        assert!(alone.pass(Duration::from_secs(5)).is_empty());
        let at = |seconds| (Instant::from_millis(seconds * 1_000), seconds);
        assert_eq!(alone.give(Wake), [at(5)]);
        assert_eq!(alone.pass(Duration::from_millis(2_500)), [at(6), at(7)]);
        assert_eq!(alone.now, Instant::from_millis(7_500));
    }
}
