//! The bound of counters: after any accepted value under a node's id, the node's next value is accepted within a second.

use super::super::*;
use super::neighbours::{NeighbourWorld, Order, edge_report, ms, records, reports};
use super::world::name;
use crate::counter::counter_max;
use crate::time::Wall;
use crate::topology::record::{Content, Rank, Record};
use proptest::prelude::*;

/// A counter of the values under a node's id.
#[derive(Clone, Copy, Debug)]
enum Forged {
    Epoch,
    Incarnation,
    Version,
    ReportVersion,
}

/// The counter has this value, or one of the highest that are accepted.
#[derive(Clone, Copy, Debug)]
enum Value {
    Above(u64),
    BelowMax(u64),
}

fn forge(all: &mut NeighbourWorld, counter: Forged, value: Value) -> (u64, Vec<Order>) {
    let own = Arc::clone(all.machine.record());
    let rank = own.rank();
    let max = all.machine.context.calendar.counter_max(all.now);
    let found = match (value, counter) {
        (Value::BelowMax(below), _) => max - below,
        (Value::Above(above), Forged::Epoch) => rank.epoch + 1 + above,
        (Value::Above(above), Forged::Incarnation) => rank.incarnation + 1 + above,
        (Value::Above(above), Forged::Version | Forged::ReportVersion) => rank.version + 1 + above,
    };
    let forged = match counter {
        Forged::Epoch => Rank {
            epoch: found,
            instance: 77,
            ..rank
        },
        Forged::Incarnation => Rank {
            incarnation: found,
            ..rank
        },
        Forged::Version => Rank {
            version: found,
            ..rank
        },
        Forged::ReportVersion => {
            let mut aged = edge_report(0, found, &[]);
            let mut report = (*aged.report).clone();
            report.epoch = rank.epoch;
            aged.report = Arc::new(report);
            return (found, all.receives(1, reports(&[aged])));
        }
    };
    let record = Arc::new(Record::new(name(0), forged, Content::default()));
    (found, all.receives(1, records(&[record])))
}

/// Lets a second pass, in which epochs are stored at once. The neighbour is heard.
fn second(all: &mut NeighbourWorld, given: Vec<Order>) {
    let mut given = given;
    for _ in 0..11 {
        for (_, order) in core::mem::take(&mut given) {
            if let Output::Store { ticket, .. } = order {
                all.give(Input::Stored { ticket });
            }
        }
        given = all.rest(ms(100));
    }
}

proptest! {
    #[test]
    fn the_owner_outranks_any_accepted_counter_within_a_second(
        counter in prop::sample::select(vec![
            Forged::Epoch,
            Forged::Incarnation,
            Forged::Version,
            Forged::ReportVersion,
        ]),
        value in prop_oneof![
            (0_u64..1 << 40).prop_map(Value::Above),
            (0_u64..3).prop_map(Value::BelowMax),
        ],
    ) {
        let mut all = NeighbourWorld::new(2);
        all.hear_only(&[2], ms(6_000));
        let content = all.machine.record().content().clone();
        let (found, given) = forge(&mut all, counter, value);
        second(&mut all, given);
        let own = all.machine.record().rank();
        let max = all.machine.context.counter_max();
        prop_assert!(own.epoch.max(own.incarnation).max(own.version) <= max);
        match counter {
            Forged::Epoch => prop_assert!(own.epoch > found),
            Forged::Incarnation => prop_assert!(own.epoch > 5 || own.incarnation > found),
            Forged::Version => prop_assert!(own.epoch > 5 || own.incarnation > 0),
            Forged::ReportVersion => {
                let report = all.machine.topology().report(&name(0)).unwrap();
                prop_assert!(report.version > found || report.epoch > 5);
                prop_assert!(report.version <= max);
            }
        }
        prop_assert_eq!(all.machine.record().content(), &content);
    }
}

#[test]
fn a_refused_counter_is_accepted_when_the_calendar_has_reached_it() {
    let mut all = NeighbourWorld::new(1);
    let max = all.machine.context.calendar.counter_max(all.now);
    let rank = Rank {
        epoch: max + 1,
        instance: 9,
        version: 1,
        ..Rank::default()
    };
    let content = all.machine.record().content().clone();
    let late = Arc::new(Record::new(name(7), rank, content));
    all.receives(1, records(&[Arc::clone(&late)]));
    assert_eq!(all.machine.member(&name(7)), None);
    assert_eq!(all.machine.link_count(), 1, "the link stays");
    all.rest(ms(1_000));
    all.receives(1, records(&[Arc::clone(&late)]));
    assert!(all.machine.member(&name(7)).is_some());
}

#[test]
fn a_clock_that_was_set_moves_the_bound() {
    let mut all = NeighbourWorld::new(1);
    let wall = Wall(1_900_000_000);
    all.give(Input::Calendar(wall));
    assert_eq!(all.machine.context.counter_max(), counter_max(wall));
}
