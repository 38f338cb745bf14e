//! A small run as text: the messages between nodes and their effects, as an introduction to the
//! protocol.
//!
//! Faults, starts, links, reported events, and messages that changed the receiver's view are shown
//! line by line; all other events are counted.

use super::fault::FaultPhase;
use super::{RecordedEvent, Recording};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Returns the lines of a run.
#[must_use]
pub fn lines(recording: &Recording<'_>, seed: u64) -> Vec<String> {
    let scenario = recording.scenario();
    let name = |host: usize| scenario.hosts[host].name.as_str();
    let bands = recording.bands(u64::MAX);
    let mut lines = vec![
        format!(
            "{} with seed {seed}: messages and their effects",
            scenario.name
        ),
        String::new(),
    ];
    let mut digests = vec![0; scenario.hosts.len()];
    let mut counted: BTreeMap<&str, u64> = BTreeMap::new();
    for event in recording.events() {
        let Some(host) = event.host else {
            // The end of a fault is part of its band; an action without an effect is omitted.
            if let Some(band) = bands.iter().find(|band| band.event == event.number) {
                let fault = &band.fault;
                let whom = super::fault::few(scenario, &fault.hosts);
                let text = match (fault.text.is_empty(), fault.turn) {
                    (true, _) => whom,
                    (false, FaultPhase::Once | FaultPhase::Lasts(_)) => {
                        format!("{whom} {}", fault.text)
                    }
                    (false, FaultPhase::Begins | FaultPhase::Ends) => fault.text.clone(),
                };
                flush(&mut lines, &mut counted);
                lines.push(format!("{} == {} {text}", at(event.at), fault.word));
            } else if bands.iter().any(|band| band.to == event.at) {
                flush(&mut lines, &mut counted);
                lines.push(format!("{} == {}", at(event.at), event.kind));
            }
            continue;
        };
        let news = digests[host] != event.digest;
        digests[host] = event.digest;
        let reports = recording.reports_of(event.number);
        if !news && reports.is_empty() && !matters(&event) {
            *counted.entry(event.kind).or_default() += 1;
            continue;
        }
        flush(&mut lines, &mut counted);
        let what = match recording.sending(&event) {
            Some((from, sent)) => {
                let from = recording.process_name(from, sent.program);
                format!("<- {from:<10} {} ({} B)", event.kind, event.size)
            }
            None => event.kind.to_owned(),
        };
        let change = if news { "  *" } else { "" };
        let process = recording.process_name(host, event.program);
        lines.push(format!("{} {process:<10} {what}{change}", at(event.at)));
        for report in reports {
            let about = report.about.map_or("", name);
            let said = format!("{:>13}{process:<10} reports {} {about}", "", report.word);
            lines.push(said.trim_end().to_owned());
        }
    }
    flush(&mut lines, &mut counted);
    lines
}

/// Returns whether an event is shown even if it changed nothing.
fn matters(event: &RecordedEvent) -> bool {
    matches!(
        event.kind,
        "start" | "hello" | "welcome" | "refuse" | "goodbye" | "closed" | "leave" | "announce"
    )
}

/// Formats seconds with microseconds, aligned.
fn at(nanos: u64) -> String {
    let micros = nanos / 1_000;
    format!("{:>5}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// Writes the counts of the omitted events.
fn flush(lines: &mut Vec<String>, counted: &mut BTreeMap<&str, u64>) {
    if counted.is_empty() {
        return;
    }
    let mut line = format!("{:>13}", "");
    for (position, (kind, count)) in std::mem::take(counted).into_iter().enumerate() {
        let comma = if position == 0 { "… " } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(line, "{comma}{count} {kind}");
    }
    lines.push(line);
}
