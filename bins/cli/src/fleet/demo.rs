//! `make demo`: a mesh of real daemons forms, loses a member and regains it; two regions copy each other, are cut and heal
//! ([`regions`]); then two engines simulate a partition.
//!
//! Each fact that the demo prints is read from the output of `phalanx … --json` at that moment
//! ([`tool`]). If a state is not reached by its deadline, the demo ends with an error; no step
//! relies on elapsed time alone.

mod regions;
mod tool;

use super::Fleet;
use crate::arguments::Demo;
use crate::failure::{CommandError, Completion};
use crate::mesh::reply::{KnownMember, StatusReply};
use crate::screen::{Paint, Screen, Table, TableCell, count, span};
use phalanx_sim_cli::interrupt::Interrupt;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};
use tool::{RunningWatch, ToolPath};

const NODES: usize = 5;
/// Index of the node that is killed.
const VICTIM: usize = 3;
/// Index of the node whose view is printed.
const WITNESS: usize = 1;
const SERVICE: &str = "greeter/1";
/// Deadline of each state. The deadline allows for a busy machine; the states are usually reached much earlier.
const DEADLINE: Duration = Duration::from_secs(60);
/// Instants at which the demo inspects the simulated fleet: the partition lasts from 10 s to 40 s.
const INSTANTS: &[&str] = &["9s", "39s", "45s"];
/// Links that do not change for this time count as settled.
const QUIET_FOR: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The awaited value, or a text that describes what is missing.
type Looked<T> = Result<T, String>;

/// The part of `phalanx peers --json` that the demo reads.
#[derive(Deserialize)]
struct Peers {
    peers: Vec<KnownMember>,
}

/// The part of `phalanx services --json` that the demo reads.
#[derive(Deserialize)]
struct Services {
    services: Vec<crate::mesh::reply::Service>,
}

pub(crate) fn run(screen: &Screen, arguments: &Demo) -> Result<Completion, CommandError> {
    let partition = arguments.scenarios.join("partition-heals.toml");
    if !partition.is_file() {
        return Err(CommandError::usage(format!(
            "{} does not exist; run the demo in the root of the repository",
            partition.display()
        )));
    }
    let mut stage = Stage {
        screen,
        interrupt: Interrupt::listen()?,
        tool: ToolPath::new()?,
    };
    let greeters = |index| {
        if index >= 2 {
            vec![SERVICE.to_owned()]
        } else {
            Vec::new()
        }
    };
    let mut fleet = Fleet::prepare("demo", NODES, greeters, &[])?;
    let result = stage.mesh(&mut fleet);
    let ended = fleet.end();
    result?;
    ended?;
    stage.say("All five daemons left the mesh and ended; their files are removed.")?;
    stage.regions()?;
    stage.simulation(&partition)?;
    Ok(Completion::Yes)
}

/// The parts of a running demo.
struct Stage<'a> {
    screen: &'a Screen,
    interrupt: Interrupt,
    tool: ToolPath,
}

