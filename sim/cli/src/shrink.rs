//! `phalanx sim shrink`: reduces a failing run to a small scenario file.

use crate::arguments::SimShrink;
use crate::failure::{CommandError, Completion};
use crate::interrupt::Interrupt;
use crate::screen::Screen;
use crate::tool::Tool;
use crate::{catalogue, sweep};
use indicatif::{ProgressBar, ProgressDrawTarget};
use phalanx_sim::runner::Model;
use phalanx_sim::scenario::Engine;
use phalanx_sim::search::SystemUnderTest;
use phalanx_sim::shrink::{Progress, Shrunk, shrink};
use serde_json::json;
use std::io::IsTerminal as _;
use std::path::Path;
use std::time::{Duration, Instant};

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
    let subject = SystemUnderTest {
        runner: &Model(entry.system),
        sabotage: &sabotage,
    };
    let mut interrupt = Interrupt::listen()?;
    let deadline = Instant::now() + arguments.length.0;
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::new_spinner();
    bar.set_draw_target(target);
    let mut go_on = |progress: Progress| {
        let Progress { runs, steps, nodes } = progress;
        bar.set_message(format!("{runs} runs, {steps} steps, {nodes} nodes"));
        Instant::now() < deadline && !interrupt.wait(Duration::ZERO)
    };
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let shrunk = shrink(subject, &entry.scenario, arguments.seed, &mut go_on);
    std::panic::set_hook(usual);
    bar.finish_and_clear();
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
    Ok(Completion::Yes)
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
