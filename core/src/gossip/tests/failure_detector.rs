//! Failure detection: silence, suspicion, verdicts, and what the node reports about them.

use super::super::message::Frame;
use super::super::*;
use super::neighbours::{
    NeighbourWorld, dials, edge_report, events, frames, ms, published, records, reports,
};
use super::world::{address, config, name};
use crate::link::{Address, CloseReason, DialError, LinkId};

#[test]
fn each_link_in_turn_gets_a_heartbeat_at_least_every_interval() {
    for count in [1_u64, 3, 5, 8] {
        let mut all = NeighbourWorld::new(usize::try_from(count).unwrap());
        let given = all.rest(ms(20_000));
        let tuning = &all.machine.config().tuning;
        let every = (tuning.heartbeat_spacing * u32::try_from(count).unwrap())
            .min(tuning.heartbeat_interval_max);
        for link in 1..=count {
            let beats: Vec<Instant> = frames(&given, link).iter().map(|(at, _)| *at).collect();
            // The result of an address check is sent in between.
            for pair in beats.windows(2) {
                assert!(pair[1] - pair[0] <= every, "link {link} of {count}");
            }
            assert!(beats.len() >= 7, "link {link} of {count}: {beats:?}");
        }
    }
}

#[test]
fn a_silent_neighbour_is_redialled_then_accused_then_given_up() {
    let mut all = NeighbourWorld::new(3);
    all.receives(1, Frame::default());
    let heard = all.now;
    let given = all.hear_only(&[2, 3], ms(25_000));
    let tuning = all.machine.config().tuning.clone();
    let redials: Vec<Instant> = dials(&given)
        .into_iter()
        .filter(|(_, _, to)| *to == Address::Socket(address(1)))
        .map(|(at, _, _)| at)
        .collect();
    assert_eq!(redials[0], heard + tuning.redial_after);
    assert_eq!(
        redials[1],
        heard + tuning.redial_after + tuning.redial_interval
    );
    assert_eq!(
        redials[2],
        heard + tuning.redial_after + 2 * tuning.redial_interval
    );
    let accused = given
        .iter()
        .position(|(at, _)| *at > heard + tuning.silent_after)
        .unwrap();
    let reported = |from: usize, to: usize| -> Vec<_> {
        frames(&given[from..to], 2)
            .into_iter()
            .flat_map(|(at, frame)| frame.reports.iter().map(move |aged| (at, aged.clone())))
            .chain(
                frames(&given[from..to], 3)
                    .into_iter()
                    .flat_map(|(at, frame)| {
                        frame.reports.iter().map(move |aged| (at, aged.clone()))
                    }),
            )
            .collect()
    };
    assert_eq!(reported(0, accused), [], "nothing is reported before");
    let (at, aged) = reported(accused, given.len()).remove(0);
    assert!(at - (heard + tuning.silent_after) <= ms(30));
    assert_eq!(
        (aged.report.edges[0].peer.clone(), aged.report.edges[0].down),
        (name(1), true)
    );
    assert_eq!(
        aged.ages[0],
        Some(at - heard),
        "last heard is the time of the last byte"
    );
    let end = events(&given)
        .into_iter()
        .any(|event| matches!(event, Event::LinkDown { peer, reason: LinkEnd::Silent, .. } if *peer == name(1)));
    assert!(end);
    assert_eq!(all.machine.links(all.now).count(), 2);
}

#[test]
fn the_redials_of_one_neighbour_under_way_are_bounded() {
    let mut content = config(0, 5, &[]);
    content.tuning.dial_timeout = ms(60_000);
    let mut all = NeighbourWorld::of(content, 3);
    let given = all.hear_only(&[2, 3], ms(6_000));
    assert_eq!(
        dials(&given)
            .iter()
            .filter(|(_, _, to)| *to == Address::Socket(address(1)))
            .count(),
        3
    );
}

