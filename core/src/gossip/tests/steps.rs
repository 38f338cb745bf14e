//! Single inputs, and the exact orders that they cause.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one order among many"
)]

use super::super::*;
use super::world::{address, config, name};
use crate::link::{LinkId, Ticket};
use crate::topology::record::{Content, Rank};

/// Steps one machine and returns its orders.
fn orders(machine: &mut Gossip, now: Instant, input: Input) -> Vec<Output> {
    let mut out = Outbox::new();
    machine.step(now, input, &mut out);
    out.drain().collect()
}

fn hello(record: Record, session: u32) -> Message {
    Message::Hello(message::Hello {
        mesh: "test".into(),
        version_min: 1,
        version_max: 1,
        session,
        joining: false,
        alone: false,
        hash: 0,
        record: Arc::new(record),
        revocations: 0,
    })
}

fn rank(epoch: u64, instance: u32, version: u64) -> Rank {
    Rank {
        epoch,
        instance,
        incarnation: 0,
        leaving: false,
        version,
    }
}

/// A machine with one established link to `n1`, on which the test can read the orders.
fn with_a_neighbour() -> (Gossip, LinkId) {
    let mut machine = Gossip::new(config(0, 5, &[]), 1, Instant::ZERO);
    orders(&mut machine, Instant::ZERO, Input::Start);
    let link = LinkId(1);
    orders(
        &mut machine,
        Instant::ZERO,
        Input::Accepted {
            link,
            peer: name(1),
        },
    );
    let record = Record::new(name(1), rank(1, 9, 1), config(1, 1, &[]).content);
    orders(
        &mut machine,
        Instant::ZERO,
        Input::Receive {
            link,
            message: hello(record, 1),
        },
    );
    assert_eq!(machine.links(Instant::ZERO).count(), 1);
    (machine, link)
}

fn frame_of(record: Record) -> Message {
    Message::Frame(message::Frame {
        records: vec![Arc::new(record)],
        ..message::Frame::default()
    })
}

fn refusal_in(orders: &[Output]) -> Option<&message::Refusal> {
    orders.iter().find_map(|order| match order {
        Output::Send {
            message: Message::Refuse(refusal),
            ..
        } => Some(refusal),
        _ => None,
    })
}

#[test]
fn a_false_claim_about_the_node_is_refuted() {
    let (mut machine, link) = with_a_neighbour();
    let truth = machine.record().content().clone();
    let own = machine.record().rank();
    let mut forged = truth.clone();
    forged.services.clear();
    let lying = Rank {
        incarnation: 3,
        version: 40,
        leaving: true,
        ..own
    };
    let message = frame_of(Record::new(name(0), lying, forged));
    let given = orders(
        &mut machine,
        Instant::from_millis(10),
        Input::Receive { link, message },
    );
    assert!(given.contains(&Output::Report(Event::Refuted { from: name(1) })));
    let now = machine.record();
    assert_eq!(now.content(), &truth);
    assert!(now.rank() > lying && !now.rank().leaving && now.rank().version > 40);
    assert_eq!(machine.topology().record(&name(0)), Some(now));
}

#[test]
fn a_false_claim_at_the_highest_counter_is_refuted_with_a_stored_epoch() {
    let (mut machine, link) = with_a_neighbour();
    let own = machine.record().rank();
    let lying = Rank {
        incarnation: machine.context.counter_max(),
        ..own
    };
    let message = frame_of(Record::new(name(0), lying, Content::default()));
    let given = orders(
        &mut machine,
        Instant::from_millis(10),
        Input::Receive { link, message },
    );
    let ticket = given.iter().find_map(|order| match order {
        Output::Store { ticket, epoch: 6 } => Some(*ticket),
        _ => None,
    });
    assert_eq!(machine.record().rank().epoch, 5, "not before it is durable");
    let ticket = ticket.expect("an epoch to store");
    orders(
        &mut machine,
        Instant::from_millis(20),
        Input::Stored { ticket },
    );
    assert_eq!(machine.record().rank().epoch, 6);
    assert!(machine.record().rank() > lying);
}

