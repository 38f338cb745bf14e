//! `phalanx sim soak`: runs scenarios and search on all cores for a given time, and keeps every failure as a file.
//!
//! Half of the time goes to unchanged scenarios, each with its next seed, and half to trials of the search; the scenarios
//! have equal shares of their half, so a large one does not displace the others. A failure does not end the soak: its
//! scenario is written at once, so that a process that is killed loses nothing.

mod keep;
mod shares;
mod tally;

use crate::arguments::SimSoak;
use crate::catalogue::{self, CatalogueEntry};
use crate::coverage;
use crate::failure::{CommandError, Completion};
use crate::output;
use crate::overseer::{self, Overseer, lock, wall_limit};
use crate::pool::{self, RunThread, RunWork};
use crate::screen::Screen;
use crate::sweep;
use crate::tool::Tool;
use core::ops::ControlFlow;
use keep::Keeper;
use phalanx_sim::coverage::{CoverageTable, RunCoverage};
use phalanx_sim::model::ENDS_IN_TIME;
use phalanx_sim::runner::SupervisedModel;
use phalanx_sim::scenario::{Engine, Scenario};
use phalanx_sim::search::{Attempt, Hunt, SystemUnderTest, attempt_covered, run_covered};
use phalanx_sim::verdict::Failure;
use shares::{Share, Shares};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tally::Tally;

/// Interval at which the summary is written.
const SUMMARY_INTERVAL: Duration = Duration::from_secs(10);

/// The state shared by the threads.
struct Shared<'a> {
    tool: &'a Tool<'a>,
    entries: &'a [CatalogueEntry],
    arguments: &'a SimSoak,
    sabotage: Vec<String>,
    overseer: &'a Overseer,
    /// The time of each scenario, and of the search.
    shares: Mutex<Shares>,
    hunt: Mutex<Hunt>,
    tally: Mutex<Tally>,
    /// The coverage of all runs.
    coverage: Mutex<CoverageTable>,
    keeper: Mutex<Keeper>,
    trouble: Mutex<Option<CommandError>>,
}

/// A run with its scenario and its seed.
#[derive(Clone)]
struct SoakRun {
    scenario: Scenario,
    seed: u64,
    /// Whether search drew the run.
    of_search: bool,
}

pub(crate) fn run(
    screen: &Screen,
    tool: &Tool<'_>,
    arguments: &SimSoak,
) -> Result<Completion, CommandError> {
    let entries = catalogue::load(tool, &arguments.files, None)?;
    let (entries, _) = catalogue::runnable(tool, entries, &|_| vec![Engine::Model])?;
    let sabotage = sweep::sabotage(&arguments.common.sabotage, &entries)?;
    output::check_folder("--out", &arguments.out)?;
    let bases = entries.iter().map(|entry| Scenario::clone(&entry.scenario));
    let jobs = pool::threads(arguments.jobs);
    let bar = overseer::bar(None);
    let overseer = Overseer::start(arguments.limit.end(), bar.clone())?;
    let shared = Shared {
        tool,
        entries: &entries,
        arguments,
        sabotage,
        overseer: &overseer,
        shares: Mutex::new(Shares::new(entries.len(), arguments.seed)),
        hunt: Mutex::new(Hunt::new(bases.collect(), arguments.seed)),
        tally: Mutex::new(Tally::new(arguments.seed, entries.len(), jobs)),
        coverage: Mutex::default(),
        keeper: Mutex::new(Keeper::new(&arguments.out)),
        trouble: Mutex::new(None),
    };
    let mut written = Instant::now();
    let work = RunWork {
        until_end: &|thread| shared.work(thread),
        look: &mut |threads| {
            for thread in threads {
                shared.keep_stuck(thread);
            }
            if threads.iter().all(|thread| thread.place.stuck().is_some()) {
                return ControlFlow::Break(());
            }
            bar.set_prefix(lock(&shared.tally).progress());
            if written.elapsed() > SUMMARY_INTERVAL {
                written = Instant::now();
                shared.write_summary();
            }
            ControlFlow::Continue(())
        },
    };
    pool::work_on(jobs, &overseer, work, || {
        bar.finish_and_clear();
        shared.finish(screen)
    })
}

