//! Runs one scenario with one seed on the production adapters, in one process.
//!
//! The nodes use the production code of phalanx-net (driver, transport, mutual TLS, HTTP/2, wire format) on turmoil
//! hosts that share this thread. Start with `engine`; `fabric` is the network between the hosts, `network` connects the
//! transport to the fabric, `host` runs the process of one host, `applications` are the applications beside the node of
//! a host, and `daemon_host` is the host as the engine sees it.
//!
//! Determinism: the clock is turmoil's (mad-turmoil overrides the C library's clock), every random byte comes from one
//! seeded generator (in mad-turmoil, and in `entropy` for system calls that mad-turmoil does not override), and nothing
//! depends on the hash of an address. Since the overrides are process-wide, a process runs one seed.
//!
//! Exit codes: 0 if the run passed, 1 if it failed, 2 for wrong usage, a bad file, or a step that this engine does not
//! support.

mod applications;
mod daemon_host;
mod engine;
mod entropy;
mod fabric;
mod host;
mod network;
mod orders;
mod pki;

use phalanx_sim::arguments::{EngineBinary, RunArguments};
use phalanx_sim::outcome::RunVerdict;
use phalanx_sim::scenario::Engine;
use std::io::Write;
use std::process::ExitCode;

const PROGRAM: EngineBinary = EngineBinary {
    name: "phalanx-sim-wire",
    version: env!("CARGO_PKG_VERSION"),
    about: "Runs one scenario with one seed on the daemon's own network code, and prints the result as JSON.\n\
            `phalanx sim run --engine wire` starts it, once a seed.",
};

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
        Err(complaint) => writeln!(std::io::stderr(), "phalanx-sim-wire: {complaint}"),
    };
    if written.is_err() {
        ExitCode::from(2)
    } else {
        code
    }
}

/// Performs the run that the arguments describe. Returns the result as JSON, and the verdict.
fn run() -> Result<(String, RunVerdict), String> {
    let arguments = RunArguments::parse(PROGRAM, std::env::args().skip(1))?;
    let scenario = arguments.scenario().map_err(|error| error.to_string())?;
    scenario
        .check_engine(Engine::Wire)
        .map_err(|error| error.to_string())?;
    let plan = scenario
        .plan(arguments.seed)
        .map_err(|error| error.to_string())?;
    entropy::seed(arguments.seed);
    let outcome = engine::run(&scenario, &plan, &arguments)?;
    let json = serde_json::to_string(&outcome).map_err(|error| error.to_string())?;
    Ok((json, outcome.outcome))
}
