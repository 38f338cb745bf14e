//! Dissemination: how updates spread from one node to its neighbours.

use super::super::message::Frame;
use super::super::*;
use super::neighbours::{
    NeighbourWorld, announces, edge_report, events, frames, ms, published, pushes, records,
    reports, update_id,
};
use super::world::name;
use crate::link::{CloseReason, LinkId};
use crate::plumtree::{ANNOUNCERS_MAX, MISSING_MAX};
use crate::size::FRAME_BYTES_MAX;
use crate::topology::publication::PublicationKind;
use crate::topology::record::{Rank, Record};

#[test]
fn the_first_link_is_of_the_tree_and_later_ones_are_not() {
    let all = NeighbourWorld::new(3);
    assert_eq!(
        [1, 2, 3].map(|link| all.is_eager(link)),
        [true, false, false]
    );
}

#[test]
fn an_update_is_pushed_along_the_tree_and_announced_elsewhere_and_never_sent_back() {
    let mut all = NeighbourWorld::new(3);
    let mut given = all.receives(2, records(&[published(7, 1)]));
    let at = all.now;
    given.extend(all.silence(ms(20)));
    assert!(all.is_eager(2), "a link that brings new data is eager");
    let to_tree = frames(&given, 1);
    assert_eq!(to_tree[0].0, at);
    assert_eq!(to_tree[0].1.records, [published(7, 1)]);
    let announced: Vec<_> = frames(&given, 3)
        .into_iter()
        .filter(|(_, frame)| !frame.have.is_empty())
        .collect();
    assert_eq!(announced.len(), 1);
    assert_eq!(
        announced[0].0,
        at + all.machine.config().tuning.announce_after
    );
    assert_eq!(announced[0].1.have, [update_id(7, 1)]);
    for (_, frame) in frames(&given, 2) {
        assert!(frame.records.is_empty() && frame.have.is_empty());
    }
}

#[test]
fn a_report_gathers_on_the_tree_and_is_announced_a_while_later() {
    let mut all = NeighbourWorld::new(3);
    let at = all.now;
    let report = edge_report(2, 2, &[(7, true, None)]);
    let mut given = all.receives(2, reports(core::slice::from_ref(&report)));
    given.extend(all.silence(ms(150)));
    let sent: Vec<_> = frames(&given, 1)
        .into_iter()
        .filter(|(_, frame)| !frame.reports.is_empty())
        .map(|(sent, frame)| (sent, frame.reports[0].report.clone()))
        .collect();
    let tuning = &all.machine.config().tuning;
    assert_eq!(sent, [(at + tuning.report_after, report.report)]);
    let announced: Vec<_> = frames(&given, 3)
        .into_iter()
        .filter(|(_, frame)| {
            frame
                .have
                .iter()
                .any(|id| id.kind == PublicationKind::EdgeReport)
        })
        .map(|(announced, _)| announced)
        .collect();
    assert_eq!(announced, [at + ms(100)]);
    assert!(all.is_eager(2), "a report is new data too");
}

#[test]
fn the_age_of_a_proof_grows_while_a_report_waits() {
    let mut all = NeighbourWorld::new(2);
    let mut given = all.receives(
        2,
        reports(&[edge_report(2, 2, &[(7, true, Some(ms(900)))])]),
    );
    given.extend(all.silence(ms(150)));
    let ages: Vec<_> = frames(&given, 1)
        .into_iter()
        .flat_map(|(_, frame)| &frame.reports)
        .flat_map(|report| &report.ages)
        .collect();
    let waited = all.machine.config().tuning.report_after;
    assert_eq!(ages, [&Some(ms(900) + waited)]);
}

