//! The simulator's command line for the queue: `cargo run -- run scenarios/crashes.toml`.

fn main() -> std::process::ExitCode {
    phalanx_sim_cli::main(&[&queue::QUEUE])
}