#[test]
fn a_neighbour_that_is_heard_again_is_not_accused() {
    let mut all = NeighbourWorld::new(3);
    all.hear_only(&[2, 3], ms(4_500));
    assert_eq!(all.own_report(), [(name(1), true)]);
    assert!(
        all.machine
            .links(all.now)
            .any(|link| link.peer == name(1) && link.silent)
    );
    all.receives(1, Frame::default());
    assert_eq!(all.own_report(), [(name(1), false)]);
    assert!(all.machine.links(all.now).all(|link| !link.silent));
    // Once no report accuses the neighbour, the node's own report about the neighbour is not needed.
    all.rest(ms(5_000));
    assert_eq!(all.own_report(), []);
}

#[test]
fn a_node_that_hears_no_neighbour_suspects_itself_first() {
    let mut all = NeighbourWorld::new(3);
    for link in 1..=3 {
        all.receives(link, Frame::default());
    }
    let heard = all.now;
    let given = all.silence(ms(3_600));
    assert!(events(&given).contains(&&Event::Isolated));
    assert_eq!(all.machine.phase(), Phase::Isolated);
    assert_eq!(all.own_report(), []);
    let since = heard + all.machine.config().tuning.silent_after;
    all.silence(since + ms(990) - all.now);
    assert_eq!(all.own_report(), [], "not within a second");
    all.silence(ms(30));
    assert_eq!(all.own_report().len(), 3, "then it accuses");
    let given = all.receives(2, Frame::default());
    assert!(events(&given).contains(&&Event::Rejoined));
    assert_eq!(all.machine.phase(), Phase::Running);
    assert_eq!(all.own_report()[1], (name(2), false));
}

#[test]
fn one_neighbour_that_is_heard_keeps_a_node_from_isolation() {
    let mut all = NeighbourWorld::new(3);
    let given = all.hear_only(&[2], ms(6_000));
    assert!(!events(&given).contains(&&Event::Isolated));
    assert_eq!(all.own_report(), [(name(1), true), (name(3), true)]);
}

/// `n0` learns of `n7`, and receives reports by all ring neighbours of `n7` that `n7` is down.
pub(super) fn suspect(all: &mut NeighbourWorld) -> Vec<super::neighbours::Order> {
    all.receives(1, records(&[published(7, 1)]));
    let mut given = Vec::new();
    for index in 1..=3 {
        given.extend(all.receives(
            index as u64,
            reports(&[edge_report(index, 2, &[(7, true, Some(ms(3_500)))])]),
        ));
    }
    if all.ring_neighbours().contains(&name(7)) {
        // Failed dials break the edge from `n0` to `n7`.
        for _ in 0..4 {
            let orders = all.rest(ms(200));
            for (_, dial, to) in dials(&orders) {
                if to == Address::Socket(address(7)) {
                    given.extend(all.give(Input::DialFailed {
                        dial,
                        reason: DialError::Refused,
                    }));
                }
            }
            given.extend(orders);
        }
    }
    given.extend(all.rest(ms(50)));
    given
}

#[test]
fn a_member_missed_on_all_edges_becomes_suspect_and_down_after_its_last_heard_time() {
    let mut all = NeighbourWorld::new(3);
    let begun = all.now;
    let given = suspect(&mut all);
    assert!(events(&given).contains(&&Event::PeerSuspected { id: name(7) }));
    assert_eq!(
        all.machine.member(&name(7)).unwrap().status,
        Status::Suspect
    );
    let mut rest = all.rest(ms(9_000));
    let down = rest
        .iter()
        .find(|(_, order)| {
            *order
                == Output::Report(Event::PeerDown {
                    id: name(7),
                    cause: DeathCause::Silent,
                    joint: false,
                })
        })
        .map(|(at, _)| *at)
        .expect("down");
    let tuning = &all.machine.config().tuning;
    // A new record of `n7` arrived at `begun`; `n7` is not declared down until this evidence is old.
    assert!(down - begun >= tuning.down_after && down - begun <= tuning.down_after + ms(800));
    assert_eq!(
        all.machine.providers("echo", None).len(),
        4,
        "its services are not offered"
    );
    rest.clear();
    // A single neighbour that hears the member brings it back.
    let given = all.receives(1, reports(&[edge_report(1, 3, &[(7, false, Some(ms(0)))])]));
    let later = all.rest(ms(50));
    let revived = Event::PeerUp {
        id: name(7),
        epoch: 1,
    };
    assert!(events(&given).contains(&&revived) || events(&later).contains(&&revived));
    assert_eq!(all.machine.member(&name(7)).unwrap().status, Status::Alive);
    assert_eq!(all.machine.providers("echo", None).len(), 5);
}

