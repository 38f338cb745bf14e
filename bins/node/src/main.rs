//! The mesh daemon: reads its configuration, runs one node, and leaves the mesh when it is told to end.
//!
//! Exit code 0: it ended as it was told. 1: it failed while running. 2: it was not started, because of what the
//! message on standard error names. Log lines go to standard error; standard output stays empty.

mod config;
mod daemon;
mod flags;
mod state;

use clap::Parser as _;
use config::Settings;
use flags::Flags;
use std::io::Write as _;
use std::process::ExitCode;

/// Why the daemon ends otherwise than it was told.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was not started.
    Start(String),
    /// It failed while running.
    Run(String),
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    match go(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Start(message)) => {
            say(&message);
            ExitCode::from(2)
        }
        Err(Failure::Run(message)) => {
            say(&message);
            ExitCode::FAILURE
        }
    }
}

fn go(flags: &Flags) -> Result<(), Failure> {
    let settings = load(flags).map_err(Failure::Start)?;
    if flags.check_config {
        return daemon::check(&settings).map(|said| say(&said));
    }
    daemon::run(settings, flags.until_input_ends, || load(flags))
}

fn load(flags: &Flags) -> Result<Settings, String> {
    Settings::load(flags, std::env::vars_os()).map_err(|problems| problems.join("\n"))
}

/// Writes to standard error: before the log begins, and after it ended.
fn say(text: &str) {
    // There is nobody left to tell when standard error is closed.
    let _lost = writeln!(std::io::stderr(), "{text}").is_err();
}