impl Shared<'_> {
    /// Runs scenarios and trials until the time is over or a signal arrives.
    fn work(&self, worker: &RunThread<SoakRun>) {
        while !self.overseer.is_over() && lock(&self.trouble).is_none() {
            let share = lock(&self.shares).next();
            let begin = Instant::now();
            let done = match share {
                Share::Search => self.one_trial(worker),
                Share::Scenario { index, seed } => self.one_run(worker, index, seed),
            };
            lock(&self.shares).spend(share, begin.elapsed());
            *lock(&worker.run) = None;
            if let Err(why) = done {
                // A run that was interrupted has no result.
                if !worker.place.supervisor().is_interrupted() {
                    lock(&self.trouble).get_or_insert(why);
                }
                return;
            }
        }
    }

    /// Runs an unchanged scenario.
    fn one_run(
        &self,
        worker: &RunThread<SoakRun>,
        index: usize,
        seed: u64,
    ) -> Result<(), CommandError> {
        let run = SoakRun {
            scenario: Scenario::clone(&self.entries[index].scenario),
            seed,
            of_search: false,
        };
        let (attempt, covered) = self.attempt(worker, &run)?;
        self.note(&run, &attempt, &covered)
    }

    /// Runs a trial of the search.
    fn one_trial(&self, worker: &RunThread<SoakRun>) -> Result<(), CommandError> {
        let mut hunt = lock(&self.hunt);
        let trial = hunt.draw();
        let run = SoakRun {
            scenario: hunt.scenario(&trial),
            seed: trial.seed,
            of_search: true,
        };
        drop(hunt);
        let (attempt, covered) = self.attempt(worker, &run)?;
        lock(&self.hunt).learn(&attempt.behaviours);
        self.note(&run, &attempt, &covered)
    }

    fn attempt(
        &self,
        worker: &RunThread<SoakRun>,
        run: &SoakRun,
    ) -> Result<(Attempt, RunCoverage), CommandError> {
        *lock(&worker.run) = Some(run.clone());
        let runner = SupervisedModel {
            model: self.tool.runner(&run.scenario)?,
            supervisor: worker.place.supervisor(),
        };
        let asked = self.arguments.common.wall_limit();
        let limit = wall_limit(asked, &run.scenario, Engine::Model);
        worker.place.set_limit(limit);
        let subject = SystemUnderTest {
            runner: &runner,
            sabotage: &self.sabotage,
        };
        let mut covered = RunCoverage::default();
        let attempt = match run.of_search {
            true => attempt_covered(subject, &run.scenario, run.seed, Some(&mut covered)),
            false => run_covered(subject, &run.scenario, run.seed, Some(&mut covered)),
        };
        let attempt = attempt.map_err(CommandError::usage)?;
        Ok((attempt, covered))
    }

    /// Counts a run, and keeps its earliest failure.
    fn note(
        &self,
        run: &SoakRun,
        attempt: &Attempt,
        covered: &RunCoverage,
    ) -> Result<(), CommandError> {
        lock(&self.coverage).add(covered);
        let seed = (!run.of_search).then_some(run.seed);
        lock(&self.tally).add(run.scenario.plain_name(), seed, attempt);
        let earliest = attempt.failures.iter().min_by_key(|it| it.at_ms);
        earliest.map_or(Ok(()), |failure| self.keep(run, failure))
    }

    fn keep(&self, run: &SoakRun, failure: &Failure) -> Result<(), CommandError> {
        let system = self.tool.runner(&run.scenario)?.0;
        lock(&self.tally).fail();
        let mut keeper = lock(&self.keeper);
        let is_kept = keeper.keep(
            system.command,
            (&run.scenario, run.seed),
            failure,
            &self.sabotage,
        )?;
        drop(keeper);
        if is_kept {
            self.write_summary();
        }
        Ok(())
    }

    /// Keeps a run that is stuck in one step, once.
    fn keep_stuck(&self, worker: &RunThread<SoakRun>) {
        let Some(stuck) = worker.place.stuck() else {
            return;
        };
        if let Some(run) = lock(&worker.run).take() {
            let (why, at) = (stuck.describe(Some(&run.scenario)), stuck.position.at);
            let failure = Failure::new(&run.scenario.file, 0, ENDS_IN_TIME, at, &why);
            if let Err(why) = self.keep(&run, &failure) {
                lock(&self.trouble).get_or_insert(why);
            }
        }
    }

    /// Writes the summary so far; a summary that cannot be written is written later.
    fn write_summary(&self) {
        let value = self.summary();
        if let Ok(value) = value {
            let _written = lock(&self.keeper).write_summary(&value);
        }
    }

    fn summary(&self) -> Result<serde_json::Value, CommandError> {
        let covered = lock(&self.hunt).covered();
        let mut value = lock(&self.tally).json(covered, lock(&self.keeper).files());
        value["coverage"] = coverage::json(&lock(&self.coverage))?;
        Ok(value)
    }

    fn finish(&self, screen: &Screen) -> Result<Completion, CommandError> {
        if let Some(why) = lock(&self.trouble).take() {
            return Err(why);
        }
        let value = self.summary()?;
        lock(&self.keeper).write_summary(&value)?;
        if self.arguments.common.json {
            screen.json(&value)?;
        } else {
            coverage::show(screen, false, &lock(&self.coverage))?;
            let covered = lock(&self.hunt).covered();
            let tally = lock(&self.tally);
            screen.block(&tally.lines(covered, &self.arguments.out))?;
            screen.block(&lock(&self.keeper).lines())?;
        }
        Ok(
            match (lock(&self.tally).failed(), self.overseer.is_interrupted()) {
                (1.., _) => Completion::No,
                (0, true) => Completion::Interrupted,
                (0, false) => Completion::Yes,
            },
        )
    }
}
