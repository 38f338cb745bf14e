//! `phalanx sim diff`: the first event in which two runs differ.

use crate::arguments::SimDiff;
use crate::failure::{CommandError, Completion};
use crate::overseer::{self, Overseen, Overseer, lock, wall_limit};
use crate::pool::{self, WorkEnd};
use crate::replay::{at, is_trace, no_sabotage, open, run_of};
use crate::screen::{Paint, Screen};
use crate::state::{self, HostSnapshot, changes};
use crate::tool::Tool;
use crate::{catalogue, engine, sweep};
use phalanx_sim::diff::{Divergence, StateChange, first_difference};
use phalanx_sim::judge::ending::Halted;
use phalanx_sim::record::Header;
use phalanx_sim::replay::{Replay, host_named};
use phalanx_sim::scenario::{Engine, Scenario};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

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
            no_sabotage(&arguments.common.sabotage)?;
            let overseer = Overseer::start(None, overseer::bar(None))?;
            let comparison = Comparison::new(tool, arguments, &overseer);
            let work = |place: &Overseen| comparison.compare(place, [left, right], [left, right]);
            pool::work_alone(&overseer, work, |end| comparison.finish(screen, end))
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
    let sabotage = sweep::sabotage(&arguments.common.sabotage, [&entry])?;
    let folder = tempfile::tempdir().map_err(|error| {
        CommandError::failed(format!("cannot create a directory for the traces: {error}"))
    })?;
    let overseer = Overseer::start(None, overseer::bar(None))?;
    let comparison = Comparison::new(tool, arguments, &overseer);
    let work = |place: &Overseen| {
        *lock(&comparison.scenario) = Some(Arc::clone(&entry.scenario));
        let mut traces: Vec<PathBuf> = Vec::new();
        for (name, seed) in ["left", "right"].into_iter().zip(seeds) {
            let trace = folder.path().join(name);
            let settings = engine::RunSettings {
                trace: Some(trace.clone()),
                sabotage: sabotage.clone(),
                wall_limit: arguments.common.wall_limit(),
                ..engine::RunSettings::default()
            };
            let record = engine::run(tool, &entry, Engine::Model, seed, &settings, place)?;
            if let Some(endless) = record.endless() {
                return Err(CommandError::failed(format!("seed {seed}: {endless}")));
            }
            traces.push(trace);
        }
        let names = seeds.map(|seed| PathBuf::from(format!("seed {seed}")));
        comparison.compare(place, [&traces[0], &traces[1]], [&names[0], &names[1]])
    };
    pool::work_alone(&overseer, work, |end| comparison.finish(screen, end))
}

/// The comparison of two runs.
struct Comparison<'a> {
    tool: &'a Tool<'a>,
    arguments: &'a SimDiff,
    overseer: &'a Overseer,
    /// The scenario of the present run.
    scenario: Mutex<Option<Arc<Scenario>>>,
    /// The first difference, as soon as it is known.
    found: Mutex<Option<([String; 2], Divergence)>>,
}

impl<'a> Comparison<'a> {
    const fn new(tool: &'a Tool<'a>, arguments: &'a SimDiff, overseer: &'a Overseer) -> Self {
        Self {
            tool,
            arguments,
            overseer,
            scenario: Mutex::new(None),
            found: Mutex::new(None),
        }
    }

    /// Compares two traces, and the states of the node of their first difference.
    fn compare(
        &self,
        place: &Overseen,
        files: [&Path; 2],
        names: [&Path; 2],
    ) -> Result<Compared, CommandError> {
        let (mut left, mut right) = (open(files[0])?, open(files[1])?);
        let found = first_difference(&mut left, &mut right, self.arguments.context)
            .map_err(CommandError::usage)?;
        let names = names.map(|name| name.display().to_string());
        let Some(found) = found else {
            return Ok(Compared::Equal(names));
        };
        *lock(&self.found) = Some((names.clone(), found.clone()));
        let headers = [left.header(), right.header()];
        let states = self.states(place, &names, headers, &found);
        Ok(Compared::Different(names, found, states))
    }

