//! Invariants: properties that hold in every scenario. Each file has one invariant with its property, its reason and
//! its source.
//!
//! After each step of a process, invariants check the state that the step touched, in O(change). At checkpoints,
//! invariants check global properties. At the end, when all faults are lifted and the system has recovered, invariants
//! check properties of a world at rest. A system adds its own invariants ([`Program::invariants`]) to those of this
//! module, which hold for every machine.

mod deadline_in_future;

use crate::scenario::Scenario;
use crate::verdict::Failure;
use crate::world::process::{Effect, Process, ProcessView, ReportedEvent};
use crate::world::program::{Definition, Program};
use crate::world::scene::Scene;
use core::time::Duration;
use phalanx_core::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// The beginning of the expectation of a violated invariant, before the name of the invariant.
pub(crate) const INVARIANT: &str = "invariant ";

/// A completed step of one process.
pub struct Seen<'a> {
    /// True time, in nanoseconds since the start of the run.
    pub now: u64,
    /// The host of the process.
    pub host: usize,
    /// The process after the step.
    pub process: &'a dyn Process,
    /// The view of the process.
    pub view: &'a dyn ProcessView,
    /// The local time of the process.
    pub local: Instant,
    /// The next deadline of the process, by its local time.
    pub deadline: Option<Instant>,
    /// The step was a wake.
    pub woke: bool,
    /// The step took a message.
    pub message: bool,
    /// The effects of the step.
    pub effects: &'a [Effect],
    /// For each effect, the encoded bytes of the message that it sends; 0 for an effect without a message.
    pub sizes: &'a [usize],
}

impl core::fmt::Debug for Seen<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Seen")
            .field("now", &self.now)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

/// The steps that an invariant checks. Most invariants do not concern most steps, so a narrow choice saves time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Steps {
    /// No steps: the invariant checks only the whole world, or only reported events.
    None,
    /// Steps that take a message.
    Messages,
    /// Steps that take an input other than a wake, or that have effects.
    Busy,
    /// All steps.
    All,
}

impl Seen<'_> {
    /// The narrowest kind that includes this step.
    fn kind(&self) -> Steps {
        if self.message {
            Steps::Messages
        } else if !self.woke || !self.effects.is_empty() {
            Steps::Busy
        } else {
            Steps::All
        }
    }
}

/// An event that a process reported.
pub struct Report<'a> {
    /// True time, in nanoseconds since the start of the run.
    pub now: u64,
    /// The host of the process.
    pub host: usize,
    /// The event.
    pub event: &'a dyn ReportedEvent,
}

impl core::fmt::Debug for Report<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Report")
            .field("now", &self.now)
            .field("host", &self.host)
            .field("event", &self.event)
            .finish()
    }
}

/// Whether an invariant holds; if not, the violation in words.
pub type InvariantResult = Result<(), String>;

/// A property that always holds.
pub trait Invariant {
    /// The name of the invariant in failures.
    fn name(&self) -> &'static str;

    /// The steps for which [`Self::after_step`] is called.
    fn steps(&self) -> Steps {
        Steps::All
    }

    /// Checks the state that one step touched.
    ///
    /// # Errors
    /// The error is the violation.
    fn after_step(&mut self, _seen: &Seen<'_>, _system: &dyn Program) -> InvariantResult {
        Ok(())
    }

    /// Checks an event that a process reported. Every engine calls this method.
    ///
    /// # Errors
    /// The error is the violation.
    fn on_report(&mut self, _report: &Report<'_>, _system: &dyn Program) -> InvariantResult {
        Ok(())
    }

    /// Checks the whole world.
    ///
    /// # Errors
    /// The error is the violation.
    fn checkpoint(&mut self, _scene: &Scene<'_>) -> InvariantResult {
        Ok(())
    }

    /// Checks a world at rest.
    ///
    /// # Errors
    /// The error is the violation.
    fn at_rest(&mut self, _scene: &Scene<'_>) -> InvariantResult {
        Ok(())
    }

    /// Returns the number of checks so far that had something to compare, for the table of coverage. A check of an
    /// empty list, or of a single value that is compared with no other, does not count. `None` if the
    /// invariant does not count its checks, which is the default.
    fn checked(&self) -> Option<u64> {
        None
    }

    /// Records that a host's process starts. Every engine calls this method.
    fn on_start(&mut self, _host: usize) {}

    /// Records that a host's process has ended: it was stopped, its host lost power, or it exited. A process that ended
    /// holds no state, so an invariant over several hosts forgets what it noted about the process. On a host that runs
    /// several programs, only the process of the invariant's own program counts, as for [`Self::on_start`]. Every engine
    /// calls this method.
    fn on_end(&mut self, _host: usize) {}
}

