//! The faults between two nodes or at one node, at a given time or since an earlier time.

use crate::finding::seconds;
use crate::record::Recording;
use crate::record::fault::{Band, FaultPhase, FaultSubject, few, together};
use crate::scenario::plan::Cut;
use crate::scenario::{Scenario, text};
use core::time::Duration;
use serde::Serialize;

/// Maximum number of faults named for one failure.
const FAULTS_MAX: usize = 4;

/// Whether a fault is in force at the failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// The fault is in force.
    InForce,
    /// The fault ended before the failure.
    Ended,
    /// The step is instantaneous and has no duration.
    Once,
}

/// A fault at the nodes of a failure, or between them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StandingFault {
    /// The word of the step.
    pub step: &'static str,
    /// The nodes and details of the step.
    pub text: String,
    /// The line of the step in the scenario file; `None` for an action that the plan adds by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The beginning, in nanoseconds.
    pub from: u64,
    /// The end, in nanoseconds; the end of the run if the fault is in force then.
    pub to: u64,
    /// Whether the fault is in force at the failure.
    pub standing: Standing,
    /// The number of the event at the beginning.
    pub event: u64,
    /// Whether the fault is between the two nodes, at one of them, or affects all nodes.
    #[serde(skip)]
    place: FaultPlace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum FaultPlace {
    Between,
    At,
    Everywhere,
    Elsewhere,
}

impl StandingFault {
    /// Formats the fault as one line.
    pub(super) fn line(&self) -> String {
        let place = match self.place {
            FaultPlace::Between => "between them",
            FaultPlace::At => "there",
            FaultPlace::Everywhere => "everywhere",
            FaultPlace::Elsewhere => "elsewhere",
        };
        let what = format!("{} {}", self.step, self.text);
        let line = self
            .line
            .map_or_else(String::new, |line| format!(" (line {line})"));
        let when = match self.standing {
            Standing::InForce => format!("in force since {}", seconds(self.from)),
            Standing::Ended => format!("from {} to {}", seconds(self.from), seconds(self.to)),
            Standing::Once => format!("at {}", seconds(self.from)),
        };
        format!("{place}: {}{line}, {when}", what.trim_end())
    }
}

/// Returns the faults that affect one of the hosts, or the traffic between two of them, in a time window; faults that
/// are in force at the end come first. Without hosts, returns the faults that are in force at the end.
pub(super) fn standing(
    recording: &Recording<'_>,
    hosts: &[usize],
    since: u64,
    until: u64,
) -> Vec<StandingFault> {
    let bands = together(recording.bands(u64::MAX));
    // The effect of a clock step is lasting.
    let overlaps =
        |band: &Band| band.from <= until && (band.to >= since || band.fault.word == "clock");
    let mut faults: Vec<StandingFault> = bands
        .into_iter()
        .filter(overlaps)
        .filter_map(|band| {
            let place = place(recording, &band, hosts)?;
            let drifts = band.fault.drift_ppm.is_some_and(|ppm| ppm != 0);
            let standing = match band.fault.turn {
                FaultPhase::Once if drifts => Standing::InForce,
                FaultPhase::Once => Standing::Once,
                FaultPhase::Begins | FaultPhase::Ends | FaultPhase::Lasts(_)
                    if band.to >= until =>
                {
                    Standing::InForce
                }
                FaultPhase::Begins | FaultPhase::Ends | FaultPhase::Lasts(_) => Standing::Ended,
            };
            (standing == Standing::InForce || !hosts.is_empty()).then(|| StandingFault {
                step: band.fault.word,
                text: text_of(recording.scenario(), &band),
                line: band.fault.line,
                from: band.from,
                to: band.to,
                standing,
                event: band.event,
                place,
            })
        })
        .collect();
    let order = |fault: &StandingFault| {
        let ended = fault.standing != Standing::InForce;
        (ended, fault.place, core::cmp::Reverse(fault.to))
    };
    faults.sort_by_key(order);
    faults.truncate(FAULTS_MAX);
    faults
}