#[test]
fn a_counter_above_the_maximum_is_rejected() {
    let (mut machine, link) = with_a_neighbour();
    let wild = Rank {
        version: u64::MAX,
        ..rank(1, 1, 1)
    };
    let message = frame_of(Record::new(name(7), wild, Content::default()));
    let given = orders(
        &mut machine,
        Instant::from_millis(10),
        Input::Receive { link, message },
    );
    let reason = Rejection::CounterTooHigh;
    assert!(given.contains(&Output::Report(Event::Rejected {
        from: name(1),
        reason
    })));
    assert_eq!(machine.member(&name(7)), None);
}

#[test]
fn the_older_of_two_machines_with_one_id_stops_when_the_other_proves_the_id() {
    let (mut machine, link) = with_a_neighbour();
    let newer = Arc::new(Record::new(name(0), rank(6, 77, 1), Content::default()));
    let at = Instant::from_millis(5_000);
    let relayed = Input::Receive {
        link,
        message: frame_of(newer.as_ref().clone()),
    };
    let given = orders(&mut machine, at, relayed);
    assert!(
        given
            .iter()
            .any(|order| matches!(order, Output::Store { epoch: 7, .. })),
        "a relayed record is overridden"
    );
    let (mut machine, _) = with_a_neighbour();
    let proof = LinkId(9);
    let peer = name(0);
    orders(&mut machine, at, Input::Accepted { link: proof, peer });
    let hello = message::Hello {
        mesh: "test".into(),
        version_min: 1,
        version_max: 1,
        session: 1,
        joining: false,
        alone: false,
        hash: 0,
        record: newer,
        revocations: 0,
    };
    let message = Message::Hello(hello);
    let given = orders(
        &mut machine,
        at,
        Input::Receive {
            link: proof,
            message,
        },
    );
    assert!(given.contains(&Output::Report(Event::NameTaken {
        epoch: 6,
        instance: 77
    })));
    let message = Message::Goodbye(message::Goodbye::NameTaken);
    assert!(given.contains(&Output::Send { link, message }));
    assert_eq!(machine.phase(), Phase::NameTaken);
    assert_eq!(machine.name_taken_since(), Some(at));
}

/// A machine one millisecond after its start, refused by `n1`, which knows an earlier epoch of `n0`. Returns the orders
/// that follow the refusal.
fn refused_for_a_previous_life() -> (Gossip, Vec<Output>) {
    let mut machine = Gossip::new(config(0, 5, &[1]), 1, Instant::ZERO);
    orders(&mut machine, Instant::ZERO, Input::Start);
    let at = Instant::from_millis(1);
    let dialled = orders(&mut machine, at, Input::Wake);
    let dial = dialled.iter().find_map(|order| match order {
        Output::Dial { dial, .. } => Some(*dial),
        _ => None,
    });
    let (dial, link) = (dial.expect("a dial of the target"), LinkId(1));
    orders(
        &mut machine,
        at,
        Input::Dialed {
            dial,
            link,
            peer: name(1),
        },
    );
    let yours = Some(Arc::new(Record::new(
        name(0),
        rank(9, 3, 4),
        Content::default(),
    )));
    let reason = message::RefusalReason::NameTaken;
    let refusal = message::Refusal {
        reason,
        session: 0,
        versions: (0, 0),
        others: vec![],
        yours,
        gone: false,
    };
    let given = orders(
        &mut machine,
        at,
        Input::Receive {
            link,
            message: Message::Refuse(refusal),
        },
    );
    (machine, given)
}

fn stores(orders: &[Output]) -> Vec<(Ticket, u64)> {
    let stores = orders.iter().filter_map(|order| match order {
        Output::Store { ticket, epoch } => Some((*ticket, *epoch)),
        _ => None,
    });
    stores.collect()
}

#[test]
fn a_node_that_finds_its_previous_life_takes_a_higher_epoch_once_that_is_stored() {
    let (mut machine, given) = refused_for_a_previous_life();
    assert_eq!(stores(&given), [(Ticket(1), 10)]);
    let at = Instant::from_millis(1);
    orders(&mut machine, at, Input::Stored { ticket: Ticket(1) });
    assert_eq!(machine.record().rank().epoch, 10);
    let dialled = orders(&mut machine, Instant::from_millis(900), Input::Wake);
    assert!(
        dialled
            .iter()
            .any(|order| matches!(order, Output::Dial { .. })),
        "{dialled:?}"
    );
}

