//! The simulator's command line for both systems: `cargo run -- run scenarios/rollout.toml`.

use fleet::renewal::system::RENEWAL;
use fleet::system::FLEET;
use std::process::ExitCode;

fn main() -> ExitCode {
    phalanx_sim_cli::main(&[&FLEET, &RENEWAL])
}
