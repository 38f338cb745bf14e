//! Messages to one node.

use super::world::{ChannelWorld, bytes, channel, id};
use crate::channel::message::{Data, DeliveryFailure, Item, Kind, Packet, Purpose};
use crate::channel::{
    Delivery, Done, Event, Input, Neighbour, Options, Output, ROOM_BYTES, Refusal, Rejection,
    Request,
};
use crate::link::LinkId;
use crate::time::Duration;
use proptest::prelude::*;
use std::sync::Arc;

fn undelivered(failure: DeliveryFailure) -> Result<Done, Refusal> {
    Err(Refusal::Undelivered(failure))
}

#[test]
fn a_message_is_delivered_once_and_acknowledged() {
    let mut world = ChannelWorld::new(&["a", "b", "c", "d"]);
    for (one, other) in [("a", "b"), ("b", "c"), ("c", "d")] {
        world.link(one, other);
    }
    world.open("d", "chat", Kind::Messages).unwrap();
    let sent = world.tell_one("a", "d", "chat", bytes("hello"));
    assert_eq!(world.environment.answers.get(&sent), None);
    world.millis(20);
    assert_eq!(world.environment.answers[&sent], Ok(Done::Delivered));
    assert_eq!(world.heard("d"), ["hello"]);
    let (node, _, delivery) = &world.environment.delivered[0];
    let from = Delivery::Message {
        from: id("a"),
        payload: bytes("hello"),
        datagram: false,
    };
    assert_eq!((node, delivery), (&id("d"), &from));
}

#[test]
fn one_can_send_to_oneself() {
    let mut world = ChannelWorld::new(&["a"]);
    world.open_all("chat", Kind::Messages);
    let sent = world.tell_one("a", "a", "chat", bytes("note"));
    assert_eq!(world.environment.answers[&sent], Ok(Done::Delivered));
    assert_eq!(world.heard("a"), ["note"]);
}

#[test]
fn every_way_to_fail_has_its_name() {
    let mut world = ChannelWorld::new(&["a", "b", "far"]);
    world.link("a", "b");
    let nobody = world.tell_one("a", "nobody", "chat", bytes("x"));
    assert_eq!(
        world.environment.answers[&nobody],
        undelivered(DeliveryFailure::UnknownPeer)
    );
    let closed = world.tell_one("a", "b", "chat", bytes("x"));
    let far = world.tell_one("a", "far", "chat", bytes("x"));
    world.millis(50);
    assert_eq!(
        world.environment.answers[&closed],
        undelivered(DeliveryFailure::NoSuchChannel)
    );
    assert_eq!(world.environment.answers.get(&far), None);
    world.run(Duration::from_secs(16));
    assert_eq!(
        world.environment.answers[&far],
        undelivered(DeliveryFailure::NoRoute)
    );
    let link = LinkId(1);
    world.environment.stalled.insert(link);
    let lost = world.tell_one("a", "b", "chat", bytes("x"));
    world.run(Duration::from_secs(16));
    assert_eq!(
        world.environment.answers[&lost],
        undelivered(DeliveryFailure::TimedOut)
    );
    assert_eq!(world.nodes[&id("a")].pending(), 0);
}

#[test]
fn a_way_that_breaks_under_a_message_is_replaced() {
    let mut world = ChannelWorld::new(&["a", "b", "c", "d"]);
    for (one, other) in [("a", "b"), ("b", "d"), ("a", "c")] {
        world.link(one, other);
    }
    world.link("c", "d");
    world.open("d", "chat", Kind::Messages).unwrap();
    let first = world.tell_one("a", "d", "chat", bytes("first"));
    // The message is in flight to `b`, which loses both of its links.
    world.unlink("a", "b");
    world.unlink("b", "d");
    world.millis(100);
    assert_eq!(world.environment.answers[&first], Ok(Done::Delivered));
    assert_eq!(world.heard("d"), ["first"]);
}

#[test]
fn a_lost_answer_costs_a_copy_that_is_not_delivered() {
    let mut world = ChannelWorld::new(&["a", "b"]);
    let link = world.link("a", "b");
    world.open("b", "chat", Kind::Messages).unwrap();
    let sent = world.tell_one("a", "b", "chat", bytes("once"));
    world.millis(1);
    // While the answer is in flight, the link is replaced by another link.
    world.unlink("a", "b");
    assert_ne!(world.link("a", "b"), link);
    world.millis(3_000);
    assert_eq!(world.environment.answers[&sent], Ok(Done::Delivered));
    assert_eq!(world.heard("b"), ["once"]);
}

