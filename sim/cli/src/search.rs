//! `phalanx sim search`: runs trials on all cores until one fails, the time is over, or the search is interrupted.

use crate::arguments::SimSearch;
use crate::catalogue::{self, again};
use crate::coverage;
use crate::failure::{CommandError, Completion};
use crate::output::{self, Outputs};
use crate::overseer::{self, Overseen, Overseer, lock, wall_limit};
use crate::pool::{self, RunThread, RunWork};
use crate::screen::{Paint, Screen, span};
use crate::sweep;
use crate::tool::Tool;
use core::ops::ControlFlow;
use phalanx_sim::coverage::{CoverageTable, RunCoverage};
use phalanx_sim::model::ENDS_IN_TIME;
use phalanx_sim::outcome::Failure as Broken;
use phalanx_sim::runner::SupervisedModel;
use phalanx_sim::scenario::command_line::{quoted_path, sabotage_flags};
use phalanx_sim::scenario::{Engine, Scenario};
use phalanx_sim::search::{Behaviours, Hunt, SystemUnderTest, Trial, attempt_covered};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The state shared by the workers.
struct Shared<'a> {
    tool: &'a Tool<'a>,
    overseer: &'a Overseer,
    sabotage: &'a [String],
    wall_limit: Option<Duration>,
    hunt: Mutex<Hunt>,
    /// The coverage of the trials, if it is requested.
    coverage: Option<Mutex<CoverageTable>>,
    found: Mutex<Option<Found>>,
    trouble: Mutex<Option<CommandError>>,
    /// Whether no more trials begin.
    over: AtomicBool,
    runs_max: Option<u64>,
    /// The number of trials that ended by themselves.
    runs: AtomicU64,
    /// The files of the scenarios, which the result does not replace.
    inputs: Outputs,
}

/// A trial that failed.
struct Found {
    trial: Trial,
    scenario: Scenario,
    failures: Vec<Broken>,
}

/// The result of the search.
struct Tally {
    runs: u64,
    kept: usize,
    covered: usize,
    took: Duration,
    interrupted: bool,
}

/// A thread of the search.
type SearchThread = RunThread<(Trial, Scenario)>;

