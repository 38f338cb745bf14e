//! `phalanx sim run`: runs each scenario with each seed in each requested engine, in parallel.

use crate::arguments::SimRun;
use crate::catalogue::{self, CatalogueEntry};
use crate::engine::{self, RunSettings};
use crate::failure::{CommandError, Completion};
use crate::junit::Junit;
use crate::output::Outputs;
use crate::overseer::{self, Overseen, Overseer, StuckRun};
use crate::picture;
use crate::pool::{self, Collector, JobWork, WorkEnd};
use crate::record::{Broken, RunRecord, difference};
use crate::report::SweepReport;
use crate::scale::Engines;
use crate::screen::Screen;
use crate::tool::Tool;
use phalanx_sim::scenario::Engine;
use std::collections::{BTreeMap, BTreeSet};

/// One scenario with one seed: the unit of work of a worker.
#[derive(Clone, Copy)]
struct Job<'a> {
    entry: &'a CatalogueEntry,
    seed: u64,
}

/// The field of a record whose final state was not compared with that of the other engine.
pub(crate) const NOT_COMPARED: &str = "not_compared";

/// The result of a job: one run per engine.
type Done = Result<Vec<RunRecord>, CommandError>;

pub(crate) fn run(
    screen: &Screen,
    tool: &Tool<'_>,
    arguments: &SimRun,
) -> Result<Completion, CommandError> {
    let entries = catalogue::load(tool, &arguments.files, arguments.variant.as_deref())?;
    catalogue::check_steps(&entries, arguments.strict)?;
    check_coverage(arguments, &entries)?;
    let engines = |entry: &CatalogueEntry| Engines::of(arguments.engine, &entry.scenario);
    let outputs = Outputs::new(catalogue::inputs(&entries))
        .with("--trace", arguments.trace.as_deref())
        .with("--report", arguments.report.as_deref())
        .with("--junit", arguments.junit.as_deref());
    let (entries, aside) = catalogue::runnable(tool, entries, &engines)?;
    let settings = settings(arguments, &entries)?;
    let jobs: Vec<Job<'_>> = entries
        .iter()
        .flat_map(|entry| arguments.seed.each().map(move |seed| Job { entry, seed }))
        .collect();
    let runs: usize = jobs.iter().map(|job| engines(job.entry).len()).sum();
    check_trace(arguments, &entries, runs)?;
    check_picture(arguments, &entries)?;
    outputs.check()?;
    let junit = arguments.junit.as_deref().map(|path| {
        let mut junit = Junit::new(tool.command(), path);
        aside.iter().for_each(|it| junit.add_left_aside(it));
        junit
    });
    let bar = overseer::bar((runs > 1).then_some(runs as u64));
    let overseer = Overseer::start(None, bar.clone())?;
    let mut report = SweepReport::new(screen, arguments.common.json, runs, (bar, junit));
    report.note_warnings(entries.iter().map(|entry| &*entry.scenario));
    let wanted = picture::Wanted {
        page: arguments.report.as_deref(),
        timeline: arguments.timeline,
    };
    let draws = wanted.page.is_some() || wanted.timeline;
    let sweep = Sweep {
        tool,
        arguments,
        settings: &settings,
    };
    let results = SweepResults {
        jobs: &jobs,
        settings: &settings,
        screen,
        place: &overseer.place(),
        overseer: &overseer,
        wanted: draws.then_some(wanted),
        report,
        stuck: BTreeSet::new(),
        early: BTreeMap::new(),
        expected: 0,
    };
    match jobs.as_slice() {
        [job] if draws && !arguments.check && !settings.coverage && settings.trace.is_none() => {
            sweep.draw(job, wanted, results)
        }
        jobs => sweep.run(jobs, &overseer, results),
    }
}

/// The settings of all runs of a sweep.
struct Sweep<'a> {
    tool: &'a Tool<'a>,
    arguments: &'a SimRun,
    settings: &'a RunSettings,
}

impl Sweep<'_> {
    /// Runs all jobs in parallel, and reports them in order.
    fn run(
        &self,
        jobs: &[Job<'_>],
        overseer: &Overseer,
        results: SweepResults<'_>,
    ) -> Result<Completion, CommandError> {
        let threads = pool::threads(self.arguments.jobs);
        let work = JobWork {
            one: &|job: &Job<'_>, place: &Overseen| self.one(job, place),
            stuck: &|job: &Job<'_>, stuck: StuckRun| {
                let engine = self.engines(job)[0];
                let run = (engine, job.seed);
                let record = engine::stuck(job.entry, run, self.settings, stuck);
                Ok(vec![record])
            },
        };
        pool::work(jobs, threads, overseer, &work, results)
    }

    /// Runs the only job once, reports it and draws it. If a machine panics, runs it as one of many.
    fn draw(
        &self,
        job: &Job<'_>,
        wanted: picture::Wanted<'_>,
        mut results: SweepResults<'_>,
    ) -> Result<Completion, CommandError> {
        let (overseer, screen) = (results.overseer, results.screen);
        let work = |place: &Overseen| picture::recorded(job.entry, job.seed, self.settings, place);
        pool::work_alone(overseer, work, |end| {
            let report = &mut results.report;
            let drawn = match end {
                WorkEnd::Done(Ok(Some(run))) => {
                    picture::alone(screen, job.entry, self.settings, wanted, run, report)
                }
                WorkEnd::Done(Err(why)) => Err(why),
                WorkEnd::Stuck(stuck) => {
                    let run = (Engine::Model, job.seed);
                    report.add(&engine::stuck(job.entry, run, self.settings, stuck))
                }
                WorkEnd::Late => Err(overseer.over()),
                WorkEnd::Done(Ok(None)) | WorkEnd::Panicked(_) => {
                    return self.run(results.jobs, overseer, results);
                }
            };
            match drawn {
                Ok(()) => results.report.finish(Ok(()), false),
                Err(CommandError::Interrupted) => results.report.finish(Ok(()), true),
                Err(failure) => results.report.finish(Err(failure), false),
            }
        })
    }

    fn engines(&self, job: &Job<'_>) -> Vec<Engine> {
        Engines::of(self.arguments.engine, &job.entry.scenario)
    }

    fn one(&self, job: &Job<'_>, place: &Overseen) -> Done {
        let Job { entry, seed } = *job;
        let mut records = Vec::new();
        for engine in self.engines(job) {
            let mut record = engine::run(self.tool, entry, engine, seed, self.settings, place)?;
            if self.arguments.check {
                let settings = self.settings;
                let again = engine::run_elsewhere(self.tool, entry, engine, seed, settings, place)?;
                let same = again.read.trace_hash == record.read.trace_hash
                    && !record.read.trace_hash.is_empty();
                record.note("check", if same { "same" } else { "differs" });
                record.note("check_trace_hash", again.read.trace_hash);
            }
            records.push(record);
        }
        if self.arguments.engine == Some(Engines::Both) {
            compare(job, self.settings, &mut records);
        }
        Ok(records)
    }
}

