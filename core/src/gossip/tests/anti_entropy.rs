//! Anti-entropy: how views that differ become equal.

use super::super::message::{Frame, Sync};
use super::super::*;
use super::neighbours::{
    NeighbourWorld, Order, edge_report, frames, ms, published, pushes, records, reports,
};
use super::world::{config, name};
use crate::link::{DialError, LinkId};
use crate::time::Duration;
use crate::topology::publication::Key;

fn hash(hash: u64) -> Frame {
    Frame {
        hash: Some(hash),
        ..Frame::default()
    }
}

/// The steps of reconciliation sent on a link.
fn syncs(orders: &[Order], link: u64) -> Vec<Sync> {
    frames(orders, link)
        .into_iter()
        .flat_map(|(_, frame)| frame.sync.clone())
        .collect()
}

fn hashes(orders: &[Order], link: u64) -> Vec<(Instant, u64)> {
    frames(orders, link)
        .into_iter()
        .filter_map(|(at, frame)| Some((at, frame.hash?)))
        .collect()
}

/// `n0` with a link to `n1` that it dialled (link 101), and a link from `n2` that it accepted (link 2).
fn with_a_dialled_link() -> NeighbourWorld {
    let mut all = NeighbourWorld {
        machine: Gossip::new(config(0, 5, &[1]), 1, Instant::ZERO),
        now: Instant::ZERO,
    };
    all.give(Input::Start);
    let given = all.silence(ms(1));
    let (_, dial, _) = super::neighbours::dials(&given)[0].clone();
    let link = LinkId(101);
    all.give(Input::Dialed {
        dial,
        link,
        peer: name(1),
    });
    let welcome = message::Welcome {
        version: 1,
        session: 1,
        hash: 0,
        record: published(1, 1),
    };
    all.give(Input::Receive {
        link,
        message: Message::Welcome(welcome),
    });
    all.link(2, 2);
    all.rest(ms(1_500));
    all
}

#[test]
fn a_hash_goes_out_when_it_changed_and_once_a_minute() {
    let mut all = NeighbourWorld::new(1);
    let given = all.rest(ms(180_000));
    let reported: Vec<Instant> = hashes(&given, 1).into_iter().map(|(at, _)| at).collect();
    assert!((2..=4).contains(&reported.len()), "{reported:?}");
    for pair in reported.windows(2) {
        let apart = pair[1] - pair[0];
        assert!(
            apart >= Duration::from_secs(60) && apart <= Duration::from_secs(62),
            "{apart:?}"
        );
    }
    let changed = all.now;
    all.receives(1, records(&[published(1, 2)]));
    let given = all.rest(ms(3_000));
    let reported = hashes(&given, 1);
    assert_eq!(reported.len(), 1);
    assert_eq!(reported[0].1, all.machine.hash());
    assert!(
        reported[0].0 >= changed + all.machine.config().tuning.quiet_after,
        "once the view rests"
    );
}

#[test]
fn an_equal_hash_gets_no_answer_and_a_recent_one_gets_the_changes_since() {
    let mut all = NeighbourWorld::new(2);
    let before = all.machine.hash();
    all.receives(2, records(&[published(7, 1)]));
    all.receives(2, records(&[published(8, 1)]));
    all.rest(ms(1_000));
    let equal = all.machine.hash();
    let mut given = all.receives(1, hash(equal));
    given.extend(all.silence(ms(10)));
    assert_eq!(syncs(&given, 1), []);
    let mut given = all.receives(1, hash(before));
    given.extend(all.silence(ms(10)));
    let delta = Sync::Push {
        records: vec![published(7, 1), published(8, 1)],
        reports: vec![],
    };
    assert_eq!(
        syncs(&given, 1),
        [delta],
        "no sketch, no snapshot, nothing else"
    );
}

#[test]
fn a_repeated_old_hash_is_answered_rarely() {
    for rests in [true, false] {
        let mut all = with_a_dialled_link();
        all.rest(ms(2_000));
        let before = all.machine.hash();
        all.receives(2, records(&[published(7, 1)]));
        all.rest(ms(1_000));
        for link in [2, 101] {
            let mut given = Vec::new();
            for version in 1..=100 {
                if !rests {
                    all.receives(2, records(&[published(8, version)]));
                }
                given.extend(all.receives(link, hash(before)));
                given.extend(all.silence(ms(1)));
            }
            let pushes = syncs(&given, link);
            let pushes = pushes.iter().filter(|it| matches!(it, Sync::Push { .. }));
            assert_eq!(pushes.count(), 1, "link {link}");
        }
    }
}