pub(crate) fn run(
    screen: &Screen,
    tool: &Tool<'_>,
    arguments: &SimSearch,
) -> Result<Completion, CommandError> {
    let entries = catalogue::load(tool, &arguments.files, arguments.variant.as_deref())?;
    let (entries, _) = catalogue::runnable(tool, entries, &|_| vec![Engine::Model])?;
    catalogue::check_steps(&entries, false)?;
    let bases = entries.iter().map(|entry| Scenario::clone(&entry.scenario));
    let sabotage = sweep::sabotage(&arguments.common.sabotage, &entries)?;
    output::check_folder("--out", &arguments.out)?;
    let inputs = Outputs::new(catalogue::inputs(&entries));
    let jobs = pool::threads(arguments.jobs);
    let start = Instant::now();
    let bar = overseer::bar(None);
    let overseer = Overseer::start(arguments.limit.end(), bar.clone())?;
    let shared = Shared {
        tool,
        overseer: &overseer,
        sabotage: &sabotage,
        wall_limit: arguments.common.wall_limit(),
        hunt: Mutex::new(Hunt::new(bases.collect(), arguments.seed)),
        coverage: arguments.coverage.then(Mutex::default),
        found: Mutex::new(None),
        trouble: Mutex::new(None),
        over: AtomicBool::new(false),
        runs_max: arguments.runs,
        runs: AtomicU64::new(0),
        inputs,
    };
    let work = RunWork {
        until_end: &|thread| shared.work(thread),
        look: &mut |threads| {
            let is_stuck = threads.iter().any(|thread| shared.is_stuck(thread));
            let hunt = lock(&shared.hunt);
            bar.set_prefix(progress(hunt.drawn(), hunt.covered()));
            if is_stuck {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        },
    };
    pool::work_on(jobs, &overseer, work, || {
        bar.finish_and_clear();
        finish(screen, arguments, &shared, start.elapsed())
    })
}

/// Writes and reports the result.
fn finish(
    screen: &Screen,
    arguments: &SimSearch,
    shared: &Shared<'_>,
    took: Duration,
) -> Result<Completion, CommandError> {
    if let Some(failure) = lock(&shared.trouble).take() {
        return Err(failure);
    }
    let found = lock(&shared.found).take();
    let hunt = lock(&shared.hunt);
    let tally = Tally {
        runs: shared.runs.load(Ordering::Relaxed),
        kept: hunt.kept(),
        covered: hunt.covered(),
        took,
        interrupted: shared.overseer.is_interrupted(),
    };
    drop(hunt);
    let written = match found {
        Some(found) => Some(shared.write(&arguments.out, found)?),
        None => None,
    };
    let coverage = shared.coverage.as_ref().map(|table| lock(table).clone());
    report(
        screen,
        arguments,
        &tally,
        (coverage.as_ref(), written.as_ref()),
    )?;
    Ok(match written {
        Some(_) => Completion::No,
        None if tally.interrupted => Completion::Interrupted,
        None => Completion::Yes,
    })
}

impl Shared<'_> {
    /// Notes a trial that is stuck in one step as the failure that was found.
    fn is_stuck(&self, worker: &SearchThread) -> bool {
        let Some(stuck) = worker.place.stuck() else {
            return false;
        };
        let trial = lock(&worker.run).take();
        if let Some((trial, scenario)) = trial {
            let (why, at) = (stuck.describe(Some(&scenario)), stuck.position.at);
            let failure = Broken::new(&scenario.file, 0, ENDS_IN_TIME, at, &why);
            self.find(trial, scenario, vec![failure]);
        }
        true
    }

    /// Draws trials, runs them, and learns from them, until one fails, a limit is reached, or a signal arrives.
    fn work(&self, worker: &SearchThread) {
        while !self.over.load(Ordering::Relaxed) && !self.overseer.is_over() {
            let mut hunt = lock(&self.hunt);
            if self.runs_max.is_some_and(|runs| hunt.drawn() >= runs) {
                return;
            }
            let trial = hunt.draw();
            let scenario = hunt.scenario(&trial);
            drop(hunt);
            *lock(&worker.run) = Some((trial.clone(), scenario.clone()));
            let tried = self.try_once(&worker.place, &scenario, trial.seed);
            // A trial that was interrupted has a result if it failed before.
            if tried.is_err() && worker.place.supervisor().is_interrupted() {
                return;
            }
            match tried {
                Ok((failures, behaviours)) => {
                    self.runs.fetch_add(1, Ordering::Relaxed);
                    lock(&self.hunt).learn(&behaviours);
                    if !failures.is_empty() {
                        self.find(trial, scenario, failures);
                    }
                }
                Err(why) => {
                    self.over.store(true, Ordering::Relaxed);
                    *lock(&self.trouble) = Some(why);
                }
            }
        }
    }

    /// Runs one trial.
    fn try_once(
        &self,
        place: &Overseen,
        scenario: &Scenario,
        seed: u64,
    ) -> Result<(Vec<Broken>, Behaviours), CommandError> {
        let runner = SupervisedModel {
            model: self.tool.runner(scenario)?,
            supervisor: place.supervisor(),
        };
        place.set_limit(wall_limit(self.wall_limit, scenario, Engine::Model));
        let subject = SystemUnderTest {
            runner: &runner,
            sabotage: self.sabotage,
        };
        let mut covered = self.coverage.as_ref().map(|_| RunCoverage::default());
        let tried = attempt_covered(subject, scenario, seed, covered.as_mut());
        if let (Some(table), Some(run), Ok(_)) = (&self.coverage, &covered, &tried) {
            lock(table).add(run);
        }
        let tried = tried.map_err(CommandError::usage)?;
        Ok((tried.failures, tried.behaviours))
    }

    /// Notes a failed trial. If several workers find failures at the same time, the trial with the lowest number counts.
    fn find(&self, trial: Trial, scenario: Scenario, failures: Vec<Broken>) {
        self.over.store(true, Ordering::Relaxed);
        let mut found = lock(&self.found);
        let is_first = |found: &Found| trial.number < found.trial.number;
        if found.as_ref().is_none_or(is_first) {
            *found = Some(Found {
                trial,
                scenario,
                failures,
            });
        }
    }
}

impl Shared<'_> {
    fn write(&self, folder: &Path, found: Found) -> Result<Written, CommandError> {
        write((self.tool, &self.inputs), folder, found, self.sabotage)
    }
}