#[test]
fn a_suspect_that_is_reachable_again_is_cleared() {
    let mut all = NeighbourWorld::new(3);
    suspect(&mut all);
    all.receives(1, reports(&[edge_report(1, 3, &[])]));
    let given = all.rest(ms(50));
    assert!(events(&given).contains(&&Event::PeerCleared { id: name(7) }));
    let given = all.rest(ms(9_000));
    assert!(!events(&given).contains(&&Event::PeerDown {
        id: name(7),
        cause: DeathCause::Silent,
        joint: false,
    }));
}

#[test]
fn a_node_that_hears_a_suspect_confirms_it() {
    let mut all = NeighbourWorld::new(4);
    all.rest(ms(500));
    // All nodes except `n0` report `n4` as down, but `n0` still hears `n4`.
    let edges: Vec<_> = (1..=3)
        .map(|index| edge_report(index, 2, &[(4, true, Some(ms(3_500)))]))
        .collect();
    for (link, report) in (1..).zip(edges) {
        all.receives(link, reports(&[report]));
    }
    all.rest(ms(300));
    assert_eq!(
        all.machine.member(&name(4)).unwrap().status,
        Status::Alive,
        "our own edge is a path"
    );
}

#[test]
fn down_members_are_probed_and_forgotten_in_two_steps() {
    let mut settings = config(0, 5, &[]);
    settings.tuning.forget_after = ms(30_000);
    let mut all = NeighbourWorld::of(settings, 3);
    suspect(&mut all);
    all.rest(ms(9_000));
    assert_eq!(all.machine.member(&name(7)).unwrap().status, Status::Down);
    let given = all.rest(ms(10_000));
    let probes: Vec<Instant> = dials(&given)
        .into_iter()
        .filter(|(_, _, to)| *to == Address::Socket(address(7)))
        .map(|(at, _, _)| at)
        .collect();
    // The mesh makes two probes per second and four nodes are alive, so each node probes every other second.
    assert!((2..=8).contains(&probes.len()), "{probes:?}");
    for pair in probes.windows(2) {
        assert_eq!((pair[1] - pair[0]).as_millis() % 1_000, 0, "whole seconds");
    }
    let given = all.rest(ms(20_000));
    assert!(events(&given).contains(&&Event::PeerForgotten { id: name(7) }));
    assert_eq!(all.machine.member(&name(7)), None);
    // An old update does not bring the member back.
    all.receives(1, records(&[published(7, 1)]));
    assert_eq!(all.machine.member(&name(7)), None);
    assert!(all.machine.topology().index_of(&name(7)).is_some());
    for index in 1..=3 {
        all.receives(index as u64, reports(&[edge_report(index, 9, &[])]));
    }
    all.rest(ms(65_000));
    assert!(
        all.machine.topology().index_of(&name(7)).is_none(),
        "the second step frees its place"
    );
}

#[test]
fn a_member_that_is_probed_and_answers_is_alive() {
    let mut all = NeighbourWorld::new(3);
    suspect(&mut all);
    all.rest(ms(9_000));
    let dial = (0..100)
        .find_map(|_| dials(&all.rest(ms(100))).pop())
        .map(|(_, dial, _)| dial)
        .expect("a probe");
    let link = LinkId(50);
    all.give(Input::Dialed {
        dial,
        link,
        peer: name(7),
    });
    let welcome = message::Welcome {
        version: 1,
        session: 1,
        hash: 0,
        record: published(7, 1),
    };
    let mut given = all.give(Input::Receive {
        link,
        message: Message::Welcome(welcome),
    });
    given.extend(all.rest(ms(50)));
    assert!(events(&given).contains(&&Event::PeerUp {
        id: name(7),
        epoch: 1
    }));
    // The two sides reconcile.
    assert!(
        frames(&given, 50)
            .iter()
            .any(|(_, frame)| !frame.sync.is_empty())
    );
}

