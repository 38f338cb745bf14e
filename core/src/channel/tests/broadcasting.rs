//! Broadcasts of messages.

use super::world::{ChannelWorld, bytes, channel, id};
use crate::channel::message::{Body, Data, Item, Kind, PAYLOAD_BYTES_MAX, Update, UpdateId};
use crate::channel::{Done, Event, Input, Options, Refusal, Rejection};
use crate::link::LinkId;
use crate::size::FRAME_BYTES_MAX;
use crate::time::Duration;
use proptest::prelude::*;
use std::sync::Arc;

#[test]
fn every_subscriber_receives_every_message_once() {
    let mut world = ChannelWorld::ring(20);
    world.open_all("chat", Kind::Messages);
    for turn in 0..10 {
        world
            .publish(&format!("n{:03}", turn * 2), "chat", &format!("m{turn}"))
            .unwrap();
        world.millis(50);
    }
    for index in 0..20 {
        let name = format!("n{index:03}");
        let mut heard = world.heard(&name);
        heard.sort();
        let sent = (0..10)
            .filter(|turn| turn * 2 != index)
            .map(|turn| format!("m{turn}"));
        assert_eq!(heard, sent.collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn a_warm_tree_carries_one_copy_to_each() {
    let mut world = ChannelWorld::ring(30);
    world.open_all("chat", Kind::Messages);
    for turn in 0..40 {
        world
            .publish(&format!("n{:03}", turn % 7), "chat", &format!("m{turn}"))
            .unwrap();
        world.millis(100);
    }
    let late = world
        .environment
        .copies
        .iter()
        .filter(|(id, _)| id.sequence > 4);
    let copies: Vec<usize> = late.map(|(_, copies)| *copies).collect();
    let sum: usize = copies.iter().sum();
    assert!(sum <= copies.len() * 30, "{copies:?}");
}

#[test]
fn the_loss_of_a_link_of_the_tree_makes_the_other_links_eager() {
    let mut world = ChannelWorld::new(&["a", "b", "c"]);
    for (one, other) in [("a", "b"), ("b", "c"), ("a", "c")] {
        world.link(one, other);
    }
    world.open_all("chat", Kind::Messages);
    for turn in 0..4 {
        world.publish("a", "chat", &format!("m{turn}")).unwrap();
        world.millis(100);
    }
    let eager = |world: &ChannelWorld| {
        let links = world.nodes[&id("b")].eager();
        links.map(|(_, peer)| peer.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(eager(&world), ["a"], "the link with c carried duplicates");
    world.unlink("a", "b");
    assert_eq!(eager(&world), ["c"]);
}

#[test]
fn the_hash_of_a_channel_follows_its_messages() {
    let mut world = ChannelWorld::new(&["a", "b"]);
    world.open_all("chat", Kind::Messages);
    let hash = |world: &ChannelWorld, name: &str| world.nodes[&id(name)].hash(&channel("chat"));
    assert_eq!(hash(&world, "a"), hash(&world, "b"));
    world.publish("a", "chat", "one").unwrap();
    let one = hash(&world, "a");
    assert!(one.is_some() && one != hash(&world, "b"));
    world.publish("a", "chat", "two").unwrap();
    assert_ne!(hash(&world, "a"), one);
    assert_eq!(world.nodes[&id("a")].hash(&channel("unknown")), None);
}

#[test]
fn a_node_without_the_application_passes_messages_on_and_keeps_them_for_newcomers() {
    let mut world = ChannelWorld::new(&["a", "relay", "b", "late"]);
    world.link("a", "relay");
    world.link("relay", "b");
    world.open("a", "chat", Kind::Messages).unwrap();
    world.open("b", "chat", Kind::Messages).unwrap();
    world.publish("a", "chat", "hello").unwrap();
    world.millis(20);
    assert_eq!(world.heard("b"), ["hello"]);
    assert_eq!(world.heard("relay"), Vec::<String>::new());
    world.millis(2_000);
    world.link("relay", "late");
    world.millis(200);
    world.open("late", "chat", Kind::Messages).unwrap();
    let kept = world.nodes[&id("late")].messages(&channel("chat"));
    assert_eq!(
        kept.map(|update| update.payload.to_vec())
            .collect::<Vec<_>>(),
        [b"hello"]
    );
}

#[test]
fn updates_lost_on_a_one_way_link_are_requested_elsewhere() {
    let mut world = ChannelWorld::ring(12);
    world.open_all("chat", Kind::Messages);
    world.publish("n000", "chat", "warm").unwrap();
    world.millis(200);
    for link in 1..=6 {
        world.environment.deaf.insert(LinkId(link));
    }
    for turn in 0..20 {
        world.publish("n000", "chat", &format!("m{turn}")).unwrap();
        world.millis(200);
    }
    world.environment.deaf.clear();
    world.run(Duration::from_secs(120));
    for name in world.nodes.keys().skip(1) {
        assert_eq!(world.heard(name.as_str()).len(), 21, "{name}");
    }
}

#[test]
fn a_payload_over_many_frames_arrives_whole_and_a_short_message_passes_it() {
    let mut world = ChannelWorld::new(&["a", "b", "c"]);
    world.link("a", "b");
    world.link("b", "c");
    world.open_all("chat", Kind::Messages);
    let long = "x".repeat(900_000);
    world.publish("a", "chat", &long).unwrap();
    world.publish("a", "chat", "short").unwrap();
    world.millis(5_000);
    assert!(
        world.environment.frame_max <= FRAME_BYTES_MAX,
        "{}",
        world.environment.frame_max
    );
    for name in ["b", "c"] {
        let lengths: Vec<usize> = world.heard(name).iter().map(String::len).collect();
        assert_eq!(lengths, [900_000, 5], "{name}");
    }
}

#[test]
fn a_channel_that_never_rests_is_compared_all_the_same() {
    let mut world = ChannelWorld::new(&["a", "b"]);
    let link = world.link("a", "b");
    world.open_all("chat", Kind::Messages);
    world.environment.deaf.insert(link);
    world.publish("a", "chat", "lost").unwrap();
    world.millis(50);
    world.environment.deaf.clear();
    // A comparison is refused for up to one interval after the last comparison, and the next comparison comes one
    // interval later; 72 s are longer than both together. No pause is long enough for the channel to be quiet.
    for turn in 0..45 {
        world.publish("a", "chat", &format!("m{turn}")).unwrap();
        world.millis(400);
        for part in 0..3 {
            world
                .publish("b", "chat", &format!("n{turn}.{part}"))
                .unwrap();
            world.millis(400);
        }
    }
    assert!(world.heard("b").contains(&"lost".to_owned()));
}

#[test]
fn a_channel_is_opened_once_and_for_one_kind() {
    let mut world = ChannelWorld::new(&["a", "b"]);
    world.link("a", "b");
    assert_eq!(world.open("a", "chat", Kind::Messages), Ok(Done::Opened));
    assert_eq!(
        world.open("a", "chat", Kind::Messages),
        Err(Refusal::AlreadyOpen)
    );
    world.publish("a", "chat", "x").unwrap();
    world.millis(20);
    assert_eq!(
        world.open("b", "chat", Kind::Map),
        Err(Refusal::OtherKind(Kind::Messages))
    );
    assert_eq!(world.open("b", "chat", Kind::Messages), Ok(Done::Opened));
    world.step(
        &id("a"),
        Input::Close {
            channel: channel("chat"),
        },
    );
    assert_eq!(world.publish("a", "chat", "x"), Err(Refusal::NotOpen));
    assert_eq!(world.open("a", "chat", Kind::Messages), Ok(Done::Opened));
    let never = Options {
        interval: Duration::from_millis(999),
        ..Options::of(Kind::Messages)
    };
    assert_eq!(
        world.open_with("a", "other", never),
        Err(Refusal::BadInterval(Duration::from_millis(999)))
    );
}

#[test]
fn too_large_a_message_is_refused() {
    let mut world = ChannelWorld::new(&["a"]);
    world.open_all("chat", Kind::Messages);
    let long = "x".repeat(PAYLOAD_BYTES_MAX + 1);
    assert_eq!(
        world.publish("a", "chat", &long),
        Err(Refusal::TooLarge(PAYLOAD_BYTES_MAX + 1))
    );
}

#[test]
fn a_stalled_link_holds_the_publisher_back_and_is_made_up_for() {
    let mut world = ChannelWorld::new(&["a", "b"]);
    let link = world.link("a", "b");
    world.open_all("chat", Kind::Messages);
    world.environment.stalled.insert(link);
    let text = "x".repeat(100_000);
    let mut taken = 0;
    let refused = loop {
        match world.publish("a", "chat", &text) {
            Ok(_) => taken += 1,
            Err(refusal) => break refusal,
        }
        assert!(taken < 50);
    };
    assert_eq!(refused, Refusal::Full);
    // The accepted broadcasts fill the window and the queue, and exceed them by at most one payload.
    assert!((10..=14).contains(&taken), "{taken}");
    world.environment.stalled.clear();
    world.millis(5_000);
    assert_eq!(world.heard("b").len(), taken);
    world.publish("a", "chat", "again").unwrap();
    world.millis(50);
    assert_eq!(world.heard("b").last().unwrap(), "again");
}

#[test]
fn a_neighbour_cannot_speak_in_our_name_nor_flood_us_with_names() {
    let mut world = ChannelWorld::new(&["a", "b"]);
    let link = world.link("a", "b");
    world.open("a", "chat", Kind::Messages).unwrap();
    let update = |name: &str, origin: &str, sequence| Item::Update {
        update: Arc::new(Update {
            id: UpdateId {
                channel: channel(name),
                origin: id(origin),
                epoch: (1 << 32) | 7,
                sequence,
            },
            body: Body::Message,
            payload: bytes("forged"),
        }),
        repair: false,
        remaining: 0,
    };
    let data = |items| Input::Receive {
        link,
        data: Data {
            items,
            ..Data::default()
        },
    };
    world.step(&id("a"), data(vec![update("chat", "a", 5)]));
    assert!(world.heard("a").is_empty());
    let forged = Event::Rejected {
        from: id("b"),
        reason: Rejection::ForgedOrigin,
    };
    assert_eq!(world.environment.events.last().unwrap(), &(id("a"), forged));
    let flood = (0..1_000).map(|index| update(&format!("c{index}"), "b", 1));
    world.step(&id("a"), data(flood.collect()));
    assert_eq!(world.nodes[&id("a")].known().count(), 192);
    let many = Event::Rejected {
        from: id("b"),
        reason: Rejection::TooMany,
    };
    assert_eq!(world.environment.events.last().unwrap(), &(id("a"), many));
    assert_eq!(world.open("a", "mine", Kind::Messages), Ok(Done::Opened));
}

#[test]
fn a_continuation_without_a_first_segment_is_rejected_without_effect() {
    let mut world = ChannelWorld::new(&["a", "b"]);
    let link = world.link("a", "b");
    world.open_all("chat", Kind::Messages);
    let data = Data {
        items: vec![Item::Segment(bytes("tail"))],
        ..Data::default()
    };
    world.step(&id("a"), Input::Receive { link, data });
    let broken = Event::Rejected {
        from: id("b"),
        reason: Rejection::BrokenPayload,
    };
    assert_eq!(world.environment.events.last().unwrap(), &(id("a"), broken));
    world.publish("b", "chat", "fine").unwrap();
    world.millis(20);
    assert_eq!(world.heard("a"), ["fine"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Links close and open at random. Once the mesh is whole, each node has received each broadcast once.
    #[test]
    fn links_that_come_and_go_lose_nothing(
        steps in prop::collection::vec((0_usize..10, 0_usize..10, any::<bool>(), 0_u64..400), 1..40),
    ) {
        let mut world = ChannelWorld::ring(10);
        world.open_all("chat", Kind::Messages);
        let mut sent = 0;
        let mut cut = Vec::new();
        for (one, other, publish, millis) in steps {
            let (one, other) = (format!("n{one:03}"), format!("n{other:03}"));
            if publish {
                world.publish(&one, "chat", &format!("m{sent}")).unwrap();
                sent += 1;
            } else if world.link(&one, &other) == LinkId(0) && one != other {
                world.unlink(&one, &other);
                cut.push((one, other));
            }
            world.millis(millis);
        }
        for (one, other) in cut {
            world.link(&one, &other);
        }
        world.run(Duration::from_secs(200));
        let hashes: Vec<_> = world.nodes.values().map(|node| node.hash(&channel("chat"))).collect();
        prop_assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]), "{hashes:?}");
        let heard: usize = world.nodes.keys().map(|name| {
            let mut heard = world.heard(name.as_str());
            let all = heard.len();
            heard.sort();
            heard.dedup();
            assert_eq!(heard.len(), all, "{name} heard something twice");
            all
        }).sum();
        prop_assert_eq!(heard, sent * 9);
    }
}

#[test]
fn each_node_announces_a_further_channel_to_its_applications_once() {
    let mut world = ChannelWorld::new(&["a", "b"]);
    world.link("a", "b");
    world.open("a", "chat", Kind::Messages).unwrap();
    world.millis(50);
    assert_eq!(world.environment.announcements, [id("a"), id("b")]);
    world.open("b", "chat", Kind::Messages).unwrap();
    world.millis(50);
    assert_eq!(world.environment.announcements.len(), 2);
}