impl Stage<'_> {
    fn title(&self, text: &str) -> Result<(), CommandError> {
        self.screen.line("")?;
        self.screen.line(self.screen.painted(text, Paint::Bold))
    }

    fn say(&self, text: impl AsRef<str>) -> Result<(), CommandError> {
        self.screen.line(format!("  {}", text.as_ref()))
    }

    /// Polls until a value is found; returns the value and the time since `start`.
    fn until<T>(
        &mut self,
        what: &str,
        start: Instant,
        fleet: &mut Fleet,
        mut look: impl FnMut(&ToolPath, &Fleet) -> Result<Looked<T>, CommandError>,
    ) -> Result<(T, String), CommandError> {
        let mut last = String::new();
        while start.elapsed() < DEADLINE {
            fleet.check_running()?;
            match look(&self.tool, fleet) {
                Ok(Ok(found)) => {
                    let millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
                    return Ok((found, span(millis)));
                }
                Ok(Err(lacks)) => last = lacks,
                // A daemon that does not listen yet refuses the connection, so the poll is repeated until the deadline.
                Err(failure) => last = failure.to_string(),
            }
            if self.interrupt.wait(LOOK_EVERY) {
                return Err(CommandError::failed("interrupted"));
            }
        }
        Err(CommandError::failed(format!(
            "{what} took longer than {} s: {last}",
            DEADLINE.as_secs()
        )))
    }

    fn mesh(&mut self, fleet: &mut Fleet) -> Result<(), CommandError> {
        self.forms(fleet)?;
        let watching = self.tool.watch(fleet, WITNESS)?;
        // Once the watcher is registered, it misses no later event of the witness.
        let asked = Instant::now();
        self.until("registering the watcher", asked, fleet, watched)?;
        self.loses(fleet, &watching)?;
        self.regains(fleet, &watching)
    }

    fn forms(&mut self, fleet: &mut Fleet) -> Result<(), CommandError> {
        self.title("A mesh forms")?;
        self.say("Five daemons start on this machine, each with its own certificate. All know the addresses of two")?;
        self.say(
            "seed nodes. Each connection is encrypted and authenticated at both ends (mutual TLS).",
        )?;
        let start = Instant::now();
        fleet.start_all()?;
        let (_, took) = self.until("forming the mesh", start, fleet, whole_mesh)?;
        self.say(format!(
            "After {took} each of the five nodes sees all five alive, and all hold the same view."
        ))?;
        let mut quiet = Quiet::default();
        let (states, took) = self.until("settling the links", start, fleet, |tool, fleet| {
            quiet.look(whole_mesh(tool, fleet)?)
        })?;
        self.say(format!(
            "After {took} the links between them have not changed for a second:"
        ))?;
        self.screen.line("")?;
        let mut table = Table::new(&["node", "process", "sees alive", "links", "view"]);
        for (status, daemon) in states.iter().zip(fleet.daemons()) {
            table.row(vec![
                TableCell::new(&status.node.id).paint(Paint::Bold),
                TableCell::number(daemon.pid().unwrap_or_default()),
                TableCell::number(status.members.alive),
                TableCell::number(status.links.len()),
                TableCell::new(&status.hash).paint(Paint::Dim),
            ]);
        }
        self.screen.table(&table)?;
        self.screen.line("")?;
        if let Some(status) = states.first() {
            self.say(format!("The links are secured by {}.", status.encryption))?;
        }
        let providers = self.providers(fleet)?;
        self.say(format!(
            "Providers of {SERVICE} according to {}: {}.",
            name(fleet, WITNESS),
            providers.join(", ")
        ))
    }

    fn loses(&mut self, fleet: &mut Fleet, watching: &RunningWatch) -> Result<(), CommandError> {
        let (victim, witness) = (name(fleet, VICTIM), name(fleet, WITNESS));
        self.title(&format!("{victim} crashes"))?;
        let pid = fleet.daemons()[VICTIM].pid().unwrap_or_default();
        self.say(format!(
            "Process {pid} is killed by SIGKILL, so it cannot announce that it leaves."
        ))?;
        let start = Instant::now();
        fleet.daemon(VICTIM).kill()?;
        let (_, took) = self.until("detecting the failure", start, fleet, |tool, fleet| {
            for index in (0..NODES).filter(|index| *index != VICTIM) {
                let status = peer(tool, fleet, index, VICTIM)?.map(|peer| peer.status);
                if status.as_deref() != Some("down") {
                    let status = status.unwrap_or_else(|| "unknown".to_owned());
                    return Ok(Err(format!("{} reports {status}", name(fleet, index))));
                }
            }
            Ok(Ok(()))
        })?;
        self.tell(watching, &witness, &victim, start)?;
        self.say(format!(
            "After {took} all four other nodes report {victim} as down."
        ))?;
        let providers = self.providers(fleet)?;
        self.say(format!(
            "Providers of {SERVICE} according to {witness}: {}.",
            providers.join(", ")
        ))
    }

    fn regains(&mut self, fleet: &mut Fleet, watching: &RunningWatch) -> Result<(), CommandError> {
        let (victim, witness) = (name(fleet, VICTIM), name(fleet, WITNESS));
        self.title(&format!("{victim} returns"))?;
        let before = self.epoch(fleet)?;
        watching.forget();
        let start = Instant::now();
        fleet.daemon(VICTIM).start()?;
        let (_, took) = self.until("restoring the mesh", start, fleet, whole_mesh)?;
        self.tell(watching, &witness, &victim, start)?;
        let epoch = self.epoch(fleet)?;
        self.say(format!(
            "After {took} all five nodes hold the same view. {witness} knows {victim} with epoch {epoch}; it was {before} before the crash,"
        ))?;
        self.say("so a delayed message from before the crash cannot be mistaken for a current one.")
    }

    /// Returns the epoch that the witness knows of the victim; the epoch rises with each start of the victim.
    fn epoch(&self, fleet: &Fleet) -> Result<u64, CommandError> {
        let found = peer(&self.tool, fleet, WITNESS, VICTIM)?;
        let gone = || {
            CommandError::failed(format!(
                "{} is unknown to {}",
                name(fleet, VICTIM),
                name(fleet, WITNESS)
            ))
        };
        found.map(|peer| peer.epoch).ok_or_else(gone)
    }

    /// Prints the events of the witness about the victim since `start`.
    fn tell(
        &self,
        watching: &RunningWatch,
        witness: &str,
        victim: &str,
        start: Instant,
    ) -> Result<(), CommandError> {
        for (at, event) in watching.about(victim) {
            let after =
                u64::try_from(at.saturating_duration_since(start).as_millis()).unwrap_or(u64::MAX);
            self.say(format!(
                "{:>7}  {witness} reports {}: {}",
                span(after),
                event.kind,
                event.text
            ))?;
        }
        Ok(())
    }

    fn providers(&self, fleet: &Fleet) -> Result<Vec<String>, CommandError> {
        let answer: Services = self.tool.ask(fleet, WITNESS, &["services", SERVICE])?;
        Ok(answer
            .services
            .into_iter()
            .flat_map(|service| service.providers)
            .collect())
    }

    /// Prints what the simulated nodes see before, during and after the partition.
    fn instants(&self, partition: &Path) -> Result<(), CommandError> {
        let mut table = Table::new(&[
            "virtual time",
            "alive members per node",
            "down",
            "distinct views",
        ]);
        for instant in INSTANTS {
            let views = self.tool.views(partition, instant)?;
            let hashes: BTreeSet<&String> =
                views.iter().filter_map(|view| view.hash.as_ref()).collect();
            table.row(vec![
                TableCell::new(*instant),
                TableCell::number(range(views.iter().map(|view| view.many("alive")))),
                TableCell::number(range(views.iter().map(|view| view.many("down")))),
                TableCell::number(hashes.len()),
            ]);
        }
        self.screen.table(&table)?;
        self.screen.line("")
    }

    fn simulation(&mut self, partition: &Path) -> Result<(), CommandError> {
        self.title("A simulated partition")?;
        let story = self.tool.story(partition)?;
        for line in wrapped(&story, 100) {
            self.say(line)?;
        }
        self.screen.line("")?;
        self.instants(partition)?;
        let runs = self.tool.simulate(partition)?;
        let mut table = Table::new(&[
            "engine", "nodes", "outcome", "virtual", "real", "events", "messages",
        ]);
        for run in &runs {
            let paint = if run.outcome == "pass" {
                Paint::Good
            } else {
                Paint::Bad
            };
            table.row(vec![
                TableCell::new(&run.engine).paint(Paint::Bold),
                TableCell::number(run.nodes),
                TableCell::new(&run.outcome).paint(paint),
                TableCell::number(span(run.virtual_ms)),
                TableCell::number(span(run.wall_ms)),
                TableCell::number(run.events),
                TableCell::number(run.messages),
            ]);
        }
        self.screen.table(&table)?;
        self.screen.line("")?;
        let [model, wire] = runs.as_slice() else {
            return Err(CommandError::failed(format!(
                "expected two runs, got {}",
                runs.len()
            )));
        };
        if let Some(failure) = runs.iter().flat_map(|run| &run.failures).next() {
            return Err(CommandError::failed(format!(
                "partition-heals failed: {failure}"
            )));
        }
        self.say(format!(
            "The model engine ran the protocol logic only: {} nodes, {} events, hash {}.",
            model.nodes, model.events, model.trace_hash
        ))?;
        self.say(format!(
            "The wire engine ran the daemon's own network code, TLS included, on a simulated network: {}.",
            count(usize::try_from(wire.messages).unwrap_or(usize::MAX), "message")
        ))?;
        if wire.same_state_as_model != Some(true) {
            return Err(CommandError::failed(
                "the two engines did not end in the same state",
            ));
        }
        self.say(
            "Both runs met every expectation of the scenario and ended in the same state on every node.",
        )?;
        self.say("The same seed gives the same run on every machine. Edit the file and try:")?;
        self.say(format!(
            "phalanx sim run {} --seed 1..100",
            partition.display()
        ))
    }
}

