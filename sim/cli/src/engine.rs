//! Executes one run: with the model engine in this process, or with another engine in a child process.

use crate::catalogue::CatalogueEntry;
use crate::failure::CommandError;
use crate::overseer::{Overseen, StuckRun, wall_limit};
use crate::programs;
use crate::record::{Broken, RunRecord};
use crate::tool::Tool;
use phalanx_sim::RunOptions;
use phalanx_sim::coverage::RunCoverage;
use phalanx_sim::model::ENDS_IN_TIME;
use phalanx_sim::record::{Header, Recorder, Writer};
use phalanx_sim::scenario::command_line::{Reproduction, plain_path};
use phalanx_sim::scenario::{Engine, text};
use phalanx_sim::search::PANIC;
use serde_json::Value;
use std::any::Any;
use std::fs::File;
use std::io::BufWriter;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The options of runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunSettings {
    pub(crate) strict: bool,
    pub(crate) trace: Option<PathBuf>,
    pub(crate) sabotage: Vec<String>,
    /// Whether the coverage of runs in the model engine is collected.
    pub(crate) coverage: bool,
    /// The requested wall-time limit of a run.
    pub(crate) wall_limit: Option<Duration>,
}

impl RunSettings {
    /// Returns the command that reproduces a run with these settings; `engine` is the value of the flag `--engine`.
    pub(crate) fn reproduce(&self, entry: &CatalogueEntry, engine: &str, seed: u64) -> String {
        entry.system.reproduce_command(&Reproduction {
            scenario: &entry.scenario,
            engine,
            seed,
            strict: self.strict,
            sabotage: &self.sabotage,
        })
    }
}

/// Executes one seed in one engine.
///
/// # Errors
/// [`CommandError::Interrupted`] if a signal ended the run before it failed; a trace then ends at its last event.
pub(crate) fn run(
    tool: &Tool<'_>,
    entry: &CatalogueEntry,
    engine: Engine,
    seed: u64,
    settings: &RunSettings,
    place: &Overseen,
) -> Result<RunRecord, CommandError> {
    match engine {
        Engine::Model => in_process(entry, seed, settings, place),
        Engine::Wire | Engine::Madsim => as_process(tool, entry, (engine, seed), settings, place),
    }
}

/// Executes the same run in another process, without its trace.
pub(crate) fn run_elsewhere(
    tool: &Tool<'_>,
    entry: &CatalogueEntry,
    engine: Engine,
    seed: u64,
    settings: &RunSettings,
    place: &Overseen,
) -> Result<RunRecord, CommandError> {
    let settings = RunSettings {
        trace: None,
        ..settings.clone()
    };
    as_process(tool, entry, (engine, seed), &settings, place)
}

fn in_process(
    entry: &CatalogueEntry,
    seed: u64,
    settings: &RunSettings,
    place: &Overseen,
) -> Result<RunRecord, CommandError> {
    let scenario = &entry.scenario;
    let mut writer = match &settings.trace {
        None => None,
        Some(path) => {
            let file = File::create(path).map_err(|error| unwritable(path, &error))?;
            let plan = scenario.plan(seed).map_err(CommandError::usage)?;
            let header = Header::of(scenario, seed, Engine::Model, &settings.sabotage);
            Some(Writer::new(BufWriter::new(file), scenario, plan, &header))
        }
    };
    let mut coverage = settings.coverage.then(RunCoverage::default);
    let options = RunOptions {
        sabotage: settings.sabotage.clone(),
        strict: settings.strict,
        final_state: true,
        recorder: writer.as_mut().map(|writer| writer as &mut dyn Recorder),
        coverage: coverage.as_mut(),
        supervisor: Some(place.supervisor()),
    };
    place.set_limit(wall_limit(settings.wall_limit, scenario, Engine::Model));
    let start = Instant::now();
    // A failed assertion is a bug of a machine. The panic is caught, so that the other seeds still run and this seed is
    // reported.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        phalanx_sim::run(entry.system, &entry.scenario, seed, options)
    }));
    let wall_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut outcome = match outcome {
        Ok(outcome) => outcome.map_err(CommandError::usage)?,
        Err(panic) => {
            let run = (Engine::Model, seed);
            let record = panicked(entry, run, settings, &said(&*panic));
            return Ok(RunRecord { coverage, ..record });
        }
    };
    let mut unwritten = None;
    if let (Some(writer), Some(path)) = (writer, &settings.trace) {
        unwritten = writer
            .finish()
            .err()
            .map(|error| unwritable(path, &error).to_string());
    }
    // The first failure of an interrupted run is the interrupt itself.
    if outcome.interrupted && outcome.failures.len() == 1 {
        return Err(CommandError::Interrupted);
    }
    outcome.wall_ms = wall_ms;
    let value = serde_json::to_value(&outcome).map_err(CommandError::failed)?;
    let record = RunRecord::read(value).map_err(CommandError::failed)?;
    Ok(RunRecord {
        unwritten,
        coverage,
        ..record
    })
}

fn unwritable(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::usage(format!(
        "the trace {} cannot be written: {error}",
        path.display()
    ))
}

/// Returns the message of a panic.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without words".to_owned())
}

/// Returns the record of a run that is stuck in one step.
pub(crate) fn stuck(
    entry: &CatalogueEntry,
    run: (Engine, u64),
    settings: &RunSettings,
    stuck: StuckRun,
) -> RunRecord {
    let why = stuck.describe(&entry.scenario);
    without_outcome(entry, run, settings, (ENDS_IN_TIME, &why))
}

