//! The faults of a run without random choices, each of which can be removed without the others: a fault at one node, or
//! between nodes, with its end.
//!
//! A stop of a node and its next start are one fault, because a start of a running node would be a fault of its own. The
//! steps of the workload (joins, commands, `leave` with the restart after it) are not faults.

use crate::scenario::{Action, NodeAction, OwnAction, Scenario, Selector, Step, When};
use crate::shrink::is_fault;
use std::collections::{BTreeMap, BTreeSet};

/// A fault that can be removed from a scenario without random choices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RemovableFault {
    /// The steps of the scenario that make up the fault, in time order.
    pub(super) steps: Vec<usize>,
    /// The node at which the steps occur; `None`: the fault is the whole steps.
    pub(super) host: Option<usize>,
}

/// Returns the removable faults of a scenario without random choices, in the order of their beginnings.
pub(super) fn removable(scenario: &Scenario) -> Vec<RemovableFault> {
    let mut collector = Collector {
        scenario,
        faults: Vec::new(),
        stopped: BTreeMap::new(),
        left: BTreeSet::new(),
        drifting: BTreeMap::new(),
    };
    for index in 0..scenario.steps.len() {
        collector.step(index);
    }
    collector.faults
}

/// Returns a scenario with only some of its removable faults.
pub(super) fn with_only(
    scenario: &Scenario,
    faults: &[RemovableFault],
    kept: &BTreeSet<usize>,
) -> Scenario {
    let removed = (0..faults.len()).filter(|index| !kept.contains(index));
    let mut whole = BTreeSet::new();
    let mut at_hosts: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for fault in removed.map(|index| &faults[index]) {
        for step in &fault.steps {
            match fault.host {
                None => {
                    whole.insert(*step);
                }
                Some(host) => at_hosts.entry(*step).or_default().push(host),
            }
        }
    }
    let mut smaller = scenario.clone();
    smaller.steps.clear();
    for (index, step) in scenario.steps.iter().enumerate() {
        let gone = at_hosts.get(&index).map_or(&[][..], Vec::as_slice);
        if !whole.contains(&index) {
            smaller.steps.extend(without_hosts(step, gone));
        }
    }
    smaller
}

/// Returns a step without some of its nodes; `None` if no node is left.
fn without_hosts(step: &Step, gone: &[usize]) -> Option<Step> {
    let mut step = step.clone();
    if let Action::Nodes(who, _) = &mut step.action
        && !gone.is_empty()
        && let Some(mut hosts) = who.fixed()
    {
        hosts.retain(|host| !gone.contains(host));
        if hosts.is_empty() {
            return None;
        }
        *who = Selector::of(&hosts).running(who.program());
    }
    Some(step)
}

/// A host, or its process of one program.
type Stoppable = (usize, Option<&'static str>);

struct Collector<'a> {
    scenario: &'a Scenario,
    faults: Vec<RemovableFault>,
    /// The stopped hosts and processes, each with the fault that stopped it.
    stopped: BTreeMap<Stoppable, usize>,
    /// The hosts that a step of the workload told to leave.
    left: BTreeSet<usize>,
    /// The hosts whose clocks drift, each with the fault that began the drift.
    drifting: BTreeMap<usize, usize>,
}

