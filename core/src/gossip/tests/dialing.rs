//! Selection of members to dial, and the handling of failed dials.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one order among many"
)]

use super::super::message::{Frame, Goodbye, Hello, Refusal, RefusalReason, Welcome};
use super::super::*;
use super::neighbours::{
    NeighbourWorld, Order, announces, dials, events, frames, ms, published, records, update_id,
};
use super::world::{address, config, name};
use crate::link::{Address, CloseReason, DialError, DialId, LinkId};
use crate::time::Duration;
use crate::topology::record::Rank;

pub(super) fn fresh(targets: &[usize]) -> NeighbourWorld {
    let mut all = NeighbourWorld {
        machine: Gossip::new(config(0, 1, targets), 1, Instant::ZERO),
        now: Instant::ZERO,
    };
    all.give(Input::Start);
    all
}

fn to(index: usize) -> Address {
    Address::Socket(address(index))
}

pub(super) fn refusal(reason: RefusalReason, others: &[usize]) -> Message {
    Message::Refuse(Refusal {
        reason,
        session: 0,
        versions: (3, 4),
        others: others.iter().map(|index| address(*index)).collect(),
        yours: None,
        gone: false,
    })
}

/// The dial connects, and the peer answers the hello.
pub(super) fn answered(
    all: &mut NeighbourWorld,
    dial: DialId,
    index: usize,
    answer: Message,
) -> Vec<Order> {
    let link = LinkId(100 + dial.0);
    let mut given = all.give(Input::Dialed {
        dial,
        link,
        peer: name(index),
    });
    given.extend(all.give(Input::Receive {
        link,
        message: answer,
    }));
    given
}

pub(super) fn welcome(index: usize, session: u32) -> Message {
    Message::Welcome(Welcome {
        version: 1,
        session,
        hash: 0,
        record: published(index, 1),
    })
}

#[test]
fn a_joining_node_tries_one_seed_after_another() {
    let mut all = fresh(&[1, 2, 3]);
    let given = all.silence(ms(1_400));
    let tried: Vec<_> = dials(&given)
        .into_iter()
        .map(|(at, _, to)| (at, to))
        .collect();
    let first = tried[0].0;
    assert_eq!(
        tried,
        [
            (first, to(1)),
            (first + ms(250), to(2)),
            (first + ms(500), to(3))
        ]
    );
}

#[test]
fn a_failed_seed_is_retried_with_growing_delays_up_to_a_limit() {
    let mut all = fresh(&[1]);
    let mut waits = Vec::new();
    let mut last = None;
    for _ in 0..24 {
        let (at, dial) = loop {
            let given = all.silence(ms(50));
            if let Some((at, dial, _)) = dials(&given).pop() {
                break (at, dial);
            }
        };
        if let Some(last) = last {
            waits.push(at - last);
        }
        let given = all.give(Input::DialFailed {
            dial,
            reason: DialError::Refused,
        });
        last = Some(all.now);
        let reported = events(&given).pop().expect("an event").clone();
        let Event::DialFailed {
            address,
            reason,
            retry_in: Some(_),
        } = reported
        else {
            panic!("{reported:?}")
        };
        assert_eq!((address, reason.as_str()), (to(1), "connection refused"));
    }
    let tuning = &all.machine.config().tuning;
    let mut base = tuning.retry_min;
    for wait in waits {
        assert!(
            wait + ms(50) >= base / 2 && wait <= base + base / 2 + ms(50),
            "{wait:?} of {base:?}"
        );
        base = (base + base / 2).min(tuning.retry_max);
    }
    assert_eq!(base, tuning.retry_max);
    let seen: Vec<_> = all
        .machine
        .seeds()
        .map(|(_, peer, error)| (peer.cloned(), error.map(str::to_owned)))
        .collect();
    assert_eq!(seen, [(None, Some("connection refused".to_owned()))]);
}

