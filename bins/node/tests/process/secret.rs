//! Tests of meshes with a shared secret.

use crate::daemon::{RunningDaemon, SOON, phalanxd, refused};
use crate::mesh::{all_alive, tells};
use crate::place::{Place, days, node};
use phalanx_core::time::Wall;
use phalanx_net::clock;
use phalanx_net::identity::{ExtraNames, Secret, Validity, ca_issue};
use phalanx_net::service::Client;
use phalanx_net::wire::proto::{GetStatusRequest, WatchRequest};
use rustix::process::Signal;
use std::fs;
use std::time::{Duration, Instant};

#[tokio::test]
async fn daemons_with_the_same_secret_form_a_mesh_without_certificate_files() {
    let place = Place::new();
    let secret = Secret::make().unwrap();
    let file = place.secrets("secret", &[&secret]);
    let a = RunningDaemon::start(place.command_with_secret("a", &file, &[]));
    let mut command = phalanxd(["--id", "b", "--mesh", "test", "--listen", "127.0.0.1:0"]);
    command
        .args(["--state-dir", &place.text("state-b")])
        .args(["--target", &a.address.to_string()])
        .env("PHALANX_SECRET", secret.text().as_str());
    let b = RunningDaemon::start(command);
    for daemon in [&a, &b] {
        let client = place.ask_with_secret(daemon, &file).await;
        tells(client, |view| all_alive(view, 2)).await;
    }
    let mut client = place.ask_with_secret(&a, &file).await;
    let status = client.calls().get_status(GetStatusRequest {}).await;
    let trust = status.unwrap().into_inner().trust;
    assert!(
        trust.starts_with("shared secret ") && trust.ends_with(" (one trust domain)"),
        "{trust}"
    );
    assert_eq!((a.ends().code(), b.ends().code()), (Some(0), Some(0)));
}

#[tokio::test]
async fn a_record_that_exceeds_a_limit_with_the_nodes_own_entry_is_refused_before_the_start() {
    let place = Place::new();
    let file = place.secrets("secret", &[&Secret::make().unwrap()]);
    let with = |entries: usize, value: usize| {
        let mut command = place.command_with_secret("a", &file, &[]);
        for entry in 0..entries {
            command.arg("--metadata");
            command.arg(format!("k{entry}={}", "v".repeat(value)));
        }
        command
    };
    for (entries, value) in [(64, 10), (1, 8_140)] {
        for check in [true, false] {
            let mut command = with(entries, value);
            if check {
                command.arg("--check-config");
            }
            let (code, said) = refused(command);
            assert_eq!(code, Some(2), "{said}");
            assert!(
                said.contains("other nodes would refuse the record"),
                "{said}"
            );
        }
    }
    let config = place.path("a.toml");
    fs::write(&config, "[metadata]\nk = \"v\"\n").unwrap();
    let mut command = place.command_with_secret("a", &file, &[]);
    command.arg("--config").arg(&config);
    let a = RunningDaemon::start(command);
    let many = (0..64).map(|entry| format!("k{entry} = \"v\"\n"));
    fs::write(&config, format!("[metadata]\n{}", many.collect::<String>())).unwrap();
    a.signal(Signal::HUP);
    a.says_all(&["reload failed", "other nodes would refuse the record"]);
    let b = RunningDaemon::start(place.command_with_secret("b", &file, &[&a]));
    let client = place.ask_with_secret(&b, &file).await;
    tells(client, |view| all_alive(view, 2)).await;
}

/// Checks that two daemons that do not trust each other both log the reason, with these words.
fn both_log_rejection(
    acceptor: &RunningDaemon,
    dialer: &RunningDaemon,
    dialer_says: &str,
    acceptor_says: &str,
) {
    for (daemon, event, words) in [
        (dialer, "cannot reach", dialer_says),
        (acceptor, "the handshake with", acceptor_says),
    ] {
        // A daemon may log the same event for other peers, which retry.
        daemon.says_all(&[event, "not trusted", words]);
    }
}

