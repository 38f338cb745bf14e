//! Operations on channels that are opened only for these operations.

use super::world::{ChannelWorld, bytes, channel, id, write};
use crate::channel::message::Kind;
use crate::channel::{ChannelOperation, DeliveryFailure, Done, Refusal};

fn is_open(world: &ChannelWorld, name: &str, on: &str) -> bool {
    let mut known = world.nodes[&id(name)].known();
    known.any(|(known, _, open)| *known == channel(on) && open)
}

#[test]
fn a_broadcast_on_a_channel_that_is_not_open_reaches_its_subscribers() {
    let mut world = ChannelWorld::new(&["a", "b"]);
    world.link("a", "b");
    world.open("b", "chat", Kind::Messages).unwrap();
    let publish = || ChannelOperation::Publish(bytes("hello"));
    let done = world.once("a", "chat", Kind::Messages, publish());
    assert!(matches!(done, Ok(Done::Published(_))), "{done:?}");
    assert!(!is_open(&world, "a", "chat"));
    world.millis(50);
    assert_eq!(world.heard("b"), ["hello"]);
    assert_eq!(world.heard("a"), [] as [&str; 0]);
}

#[test]
fn a_broadcast_of_another_program_reaches_the_application_of_the_same_node() {
    let mut world = ChannelWorld::new(&["a", "b"]);
    world.link("a", "b");
    for node in ["a", "b"] {
        world.open(node, "chat", Kind::Messages).unwrap();
    }
    let publish = |text| ChannelOperation::Publish(bytes(text));
    let done = world.once("a", "chat", Kind::Messages, publish("hello"));
    assert!(matches!(done, Ok(Done::Published(_))), "{done:?}");
    assert_eq!(world.heard("a"), ["hello"], "at once");
    // The application itself knows what it publishes.
    world.publish("a", "chat", "own").unwrap();
    world.millis(50);
    assert_eq!(world.heard("a"), ["hello"]);
    assert_eq!(world.heard("b"), ["hello", "own"]);
}

#[test]
fn an_operation_leaves_an_open_channel_open() {
    let mut world = ChannelWorld::new(&["a"]);
    world.open("a", "kv", Kind::Map).unwrap();
    let put = ChannelOperation::Transact(write(&[("x", Some("1"))]));
    let done = world.once("a", "kv", Kind::Map, put);
    assert!(matches!(done, Ok(Done::Committed(_))), "{done:?}");
    assert!(is_open(&world, "a", "kv"));
    assert_eq!(world.value("a", "kv", "x").as_deref(), Some("1"));
}

#[test]
fn a_refused_operation_closes_the_channel_that_was_opened_for_it() {
    let mut world = ChannelWorld::new(&["a", "b"]);
    world.link("a", "b");
    let publish = || ChannelOperation::Publish(bytes("hello"));
    let refused = world.once("a", "kv", Kind::Map, publish());
    assert_eq!(refused, Err(Refusal::WrongKind(Kind::Map)));
    assert!(!is_open(&world, "a", "kv"));
    // By then, the mesh knows the channel as a map.
    world.millis(50);
    let refused = world.once("b", "kv", Kind::Messages, publish());
    assert_eq!(refused, Err(Refusal::OtherKind(Kind::Map)));
    // The channel accepts no messages.
    let (from, request) = world.tell_one("b", "a", "kv", bytes("hello"));
    world.millis(50);
    let failure = DeliveryFailure::NoSuchChannel;
    assert_eq!(
        world.environment.answers[&(from, request)],
        Err(Refusal::Undelivered(failure))
    );
}
