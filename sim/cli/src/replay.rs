//! `phalanx sim replay`: replays one run to an instant or an event, or event by event.

use crate::arguments::SimReplay;
use crate::catalogue;
use crate::failure::{CommandError, Completion};
use crate::overseer::{self, Overseen, Overseer, wall_limit};
use crate::pool;
use crate::screen::{Paint, Screen};
use crate::state::{self, HostSnapshot, changes};
use crate::sweep;
use crate::tool::{Tool, complain};
use indicatif::ProgressDrawTarget;
use phalanx_sim::diff::StateChange;
use phalanx_sim::judge::ending::Halted;
use phalanx_sim::record::{Header, Line, TraceReader, VERSION};
use phalanx_sim::replay::{Replay, host_named};
use phalanx_sim::scenario::{Engine, Scenario, text};
use phalanx_sim::world::Definition;
use serde_json::json;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A run that can be reproduced.
pub(crate) struct ReplayRun {
    pub(crate) system: &'static Definition,
    pub(crate) scenario: Arc<Scenario>,
    pub(crate) seed: u64,
    pub(crate) sabotage: Vec<String>,
}

/// Returns whether a file is a trace. A trace begins with a brace; a scenario file does not.
pub(crate) fn is_trace(path: &Path) -> Result<bool, CommandError> {
    let mut start = String::new();
    let read = File::open(path).map(BufReader::new).and_then(|mut file| {
        let buffer = file.fill_buf()?;
        start.push_str(&String::from_utf8_lossy(buffer));
        Ok(())
    });
    read.map_err(|error| {
        CommandError::usage(format!("{}: cannot be read: {error}", path.display()))
    })?;
    Ok(start.trim_start().starts_with('{'))
}

/// Opens a trace.
pub(crate) fn open(path: &Path) -> Result<TraceReader<BufReader<File>>, CommandError> {
    let name = path.display().to_string();
    let file = File::open(path)
        .map_err(|error| CommandError::usage(format!("{name}: cannot be read: {error}")))?;
    TraceReader::new(&name, BufReader::new(file)).map_err(CommandError::usage)
}

/// Returns the run of a trace, if this program can reproduce it.
pub(crate) fn run_of(tool: &Tool<'_>, trace: &str, header: &Header) -> Result<ReplayRun, String> {
    if header.engine != Engine::Model.to_string() {
        return Err(format!(
            "{trace}: the run is of the engine {}; only runs of the model engine can be replayed",
            header.engine
        ));
    }
    if header.version != VERSION {
        return Err(format!(
            "{trace}: the trace was written by phalanx {}, this is {VERSION}; use that version, or record the trace again with this one",
            header.version
        ));
    }
    let variant = (!header.variant.is_empty()).then_some(header.variant.as_str());
    let entry = catalogue::one(tool, Path::new(&header.file), variant).map_err(|error| {
        format!("{trace}: the scenario of the trace is needed for the replay: {error}")
    })?;
    let (system, scenario) = (entry.system, entry.scenario);
    let hash = format!("{:016x}", scenario.hash);
    if hash != header.file_hash {
        return Err(format!(
            "{trace}: the trace was recorded from {} with hash {}, but the file now has hash {hash}; record the trace again",
            header.file, header.file_hash
        ));
    }
    Ok(ReplayRun {
        system,
        scenario,
        seed: header.seed,
        sabotage: header.sabotage.clone(),
    })
}

