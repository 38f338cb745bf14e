//! Tests of the event stream.

use super::super::WATCH_LAG_MAX;
use super::{Mesh, SOON, client};
use crate::transport::Notice;
use crate::wire::proto;
use phalanx_core::gossip::{DeathCause, Event};
use phalanx_core::identity::NodeId;
use phalanx_core::link::Address;
use std::time::Duration;
use tokio::time;

#[tokio::test]
async fn a_watcher_receives_events_in_order_and_the_number_it_missed() {
    let mesh = Mesh::new();
    let (a, journal) = mesh.start("a", vec![]).await;
    let mut admin = client(&a, &mesh.admin()).await;
    let mut events = admin
        .calls()
        .watch(proto::WatchRequest {})
        .await
        .unwrap()
        .into_inner();
    let id = NodeId::new("b").unwrap();
    let down = Notice::Mesh(Event::PeerDown {
        id: id.clone(),
        cause: DeathCause::Silent,
        joint: false,
    });
    journal.take(Duration::from_millis(5), &down);
    let event = events.message().await.unwrap().unwrap();
    assert_eq!(
        (
            event.sequence,
            event.at_ms,
            event.kind.as_str(),
            event.subject.as_str()
        ),
        (1, 5, "peer-down", "b")
    );
    assert_eq!(event.text, "b is down: no node hears it");
    // All events are sent at once, so that the watcher cannot read in between: it lags by exactly
    // the number above its bound.
    let flood = WATCH_LAG_MAX as u64 + 10;
    for _ in 0..flood {
        journal.take(
            Duration::ZERO,
            &Notice::Mesh(Event::PeerCleared { id: id.clone() }),
        );
    }
    let lagged = events.message().await.unwrap().unwrap();
    assert_eq!((lagged.kind.as_str(), lagged.missed), ("lagged", 10));
    let next = events.message().await.unwrap().unwrap();
    assert_eq!((next.sequence, next.kind.as_str()), (12, "peer-cleared"));
    // The stream ends with the node.
    let reading = async { while let Ok(Some(_)) = events.message().await {} };
    let (_, ended) = tokio::join!(a.shutdown(), time::timeout(SOON, reading));
    assert!(ended.is_ok());
}

#[tokio::test]
async fn an_event_of_the_machine_reaches_the_journal() {
    let mesh = Mesh::new();
    let (a, journal) = mesh.start("a", vec![]).await;
    let mut watch = journal.watch();
    mesh.tasks.spawn(journal.follow(a.subscribe()));
    let (b, _) = mesh.start("b", vec![Address::Socket(a.address())]).await;
    let up = async {
        loop {
            let event = watch.recv().await.unwrap();
            if event.description.kind == "peer-up" {
                return event.description.subject.clone();
            }
        }
    };
    let subject = time::timeout(SOON, up).await.unwrap();
    assert_eq!(subject, Some(NodeId::new("b").unwrap()));
    b.shutdown().await;
    a.shutdown().await;
}
