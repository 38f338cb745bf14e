//! Looks for a seed that fails: draws seeds and settings of chaos, and prefers those near behaviour not seen before.
//!
//! Swarm testing: each trial switches on a random part of the faults, at random strength, since a run in which
//! everything may happen seldom lets one thing happen often. What a run did is a set of small numbers
//! ([`Coverage`]); a trial that adds to what all others did is kept, and later trials are drawn near it.
//!
//! - [`Hunt`]: draws trials and learns from them; start there. It holds no thread and no clock.
//! - [`attempt`]: one trial.

mod coverage;
mod variant;

pub use coverage::Coverage;
pub use variant::Trial;

use crate::model::Options;
use crate::runner::Runner;
use crate::scenario::{Scenario, ScenarioError};
use crate::verdict::Failure;
use core::time::Duration;
use phalanx_core::random::Random;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The most trials that are kept to draw near.
const KEPT_MAX: usize = 1_000;

/// What is looked into: who runs it, and what is broken on purpose in it.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// Runs its scenarios.
    pub runner: &'a (dyn Runner + Sync),
    /// Words of its vocabulary.
    pub sabotage: &'a [String],
}

/// What a failure is called that is a panic of a machine.
pub const PANIC: &str = "no machine breaks its own rules";

/// Draws trials over some scenarios.
#[derive(Clone, Debug)]
pub struct Hunt {
    bases: Vec<Scenario>,
    random: Random,
    /// Trials that did something new, and how much.
    kept: Vec<(Trial, usize)>,
    seen: Coverage,
    drawn: u64,
}

impl Hunt {
    /// A hunt over `bases`; `seed` makes it repeatable.
    #[must_use]
    pub fn new(bases: Vec<Scenario>, seed: u64) -> Self {
        Self {
            bases,
            random: Random::from_seed(seed).child("search"),
            kept: Vec::new(),
            seen: Coverage::default(),
            drawn: 0,
        }
    }

    /// The next trial: each scenario as it stands first, then variants.
    pub fn draw(&mut self) -> Trial {
        let number = self.drawn;
        self.drawn += 1;
        let mut random = self.random.nth_child("trial", number);
        let bases = self.bases.len().max(1);
        let base = usize::try_from(number).unwrap_or(usize::MAX) % bases;
        let seed = 1 + number / bases as u64;
        if number < bases as u64 || random.chance_ppm(150_000) {
            return Trial::plain(number, base, seed);
        }
        if !self.kept.is_empty() && random.chance_ppm(500_000) {
            // Two candidates, and the one that brought more.
            let one = random.pick(&self.kept).cloned();
            let two = random.pick(&self.kept).cloned();
            let best = one.into_iter().chain(two).max_by_key(|(_, news)| *news);
            if let Some((near, _)) = best {
                return near.mutated(number, &self.bases[near.base], &mut random);
            }
        }
        Trial::swarm(number, base, seed, &self.bases[base], &mut random)
    }

    /// What a trial runs.
    #[must_use]
    pub fn scenario(&self, trial: &Trial) -> Scenario {
        trial.scenario(&self.bases[trial.base])
    }

    /// Takes note of what a trial did; how much of it was new.
    pub fn learn(&mut self, trial: &Trial, did: &Coverage) -> usize {
        let news = self.seen.merge(did);
        if news > 0 && self.kept.len() < KEPT_MAX {
            self.kept.push((trial.clone(), news));
        }
        news
    }

    /// How many trials were drawn.
    #[must_use]
    pub const fn drawn(&self) -> u64 {
        self.drawn
    }

    /// How many trials did something new.
    #[must_use]
    pub const fn kept(&self) -> usize {
        self.kept.len()
    }

    /// How many things all trials together did.
    #[must_use]
    pub fn covered(&self) -> usize {
        self.seen.len()
    }
}

/// Runs one seed; what failed, and what it did. A machine that panics has failed; one that is not well in the end
/// although nothing could be has not.
///
/// # Errors
/// When the scenario cannot be run for this seed.
pub fn attempt(
    subject: Subject<'_>,
    scenario: &Scenario,
    seed: u64,
) -> Result<(Vec<Failure>, Coverage), ScenarioError> {
    let (mut failures, coverage) = run(subject, scenario, seed)?;
    failures.retain(|failure| {
        let at = Duration::from_millis(failure.at_ms);
        at < scenario.duration || subject.runner.recoverable(scenario, seed, at).is_ok()
    });
    Ok((failures, coverage))
}

/// Runs one seed; all that failed, and what it did.
pub(crate) fn run(
    subject: Subject<'_>,
    scenario: &Scenario,
    seed: u64,
) -> Result<(Vec<Failure>, Coverage), ScenarioError> {
    let mut coverage = Coverage::default();
    let done = catch_unwind(AssertUnwindSafe(|| {
        let options = Options {
            sabotage: subject.sabotage.to_vec(),
            recorder: Some(&mut coverage),
            ..Options::default()
        };
        subject.runner.run(scenario, seed, options)
    }));
    match done {
        Ok(outcome) => Ok((outcome?.failures, coverage)),
        Err(panic) => {
            let said = panic.downcast_ref::<&str>().map(ToString::to_string);
            let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
            let why = said.unwrap_or_else(|| "without words".to_owned());
            let failure = Failure::new(&scenario.file, 0, PANIC, Duration::ZERO, &why);
            Ok((vec![failure], coverage))
        }
    }
}
