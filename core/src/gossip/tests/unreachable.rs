//! Pairs of live members without a link, and members that are lost together.

use super::super::*;
use super::neighbours::{NeighbourWorld, edge_report, reports};
use super::world::{GossipWorld, address, config, name, secs};
use crate::size::Encoded;
use crate::topology::record::Content;
use crate::topology::{EDGE_FAILURES_MAX, EdgeFailure};
use core::net::SocketAddr;

/// A configuration that advertises this address.
fn advertising(index: usize, address: SocketAddr) -> Config {
    let mut config = config(index, 1, &[0]);
    config.content.address = Some(address);
    config
}

fn peers(world: &GossipWorld, of: usize) -> Vec<NodeId> {
    let found = world.nodes[&of].unreachable();
    found.into_iter().map(|view| view.peer).collect()
}

fn lines(world: &GossipWorld, of: usize) -> (usize, usize) {
    let pairs = world.count(of, |event| matches!(event, Event::Unreachable { .. }));
    let own = world.count(of, |event| matches!(event, Event::AddressUndialable(_)));
    (pairs, own)
}

/// Three nodes, of which two advertise an address at which no process listens.
fn misconfigured() -> GossipWorld {
    let mut world = GossipWorld::new(1);
    world.boot(9, config(9, 1, &[0]));
    world.run(secs(1));
    world.kill(9);
    for index in [1, 2] {
        world.boot(index, advertising(index, address(9)));
    }
    world
}

#[test]
fn members_that_advertise_a_wrong_address_are_named_at_both_ends_and_are_told() {
    let mut world = misconfigured();
    world.run(secs(8));
    assert_eq!(peers(&world, 1), [] as [NodeId; 0], "too early");
    world.run(secs(12));
    for (one, other) in [(1, 2), (2, 1)] {
        let [pair] = &world.nodes[&one].unreachable()[..] else {
            panic!("one pair: {:?}", world.nodes[&one].unreachable());
        };
        let shown = (&pair.peer, pair.address, pair.last_contact);
        assert_eq!(shown, (&name(other), Some(address(9)), None));
        let refused = Some(EdgeFailure::Refused);
        assert_eq!((pair.own, pair.theirs), (refused, refused));
        let undialable = world.nodes[&one].undialable().expect("is told");
        let (by, count) = (undialable.by, undialable.count);
        assert_eq!(by, [name(other)]);
        let reason = (count, undialable.address, undialable.failure);
        assert_eq!(reason, (1, address(9), EdgeFailure::Refused));
        assert_eq!(lines(&world, one), (1, 1));
    }
    assert_eq!((peers(&world, 0), lines(&world, 0)), (Vec::new(), (0, 0)));
    assert_eq!(world.nodes[&0].undialable(), None);
    world.run(secs(570));
    assert_eq!(lines(&world, 1), (1, 1), "once in ten minutes");
    world.run(secs(60));
    assert_eq!(lines(&world, 1), (2, 2), "it lasts");
}

#[test]
fn a_pair_that_is_cut_off_knows_its_last_contact_and_ends_with_the_cut() {
    let mut world = GossipWorld::new(5);
    world.run(secs(30));
    world.cut_between(&[3], &[4]);
    world.run(secs(40));
    for (one, other) in [(3, 4), (4, 3)] {
        assert_eq!(peers(&world, one), [name(other)]);
        let pair = &world.nodes[&one].unreachable()[0];
        let contact = pair.last_contact.expect("they were linked");
        assert!(contact > secs(35) && contact <= secs(42), "{contact:?}");
        let known = pair.own.or(pair.theirs);
        assert!(known.is_some(), "{pair:?}");
        assert_eq!(lines(&world, one).0, 1);
        let deaths = world.count(one, |event| matches!(event, Event::PeerDown { .. }));
        assert_eq!(deaths, 0);
    }
    assert_eq!(peers(&world, 0), [] as [NodeId; 0]);
    world.environment.cut.clear();
    world.run(secs(30));
    assert_eq!(peers(&world, 3), [] as [NodeId; 0]);
    assert_eq!(peers(&world, 4), [] as [NodeId; 0]);
}

#[test]
fn a_requested_link_that_fails_is_a_pair_at_both_ends_until_it_is_released() {
    let mut world = GossipWorld::new(24);
    world.run(secs(30));
    let me = &world.nodes[&5];
    let linked: Vec<NodeId> = me.links(world.now).map(|link| link.peer).collect();
    let own = me.topology().index_of(&name(5)).unwrap();
    let far = (0..24).filter(|index| *index != 5).find(|index| {
        let other = me.topology().index_of(&name(*index)).unwrap();
        !linked.contains(&name(*index)) && !me.topology().is_ring_edge(own, other)
    });
    let far = far.expect("not all are ring neighbours");
    world.cut_between(&[5], &[far]);
    let request = |requested| Input::RequestLink {
        peer: name(far),
        requested,
    };
    world.step(&5, request(true));
    world.run(secs(40));
    assert_eq!(peers(&world, 5), [name(far)]);
    assert_eq!(peers(&world, far), [name(5)]);
    let theirs = world.nodes[&far].unreachable()[0].theirs;
    assert_eq!(theirs, Some(EdgeFailure::TimedOut));
    world.step(&5, request(false));
    world.run(secs(10));
    assert_eq!(peers(&world, 5), [] as [NodeId; 0]);
    assert_eq!(peers(&world, far), [] as [NodeId; 0]);
}

