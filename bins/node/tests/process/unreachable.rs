//! A daemon that advertises an address at which no process listens.

use crate::daemon::RunningDaemon;
use crate::mesh::{all_alive, sees, status_when};
use crate::place::Place;
use phalanx_core::topology::EdgeFailure;
use phalanx_net::wire::failure;
use phalanx_net::wire::proto::NodeStatus;
use std::net::TcpListener;

#[tokio::test]
async fn a_wrong_advertised_port_is_shown_at_both_ends_and_its_owner_is_warned() {
    let place = Place::new();
    let a = place.start("a", &[]);
    let b = place.start("b", &[&a]);
    // A port that is free at this moment.
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let wrong = unused.unwrap().to_string();
    let mut command = place.command("c");
    command.args(["--advertise", &wrong, "--target", &a.address.to_string()]);
    let c = RunningDaemon::start(command);
    for daemon in [&a, &b, &c] {
        sees(&place, daemon, |view| all_alive(view, 3)).await;
    }
    let owner = status_when(&place, &c, |status| status.undialable.is_some()).await;
    let own = owner.undialable.unwrap();
    assert_eq!(own.address, wrong);
    assert_eq!(failure(own.failure), Some(EdgeFailure::Refused));
    let [by] = &own.by[..] else {
        panic!("one member checks an address: {:?}", own.by);
    };
    let other = if by == "a" { &a } else { &b };
    let named = |status: &NodeStatus| status.unreachable.iter().any(|pair| pair.peer == "c");
    let status = status_when(&place, other, named).await;
    let pair = &status.unreachable[0];
    assert_eq!((pair.address.as_str(), pair.linked), (wrong.as_str(), true));
    assert_eq!(failure(pair.own), Some(EdgeFailure::Refused));
    assert!(
        pair.last_contact_ms.is_some_and(|ms| ms < 60_000),
        "{pair:?}"
    );
    let line = c.says("cannot be dialled by");
    let parts = [&line["level"], &line["event"]].map(ToString::to_string);
    assert_eq!(parts, ["\"WARN\"", "\"address-undialable\""], "{line}");
    other.says_all(&[
        "the link with c cannot be made from both ends",
        "connection refused",
    ]);
}
