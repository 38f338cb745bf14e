//! The mesh daemon: reads its configuration, runs one node, and leaves the mesh on a signal to end.
//!
//! Exit codes: 0 if the daemon ended on request, 1 if it failed while running, 2 if it was not started for the reason
//! printed on standard error, 3 if another node used its id for too long. Log lines go to standard error; standard output stays empty.

mod allocator;
mod config;
mod daemon;
mod flags;
mod state;

use clap::Parser as _;
use config::DaemonSettings;
use flags::Flags;
use phalanx_net::telemetry;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;
use tracing::Level;

/// Reason why the daemon ended without a request.
#[derive(Debug)]
pub(crate) enum DaemonError {
    /// The daemon was not started.
    Start(String),
    /// The daemon failed while running.
    Run(String),
    /// Another node has used the id of this node for too long.
    IdTaken(String),
}

/// Exit code if another node has used the id of this node for too long: a restart does not help.
const ID_TAKEN_CODE: u8 = 3;
/// Maximum time to write the last log lines, if the reader of standard error is slow.
const LOG_FLUSH_MAX: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    allocator::fix_settings();
    let flags = Flags::parse();
    let settings = match load(&flags) {
        Ok(settings) => settings,
        Err(problems) => return ended(&Err(DaemonError::Start(problems)), print_to_stderr),
    };
    if flags.check_config {
        let checked = daemon::check(&settings).map(|said| print_to_stderr(&said));
        return ended(&checked, print_to_stderr);
    }
    let log = match telemetry::start(settings.log_format, &settings.log_filter) {
        Ok(log) => log,
        Err(error) => {
            let failed = Err(DaemonError::Start(error.to_string()));
            return ended(&failed, print_to_stderr);
        }
    };
    let until_input_ends = flags.until_input_ends;
    let result = daemon::run(settings, &log, until_input_ends, move || load(&flags));
    let code = ended(&result, |message| log.print(Level::ERROR, message));
    // Lines that cannot be written in time are lost.
    let _written = log.flush(LOG_FLUSH_MAX);
    code
}

/// Reports the error, if there is one. Returns the exit code.
fn ended(result: &Result<(), DaemonError>, print: impl FnOnce(&str)) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(DaemonError::Start(message)) => {
            print(message);
            ExitCode::from(2)
        }
        Err(DaemonError::Run(message)) => {
            print(message);
            ExitCode::FAILURE
        }
        Err(DaemonError::IdTaken(message)) => {
            print(message);
            ExitCode::from(ID_TAKEN_CODE)
        }
    }
}

fn load(flags: &Flags) -> Result<DaemonSettings, String> {
    DaemonSettings::load(flags, std::env::vars_os()).map_err(|problems| problems.join("\n"))
}

/// Writes to standard error before the log starts and after it has ended.
fn print_to_stderr(text: &str) {
    // The error is ignored, because no other output is left if standard error is closed.
    let _lost = writeln!(std::io::stderr(), "{text}").is_err();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_does_not_restart_a_daemon_that_a_restart_does_not_help() {
        let unit = include_str!("../phalanxd.service");
        let has = |line: &str| unit.lines().any(|it| it == line);
        assert!(has(&format!("RestartPreventExitStatus={ID_TAKEN_CODE}")));
        for line in [
            "Type=notify",
            "Restart=always",
            "WatchdogSec=30",
            "LimitNOFILE=65536",
            "NoNewPrivileges=yes",
        ] {
            assert!(has(line), "{line}");
        }
    }
}
