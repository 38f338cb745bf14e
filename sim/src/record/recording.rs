//! A run in compact form in memory, from which reports, timelines and causes are derived.

use super::fault::{Band, Bands, Fault};
use super::recorder::{ExecutedAction, Held, RecordedStep, Recorder};
use crate::scenario::plan::Plan;
use crate::scenario::{START_FAILED, Scenario};
use std::collections::{BTreeMap, BTreeSet};

/// The value for "no host".
const NO_HOST: u32 = u32::MAX;

/// Maximum number of recorded events, 32 bytes each.
pub const EVENTS_MAX: usize = 30_000_000;
/// Maximum number of recorded messages that did not arrive at once; all are counted.
pub const HELD_MAX: usize = 1_000_000;
/// Maximum number of recorded starts that failed.
const FAILED_STARTS_MAX: usize = 10_000;

/// One event.
#[derive(Clone, Copy, Debug)]
struct Row {
    at: u64,
    digest: u64,
    cause: u32,
    host: u32,
    size: u32,
    kind: u16,
    /// Index of the program in the list of programs, from 1; 0 for a host that runs one program.
    program: u16,
}

/// One event of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    /// The number of the event.
    pub number: u64,
    /// True time, in nanoseconds.
    pub at: u64,
    /// The host; `None` for an action of the plan.
    pub host: Option<usize>,
    /// The program of the process, if its host runs several.
    pub program: Option<&'static str>,
    /// The kind of the event.
    pub kind: &'static str,
    /// Encoded size in bytes, for a message.
    pub size: u32,
    /// Number of the event that caused this one; 0 for none.
    pub cause: u64,
    /// Digest of the node's view after the event; 0 for an action.
    pub digest: u64,
}

/// An event reported by a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedReport {
    /// The step that reported the event.
    pub event: u64,
    /// The word of the event.
    pub word: &'static str,
    /// The host that the event is about.
    pub about: Option<usize>,
}

/// The start of a process that exited instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedStart {
    /// The time, in nanoseconds.
    pub at: u64,
    /// The host.
    pub host: usize,
    /// The reason.
    pub reason: String,
}

/// A recorded run.
#[derive(Debug)]
pub struct Recording<'a> {
    scenario: &'a Scenario,
    plan: Plan,
    ids: BTreeMap<&'a str, usize>,
    rows: Vec<Row>,
    kinds: Vec<&'static str>,
    programs: Vec<&'static str>,
    reports: Vec<RecordedReport>,
    failed_starts: Vec<FailedStart>,
    held: Vec<Held>,
    held_count: u64,
    bands: Bands,
    seen: u64,
    memberships: Memberships,
}

/// The changes of the hosts' views of membership.
#[derive(Debug, Default)]
struct Memberships {
    /// The number of the event, the host and the hash after it, for each change.
    changes: Vec<(u32, u32, u64)>,
    /// The latest hash and the latest digest of the state of each host.
    latest: Vec<Option<(u64, u64)>>,
    /// Whether a state changed without its membership.
    has_data: bool,
}

impl Memberships {
    fn add(&mut self, event: u32, host: usize, known: u64, digest: u64) {
        let host_number = u32::try_from(host).unwrap_or(NO_HOST);
        let Some(latest) = self.latest.get_mut(host) else {
            return;
        };
        let before = latest.replace((known, digest));
        if before.is_none_or(|(before, _)| before != known) {
            self.changes.push((event, host_number, known));
        } else {
            self.has_data |= before.is_some_and(|(_, before)| before != digest);
        }
    }
}

impl<'a> Recording<'a> {
    /// Creates an empty recording of a scenario with its plan.
    #[must_use]
    pub fn new(scenario: &'a Scenario, plan: Plan) -> Self {
        let hosts = scenario.hosts.iter().enumerate().rev();
        Self {
            scenario,
            plan,
            ids: hosts
                .map(|(index, host)| (host.id.as_str(), index))
                .collect(),
            rows: Vec::new(),
            kinds: Vec::new(),
            programs: Vec::new(),
            reports: Vec::new(),
            failed_starts: Vec::new(),
            held: Vec::new(),
            held_count: 0,
            bands: Bands::default(),
            seen: 0,
            memberships: Memberships {
                latest: vec![None; scenario.hosts.len()],
                ..Memberships::default()
            },
        }
    }

