//! The first event in which two runs differ, and the differences between two states of a node.

use crate::record::{Line, TraceError, TraceReader};
use std::collections::{BTreeMap, VecDeque};
use std::io::BufRead;

/// The first event in which two traces differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The events before the difference, equal in both traces; the latest is last.
    pub before: Vec<Line<'static>>,
    /// The event in the first trace; `None` if the trace ended.
    pub left: Option<Line<'static>>,
    /// The event in the second trace; `None` if the trace ended.
    pub right: Option<Line<'static>>,
}

impl Divergence {
    /// Returns the number of the event.
    #[must_use]
    pub fn event(&self) -> u64 {
        let line = self.left.as_ref().or(self.right.as_ref());
        line.map_or(0, |line| line.event)
    }
}

/// Returns the first event in which two traces differ, with `context` events before it; `None` if
/// the traces are equal.
///
/// # Errors
/// Returns an error if one of the traces cannot be read.
pub fn first_difference<L: BufRead, R: BufRead>(
    left: &mut TraceReader<L>,
    right: &mut TraceReader<R>,
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

/// A difference between two states of a node.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct StateChange {
    /// The name of the fact: `phase`, `member n3`, `link to n2`.
    pub what: String,
    /// The value in the first state; `None` if the first state lacks the fact.
    pub before: Option<String>,
    /// The value in the second state; `None` if the second state lacks the fact.
    pub after: Option<String>,
}

/// Returns the differences between two sets of facts, in the order of their names.
#[must_use]
pub fn differences(before: &StateFacts, after: &StateFacts) -> Vec<StateChange> {
    let mut changes = Vec::new();
    for what in before
        .keys()
        .chain(after.keys().filter(|key| !before.contains_key(*key)))
    {
        let (one, two) = (before.get(what), after.get(what));
        if one != two {
            changes.push(StateChange {
                what: what.clone(),
                before: one.cloned(),
                after: two.cloned(),
            });
        }
    }
    changes
}

/// Facts by name.
pub type StateFacts = BTreeMap<String, String>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::{MESH, facts, node_state};
    use crate::record::{Header, Writer};
    use crate::replay::Replay;
    use crate::scenario::{Engine, Scenario};
    use crate::{RunOptions, run};
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
        let options = RunOptions {
            recorder: Some(&mut writer),
            ..RunOptions::default()
        };
        run(&MESH, scenario, seed, options).unwrap();
        writer.finish().unwrap();
        text
    }

    fn compare(left: &[u8], right: &[u8]) -> Option<Divergence> {
        let mut left = TraceReader::new("left", left).unwrap();
        let mut right = TraceReader::new("right", right).unwrap();
        first_difference(&mut left, &mut right, 3).unwrap()
    }

    #[test]
    fn traces_differ_at_the_first_changed_event() {
        let scenario = load("two-nodes.toml");
        let whole = trace(&scenario, 4);
        assert_eq!(compare(&whole, &whole), None);
        let text = String::from_utf8(whole.clone()).unwrap();
        let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
        // Line 0 of the trace is its header, so line 50 holds event 50.
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
            "different seeds give different runs"
        );
    }

    #[test]
    fn states_differ_by_the_events_between_them() {
        let scenario = load("two-nodes.toml");
        let plan = scenario.plan(1).unwrap();
        let mut replay = Replay::new(&MESH, &scenario, &plan, &[]).unwrap();
        replay.to_instant(Duration::from_secs(4));
        let (before, event) = (facts(&node_state(&replay, 0)), replay.event());
        assert_eq!(differences(&before, &before), []);
        replay.to_instant(Duration::from_secs(20));
        let found = differences(&before, &facts(&node_state(&replay, 0)));
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
        let again_there = facts(&node_state(&again, 0));
        assert_eq!(differences(&before, &again_there), []);
        assert!(!again.to_event(1_000_000_000, plan.end));
    }
}
