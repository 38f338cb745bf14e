//! A running daemon that is stopped when the test ends.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Deadline of every condition that a test waits for; the deadline allows for a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Returns the command line of a daemon, without the environment of this process. The daemon ends when its standard input
/// does, which is a pipe of this process: no daemon outlives a test that is killed.
pub(crate) fn phalanxd<I: AsRef<std::ffi::OsStr>>(
    arguments: impl IntoIterator<Item = I>,
) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_phalanxd"));
    command
        .env_clear()
        .args(arguments)
        .arg("--until-input-ends");
    command.stdin(Stdio::piped());
    command
}

/// The socket of a service manager, on which a daemon reports its state.
pub(crate) struct NotifySocket {
    pub(crate) socket: UnixDatagram,
    path: PathBuf,
    _folder: TempDir,
}

impl NotifySocket {
    pub(crate) fn new() -> Self {
        // The path of a socket has at most 107 bytes, and the default directory for temporary files may
        // have a long path.
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        Self {
            socket,
            path,
            _folder: folder,
        }
    }

    /// The path, for the environment of a daemon.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the next message of the daemon.
    pub(crate) fn hear(&self) -> String {
        let mut buffer = [0; 256];
        let length = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }
}

/// Runs a daemon that does not start; returns its exit code and its message.
pub(crate) fn refused(mut command: Command) -> (Option<i32>, String) {
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The end of its input would end the daemon.
    let input = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    drop(input);
    assert!(
        output.stdout.is_empty(),
        "standard output: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// A running daemon process.
#[derive(Debug)]
pub(crate) struct RunningDaemon {
    child: Child,
    lines: Receiver<Value>,
    /// The listening address.
    pub(crate) address: SocketAddr,
    /// The epoch of this start.
    pub(crate) epoch: u64,
}

impl RunningDaemon {
    /// Starts the daemon with JSON log lines, and waits for its log line "phalanxd has started".
    pub(crate) fn start(mut command: Command) -> Self {
        command.args(["--log-level", "debug"]);
        Self::start_as_configured(command)
    }

    /// Starts the daemon with JSON log lines of the configured level.
    pub(crate) fn start_as_configured(mut command: Command) -> Self {
        command.args(["--log-format", "json"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let errors = BufReader::new(child.stderr.take().unwrap());
        let (out, lines) = channel();
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if out.send(line).is_err() {
                    return;
                }
            }
        });
        let unset = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut daemon = Self {
            child,
            lines,
            address: unset,
            epoch: 0,
        };
        let started = daemon.says("phalanxd has started");
        daemon.address = started["address"].as_str().unwrap().parse().unwrap();
        daemon.epoch = started["epoch"].as_u64().unwrap();
        daemon
    }

    /// Waits for a log line whose message contains `text`, or for a plain line that does.
    pub(crate) fn says(&self, text: &str) -> Value {
        self.says_all(&[text])
    }

    /// Waits for a log line that contains all of these texts.
    pub(crate) fn says_all(&self, texts: &[&str]) -> Value {
        let deadline = Instant::now() + SOON;
        let mut heard = Vec::new();
        while let Ok(line) = self
            .lines
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            if line["message"]
                .as_str()
                .or(line.as_str())
                .is_some_and(|message| texts.iter().all(|text| message.contains(text)))
            {
                return line;
            }
            heard.push(line);
        }
        panic!("the daemon did not log {texts:?}; it logged {heard:#?}");
    }

    /// Returns the log lines that arrived and were not read.
    pub(crate) fn said(&self) -> Vec<Value> {
        self.lines.try_iter().collect()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Returns the process id.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Ends the standard input of the process, as the end of the test does.
    pub(crate) fn input_ends(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Returns whether the process is running.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends SIGTERM and waits for the end of the process; asserts that standard output is empty.
    pub(crate) fn ends(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let status = self.waits_for_its_end();
        let mut said = String::new();
        let mut output = self.child.stdout.take().unwrap();
        output.read_to_string(&mut said).unwrap();
        assert_eq!(said, "", "standard output");
        status
    }

    /// Waits for the end of the process.
    pub(crate) fn waits_for_its_end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the daemon did not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for RunningDaemon {
    fn drop(&mut self) {
        // The process may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