/// Formats numbers as a range: the common value, or the lowest and the highest.
fn range(numbers: impl Iterator<Item = usize> + Clone) -> String {
    match (numbers.clone().min(), numbers.max()) {
        (Some(low), Some(high)) if low != high => format!("{low} to {high}"),
        (_, high) => high.unwrap_or(0).to_string(),
    }
}

/// Detects that the links have not changed for a while.
#[derive(Default)]
struct Quiet {
    since: Option<Instant>,
    links: Vec<Vec<String>>,
}

impl Quiet {
    /// Returns the states once the links have not changed for [`QUIET_FOR`].
    fn look(
        &mut self,
        states: Looked<Vec<StatusReply>>,
    ) -> Result<Looked<Vec<StatusReply>>, CommandError> {
        let states = match states {
            Ok(states) => states,
            Err(lacks) => return Ok(Err(lacks)),
        };
        let links_of =
            |status: &StatusReply| status.links.iter().map(|link| link.peer.clone()).collect();
        let links: Vec<Vec<String>> = states.iter().map(links_of).collect();
        if links != self.links {
            self.links = links;
            self.since = Some(Instant::now());
        }
        let quiet = self.since.is_some_and(|since| since.elapsed() >= QUIET_FOR);
        Ok(if quiet {
            Ok(states)
        } else {
            Err("links still change".to_owned())
        })
    }
}