fn chosen(tool: &Tool<'_>, arguments: &SimReplay) -> Result<ReplayRun, CommandError> {
    let file = &arguments.file;
    if is_trace(file)? {
        let reader = open(file)?;
        let run = run_of(tool, &file.display().to_string(), reader.header())
            .map_err(CommandError::usage)?;
        if arguments.seed.is_some_and(|seed| seed != run.seed) {
            return Err(CommandError::usage(format!(
                "--seed: {} is a trace of seed {}; omit --seed, or give the scenario file",
                file.display(),
                run.seed
            )));
        }
        if let Some(variant) = &arguments.variant {
            return Err(CommandError::usage(format!(
                "--variant {variant}: {} is a trace of one run; omit --variant",
                file.display()
            )));
        }
        no_sabotage(&arguments.common.sabotage)?;
        return Ok(run);
    }
    let entry = catalogue::one(tool, file, arguments.variant.as_deref())?;
    let sabotage = sweep::sabotage(&arguments.common.sabotage, [&entry])?;
    Ok(ReplayRun {
        system: entry.system,
        scenario: entry.scenario,
        seed: arguments.seed.unwrap_or(1),
        sabotage,
    })
}

/// Refuses planted bugs for a trace, which contains its own.
pub(crate) fn no_sabotage(sabotage: &[String]) -> Result<(), CommandError> {
    match sabotage.first() {
        None => Ok(()),
        Some(name) => Err(CommandError::usage(format!(
            "--sabotage {name}: a trace contains the planted bugs of its run; omit --sabotage, or give the scenario file"
        ))),
    }
}

/// Checks that the positions lie within the run, in order.
fn check_positions(arguments: &SimReplay, end: Duration) -> Result<(), CommandError> {
    if let Some(until) = arguments.until
        && until.to.0 > end
    {
        return Err(CommandError::usage(format!(
            "--until {}: the run ends at {}",
            text::show(until.to.0),
            text::show(end)
        )));
    }
    Ok(())
}

/// Position at which the replay stops.
#[derive(Clone, Copy)]
enum Stop {
    Instant(Duration),
    Event(u64),
}

pub(crate) fn run(
    screen: &Screen,
    tool: &Tool<'_>,
    arguments: &SimReplay,
) -> Result<Completion, CommandError> {
    let run = chosen(tool, arguments)?;
    let scenario = &*run.scenario;
    scenario
        .check_engine(Engine::Model)
        .map_err(CommandError::usage)?;
    let plan = scenario.plan(run.seed).map_err(CommandError::usage)?;
    check_positions(arguments, plan.end)?;
    let node = match &arguments.node {
        Some(name) => Some(host_named(scenario, name).map_err(CommandError::usage)?),
        None => None,
    };
    let (from, to) = match (&arguments.until, &arguments.event) {
        (Some(reach), _) => (
            reach.from.map(|from| Stop::Instant(from.0)),
            Stop::Instant(reach.to.0),
        ),
        (None, Some(reach)) => (reach.from.map(Stop::Event), Stop::Event(reach.to)),
        (None, None) if arguments.step => (None, Stop::Event(0)),
        (None, None) => {
            return Err(CommandError::usage(
                "give a position to stop at: --until 12.5s or --event 1200; or --step to start at the first event",
            ));
        }
    };
    let overseer = Overseer::start(None, overseer::bar(None))?;
    let work = |place: &Overseen| -> Result<Completion, CommandError> {
        let limit = arguments.common.wall_limit();
        place.set_limit(wall_limit(limit, scenario, Engine::Model));
        let mut session = ReplaySession {
            screen,
            scenario,
            replay: Replay::new(run.system, scenario, &plan, &run.sabotage)
                .map_err(CommandError::usage)?,
            end: plan.end,
            node,
            json: arguments.common.json,
            overseer: &overseer,
            place,
        };
        session.replay.supervise(Some(place.supervisor()));
        match from {
            Some(from) => session.between(from, to)?,
            None => {
                let reached = session.go(to);
                // A replay that ended early is shown where it ended.
                if !arguments.step && !matches!(reached, Err(CommandError::Usage(_))) {
                    session.show()?;
                }
                reached?;
            }
        }
        if arguments.step {
            session.steps(&mut std::io::stdin().lock())?;
        }
        Ok(Completion::Yes)
    };
    pool::work_alone(&overseer, work, |end| {
        match end.result(&overseer, Some(scenario)).flatten() {
            Err(CommandError::Interrupted) => Ok(Completion::Interrupted),
            done => done,
        }
    })
}