#[test]
fn an_epoch_that_could_not_be_stored_is_ordered_again_after_a_second() {
    let (mut machine, given) = refused_for_a_previous_life();
    let [(ticket, epoch)] = stores(&given)[..] else {
        panic!("{given:?}")
    };
    for second in 0..3 {
        let failed_at = Instant::from_millis(1 + second * 1_000);
        let failed = Input::StoreFailed { ticket };
        assert_eq!(stores(&orders(&mut machine, failed_at, failed)), []);
        // The failure of an order that was replaced has no effect.
        let other = Input::StoreFailed { ticket: Ticket(99) };
        orders(
            &mut machine,
            Instant::from_millis(500 + second * 1_000),
            other,
        );
        let early = Instant::from_millis(1_000 + second * 1_000);
        assert_eq!(stores(&orders(&mut machine, early, Input::Wake)), []);
        let due = Instant::from_millis(1_001 + second * 1_000);
        assert!(machine.next_deadline().is_some_and(|at| at <= due));
        let again = orders(&mut machine, due, Input::Wake);
        assert_eq!(stores(&again), [(ticket, epoch)]);
    }
    let at = Instant::from_millis(3_500);
    orders(&mut machine, at, Input::Stored { ticket });
    assert_eq!(machine.record().rank().epoch, epoch);
    for millis in [4_100, 5_100, 6_100] {
        let given = orders(&mut machine, Instant::from_millis(millis), Input::Wake);
        assert_eq!(stores(&given), []);
    }
}

#[test]
fn a_link_is_ordered_open_once_both_ends_agreed_on_it() {
    let (mut machine, link) = with_a_neighbour();
    let opened = |given: &[Output]| {
        let opened = given.iter().filter_map(|order| match order {
            Output::LinkOpened { link, instance } => Some((*link, *instance)),
            _ => None,
        });
        opened.collect::<Vec<_>>()
    };
    let record = Record::new(name(2), rank(1, 9, 1), config(2, 1, &[]).content);
    let (second, peer) = (LinkId(2), name(2));
    let given = orders(
        &mut machine,
        Instant::ZERO,
        Input::Accepted { link: second, peer },
    );
    assert_eq!(opened(&given), []);
    let hello_on = |link| Input::Receive {
        link,
        message: hello(record.clone(), 1),
    };
    let given = orders(&mut machine, Instant::ZERO, hello_on(second));
    assert_eq!(opened(&given), [(second, 9)], "with the peer's instance");
    // A second hello closes the link; the link is not opened again.
    let given = orders(&mut machine, Instant::ZERO, hello_on(link));
    assert_eq!(opened(&given), []);
}

#[test]
fn incompatible_hellos_are_refused_with_the_reason() {
    let content = config(1, 1, &[]).content;
    let record = || Record::new(name(2), rank(1, 9, 1), content.clone());
    let Message::Hello(good) = hello(record(), 1) else {
        unreachable!()
    };
    let wrong_mesh = message::Hello {
        mesh: "other".into(),
        ..good.clone()
    };
    let too_new = message::Hello {
        version_min: 7,
        version_max: 9,
        ..good.clone()
    };
    let mine = message::Hello {
        record: Arc::clone(with_a_neighbour().0.record()),
        ..good
    };
    for (message, peer, reason) in [
        (wrong_mesh, 2, message::RefusalReason::WrongMesh),
        (too_new, 2, message::RefusalReason::Version),
        (mine, 0, message::RefusalReason::Myself),
    ] {
        let (mut machine, _) = with_a_neighbour();
        let link = LinkId(2);
        orders(
            &mut machine,
            Instant::ZERO,
            Input::Accepted {
                link,
                peer: name(peer),
            },
        );
        let given = orders(
            &mut machine,
            Instant::ZERO,
            Input::Receive {
                link,
                message: Message::Hello(message),
            },
        );
        assert_eq!(
            refusal_in(&given).map(|refusal| refusal.reason),
            Some(reason)
        );
        assert!(given.contains(&Output::Close { link }));
        assert_eq!(machine.links(Instant::ZERO).count(), 1);
    }
}

