//! The changes in an observer's knowledge of another node, or in a value of the observer's state, found by a replay.

use crate::finding::seconds;
use crate::record::Recording;
use crate::replay::Replay;
use crate::scenario::Scenario;
use crate::world::{Definition, value};
use core::time::Duration;
use serde::Serialize;

/// The nodes that a failure concerns.
#[derive(Clone, Debug)]
pub(super) struct FailureNodes {
    pub(super) observer: Option<usize>,
    pub(super) observed: Option<usize>,
    /// The key in the state of the observer.
    pub(super) key: Option<String>,
    /// The time of the failure, in nanoseconds.
    pub(super) until: u64,
}

impl FailureNodes {
    /// The observer and the observed node.
    pub(super) fn pair(&self) -> Option<(usize, usize)> {
        self.observer.zip(self.observed)
    }

    pub(super) fn hosts(&self) -> Vec<usize> {
        self.observer.into_iter().chain(self.observed).collect()
    }

    /// Whether the observer's knowledge of a node or a value can be watched.
    const fn is_watchable(&self) -> bool {
        self.observer.is_some() && (self.observed.is_some() || self.key.is_some())
    }
}

/// A change in the knowledge of an observer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KnowledgeChange {
    /// The number of the event.
    pub event: u64,
    /// The time in nanoseconds.
    pub at: u64,
    /// The event: the content of a message, or the kind of another step.
    pub step: String,
    /// The sender of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The knowledge before the event; `None` if there was none.
    pub before: Option<String>,
    /// The knowledge after the event; `None` if there is none.
    pub after: Option<String>,
}

impl KnowledgeChange {
    /// Formats the change as one line.
    pub(super) fn line(&self, observer: &str, observed: Option<&str>, key: Option<&str>) -> String {
        let none = || "nothing".to_owned();
        let (at, event) = (seconds(self.at), self.event);
        let after = self.after.clone().unwrap_or_else(none);
        let before = self.before.clone().unwrap_or_else(none);
        let step = match &self.from {
            Some(from) => format!("{} from {from}", self.step),
            None => format!("its own {}", self.step),
        };
        let change = match (key, observed, &self.from) {
            (Some(key), _, _) => format!("`{key}` of {observer} changed"),
            (None, Some(observed), Some(_)) => format!("{observer} heard of {observed}"),
            (None, Some(observed), None) => format!("{observer} changed its view of {observed}"),
            (None, None, _) => format!("{observer} changed"),
        };
        format!("{change} at {at}, by {step} (#{event}): {after}; before: {before}")
    }
}

/// The changes of the knowledge of one observer.
#[derive(Clone, Debug, Default)]
pub(super) struct Watched {
    /// The latest change.
    pub(super) latest: Option<KnowledgeChange>,
    /// The latest change that a message of another node caused.
    pub(super) told: Option<KnowledgeChange>,
    /// The times of the two changes before the latest one, in nanoseconds, the later first.
    before: [Option<u64>; 2],
}

impl Watched {
    fn add(&mut self, learnt: KnowledgeChange) {
        if learnt.from.is_some() {
            self.told = Some(learnt.clone());
        }
        let before = self.latest.replace(learnt).map(|before| before.at);
        self.before = [before, self.before[0]];
    }

    /// The time of the second change before the latest one; the observer may have held the right state since then.
    pub(super) fn since(&self) -> u64 {
        self.before[1].unwrap_or(0)
    }
}

/// Replays a run, and returns for each subject the changes of its observer's knowledge; `None` if a subject has no
/// observer, or if its system does not provide such knowledge.
pub(super) fn watch(
    definition: &Definition,
    recording: &Recording<'_>,
    subjects: &[FailureNodes],
    sabotage: &[String],
) -> Vec<Option<Watched>> {
    let mut found = vec![None; subjects.len()];
    let watchable = subjects.iter().filter(|subject| subject.is_watchable());
    let Some(end) = watchable.map(|subject| subject.until).max() else {
        return found;
    };
    let scenario = recording.scenario();
    let Ok(mut replay) = Replay::new(definition, scenario, recording.plan(), sabotage) else {
        return found;
    };
    let mut held: Vec<Option<String>> = vec![None; subjects.len()];
    while let Some(line) = replay.next_event(Duration::from_nanos(end)) {
        let Some(event) = recording.event(line.event) else {
            break;
        };
        for (index, subject) in subjects.iter().enumerate() {
            let ours = event.host.is_some() && event.host == subject.observer;
            if !ours || !subject.is_watchable() || event.at > subject.until {
                continue;
            }
            let now = knowledge(&replay, scenario, subject);
            let watched = found[index].get_or_insert_with(Watched::default);
            if now == held[index] {
                continue;
            }
            let step = if event.kind == "wake" {
                "timer"
            } else {
                event.kind
            };
            let learnt = KnowledgeChange {
                event: event.number,
                at: event.at,
                step: step.to_owned(),
                from: line.from.as_ref().map(|from| from.clone().into_owned()),
                before: std::mem::replace(&mut held[index], now.clone()),
                after: now,
            };
            watched.add(learnt);
        }
    }
    // A system that never provides knowledge must not look like one whose observers know nothing.
    for (watched, subject) in found.iter_mut().zip(subjects) {
        let nothing = watched.as_ref().is_some_and(|it| it.latest.is_none());
        if nothing && !provides_knowledge(&replay, scenario, subject) {
            *watched = None;
        }
    }
    found
}

/// Returns the knowledge of the observer's processes at the present time of a replay.
fn knowledge(replay: &Replay<'_>, scenario: &Scenario, subject: &FailureNodes) -> Option<String> {
    let mut views = replay
        .processes(subject.observer?)
        .filter_map(|(_, view)| view);
    match (&subject.key, subject.observed) {
        (Some(key), _) => views.find_map(|view| {
            let found = value(&view.state(), key);
            (!found.is_null()).then(|| found.to_string())
        }),
        (None, Some(observed)) => {
            views.find_map(|view| view.knows_of(&scenario.hosts[observed].id))
        }
        (None, None) => None,
    }
}

/// Returns whether a process of the observer knows any host.
fn provides_knowledge(replay: &Replay<'_>, scenario: &Scenario, subject: &FailureNodes) -> bool {
    let Some(observer) = subject.observer else {
        return false;
    };
    let mut views = replay.processes(observer).filter_map(|(_, view)| view);
    subject.key.is_some()
        || views.any(|view| {
            scenario
                .hosts
                .iter()
                .any(|host| view.knows_of(&host.id).is_some())
        })
}
