//! The state of the hosts of a run, for any system: mesh nodes in detail, other processes as JSON.

use crate::failure::CommandError;
use crate::node;
use crate::screen::{Paint, Screen, Table, TableCell, span};
use phalanx_core::node::Node;
use phalanx_sim::diff::{StateChange, StateFacts, differences};
use phalanx_sim::mesh::{NodeState, PROGRAM, facts, node_state};
use phalanx_sim::replay::Replay;
use serde_json::{Value, json};
use std::time::Duration;

/// Maximum length of a state in a table of all hosts, in characters.
const SHOWN_MAX: usize = 100;

/// One host at one instant.
pub(crate) enum HostSnapshot {
    /// A host of a run in which every host runs only a mesh daemon.
    Node(NodeState),
    /// A host of any other run.
    Host(HostState),
}

/// The processes of one host.
pub(crate) struct HostState {
    name: String,
    at: Duration,
    processes: Vec<ProcessState>,
}

/// One process of a host.
struct ProcessState {
    program: &'static str,
    /// The digest and the state; `None` if the process does not run.
    running: Option<(u64, Value)>,
    /// The details of a mesh node.
    node: Option<NodeState>,
}

impl HostSnapshot {
    /// Returns the states of hosts at the position of a replay.
    pub(crate) fn all(replay: &Replay<'_>, hosts: impl Iterator<Item = usize>) -> Vec<Self> {
        let alone = |host| replay.processes(host).map(|it| it.0).eq([PROGRAM]);
        if (0..replay.scenario().hosts.len()).all(alone) {
            let nodes = hosts.map(|host| node_state(replay, host));
            return nodes.map(Self::Node).collect();
        }
        let hosts = hosts.map(|host| HostState::of(replay, host));
        hosts.map(Self::Host).collect()
    }

    /// Returns the state of one host at the position of a replay.
    pub(crate) fn of(replay: &Replay<'_>, host: usize) -> Self {
        let mut states = Self::all(replay, std::iter::once(host));
        states.remove(0)
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Node(node) => &node.name,
            Self::Host(host) => &host.name,
        }
    }

    pub(crate) fn at(&self) -> Duration {
        match self {
            Self::Node(node) => node.at,
            Self::Host(host) => host.at,
        }
    }

    pub(crate) fn as_value(&self) -> Value {
        match self {
            Self::Node(node) => node::as_value(node),
            Self::Host(host) => host.as_value(),
        }
    }

    fn facts(&self) -> StateFacts {
        match self {
            Self::Node(node) => facts(node),
            Self::Host(host) => host.facts(),
        }
    }
}

/// Returns the differences between two states of a host.
pub(crate) fn changes(before: &HostSnapshot, after: &HostSnapshot) -> Vec<StateChange> {
    differences(&before.facts(), &after.facts())
}

/// Prints the state of one host in full, or a table of several hosts.
pub(crate) fn show(screen: &Screen, states: &[HostSnapshot]) -> Result<(), CommandError> {
    match states {
        [HostSnapshot::Node(state)] => node::in_full(screen, state),
        [HostSnapshot::Host(state)] => state.in_full(screen),
        states => {
            let nodes: Option<Vec<&NodeState>> = states
                .iter()
                .map(|state| match state {
                    HostSnapshot::Node(node) => Some(node),
                    HostSnapshot::Host(_) => None,
                })
                .collect();
            match nodes {
                Some(nodes) => node::overview(screen, &nodes),
                None => overview(screen, states),
            }
        }
    }
}