    /// Returns the node of the first difference, and how its state after that event differs between the
    /// runs.
    fn states(
        &self,
        place: &Overseen,
        names: &[String; 2],
        headers: [&Header; 2],
        found: &Divergence,
    ) -> States {
        let node = [&found.left, &found.right]
            .into_iter()
            .flatten()
            .find_map(|line| line.node.clone())
            .ok_or("the runs differ at a scheduled action, which is not a step of a node")?;
        let one = self.state_at(place, &names[0], headers[0], (&*node, found.event()))?;
        let two = self.state_at(place, &names[1], headers[1], (&*node, found.event()))?;
        Ok((node.into_owned(), changes(&one, &two)))
    }

    /// Returns the state of a node after an event of a traced run.
    fn state_at(
        &self,
        place: &Overseen,
        name: &str,
        header: &Header,
        (node, event): (&str, u64),
    ) -> Result<HostSnapshot, String> {
        let run = run_of(self.tool, name, header)?;
        *lock(&self.scenario) = Some(Arc::clone(&run.scenario));
        let host = host_named(&run.scenario, node).map_err(|error| error.to_string())?;
        let plan = run
            .scenario
            .plan(run.seed)
            .map_err(|error| error.to_string())?;
        let mut replay = Replay::new(run.system, &run.scenario, &plan, &run.sabotage)
            .map_err(|error| error.to_string())?;
        let limit = self.arguments.common.wall_limit();
        place.set_limit(wall_limit(limit, &run.scenario, Engine::Model));
        replay.supervise(Some(place.supervisor()));
        while replay.event() < event && replay.next_event(plan.end).is_some() {}
        match replay.halted() {
            None => Ok(HostSnapshot::of(&replay, host)),
            Some(Halted::Interrupted) => Err("the command was interrupted".to_owned()),
            Some(Halted::Failed { why, .. }) => Err(why.clone()),
        }
    }

    /// Prints the result. If the command ends after the first difference is known, because a step is stuck or by a signal,
    /// prints the difference without the states.
    fn finish(
        &self,
        screen: &Screen,
        end: WorkEnd<Result<Compared, CommandError>>,
    ) -> Result<Completion, CommandError> {
        let scenario = lock(&self.scenario).clone();
        let stuck = end.stuck(scenario.as_deref());
        let known = lock(&self.found).take();
        let is_interrupted = self.overseer.is_interrupted();
        let stuck = match is_interrupted {
            true => Some("the command was interrupted".to_owned()),
            false => stuck,
        };
        let compared = match (stuck, known) {
            (Some(why), Some((names, found))) => Compared::Different(names, found, Err(why)),
            _ => end.result(self.overseer, scenario.as_deref()).flatten()?,
        };
        let differs = match is_interrupted {
            true => Completion::Interrupted,
            false => Completion::No,
        };
        let json = self.arguments.common.json;
        match compared {
            Compared::Equal(_) if json => screen.json(&json!({ "equal": true }))?,
            Compared::Equal(names) => {
                screen.line(format!("equal: {} and {}", names[0], names[1]))?;
            }
            Compared::Different(_, found, states) if json => {
                let (changes, missing) = match &states {
                    Ok((_, changes)) => (Some(changes), None),
                    Err(why) => (None, Some(why)),
                };
                screen.json(&json!({
                    "equal": false, "event": found.event(), "before": found.before, "left": found.left,
                    "right": found.right, "states": changes, "states_missing": missing,
                }))?;
                return Ok(differs);
            }
            Compared::Different(names, found, states) => {
                show(screen, &names, &found, &states)?;
                return Ok(differs);
            }
        }
        Ok(Completion::Yes)
    }
}

/// The result of a comparison, with the names of both runs.
enum Compared {
    Equal([String; 2]),
    Different([String; 2], Divergence, States),
}

type States = Result<(String, Vec<StateChange>), String>;

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