#[test]
fn while_the_view_changes_a_new_link_is_not_compared() {
    let mut all = NeighbourWorld::new(2);
    all.link(3, 3);
    all.receives(2, records(&[published(7, 1)]));
    let mut given = all.receives(3, hash(77));
    given.extend(all.silence(ms(10)));
    assert_eq!(syncs(&given, 3), []);
    assert_eq!(hashes(&given, 3), [], "it is sent once the view rests");
}

#[test]
fn while_the_view_never_rests_a_link_is_compared_once_and_then_rarely() {
    let mut all = with_a_dialled_link();
    let mut begun = Vec::new();
    for version in 2..400 {
        all.receives(2, records(&[published(2, version)]));
        let mut given = all.receives(101, hash(77));
        given.extend(all.rest(ms(250)));
        if !syncs(&given, 101).is_empty() {
            begun.push(all.now);
        }
    }
    assert_eq!(begun.len(), 2, "once, and once a minute");
    assert!(begun[0] - Instant::ZERO < Duration::from_secs(3), "soon");
    let waited = begun[1] - begun[0];
    assert!(
        waited >= Duration::from_secs(60) && waited <= Duration::from_secs(64),
        "{waited:?}"
    );
}

#[test]
fn the_dialer_begins_with_a_sketch_and_the_acceptor_with_its_hash() {
    let mut all = with_a_dialled_link();
    let mut given = all.receives(101, hash(77));
    given.extend(all.silence(ms(10)));
    assert!(
        matches!(&syncs(&given, 101)[..], [Sync::Sketch(cells)] if cells.len() == 24),
        "{given:?}"
    );
    // After the first sketch, a further sketch is not sent at once.
    let mut given = all.receives(101, hash(78));
    given.extend(all.silence(ms(10)));
    assert_eq!(syncs(&given, 101), []);
    all.rest(ms(500));
    let mut given = all.receives(101, hash(79));
    given.extend(all.silence(ms(10)));
    assert_eq!(syncs(&given, 101).len(), 1);
    let mut given = all.receives(2, hash(77));
    given.extend(all.silence(ms(10)));
    assert_eq!(syncs(&given, 2), []);
    let reported: Vec<u64> = hashes(&given, 2)
        .into_iter()
        .map(|(_, reported)| reported)
        .collect();
    assert_eq!(reported, [all.machine.hash()]);
}

#[test]
fn a_hash_sent_a_moment_ago_is_sent_again_soon() {
    let mut all = NeighbourWorld::new(1);
    all.rest(ms(600));
    let reported = |orders: &[Order]| hashes(orders, 1).len();
    let mut given = all.receives(1, hash(77));
    given.extend(all.silence(ms(10)));
    assert_eq!(reported(&given), 1);
    // The dialer was not ready for the hash, and sends its own hash once the dialer is ready. Without an answer, both
    // ends would wait for a minute.
    let mut given = all.receives(1, hash(78));
    given.extend(all.silence(ms(10)));
    assert_eq!(reported(&given), 0, "not at once");
    assert_eq!(reported(&all.rest(ms(2_000))), 1);
    assert_eq!(reported(&all.rest(ms(10_000))), 0, "and not for ever");
}

#[test]
fn a_hash_that_differs_while_the_view_changes_is_answered_once_it_rests() {
    let mut all = NeighbourWorld::new(2);
    all.rest(ms(5_000));
    assert_eq!(hashes(&all.rest(ms(5_000)), 1).len(), 0, "all is sent");
    // The view changes and changes back, so the hash that was sent last is valid again.
    let own = all.machine.hash();
    all.machine.anti_entropy.set_changed(all.now);
    all.receives(1, hash(own ^ 1));
    assert_eq!(hashes(&all.rest(ms(3_000)), 1).len(), 1);
}

