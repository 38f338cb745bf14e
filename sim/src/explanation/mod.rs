//! Explains a failure of a recorded run: the observer's state, the last message that the observer received from the
//! observed node, the faults between the two nodes, and the first item that is missing or in excess.
//!
//! The judge and the programs provide the nodes and the item ([`FailureFinding`]) when an expectation fails. A
//! recording provides messages, reports and faults; a replay up to the failure provides the changes of the observer's
//! knowledge.

#[cfg(test)]
mod beacons;
mod counted;
mod faults;
mod knowledge;
#[cfg(test)]
pub(crate) mod sample;
mod starts;
#[cfg(test)]
mod tests;

pub use faults::{Standing, StandingFault};
pub use knowledge::KnowledgeChange;
pub use starts::FailedStarts;

use crate::finding::{FailureFinding, seconds};
use crate::record::{Recording, causes};
use crate::verdict::Failure;
use crate::world::Definition;
use counted::Counted;
use knowledge::{FailureNodes, Watched};
use serde::Serialize;

/// Maximum number of events of a run that may be replayed for an explanation.
const REPLAYED_MAX: u64 = 5_000_000;

/// The explanation of one failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The node whose view or reports the failure concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observer: Option<String>,
    /// The node about which the observer knows something wrong or nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<String>,
    /// The nodes, items and timeouts that the judge and the programs found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<String>,
    /// The latest change of the observer's knowledge that a message of another node caused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<KnowledgeChange>,
    /// The latest change of the observer's knowledge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learnt: Option<KnowledgeChange>,
    /// The latest message from the observed node to the observer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heard: Option<Heard>,
    /// The number of messages from the observed node to the observer that a cut dropped or loss delayed after the
    /// latest message that arrived.
    #[serde(skip_serializing_if = "is_zero")]
    pub held: u64,
    /// The faults at the two nodes or between them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<StandingFault>,
    /// The starts of the nodes that failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed_starts: Vec<FailedStarts>,
    /// Further facts of the run, such as the timeouts that ended dials. `found` contains them too.
    #[serde(skip)]
    pub remarks: Vec<String>,
    /// The lasting properties by which the nodes, or the network between them, are worse than the default.
    #[serde(skip)]
    pub properties: Vec<String>,
    /// The explanation as text, one fact per line.
    pub lines: Vec<String>,
    /// The event whose causes lead to the failure.
    #[serde(skip)]
    pub event: Option<u64>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A message that arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Heard {
    /// The number of the event.
    pub event: u64,
    /// The time of its arrival, in nanoseconds.
    pub at: u64,
    /// The content of the message.
    pub message: &'static str,
    /// The encoded size in bytes.
    pub size: u32,
}

/// Explains each failure of a recorded run.
#[must_use]
pub fn explain(
    definition: &Definition,
    recording: &Recording<'_>,
    failures: &[Failure],
    sabotage: &[String],
) -> Vec<Explanation> {
    let subjects: Vec<FailureNodes> = failures.iter().map(|it| subject(recording, it)).collect();
    let watched = if recording.seen() <= REPLAYED_MAX {
        knowledge::watch(definition, recording, &subjects, sabotage)
    } else {
        vec![None; subjects.len()]
    };
    let all = failures.iter().zip(&subjects).zip(watched);
    all.map(|((failure, subject), watched)| explained(recording, failure, subject, watched))
        .collect()
}

/// Returns the nodes that a failure concerns: the nodes of its finding, or else the nodes that its reason names.
fn subject(recording: &Recording<'_>, failure: &Failure) -> FailureNodes {
    let until = (failure.at_ms + 1) * 1_000_000;
    let found = principal(failure);
    // A finding without text has only the nodes that the condition names, but the reason may name the first wrong node.
    let is_known =
        found.is_some_and(|it| !it.text.is_empty() || it.reports.is_some() || it.traffic.is_some());
    let mut named = if is_known {
        Vec::new()
    } else {
        named(recording, &failure.why)
    }
    .into_iter();
    let (observer, observed) = match named.next() {
        Some(observer) => (Some(observer), named.next()),
        None => (
            found.and_then(|it| it.observer),
            found.and_then(|it| it.observed),
        ),
    };
    FailureNodes {
        observer,
        observed,
        key: found.and_then(|it| it.key.clone()),
        until,
    }
}

