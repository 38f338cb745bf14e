//! The early end of a run: at the request of its caller, or because one instant of virtual time has too many events.
//!
//! The caller requests the end through a [`Supervisor`]. A request changes no event, so a run that ends by itself is the
//! same with and without a supervisor. After a request because of time, the engine counts the inputs of the next events,
//! so that the failure can name the processes that cause most events.

use super::context::Context;
use super::supervisor::{SupervisedRun, Supervisor};
use crate::judge::ending::Halted;
use crate::scenario::text::show;
use core::time::Duration;
use std::collections::BTreeMap;

/// Maximum number of events in one instant, in addition to the allowance for each process. A mesh of thousands of nodes
/// has fewer than a tenth of this number.
const INSTANT_EVENTS_MAX: u64 = 1_000_000;

/// Maximum number of additional events in one instant for each process.
const INSTANT_EVENTS_MAX_PER_PROCESS: u64 = 2_000;

/// Number of events that are counted to name the cause of an early end.
const SAMPLE_EVENTS: u64 = 10_000;

/// Number of kinds of inputs that an early end names.
const NAMED_MAX: usize = 3;

/// The expectation that a run violates if it does not end within its wall-time limit.
pub const ENDS_IN_TIME: &str = "the run ends within its wall-time limit";

/// The expectation that a run violates if its virtual time stands still.
pub const TIME_ADVANCES: &str = "virtual time advances";

/// Decides after each event whether the run ends early.
pub(super) struct RunWatch<'a> {
    supervised: Option<SupervisedRun<'a>>,
    instant_events_max: u64,
    sample: Option<EventSample>,
}

/// Counts of the inputs of the latest events.
struct EventSample {
    expectation: &'static str,
    /// A description of the state when the sample began.
    begin: String,
    from: Duration,
    events: u64,
    /// Number of steps for each host, program and kind of input.
    steps: BTreeMap<(usize, Option<&'static str>, &'static str), u64>,
}

impl<'a> RunWatch<'a> {
    pub(super) fn new(supervisor: Option<&'a Supervisor>, processes: usize) -> Self {
        Self {
            supervised: supervisor.map(SupervisedRun::new),
            instant_events_max: INSTANT_EVENTS_MAX
                + INSTANT_EVENTS_MAX_PER_PROCESS * processes as u64,
            sample: None,
        }
    }

    /// Returns the reason for an early end of the run after the latest event, if there is one.
    pub(super) fn look(&mut self, context: &Context<'_, '_>) -> Option<Halted> {
        let requested = self.supervised.as_ref().is_some_and(|run| {
            let supervisor = run.supervisor();
            supervisor.is_interrupted() || supervisor.is_late()
        });
        if !requested
            && self.sample.is_none()
            && context.events_in_instant() <= self.instant_events_max
        {
            return None;
        }
        self.reason_to_end(context)
    }

    #[cold]
    fn reason_to_end(&mut self, context: &Context<'_, '_>) -> Option<Halted> {
        let supervisor = self.supervised.as_ref().map(SupervisedRun::supervisor);
        if supervisor.is_some_and(Supervisor::is_interrupted) {
            return match self.sample.take() {
                Some(sample) => Some(sample.halted(context)),
                None => Some(Halted::Interrupted),
            };
        }
        if let Some(sample) = &mut self.sample {
            sample.count(context);
            let is_over = sample.events >= SAMPLE_EVENTS;
            return is_over
                .then(|| self.sample.take())?
                .map(|sample| sample.halted(context));
        }
        let now = Duration::from_nanos(context.now());
        if context.events_in_instant() > self.instant_events_max {
            let begin = format!(
                "{} events happened at {}, and virtual time stands still",
                context.events_in_instant(),
                show(now)
            );
            self.sample = Some(EventSample::new(TIME_ADVANCES, begin, now));
        } else if supervisor.is_some_and(Supervisor::is_late) {
            let begin = format!(
                "the run is at {} of at most {} of virtual time, after {} events",
                show(now),
                show(context.plan().end),
                context.events()
            );
            self.sample = Some(EventSample::new(ENDS_IN_TIME, begin, now));
        }
        None
    }
}

impl EventSample {
    const fn new(expectation: &'static str, begin: String, from: Duration) -> Self {
        Self {
            expectation,
            begin,
            from,
            events: 0,
            steps: BTreeMap::new(),
        }
    }

    fn count(&mut self, context: &Context<'_, '_>) {
        self.events += 1;
        if let Some(step) = context.latest_step() {
            *self.steps.entry(step).or_default() += 1;
        }
    }

    fn halted(&self, context: &Context<'_, '_>) -> Halted {
        let took = Duration::from_nanos(context.now()).saturating_sub(self.from);
        let mut kinds: BTreeMap<&str, (u64, u64, String)> = BTreeMap::new();
        for ((host, program, kind), count) in &self.steps {
            let (sum, most, at) = kinds.entry(kind).or_default();
            *sum += count;
            if *most < *count {
                let program = program.map_or_else(String::new, |program| format!("/{program}"));
                *at = context.scenario().hosts[*host].name.clone() + &program;
                *most = *count;
            }
        }
        let mut kinds: Vec<_> = kinds.into_iter().collect();
        kinds.sort_by_key(|(_, (sum, ..))| core::cmp::Reverse(*sum));
        let kinds: Vec<String> = kinds
            .into_iter()
            .take(NAMED_MAX)
            .map(|(kind, (sum, most, at))| format!("{sum} `{kind}`, {most} of them at {at}"))
            .collect();
        let steps = match kinds.is_empty() {
            true => String::new(),
            false => format!(": {}", kinds.join("; ")),
        };
        let (events, took) = (self.events, show(took));
        let why = format!(
            "{}; the next {events} events take {took} of it{steps}",
            self.begin
        );
        Halted::Failed {
            expectation: self.expectation,
            why,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_for_time_ends_its_run_alone_and_an_interrupt_every_run() {
        let supervisor = Supervisor::default();
        assert_eq!(supervisor.position(), None);
        let run = SupervisedRun::new(&supervisor);
        supervisor.enter(5, 7, 2);
        let position = supervisor.position().unwrap();
        assert_eq!((position.run, position.event), (1, 7));
        assert_eq!(position.host, Some(2));
        supervisor.end_for_time(1);
        assert!(supervisor.is_late() && !supervisor.is_interrupted());
        drop(run);
        assert_eq!(supervisor.position(), None);
        let _run = SupervisedRun::new(&supervisor);
        assert!(!supervisor.is_late(), "the request was for the run before");
        supervisor.interrupt();
        supervisor.end_for_time(2);
        assert!(supervisor.is_interrupted(), "an interrupt stays");
    }
}
