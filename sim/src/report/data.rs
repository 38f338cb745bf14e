//! The data that the page reads.

use super::bands::{BANDS_MAX, DrawnFault, bands};
use super::commands::Commands;
use super::detail::{MESSAGES_MAX, Messages, REPORTS_MAX, Reports};
use super::groupings::{Grouping, groupings};
use super::strip::{Colours, Strip};
use super::{Seed, ShownRun, SourceFile};
use crate::coverage::ProgramCoverage;
use crate::explanation::Explanation;
use crate::outcome::{ExpectationResult, Failure, StepEffect};
use crate::record::causes::{CauseLink, chain, describe_link, latest_change};
use crate::record::{EVENTS_MAX, Recording, VERSION};
use std::collections::{BTreeMap, BTreeSet};

/// Number of columns of the charts over time.
const COLUMNS: usize = 480;
/// Maximum number of causes shown.
const CAUSES_MAX: usize = 24;
/// Maximum number of seeds listed.
const SEEDS_MAX: usize = 2_000;

#[derive(Debug, serde::Serialize)]
pub(super) struct ReportData<'a> {
    about: &'a str,
    file: &'a str,
    file_hash: String,
    version: &'static str,
    scenario: &'a str,
    engine: String,
    seed: u64,
    passed: bool,
    trace_hash: &'a str,
    events: u64,
    messages_sent: u64,
    bytes: u64,
    overhead_bytes: u64,
    /// End of the run, in microseconds.
    end: u64,
    /// Time at which every fault is lifted, in microseconds.
    faults_end: u64,
    system: &'static str,
    commands: Commands,
    sources: &'a [SourceFile],
    nodes: Vec<&'a str>,
    /// The ways to group the lanes, the preferred one first.
    groupings: Vec<Grouping>,
    metrics: &'a BTreeMap<String, u64>,
    failures: &'a [Failure],
    /// The explanation of each failure.
    explained: &'a [Explanation],
    expected: &'a [ExpectationResult],
    effects: &'a [StepEffect],
    seeds: &'a [Seed],
    /// The coverage of all runs of the sweep, by program.
    coverage: &'a [ProgramCoverage],
    bands: Vec<DrawnFault>,
    /// The colours by membership.
    strip: Strip,
    /// The colours by the whole states, if they differ.
    states: Option<Strip>,
    traffic: Traffic,
    messages: Messages,
    reports: Reports,
    causes: Vec<Step>,
    /// Whether the causes are those of the first failure; otherwise of the last change of a view.
    causes_of_failure: bool,
    /// The parts of the run that the page omits.
    left_out: Vec<String>,
}

/// An event in the chain of causes.
#[derive(Debug, serde::Serialize)]
struct Step {
    event: u64,
    /// In microseconds.
    at: u64,
    node: Option<usize>,
    from: Option<usize>,
    /// In microseconds.
    sent: Option<u64>,
    text: String,
}

impl Step {
    fn of(recording: &Recording<'_>, link: &CauseLink) -> Self {
        let event = &link.event;
        let sending = recording.sending(event);
        Self {
            event: event.number,
            at: event.at / 1_000,
            node: event.host,
            from: sending.map(|(from, _)| from),
            sent: sending.map(|(_, sent)| sent.at / 1_000),
            text: describe_link(recording, link),
        }
    }
}

/// Traffic over time, and per node.
#[derive(Debug, Default, serde::Serialize)]
struct Traffic {
    messages: Vec<u64>,
    bytes: Vec<u64>,
    /// Number of messages dropped by a cut or delayed by loss.
    held: Vec<u64>,
    held_total: u64,
    /// Number of messages by sender.
    sent: Vec<u64>,
    /// Bytes by sender.
    sent_bytes: Vec<u64>,
    /// Number of messages by receiver.
    took: Vec<u64>,
}

