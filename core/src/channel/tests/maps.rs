//! Maps.

use super::world::{ChannelWorld, bytes, channel, id, write};
use crate::channel::message::{ENTRIES_MAX, Kind};
use crate::channel::{Delivery, Done, Expected, KEYS_MAX, Refusal, Transaction};
use crate::time::Duration;
use proptest::prelude::*;
use std::sync::Arc;

fn conflicts(world: &ChannelWorld, name: &str) -> usize {
    let mine = world
        .environment
        .delivered
        .iter()
        .filter(|(node, _, _)| node.as_str() == name);
    mine.filter(|(_, _, delivery)| matches!(delivery, Delivery::Conflict { .. }))
        .count()
}

#[test]
fn a_value_put_anywhere_is_read_everywhere_and_so_is_its_end() {
    let mut world = ChannelWorld::ring(10);
    world.open_all("kv", Kind::Map);
    world.put("n003", "kv", "colour", "red").unwrap();
    world.millis(50);
    for index in 0..10 {
        assert_eq!(
            world
                .value(&format!("n{index:03}"), "kv", "colour")
                .as_deref(),
            Some("red")
        );
    }
    world
        .transact("n007", "kv", write(&[("colour", None)]))
        .unwrap();
    world.millis(50);
    assert!(
        world
            .nodes
            .values()
            .all(|node| node.values(&channel("kv")).count() == 0)
    );
}

#[test]
fn a_map_from_which_many_keys_were_deleted_at_once_has_room_again() {
    let mut world = ChannelWorld::new(&["a"]);
    world.open_all("kv", Kind::Map);
    for round in 0..2 * KEYS_MAX / ENTRIES_MAX {
        let keys: Vec<String> = (0..ENTRIES_MAX).map(|n| format!("{round}/{n}")).collect();
        let write_all = |value| {
            let writes: Vec<_> = keys.iter().map(|key| (key.as_str(), value)).collect();
            write(&writes)
        };
        world.transact("a", "kv", write_all(Some("x"))).unwrap();
        world.transact("a", "kv", write_all(None)).unwrap();
    }
    assert!(world.put("a", "kv", "one", "more").is_ok());
}

#[test]
fn a_transaction_happens_wholly_or_not_at_all() {
    let mut world = ChannelWorld::new(&["a"]);
    world.open_all("kv", Kind::Map);
    world.put("a", "kv", "x", "1").unwrap();
    let swap = |expected: Expected| Transaction {
        compare: vec![(Arc::from("x"), expected)],
        ..write(&[("x", Some("2")), ("y", Some("2"))])
    };
    let done = world.transact("a", "kv", swap(Expected::Value(bytes("7"))));
    assert_eq!(done, Ok(Done::Differs(Arc::from("x"))));
    assert_eq!(world.value("a", "kv", "y"), None);
    let done = world.transact("a", "kv", swap(Expected::Absent));
    assert_eq!(done, Ok(Done::Differs(Arc::from("x"))));
    let Ok(Done::Committed(version)) = world.transact("a", "kv", swap(Expected::Value(bytes("1"))))
    else {
        panic!("the comparison holds");
    };
    assert_eq!(world.value("a", "kv", "y").as_deref(), Some("2"));
    let done = world.transact("a", "kv", swap(Expected::Version(version)));
    assert!(matches!(done, Ok(Done::Committed(_))));
}

#[test]
fn invalid_keys_and_transactions_are_refused() {
    let mut world = ChannelWorld::new(&["a"]);
    world.open_all("kv", Kind::Map);
    let long = "k".repeat(129);
    for key in ["", "a\nb", long.as_str()] {
        assert_eq!(
            world.put("a", "kv", key, "v"),
            Err(Refusal::BadKey(Arc::from(key)))
        );
    }
    let twice = write(&[("x", Some("1")), ("x", Some("2"))]);
    assert_eq!(
        world.transact("a", "kv", twice),
        Err(Refusal::BadTransaction)
    );
    assert_eq!(
        world.transact("a", "kv", write(&[])),
        Err(Refusal::BadTransaction)
    );
    assert_eq!(
        world.publish("a", "kv", "v"),
        Err(Refusal::WrongKind(Kind::Map))
    );
    assert_eq!(world.put("a", "none", "k", "v"), Err(Refusal::NotOpen));
}

#[test]
fn the_loser_of_two_concurrent_writes_is_notified() {
    let mut world = ChannelWorld::new(&["a", "b", "c"]);
    world.link("a", "b");
    world.link("b", "c");
    world.open_all("kv", Kind::Map);
    world.put("a", "kv", "x", "old").unwrap();
    world.millis(50);
    world.put("a", "kv", "x", "from-a").unwrap();
    world.put("c", "kv", "x", "from-c").unwrap();
    world.millis(50);
    for name in ["a", "b", "c"] {
        assert_eq!(
            world.value(name, "kv", "x").as_deref(),
            Some("from-c"),
            "{name}"
        );
    }
    assert_eq!((conflicts(&world, "a"), conflicts(&world, "c")), (1, 0));
    // A write over the version that its writer read does not conflict.
    world.put("a", "kv", "x", "later").unwrap();
    world.millis(50);
    assert_eq!((conflicts(&world, "a"), conflicts(&world, "c")), (1, 0));
}

