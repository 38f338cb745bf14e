//! `phalanx sim diff`: the first event in which two runs differ.

use crate::arguments::SimDiff;
use crate::failure::{CommandError, Completion};
use crate::overseer::{self, Overseer};
use crate::replay::{ReplayRun, at, is_trace, no_sabotage, open, run_of};
use crate::screen::{Paint, Screen};
use crate::state::{self, HostSnapshot, changes};
use crate::tool::Tool;
use crate::{catalogue, engine, sweep};
use phalanx_sim::diff::{Divergence, StateChange, first_difference};
use phalanx_sim::record::Header;
use phalanx_sim::replay::{Replay, host_named};
use phalanx_sim::scenario::Engine;
use serde_json::json;
use std::path::{Path, PathBuf};

pub(crate) fn run(
    screen: &Screen,
    tool: &Tool<'_>,
    arguments: &SimDiff,
) -> Result<Completion, CommandError> {
    match (arguments.files.as_slice(), arguments.seed.as_slice()) {
        ([_, _], []) if arguments.variant.is_some() => Err(CommandError::usage(
            "--variant needs a scenario file with --seed A B; a trace already contains one run",
        )),
        ([left, right], []) => {
            no_sabotage(&arguments.sabotage)?;
            compare(
                screen,
                tool,
                arguments,
                [left, right],
                ([left, right], None),
            )
        }
        ([file], [one, two]) => of_seeds(screen, tool, arguments, file, [*one, *two]),
        _ => Err(CommandError::usage(format!(
            "give two traces ({} diff A.jsonl B.jsonl), or one scenario and two seeds (FILE --seed 1 2)",
            tool.command()
        ))),
    }
}

/// Runs both seeds and compares their traces.
fn of_seeds(
    screen: &Screen,
    tool: &Tool<'_>,
    arguments: &SimDiff,
    file: &Path,
    seeds: [u64; 2],
) -> Result<Completion, CommandError> {
    if is_trace(file)? {
        return Err(CommandError::usage(format!(
            "{}: a trace has one seed; --seed A B needs the scenario file",
            file.display()
        )));
    }
    let entry = catalogue::one(tool, file, arguments.variant.as_deref())?;
    entry
        .scenario
        .check_engine(Engine::Model)
        .map_err(CommandError::usage)?;
    let sabotage = sweep::sabotage(&arguments.sabotage, [&entry])?;
    let folder = tempfile::tempdir().map_err(|error| {
        CommandError::failed(format!("cannot create a directory for the traces: {error}"))
    })?;
    let overseer = Overseer::start(None, overseer::bar(None))?;
    let place = overseer.place();
    let mut traces: Vec<PathBuf> = Vec::new();
    for (name, seed) in ["left", "right"].into_iter().zip(seeds) {
        let trace = folder.path().join(name);
        let settings = engine::RunSettings {
            trace: Some(trace.clone()),
            sabotage: sabotage.clone(),
            ..engine::RunSettings::default()
        };
        engine::run(tool, &entry, Engine::Model, seed, &settings, &place)?;
        traces.push(trace);
    }
    let names = seeds.map(|seed| PathBuf::from(format!("seed {seed}")));
    let compared = compare(
        screen,
        tool,
        arguments,
        [&traces[0], &traces[1]],
        ([&names[0], &names[1]], Some(&overseer)),
    );
    match overseer.is_interrupted() {
        true => Err(CommandError::Interrupted),
        false => compared,
    }
}

fn compare(
    screen: &Screen,
    tool: &Tool<'_>,
    arguments: &SimDiff,
    files: [&Path; 2],
    (names, overseer): ([&Path; 2], Option<&Overseer>),
) -> Result<Completion, CommandError> {
    let (mut left, mut right) = (open(files[0])?, open(files[1])?);
    let found =
        first_difference(&mut left, &mut right, arguments.context).map_err(CommandError::usage)?;
    let names = names.map(|name| name.display().to_string());
    let Some(found) = found else {
        if arguments.json {
            screen.json(&json!({ "equal": true }))?;
        } else {
            screen.line(format!("equal: {} and {}", names[0], names[1]))?;
        }
        return Ok(Completion::Yes);
    };
    overseer.inspect(|overseer| overseer.bar().finish_and_clear());
    let headers = [left.header(), right.header()];
    let states = states(tool, &names, headers, &found, overseer);
    if arguments.json {
        let (changes, missing) = match &states {
            Ok((_, changes)) => (Some(changes), None),
            Err(why) => (None, Some(why)),
        };
        screen.json(&json!({
            "equal": false, "event": found.event(), "before": found.before, "left": found.left, "right": found.right,
            "states": changes, "states_missing": missing,
        }))?;
    } else {
        show(screen, &names, &found, &states)?;
    }
    Ok(Completion::No)
}

type States = Result<(String, Vec<StateChange>), String>;

/// Returns the node of the first difference, and how its state after that event differs between the
/// runs.
fn states(
    tool: &Tool<'_>,
    names: &[String; 2],
    headers: [&Header; 2],
    found: &Divergence,
    overseer: Option<&Overseer>,
) -> States {
    let node = [&found.left, &found.right]
        .into_iter()
        .flatten()
        .find_map(|line| line.node.clone())
        .ok_or("the runs differ at a scheduled action, which is not a step of a node")?;
    let place = (&*node, found.event());
    let one = state_at(&run_of(tool, &names[0], headers[0])?, place, overseer)?;
    let two = state_at(&run_of(tool, &names[1], headers[1])?, place, overseer)?;
    Ok((node.into_owned(), changes(&one, &two)))
}

fn state_at(
    run: &ReplayRun,
    (node, event): (&str, u64),
    overseer: Option<&Overseer>,
) -> Result<HostSnapshot, String> {
    let host = host_named(&run.scenario, node).map_err(|error| error.to_string())?;
    let plan = run
        .scenario
        .plan(run.seed)
        .map_err(|error| error.to_string())?;
    let mut replay = Replay::new(run.system, &run.scenario, &plan, &run.sabotage)
        .map_err(|error| error.to_string())?;
    while replay.event() < event && replay.next_event(plan.end).is_some() {
        if overseer.is_some_and(Overseer::is_interrupted) {
            return Err("the command was interrupted".to_owned());
        }
    }
    Ok(HostSnapshot::of(&replay, host))
}

fn show(
    screen: &Screen,
    names: &[String; 2],
    found: &Divergence,
    states: &States,
) -> Result<(), CommandError> {
    let when = found.left.as_ref().or(found.right.as_ref()).map(at);
    screen.line(format!(
        "{} and {} first differ at event {}, {}",
        names[0],
        names[1],
        found.event(),
        when.unwrap_or_default()
    ))?;
    for line in &found.before {
        let text = format!("  = {} {line}", at(line));
        screen.line(screen.painted(&text, Paint::Dim))?;
    }
    let sides = [
        ("-", &found.left, Paint::Bad),
        ("+", &found.right, Paint::Good),
    ];
    for ((sign, line, paint), name) in sides.into_iter().zip(names) {
        let text = match line {
            Some(line) => format!(
                "  {sign} {} {line}{}   ({name})",
                at(line),
                line.digest
                    .as_ref()
                    .map_or_else(String::new, |digest| format!(", digest {digest}"))
            ),
            None => format!("  {sign} the run has ended   ({name})"),
        };
        screen.line(screen.painted(&text, paint))?;
    }
    match states {
        Ok((node, changes)) => state::show_changes(screen, node, ["left", "right"], changes),
        Err(why) => screen.line(format!("States cannot be compared: {why}.")),
    }
}
