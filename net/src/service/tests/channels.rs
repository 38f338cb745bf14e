//! Tests of channels through the port of a node.

use super::*;
use crate::wire::proto::{
    ChannelEvent, ChannelKind, Compare, GetKeyRequest, GetRoutesRequest, ListChannelsRequest,
    ListKeysRequest, PublishRequest, Put, SendRequest, SubscribeRequest, TransactRequest,
    channel_event, compare, transact_reply,
};
use phalanx_core::channel::message::PAYLOAD_BYTES_MAX;
use tonic::{Code, Streaming};

const MESSAGES: i32 = ChannelKind::Messages as i32;
const MAP: i32 = ChannelKind::Map as i32;

/// A mesh of two nodes, and an administrator's connection to each.
struct Two {
    mesh: Mesh,
    nodes: [MeshNode; 2],
    a: Client,
    b: Client,
}

async fn two() -> Two {
    let mesh = Mesh::new();
    let (a, _) = mesh.start("a", Vec::new()).await;
    let (b, _) = mesh.start("b", vec![Address::Socket(a.address())]).await;
    let admin = mesh.admin();
    let mut two = Two {
        a: client(&a, &admin).await,
        b: client(&b, &admin).await,
        nodes: [a, b],
        mesh,
    };
    for client in [&mut two.a, &mut two.b] {
        let calls = client.channels().clone();
        until(|| {
            let mut calls = calls.clone();
            async move {
                let routes = calls.get_routes(GetRoutesRequest::default()).await.unwrap();
                (routes.into_inner().ways.len() == 1).then_some(())
            }
        })
        .await;
    }
    two
}

impl Two {
    async fn end(self) {
        for node in &self.nodes {
            node.shutdown().await;
        }
        self.mesh.tasks.finish(SOON).await;
    }
}

async fn subscribe(
    client: &mut Client,
    channel: &str,
    kind: i32,
    with_history: bool,
) -> Streaming<ChannelEvent> {
    let request = SubscribeRequest {
        channel: channel.to_owned(),
        kind,
        with_history,
        interval_ms: 0,
    };
    let stream = client.channels().subscribe(request).await;
    stream.unwrap().into_inner()
}

async fn next(stream: &mut Streaming<ChannelEvent>) -> channel_event::Event {
    let next = time::timeout(SOON, stream.message()).await;
    next.expect("the next event arrives within the deadline")
        .unwrap()
        .unwrap()
        .event
        .unwrap()
}

async fn begun(stream: &mut Streaming<ChannelEvent>) {
    let first = next(stream).await;
    assert!(
        matches!(first, channel_event::Event::Subscribed(_)),
        "{first:?}"
    );
}

fn publication(channel: &str, text: &str) -> PublishRequest {
    PublishRequest {
        channel: channel.to_owned(),
        kind: MESSAGES,
        payload: text.as_bytes().to_vec(),
    }
}

async fn broadcast(stream: &mut Streaming<ChannelEvent>) -> (String, bool) {
    let event = next(stream).await;
    let channel_event::Event::Broadcast(heard) = event else {
        panic!("{event:?}");
    };
    (String::from_utf8(heard.payload).unwrap(), heard.retained)
}

#[tokio::test]
async fn subscribers_of_a_node_share_a_channel_and_receive_its_broadcasts() {
    let mut two = two().await;
    let mut one = subscribe(&mut two.a, "chat", MESSAGES, false).await;
    begun(&mut one).await;
    let mut other = subscribe(&mut two.a, "chat", MESSAGES, false).await;
    begun(&mut other).await;
    // The channel is not open on this node; it is opened for this publication only.
    let published = two.b.channels().publish(publication("chat", "hi")).await;
    assert_eq!(published.unwrap().into_inner().id.unwrap().origin, "b");
    assert_eq!(broadcast(&mut one).await, ("hi".to_owned(), false));
    assert_eq!(broadcast(&mut other).await, ("hi".to_owned(), false));
    drop((one, other));
    let mut late = subscribe(&mut two.a, "chat", MESSAGES, true).await;
    assert_eq!(broadcast(&mut late).await, ("hi".to_owned(), true));
    begun(&mut late).await;
    let refused = two.a.channels().subscribe(SubscribeRequest {
        channel: "chat".to_owned(),
        kind: MAP,
        ..SubscribeRequest::default()
    });
    assert_eq!(refused.await.unwrap_err().code(), Code::FailedPrecondition);
    drop(late);
    two.end().await;
}

