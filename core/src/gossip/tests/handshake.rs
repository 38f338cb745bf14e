//! The handshake: how two nodes agree on one connection, step by step.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one order among many"
)]

use super::super::message::{Goodbye, Hello, Refusal, RefusalReason, Welcome};
use super::super::*;
use super::neighbours::{NeighbourWorld, Order, dials, events, frames, ms, published, records};
use super::world::{address, config, name};
use crate::link::{Address, CloseReason, DialError, DialId, LinkId};
use crate::topology::record::{Content, Rank, Record};

/// The record in a hello of node `index`, with the given epoch and instance.
pub(super) fn record_of(index: usize, epoch: u64, instance: u32) -> Arc<Record> {
    let record = published(index, 1);
    let rank = Rank {
        epoch,
        instance,
        ..record.rank()
    };
    Arc::new(Record::new(name(index), rank, record.content().clone()))
}

pub(super) fn hello(session: u32, record: Arc<Record>) -> Hello {
    Hello {
        mesh: "test".into(),
        version_min: 1,
        version_max: 1,
        session,
        joining: false,
        alone: false,
        hash: 0,
        record,
        revocations: 0,
    }
}

/// The same record with another address.
pub(super) fn elsewhere(record: &Record) -> Arc<Record> {
    let content = Content {
        address: Some(address(50)),
        ..record.content().clone()
    };
    Arc::new(Record::new(record.id().clone(), record.rank(), content))
}

/// A peer connects over `link` and sends this hello.
pub(super) fn connect(all: &mut NeighbourWorld, link: u64, hello: Hello) -> Vec<Order> {
    let link = LinkId(link);
    let peer = hello.record.id().clone();
    all.give(Input::Accepted { link, peer });
    let message = Message::Hello(hello);
    all.give(Input::Receive { link, message })
}

pub(super) fn refusal(given: &[Order]) -> Option<Refusal> {
    given.iter().find_map(|(_, order)| match order {
        Output::Send {
            message: Message::Refuse(refusal),
            ..
        } => Some(refusal.clone()),
        _ => None,
    })
}

fn welcomes(given: &[Order]) -> usize {
    given
        .iter()
        .filter(|(_, order)| {
            matches!(
                order,
                Output::Send {
                    message: Message::Welcome(_),
                    ..
                }
            )
        })
        .count()
}

/// `n0` dials the first target and is not connected yet.
pub(super) fn dialling_unconnected(targets: &[usize]) -> (NeighbourWorld, DialId) {
    let mut all = NeighbourWorld {
        machine: Gossip::new(config(0, 5, targets), 1, Instant::ZERO),
        now: Instant::ZERO,
    };
    all.give(Input::Start);
    let (_, dial, _) = dials(&all.silence(ms(1))).remove(0);
    (all, dial)
}

/// `n0` dials the target `n1` and is connected over link 101; the hello of `n0` is in flight.
pub(super) fn dialling(targets: &[usize]) -> (NeighbourWorld, Hello) {
    let (mut all, dial) = dialling_unconnected(targets);
    let hello = connected(&mut all, dial, 101, 1);
    (all, hello)
}

/// The dial connects to node `peer`. Returns the hello that `n0` sends to the node.
pub(super) fn connected(all: &mut NeighbourWorld, dial: DialId, link: u64, peer: usize) -> Hello {
    let given = all.give(Input::Dialed {
        dial,
        link: LinkId(link),
        peer: name(peer),
    });
    given
        .into_iter()
        .find_map(|(_, order)| match order {
            Output::Send {
                message: Message::Hello(hello),
                ..
            } => Some(hello),
            _ => None,
        })
        .expect("a hello")
}

pub(super) fn welcome(record: Arc<Record>) -> Message {
    Message::Welcome(Welcome {
        version: 1,
        session: 1,
        hash: 0,
        record,
    })
}

pub(super) fn links(all: &NeighbourWorld) -> Vec<u64> {
    all.machine.links(all.now).map(|link| link.link.0).collect()
}

