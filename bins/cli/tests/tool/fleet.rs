//! `phalanx dev`, and queries to its live nodes.

use super::{Answer, run, text, tool, unused_address};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(60);

/// A running `phalanx dev`; the process is ended when this value is dropped.
pub(super) struct RunningFleet {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    started: Value,
}

impl RunningFleet {
    pub(super) fn start(nodes: &str) -> Self {
        Self::of(tool(&["dev", "--json", "--nodes", nodes]))
    }

    /// Starts a fleet with this command.
    pub(super) fn of(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the tool starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let started = next(&mut lines);
        assert_eq!(started["event"], "started");
        Self {
            child,
            lines,
            started,
        }
    }

    /// Waits until `dev` reports that the mesh has formed.
    pub(super) fn formed(&mut self) {
        assert_eq!(next(&mut self.lines)["event"], "formed");
    }

    fn pids(&self) -> Vec<u64> {
        let nodes = self.started["nodes"].as_array().unwrap();
        nodes
            .iter()
            .map(|node| node["pid"].as_u64().unwrap())
            .collect()
    }

    fn folder(&self) -> PathBuf {
        PathBuf::from(self.started["folder"].as_str().unwrap())
    }

    /// Returns the flags that select the fleet's first node.
    pub(super) fn flags(&self) -> [&str; 4] {
        self.flags_of(0)
    }

    /// Returns the flags that select one of the fleet's nodes.
    pub(super) fn flags_of(&self, node: usize) -> [&str; 4] {
        let node = self.started["nodes"][node]["address"].as_str().unwrap();
        let cert_dir = self.started["cert_dir"].as_str().unwrap();
        ["--node", node, "--cert-dir", cert_dir]
    }

    pub(super) fn ask(&self, words: &[&str]) -> Answer {
        run(&[words, &self.flags()].concat())
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for the end of the process; returns its exit code.
    fn end(&mut self) -> Option<i32> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "phalanx dev did not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for RunningFleet {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal("TERM");
            drop(self.child.wait());
        }
    }
}

fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> Value {
    let line = lines.next().expect("the tool prints another line").unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"))
}

fn runs(pid: u64) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    // For an instant, a new process still has the name of its parent process.
    status.starts_with("Name:\tphalanx") && !status.contains("State:\tZ")
}

#[test]
fn dev_forms_a_mesh_and_leaves_nothing_behind() {
    for signal in ["INT", "TERM"] {
        let mut dev = RunningFleet::start("3");
        assert!(dev.pids().into_iter().all(runs), "three daemons run");
        dev.formed();
        dev.signal(signal);
        assert_eq!(dev.end(), Some(0), "SIG{signal}");
        assert!(
            !dev.pids().into_iter().any(runs),
            "SIG{signal} leaves a daemon running"
        );
        assert!(
            !dev.folder().exists(),
            "SIG{signal} leaves {}",
            dev.folder().display()
        );
    }
}