#[test]
fn an_accusation_comes_when_the_silence_is_long_enough_and_not_with_the_next_redial() {
    let mut settings = config(0, 5, &[]);
    settings.tuning.silent_after = ms(3_300);
    let mut all = NeighbourWorld::of(settings, 3);
    all.receives(1, Frame::default());
    let heard = all.now;
    let given = all.hear_only(&[2, 3], ms(5_000));
    let reported: Vec<Instant> = [2, 3]
        .into_iter()
        .flat_map(|link| frames(&given, link))
        .filter(|(_, frame)| !frame.reports.is_empty())
        .map(|(at, _)| at)
        .collect();
    let first = reported.into_iter().min().expect("accused");
    assert!(
        first - heard >= ms(3_300) && first - heard < ms(3_320),
        "{first:?}"
    );
}

#[test]
fn a_broken_connection_is_redialled_at_once_even_in_the_first_moments() {
    let mut all = NeighbourWorld {
        machine: Gossip::new(config(0, 5, &[]), 1, Instant::ZERO),
        now: Instant::ZERO,
    };
    all.give(Input::Start);
    all.link(1, 1);
    all.silence(ms(50));
    all.give(Input::Closed {
        link: LinkId(1),
        reason: CloseReason::Reset,
    });
    let broken = all.now;
    let given = all.silence(ms(20));
    let redials: Vec<Instant> = dials(&given).into_iter().map(|(at, ..)| at).collect();
    assert_eq!(redials, [broken + ms(1)]);
}

/// `n0` with links to twelve members, and the index of one of them that is not a ring neighbour.
fn beside_the_rings() -> (NeighbourWorld, usize) {
    let all = NeighbourWorld::new(12);
    let ring = all.ring_neighbours();
    let other = (1..=12)
        .find(|index| !ring.contains(&name(*index)))
        .expect("more links than edges");
    (all, other)
}

/// All ring neighbours of a member report it down.
fn missed_by_all(all: &mut NeighbourWorld, missed: usize, last_heard: Option<Duration>) {
    for index in (1..=12).filter(|index| *index != missed) {
        let report = edge_report(index, 2, &[(missed, true, last_heard)]);
        all.receives(index as u64, reports(&[report]));
    }
}

#[test]
fn a_node_that_hears_a_suspect_on_any_link_confirms_it_with_the_time() {
    let (mut all, missed) = beside_the_rings();
    all.receives(missed as u64, Frame::default());
    let heard = all.now;
    all.silence(ms(700));
    missed_by_all(&mut all, missed, Some(ms(3_500)));
    let given = all.silence(ms(100));
    assert!(events(&given).contains(&&Event::PeerSuspected { id: name(missed) }));
    assert_eq!(all.own_report(), [(name(missed), false)]);
    assert_eq!(
        all.machine.member(&name(missed)).unwrap().status,
        Status::Alive
    );
    let reported: Vec<_> = (1..=12)
        .flat_map(|link| frames(&given, link))
        .flat_map(|(at, frame)| frame.reports.iter().map(move |aged| (at, aged)))
        .filter(|(_, aged)| aged.report.reporter == name(0))
        .collect();
    assert!(!reported.is_empty());
    for (at, aged) in reported {
        assert_eq!(aged.ages, [Some(at - heard)]);
    }
}

#[test]
fn a_node_that_has_not_heard_a_suspect_recently_reports_only_the_last_heard_time() {
    let suspected = |heard: u64, last_heard| {
        let (mut all, missed) = beside_the_rings();
        let others: Vec<u64> = (1..=12).filter(|link| *link != missed as u64).collect();
        all.receives(missed as u64, Frame::default());
        all.hear_only(&others, ms(heard));
        missed_by_all(&mut all, missed, last_heard);
        all.silence(ms(50));
        (all, missed, others)
    };
    let status = |all: &NeighbourWorld, missed| all.machine.member(&name(missed)).unwrap().status;
    let (all, ..) = suspected(4_800, None);
    assert_eq!(all.own_report(), [], "a time that old is not evidence");
    let (mut all, missed, _) = suspected(2_601, Some(ms(500)));
    assert_eq!(status(&all, missed), Status::Suspect);
    assert_eq!(all.own_report(), [], "others heard it later");
    // The member sends a message again, which proves that it is alive.
    all.receives(missed as u64, Frame::default());
    assert_eq!(all.own_report(), [(name(missed), false)]);

    let (mut all, missed, others) = suspected(2_601, Some(ms(4_600)));
    assert_eq!(all.own_report(), [(name(missed), true)]);
    // The member was last heard 2.65 s ago, and is declared down 4.7 s after that time.
    all.hear_only(&others, ms(1_950));
    assert_eq!(status(&all, missed), Status::Suspect);
    all.hear_only(&others, ms(200));
    assert_eq!(status(&all, missed), Status::Down);
    all.hear_only(&others, ms(6_000));
    assert_eq!(all.own_report(), [], "the report is not needed any more");
}

