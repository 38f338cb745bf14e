//! Channels of real nodes on loopback.

use super::{
    BROADCASTS_WAITING_MAX, Channel, Error, PACKET_BYTES_MAX, PacketSocket, Received, Retained,
    TransactionOutcome,
};
use crate::transport::tests::{TestAuthority, TestMember, start};
use core::pin::Pin;
use futures_sink::Sink;
use phalanx_core::channel::{
    ChannelName, Delivery, DeliveryFailure, Expected, Kind, Options, ROOM_BYTES, Refusal,
    Transaction, Write,
};
use phalanx_core::gossip::Status;
use phalanx_core::identity::NodeId;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time;

const SOON: Duration = Duration::from_secs(60);

fn id(text: &str) -> NodeId {
    text.parse().unwrap()
}

fn name(text: &str) -> ChannelName {
    text.parse().unwrap()
}

async fn soon<T>(task: impl Future<Output = T>) -> T {
    time::timeout(SOON, task).await.expect("it happens soon")
}

/// Two nodes that know each other.
async fn pair() -> (TestMember, TestMember) {
    let ca = TestAuthority::new();
    let a = start(ca.node("a"), &[]).await;
    let b = start(ca.node("b"), &[a.address()]).await;
    let both = [("a", Status::Alive), ("b", Status::Alive)];
    a.sees(&both).await;
    b.sees(&both).await;
    (a, b)
}

async fn messages(member: &TestMember, channel: &str) -> Channel {
    let options = Options::of(Kind::Messages);
    member.node.open(name(channel), options).await.unwrap()
}

/// The next broadcast.
async fn broadcast(channel: &Channel) -> (String, Vec<u8>) {
    match soon(channel.recv()).await {
        Some(Received::Delivery(Delivery::Broadcast { id, payload })) => {
            (id.origin.to_string(), payload.to_vec())
        }
        other => panic!("{other:?}"),
    }
}

