//! Links that applications request.

use super::*;
use phalanx_core::gossip::LinkEnd;
use phalanx_core::node::{APPLICATION_LINKS_MAX, LinkRefusal};

const NODES: usize = 10;

async fn neighbours(member: &TestMember) -> Vec<String> {
    let driver = member.node.driver();
    let links = driver.inspect(|node, now| {
        let links = node.mesh().links(now);
        links.map(|link| link.peer.to_string()).collect()
    });
    links.await.unwrap()
}

#[tokio::test]
async fn a_requested_link_is_kept_until_its_last_request_is_dropped() {
    let ca = TestAuthority::new();
    let ids: Vec<String> = (0..NODES).map(|at| format!("n{at}")).collect();
    let mut members: Vec<TestMember> = Vec::new();
    for id in &ids {
        let targets: Vec<SocketAddr> = members.iter().take(1).map(TestMember::address).collect();
        let tune = |tuning: &mut Tuning| tuning.surplus_kept = Duration::from_millis(200);
        members.push(start_tuned(ca.node(id), &targets, Limits::default(), 100, tune).await);
    }
    let all: Vec<_> = ids.iter().map(|id| (id.as_str(), Status::Alive)).collect();
    for member in &members {
        member.sees(&all).await;
    }
    let one = &mut members[1];
    let linked = neighbours(one).await;
    let far = ids[2..].iter().find(|id| !linked.contains(id)).unwrap();
    let far: NodeId = far.parse().unwrap();
    // A dropped request is free again for the machine immediately.
    let mut full = Vec::new();
    for at in 0..APPLICATION_LINKS_MAX {
        let unknown = format!("unknown{at}").parse().unwrap();
        full.push(one.node.request_link(unknown).await.unwrap());
    }
    drop(full.pop());
    let (first, second) = (
        one.node.request_link(far.clone()).await.unwrap(),
        one.node.request_link(far.clone()).await.unwrap(),
    );
    assert_eq!(first.peer(), &far);
    let up = |notice: &Notice| matches!(notice, Notice::Mesh(gossip::Event::LinkUp { peer, dialed: true, .. }) if *peer == far);
    one.hears("the link", up).await;
    drop(first);
    // The other request holds it still.
    assert!(neighbours(one).await.contains(&far.to_string()));
    // It may be dropped outside the node's runtime.
    std::thread::spawn(|| drop(second)).join().unwrap();
    one.hears("its end", |notice| {
        let surplus = LinkEnd::Unneeded;
        matches!(notice, Notice::Mesh(gossip::Event::LinkDown { peer, reason, .. }) if *peer == far && *reason == surplus)
    })
    .await;
    for member in members {
        member.ends().await;
    }
}

#[tokio::test]
async fn link_requests_are_bounded_and_each_counts_until_it_is_dropped() {
    let ca = TestAuthority::new();
    let one = start(ca.node("one"), &[]).await;
    let mut held = Vec::new();
    for at in 0..APPLICATION_LINKS_MAX {
        let peer: NodeId = format!("n{at}").parse().unwrap();
        held.push(one.node.request_link(peer.clone()).await.unwrap());
        held.push(one.node.request_link(peer).await.unwrap());
    }
    let more: NodeId = "more".parse().unwrap();
    let refused = one.node.request_link(more.clone()).await.unwrap_err();
    assert_eq!(refused, LinkRequestError::Refused(LinkRefusal::TooMany));
    let myself = one.node.request_link("one".parse().unwrap()).await;
    assert_eq!(
        myself.unwrap_err(),
        LinkRequestError::Refused(LinkRefusal::Myself)
    );
    drop(held.split_off(2 * APPLICATION_LINKS_MAX - 2));
    drop(one.node.request_link(more).await.unwrap());
    one.node.shutdown().await;
    let late = one.node.request_link("late".parse().unwrap()).await;
    assert!(
        matches!(late, Err(LinkRequestError::Stopped(_))),
        "{late:?}"
    );
    drop(held);
    one.ends().await;
}