#[test]
fn a_death_is_neither_a_pair_nor_joint() {
    let mut world = GossipWorld::new(8);
    world.run(secs(20));
    world.kill(3);
    world.run(secs(60));
    for index in (0..8).filter(|index| *index != 3) {
        assert_eq!(lines(&world, index), (0, 0), "n{index}");
        let alone = |event: &Event| matches!(event, Event::PeerDown { id, joint: false, .. } if *id == name(3));
        assert_eq!(world.count(index, alone), 1, "n{index}");
        let several = |event: &Event| matches!(event, Event::PeersDown { .. });
        assert_eq!(world.count(index, several), 0, "n{index}");
    }
}

#[test]
fn the_other_side_of_a_split_is_one_event_with_counts_and_five_names() {
    let mut world = GossipWorld::new(14);
    world.run(secs(20));
    let (some, others): (Vec<usize>, Vec<usize>) = (0..14).partition(|index| *index < 6);
    world.cut_between(&some, &others);
    world.run(secs(20));
    for index in 0..14 {
        let (lost, kept) = if index < 6 { (8, 6) } else { (6, 8) };
        let events = world.environment.events[&index].iter();
        let joint: Vec<_> = events
            .filter_map(|event| {
                let Event::PeersDown {
                    named,
                    count,
                    alive,
                } = event
                else {
                    return None;
                };
                Some((named.len(), *count, *alive))
            })
            .collect();
        assert_eq!(joint, [(5, lost, kept)], "n{index}");
        let each = |event: &Event| matches!(event, Event::PeerDown { joint: true, .. });
        assert_eq!(world.count(index, each), lost, "n{index}");
    }
}

#[test]
fn one_wrong_address_is_found_although_its_owner_dialled_all_links() {
    let mut world = GossipWorld::new(2);
    world.boot(9, config(9, 1, &[0]));
    world.run(secs(1));
    world.kill(9);
    world.run(secs(10));
    world.boot(2, advertising(2, address(9)));
    world.run(secs(40));
    world.assert_whole(3);
    let links = world.nodes[&2].links(world.now);
    assert!(links.into_iter().all(|link| link.dialed));
    let undialable = world.nodes[&2].undialable().expect("is told");
    let shown = (undialable.address, undialable.failure, undialable.count);
    assert_eq!(shown, (address(9), EdgeFailure::Refused, 1));
    let checker = usize::from(undialable.by == [name(1)]);
    assert_eq!(lines(&world, 2).1, 1);
    let [seen] = &world.nodes[&checker].unreachable()[..] else {
        panic!("the other end shows it");
    };
    assert_eq!((&seen.peer, seen.linked), (&name(2), true));
    assert_eq!(seen.own, Some(EdgeFailure::Refused));
    assert_eq!(lines(&world, checker), (1, 0));
    // The owner publishes a right address.
    let content = Content {
        address: Some(address(2)),
        ..Content::default()
    };
    world.step(&2, Input::Announce(content));
    world.run(secs(20));
    assert_eq!(world.nodes[&2].undialable(), None);
    assert_eq!(peers(&world, checker), [] as [NodeId; 0]);
}

#[test]
fn right_addresses_are_checked_once_and_cause_no_line() {
    let mut world = GossipWorld::new(6);
    world.run(secs(120));
    for index in 0..6 {
        assert_eq!(lines(&world, index), (0, 0), "n{index}");
        assert_eq!(peers(&world, index), [] as [NodeId; 0]);
        let reports = world.nodes[&index].topology().report(&name(index));
        let edges = reports.map_or(0, |report| report.edges.len());
        assert_eq!(edges, 0, "n{index}");
    }
}

#[test]
fn a_report_passes_on_its_reasons_up_to_the_bound() {
    let mut all = NeighbourWorld::new(1);
    let edges: Vec<_> = (20..40).map(|peer| (peer, true, None)).collect();
    let mut report = edge_report(1, 2, &edges);
    report.failures = vec![Some(EdgeFailure::TimedOut); edges.len()];
    all.receives(1, reports(&[report]));
    let held = all.machine.member(&name(1)).unwrap().report.unwrap();
    let kept: Vec<bool> = held.failures.iter().map(Option::is_some).collect();
    let bounded: Vec<bool> = (0..edges.len()).map(|at| at < EDGE_FAILURES_MAX).collect();
    assert_eq!(kept, bounded);
    // The reason has two bytes on the wire, and a report without reasons is encoded as before.
    let without = AgedReport {
        failures: Vec::new(),
        ..held.clone()
    };
    let difference = held.encoded_len() - without.encoded_len();
    assert_eq!(difference, 2 * EDGE_FAILURES_MAX);
}

#[test]
fn a_mesh_with_a_dead_member_and_a_blocked_pair_comes_to_rest() {
    let mut world = GossipWorld::new(6);
    world.run(Duration::from_millis(250));
    world.kill(4);
    world.cut_between(&[1], &[2]);
    world.run(secs(40));
    world.assert_whole(5);
    let publications = |world: &GossipWorld| -> Vec<u64> {
        let nodes = world.nodes.values();
        let reports = nodes.map(|node| node.topology().report(node.id()).map(|it| it.version));
        reports.map(Option::unwrap_or_default).collect()
    };
    let before = publications(&world);
    world.run(secs(20));
    world.assert_whole(5);
    assert_eq!(publications(&world), before);
}
