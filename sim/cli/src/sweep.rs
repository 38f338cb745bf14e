//! `phalanx sim run`: runs each scenario with each seed in each requested engine, in parallel.

use crate::arguments::SimRun;
use crate::catalogue::{self, CatalogueEntry};
use crate::engine::{self, RunSettings};
use crate::failure::{CommandError, Completion};
use crate::junit::Junit;
use crate::picture;
use crate::record::{Broken, RunRecord, difference};
use crate::report::SweepReport;
use crate::scale::Engines;
use crate::screen::Screen;
use crate::tool::Tool;
use phalanx_sim::scenario::Engine;
use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// One scenario with one seed: the unit of work of a worker.
struct Job<'a> {
    entry: &'a CatalogueEntry,
    seed: u64,
}

/// The result of a job: one run per engine.
type Done = Result<Vec<RunRecord>, CommandError>;

pub(crate) fn run(
    screen: &Screen,
    tool: &Tool<'_>,
    arguments: &SimRun,
) -> Result<Completion, CommandError> {
    let entries = catalogue::load(tool, &arguments.files, arguments.variant.as_deref())?;
    catalogue::check_steps(&entries, arguments.strict)?;
    let engines = |entry: &CatalogueEntry| Engines::of(arguments.engine, &entry.scenario);
    for entry in &entries {
        for engine in engines(entry) {
            entry
                .scenario
                .check_engine(engine)
                .map_err(CommandError::usage)?;
            if engine != Engine::Model {
                tool.external(engine)?;
            }
        }
    }
    let settings = settings(arguments, &entries)?;
    let jobs: Vec<Job<'_>> = entries
        .iter()
        .flat_map(|entry| arguments.seed.each().map(move |seed| Job { entry, seed }))
        .collect();
    let runs: usize = jobs.iter().map(|job| engines(job.entry).len()).sum();
    if settings.trace.is_some() && runs > 1 {
        return Err(CommandError::usage(format!(
            "--trace takes one scenario, one seed and one engine{}",
            one_of(&entries)
        )));
    }
    check_picture(arguments, &entries)?;
    let junit = arguments
        .junit
        .as_deref()
        .map(|path| Junit::new(tool.command(), path));
    let mut report = SweepReport::new(screen, arguments.json, runs, junit);
    report.note_warnings(entries.iter().map(|entry| &*entry.scenario));
    let wanted = picture::Wanted {
        page: arguments.report.as_deref(),
        timeline: arguments.timeline,
    };
    let draws = wanted.page.is_some() || wanted.timeline;
    if let [job] = jobs.as_slice()
        && draws
        && !arguments.check
        && settings.trace.is_none()
        && picture::alone(screen, job.entry, job.seed, &settings, wanted, &mut report)?
    {
        return report.finish(Ok(()));
    }
    let result = work(
        &jobs,
        &|job| one(tool, job, &engines(job.entry), arguments, &settings),
        &settings,
        &mut report,
    );
    let seeds = report.seeds().to_vec();
    let verdict = report.finish(result)?;
    if draws {
        match picture::show(screen, &entries[0], &settings, &seeds, wanted) {
            // The verdict stands even if the reader of standard output closed it.
            Ok(()) | Err(CommandError::ReaderGone) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(verdict)
}

/// Checks the names of mechanisms to disable or bugs to plant (`--sabotage`).
pub(crate) fn sabotage<'a>(
    words: &[String],
    entries: impl IntoIterator<Item = &'a CatalogueEntry>,
) -> Result<Vec<String>, CommandError> {
    if words.is_empty() {
        return Ok(Vec::new());
    }
    for entry in entries {
        (entry.system.vocabulary)()
            .check_sabotage(words)
            .map_err(|why| CommandError::usage(format!("--sabotage: {why}")))?;
    }
    Ok(words.to_vec())
}

fn settings(arguments: &SimRun, entries: &[CatalogueEntry]) -> Result<RunSettings, CommandError> {
    Ok(RunSettings {
        strict: arguments.strict,
        trace: arguments.trace.clone(),
        sabotage: sabotage(&arguments.sabotage, entries)?,
    })
}

/// Returns a hint for selecting one variant of a matrix, if the file has one.
fn one_of(entries: &[CatalogueEntry]) -> String {
    let variants = entries.iter().map(|entry| &entry.scenario.variant);
    match variants.into_iter().find(|variant| !variant.is_empty()) {
        Some(variant) if entries.len() > 1 => {
            format!("; choose one of the matrix, such as --variant '{variant}'")
        }
        _ => String::new(),
    }
}

/// Checks that a report or timeline is requested for one scenario in the model engine.
fn check_picture(arguments: &SimRun, entries: &[CatalogueEntry]) -> Result<(), CommandError> {
    let flag = match (&arguments.report, arguments.timeline) {
        (Some(_), _) => "--report",
        (None, true) => "--timeline",
        (None, false) => return Ok(()),
    };
    let engines = |entry: &CatalogueEntry| Engines::of(arguments.engine, &entry.scenario);
    if entries.len() > 1 || engines(&entries[0]) != [Engine::Model] {
        return Err(CommandError::usage(format!(
            "{flag} takes one scenario in the model engine, with any number of seeds{}",
            one_of(entries)
        )));
    }
    // The directory is checked first, so that a sweep of an hour does not end with a report that
    // cannot be written.
    let folder = arguments.report.as_ref().and_then(|path| path.parent());
    match folder.filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        Some(folder) => Err(CommandError::usage(format!(
            "--report: the directory {} does not exist; create it first",
            folder.display()
        ))),
        None => Ok(()),
    }
}