#[test]
fn a_wrong_secret_and_a_missing_secret_have_different_errors_on_both_ends() {
    let place = Place::new();
    let file = place.secrets("secret", &[&Secret::make().unwrap()]);
    let wrong = place.secrets("wrong", &[&Secret::make().unwrap()]);
    let start = |id: &str, file, others: &[&RunningDaemon]| {
        RunningDaemon::start(place.command_with_secret(id, file, others))
    };
    let a = start("a", &file, &[]);
    let another = "it has a different secret of the mesh";
    let b = start("b", &wrong, &[&a]);
    both_log_rejection(&a, &b, another, another);
    drop(b);
    let without = place.start("c", &[&a]);
    both_log_rejection(
        &a,
        &without,
        "it has the mesh's secret, but this node has none",
        "it does not have the mesh's secret, but this node does",
    );
    let d = start("d", &file, &[&without]);
    both_log_rejection(
        &without,
        &d,
        "it does not have the mesh's secret, but this node does",
        "it has the mesh's secret, but this node has none",
    );
    let mut command = phalanxd(["--id", "e", "--mesh", "other", "--listen", "127.0.0.1:0"]);
    command
        .args(["--state-dir", &place.text("state-e")])
        .args(["--target", &a.address.to_string()])
        .arg("--secret-file")
        .arg(&file);
    let e = RunningDaemon::start(command);
    both_log_rejection(
        &a,
        &e,
        "it belongs to mesh \"test\", not to \"other\"",
        "it belongs to mesh \"other\", not to \"test\"",
    );
}

/// Returns the reasons for which a daemon's links ended.
async fn losses(client: &mut Client) -> Vec<String> {
    let status = client.calls().get_status(GetStatusRequest {}).await;
    let ended = status.unwrap().into_inner().ended_links.into_iter();
    ended.map(|link| link.reason).collect()
}