#[test]
fn a_dial_that_is_not_answered_fails_in_time() {
    let mut all = fresh(&[1]);
    let given = all.silence(ms(1));
    let (at, ..) = dials(&given)[0];
    let given = all.silence(ms(2_000));
    let failed = given
        .iter()
        .find(|(_, order)| matches!(order, Output::Report(Event::DialFailed { .. })))
        .expect("failed");
    assert_eq!(failed.0, at + all.machine.config().tuning.dial_timeout);
    // The connection is established late, and is used.
    let given = all.give(Input::Dialed {
        dial: DialId(1),
        link: LinkId(9),
        peer: name(1),
    });
    let hello = given.iter().any(|(_, order)| {
        matches!(
            order,
            Output::Send {
                link: LinkId(9),
                message: Message::Hello(_)
            }
        )
    });
    assert!(hello, "{given:?}");
    // A later one, or one of another peer, is closed.
    let second = dials(&all.silence(ms(2_000)));
    assert!(second.is_empty(), "the first is still in progress");
    let given = all.give(Input::Dialed {
        dial: DialId(7),
        link: LinkId(10),
        peer: name(1),
    });
    assert_eq!(given, [(all.now, Output::Close { link: LinkId(10) })]);
}

#[test]
fn overdue_dials_are_bounded_and_end() {
    let mut all = fresh(&(1..=60).collect::<Vec<_>>());
    let given = all.silence(ms(20_000));
    let begun = dials(&given).len();
    let cancelled = given.iter();
    let cancelled = cancelled.filter(|(_, order)| matches!(order, Output::CancelDial { .. }));
    let cancelled = cancelled.count();
    assert!(begun > 60 && cancelled > 20, "{cancelled} of {begun}");
    // The first dial connects after its time.
    let given = all.give(Input::Dialed {
        dial: DialId(1),
        link: LinkId(9),
        peer: name(1),
    });
    assert_eq!(given, [(all.now, Output::Close { link: LinkId(9) })]);
}

#[test]
fn every_refusal_sets_the_retry_of_the_seed() {
    for (reason, others, why) in [
        (
            RefusalReason::Busy,
            vec![],
            "is busy; it named other members",
        ),
        (RefusalReason::Full, vec![], "has all the links it may have"),
        (
            RefusalReason::WrongMesh,
            vec![],
            "belongs to another mesh than \"test\"",
        ),
        (
            RefusalReason::Version,
            vec![],
            "speaks protocol versions 3 to 4, this node 1 to 2",
        ),
        (RefusalReason::Leaving, vec![], "is leaving the mesh"),
        (
            RefusalReason::Superseded,
            vec![],
            "is connected to us another way",
        ),
        (
            RefusalReason::NameTaken,
            vec![],
            "knows a newer machine under the id n0",
        ),
    ] {
        let mut all = fresh(&[1]);
        let (_, dial, _) = dials(&all.silence(ms(1)))[0];
        let given = answered(&mut all, dial, 1, refusal(reason, &others));
        let reported = events(&given).into_iter().find_map(|event| match event {
            Event::DialFailed { reason, .. } => Some(reason.clone()),
            _ => None,
        });
        assert_eq!(reported.as_deref(), Some(why));
        assert!(given.iter().any(|(_, order)| *order
            == Output::Close {
                link: LinkId(100 + dial.0)
            }));
        assert_eq!(all.machine.link_count(), 0);
    }
}

#[test]
fn a_busy_or_full_member_sends_a_newcomer_on_to_another() {
    for reason in [RefusalReason::Busy, RefusalReason::Full] {
        let mut all = fresh(&[1]);
        let (_, dial, _) = dials(&all.silence(ms(1)))[0];
        let given = answered(&mut all, dial, 1, refusal(reason, &[5]));
        let (_, dial, other) = dials(&given).pop().expect("a referral");
        assert_eq!(other, to(5));
        answered(&mut all, dial, 5, welcome(5, 1));
        assert_eq!(all.machine.phase(), Phase::Running);
    }
}

#[test]
fn a_cut_off_part_is_referred_to_members_that_are_not_alive_in_its_view() {
    for reason in [RefusalReason::Busy, RefusalReason::Full] {
        let refused = |others: &[usize]| {
            let mut all = fresh(&[1]);
            let (_, dial, _) = dials(&all.silence(ms(1)))[0];
            all.link(1, 2);
            let given = answered(&mut all, dial, 1, refusal(reason, others));
            dials(&given)
                .pop()
                .map(|(_, dial, other)| (all, dial, other))
        };
        let (mut all, dial, other) = refused(&[2, 5]).expect("a referral");
        assert_eq!(other, to(5));
        // The node returns to the seed address instead of following one referral after another.
        let given = answered(&mut all, dial, 5, refusal(reason, &[6]));
        assert_eq!(dials(&given), []);
        assert!(refused(&[2]).is_none(), "it is connected with that one");
    }
}