/// The answers to messages of these sizes, sent to a node with a receive window of `room` that consumes the given
/// number of bytes after each message.
fn handed(room: u32, messages: &[(usize, Option<usize>)]) -> Vec<Purpose> {
    let mut world = ChannelWorld::new(&["a", "b"]);
    let link = world.link("a", "b");
    let options = Options {
        room,
        ..Options::of(Kind::Messages)
    };
    world.open_with("b", "chat", options).unwrap();
    // The test world consumes messages at once, but this node does not.
    let packet = |number, size| {
        let packet = Packet {
            from: id("a"),
            to: id("b"),
            epoch: 1,
            number,
            floor: 1,
            purpose: Purpose::Message,
            channel: channel("chat"),
            path: vec![id("a")],
            payload: vec![b'x'; size].into(),
        };
        let items = vec![Item::Packet {
            packet: Arc::new(packet),
            remaining: 0,
        }];
        Input::Receive {
            link,
            data: Data {
                items,
                ..Data::default()
            },
        }
    };
    let mut out = crate::machine::Outbox::new();
    let node = world.nodes.get_mut(&id("b")).unwrap();
    for (number, (size, consumed)) in (1..).zip(messages) {
        crate::machine::Machine::step(node, world.now, packet(number, *size), &mut out);
        if let Some(bytes) = *consumed {
            let (channel, count) = (channel("chat"), 1);
            let consumed = Input::Consumed {
                channel,
                count,
                bytes,
            };
            crate::machine::Machine::step(node, world.now, consumed, &mut out);
        }
    }
    let answers = out.drain().filter_map(|order| match order {
        Output::Route(packet) => Some((packet.number, packet.purpose)),
        Output::Transmit { .. }
        | Output::Deliver { .. }
        | Output::Answer { .. }
        | Output::AnnounceChannels
        | Output::Report(_) => None,
    });
    let mut answers: Vec<_> = answers.collect();
    answers.sort_by_key(|(number, _)| *number);
    answers.into_iter().map(|(_, purpose)| purpose).collect()
}

#[test]
fn a_receiver_that_does_not_consume_is_not_overrun() {
    let (taken, busy) = (Purpose::Delivered, Purpose::Failed(DeliveryFailure::Busy));
    assert_eq!(handed(1, &[(1, None), (1, None)]), [taken, busy]);
    assert_eq!(handed(1, &[(1, Some(1)), (1, None)]), [taken, taken]);
    // A few large messages also stay within the window.
    let half = ROOM_BYTES / 2;
    let large = [
        (half, None),
        (half, None),
        (1, Some(half)),
        (half, None),
        (1, None),
    ];
    let answers = [taken, taken, busy, taken, busy];
    assert_eq!(handed(256, &large), answers);
}

#[test]
fn a_sender_with_too_much_under_way_is_refused_at_once() {
    let mut world = ChannelWorld::new(&["a", "b"]);
    let link = world.link("a", "b");
    world.open("b", "chat", Kind::Messages).unwrap();
    world.environment.stalled.insert(link);
    let sent: Vec<_> = (0..1_100)
        .map(|_| world.tell_one("a", "b", "chat", bytes("x")))
        .collect();
    let full = sent
        .iter()
        .filter(|sent| world.environment.answers.get(sent) == Some(&Err(Refusal::Full)));
    assert_eq!(full.count(), 1_100 - crate::channel::PENDING_MAX);
    world.environment.stalled.clear();
    world.run(Duration::from_secs(10));
    assert_eq!(world.heard("b").len(), crate::channel::PENDING_MAX);
}

