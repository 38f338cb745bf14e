//! `phalanx sim shrink`: reduces a failing run to a small scenario file.

use crate::arguments::SimShrink;
use crate::failure::{CommandError, Completion};
use crate::output::Outputs;
use crate::overseer::{self, Overseer, wall_limit};
use crate::screen::Screen;
use crate::tool::Tool;
use crate::{catalogue, sweep};
use phalanx_sim::runner::{Model, SupervisedModel};
use phalanx_sim::scenario::Engine;
use phalanx_sim::search::SystemUnderTest;
use phalanx_sim::shrink::{Progress, Shrunk, shrink};
use serde_json::json;
use std::path::Path;
use std::time::Instant;

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
    let sabotage = sweep::sabotage(&arguments.sabotage, [&entry])?;
    Outputs::new(catalogue::inputs([&entry]))
        .with("--output", arguments.output.as_deref())
        .check()?;
    let bar = overseer::bar(None);
    let deadline = Instant::now() + arguments.length.0;
    let overseer = Overseer::start(Some(deadline), bar.clone())?;
    let place = overseer.place();
    let limit = arguments.wall_limit.map(|limit| limit.0);
    place.set_limit(wall_limit(limit, &entry.scenario, Engine::Model));
    let runner = SupervisedModel {
        model: Model(entry.system),
        supervisor: place.supervisor(),
    };
    let subject = SystemUnderTest {
        runner: &runner,
        sabotage: &sabotage,
    };
    let mut go_on = |progress: Progress| {
        let Progress { runs, steps, nodes } = progress;
        bar.set_prefix(format!("{runs} runs, {steps} steps, {nodes} nodes"));
        !overseer.is_over()
    };
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let shrunk = shrink(subject, &entry.scenario, arguments.seed, &mut go_on);
    std::panic::set_hook(usual);
    bar.finish_and_clear();
    if shrunk.is_err() && overseer.is_over() {
        return Err(match overseer.is_interrupted() {
            true => CommandError::Interrupted,
            false => CommandError::failed("--for ended before the first run; give it more time"),
        });
    }
    let Some(mut shrunk) = shrunk.map_err(CommandError::usage)? else {
        let (file, seed) = (arguments.file.display(), arguments.seed);
        return Err(CommandError::failed(format!(
            "{file} does not fail with seed {seed}: nothing to shrink; find a seed with `{} search`",
            entry.system.command
        )));
    };
    let path = arguments.output.as_deref().unwrap_or(&arguments.file);
    if let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) {
        stem.clone_into(&mut shrunk.scenario.name);
    }
    shrunk.scenario.about = format!("Shrunk from {}, seed {}.", entry.scenario.name, shrunk.seed);
    report(screen, tool, arguments, &shrunk, path)?;
    Ok(match overseer.is_interrupted() {
        true => Completion::Interrupted,
        false => Completion::Yes,
    })
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
            &arguments.sabotage,
        )?),
        None => None,
    };
    let (steps, nodes) = (shrunk.scenario.steps.len(), shrunk.scenario.hosts.len());
    if arguments.json {
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
