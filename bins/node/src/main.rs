//! The mesh daemon: reads its configuration, runs one node, and leaves the mesh on a signal to end.
//!
//! Exit codes: 0 if the daemon ended on request, 1 if it failed while running, 2 if it was not started for the reason
//! printed on standard error. Log lines go to standard error; standard output stays empty.

mod config;
mod daemon;
mod flags;
mod state;

use clap::Parser as _;
use config::DaemonSettings;
use flags::Flags;
use std::io::Write as _;
use std::process::ExitCode;

/// Reason why the daemon ended without a request.
#[derive(Debug)]
pub(crate) enum DaemonError {
    /// The daemon was not started.
    Start(String),
    /// The daemon failed while running.
    Run(String),
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    match go(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(DaemonError::Start(message)) => {
            print_to_stderr(&message);
            ExitCode::from(2)
        }
        Err(DaemonError::Run(message)) => {
            print_to_stderr(&message);
            ExitCode::FAILURE
        }
    }
}

fn go(flags: &Flags) -> Result<(), DaemonError> {
    let settings = load(flags).map_err(DaemonError::Start)?;
    if flags.check_config {
        return daemon::check(&settings).map(|said| print_to_stderr(&said));
    }
    daemon::run(settings, flags.until_input_ends, || load(flags))
}

fn load(flags: &Flags) -> Result<DaemonSettings, String> {
    DaemonSettings::load(flags, std::env::vars_os()).map_err(|problems| problems.join("\n"))
}

/// Writes to standard error before the log starts and after it has ended.
fn print_to_stderr(text: &str) {
    // The error is ignored, because no other output is left if standard error is closed.
    let _lost = writeln!(std::io::stderr(), "{text}").is_err();
}
