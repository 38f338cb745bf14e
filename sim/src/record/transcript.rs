//! A small run as text: who told whom what, and what came of it. Read one before any code.
//!
//! Shown are faults, starts, links, everything that a node reported and every message after which its receiver's
//! view was another; the rest is counted.

use super::fault::Turn;
use super::{Event, Recording};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The lines of a run.
#[must_use]
pub fn lines(recording: &Recording<'_>, seed: u64) -> Vec<String> {
    let scenario = recording.scenario();
    let name = |host: usize| scenario.hosts[host].name.as_str();
    let bands = recording.bands(u64::MAX);
    let mut lines = vec![
        format!("{} with seed {seed}: who told whom what", scenario.name),
        String::new(),
    ];
    let mut digests = vec![0; scenario.hosts.len()];
    let mut counted: BTreeMap<&str, u64> = BTreeMap::new();
    for event in recording.events() {
        let Some(host) = event.host else {
            // Ends show in the bands' own lines; an order that changed nothing does not show.
            if let Some(band) = bands.iter().find(|band| band.event == event.number) {
                let fault = &band.fault;
                let whom = super::fault::few(scenario, &fault.hosts);
                let text = match (fault.text.is_empty(), fault.turn) {
                    (true, _) => whom,
                    (false, Turn::Once | Turn::Lasts(_)) => format!("{whom} {}", fault.text),
                    (false, Turn::Begins | Turn::Ends) => fault.text.clone(),
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
            let said = format!("{:>13}{process:<10} says {} {about}", "", report.word);
            lines.push(said.trim_end().to_owned());
        }
    }
    flush(&mut lines, &mut counted);
    lines
}

/// Whether an event is shown even if nothing came of it.
fn matters(event: &Event) -> bool {
    matches!(
        event.kind,
        "start" | "hello" | "welcome" | "refuse" | "goodbye" | "closed" | "leave" | "announce"
    )
}

/// Seconds to the microsecond, aligned.
fn at(nanos: u64) -> String {
    let micros = nanos / 1_000;
    format!("{:>5}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// Writes what was only counted.
fn flush(lines: &mut Vec<String>, counted: &mut BTreeMap<&str, u64>) {
    if counted.is_empty() {
        return;
    }
    let mut line = format!("{:>13}", "");
    for (position, (kind, count)) in std::mem::take(counted).into_iter().enumerate() {
        let comma = if position == 0 { "… " } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(line, "{comma}{count} {kind}");
    }
    lines.push(line);
}