/// Returns the record of a run that panicked.
fn panicked(
    entry: &CatalogueEntry,
    run: (Engine, u64),
    settings: &RunSettings,
    why: &str,
) -> RunRecord {
    without_outcome(entry, run, settings, (PANIC, why))
}

/// Returns the record of a run that failed without an outcome, with the expectation that it violates and the reason.
fn without_outcome(
    entry: &CatalogueEntry,
    (engine, seed): (Engine, u64),
    settings: &RunSettings,
    (expectation, why): (&str, &str),
) -> RunRecord {
    let read = crate::record::RunFields {
        scenario: entry.scenario.name.clone(),
        engine: engine.to_string(),
        seed,
        outcome: "fail".to_owned(),
        trace_hash: String::new(),
        virtual_ms: 0,
        wall_ms: 0,
        events: 0,
        trace_events: 0,
        messages: 0,
        bytes: 0,
        nodes: entry.scenario.hosts.len() as u64,
        metrics: std::collections::BTreeMap::new(),
        failures: Vec::new(),
        expected: Vec::new(),
        effects: Vec::new(),
        vacuous: Vec::new(),
    };
    let value = serde_json::json!({
        "scenario": read.scenario, "engine": read.engine, "seed": seed, "outcome": "fail", "trace_hash": "",
        "virtual_ms": 0, "wall_ms": 0, "events": 0, "trace_events": 0, "messages": 0, "bytes": 0, "nodes": read.nodes,
        "metrics": {}, "failures": [], "vacuous": [],
    });
    let mut record = RunRecord {
        value,
        read,
        unwritten: None,
        coverage: None,
    };
    record.fail(Broken {
        file: entry.path.display().to_string(),
        line: 0,
        expectation: expectation.to_owned(),
        at_ms: 0,
        why: why.to_owned(),
        reproduce: settings.reproduce(entry, engine.name(), seed),
        causes: Vec::new(),
        explanation: Vec::new(),
    });
    record
}

/// Returns the command line of an engine's process.
fn command(
    tool: &Tool<'_>,
    entry: &CatalogueEntry,
    engine: Engine,
    seed: u64,
    settings: &RunSettings,
) -> Result<Command, CommandError> {
    let mut command = match engine {
        Engine::Model => {
            let mut command = Command::new(programs::this()?);
            command.args(tool.subcommand);
            command.args(["run", "--json", "--engine", "model"]);
            command
        }
        Engine::Wire | Engine::Madsim => {
            let external = tool.external(engine)?;
            Command::new(programs::find(external.program, external.built_by)?)
        }
    };
    let path = plain_path(&entry.path.display().to_string());
    command.arg(path).arg("--seed").arg(seed.to_string());
    let variant = &entry.scenario.variant;
    if !variant.is_empty() {
        command.arg("--variant").arg(variant.to_string());
    }
    if engine != Engine::Model {
        command.arg("--progress");
    }
    if settings.strict {
        command.arg("--strict");
    }
    for name in &settings.sabotage {
        command.arg("--sabotage").arg(name);
    }
    if let (Engine::Model, Some(limit)) = (engine, settings.wall_limit) {
        let limit = format!("{}ms", limit.as_millis());
        command.arg("--wall-limit").arg(limit);
    }
    if let Some(path) = &settings.trace {
        command.arg("--trace").arg(path);
    }
    Ok(command)
}

fn as_process(
    tool: &Tool<'_>,
    entry: &CatalogueEntry,
    (engine, seed): (Engine, u64),
    settings: &RunSettings,
    place: &Overseen,
) -> Result<RunRecord, CommandError> {
    let mut command = command(tool, entry, engine, seed, settings)?;
    let start = Instant::now();
    let limit = wall_limit(settings.wall_limit, &entry.scenario, engine);
    let is_interrupted = || place.supervisor().is_interrupted();
    // A model run in another process ends by its own limit.
    let within = match engine {
        Engine::Model => limit.saturating_mul(2),
        Engine::Wire | Engine::Madsim => limit,
    };
    let ran = programs::run(&mut command, within, &is_interrupted)?;
    if is_interrupted() {
        return Err(CommandError::Interrupted);
    }
    let wall_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let Some(status) = ran.status else {
        let why = format!(
            "the process of the engine was ended after {}; it was at {}",
            text::show(within),
            ran.progress.as_deref().unwrap_or("its beginning")
        );
        let run = (engine, seed);
        return Ok(without_outcome(entry, run, settings, (ENDS_IN_TIME, &why)));
    };
    if status.code() == Some(2) {
        return Err(CommandError::usage(ran.complaint()));
    }
    match serde_json::from_str::<Value>(&ran.answer)
        .map_err(|error| error.to_string())
        .and_then(RunRecord::read)
    {
        Ok(mut record) => {
            record.note("wall_ms", wall_ms);
            record.read.wall_ms = wall_ms;
            Ok(record)
        }
        Err(error) => {
            let why = format!(
                "ended with {status} and no result ({error}); it said: {}",
                tail(ran.complaint())
            );
            Ok(panicked(entry, (engine, seed), settings, &why))
        }
    }
}

/// Returns the last lines of a process's output.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().rev().take(6).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}
