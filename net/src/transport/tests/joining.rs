//! Tests of nodes that join, leave and return.

use super::*;
use phalanx_core::gossip::Status::{Alive, Left};

#[tokio::test]
async fn two_nodes_join_over_mutual_tls_and_one_leaves() {
    let ca = TestAuthority::new();
    let one = start(ca.node("one"), &[]).await;
    let mut two = start(ca.node("two"), &[one.address()]).await;
    one.sees(&[("one", Alive), ("two", Alive)]).await;
    two.sees(&[("one", Alive), ("two", Alive)]).await;
    two.hears("a link", |notice| {
        matches!(notice, Notice::Mesh(gossip::Event::LinkUp { peer, dialed: true, .. }) if peer.as_str() == "one")
    })
    .await;
    let traffic = two.node.traffic();
    assert!(
        traffic.messages_sent > 0 && traffic.bytes_received > 0,
        "{traffic:?}"
    );
    assert!(two.node.leave(DEADLINE).await);
    one.sees(&[("one", Alive), ("two", Left)]).await;
    two.ends().await;
    one.ends().await;
}

#[tokio::test]
async fn three_nodes_with_one_seed_node_converge() {
    let ca = TestAuthority::new();
    let one = start(ca.node("one"), &[]).await;
    let two = start(ca.node("two"), &[one.address()]).await;
    let three = start(ca.node("three"), &[one.address()]).await;
    let all = [("one", Alive), ("three", Alive), ("two", Alive)];
    for member in [&one, &two, &three] {
        member.sees(&all).await;
    }
    for member in [one, two, three] {
        member.ends().await;
    }
}

#[tokio::test]
async fn a_returning_node_is_known_by_its_higher_epoch() {
    let ca = TestAuthority::new();
    let mut one = start(ca.node("one"), &[]).await;
    let two = start(ca.node("two"), &[one.address()]).await;
    one.sees(&[("one", Alive), ("two", Alive)]).await;
    two.ends().await;
    let two = start_with(ca.node("two"), &[one.address()], Limits::default(), 101).await;
    one.hears("two's new life", |notice| {
        matches!(notice, Notice::Mesh(gossip::Event::PeerUp { id, epoch: 101 }) if id.as_str() == "two")
    })
    .await;
    two.ends().await;
    one.ends().await;
}

#[tokio::test]
async fn a_target_may_be_a_host_name_and_may_start_later() {
    let ca = TestAuthority::new();
    let one = start(ca.node("one"), &[]).await;
    let two = start(ca.node("two"), &[]).await;
    let name = format!("localhost:{}", one.address().port());
    let addresses = vec![name.parse().unwrap()];
    two.node
        .send(gossip::Input::Seeds {
            addresses,
            replace: false,
        })
        .await
        .unwrap();
    two.sees(&[("one", Alive), ("two", Alive)]).await;
    two.ends().await;
    one.ends().await;
}

#[tokio::test]
async fn a_port_in_use_is_an_error_with_its_fix() {
    let taken = BoundPort::bind(Tcp, loopback()).await.unwrap();
    let error = BoundPort::bind(Tcp, taken.local_address())
        .await
        .unwrap_err()
        .to_string();
    let address = taken.local_address().to_string();
    assert!(
        error.contains(&address) && error.contains("choose another port"),
        "{error}"
    );
}

#[tokio::test]
async fn a_closed_port_is_a_refused_connection() {
    let ca = TestAuthority::new();
    let (held, closed) = unused_address();
    let mut one = start(ca.node("one"), &[closed]).await;
    one.fails_to_dial("refused").await;
    drop(held);
    one.ends().await;
}

#[tokio::test]
async fn a_node_whose_loop_fails_closes_its_port_and_reports_its_end() {
    let ca = TestAuthority::new();
    let bound = BoundPort::bind(Tcp, loopback()).await.unwrap();
    let identity = ca.node("one");
    let id = identity.subject().id().clone();
    let config = Config::new(id, "test", 1, 1, Content::default(), Vec::new());
    let settings = Settings {
        config,
        seed: 1,
        identity,
        store: MemoryStore::default(),
        trusted: TrustedSubnets::default(),
        limits: Limits::default(),
        observer: Some(Box::new(|_, _| panic!("planted"))),
        overlay: None,
    };
    let node = bound.start(settings, |_| Routes::default()).unwrap();
    time::timeout(DEADLINE, node.closed()).await.unwrap();
    assert!(node.driver().inspect(|_, _| ()).await.is_err());
    node.shutdown().await;
    assert_eq!(node.tasks(), 0, "no task is running");
}
