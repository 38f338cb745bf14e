//! Conditions of the mesh that hold in every run, or in none, as far as a file tells.

use super::condition_words::Question;
use super::host_words::{parsed_services, services};
use super::step_words::{ANNOUNCE, FLAP};
use super::words::PROGRAM;
use crate::scenario::{
    Action, Certainty, Condition, NodeAction, OwnAction, Scenario, Selector, suggestion,
};
use phalanx_core::topology::record::Service;
use std::collections::BTreeSet;

/// Events of channels, and the commands without which they cannot occur.
const CAUSES: [(&[&str], &[&str]); 5] = [
    (
        &[
            "sent",
            "delivered",
            "undelivered",
            "received",
            "unknown-peer",
            "no-peer",
            "no-route",
            "relay-lost",
            "no-such-channel",
            "busy",
            "timed-out",
            "rerouted",
            "relay-failed",
            "dispatched",
        ],
        &["send"],
    ),
    (
        &["changed", "conflict", "written", "differs", "unchanged"],
        &["put", "delete", "cas"],
    ),
    (&["published", "broadcast-received"], &["publish"]),
    (&["opened"], &["open"]),
    (&["closed"], &["close"]),
];

/// Returns the certainty of a condition.
///
/// # Errors
/// The condition names a service that no node provides.
pub(super) fn certainty(condition: &Condition, scenario: &Scenario) -> Result<Certainty, String> {
    match condition {
        Condition::Event(word, ..) => Ok(event(word, scenario)),
        Condition::Own(own) if own.program == PROGRAM => {
            if let Some(why) = scenario.never_runs(&own.who) {
                return Ok(Certainty::Never(why));
            }
            match Question::of(own)? {
                Question::Sees(of, _) => Ok(sees(&own.who, of)),
                Question::Providers(name, version, _) => {
                    provided(scenario, name, version).map(|()| Certainty::Open)
                }
                Question::Members(..) | Question::Links(_) => Ok(Certainty::Open),
                Question::Phase(_) | Question::Channels(_) => Ok(Certainty::Open),
            }
        }
        Condition::Converged | Condition::Own(_) => Ok(Certainty::Open),
        Condition::State { .. } | Condition::Agree { .. } => Ok(Certainty::Open),
    }
}

/// The certainty of an event of channels.
fn event(word: &str, scenario: &Scenario) -> Certainty {
    let mut causes = CAUSES.iter();
    let Some((_, commands)) = causes.find(|(events, _)| events.contains(&word)) else {
        return Certainty::Open;
    };
    let mut steps = scenario.steps.iter();
    let given = steps.any(|step| {
        matches!(&step.action, Action::Nodes(_, NodeAction::Command { name, .. }) if commands.contains(&name.as_str()))
    });
    if given {
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

/// Checks that a node provides a service, from its start or by a step.
fn provided(scenario: &Scenario, name: &str, version: Option<&str>) -> Result<(), String> {
    let mut known: BTreeSet<Service> = scenario.hosts.iter().flat_map(services).collect();
    for step in &scenario.steps {
        if let Action::Nodes(
            _,
            NodeAction::Own(OwnAction {
                word, arguments, ..
            }),
        ) = &step.action
            && [ANNOUNCE, FLAP].contains(word)
        {
            let texts = arguments.texts("services").unwrap_or_default();
            let texts = texts.iter().map(String::as_str);
            known.extend(parsed_services(texts));
        }
    }
    let fits = |service: &Service| {
        service.name == name && version.is_none_or(|version| version == service.version)
    };
    if known.iter().any(fits) || scenario.chaos.is_some() && name == "chaos" {
        return Ok(());
    }
    let full = |service: &Service| format!("{}/{}", service.name, service.version);
    let names: Vec<String> = match version {
        Some(_) => known.iter().map(full).collect(),
        None => known.iter().map(|service| service.name.clone()).collect(),
    };
    let wanted = version.map_or_else(|| name.to_owned(), |version| format!("{name}/{version}"));
    let near = suggestion(&wanted, names.iter().map(String::as_str));
    Err(format!("no node provides the service `{wanted}`{near}"))
}