#[test]
fn a_duplicate_update_from_another_link_prunes_it() {
    let mut all = NeighbourWorld::new(3);
    all.receives(1, records(&[published(7, 1)]));
    all.silence(ms(5));
    let again = all.receives(1, records(&[published(7, 1)]));
    assert!(frames(&again, 1).iter().all(|(_, frame)| !frame.prune));
    assert!(all.is_eager(1));
    let mut given = all.receives(2, records(&[published(7, 1)]));
    given.extend(all.silence(ms(5)));
    let prunes = |link| {
        frames(&given, link)
            .iter()
            .filter(|(_, frame)| frame.prune)
            .count()
    };
    assert_eq!([1, 2, 3].map(prunes), [0, 1, 0]);
    assert!(!all.is_eager(2));
}

#[test]
fn a_message_with_anything_new_in_it_is_no_repetition() {
    let mut all = NeighbourWorld::new(2);
    all.receives(1, records(&[published(7, 1)]));
    all.silence(ms(5));
    let mut both = records(&[published(7, 1), published(8, 1)]);
    both.reports.push(edge_report(2, 2, &[]));
    let given = all.receives(2, both);
    assert!(frames(&given, 2).iter().all(|(_, frame)| !frame.prune));
    assert!(all.is_eager(2));
    // The order within a message does not matter; here the old update comes last.
    let mut all = NeighbourWorld::new(2);
    all.receives(1, records(&[published(7, 1)]));
    all.silence(ms(5));
    all.receives(2, records(&[published(8, 1), published(7, 1)]));
    assert!(all.is_eager(2));
}

#[test]
fn a_repeated_report_prunes_as_a_repeated_record_does() {
    let mut all = NeighbourWorld::new(3);
    let report = edge_report(3, 2, &[(7, true, None)]);
    all.receives(1, reports(core::slice::from_ref(&report)));
    all.silence(ms(5));
    let mut given = all.receives(2, reports(&[report]));
    given.extend(all.silence(ms(5)));
    assert!(frames(&given, 2).iter().any(|(_, frame)| frame.prune));
}

#[test]
fn reconciled_updates_do_not_change_the_tree() {
    let mut all = NeighbourWorld::new(3);
    all.receives(1, pushes(&[published(7, 1)]));
    all.silence(ms(5));
    let mut given = all.receives(2, records(&[published(7, 1)]));
    given.extend(all.silence(ms(5)));
    assert!(frames(&given, 2).iter().all(|(_, frame)| !frame.prune));
}

#[test]
fn updates_that_a_neighbour_holds_are_not_announced_to_it() {
    let mut all = NeighbourWorld::new(3);
    let mut given = all.receives(1, records(&[published(7, 1)]));
    given.extend(all.receives(3, announces(&[update_id(7, 1)])));
    given.extend(all.silence(ms(30)));
    assert!(
        frames(&given, 3)
            .iter()
            .all(|(_, frame)| frame.have.is_empty())
    );
    assert!(
        frames(&given, 2)
            .iter()
            .any(|(_, frame)| frame.have == [update_id(7, 1)])
    );
}

#[test]
fn a_pruned_link_is_announced_to() {
    let mut all = NeighbourWorld::new(2);
    all.receives(
        1,
        Frame {
            prune: true,
            ..Frame::default()
        },
    );
    assert!(!all.is_eager(1));
    let mut given = all.receives(2, records(&[published(7, 1)]));
    given.extend(all.silence(ms(20)));
    let sent = frames(&given, 1);
    assert!(sent.iter().all(|(_, frame)| frame.records.is_empty()));
    assert!(
        sent.iter()
            .any(|(_, frame)| frame.have == [update_id(7, 1)])
    );
}

