//! One real daemon beside the tool.

use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A daemon process that is killed when this value is dropped.
pub(super) struct StartedDaemon {
    child: Child,
    pub(super) address: String,
}

impl StartedDaemon {
    /// Starts a daemon with these arguments; returns when it listens.
    pub(super) fn start(arguments: &[&str]) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_phalanx")).with_file_name("phalanxd");
        let mut child = Command::new(program)
            .args(arguments)
            .args(["--log-format", "json", "--until-input-ends"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the daemon starts");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let started = lines
            .by_ref()
            .map_while(Result::ok)
            .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
            .find(|line| line["message"] == "phalanxd has started")
            .expect("the daemon logs its listening address");
        let address = started["address"].as_str().unwrap().to_owned();
        // A daemon whose log is not read drops lines; its pipe stays open for as long as the process lives.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self { child, address }
    }
}

impl Drop for StartedDaemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