/// Waits until every member accepts a daemon's first secret, and all its links use that secret.
async fn has_rotated(client: &mut Client, secrets: usize) {
    let deadline = Instant::now() + SOON;
    loop {
        let status = client.calls().get_status(GetStatusRequest {}).await;
        let status = status.unwrap().into_inner();
        let first = &status.secrets[0];
        if status.secrets.len() == secrets && first.accepted_by == 3 && status.outdated_links == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "{status:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_secret_is_rotated_under_running_daemons_without_losing_a_member() {
    let place = Place::new();
    let (old, new) = (Secret::make().unwrap(), Secret::make().unwrap());
    let file = place.secrets("secret", &[&old]);
    let ids = ["a", "b", "c"];
    // Each daemon reads its own file, so the daemons rotate one after the other.
    let own = |id: &str| place.secrets(&format!("secret-{id}"), &[&old]);
    let a = RunningDaemon::start(place.command_with_secret("a", &own("a"), &[]));
    let b = RunningDaemon::start(place.command_with_secret("b", &own("b"), &[&a]));
    let c = RunningDaemon::start(place.command_with_secret("c", &own("c"), &[&a]));
    let daemons = [&a, &b, &c];
    let mut clients = Vec::new();
    for daemon in daemons {
        let client = place.ask_with_secret(daemon, &file).await;
        tells(client.clone(), |view| all_alive(view, 3)).await;
        clients.push(client);
    }
    let mut watching = Vec::new();
    for client in &mut clients {
        let events = client.calls().watch(WatchRequest {}).await.unwrap();
        watching.push(events.into_inner());
    }
    for accepted in [[&new, &old].as_slice(), &[&new]] {
        for (id, daemon) in ids.iter().zip(daemons) {
            place.secrets(&format!("secret-{id}"), accepted);
            daemon.signal(Signal::HUP);
            daemon.says("the node uses a new certificate");
        }
        for client in &mut clients {
            has_rotated(client, accepted.len()).await;
        }
    }
    for (client, mut events) in clients.iter_mut().zip(watching) {
        tells(client.clone(), |view| all_alive(view, 3)).await;
        for reason in losses(client).await {
            assert_eq!(reason, "another connection with the peer replaced it");
        }
        let soon = Duration::from_millis(200);
        while let Ok(Ok(Some(event))) = tokio::time::timeout(soon, events.message()).await {
            let lost = ["peer-suspected", "peer-down", "isolated"];
            assert!(!lost.contains(&event.kind.as_str()), "{event:?}");
        }
    }
    // A node with only the old secret is rejected; the new secret is accepted.
    let late = RunningDaemon::start(place.command_with_secret("d", &file, &[&a]));
    both_log_rejection(
        &a,
        &late,
        "it has a different secret of the mesh",
        "it has a different secret of the mesh",
    );
    place.secrets("secret", &[&new]);
    late.signal(Signal::HUP);
    let client = place.ask_with_secret(&a, &file).await;
    tells(client, |view| all_alive(view, 4)).await;
}

#[tokio::test]
async fn a_certificate_is_renewed_automatically_if_the_directory_has_the_authoritys_key() {
    let place = Place::new();
    let a = place.start("a", &[]);
    let now = clock::wall();
    // The certificates are renewed after 2 to 7 s and the links are replaced by 12 s, which leaves 10 s for a slow
    // machine.
    let lifetime = 22;
    let short = Validity {
        not_before: Wall(now.0 - 38),
        not_after: Wall(now.0 + lifetime),
    };
    let certificates = place.path("certs");
    ca_issue(
        &certificates,
        &node("b"),
        &certificates,
        short,
        &ExtraNames::default(),
    )
    .unwrap();
    let b = place.start("b", &[&a]);
    let mut client = place.ask(&b).await;
    tells(client.clone(), |view| all_alive(view, 2)).await;
    b.says("the node uses a new certificate");
    let deadline = Instant::now() + SOON;
    loop {
        let status = client.calls().get_status(GetStatusRequest {}).await;
        let status = status.unwrap().into_inner();
        let until = status.certificate.unwrap().not_after;
        if status.outdated_links == 0 {
            assert!(until > now.0 + 80 * 86_400, "{until}");
            break;
        }
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(
        clock::wall().0 < now.0 + lifetime,
        "the renewal was too late"
    );
    for reason in losses(&mut client).await {
        assert_eq!(reason, "another connection with the peer replaced it");
    }
}

#[tokio::test]
async fn certificates_in_files_are_reloaded_on_sighup() {
    let place = Place::new();
    let mut a = place.start("a", &[]);
    let mut client = place.ask(&a).await;
    let certificates = place.path("certs");
    ca_issue(
        &certificates,
        &node("a"),
        &certificates,
        days(30),
        &ExtraNames::default(),
    )
    .unwrap();
    a.signal(Signal::HUP);
    a.says("the node uses a new certificate");
    let status = client.calls().get_status(GetStatusRequest {}).await;
    let until = status.unwrap().into_inner().certificate.unwrap().not_after;
    assert!(until < clock::wall().0 + 31 * 86_400);
    // An unusable certificate changes nothing.
    fs::write(certificates.join("a-cert.pem"), "nothing").unwrap();
    a.signal(Signal::HUP);
    let line = a.says("reload failed: keeping the previous certificates");
    let said = line["message"].as_str().unwrap();
    assert!(
        said.contains("a-cert.pem: does not contain a certificate"),
        "{said}"
    );
    assert!(a.runs());
}

#[test]
fn a_daemon_does_not_start_with_unusable_secrets() {
    let place = Place::new();
    let good = Secret::make().unwrap();
    let message = |file: &std::path::Path| {
        let (code, said) = refused(place.command_with_secret("a", file, &[]));
        assert_eq!(code, Some(2), "{said}");
        assert!(
            !place.path("state-a").exists(),
            "the state directory was created"
        );
        said
    };
    let empty = place.secrets("empty", &[]);
    assert!(message(&empty).contains("empty: does not contain a secret; write one per line"));
    let open = place.secrets("open", &[&good]);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o604);
    fs::set_permissions(&open, mode).unwrap();
    assert!(message(&open).contains("chmod 0600"));
    let missing = place.path("missing");
    assert!(message(&missing).contains("missing: cannot be read: "));
    let mut both = place.command("a");
    both.arg("--secret-file").arg(&open);
    let (code, said) = refused(both);
    assert_eq!(code, Some(2));
    assert!(
        said.contains("--cert-dir: tls.cert_dir and --secret-file"),
        "{said}"
    );
}