/// Runs all jobs in parallel, and reports them in order.
fn work(
    jobs: &[Job<'_>],
    one: &(dyn Fn(&Job<'_>) -> Done + Sync),
    settings: &RunSettings,
    report: &mut SweepReport<'_>,
) -> Result<(), CommandError> {
    let workers = thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(jobs.len());
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..workers {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let Some((index, job)) = take(jobs, next) {
                    if sender.send((index, one(job))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let result = in_order(jobs, &receiver, settings, report);
        // After an error the workers stop at the end of their current job.
        if result.is_err() {
            next.store(jobs.len(), Ordering::Relaxed);
        }
        result
    })
}

fn take<'a, 'j>(jobs: &'a [Job<'j>], next: &AtomicUsize) -> Option<(usize, &'a Job<'j>)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    jobs.get(index).map(|job| (index, job))
}

/// Passes results on in the order of the jobs.
fn in_order(
    jobs: &[Job<'_>],
    receiver: &mpsc::Receiver<(usize, Done)>,
    settings: &RunSettings,
    report: &mut SweepReport<'_>,
) -> Result<(), CommandError> {
    let (mut early, mut expected) = (BTreeMap::new(), 0);
    for (index, done) in receiver {
        report.progress(done.as_ref().map_or(0, Vec::len));
        early.insert(index, done);
        while let Some(done) = early.remove(&expected) {
            let entry = jobs[expected].entry;
            expected += 1;
            for mut record in done? {
                if !record.passed() && report.shows_failures_of(&record) {
                    picture::explain(entry, settings, &mut record)?;
                }
                report.add(&record)?;
            }
        }
    }
    Ok(())
}

fn one(
    tool: &Tool<'_>,
    job: &Job<'_>,
    engines: &[Engine],
    arguments: &SimRun,
    settings: &RunSettings,
) -> Done {
    let mut records = Vec::new();
    for engine in engines {
        let mut record = engine::run(tool, job.entry, *engine, job.seed, settings)?;
        if arguments.check {
            let again = engine::run_elsewhere(tool, job.entry, *engine, job.seed, settings)?;
            let same = again.read.trace_hash == record.read.trace_hash
                && !record.read.trace_hash.is_empty();
            record.note("check", if same { "same" } else { "differs" });
            record.note("check_trace_hash", again.read.trace_hash);
        }
        records.push(record);
    }
    if arguments.engine == Some(Engines::Both) && job.entry.scenario.confluent {
        compare(job, settings, &mut records);
    }
    Ok(records)
}

/// Compares the final states of a confluent scenario, which must be the same in every engine
/// because they do not depend on the order of events.
fn compare(job: &Job<'_>, settings: &RunSettings, records: &mut [RunRecord]) {
    let [model, wire] = records else { return };
    if model.read.trace_hash.is_empty() || wire.read.trace_hash.is_empty() {
        return;
    }
    let found = difference(&model.value["projection"], &wire.value["projection"]);
    wire.note("same_state_as_model", found.is_none());
    if let Some(why) = found {
        let at_ms = wire.read.virtual_ms;
        wire.fail(Broken {
            file: job.entry.path.display().to_string(),
            line: 0,
            expectation: "model and wire end in the same state".to_owned(),
            at_ms,
            why,
            reproduce: settings.reproduce(job.entry, "both", job.seed),
            causes: Vec::new(),
            explanation: Vec::new(),
        });
    }
}
