//! Tests of channels over three daemons, one of which only relays.

use crate::daemon::{RunningDaemon, SOON};
use crate::place::Place;
use phalanx_net::service::Client;
use phalanx_net::wire::proto::channel_event::Event;
use phalanx_net::wire::proto::{
    ChannelEvent, ChannelKind, GetRoutesRequest, ListChannelsRequest, PublishRequest, Put,
    SendRequest, SubscribeRequest, TransactRequest, UpdateTargetsRequest,
};
use std::time::{Duration, Instant};
use tokio::time;
use tonic::{Code, Streaming};

/// Starts a daemon that cannot be dialled and that dials only `relay`.
fn behind(place: &Place, id: &str, relay: &RunningDaemon) -> RunningDaemon {
    let mut command = place.command(id);
    let relay = relay.address.to_string();
    command.args(["--advertise", "none", "--target", &relay]);
    RunningDaemon::start(command)
}

/// Waits until a node has a route to another node with this number of links.
async fn reaches(client: &mut Client, to: &str, hops: u32) {
    let deadline = Instant::now() + SOON;
    loop {
        let request = GetRoutesRequest::default();
        let reply = client.channels().get_routes(request).await.unwrap();
        let ways = reply.into_inner().ways;
        if ways.iter().any(|way| way.to == to && way.hops == hops) {
            return;
        }
        assert!(Instant::now() < deadline, "its routes: {ways:#?}");
        time::sleep(Duration::from_millis(20)).await;
    }
}

async fn subscribed(
    client: &mut Client,
    channel: &str,
    kind: ChannelKind,
) -> Streaming<ChannelEvent> {
    let request = SubscribeRequest {
        channel: channel.to_owned(),
        kind: kind.into(),
        ..SubscribeRequest::default()
    };
    let mut stream = client
        .channels()
        .subscribe(request)
        .await
        .unwrap()
        .into_inner();
    assert!(matches!(next(&mut stream).await, Event::Subscribed(_)));
    stream
}

async fn next(stream: &mut Streaming<ChannelEvent>) -> Event {
    let event = time::timeout(SOON, stream.message()).await;
    event
        .expect("the next event arrives within the deadline")
        .unwrap()
        .unwrap()
        .event
        .unwrap()
}

#[tokio::test]
async fn two_nodes_without_a_link_communicate_through_a_relay() {
    let place = Place::new();
    let relay = place.start("relay", &[]);
    let a = behind(&place, "a", &relay);
    let b = behind(&place, "b", &relay);
    let (mut at_a, mut at_b) = (place.ask(&a).await, place.ask(&b).await);
    reaches(&mut at_a, "b", 2).await;
    reaches(&mut at_b, "a", 2).await;
    let mut heard = subscribed(&mut at_b, "chat", ChannelKind::Messages).await;
    let mut answers = subscribed(&mut at_a, "chat", ChannelKind::Messages).await;
    let publication = PublishRequest {
        channel: "chat".to_owned(),
        kind: ChannelKind::Messages.into(),
        payload: b"to all".to_vec(),
    };
    at_a.channels().publish(publication).await.unwrap();
    let event = next(&mut heard).await;
    assert!(
        matches!(&event, Event::Broadcast(it) if it.payload == b"to all"),
        "{event:?}"
    );
    let to = |to: &str, payload: &[u8]| SendRequest {
        to: to.to_owned(),
        channel: "chat".to_owned(),
        payload: payload.to_vec(),
        datagram: false,
    };
    // The payload is far larger than one message of a link.
    let long: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    at_a.channels().send(to("b", &long)).await.unwrap();
    let event = next(&mut heard).await;
    assert!(
        matches!(&event, Event::Message(it) if it.from == "a" && it.payload == long),
        "another event, or another payload"
    );
    at_b.channels().send(to("a", b"thanks")).await.unwrap();
    // A subscriber also receives what other programs publish through its node.
    let event = next(&mut answers).await;
    assert!(
        matches!(&event, Event::Broadcast(it) if it.payload == b"to all"),
        "{event:?}"
    );
    let event = next(&mut answers).await;
    assert!(
        matches!(&event, Event::Message(it) if it.from == "b" && it.payload == b"thanks"),
        "another event, or another payload"
    );
    // The relay has no application of its own.
    let refused = at_a
        .channels()
        .send(to("relay", b"you?"))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    drop((heard, answers));
}

async fn publish(client: &mut Client, count: usize) {
    for _ in 0..count {
        let publication = PublishRequest {
            channel: "chat".to_owned(),
            kind: ChannelKind::Messages.into(),
            payload: b"x".to_vec(),
        };
        client.channels().publish(publication).await.unwrap();
    }
}

