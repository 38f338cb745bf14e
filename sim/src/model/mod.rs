//! The model engine: core's machines on an event heap, with links that behave as streams.
//!
//! It uses no clock, no thread and no ambient randomness: a scenario and a seed give the same run, event for event, on
//! every machine. Start with [`run`]. `engine` is the event loop, `perform` performs the effects of machines, `carry`
//! moves parcels over connections (`stream`) through the network (`network`).
//!
//! The model includes latency, bandwidth of one connection, loss with TCP's retransmission, cuts that drop traffic
//! silently, resets, and round trips of the handshakes of TCP and TLS 1.3. It excludes congestion windows,
//! acknowledgements, fast retransmission and processor time (except for `slow`).

mod calls;
mod carry;
mod clock;
mod engine;
mod heap;
mod host;
mod latency;
mod local;
mod network;
mod options;
mod perform;
mod replay;
mod stream;
#[cfg(test)]
mod tests;
mod trace;

pub use crate::address::{PORT, address, host_at, ip};
pub use clock::WALL_ZERO;
pub use options::Options;
pub use replay::{Replay, host_named};

use crate::invariant::Invariants;
use crate::judge::Judge;
use crate::judge::ending::Ending;
use crate::outcome::Outcome;
use crate::scenario::{Engine as Kind, Scenario, ScenarioError};
use crate::verdict::Failure;
use crate::world::{Definition, Scene};
use clock::ns;
use core::time::Duration;
use engine::{Engine, since_start};
use std::collections::BTreeMap;
use trace::Trace;

/// Runs a scenario of a system.
///
/// # Errors
/// The scenario is not for this engine, does not fit the system or cannot be planned for this seed; a name in
/// `sabotage` is unknown; or the trace cannot be written.
pub fn run(
    definition: &Definition,
    scenario: &Scenario,
    seed: u64,
    options: Options<'_>,
) -> Result<Outcome, ScenarioError> {
    scenario.check_engine(Kind::Model)?;
    let plan = scenario.plan(seed)?;
    let trace = Trace::new(options.recorder);
    let mut engine = Engine::new(definition, scenario, &plan, &options.sabotage, trace)?;
    let mut judge = Judge::new(scenario, &plan, interval(scenario.hosts.len()));
    let mut checkpoint = checkpoint_interval(scenario.hosts.len());
    loop {
        let until = judge.next_check().min(checkpoint).min(plan.end);
        drive(&mut engine, &mut judge, ns(until));
        if checkpoint <= until {
            check(&mut engine, Invariants::checkpoint);
            checkpoint += checkpoint_interval(scenario.hosts.len());
        }
        if judge.next_check() <= until {
            judge.check(until, &engine);
        }
        if until >= plan.end || judge.is_over(until) {
            break;
        }
    }
    Ok(finish(
        definition,
        engine,
        judge,
        (options.strict, &options.sabotage),
    ))
}

/// Processes events up to an instant, and passes reported events to the judge.
fn drive(engine: &mut Engine<'_, '_>, judge: &mut Judge<'_>, until: u64) {
    while engine.advance(until) {
        if engine.reports.is_empty() {
            continue;
        }
        let mut reports = std::mem::take(&mut engine.reports);
        for (reporter, event) in reports.drain(..) {
            judge.event(since_start(engine.now), reporter, &*event, &*engine);
        }
        engine.reports = reports;
    }
}

/// Checks invariants on the whole world.
fn check(engine: &mut Engine<'_, '_>, look: impl Fn(&mut Invariants, u64, &Scene<'_>)) {
    let mut invariants = std::mem::take(&mut engine.invariants);
    for of in &mut invariants {
        look(of, engine.now, &engine.scene());
    }
    engine.invariants = invariants;
}

fn finish(
    definition: &Definition,
    mut engine: Engine<'_, '_>,
    judge: Judge<'_>,
    (strict, sabotage): (bool, &[String]),
) -> Outcome {
    check(&mut engine, Invariants::at_rest);
    let scenario = engine.scenario;
    let messages: u64 = engine.hosts.iter().map(|host| host.traffic.messages).sum();
    let framing = stream::FRAMING_BYTES as u64 * messages;
    let ending = Ending {
        definition,
        engine: Kind::Model,
        strict,
        sabotage,
        now: since_start(engine.now),
        trace_hash: engine.trace.hash(),
        events: engine.events,
        overhead_bytes: framing + stream::SEGMENT_OVERHEAD_BYTES as u64 * engine.segments,
        affected: &engine.fabric.bites,
        broken: engine
            .invariants
            .iter()
            .flat_map(|of| of.failures(&scenario.file))
            .chain(engine.errors.iter().map(|(at, why)| {
                let rule = "a process handles the errors that it meets";
                Failure::new(&scenario.file, 0, rule, since_start(*at), why)
            }))
            .collect(),
        metrics: BTreeMap::new(),
        projection: scenario
            .confluent
            .then(|| {
                let mut programs = engine.programs.iter();
                programs.find_map(|program| program.projection(&engine.scene()))
            })
            .flatten(),
    };
    ending.judged(judge, &engine)
}

/// Returns the interval between checks of conditions; it grows with the number of hosts.
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