#[test]
fn only_a_node_that_knows_no_member_requests_the_whole_view() {
    let (mut all, first) = dialling(&[1, 2]);
    assert!(first.joining);
    assert_eq!(
        (first.session, first.version_min, first.version_max),
        (1, 1, 2)
    );
    all.give(Input::Receive {
        link: LinkId(101),
        message: welcome(published(1, 1)),
    });
    let given = all.rest(ms(2_000));
    let (_, dial, _) = dials(&given).pop().expect("the other target");
    assert!(!connected(&mut all, dial, 102, 2).joining);
}

#[test]
fn a_newer_clone_an_older_clone_and_the_node_itself_are_distinguished() {
    // `n0` has epoch 5, and an instance from its configuration.
    let own = NeighbourWorld::new(0).machine.record().rank();
    for (epoch, instance, reason) in [
        (own.epoch, own.instance, Some(RefusalReason::Myself)),
        (
            own.epoch - 1,
            own.instance ^ 1,
            Some(RefusalReason::NameTaken),
        ),
        (
            own.epoch,
            own.instance.saturating_sub(1),
            Some(RefusalReason::NameTaken),
        ),
        (own.epoch + 1, own.instance ^ 1, None),
        (own.epoch, own.instance.saturating_add(1), None),
    ] {
        let mut all = NeighbourWorld::new(1);
        all.rest(ms(6_000));
        let given = connect(&mut all, 9, hello(1, record_of(0, epoch, instance)));
        let refused = refusal(&given);
        assert_eq!(
            refused.as_ref().map(|refusal| refusal.reason),
            reason,
            "{epoch} {instance}"
        );
        if let Some(RefusalReason::NameTaken) = reason {
            let yours = refused.and_then(|refusal| refusal.yours);
            assert_eq!(
                yours.as_ref(),
                Some(all.machine.record()),
                "it is shown who is newer"
            );
        }
        let gone = all.machine.phase() == Phase::NameTaken;
        assert_eq!(gone, reason.is_none(), "{epoch} {instance}");
    }
}

#[test]
fn a_peer_that_forgot_its_epoch_is_shown_the_one_we_know() {
    let mut all = NeighbourWorld::new(1);
    let known = record_of(7, 4, 9);
    all.receives(1, records(&[Arc::clone(&known)]));
    for (epoch, instance) in [(3, 9), (4, 8)] {
        let given = connect(&mut all, 9, hello(1, record_of(7, epoch, instance)));
        let refused = refusal(&given).expect("refused");
        assert_eq!(refused.reason, RefusalReason::NameTaken);
        assert_eq!(refused.yours.as_ref(), Some(&known));
    }
    assert_eq!(
        refusal(&connect(&mut all, 10, hello(1, record_of(7, 4, 9)))),
        None
    );
}

#[test]
fn a_node_that_leaves_or_raises_its_epoch_accepts_no_link() {
    let mut all = NeighbourWorld::new(1);
    all.give(Input::Leave);
    let refused = refusal(&connect(&mut all, 9, hello(1, published(7, 1))));
    assert_eq!(
        refused.map(|refusal| refusal.reason),
        Some(RefusalReason::Leaving)
    );
    let (mut all, _) = dialling(&[1]);
    let yours = Some(record_of(0, 9, 77));
    let message = Message::Refuse(Refusal {
        reason: RefusalReason::NameTaken,
        session: 0,
        versions: (0, 0),
        others: vec![],
        yours,
        gone: false,
    });
    all.give(Input::Receive {
        link: LinkId(101),
        message,
    });
    let refused = refusal(&connect(&mut all, 9, hello(1, published(7, 1))));
    assert_eq!(
        refused.map(|refusal| refusal.reason),
        Some(RefusalReason::Leaving)
    );
}

