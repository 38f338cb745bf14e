//! How a node handles data about itself: false claims, echoes of earlier starts, its epoch, and its edge report.

use super::super::*;
use super::neighbours::{
    NeighbourWorld, Order, dials, edge_report, events, frames, ms, published, records, reports,
};
use super::world::{address, config, name};
use crate::link::{Address, DialError, Ticket};
use crate::topology::record::{Content, EDGES_MAX, EdgeReport, Rank, Record};
use std::collections::BTreeSet;

/// The record of `n0` with a changed rank.
fn own_as(all: &NeighbourWorld, change: impl Fn(&mut Rank)) -> Arc<Record> {
    let record = all.machine.record();
    let mut rank = record.rank();
    change(&mut rank);
    Arc::new(Record::new(name(0), rank, record.content().clone()))
}

fn stores(given: &[Order]) -> Vec<(Ticket, u64)> {
    given
        .iter()
        .filter_map(|(_, order)| {
            if let Output::Store { ticket, epoch } = order {
                Some((*ticket, *epoch))
            } else {
                None
            }
        })
        .collect()
}

/// `n0` shortly after the hello of `n1`; the epoch of `n0` is not confirmed yet.
fn just_linked() -> NeighbourWorld {
    let mut all = NeighbourWorld {
        machine: Gossip::new(config(0, 5, &[9]), 1, Instant::ZERO),
        now: Instant::ZERO,
    };
    all.give(Input::Start);
    all.link(1, 1);
    all
}

#[test]
fn an_echo_of_an_own_update_is_not_a_false_claim() {
    let mut all = NeighbourWorld::new(1);
    let mut content = all.machine.record().content().clone();
    content.nickname = "now".into();
    let before = Arc::clone(all.machine.record());
    all.give(Input::Announce(content));
    let reported = Arc::clone(all.machine.record());
    for echo in [before, Arc::clone(&reported)] {
        let given = all.receives(1, records(&[echo]));
        assert_eq!(events(&given), [] as [&Event; 0]);
        assert_eq!(all.machine.record(), &reported);
    }
}

#[test]
fn a_leaving_node_keeps_leaving_after_false_claims() {
    let mut all = NeighbourWorld::new(1);
    all.give(Input::Leave);
    let forged = own_as(&all, |rank| (rank.incarnation, rank.leaving) = (4, false));
    all.receives(1, records(&[forged]));
    let rank = all.machine.record().rank();
    assert!(rank.leaving && rank.incarnation == 5);
}

#[test]
fn an_epoch_is_raised_once_above_all_received_epochs() {
    let mut all = just_linked();
    let forged = own_as(&all, |rank| rank.incarnation = 3);
    all.receives(1, records(&[forged]));
    assert_eq!(all.machine.record().rank().incarnation, 4);
    let past = |epoch| {
        own_as(&just_linked(), |rank| {
            (rank.epoch, rank.instance) = (epoch, 77)
        })
    };
    let first = stores(&all.receives(1, records(&[past(9)])));
    assert_eq!(first, [(Ticket(1), 10)]);
    // A repetition, and a record of an older epoch, are already outranked.
    assert_eq!(stores(&all.receives(1, records(&[past(9), past(8)]))), []);
    let second = stores(&all.receives(1, records(&[past(12)])));
    assert_eq!(second, [(Ticket(2), 13)]);
    // The completion of an order that was replaced is ignored.
    all.give(Input::Stored { ticket: Ticket(1) });
    assert_eq!(all.machine.record().rank().epoch, 5);
    all.give(Input::Stored { ticket: Ticket(2) });
    let rank = all.machine.record().rank();
    assert_eq!((rank.epoch, rank.incarnation), (13, 0));
    all.give(Input::Stored { ticket: Ticket(2) });
    assert_eq!(all.machine.record().rank().epoch, 13);
}

#[test]
fn a_raised_epoch_republishes_the_edge_report() {
    let mut settings = config(0, 5, &[]);
    settings.tuning.redial_after = ms(200);
    settings.tuning.silent_after = ms(400);
    let mut all = NeighbourWorld {
        machine: Gossip::new(settings, 1, Instant::ZERO),
        now: Instant::ZERO,
    };
    all.give(Input::Start);
    all.link(1, 1);
    all.link(2, 2);
    all.hear_only(&[2], ms(1_000));
    assert!(all.own_report().contains(&(name(1), true)));
    let before = all.machine.topology().report(&name(0)).unwrap().epoch;
    let past = own_as(&all, |rank| (rank.epoch, rank.instance) = (9, 77));
    let given = all.receives(2, records(&[past]));
    let (ticket, _) = stores(&given)[0];
    all.give(Input::Stored { ticket });
    let report = all.machine.topology().report(&name(0)).unwrap();
    assert_eq!((before, report.epoch), (5, 10));
    assert!(all.own_report().contains(&(name(1), true)));
}

