//! Registries of one region on one database.

use crate::daemon::{RunningDaemon, SOON, refused};
use crate::place::Place;
use crate::registry::{create, get, object, serving, writes_survive_a_kill};
use phalanx_net::registry::proto;
use phalanx_net::service::Client;
use phalanx_tests::PostgresServer;
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::Code;
use tonic_types::StatusExt as _;

/// The command of a daemon that runs a registry of region `eu` on a database.
fn command(place: &Place, id: &str, url: &str) -> Command {
    let mut command = place.command(id);
    command.env("PHALANX_REGISTRY_REGION", "eu");
    command.env("PHALANX_REGISTRY_STORE", url);
    command
}

async fn status(client: &mut Client) -> proto::RegistryStatus {
    let request = proto::GetRegistryStatusRequest {};
    let status = client.objects().get_registry_status(request).await;
    status.unwrap().into_inner()
}

/// Waits until the registry of a daemon has a state.
async fn until(client: &mut Client, reached: impl Fn(&proto::RegistryStatus) -> bool) -> Duration {
    let begun = Instant::now();
    loop {
        let status = status(client).await;
        if reached(&status) {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < SOON, "{status:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Creates services one after another until `writes` are acknowledged. A write without an answer is asked again with its
/// request id. Returns the names, and the number of writes without an answer.
async fn write_all(mut client: Client, writer: usize, writes: usize) -> (BTreeSet<String>, usize) {
    let (mut acknowledged, mut unanswered) = (BTreeSet::new(), 0);
    for turn in 0..writes {
        let id = format!("w{writer}.{turn}");
        let begun = Instant::now();
        loop {
            let new = object(&format!("services/w{writer}-{turn}"), &[]);
            match create(&mut client, &id, new).await {
                Ok(created) => {
                    assert_eq!(created.metadata.unwrap().generation, 1);
                    acknowledged.insert(created.name);
                    break;
                }
                Err(refusal) => {
                    assert_eq!(refusal.code(), Code::Unavailable, "{refusal}");
                    assert!(begun.elapsed() < SOON, "{refusal}");
                    unanswered += 1;
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
    (acknowledged, unanswered)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_write_is_lost_when_the_database_is_killed_under_writers() {
    const WRITERS: usize = 8;
    const WRITES: usize = 60;
    let (place, mut server) = (Place::new(), PostgresServer::start(&[]));
    let daemon = RunningDaemon::start(command(&place, "n1", &server.url()));
    let mut client = place.ask(&daemon).await;
    let first = serving(&mut client).await;
    assert!(
        first.store.starts_with("postgres://phalanx@"),
        "{}",
        first.store
    );
    assert!(first.store_bytes > 0 && first.lease_holder == "n1");
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let client = place.ask(&daemon).await;
        writers.spawn(write_all(client, writer, WRITES));
    }
    for kill in 1..=3 {
        let goal = WRITERS as u64 * WRITES as u64 * kill / 4;
        until(&mut client, |it| it.head >= goal).await;
        server.kill();
        server.restart();
    }
    let ended = writers.join_all().await;
    let acknowledged: BTreeSet<_> = ended.iter().flat_map(|it| it.0.clone()).collect();
    assert_eq!(acknowledged.len(), WRITERS * WRITES);
    // A new process reads what is stored.
    daemon.signal(Signal::KILL);
    drop(daemon);
    let daemon = RunningDaemon::start(command(&place, "n1", &server.url()));
    let mut client = place.ask(&daemon).await;
    let last = serving(&mut client).await;
    assert_eq!(
        last.head,
        (WRITERS * WRITES) as u64,
        "each write stands once"
    );
    for name in &acknowledged {
        get(&mut client, name).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_a_kill_of_the_daemon() {
    let (place, server) = (Place::new(), PostgresServer::start(&[]));
    let url = server.url();
    writes_survive_a_kill(&place, || command(&place, "n1", &url)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_the_database_ends_lose_no_write_and_repeat_none() {
    let (place, server) = (Place::new(), PostgresServer::start(&[]));
    let daemon = RunningDaemon::start(command(&place, "n1", &server.url()));
    let mut client = place.ask(&daemon).await;
    serving(&mut client).await;
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let client = place.ask(&daemon).await;
        writers.spawn(write_all(client, writer, 50));
    }
    let mut ended = 0;
    while status(&mut client).await.head < 180 {
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE application_name = 'phalanxd'";
        ended += server.query(end).parse::<u32>().unwrap();
        sleep(Duration::from_millis(20)).await;
    }
    assert!(ended > 3, "{ended} sessions were ended");
    writers.join_all().await;
    let last = status(&mut client).await;
    assert_eq!((last.head, last.epoch), (200, 1), "{last:?}");
}

#[tokio::test]
async fn a_standby_names_the_holder_and_takes_over_at_its_end() {
    let (place, server) = (Place::new(), PostgresServer::start(&[]));
    let holder = RunningDaemon::start(command(&place, "n1", &server.url()));
    let mut one = place.ask(&holder).await;
    serving(&mut one).await;
    create(&mut one, "", object("services/shop", &[]))
        .await
        .unwrap();
    let mut second = command(&place, "n2", &server.url());
    second.args(["--target", &holder.address.to_string()]);
    let standby = RunningDaemon::start(second);
    let mut two = place.ask(&standby).await;
    until(&mut two, |it| !it.serving && it.lease_holder == "n1").await;
    let refusal = create(&mut two, "", object("services/mail", &[])).await;
    let refusal = refusal.unwrap_err();
    assert_eq!(refusal.code(), Code::Unavailable);
    assert!(refusal.message().contains("write to n1"), "{refusal}");
    assert_eq!(refusal.get_details_error_info().unwrap().reason, "STANDBY");
    // A process that stands still is followed after its lease, and commits nothing when it wakes.
    holder.signal(Signal::STOP);
    let taken = until(&mut two, |it| it.serving && it.lease_holder == "n2").await;
    assert!(
        taken > Duration::from_secs(2),
        "the lease had not ended: {taken:?}"
    );
    get(&mut two, "services/shop").await.unwrap();
    create(&mut two, "", object("services/mail", &[]))
        .await
        .unwrap();
    holder.signal(Signal::CONT);
    let late = create(&mut one, "", object("services/late", &[])).await;
    assert_eq!(late.unwrap_err().code(), Code::Unavailable);
    until(&mut one, |it| !it.serving && it.lease_holder == "n2").await;
    let mail = get(&mut two, "services/late").await.unwrap_err();
    assert_eq!(mail.code(), Code::NotFound);
    // A process that ends gives the lease up.
    assert!(standby.ends().success());
    let taken = until(&mut one, |it| it.serving).await;
    assert!(taken < Duration::from_secs(4), "{taken:?}");
    get(&mut one, "services/mail").await.unwrap();
    assert_eq!(status(&mut one).await.epoch, 3);
}

#[tokio::test]
async fn a_database_that_cannot_be_used_is_refused_without_its_password() {
    let (place, server) = (Place::new(), PostgresServer::start(&[]));
    // The server asks for a password on this port, and has none for the user.
    let url = format!(
        "postgres://phalanx:cret@127.0.0.1:{}/postgres",
        server.port()
    );
    let (code, said) = refused(command(&place, "n1", &url));
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("check the password") && !said.contains("cret"),
        "{said}"
    );
    let url = server.url().replace("/postgres", "/missing");
    let (code, said) = refused(command(&place, "n1", &url));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("createdb"), "{said}");
    // The schema of a region is that of a newer program.
    let url = server.url();
    let daemon = RunningDaemon::start(command(&place, "n1", &url));
    let mut client = place.ask(&daemon).await;
    serving(&mut client).await;
    assert!(daemon.ends().success());
    let _none = server.query("UPDATE phalanx_registry_eu.schema_version SET version = 99");
    let (code, said) = refused(command(&place, "n1", &url));
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("version 99") && said.contains("up to 1"),
        "{said}"
    );
}