#[test]
fn a_member_needs_no_token_and_a_newcomer_does() {
    let mut settings = config(0, 5, &[]);
    settings.tuning.accept_burst = 1;
    settings.tuning.accept_interval = ms(3_600_000);
    let mut all = NeighbourWorld {
        machine: Gossip::new(settings, 1, Instant::ZERO),
        now: Instant::ZERO,
    };
    all.give(Input::Start);
    all.link(1, 1);
    all.receives(1, records(&[published(7, 1)]));
    // A node counts as known if it is already linked, or if it is known and not joining.
    assert_eq!(
        welcomes(&connect(&mut all, 2, hello(2, published(1, 1)))),
        1
    );
    assert_eq!(
        welcomes(&connect(&mut all, 3, hello(1, published(7, 1)))),
        1
    );
    let joining = Hello {
        joining: true,
        alone: false,
        ..hello(2, record_of(7, 2, 10))
    };
    assert_eq!(welcomes(&connect(&mut all, 4, joining)), 1, "it is linked");
    let unknown = connect(&mut all, 5, hello(1, published(8, 1)));
    assert_eq!(
        refusal(&unknown).map(|refusal| refusal.reason),
        Some(RefusalReason::Busy)
    );
    // The node is known but has returned without its state; it needs the whole view, so it counts as a newcomer.
    all.receives(2, records(&[published(9, 1)]));
    let joining = Hello {
        joining: true,
        alone: false,
        ..hello(1, published(9, 1))
    };
    let back = connect(&mut all, 6, joining);
    assert_eq!(
        refusal(&back).map(|refusal| refusal.reason),
        Some(RefusalReason::Busy)
    );
}

#[test]
fn a_dialled_connection_counts_in_the_tie_once_its_handshake_begins() {
    // `n0` has a lower id than `n7`: of two connections with equal sessions, the one that `n0` dialled stays.
    let dialled = || {
        let mut all = NeighbourWorld::new(1);
        let mut given = all.receives(1, records(&[published(7, 1)]));
        given.extend(all.rest(ms(200)));
        let (_, dial, _) = dials(&given).pop().expect("a ring link");
        assert_eq!(connected(&mut all, dial, 101, 7).session, 1);
        all
    };
    let mut all = dialled();
    let refused = refusal(&connect(&mut all, 9, hello(1, published(7, 1)))).expect("refused");
    assert_eq!(
        (refused.reason, refused.session),
        (RefusalReason::Superseded, 1)
    );
    // A dial to another member does not cause a refusal.
    let mut all = dialled();
    all.receives(1, records(&[published(8, 1)]));
    assert_eq!(
        refusal(&connect(&mut all, 9, hello(1, published(8, 1)))),
        None
    );
    // A higher session wins over the session of `n0`.
    let mut all = dialled();
    assert_eq!(
        refusal(&connect(&mut all, 9, hello(2, published(7, 1)))),
        None
    );
}

#[test]
fn a_restarted_peer_resets_its_sessions() {
    let mut all = NeighbourWorld::new(0);
    connect(&mut all, 1, hello(7, record_of(3, 1, 9)));
    let refused = refusal(&connect(&mut all, 2, hello(1, record_of(3, 1, 9)))).expect("refused");
    assert_eq!(
        (refused.reason, refused.session),
        (RefusalReason::Superseded, 7)
    );
    assert_eq!(
        refusal(&connect(&mut all, 3, hello(1, record_of(3, 2, 9)))),
        None
    );
    assert_eq!(links(&all), [3]);
    let link = all.machine.links(all.now).next().unwrap();
    assert_eq!(link.session, 1);
}

#[test]
fn a_welcome_ends_the_dial_and_loses_to_a_better_link_that_came_meanwhile() {
    for (theirs, kept) in [(1, 101), (2, 9)] {
        let (mut all, ours) = dialling(&[1]);
        assert_eq!(ours.session, 1);
        connect(&mut all, 9, hello(theirs, published(1, 1)));
        let given = all.give(Input::Receive {
            link: LinkId(101),
            message: welcome(published(1, 1)),
        });
        assert_eq!(links(&all), [kept], "session {theirs}");
        if kept == 9 {
            let goodbye = Output::Send {
                link: LinkId(101),
                message: Message::Goodbye(Goodbye::Superseded),
            };
            assert!(given.iter().any(|(_, order)| *order == goodbye));
        }
        assert_eq!(all.machine.dialer.len(), 0);
    }
}