#[test]
fn a_neighbour_that_forges_the_sender_is_named() {
    let mut world = ChannelWorld::new(&["a", "b"]);
    let link = world.link("a", "b");
    world.open("a", "chat", Kind::Messages).unwrap();
    let packet = |from: &str, path: &[&str]| Packet {
        from: id(from),
        to: id("a"),
        epoch: 1,
        number: 1,
        floor: 1,
        purpose: Purpose::Message,
        channel: channel("chat"),
        path: path.iter().map(|name| id(name)).collect(),
        payload: bytes("forged"),
    };
    for forged in [
        packet("c", &["b"]),
        packet("a", &["a", "b"]),
        packet("c", &["c"]),
        packet("b", &[]),
    ] {
        let items = vec![Item::Packet {
            packet: Arc::new(forged),
            remaining: 0,
        }];
        world.step(
            &id("a"),
            Input::Receive {
                link,
                data: Data {
                    items,
                    ..Data::default()
                },
            },
        );
        let forged = Event::Rejected {
            from: id("b"),
            reason: Rejection::ForgedOrigin,
        };
        assert_eq!(world.environment.events.pop(), Some((id("a"), forged)));
    }
    assert!(world.heard("a").is_empty());
}

#[test]
fn a_packet_that_goes_in_circles_is_stopped() {
    let mut world = ChannelWorld::new(&["b"]);
    world.step(
        &id("b"),
        Input::Neighbours(vec![Neighbour {
            link: LinkId(9),
            peer: id("c"),
            lively: true,
        }]),
    );
    let packet = Packet {
        from: id("a"),
        to: id("d"),
        epoch: 1,
        number: 1,
        floor: 1,
        purpose: Purpose::Message,
        channel: channel("chat"),
        path: vec![id("a"), id("b"), id("c")],
        payload: bytes("x"),
    };
    let items = vec![Item::Packet {
        packet: Arc::new(packet),
        remaining: 0,
    }];
    world.step(
        &id("b"),
        Input::Receive {
            link: LinkId(9),
            data: Data {
                items,
                ..Data::default()
            },
        },
    );
    let stopped = Event::RelayFailed {
        from: id("a"),
        to: id("d"),
        failure: DeliveryFailure::RelayLost,
    };
    assert_eq!(world.environment.events, [(id("b"), stopped)]);
}

#[test]
fn a_large_message_and_a_datagram_arrive() {
    let mut world = ChannelWorld::new(&["a", "b", "c"]);
    world.link("a", "b");
    world.link("b", "c");
    world.open("c", "chat", Kind::Messages).unwrap();
    let large: Arc<[u8]> = Arc::from(vec![b'x'; 2_000_000]);
    let sent = world.tell_one("a", "c", "chat", large);
    world.millis(900);
    assert_eq!(world.environment.answers[&sent], Ok(Done::Delivered));
    assert_eq!(world.heard("c")[0].len(), 2_000_000);
    world.step(
        &id("a"),
        Input::Send {
            request: Request(77),
            to: id("c"),
            channel: channel("chat"),
            payload: bytes("quick"),
            datagram: true,
        },
    );
    world.millis(20);
    assert_eq!(
        world.environment.answers[&(id("a"), Request(77))],
        Ok(Done::Sent)
    );
    assert_eq!(world.heard("c")[1], "quick");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// Paths break and return at random. Every message is delivered once.
    #[test]
    fn messages_outlive_links(
        steps in prop::collection::vec((0_usize..8, 0_usize..8, any::<bool>(), 0_u64..200), 1..60),
    ) {
        let mut world = ChannelWorld::ring(8);
        world.open_all("chat", Kind::Messages);
        let mut sent = Vec::new();
        let mut cut = Vec::new();
        for (one, other, send, millis) in steps {
            let (one, other) = (format!("n{one:03}"), format!("n{other:03}"));
            if send && one != other {
                sent.push(world.tell_one(&one, &other, "chat", bytes(&format!("m{}", sent.len()))));
            } else if one != other && world.link(&one, &other) == LinkId(0) {
                world.unlink(&one, &other);
                cut.push((one, other));
            }
            world.millis(millis);
            if cut.len() > 3 {
                let (one, other) = cut.remove(0);
                world.link(&one, &other);
            }
        }
        for (one, other) in cut {
            world.link(&one, &other);
        }
        world.run(Duration::from_secs(20));
        for sent in &sent {
            prop_assert_eq!(world.environment.answers.get(sent), Some(&Ok(Done::Delivered)));
        }
        let mut heard: Vec<String> = world.nodes.keys().flat_map(|name| world.heard(name.as_str())).collect();
        prop_assert_eq!(heard.len(), sent.len());
        heard.sort();
        heard.dedup();
        prop_assert_eq!(heard.len(), sent.len());
    }
}
