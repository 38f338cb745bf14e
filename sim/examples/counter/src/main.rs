//! The simulator's command line for the counter: `cargo run -- run scenarios/restarts.toml`.

fn main() -> std::process::ExitCode {
    phalanx_sim_cli::main(&[&counter::COUNTER])
}