#[test]
fn an_announced_update_that_stays_away_is_asked_of_each_announcer_in_turn() {
    let mut all = NeighbourWorld::new(3);
    let at = all.now;
    let mut given = all.receives(2, announces(&[update_id(7, 4), update_id(8, 1)]));
    given.extend(all.receives(3, announces(&[update_id(7, 4)])));
    // A repeated announcement does not count as a second announcer.
    given.extend(all.receives(2, announces(&[update_id(7, 4)])));
    given.extend(all.silence(ms(200)));
    let asked = |link| -> Vec<_> {
        frames(&given, link)
            .into_iter()
            .filter(|(_, frame)| !frame.graft.is_empty())
            .map(|(when, frame)| (when, frame.graft.clone()))
            .collect()
    };
    let tuning = &all.machine.config().tuning;
    let (first, second) = (asked(2), asked(3));
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!(
        first[0].1,
        [update_id(7, 4), update_id(8, 1)],
        "asked for together"
    );
    let waited = first[0].0 - at;
    assert!(waited >= tuning.graft_after && waited < tuning.graft_after + tuning.graft_jitter);
    assert_eq!(
        second,
        [(first[0].0 + tuning.graft_interval, vec![update_id(7, 4)])]
    );
    assert!(all.is_eager(2) && all.is_eager(3));
    assert_eq!(asked(1), []);
}

#[test]
fn updates_that_arrive_in_time_are_not_requested() {
    let mut all = NeighbourWorld::new(3);
    let mut given = all.receives(2, announces(&[update_id(7, 1)]));
    given.extend(all.receives(1, records(&[published(7, 1)])));
    given.extend(all.silence(ms(200)));
    assert!((1..=3).all(|link| {
        frames(&given, link)
            .iter()
            .all(|(_, frame)| frame.graft.is_empty())
    }));
    // An announced update that is already held is not requested either, nor is an older one.
    let mut given = all.receives(3, announces(&[update_id(7, 1)]));
    given.extend(all.silence(ms(200)));
    assert!(
        frames(&given, 3)
            .iter()
            .all(|(_, frame)| frame.graft.is_empty())
    );
}

#[test]
fn a_newer_announcement_takes_the_place_of_an_older_one_and_not_the_reverse() {
    for (first, then) in [(4, 5), (5, 4)] {
        let mut all = NeighbourWorld::new(3);
        let mut given = all.receives(2, announces(&[update_id(7, first)]));
        given.extend(all.receives(3, announces(&[update_id(7, then)])));
        given.extend(all.silence(ms(200)));
        let asked: Vec<(u64, u64)> = (1..=3)
            .flat_map(|link| {
                frames(&given, link)
                    .into_iter()
                    .flat_map(move |(_, frame)| {
                        frame.graft.iter().map(move |id| (link, id.version))
                    })
            })
            .collect();
        if first == 4 {
            assert_eq!(asked, [(3, 5)], "only the newer, of whom has it");
        } else {
            assert_eq!(
                asked,
                [(2, 5), (3, 5)],
                "the older announcer may have it by then"
            );
        }
    }
}

#[test]
fn an_announcer_without_a_link_is_skipped() {
    let mut all = NeighbourWorld::new(3);
    let mut given = all.receives(2, announces(&[update_id(7, 1)]));
    given.extend(all.receives(3, announces(&[update_id(7, 1)])));
    all.give(Input::Closed {
        link: LinkId(2),
        reason: CloseReason::Reset,
    });
    given.extend(all.silence(ms(100)));
    assert!(
        frames(&given, 3)
            .iter()
            .any(|(_, frame)| frame.graft == [update_id(7, 1)])
    );
}

#[test]
fn the_updates_waited_for_are_bounded() {
    let mut all = NeighbourWorld::new(1);
    let flood: Vec<_> = (100..100 + 3 * MISSING_MAX)
        .map(|index| update_id(index, 1))
        .collect();
    for part in flood.chunks(200) {
        all.receives(1, announces(part));
    }
    let given = all.silence(ms(500));
    let asked: usize = frames(&given, 1)
        .iter()
        .map(|(_, frame)| frame.graft.len())
        .sum();
    assert_eq!(asked, MISSING_MAX);
    // Announced ids beyond the bound take no slots in the view.
    all.rest(ms(5_000));
    assert!(
        all.machine
            .topology()
            .index_of(&name(100 + 3 * MISSING_MAX - 1))
            .is_none()
    );
}