#[test]
fn the_link_to_a_dead_member_ends_with_it_if_it_is_silent_too() {
    let mut all = NeighbourWorld::new(3);
    all.hear_only(&[2, 3], ms(3_600));
    for link in [2, 3] {
        let report = edge_report(link, 2, &[(1, true, Some(ms(3_500)))]);
        all.receives(link as u64, reports(&[report]));
    }
    let given = all.hear_only(&[2, 3], ms(4_000));
    let at = |wanted: &dyn Fn(&Event) -> bool| {
        given
            .iter()
            .find(|(_, order)| matches!(order, Output::Report(event) if wanted(event)))
            .map(|(at, _)| *at)
    };
    let down = at(&|event| {
        *event
            == Event::PeerDown {
                id: name(1),
                cause: DeathCause::Silent,
                joint: false,
            }
    })
    .expect("down");
    let ended = at(&|event| matches!(event, Event::LinkDown { peer, .. } if *peer == name(1)));
    assert_eq!(ended, Some(down));
    // A link that is heard stays open although its peer counts as down, because only the reports of other nodes made
    // the peer down.
    let (mut all, missed) = beside_the_rings();
    let others: Vec<u64> = (1..=12).filter(|link| *link != missed as u64).collect();
    all.hear_only(&others, ms(2_000));
    missed_by_all(&mut all, missed, Some(ms(60_000)));
    all.hear_only(&others, ms(400));
    assert!(
        all.machine
            .links(all.now)
            .any(|link| link.peer == name(missed) && !link.silent)
    );
}

#[test]
fn two_nodes_a_second_probe_each_member_that_is_down() {
    for lost in [vec![7_usize], vec![7, 8, 9]] {
        let mut all = NeighbourWorld::new(3);
        for index in &lost {
            all.receives(1, records(&[published(*index, 1)]));
        }
        let edges: Vec<_> = lost
            .iter()
            .map(|index| (*index, true, Some(ms(3_500))))
            .collect();
        for index in 1..=3 {
            all.receives(index as u64, reports(&[edge_report(index, 2, &edges)]));
        }
        let mut probes = vec![0; lost.len()];
        let mut begun = None;
        while begun.is_none_or(|begun| all.now - begun < ms(200_000)) {
            let given = all.rest(ms(100));
            for (_, dial, to) in dials(&given) {
                let of = lost
                    .iter()
                    .position(|index| Address::Socket(address(*index)) == to);
                probes[of.expect("a lost member")] += usize::from(begun.is_some());
                let reason = DialError::Refused;
                all.give(Input::DialFailed { dial, reason });
            }
            let down = |member: &MemberView| member.status == Status::Down;
            if all.machine.members().filter(down).count() == lost.len() && begun.is_none() {
                begun = Some(all.now);
            }
            assert!(all.now < Instant::from_millis(400_000));
        }
        // Four nodes are alive, so each probes a member that is down every other second.
        for count in &probes {
            assert!((80..=120).contains(count), "{probes:?} probes in 200 s");
        }
    }
}

#[test]
fn a_forgotten_member_that_a_report_still_names_keeps_its_slot() {
    let mut settings = config(0, 5, &[]);
    settings.tuning.forget_after = ms(20_000);
    let mut all = NeighbourWorld::of(settings, 3);
    suspect(&mut all);
    all.rest(ms(60_000));
    assert_eq!(all.machine.member(&name(7)), None);
    assert!(
        all.machine.topology().index_of(&name(7)).is_some(),
        "three report an edge to it"
    );
    for index in 1..=3 {
        all.receives(index as u64, reports(&[edge_report(index, 9, &[])]));
    }
    all.rest(ms(21_000));
    assert_eq!(all.machine.topology().index_of(&name(7)), None);
}

