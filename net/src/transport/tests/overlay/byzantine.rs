//! Tests of neighbours that violate the protocol.

use super::super::hostile::{RawLink, raw_link};
use super::*;
use crate::overlay::Signal;
use crate::wire::PacketParts;
use crate::wire::proto;
use phalanx_core::gossip;
use phalanx_core::gossip::message::{Hello, VERSION_MAX, VERSION_MIN};
use phalanx_core::node::Message as Said;
use phalanx_core::topology::record::{Rank, Record};
use prost::Message as _;

fn packet(parts: impl Into<PacketParts>) -> Vec<u8> {
    proto::Packet::from(&parts.into()).encode_to_vec()
}

fn hello(session: u32, offer: Option<Offer>) -> Vec<u8> {
    let id = NodeId::new("byzantine").unwrap();
    let rank = Rank {
        epoch: 1,
        instance: 1,
        ..Rank::default()
    };
    let hello = Hello {
        mesh: "test".to_owned(),
        version_min: VERSION_MIN,
        version_max: VERSION_MAX,
        session,
        joining: true,
        alone: false,
        hash: 0,
        record: Arc::new(Record::new(id, rank, Content::default())),
        revocations: 0,
    };
    packet(PacketParts {
        message: Some(Said::Mesh(gossip::Message::Hello(hello))),
        signal: offer.map(Signal::Offer),
    })
}

/// Sends these packets to a node, which must report the peer and close the link.
async fn is_rejected(member: &mut TestMember, identity: &Identity, said: Vec<Vec<u8>>, why: &str) {
    let mut link: RawLink = raw_link(identity, member).await.unwrap();
    for bytes in said {
        // The link may close before all packets are sent.
        let _closed = link.out.send(bytes).await.is_err();
    }
    let notice = member
        .hears(why, |notice| {
            is_event(notice, |it| matches!(it, TransportEvent::Malformed { .. }))
        })
        .await;
    let Notice::Transport(event) = notice else {
        panic!()
    };
    let text = event.to_string();
    assert!(
        text.starts_with("byzantine sent") && text.contains(why),
        "{text:?}, wanted {why:?}"
    );
    let end = async { while let Ok(Some(_)) = link.inbound.message().await {} };
    time::timeout(DEADLINE, end)
        .await
        .expect("the link is closed");
}

#[tokio::test]
async fn a_protocol_violation_is_reported_and_closes_the_link() {
    let ca = TestAuthority::new();
    let mut one = Overlaid::start(ca.node("one"), &[], named("udp")).await;
    let byzantine = ca.node("byzantine");
    let udp = || hello(1, Some(named("udp")));
    let control = || {
        let payload = [0; 64].into();
        packet(Signal::Control(crate::overlay::Control {
            kind: 1,
            payload,
        }))
    };
    let entry = |at: usize| proto::Entry {
        key: format!("f{at}"),
        value: "x".repeat(8),
    };
    let mut giant = proto::Packet::decode(&udp()[..]).unwrap();
    giant.overlay = Some(proto::Overlay {
        signal: Some(proto::overlay::Signal::Offer(proto::Offer {
            name: "udp".to_owned(),
            features: (0..500).map(entry).collect(),
        })),
    });
    let cases = [
        (
            vec![giant.encode_to_vec()],
            "overlay.offer is refused: more than 16 features",
        ),
        (
            vec![control()],
            "uninvited: no overlay of this name was offered",
        ),
        (
            vec![hello(1, None), control()],
            "uninvited: no overlay of this name was offered",
        ),
        (vec![udp(), control()], "a control message before ready"),
        (
            vec![udp(), packet(Signal::Ready), packet(Signal::Ready)],
            "ready was said twice",
        ),
        (
            vec![udp(), packet(Signal::Credit(1))],
            "more control messages were taken",
        ),
        (
            vec![udp(), packet(Signal::Offer(named("udp")))],
            "overlay is misplaced",
        ),
    ];
    for (said, why) in cases {
        is_rejected(&mut one.member, &byzantine, said, why).await;
    }
    let mut bare = start(ca.node("bare"), &[]).await;
    let uninvited = "uninvited: no overlay of this name was offered";
    is_rejected(
        &mut bare,
        &byzantine,
        vec![udp(), packet(Signal::Ready)],
        uninvited,
    )
    .await;
    bare.ends().await;
    one.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flood_of_control_messages_closes_the_link() {
    let ca = TestAuthority::new();
    let (let_go, gate) = threads::channel();
    let waits = Manner::Waits(Arc::new(Mutex::new(gate)));
    let mut one = Overlaid::with(ca.node("one"), &[], named("udp"), waits).await;
    let payload = [0; 64].into();
    let control = packet(Signal::Control(crate::overlay::Control {
        kind: 1,
        payload,
    }));
    let mut said = vec![hello(1, Some(named("udp"))), packet(Signal::Ready)];
    said.extend(vec![control; 2 * WINDOW as usize]);
    let why = "more than 32 control messages that were not taken";
    is_rejected(&mut one.member, &ca.node("byzantine"), said, why).await;
    for _ in 0..WINDOW {
        let_go.send(()).unwrap();
    }
    one.ends().await;
}

#[tokio::test]
async fn a_second_link_on_one_connection_has_no_key_and_no_data_path() {
    let ca = TestAuthority::new();
    let mut one = Overlaid::start(ca.node("one"), &[], named("udp")).await;
    let byzantine = ca.node("byzantine");
    let first = raw_link(&byzantine, &one.member).await.unwrap();
    let mut second = first.another().await.unwrap();
    first.out.send(hello(1, Some(named("udp")))).await.unwrap();
    one.prepares().await;
    second.out.send(hello(2, Some(named("udp")))).await.unwrap();
    let answer = time::timeout(DEADLINE, second.inbound.message()).await;
    let answer = answer.unwrap().unwrap().unwrap();
    let answer = PacketParts::try_from(proto::Packet::decode(&answer[..]).unwrap()).unwrap();
    assert!(
        matches!(
            answer.message,
            Some(Said::Mesh(gossip::Message::Welcome(_)))
        ),
        "{answer:?}"
    );
    assert_eq!(answer.signal, None, "no offer is made once the key is used");
    drop((first, second));
    one.ends().await;
}
