//! Tests of a stolen key: revoked certificates, also after all daemons were stopped and started.

use crate::daemon::{RunningDaemon, SOON, refused};
use crate::mesh::{all_alive, sees, status};
use crate::place::{Place, flags};
use phalanx_core::identity::NodeId;
use phalanx_core::revocation::{RevocationContent, RevocationTarget};
use phalanx_core::subject::CertificateRole;
use phalanx_core::time::Wall;
use phalanx_net::clock;
use phalanx_net::identity::{Subject, ca_open};
use phalanx_net::wire::proto::{ListRevocationsRequest, MemberStatus, RevokeReply, RevokeRequest};
use rustix::process::Signal;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// The revocation of all certificates of a node that were issued until now.
fn of_node(id: &str) -> RevocationContent {
    let now = clock::wall();
    RevocationContent {
        target: RevocationTarget::Holder(CertificateRole::Node, NodeId::new(id).unwrap()),
        begun_before: Wall(now.0 + 1),
        ends: Wall(now.0 + 86_400),
        signed: now,
    }
}

/// Revokes the certificates of a node at a daemon; returns when the daemon has acknowledged it.
async fn revoke(place: &Place, daemon: &RunningDaemon, id: &str) -> RevokeReply {
    let admin = Subject::admin("test", NodeId::new("ada").unwrap()).unwrap();
    let authority = ca_open(&place.path("certs"), &admin).unwrap();
    let revocation = authority.revoke(of_node(id)).unwrap();
    let request = RevokeRequest {
        revocation: Some((&revocation).into()),
    };
    let mut client = place.ask(daemon).await;
    let reply = client.calls().revoke(request).await;
    reply.unwrap().into_inner()
}

/// Waits until a daemon holds this number of revocations, and all of them are durable.
async fn holds(place: &Place, daemon: &RunningDaemon, count: usize) {
    let deadline = Instant::now() + SOON;
    let mut client = place.ask(daemon).await;
    loop {
        let reply = client.calls().list_revocations(ListRevocationsRequest {});
        let reply = reply.await.unwrap().into_inner();
        if reply.revocations.len() == count && reply.durable {
            return;
        }
        assert!(Instant::now() < deadline, "{reply:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The command of the thief: the stolen certificate and key, on a machine with an empty state directory.
fn thief(place: &Place, others: &[&RunningDaemon]) -> Command {
    let (certificate, key) = (
        place.path("certs/c-cert.pem"),
        place.path("certs/c-key.pem"),
    );
    let mut command = crate::daemon::phalanxd([
        "--id",
        "c",
        "--mesh",
        "test",
        "--listen",
        "127.0.0.1:0",
        "--state-dir",
        &place.text("thief"),
    ]);
    command.args(flags(&certificate, &key, &place.path("certs/ca-cert.pem")));
    for other in others {
        command.args(["--target", &other.address.to_string()]);
    }
    command
}

#[tokio::test]
async fn a_stolen_key_stays_out_when_all_daemons_were_killed_and_started_again() {
    let place = Place::new();
    let a = place.start("a", &[]);
    let b = place.start("b", &[&a]);
    let c = place.start("c", &[&a]);
    for daemon in [&a, &b, &c] {
        sees(&place, daemon, |view| all_alive(view, 3)).await;
    }
    let reply = revoke(&place, &a, "c").await;
    assert_eq!(reply.held, 1);
    // The acknowledgement means that the revocation is on the disk of this daemon.
    let stored = fs::read(place.path("state-a/revocations")).unwrap();
    assert!(stored.starts_with(b"phalanx revocations 1\n"));
    a.says("the peer's certificate is revoked");
    for daemon in [&a, &b] {
        sees(&place, daemon, |view| {
            status(view, "c") == Some(MemberStatus::Down)
        })
        .await;
        holds(&place, daemon, 1).await;
    }
    for mut daemon in [a, b, c] {
        daemon.signal(Signal::KILL);
        daemon.waits_for_its_end();
    }
    let a = place.start("a", &[]);
    let b = place.start("b", &[&a]);
    let thief = RunningDaemon::start(thief(&place, &[&a, &b]));
    thief.says_all(&["cannot reach", "revoked"]);
    for daemon in [&a, &b] {
        daemon.says_all(&["handshake", "its certificate is revoked"]);
        sees(&place, daemon, |view| all_alive(view, 2)).await;
        holds(&place, daemon, 1).await;
    }
    // A newcomer without state learns of the revocation before it links.
    let d = place.start("d", &[&a]);
    sees(&place, &d, |view| all_alive(view, 3)).await;
    holds(&place, &d, 1).await;
    for daemon in [a, b, d] {
        assert_eq!(daemon.ends().code(), Some(0));
    }
}

#[tokio::test]
async fn a_damaged_file_of_revocations_stops_the_start_with_the_way_out() {
    let place = Place::new();
    let a = place.start("a", &[]);
    revoke(&place, &a, "c").await;
    assert_eq!(a.ends().code(), Some(0));
    let path = place.path("state-a/revocations");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, &bytes).unwrap();
    let (code, said) = refused(place.command("a"));
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("is damaged") && said.contains("remove it"),
        "{said}"
    );
    assert_eq!(fs::read(&path).unwrap(), bytes);
    fs::remove_file(&path).unwrap();
    let a = place.start("a", &[]);
    assert_eq!(a.ends().code(), Some(0));
}