/// `n0`, which has just forgotten `n7`; no other node reports anything about `n7`.
pub(super) fn with_a_forgotten_member(forget_after: Duration) -> NeighbourWorld {
    let mut settings = config(0, 5, &[]);
    settings.tuning.forget_after = forget_after;
    let mut all = NeighbourWorld::of(settings, 3);
    suspect(&mut all);
    while all.machine.member(&name(7)).is_some() {
        all.rest(ms(100));
        assert!(accuses(&all) && all.now < Instant::from_millis(120_000));
    }
    for index in 1..=3 {
        all.receives(index as u64, reports(&[edge_report(index, 9, &[])]));
    }
    all
}

/// Whether `n0` reports `n7` as down.
fn accuses(all: &NeighbourWorld) -> bool {
    all.own_report().contains(&(name(7), true))
}

#[test]
fn reports_about_a_forgotten_member_last_until_its_slot_is_freed() {
    let mut all = with_a_forgotten_member(ms(40_000));
    // Nodes that have not yet forgotten the member still need the reports of all nodes that do not hear the member.
    all.rest(ms(39_500));
    assert!(accuses(&all));
    // Only the report of `n0` still names the member, and that report does not keep the member's slot.
    all.rest(ms(6_000));
    assert!(!accuses(&all));
    assert_eq!(all.machine.topology().index_of(&name(7)), None);
}

#[test]
fn reports_about_a_forgotten_member_last_until_newcomers_know() {
    let mut all = with_a_forgotten_member(ms(1_000));
    all.rest(ms(25_000));
    assert!(accuses(&all));
    all.rest(ms(5_000));
    assert_eq!(all.machine.topology().index_of(&name(7)), None);
}

#[test]
fn a_down_member_that_sends_is_alive_if_it_is_reachable() {
    let mut all = NeighbourWorld::new(3);
    suspect(&mut all);
    all.rest(ms(9_000));
    let status = |all: &NeighbourWorld| all.machine.member(&name(7)).unwrap().status;
    // The member's last update may arrive late, while its ring neighbours do not hear it.
    all.receives(1, reports(&[edge_report(7, 1, &[])]));
    all.rest(ms(300));
    assert_eq!(status(&all), Status::Down);
    for index in 1..=3 {
        all.receives(index as u64, reports(&[edge_report(index, 3, &[])]));
    }
    all.rest(ms(300));
    assert_eq!(status(&all), Status::Alive, "no report accuses the member");

    // Without a new update from the member, the absence of accusations proves nothing, because the accusers may have
    // forgotten the member.
    let mut all = NeighbourWorld::new(3);
    suspect(&mut all);
    all.rest(ms(9_000));
    for index in 1..=3 {
        all.receives(index as u64, reports(&[edge_report(index, 3, &[])]));
    }
    all.rest(ms(300));
    assert_eq!(status(&all), Status::Down);
    all.receives(1, reports(&[edge_report(7, 1, &[])]));
    all.rest(ms(300));
    assert_eq!(status(&all), Status::Alive);
}

#[test]
fn a_member_lost_together_with_a_returned_one_returns_if_no_report_misses_it() {
    let mut all = NeighbourWorld::new(3);
    let status = |all: &NeighbourWorld| all.machine.member(&name(8)).unwrap().status;
    all.receives(1, records(&[published(8, 1)]));
    let missed = [(7, true, Some(ms(3_500))), (8, true, Some(ms(3_500)))];
    suspect(&mut all);
    for index in 1..=3 {
        all.receives(index as u64, reports(&[edge_report(index, 3, &missed)]));
    }
    all.receives(1, reports(&[edge_report(7, 1, &missed[1..])]));
    all.rest(ms(9_000));
    assert_eq!(status(&all), Status::Down);
    // After a partition heals, a neighbour hears `n7`. The edges of `n8` are unchanged, and no further report names
    // `n8`.
    let heard = [(7, false, Some(ms(0))), (8, true, Some(ms(3_500)))];
    all.receives(1, reports(&[edge_report(1, 4, &heard)]));
    all.rest(ms(300));
    assert_eq!(status(&all), Status::Down, "those beside it still miss it");
    for index in 1..=3 {
        all.receives(index as u64, reports(&[edge_report(index, 5, &[])]));
    }
    all.receives(1, reports(&[edge_report(7, 2, &[])]));
    all.rest(ms(300));
    assert_eq!(status(&all), Status::Alive);
}

