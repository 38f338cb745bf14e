//! Queries over IPv6, and the display of links in trusted subnets.

use super::fleet::RunningFleet;
use super::{run, text, tool};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

#[test]
fn links_in_a_trusted_subnet_are_shown_as_unencrypted() {
    let mut command = tool(&["dev", "--json", "--nodes", "2"]);
    command.env("PHALANX_TRUSTED_SUBNETS", "127.0.0.0/8");
    let mut dev = RunningFleet::of(command);
    dev.formed();
    let links = dev.ask(&["links"]).fine().out;
    assert!(
        links.contains("ENCRYPTION") && links.contains("unencrypted"),
        "{links}"
    );
    let links = &dev.ask(&["links", "--json"]).fine().json()[0];
    assert_eq!(links["links"][0]["encryption"], "unencrypted", "{links}");
    let status = dev.ask(&["status"]).fine().out;
    for words in ["1, 1 unencrypted", "unencrypted in 127.0.0.0/8"] {
        assert!(status.contains(words), "{status}");
    }
    let status = &dev.ask(&["status", "--json"]).fine().json()[0];
    assert_eq!(
        status["trusted_subnets"],
        serde_json::json!(["127.0.0.0/8"])
    );
    assert_eq!(status["links"][0]["encryption"], "unencrypted");
}

/// A daemon process that is ended when this value is dropped.
struct Daemon {
    child: Child,
    address: String,
}

impl Daemon {
    fn start(folder: &Path, id: &str, listen: &str) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_phalanx")).with_file_name("phalanxd");
        let mut child = Command::new(program)
            .args(["--id", id, "--mesh", "six", "--listen", listen])
            .arg("--cert-dir")
            .arg(folder.join("pki"))
            .arg("--state-dir")
            .arg(folder.join(id))
            .args(["--log-format", "json", "--until-input-ends"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the daemon starts");
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let started = lines
            .map_while(Result::ok)
            .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
            .find(|line| line["message"] == "phalanxd has started")
            .expect("the daemon logs its listening address");
        let address = started["address"].as_str().unwrap().to_owned();
        Self { child, address }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_node_is_queried_over_ipv6() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), "a", "[::1]:0");
    assert!(daemon.address.starts_with("[::1]:"), "{}", daemon.address);
    let pki = text(&folder.path().join("pki"));
    let arguments = [
        "peers",
        "--node",
        &daemon.address,
        "--cert-dir",
        &pki,
        "--json",
    ];
    let peers = &run(&arguments).fine().json()[0]["peers"];
    assert_eq!(peers[0]["address"], daemon.address.as_str(), "{peers}");
    run(&["status", "--node", &daemon.address, "--cert-dir", &pki]).fine();
}
