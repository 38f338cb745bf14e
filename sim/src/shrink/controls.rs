//! Control runs: without the faults, and without the planted bug.
//!
//! A scenario from which shrinking removed the cause of a failure may still violate the expectation, because no
//! remaining part could fulfil it. A control run that fails in the same way reveals such a scenario.

use crate::scenario::{Action, Extent, NetworkAction, NodeAction, Scenario, Step};
use core::fmt;
use std::collections::BTreeSet;

/// The parts of a scenario that a control run removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlRun {
    /// The planted bugs.
    Bug,
    /// The faults.
    Faults,
    /// The planted bugs and the faults.
    Both,
}

impl ControlRun {
    /// The control runs of a scenario.
    pub(super) fn of(scenario: &Scenario, sabotage: &[String]) -> Vec<Self> {
        let bug = !sabotage.is_empty();
        let mut steps = scenario.steps.iter();
        let faults = scenario.chaos.is_some() || steps.any(is_fault);
        let all = [
            (bug, Self::Bug),
            (faults, Self::Faults),
            (bug && faults, Self::Both),
        ];
        all.into_iter()
            .filter_map(|(has, control)| has.then_some(control))
            .collect()
    }

    /// Whether the control run keeps the planted bugs.
    pub(super) const fn keeps_bug(self) -> bool {
        matches!(self, Self::Faults)
    }

    /// The scenario of the control run.
    pub(super) fn scenario(self, scenario: &Scenario) -> Scenario {
        let mut without = scenario.clone();
        if self != Self::Bug {
            without.chaos = None;
            // A `leave` step in the file is a part of the workload, and so is the restart of the nodes that left.
            let mut left = BTreeSet::new();
            without.steps.retain(|step| match &step.action {
                Action::Nodes(who, NodeAction::Leave) if step.line > 0 => {
                    left.extend(who.fixed().unwrap_or_default());
                    true
                }
                Action::Nodes(who, NodeAction::Restart(_)) => {
                    let hosts = who.fixed().unwrap_or_default();
                    step.line > 0 && hosts.iter().any(|host| left.contains(host))
                }
                Action::Network(_) | Action::Nodes(..) | Action::Clone(_) => !is_fault(step),
            });
        }
        without
    }
}

impl fmt::Display for ControlRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bug => "without the planted bug",
            Self::Faults => "without the faults",
            Self::Both => "without the faults and the planted bug",
        })
    }
}

/// The results of a control run with several seeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controlled {
    /// The parts that the control run removed.
    pub control: ControlRun,
    /// The seeds of the runs that failed in the same way, out of [`Self::runs`].
    pub failing: Vec<u64>,
    /// The number of runs, each with a different seed.
    pub runs: usize,
}

impl fmt::Display for Controlled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            control,
            failing,
            runs,
        } = self;
        match failing.len() {
            0 => write!(
                f,
                "{control}: {runs} of {runs} seeds do not fail in this way"
            ),
            failed => write!(
                f,
                "{control}: {failed} of {runs} seeds fail in the same way"
            ),
        }
    }
}

/// Whether a step is a fault, which a correct system must withstand, as opposed to a part of the workload. Steps that
/// chaos drew have no line.
pub(crate) fn is_fault(step: &Step) -> bool {
    step.line == 0 || is_fault_action(&step.action)
}

const fn is_fault_action(action: &Action) -> bool {
    match action {
        Action::Network(action) => match action {
            NetworkAction::Partition(..) | NetworkAction::Cut(..) | NetworkAction::Hold(..) => true,
            NetworkAction::Clog(_) | NetworkAction::Swizzle(_) => true,
            NetworkAction::Loss(_) | NetworkAction::Latency(_) => true,
            NetworkAction::Links(..) | NetworkAction::Reset(_) => true,
            NetworkAction::Heal | NetworkAction::Restore => false,
        },
        Action::Clone(_) => true,
        Action::Nodes(_, action) => match action {
            NodeAction::Crash | NodeAction::PowerLoss | NodeAction::Restart(_) => true,
            NodeAction::Pause(_) | NodeAction::Slow { .. } | NodeAction::Clock { .. } => true,
            NodeAction::Disk(_) | NodeAction::Certificate(_) => true,
            NodeAction::Trouble(_) | NodeAction::Move => true,
            NodeAction::Join | NodeAction::Leave | NodeAction::Command { .. } => false,
            NodeAction::Own(action) => matches!(action.extent, Extent::Until(_)),
        },
    }
}
