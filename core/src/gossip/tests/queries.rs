//! Queries to a node, and its start and end.

use super::super::*;
use super::neighbours::{NeighbourWorld, Order, dials, events, ms, published, records};
use super::world::{address, config, name};
use crate::link::{Address, DialError, LinkId};
use crate::time::Duration;

#[test]
fn a_view_is_read_member_by_member_link_by_link_and_service_by_service() {
    let mut all = NeighbourWorld::new(2);
    all.receives(1, records(&[published(7, 1)]));
    let ids: Vec<NodeId> = all
        .machine
        .members()
        .map(|member| member.record.id().clone())
        .collect();
    assert_eq!(ids, [0, 1, 2, 7].map(name));
    let seven = all.machine.member(&name(7)).expect("known");
    assert_eq!(
        (seven.record, seven.status, seven.report),
        (published(7, 1), Status::Alive, None)
    );
    assert_eq!(all.machine.member(&name(8)), None);
    assert_eq!(all.machine.link_count(), 2);
    let links: Vec<LinkView> = all.machine.links(all.now + ms(70)).collect();
    let first = LinkView {
        link: LinkId(1),
        peer: name(1),
        dialed: false,
        eager: true,
        ring: true,
        silent: false,
        quiet: links[0].quiet,
        round_trip: links[0].round_trip,
        silent_after: ms(3_500),
        session: 1,
        version: 1,
    };
    assert_eq!(links[0], first);
    assert!(links[1].quiet >= ms(70) && links[1].quiet <= ms(320));
    assert_eq!(
        all.machine.providers("echo", Some("1")),
        [0, 1, 2, 7].map(name)
    );
    assert_eq!(all.machine.providers("echo", Some("2")), [] as [NodeId; 0]);
    let services: Vec<_> = all
        .machine
        .services()
        .map(|(name, version, nodes)| (name, version, nodes.len()))
        .collect();
    assert_eq!(services, [("echo", "1", 4)]);
}

#[test]
fn a_hash_is_of_the_view_and_nothing_else() {
    let (mut some, mut others) = (NeighbourWorld::new(2), NeighbourWorld::new(2));
    assert_eq!(some.machine.hash(), others.machine.hash());
    some.receives(1, records(&[published(7, 1)]));
    let with = some.machine.hash();
    assert_ne!(with, others.machine.hash());
    others.receives(2, records(&[published(7, 1)]));
    assert_eq!(with, others.machine.hash());
}

#[test]
fn a_node_without_seeds_runs_at_once_and_one_with_seeds_joins_first() {
    let mut alone = NeighbourWorld {
        machine: Gossip::new(config(0, 1, &[]), 1, Instant::ZERO),
        now: Instant::ZERO,
    };
    alone.give(Input::Start);
    assert_eq!(alone.machine.phase(), Phase::Running);
    let mut joining = NeighbourWorld {
        machine: Gossip::new(config(0, 1, &[1]), 1, Instant::ZERO),
        now: Instant::ZERO,
    };
    joining.give(Input::Start);
    assert_eq!(joining.machine.phase(), Phase::Joining);
    let given = joining.silence(ms(10));
    assert_eq!(dials(&given).len(), 1);
    let seen: Vec<_> = joining
        .machine
        .seeds()
        .map(|(to, peer, error)| (to.clone(), peer.cloned(), error.map(str::to_owned)))
        .collect();
    assert_eq!(seen, [(Address::Socket(address(1)), None, None)]);
}

#[test]
fn random_links_begin_after_one_to_two_intervals() {
    let mut settings = config(0, 1, &[]);
    settings.tuning.random_link_interval = ms(40_000);
    let mut all = NeighbourWorld::of(settings, 3);
    for index in 20..60 {
        all.receives(1, records(&[published(index, 1)]));
    }
    // A draw may give a member that cannot be dialled. Ring dials differ from random dials only in their purpose.
    let random = |all: &NeighbourWorld| all.machine.dialer.count(dialer::DialPurpose::RandomLink);
    let mut first = None;
    while all.now < Instant::ZERO + Duration::from_secs(400) && first.is_none() {
        all.rest(ms(250));
        if random(&all) > 0 {
            first = Some(all.now);
        }
    }
    let first = first.expect("a random link is dialled");
    assert!(first >= Instant::ZERO + ms(40_000), "{first:?}");
}