#[test]
fn killing_dev_leaves_no_daemon() {
    let mut dev = RunningFleet::start("2");
    dev.formed();
    let (pids, folder) = (dev.pids(), dev.folder());
    dev.signal("KILL");
    assert_eq!(dev.end(), None, "killed");
    let deadline = Instant::now() + DEADLINE;
    while pids.iter().any(|pid| runs(*pid)) {
        assert!(Instant::now() < deadline, "a daemon outlives its fleet");
        std::thread::sleep(Duration::from_millis(20));
    }
    // The files of the killed fleet are left behind and are removed here.
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn dev_ends_after_the_requested_time() {
    let answer = run(&["dev", "--nodes", "2", "--for", "5s", "--json"])
        .fine()
        .json();
    let events: Vec<&str> = answer
        .iter()
        .filter_map(|it| it["event"].as_str())
        .collect();
    assert_eq!(events, ["started", "formed", "ended"]);
    assert!(!Path::new(answer[0]["folder"].as_str().unwrap()).exists());
}

#[test]
fn a_live_node_answers_every_query() {
    let mut dev = RunningFleet::start("3");
    dev.formed();
    let status = &dev.ask(&["status", "--json"]).fine().json()[0];
    assert_eq!(
        (&status["node"]["id"], &status["members"]["alive"]),
        (&"n1".into(), &3.into())
    );
    assert_eq!(
        (&status["health"], &status["mesh"]),
        (&"healthy".into(), &"dev".into())
    );
    let peers = &dev.ask(&["peers", "--json"]).fine().json()[0];
    let ids: Vec<&str> = peers["peers"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|it| it["id"].as_str())
        .collect();
    assert_eq!(ids, ["n1", "n2", "n3"]);
    let mut members = peers["peers"].as_array().unwrap().iter();
    assert!(members.all(|it| it["kind"] == "generic"), "{peers}");
    let links = &dev.ask(&["links", "--json"]).fine().json()[0];
    assert!(!links["links"].as_array().unwrap().is_empty());
    let topology = &dev.ask(&["topology", "--json"]).fine().json()[0];
    assert_eq!(
        (
            &topology["viewer"],
            topology["members"].as_array().unwrap().len()
        ),
        (&"n1".into(), 3)
    );
    let services = &dev.ask(&["services", "dev/1", "--json"]).fine().json()[0];
    assert_eq!(
        services["services"][0]["providers"],
        serde_json::json!(["n1", "n2", "n3"])
    );
    assert_eq!(dev.ask(&["services", "unknown"]).code, 1);
    assert_eq!(dev.ask(&["watch", "--for", "200ms", "--json"]).code, 0);
    let ping = &dev.ask(&["ping", "--count", "1", "--json"]).fine().json()[0];
    assert_eq!(ping["node"], "n1");
    assert!(ping["micros"].as_u64().is_some_and(|it| it > 0), "{ping}");
    let short = &peers["peers"][0]["short_id"];
    assert_eq!(
        (&status["node"]["short_id"], &status["start"]),
        (short, &"join".into())
    );
    let people = dev.ask(&["status"]).fine().out;
    for line in [
        "kind         generic",
        "short id     #",
        "started by   join",
    ] {
        assert!(people.contains(line), "{people}");
    }
    let people = dev.ask(&["peers"]).fine().out;
    assert!(
        people.starts_with("NODE") && people.lines().count() == 4,
        "{people}"
    );
}

#[test]
fn certificates_of_another_authority_are_not_accepted() {
    let mut dev = RunningFleet::start("1");
    dev.formed();
    let folder = tempfile::tempdir().unwrap();
    let foreign = text(folder.path());
    run(&["ca", "init", "--cert-dir", &foreign, "--mesh", "dev"]).fine();
    let node = dev.started["nodes"][0]["address"].as_str().unwrap();
    run(&["status", "--node", node, "--cert-dir", &foreign]).fails(1, &[node, "not trusted"]);
}

#[test]
fn an_unreachable_node_is_code_1_and_a_bad_address_is_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let pki = text(folder.path());
    run(&["ca", "init", "--cert-dir", &pki]).fine();
    let (held, free) = unused_address();
    run(&["status", "--node", &free, "--cert-dir", &pki]).fails(1, &[&free, "refused"]);
    run(&["status", "--node", "nowhere", "--cert-dir", &pki]).fails(2, &["`nowhere`", "port"]);
    let empty = tempfile::tempdir().unwrap();
    run(&["status", "--node", &free, "--cert-dir", &text(empty.path())])
        .fails(2, &["does not contain an authority"]);
    assert!(
        std::fs::read_dir(empty.path()).unwrap().next().is_none(),
        "a query does not create an authority"
    );
    drop(held);
}

#[test]
fn dev_runs_the_registries_of_regions() {
    let mut dev = RunningFleet::of(tool(&["dev", "--json", "--regions", "eu,us"]));
    dev.formed();
    let regions: Vec<_> = (0..3)
        .map(|node| dev.started["nodes"][node]["region"].clone())
        .collect();
    assert_eq!(regions, ["eu".into(), "us".into(), Value::Null]);
    let words = ["registry", "status", "--json"];
    let begun = Instant::now();
    loop {
        let answer = run(&[&words, &dev.flags_of(1)[..]].concat());
        if answer.code == 0 {
            let status = &answer.json()[0];
            assert_eq!(
                (&status["region"], &status["primary"]),
                (&"us".into(), &"eu".into())
            );
            break;
        }
        assert!(begun.elapsed() < DEADLINE, "{}{}", answer.out, answer.err);
        std::thread::sleep(Duration::from_millis(20));
    }
    // The third node runs no registry, and names the primary one.
    let answer = run(&[&words, &dev.flags_of(2)[..]].concat());
    assert!(
        answer
            .err
            .contains("runs no registry; asking that of region eu, which n1"),
        "{}",
        answer.err
    );
    assert_eq!(answer.fine().json()[0]["region"], "eu");
    run(&["dev", "--regions", "eu,eu"]).fails(2, &["--regions: a region is given twice"]);
    run(&["dev", "--regions", "eu,US"]).fails(2, &["--regions"]);
}