/// Returns the hosts that a text names, in order.
fn named(recording: &Recording<'_>, text: &str) -> Vec<usize> {
    let hosts = &recording.scenario().hosts;
    let mut named = Vec::new();
    for word in text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))) {
        let word = word.trim_end_matches('.');
        if let Some(host) = hosts.iter().position(|host| host.name == word)
            && !named.contains(&host)
        {
            named.push(host);
        }
    }
    named
}

fn explained(
    recording: &Recording<'_>,
    failure: &Failure,
    subject: &FailureNodes,
    watched: Option<Watched>,
) -> Explanation {
    let name = |host: usize| recording.scenario().hosts[host].name.clone();
    let counted = failure
        .findings
        .iter()
        .find_map(|it| Some(Counted::of(recording, it.reports.as_ref()?)));
    let heard = subject
        .pair()
        .and_then(|pair| heard(recording, pair, subject.until));
    let traffic = failure.findings.iter().find_map(|it| it.traffic);
    let since = since(principal(failure), watched.as_ref(), heard.as_ref());
    let told = watched.as_ref().and_then(|it| it.told.clone());
    let learnt = watched.as_ref().and_then(|it| it.latest.clone());
    let mut explanation = Explanation {
        observer: subject.observer.map(name),
        observed: subject.observed.map(name),
        held: subject.pair().map_or(0, |pair| {
            held(
                recording,
                pair,
                heard.as_ref().map_or(0, |it| it.at),
                subject.until,
            )
        }),
        faults: faults::standing(recording, &subject.hosts(), since, subject.until),
        failed_starts: starts::failed(recording, &subject.hosts(), subject.until),
        ..Explanation::default()
    };
    let texts = failure.findings.iter().filter(|it| !it.is_remark);
    let texts = texts.map(|it| it.text.clone());
    explanation
        .found
        .extend(texts.filter(|text| !text.is_empty()));
    explanation
        .found
        .extend(counted.iter().flat_map(|it| it.lines.clone()));
    explanation
        .found
        .extend(traffic.and_then(|window| busiest(recording, window)));
    let counted = counted.and_then(|it| it.event);
    let learnt_event = learnt.as_ref().map(|it| it.event);
    let heard_event = heard.as_ref().map(|it| it.event);
    explanation.event = counted.or(learnt_event).or(heard_event);
    if explanation.event.is_none() && principal(failure).is_none() {
        explanation.event = causes::culprit(recording, failure);
    }
    explanation.told = told;
    (explanation.learnt, explanation.heard) = (learnt, heard);
    let is_watched = watched.is_some() && subject.observed.is_some();
    explanation.properties = faults::properties(recording.scenario(), &subject.hosts());
    explanation.lines = lines(recording, &explanation, subject, is_watched, since);
    let remarks = failure.findings.iter().filter(|it| it.is_remark);
    let remarks: Vec<String> = remarks.map(|it| it.text.clone()).collect();
    explanation.lines.extend(remarks.iter().cloned());
    explanation.found.extend(remarks.iter().cloned());
    explanation.remarks = remarks;
    explanation
}

/// Returns the finding that names the nodes of a failure: the first finding that is not a remark.
fn principal(failure: &Failure) -> Option<&FailureFinding> {
    failure.findings.iter().find(|it| !it.is_remark)
}

/// The time from which faults are relevant: the time of the item. Without an item: the earlier of the latest message
/// and [`Watched::since`].
fn since(found: Option<&FailureFinding>, watched: Option<&Watched>, heard: Option<&Heard>) -> u64 {
    let item = found.and_then(|it| it.since);
    let learnt = watched.map(Watched::since);
    let heard = heard.map(|it| it.at);
    match item {
        Some(item) => item,
        None => learnt.into_iter().chain(heard).min().unwrap_or(0),
    }
}