#[test]
fn a_silent_link_yields_to_a_fresh_connection_of_any_session() {
    let mut all = NeighbourWorld::new(2);
    all.hear_only(&[2], ms(4_000));
    // A silent link loses to a new connection, whatever its session.
    let given = connect(&mut all, 9, hello(1, published(1, 1)));
    assert_eq!(refusal(&given), None);
    assert_eq!(links(&all), [2, 9]);
    // The neighbour was reported down; later it is reported up.
    assert_eq!(all.own_report(), [(name(1), false)]);
}

#[test]
fn a_welcome_with_the_record_of_another_node_is_rejected() {
    let (mut all, _) = dialling(&[1]);
    let given = all.give(Input::Receive {
        link: LinkId(101),
        message: welcome(published(2, 1)),
    });
    let reason = Rejection::WrongRecord;
    assert!(events(&given).contains(&&Event::Rejected {
        from: name(1),
        reason
    }));
    assert_eq!(links(&all), [] as [u64; 0]);
}

#[test]
fn a_link_that_takes_the_place_of_one_of_the_tree_is_of_the_tree() {
    for (old, eager) in [(1, true), (2, false)] {
        let mut all = NeighbourWorld::new(3);
        connect(&mut all, 9, hello(2, published(old, 1)));
        assert_eq!(all.is_eager(9), eager, "in place of {old}");
    }
}

#[test]
fn sides_that_lost_touch_compare_their_views_and_others_do_not() {
    // A broken connection is dialled again, the peer answers the handshake, and the dialer starts reconciliation.
    for broken in [true, false] {
        let mut all = NeighbourWorld::new(3);
        if broken {
            all.give(Input::Closed {
                link: LinkId(2),
                reason: CloseReason::Reset,
            });
        } else {
            all.give(Input::Seeds {
                addresses: vec![Address::Socket(address(30))],
                replace: false,
            });
        }
        let given = all.silence(ms(10));
        let (_, dial, _) = dials(&given).pop().expect("a dial");
        let peer = if broken { 2 } else { 30 };
        connected(&mut all, dial, 50, peer);
        let mut given = all.give(Input::Receive {
            link: LinkId(50),
            message: welcome(published(peer, 1)),
        });
        given.extend(all.silence(ms(5)));
        let synced = frames(&given, 50)
            .iter()
            .any(|(_, frame)| !frame.sync.is_empty());
        assert_eq!(synced, broken);
    }
}

#[test]
fn a_refusal_that_names_a_higher_session_is_outbid_next_time() {
    let (mut all, _) = dialling(&[1]);
    let message = Message::Refuse(Refusal {
        reason: RefusalReason::Superseded,
        session: 8,
        versions: (0, 0),
        others: vec![],
        yours: None,
        gone: false,
    });
    all.give(Input::Receive {
        link: LinkId(101),
        message,
    });
    let given = all.silence(ms(300));
    let (_, dial, _) = dials(&given).remove(0);
    assert_eq!(connected(&mut all, dial, 102, 1).session, 9);
}

#[test]
fn a_refusal_for_the_id_stops_the_node_only_if_the_acceptor_proves_the_id() {
    let own = NeighbourWorld::new(0).machine.record().rank();
    for (epoch, instance, acceptor, stops) in [
        (own.epoch - 1, own.instance, 2, false),
        (own.epoch, own.instance, 2, false),
        (own.epoch + 1, 77, 2, false),
        (own.epoch + 1, 77, 0, true),
    ] {
        let (mut all, _) = dialling(&[1, 2]);
        all.give(Input::Receive {
            link: LinkId(101),
            message: welcome(published(1, 1)),
        });
        let given = all.rest(ms(2_000));
        let (_, dial, _) = dials(&given).pop().expect("the other target");
        connected(&mut all, dial, 102, acceptor);
        let message = Message::Refuse(Refusal {
            reason: RefusalReason::NameTaken,
            session: 0,
            versions: (0, 0),
            others: vec![],
            yours: Some(elsewhere(&record_of(0, epoch, instance))),
            gone: false,
        });
        let given = all.give(Input::Receive {
            link: LinkId(102),
            message,
        });
        assert_eq!(all.machine.phase() == Phase::NameTaken, stops, "{epoch}");
        let stored = given
            .iter()
            .any(|(_, order)| matches!(order, Output::Store { .. }));
        assert!(!stored, "the stated address is dialled first");
        let dialled = dials(&given)
            .iter()
            .any(|(_, _, to)| *to == Address::Socket(address(50)));
        assert_eq!(dialled, epoch > own.epoch && !stops, "{epoch}");
    }
}

