//! Conditions of the mesh that hold in every run, or in none, as far as a file tells.

use super::event::causing_commands;
use super::host_words::{parsed_services, services};
use super::step_words::{ANNOUNCE, FLAP};
use crate::scenario::{Certainty, Selector, Story, UncertainClaim, suggestion};
use phalanx_core::topology::record::Service;
use std::collections::BTreeSet;

/// Returns the certainty of a condition.
///
/// # Errors
/// The condition names a service that no node provides.
pub(super) fn certainty(claim: UncertainClaim<'_>, story: &Story<'_>) -> Result<Certainty, String> {
    match claim {
        UncertainClaim::Event(word) => Ok(event(word, story)),
        UncertainClaim::Own {
            word,
            who,
            arguments: Some(arguments),
        } => {
            if let ("sees", Some(of)) = (word, arguments.who("of")) {
                return Ok(sees(who, of));
            }
            if let ("providers", Some(of)) = (word, arguments.text("of")) {
                provided(story, of)?;
            }
            Ok(Certainty::Open)
        }
        UncertainClaim::Own {
            arguments: None, ..
        } => Ok(Certainty::Open),
    }
}

/// The certainty of an event of channels.
fn event(word: &str, story: &Story<'_>) -> Certainty {
    let commands = causing_commands(word);
    let mut given = story.commands.iter();
    if commands.is_empty() || given.any(|name| commands.contains(name)) {
        return Certainty::Open;
    }
    Certainty::Never(format!(
        "`{word}` needs a command {}, and the file has none",
        commands.join(", ")
    ))
}

/// The certainty of a view: a node is not its own observer.
fn sees(who: &Selector, of: &Selector) -> Certainty {
    let (who, of) = (who.fixed(), of.fixed());
    if of.as_ref().is_some_and(Vec::is_empty) {
        return Certainty::Never("`of` names no node".to_owned());
    }
    match (who, of) {
        (Some(who), Some(of)) if who.len() == 1 && who == of => {
            Certainty::Never("a node does not observe itself".to_owned())
        }
        (Some(_), _) | (None, _) => Certainty::Open,
    }
}

/// Checks that a node provides a service (`name/version`, or `name` for any version), from its start or by a step.
fn provided(story: &Story<'_>, wanted: &str) -> Result<(), String> {
    let mut known: BTreeSet<Service> = story.hosts.iter().flat_map(services).collect();
    for step in &story.steps {
        if [ANNOUNCE, FLAP].contains(&step.word) {
            let texts = step.arguments.texts("services").unwrap_or_default();
            known.extend(parsed_services(texts.iter().map(String::as_str)));
        }
    }
    let full = |service: &Service| format!("{}/{}", service.name, service.version);
    let has_version = wanted.contains('/');
    let names: Vec<String> = match has_version {
        true => known.iter().map(full).collect(),
        false => known.iter().map(|service| service.name.clone()).collect(),
    };
    let of_chaos = wanted.split('/').next() == Some("chaos");
    if names.iter().any(|name| name == wanted) || story.has_chaos && of_chaos {
        return Ok(());
    }
    let near = suggestion(wanted, names.iter().map(String::as_str));
    Err(format!("no node provides the service `{wanted}`{near}"))
}