#[tokio::test]
async fn a_subscriber_that_was_cut_off_is_told_which_messages_it_missed() {
    let place = Place::new();
    let relay = place.start("relay", &[]);
    let a = behind(&place, "a", &relay);
    let b = behind(&place, "b", &relay);
    let (mut at_a, mut at_b) = (place.ask(&a).await, place.ask(&b).await);
    reaches(&mut at_b, "a", 2).await;
    let mut heard = subscribed(&mut at_b, "chat", ChannelKind::Messages).await;
    publish(&mut at_a, 10).await;
    for sequence in 1..=10 {
        let event = next(&mut heard).await;
        let id =
            matches!(&event, Event::Broadcast(it) if it.id.as_ref().unwrap().sequence == sequence);
        assert!(id, "{sequence}: {event:?}");
    }
    drop(relay);
    publish(&mut at_a, 190).await;
    let relay = place.start("relay2", &[]);
    for client in [&mut at_a, &mut at_b] {
        let join = UpdateTargetsRequest {
            add: vec![relay.address.to_string()],
            ..UpdateTargetsRequest::default()
        };
        client.calls().update_targets(join).await.unwrap();
    }
    let (mut delivered, mut missed) = (Vec::new(), Vec::new());
    while delivered.len() < 64 || missed.is_empty() {
        match next(&mut heard).await {
            Event::Broadcast(it) => delivered.push(it.id.unwrap().sequence),
            Event::Missed(it) => {
                assert!(
                    delivered.len() < 64,
                    "the notice comes before the last message"
                );
                missed.push((it.origin, it.first, it.last, it.restarted));
            }
            event @ (Event::Subscribed(_)
            | Event::Message(_)
            | Event::Changed(_)
            | Event::Conflict(_)
            | Event::Lagged(_)) => panic!("{event:?}"),
        }
    }
    delivered.sort_unstable();
    assert_eq!(delivered, (137..=200).collect::<Vec<u64>>());
    assert_eq!(missed, [("a".to_owned(), 11, 136, false)]);
}

#[tokio::test]
async fn of_two_concurrent_writes_one_wins_and_the_other_node_reports_a_conflict() {
    let place = Place::new();
    let (a, b) = (place.start("a", &[]), place.start("b", &[]));
    let (mut at_a, mut at_b) = (place.ask(&a).await, place.ask(&b).await);
    let mut heard = subscribed(&mut at_a, "kv", ChannelKind::Map).await;
    for (client, value) in [(&mut at_a, "from a"), (&mut at_b, "from b")] {
        let write = TransactRequest {
            channel: "kv".to_owned(),
            compare: Vec::new(),
            write: vec![Put {
                key: "colour".to_owned(),
                value: Some(value.as_bytes().to_vec()),
            }],
        };
        client.channels().transact(write).await.unwrap();
    }
    assert!(matches!(next(&mut heard).await, Event::Changed(_)));
    let join = UpdateTargetsRequest {
        add: vec![a.address.to_string()],
        ..UpdateTargetsRequest::default()
    };
    at_b.calls().update_targets(join).await.unwrap();
    let event = next(&mut heard).await;
    let Event::Conflict(conflict) = event else {
        panic!("{event:?}");
    };
    assert_eq!(conflict.key, "colour");
    let (lost, won) = (conflict.lost.unwrap(), conflict.won.unwrap());
    assert_eq!((lost.origin.as_str(), won.origin.as_str()), ("a", "b"));
    let event = next(&mut heard).await;
    assert!(
        matches!(&event, Event::Changed(it) if it.value.as_deref() == Some(b"from b")),
        "{event:?}"
    );
}

/// Number of keys of the full map.
const KEYS: u32 = 16_384;

#[tokio::test]
async fn a_newcomer_has_a_full_map_in_seconds() {
    let place = Place::new();
    let a = place.start_as_configured("a", &[]);
    let mut at_a = place.ask(&a).await;
    for first in (0..KEYS).step_by(64) {
        let put = |key: u32| Put {
            key: key.to_string(),
            value: Some(vec![7; 950]),
        };
        let write = TransactRequest {
            channel: "kv".to_owned(),
            compare: Vec::new(),
            write: (first..first + 64).map(put).collect(),
        };
        at_a.channels().transact(write).await.unwrap();
    }
    let b = place.start_as_configured("b", &[&a]);
    let begun = Instant::now();
    let mut at_b = place.ask(&b).await;
    loop {
        let known = at_b.channels().list_channels(ListChannelsRequest {}).await;
        let held: u32 = known
            .unwrap()
            .into_inner()
            .channels
            .iter()
            .map(|it| it.held)
            .sum();
        // On a machine without other load this takes less than a second; random rounds took more than a minute.
        assert!(begun.elapsed() < Duration::from_secs(20), "{held} keys");
        if held == KEYS {
            break;
        }
        time::sleep(Duration::from_millis(50)).await;
    }
    let took = begun.elapsed();
    let _written = std::io::Write::write_all(
        &mut std::io::stderr(),
        format!("a newcomer had {KEYS} keys after {took:?}\n").as_bytes(),
    )
    .is_ok();
}