#[test]
fn a_goodbye_ends_the_link_with_its_reason() {
    for (goodbye, reason) in [
        (Goodbye::Leaving, LinkEnd::PeerLeft),
        (Goodbye::Superseded, LinkEnd::Superseded),
        (Goodbye::Unneeded, LinkEnd::PeerClosed),
    ] {
        let mut all = NeighbourWorld::new(2);
        let link = LinkId(1);
        let given = all.give(Input::Receive {
            link,
            message: Message::Goodbye(goodbye),
        });
        let end = Event::LinkDown {
            peer: name(1),
            link,
            reason,
        };
        assert!(events(&given).contains(&&end));
        assert!(
            given
                .iter()
                .any(|(_, order)| *order == Output::Close { link })
        );
        assert_eq!(links(&all), [2]);
    }
}

#[test]
fn a_node_that_leaves_while_it_joins_says_so_behind_its_hello() {
    let (mut all, _) = dialling(&[1]);
    let given = all.give(Input::Leave);
    let sent: Vec<&Message> = given
        .iter()
        .filter_map(|(_, order)| match order {
            Output::Send { link, message } if *link == LinkId(101) => Some(message),
            _ => None,
        })
        .collect();
    let [Message::Frame(frame), Message::Goodbye(Goodbye::Leaving)] = &sent[..] else {
        panic!("{sent:?}");
    };
    let [record] = &frame.records[..] else {
        panic!("{frame:?}");
    };
    assert!(record.rank().leaving && *record.id() == name(0));
    assert_eq!(all.machine.phase(), Phase::Left);
}

#[test]
fn an_edge_of_the_rings_that_broke_is_kept_and_another_link_is_not() {
    let mut all = NeighbourWorld::new(12);
    let ring = all.ring_neighbours();
    for index in 1..=12 {
        let link = LinkId(index as u64);
        let reason = CloseReason::Reset;
        let given = all.give(Input::Closed { link, reason });
        let end = Event::LinkDown {
            peer: name(index),
            link,
            reason: LinkEnd::Lost,
        };
        assert!(events(&given).contains(&&end));
    }
    // The links on ring edges are kept, so that they can be redialled.
    assert_eq!(all.machine.link_count(), ring.len());
    let given = all.silence(ms(20));
    assert_eq!(dials(&given).len(), ring.len().min(DIALS_MAX));
}

#[test]
fn a_received_hello_ends_its_timeout() {
    let mut all = NeighbourWorld::new(2);
    let given = all.rest(ms(7_000));
    let closed = |(_, order): &Order| matches!(order, Output::Close { .. });
    assert!(!given.iter().any(closed));
    assert_eq!(links(&all), [1, 2]);
}

#[test]
fn a_node_that_gave_up_its_id_can_still_leave() {
    let mut all = NeighbourWorld::new(1);
    all.rest(ms(6_000));
    connect(&mut all, 9, hello(1, record_of(0, 9, 77)));
    assert_eq!(all.machine.phase(), Phase::NameTaken);
    assert_eq!(all.give(Input::Leave), [(all.now, Output::Left)]);
    assert_eq!(all.machine.phase(), Phase::Left);
}

/// `n0` after another machine proved the id of `n0` with epoch 9. `n0` knows `n1`.
fn suspended() -> NeighbourWorld {
    let mut all = NeighbourWorld::new(1);
    all.rest(ms(6_000));
    connect(&mut all, 9, hello(1, elsewhere(&record_of(0, 9, 77))));
    assert_eq!(all.machine.phase(), Phase::NameTaken);
    all
}

