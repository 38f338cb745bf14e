//! One daemon process, its log, its memory and its state directory.

use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Size of the pipe of the log in bytes.
const PIPE_BYTES: usize = 4_096;
/// A byte that no line of a log contains.
const FILLER: u8 = 0;
/// Time within which a daemon ends.
const END: Duration = Duration::from_secs(30);

/// A running daemon. Its log is a pipe; a thread copies the pipe to a file, and can be told to stop reading.
pub(crate) struct Daemon {
    pub(crate) id: String,
    pub(crate) address: SocketAddr,
    folder: PathBuf,
    targets: Vec<SocketAddr>,
    child: Option<Child>,
    reading: Arc<AtomicBool>,
    /// The reading end of the log.
    log: Option<OwnedFd>,
}

/// The program of the daemons.
fn program() -> PathBuf {
    match std::env::var_os("PHALANX_HOSTILE_DAEMON") {
        Some(path) => path.into(),
        None => phalanx_tests::binary("phalanxd"),
    }
}

impl Daemon {
    /// A daemon that does not run yet, with its state and its log in `folder`.
    pub(crate) fn new(
        id: &str,
        address: SocketAddr,
        folder: &Path,
        targets: &[SocketAddr],
    ) -> Self {
        Self {
            id: id.to_owned(),
            address,
            folder: folder.to_owned(),
            targets: targets.to_vec(),
            child: None,
            reading: Arc::new(AtomicBool::new(true)),
            log: None,
        }
    }

    /// Starts the daemon with default settings.
    pub(crate) fn start(&mut self) {
        let mut command = Command::new(program());
        command.env_clear();
        command.args(["--id", &self.id, "--mesh", "test", "--listen"]);
        command.arg(self.address.to_string());
        command.arg("--state-dir").arg(self.state_folder());
        command.arg("--cert-dir").arg(self.folder.join("certs"));
        // The pipe of its standard input closes when this process ends, however it ends.
        command.arg("--until-input-ends");
        for target in &self.targets {
            command.args(["--target", &target.to_string()]);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("phalanxd starts");
        let log = child.stderr.take().expect("standard error is a pipe");
        rustix::pipe::fcntl_setpipe_size(&log, PIPE_BYTES).expect("the pipe has a size");
        self.log = Some(rustix::io::dup(&log).expect("the pipe can be duplicated"));
        let file = File::options()
            .create(true)
            .append(true)
            .open(self.log_path());
        let (file, reading) = (
            file.expect("the log can be opened"),
            Arc::clone(&self.reading),
        );
        std::thread::spawn(move || copy(log, file, &reading));
        self.child = Some(child);
    }

    fn state_folder(&self) -> PathBuf {
        self.folder.join(format!("state-{}", self.id))
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.id))
    }

    /// Stops or resumes the reader of the log.
    pub(crate) fn read_log(&self, reads: bool) {
        self.reading.store(reads, Ordering::Relaxed);
    }

    /// Fills the pipe of the log with [`FILLER`], so that the next line of the daemon waits for the reader.
    pub(crate) fn fill_log(&self) {
        let log = self.log.as_ref().expect("the daemon runs");
        // A description of its own: the daemon's own writes wait, as they do at a terminal or a journal.
        let path = format!("/proc/self/fd/{}", log.as_raw_fd());
        let flags = rustix::fs::OFlags::NONBLOCK.bits();
        let mut pipe = File::options()
            .write(true)
            .custom_flags(i32::try_from(flags).expect("a valid flag"))
            .open(path)
            .expect("the pipe can be opened");
        for size in [PIPE_BYTES / 8, 1] {
            while pipe
                .write(&vec![FILLER; size])
                .is_ok_and(|written| written > 0)
            {}
        }
    }

    /// Sends SIGHUP, after which the daemon writes a line about its configuration, unless it wrote many of them.
    pub(crate) fn reload(&self) {
        let child = self.child.as_ref().expect("the daemon was started");
        // A process that has ended is reported by its silence.
        let _ended = kill_process(Pid::from_child(child), Signal::HUP).is_err();
    }

    /// Whether the pipe of the log has no room for one more line.
    pub(crate) fn log_is_full(&self) -> bool {
        let log = self.log.as_ref().expect("the daemon runs");
        let bytes = rustix::io::ioctl_fionread(log).expect("the pipe is open");
        bytes > PIPE_BYTES as u64 - 64
    }

    pub(crate) fn log_bytes(&self) -> u64 {
        fs::metadata(self.log_path()).map_or(0, |log| log.len())
    }

    /// The last lines of the log.
    pub(crate) fn log_end(&self) -> String {
        let log = fs::read(self.log_path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<_> = text.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// The resident memory in KiB; 0 if the process ended. The pages of the program's file do not count in a development
    /// build, whose code is larger than that of a release.
    pub(crate) fn resident_kib(&self) -> u64 {
        let process = self.child.as_ref().expect("the daemon runs").id();
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            number
                .and_then(|number| number.parse::<u64>().ok())
                .unwrap_or(0)
        };
        match std::env::var_os("PHALANX_HOSTILE_DAEMON") {
            Some(_) => value("VmRSS:"),
            None => value("RssAnon:") + value("RssShmem:"),
        }
    }

    /// Whether the process runs.
    pub(crate) fn runs(&mut self) -> bool {
        let child = self.child.as_mut().expect("the daemon was started");
        matches!(child.try_wait(), Ok(None))
    }

    /// Names and contents of the files in the state directory.
    pub(crate) fn state(&self) -> BTreeMap<String, String> {
        let files = fs::read_dir(self.state_folder()).expect("the state directory can be read");
        let read = |entry: fs::DirEntry| {
            let text = fs::read(entry.path()).unwrap_or_default();
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, String::from_utf8_lossy(&text).into_owned())
        };
        files.map_while(Result::ok).map(read).collect()
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn ends(&mut self) -> Result<(), String> {
        let child = self.child.as_mut().expect("the daemon was started");
        // A process that ended by itself is reported below.
        let _ended = kill_process(Pid::from_child(child), Signal::TERM).is_err();
        let begun = Instant::now();
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("{} ended with {status}", self.id)),
                Ok(None) if begun.elapsed() < END => std::thread::sleep(Duration::from_millis(10)),
                Ok(None) | Err(_) => return Err(format!("{} does not end", self.id)),
            }
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // The process may have ended already.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Copies a log while the reader reads, until the daemon ends.
fn copy(mut log: ChildStderr, mut file: File, reading: &AtomicBool) {
    let mut buffer = [0; 4_096];
    loop {
        if !reading.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        }
        match log.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(bytes) => {
                let mut lines = buffer[..bytes].to_vec();
                lines.retain(|byte| *byte != FILLER);
                file.write_all(&lines).expect("the log can be written");
            }
        }
    }
}
