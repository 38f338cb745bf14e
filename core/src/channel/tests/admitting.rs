//! Payloads in segments on many links: the memory that they take, and their turns.

use super::sample::{message, write};
use super::world::{ChannelWorld, channel, id};
use crate::channel::link_queue::{RelayedPayload, WITHOUT_ROOM_MAX};
use crate::channel::message::{Data, Item, Kind, PAYLOAD_BYTES_MAX, Update};
use crate::channel::store::{ChannelStore, Element};
use crate::channel::{BYTES_MAX, Channels, Done, Event, Input, Rejection};
use crate::link::LinkId;
use crate::time::Duration;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The neighbours of the node `hub`.
const NEIGHBOURS: [&str; 4] = ["a", "b", "c", "d"];

/// A hub with a channel that all have open.
fn star() -> ChannelWorld {
    let mut world = ChannelWorld::new(&["hub", "a", "b", "c", "d"]);
    for neighbour in NEIGHBOURS {
        world.link("hub", neighbour);
    }
    world.open_all("chat", Kind::Messages);
    world.millis(500);
    world
}

fn publish(world: &mut ChannelWorld, name: &str, bytes: usize) {
    let text = name.repeat(bytes);
    let done = world.publish(name, "chat", &text);
    assert!(matches!(done, Ok(Done::Published(_))), "{done:?}");
}

/// The bytes of the payloads that arrive at the hub.
fn arriving(world: &ChannelWorld) -> usize {
    world.nodes[&id("hub")].arriving_bytes()
}

fn deferred(world: &ChannelWorld) -> usize {
    let events = world.environment.events.iter();
    let deferred =
        |(node, event): &&(_, Event)| *node == id("hub") && matches!(event, Event::Deferred { .. });
    events.filter(deferred).count()
}

fn rejected(world: &ChannelWorld, name: &str, reason: Rejection) -> bool {
    let expected = Event::Rejected {
        from: id(name),
        reason,
    };
    world.environment.events.contains(&(id("hub"), expected))
}

/// A message of `bytes` bytes in the name of `origin`, of which the first byte is in the item.
fn beginning(origin: &str, bytes: usize) -> Item {
    let update = Update::clone(&message(origin, 1, 1));
    Item::Update {
        update: Arc::new(update),
        repair: false,
        remaining: bytes as u32 - 1,
    }
}

fn receive(world: &mut ChannelWorld, link: LinkId, item: Item) {
    let data = Data {
        items: vec![item],
        ..Data::default()
    };
    world.step(&id("hub"), Input::Receive { link, data });
}

#[test]
fn the_largest_payloads_of_all_neighbours_arrive_in_turns() {
    let mut world = star();
    for name in NEIGHBOURS {
        publish(&mut world, name, PAYLOAD_BYTES_MAX);
    }
    let mut peak = 0;
    for _ in 0..4_000 {
        world.millis(1);
        peak = peak.max(arriving(&world));
    }
    assert!(peak >= PAYLOAD_BYTES_MAX, "{peak}");
    assert!(peak <= PAYLOAD_BYTES_MAX + 3 * WITHOUT_ROOM_MAX, "{peak}");
    assert_eq!(deferred(&world), 3);
    for name in ["hub", "a", "b", "c", "d"] {
        let others = NEIGHBOURS.iter().filter(|other| **other != name).count();
        assert_eq!(world.heard(name).len(), others, "{name}");
    }
    assert_eq!(arriving(&world), 0);
}

#[test]
fn a_neighbour_that_stops_delays_the_payloads_of_others_for_seconds_only() {
    let mut world = star();
    let stopped = world.link("hub", "evil");
    receive(&mut world, stopped, beginning("evil", PAYLOAD_BYTES_MAX));
    publish(&mut world, "a", PAYLOAD_BYTES_MAX / 2);
    publish(&mut world, "b", 1_000);
    world.millis(1_000);
    assert_eq!(world.heard("hub").len(), 1, "the small one");
    world.millis(6_000);
    assert_eq!(world.heard("hub").len(), 2);
    assert!(rejected(&world, "evil", Rejection::TooSlow));
}

#[test]
fn a_neighbour_without_room_that_ignores_its_window_loses_its_payload() {
    let mut world = star();
    let one = world.link("hub", "evil");
    let other = world.link("hub", "elsewhere");
    receive(&mut world, one, beginning("x", PAYLOAD_BYTES_MAX));
    receive(&mut world, other, beginning("y", PAYLOAD_BYTES_MAX));
    for _ in 0..PAYLOAD_BYTES_MAX / 16_000 {
        receive(&mut world, other, Item::Segment(vec![7; 16_000].into()));
        assert!(arriving(&world) <= PAYLOAD_BYTES_MAX + WITHOUT_ROOM_MAX);
    }
    assert!(rejected(&world, "elsewhere", Rejection::WindowExceeded));
    assert_eq!(arriving(&world), PAYLOAD_BYTES_MAX, "of the other one");
}

#[test]
fn a_copy_that_waits_is_skipped_once_another_copy_arrived() {
    let mut world = ChannelWorld::new(&["a", "b", "c", "hub"]);
    for (one, other) in [("a", "b"), ("a", "c"), ("b", "hub"), ("c", "hub")] {
        world.link(one, other);
    }
    world.open_all("chat", Kind::Messages);
    world.millis(500);
    publish(&mut world, "a", PAYLOAD_BYTES_MAX);
    let mut peak = 0;
    for _ in 0..3_000 {
        world.millis(1);
        peak = peak.max(arriving(&world));
    }
    assert_eq!(deferred(&world), 1, "both copies began at one time");
    assert!(peak <= PAYLOAD_BYTES_MAX + WITHOUT_ROOM_MAX, "{peak}");
    assert_eq!(world.heard("hub").len(), 1);
}

