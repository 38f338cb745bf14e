//! Child programs of Phalanx: found beside this executable, then on PATH, and run until they exit.

use crate::failure::CommandError;
use phalanx_sim::arguments::PROGRESS;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Exit status and output of a program.
#[derive(Debug)]
pub struct ProgramOutput {
    /// `None` if the program was killed: it exceeded its time limit, or the caller ended.
    pub status: Option<ExitStatus>,
    /// Standard output.
    pub answer: String,
    /// Standard error, without the lines of progress.
    errors: String,
    /// The last line of progress on standard error.
    pub progress: Option<String>,
    /// The program's file name.
    program: String,
}

impl ProgramOutput {
    /// Returns the error text, without the program's name.
    pub fn complaint(&self) -> &str {
        let errors = self.errors.trim();
        let own = errors.strip_prefix(&self.program);
        let own = own.and_then(|rest| rest.strip_prefix(": "));
        own.unwrap_or_else(|| errors.trim_start_matches("phalanx: "))
    }
}

/// Returns the file name of this executable.
#[must_use]
pub fn name() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    let stem = path.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

/// Returns the path of this executable.
pub fn this() -> Result<PathBuf, CommandError> {
    std::env::current_exe().map_err(|error| {
        CommandError::failed(format!(
            "the path of this executable cannot be determined: {error}"
        ))
    })
}

/// Finds a program; `target` is the command that builds it, for the error message.
pub fn find(name: &str, target: &str) -> Result<PathBuf, CommandError> {
    let beside = this()?.parent().map(Path::to_path_buf);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = beside.into_iter().chain(std::env::split_paths(&path));
    folders
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .ok_or_else(|| {
            CommandError::usage(format!(
                "{name} is neither beside this program nor on PATH; build it with `{target}`"
            ))
        })
}

/// Runs a program until it exits; kills it after `within`, or as soon as `is_over` returns true.
pub fn run(
    command: &mut Command,
    within: Duration,
    is_over: &dyn Fn() -> bool,
) -> Result<ProgramOutput, CommandError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let failed =
        |what: &str, error: std::io::Error| CommandError::failed(format!("{name} {what}: {error}"));
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed("cannot be started", error))?;
    let (answer, errors) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let is_late = || start.elapsed() >= within || is_over();
    let status = wait(&mut child, &is_late).map_err(|error| failed("was lost", error))?;
    let errors = text_of(errors);
    let mut progress = errors
        .lines()
        .filter_map(|line| line.strip_prefix(PROGRESS));
    let progress = progress.next_back().map(ToOwned::to_owned);
    let errors = errors.split_inclusive('\n');
    let errors = errors.filter(|line| !line.starts_with(PROGRESS)).collect();
    Ok(ProgramOutput {
        status,
        answer: text_of(answer),
        errors,
        progress,
        program: file_name(command.get_program()),
    })
}

fn file_name(program: &OsStr) -> String {
    let name = Path::new(program).file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Reads a pipe to its end in a thread of its own.
fn drain(pipe: Option<impl std::io::Read + Send + 'static>) -> Option<JoinHandle<Vec<u8>>> {
    pipe.map(|mut pipe| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            // The bytes that arrived before an error are still shown.
            drop(pipe.read_to_end(&mut bytes));
            bytes
        })
    })
}

fn text_of(reader: Option<JoinHandle<Vec<u8>>>) -> String {
    let bytes = reader
        .and_then(|reader| reader.join().ok())
        .unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits for a program to exit; kills it when it is late, and then returns no status.
fn wait(child: &mut Child, is_late: &dyn Fn() -> bool) -> std::io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if is_late() {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_runs_until_it_exits_or_is_killed_at_its_deadline() {
        let shell =
            |script: &str, within| run(Command::new("sh").args(["-c", script]), within, &|| false);
        let long = Duration::from_secs(60);
        let ran = shell("echo yes; echo phalanx: no >&2; exit 3", long).unwrap();
        let moves = "echo progress: 1s >&2; echo progress: 2s >&2; echo why >&2";
        let moved = shell(moves, long).unwrap();
        assert_eq!(
            (moved.progress.as_deref(), moved.complaint()),
            (Some("2s"), "why")
        );
        assert_eq!(ran.status.and_then(|it| it.code()), Some(3));
        assert_eq!((ran.answer.as_str(), ran.complaint()), ("yes\n", "no"));
        let begun = Instant::now();
        let late = shell("exec sleep 100", Duration::from_millis(50)).unwrap();
        assert!(late.status.is_none() && begun.elapsed() < long);
        let mut endless = Command::new("sleep");
        let over = run(endless.arg("100"), long, &|| {
            begun.elapsed().as_millis() > 60
        })
        .unwrap();
        assert!(over.status.is_none() && begun.elapsed() < long);
        let missing = run(&mut Command::new("/nowhere/program"), long, &|| false).unwrap_err();
        assert!(
            missing.to_string().contains("/nowhere/program"),
            "{missing}"
        );
    }
}
