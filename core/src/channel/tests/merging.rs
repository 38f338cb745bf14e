//! State that an application merges.

use super::world::{ChannelWorld, bytes, channel, id};
use crate::channel::message::Kind;
use crate::channel::{Custom, Done, Input, Mergeable, Options, Refusal, Request};
use crate::time::Duration;
use std::collections::BTreeSet;

/// A set of bytes that only grows.
#[derive(Clone, Default)]
struct Grows(BTreeSet<u8>);

impl Mergeable for Grows {
    fn encode(&self) -> Vec<u8> {
        self.0.iter().copied().collect()
    }

    fn merge(&mut self, update: &[u8]) -> Result<Option<Vec<u8>>, String> {
        if update.contains(&b'!') {
            return Err("an exclamation".to_owned());
        }
        let delta: Vec<u8> = update
            .iter()
            .copied()
            .filter(|byte| self.0.insert(*byte))
            .collect();
        Ok(Some(delta).filter(|delta| !delta.is_empty()))
    }

    fn boxed(&self) -> Box<dyn Mergeable> {
        Box::new(self.clone())
    }
}

fn open(world: &mut ChannelWorld, name: &str) {
    let options = Options {
        custom: Some(Custom::new(Grows::default())),
        ..Options::of(Kind::Custom)
    };
    world.open_with(name, "set", options).unwrap();
}

fn state(world: &ChannelWorld, name: &str) -> String {
    let state = world.nodes[&id(name)]
        .custom(&channel("set"))
        .unwrap_or_default();
    String::from_utf8(state).unwrap()
}

#[test]
fn only_new_content_is_passed_on() {
    let mut world = ChannelWorld::new(&["a", "b", "c"]);
    world.link("a", "b");
    world.link("b", "c");
    for name in ["a", "b", "c"] {
        open(&mut world, name);
    }
    world.publish("a", "set", "xy").unwrap();
    world.millis(20);
    assert_eq!(world.publish("b", "set", "yx"), Ok(Done::Unchanged));
    world.publish("b", "set", "yz").unwrap();
    world.millis(20);
    assert_eq!(
        (state(&world, "a"), state(&world, "c")),
        ("xyz".into(), "xyz".into())
    );
    assert_eq!(world.heard("c"), ["xy", "z"]);
}

#[test]
fn unmergeable_content_is_refused_locally_and_reported_remotely() {
    let mut world = ChannelWorld::new(&["a"]);
    open(&mut world, "a");
    let refused = world.publish("a", "set", "!");
    assert_eq!(
        refused,
        Err(Refusal::Malformed("an exclamation".to_owned()))
    );
    assert_eq!(state(&world, "a"), "");
}

#[test]
fn states_apart_are_repaired_by_comparison() {
    let mut world = ChannelWorld::new(&["a", "b"]);
    for name in ["a", "b"] {
        open(&mut world, name);
    }
    world.publish("a", "set", "abc").unwrap();
    world.publish("b", "set", "cde").unwrap();
    world.millis(2_000);
    world.link("a", "b");
    world.millis(3_000);
    assert_eq!(
        (state(&world, "a"), state(&world, "b")),
        ("abcde".into(), "abcde".into())
    );
}

#[test]
fn members_linked_to_relays_only_are_repaired_too() {
    let mut world = ChannelWorld::new(&["a", "relay", "b"]);
    world.link("a", "relay");
    for name in ["a", "b"] {
        open(&mut world, name);
    }
    world.publish("a", "set", "abc").unwrap();
    world.millis(2_000);
    // The link opens after the broadcast of `a` has passed.
    world.link("relay", "b");
    world.publish("b", "set", "x").unwrap();
    world.run(Duration::from_secs(120));
    assert_eq!(
        (state(&world, "a"), state(&world, "b")),
        ("abcx".into(), "abcx".into())
    );
}

#[test]
fn a_closed_channel_forgets_the_state_and_still_relays() {
    let mut world = ChannelWorld::new(&["a", "b", "c"]);
    world.link("a", "b");
    world.link("b", "c");
    for name in ["a", "b", "c"] {
        open(&mut world, name);
    }
    world.step(
        &id("b"),
        Input::Close {
            channel: channel("set"),
        },
    );
    world.publish("a", "set", "q").unwrap();
    world.millis(20);
    assert_eq!(
        (state(&world, "b"), state(&world, "c")),
        (String::new(), "q".into())
    );
    let open_again = Input::Publish {
        request: Request(99),
        channel: channel("set"),
        payload: bytes("r"),
    };
    world.step(&id("b"), open_again);
    assert_eq!(
        world.environment.answers[&(id("b"), Request(99))],
        Err(Refusal::NotOpen)
    );
}
