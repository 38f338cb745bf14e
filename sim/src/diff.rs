//! Where two runs part: the first event that differs, and what differs between two states of a node.

use crate::model::HostState;
use crate::record::{Line, Reader, TraceError};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::io::BufRead;

/// The first event in which two traces differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The events before it, the same in both; the latest last.
    pub before: Vec<Line<'static>>,
    /// In the first trace; none if it ended.
    pub left: Option<Line<'static>>,
    /// In the second trace; none if it ended.
    pub right: Option<Line<'static>>,
}

impl Divergence {
    /// The number of the event.
    #[must_use]
    pub fn event(&self) -> u64 {
        let line = self.left.as_ref().or(self.right.as_ref());
        line.map_or(0, |line| line.event)
    }
}

/// The first event in which two traces differ, with `context` events before it; none if they are equal.
///
/// # Errors
/// When one of them cannot be read.
pub fn first_difference<L: BufRead, R: BufRead>(
    left: &mut Reader<L>,
    right: &mut Reader<R>,
    context: usize,
) -> Result<Option<Divergence>, TraceError> {
    let mut before = VecDeque::new();
    loop {
        let (one, two) = (left.next_line()?, right.next_line()?);
        if one != two {
            return Ok(Some(Divergence {
                before: before.into(),
                left: one,
                right: two,
            }));
        }
        let Some(line) = one else { return Ok(None) };
        before.push_back(line);
        if before.len() > context {
            before.pop_front();
        }
    }
}

/// Something that differs between two states of a node.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Change {
    /// What: `phase`, `member n3`, `agent.version`.
    pub what: String,
    /// In the first state; none if it is not there.
    pub before: Option<String>,
    /// In the second state; none if it is not there.
    pub after: Option<String>,
}

/// What differs between two states of a host or of a process on it.
#[must_use]
pub fn changes<S: Compared>(before: &S, after: &S) -> Vec<Change> {
    let (before, after) = (before.facts(), after.facts());
    let mut changes = Vec::new();
    for what in before
        .keys()
        .chain(after.keys().filter(|key| !before.contains_key(*key)))
    {
        let (one, two) = (before.get(what), after.get(what));
        if one != two {
            changes.push(Change {
                what: what.clone(),
                before: one.cloned(),
                after: two.cloned(),
            });
        }
    }
    changes
}

/// A state that can be compared with another of its kind.
pub trait Compared {
    /// The state as facts by name.
    fn facts(&self) -> BTreeMap<String, String>;
}

/// The processes of a host: each value of each state under its path, behind the name of the program.
impl Compared for HostState {
    fn facts(&self) -> BTreeMap<String, String> {
        let mut facts = BTreeMap::new();
        for process in &self.processes {
            let program = process.program;
            let running = if process.state.is_some() {
                "running"
            } else {
                "stopped"
            };
            facts.insert(program.to_owned(), running.to_owned());
            if let Some(state) = &process.state {
                flatten(program, state, &mut facts);
            }
        }
        facts
    }
}

/// Adds the plain values of a state, each under its path.
fn flatten(path: &str, state: &Value, facts: &mut BTreeMap<String, String>) {
    match state {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                flatten(&format!("{path}.{key}"), value, facts);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for (index, value) in list.iter().enumerate() {
                flatten(&format!("{path}.{index}"), value, facts);
            }
        }
        Value::String(text) => {
            facts.insert(path.to_owned(), text.clone());
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            facts.insert(path.to_owned(), state.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::{MESH, node_state};
    use crate::model::Replay;
    use crate::record::{Header, Writer};
    use crate::scenario::{Engine, Scenario};
    use crate::{Options, run};
    use core::time::Duration;

    fn load(name: &str) -> Scenario {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
        Scenario::load(&folder.join(name)).unwrap()
    }

    fn trace(scenario: &Scenario, seed: u64) -> Vec<u8> {
        let mut text = Vec::new();
        let header = Header::of(scenario, seed, Engine::Model, &[]);
        let plan = scenario.plan(seed).unwrap();
        let mut writer = Writer::new(&mut text, scenario, plan, &header);
        let options = Options {
            recorder: Some(&mut writer),
            ..Options::default()
        };
        run(&MESH, scenario, seed, options).unwrap();
        writer.finish().unwrap();
        text
    }

    fn compare(left: &[u8], right: &[u8]) -> Option<Divergence> {
        let mut left = Reader::new("left", left).unwrap();
        let mut right = Reader::new("right", right).unwrap();
        first_difference(&mut left, &mut right, 3).unwrap()
    }

    #[test]
    fn equal_traces_do_not_differ_and_others_differ_where_they_were_changed() {
        let scenario = load("two-nodes.toml");
        let whole = trace(&scenario, 4);
        assert_eq!(compare(&whole, &whole), None);
        let text = String::from_utf8(whole.clone()).unwrap();
        let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
        // Line 0 is the header: line 50 is event 50.
        lines[50] = lines[50].replace("\"digest\":\"", "\"digest\":\"f00");
        let found = compare(&whole, lines.join("\n").as_bytes()).unwrap();
        assert_eq!((found.event(), found.before.len()), (50, 3));
        assert_eq!(found.before.last().unwrap().event, 49);
        let shorter = lines[..30].join("\n");
        let found = compare(&whole, shorter.as_bytes()).unwrap();
        assert!(found.left.is_some() && found.right.is_none());
        assert_eq!(found.event(), 30);
        assert!(
            compare(&whole, &trace(&scenario, 5)).is_some(),
            "other seeds are other runs"
        );
    }

    #[test]
    fn states_differ_in_what_happened_between_them() {
        let scenario = load("two-nodes.toml");
        let plan = scenario.plan(1).unwrap();
        let mut replay = Replay::new(&MESH, &scenario, &plan, &[]).unwrap();
        replay.to_instant(Duration::from_secs(4));
        let (before, event) = (node_state(&replay, 0), replay.event());
        assert_eq!(changes(&before, &before), []);
        replay.to_instant(Duration::from_secs(20));
        let found = changes(&before, &node_state(&replay, 0));
        let member = found
            .iter()
            .find(|change| change.what == "member n2")
            .unwrap();
        assert!(
            member.before.as_ref().unwrap().starts_with("alive"),
            "{found:?}"
        );
        assert!(
            member.after.as_ref().unwrap().starts_with("down"),
            "{found:?}"
        );
        assert!(
            found
                .iter()
                .any(|change| change.what == "link to n2" && change.after.is_none())
        );

        let mut again = Replay::new(&MESH, &scenario, &plan, &[]).unwrap();
        assert!(again.to_event(event, plan.end));
        assert_eq!(again.event(), event);
        assert_eq!(changes(&before, &node_state(&again, 0)), []);
        assert!(!again.to_event(1_000_000_000, plan.end));
    }
}
