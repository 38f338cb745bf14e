//! How daemons find the first member: targets that lead to the daemon itself, no targets, and advertised names.

use crate::daemon::{RunningDaemon, SOON, refused};
use crate::mesh::{all_alive, sees, status_when};
use crate::place::Place;
use phalanx_net::wire::proto::{MemberStatus, NodeStatus, Phase, node_status};
use rustix::process::Signal;
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// An address on which no process listens, for a daemon that must know its address before it starts.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

fn health(status: &NodeStatus) -> &str {
    &status.health.as_ref().unwrap().message
}

#[tokio::test]
async fn a_daemon_whose_only_target_is_itself_starts_a_mesh() {
    let place = Place::new();
    let address = free_address();
    let mut command = place.command_at(&address, "a");
    command.args(["--target", &address]);
    let a = RunningDaemon::start(command);
    let line = a.says("leads to this node itself");
    assert_eq!(line["level"], "INFO", "{line}");
    let alone = status_when(&place, &a, |it| it.phase() == Phase::Running).await;
    assert_eq!(health(&alone), "the only member of the mesh");
    assert_eq!(alone.start(), node_status::Start::Join);
    assert!(alone.targets[0].myself, "{alone:?}");
    let b = place.start("b", &[&a]);
    for daemon in [&a, &b] {
        sees(&place, daemon, |view| all_alive(view, 2)).await;
    }
}

#[tokio::test]
async fn a_daemon_that_advertises_the_address_of_its_target_joins() {
    let place = Place::new();
    let a = place.start("a", &[]);
    let address = a.address.to_string();
    let mut command = place.command("b");
    command.args(["--advertise", &address, "--target", &address]);
    let b = RunningDaemon::start(command);
    for daemon in [&a, &b] {
        sees(&place, daemon, |view| all_alive(view, 2)).await;
    }
}

#[tokio::test]
async fn the_status_says_that_a_daemon_was_started_without_targets() {
    let place = Place::new();
    let a = place.start("a", &[]);
    a.says("no targets are configured");
    let alone = status_when(&place, &a, |_| true).await;
    assert_eq!(alone.start(), node_status::Start::Bootstrap);
    assert_eq!(health(&alone), "the only member of the mesh");
    let b = place.start("b", &[&a]);
    sees(&place, &a, |view| all_alive(view, 2)).await;
    let joined = status_when(&place, &b, |it| it.phase() == Phase::Running).await;
    assert_eq!(joined.start(), node_status::Start::Join);
    assert_eq!(health(&joined), "member of the mesh");
}

#[tokio::test]
async fn daemons_that_restart_after_the_death_of_their_seed_find_each_other() {
    let place = Place::new();
    let seed = place.start("a", &[]);
    let target = seed.address.to_string();
    let start = |id: &str| {
        let mut command = place.command(id);
        command.args(["--target", &target]);
        RunningDaemon::start(command)
    };
    let (b, c) = (start("b"), start("c"));
    let kept = |id: &str| place.path(&format!("state-{id}")).join("addresses");
    let holds = |id: &str, address: &str| {
        std::fs::read_to_string(kept(id)).is_ok_and(|text| text.contains(address))
    };
    let deadline = Instant::now() + SOON;
    while !holds("b", &c.address.to_string()) || !holds("c", &b.address.to_string()) {
        assert!(
            Instant::now() < deadline,
            "{:?}",
            std::fs::read_to_string(kept("b"))
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The seed dies for good; then both restart, one of them at another port.
    drop((seed, b));
    let b = start("b");
    sees(&place, &b, |view| {
        view.iter()
            .filter(|member| member.status() == MemberStatus::Alive)
            .count()
            == 2
    })
    .await;
    drop((b, c));
    std::fs::write(kept("c"), "not a file of addresses").unwrap();
    let c = start("c");
    let warned = c.says("an earlier start kept are ignored");
    assert_eq!(warned["level"], "WARN", "{warned}");
}

#[tokio::test]
async fn an_advertised_name_is_resolved_and_an_unknown_one_is_refused_in_the_resolvers_words() {
    let place = Place::new();
    let mut command = place.command("a");
    command.args(["--advertise", "localhost:7400"]);
    let a = RunningDaemon::start(command);
    sees(&place, &a, |view| {
        let record = view[0].record.as_ref().unwrap();
        record.address == [127, 0, 0, 1, 0x1c, 0xe8]
    })
    .await;
    a.signal(Signal::HUP);
    a.says("the node advertises 127.0.0.1:7400, an address of localhost:7400");
    a.says("the configuration was reloaded");
    let mut command = place.command("b");
    command.args(["--advertise", "nothing.invalid:7400"]);
    let (code, said) = refused(command);
    assert_eq!(code, Some(2), "{said}");
    let wanted =
        "advertise: nothing.invalid:7400 was not resolved: failed to lookup address information";
    assert!(said.contains(wanted), "{said}");
}
