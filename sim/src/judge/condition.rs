//! Evaluates conditions at one instant.

use crate::scenario::{Bound, Condition, Selector};
use crate::world::{Scene, value};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Whether a condition holds; `events` is the number of matching events so far.
///
/// # Errors
/// The error is the reason why the condition does not hold.
pub(super) fn holds(scene: &Scene<'_>, condition: &Condition, events: u32) -> Result<(), String> {
    match condition {
        Condition::Converged => converged(scene),
        Condition::Event(word, _, _, min) => {
            if events >= *min {
                return Ok(());
            }
            Err(format!("{word} was reported {events} times"))
        }
        Condition::State {
            who,
            key,
            is,
            count,
        } => state(scene, who, key, is, *count),
        Condition::Agree { who, key } => scene.agree(scene.observers(who)?, key.as_deref()),
        Condition::Own(own) => scene.holds(own),
    }
}

/// Whether a process participates, and all programs have settled.
///
/// # Errors
/// The first process or property that has not settled, or that no process participates.
pub(super) fn converged(scene: &Scene<'_>) -> Result<(), String> {
    match scene.nodes().next() {
        Some(_) => scene.settled(),
        None => Err("no node runs".to_owned()),
    }
}

/// Whether the processes that a condition is about are unambiguous.
///
/// # Errors
/// The error names the programs that the condition may refer to.
pub(super) fn is_unambiguous(scene: &Scene<'_>, condition: &Condition) -> Result<(), String> {
    match condition {
        Condition::State { who, key, .. } => scene.is_unambiguous(who, Some(key)),
        Condition::Agree { who, key } => scene.is_unambiguous(who, key.as_deref()),
        Condition::Converged | Condition::Event(..) | Condition::Own(_) => Ok(()),
    }
}

/// Like `holds`, but returns no reason. Events are compared without building a text.
pub(super) fn is_so(scene: &Scene<'_>, condition: &Condition, events: u32) -> bool {
    if let Condition::Event(_, _, _, min) = condition {
        return events >= *min;
    }
    holds(scene, condition, events).is_ok()
}

/// Whether the state of the processes chosen by `who` has this value under this key: on all hosts, or, with `count`, on
/// a number of hosts within `count`.
fn state(
    scene: &Scene<'_>,
    who: &Selector,
    key: &str,
    is: &Value,
    count: Option<Bound>,
) -> Result<(), String> {
    let Some(bound) = count else {
        // The value of a host is that of a process whose state has the key; null if no process has it.
        let mut held: BTreeMap<usize, Value> = BTreeMap::new();
        for (host, view) in scene.observers(who)? {
            let found = value(&view.state(), key);
            let held = held.entry(host).or_default();
            if !found.is_null() {
                *held = found;
            }
        }
        return match held.into_iter().find(|(_, found)| found != is) {
            Some((host, found)) => Err(format!("`{key}` is {found} at {}", scene.name(host))),
            None => Ok(()),
        };
    };
    let observers = scene.observers(who).unwrap_or_default().into_iter();
    let fitting = observers.filter(|(_, view)| value(&view.state(), key) == *is);
    let fitting: BTreeSet<usize> = fitting.map(|(host, _)| host).collect();
    let names: Vec<&str> = fitting.iter().map(|host| scene.name(*host)).collect();
    if bound.holds(names.len() as u64) {
        return Ok(());
    }
    let who = if names.is_empty() {
        "nobody".to_owned()
    } else {
        names.join(", ")
    };
    Err(format!("`{key}` is {is} at {} nodes: {who}", names.len()))
}
