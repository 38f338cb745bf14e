//! The simulator's command line for the election: `cargo run -- run scenarios/quiet.toml`.

use election::system::ELECTION;
use std::process::ExitCode;

// guide: main
fn main() -> ExitCode {
    phalanx_sim_cli::main(&[&ELECTION])
}
// guide: end