/// Returns the latest message from the second host to the first.
fn heard(recording: &Recording<'_>, (to, from): (usize, usize), until: u64) -> Option<Heard> {
    let mut events = recording.events().rev();
    let event = events.find(|event| {
        event.at <= until
            && event.host == Some(to)
            && recording
                .sending(event)
                .is_some_and(|(sender, _)| sender == from)
    })?;
    Some(Heard {
        event: event.number,
        at: event.at,
        message: event.kind,
        size: event.size,
    })
}

/// Counts the messages from the second host to the first that were dropped or delayed.
fn held(recording: &Recording<'_>, (to, from): (usize, usize), since: u64, until: u64) -> u64 {
    let held = recording.held().0.iter();
    let between =
        held.filter(|it| (it.from, it.to) == (from, to) && since <= it.at && it.at <= until);
    between.count() as u64
}

/// Returns the host that sent the most bytes in a time window, and the kind of message that contributed most.
fn busiest(recording: &Recording<'_>, (from, to): (u64, u64)) -> Option<String> {
    let mut sent: std::collections::BTreeMap<(usize, &str), (u64, u64)> = Default::default();
    for event in recording.events().filter(|it| from <= it.at && it.at <= to) {
        if let Some((sender, _)) = recording.sending(&event) {
            let (count, bytes) = sent.entry((sender, event.kind)).or_default();
            (*count, *bytes) = (*count + 1, *bytes + u64::from(event.size));
        }
    }
    let total = |host: usize| -> u64 {
        let of_host = sent.range((host, "")..(host + 1, ""));
        of_host.map(|(_, (_, bytes))| bytes).sum()
    };
    let host = (0..recording.scenario().hosts.len())
        .rev()
        .max_by_key(|host| total(*host))?;
    let of_host = sent.range((host, "")..(host + 1, ""));
    let ((_, kind), (count, bytes)) = of_host.max_by_key(|(_, (_, bytes))| *bytes)?;
    let name = &recording.scenario().hosts[host].name;
    Some(format!(
        "{name} sent most, {} B; most of it is {kind}: {bytes} B in {count} messages",
        total(host)
    ))
}

fn lines(
    recording: &Recording<'_>,
    explanation: &Explanation,
    subject: &FailureNodes,
    is_watched: bool,
    since: u64,
) -> Vec<String> {
    let mut lines = explanation.found.clone();
    let observer = explanation.observer.as_deref();
    match (&explanation.learnt, observer, &explanation.observed) {
        (Some(learnt), Some(observer), observed) => {
            let told = explanation.told.iter().filter(|told| *told != learnt);
            let changes = told.chain([learnt]);
            let key = subject.key.as_deref();
            lines.extend(changes.map(|it| it.line(observer, observed.as_deref(), key)));
        }
        (None, Some(observer), Some(observed)) if is_watched => {
            lines.push(format!("{observer} never had {observed} in its view"));
        }
        _ => {}
    }
    if let (Some(observer), Some(observed)) = (observer, &explanation.observed) {
        lines.push(match &explanation.heard {
            Some(heard) => format!(
                "{observer} last received a message from {observed} at {}: {} ({} B), #{}",
                seconds(heard.at),
                heard.message,
                heard.size,
                heard.event
            ),
            None => format!("no message from {observed} arrived at {observer}"),
        });
        if explanation.held > 0 {
            lines.push(format!(
                "messages from {observed} to {observer} dropped or delayed since: {}",
                explanation.held
            ));
        }
    }
    lines.extend(explanation.failed_starts.iter().map(FailedStarts::line));
    lines.extend(explanation.faults.iter().map(StandingFault::line));
    if explanation.faults.is_empty() && observer.is_some() && !explanation.lines_are_enough() {
        let place = if explanation.observed.is_some() {
            "between them"
        } else {
            "there"
        };
        lines.push(format!("no fault stands {place} since {}", seconds(since)));
        let elsewhere = faults::elsewhere(recording, subject.until);
        lines.extend(elsewhere.iter().map(StandingFault::line));
    }
    lines.extend(explanation.properties.iter().cloned());
    lines
}

impl Explanation {
    /// Whether no line is needed to state the absence of faults.
    const fn lines_are_enough(&self) -> bool {
        self.observed.is_none() && self.learnt.is_none()
    }
}
