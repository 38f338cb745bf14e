//! `phalanx revoke` and `phalanx forget` against real daemons.

use super::daemon::StartedDaemon;
use super::{Answer, run, text, unused_address};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(60);

/// A certificate directory with an authority, and the state directories of daemons.
struct Place {
    folder: TempDir,
    pki: String,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pki = text(&folder.path().join("pki"));
        run(&["ca", "init", "--cert-dir", &pki, "--mesh", "six"]).fine();
        Self { folder, pki }
    }

    /// Issues a certificate, with more arguments.
    fn issues(&self, id: &str, more: &[&str]) {
        run(&[&["ca", "issue", id, "--cert-dir", &self.pki], more].concat()).fine();
    }

    fn file(&self, name: &str) -> String {
        text(&PathBuf::from(&self.pki).join(name))
    }

    /// The arguments that present a certificate from files; the daemon's flags begin with `--tls-`, the tool's with `--`.
    fn presents(&self, flags: &str, name: &str) -> Vec<String> {
        let files = [
            ("cert", format!("{name}-cert.pem")),
            ("key", format!("{name}-key.pem")),
            ("ca", "ca-cert.pem".to_owned()),
        ];
        let files = files.iter();
        files
            .flat_map(|(flag, file)| [format!("{flags}{flag}"), self.file(file)])
            .collect()
    }

    /// Starts a daemon with the issued certificate of its id.
    fn starts(&self, id: &str, target: Option<&StartedDaemon>) -> StartedDaemon {
        let state = text(&self.folder.path().join(id));
        let mut arguments = vec!["--id", id, "--mesh", "six", "--listen", "127.0.0.1:0"];
        arguments.extend(["--state-dir", &state]);
        if let Some(target) = target {
            arguments.extend(["--target", &target.address]);
        }
        let presents = self.presents("--tls-", id);
        arguments.extend(presents.iter().map(String::as_str));
        StartedDaemon::start(&arguments)
    }

    /// Runs the tool at a daemon, with an administrator's certificate that the authority issues.
    fn asks(&self, daemon: &StartedDaemon, words: &[&str]) -> Answer {
        let access = ["--node", &daemon.address, "--cert-dir", &self.pki];
        run(&[words, &access].concat())
    }

    /// Runs the tool at a daemon, with a certificate from files.
    fn asks_as(&self, name: &str, daemon: &StartedDaemon, words: &[&str]) -> Answer {
        let presents = self.presents("--", name);
        let mut arguments = words.to_vec();
        arguments.extend(["--node", &daemon.address]);
        arguments.extend(presents.iter().map(String::as_str));
        run(&arguments)
    }

    /// Waits until a daemon's JSON reply to a query is as wanted.
    #[track_caller]
    fn until(&self, daemon: &StartedDaemon, words: &[&str], wanted: impl Fn(&Value) -> bool) {
        let words = [words, &["--json"]].concat();
        let deadline = Instant::now() + DEADLINE;
        loop {
            let answer = self.asks(daemon, &words);
            if answer.json().first().is_some_and(&wanted) {
                return;
            }
            let late = Instant::now() >= deadline;
            assert!(!late, "{words:?}: {}{}", answer.out, answer.err);
        }
    }

    /// Waits until a daemon sees this number of live members.
    #[track_caller]
    fn alive(&self, daemon: &StartedDaemon, members: u64) {
        self.until(daemon, &["status"], |it| it["members"]["alive"] == members);
    }

    /// Waits until a daemon sees a member that is down.
    #[track_caller]
    fn down(&self, daemon: &StartedDaemon, id: &str) {
        let down = |it: &Value| it["peers"][0]["status"] == "down";
        self.until(daemon, &["peers", id], down);
    }

    /// Starts the daemons `a`, `b` and `c`, which see each other.
    fn starts_three(&self) -> [StartedDaemon; 3] {
        for id in ["a", "b", "c"] {
            self.issues(id, &[]);
        }
        let a = self.starts("a", None);
        let (b, c) = (self.starts("b", Some(&a)), self.starts("c", Some(&a)));
        for daemon in [&a, &b, &c] {
            self.alive(daemon, 3);
        }
        [a, b, c]
    }

    /// Waits until a daemon holds this number of revocations, which are durable.
    #[track_caller]
    fn holds(&self, daemon: &StartedDaemon, count: usize) {
        self.until(daemon, &["revoke", "--list"], |it| {
            it["durable"] == true && it["revocations"].as_array().map(Vec::len) == Some(count)
        });
    }
}

