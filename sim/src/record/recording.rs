//! A run kept in memory, compactly: what reports, timelines and causes are drawn from.

use super::fault::{Band, Bands, Fault};
use super::recorder::{Done, Held, Recorder, Step};
use crate::scenario::Scenario;
use crate::scenario::plan::Plan;
use std::collections::BTreeMap;

/// No host.
const NOBODY: u32 = u32::MAX;

/// The most events that are kept; 32 bytes each.
pub const EVENTS_MAX: usize = 30_000_000;
/// The most messages that did not arrive at once that are kept; all are counted.
pub const HELD_MAX: usize = 1_000_000;

/// One event.
#[derive(Clone, Copy, Debug)]
struct Row {
    at: u64,
    digest: u64,
    cause: u32,
    host: u32,
    size: u32,
    kind: u16,
    /// The program, by its place in the list and counted from 1; 0 for a host that runs one.
    program: u16,
}

/// One event, as it is given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number.
    pub number: u64,
    /// True time, in nanoseconds.
    pub at: u64,
    /// Whose step; none for an order of the plan.
    pub host: Option<usize>,
    /// The program of the process, if its host runs several.
    pub program: Option<&'static str>,
    /// What it was.
    pub kind: &'static str,
    /// Encoded bytes, of a message.
    pub size: u32,
    /// The event that led to it; 0 for none.
    pub cause: u64,
    /// The node's view afterwards; 0 for an order.
    pub digest: u64,
}

/// A report of a node, by event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The step in which it was made.
    pub event: u64,
    /// What.
    pub word: &'static str,
    /// About which host.
    pub about: Option<usize>,
}

/// A run.
#[derive(Debug)]
pub struct Recording<'a> {
    scenario: &'a Scenario,
    plan: Plan,
    ids: BTreeMap<&'a str, usize>,
    rows: Vec<Row>,
    kinds: Vec<&'static str>,
    programs: Vec<&'static str>,
    reports: Vec<Report>,
    held: Vec<Held>,
    held_count: u64,
    bands: Bands,
    seen: u64,
}

impl<'a> Recording<'a> {
    /// Nothing yet, of a scenario with its plan.
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
            held: Vec::new(),
            held_count: 0,
            bands: Bands::default(),
            seen: 0,
        }
    }

    /// The scenario that ran.
    #[must_use]
    pub const fn scenario(&self) -> &'a Scenario {
        self.scenario
    }

    /// With which plan.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How many events are kept, from the first on.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing happened.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many happened.
    #[must_use]
    pub const fn seen(&self) -> u64 {
        self.seen
    }

    /// An event by its number.
    #[must_use]
    pub fn event(&self, number: u64) -> Option<Event> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        let row = self.rows.get(index)?;
        Some(Event {
            number,
            at: row.at,
            host: (row.host != NOBODY).then_some(row.host as usize),
            program: usize::from(row.program)
                .checked_sub(1)
                .map(|place| self.programs[place]),
            kind: self.kinds[usize::from(row.kind)],
            size: row.size,
            cause: row.cause.into(),
            digest: row.digest,
        })
    }

    /// All events that are kept, in order.
    pub fn events(&self) -> impl DoubleEndedIterator<Item = Event> + '_ {
        (1..=self.rows.len() as u64).filter_map(|number| self.event(number))
    }

    /// Who sent a message, and when: the event before it in the chain of causes.
    #[must_use]
    pub fn sending(&self, event: &Event) -> Option<(usize, Event)> {
        if event.size == 0 {
            return None;
        }
        let sent = self.event(event.cause)?;
        Some((sent.host?, sent))
    }

    /// What nodes reported, in order.
    #[must_use]
    pub fn reports(&self) -> &[Report] {
        &self.reports
    }

    /// What nodes reported in one step.
    #[must_use]
    pub fn reports_of(&self, event: u64) -> &[Report] {
        let from = self.reports.partition_point(|report| report.event < event);
        let to = self.reports.partition_point(|report| report.event <= event);
        &self.reports[from..to]
    }

    /// Messages that did not arrive at once: the first of them, in order, and how many there were.
    #[must_use]
    pub fn held(&self) -> (&[Held], u64) {
        (&self.held, self.held_count)
    }

    /// The faults; what still holds lasts until `end`.
    #[must_use]
    pub fn bands(&self, end: u64) -> Vec<Band> {
        self.bands.until(end)
    }

    /// The process of an event by name: its host, and its program if the host runs several.
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

/// The place of a word in a list that it is added to if it is not there.
fn place_of(words: &mut Vec<&'static str>, word: &'static str) -> u16 {
    let known = words.iter().position(|known| *known == word);
    let place = known.unwrap_or_else(|| {
        words.push(word);
        words.len() - 1
    });
    u16::try_from(place).unwrap_or(0)
}

impl Recorder for Recording<'_> {
    fn step(&mut self, step: &Step<'_>) {
        let kind = self.kind(step.kind);
        let program = step
            .program
            .map_or(0, |program| place_of(&mut self.programs, program) + 1);
        self.push(Row {
            at: step.at,
            digest: step.digest,
            cause: u32::try_from(step.cause.event).unwrap_or(0),
            host: u32::try_from(step.host).unwrap_or(NOBODY),
            size: u32::try_from(step.size).unwrap_or(u32::MAX),
            kind,
            program,
        });
        let reports = step.said.iter().map(|said| Report {
            event: step.event,
            word: said.word,
            about: said.about.and_then(|id| self.ids.get(id).copied()),
        });
        self.reports.extend(reports);
    }

    fn order(&mut self, order: &Done<'_>) {
        let fault = Fault::of(self.scenario, &self.plan, order.planned);
        self.bands.add(order.event, order.at, order.planned, &fault);
        let kind = self.kind(fault.word);
        self.push(Row {
            at: order.at,
            digest: 0,
            cause: 0,
            host: NOBODY,
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