    /// Returns the scenario.
    #[must_use]
    pub const fn scenario(&self) -> &'a Scenario {
        self.scenario
    }

    /// Returns the plan.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns the number of recorded events, from the first on.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether no event is recorded.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the number of all events.
    #[must_use]
    pub const fn seen(&self) -> u64 {
        self.seen
    }

    /// Returns an event by its number.
    #[must_use]
    pub fn event(&self, number: u64) -> Option<RecordedEvent> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        let row = self.rows.get(index)?;
        Some(RecordedEvent {
            number,
            at: row.at,
            host: (row.host != NO_HOST).then_some(row.host as usize),
            program: usize::from(row.program)
                .checked_sub(1)
                .map(|place| self.programs[place]),
            kind: self.kinds[usize::from(row.kind)],
            size: row.size,
            cause: row.cause.into(),
            digest: row.digest,
        })
    }

    /// Iterates over the recorded events, in order.
    pub fn events(&self) -> impl DoubleEndedIterator<Item = RecordedEvent> + '_ {
        (1..=self.rows.len() as u64).filter_map(|number| self.event(number))
    }

    /// Returns the sender and the sending event of a message: its cause.
    #[must_use]
    pub fn sending(&self, event: &RecordedEvent) -> Option<(usize, RecordedEvent)> {
        if event.size == 0 {
            return None;
        }
        let sent = self.event(event.cause)?;
        Some((sent.host?, sent))
    }

    /// Returns the events that nodes reported, in order.
    #[must_use]
    pub fn reports(&self) -> &[RecordedReport] {
        &self.reports
    }

    /// Returns the events that were reported in one step.
    #[must_use]
    pub fn reports_of(&self, event: u64) -> &[RecordedReport] {
        let from = self.reports.partition_point(|report| report.event < event);
        let to = self.reports.partition_point(|report| report.event <= event);
        &self.reports[from..to]
    }

    /// Returns the starts of processes that exited instead, in order.
    #[must_use]
    pub fn failed_starts(&self) -> &[FailedStart] {
        &self.failed_starts
    }

    /// Returns the messages that did not arrive at once: the first ones, in order, and the number
    /// of all.
    #[must_use]
    pub fn held(&self) -> (&[Held], u64) {
        (&self.held, self.held_count)
    }

    /// Returns the changes of what hosts know of membership: the number of the event, the host, and the hash after it.
    pub fn memberships(&self) -> impl Iterator<Item = (u64, usize, u64)> + '_ {
        let changes = self.memberships.changes.iter();
        changes.map(|(event, host, known)| (u64::from(*event), *host as usize, *known))
    }

    /// Returns whether the state of a host changed without its view of membership.
    #[must_use]
    pub const fn has_data(&self) -> bool {
        self.memberships.has_data
    }

    /// Returns the faults; those still in force last until `end`.
    #[must_use]
    pub fn bands(&self, end: u64) -> Vec<Band> {
        self.bands.until(end)
    }

    /// Returns for each host the programs whose processes took steps; empty for a host that runs one program.
    #[must_use]
    pub fn programs(&self) -> Vec<BTreeSet<&'static str>> {
        let mut programs = vec![BTreeSet::new(); self.scenario.hosts.len()];
        for event in self.events() {
            if let Some(host) = event.host {
                programs[host].extend(event.program);
            }
        }
        programs
    }

    /// Returns the name of a process: its host, and its program if the host runs several.
    #[must_use]
    pub fn process_name(&self, host: usize, program: Option<&'static str>) -> String {
        let host = &self.scenario.hosts[host].name;
        program.map_or_else(|| host.clone(), |program| format!("{host}/{program}"))
    }

    fn kind(&mut self, kind: &'static str) -> u16 {
        place_of(&mut self.kinds, kind)
    }

    fn push(&mut self, row: Row) {
        self.seen += 1;
        if self.rows.len() < EVENTS_MAX {
            self.rows.push(row);
        }
    }
}

/// Returns the index of a word in a list, appending the word if it is missing.
fn place_of(words: &mut Vec<&'static str>, word: &'static str) -> u16 {
    let known = words.iter().position(|known| *known == word);
    let place = known.unwrap_or_else(|| {
        words.push(word);
        words.len() - 1
    });
    u16::try_from(place).unwrap_or(0)
}

impl Recorder for Recording<'_> {
    fn step(&mut self, step: &RecordedStep<'_>) {
        let kind = self.kind(step.kind);
        let program = step
            .program
            .map_or(0, |program| place_of(&mut self.programs, program) + 1);
        self.push(Row {
            at: step.at,
            digest: step.digest,
            cause: u32::try_from(step.cause.event).unwrap_or(0),
            host: u32::try_from(step.host).unwrap_or(NO_HOST),
            size: u32::try_from(step.size).unwrap_or(u32::MAX),
            kind,
            program,
        });
        let reports = step.said.iter().map(|said| RecordedReport {
            event: step.event,
            word: said.word,
            about: said.about.and_then(|id| self.ids.get(id).copied()),
        });
        self.reports.extend(reports);
        if self.failed_starts.len() < FAILED_STARTS_MAX {
            let failed = step.said.iter().filter(|said| said.word == START_FAILED);
            self.failed_starts.extend(failed.map(|said| FailedStart {
                at: step.at,
                host: step.host,
                reason: said.about.unwrap_or_default().to_owned(),
            }));
        }
    }

    fn membership(&mut self, host: usize, digest: u64) {
        let whole = self.rows.len() as u64 == self.seen;
        if let Some(row) = self.rows.last().filter(|_| whole) {
            let event = u32::try_from(self.seen).unwrap_or(u32::MAX);
            self.memberships.add(event, host, digest, row.digest);
        }
    }

    fn action(&mut self, action: &ExecutedAction<'_>) {
        let fault = Fault::of(self.scenario, &self.plan, action.planned);
        self.bands
            .add(action.event, action.at, action.planned, &fault);
        let kind = self.kind(fault.word);
        self.push(Row {
            at: action.at,
            digest: 0,
            cause: 0,
            host: NO_HOST,
            size: 0,
            kind,
            program: 0,
        });
    }

    fn held(&mut self, held: Held) {
        self.held_count += 1;
        if self.held.len() < HELD_MAX {
            self.held.push(held);
        }
    }
}
