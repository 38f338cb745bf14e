//! The faults and steps that the page names above the lanes.

use crate::record::Recording;
use crate::record::fault::{self, FaultPhase, few, together};

/// Maximum number of faults drawn individually.
pub(super) const BANDS_MAX: usize = 3_000;

/// A fault.
#[derive(Debug, serde::Serialize)]
pub(super) struct DrawnFault {
    word: &'static str,
    text: String,
    line: Option<usize>,
    /// In microseconds.
    from: u64,
    /// In microseconds.
    to: u64,
    /// The affected hosts; all hosts if empty.
    hosts: Vec<usize>,
    /// Whether the step is instantaneous.
    once: bool,
}

/// Returns the faults of a run that ended at `end` (nanoseconds). The drift of a clock lasts until the next step sets
/// the drift of the same clocks; drifts from the start are faults without a line.
pub(super) fn bands(recording: &Recording<'_>, end: u64) -> Vec<DrawnFault> {
    let scenario = recording.scenario();
    let merged = together(recording.bands(end));
    let drift_ends = |index: usize, band: &fault::Band| {
        let mut later = merged[index + 1..].iter();
        let same = |other: &&fault::Band| {
            other.fault.drift_ppm.is_some() && other.fault.hosts == band.fault.hosts
        };
        later.find(same).map_or(end, |other| other.from)
    };
    let mut drifts: Vec<DrawnFault> = initial_drifts(recording, &merged, end);
    let steps = merged.iter().enumerate().map(|(index, band)| {
        let drifts = band.fault.drift_ppm.is_some_and(|ppm| ppm != 0);
        let to = if drifts {
            drift_ends(index, band)
        } else {
            band.to
        };
        let nodes = few(scenario, &band.fault.hosts);
        DrawnFault {
            word: band.fault.word,
            text: match band.fault.text.as_str() {
                "" => nodes,
                text if band.fault.word == "clock" => format!("{nodes} {text}"),
                text => text.to_owned(),
            },
            line: band.fault.line,
            from: band.from / 1_000,
            to: to / 1_000,
            hosts: if band.fault.hosts.len() == scenario.hosts.len() {
                Vec::new()
            } else {
                band.fault.hosts.clone()
            },
            once: band.fault.turn == FaultPhase::Once && !drifts,
        }
    });
    drifts.extend(steps);
    drifts.truncate(BANDS_MAX);
    drifts
}

/// Returns the drifts that clocks have from the start, one band for the hosts of each drift.
fn initial_drifts(recording: &Recording<'_>, bands: &[fault::Band], end: u64) -> Vec<DrawnFault> {
    let hosts = &recording.scenario().hosts;
    let mut by_drift: std::collections::BTreeMap<(i32, u64), Vec<usize>> =
        std::collections::BTreeMap::new();
    for (index, host) in hosts.iter().enumerate() {
        let ppm = host.clock.drift_ppm;
        let mut changes = bands.iter();
        let change =
            changes.find(|it| it.fault.drift_ppm.is_some() && it.fault.hosts.contains(&index));
        if ppm != 0 {
            let until = change.map_or(end, |change| change.from);
            by_drift.entry((ppm, until)).or_default().push(index);
        }
    }
    // Scenarios that draw a drift for each host would fill the page.
    let drifts = by_drift.into_iter().take(4);
    drifts
        .map(|((ppm, until), of)| DrawnFault {
            word: "clock",
            text: format!("{} drift {ppm:+} ppm", few(recording.scenario(), &of)),
            line: None,
            from: 0,
            to: until / 1_000,
            hosts: if of.len() == hosts.len() {
                Vec::new()
            } else {
                of
            },
            once: false,
        })
        .collect()
}