#[test]
fn a_leaving_node_withdraws_its_edge_report() {
    let mut all = NeighbourWorld::new(3);
    all.hear_only(&[2, 3], ms(4_500));
    assert_eq!(all.own_report(), [(name(1), true)]);
    all.give(Input::Leave);
    assert_eq!(all.own_report(), []);
    // A node without a published report has no report to withdraw.
    let mut all = NeighbourWorld::new(3);
    all.give(Input::Leave);
    assert_eq!(all.machine.topology().report(&name(0)), None);
}

#[test]
fn a_report_of_ours_that_comes_back_is_forged_only_if_it_is_newer_or_another() {
    let mut all = NeighbourWorld::new(3);
    all.hear_only(&[2, 3], ms(4_500));
    let held = all.machine.topology().report(&name(0)).unwrap().clone();
    let aged = |epoch, version, down: usize| {
        let mut aged = edge_report(0, version, &[(down, true, None)]);
        let mut report = (*aged.report).clone();
        report.epoch = epoch;
        aged.report = Arc::new(report);
        aged
    };
    assert_eq!((held.epoch, held.edges.len()), (5, 1));
    let mut shortened = edge_report(0, held.version, &[]);
    let report = EdgeReport {
        epoch: 5,
        ..(*shortened.report).clone()
    };
    shortened.report = Arc::new(report);
    for (echo, forged) in [
        // A member of protocol version 1 passes on the first edges of a long report.
        (shortened, false),
        (aged(5, held.version, 1), false),
        (aged(5, held.version - 1, 2), false),
        (aged(4, held.version + 9, 2), false),
        (aged(5, held.version, 2), true),
        (aged(5, held.version + 9, 1), true),
    ] {
        let mut all = NeighbourWorld::new(3);
        all.hear_only(&[2, 3], ms(4_500));
        let given = all.receives(2, reports(core::slice::from_ref(&echo)));
        let reason = Rejection::ForgedReport;
        let reported = Event::Rejected {
            from: name(2),
            reason,
        };
        assert_eq!(events(&given).contains(&&reported), forged, "{echo:?}");
    }
}

#[test]
fn the_state_of_an_edge_is_published_once() {
    let mut all = NeighbourWorld::new(3);
    all.hear_only(&[2, 3], ms(4_500));
    let version = all.machine.topology().report(&name(0)).unwrap().version;
    let given = all.hear_only(&[2, 3], ms(3_000));
    assert_eq!(
        all.machine.topology().report(&name(0)).unwrap().version,
        version
    );
    let again = frames(&given, 2)
        .iter()
        .flat_map(|(_, frame)| &frame.reports)
        .filter(|aged| aged.report.reporter == name(0))
        .count();
    assert_eq!(again, 0);
}

#[test]
fn reported_edges_are_bounded() {
    let mut all = NeighbourWorld::new(1);
    let count = EDGES_MAX + 30;
    for index in 0..count {
        let peer = all
            .machine
            .context
            .topology
            .intern(&name(100 + index))
            .unwrap();
        all.machine.self_record.set_edge(peer, true, None);
    }
    all.receives(1, message::Frame::default());
    let reported = all.own_report().len();
    assert!(reported > 500 && reported <= EDGES_MAX, "{reported}");
}

#[test]
fn a_death_beyond_the_bound_of_a_report_takes_the_place_of_one_that_is_known() {
    let mut all = NeighbourWorld::new(1);
    let long = |index: usize| NodeId::new(&format!("n{index:062}")).unwrap();
    let count = 400;
    let intern = |all: &mut NeighbourWorld, index| {
        let topology = &mut all.machine.context.topology;
        topology.intern(&long(index)).unwrap()
    };
    let peers: Vec<_> = (0..count).map(|index| intern(&mut all, index)).collect();
    for peer in &peers {
        all.machine.self_record.set_edge(*peer, true, None);
    }
    all.receives(1, message::Frame::default());
    let first: BTreeSet<NodeId> = all.own_report().into_iter().map(|(peer, _)| peer).collect();
    assert!(first.len() > 100 && first.len() < count, "{}", first.len());
    for round in 0..4 {
        all.now += ms(2_000);
        all.receives(1, message::Frame::default());
        let same: BTreeSet<NodeId> = all.own_report().into_iter().map(|(peer, _)| peer).collect();
        assert_eq!(same, first, "round {round}");
        for (index, peer) in peers.iter().enumerate() {
            let is_down = first.contains(&long(index));
            all.machine.self_record.on_maintained(*peer, is_down);
        }
    }
    all.receives(1, message::Frame::default());
    let next: BTreeSet<NodeId> = all.own_report().into_iter().map(|(peer, _)| peer).collect();
    assert!(first.is_disjoint(&next), "{next:?}");
}