#[test]
fn a_node_that_left_closes_connections_and_does_nothing_else() {
    let mut all = NeighbourWorld::new(2);
    let mut given = all.give(Input::Leave);
    assert_eq!(all.machine.phase(), Phase::Leaving);
    given.extend(all.silence(ms(600)));
    assert!(given.iter().any(|(_, order)| *order == Output::Left));
    for link in [1, 2] {
        let goodbye = Output::Send {
            link: LinkId(link),
            message: Message::Goodbye(message::Goodbye::Leaving),
        };
        assert!(given.iter().any(|(_, order)| *order == goodbye));
    }
    assert_eq!(
        (all.machine.phase(), all.machine.next_deadline()),
        (Phase::Left, None)
    );
    assert_eq!(all.machine.link_count(), 0);
    let given = all.give(Input::Accepted {
        link: LinkId(9),
        peer: name(3),
    });
    assert_eq!(given, [(all.now, Output::Close { link: LinkId(9) })]);
    for input in [
        Input::Start,
        Input::Wake,
        Input::Leave,
        Input::Announce(published(0, 1).content().clone()),
    ] {
        assert_eq!(all.give(input), []);
    }
}

#[test]
fn a_second_leave_has_no_effect_and_one_without_links_ends_at_once() {
    let mut all = NeighbourWorld::new(1);
    all.give(Input::Leave);
    assert_eq!(all.give(Input::Leave), []);
    let mut alone = NeighbourWorld::new(0);
    let given = alone.give(Input::Leave);
    assert_eq!(given, [(alone.now, Output::Left)]);
}

#[test]
fn an_announcement_keeps_address_and_joining_time_and_a_repetition_publishes_nothing() {
    let mut all = NeighbourWorld::new(1);
    let before = all.machine.record().clone();
    let mut content = before.content().clone();
    content.address = None;
    content.joined = crate::time::Wall(1);
    content.nickname = "other".into();
    all.give(Input::Announce(content.clone()));
    let after = all.machine.record().clone();
    assert_eq!(after.content().address, before.content().address);
    assert_eq!(after.content().joined, before.content().joined);
    assert_eq!(after.content().nickname, "other");
    assert!(after.rank() > before.rank());
    all.give(Input::Announce(content));
    assert_eq!(all.machine.record(), &after);
    assert_eq!(events(&all.rest(ms(100))), [] as [&Event; 0]);
}

#[test]
fn an_announcement_beyond_the_bounds_is_rejected_with_an_event() {
    use crate::topology::record::{CONTENT_BYTES_MAX, ContentError};
    let mut all = NeighbourWorld::new(1);
    let before = all.machine.record().clone();
    let mut content = before.content().clone();
    content
        .metadata
        .insert("key".into(), "x".repeat(CONTENT_BYTES_MAX));
    let given = all.give(Input::Announce(content));
    let why = ContentError::TooLarge;
    assert_eq!(events(&given), [&Event::AnnounceRejected { why }]);
    assert_eq!(all.machine.record(), &before);
}

#[test]
fn a_node_that_lost_its_disk_and_accepts_first_supersedes_its_past() {
    let past = published(0, 7);
    let here = past.content().address;
    let elsewhere = Some(address(50));
    // Once the epoch is confirmed, another address is dialled first: a node there may prove the id.
    for (waited, at, dials_first) in [
        (ms(1_000), here, false),
        (ms(1_000), elsewhere, false),
        (ms(5_000), here, false),
        (ms(5_000), elsewhere, true),
        (ms(5_000), None, false),
    ] {
        let mut all = fresh_after_loss();
        all.rest(waited);
        let rank = crate::topology::record::Rank {
            epoch: 9,
            ..past.rank()
        };
        let content = crate::topology::record::Content {
            address: at,
            ..past.content().clone()
        };
        let echo = Arc::new(Record::new(name(0), rank, content));
        let given = all.receives(1, records(&[echo]));
        assert_eq!(all.machine.phase(), Phase::Running, "{at:?}");
        let stored = |given: &[Order]| {
            let mut orders = given.iter().map(|(_, order)| order);
            orders.any(|order| matches!(order, Output::Store { epoch: 10, .. }))
        };
        assert_eq!(stored(&given), !dials_first);
        if let Some((_, dial, to)) = dials(&given).pop() {
            assert_eq!((dials_first, to), (true, Address::Socket(address(50))));
            let reason = DialError::Refused;
            let given = all.give(Input::DialFailed { dial, reason });
            assert!(stored(&given), "no node proved the id");
        }
    }
}

/// `n0` in its first epoch, after the hello of `n1`, which holds newer records of `n0` than `n0` itself has.
fn fresh_after_loss() -> NeighbourWorld {
    let mut all = NeighbourWorld {
        machine: Gossip::new(config(0, 1, &[5]), 1, Instant::ZERO),
        now: Instant::ZERO,
    };
    all.give(Input::Start);
    all.link(1, 1);
    all
}
