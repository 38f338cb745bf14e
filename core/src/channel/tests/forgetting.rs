//! Channels that nothing uses give way to new ones, and a publication that other nodes would refuse is refused.

use super::sample::{channel, config, id, update_id};
use super::world::bytes;
use crate::channel::message::{Body, Data, Item, Kind, Update};
use crate::channel::{
    CHANNELS_MAX, Channels, Done, Input, Neighbour, Options, Output, Refusal, Request,
};
use crate::link::LinkId;
use crate::testing::alone::Alone;
use crate::time::{Duration, Instant};
use std::sync::Arc;

const LINK: LinkId = LinkId(1);
const SHARED: usize = CHANNELS_MAX / 4 * 3;

/// The node `me`, with a link to `a`.
fn node() -> Alone<Channels> {
    let mut node = Alone {
        machine: Channels::new(config("me"), 1, Instant::ZERO),
        now: Instant::ZERO,
    };
    node.give(Input::Neighbours(vec![Neighbour {
        link: LINK,
        peer: id("a"),
        lively: true,
    }]));
    node
}

fn receive(node: &mut Alone<Channels>, item: Item) {
    let data = Data {
        items: vec![item],
        ..Data::default()
    };
    node.give(Input::Receive { link: LINK, data });
}

/// A broadcast of `a` on a channel.
fn broadcast(node: &mut Alone<Channels>, on: &str) {
    let update = Arc::new(Update {
        id: update_id(on, "a", 1),
        body: Body::Message,
        payload: bytes("x"),
    });
    let (remaining, repair) = (0, false);
    receive(
        node,
        Item::Update {
            update,
            remaining,
            repair,
        },
    );
}

/// The hash of `a` on a channel.
fn digest(node: &mut Alone<Channels>, on: &str) {
    let (channel, kind, hash) = (channel(on), Kind::Messages, 1);
    receive(
        node,
        Item::Digest {
            channel,
            kind,
            hash,
        },
    );
}

fn knows(node: &Alone<Channels>, name: &str) -> bool {
    node.machine
        .known()
        .any(|(known, ..)| *known == channel(name))
}

fn publish(node: &mut Alone<Channels>, name: &str) -> Result<Done, Refusal> {
    let request = Request(1);
    node.give(Input::Open {
        request,
        channel: channel(name),
        options: Options::of(Kind::Messages),
    });
    let given = node.give(Input::Publish {
        request,
        channel: channel(name),
        payload: bytes("x"),
    });
    let mut answers = given.into_iter().filter_map(|(_, output)| {
        if let Output::Answer { result, .. } = output {
            Some(result)
        } else {
            None
        }
    });
    answers.next().unwrap()
}

#[test]
fn the_channel_that_is_unused_for_the_longest_time_gives_way_to_a_new_one() {
    let mut node = node();
    for number in 0..SHARED {
        broadcast(&mut node, &format!("job-{number}"));
        node.pass(Duration::from_millis(10));
    }
    broadcast(&mut node, "early");
    assert!(!knows(&node, "early"), "all channels are in use");
    node.pass(Duration::from_secs(60));
    for number in 0..1_000 {
        broadcast(&mut node, &format!("late-{number}"));
        node.pass(Duration::from_secs(1));
        assert!(knows(&node, &format!("late-{number}")));
        assert!(node.machine.known().count() <= SHARED);
    }
    assert!(!knows(&node, "job-0"));
}

#[test]
fn invented_names_give_way_to_a_channel_with_a_broadcast_and_not_to_other_names() {
    let mut node = node();
    for number in 0..SHARED + 50 {
        digest(&mut node, &format!("invented-{number}"));
    }
    node.pass(Duration::from_secs(5));
    digest(&mut node, "more");
    assert!(!knows(&node, "more"));
    broadcast(&mut node, "used");
    assert!(knows(&node, "used"));
    assert_eq!(node.machine.known().count(), SHARED);
}

#[test]
fn a_publication_on_a_channel_that_the_others_have_no_room_for_is_refused() {
    let mut node = node();
    for number in 0..SHARED {
        broadcast(&mut node, &format!("job-{number}"));
    }
    assert_eq!(publish(&mut node, "mine"), Err(Refusal::TooManyChannels));
    node.pass(Duration::from_secs(61));
    assert!(matches!(publish(&mut node, "mine"), Ok(Done::Published(_))));
    assert!(matches!(
        publish(&mut node, "second"),
        Ok(Done::Published(_))
    ));
    assert!(node.machine.known().count() <= SHARED + 1);
}
