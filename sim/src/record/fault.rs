//! The plan's actions in readable form: faults that begin and end, and instantaneous steps.

use crate::scenario::plan::{Cut, Plan, Planned, ScheduledAction};
use crate::scenario::{CertificateChange, DiskFault, Extent, Scenario, Trouble, text};
use core::time::Duration;

/// Maximum number of nodes that the text of a fault lists by name.
const NAMED_MAX: usize = 6;

/// Whether an action begins or ends a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultPhase {
    /// The fault begins.
    Begins,
    /// The fault ends; no effect if it was not in force.
    Ends,
    /// The fault begins, and ends by itself after this time.
    Lasts(Duration),
    /// The action is instantaneous.
    Once,
}

impl FaultPhase {
    /// Returns whether the action begins or ends the fault.
    const fn of(begins: bool) -> Self {
        if begins { Self::Begins } else { Self::Ends }
    }
}

/// The subject shared by the action that begins a fault and the action that ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultSubject {
    /// A cut of the plan.
    Cut(usize),
    /// Whether a host runs, or its process of one program.
    Power(usize, Option<&'static str>),
    /// A host's speed.
    Speed(usize),
    /// A host's disk.
    Disk(usize),
    /// A lasting condition of a host; the word of the condition.
    Trouble(usize, &'static str),
    /// A change of links of the plan.
    Links(usize),
    /// A host's certificate.
    Certificate(usize),
    /// The state that a step of a program's own began at a host; the word of the step.
    Own(usize, &'static str),
    /// Any other property of a host.
    Host(usize),
    /// Loss on all links.
    Loss,
    /// Latency on all links.
    Latency,
}

/// An action of the plan in readable form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The word of the step.
    pub word: &'static str,
    /// The line of the step in the file; `None` for an action that the plan adds by itself.
    pub line: Option<usize>,
    /// The subject.
    pub subject: FaultSubject,
    /// Whether the action begins or ends a fault.
    pub turn: FaultPhase,
    /// The affected hosts; all hosts if empty.
    pub hosts: Vec<usize>,
    /// The description of the action.
    pub text: String,
    /// The drift that a clock has from the action on, in parts per million.
    pub drift_ppm: Option<i32>,
}

impl Fault {
    /// Describes an action.
    #[must_use]
    pub fn of(scenario: &Scenario, plan: &Plan, planned: &Planned) -> Self {
        let (subject, turn) = Self::shape(planned);
        let step = planned.step.and_then(|step| scenario.steps.get(step));
        let word = step.map_or_else(|| own_word(&planned.action), |step| step.action.word());
        let text = described(scenario, plan, &planned.action);
        let text = match planned.program {
            None => text,
            Some(program) if text.is_empty() => program.to_owned(),
            Some(program) => format!("{program}, {text}"),
        };
        Self {
            word,
            line: step.map(|step| step.line),
            subject,
            turn,
            hosts: hosts(scenario, plan, &planned.action),
            text,
            drift_ppm: if let ScheduledAction::Clock { drift_ppm, .. } = planned.action {
                drift_ppm
            } else {
                None
            },
        }
    }

    /// Returns the word of an action, independent of the step that scheduled it.
    #[must_use]
    pub const fn word_of(action: &ScheduledAction) -> &'static str {
        own_word(action)
    }

    /// Returns whether the action stops processes.
    #[must_use]
    pub const fn is_stop(&self) -> bool {
        matches!(
            (self.subject, self.turn),
            (FaultSubject::Power(..), FaultPhase::Begins)
        )
    }

    /// Returns the subject of an action, and whether it begins or ends a fault.
    #[must_use]
    pub const fn shape(planned: &Planned) -> (FaultSubject, FaultPhase) {
        match &planned.action {
            ScheduledAction::Start { host, .. } => (
                FaultSubject::Power(*host, planned.program),
                FaultPhase::Ends,
            ),
            ScheduledAction::Stop { host, .. } => (
                FaultSubject::Power(*host, planned.program),
                FaultPhase::Begins,
            ),
            ScheduledAction::NoPower { host, .. } | ScheduledAction::Move(host) => {
                (FaultSubject::Host(*host), FaultPhase::Once)
            }
            ScheduledAction::Trouble { host, trouble, on } => (
                FaultSubject::Trouble(*host, trouble.word()),
                FaultPhase::of(*on),
            ),
            ScheduledAction::Links { change, on } => {
                (FaultSubject::Links(*change), FaultPhase::of(*on))
            }
            ScheduledAction::Reset(cut) => (FaultSubject::Cut(*cut), FaultPhase::Once),
            ScheduledAction::Cut(cut) => (FaultSubject::Cut(*cut), FaultPhase::Begins),
            ScheduledAction::Heal(cut) => (FaultSubject::Cut(*cut), FaultPhase::Ends),
            ScheduledAction::Hold { cut, length } => {
                (FaultSubject::Cut(*cut), FaultPhase::Lasts(*length))
            }
            ScheduledAction::Disk { host, fault: None } => {
                (FaultSubject::Disk(*host), FaultPhase::Ends)
            }
            ScheduledAction::Disk { host, .. } => (FaultSubject::Disk(*host), FaultPhase::Begins),
            ScheduledAction::Certificate { host, is } => {
                let turn = match is {
                    CertificateChange::Rotated => FaultPhase::Ends,
                    CertificateChange::Expired | CertificateChange::Revoked => FaultPhase::Begins,
                };
                (FaultSubject::Certificate(*host), turn)
            }
            ScheduledAction::Pause { host, length } => {
                (FaultSubject::Host(*host), FaultPhase::Lasts(*length))
            }
            ScheduledAction::Slow { host, by } if by.is_zero() => {
                (FaultSubject::Speed(*host), FaultPhase::Ends)
            }
            ScheduledAction::Slow { host, .. } => (FaultSubject::Speed(*host), FaultPhase::Begins),
            ScheduledAction::Clock { host, .. } | ScheduledAction::Leave(host) => {
                (FaultSubject::Host(*host), FaultPhase::Once)
            }
            ScheduledAction::Own { host, action } => match action.extent {
                Extent::Once => (FaultSubject::Host(*host), FaultPhase::Once),
                Extent::Until(_) => (FaultSubject::Own(*host, action.word), FaultPhase::Begins),
                Extent::Ends(begun) => (FaultSubject::Own(*host, begun), FaultPhase::Ends),
            },
            ScheduledAction::Command { host, .. } => (FaultSubject::Host(*host), FaultPhase::Once),
            ScheduledAction::Loss(None) => (FaultSubject::Loss, FaultPhase::Ends),
            ScheduledAction::Loss(Some(_)) => (FaultSubject::Loss, FaultPhase::Begins),
            ScheduledAction::Latency(None) => (FaultSubject::Latency, FaultPhase::Ends),
            ScheduledAction::Latency(Some(_)) => (FaultSubject::Latency, FaultPhase::Begins),
        }
    }
}