#[test]
fn the_seed_address_of_a_member_that_left_is_dialled_again_soon() {
    let mut all = fresh(&[1]);
    let (_, dial, _) = dials(&all.silence(ms(1)))[0];
    answered(&mut all, dial, 1, welcome(1, 1));
    all.link(1, 2);
    let rank = Rank {
        leaving: true,
        ..published(1, 2).rank()
    };
    let leaves = Arc::new(Record::new(
        name(1),
        rank,
        published(1, 2).content().clone(),
    ));
    let given = all.receives(101, records(&[leaves]));
    assert!(events(&given).contains(&&Event::PeerLeft { id: name(1) }));
    all.give(Input::Closed {
        link: LinkId(101),
        reason: CloseReason::Reset,
    });
    let given = all.hear_only(&[1], ms(3_000));
    assert!(
        dials(&given)
            .iter()
            .any(|(_, _, address)| *address == to(1))
    );
}

#[test]
fn a_seed_that_is_the_node_itself_is_reported_once_and_dialled_again_slowly() {
    // Node 0 advertises the first address; the node does not know the second one as its own.
    for seed in [0, 1] {
        let mut all = fresh(&[seed]);
        let (_, dial, address) = dials(&all.silence(ms(1)))[0].clone();
        assert_eq!(address, to(seed));
        let given = answered(&mut all, dial, 0, refusal(RefusalReason::Myself, &[]));
        assert!(events(&given).contains(&&Event::DialedMyself { address }));
        assert_eq!(
            all.machine.phase(),
            Phase::Running,
            "no other member was found"
        );
        let retry_max = all.machine.config().tuning.retry_max;
        assert_eq!(dials(&all.silence(retry_max - ms(10))), []);
        let (_, again, address) = dials(&all.silence(ms(20)))[0].clone();
        assert_eq!(address, to(seed));
        let given = answered(&mut all, again, 0, refusal(RefusalReason::Myself, &[]));
        assert_eq!(events(&given), [] as [&Event; 0]);
    }
}

#[test]
fn another_node_at_the_advertised_address_is_joined() {
    let mut all = fresh(&[0]);
    let (_, dial, address) = dials(&all.silence(ms(1)))[0].clone();
    assert_eq!(address, to(0));
    answered(&mut all, dial, 1, welcome(1, 1));
    let seed = all.machine.seeds().next();
    assert_eq!(seed.and_then(|(_, peer, _)| peer.cloned()), Some(name(1)));
    assert_eq!(all.machine.phase(), Phase::Running);
}

#[test]
fn a_seed_of_a_live_member_is_not_dialled_until_the_member_is_down() {
    let mut all = fresh(&[1]);
    let (_, dial, _) = dials(&all.silence(ms(1)))[0];
    answered(&mut all, dial, 1, welcome(1, 1));
    let seen: Vec<_> = all
        .machine
        .seeds()
        .map(|(_, peer, error)| (peer.cloned(), error))
        .collect();
    assert_eq!(seen, [(Some(name(1)), None)]);
    assert_eq!(dials(&all.rest(ms(60_000))), []);
    all.give(Input::Closed {
        link: LinkId(101),
        reason: CloseReason::Reset,
    });
    let mut again = 0;
    for _ in 0..80 {
        let given = all.silence(ms(1_000));
        for (_, dial, address) in dials(&given) {
            assert_eq!(address, to(1));
            again += 1;
            all.give(Input::DialFailed {
                dial,
                reason: DialError::Refused,
            });
        }
    }
    assert!(again > 5, "{again}");
}

#[test]
fn an_edit_of_seeds_is_applied_or_rejected_as_a_whole() {
    let mut all = fresh(&[1, 2]);
    all.silence(ms(1));
    let known = |all: &NeighbourWorld| {
        let targets = all.machine.seeds();
        targets
            .map(|(address, ..)| address.clone())
            .collect::<Vec<_>>()
    };
    all.give(Input::EditSeeds {
        add: vec![to(3), to(2), to(3)],
        remove: vec![to(1), to(9)],
    });
    assert_eq!(known(&all), [to(2), to(3)]);
    let given = all.silence(ms(900));
    assert!(dials(&given).iter().any(|(_, _, found)| *found == to(3)));
    let numbered = |at: usize| Address::Name(format!("host-{at}:1"));
    all.give(Input::EditSeeds {
        add: (0..SEEDS_MAX).map(numbered).collect(),
        remove: vec![to(2)],
    });
    assert_eq!(known(&all), [to(2), to(3)], "one too many");
    all.give(Input::EditSeeds {
        add: (0..SEEDS_MAX).map(numbered).collect(),
        remove: vec![to(2), to(3)],
    });
    assert_eq!(known(&all).len(), SEEDS_MAX);
}

