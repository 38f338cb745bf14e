//! Meshes whose members know a secret.

use crate::daemon::{Daemon, phalanxd, refused};
use crate::mesh::{all_alive, tells};
use crate::place::Place;
use phalanx_net::identity::Secret;
use phalanx_net::wire::proto::GetStatusRequest;
use std::fs;

#[tokio::test]
async fn daemons_that_know_the_secret_are_a_mesh_without_any_certificate() {
    let place = Place::new();
    let secret = Secret::make().unwrap();
    let file = place.secrets("secret", &[&secret]);
    let a = Daemon::start(place.command_with_secret("a", &file, &[]));
    let mut command = phalanxd(["--id", "b", "--mesh", "test", "--listen", "127.0.0.1:0"]);
    command
        .args(["--state-dir", &place.text("state-b")])
        .args(["--target", &a.address.to_string()])
        .env("PHALANX_SECRET", secret.text().as_str());
    let b = Daemon::start(command);
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

/// Both of two daemons that do not trust each other say why, in these words.
fn quarrel(acceptor: &Daemon, dialer: &Daemon, dialer_says: &str, acceptor_says: &str) {
    for (daemon, event, words) in [
        (dialer, "cannot reach", dialer_says),
        (acceptor, "the handshake with", acceptor_says),
    ] {
        let line = daemon.says(event);
        let said = line["message"].as_str().unwrap();
        assert!(
            said.contains("not trusted") && said.contains(words),
            "{said}"
        );
    }
}

#[test]
fn a_wrong_secret_and_a_missing_one_are_told_apart_on_both_sides() {
    let place = Place::new();
    let file = place.secrets("secret", &[&Secret::make().unwrap()]);
    let wrong = place.secrets("wrong", &[&Secret::make().unwrap()]);
    let start = |id: &str, file, others: &[&Daemon]| {
        Daemon::start(place.command_with_secret(id, file, others))
    };
    let a = start("a", &file, &[]);
    let another = "it has another secret of the mesh";
    let b = start("b", &wrong, &[&a]);
    quarrel(&a, &b, another, another);
    drop(b);
    let without = place.start("c", &[&a]);
    quarrel(
        &a,
        &without,
        "it has the mesh's secret, and this node has none",
        "it has no secret of the mesh, and this node has one",
    );
    let d = start("d", &file, &[&without]);
    quarrel(
        &without,
        &d,
        "it has no secret of the mesh, and this node has one",
        "it has the mesh's secret, and this node has none",
    );
    let mut command = phalanxd(["--id", "e", "--mesh", "other", "--listen", "127.0.0.1:0"]);
    command
        .args(["--state-dir", &place.text("state-e")])
        .args(["--target", &a.address.to_string()])
        .arg("--secret-file")
        .arg(&file);
    let e = Daemon::start(command);
    quarrel(
        &a,
        &e,
        "it belongs to mesh \"test\", not to \"other\"",
        "it belongs to mesh \"other\", not to \"test\"",
    );
}

#[test]
fn secrets_that_cannot_be_used_keep_a_daemon_from_starting() {
    let place = Place::new();
    let good = Secret::make().unwrap();
    let message = |file: &std::path::Path| {
        let (code, said) = refused(place.command_with_secret("a", file, &[]));
        assert_eq!(code, Some(2), "{said}");
        assert!(!place.path("state-a").exists(), "it left its state");
        said
    };
    let empty = place.secrets("empty", &[]);
    assert!(message(&empty).contains("empty: holds no secret; write one a line"));
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