fn name(fleet: &Fleet, index: usize) -> String {
    fleet.daemons()[index].name().to_owned()
}

/// Returns the status of every node once each node sees all others alive and all nodes have equal views.
fn whole_mesh(tool: &ToolPath, fleet: &Fleet) -> Result<Looked<Vec<StatusReply>>, CommandError> {
    let mut states: Vec<StatusReply> = Vec::new();
    for index in 0..NODES {
        let status: StatusReply = tool.ask(fleet, index, &["status"])?;
        let (id, seen) = (&status.node.id, &status.members);
        if usize::try_from(seen.alive) != Ok(NODES) || seen.suspect + seen.down > 0 {
            return Ok(Err(format!(
                "{id} sees {} alive, {} suspect, {} down",
                seen.alive, seen.suspect, seen.down
            )));
        }
        if states
            .first()
            .is_some_and(|first| first.hash != status.hash)
        {
            return Ok(Err(format!(
                "{id} does not hold the same view as {}",
                states[0].node.id
            )));
        }
        states.push(status);
    }
    Ok(Ok(states))
}

/// Returns whether the witness has a watcher.
fn watched(tool: &ToolPath, fleet: &Fleet) -> Result<Looked<()>, CommandError> {
    let status: StatusReply = tool.ask(fleet, WITNESS, &["status"])?;
    Ok(if status.watchers > 0 {
        Ok(())
    } else {
        Err(format!("{} has no watcher", status.node.id))
    })
}

/// Returns one member as another member sees it.
fn peer(
    tool: &ToolPath,
    fleet: &Fleet,
    viewer: usize,
    whom: usize,
) -> Result<Option<KnownMember>, CommandError> {
    let answer: Peers = tool.ask(fleet, viewer, &["peers"])?;
    let id = name(fleet, whom);
    Ok(answer.peers.into_iter().find(|peer| peer.id == id))
}

/// Wraps words into lines of at most `width` characters.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last().map_or(0, String::len);
        if line > 0 && line + 1 + word.len() > width {
            lines.push(word.to_owned());
        } else if let Some(last) = lines.last_mut() {
            if line > 0 {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn lines_are_wrapped_between_words() {
        assert_eq!(
            wrapped("one two  three\nfour", 9),
            ["one two", "three", "four"]
        );
        assert_eq!(wrapped("", 9), [""]);
    }
}