/// Describes the details of an action.
fn described(scenario: &Scenario, plan: &Plan, action: &ScheduledAction) -> String {
    match action {
        ScheduledAction::Cut(cut) => sides(scenario, &plan.cuts[*cut]),
        ScheduledAction::Loss(Some(ppm)) => format!("{}.{:04}%", ppm / 10_000, ppm % 10_000),
        ScheduledAction::Latency(Some(latency)) => text::show_latency(*latency),
        ScheduledAction::NoPower { until, .. } => match until {
            Some(until) => format!("no effect: no power until {}", text::show(*until)),
            None => "no effect: no power".to_owned(),
        },
        ScheduledAction::Hold { cut, length } => {
            let between = sides(scenario, &plan.cuts[*cut]);
            format!("{between}, for {}", text::show(*length))
        }
        ScheduledAction::Disk { fault, .. } => fault.map_or("works", DiskFault::word).to_owned(),
        ScheduledAction::Certificate { is, .. } => is.word().to_owned(),
        ScheduledAction::Command { name, .. } => name.clone(),
        ScheduledAction::Slow { by, .. } => format!("by {} an input", text::show(*by)),
        ScheduledAction::Pause { length, .. } => format!("for {}", text::show(*length)),
        ScheduledAction::Clock {
            jump,
            back,
            drift_ppm,
            ..
        } => {
            let way = if *back { "calendar back" } else { "forward" };
            let moved = format!("{way} {}", text::show(*jump));
            match drift_ppm {
                Some(ppm) if jump.is_zero() => format!("drift {ppm:+} ppm"),
                Some(ppm) => format!("{moved}, drift {ppm:+} ppm"),
                None => moved,
            }
        }
        ScheduledAction::Trouble { trouble, .. } => match trouble {
            Trouble::Refuse => "dials are refused".to_owned(),
            Trouble::SlowDisk(by) => format!("slow by {}", text::show(*by)),
            Trouble::NatIdle(idle) => format!("forgets after {}", text::show(*idle)),
        },
        ScheduledAction::Move(_) => "another address at the next start".to_owned(),
        ScheduledAction::Links { change, .. } => {
            let change = &plan.link_changes[*change];
            let links = sides(scenario, &change.pairs);
            format!("{}, {links}", text::show_link_setting(&change.setting))
        }
        ScheduledAction::Reset(cut) => sides(scenario, &plan.cuts[*cut]),
        ScheduledAction::Start { .. }
        | ScheduledAction::Stop { .. }
        | ScheduledAction::Leave(_) => String::new(),
        ScheduledAction::Own { .. } | ScheduledAction::Heal(_) => String::new(),
        ScheduledAction::Loss(None) | ScheduledAction::Latency(None) => String::new(),
    }
}

