//! Tests with several daemons.

use crate::daemon::{RunningDaemon, SOON};
use crate::place::Place;
use phalanx_net::service::Client;
use phalanx_net::store::{FileStore, epoch};
use phalanx_net::wire::proto::{
    GetHealthRequest, GetStatusRequest, GetTopologyRequest, Member, MemberStatus, NodeStatus,
    UpdateTargetsReply, UpdateTargetsRequest, health,
};
use std::fs;
use std::time::{Duration, Instant};

/// Queries a daemon's view until a condition holds.
pub(crate) async fn sees(place: &Place, daemon: &RunningDaemon, right: impl Fn(&[Member]) -> bool) {
    tells(place.ask(daemon).await, right).await;
}

/// Queries the view over an existing connection until a condition holds.
pub(crate) async fn tells(mut client: Client, right: impl Fn(&[Member]) -> bool) {
    let deadline = Instant::now() + SOON;
    loop {
        let view = client
            .calls()
            .get_topology(GetTopologyRequest {})
            .await
            .unwrap()
            .into_inner()
            .members;
        if right(&view) {
            return;
        }
        assert!(Instant::now() < deadline, "its view: {view:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Queries a daemon's status until a condition holds; returns the status.
pub(crate) async fn status_when(
    place: &Place,
    daemon: &RunningDaemon,
    right: impl Fn(&NodeStatus) -> bool,
) -> NodeStatus {
    let deadline = Instant::now() + SOON;
    let mut client = place.ask(daemon).await;
    loop {
        let status = client.calls().get_status(GetStatusRequest {}).await;
        let status = status.unwrap().into_inner();
        if right(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "its status: {status:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn status(view: &[Member], id: &str) -> Option<MemberStatus> {
    let member = view
        .iter()
        .find(|member| member.record.as_ref().is_some_and(|record| record.id == id));
    member.map(Member::status)
}

pub(crate) fn all_alive(view: &[Member], count: usize) -> bool {
    view.len() == count
        && view
            .iter()
            .all(|member| member.status() == MemberStatus::Alive)
}

#[tokio::test]
async fn three_daemons_join_through_one_seed_node_and_a_leaving_node_is_reported_as_left() {
    let place = Place::new();
    let a = place.start("a", &[]);
    let b = place.start("b", &[&a]);
    let c = place.start("c", &[&a]);
    for daemon in [&a, &b, &c] {
        sees(&place, daemon, |view| all_alive(view, 3)).await;
    }
    assert_eq!(c.ends().code(), Some(0));
    for daemon in [&a, &b] {
        sees(&place, daemon, |view| {
            status(view, "c") == Some(MemberStatus::Left)
        })
        .await;
    }
    assert_eq!((a.ends().code(), b.ends().code()), (Some(0), Some(0)));
}

/// Changes a daemon's seed addresses.
async fn update(
    client: &mut Client,
    request: UpdateTargetsRequest,
) -> Result<UpdateTargetsReply, tonic::Status> {
    let reply = client.calls().update_targets(request).await?;
    Ok(reply.into_inner())
}

#[tokio::test]
async fn targets_and_discovery_can_be_changed_while_a_daemon_runs() {
    let place = Place::new();
    let a = place.start("a", &[]);
    let b = place.start("b", &[]);
    let c = place.start("c", &[&b]);
    let mut asks = place.ask(&a).await;
    let add = |daemon: &RunningDaemon| UpdateTargetsRequest {
        add: vec![daemon.address.to_string()],
        discovery: Some(false),
        ..UpdateTargetsRequest::default()
    };
    let reply = update(&mut asks, add(&b)).await.unwrap();
    assert!(!reply.discovery);
    assert_eq!(reply.targets[0].address, b.address.to_string());
    for daemon in [&a, &b, &c] {
        sees(&place, daemon, |view| all_alive(view, 3)).await;
    }
    // In the view, each of the three members has its own short id.
    sees(&place, &a, |view| {
        let mut numbers: Vec<_> = view.iter().filter_map(|member| member.short_id).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.len() == 3
    })
    .await;
    let forget = |text: &str| UpdateTargetsRequest {
        forget: vec![text.to_owned()],
        discovery: Some(true),
        ..UpdateTargetsRequest::default()
    };
    let unknown = update(&mut asks, forget("127.0.0.1:9")).await.unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::NotFound);
    let wrong = update(&mut asks, forget("nowhere")).await.unwrap_err();
    assert_eq!(wrong.code(), tonic::Code::InvalidArgument);
    assert!(wrong.message().contains("has no port"), "{wrong}");
    let reply = update(&mut asks, forget(&b.address.to_string()))
        .await
        .unwrap();
    assert_eq!((reply.targets.len(), reply.discovery), (0, true));
    sees(&place, &a, |view| all_alive(view, 3)).await;
}

#[tokio::test]
async fn a_killed_daemon_is_down_and_alive_again_after_its_restart() {
    let place = Place::new();
    let a = place.start("a", &[]);
    let b = place.start("b", &[&a]);
    sees(&place, &a, |view| all_alive(view, 2)).await;
    // Dropping the daemon kills it without a graceful end.
    drop(b);
    sees(&place, &a, |view| {
        status(view, "b") == Some(MemberStatus::Down)
    })
    .await;
    let again = place.start("b", &[&a]);
    sees(&place, &a, |view| all_alive(view, 2)).await;
    sees(&place, &again, |view| all_alive(view, 2)).await;
}

#[tokio::test]
async fn of_two_daemons_with_one_id_the_older_stops_until_the_newer_is_gone() {
    let place = Place::new();
    let b = place.start("b", &[]);
    let mut older = place.start("a", &[&b]);
    let state = place.path("elsewhere");
    fs::create_dir(&state).unwrap();
    let store = FileStore::hold(&state).unwrap();
    epoch::save(&store, older.epoch + 1_000).await.unwrap();
    drop(store);
    sees(&place, &b, |view| all_alive(view, 2)).await;
    // In the first two seconds of a start, a record with the node's own id would count as a record of an earlier start.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let certificates = place.text("certs");
    let mut command =
        crate::daemon::phalanxd(["--id", "a", "--mesh", "test", "--listen", "127.0.0.1:0"]);
    command.arg("--state-dir").arg(&state).args([
        "--cert-dir",
        &certificates,
        "--target",
        &b.address.to_string(),
    ]);
    let newer = RunningDaemon::start(command);
    let line = older.says("another node with a newer epoch");
    assert_eq!(
        (line["level"].as_str(), line["event"].as_str()),
        (Some("ERROR"), Some("name-taken"))
    );
    let health = place
        .ask(&older)
        .await
        .calls()
        .get_health(GetHealthRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(health.status(), health::Status::Unhealthy);
    assert!(
        older.runs(),
        "the process keeps running, so that no restart takes the id back"
    );
    sees(&place, &newer, |view| all_alive(view, 2)).await;
    drop(newer);
    let line = older.says("this node resumes with epoch");
    assert_eq!(line["event"].as_str(), Some("name-resumed"));
    sees(&place, &older, |view| all_alive(view, 2)).await;
}

#[tokio::test]
async fn a_daemon_of_a_foreign_ca_is_rejected_and_both_log_the_reason() {
    let (place, elsewhere) = (Place::new(), Place::new());
    let mut a = place.start("a", &[]);
    let mut stranger = elsewhere.start("b", &[&a]);
    let line = stranger.says("cannot reach");
    let said = line["message"].as_str().unwrap();
    assert!(
        said.contains("not trusted") && said.contains("next attempt in"),
        "{said}"
    );
    a.says("the handshake with");
    assert!(a.runs() && stranger.runs());
    sees(&place, &a, |view| view.len() == 1).await;
}