#[tokio::test]
async fn a_message_is_acknowledged_and_a_publisher_receives_none() {
    let mut two = two().await;
    let to = |to: &str, payload: Vec<u8>| SendRequest {
        to: to.to_owned(),
        channel: "chat".to_owned(),
        payload,
        datagram: false,
    };
    let code = |result: Result<_, tonic::Status>| result.err().map(|status| status.code());
    let unknown = two.a.channels().send(to("unknown", vec![1])).await;
    assert_eq!(code(unknown), Some(Code::NotFound));
    two.b
        .channels()
        .publish(publication("chat", "hi"))
        .await
        .unwrap();
    let unheard = two.a.channels().send(to("b", vec![1])).await;
    assert_eq!(code(unheard), Some(Code::FailedPrecondition));
    let mut reader = subscribe(&mut two.b, "chat", MESSAGES, false).await;
    begun(&mut reader).await;
    let delivered = two.a.channels().send(to("b", b"you".to_vec())).await;
    assert!(delivered.is_ok(), "{delivered:?}");
    let heard = next(&mut reader).await;
    assert!(
        matches!(&heard, channel_event::Event::Message(it) if it.payload == b"you" && it.from == "a"),
        "{heard:?}"
    );
    let big = two
        .a
        .channels()
        .send(to("b", vec![0; PAYLOAD_BYTES_MAX + 1]))
        .await;
    let big = big.unwrap_err();
    assert_eq!(big.code(), Code::InvalidArgument);
    assert!(big.message().contains("at most 10485760"), "{big}");
    drop(reader);
    two.end().await;
}

#[tokio::test]
async fn keys_are_written_conditionally_read_and_listed() {
    let mut two = two().await;
    let write = |key: &str, value: Option<&str>, compare: Vec<Compare>| TransactRequest {
        channel: "settings".to_owned(),
        compare,
        write: vec![Put {
            key: key.to_owned(),
            value: value.map(|value| value.as_bytes().to_vec()),
        }],
    };
    let absent = Compare {
        key: "colour".to_owned(),
        expected: Some(compare::Expected::Absent(true)),
    };
    let calls = two.a.channels();
    let first = calls
        .transact(write("colour", Some("red"), vec![absent.clone()]))
        .await;
    let first = first.unwrap().into_inner().outcome;
    assert!(
        matches!(first, Some(transact_reply::Outcome::Committed(_))),
        "{first:?}"
    );
    let second = calls
        .transact(write("colour", Some("blue"), vec![absent]))
        .await;
    assert_eq!(
        second.unwrap().into_inner().outcome,
        Some(transact_reply::Outcome::Differs("colour".to_owned()))
    );
    let get = GetKeyRequest {
        channel: "settings".to_owned(),
        key: "colour".to_owned(),
    };
    let calls = two.b.channels().clone();
    let found = until(|| {
        let (mut calls, get) = (calls.clone(), get.clone());
        async move { calls.get_key(get).await.unwrap().into_inner().found }
    })
    .await;
    assert_eq!(found.value, b"red");
    let list = ListKeysRequest {
        channel: "settings".to_owned(),
        prefix: "col".to_owned(),
    };
    let mut listing = two.b.channels().list_keys(list).await.unwrap().into_inner();
    assert_eq!(listing.message().await.unwrap().unwrap().key, "colour");
    assert_eq!(listing.message().await.unwrap(), None);
    let known = two.b.channels().list_channels(ListChannelsRequest {}).await;
    let known = known.unwrap().into_inner().channels;
    let brief: Vec<_> = known
        .iter()
        .map(|it| (it.name.as_str(), it.kind, it.open, it.held))
        .collect();
    assert_eq!(brief, [("settings", MAP, false, 1)]);
    let unknown = two.b.channels().get_routes(GetRoutesRequest {
        source: "unknown".to_owned(),
    });
    assert_eq!(unknown.await.unwrap_err().code(), Code::NotFound);
    two.end().await;
}

#[tokio::test]
async fn only_administrators_and_the_node_itself_may_use_channels() {
    let two = two().await;
    let stranger = two.mesh.node("c");
    let mut stranger = client(&two.nodes[0], &stranger).await;
    let refused = stranger.channels().publish(publication("chat", "hi")).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    let own = two.mesh.node("a");
    let mut own = client(&two.nodes[0], &own).await;
    let taken = own.channels().publish(publication("chat", "hi")).await;
    assert!(taken.is_ok(), "{taken:?}");
    let bad = own.channels().publish(publication("No Name", "hi")).await;
    assert_eq!(bad.unwrap_err().code(), Code::InvalidArgument);
    two.end().await;
}