#[test]
fn new_seeds_are_added_to_the_old_or_replace_them() {
    let mut all = fresh(&[1]);
    all.silence(ms(1));
    all.give(Input::Seeds {
        addresses: vec![to(1), to(2)],
        replace: false,
    });
    let known = |all: &NeighbourWorld| {
        all.machine
            .seeds()
            .map(|(address, ..)| address.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(known(&all), [to(1), to(2)]);
    let given = all.silence(ms(300));
    assert!(
        dials(&given)
            .iter()
            .any(|(_, _, address)| *address == to(2))
    );
    all.give(Input::Seeds {
        addresses: vec![to(3)],
        replace: true,
    });
    assert_eq!(known(&all), [to(3)]);
    // A failed dial to an old target does not count as a failure of the new target.
    all.give(Input::DialFailed {
        dial: DialId(1),
        reason: DialError::Refused,
    });
    assert_eq!(
        all.machine.seeds().next().and_then(|(_, _, error)| error),
        None
    );
}

#[test]
fn the_peer_at_a_members_address_must_be_that_member() {
    let mut all = NeighbourWorld::new(1);
    let mut given = all.receives(1, records(&[published(7, 1)]));
    given.extend(all.rest(ms(500)));
    let (_, dial, address) = dials(&given).pop().expect("a ring link");
    assert_eq!(address, to(7));
    let given = all.give(Input::Dialed {
        dial,
        link: LinkId(9),
        peer: name(8),
    });
    let wrong = Event::WrongPeer {
        address,
        expected: name(7),
        found: name(8),
    };
    assert_eq!(events(&given), [&wrong]);
    assert!(
        given
            .iter()
            .any(|(_, order)| *order == Output::Close { link: LinkId(9) })
    );
}

#[test]
fn a_ring_neighbour_that_cannot_be_dialled_is_accused_passed_over_and_tried_again_later() {
    let mut all = NeighbourWorld::new(1);
    let mut given = all.receives(1, records(&[published(7, 1)]));
    given.extend(all.rest(ms(500)));
    let (_, dial, _) = dials(&given).pop().expect("a ring link");
    all.give(Input::DialFailed {
        dial,
        reason: DialError::Unreachable,
    });
    let failed = all.now;
    assert_eq!(all.own_report(), [(name(7), true)]);
    let mut again = Vec::new();
    while again.len() < 4 && all.now < failed + Duration::from_secs(400) {
        // The neighbour reports that its path to `n7` is up, so that `n7` does not go down meanwhile.
        let given = all.rest(ms(250));
        for (at, dial, address) in dials(&given) {
            if address == to(7) {
                again.push(at);
                all.give(Input::DialFailed {
                    dial,
                    reason: DialError::Unreachable,
                });
            }
        }
        if again.is_empty() {
            assert_eq!(
                all.machine.member(&name(7)).map(|member| member.status),
                Some(Status::Alive)
            );
        }
        all.receives(
            1,
            super::neighbours::reports(&[super::neighbours::edge_report(
                1,
                all.now.as_millis(),
                &[(7, false, Some(ms(0)))],
            )]),
        );
    }
    let base = all.machine.config().tuning.dial_failed_for;
    let mut from = failed;
    for (at, wait) in again.iter().zip([base, 2 * base, 4 * base, 4 * base]) {
        let waited = *at - from;
        assert!(
            waited >= wait && waited <= wait + ms(2_600),
            "{waited:?} of {wait:?}"
        );
        from = *at;
    }
    assert_eq!(again.len(), 4);
}

#[test]
fn an_unneeded_link_is_closed_by_its_dialer_after_a_while() {
    // Twelve members are all linked, which is more than the rings require.
    for dialled in [false, true] {
        let mut all = fresh(&[]);
        for index in 1..=12 {
            if dialled {
                all.give(Input::Seeds {
                    addresses: vec![to(index)],
                    replace: true,
                });
                let given = all.silence(ms(300));
                let dial = dials(&given)
                    .into_iter()
                    .find(|(_, _, address)| *address == to(index));
                if let Some((_, dial, _)) = dial {
                    answered(&mut all, dial, index, welcome(index, 1));
                }
            } else {
                all.link(index as u64, index);
            }
        }
        let before = all.machine.links(all.now).count();
        let given = all.rest(ms(30_000));
        let closed: Vec<Instant> = given
            .iter()
            .filter(|(_, order)| {
                matches!(
                    order,
                    Output::Send {
                        message: Message::Goodbye(Goodbye::Unneeded),
                        ..
                    }
                )
            })
            .map(|(at, _)| *at)
            .collect();
        let after = all.machine.links(all.now).count();
        if dialled {
            assert!(
                !closed.is_empty() && closed.len() == before - after,
                "{before} {after}"
            );
            assert!(
                closed
                    .iter()
                    .all(|at| *at - Instant::ZERO > all.machine.config().tuning.surplus_kept)
            );
            assert!(
                all.machine
                    .links(all.now)
                    .all(|link| link.ring || link.peer == name(12)),
                "ring links stay"
            );
        } else {
            assert_eq!((closed.len(), after), (0, before));
        }
    }
}

#[test]
fn no_more_dials_are_under_way_than_the_bound() {
    let mut all = fresh(&(1..=60).collect::<Vec<_>>());
    all.link(200, 70);
    let given = all.silence(ms(5));
    assert_eq!(dials(&given).len(), dialer::SEED_DIALS_MAX);
}

#[test]
fn a_missing_hello_times_out_after_fifteen_seconds() {
    let mut all = NeighbourWorld::new(1);
    all.give(Input::Accepted {
        link: LinkId(9),
        peer: name(9),
    });
    let at = all.now;
    let given = all.rest(ms(16_000));
    let closed = given
        .iter()
        .find(|(_, order)| *order == Output::Close { link: LinkId(9) })
        .expect("closed");
    assert_eq!(closed.0, at + ms(15_000));
    assert_eq!(all.machine.link_count(), 1);
}

#[test]
fn handshakes_are_bounded() {
    let mut settings = config(0, 5, &[]);
    settings.tuning.links_max = 2;
    let mut all = NeighbourWorld::of(settings, 0);
    let mut refused = 0;
    for link in 0..1_030 {
        let given = all.give(Input::Accepted {
            link: LinkId(link),
            peer: name(9),
        });
        refused += usize::from(!given.is_empty());
    }
    assert_eq!(refused, 1_030 - 1_026);
}

#[test]
fn a_full_node_names_others_and_takes_a_neighbours_new_connection_all_the_same() {
    let mut settings = config(0, 5, &[]);
    settings.tuning.links_max = 3;
    let mut all = NeighbourWorld::of(settings, 3);
    let refused = |given: &[Order]| {
        given.iter().find_map(|(_, order)| match order {
            Output::Send {
                message: Message::Refuse(refusal),
                ..
            } => Some(refusal.clone()),
            _ => None,
        })
    };
    let full = refused(&all.link(4, 4)).expect("refused");
    assert_eq!(full.reason, RefusalReason::Full);
    assert!(
        !full.others.is_empty()
            && full
                .others
                .iter()
                .all(|other| [1, 2, 3].map(address).contains(other))
    );
    let link = LinkId(5);
    all.give(Input::Accepted {
        link,
        peer: name(2),
    });
    let hello = Hello {
        mesh: "test".into(),
        version_min: 1,
        version_max: 1,
        session: 2,
        joining: false,
        alone: false,
        hash: 0,
        record: published(2, 1),
        revocations: 0,
    };
    let given = all.give(Input::Receive {
        link,
        message: Message::Hello(hello),
    });
    assert_eq!(refused(&given), None);
    let links: Vec<u64> = all.machine.links(all.now).map(|link| link.link.0).collect();
    assert_eq!(links, [1, 3, 5]);
}

#[test]
fn tokens_for_newcomers_come_back_one_at_a_time() {
    let mut settings = config(0, 5, &[]);
    settings.tuning.accept_burst = 2;
    settings.tuning.accept_interval = ms(100);
    settings.tuning.links_max = 500;
    let mut all = NeighbourWorld {
        machine: Gossip::new(settings, 1, Instant::ZERO),
        now: Instant::ZERO,
    };
    all.give(Input::Start);
    let mut link = 0;
    let mut taken = |all: &mut NeighbourWorld| {
        let mut taken = 0;
        for _ in 0..6 {
            link += 1;
            let given = all.link(link, link as usize);
            taken += usize::from(given.iter().any(|(_, order)| {
                matches!(
                    order,
                    Output::Send {
                        message: Message::Welcome(_),
                        ..
                    }
                )
            }));
        }
        taken
    };
    assert_eq!(taken(&mut all), 2);
    all.silence(ms(99));
    assert_eq!(taken(&mut all), 0);
    all.silence(ms(2));
    assert_eq!(taken(&mut all), 1);
    // A token that is partly earned is not lost.
    all.silence(ms(99));
    assert_eq!(taken(&mut all), 1);
    all.silence(ms(5_000));
    assert_eq!(taken(&mut all), 2, "no more than the burst");
}

#[test]
fn an_id_that_no_report_names_frees_its_slot() {
    let mut all = NeighbourWorld::new(1);
    all.receives(
        1,
        Frame {
            have: vec![update_id(30, 1)],
            ..Frame::default()
        },
    );
    assert!(all.machine.topology().index_of(&name(30)).is_some());
    let given = all.rest(ms(5_000));
    assert!(all.machine.topology().index_of(&name(30)).is_none());
    assert!(
        frames(&given, 1)
            .iter()
            .any(|(_, frame)| !frame.graft.is_empty())
    );
}

/// The number of dials that `n0` makes in one reconciliation of its links.
fn looks_over(all: &mut NeighbourWorld) -> usize {
    all.machine.reconcile_links();
    let mut out = core::mem::take(&mut all.machine.context.out);
    let dial = |order: &Output| matches!(order, Output::Dial { .. });
    out.drain().filter(dial).count()
}

#[test]
fn a_young_dial_keeps_the_next_on_the_ring_waiting() {
    let mut all = NeighbourWorld::new(1);
    let others: Vec<_> = (4..16).map(|index| published(index, 1)).collect();
    all.receives(1, records(&others));
    let first = looks_over(&mut all);
    assert!((1..=3).contains(&first), "one a ring: {first}");
    assert_eq!(looks_over(&mut all), 0);
    assert_eq!(dials(&all.silence(ms(299))), []);
}

#[test]
fn an_id_that_is_awaited_or_in_a_handshake_keeps_its_slot() {
    let keeps = |all: &mut NeighbourWorld, index| {
        all.machine.maintain();
        all.machine.topology().index_of(&name(index)).is_some()
    };
    let mut all = NeighbourWorld::new(1);
    all.receives(1, announces(&[update_id(7, 1)]));
    assert!(keeps(&mut all, 7), "its record is on its way");
    all.machine.dissemination.clear_missing();
    assert!(!keeps(&mut all, 7));

    let mut all = fresh(&[9]);
    let (_, dial, _) = dials(&all.silence(ms(10))).remove(0);
    let (link, peer) = (LinkId(1), name(9));
    all.give(Input::Dialed { dial, link, peer });
    assert!(keeps(&mut all, 9), "a handshake is in progress");
}

#[test]
fn a_requested_link_that_its_dialer_closes_as_unneeded_is_dialled_from_here_at_once() {
    let unneeded = |link| Input::Receive {
        link: LinkId(link),
        message: Message::Goodbye(Goodbye::Unneeded),
    };
    let request = |requested| Input::RequestLink {
        peer: name(1),
        requested,
    };
    let dialled = |requested| {
        let mut all = NeighbourWorld::new(2);
        all.give(request(requested));
        let given = all.give(unneeded(1));
        (all, dials(&given))
    };
    let (_, given) = dialled(false);
    assert_eq!(given, []);
    let (mut all, given) = dialled(true);
    let (_, dial, address) = given[0].clone();
    assert_eq!(address, to(1));
    // The peer has no reason to close a link that this end dialled. After a repeated close, the link is not dialled
    // again at once.
    answered(&mut all, dial, 1, welcome(1, 2));
    let given = all.give(unneeded(100 + dial.0));
    assert_eq!(dials(&given), []);
}
