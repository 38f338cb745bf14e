//! The bound of counters: after any accepted number in a node's name, and any accepted clock of a map, the node's next
//! one is accepted within a second.

use super::sample::{channel, config, id};
use super::world::{bytes, write};
use crate::channel::message::{Body, Data, Entry, Item, Kind, Update, UpdateId};
use crate::channel::{
    Channels, Done, Event, Input, Neighbour, Options, Output, Refusal, Rejection, Request,
};
use crate::counter::CalendarTime;
use crate::link::LinkId;
use crate::testing::alone::Alone;
use crate::time::{Duration, Instant};
use proptest::prelude::*;
use std::sync::Arc;

const LINK: LinkId = LinkId(1);

/// The node `me`, with a link to `a` and open channels of messages and of a map.
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
    for (name, kind) in [("chat", Kind::Messages), ("kv", Kind::Map)] {
        node.give(Input::Open {
            request: Request(1),
            channel: channel(name),
            options: Options::of(kind),
        });
    }
    node
}

fn receive(node: &mut Alone<Channels>, id: UpdateId, clock: Option<u64>) -> Vec<Output> {
    let body = clock.map_or(Body::Message, |clock| Body::Entries {
        clock,
        entries: vec![Entry {
            key: Arc::from("k"),
            over: None,
            length: Some(1),
        }],
    });
    let update = Arc::new(Update {
        id,
        body,
        payload: bytes("x"),
    });
    let data = Data {
        items: vec![Item::Update {
            update,
            remaining: 0,
            repair: false,
        }],
        ..Data::default()
    };
    let given = node.give(Input::Receive { link: LINK, data });
    given.into_iter().map(|(_, output)| output).collect()
}

fn is_refused(outputs: &[Output]) -> bool {
    outputs.iter().any(|output| {
        matches!(
            output,
            Output::Report(Event::Rejected {
                reason: Rejection::CounterTooHigh,
                ..
            })
        )
    })
}

fn answer(given: Vec<(Instant, Output)>) -> Option<Result<Done, Refusal>> {
    given.into_iter().find_map(|(_, output)| {
        if let Output::Answer { result, .. } = output {
            Some(result)
        } else {
            None
        }
    })
}

fn publish(node: &mut Alone<Channels>) -> Result<Done, Refusal> {
    let given = node.give(Input::Publish {
        request: Request(2),
        channel: channel("chat"),
        payload: bytes("own"),
    });
    answer(given).unwrap()
}

fn transact(node: &mut Alone<Channels>) -> Result<Done, Refusal> {
    let given = node.give(Input::Transact {
        request: Request(3),
        channel: channel("kv"),
        transaction: write(&[("k", Some("own"))]),
    });
    answer(given).unwrap()
}

fn max() -> u64 {
    CalendarTime::new(config("me").started, Instant::ZERO).counter_max(Instant::ZERO)
}

proptest! {
    #[test]
    fn the_next_number_follows_any_accepted_one_within_a_second(
        below in prop_oneof![0_u64..3, 0_u64..1 << 40],
        forges_life in any::<bool>(),
    ) {
        let mut node = node();
        let life = config("me").life;
        let forged = UpdateId {
            channel: channel("chat"),
            origin: id("me"),
            epoch: if forges_life { super::super::config::life_max(max() - below) } else { life },
            sequence: max() - below,
        };
        prop_assert!(!is_refused(&receive(&mut node, forged.clone(), None)));
        if publish(&mut node) == Err(Refusal::CounterTooHigh) {
            prop_assert!(below == 0);
        }
        node.pass(Duration::from_secs(1));
        let Ok(Done::Published(own)) = publish(&mut node) else {
            panic!("the next number is accepted");
        };
        prop_assert!((own.epoch, own.sequence) > (forged.epoch, forged.sequence));
    }

    #[test]
    fn the_next_clock_follows_any_accepted_one_within_a_second(
        below in prop_oneof![0_u64..3, 0_u64..1 << 40],
    ) {
        let mut node = node();
        let id = UpdateId {
            channel: channel("kv"),
            origin: id("b"),
            epoch: 1,
            sequence: 1,
        };
        let clock = max() - below;
        prop_assert!(!is_refused(&receive(&mut node, id, Some(clock))));
        if transact(&mut node) == Err(Refusal::CounterTooHigh) {
            prop_assert!(below == 0);
        }
        node.pass(Duration::from_secs(1));
        let Ok(Done::Committed(version)) = transact(&mut node) else {
            panic!("the next clock is accepted");
        };
        prop_assert!(version.clock > clock);
    }
}

#[test]
fn a_number_or_clock_above_the_bound_costs_the_item() {
    let update = |epoch, sequence| UpdateId {
        channel: channel("kv"),
        origin: id("b"),
        epoch,
        sequence,
    };
    let over = max() + 1;
    for (id, clock) in [
        (update(u64::MAX, 1), 1),
        (update(1, over), 1),
        (update(1, u64::MAX), 1),
        (update(1, 1), over),
    ] {
        let mut node = node();
        assert!(is_refused(&receive(&mut node, id, Some(clock))));
        assert!(transact(&mut node).is_ok());
    }
}
