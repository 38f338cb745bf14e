//! Runs one scenario with one seed on madsim: the production driver, with tasks scheduled at random.
//!
//! The driver is phalanx-net's own file, included by path; its tokio is madsim's. Each host is one driver with its
//! machine, and tasks that carry messages between hosts. madsim draws the order of tasks that are ready at the same
//! time from the seed; an event heap would fix this order. Start with `engine`; `host` is one host, `fabric` the
//! network between hosts.
//!
//! Exit codes: 0 if the run passed, 1 if it failed, 2 for wrong usage, a bad file, or a step that this engine does not
//! support.

#[path = "../../../net/src/driver.rs"]
#[expect(
    dead_code,
    reason = "the driver serves the daemon; this engine asks its machines in another way"
)]
mod driver;
mod engine;
mod fabric;
mod host;
mod orders;

use madsim::runtime::Runtime;
use phalanx_sim::arguments::{EngineBinary, RunArguments};
use phalanx_sim::outcome::{Outcome, RunVerdict};
use phalanx_sim::scenario::plan::Plan;
use phalanx_sim::scenario::{Engine, Scenario};
use std::io::Write;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

const PROGRAM: EngineBinary = EngineBinary {
    name: "phalanx-sim-madsim",
    version: env!("CARGO_PKG_VERSION"),
    about: "Runs one scenario with one seed on the daemon's own driver, with tasks scheduled at random, and prints\n\
            the result as JSON. With --twice it runs it twice and compares every random draw: not for scenarios that\n\
            pause nodes. `phalanx sim run --engine madsim` starts it, once a seed.",
};

/// The run, in a static because a determinism check takes a function without captures.
static RUN: OnceLock<Arc<Run>> = OnceLock::new();

/// One prepared run.
struct Run {
    scenario: Scenario,
    plan: Plan,
    arguments: RunArguments,
}

fn main() -> ExitCode {
    if let Some(text) = PROGRAM.introduction(std::env::args().skip(1)) {
        // The error is ignored: the caller has closed standard output.
        let _unread = writeln!(std::io::stdout(), "{text}");
        return ExitCode::SUCCESS;
    }
    let (answer, code) = match run() {
        Ok((json, RunVerdict::Pass)) => (Ok(json), ExitCode::SUCCESS),
        Ok((json, RunVerdict::Fail)) => (Ok(json), ExitCode::FAILURE),
        Err(complaint) => (Err(complaint), ExitCode::from(2)),
    };
    let written = match answer {
        Ok(json) => writeln!(std::io::stdout(), "{json}"),
        Err(complaint) => writeln!(std::io::stderr(), "{}: {complaint}", PROGRAM.name),
    };
    if written.is_err() {
        ExitCode::from(2)
    } else {
        code
    }
}

/// Performs the run that the arguments describe. Returns the result as JSON, and the verdict.
fn run() -> Result<(String, RunVerdict), String> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let twice = words.iter().position(|word| word == "--twice");
    if let Some(at) = twice {
        words.remove(at);
    }
    let arguments = RunArguments::parse(PROGRAM, words.into_iter())?;
    let scenario = arguments.scenario().map_err(|error| error.to_string())?;
    scenario
        .check_engine(Engine::Madsim)
        .map_err(|error| error.to_string())?;
    let seed = arguments.seed;
    let plan = scenario.plan(seed).map_err(|error| error.to_string())?;
    if twice.is_some() && orders::pauses(&plan) {
        return Err("--twice is not for scenarios that pause nodes; compare two processes with `phalanx sim run --check`".to_owned());
    }
    let config = engine::config(&scenario);
    let run = RUN.get_or_init(|| {
        Arc::new(Run {
            scenario,
            plan,
            arguments,
        })
    });
    let outcome = if twice.is_some() {
        Runtime::check_determinism(seed, config, the_run)?
    } else {
        Runtime::with_seed_and_config(seed, config).block_on(engine::run(Arc::clone(run)))?
    };
    let json = serde_json::to_string(&outcome).map_err(|error| error.to_string())?;
    Ok((json, outcome.outcome))
}

/// Performs the prepared run.
async fn the_run() -> Result<Outcome, String> {
    match RUN.get() {
        Some(run) => engine::run(Arc::clone(run)).await,
        None => Err("there is nothing to run".to_owned()),
    }
}