/// The names of all invariants that check a run of a system, as used in failures.
///
/// # Errors
/// Returns an error if the scenario does not fit the system.
pub fn names(
    definition: &Definition,
    scenario: &Scenario,
) -> Result<BTreeSet<&'static str>, String> {
    let cast = (definition.build)(scenario, &[])?;
    let mut names = BTreeSet::new();
    for program in &cast.programs {
        let all = Invariants::new(scenario, &**program).all;
        names.extend(all.iter().map(|invariant| invariant.name()));
    }
    Ok(names)
}

/// All invariants of one run, with the first violation of each.
pub struct Invariants {
    /// The invariants, in descending order of the number of steps that they check.
    all: Vec<Box<dyn Invariant>>,
    /// The number of invariants that check all steps. `at_busy` and `at_messages` count the invariants that check at
    /// least these steps.
    at_all: usize,
    at_busy: usize,
    at_messages: usize,
    broken: BTreeMap<&'static str, (Duration, String)>,
}

impl core::fmt::Debug for Invariants {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Invariants")
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

impl Invariants {
    /// The invariants of a run before its first step.
    #[must_use]
    pub fn new(scenario: &Scenario, system: &dyn Program) -> Self {
        let mut all = system.invariants(scenario);
        all.push(Box::new(deadline_in_future::DeadlineInFuture::default()));
        Self::of(all)
    }

    fn of(mut all: Vec<Box<dyn Invariant>>) -> Self {
        all.sort_by_key(|invariant| std::cmp::Reverse(invariant.steps()));
        let count = |least| all.iter().filter(|one| one.steps() >= least).count();
        Self {
            at_all: count(Steps::All),
            at_busy: count(Steps::Busy),
            at_messages: count(Steps::Messages),
            all,
            broken: BTreeMap::new(),
        }
    }

    /// Adds an invariant before the first step of a run.
    pub fn add(&mut self, invariant: Box<dyn Invariant>) {
        let mut all = std::mem::take(&mut self.all);
        all.push(invariant);
        *self = Self::of(all);
    }

    /// Records that a host's process is about to start.
    pub fn on_start(&mut self, host: usize) {
        for invariant in &mut self.all {
            invariant.on_start(host);
        }
    }

    /// Records that a host's process has ended.
    pub fn on_end(&mut self, host: usize) {
        for invariant in &mut self.all {
            invariant.on_end(host);
        }
    }

    pub(crate) fn after_step(&mut self, seen: &Seen<'_>, system: &dyn Program, name: &str) {
        let looking = match seen.kind() {
            Steps::All => self.at_all,
            Steps::Busy => self.at_busy,
            Steps::None | Steps::Messages => self.at_messages,
        };
        for invariant in &mut self.all[..looking] {
            if let Err(why) = invariant.after_step(seen, system) {
                self.broken
                    .entry(invariant.name())
                    .or_insert_with(|| (Duration::from_nanos(seen.now), format!("{name}: {why}")));
            }
        }
    }

    /// Records an event of the process of a program: first in the system, then in each invariant.
    pub fn on_report(&mut self, report: &Report<'_>, system: &mut dyn Program, name: &str) {
        system.on_report(report);
        for invariant in &mut self.all {
            if let Err(why) = invariant.on_report(report, system) {
                self.broken.entry(invariant.name()).or_insert_with(|| {
                    (Duration::from_nanos(report.now), format!("{name}: {why}"))
                });
            }
        }
    }

    pub(crate) fn checkpoint(&mut self, now: u64, scene: &Scene<'_>) {
        for invariant in &mut self.all {
            if let Err(why) = invariant.checkpoint(scene) {
                self.broken
                    .entry(invariant.name())
                    .or_insert((Duration::from_nanos(now), why));
            }
        }
    }

    pub(crate) fn at_rest(&mut self, now: u64, scene: &Scene<'_>) {
        for invariant in &mut self.all {
            if let Err(why) = invariant.at_rest(scene) {
                self.broken
                    .entry(invariant.name())
                    .or_insert((Duration::from_nanos(now), why));
            }
        }
    }

    /// Returns each invariant with the number of its checks, if it counts them.
    pub fn checked(&self) -> impl Iterator<Item = (&'static str, Option<u64>)> {
        let all = self.all.iter();
        all.map(|invariant| (invariant.name(), invariant.checked()))
    }

    /// The violations, as failures of a scenario file.
    pub fn failures(&self, file: &str) -> impl Iterator<Item = Failure> {
        self.broken.iter().map(move |(name, (at, why))| {
            Failure::new(file, 0, &format!("{INVARIANT}{name}"), *at, why)
        })
    }
}
