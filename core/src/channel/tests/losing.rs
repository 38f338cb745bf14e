//! Messages of which no node holds a copy any more.

use super::world::{ChannelWorld, channel, config, id};
use crate::channel::message::{Kind, Update};
use crate::channel::{
    Channels, Delivery, Input, Neighbour, Options, Output, RETAINED_MAX, Request,
};
use crate::link::LinkId;
use crate::machine::{Machine, Outbox};
use crate::time::Instant;
use std::sync::Arc;

/// The deliveries to a node's application: the number of each message, and `ORIGIN FIRST-LAST` for missed messages.
fn deliveries(world: &ChannelWorld, name: &str) -> Vec<String> {
    let all = world.environment.delivered.iter();
    let mine = all.filter(|(node, _, _)| node.as_str() == name);
    let texts = mine.filter_map(|(_, _, delivery)| match delivery {
        Delivery::Broadcast { id, .. } => Some(id.sequence.to_string()),
        Delivery::Missed {
            origin,
            first,
            last,
            restarted,
            ..
        } => {
            let after = if *restarted { " after a restart" } else { "" };
            Some(format!("{origin} {first}-{last}{after}"))
        }
        Delivery::Message { .. } | Delivery::Changed { .. } | Delivery::Conflict { .. } => None,
    });
    texts.collect()
}

/// The notices of missed messages to a node's application.
fn notices(world: &ChannelWorld, name: &str) -> Vec<String> {
    let mut all = deliveries(world, name);
    all.retain(|text| text.contains('-'));
    all
}

fn publish(world: &mut ChannelWorld, count: usize, bytes: usize) {
    for _ in 0..count {
        world.publish("a", "chat", &"x".repeat(bytes)).unwrap();
        world.millis(5);
    }
}

/// Nodes `a` and `b` on one link, with the channel `chat` open; `a` has published ten messages.
fn two() -> ChannelWorld {
    let mut world = ChannelWorld::new(&["a", "b"]);
    world.link("a", "b");
    world.open_all("chat", Kind::Messages);
    publish(&mut world, 10, 1);
    assert_eq!(deliveries(&world, "b").len(), 10);
    world
}

#[test]
fn an_application_is_told_once_how_many_messages_it_missed() {
    let mut world = two();
    world.unlink("a", "b");
    publish(&mut world, 190, 1);
    world.link("a", "b");
    world.millis(500);
    let told = deliveries(&world, "b");
    assert_eq!(notices(&world, "b"), ["a 11-136"]);
    assert_eq!(told.len(), 10 + RETAINED_MAX + 1);
    // The notice comes with the message that makes the loss certain.
    assert_eq!(told[told.len() - 2], "a 11-136");
    publish(&mut world, 100, 1);
    world.millis(120_000);
    assert_eq!(notices(&world, "b").len(), 1);
    assert_eq!(deliveries(&world, "b").len(), told.len() + 100);
}

#[test]
fn a_cut_that_the_retained_messages_cover_loses_nothing() {
    let mut world = two();
    world.unlink("a", "b");
    publish(&mut world, RETAINED_MAX, 1);
    world.link("a", "b");
    world.millis(500);
    publish(&mut world, RETAINED_MAX, 1);
    world.millis(120_000);
    assert_eq!(notices(&world, "b"), Vec::<String>::new());
    assert_eq!(deliveries(&world, "b").len(), 10 + 2 * RETAINED_MAX);
}

#[test]
fn a_newcomer_is_not_told_of_messages_from_before_it_knew_their_origin() {
    let mut world = ChannelWorld::new(&["a", "b"]);
    world.open_all("chat", Kind::Messages);
    publish(&mut world, 200, 1);
    world.link("a", "b");
    world.millis(500);
    assert_eq!(deliveries(&world, "b").len(), RETAINED_MAX);
    publish(&mut world, 100, 1);
    world.millis(120_000);
    assert_eq!(notices(&world, "b"), Vec::<String>::new());
}