fn overview(screen: &Screen, states: &[HostSnapshot]) -> Result<(), CommandError> {
    let mut table = Table::new(&["node", "program", "state"]);
    for state in states {
        let HostSnapshot::Host(host) = state else {
            continue;
        };
        for process in &host.processes {
            let text = match &process.running {
                Some((_, state)) => TableCell::new(shortened(&state.to_string())),
                None => TableCell::new("stopped").paint(Paint::Dim),
            };
            table.row(vec![
                TableCell::new(&host.name).paint(Paint::Bold),
                TableCell::new(process.program),
                text,
            ]);
        }
    }
    screen.table(&table)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl HostState {
    fn of(replay: &Replay<'_>, host: usize) -> Self {
        let processes = replay.processes(host).map(|(program, view)| ProcessState {
            program,
            running: view.map(|view| (view.digest(), view.state())),
            node: view
                .and_then(|view| view.of::<Node>())
                .map(|_| node_state(replay, host)),
        });
        Self {
            name: replay.scenario().hosts[host].name.clone(),
            at: replay.now(),
            processes: processes.collect(),
        }
    }

    fn as_value(&self) -> Value {
        let processes = self.processes.iter().map(|process| {
            let mut value =
                json!({ "program": process.program, "running": process.running.is_some() });
            if let Some((digest, state)) = &process.running {
                value["digest"] = format!("{digest:016x}").into();
                value["state"] = state.clone();
            }
            value
        });
        json!({
            "node": self.name,
            "at_ms": u64::try_from(self.at.as_millis()).unwrap_or(u64::MAX),
            "processes": processes.collect::<Vec<_>>(),
        })
    }

    fn facts(&self) -> StateFacts {
        let mut all = StateFacts::new();
        for process in &self.processes {
            let prefix = match self.processes.len() {
                1 => String::new(),
                _ => format!("{} ", process.program),
            };
            let own = process.facts().into_iter();
            all.extend(own.map(|(what, value)| (prefix.clone() + &what, value)));
        }
        all
    }

    fn in_full(&self, screen: &Screen) -> Result<(), CommandError> {
        let at = span(u64::try_from(self.at.as_millis()).unwrap_or(u64::MAX));
        for (index, process) in self.processes.iter().enumerate() {
            if index > 0 {
                screen.line("")?;
            }
            if let Some(node) = &process.node {
                node::in_full(screen, node)?;
                continue;
            }
            let (name, program) = (&self.name, process.program);
            if process.running.is_none() {
                screen.line(format!("{name}/{program} is not running at {at}"))?;
                continue;
            }
            screen.line(format!("{name}/{program} at {at}"))?;
            let facts = process.facts();
            let facts: Vec<(&str, TableCell)> = facts
                .iter()
                .map(|(what, value)| (what.as_str(), TableCell::new(value)))
                .collect();
            screen.facts(&facts)?;
        }
        Ok(())
    }
}

impl ProcessState {
    fn facts(&self) -> StateFacts {
        if let Some(node) = &self.node {
            return facts(node);
        }
        let Some((digest, state)) = &self.running else {
            return StateFacts::from([("process".to_owned(), "stopped".to_owned())]);
        };
        let mut facts = StateFacts::from([
            ("process".to_owned(), "running".to_owned()),
            ("digest".to_owned(), format!("{digest:016x}")),
        ]);
        leaves(&mut facts, "", state);
        facts
    }
}

/// Adds the leaf values of a state, with dots in their paths: `log.length`, `peers.0`.
fn leaves(facts: &mut StateFacts, path: &str, value: &Value) {
    let inner = |key: &str| match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    };
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                leaves(facts, &inner(key), value);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for (index, value) in list.iter().enumerate() {
                leaves(facts, &inner(&index.to_string()), value);
            }
        }
        Value::String(text) => {
            facts.insert(path.to_owned(), text.clone());
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            facts.insert(path.to_owned(), value.to_string());
        }
    }
}

/// Prints the changes between two states of a host, or the differences between two runs.
pub(crate) fn show_changes(
    screen: &Screen,
    name: &str,
    heads: [&'static str; 2],
    changes: &[StateChange],
) -> Result<(), CommandError> {
    if changes.is_empty() {
        return screen.line(format!("{name}: unchanged"));
    }
    screen.line(screen.painted(name, Paint::Bold))?;
    let mut table = Table::new(&["what", heads[0], heads[1]]);
    let cell = |text: &Option<String>| match text {
        Some(text) => TableCell::new(text),
        None => TableCell::new("none").paint(Paint::Dim),
    };
    for StateChange {
        what,
        before,
        after,
    } in changes
    {
        table.row(vec![TableCell::new(what), cell(before), cell(after)]);
    }
    screen.table(&table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_becomes_facts_by_the_paths_of_its_values() {
        let state =
            json!({ "role": "leader", "log": { "length": 2 }, "peers": [4, null], "none": [] });
        let process = ProcessState {
            program: "agent",
            running: Some((7, state)),
            node: None,
        };
        let host = HostState {
            name: "n1".to_owned(),
            at: Duration::ZERO,
            processes: vec![process],
        };
        let facts = host.facts();
        let value = |key: &str| facts.get(key).map(String::as_str);
        assert_eq!(value("role"), Some("leader"));
        assert_eq!(value("log.length"), Some("2"));
        assert_eq!(value("peers.1"), Some("null"));
        assert_eq!(value("none"), Some("[]"));
        assert_eq!(value("digest"), Some("0000000000000007"));
    }
}
