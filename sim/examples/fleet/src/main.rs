//! The simulator's command line for the fleet: `cargo run -- run scenarios/rollout.toml`.

use fleet::system::FLEET;
use std::process::ExitCode;

fn main() -> ExitCode {
    phalanx_sim_cli::main(&[&FLEET])
}