#[test]
fn a_sketch_is_answered_with_the_items_missing_on_both_sides() {
    let mut all = NeighbourWorld::new(2);
    all.receives(2, records(&[published(7, 1)]));
    all.rest(ms(1_000));
    // The neighbour lacks the record of `n7`, and has a record of `n8`.
    let mut theirs: Vec<u64> = all
        .machine
        .topology()
        .digests()
        .map(|(digest, _)| digest)
        .collect();
    let seven = published(7, 1).digest();
    let known: Vec<u64> = theirs.clone();
    let member = all.machine.topology().index_of(&name(7)).unwrap();
    let digest_of_seven = all
        .machine
        .topology()
        .digests()
        .find(|(_, key)| *key == Key::Record(member))
        .map(|(digest, _)| digest)
        .unwrap();
    assert!(known.contains(&digest_of_seven), "{seven}");
    theirs.retain(|digest| *digest != digest_of_seven);
    theirs.push(0x5eed);
    let cells = crate::sketch::sketch(theirs.into_iter(), 24);
    let mut given = all.receives(
        1,
        Frame {
            sync: vec![Sync::Sketch(cells)],
            ..Frame::default()
        },
    );
    given.extend(all.silence(ms(10)));
    let mut answers = syncs(&given, 1);
    answers.sort_by_key(|sync| matches!(sync, Sync::Push { .. }));
    let push = Sync::Push {
        records: vec![published(7, 1)],
        reports: vec![],
    };
    assert_eq!(answers, [Sync::Want(vec![0x5eed]), push]);
}

#[test]
fn only_requested_updates_are_pushed() {
    let mut all = NeighbourWorld::new(2);
    all.receives(2, records(&[published(7, 1), published(8, 1)]));
    all.rest(ms(1_000));
    let member = all.machine.topology().index_of(&name(8)).unwrap();
    let wanted: Vec<u64> = all
        .machine
        .topology()
        .digests()
        .filter(|(_, key)| key.member() == member)
        .map(|(digest, _)| digest)
        .collect();
    let mut given = all.receives(
        1,
        Frame {
            sync: vec![Sync::Want(wanted)],
            ..Frame::default()
        },
    );
    given.extend(all.silence(ms(10)));
    assert_eq!(
        syncs(&given, 1),
        [Sync::Push {
            records: vec![published(8, 1)],
            reports: vec![]
        }]
    );
}

#[test]
fn a_sketch_too_small_asks_for_a_larger_one_and_in_the_end_for_the_whole_view() {
    // For a view of 400 values, a sketch of 600 cells may be worth sending; for a view of two values it is not.
    let mut all = NeighbourWorld::new(1);
    for index in 100..500 {
        all.receives(1, pushes(&[published(index, 1)]));
    }
    all.rest(ms(1_000));
    let stranger = |cells| crate::sketch::sketch((0..5_000_u64).map(crate::random::mix), cells);
    for (cells, answer) in [(24, 126), (126, 600), (600, 0)] {
        let mut given = all.receives(
            1,
            Frame {
                sync: vec![Sync::Sketch(stranger(cells))],
                ..Frame::default()
            },
        );
        given.extend(all.silence(ms(10)));
        assert_eq!(syncs(&given, 1), [Sync::Larger(answer)]);
    }
    let mut few = NeighbourWorld::new(1);
    let mut given = few.receives(
        1,
        Frame {
            sync: vec![Sync::Sketch(stranger(24))],
            ..Frame::default()
        },
    );
    given.extend(few.silence(ms(10)));
    assert_eq!(syncs(&given, 1), [Sync::Larger(0)], "a snapshot is smaller");
    // The other end answers the request.
    let mut given = all.receives(
        1,
        Frame {
            sync: vec![Sync::Larger(126)],
            ..Frame::default()
        },
    );
    given.extend(all.silence(ms(10)));
    assert!(matches!(&syncs(&given, 1)[..], [Sync::Sketch(cells)] if cells.len() == 126));
    let mut given = all.receives(
        1,
        Frame {
            sync: vec![Sync::Larger(100_000)],
            ..Frame::default()
        },
    );
    given.extend(all.silence(ms(10)));
    assert!(matches!(&syncs(&given, 1)[..], [Sync::Sketch(cells)] if cells.len() == 600));
}

#[test]
fn a_snapshot_holds_each_value_once_in_chunks_that_fit() {
    let mut all = NeighbourWorld::new(1);
    for index in 100..600 {
        all.receives(1, pushes(&[published(index, 1)]));
    }
    all.receives(1, reports(&[edge_report(100, 1, &[(101, true, None)])]));
    all.rest(ms(1_000));
    let mut given = all.receives(
        1,
        Frame {
            sync: vec![Sync::Larger(0)],
            ..Frame::default()
        },
    );
    given.extend(all.silence(ms(100)));
    let (mut held, mut reported, mut lasts) = (Vec::new(), 0, Vec::new());
    for sync in syncs(&given, 1) {
        let Sync::Snapshot {
            records,
            reports,
            last,
            reply,
        } = sync
        else {
            continue;
        };
        held.extend(records.iter().map(|record| record.id().clone()));
        reported += reports.len();
        assert!(reply, "it asks for the other side's view in return");
        lasts.push(last);
    }
    let mut ids: Vec<NodeId> = all
        .machine
        .members()
        .map(|member| member.record.id().clone())
        .collect();
    ids.sort();
    assert_eq!(held, ids);
    assert_eq!(reported, 1);
    assert_eq!(lasts.iter().filter(|last| **last).count(), 1);
    assert_eq!(lasts.last(), Some(&true));
    assert!(lasts.len() >= 2);
}

