//! `phalanx sim search`: runs trials on all cores until one fails, the time is over, or the search is interrupted.

use crate::arguments::SimSearch;
use crate::catalogue::{self, again};
use crate::failure::{CommandError, Completion};
use crate::interrupt::Interrupt;
use crate::screen::{Paint, Screen, span};
use crate::sweep;
use crate::tool::Tool;
use indicatif::{ProgressBar, ProgressDrawTarget};
use phalanx_sim::outcome::Failure as Broken;
use phalanx_sim::runner::Model;
use phalanx_sim::scenario::command_line::sabotage_flags;
use phalanx_sim::scenario::{Engine, Scenario};
use phalanx_sim::search::{Coverage, Hunt, SystemUnderTest, Trial, attempt};
use serde_json::json;
use std::io::IsTerminal as _;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Interval at which the clock and the signals are polled.
const LOOK: Duration = Duration::from_millis(50);

/// The state shared by the workers.
struct Shared<'a> {
    tool: &'a Tool<'a>,
    hunt: Mutex<Hunt>,
    found: Mutex<Option<Found>>,
    trouble: Mutex<Option<CommandError>>,
    over: AtomicBool,
    runs: Option<u64>,
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
}

pub(crate) fn run(
    screen: &Screen,
    tool: &Tool<'_>,
    arguments: &SimSearch,
) -> Result<Completion, CommandError> {
    let mut bases = Vec::new();
    let entries = catalogue::load(tool, &arguments.files, arguments.variant.as_deref())?;
    catalogue::check_steps(&entries, false)?;
    for entry in &entries {
        entry
            .scenario
            .check_engine(Engine::Model)
            .map_err(CommandError::usage)?;
        bases.push(Scenario::clone(&entry.scenario));
    }
    let sabotage = sweep::sabotage(&arguments.sabotage, &entries)?;
    let shared = Shared {
        tool,
        hunt: Mutex::new(Hunt::new(bases, arguments.seed)),
        found: Mutex::new(None),
        trouble: Mutex::new(None),
        over: AtomicBool::new(false),
        runs: arguments.runs,
    };
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let jobs = arguments.jobs.map_or(cores, usize::from);
    let start = Instant::now();
    hunt(&shared, jobs, &sabotage, start + arguments.length.0)?;
    if let Some(failure) = take(&shared.trouble) {
        return Err(failure);
    }
    let found = take(&shared.found);
    let hunt = shared.hunt.lock().unwrap_or_else(PoisonError::into_inner);
    let tally = Tally {
        runs: hunt.drawn(),
        kept: hunt.kept(),
        covered: hunt.covered(),
        took: start.elapsed(),
    };
    drop(hunt);
    let written = match found {
        Some(found) => Some(write(tool, &arguments.out, found, &sabotage)?),
        None => None,
    };
    report(screen, arguments, &tally, written.as_ref())?;
    Ok(if written.is_some() {
        Completion::No
    } else {
        Completion::Yes
    })
}

/// Runs trials until one fails, a limit is reached, or a signal arrives.
fn hunt(
    shared: &Shared<'_>,
    jobs: usize,
    sabotage: &[String],
    deadline: Instant,
) -> Result<(), CommandError> {
    let mut interrupt = Interrupt::listen()?;
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::new_spinner();
    bar.set_draw_target(target);
    // A panic of a machine is a finding. It is reported once at the end, so the panic hook prints nothing.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs)
            .map(|_| scope.spawn(|| work(shared, sabotage)))
            .collect();
        while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
            if interrupt.wait(LOOK) || Instant::now() >= deadline {
                shared.over.store(true, Ordering::Relaxed);
            }
            let hunt = shared.hunt.lock().unwrap_or_else(PoisonError::into_inner);
            bar.set_message(progress(hunt.drawn(), hunt.covered()));
        }
    });
    std::panic::set_hook(usual);
    bar.finish_and_clear();
    Ok(())
}

fn progress(runs: u64, covered: usize) -> String {
    format!("{runs} runs, {covered} behaviours seen")
}

/// Draws trials, runs them, and updates the coverage.
fn work(shared: &Shared<'_>, sabotage: &[String]) {
    while !shared.over.load(Ordering::Relaxed) {
        let mut hunt = shared.hunt.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.runs.is_some_and(|runs| hunt.drawn() >= runs) {
            return;
        }
        let trial = hunt.draw();
        let scenario = hunt.scenario(&trial);
        drop(hunt);
        let tried = shared
            .tool
            .runner(&scenario)
            .and_then(|runner| try_once(&runner, sabotage, &scenario, trial.seed));
        match tried {
            Ok((failures, coverage)) => {
                let mut hunt = shared.hunt.lock().unwrap_or_else(PoisonError::into_inner);
                hunt.learn(&trial, &coverage);
                drop(hunt);
                if !failures.is_empty() {
                    shared.over.store(true, Ordering::Relaxed);
                    let mut found = shared.found.lock().unwrap_or_else(PoisonError::into_inner);
                    // If several workers find failures at the same time, the trial with the lowest number counts.
                    if found
                        .as_ref()
                        .is_none_or(|found| trial.number < found.trial.number)
                    {
                        *found = Some(Found {
                            trial,
                            scenario,
                            failures,
                        });
                    }
                }
            }
            Err(why) => {
                shared.over.store(true, Ordering::Relaxed);
                let mut trouble = shared
                    .trouble
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                *trouble = Some(why);
            }
        }
    }
}

/// Runs one trial.
fn try_once(
    runner: &Model,
    sabotage: &[String],
    scenario: &Scenario,
    seed: u64,
) -> Result<(Vec<Broken>, Coverage), CommandError> {
    attempt(SystemUnderTest { runner, sabotage }, scenario, seed).map_err(CommandError::usage)
}

fn take<T>(shared: &Mutex<Option<T>>) -> Option<T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner).take()
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

/// Writes the failing scenario. The file alone, with its seed, reproduces the failure.
fn write(
    tool: &Tool<'_>,
    folder: &Path,
    mut found: Found,
    sabotage: &[String],
) -> Result<Written, CommandError> {
    let name = found.scenario.plain_name();
    let path = folder.join(format!("{name}-{}.toml", found.trial.seed));
    let shown = path.display();
    let why = found
        .failures
        .first()
        .map_or("", |broken| broken.expectation.as_str());
    let command = tool.runner(&found.scenario)?.0.command;
    let text = format!(
        "# Found by search: {why}\n# {command} run {shown} --seed {}{}\n{}",
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
    written: Option<&Written>,
) -> Result<(), CommandError> {
    let took = u64::try_from(tally.took.as_millis()).unwrap_or(u64::MAX);
    if arguments.json {
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
        return screen.json(&json!({
            "runs": tally.runs,
            "kept": tally.kept,
            "covered": tally.covered,
            "wall_ms": took,
            "found": failure,
        }));
    }
    if let Some(written) = written {
        let Written {
            path,
            again,
            command,
            found,
        } = written;
        let (seed, path) = (found.trial.seed, path.display());
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
        let planted = sabotage_flags(&arguments.sabotage);
        screen.line(format!(
            "  smaller: {command} shrink {path} --seed {seed}{planted} -o small.toml"
        ))?;
    }
    let (runs, covered, kept) = (tally.runs, tally.covered, tally.kept);
    screen.line(format!(
        "{runs} runs in {}, {covered} behaviours seen, {kept} runs showed something new",
        span(took)
    ))
}