#[test]
fn a_graft_is_answered_and_makes_the_link_eager() {
    let mut all = NeighbourWorld::new(3);
    all.receives(1, records(&[published(7, 1)]));
    all.silence(ms(50));
    let asks = Frame {
        graft: vec![update_id(7, 1), update_id(9, 1)],
        ..Frame::default()
    };
    let given = all.receives(3, asks);
    assert_eq!(frames(&given, 3)[0].1.records, [published(7, 1)]);
    assert!(all.is_eager(3));
    // A graft request for a missing update gets no answer at once, but the requester receives the update as soon as the
    // update arrives.
    let mut all = NeighbourWorld::new(3);
    all.receives(1, records(&[published(7, 1)]));
    all.silence(ms(50));
    let asks = Frame {
        graft: vec![update_id(7, 2)],
        ..Frame::default()
    };
    let given = all.receives(3, asks);
    assert!(
        frames(&given, 3)
            .iter()
            .all(|(_, frame)| frame.records.is_empty())
    );
    let given = all.receives(1, records(&[published(7, 2)]));
    assert_eq!(frames(&given, 3)[0].1.records, [published(7, 2)]);
}

#[test]
fn when_a_link_of_the_tree_is_lost_the_next_update_floods() {
    let mut all = NeighbourWorld::new(4);
    all.give(Input::Closed {
        link: LinkId(1),
        reason: CloseReason::Reset,
    });
    assert!([2, 3, 4].iter().all(|link| all.is_eager(*link)));
    let given = all.receives(2, records(&[published(7, 1)]));
    for link in [3, 4] {
        assert_eq!(frames(&given, link)[0].1.records, [published(7, 1)]);
    }
    // The loss of a lazy link changes nothing.
    let mut all = NeighbourWorld::new(4);
    all.give(Input::Closed {
        link: LinkId(4),
        reason: CloseReason::Reset,
    });
    assert_eq!(
        [1, 2, 3].map(|link| all.is_eager(link)),
        [true, false, false]
    );
}

#[test]
fn too_many_announcements_are_left_to_the_hash() {
    let mut all = NeighbourWorld::new(2);
    let mut flood = Vec::new();
    for index in 100..160 {
        flood.push(published(index, 1));
    }
    let mut given = all.receives(1, records(&flood));
    given.extend(all.silence(ms(100)));
    let announced: usize = frames(&given, 2)
        .iter()
        .map(|(_, frame)| frame.have.len())
        .sum();
    assert!(announced < 60, "{announced}");
    // Once the view is quiet, the hash is sent although another hash was sent recently.
    let given = all.rest(ms(2_500));
    let hash = all.machine.hash();
    assert!(
        frames(&given, 2)
            .iter()
            .any(|(_, frame)| frame.hash == Some(hash))
    );
}

#[test]
fn a_flood_is_cut_into_frames_that_fit_and_are_well_filled() {
    use crate::size::Encoded;
    let mut all = NeighbourWorld::new(2);
    let mut flood = Vec::new();
    for index in 100..600 {
        flood.push(published(index, 1));
    }
    let mut given = Vec::new();
    for part in flood.chunks(150) {
        given.extend(all.receives(2, records(part)));
    }
    given.extend(all.silence(ms(100)));
    let sent = frames(&given, 1);
    let all_of_them: usize = sent.iter().map(|(_, frame)| frame.records.len()).sum();
    assert_eq!(all_of_them, 500, "each once");
    let sizes: Vec<usize> = sent
        .iter()
        .filter(|(_, frame)| !frame.records.is_empty())
        .map(|(_, frame)| Message::Frame((*frame).clone()).encoded_len())
        .collect();
    assert!(
        sizes.iter().all(|size| *size <= FRAME_BYTES_MAX),
        "{sizes:?}"
    );
    let full = FRAME_BYTES_MAX - 200;
    assert!(sizes.iter().any(|size| *size > full), "{sizes:?}");
    assert!(sizes.len() <= 4 + 500 * 80 / full, "{sizes:?}");
}

