//! One phalanxd process in a local fleet.

use crate::failure::CommandError;
use phalanx_core::registry::name::RegionId;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Time that a daemon has to end after SIGTERM; afterwards it is killed.
const END_GRACE: Duration = Duration::from_secs(20);

/// Arguments of a daemon, the same for each start of the daemon.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) name: String,
    pub(crate) mesh: String,
    pub(crate) address: SocketAddr,
    pub(crate) targets: Vec<SocketAddr>,
    pub(crate) services: Vec<String>,
    /// The region whose registry the daemon runs, and the primary region.
    pub(crate) registry: Option<(RegionId, RegionId)>,
    pub(crate) cert_dir: PathBuf,
    pub(crate) state_dir: PathBuf,
    pub(crate) log: PathBuf,
}

/// A daemon process that can be killed and restarted. Dropping the struct kills the process.
#[derive(Debug)]
pub(crate) struct DaemonProcess {
    launch: Launch,
    child: Option<Child>,
}

impl DaemonProcess {
    pub(crate) const fn new(launch: Launch) -> Self {
        Self {
            launch,
            child: None,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.launch.name
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.launch.address
    }

    /// The region whose registry the daemon runs.
    pub(crate) fn region(&self) -> Option<&RegionId> {
        self.launch.registry.as_ref().map(|(region, _)| region)
    }

    /// Returns the process id, while a process runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts the process; the output of the process goes to its log file.
    pub(crate) fn start(&mut self) -> Result<(), CommandError> {
        let launch = &self.launch;
        let failed = |error: std::io::Error| {
            CommandError::failed(format!(
                "{} ({}) cannot be started: {error}",
                launch.name,
                launch.program.display()
            ))
        };
        let log = File::options()
            .create(true)
            .append(true)
            .open(&launch.log)
            .map_err(failed)?;
        let mut command = Command::new(&launch.program);
        command
            .arg("--id")
            .arg(&launch.name)
            .arg("--mesh")
            .arg(&launch.mesh)
            .arg("--listen")
            .arg(launch.address.to_string())
            .arg("--cert-dir")
            .arg(&launch.cert_dir)
            .arg("--state-dir")
            .arg(&launch.state_dir);
        for target in &launch.targets {
            command.arg("--target").arg(target.to_string());
        }
        for service in &launch.services {
            command.arg("--service").arg(service);
        }
        if let Some((region, primary)) = &launch.registry {
            command.env("PHALANX_REGISTRY_REGION", region.as_str());
            command.env("PHALANX_REGISTRY_PRIMARY", primary.as_str());
        }
        // The process gets its own process group, so that Ctrl-C reaches only this tool, which then ends the daemons in
        // order. This tool holds the write end of the daemon's standard input; however the tool ends, the pipe closes,
        // and the daemon then ends too.
        command.process_group(0).arg("--until-input-ends");
        command.stdin(Stdio::piped());
        command
            .stdout(Stdio::from(log.try_clone().map_err(failed)?))
            .stderr(Stdio::from(log));
        self.child = Some(command.spawn().map_err(failed)?);
        Ok(())
    }

    /// Kills the process with SIGKILL.
    pub(crate) fn kill(&mut self) -> Result<(), CommandError> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        let killed = child.kill().and_then(|()| child.wait());
        killed.map(drop).map_err(|error| {
            CommandError::failed(format!("{} cannot be killed: {error}", self.launch.name))
        })
    }

    /// Sends SIGTERM: the process leaves the mesh and ends.
    pub(crate) fn ask_to_end(&self) {
        let pid = self
            .pid()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // The process may have ended by itself; `wait_for_end` reports such an end.
            let _gone = kill_process(pid, Signal::TERM);
        }
    }

    /// Waits for the end of the process after `ask_to_end`; kills the process after [`END_GRACE`] and then returns an
    /// error.
    pub(crate) fn wait_for_end(&mut self) -> Result<(), CommandError> {
        let deadline = Instant::now() + END_GRACE;
        while self.child.is_some() && self.ended()?.is_none() {
            if Instant::now() >= deadline {
                self.kill()?;
                return Err(CommandError::failed(format!(
                    "{} did not end on SIGTERM and was killed",
                    self.launch.name
                )));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Returns the exit status of the process if the process has ended.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>, CommandError> {
        let Some(child) = &mut self.child else {
            return Ok(None);
        };
        let status = child.try_wait().map_err(|error| {
            CommandError::failed(format!("{} was lost: {error}", self.launch.name))
        })?;
        if status.is_some() {
            self.child = None;
        }
        Ok(status)
    }

    /// Returns the last lines of the process's log.
    pub(crate) fn log_tail(&self) -> String {
        tail(&self.launch.log)
    }
}

impl Drop for DaemonProcess {
    fn drop(&mut self) {
        // A destructor cannot return an error, and the process may already have ended.
        drop(self.kill());
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(8).collect();
    lines
        .into_iter()
        .rev()
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}