/// The next inquiry of `n0`, which `n1` answers.
fn inquired(all: &mut NeighbourWorld, answer: Message) -> Vec<Order> {
    let given = all.silence(ms(5_000));
    let to_ask = Address::Socket(address(1));
    let (_, dial, _) = *dials(&given)
        .iter()
        .find(|(_, _, to)| *to == to_ask)
        .expect("a dial to a member");
    for (_, other, _) in dials(&given) {
        if other != dial {
            let reason = DialError::TimedOut;
            all.give(Input::DialFailed {
                dial: other,
                reason,
            });
        }
    }
    let link = LinkId(200 + dial.0);
    all.give(Input::Dialed {
        dial,
        link,
        peer: name(1),
    });
    all.give(Input::Receive {
        link,
        message: answer,
    })
}

pub(super) fn taken(record: Arc<Record>, gone: bool) -> Message {
    Message::Refuse(Refusal {
        reason: RefusalReason::NameTaken,
        session: 0,
        versions: (0, 0),
        others: vec![],
        yours: Some(record),
        gone,
    })
}

#[test]
fn a_node_that_gave_up_its_id_resumes_when_the_holder_is_gone() {
    let holder = elsewhere(&record_of(0, 12, 77));
    let left = Rank {
        leaving: true,
        ..holder.rank()
    };
    let left = Arc::new(Record::new(name(0), left, holder.content().clone()));
    for (answer, epoch) in [
        (taken(Arc::clone(&holder), true), 13),
        (taken(left, false), 13),
        (welcome(published(1, 1)), 13),
    ] {
        let mut all = suspended();
        let given = inquired(&mut all, taken(Arc::clone(&holder), false));
        assert!(
            !given
                .iter()
                .any(|(_, order)| matches!(order, Output::Store { .. }))
        );
        let given = inquired(&mut all, answer);
        let ticket = given.iter().find_map(|(_, order)| match order {
            Output::Store { ticket, epoch: it } if *it == epoch => Some(*ticket),
            _ => None,
        });
        assert_eq!(
            all.machine.phase(),
            Phase::NameTaken,
            "not before it is stored"
        );
        let ticket = ticket.expect("an epoch to store");
        let given = all.give(Input::Stored { ticket });
        assert!(events(&given).contains(&&Event::NameResumed { epoch }));
        assert_eq!(all.machine.record().rank().epoch, epoch);
        assert_eq!(all.machine.name_taken_since(), None);
        all.link(300, 1);
        assert_eq!(
            (links(&all), all.machine.phase()),
            (vec![300], Phase::Running)
        );
    }
}

#[test]
fn a_suspended_node_keeps_new_content_and_publishes_it_when_it_resumes() {
    let mut all = suspended();
    let mut content = all.machine.record().content().clone();
    content.nickname = "now".into();
    assert_eq!(all.give(Input::Announce(content)), []);
    let holder = elsewhere(&record_of(0, 9, 77));
    let given = inquired(&mut all, taken(holder, true));
    for (_, order) in given {
        if let Output::Store { ticket, .. } = order {
            all.give(Input::Stored { ticket });
        }
    }
    assert_eq!(all.machine.record().content().nickname, "now");
    assert_eq!(all.machine.record().rank().epoch, 10);
}

#[test]
fn an_address_is_read_and_shown_as_it_is_written() {
    for text in ["10.0.0.1:7000", "[::1]:7000", "node.example:7000"] {
        let address: Address = text.parse().unwrap();
        assert_eq!(address.to_string(), text);
    }
    for text in [
        "",
        "node",
        "node:",
        ":7000",
        "node:0x1",
        "node:70000",
        "a b:7000",
    ] {
        let error = text.parse::<Address>().unwrap_err();
        assert!(error.to_string().len() > 10, "{text}: {error}");
    }
}

#[test]
fn every_event_has_a_word_of_its_own_and_most_a_subject() {
    let id = name(7);
    let events = [
        (
            Event::PeerUp {
                id: id.clone(),
                epoch: 1,
            },
            "peer-up",
            true,
        ),
        (
            Event::PeerDown {
                id: id.clone(),
                cause: DeathCause::Silent,
                joint: false,
            },
            "peer-down",
            true,
        ),
        (Event::Isolated, "isolated", false),
        (Event::Refuted { from: id.clone() }, "refuted", true),
        (Event::Paused { late: ms(1) }, "paused", false),
    ];
    for (event, word, about) in events {
        assert_eq!(event.word(), word);
        assert_eq!(event.subject(), about.then_some(&id));
    }
}