#[test]
fn a_departure_and_a_return_are_forwarded_once() {
    let mut all = NeighbourWorld::new(2);
    all.receives(1, records(&[published(7, 1)]));
    let gone = published(7, 2);
    let rank = Rank {
        leaving: true,
        ..gone.rank()
    };
    let gone = Arc::new(Record::new(name(7), rank, gone.content().clone()));
    let given = all.receives(1, records(&[Arc::clone(&gone), gone]));
    assert_eq!(events(&given), [&Event::PeerLeft { id: name(7) }]);
    assert_eq!(
        all.machine.member(&name(7)).map(|member| member.status),
        Some(Status::Left)
    );
    let rank = Rank {
        epoch: 2,
        leaving: false,
        ..rank
    };
    let back = Arc::new(Record::new(
        name(7),
        rank,
        published(7, 3).content().clone(),
    ));
    let given = all.receives(1, records(&[back]));
    assert_eq!(
        events(&given),
        [&Event::PeerUp {
            id: name(7),
            epoch: 2
        }]
    );
}

#[test]
fn an_update_is_reported_if_it_changes_the_content() {
    let mut all = NeighbourWorld::new(2);
    all.receives(1, records(&[published(7, 1)]));
    let given = all.receives(1, records(&[published(7, 2)]));
    assert_eq!(events(&given), [&Event::PeerUpdated { id: name(7) }]);
    let same = published(7, 2);
    let rank = Rank {
        version: 3,
        ..same.rank()
    };
    let same = Arc::new(Record::new(name(7), rank, same.content().clone()));
    let given = all.receives(1, records(&[same]));
    assert_eq!(events(&given), [] as [&Event; 0]);
}

#[test]
fn counters_above_the_maximum_are_not_taken_each_alone() {
    let all = NeighbourWorld::new(1);
    let max = all.machine.context.calendar.counter_max(all.now);
    let good = published(7, 1).rank();
    let rank = |epoch, version, incarnation| Rank {
        epoch,
        version,
        incarnation,
        ..good
    };
    let Rank {
        epoch,
        version,
        incarnation,
        ..
    } = good;
    for (rank, taken) in [
        (rank(max, version, incarnation), true),
        (rank(epoch, max, incarnation), true),
        (rank(epoch, version, max), true),
        (rank(max + 1, version, incarnation), false),
        (rank(epoch, max + 1, incarnation), false),
        (rank(epoch, version, max + 1), false),
    ] {
        let mut all = NeighbourWorld::new(1);
        let record = Arc::new(Record::new(
            name(7),
            rank,
            published(7, 1).content().clone(),
        ));
        all.receives(1, records(&[record]));
        assert_eq!(all.machine.member(&name(7)).is_some(), taken, "{rank:?}");
    }
    for (epoch, version, taken) in [(max, max, true), (max + 1, 1, false), (1, max + 1, false)] {
        let mut all = NeighbourWorld::new(1);
        all.receives(1, records(&[published(7, 1)]));
        let mut aged = edge_report(7, version, &[]);
        let mut report = (*aged.report).clone();
        report.epoch = epoch;
        aged.report = Arc::new(report);
        all.receives(1, reports(&[aged]));
        let held = all
            .machine
            .member(&name(7))
            .and_then(|member| member.report);
        assert_eq!(held.is_some(), taken, "{epoch} {version}");
    }
}

#[test]
fn a_report_in_our_name_is_rejected_and_published_over() {
    let mut all = NeighbourWorld::new(2);
    let mut forged = edge_report(0, 40, &[(1, true, None)]);
    let mut report = (*forged.report).clone();
    report.epoch = 5;
    forged.report = Arc::new(report);
    let given = all.receives(1, reports(&[forged]));
    let reason = Rejection::ForgedReport;
    assert!(events(&given).contains(&&Event::Rejected {
        from: name(1),
        reason
    }));
    let own = all
        .machine
        .topology()
        .report(&name(0))
        .expect("a report of our own");
    assert!(own.version > 40 && own.edges.is_empty());
}