#[test]
fn a_hello_with_the_record_of_another_node_ends_the_link() {
    let (mut machine, _) = with_a_neighbour();
    let link = LinkId(2);
    orders(
        &mut machine,
        Instant::ZERO,
        Input::Accepted {
            link,
            peer: name(2),
        },
    );
    let message = hello(Record::new(name(3), rank(1, 9, 1), Content::default()), 1);
    let given = orders(
        &mut machine,
        Instant::ZERO,
        Input::Receive { link, message },
    );
    let reason = Rejection::WrongRecord;
    assert!(given.contains(&Output::Report(Event::Rejected {
        from: name(2),
        reason
    })));
    assert!(given.contains(&Output::Close { link }));
}

#[test]
fn of_two_connections_the_higher_session_stays_and_of_equal_ones_the_one_the_lower_id_dialled() {
    let record = || Record::new(name(1), rank(1, 9, 1), config(1, 1, &[]).content);
    for (session, kept) in [(1, LinkId(1)), (2, LinkId(2))] {
        let (mut machine, _) = with_a_neighbour();
        let link = LinkId(2);
        orders(
            &mut machine,
            Instant::from_millis(1),
            Input::Accepted {
                link,
                peer: name(1),
            },
        );
        let message = hello(record(), session);
        let given = orders(
            &mut machine,
            Instant::from_millis(1),
            Input::Receive { link, message },
        );
        assert_eq!(
            machine
                .links(Instant::ZERO)
                .map(|link| link.link)
                .collect::<Vec<_>>(),
            [kept]
        );
        let superseded = refusal_in(&given).map(|refusal| (refusal.reason, refusal.session));
        let expected = (kept == LinkId(1)).then_some((message::RefusalReason::Superseded, 1));
        assert_eq!(superseded, expected);
    }
}

#[test]
fn a_join_storm_is_answered_with_other_members_to_try() {
    let (mut machine, _) = with_a_neighbour();
    let mut refused = 0;
    for index in 2..40 {
        let link = LinkId(index);
        let peer = name(usize::try_from(index).unwrap());
        orders(
            &mut machine,
            Instant::from_millis(1),
            Input::Accepted {
                link,
                peer: peer.clone(),
            },
        );
        let content = config(usize::try_from(index).unwrap(), 1, &[]).content;
        let record = Record::new(peer, rank(1, 9, 1), content);
        let Message::Hello(first) = hello(record, 1) else {
            unreachable!()
        };
        let message = Message::Hello(message::Hello {
            joining: true,
            alone: false,
            ..first
        });
        let given = orders(
            &mut machine,
            Instant::from_millis(1),
            Input::Receive { link, message },
        );
        if let Some(refusal) = refusal_in(&given) {
            assert_eq!(refusal.reason, message::RefusalReason::Busy);
            assert!(!refusal.others.is_empty() && refusal.others.len() <= message::REFERRALS_MAX);
            assert!(
                refusal
                    .others
                    .iter()
                    .all(|other| (1..21).any(|index| address(index) == *other))
            );
            refused += 1;
        }
    }
    assert_eq!(
        refused,
        38 - 19,
        "a burst of 20, one of which the neighbour took"
    );
}

#[test]
fn changes_within_a_second_go_out_as_one_message_at_its_end() {
    let (mut machine, link) = with_a_neighbour();
    let mut content = machine.record().content().clone();
    let mut sent = Vec::new();
    let mut give = |machine: &mut Gossip, at, input| {
        let given = orders(machine, Instant::from_millis(at), input);
        sent.extend(given.into_iter().map(|order| (at, order)));
    };
    // A hundred changes, one each 25 ms.
    for change in 0..100 {
        let at = 50 + 25 * change;
        give(&mut machine, at, Input::Wake);
        content.metadata.insert("key".into(), change.to_string());
        give(&mut machine, at, Input::Announce(content.clone()));
    }
    assert_eq!(machine.record().content().metadata["key"], "79");
    give(&mut machine, 3_050, Input::Wake);
    let frames: Vec<_> = sent
        .iter()
        .filter_map(|order| match order {
            (
                at,
                Output::Send {
                    link: on,
                    message: Message::Frame(frame),
                },
            ) if *on == link => Some((*at, frame.records.len())),
            _ => None,
        })
        .filter(|(_, records)| *records > 0)
        .collect();
    assert_eq!(frames, [(50, 1), (1_050, 1), (2_050, 1), (3_050, 1)]);
    assert_eq!(machine.record().content().metadata["key"], "99");
}