fn progress(runs: u64, covered: usize) -> String {
    format!("{runs} runs, {covered} behaviours seen")
}

/// A failed trial, written as a file.
struct Written {
    path: PathBuf,
    /// The command that reproduces the failure.
    again: String,
    /// The command of the tool.
    command: &'static str,
    found: Found,
}

/// Writes the failing scenario, and replaces no input. The file alone, with its seed, reproduces the failure.
fn write(
    (tool, inputs): (&Tool<'_>, &Outputs),
    folder: &Path,
    mut found: Found,
    sabotage: &[String],
) -> Result<Written, CommandError> {
    let name = found.scenario.plain_name();
    let seed = found.trial.seed;
    let names = (1..).map(|number| match number {
        1 => format!("{name}-{seed}.toml"),
        _ => format!("{name}-{seed}-{number}.toml"),
    });
    let mut paths = names.map(|name| folder.join(name));
    let path = paths.find(|path| !inputs.is_input(path));
    let path = path.unwrap_or_else(|| folder.join("found.toml"));
    let shown = path.display();
    let quoted = quoted_path(&shown.to_string());
    let why = found
        .failures
        .first()
        .map_or("", |broken| broken.expectation.as_str());
    let command = tool.runner(&found.scenario)?.0.command;
    let text = format!(
        "# Found by search: {why}\n# {command} run {quoted} --seed {}{}\n{}",
        found.trial.seed,
        sabotage_flags(sabotage),
        found.scenario.to_toml()
    );
    let unwritable = |error| CommandError::usage(format!("{shown} cannot be written: {error}"));
    std::fs::create_dir_all(folder).map_err(unwritable)?;
    std::fs::write(&path, text).map_err(unwritable)?;
    let again = again(tool, &path, found.trial.seed, sabotage)?;
    let failures = std::mem::take(&mut found.failures).into_iter();
    found.failures = failures
        .map(|broken| broken.reproduced_by(&again))
        .collect();
    Ok(Written {
        path,
        again,
        command,
        found,
    })
}

fn report(
    screen: &Screen,
    arguments: &SimSearch,
    tally: &Tally,
    (table, written): (Option<&CoverageTable>, Option<&Written>),
) -> Result<(), CommandError> {
    let took = u64::try_from(tally.took.as_millis()).unwrap_or(u64::MAX);
    if arguments.common.json {
        let failure = written.map(|written| {
            let Written {
                path, again, found, ..
            } = written;
            json!({
                "file": path,
                "reproduce": again,
                "seed": found.trial.seed,
                "trial": found.trial.number,
                "failures": found.failures,
            })
        });
        let mut object = json!({
            "runs": tally.runs,
            "kept": tally.kept,
            "covered": tally.covered,
            "wall_ms": took,
            "interrupted": tally.interrupted,
            "found": failure,
        });
        if let Some(table) = table {
            object["coverage"] = coverage::json(table)?;
        }
        return screen.json(&object);
    }
    if let Some(table) = table {
        coverage::show(screen, false, table)?;
    }
    if let Some(written) = written {
        let Written {
            path,
            again,
            command,
            found,
        } = written;
        let seed = found.trial.seed;
        let path = quoted_path(&path.display().to_string());
        let head = format!("{}, seed {seed}, fails", found.scenario.name);
        screen.line(screen.painted(&head, Paint::Bad))?;
        for broken in &found.failures {
            let (seconds, millis) = (broken.at_ms / 1_000, broken.at_ms % 1_000);
            screen.line(format!("  {}", broken.expectation))?;
            screen.line(format!(
                "    broken at {seconds}.{millis:03}s: {}",
                broken.why
            ))?;
        }
        screen.line(format!("  again:   {again}"))?;
        let planted = sabotage_flags(&arguments.common.sabotage);
        screen.line(format!(
            "  smaller: {command} shrink {path} --seed {seed}{planted} -o small.toml"
        ))?;
    }
    let (runs, covered, kept) = (tally.runs, tally.covered, tally.kept);
    let interrupted = if tally.interrupted {
        "interrupted after "
    } else {
        ""
    };
    screen.line(format!(
        "{interrupted}{runs} runs in {}, {covered} behaviours seen, {kept} runs showed something new",
        span(took)
    ))
}
