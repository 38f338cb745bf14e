//! Exit codes of every command: 0 success, 1 negative result, 2 wrong usage or a bad file.

use super::fleet::RunningFleet;
use super::simulator::impossible;
use super::{run, scenario, text, unused_address};
use phalanx_core::time::Wall;
use phalanx_net::identity::{Validity, ca_init};

/// Runs a command line, split at blanks, with further flags, and checks its exit code.
#[track_caller]
fn ends(line: &str, flags: &[&str], code: i32) {
    let words: Vec<&str> = line.split(' ').chain(flags.iter().copied()).collect();
    let answer = run(&words);
    let shown = words.join(" ");
    assert_eq!(
        answer.code, code,
        "phalanx {shown}\n{}{}",
        answer.out, answer.err
    );
    let complains = !answer.err.is_empty();
    assert!(
        code != 2 || complains,
        "phalanx {shown} prints no error message"
    );
    // A subscription is noted there, so that standard output holds payloads only.
    let notes = answer.err.ends_with("subscribed; press Ctrl-C to stop\n");
    assert!(
        code != 0 || !complains || notes,
        "phalanx {shown}: {}",
        answer.err
    );
}

#[test]
fn queries_to_a_live_node() {
    let mut dev = RunningFleet::start("1");
    dev.formed();
    let live = dev.flags();
    let (held, unknown) = unused_address();
    let gone = ["--node", &unknown, "--cert-dir", live[3]];
    let empty = tempfile::tempdir().unwrap();
    let folder = text(empty.path());
    let bad = ["--node", live[1], "--cert-dir", &folder];
    let lines = [
        "status",
        "ping --count 1",
        "peers",
        "links",
        "topology",
        "services",
        "watch --for 100ms",
        "publish chat hello",
        "subscribe chat --for 100ms",
        "kv put key value",
        "kv get key",
        "kv list",
        "kv watch --for 100ms",
        "kv txn --put a=b --delete c",
        "channels",
        "routes",
        "routes --from n1",
    ];
    for line in lines {
        for (reach, code) in [(live, 0), (gone, 1), (bad, 2)] {
            ends(line, &reach, code);
            ends(&format!("{line} --json"), &reach, code);
        }
        ends(line, &[], 2);
        ends(line, &["--node", "nowhere", "--cert-dir", live[3]], 2);
        ends(&format!("{line} --bogus"), &live, 2);
    }
    ends("services dev", &live, 0);
    ends("services dev/1", &live, 0);
    ends("services dev/2", &live, 1);
    ends("services unknown", &live, 1);
    ends("services dev@1", &live, 2);
    ends("services Dev", &live, 2);
    ends("watch --for soon", &live, 2);
    ends("kv get nothing", &live, 1);
    ends("kv delete key --if-value other", &live, 1);
    ends("kv put key value --if-version 1", &live, 2);
    ends("kv txn", &live, 2);
    for (reach, code) in [(live, 1), (gone, 1), (bad, 2)] {
        ends("send n1 lonely hello", &reach, code);
    }
    ends("routes --from unknown", &live, 1);
    ends("subscribe chat --kind other", &live, 2);
    drop(held);
}

#[test]
fn a_local_fleet() {
    ends("dev --nodes 1 --for 4s", &[], 0);
    // A mesh cannot form within 0 s.
    ends("dev --nodes 2 --for 0s", &[], 1);
    ends("dev --nodes 0", &[], 2);
    ends("dev --nodes 51", &[], 2);
    ends("dev --for soon", &[], 2);
}

#[test]
fn certificates() {
    let place = tempfile::tempdir().unwrap();
    let pki = text(&place.path().join("pki"));
    let at = ["--cert-dir", pki.as_str()];
    ends("ca init", &at, 0);
    ends("ca init", &at, 2);
    ends(
        "ca init --mesh Shop",
        &["--cert-dir", &text(place.path())],
        2,
    );
    ends("ca init", &[], 2);
    ends("ca issue web-1", &at, 0);
    ends("ca issue alice --admin", &at, 0);
    ends("ca issue Web", &at, 2);
    ends("ca issue", &at, 2);
    ends("ca issue web-1", &["--cert-dir", "/nowhere"], 2);
    ends("ca show", &at, 0);
    ends("ca show", &[&format!("{pki}/web-1-cert.pem")], 0);
    ends("ca show", &[&format!("{pki}/web-1-key.pem")], 2);
    ends("ca show /nowhere.pem", &[], 2);
    ends("ca show", &[], 2);
    let past = Validity {
        not_before: Wall(0),
        not_after: Wall(1_700_000_000),
    };
    let over = place.path().join("over");
    ca_init(&over, "shop", past).unwrap();
    ends("ca show", &["--cert-dir", &text(&over)], 1);
    // A query with an expired certificate is wrong usage, because the certificate file belongs to the caller.
    ends("status", &["--cert-dir", &text(&over)], 2);
}

#[test]
fn simulations() {
    let place = tempfile::tempdir().unwrap();
    let (good, folder) = (scenario("two-nodes.toml"), scenario(""));
    let bad = impossible(place.path());
    ends("sim run", &[&good], 0);
    ends("sim run", &[&bad], 1);
    ends("sim run /nowhere.toml", &[], 2);
    ends("sim run", &[], 2);
    ends("sim run --seed 2..1", &[&good], 2);
    ends("sim run --engine steam", &[&good], 2);
    ends("sim replay --until 5s", &[&good], 0);
    ends("sim replay --until 5s --node unknown", &[&good], 2);
    ends("sim replay", &[&good], 2);
    ends("sim list", &[&folder], 0);
    ends("sim list /nowhere", &[], 2);
    ends("sim schema", &[], 0);
    ends("sim schema --bogus", &[], 2);
}

#[test]
fn the_tool_itself() {
    ends("--help", &[], 0);
    ends("--version", &[], 0);
    ends("frobnicate", &[], 2);
    ends("demo --scenarios /nowhere", &[], 2);
    for command in ["ca", "sim"] {
        ends(command, &[], 2);
    }
}
