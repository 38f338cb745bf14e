//! Members that were forgotten while they stood still or were cut off, and that return without a restart.

use super::super::message::Gone;
use super::super::*;
use super::failure_detector::with_a_forgotten_member;
use super::neighbours::{
    NeighbourWorld, Order, dials, edge_report, frames, ms, published, pushes, records, reports,
};
use super::world::{address, name};
use crate::link::Address;
use crate::topology::record::{Rank, Record};

fn status(all: &NeighbourWorld) -> Option<Status> {
    all.machine.member(&name(7)).map(|member| member.status)
}

/// The members that `n0` reports as gone on a link.
fn gone(given: &[Order], link: u64) -> Vec<NodeId> {
    let frames = frames(given, link).into_iter();
    let gone = frames.flat_map(|(_, frame)| frame.gone.iter().map(|gone| gone.id.clone()));
    gone.collect()
}

#[test]
fn a_forgotten_member_that_opens_a_link_is_a_member_again_and_is_told() {
    let mut all = with_a_forgotten_member(ms(40_000));
    all.rest(ms(5_000));
    let given = all.link(9, 7);
    assert_eq!(status(&all), Some(Status::Alive));
    assert_eq!(gone(&given, 9), [name(7)]);
    all.rest(ms(60_000));
    assert_eq!(
        status(&all),
        Some(Status::Alive),
        "it is not forgotten again"
    );
}

#[test]
fn a_forgotten_member_with_an_older_record_receives_the_record_that_it_has_to_exceed() {
    let mut all = NeighbourWorld::new(3);
    let newer = published(7, 4);
    all.receives(1, records(&[Arc::clone(&newer)]));
    let member = all.machine.topology().index_of(&name(7)).unwrap();
    verdict::retire(&mut all.machine.context, member);
    let given = all.link(9, 7);
    assert_eq!(all.machine.topology().record(&name(7)), Some(&newer));
    assert!(gone(&given, 9).is_empty());
    let syncs = frames(&given, 9)
        .into_iter()
        .flat_map(|(_, frame)| &frame.sync);
    let pushed = syncs.filter_map(|sync| match sync {
        message::Sync::Push { records, .. } => Some(records),
        message::Sync::Sketch(_)
        | message::Sync::Larger(_)
        | message::Sync::Want(_)
        | message::Sync::Snapshot { .. } => None,
    });
    assert!(
        { pushed }.any(|records| records.contains(&newer)),
        "{given:?}"
    );
}

#[test]
fn the_record_of_a_forgotten_member_at_a_neighbour_brings_only_a_dial_with_growing_pauses() {
    let mut all = with_a_forgotten_member(ms(100_000));
    let to = Address::Socket(address(7));
    let mut times = vec![];
    for _ in 0..4 * 90 {
        all.receives(1, records(&[published(7, 1)]));
        let given = all.rest(ms(250));
        let dials = dials(&given).into_iter().filter(|(.., it)| *it == to);
        times.extend(dials.map(|(at, ..)| at));
        assert_eq!(status(&all), None);
    }
    // After 0, 5, 15, 35 and 75 s, each time in the round of a second that follows. The first may coincide with a probe
    // from before the member was forgotten.
    assert!((4..=5).contains(&times.len()), "{times:?}");
    let pauses: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.is_sorted(), "{pauses:?}");
}

#[test]
fn a_forgotten_member_returns_with_a_newer_record_that_a_neighbour_relays() {
    let mut all = with_a_forgotten_member(ms(40_000));
    all.receives(1, records(&[published(7, 2)]));
    assert_eq!(status(&all), Some(Status::Alive));
}

#[test]
fn a_member_that_neighbours_lost_is_not_alive_because_another_of_them_returned() {
    let mut all = NeighbourWorld::new(3);
    let gone = |index| Gone {
        id: name(index),
        age: ms(1_000),
    };
    let frame = message::Frame {
        gone: vec![gone(7), gone(8)],
        ..pushes(&[published(7, 1), published(8, 1)])
    };
    all.receives(1, frame);
    all.receives(2, reports(&[edge_report(2, 3, &[(8, false, Some(ms(0)))])]));
    all.rest(ms(300));
    assert_eq!(status(&all), Some(Status::Suspect));
    let other = all.machine.member(&name(8)).map(|member| member.status);
    assert_eq!(other, Some(Status::Alive));
}

#[test]
fn a_node_that_a_neighbour_had_forgotten_publishes_newer_records_at_a_bounded_rate() {
    let mut all = NeighbourWorld::new(2);
    let content = all.machine.record().content().clone();
    let before = all.machine.record().rank();
    let mut versions = vec![];
    for _ in 0..44 {
        let gone = Gone {
            id: name(0),
            age: ms(9_000),
        };
        let frame = message::Frame {
            gone: vec![gone],
            ..message::Frame::default()
        };
        all.receives(1, frame);
        versions.push(all.machine.record().rank().version);
        all.rest(ms(250));
    }
    versions.dedup();
    assert_eq!(versions.len(), 3, "at 0, 5 and 10 s");
    let after = all.machine.record().rank();
    assert_eq!(
        Rank {
            version: before.version,
            ..after
        },
        before
    );
    assert_eq!(*all.machine.record().content(), content);
    let in_view: Option<&Arc<Record>> = all.machine.topology().record(&name(0));
    assert_eq!(in_view, Some(all.machine.record()));
}

#[test]
fn a_statement_within_five_seconds_of_the_latest_is_answered_later() {
    let mut all = NeighbourWorld::new(1);
    let told = || message::Frame {
        gone: vec![Gone {
            id: name(0),
            age: ms(9_000),
        }],
        ..message::Frame::default()
    };
    all.receives(1, told());
    all.rest(ms(1_000));
    let version = all.machine.record().rank().version;
    all.receives(1, told());
    all.rest(ms(3_500));
    assert_eq!(all.machine.record().rank().version, version);
    all.rest(ms(1_000));
    assert_eq!(all.machine.record().rank().version, version + 1);
}
