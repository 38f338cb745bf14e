//! The reports that an expectation counts, looked up in a recording.

use crate::finding::{CountedReports, seconds};
use crate::record::{Event, RecordedReport, Recording};

/// The counted reports of a failed expectation.
pub(super) struct Counted {
    pub(super) lines: Vec<String>,
    /// The report in excess, or the latest one of too few.
    pub(super) event: Option<u64>,
}

impl Counted {
    pub(super) fn of(recording: &Recording<'_>, query: &CountedReports) -> Self {
        let hosts = &recording.scenario().hosts;
        let all = recording.reports().iter();
        let same_word = all.filter(|report| report.word == query.word);
        let reports: Vec<(&RecordedReport, Event)> = same_word
            .filter_map(|report| Some((report, recording.event(report.event)?)))
            .collect();
        let about = |report: &RecordedReport| {
            query.about.as_ref().is_none_or(|wanted| {
                let id = report.about.map(|host| &hosts[host].id);
                wanted.iter().any(|host| Some(&hosts[*host].id) == id)
            })
        };
        let fits = |(report, event): &&(&RecordedReport, Event)| {
            about(report) && event.host.is_some_and(|host| query.by.contains(&host))
        };
        let (from, to) = query.window;
        let inside = |(_, event): &&(&RecordedReport, Event)| from <= event.at && event.at <= to;
        let counted: Vec<_> = reports.iter().filter(fits).filter(inside).collect();
        let show = |(report, event): &(&RecordedReport, Event)| line(recording, report, event);
        if let Some(excess) = query.excess {
            let place = (excess as usize).saturating_sub(1);
            let Some(found) = counted.get(place) else {
                return Self {
                    lines: Vec::new(),
                    event: None,
                };
            };
            let lines = vec![format!(
                "report {excess}, the first in excess: {}",
                show(found)
            )];
            // A counter's own finding names the report.
            let lines = if from == to { Vec::new() } else { lines };
            return Self {
                lines,
                event: Some(found.1.number),
            };
        }
        let mut lines = Vec::new();
        let last = counted.last();
        match last {
            Some(_) if from == to => {}
            Some(last) => {
                let count = counted.len();
                lines.push(format!(
                    "the last of {count} counted reports: {}",
                    show(last)
                ));
            }
            None => {
                let (from, to) = (seconds(from), seconds(to));
                lines.push(format!(
                    "no report of {} counts from {from} to {to}",
                    query.word
                ));
                let near = reports
                    .iter()
                    .filter(fits)
                    .rfind(|it| it.1.at < query.window.0);
                let other = || reports.iter().rfind(|it| !fits(it));
                match (near, other()) {
                    (Some(near), _) => lines.push(format!("the last one before: {}", show(near))),
                    (None, Some(other)) => {
                        lines.push(format!("one of other nodes: {}", show(other)));
                    }
                    (None, None) => {
                        lines.push(format!("no node reported {} in this run", query.word));
                    }
                }
            }
        }
        Self {
            lines,
            event: last.map(|(_, event)| event.number),
        }
    }
}

fn line(recording: &Recording<'_>, report: &RecordedReport, event: &Event) -> String {
    let hosts = &recording.scenario().hosts;
    let by = event.host.map_or_else(String::new, |host| {
        recording.process_name(host, event.program)
    });
    let about = report
        .about
        .map_or_else(String::new, |about| format!(" {}", hosts[about].name));
    let at = seconds(event.at);
    format!(
        "{by} reports {}{about} at {at}, #{}",
        report.word, event.number
    )
}
