//! What a file says in the words of the system that it is about: conditions on its state, conditions and commands
//! of its own.

use super::action::{Action, NodeAction};
use super::conditions::{Bound, Condition};
use super::error::{ScenarioError, Source};
use super::file::{AgreeTable, CommandTable, HoldsTable, StateTable, Text};
use super::names::Names;
use super::suggestion::suggestion;
use super::value::with;
use super::vocabulary::{Vocabulary, Words};
use serde_json::Value;

pub(crate) fn state(
    source: &Source<'_>,
    names: &Names,
    at: usize,
    table: &StateTable,
) -> Result<Condition, ScenarioError> {
    let count = match (table.min, table.max) {
        (None, None) => None,
        (min, max) => {
            let bound = Bound {
                min: min.unwrap_or(0).into(),
                max: max.map_or(u64::MAX, u64::from),
            };
            if bound.min > bound.max {
                return Err(source.error(at, "state", "`min` is above `max`"));
            }
            Some(bound)
        }
    };
    Ok(Condition::State {
        who: names.or_all(source, at, table.who.as_ref())?,
        key: table.key.get_ref().clone(),
        is: table.is.clone(),
        count,
    })
}

pub(crate) fn agree(
    source: &Source<'_>,
    names: &Names,
    at: usize,
    table: &AgreeTable,
) -> Result<Condition, ScenarioError> {
    Ok(Condition::Agree {
        who: names.or_all(source, at, table.who.as_ref())?,
        key: table.key.as_ref().map(|key| key.get_ref().clone()),
    })
}

pub(crate) fn holds(
    source: &Source<'_>,
    names: &Names,
    at: usize,
    table: &HoldsTable,
) -> Result<Condition, ScenarioError> {
    let own = source.vocabulary.every(|words| &words.conditions);
    let own: Vec<_> = own.filter(|word| !BUILT_IN.contains(word)).collect();
    let name = known(source, "condition", &own, &table.name)?;
    check(source, |words| &words.conditions, &table.name, &table.with)?;
    Ok(Condition::Own {
        name: name.to_owned(),
        who: names.or_all(source, at, table.who.as_ref())?,
        with: table.with.clone(),
    })
}

pub(crate) fn command(
    source: &Source<'_>,
    names: &Names,
    table: &CommandTable,
) -> Result<Action, ScenarioError> {
    let words: Vec<_> = source.vocabulary.every(|words| &words.commands).collect();
    let name = known(source, "command", &words, &table.name)?;
    check(source, |words| &words.commands, &table.name, &table.with)?;
    let action = NodeAction::Command {
        name: name.to_owned(),
        with: table.with.clone(),
    };
    let who = with(source, &table.who, |word| names.processes(word))?;
    Ok(Action::Nodes(who, action))
}

/// Has the programs that know a word check its arguments.
fn check(
    source: &Source<'_>,
    kind: impl Fn(&Words) -> &[&'static str],
    name: &Text,
    given: &Value,
) -> Result<(), ScenarioError> {
    let word = name.get_ref().as_str();
    let programs = source.vocabulary.programs.iter();
    let mut checks = programs
        .filter(|words| kind(words).contains(&word))
        .filter_map(|words| words.check);
    checks
        .try_for_each(|check| check(word, given))
        .map_err(|why| source.error(name.span().start, "with", why))
}

/// Conditions that have a key of their own in files, and that a system may leave out.
const BUILT_IN: [&str; 5] = ["sees", "members", "providers", "links", "phase"];

/// The word of the system that a text is.
pub(crate) fn known(
    source: &Source<'_>,
    what: &str,
    words: &[&'static str],
    text: &Text,
) -> Result<&'static str, ScenarioError> {
    with(source, text, |word| {
        let found = words.iter().find(|known| **known == word);
        found.copied().ok_or_else(|| {
            let system = source.vocabulary.name;
            if words.is_empty() {
                return format!("{system} has no {what} of its own");
            }
            let near = suggestion(word, words.iter().copied());
            format!("`{word}` is no {what} of {system}{near}")
        })
    })
}

/// Checks that the system can judge a condition.
pub(crate) fn judged(vocabulary: &Vocabulary, condition: &Condition) -> Result<(), String> {
    let word = match condition {
        Condition::Sees(..) => "sees",
        Condition::Members(..) => "members",
        Condition::Providers(..) => "providers",
        Condition::Links(..) => "links",
        Condition::Phase(..) => "phase",
        Condition::Converged
        | Condition::Event(..)
        | Condition::State { .. }
        | Condition::Agree { .. }
        | Condition::Own { .. } => return Ok(()),
    };
    let own: Vec<_> = vocabulary.every(|words| &words.conditions).collect();
    if own.contains(&word) {
        return Ok(());
    }
    let (system, own) = (vocabulary.name, own.join(", "));
    let own = if own.is_empty() {
        "nothing of its own".to_owned()
    } else {
        own
    };
    Err(format!(
        "cannot be judged of {system}; it has converged, event, state, agree, and {own}"
    ))
}
