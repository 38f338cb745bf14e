//! The simulator's command line for the registry: `cargo run -- run scenarios/registry-crash.toml`.

use registry::system::REGISTRY;
use std::process::ExitCode;

fn main() -> ExitCode {
    phalanx_sim_cli::main(&[&REGISTRY])
}
