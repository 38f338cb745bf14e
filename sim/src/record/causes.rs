//! Follows causes back: from an event to the fault or start at the beginning of its chain.

use super::recording::{RecordedEvent, Recording};
use crate::scenario::text;
use crate::verdict::Failure;
use core::fmt::Write as _;
use core::time::Duration;

/// Returns the event that best explains a failure: the latest event before the failure in which a
/// process reported the event that the expectation names; otherwise the latest one that changed a
/// view. The node is the first one named in the failure, or any node if it names none.
#[must_use]
pub fn culprit(recording: &Recording<'_>, failure: &Failure) -> Option<u64> {
    let hosts = &recording.scenario().hosts;
    let named = failure
        .why
        .split(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.')))
        .find_map(|word| hosts.iter().position(|host| host.name == word));
    // Checks happen after all events of a millisecond.
    let until = (failure.at_ms + 1) * 1_000_000;
    let reports = recording.reports().iter().rev();
    let said = reports
        .filter(|report| failure.expectation.contains(report.word))
        .filter_map(|report| recording.event(report.event))
        .find(|event| event.at <= until && (named.is_none() || event.host == named));
    said.or_else(|| latest_change(recording, until, named))
        .map(|event| event.number)
}

/// Returns the latest step up to an instant that changed the view of a node, or of any node.
#[must_use]
pub fn latest_change(
    recording: &Recording<'_>,
    until: u64,
    host: Option<usize>,
) -> Option<RecordedEvent> {
    // The earliest step found so far with the same digest, for each node.
    let mut after: Vec<Option<RecordedEvent>> = vec![None; recording.scenario().hosts.len()];
    for event in recording.events().rev() {
        let Some(of) = event.host else { continue };
        if event.at > until || host.is_some_and(|host| host != of) {
            continue;
        }
        if let Some(after) = after[of].filter(|after| after.digest != event.digest) {
            return Some(after);
        }
        after[of] = Some(event);
    }
    after.into_iter().flatten().max_by_key(|event| event.number)
}

/// Returns the causes of an event, the earliest first and the event last; at most `max`, the latest
/// ones.
///
/// Timers of a node that only set the next timer are skipped.
#[must_use]
pub fn chain(recording: &Recording<'_>, event: u64, max: usize) -> Vec<RecordedEvent> {
    let mut chain: Vec<RecordedEvent> = Vec::new();
    let mut next = recording.event(event);
    while let Some(event) = next.filter(|_| chain.len() < max) {
        next = recording.event(event.cause);
        let same_host =
            |other: Option<&RecordedEvent>| other.is_some_and(|other| other.host == event.host);
        let idle = event.kind == "wake"
            && next.is_some_and(|cause| cause.digest == event.digest)
            && recording.reports_of(event.number).is_empty();
        if !(idle && same_host(chain.last()) && same_host(next.as_ref())) {
            chain.push(event);
        }
    }
    chain.reverse();
    chain
}

/// Formats an event as one line.
#[must_use]
pub fn describe(recording: &Recording<'_>, event: &RecordedEvent) -> String {
    let at = text::show(Duration::from_nanos(event.at));
    let mut line = format!("{at} #{}", event.number);
    let Some(host) = event.host else {
        let bands = recording.bands(u64::MAX);
        let whom = bands
            .iter()
            .find(|band| band.event == event.number)
            .map(|band| super::fault::few(recording.scenario(), &band.fault.hosts));
        // Writing to a string cannot fail.
        let _ = write!(
            line,
            " the plan: {} {}",
            event.kind,
            whom.unwrap_or_default()
        );
        return line.trim_end().to_owned();
    };
    let process = recording.process_name(host, event.program);
    let _ = match recording.sending(event) {
        Some((from, sent)) => write!(
            line,
            " {process} received {} ({} B) from {}",
            event.kind,
            event.size,
            recording.process_name(from, sent.program)
        ),
        None => write!(line, " {process} {}", event.kind),
    };
    // Each word appears once, with all nodes it concerns, because one step can report the same
    // event about many nodes.
    let mut said: Vec<(&str, Vec<usize>)> = Vec::new();
    for report in recording.reports_of(event.number) {
        match said.iter_mut().find(|(word, _)| *word == report.word) {
            Some((_, of)) => of.extend(report.about),
            None => said.push((report.word, report.about.into_iter().collect())),
        }
    }
    for (word, of) in said {
        let of = super::fault::few(recording.scenario(), &of);
        let _ = write!(line, "; reports {word} {of}");
        line.truncate(line.trim_end().len());
    }
    line
}
