//! Tests of the network between daemons: IPv6, both address families, and trusted subnets.

use crate::daemon::{RunningDaemon, SOON};
use crate::mesh::{all_alive, sees};
use crate::place::Place;
use phalanx_net::wire::proto::GetStatusRequest;
use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

/// Starts a daemon that listens on this address, with the others as seed nodes.
fn start_at(place: &Place, listen: &str, id: &str, others: &[&RunningDaemon]) -> RunningDaemon {
    RunningDaemon::start(joining(place.command_at(listen, id), others))
}

fn joining(mut command: Command, others: &[&RunningDaemon]) -> Command {
    for other in others {
        command.args(["--target", &other.address.to_string()]);
    }
    command
}

const V4: &str = "127.0.0.1:0";
const V6: &str = "[::1]:0";

#[tokio::test]
async fn daemons_join_and_are_queried_over_ipv6() {
    let place = Place::new();
    let a = start_at(&place, V6, "a", &[]);
    assert!(a.address.is_ipv6());
    let b = start_at(&place, V6, "b", &[&a]);
    let c = start_at(&place, V6, "c", &[&b]);
    for daemon in [&a, &b, &c] {
        sees(&place, daemon, |view| all_alive(view, 3)).await;
    }
    for daemon in [a, b, c] {
        assert_eq!(daemon.ends().code(), Some(0));
    }
}

#[tokio::test]
async fn daemons_of_both_address_families_form_one_mesh() {
    let place = Place::new();
    let a = start_at(&place, V4, "a", &[]);
    let b = start_at(&place, V6, "b", &[&a]);
    let c = start_at(&place, V4, "c", &[&b]);
    // A host name may have addresses of one family or of both.
    let mut command = place.command_at(V6, "d");
    command.args(["--target", &format!("localhost:{}", a.address.port())]);
    let d = RunningDaemon::start(command);
    for daemon in [&a, &b, &c, &d] {
        sees(&place, daemon, |view| all_alive(view, 4)).await;
    }
}

/// Waits until a daemon has links to these peers; returns for each link whether it is unencrypted.
async fn links(place: &Place, daemon: &RunningDaemon, to: &[&str]) -> BTreeMap<String, bool> {
    let deadline = Instant::now() + SOON;
    let mut client = place.ask(daemon).await;
    loop {
        let status = client.calls().get_status(GetStatusRequest {}).await;
        let links = status.unwrap().into_inner().links.into_iter();
        let links: BTreeMap<_, _> = links.map(|link| (link.peer, link.unencrypted)).collect();
        if to.iter().all(|id| links.contains_key(*id)) {
            return links;
        }
        assert!(Instant::now() < deadline, "{links:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn links_are_unencrypted_where_both_daemons_trust_the_subnet() {
    let place = Place::new();
    let mut command = place.command("a");
    command.args(["--trusted-subnet", "127.0.0.0/8"]);
    let a = RunningDaemon::start(command);
    let warned = a.says("not encrypted");
    assert_eq!(warned["level"], "WARN", "{warned}");
    let mut command = joining(place.command("b"), &[&a]);
    command.env("PHALANX_TRUSTED_SUBNETS", "fd00::/8,127.0.0.0/8");
    let b = RunningDaemon::start(command);
    let c = place.start("c", &[&a, &b]);
    for daemon in [&a, &b, &c] {
        sees(&place, daemon, |view| all_alive(view, 3)).await;
    }
    let of = |links: BTreeMap<String, bool>, id: &str| links[id];
    assert!(of(links(&place, &a, &["b"]).await, "b"));
    assert!(of(links(&place, &b, &["a"]).await, "a"));
    for (daemon, others) in [(&a, &["c"][..]), (&b, &["c"]), (&c, &["a", "b"])] {
        let links = links(&place, daemon, others).await;
        assert!(others.iter().all(|id| !links[*id]), "{links:?}");
    }
    for (daemon, other) in [(&a, "b"), (&b, "a")] {
        let said = daemon.says("is unencrypted: both ends trust");
        assert_eq!(
            (&said["event"], &said["peer"]),
            (&"link-unencrypted".into(), &other.into())
        );
    }
    let status = place
        .ask(&b)
        .await
        .calls()
        .get_status(GetStatusRequest {})
        .await;
    let status = status.unwrap().into_inner();
    assert_eq!(status.trusted_subnets, ["fd00::/8", "127.0.0.0/8"]);
    let words = "unencrypted in fd00::/8, 127.0.0.0/8, where the other end trusts it too";
    assert!(status.encryption.ends_with(words), "{}", status.encryption);
}

#[tokio::test]
async fn an_ipv4_neighbour_of_a_dual_stack_socket_is_in_its_ipv4_subnet() {
    let place = Place::new();
    let mut command = place.command_at("[::]:0", "a");
    command.args(["--advertise", "none", "--trusted-subnet", "127.0.0.0/8"]);
    let mut a = RunningDaemon::start(command);
    // The clients of this test connect over IPv6, and the neighbour connects over IPv4.
    a.address.set_ip([127, 0, 0, 1].into());
    let mut command = joining(place.command("b"), &[&a]);
    command.args(["--trusted-subnet", "127.0.0.0/8"]);
    let b = RunningDaemon::start(command);
    a.address.set_ip([0, 0, 0, 0, 0, 0, 0, 1].into());
    assert!(links(&place, &a, &["b"]).await["b"]);
    assert!(links(&place, &b, &["a"]).await["a"]);
}