#[test]
fn missing_ring_edges_are_reported_down() {
    let mut all = NeighbourWorld::new(1);
    for index in 20..50 {
        all.receives(1, records(&[published(index, 1)]));
    }
    // No member can be dialled, and the members that should dial `n0` do not.
    let mut given = all.rest(ms(10));
    for _ in 0..40 {
        for (_, dial, _) in dials(&given) {
            let reason = DialError::Refused;
            all.give(Input::DialFailed { dial, reason });
        }
        given = all.rest(ms(150));
    }
    let reported: Vec<NodeId> = all.own_report().into_iter().map(|(peer, _)| peer).collect();
    for neighbour in all.ring_neighbours() {
        assert!(
            neighbour == name(1) || reported.contains(&neighbour),
            "{neighbour} of {reported:?}"
        );
    }
}

#[test]
fn a_dial_that_takes_long_does_not_keep_the_next_on_the_ring_waiting() {
    let mut all = NeighbourWorld::new(1);
    for index in 20..50 {
        all.receives(1, records(&[published(index, 1)]));
    }
    let begun = all.now;
    let given = all.rest(ms(1_000));
    let tried: Vec<Instant> = dials(&given).into_iter().map(|(at, ..)| at).collect();
    let first = tried[0];
    assert!(first - begun <= ms(110), "soon after the news");
    let early = tried.iter().filter(|at| **at - first < ms(300)).count();
    assert!((1..=3).contains(&early), "one for each ring: {tried:?}");
    let second: Vec<_> = tried.iter().filter(|at| **at - first >= ms(300)).collect();
    assert!(!second.is_empty(), "{tried:?}");
    assert_eq!(*second[0] - first, ms(300));
}

#[test]
fn a_seed_known_by_its_address_is_not_dialled_while_its_member_is_alive() {
    let mut all = NeighbourWorld::new(1);
    all.give(Input::Seeds {
        addresses: vec![Address::Socket(address(1))],
        replace: false,
    });
    // The neighbour dialled its link itself, so its address is checked once.
    let elapsed = all.now.since(Instant::ZERO);
    let given = all.rest(ms(6_500).saturating_sub(elapsed));
    let [(_, dial, _)] = dials(&given)[..] else {
        panic!("{given:?}");
    };
    let (link, peer) = (LinkId(99), name(1));
    let closes = all.give(Input::Dialed { dial, link, peer });
    assert!(
        closes
            .iter()
            .any(|(_, order)| *order == Output::Close { link })
    );
    assert_eq!(dials(&all.rest(ms(40_000))), []);
    let found: Vec<_> = all
        .machine
        .seeds()
        .map(|(_, peer, _)| peer.cloned())
        .collect();
    assert_eq!(found, [Some(name(1))]);
    // The member left, so no node is connected at the address.
    let left = published(1, 2);
    let mut rank = left.rank();
    rank.leaving = true;
    let left = Arc::new(Record::new(name(1), rank, left.content().clone()));
    all.receives(1, records(&[left]));
    let given = all.silence(ms(40_000));
    assert!(
        dials(&given)
            .iter()
            .any(|(_, _, to)| *to == Address::Socket(address(1)))
    );
}

#[test]
fn two_machines_under_one_id_that_never_meet_outbid_each_other_at_a_bounded_rate() {
    let mut all = just_linked();
    let other = |epoch| {
        let past = own_as(&just_linked(), |rank| {
            (rank.epoch, rank.instance) = (epoch, 77)
        });
        let content = Content {
            address: None,
            ..past.content().clone()
        };
        Arc::new(Record::new(name(0), past.rank(), content))
    };
    let (mut raised, mut reported) = (0, 0);
    for _ in 0..600 {
        let above = all.machine.record().rank().epoch + 1;
        let mut given = all.receives(1, records(&[other(above)]));
        given.extend(all.rest(ms(100)));
        for (ticket, _) in stores(&given) {
            raised += 1;
            all.give(Input::Stored { ticket });
        }
        reported += events(&given)
            .iter()
            .filter(|event| matches!(event, Event::DuplicateId { .. }))
            .count();
    }
    // Three at the start, while the records may be of earlier starts; then one each five seconds.
    assert!((14..=16).contains(&raised), "{raised}");
    assert_eq!((reported, all.machine.phase()), (1, Phase::Running));
    assert!(all.machine.duplicate_since(all.now).is_some());
}
