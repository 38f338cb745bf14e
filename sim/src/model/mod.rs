//! The model engine: core's machines on an event heap, with links that behave as streams.
//!
//! The engine uses no clock, no thread and no ambient randomness, so a scenario and a seed give the same run, event for
//! event, on every machine. Start with [`run`].
//!
//! `engine` is the event loop; it coordinates components, which do not know each other: `slot` (a process, its mailbox
//! and its wake timer), `host` (power and disk), `transport` (connections, ports and the network), `calls` (commands
//! and queries), `checks` (invariants and reports) and `starts`. The components share a `context`: time, event heap and
//! trace. `supervision` ends a run early.
//!
//! The model includes latency, bandwidth of one connection, loss with TCP's retransmission, cuts that drop traffic
//! silently, resets, and round trips of the handshakes of TCP and TLS 1.3. The model excludes congestion windows,
//! acknowledgements, fast retransmission and processor time (except for `slow`).

mod calls;
mod checks;
pub(crate) mod clock;
mod context;
mod coverage_collector;
pub(crate) mod engine;
mod event;
mod heap;
mod host;
mod options;
mod slot;
mod starts;
pub(crate) mod supervision;
mod supervisor;
#[cfg(test)]
mod tests;
pub(crate) mod trace;
mod transport;

pub use crate::address::{PORT, address, host_at, ip};
pub use clock::WALL_ZERO;
pub use options::RunOptions;
pub use supervision::{ENDS_IN_TIME, TIME_ADVANCES};
pub use supervisor::{RunPosition, Supervisor};
pub(crate) use transport::{DIAL_GIVES_UP_AFTER, DIAL_ROUND_TRIPS};

use crate::invariant::Invariants;
use crate::judge::Judge;
use crate::outcome::Outcome;
use crate::scenario::{Engine as Kind, Scenario, ScenarioError};
use crate::world::Definition;
use clock::ns;
use core::time::Duration;
use engine::Engine;
use supervision::RunWatch;
use trace::Trace;

/// Runs a scenario of a system.
///
/// A run ends early if one instant of virtual time has too many events, which is a failure of the run, or if the
/// supervisor in the options requests the end.
///
/// # Errors
/// Returns an error if the scenario is not for this engine, does not fit the system or cannot be planned for this seed,
/// if a name in `sabotage` is unknown, or if the trace cannot be written.
pub fn run(
    definition: &Definition,
    scenario: &Scenario,
    seed: u64,
    options: RunOptions<'_>,
) -> Result<Outcome, ScenarioError> {
    scenario.check_engine(Kind::Model)?;
    let plan = scenario.plan(seed)?;
    let trace = Trace::new(options.recorder);
    let mut engine = Engine::new(definition, scenario, &plan, &options.sabotage, trace)?;
    let mut judge = Judge::new(scenario, &plan, interval(scenario.hosts.len()));
    let mut watch = RunWatch::new(options.supervisor, engine.processes());
    engine.supervise(options.supervisor);
    if let Some(coverage) = options.coverage {
        engine.cover(definition, coverage);
    }
    let mut checkpoint = checkpoint_interval(scenario.hosts.len());
    let mut halted = None;
    while halted.is_none() {
        let until = judge.next_check().min(checkpoint).min(plan.end);
        while halted.is_none() && engine.advance(ns(until)) {
            engine.judge_reports(&mut judge);
            halted = engine.watched(&mut watch);
        }
        if halted.is_some() {
            break;
        }
        if checkpoint <= until {
            engine.check(Invariants::checkpoint);
            checkpoint += checkpoint_interval(scenario.hosts.len());
        }
        if judge.next_check() <= until {
            judge.check(until, &engine);
        }
        if until >= plan.end || judge.is_over(until) {
            break;
        }
    }
    let projection = match options.final_state {
        true => engine.projection(),
        false => None,
    };
    let settings = (options.strict, options.sabotage.as_slice());
    Ok(Outcome {
        projection,
        ..engine.finish(definition, judge, settings, halted)
    })
}

/// Returns the interval between checks of conditions; the interval grows with the number of hosts.
const fn interval(hosts: usize) -> Duration {
    Duration::from_millis(match hosts {
        0..=50 => 20,
        51..=300 => 50,
        _ => 100,
    })
}

/// Returns the interval between checks of global invariants.
const fn checkpoint_interval(hosts: usize) -> Duration {
    Duration::from_millis(if hosts <= 100 { 500 } else { 10_000 })
}
