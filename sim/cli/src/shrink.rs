//! `phalanx sim shrink`: reduces a failing run to a small scenario file.

use crate::arguments::SimShrink;
use crate::catalogue::CatalogueEntry;
use crate::failure::{CommandError, Completion};
use crate::output::Outputs;
use crate::overseer::{self, Overseen, Overseer, lock, wall_limit};
use crate::pool;
use crate::screen::Screen;
use crate::tool::Tool;
use crate::{catalogue, sweep};
use phalanx_sim::runner::{Model, SupervisedModel};
use phalanx_sim::scenario::Engine;
use phalanx_sim::search::SystemUnderTest;
use phalanx_sim::shrink::{Progress, Shrunk, shrink};
use serde_json::json;
use std::path::Path;
use std::sync::Mutex;

pub(crate) fn run(
    screen: &Screen,
    tool: &Tool<'_>,
    arguments: &SimShrink,
) -> Result<Completion, CommandError> {
    let entry = catalogue::one(tool, &arguments.file, arguments.variant.as_deref())?;
    entry
        .scenario
        .check_engine(Engine::Model)
        .map_err(CommandError::usage)?;
    let sabotage = sweep::sabotage(&arguments.common.sabotage, [&entry])?;
    Outputs::new(catalogue::inputs([&entry]))
        .with("--output", arguments.output.as_deref())
        .check()?;
    let overseer = Overseer::start(arguments.limit.end(), overseer::bar(None))?;
    let reduction = Reduction {
        entry: &entry,
        arguments,
        sabotage: &sabotage,
        overseer: &overseer,
        so_far: Mutex::new(None),
    };
    let work = |place: &Overseen| reduction.reduce(place);
    pool::work_alone(&overseer, work, |end| {
        let stuck = end.stuck(Some(&entry.scenario));
        let ended = end.result(&overseer, Some(&entry.scenario));
        let shrunk = match (ended.flatten(), lock(&reduction.so_far).take()) {
            (Err(_), Some((_, so_far))) => Some(so_far),
            (Err(_), None) if overseer.is_over() => return Err(overseer.over()),
            (shrunk, _) => shrunk?,
        };
        reduction.finish(screen, tool, shrunk)?;
        match (stuck, overseer.is_interrupted()) {
            (Some(why), _) => Err(CommandError::failed(why)),
            (None, true) => Ok(Completion::Interrupted),
            (None, false) => Ok(Completion::Yes),
        }
    })
}

/// The reduction of one run.
struct Reduction<'a> {
    entry: &'a CatalogueEntry,
    arguments: &'a SimShrink,
    sabotage: &'a [String],
    overseer: &'a Overseer,
    /// The smallest scenario so far, with the number of changes that led to it.
    so_far: Mutex<Option<(usize, Shrunk)>>,
}

impl Reduction<'_> {
    /// Reduces the run; the result is `None` if the run passes.
    fn reduce(&self, place: &Overseen) -> Result<Option<Shrunk>, CommandError> {
        let (scenario, seed) = (&*self.entry.scenario, self.arguments.seed);
        let limit = self.arguments.common.wall_limit();
        place.set_limit(wall_limit(limit, scenario, Engine::Model));
        let runner = SupervisedModel {
            model: Model(self.entry.system),
            supervisor: place.supervisor(),
        };
        let subject = SystemUnderTest {
            runner: &runner,
            sabotage: self.sabotage,
        };
        let mut go_on = |progress: Progress<'_>| {
            let (steps, nodes) = (progress.smallest.steps.len(), progress.smallest.hosts.len());
            let runs = progress.runs;
            let bar = self.overseer.bar();
            bar.set_prefix(format!("{runs} runs, {steps} steps, {nodes} nodes"));
            let mut so_far = lock(&self.so_far);
            let is_known = |(changes, _): &(usize, Shrunk)| *changes == progress.changes;
            if !so_far.as_ref().is_some_and(is_known) {
                *so_far = Some((progress.changes, progress.so_far()));
            }
            !self.overseer.is_over()
        };
        shrink(subject, scenario, seed, &mut go_on).map_err(CommandError::usage)
    }

    /// Writes and reports the result.
    fn finish(
        &self,
        screen: &Screen,
        tool: &Tool<'_>,
        shrunk: Option<Shrunk>,
    ) -> Result<(), CommandError> {
        let arguments = self.arguments;
        let Some(mut shrunk) = shrunk else {
            let (file, seed) = (arguments.file.display(), arguments.seed);
            return Err(CommandError::failed(format!(
                "{file} does not fail with seed {seed}: nothing to shrink; find a seed with `{} search`",
                self.entry.system.command
            )));
        };
        let path = arguments.output.as_deref().unwrap_or(&arguments.file);
        if let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) {
            stem.clone_into(&mut shrunk.scenario.name);
        }
        let (name, seed) = (&self.entry.scenario.name, shrunk.seed);
        shrunk.scenario.about = format!("Shrunk from {name}, seed {seed}.");
        report(screen, tool, arguments, &shrunk, path)
    }
}

fn report(
    screen: &Screen,
    tool: &Tool<'_>,
    arguments: &SimShrink,
    shrunk: &Shrunk,
    path: &Path,
) -> Result<(), CommandError> {
    let text = shrunk.to_toml(&path.display().to_string());
    if let Some(path) = &arguments.output {
        let unwritable =
            |error| CommandError::usage(format!("{} cannot be written: {error}", path.display()));
        std::fs::write(path, &text).map_err(unwritable)?;
    }
    let again = match &arguments.output {
        Some(path) => Some(catalogue::again(
            tool,
            path,
            shrunk.seed,
            &arguments.common.sabotage,
        )?),
        None => None,
    };
    let (steps, nodes) = (shrunk.scenario.steps.len(), shrunk.scenario.hosts.len());
    if arguments.common.json {
        return screen.json(&json!({
            "runs": shrunk.runs,
            "steps": steps,
            "nodes": nodes,
            "lines": text.lines().count(),
            "minimal": shrunk.minimal,
            "needs": shrunk.needs(),
            "failure": shrunk.failure.clone().reproduced_by(again.as_deref().unwrap_or_default()),
            "reproduce": again,
            "scenario": text,
        }));
    }
    let (Some(path), Some(again)) = (&arguments.output, again) else {
        return screen.line(text.trim_end());
    };
    screen.line(format!(
        "{}: {steps} steps, {nodes} nodes, after {} runs",
        path.display(),
        shrunk.runs
    ))?;
    for needed in shrunk.needs() {
        screen.line(needed)?;
    }
    if !shrunk.minimal {
        screen.line("stopped before it was minimal; start from this file to go on")?;
    }
    screen.line(format!("again: {again}"))
}