#[test]
fn messages_that_are_lost_while_no_application_listens_are_not_reported_later() {
    let mut world = two();
    let chat = channel("chat");
    world.step(&id("b"), Input::Close { channel: chat });
    world.unlink("a", "b");
    publish(&mut world, 190, 1);
    world.link("a", "b");
    world.millis(500);
    world.open("b", "chat", Kind::Messages).unwrap();
    publish(&mut world, 100, 1);
    world.millis(120_000);
    assert_eq!(notices(&world, "b"), Vec::<String>::new());
}

#[test]
fn after_a_restart_of_the_origin_the_number_is_a_lower_bound() {
    let mut world = two();
    world.unlink("a", "b");
    publish(&mut world, 20, 1);
    let mut config = config("a");
    config.life += 1;
    let restarted = Channels::new(config, 9, world.now);
    world.nodes.insert(id("a"), restarted);
    world.open("a", "chat", Kind::Messages).unwrap();
    publish(&mut world, 100, 1);
    world.link("a", "b");
    world.millis(500);
    assert_eq!(notices(&world, "b"), ["a 1-36 after a restart"]);
}

#[test]
fn a_restart_of_an_origin_whose_messages_all_arrive_is_not_a_loss() {
    let mut world = two();
    world.unlink("a", "b");
    let mut config = config("a");
    config.life += 1;
    let restarted = Channels::new(config, 9, world.now);
    world.nodes.insert(id("a"), restarted);
    world.open("a", "chat", Kind::Messages).unwrap();
    world.link("a", "b");
    publish(&mut world, 100, 1);
    world.millis(120_000);
    assert_eq!(notices(&world, "b"), Vec::<String>::new());
    assert_eq!(deliveries(&world, "b").len(), 110);
}

#[test]
fn large_messages_are_reported_as_missed_when_no_neighbour_offers_them() {
    let mut world = two();
    world.unlink("a", "b");
    publish(&mut world, 100, 10_000);
    world.link("a", "b");
    world.millis(1_000);
    assert_eq!(
        notices(&world, "b"),
        Vec::<String>::new(),
        "not certain yet"
    );
    let kept = world.nodes[&id("a")].messages(&channel("chat")).count();
    assert!(kept < RETAINED_MAX, "{kept}");
    assert_eq!(deliveries(&world, "b").len(), 10 + kept);
    world.millis(100_000);
    assert_eq!(notices(&world, "b"), [format!("a 11-{}", 110 - kept)]);
}

/// Messages are dropped by their size: one that was dropped for larger ones may have room when a neighbour offers it
/// later.
#[test]
fn a_message_that_was_dropped_and_returns_is_not_delivered_twice() {
    let now = Instant::from_millis(1_000);
    let (mut node, mut out) = (Channels::new(config("b"), 1, now), Outbox::new());
    let chat = channel("chat");
    let open = Input::Open {
        request: Request(1),
        channel: chat,
        options: Options::of(Kind::Messages),
    };
    node.step(now, open, &mut out);
    let neighbour = Neighbour {
        link: LinkId(1),
        peer: id("a"),
        lively: true,
    };
    node.step(now, Input::Neighbours(vec![neighbour]), &mut out);
    let mut receive = |update: &Arc<Update>, repair| {
        let item = crate::channel::message::Item::Update {
            update: Arc::clone(update),
            repair,
            remaining: 0,
        };
        let data = crate::channel::message::Data {
            items: vec![item],
            ..Default::default()
        };
        let link = LinkId(1);
        node.step(now, Input::Receive { link, data }, &mut out);
        let delivered = out
            .drain()
            .filter(|output| matches!(output, Output::Deliver { .. }));
        delivered.count()
    };
    let message = super::sample::message;
    let small = message("a", 1, 10);
    for update in [&small, &message("a", 2, 150_000), &message("a", 3, 150_000)] {
        assert_eq!(receive(update, false), 1);
    }
    assert_eq!(receive(&small, true), 0);
}