/// The next message to the node.
async fn message(channel: &Channel) -> Vec<u8> {
    match soon(channel.recv()).await {
        Some(Received::Delivery(Delivery::Message { payload, .. })) => payload.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn put(key: &str, value: &str) -> Transaction {
    Transaction {
        compare: Vec::new(),
        write: vec![Write {
            key: Arc::from(key),
            value: Some(Arc::from(value.as_bytes())),
        }],
    }
}

#[tokio::test]
async fn a_message_needs_no_open_channel_here_and_a_broadcast_does() {
    let (a, b) = pair().await;
    let there = messages(&b, "mail").await;
    let (client, text) = (a.node.channel_client(), || Arc::from(b"hello".as_slice()));
    soon(client.send(name("mail"), id("b"), text()))
        .await
        .unwrap();
    assert_eq!(message(&there).await, b"hello");
    let refused = soon(client.publish(name("mail"), text())).await;
    assert_eq!(refused, Err(Error::Refused(Refusal::NotOpen)));
    let here = messages(&a, "mail").await;
    let published = soon(client.publish(name("mail"), text())).await.unwrap();
    assert_eq!(published.unwrap().origin, id("a"));
    assert_eq!(broadcast(&there).await.1, b"hello");
    drop(here);
    a.ends().await;
    b.ends().await;
}

#[tokio::test]
async fn a_broadcast_reaches_present_and_later_subscribers() {
    let (a, b) = pair().await;
    let here = messages(&a, "chat").await;
    let there = messages(&b, "chat").await;
    let first = here.publish("one").await.unwrap();
    assert_eq!(first.unwrap().origin, id("a"));
    assert_eq!(broadcast(&there).await, ("a".to_owned(), b"one".to_vec()));
    drop(there);
    // The node retains the message although the channel is not open there.
    here.publish("two").await.unwrap();
    let later = messages(&b, "chat").await;
    let texts = async {
        loop {
            let Retained::Messages(held) = later.catch_up().await.unwrap() else {
                panic!("it is a channel of messages");
            };
            if held.len() == 2 {
                let texts = held.iter().map(|update| update.payload.to_vec());
                return texts.collect::<Vec<_>>();
            }
            time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert_eq!(soon(texts).await, [b"one".to_vec(), b"two".to_vec()]);
    a.ends().await;
    b.ends().await;
}

#[tokio::test]
async fn a_message_is_delivered_or_its_sender_gets_the_reason() {
    let (a, b) = pair().await;
    let here = messages(&a, "chat").await;
    let refused = |failure| Err(Error::Refused(Refusal::Undelivered(failure)));
    assert_eq!(
        soon(here.send(id("nobody"), "hello")).await,
        refused(DeliveryFailure::UnknownPeer)
    );
    assert_eq!(
        soon(here.send(id("b"), "hello")).await,
        refused(DeliveryFailure::NoSuchChannel)
    );
    let there = messages(&b, "chat").await;
    assert_eq!(soon(here.send(id("b"), "hello")).await, Ok(()));
    assert_eq!(message(&there).await, b"hello");
    let big = vec![7; 3 * 1024 * 1024];
    assert_eq!(soon(here.send(id("b"), &big)).await, Ok(()));
    assert_eq!(message(&there).await, big);
    let too_big = vec![7; 10 * 1024 * 1024 + 1];
    assert_eq!(
        here.send(id("b"), &too_big).await,
        Err(Error::Refused(Refusal::TooLarge(too_big.len())))
    );
    // A message to the sending node itself is delivered as well.
    assert_eq!(soon(here.send(id("a"), "me")).await, Ok(()));
    assert_eq!(message(&here).await, b"me");
    a.ends().await;
    b.ends().await;
}

#[tokio::test]
async fn a_slow_reader_slows_its_senders() {
    let (a, b) = pair().await;
    let here = messages(&a, "chat").await;
    let options = Options {
        room: 1,
        ..Options::of(Kind::Messages)
    };
    let there = b.node.open(name("chat"), options).await.unwrap();
    soon(here.send(id("b"), "one")).await.unwrap();
    let second = here.send(id("b"), "two");
    let mut second = Box::pin(second);
    let early = time::timeout(Duration::from_millis(300), &mut second).await;
    assert!(early.is_err(), "the first was not taken: {early:?}");
    assert_eq!(message(&there).await, b"one");
    assert_eq!(soon(second).await, Ok(()));
    assert_eq!(message(&there).await, b"two");
    a.ends().await;
    b.ends().await;
}

#[tokio::test]
async fn large_messages_that_are_not_taken_hold_their_sender_back_however_few() {
    let (a, b) = pair().await;
    let here = messages(&a, "chat").await;
    let there = messages(&b, "chat").await;
    let slow = there.reader();
    let large = vec![b'x'; ROOM_BYTES / 2];
    for _ in 0..2 {
        soon(here.send(id("b"), large.clone())).await.unwrap();
    }
    let mut small = Box::pin(here.send(id("b"), "small"));
    let early = time::timeout(Duration::from_millis(300), &mut small).await;
    assert!(early.is_err(), "nothing was taken: {early:?}");
    assert_eq!(message(&there).await, large);
    assert_eq!(soon(small).await, Ok(()));
    assert_eq!(message(&there).await, large);
    assert_eq!(message(&there).await, b"small");
    // The other reader took no message and lost the first, since every reader has the same room.
    assert_eq!(
        soon(slow.recv()).await,
        Some(Received::Lagged { missed: 1 })
    );
    a.ends().await;
    b.ends().await;
}

#[tokio::test]
async fn a_slow_reader_misses_broadcasts_and_gets_their_number() {
    let (a, b) = pair().await;
    let here = messages(&a, "chat").await;
    let there = messages(&b, "chat").await;
    let fast = there.reader();
    let extra = 10;
    let mut publisher = Box::pin(here.publisher());
    for n in 0..BROADCASTS_WAITING_MAX + extra {
        poll_fn(|context| publisher.as_mut().poll_ready(context))
            .await
            .unwrap();
        let payload = n.to_be_bytes().to_vec();
        Pin::as_mut(&mut publisher).start_send(payload).unwrap();
        poll_fn(|context| publisher.as_mut().poll_flush(context))
            .await
            .unwrap();
        // The other reader keeps up.
        assert!(matches!(
            soon(fast.recv()).await,
            Some(Received::Delivery(Delivery::Broadcast { .. }))
        ));
    }
    let missed = extra as u64;
    assert_eq!(soon(there.recv()).await, Some(Received::Lagged { missed }));
    assert_eq!(broadcast(&there).await.1, extra.to_be_bytes());
    a.ends().await;
    b.ends().await;
}

#[tokio::test]
async fn one_at_a_time_has_a_channel_open_and_dropping_it_closes_it() {
    let ca = TestAuthority::new();
    let a = start(ca.node("a"), &[]).await;
    let first = messages(&a, "chat").await;
    let again = a.node.open(name("chat"), Options::of(Kind::Messages)).await;
    assert_eq!(again.err(), Some(Error::Refused(Refusal::AlreadyOpen)));
    drop(first);
    let second = messages(&a, "chat").await;
    let as_map = second.transact(put("k", "v")).await;
    assert_eq!(
        as_map,
        Err(Error::Refused(Refusal::WrongKind(Kind::Messages)))
    );
    drop(second);
    let as_map = a.node.open(name("chat"), Options::of(Kind::Map)).await;
    assert_eq!(
        as_map.err(),
        Some(Error::Refused(Refusal::OtherKind(Kind::Messages)))
    );
    // A refused opening leaves nothing behind.
    let third = messages(&a, "chat").await;
    let (node, reader) = (a.node.clone(), third.reader());
    a.ends().await;
    assert_eq!(soon(third.recv()).await, None);
    assert_eq!(soon(reader.recv()).await, None);
    assert!(matches!(third.publish("x").await, Err(Error::Stopped(_))));
    let after = node.open(name("other"), Options::of(Kind::Map)).await;
    assert!(matches!(after, Err(Error::Stopped(_))));
}

#[tokio::test]
async fn a_map_is_written_by_comparing_and_copied_to_all() {
    let (a, b) = pair().await;
    let options = || Options::of(Kind::Map);
    let here = a.node.open(name("settings"), options()).await.unwrap();
    let there = b.node.open(name("settings"), options()).await.unwrap();
    let TransactionOutcome::Committed(version) = here.transact(put("colour", "red")).await.unwrap()
    else {
        panic!("nothing was compared");
    };
    let changed = Received::Delivery(Delivery::Changed {
        key: Arc::from("colour"),
        value: Some(Arc::from(&b"red"[..])),
        version: version.clone(),
    });
    assert_eq!(soon(there.recv()).await, Some(changed));
    let swap = |expected| Transaction {
        compare: vec![(Arc::from("colour"), expected)],
        ..put("colour", "blue")
    };
    assert_eq!(
        there.transact(swap(Expected::Absent)).await,
        Ok(TransactionOutcome::Differs(Arc::from("colour")))
    );
    let swapped = there.transact(swap(Expected::Version(version))).await;
    assert!(
        matches!(swapped, Ok(TransactionOutcome::Committed(_))),
        "{swapped:?}"
    );
    let held = there.get("colour").await.unwrap().unwrap();
    assert_eq!(held.value.as_deref(), Some(&b"blue"[..]));
    a.ends().await;
    b.ends().await;
}

#[tokio::test]
async fn packets_go_to_members_by_name() {
    let (a, b) = pair().await;
    let here = PacketSocket::bind(&a.node, name("game")).await.unwrap();
    let there = PacketSocket::bind(&b.node, name("game")).await.unwrap();
    let twice = PacketSocket::bind(&b.node, name("game")).await;
    assert_eq!(twice.err().unwrap().kind(), io::ErrorKind::AddrInUse);
    let packet = vec![9; PACKET_BYTES_MAX];
    assert_eq!(
        here.send_to(&packet, &id("b")).await.unwrap(),
        PACKET_BYTES_MAX
    );
    let mut buffer = vec![0; PACKET_BYTES_MAX];
    let received = soon(there.recv_from(&mut buffer)).await.unwrap();
    assert_eq!(received, (PACKET_BYTES_MAX, id("a")));
    assert_eq!(buffer, packet);
    here.send_to(b"long", &id("b")).await.unwrap();
    let mut short = [0; 2];
    let received = soon(there.recv_from(&mut short)).await.unwrap();
    assert_eq!((received, &short), ((2, id("a")), b"lo"));
    let long = vec![0; PACKET_BYTES_MAX + 1];
    let refused = here.send_to(&long, &id("b")).await;
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    a.ends().await;
    b.ends().await;
    let ended = there.recv_from(&mut buffer).await;
    assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::NotConnected);
}

#[tokio::test]
async fn channels_opened_by_peers_are_passed_to_their_subscribers() {
    let (a, b) = pair().await;
    let before = messages(&a, "before").await;
    before.publish("x").await.unwrap();
    let (told, mut heard) = mpsc::unbounded_channel();
    let ours = messages(&b, "ours").await;
    b.node.on_unknown_channel(move |unknown| {
        let told = told.clone();
        async move {
            let opened = unknown.open(Options::of(unknown.kind())).await.unwrap();
            let _nobody = told.send(opened).is_err();
        }
    });
    let first = soon(heard.recv()).await.unwrap();
    assert_eq!(first.name(), &name("before"));
    let after = messages(&a, "after").await;
    after.publish("y").await.unwrap();
    let second = soon(heard.recv()).await.unwrap();
    assert_eq!(second.name(), &name("after"));
    drop(ours);
    a.ends().await;
    b.ends().await;
}

#[tokio::test]
async fn a_watcher_of_routes_is_notified_of_changes() {
    let ca = TestAuthority::new();
    let a = start(ca.node("a"), &[]).await;
    let (told, mut heard) = mpsc::unbounded_channel();
    a.node.on_routes_changed(move |routes| {
        let _nobody = told.send(routes).is_err();
    });
    assert_eq!(soon(heard.recv()).await.unwrap(), []);
    let b = start(ca.node("b"), &[a.address()]).await;
    let routes = soon(heard.recv()).await.unwrap();
    let brief: Vec<_> = routes
        .iter()
        .map(|way| (way.to.as_str(), way.hops))
        .collect();
    assert_eq!(brief, [("b", 1)]);
    b.node.leave(SOON).await;
    assert_eq!(soon(heard.recv()).await.unwrap(), []);
    a.ends().await;
    b.ends().await;
}