#[test]
fn the_last_chunk_of_a_repair_is_answered_with_our_own_view() {
    for (last, reply, answered) in [
        (true, true, true),
        (false, true, false),
        (true, false, false),
    ] {
        let mut all = NeighbourWorld::new(1);
        let snapshot = Sync::Snapshot {
            records: vec![published(7, 1)],
            reports: vec![],
            last,
            reply,
        };
        let mut given = all.receives(
            1,
            Frame {
                sync: vec![snapshot],
                ..Frame::default()
            },
        );
        given.extend(all.silence(ms(10)));
        let ours = syncs(&given, 1)
            .into_iter()
            .any(|sync| matches!(sync, Sync::Snapshot { reply: false, .. }));
        assert_eq!(ours, answered);
        assert!(all.machine.member(&name(7)).is_some());
    }
}

#[test]
fn updates_of_a_snapshot_are_forwarded_to_other_neighbours() {
    for (links, reply, passed) in [
        (1, false, false),
        (2, false, true),
        (1, true, false),
        (2, true, true),
    ] {
        let mut all = NeighbourWorld::new(links);
        let snapshot = Sync::Snapshot {
            records: vec![published(7, 1)],
            reports: vec![],
            last: true,
            reply,
        };
        let mut given = all.receives(
            1,
            Frame {
                sync: vec![snapshot],
                ..Frame::default()
            },
        );
        given.extend(all.silence(ms(30)));
        let on = (2..=links as u64).any(|link| {
            frames(&given, link)
                .iter()
                .any(|(_, frame)| !frame.records.is_empty() || !frame.have.is_empty())
        });
        assert_eq!(on, passed, "{links} {reply}");
    }
}

#[test]
fn a_newcomer_gets_the_whole_view_with_the_welcome() {
    let mut all = NeighbourWorld::new(2);
    all.receives(1, records(&[published(7, 1)]));
    let link = LinkId(9);
    all.give(Input::Accepted {
        link,
        peer: name(9),
    });
    let hello = message::Hello {
        mesh: "test".into(),
        version_min: 1,
        version_max: 1,
        session: 1,
        joining: true,
        alone: false,
        hash: 0,
        record: published(9, 1),
        revocations: 0,
    };
    let mut given = all.give(Input::Receive {
        link,
        message: Message::Hello(hello),
    });
    given.extend(all.silence(ms(10)));
    let all_of_it: Vec<Sync> = syncs(&given, 9);
    let [
        Sync::Snapshot {
            records,
            last: true,
            reply: false,
            ..
        },
    ] = &all_of_it[..]
    else {
        panic!("{all_of_it:?}")
    };
    assert_eq!(records.len(), 5);
    assert!(all.is_eager(9));
}

#[test]
fn a_neighbour_cannot_have_more_than_a_few_answers_wait() {
    let mut all = NeighbourWorld::new(1);
    let asks = Frame {
        sync: vec![Sync::Sketch(vec![]); 50],
        ..Frame::default()
    };
    all.receives(
        1,
        Frame {
            hash: Some(all.machine.hash()),
            ..Frame::default()
        },
    );
    let mut given = all.receives(1, asks);
    given.extend(all.silence(ms(10)));
    assert_eq!(syncs(&given, 1).len(), 4);
}

#[test]
fn old_updates_of_the_node_are_corrected_at_their_source() {
    let mut all = NeighbourWorld::new(2);
    let own = all.machine.record().clone();
    let mut rank = own.rank();
    rank.epoch -= 1;
    let old = Arc::new(Record::new(name(0), rank, own.content().clone()));
    let mut given = all.receives(2, records(&[old]));
    given.extend(all.silence(ms(10)));
    assert_eq!(
        syncs(&given, 2),
        [Sync::Push {
            records: vec![own],
            reports: vec![]
        }]
    );
    assert_eq!(syncs(&given, 1), []);
}

