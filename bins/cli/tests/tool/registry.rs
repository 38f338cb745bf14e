//! `phalanx registry` against a real daemon: the walk through docs/registry.md, and its refusals.

use super::daemon::StartedDaemon;
use super::{Answer, run, text, tool};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A daemon with the registry of region `eu`.
pub(super) struct RegistryDaemon {
    pub(super) place: TempDir,
    pub(super) daemon: StartedDaemon,
}

impl RegistryDaemon {
    /// Starts a daemon with further lines of its table `[registry]`; returns when it takes writes.
    pub(super) fn start(lines: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), lines)
    }

    /// Starts a daemon with the registry of a backup.
    fn restored(backup: &str) -> Self {
        let place = tempfile::tempdir().unwrap();
        let state = text(&place.path().join("state"));
        std::fs::create_dir(&state).unwrap();
        run(&["registry", "restore", backup, "--state-dir", &state]).fine();
        Self::start_in(place, &[])
    }

    fn start_in(place: TempDir, lines: &[&str]) -> Self {
        let path = |name: &str| text(&place.path().join(name));
        let config = path("n1.toml");
        let (state, certificates) = (path("state"), path("certs"));
        let settings = format!(
            "id = \"n1\"\nmesh = \"prod\"\nlisten = \"127.0.0.1:0\"\nstate_dir = {state:?}\n\
             [tls]\ncert_dir = {certificates:?}\n[registry]\nregion = \"eu\"\n{}",
            lines.concat()
        );
        std::fs::write(&config, settings).unwrap();
        let daemon = StartedDaemon::start(&["--config", &config]);
        until(place.path(), &daemon.address, &["status"], |it| {
            it.code == 0
        });
        Self { place, daemon }
    }

    pub(super) fn file(&self, name: &str, content: &str) -> String {
        let path = self.place.path().join(name);
        std::fs::write(&path, content).unwrap();
        text(&path)
    }

    fn words<'a>(&'a self, words: &[&'a str]) -> Vec<String> {
        let certificates = text(&self.place.path().join("certs"));
        let access = ["--node", &self.daemon.address, "--cert-dir", &certificates];
        let all = ["registry"].iter().chain(words).chain(&access);
        all.map(|word| (*word).to_owned()).collect()
    }

    /// Asks with the certificate of a service, which is issued first.
    fn ask_as(&self, service: &str, words: &[&str]) -> Answer {
        let certificates = text(&self.place.path().join("certs"));
        let issued = [
            "ca",
            "issue",
            "--service",
            service,
            "--cert-dir",
            &certificates,
        ];
        run(&issued).fine();
        let file = |name: &str| format!("{certificates}/{name}.pem");
        let (cert, key) = (
            file(&format!("{service}+service-cert")),
            file(&format!("{service}+service-key")),
        );
        let (ca, node) = (file("ca-cert"), &self.daemon.address);
        let access = ["--node", node, "--cert", &cert, "--key", &key, "--ca", &ca];
        run(&[&["registry"], words, &access].concat())
    }

    pub(super) fn ask(&self, words: &[&str]) -> Answer {
        let words = self.words(words);
        run(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// The block of a language in docs/registry.md that contains a text.
pub(super) fn documented(language: &str, containing: &str) -> String {
    let top: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "..", "docs"]
        .iter()
        .collect();
    let page = std::fs::read_to_string(top.join("registry.md")).unwrap();
    let blocks = page.split("```").skip(1).step_by(2);
    let mut blocks = blocks.filter_map(|block| block.strip_prefix(language));
    let found = blocks.find(|block| block.contains(containing));
    found
        .expect("the page has the block")
        .trim_start()
        .to_owned()
}

#[test]
fn the_documented_walk_works() {
    let registry = RegistryDaemon::start(&[]);
    let shop = registry.file("shop.yaml", &documented("yaml", "name: services/shop"));
    let applied = registry.ask(&["apply", "-f", &shop]).fine().out;
    let expected = documented("\n", "$ phalanx registry apply -f shop.yaml");
    let expected: Vec<_> = expected.lines().skip(1).collect();
    assert_eq!(applied.lines().collect::<Vec<_>>(), expected);
    let again = registry.ask(&["apply", "-f", &shop]).fine().out;
    assert!(
        again.lines().all(|line| line.ends_with(": unchanged")),
        "{again}"
    );
    let status = &registry.ask(&["status", "--json"]).fine().json()[0];
    assert_eq!(
        (&status["region"], &status["objects"], &status["revision"]),
        (&"eu".into(), &5.into(), &1.into())
    );
    let found = registry
        .ask(&["get", "services/shop", "-o", "yaml"])
        .fine()
        .out;
    assert!(
        found.starts_with("name: services/shop\nmetadata:\n"),
        "{found}"
    );
    assert!(found.contains("  labels:\n    tier: web\n"), "{found}");
    let orders = [
        "list",
        "//shop/orders",
        "--filter",
        "total > 10",
        "--order-by",
        "total desc",
    ];
    let orders = registry
        .ask(&[&orders[..], &["-o", "json"]].concat())
        .fine()
        .json();
    assert_eq!((orders.len(), &orders[0]["total"]), (1, &12.5.into()));
    let deployments = registry.ask(&["list", "services/-/deployments"]).fine().out;
    assert!(
        deployments.contains("services/shop/deployments/eu"),
        "{deployments}"
    );
    registry.ask(&["delete", "//shop/orders/o-17"]).fine();
    registry
        .ask(&["get", "//shop/orders/o-17"])
        .fails(1, &["does not exist"]);
    registry
        .ask(&["delete", "//shop/orders/o-17"])
        .fails(1, &["does not exist"]);
}

/// Starts the daemon of a documented configuration, with free ports and paths of this place.
fn documented_daemon(place: &Path, id: &str, target: &str) -> StartedDaemon {
    let words = format!("id = \"{id}\"");
    let settings = documented("toml", &words);
    let path = |name: &str| format!("{:?}", text(&place.join(name)));
    let listen = settings.lines().find(|it| it.starts_with("listen = "));
    let mut free = "listen = \"127.0.0.1:0\"".to_owned();
    if !settings.contains("targets") && !target.is_empty() {
        free.push_str(&format!("\ntargets = [\"{target}\"]"));
    }
    let settings = settings
        .replace(listen.unwrap(), &free)
        .replace("127.0.0.1:7946", target)
        .replace("\"state\"", &path("state"))
        .replace("\"state-2\"", &path("state-2"))
        .replace("\"certs\"", &path("certs"));
    let config = place.join(format!("{id}.toml"));
    std::fs::write(&config, settings).unwrap();
    StartedDaemon::start(&["--config", &text(&config)])
}

/// Runs `phalanx registry` at a daemon until a condition holds.
fn until(place: &Path, address: &str, words: &[&str], right: impl Fn(&Answer) -> bool) -> Answer {
    let certificates = text(&place.join("certs"));
    let access = ["--node", address, "--cert-dir", &certificates];
    let words = [&["registry"], words, &access].concat();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = run(&words);
        if right(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "{words:?}: {}", answer.err);
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn two_regions_work_as_documented() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let certificates = text(&place.join("certs"));
    let directory = ["--cert-dir", &certificates];
    run(&[&["ca", "init", "--mesh", "prod"], &directory[..]].concat()).fine();
    for (node, region) in [("n1", "eu"), ("n2", "us")] {
        run(&[&["ca", "issue", node, "--registry", region], &directory[..]].concat()).fine();
    }
    let file = |name: &str, content: &str| {
        let path = place.join(name);
        std::fs::write(&path, content).unwrap();
        text(&path)
    };
    let both = file("both.yaml", &documented("yaml", "name: services/mail\n"));
    let of_us = file("mail-us.yaml", &documented("yaml", "us.mail.example"));
    let late = file("late.yaml", &documented("yaml", "name: services/late"));
    let first = documented_daemon(place, "n1", "");
    let second = documented_daemon(place, "n2", &first.address);
    let (eu, us) = (first.address.clone(), second.address.clone());
    let is_fine = |answer: &Answer| answer.code == 0;
    let status = until(place, &us, &["status"], |it| {
        is_fine(it) && it.out.contains("regions with a copy of this one")
    });
    for words in ["takes writes  yes", "OWNER", "FOLLOWER"] {
        assert!(status.out.contains(words), "{}", status.out);
    }
    until(place, &us, &["apply", "-f", &both], is_fine);
    until(
        place,
        &us,
        &["apply", "-f", &of_us, "--copies", "1"],
        is_fine,
    );
    let name = "services/mail/deployments/us";
    let found = until(place, &eu, &["get", name, "--json"], is_fine).json();
    assert_eq!(found[0]["metadata"]["owning_region"], "us");
    // The cut: eu is gone, and us goes on.
    drop(first);
    let refused = until(place, &us, &["apply", "-f", &late], |it| {
        it.err.contains("cannot be reached")
    });
    let documented = documented("\n", "services/late: region eu owns it");
    let words = documented.split("… ").nth(1).unwrap().trim();
    assert!(refused.err.contains(words), "{}", refused.err);
    until(place, &us, &["get", "services/mail"], is_fine);
    let status = until(place, &us, &["status", "--json"], is_fine).json();
    let copy = &status[0]["copies"][0];
    assert_eq!(
        (&copy["region"], &copy["following"]),
        (&"eu".into(), &false.into())
    );
    assert!(!copy["obstacle"].as_str().unwrap().is_empty(), "{copy}");
    until(place, &us, &["apply", "-f", &of_us], is_fine);
    // The heal: eu is found at another address.
    let first = documented_daemon(place, "n1", &us);
    until(place, &us, &["apply", "-f", &late], is_fine);
    until(place, &first.address, &["get", "services/late"], is_fine);
}

#[test]
fn a_difference_is_shown_and_nothing_is_changed() {
    let registry = RegistryDaemon::start(&[]);
    let file = |content: &str| registry.file("shop.yaml", content);
    let first = file(
        "name: regions/eu\n---\nname: services/shop\nall_versions: [v1]\nmetadata: {tags: [b, a]}\n",
    );
    let created = registry.ask(&["diff", "-f", &first, "-o", "json"]);
    created.fails(1, &[]);
    registry.ask(&["apply", "-f", &first]).fine();
    assert_eq!(registry.ask(&["diff", "-f", &first]).fine().out, "");
    let second = file("name: services/shop\nall_versions: [v1, v2]\nmetadata: {tags: [b]}\n");
    let words = ["diff", "-f", &second];
    let shown = registry.ask(&words).out;
    let expected = [
        "services/shop: would be updated",
        "  - all_versions: [\"v1\"]",
        "  + all_versions: [\"v1\",\"v2\"]",
        "  - metadata.tags: [\"a\",\"b\"]",
        "  + metadata.tags: [\"b\"]",
    ];
    assert_eq!(shown.lines().collect::<Vec<_>>(), expected);
    let again = registry.ask(&["get", "services/shop", "-o", "json"]);
    assert_eq!(again.fine().json()[0]["metadata"]["generation"], 1);
    let stale = file("name: services/shop\nmetadata: {generation: 7}\n");
    let answer = registry.ask(&["diff", "-f", &stale, "-o", "json"]);
    assert_eq!(answer.json()[0]["result"], "conflict");
    answer.fails(1, &[]);
}

#[test]
fn the_owner_of_a_name_is_explained() {
    let registry = RegistryDaemon::start(&[]);
    let shop = registry.file("shop.yaml", &documented("yaml", "name: services/shop"));
    registry.ask(&["apply", "-f", &shop]).fine();
    for (name, owner, reason, exists) in [
        ("regions/eu", "eu", "the primary region owns", true),
        (
            "services/shop/deployments/us",
            "us",
            "the name has the region",
            false,
        ),
        (
            "//shop/orders/o-17",
            "eu",
            "the region created the object",
            true,
        ),
        (
            "//shop/orders/o-18",
            "eu",
            "in the policy of services/shop",
            false,
        ),
        (
            "//mail/boxes/b",
            "eu",
            "no object above it has a policy",
            false,
        ),
    ] {
        let found = registry.ask(&["explain", name, "-o", "json"]).fine();
        let found = &found.json()[0];
        assert_eq!(
            (&found["owner"], &found["exists"]),
            (&owner.into(), &exists.into())
        );
        assert!(
            found["reason"].as_str().unwrap().contains(reason),
            "{found}"
        );
    }
    let shown = registry.ask(&["explain", "//shop/orders/o-17"]).fine().out;
    for words in [
        "generation 1, revision 1.1",
        "eu (the region of this registry)",
    ] {
        assert!(shown.contains(words), "{shown}");
    }
}

#[test]
fn a_deployment_is_taken_out_of_service_and_back() {
    let registry = RegistryDaemon::start(&[]);
    let shop = registry.file("shop.yaml", &documented("yaml", "name: services/shop"));
    registry.ask(&["apply", "-f", &shop]).fine();
    let deployment = "services/shop/deployments/eu";
    registry.ask(&["delete", deployment]).fails(
        1,
        &["phalanx registry disable services/shop/deployments/eu"],
    );
    let is_disabled = || {
        let found = registry.ask(&["get", deployment, "-o", "json"]).fine();
        found.json()[0]["is_disabled"] == true
    };
    for (word, expected) in [("disable", true), ("enable", false), ("disable", true)] {
        let answer = registry.ask(&[word, deployment]).fine();
        assert_eq!(answer.out, format!("{deployment}: {word}d\n"));
        assert_eq!(is_disabled(), expected);
    }
    registry.ask(&["delete", deployment]).fine();
    registry
        .ask(&["disable", deployment])
        .fails(1, &["does not exist"]);
    registry
        .ask(&["disable", "services/shop"])
        .fails(2, &["is not the name of a deployment"]);
}

#[test]
fn a_registry_is_saved_while_it_runs_and_restored_elsewhere() {
    let registry = RegistryDaemon::start(&[]);
    let shop = registry.file("shop.yaml", &documented("yaml", "name: services/shop"));
    registry.ask(&["apply", "-f", &shop]).fine();
    let backup = text(&registry.place.path().join("eu.backup"));
    let saved = registry.ask(&["backup", &backup, "-o", "json"]).fine();
    assert_eq!(
        (&saved.json()[0]["objects"], &saved.json()[0]["region"]),
        (&5.into(), &"eu".into())
    );
    let listed = registry.ask(&["list", "-o", "json"]).fine().out;
    registry
        .ask(&["backup", &backup])
        .fails(2, &["eu.backup: exists"]);
    registry
        .ask_as("shop", &["backup", &format!("{backup}.2")])
        .fails(1, &["service/shop may not save the registry"]);
    run(&["registry", "restore", &backup, "--check"]).fine();
    // Later writes are not in the backup.
    registry.ask(&["delete", "//shop/orders/o-17"]).fine();
    let held = text(&registry.place.path().join("state"));
    run(&["registry", "restore", &backup, "--state-dir", &held]).fails(1, &["another phalanxd"]);
    let restored = RegistryDaemon::restored(&backup);
    assert_eq!(restored.ask(&["list", "-o", "json"]).fine().out, listed);
    let status = &restored.ask(&["status", "--json"]).fine().json()[0];
    assert_eq!(
        (&status["serving"], &status["epoch"]),
        (&true.into(), &2.into())
    );
}

#[test]
fn a_service_reads_and_writes_what_it_may() {
    let registry = RegistryDaemon::start(&[]);
    let region = registry.file(
        "region.yaml",
        "name: regions/eu\n---\nname: services/mail\n",
    );
    registry.ask(&["apply", "-f", &region]).fine();
    let shop = registry.file("shop.yaml", "name: services/shop\nused_services: [mail]\n");
    registry.ask_as("shop", &["apply", "-f", &shop]).fine();
    let listed = registry.ask_as("mail", &["list", "services", "-o", "json"]);
    assert_eq!(listed.fine().json().len(), 2);
    registry
        .ask_as("store", &["get", "services/shop"])
        .fails(1, &["services/shop: does not exist"]);
    registry
        .ask_as("mail", &["apply", "-f", &shop])
        .fails(1, &["services/shop: service/mail may not write it"]);
    registry
        .ask_as("mail", &["status"])
        .fails(1, &["not allowed", "may not see the state of the registry"]);
}

#[test]
fn a_local_program_needs_no_certificate() {
    let user = std::fs::metadata("/proc/self").unwrap();
    let user = std::os::unix::fs::MetadataExt::uid(&user);
    let clients = format!("clients = {{ {user} = \"shop\" }}\n");
    let registry = RegistryDaemon::start(&[&clients]);
    let socket = format!(
        "unix:{}",
        text(&registry.place.path().join("state/registry.sock"))
    );
    let shop = registry.file("shop.yaml", "name: services/shop\n");
    let words = ["registry", "apply", "-f", &shop, "--node", &socket];
    run(&words).fine();
    let path = socket.trim_start_matches("unix:");
    let rest = Command::new("curl")
        .args(["--silent", "--max-time", "20", "--unix-socket", path])
        .arg("http://registry/v1/objects/services/shop")
        .output()
        .expect("curl starts; `make tools` installs it");
    let found: Value = serde_json::from_slice(&rest.stdout).unwrap();
    assert_eq!(found["name"], "services/shop");
    let other = registry.file("other.yaml", "name: services/other\n");
    run(&["registry", "apply", "-f", &other, "--node", &socket])
        .fails(1, &["services/other: service/shop may not write it"]);
    run(&["registry", "list", "--node", "unix:/nowhere"]).fails(
        1,
        &[
            "unix:/nowhere",
            "check that phalanxd runs and has registry.clients",
        ],
    );
}

#[test]
fn an_edited_object_is_applied_unless_it_changed_meanwhile() {
    let registry = RegistryDaemon::start(&[]);
    let region = registry.file("region.yaml", "name: regions/eu\ndisplay_name: Europe\n");
    registry.ask(&["apply", "-f", &region]).fine();
    let found = registry
        .ask(&["get", "regions/eu", "-o", "yaml"])
        .fine()
        .out;
    let first = registry.file("first.yaml", &found.replace("Europe", "Old World"));
    let second = registry.file("second.yaml", &found.replace("Europe", "Occident"));
    let updated = registry
        .ask(&["apply", "-f", &first, "-o", "json"])
        .fine()
        .json();
    assert_eq!(updated[0]["result"], "updated");
    let late = registry.ask(&["apply", "-f", &second]);
    late.fails(
        1,
        &[
            "regions/eu: has changed since it was read",
            "generation is 2",
        ],
    );
    let found = &registry.ask(&["get", "regions/eu", "--json"]).fine().json()[0];
    assert_eq!(found["display_name"], "Old World");
    // JSON documents may follow each other on standard input.
    let words = registry.words(&["apply", "-f", "-"]);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let mut child = tool(&words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input
        .write_all(b"{\"name\": \"regions/us\"} {\"name\": \"services/a\"}")
        .unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, "regions/us: created\nservices/a: created\n");
}

#[test]
fn a_watch_prints_what_exists_and_then_the_changes() {
    let registry = RegistryDaemon::start(&[]);
    let one = registry.file("one.yaml", "name: services/one\n");
    registry.ask(&["apply", "-f", &one]).fine();
    let words = registry.words(&["watch", "services", "--count", "2", "--json"]);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let mut child = tool(&words).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut event = || -> Value {
        let line = lines.next().expect("there is another line").unwrap();
        serde_json::from_str(&line).unwrap()
    };
    assert_eq!(event()["object"]["name"], "services/one");
    let synced = event();
    assert_eq!(
        (&synced["event"], &synced["objects"]),
        (&"synced".into(), &1.into())
    );
    let token = synced["resume_token"].as_str().unwrap().to_owned();
    let two = registry.file("two.yaml", "name: services/two\n---\nname: regions/us\n");
    registry.ask(&["apply", "-f", &two]).fine();
    let created = event();
    assert_eq!(
        (&created["event"], &created["object"]["name"]),
        (&"changed".into(), &"services/two".into())
    );
    registry.ask(&["delete", "services/one"]).fine();
    let removed = loop {
        let event = event();
        if event["event"] != "bookmark" {
            break event;
        }
    };
    assert_eq!(
        (&removed["event"], &removed["name"]),
        (&"removed".into(), &"services/one".into())
    );
    assert!(child.wait().unwrap().success());
    let resumed = [
        "watch", "services", "--resume", &token, "--count", "2", "--json",
    ];
    let resumed = registry.ask(&resumed).fine().json();
    let events: Vec<_> = resumed
        .iter()
        .map(|it| it["event"].as_str().unwrap())
        .collect();
    assert!(!events.contains(&"synced"), "{events:?}");
    let late = [
        "watch", "services", "--resume", &token, "--count", "3", "--for", "1s",
    ];
    registry.ask(&late).fails(1, &[]);
    registry
        .ask(&["watch", "--resume", "eu.1", "--for", "1s"])
        .fails(2, &["resume_token"]);
}

#[test]
fn bad_input_is_refused_with_its_place() {
    let registry = RegistryDaemon::start(&[]);
    registry
        .ask(&["get", "services/Shop"])
        .fails(2, &["services/Shop", "a service is"]);
    registry
        .ask(&["list", "--filter", "a ="])
        .fails(2, &["filter, column"]);
    registry
        .ask(&["list", "--order-by", "a down"])
        .fails(2, &["order_by"]);
    let bad = registry.file(
        "bad.yaml",
        "name: regions/eu\n---\nname: services/a\nmetadata: {colour: red}\n",
    );
    registry
        .ask(&["apply", "-f", &bad])
        .fails(2, &["bad.yaml, document 2: metadata.colour"]);
    let absent = text(Path::new("/nowhere/x.yaml"));
    registry
        .ask(&["apply", "-f", &absent])
        .fails(2, &["x.yaml: cannot be read"]);
    let unknown = registry.file("unknown.yaml", "name: services/a\ncolour: red\n");
    registry
        .ask(&["apply", "-f", &unknown])
        .fails(2, &["field `colour` does not exist"]);
    // A rule is not broken by a part of a batch: nothing is written.
    let broken = registry.file(
        "broken.yaml",
        "name: regions/eu\n---\nname: services/a/deployments/eu\n",
    );
    registry
        .ask(&["apply", "-f", &broken])
        .fails(1, &["needs services/a"]);
    registry
        .ask(&["get", "regions/eu"])
        .fails(1, &["does not exist"]);
}