/// Returns the faults in force at an instant, for a failure without a fault at its nodes.
pub(super) fn elsewhere(recording: &Recording<'_>, until: u64) -> Vec<StandingFault> {
    let mut faults = standing(recording, &[], until, until);
    for fault in &mut faults {
        fault.place = FaultPlace::Elsewhere;
    }
    faults
}

/// Returns the relation of a fault to the hosts; `None` if the fault does not concern them.
fn place(recording: &Recording<'_>, band: &Band, hosts: &[usize]) -> Option<FaultPlace> {
    let touches = || hosts.iter().any(|host| band.fault.hosts.contains(host));
    let of_pairs = |cut: &Cut| match *hosts {
        [one, other] => {
            let blocks = cut.blocks(one, other) || cut.blocks(other, one);
            blocks.then_some(FaultPlace::Between)
        }
        [_] => touches().then_some(FaultPlace::At),
        _ => Some(FaultPlace::Everywhere),
    };
    match band.fault.subject {
        FaultSubject::Cut(cut) => of_pairs(&recording.plan().cuts[cut]),
        FaultSubject::Links(change) => of_pairs(&recording.plan().link_changes[change].pairs),
        FaultSubject::Loss | FaultSubject::Latency => Some(FaultPlace::Everywhere),
        FaultSubject::Power(..)
        | FaultSubject::Speed(_)
        | FaultSubject::Disk(_)
        | FaultSubject::Trouble(..)
        | FaultSubject::Certificate(_)
        | FaultSubject::Own(..) => {
            let concerns = hosts.is_empty() || touches();
            concerns.then_some(FaultPlace::At)
        }
        FaultSubject::Host(_) => {
            // Commands and other instantaneous steps of programs are not faults.
            let is_fault = matches!(band.fault.word, "clock" | "leave" | "pause" | "move")
                || matches!(band.fault.turn, FaultPhase::Lasts(_));
            (is_fault && touches()).then_some(FaultPlace::At)
        }
    }
}

fn text_of(scenario: &Scenario, band: &Band) -> String {
    let nodes = few(scenario, &band.fault.hosts);
    match (band.fault.text.as_str(), band.fault.subject) {
        ("", _) => nodes,
        (
            text,
            FaultSubject::Cut(_)
            | FaultSubject::Links(_)
            | FaultSubject::Loss
            | FaultSubject::Latency,
        ) => text.to_owned(),
        (text, _) => format!("{nodes} {text}"),
    }
}

/// Returns the lasting properties by which the nodes, or the network between them, are worse than the default.
pub(super) fn properties(scenario: &Scenario, hosts: &[usize]) -> Vec<String> {
    let mut lines = Vec::new();
    if let [one, other] = *hosts {
        let name = |host: usize| &scenario.hosts[host].name;
        let (there, back) = (
            scenario.network_between(other, one),
            scenario.network_between(one, other),
        );
        let described = |network: crate::scenario::PathProperties| {
            let latency = text::show_latency(network.latency);
            match network.loss_ppm {
                0 => latency,
                ppm => format!(
                    "{latency}, {}.{:02}% loss",
                    ppm / 10_000,
                    ppm % 10_000 / 100
                ),
            }
        };
        let usual = crate::scenario::PathProperties::default();
        if (there.latency, there.loss_ppm) != (usual.latency, usual.loss_ppm) {
            lines.push(format!(
                "the network from {} to {}: {}",
                name(other),
                name(one),
                described(there)
            ));
        }
        if back != there {
            lines.push(format!(
                "the network from {} to {}: {}",
                name(one),
                name(other),
                described(back)
            ));
        }
    }
    for host in hosts.iter().map(|host| &scenario.hosts[*host]) {
        let clock = host.clock;
        if clock.drift_ppm != 0 {
            lines.push(format!(
                "the clock of {} drifts {:+} ppm",
                host.name, clock.drift_ppm
            ));
        }
        if clock.offset != 0 {
            let by = text::show(Duration::from_nanos(clock.offset.unsigned_abs()));
            let way = if clock.offset < 0 { "behind" } else { "ahead" };
            lines.push(format!("the wall clock of {} is {by} {way}", host.name));
        }
    }
    lines
}