#[test]
fn as_many_announcements_wait_as_may_and_one_more_is_too_many() {
    for (count, announced) in [(48, 48), (49, 0)] {
        let mut all = NeighbourWorld::new(2);
        let flood: Vec<_> = (100..100 + count)
            .map(|index| published(index, 1))
            .collect();
        let mut given = all.receives(1, records(&flood));
        given.extend(all.silence(ms(30)));
        let found: usize = frames(&given, 2)
            .iter()
            .map(|(_, frame)| frame.have.len())
            .sum();
        assert_eq!(found, announced, "{count}");
    }
}

#[test]
fn no_more_announcers_are_asked_than_the_bound() {
    let mut all = NeighbourWorld::new(11);
    let mut given = Vec::new();
    for link in 1..=11 {
        given.extend(all.receives(link, announces(&[update_id(30, 1)])));
    }
    given.extend(all.silence(ms(600)));
    let asked = (1..=11)
        .filter(|link| {
            frames(&given, *link)
                .iter()
                .any(|(_, frame)| !frame.graft.is_empty())
        })
        .count();
    assert_eq!(asked, ANNOUNCERS_MAX);
}

/// A record of `n7` with a changed rank.
fn ranked(change: impl Fn(&mut Rank)) -> Arc<Record> {
    let record = published(7, 9);
    let mut rank = record.rank();
    change(&mut rank);
    Arc::new(Record::new(name(7), rank, record.content().clone()))
}

#[test]
fn a_restart_is_forwarded_and_so_is_a_false_leave() {
    let mut all = NeighbourWorld::new(2);
    all.receives(1, records(&[published(7, 1)]));
    let given = all.receives(1, records(&[ranked(|rank| rank.epoch = 2)]));
    let id = name(7);
    assert_eq!(
        events(&given),
        [&Event::PeerUp {
            id: id.clone(),
            epoch: 2
        }]
    );
    let leaves = ranked(|rank| (rank.epoch, rank.leaving) = (2, true));
    all.receives(1, records(&[leaves]));
    let refuted = ranked(|rank| (rank.epoch, rank.incarnation) = (2, 1));
    let given = all.receives(1, records(&[refuted]));
    assert_eq!(events(&given), [&Event::PeerUp { id, epoch: 2 }]);
    assert_eq!(all.machine.member(&name(7)).unwrap().status, Status::Alive);
}

#[test]
fn the_last_messages_of_a_leaving_node_are_sent() {
    let mut settings = super::world::config(0, 5, &[]);
    settings.tuning.leave_linger = Duration::from_micros(500);
    let mut all = NeighbourWorld::of(settings, 2);
    let mut content = all.machine.record().content().clone();
    content.nickname = "last".into();
    all.give(Input::Announce(content));
    // The links coalesce output for one millisecond, but the node has left before this time.
    let mut given = all.give(Input::Leave);
    given.extend(all.silence(ms(5)));
    let announced = frames(&given, 1)
        .into_iter()
        .flat_map(|(_, frame)| &frame.records)
        .any(|record| record.id() == &name(0) && record.rank().leaving);
    assert!(announced);
    assert!(given.iter().any(|(_, order)| *order == Output::Left));
}

#[test]
fn a_late_node_sends_all_heartbeats_that_were_due() {
    let reported = |late: u64| {
        let mut all = NeighbourWorld::new(4);
        all.rest(ms(2_000));
        all.now += ms(late);
        let given = all.give(Input::Wake);
        (1..=4)
            .filter(|link| !frames(&given, *link).is_empty())
            .count()
    };
    assert_eq!(reported(300), 1);
    assert!((2..=3).contains(&reported(900)), "one in 330 ms");
    assert_eq!(reported(60_000), 4, "and once to each");
}