/// A replay in progress.
struct ReplaySession<'a> {
    screen: &'a Screen,
    scenario: &'a Scenario,
    replay: Replay<'a>,
    end: Duration,
    node: Option<usize>,
    json: bool,
    overseer: &'a Overseer,
    place: &'a Overseen,
}

const HELP: &str = "\
Enter     go to the next event (of the chosen node) and show its changes
N         go through the next N events
t 12.5s   go to an instant
e 1200    go to an event
s [NAME]  show the state of all nodes, or of one
q         quit";

impl ReplaySession<'_> {
    /// Continues until there is no event before an instant, or until an event.
    ///
    /// # Errors
    /// A signal arrived, or the wall-time limit has passed.
    fn run_to(&mut self, until: Duration, event: u64) -> Result<(), CommandError> {
        while self.replay.event() < event && self.replay.next_event(until).is_some() {}
        self.check_end()
    }

    /// Checks that the supervision did not end the replay early.
    fn check_end(&self) -> Result<(), CommandError> {
        match self.replay.halted() {
            None => Ok(()),
            Some(Halted::Interrupted) => {
                let at = text::show(self.replay.now());
                self.overseer.bar().finish_and_clear();
                complain(format!("interrupted at {at} of virtual time"));
                Err(CommandError::Interrupted)
            }
            Some(Halted::Failed { why, .. }) => Err(CommandError::failed(why)),
        }
    }

    fn go(&mut self, to: Stop) -> Result<(), CommandError> {
        match to {
            Stop::Instant(instant) => self.run_to(instant, u64::MAX),
            Stop::Event(event) => {
                self.run_to(self.end, event)?;
                if self.replay.event() < event {
                    return Err(CommandError::usage(format!(
                        "--event {event}: the run has only {} events in {}",
                        self.replay.event(),
                        text::show(self.end)
                    )));
                }
                Ok(())
            }
        }
    }

    fn hosts(&self) -> Vec<usize> {
        match self.node {
            Some(host) => vec![host],
            None => (0..self.scenario.hosts.len()).collect(),
        }
    }

    fn states(&self) -> Vec<HostSnapshot> {
        let hosts = self.hosts().into_iter();
        HostSnapshot::all(&self.replay, hosts)
    }

    /// Prints the state of the nodes at the current position.
    fn show(&self) -> Result<(), CommandError> {
        self.overseer
            .bar()
            .set_draw_target(ProgressDrawTarget::hidden());
        let states = self.states();
        if self.json {
            for state in &states {
                let mut value = state.as_value();
                value["event"] = self.replay.event().into();
                self.screen.json(&value)?;
            }
            return Ok(());
        }
        if let Some(line) = self.replay.latest() {
            let stands = format!("after {} at {}", line, at(line));
            self.screen.line(self.screen.painted(&stands, Paint::Dim))?;
        }
        state::show(self.screen, &states)
    }

    /// Prints the changes between two positions.
    fn between(&mut self, from: Stop, to: Stop) -> Result<(), CommandError> {
        self.go(from)?;
        let before = self.states();
        let reached = self.go(to);
        if matches!(reached, Err(CommandError::Usage(_))) {
            return reached;
        }
        self.overseer
            .bar()
            .set_draw_target(ProgressDrawTarget::hidden());
        let mut unchanged = 0;
        for (before, after) in before.iter().zip(&self.states()) {
            let changes = changes(before, after);
            if self.json {
                let value = json!({
                    "node": after.name(), "from_ms": millis(before.at()), "to_ms": millis(after.at()), "changes": changes,
                });
                self.screen.json(&value)?;
            } else if changes.is_empty() && self.node.is_none() {
                unchanged += 1;
            } else {
                state::show_changes(self.screen, after.name(), ["before", "after"], &changes)?;
            }
        }
        if unchanged > 0 {
            self.screen
                .line(format!("{unchanged} more nodes: unchanged"))?;
        }
        reached
    }

    /// Executes commands, one per line, until the input ends.
    fn steps(&mut self, orders: &mut dyn BufRead) -> Result<(), CommandError> {
        self.overseer
            .bar()
            .set_draw_target(ProgressDrawTarget::hidden());
        loop {
            // The time in which a person reads does not count.
            self.replay.supervise(None);
            let mut order = String::new();
            let read = orders.read_line(&mut order).map_err(|error| {
                CommandError::failed(format!("standard input cannot be read: {error}"))
            })?;
            if read == 0 {
                return Ok(());
            }
            self.replay.supervise(Some(self.place.supervisor()));
            let order = order.trim();
            let (word, rest) = order.split_once(' ').unwrap_or((order, ""));
            let done = match (word, rest.trim()) {
                ("q", "") => return Ok(()),
                ("", _) | ("n", "") => self.steps_on(1),
                ("s", "") => self.show(),
                ("s", name) => match host_named(self.scenario, name) {
                    Ok(host) => {
                        let before = self.node.replace(host);
                        let shown = self.show();
                        self.node = before;
                        shown
                    }
                    Err(error) => Err(CommandError::usage(error)),
                },
                ("t", instant) => match text::duration(instant) {
                    Ok(instant) => self.go(Stop::Instant(instant)).and_then(|()| self.stands()),
                    Err(why) => Err(CommandError::usage(why)),
                },
                ("e", number) => match number.parse() {
                    Ok(event) => self.go(Stop::Event(event)).and_then(|()| self.stands()),
                    Err(_) => Err(CommandError::usage(format!(
                        "`{number}` is not a valid event number"
                    ))),
                },
                (number, "") if number.parse::<u64>().is_ok() => {
                    self.steps_on(number.parse().unwrap_or(1))
                }
                _ => self.screen.line(HELP),
            };
            match done {
                // A wrong command is reported, and the next command is read.
                Err(CommandError::Usage(message)) => self.screen.line(message)?,
                other => other?,
            }
        }
    }

    fn stands(&self) -> Result<(), CommandError> {
        match self.replay.latest() {
            Some(line) => self.event(line, &[]),
            None => self.screen.line("nothing has happened yet"),
        }
    }

    /// Prints the next events, each with its changes.
    fn steps_on(&mut self, many: u64) -> Result<(), CommandError> {
        let wanted = self.node.map(|host| self.scenario.hosts[host].name.clone());
        for _ in 0..many {
            // An event changes only the node that executes it, so that node's state is compared
            // before and after.
            let mut before = self.states();
            let line = loop {
                let Some(line) = self.replay.next_event(self.end) else {
                    self.check_end()?;
                    return self.screen.line("the run has ended");
                };
                if wanted.is_none() || line.node.as_deref() == wanted.as_deref() {
                    break line;
                }
            };
            let changed = before
                .iter_mut()
                .find(|state| line.node.as_deref() == Some(state.name()));
            let changes = match changed {
                Some(before) => {
                    let host =
                        host_named(self.scenario, before.name()).map_err(CommandError::usage)?;
                    changes(before, &HostSnapshot::of(&self.replay, host))
                }
                None => Vec::new(),
            };
            self.event(&line, &changes)?;
        }
        Ok(())
    }

    fn event(&self, line: &Line<'_>, changes: &[StateChange]) -> Result<(), CommandError> {
        if self.json {
            return self
                .screen
                .json(&json!({ "event": line, "changes": changes }));
        }
        self.screen.line(format!("{} {line}", at(line)))?;
        for change in changes {
            let none = || "none".to_owned();
            let before = change.before.clone().unwrap_or_else(none);
            let after = change.after.clone().unwrap_or_else(none);
            self.screen
                .line(format!("    {}: {before} → {after}", change.what))?;
        }
        Ok(())
    }
}

/// Formats the instant of an event.
pub(crate) fn at(line: &Line<'_>) -> String {
    text::show(Duration::from_nanos(line.at))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
