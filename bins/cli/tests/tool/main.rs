//! The tool from a user's point of view: exit codes, messages, JSON, and the processes and files
//! that it leaves.
//!
//! Needs `phalanxd` and `phalanx-sim-wire` built beside the tool: `make build`, which `make test`
//! runs first.

#![expect(clippy::unwrap_used, reason = "a missing value fails the test")]

mod certificates;
mod channels;
mod coverage;
mod daemon;
mod documentation;
mod environment;
mod exits;
mod explaining;
mod fleet;
mod golden;
mod hunting;
mod interop;
mod interrupts;
mod matrix;
mod messages;
mod network;
mod outputs;
mod recorded;
mod registry;
mod rest;
mod revoking;
mod simulator;
mod soaking;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tokio::net::TcpSocket;

/// Exit code and output of a command.
struct Answer {
    code: i32,
    out: String,
    err: String,
}

impl Answer {
    /// Returns the JSON objects that the command printed, one per line.
    fn json(&self) -> Vec<Value> {
        let parse =
            |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        self.out.lines().map(parse).collect()
    }

    #[track_caller]
    fn fine(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self
    }

    /// Checks that the command failed with this code and that its message contains these words.
    #[track_caller]
    fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in: {}", self.err);
        }
    }
}

fn tool(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_phalanx"));
    command.args(arguments).stdin(Stdio::null());
    for variable in [
        "PHALANX_NODE",
        "PHALANX_CERT_DIR",
        "PHALANX_SECRET_FILE",
        "PHALANX_MESH",
    ] {
        command.env_remove(variable);
    }
    command
}

fn run(arguments: &[&str]) -> Answer {
    let output = tool(arguments).output().expect("the tool starts");
    Answer {
        code: output.status.code().expect("the tool ends by itself"),
        out: String::from_utf8(output.stdout).expect("the tool prints UTF-8"),
        err: String::from_utf8(output.stderr).expect("the tool prints UTF-8"),
    }
}

/// Returns an address without a listener; the port stays reserved while the socket is held.
fn unused_address() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().expect("the system gives a socket");
    let bound = socket.bind(([127, 0, 0, 1], 0).into());
    let address = bound.and_then(|()| socket.local_addr());
    (socket, address.expect("it is bound").to_string())
}

fn scenario(name: &str) -> String {
    let top: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "..", "scenarios"]
        .iter()
        .collect();
    text(&top.join(name))
}

fn text(path: &Path) -> String {
    path.to_str()
        .expect("a path of the test is UTF-8")
        .to_owned()
}

#[test]
fn wrong_usage_is_code_2_and_suggests_the_nearest_word() {
    run(&["stauts"]).fails(2, &["stauts", "status"]);
    run(&["sim", "run"]).fails(2, &["FILE"]);
    run(&["status"]).fails(2, &["--cert-dir"]);
    run(&["dev", "--nodes", "0"]).fails(2, &["--nodes", "1..=50"]);
    run(&["dev", "--for", "soon"]).fails(2, &["`soon` is not a valid duration", "250ms"]);
}

#[test]
fn output_to_a_pipe_has_no_colours() {
    let answer = run(&["sim", "list", &scenario("two-nodes.toml")]).fine();
    assert!(
        !answer.out.contains('\x1b') && answer.err.is_empty(),
        "{}{}",
        answer.out,
        answer.err
    );
}