/// The results of a sweep, passed on to the report in the order of the jobs.
struct SweepResults<'a> {
    jobs: &'a [Job<'a>],
    settings: &'a RunSettings,
    screen: &'a Screen,
    overseer: &'a Overseer,
    /// The place of the runs that are repeated to explain or to draw them.
    place: &'a Overseen,
    /// The pictures to draw at the end.
    wanted: Option<picture::Wanted<'a>>,
    report: SweepReport<'a>,
    /// The seeds whose runs are stuck in one step.
    stuck: BTreeSet<u64>,
    /// Results that arrived before those of earlier jobs.
    early: BTreeMap<usize, Vec<RunRecord>>,
    /// The job whose results are next.
    expected: usize,
}

impl SweepResults<'_> {
    fn add(&mut self, job: usize, records: Vec<RunRecord>) -> Result<(), CommandError> {
        let entry = self.jobs[job].entry;
        for mut record in records {
            if record.is_stuck {
                self.stuck.insert(record.read.seed);
            }
            if let Some(coverage) = record.coverage.take() {
                self.report.cover(&coverage);
            }
            if !record.passed() && self.report.shows_failures_of(&record) {
                picture::explain(entry, self.settings, self.place, &mut record)?;
            }
            self.report.add(&record)?;
        }
        Ok(())
    }

    /// Passes on the results that arrived early: an earlier run was interrupted or is stuck.
    fn add_early(&mut self) -> Result<(), CommandError> {
        while let Some((job, records)) = self.early.pop_first() {
            self.add(job, records)?;
        }
        Ok(())
    }
}

impl Collector<Done> for SweepResults<'_> {
    fn take(&mut self, index: usize, done: Done) -> Result<(), CommandError> {
        let records = match done {
            Ok(records) => records,
            Err(CommandError::Interrupted) => return Ok(()),
            Err(failure) => return Err(failure),
        };
        // A run that counted as stuck may still end.
        if index < self.expected || self.early.contains_key(&index) {
            return Ok(());
        }
        self.report.progress(records.len());
        self.early.insert(index, records);
        while let Some(records) = self.early.remove(&self.expected) {
            self.add(self.expected, records)?;
            self.expected += 1;
        }
        Ok(())
    }

    fn finish(mut self, taken: Result<(), CommandError>) -> Result<Completion, CommandError> {
        let mut taken = taken.and_then(|()| self.add_early());
        if let (Some(wanted), Ok(())) = (self.wanted, &taken) {
            let entry = self.jobs[0].entry;
            let coverage = self.report.coverage();
            let seeds = self.report.seeds();
            let sweep = picture::SweepData {
                seeds,
                stuck: &self.stuck,
                coverage: &coverage,
            };
            let report = &self.report;
            let draw = || {
                let place = (self.screen, self.place);
                picture::show(place, entry, self.settings, sweep, wanted)
            };
            taken = report.hidden(draw);
        }
        self.report.finish(taken, self.overseer.is_interrupted())
    }
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
        sabotage: sabotage(&arguments.common.sabotage, entries)?,
        coverage: arguments.coverage,
        wall_limit: arguments.common.wall_limit(),
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

/// Checks that a trace is requested for one run.
fn check_trace(
    arguments: &SimRun,
    entries: &[CatalogueEntry],
    runs: usize,
) -> Result<(), CommandError> {
    if arguments.trace.is_none() || runs <= 1 {
        return Ok(());
    }
    Err(CommandError::usage(format!(
        "--trace takes one scenario, one seed and one engine{}",
        one_of(entries)
    )))
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
    Ok(())
}

/// Checks that a run whose coverage is requested uses the model engine.
fn check_coverage(arguments: &SimRun, entries: &[CatalogueEntry]) -> Result<(), CommandError> {
    let has_model = |entry: &CatalogueEntry| {
        Engines::of(arguments.engine, &entry.scenario).contains(&Engine::Model)
    };
    if arguments.coverage && !entries.iter().any(has_model) {
        let why = "--coverage counts what occurs in the model engine; add --engine model";
        return Err(CommandError::usage(why));
    }
    Ok(())
}

/// Compares the final states of a confluent scenario, which must be the same in every engine
/// because they do not depend on the order of events. Nothing else is compared, which the record of the second run says.
fn compare(job: &Job<'_>, settings: &RunSettings, records: &mut [RunRecord]) {
    let [model, wire] = records else { return };
    if !job.entry.scenario.confluent {
        wire.note(NOT_COMPARED, true);
        return;
    }
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