#[test]
fn two_halves_that_wrote_apart_agree_once_they_meet() {
    let mut world = ChannelWorld::new(&["a", "b", "c", "d"]);
    for (one, other) in [("a", "b"), ("b", "c"), ("c", "d")] {
        world.link(one, other);
    }
    world.open_all("kv", Kind::Map);
    world.millis(10);
    world.unlink("b", "c");
    for index in 0..300 {
        world.put("a", "kv", &format!("left{index}"), "1").unwrap();
        world.put("d", "kv", &format!("right{index}"), "1").unwrap();
        world.put("a", "kv", "both", &format!("a{index}")).unwrap();
        world.put("d", "kv", "both", &format!("d{index}")).unwrap();
        world.millis(5);
    }
    world.millis(2_000);
    world.link("b", "c");
    world.run(Duration::from_secs(30));
    for node in world.nodes.values() {
        assert_eq!(node.values(&channel("kv")).count(), 601);
    }
    assert_eq!(
        world.value("a", "kv", "both"),
        world.value("d", "kv", "both")
    );
    assert_eq!(conflicts(&world, "a") + conflicts(&world, "d"), 1);
}

#[test]
fn a_slow_link_carries_the_latest_value_and_not_each_between() {
    let mut world = ChannelWorld::new(&["a", "b"]);
    let link = world.link("a", "b");
    world.open_all("kv", Kind::Map);
    world.environment.stalled.insert(link);
    let value = "x".repeat(50_000);
    for turn in 0..200 {
        world
            .put("a", "kv", "hot", &format!("{turn}{value}"))
            .unwrap();
    }
    world.environment.stalled.clear();
    world.millis(5_000);
    assert!(world.value("b", "kv", "hot").unwrap().starts_with("199x"));
    let sent: usize = world.environment.copies.values().sum();
    assert!(sent <= 40, "{sent} of 200");
}

#[test]
fn a_value_over_many_frames_and_a_wide_transaction_arrive() {
    let mut world = ChannelWorld::new(&["a", "b"]);
    world.link("a", "b");
    world.open_all("kv", Kind::Map);
    let big = "v".repeat(300_000);
    world.put("a", "kv", "big", &big).unwrap();
    let keys: Vec<String> = (0..64).map(|index| format!("{index:0>128}")).collect();
    let wide: Vec<(&str, Option<&str>)> = keys
        .iter()
        .map(|key| (key.as_str(), Some("value")))
        .collect();
    world.transact("a", "kv", write(&wide)).unwrap();
    world.millis(1_000);
    assert_eq!(world.value("b", "kv", "big").unwrap().len(), 300_000);
    assert_eq!(world.nodes[&id("b")].values(&channel("kv")).count(), 65);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Nodes write while links close and open. In the end all copies are equal, and the last write of a node is lost
    /// only to a write of another node.
    #[test]
    fn all_copies_become_equal(
        steps in prop::collection::vec((0_usize..6, 0_usize..6, 0_u8..3, 0_u64..300), 1..60),
    ) {
        let mut world = ChannelWorld::ring(6);
        world.open_all("kv", Kind::Map);
        let mut cut = Vec::new();
        for (turn, (one, other, what, millis)) in steps.into_iter().enumerate() {
            let (one, other) = (format!("n{one:03}"), format!("n{other:03}"));
            match what {
                0 => { world.put(&one, "kv", &other, &turn.to_string()).unwrap(); }
                1 => { world.transact(&one, "kv", write(&[(&other, None), ("shared", Some(&one))])).unwrap(); }
                _ => {
                    if world.link(&one, &other) == crate::link::LinkId(0) && one != other {
                        world.unlink(&one, &other);
                        cut.push((one, other));
                    }
                }
            }
            world.millis(millis);
        }
        for (one, other) in cut {
            world.link(&one, &other);
        }
        world.run(Duration::from_secs(200));
        let copies: Vec<Vec<_>> = world.nodes.values().map(|node| {
            node.values(&channel("kv")).map(|(key, held)| (key.clone(), held.clone())).collect()
        }).collect();
        prop_assert!(copies.windows(2).all(|pair| pair[0] == pair[1]), "{copies:?}");
        let hashes: Vec<_> = world.nodes.values().map(|node| node.hash(&channel("kv"))).collect();
        prop_assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]));
    }
}
