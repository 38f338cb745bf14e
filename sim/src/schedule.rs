//! The actions of a plan in time order, together with the actions triggered by reports; for engines without an event
//! heap.
//!
//! An engine passes the reports it receives to [`Schedule::on_report`] and executes the due actions returned by
//! [`Schedule::next`]. An action triggered by a report is due relative to the instant at which the engine receives the
//! report, so one seed gives one run, provided that the reports are part of the run.

use crate::scenario::Scenario;
use crate::scenario::plan::{Plan, Planned, Reporter};
use crate::world::ReportedEvent;
use core::time::Duration;
use std::collections::BTreeMap;

/// The scheduled and the triggered actions.
#[derive(Debug)]
pub struct Schedule<'a> {
    scenario: &'a Scenario,
    plan: &'a Plan,
    /// The next action of the plan.
    next: usize,
    /// Triggered actions, by time and then in the order of the reports.
    due: BTreeMap<(Duration, usize), &'a Planned>,
    triggered: usize,
    /// The number of reports that each trigger has counted; each trigger fires at most once.
    reported: BTreeMap<usize, u32>,
}

impl<'a> Schedule<'a> {
    /// Creates the schedule of a plan, with no action executed.
    #[must_use]
    pub const fn new(scenario: &'a Scenario, plan: &'a Plan) -> Self {
        Self {
            scenario,
            plan,
            next: 0,
            due: BTreeMap::new(),
            triggered: 0,
            reported: BTreeMap::new(),
        }
    }

    /// Returns the next due action; `runs` returns whether a host's process runs. Triggered actions that are no longer
    /// applicable are skipped.
    pub fn next(&mut self, now: Duration, runs: impl Fn(usize) -> bool) -> Option<&'a Planned> {
        loop {
            let planned = self.plan.actions.get(self.next);
            let planned = planned.filter(|planned| planned.at <= now);
            let triggered = self.due.first_key_value().map(|((at, _), _)| *at);
            match (planned, triggered.filter(|at| *at <= now)) {
                (Some(planned), at) if at.is_none_or(|at| planned.at <= at) => {
                    self.next += 1;
                    return Some(planned);
                }
                (_, Some(_)) => {
                    let (_, triggered) = self.due.pop_first()?;
                    let is_idle = triggered.is_idle(|host, _| runs(host));
                    if !is_idle && self.plan.in_place_of(triggered, now).is_none() {
                        return Some(triggered);
                    }
                }
                (_, None) => return None,
            }
        }
    }

    /// Schedules the actions that a reported event triggers.
    pub fn on_report(&mut self, now: Duration, by: Reporter, event: &dyn ReportedEvent) {
        let end = self.plan.faults_end;
        if now >= end {
            return;
        }
        let (word, about) = event.described();
        for (number, waiting) in self.plan.triggers.iter().enumerate() {
            let fits = waiting.fits(&self.scenario.hosts, by, word, about);
            let reports = self.reported.entry(number).or_default();
            if !fits || !waiting.counts(now, reports) {
                continue;
            }
            for planned in &waiting.actions {
                // An action that ends a fault is due at the latest when all faults are lifted.
                let at = (now + planned.at).min(end);
                self.due.insert((at, self.triggered), planned);
                self.triggered += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::{Event, daemon_of};
    use crate::scenario::plan::ScheduledAction;
    use phalanx_core::gossip;

    const CHAIN: &str = r#"
scenario = 1
name = "chain"
about = "One node is killed when another goes down."
engines = ["model", "wire", "madsim"]
duration = "10s"

[[nodes]]
count = 3

[[at]]
time = "2s"
crash = "n3"

[[at]]
after = { event = "peer-down", by = "n1", about = "n3", delay = "1s" }
crash = "n2"
for = "2s"

[[expect]]
eventually = { converged = true }
"#;

    #[test]
    fn a_triggered_action_is_due_after_its_report_and_only_once() {
        let scenario = Scenario::parse("chain.toml", CHAIN).unwrap();
        let plan = scenario.plan(1).unwrap();
        let mut schedule = Schedule::new(&scenario, &plan);
        let second = Duration::from_secs(1);
        let drain = |schedule: &mut Schedule<'_>, now, running: [bool; 3]| {
            let next = || {
                schedule
                    .next(now, |host| running[host])
                    .map(|it| it.action.clone())
            };
            std::iter::from_fn(next).collect::<Vec<_>>()
        };
        assert_eq!(drain(&mut schedule, 3 * second, [true; 3]).len(), 4);
        let down = |host: usize| {
            Event::Mesh(gossip::Event::PeerDown {
                id: scenario.hosts[host].id.clone(),
                cause: gossip::DeathCause::Silent,
                joint: false,
            })
        };
        schedule.on_report(4 * second, daemon_of(1), &down(2));
        schedule.on_report(4 * second, daemon_of(0), &down(1));
        assert!(
            drain(&mut schedule, 6 * second, [true; 3]).is_empty(),
            "an event of another node about another node"
        );
        schedule.on_report(4 * second, daemon_of(0), &down(2));
        schedule.on_report(5 * second, daemon_of(0), &down(2));
        assert!(drain(&mut schedule, 4 * second, [true; 3]).is_empty());
        let stop = ScheduledAction::Stop {
            host: 1,
            power_loss: false,
        };
        assert_eq!(drain(&mut schedule, 5 * second, [true; 3]), [stop]);
        // Another action has already started the node.
        assert!(drain(&mut schedule, 9 * second, [true; 3]).is_empty());
    }
}