/// Returns the hosts that an action affects; empty if it affects all.
fn hosts(scenario: &Scenario, plan: &Plan, action: &ScheduledAction) -> Vec<usize> {
    match action {
        ScheduledAction::Cut(cut)
        | ScheduledAction::Heal(cut)
        | ScheduledAction::Reset(cut)
        | ScheduledAction::Hold { cut, .. } => touched(scenario, &plan.cuts[*cut]),
        ScheduledAction::Links { change, .. } => {
            touched(scenario, &plan.link_changes[*change].pairs)
        }
        ScheduledAction::Disk { host, .. } | ScheduledAction::Certificate { host, .. } => {
            vec![*host]
        }
        ScheduledAction::Start { host, .. }
        | ScheduledAction::Stop { host, .. }
        | ScheduledAction::NoPower { host, .. }
        | ScheduledAction::Trouble { host, .. }
        | ScheduledAction::Move(host)
        | ScheduledAction::Pause { host, .. } => {
            vec![*host]
        }
        ScheduledAction::Slow { host, .. }
        | ScheduledAction::Clock { host, .. }
        | ScheduledAction::Leave(host) => vec![*host],
        ScheduledAction::Own { host, .. } | ScheduledAction::Command { host, .. } => vec![*host],
        ScheduledAction::Loss(_) | ScheduledAction::Latency(_) => Vec::new(),
    }
}

/// Returns the word of an action without a step.
const fn own_word(action: &ScheduledAction) -> &'static str {
    match action {
        ScheduledAction::Start { .. } => "start",
        ScheduledAction::Stop { .. } => "stop",
        ScheduledAction::NoPower { .. } => "start",
        ScheduledAction::Trouble { trouble, .. } => trouble.word(),
        ScheduledAction::Move(_) => "move",
        ScheduledAction::Links { .. } => "links",
        ScheduledAction::Reset(_) => "reset",
        ScheduledAction::Cut(_) => "cut",
        ScheduledAction::Heal(_) => "heal",
        ScheduledAction::Hold { .. } => "hold",
        ScheduledAction::Disk { .. } => "disk",
        ScheduledAction::Certificate { .. } => "certificate",
        ScheduledAction::Pause { .. } => "pause",
        ScheduledAction::Slow { .. } => "slow",
        ScheduledAction::Clock { .. } => "clock",
        ScheduledAction::Leave(_) => "leave",
        ScheduledAction::Own { action, .. } => action.word,
        ScheduledAction::Command { .. } => "command",
        ScheduledAction::Loss(_) => "loss",
        ScheduledAction::Latency(_) => "latency",
    }
}

/// Returns the hosts at both ends of the pairs that a cut blocks.
fn touched(scenario: &Scenario, cut: &Cut) -> Vec<usize> {
    if cut.is_everything() {
        return Vec::new();
    }
    let mut ends = vec![false; scenario.hosts.len()];
    for (from, to) in cut.pairs(scenario.hosts.len()) {
        ends[from] = true;
        ends[to] = true;
    }
    (0..ends.len()).filter(|host| ends[*host]).collect()
}