/// `n0` in a mesh of four, in which `n7` was killed and is down, and `n8` left.
fn with_a_forgotten_member() -> NeighbourWorld {
    let mut all = NeighbourWorld::new(3);
    all.receives(1, records(&[published(7, 1), published(8, 1)]));
    let left = published(8, 2);
    let mut rank = left.rank();
    rank.leaving = true;
    let left = Arc::new(Record::new(name(8), rank, left.content().clone()));
    all.receives(1, records(&[left]));
    for index in 1..=3 {
        let report = edge_report(index, 2, &[(7, true, Some(ms(3_500)))]);
        all.receives(index as u64, reports(&[report]));
    }
    for _ in 0..80 {
        let given = all.rest(ms(250));
        for (_, dial, _) in super::neighbours::dials(&given) {
            let reason = DialError::Refused;
            all.give(Input::DialFailed { dial, reason });
        }
    }
    let status = |index| all.machine.member(&name(index)).map(|member| member.status);
    assert_eq!(
        (status(7), status(8)),
        (Some(Status::Down), Some(Status::Left))
    );
    all
}

#[test]
fn a_list_of_forgotten_members_carries_their_ages() {
    let mut all = with_a_forgotten_member();
    let asks = Frame {
        sync: vec![Sync::Larger(0)],
        ..Frame::default()
    };
    let mut given = all.receives(1, asks);
    given.extend(all.silence(ms(10)));
    let reported = |given: &[Order]| -> Vec<(NodeId, u64)> {
        frames(given, 1)
            .into_iter()
            .flat_map(|(_, frame)| &frame.gone)
            .map(|gone| (gone.id.clone(), gone.age.as_secs()))
            .collect()
    };
    let snapshot = reported(&given);
    assert_eq!(snapshot.len(), 2, "{snapshot:?}");
    assert_eq!(snapshot[1], (name(8), 20));
    assert!((10..=18).contains(&snapshot[0].1), "{snapshot:?}");
    // A push carries the same ages, but none for members that are alive.
    let wanted: Vec<u64> = all
        .machine
        .topology()
        .digests()
        .map(|(digest, _)| digest)
        .collect();
    let asks = Frame {
        sync: vec![Sync::Want(wanted)],
        ..Frame::default()
    };
    let mut given = all.receives(1, asks);
    given.extend(all.silence(ms(10)));
    assert_eq!(reported(&given), snapshot);
}

#[test]
fn an_empty_answer_sends_no_push() {
    let mut all = NeighbourWorld::new(1);
    let mut given = all.receives(
        1,
        Frame {
            sync: vec![Sync::Want(vec![1, 2, 3])],
            ..Frame::default()
        },
    );
    given.extend(all.silence(ms(10)));
    assert_eq!(syncs(&given, 1), []);
}

#[test]
fn a_second_leave_keeps_the_deadline_of_the_first() {
    let mut all = with_a_forgotten_member();
    let again = published(8, 3);
    let mut rank = again.rank();
    rank.leaving = true;
    let again = Arc::new(Record::new(name(8), rank, again.content().clone()));
    all.receives(1, records(&[again]));
    let mut out = Outbox::new();
    let whole = all.machine.config().tuning.forget_after;
    all.now += whole - ms(19_000);
    all.machine.step(all.now, Input::Wake, &mut out);
    assert_eq!(all.machine.member(&name(8)), None);
}

/// `n0`, connected to `n1` and `n2`, hears only the links in `heard` until the other links are redialled but not yet
/// silent. Then `n3`, which is known and assumed alive, connects. Returns the reconciliation steps that `n0` sends to
/// `n3`.
fn back_among_others(heard: &[u64]) -> Vec<Sync> {
    let mut all = NeighbourWorld::new(2);
    all.receives(1, records(&[published(3, 1)]));
    all.hear_only(heard, ms(3_200));
    assert!(all.machine.links(all.now).all(|link| !link.silent));
    let mut given = all.link(3, 3);
    given.extend(all.silence(ms(10)));
    syncs(&given, 3)
}

#[test]
fn a_node_that_was_cut_off_requests_missed_updates_from_the_first_neighbour() {
    let asked = back_among_others(&[]);
    assert!(matches!(asked[..], [Sync::Sketch(_)]), "{asked:?}");
    assert_eq!(back_among_others(&[1]), [], "it has missed nothing");
}