#[test]
fn a_node_revoked_by_id_returns_with_a_certificate_that_starts_now() {
    let place = Place::new();
    let [a, b, c] = place.starts_three();
    let revoked = place.asks(&a, &["revoke", "--id", "c"]).fine();
    assert_eq!(revoked.err, "", "c is a member");
    for words in ["Revoked: ", "of node c", "phalanx ca issue c --starts-now"] {
        assert!(revoked.out.contains(words), "{}", revoked.out);
    }
    for daemon in [&a, &b] {
        place.down(daemon, "c");
        place.holds(daemon, 1);
    }
    let list = &place
        .asks(&b, &["revoke", "--list", "--json"])
        .fine()
        .json()[0];
    let entry = &list["revocations"][0];
    assert_eq!(
        (&entry["id"], &entry["role"]),
        (&json!("c"), &json!("node"))
    );
    // The revoked certificate stays out; its holder learns the reason.
    drop(c);
    let c = place.starts("c", Some(&a));
    place.until(&c, &["status"], |it| {
        it["members"]["alive"] == 1 && it.to_string().contains("revoked")
    });
    drop(c);
    // A certificate that begins before the revocation, as they do by default, does not help.
    place.issues("c", &[]);
    let c = place.starts("c", Some(&a));
    place.until(&c, &["status"], |it| {
        it["members"]["alive"] == 1 && it.to_string().contains("revoked")
    });
    place.alive(&a, 2);
    drop(c);
    // The replacement is issued in the second of a second revocation.
    place.asks(&b, &["revoke", "--id", "c"]).fine();
    place.issues("c", &["--starts-now"]);
    let c = place.starts("c", Some(&a));
    for daemon in [&a, &b, &c] {
        place.alive(daemon, 3);
        place.holds(daemon, 1);
    }
}

/// Returns the SHA-256 of a certificate file, as the tool shows it.
fn fingerprint(file: &str) -> String {
    let shown = &run(&["ca", "show", file, "--json"]).fine().json()[0];
    shown["fingerprint"].as_str().unwrap().to_owned()
}

#[test]
fn one_certificate_is_revoked_by_its_fingerprint_or_its_file() {
    let place = Place::new();
    for id in ["a", "b", "c"] {
        place.issues(id, &[]);
    }
    place.issues("boss", &["--admin"]);
    let a = place.starts("a", None);
    let (b, c) = (place.starts("b", Some(&a)), place.starts("c", Some(&a)));
    place.alive(&a, 3);
    // An administrator without the authority's key signs with the own certificate. Colons and capitals are accepted.
    let print = fingerprint(&place.file("b-cert.pem"));
    let digits: Vec<char> = print.chars().filter(|it| *it != ':').collect();
    let pairs: Vec<String> = digits.chunks(2).map(|it| it.iter().collect()).collect();
    let capitals = pairs.join(":").to_uppercase();
    let boss = "boss+admin";
    let revoke = ["revoke", "--fingerprint", &capitals, "--json"];
    let revoked = &place.asks_as(boss, &a, &revoke).fine().json()[0];
    assert_eq!(revoked["held"], 1, "{revoked}");
    place.down(&a, "b");
    let file = place.file("c-cert.pem");
    let revoked = place.asks_as(boss, &a, &["revoke", "--certificate", &file]);
    assert!(revoked.fine().out.contains(&fingerprint(&file)));
    place.down(&a, "c");
    place.holds(&a, 2);
    drop((b, c));
    // Another certificate of the same node, begun earlier, is not revoked.
    place.issues("b", &[]);
    let b = place.starts("b", Some(&a));
    place.alive(&a, 2);
    place.holds(&b, 2);
    // An administrator revokes another one, whose calls end.
    place.issues("guest", &["--admin"]);
    place.asks_as("guest+admin", &a, &["status"]).fine();
    place
        .asks_as(boss, &a, &["revoke", "--id", "guest", "--admin"])
        .fine();
    place
        .asks_as("guest+admin", &a, &["status"])
        .fails(1, &[&a.address, "revoked"]);
}