/// Describes briefly which hosts cannot reach each other.
fn sides(scenario: &Scenario, cut: &Cut) -> String {
    if cut.is_everything() {
        return "all links".to_owned();
    }
    let hosts = scenario.hosts.len();
    // Hosts that cannot reach the same other hosts are on the same side.
    let mut sides: Vec<(Vec<usize>, Vec<usize>)> = Vec::new();
    for from in 0..hosts {
        let lost: Vec<usize> = (0..hosts)
            .filter(|to| from != *to && (cut.blocks(from, *to) || cut.blocks(*to, from)))
            .collect();
        if lost.is_empty() {
            continue;
        }
        match sides.iter_mut().find(|(_, others)| *others == lost) {
            Some((side, _)) => side.push(from),
            None => sides.push((vec![from], lost)),
        }
    }
    if sides.len() > 4 {
        return format!("{} pairs", cut.pairs(hosts).count());
    }
    let sides: Vec<String> = sides.iter().map(|(side, _)| few(scenario, side)).collect();
    sides.join(" | ")
}

/// Formats a list of hosts: a few by name, many by their number.
#[must_use]
pub fn few(scenario: &Scenario, hosts: &[usize]) -> String {
    if hosts.len() > NAMED_MAX {
        let first = &scenario.hosts[hosts[0]].name;
        return format!("{} nodes ({first} …)", hosts.len());
    }
    let names: Vec<&str> = hosts
        .iter()
        .map(|host| scenario.hosts[*host].name.as_str())
        .collect();
    names.join(", ")
}

/// A fault with its beginning and end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Band {
    /// The fault, with the text and hosts of its beginning.
    pub fault: Fault,
    /// The step of the scenario that it comes from.
    pub step: Option<usize>,
    /// The event at its beginning.
    pub event: u64,
    /// The beginning, in nanoseconds of true time.
    pub from: u64,
    /// The end; for an instantaneous step, the same instant.
    pub to: u64,
}

/// Merges bands of one step that begin and end at the same time.
#[must_use]
pub fn together(bands: Vec<Band>) -> Vec<Band> {
    let mut merged: Vec<Band> = Vec::new();
    for band in bands {
        let same = |other: &&mut Band| {
            band.step.is_some()
                && (other.step, other.from, other.to) == (band.step, band.from, band.to)
                && other.fault.text == band.fault.text
        };
        // The bands are ordered by their beginning.
        let mut recent = merged
            .iter_mut()
            .rev()
            .take_while(|other| other.from == band.from);
        match recent.find(same) {
            Some(other) if !band.fault.hosts.is_empty() => {
                other.fault.hosts.extend(band.fault.hosts);
            }
            Some(_) | None => merged.push(band),
        }
    }
    merged
}

/// Collects faults as they begin and end.
#[derive(Clone, Debug, Default)]
pub struct Bands {
    closed: Vec<Band>,
    open: Vec<Band>,
}

impl Bands {
    /// Adds an action; returns whether it had an effect: it began or ended a fault, or was
    /// instantaneous.
    pub fn add(&mut self, event: u64, at: u64, planned: &Planned, fault: &Fault) -> bool {
        let held = self
            .open
            .iter()
            .position(|band| band.fault.subject == fault.subject);
        let mut band = Band {
            fault: fault.clone(),
            step: planned.step,
            event,
            from: at,
            to: at,
        };
        match (fault.turn, held) {
            (FaultPhase::Begins, held) => {
                if let Some(held) = held {
                    self.close(held, at);
                }
                self.open.push(band);
            }
            (FaultPhase::Ends, Some(held)) => self.close(held, at),
            (FaultPhase::Ends, None) => return false,
            (FaultPhase::Lasts(length), _) => {
                let length = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
                band.to = at.saturating_add(length);
                self.closed.push(band);
            }
            (FaultPhase::Once, _) => self.closed.push(band),
        }
        true
    }

    fn close(&mut self, held: usize, at: u64) {
        let mut band = self.open.remove(held);
        band.to = at;
        self.closed.push(band);
    }

    /// Returns all faults in the order of their beginning; those still in force last until `end`.
    #[must_use]
    pub fn until(&self, end: u64) -> Vec<Band> {
        let open = self.open.iter().cloned().map(|mut band| {
            band.to = end;
            band
        });
        let mut all: Vec<Band> = self.closed.iter().cloned().chain(open).collect();
        all.sort_by_key(|band| (band.from, band.event));
        for band in &mut all {
            band.to = band.to.min(end.max(band.from));
        }
        all
    }
}
