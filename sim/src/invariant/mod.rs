//! What always holds, whatever the scenario. One invariant a file: its property, its reason, its source.
//!
//! After each step of a process, what the step touched is checked (O(change)); at checkpoints, what is global; at
//! the end, when all faults are lifted and all is well, what must be true at rest. A system adds its own
//! ([`Program::invariants`]) to those here, which hold for every machine.

mod promises;

use crate::scenario::Scenario;
use crate::verdict::Failure;
use crate::world::process::{Effect, Process, ProcessView, ReportedEvent};
use crate::world::program::{Definition, Program};
use crate::world::scene::Scene;
use core::time::Duration;
use phalanx_core::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// One step of one process, just done.
pub struct Seen<'a> {
    /// True time, in nanoseconds since the start of the run.
    pub now: u64,
    /// The host of the process.
    pub host: usize,
    /// The process after the step.
    pub process: &'a dyn Process,
    /// The view of the process.
    pub view: &'a dyn ProcessView,
    /// The process's own time.
    pub local: Instant,
    /// The step was a wake.
    pub woke: bool,
    /// The step took a message.
    pub message: bool,
    /// The effects of the step.
    pub effects: &'a [Effect],
    /// Of each effect that sends a message, its encoded bytes; of others 0.
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

/// Which steps an invariant looks at: most steps do nothing that most invariants are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Steps {
    /// None: it looks at the whole world, or at reports.
    None,
    /// Those that take a message.
    Messages,
    /// Those that take a message, or anything else but a wake, or order something.
    Busy,
    /// All.
    All,
}

impl Seen<'_> {
    /// The narrowest kind of steps that this one belongs to.
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

/// Something that a process reported.
pub struct Report<'a> {
    /// True time, in nanoseconds since the start of the run.
    pub now: u64,
    /// The host of the process.
    pub host: usize,
    /// What.
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

/// Whether an invariant holds; if not, what stands against it.
pub type Verdict = Result<(), String>;

/// One thing that always holds.
pub trait Invariant {
    /// Its name, as failures show it.
    fn name(&self) -> &'static str;

    /// The steps that [`Self::after_step`] is asked about.
    fn steps(&self) -> Steps {
        Steps::All
    }

    /// Checks what one step touched.
    ///
    /// # Errors
    /// What stands against it.
    fn after_step(&mut self, _seen: &Seen<'_>, _system: &dyn Program) -> Verdict {
        Ok(())
    }

    /// Checks what a process reported, on every engine.
    ///
    /// # Errors
    /// What stands against it.
    fn on_report(&mut self, _report: &Report<'_>, _system: &dyn Program) -> Verdict {
        Ok(())
    }

    /// Checks everything.
    ///
    /// # Errors
    /// What stands against it.
    fn checkpoint(&mut self, _scene: &Scene<'_>) -> Verdict {
        Ok(())
    }

    /// Checks a world at rest.
    ///
    /// # Errors
    /// What stands against it.
    fn at_rest(&mut self, _scene: &Scene<'_>) -> Verdict {
        Ok(())
    }

    /// A host's process starts.
    fn on_start(&mut self, _host: usize) {}
}

/// The names of all invariants that watch a run of a system, as failures show them.
///
/// # Errors
/// When the scenario does not fit the system.
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

/// All of them, watching one run.
pub struct Invariants {
    /// Those that look at fewer steps last.
    all: Vec<Box<dyn Invariant>>,
    /// How many of them look at all steps, how many at least at busy ones, and so on.
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
    /// Nothing seen yet.
    #[must_use]
    pub fn new(scenario: &Scenario, system: &dyn Program) -> Self {
        let mut all = system.invariants(scenario);
        all.push(Box::new(promises::Promises));
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

    /// A host's process is about to start.
    pub fn on_start(&mut self, host: usize) {
        for invariant in &mut self.all {
            invariant.on_start(host);
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

    /// A process of this name reported something: the system takes note of it, and then it is looked at.
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

    /// What was broken, of a scenario file.
    pub fn failures(&self, file: &str) -> impl Iterator<Item = Failure> {
        self.broken.iter().map(move |(name, (at, why))| {
            Failure::new(file, 0, &format!("invariant {name}"), *at, why)
        })
    }
}
