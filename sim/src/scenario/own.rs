//! Reads the vocabulary of a system in a file: conditions on states, and the conditions and commands of its programs.

use super::action::{Action, NodeAction};
use super::conditions::{Bound, Condition, OwnArguments, OwnCondition};
use super::error::{ScenarioError, SourceText};
use super::file::{AgreeTable, CommandTable, HoldsTable, StateTable, Text};
use super::names::Names;
use super::suggestion::suggestion;
use super::value::{who_or_all, with};
use super::vocabulary::Words;
use super::words::with_article;
use serde_json::Value;

pub(crate) fn state(
    source: &SourceText<'_>,
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
    let who = who_or_all(source, names, at, table.who.as_ref())?;
    check_key(source, who.program(), &table.key)?;
    Ok(Condition::State {
        who,
        key: table.key.get_ref().clone(),
        is: table.is.clone(),
        count,
    })
}

pub(crate) fn agree(
    source: &SourceText<'_>,
    names: &Names,
    at: usize,
    table: &AgreeTable,
) -> Result<Condition, ScenarioError> {
    let who = who_or_all(source, names, at, table.who.as_ref())?;
    if let Some(key) = &table.key {
        check_key(source, who.program(), key)?;
    }
    Ok(Condition::Agree {
        who,
        key: table.key.as_ref().map(|key| key.get_ref().clone()),
    })
}

/// Checks that some program declares the first word of a key as part of its state. A program that declares no keys
/// accepts any key.
fn check_key(
    source: &SourceText<'_>,
    program: Option<&'static str>,
    key: &Text,
) -> Result<(), ScenarioError> {
    let programs = source.vocabulary.programs.iter();
    let programs = programs.filter(|words| program.is_none_or(|name| words.program == name));
    let programs: Vec<&Words> = programs.collect();
    if programs.iter().any(|words| words.state.is_empty()) {
        return Ok(());
    }
    let known: Vec<&str> = programs
        .iter()
        .flat_map(|words| words.state.iter().copied())
        .collect();
    with(source, key, |key| {
        let first = key.split('.').next().unwrap_or_default();
        if known.contains(&first) {
            return Ok(());
        }
        let near = suggestion(first, known.iter().copied());
        Err(format!("`{first}` is not a key of the state{near}"))
    })
}

pub(crate) fn holds(
    source: &SourceText<'_>,
    names: &Names,
    at: usize,
    table: &HoldsTable,
) -> Result<Condition, ScenarioError> {
    let own: Vec<_> = source.vocabulary.every(|words| &words.holds).collect();
    let word = known(source, "condition", &own, &table.name)?;
    let who = who_or_all(source, names, at, table.who.as_ref())?;
    let owners = owners(source, |words| &words.holds, &table.name, who.program())?;
    let [owner] = owners[..] else {
        let owners: Vec<&str> = owners.iter().map(|owner| owner.program).collect();
        let message = format!(
            "`{word}` is a condition of several programs: {}; name one in `who`, such as `all/{}`",
            owners.join(", "),
            owners[0]
        );
        return Err(source.error(table.name.span().start, "name", message));
    };
    check(source, &[owner], &table.name, &table.with)?;
    Ok(Condition::Own(OwnCondition {
        program: owner.program,
        word,
        who,
        said: OwnArguments::With(table.with.clone()),
    }))
}

pub(crate) fn command(
    source: &SourceText<'_>,
    names: &Names,
    table: &CommandTable,
) -> Result<Action, ScenarioError> {
    let words: Vec<_> = source.vocabulary.every(|words| &words.commands).collect();
    let name = known(source, "command", &words, &table.name)?;
    let who = with(source, &table.who, |word| names.processes(word))?;
    let owners = owners(source, |words| &words.commands, &table.name, who.program())?;
    check(source, &owners, &table.name, &table.with)?;
    let action = NodeAction::Command {
        name: name.to_owned(),
        with: table.with.clone(),
        refused: table.refused,
    };
    Ok(Action::Nodes(who, action))
}

/// Returns the programs that define a word; if the selector of nodes names a program, returns only this program.
fn owners<'a>(
    source: &SourceText<'a>,
    kind: impl Fn(&Words) -> &[&'static str],
    name: &Text,
    named: Option<&str>,
) -> Result<Vec<&'a Words>, ScenarioError> {
    let word = name.get_ref().as_str();
    let programs = source.vocabulary.programs.iter();
    let all: Vec<&Words> = programs
        .filter(|words| kind(words).contains(&word))
        .collect();
    let Some(named) = named else {
        return Ok(all);
    };
    if let Some(owner) = all.iter().find(|owner| owner.program == named) {
        return Ok(vec![owner]);
    }
    let all: Vec<&str> = all.iter().map(|owner| owner.program).collect();
    let all = all.join(", ");
    let message = format!("`{word}` is not a word of {named}, which `who` names, but of {all}");
    Err(source.error(name.span().start, "name", message))
}

/// Validates the arguments of a word with the programs that define it.
fn check(
    source: &SourceText<'_>,
    owners: &[&Words],
    name: &Text,
    given: &Value,
) -> Result<(), ScenarioError> {
    let mut checks = owners.iter().filter_map(|words| words.check);
    checks
        .try_for_each(|check| check(name.get_ref(), given))
        .map_err(|why| source.error(name.span().start, "with", why))
}

/// Returns the word of the system's vocabulary that equals a text.
pub(crate) fn known(
    source: &SourceText<'_>,
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
            format!("`{word}` is not {} of {system}{near}", with_article(what))
        })
    })
}
