//! The reports that an expectation counts, looked up in a recording.

use crate::finding::{CountedReports, seconds};
use crate::record::{RecordedEvent, RecordedReport, Recording};

/// The counted reports of a failed expectation.
pub(super) struct Counted {
    pub(super) lines: Vec<String>,
    /// The report in excess, or the latest report if there are too few.
    pub(super) event: Option<u64>,
}

/// A report with its step.
type Reported<'a> = (&'a RecordedReport, RecordedEvent);

impl Counted {
    pub(super) fn of(recording: &Recording<'_>, query: &CountedReports) -> Self {
        let same_word = recording
            .reports()
            .iter()
            .filter(|it| it.word == query.word);
        let reports: Vec<Reported<'_>> = same_word
            .filter_map(|report| Some((report, recording.event(report.event)?)))
            .collect();
        let fits = |report: &Reported<'_>| fits(recording, query, report);
        let (from, to) = query.window;
        let inside = |event: &RecordedEvent| from <= event.at && event.at <= to;
        let counted: Vec<&Reported<'_>> = reports
            .iter()
            .filter(|it| fits(it) && inside(&it.1))
            .collect();
        let shown = |(report, event): &Reported<'_>| line(recording, report, event);
        let (found, lines) = match (query.excess, counted.last()) {
            (Some(excess), _) => {
                let found = counted.get((excess as usize).saturating_sub(1));
                let text =
                    |found| format!("report {excess}, the first in excess: {}", shown(found));
                (found, found.map(|found| text(found)).into_iter().collect())
            }
            (None, Some(last)) => {
                let count = counted.len();
                let text = format!("the last of {count} counted reports: {}", shown(last));
                (Some(last), vec![text])
            }
            (None, None) => {
                let before = reports.iter().rfind(|it| fits(it) && it.1.at < from);
                let other = reports.iter().rfind(|it| !fits(it));
                let nearest = match (before, other) {
                    (Some(before), _) => format!("the last one before: {}", shown(before)),
                    (None, Some(other)) => format!("one of other nodes: {}", shown(other)),
                    (None, None) => format!("no node reported {} in this run", query.word),
                };
                let (from, to) = (seconds(from), seconds(to));
                let none = format!("no report of {} counts from {from} to {to}", query.word);
                (None, vec![none, nearest])
            }
        };
        Self {
            // The finding of a counter already names the report itself.
            lines: if from == to { Vec::new() } else { lines },
            event: found.map(|(_, event)| event.number),
        }
    }
}

/// Whether the expectation counts a report by this host about that host.
fn fits(recording: &Recording<'_>, query: &CountedReports, (report, event): &Reported<'_>) -> bool {
    let hosts = &recording.scenario().hosts;
    let about = query.about.as_ref().is_none_or(|wanted| {
        let id = report.about.map(|host| &hosts[host].id);
        wanted.iter().any(|host| Some(&hosts[*host].id) == id)
    });
    about && event.host.is_some_and(|host| query.by.contains(&host))
}

fn line(recording: &Recording<'_>, report: &RecordedReport, event: &RecordedEvent) -> String {
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