#[test]
fn wrong_revocations_are_refused_with_the_reason() {
    let place = Place::new();
    place.issues("a", &[]);
    place.issues("b", &[]);
    let a = place.starts("a", None);
    let ask = |words: &[&str]| place.asks(&a, &[&["revoke"], words].concat());
    ask(&[]).fails(2, &["--id", "--certificate", "--fingerprint", "--list"]);
    ask(&["--id", "a", "--list"]).fails(2, &["--id", "--list"]);
    ask(&["--id", "No Id"]).fails(2, &["No Id", "--id"]);
    for other in [&["--list"][..], &["--fingerprint", &"a7".repeat(32)]] {
        ask(&[&["--admin"], other].concat()).fails(2, &["--admin", other[0]]);
    }
    for wrong in ["xyz", "", &"a7".repeat(31), &"a7".repeat(33)] {
        ask(&["--fingerprint", wrong]).fails(2, &["--fingerprint", "64 hexadecimal digits"]);
    }
    ask(&["--certificate", "/nowhere/c.pem"]).fails(2, &["/nowhere/c.pem"]);
    let key = place.file("b-key.pem");
    ask(&["--certificate", &key]).fails(2, &[&key, "certificate"]);
    let ca = place.file("ca-cert.pem");
    let of_ca = ["of a CA", "replace the CA on all nodes"];
    ask(&["--certificate", &ca]).fails(2, &[&[ca.as_str()], &of_ca[..]].concat());
    ask(&["--fingerprint", &fingerprint(&ca)]).fails(2, &of_ca);
    // A node's certificate cannot sign, not even at the node itself.
    for id in ["a", "b"] {
        place
            .asks_as(id, &a, &["revoke", "--id", "b"])
            .fails(2, &["not an administrator's", "phalanx ca issue --admin"]);
    }
    let listed = ["revoke", "--list"];
    place.asks_as("a", &a, &listed).fine();
    place
        .asks_as("b", &a, &listed)
        .fails(1, &["not allowed", "node/b", "administrator"]);
    // An authority that the node does not know.
    let foreign = Place::new();
    foreign
        .asks(&a, &["revoke", "--id", "b"])
        .fails(1, &[&a.address, "not trusted"]);
    assert!(
        ask(&["--list"])
            .fine()
            .out
            .contains("No certificate is revoked")
    );
    // An unknown id is revoked all the same, because its machine may be away; the tool says so.
    let unknown = ask(&["--id", "zelda"]).fine();
    assert!(
        unknown.err.contains("knows no member zelda"),
        "{}",
        unknown.err
    );
    place.holds(&a, 1);
    let (held, free) = unused_address();
    let nowhere = ["--node", &free, "--cert-dir", &place.pki];
    for words in [
        &["revoke", "--id", "b"][..],
        &["revoke", "--list"],
        &["forget", "b"],
    ] {
        run(&[words, &nowhere].concat()).fails(1, &[&free, "refused", "phalanxd is running"]);
    }
    drop(held);
}

#[test]
fn a_mesh_with_a_secret_refers_to_the_change_of_the_secret() {
    let folder = tempfile::tempdir().unwrap();
    let (secret, state) = (folder.path().join("secret"), folder.path().join("a"));
    let (secret, state) = (text(&secret), text(&state));
    run(&["ca", "secret", "--out", &secret]).fine();
    let own = ["--secret-file", &secret, "--mesh", "six"];
    let listen = [
        "--id",
        "a",
        "--listen",
        "127.0.0.1:0",
        "--state-dir",
        &state,
    ];
    let a = StartedDaemon::start(&[&listen[..], &own].concat());
    let at = ["--node", &a.address];
    run(&[&["revoke", "--id", "b"], &at[..], &own].concat()).fails(2, &["secret"]);
    run(&[&["status"], &at[..], &own].concat()).fine();
}

#[test]
fn a_dead_member_is_forgotten_and_a_live_one_is_not() {
    let place = Place::new();
    let [a, b, c] = place.starts_three();
    let forget = |id: &str| place.asks(&a, &["forget", id]);
    for linked in ["b", "c"] {
        forget(linked).fails(1, &[linked, "open link", "phalanx revoke"]);
    }
    forget("a").fails(1, &["a is this node itself"]);
    forget("zelda").fails(1, &["zelda is not a known member"]);
    forget("No Id").fails(2, &["No Id"]);
    place
        .asks_as("b", &a, &["forget", "c"])
        .fails(1, &["not allowed", "node/b", "administrator"]);
    place.alive(&a, 3);
    drop(c);
    for daemon in [&a, &b] {
        place.down(daemon, "c");
    }
    // A node forgets at another's request a member that is down in its own view.
    let forgotten = place.asks(&a, &["forget", "c", "--json"]).fine();
    assert_eq!(forgotten.json(), [json!({ "forgotten": "c" })]);
    for daemon in [&a, &b] {
        let gone = |it: &Value| it["peers"].as_array().is_some_and(Vec::is_empty);
        place.until(daemon, &["peers", "c"], gone);
    }
    forget("c").fails(1, &["c is not a known member"]);
    // A forgotten member that comes back is a member again.
    let c = place.starts("c", Some(&a));
    for daemon in [&a, &b, &c] {
        place.alive(daemon, 3);
    }
}
