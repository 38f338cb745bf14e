//! Repair of channels that hold much: the time of a newcomer, and the work and memory that a neighbour can cause.

use super::world::{ChannelWorld, channel, config, id};
use crate::channel::message::{Data, Item, Kind, Update, UpdateId};
use crate::channel::{
    Channels, Input, KEYS_MAX, MAP_BYTES_MAX, Neighbour, Options, Output, Request, Transaction,
    Write,
};
use crate::link::LinkId;
use crate::machine::{Machine, Outbox};
use crate::time::{Duration, Instant};
use std::sync::Arc;

/// A transaction that writes these keys with values of 1000 bytes.
fn many(keys: core::ops::Range<usize>) -> Transaction {
    let write = |key| Write {
        key: Arc::from(format!("key-{key:05}")),
        value: Some(Arc::from(vec![b'v'; 1_000])),
    };
    Transaction {
        compare: Vec::new(),
        write: keys.map(write).collect(),
    }
}

#[test]
fn a_newcomer_has_a_full_map_within_five_seconds() {
    let mut world = ChannelWorld::new(&["a", "b"]);
    world.open_all("kv", Kind::Map);
    for first in (0..KEYS_MAX).step_by(64) {
        world.transact("a", "kv", many(first..first + 64)).unwrap();
    }
    const { assert!(KEYS_MAX * 1_000 > MAP_BYTES_MAX / 8 * 7, "the map is full") };
    world.link("a", "b");
    let mut millis = 0;
    while world.nodes[&id("b")].values(&channel("kv")).count() < KEYS_MAX {
        world.millis(100);
        millis += 100;
        assert!(millis <= 5_000, "the newcomer lacks keys");
    }
    let hash = |name: &str| world.nodes[&id(name)].hash(&channel("kv"));
    assert_eq!(hash("a"), hash("b"));
    let copies: usize = world.environment.copies.values().sum();
    assert!(copies < KEYS_MAX + KEYS_MAX / 8, "{copies} copies");
}

/// A node with a map, and a link to `evil`.
struct Victim {
    machine: Channels,
    out: Outbox<Output>,
    now: Instant,
    requests: u64,
}

impl Victim {
    fn new() -> Self {
        let now = Instant::from_millis(1_000);
        let mut victim = Self {
            machine: Channels::new(config("a"), 1, now),
            out: Outbox::new(),
            now,
            requests: 0,
        };
        let options = Options::of(Kind::Map);
        victim.request(|request| Input::Open {
            request,
            channel: channel("kv"),
            options,
        });
        victim
    }

    fn link(&mut self) {
        self.input(Input::Neighbours(vec![Neighbour {
            link: LinkId(1),
            peer: id("evil"),
            lively: true,
        }]));
    }

    fn request(&mut self, input: impl FnOnce(Request) -> Input) {
        self.requests += 1;
        self.input(input(Request(self.requests)));
    }

    fn input(&mut self, input: Input) -> Vec<Output> {
        self.machine.step(self.now, input, &mut self.out);
        self.out.drain().collect()
    }

    fn receive(&mut self, items: Vec<Item>) -> Vec<Output> {
        self.now += Duration::from_millis(10);
        // The neighbour consumes everything that it is sent.
        let data = Data {
            items,
            credit: 1 << 20,
            ..Data::default()
        };
        self.input(Input::Receive {
            link: LinkId(1),
            data,
        })
    }
}

#[test]
fn a_packet_of_many_comparisons_causes_the_work_of_a_few() {
    let mut victim = Victim::new();
    for first in (0..KEYS_MAX).step_by(64) {
        victim.request(|request| Input::Transact {
            request,
            channel: channel("kv"),
            transaction: many(first..first + 64),
        });
    }
    victim.link();
    let larger = Item::Larger {
        channel: channel("kv"),
        cells: 600,
    };
    let outputs = victim.receive(vec![larger; 1_600]);
    let sketches = outputs.iter().flat_map(|output| match output {
        Output::Transmit { data, .. } => data.items.as_slice(),
        Output::Route(_)
        | Output::Deliver { .. }
        | Output::Answer { .. }
        | Output::AnnounceChannels
        | Output::Report(_) => &[],
    });
    let sketches = sketches.filter(|item| matches!(item, Item::Sketch { .. }));
    let sketches = sketches.count();
    assert!((1..=100).contains(&sketches), "{sketches} sketches");
}

#[test]
fn invented_origins_and_channels_do_not_exceed_the_memory_of_channels() {
    let mut victim = Victim::new();
    victim.link();
    let bytes_max = config("a").bytes_max;
    for number in 0..400_u64 {
        let update = Update {
            id: UpdateId {
                channel: channel(&format!("c{}", number % 100)),
                origin: id(&format!("invented{number}")),
                epoch: 1,
                sequence: 1,
            },
            body: crate::channel::message::Body::Message,
            payload: Arc::from(vec![number as u8; 1 << 20]),
        };
        victim.receive(vec![Item::Update {
            update: Arc::new(update),
            repair: false,
            remaining: 0,
        }]);
    }
    let machine = &victim.machine;
    let messages = machine
        .known()
        .flat_map(|(name, _, _)| machine.messages(name));
    let held: usize = messages.map(|update| update.payload.len()).sum();
    assert!(held <= bytes_max && held > bytes_max / 2, "{held} bytes");
}