#[test]
fn a_repair_that_waits_is_skipped_once_its_entry_is_held() {
    let mut world = ChannelWorld::new(&["a", "b", "hub"]);
    world.link("a", "b");
    world.open_all("kv", Kind::Map);
    let value = "x".repeat(9_000_000);
    world.put("a", "kv", "k", &value).unwrap();
    world.millis(3_000);
    world.link("a", "hub");
    world.link("b", "hub");
    let mut peak = 0;
    for _ in 0..5_000 {
        world.millis(1);
        peak = peak.max(arriving(&world));
    }
    assert_eq!(world.value("hub", "kv", "k"), Some(value));
    assert!(peak <= 9_000_000 + WITHOUT_ROOM_MAX, "{peak}");
}

/// The payloads of broadcasts of more than a megabyte that a node stores, relays or receives, each counted once.
fn large_payloads(node: &Channels) -> usize {
    const MIN: usize = 1_000_000;
    let stored = node.stores.values().flat_map(ChannelStore::elements);
    let stored = stored.filter_map(|(_, element)| match element {
        Element::Message(update) => Some(&update.payload),
        Element::Entry(_, entry) => entry.value.as_ref(),
    });
    let me = node.context.me();
    let relayed = node
        .queues
        .values()
        .flat_map(|queue| queue.relayed_above(MIN, me));
    let relayed = relayed.filter_map(|payload| match payload {
        RelayedPayload::Broadcast(update) => Some(&update.payload),
        RelayedPayload::Packet => None,
    });
    let held = stored.chain(relayed).filter(|it| it.len() > MIN);
    let held: BTreeSet<*const u8> = held.map(|payload| payload.as_ptr()).collect();
    let queues = node.queues.values();
    held.len() + queues.filter(|it| it.arriving_bytes() > MIN).count()
}

#[test]
fn a_large_payload_waits_for_seconds_while_a_neighbour_does_not_read_a_replaced_one() {
    const SIZE: usize = 9_000_000;
    let mut world = ChannelWorld::new(&["hub", "b"]);
    world.link("hub", "b");
    world.open_all("kv", Kind::Map);
    // Nothing answers on these links.
    world.link("hub", "deaf");
    let writer = world.link("hub", "writer");
    world.millis(500);
    let begin = |world: &mut ChannelWorld, sequence, key| {
        let whole = write(sequence, &[key], SIZE);
        let begun = Update {
            payload: Arc::from([7]),
            ..Update::clone(&whole)
        };
        let item = Item::Update {
            update: Arc::new(begun),
            repair: false,
            remaining: SIZE as u32 - 1,
        };
        receive(world, writer, item);
    };
    for (sequence, key) in [(1, "x"), (2, "y"), (3, "x")] {
        begin(&mut world, sequence, key);
        world.millis(2_500);
        assert_eq!(arriving(&world), SIZE, "{sequence}");
        for rest in vec![7; SIZE - 1].chunks(16_000) {
            receive(&mut world, writer, Item::Segment(rest.into()));
        }
        world.millis(500);
    }
    begin(&mut world, 4, "y");
    world.millis(3_500);
    assert!(arriving(&world) <= WITHOUT_ROOM_MAX);
    let held = large_payloads(&world.nodes[&id("hub")]);
    assert_eq!(held, 3, "two are stored, and the first is not sent yet");
    world.millis(1_000);
    assert_eq!(arriving(&world), SIZE);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Neighbours begin, continue and abandon payloads without regard to credit. The memory stays in bounds, and a payload
    /// of an honest neighbour arrives.
    #[test]
    fn the_memory_of_payloads_is_bounded(
        moves in prop::collection::vec((0_usize..6, prop_oneof![300_000_usize..800_000, 1_000_000..PAYLOAD_BYTES_MAX], 0_u8..6, 0_u64..3_000), 1..60),
    ) {
        let mut world = star();
        let names: Vec<String> = (0..6).map(|number| format!("evil{number}")).collect();
        let links: Vec<LinkId> = names.iter().map(|name| world.link("hub", name)).collect();
        let max = BYTES_MAX / 8 + PAYLOAD_BYTES_MAX + links.len() * WITHOUT_ROOM_MAX;
        let mut number = 0;
        for (index, bytes, what, millis) in moves {
            number += 1;
            match what {
                0 | 1 => receive(&mut world, links[index], beginning(&format!("o{number}"), bytes)),
                2 => world.millis(millis),
                _ => {
                    for _ in 0..20 {
                        receive(&mut world, links[index], Item::Segment(vec![7; 16_000].into()));
                    }
                }
            }
            prop_assert!(arriving(&world) <= max, "{}", arriving(&world));
        }
        let heard = world.heard("hub").len();
        publish(&mut world, "a", PAYLOAD_BYTES_MAX);
        world.run(Duration::from_secs(6 * 31));
        prop_assert_eq!(world.heard("hub").len(), heard + 1);
        let chat = channel("chat");
        prop_assert!(world.nodes[&id("hub")].hash(&chat).is_some());
    }
}