impl<'a> ReportData<'a> {
    pub(super) fn of(shown: &ShownRun<'a>) -> Self {
        let ShownRun {
            recording,
            outcome,
            explained,
            seeds,
            coverage,
            ..
        } = *shown;
        let scenario = recording.scenario();
        let end = outcome.virtual_ms.max(1) * 1_000_000;
        let all = outcome.failures.iter().enumerate();
        let failure = all.min_by_key(|(_, failure)| failure.at_ms);
        let last = match failure {
            Some((index, _)) => explained.get(index).and_then(|it| it.event),
            None => latest_change(recording, u64::MAX, None).map(|event| event.number),
        };
        let causes = last.map_or_else(Vec::new, |last| chain(recording, last, CAUSES_MAX));
        let always: BTreeSet<u64> = causes.iter().map(|link| link.event.number).collect();
        let mut data = Self {
            about: &scenario.about,
            file: &scenario.file,
            file_hash: format!("{:016x}", scenario.hash),
            version: VERSION,
            scenario: &outcome.scenario,
            engine: outcome.engine.to_string(),
            seed: outcome.seed,
            passed: outcome.failures.is_empty(),
            trace_hash: &outcome.trace_hash,
            events: outcome.events,
            messages_sent: outcome.messages,
            bytes: outcome.bytes,
            overhead_bytes: outcome.overhead_bytes,
            end: end / 1_000,
            faults_end: u64::try_from(recording.plan().faults_end.as_micros()).unwrap_or(u64::MAX),
            system: shown.definition.name,
            commands: Commands::of(shown, causes.last().map(|link| link.event.at)),
            sources: shown.sources,
            groupings: groupings(recording),
            nodes: scenario
                .hosts
                .iter()
                .map(|host| host.name.as_str())
                .collect(),
            metrics: &outcome.metrics,
            failures: &outcome.failures,
            explained,
            expected: &outcome.expected,
            effects: &outcome.effects,
            seeds: &seeds[..seeds.len().min(SEEDS_MAX)],
            coverage,
            bands: bands(recording, end),
            strip: Strip::of(recording, end, COLUMNS, Colours::Membership),
            states: recording
                .has_data()
                .then(|| Strip::of(recording, end, COLUMNS, Colours::States)),
            traffic: Traffic::of(recording, end),
            messages: Messages::of(recording, &always),
            reports: Reports::of(recording),
            causes: causes
                .iter()
                .map(|link| Step::of(recording, link))
                .collect(),
            causes_of_failure: failure.is_some(),
            left_out: Vec::new(),
        };
        data.left_out = data.omissions(recording, seeds.len());
        data
    }

    fn omissions(&self, recording: &Recording<'_>, seeds: usize) -> Vec<String> {
        let mut left_out = Vec::new();
        if self.messages.event.len() < usize::try_from(self.messages.total).unwrap_or(usize::MAX) {
            left_out.push(format!(
                "{} of {} messages can be drawn as lines (at most {MESSAGES_MAX}): sampled evenly, three quarters of them \
                 messages that changed the view of the receiver. All counts and charts are complete.",
                self.messages.event.len(),
                self.messages.total
            ));
        }
        let reports: u64 = self.reports.totals.values().sum();
        if self.reports.event.len() < usize::try_from(reports).unwrap_or(usize::MAX) {
            left_out.push(format!(
                "{} of {reports} reports of nodes are marked (at most {REPORTS_MAX}): all rare ones, and an even sample of \
                 the frequent ones.",
                self.reports.event.len()
            ));
        }
        if let Some(column) = self.strip.column {
            left_out.push(format!(
                "Lanes show the last state in each interval of {} ms; shorter states are not drawn.",
                column / 1_000
            ));
        }
        if seeds > SEEDS_MAX {
            left_out.push(format!("The first {SEEDS_MAX} of {seeds} seeds are shown."));
        }
        if self.bands.len() == BANDS_MAX {
            left_out.push(format!("The first {BANDS_MAX} faults and steps are drawn."));
        }
        if recording.seen() > recording.len() as u64 {
            left_out.push(format!(
                "Only the first {EVENTS_MAX} of {} events are shown.",
                recording.seen()
            ));
        }
        left_out
    }
}

impl Traffic {
    fn of(recording: &Recording<'_>, end: u64) -> Self {
        let hosts = recording.scenario().hosts.len();
        let mut traffic = Self {
            messages: vec![0; COLUMNS],
            bytes: vec![0; COLUMNS],
            held: vec![0; COLUMNS],
            held_total: recording.held().1,
            sent: vec![0; hosts],
            sent_bytes: vec![0; hosts],
            took: vec![0; hosts],
        };
        let column = |at: u64| {
            let column = u128::from(at) * COLUMNS as u128 / u128::from(end);
            usize::try_from(column).unwrap_or(COLUMNS).min(COLUMNS - 1)
        };
        for event in recording.events() {
            let (Some(host), Some((from, _))) = (event.host, recording.sending(&event)) else {
                continue;
            };
            traffic.messages[column(event.at)] += 1;
            traffic.bytes[column(event.at)] += u64::from(event.size);
            traffic.sent[from] += 1;
            traffic.sent_bytes[from] += u64::from(event.size);
            traffic.took[host] += 1;
        }
        for held in recording.held().0 {
            traffic.held[column(held.at)] += 1;
        }
        traffic
    }
}