impl Collector<'_> {
    fn step(&mut self, index: usize) {
        let step = &self.scenario.steps[index];
        let fixed = match &step.action {
            Action::Nodes(who, action) => who.fixed().map(|hosts| (who, action, hosts)),
            Action::Network(_) | Action::Clone(_) => None,
        };
        if let (Some((who, action, hosts)), When::At(_)) = (fixed, &step.when) {
            for host in hosts {
                self.at_host(index, (host, who.program()), action);
            }
        } else if is_fault(step) {
            self.whole(index);
        }
    }

    /// Adds a fault between nodes. The steps of one cut that covers several sets of pairs are one fault.
    fn whole(&mut self, index: usize) {
        let step = &self.scenario.steps[index];
        let belongs = |fault: &&mut RemovableFault| {
            let last = fault.steps.last().map(|last| &self.scenario.steps[*last]);
            last.is_some_and(|last| {
                let is_network = |step: &Step| matches!(step.action, Action::Network(_));
                is_network(last)
                    && is_network(step)
                    && matches!(step.when, When::At(_))
                    && (&last.file, last.line, &last.when, last.length)
                        == (&step.file, step.line, &step.when, step.length)
                    && last.action.word() == step.action.word()
            })
        };
        match self.faults.last_mut().filter(belongs) {
            Some(fault) => fault.steps.push(index),
            None => self.push(vec![index], None),
        }
    }

    /// Adds the part of a step at one host.
    fn at_host(&mut self, index: usize, of: Stoppable, action: &NodeAction) {
        let step = &self.scenario.steps[index];
        let of_chaos = step.line == 0;
        match action {
            NodeAction::Crash | NodeAction::PowerLoss => self.stop(index, of),
            NodeAction::Leave if of_chaos => self.stop(index, of),
            NodeAction::Leave => {
                self.left.insert(of.0);
            }
            NodeAction::Restart(_) => self.restart(index, of, of_chaos),
            NodeAction::Clock {
                drift_ppm: Some(_), ..
            } if of_chaos => self.drift(index, of.0),
            NodeAction::Own(action) if self.is_steady(action) => {
                if self
                    .faults
                    .last()
                    .is_none_or(|fault| fault.steps != [index])
                {
                    self.push(vec![index], None);
                }
            }
            NodeAction::Clock { .. } | NodeAction::Own(_) | NodeAction::Pause(_) => {
                self.alone(index, of.0);
            }
            NodeAction::Slow { .. } | NodeAction::Disk(_) | NodeAction::Trouble(_) => {
                self.alone(index, of.0);
            }
            NodeAction::Move | NodeAction::Certificate(_) => self.alone(index, of.0),
            NodeAction::Join | NodeAction::Command { .. } => self.alone(index, of.0),
        }
    }

    /// Adds a fault that consists of one step at one host.
    fn alone(&mut self, index: usize, host: usize) {
        if is_fault(&self.scenario.steps[index]) {
            self.push(vec![index], Some(host));
        }
    }

    /// Adds a stop. A stop of a host that is stopped already belongs to the first stop.
    fn stop(&mut self, index: usize, of: Stoppable) {
        match self.stopped.get(&of) {
            Some(fault) => self.faults[*fault].steps.push(index),
            None => {
                self.stopped.insert(of, self.faults.len());
                self.push(vec![index], Some(of.0));
            }
        }
    }

    /// Adds a start to the fault that stopped the host. The start of a running host is a fault of its own.
    fn restart(&mut self, index: usize, of: Stoppable, of_chaos: bool) {
        let stop = self.stopped.remove(&of);
        let stop = stop.or_else(|| self.stopped.remove(&(of.0, None)));
        let left = self.left.remove(&of.0);
        match stop {
            Some(fault) => self.faults[fault].steps.push(index),
            None if left && !of_chaos => {}
            None => self.push(vec![index], Some(of.0)),
        }
    }

    /// Adds a change of a drift that chaos drew: the first begins a fault, and the next one ends it.
    fn drift(&mut self, index: usize, host: usize) {
        match self.drifting.remove(&host) {
            Some(fault) => self.faults[fault].steps.push(index),
            None => {
                self.drifting.insert(host, self.faults.len());
                self.push(vec![index], Some(host));
            }
        }
    }

    /// Whether a program's own step is written as a whole, with all its hosts.
    fn is_steady(&self, action: &OwnAction) -> bool {
        let word = self.scenario.vocabulary.step(action.program, action.word);
        word.is_some_and(|word| word.steady)
    }

    fn push(&mut self, steps: Vec<usize>, host: Option<usize>) {
        self.faults.push(RemovableFault { steps, host });
    }
}