/// `n0`, which `n1` informs that `n7` has been gone for a second.
fn with_a_list_of_forgotten_members() -> NeighbourWorld {
    let mut settings = config(0, 5, &[]);
    settings.tuning.forget_after = ms(20_000);
    let mut all = NeighbourWorld::of(settings, 3);
    let gone = message::Gone {
        id: name(7),
        age: ms(1_000),
    };
    let frame = Frame {
        gone: vec![gone],
        ..super::neighbours::pushes(&[published(7, 1)])
    };
    all.receives(1, frame);
    all
}

#[test]
fn a_list_of_forgotten_members_applies_without_other_knowledge() {
    let mut all = with_a_list_of_forgotten_members();
    all.rest(ms(300));
    let status = |all: &NeighbourWorld| all.machine.member(&name(7)).map(|member| member.status);
    assert_eq!(status(&all), Some(Status::Suspect));
    all.rest(ms(6_000));
    assert_eq!(status(&all), Some(Status::Down));
    all.rest(ms(13_500));
    assert_eq!(
        status(&all),
        None,
        "forgotten together with the neighbour that listed it"
    );
}

#[test]
fn a_report_that_hears_a_member_overrides_the_list_of_forgotten_members() {
    let mut all = with_a_list_of_forgotten_members();
    all.receives(2, reports(&[edge_report(2, 3, &[(7, false, Some(ms(0)))])]));
    all.rest(ms(300));
    all.receives(2, reports(&[edge_report(2, 4, &[])]));
    for _ in 0..60 {
        let member = all.machine.member(&name(7)).expect("known");
        assert_eq!(
            member.status,
            Status::Alive,
            "once heard it is as all others"
        );
        // No edge report counts against the member either: `n0` clears its report of the edge to the member.
        let member = all.machine.topology().index_of(&name(7)).unwrap();
        all.machine.self_record.clear_edge(member);
        all.rest(ms(100));
    }
}

#[test]
fn a_member_that_is_forgotten_at_once_causes_no_traffic() {
    let mut settings = config(0, 5, &[]);
    settings.tuning.forget_after = ms(0);
    let mut all = NeighbourWorld::of(settings, 3);
    suspect(&mut all);
    all.rest(ms(20_000));
    assert_eq!(all.machine.member(&name(7)), None);
    // Other nodes still name the member, so its slot is kept and checked from time to time.
    assert!(all.machine.topology().index_of(&name(7)).is_some());
}

#[test]
fn probing_restarts_when_a_member_dies_after_all_were_alive() {
    let mut all = NeighbourWorld::new(3);
    suspect(&mut all);
    all.rest(ms(12_000));
    assert!(all.machine.prober.has_start());
    all.receives(1, reports(&[edge_report(1, 3, &[(7, false, Some(ms(0)))])]));
    all.rest(ms(1_500));
    assert!(all.machine.members.down().is_empty());
    assert!(!all.machine.prober.has_start());
}

#[test]
fn the_last_heard_time_of_a_member_outlives_its_link() {
    let mut all = NeighbourWorld::new(2);
    let member = all.machine.topology().index_of(&name(1)).unwrap();
    all.receives(1, Frame::default());
    let heard = Some(all.now);
    all.rest(ms(100));
    assert!(all.machine.neighbourhood().last_received(member) >= heard);
    all.silence(ms(500));
    let heard = all.machine.neighbourhood().last_received(member);
    assert!(heard.is_some_and(|at| at < all.now));
    let link = LinkId(1);
    let reason = CloseReason::Farewell;
    all.give(Input::Closed { link, reason });
    all.machine.drop_link(link, LinkEnd::Lost);
    assert_eq!(all.machine.neighbourhood().last_received(member), heard);
    all.link(9, 1);
    assert_eq!(
        all.machine.neighbourhood().last_received(member),
        Some(all.now)
    );
}
