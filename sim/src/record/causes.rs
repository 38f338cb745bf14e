//! Follows causes back: from an event to the fault or start at the beginning of its chain.

use super::fault::{Band, FaultSubject};
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

/// An event in a chain of causes, with the wakes before it that are folded into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CauseLink {
    /// The event; of several wakes the last.
    pub event: RecordedEvent,
    /// Number of consecutive wakes of one process that the link stands for; 1 for any other event.
    pub times: u32,
    /// The time of the first of them, in nanoseconds.
    pub since: u64,
}

/// Returns the causes of an event, the earliest first and the event last; at most `max`, the latest
/// ones.
///
/// Consecutive wakes of one process that report nothing are one link.
#[must_use]
pub fn chain(recording: &Recording<'_>, event: u64, max: usize) -> Vec<CauseLink> {
    let is_quiet_wake = |event: &RecordedEvent| {
        event.kind == "wake" && recording.reports_of(event.number).is_empty()
    };
    let mut chain: Vec<CauseLink> = Vec::new();
    let mut next = recording.event(event);
    while let Some(event) = next {
        next = recording.event(event.cause);
        let process = (event.host, event.program);
        let is_full = chain.len() == max;
        match chain.last_mut() {
            Some(link)
                if is_quiet_wake(&event)
                    && is_quiet_wake(&link.event)
                    && (link.event.host, link.event.program) == process =>
            {
                link.times += 1;
                link.since = event.at;
            }
            _ if is_full => break,
            _ => chain.push(CauseLink {
                event,
                times: 1,
                since: event.at,
            }),
        }
    }
    chain.reverse();
    chain
}

/// Formats a link of a chain as one line.
#[must_use]
pub fn describe_link(recording: &Recording<'_>, link: &CauseLink) -> String {
    let line = describe(recording, &link.event);
    if link.times == 1 {
        return line;
    }
    let since = text::show(Duration::from_nanos(link.since));
    let woke = format!("woke {} times since {since}", link.times);
    line.replacen("wake", &woke, 1)
}

/// Formats an event as one line.
#[must_use]
pub fn describe(recording: &Recording<'_>, event: &RecordedEvent) -> String {
    let at = text::show(Duration::from_nanos(event.at));
    let mut line = format!("{at} #{}", event.number);
    let Some(host) = event.host else {
        let bands = recording.bands(u64::MAX);
        let begins = bands.iter().find(|band| band.event == event.number);
        // The action that ends a fault has the word of its step.
        let ends = || {
            let mut bands = bands.iter();
            bands.find(|band| band.to == event.at && band.fault.word == event.kind)
        };
        let nodes = |band: &Band| super::fault::few(recording.scenario(), &band.fault.hosts);
        let of = |band: &Band| match band.fault.text.as_str() {
            "" => nodes(band),
            // The sides of a cut are its nodes.
            text if matches!(band.fault.subject, FaultSubject::Cut(_)) => text.to_owned(),
            text => format!("{} {text}", nodes(band)),
        };
        let subject = begins
            .map(of)
            .or_else(|| Some(format!("{} ends", of(ends()?))));
        // Writing to a string cannot fail.
        let _ = write!(
            line,
            " the plan: {} {}",
            event.kind,
            subject.unwrap_or_default()
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
