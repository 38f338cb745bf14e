//! Seed addresses that are names: resolution, the order of dials, and addresses of the node itself.

use super::super::bootstrap::ADDRESSES_MAX;
use super::super::message::RefusalReason;
use super::super::*;
use super::dialing::{answered, refusal, welcome};
use super::neighbours::{
    NeighbourWorld, Order, dials, events, ms, published, records, resolutions,
};
use super::world::{address, config, name};
use crate::link::{Address, CloseReason, DialId, ResolutionError, Ticket};
use core::net::SocketAddr;

const NAME: &str = "seeds.example:7000";

/// The node `n0` with one seed address, which is a name.
fn fresh() -> NeighbourWorld {
    with_names(vec![Address::Name(NAME.to_owned())])
}

fn with_names(seeds: Vec<Address>) -> NeighbourWorld {
    let mut config = config(0, 1, &[]);
    config.seeds = seeds;
    let mut all = NeighbourWorld {
        machine: Gossip::new(config, 1, Instant::ZERO),
        now: Instant::ZERO,
    };
    all.give(Input::Start);
    all
}

/// The name resolves to the addresses of these nodes. Returns the orders of the next 10 ms.
fn resolved(all: &mut NeighbourWorld, ticket: Ticket, nodes: &[usize]) -> Vec<Order> {
    let addresses: Vec<SocketAddr> = nodes.iter().map(|node| address(*node)).collect();
    let mut given = all.give(Input::Resolved {
        ticket,
        addresses: Ok(addresses),
    });
    given.extend(all.silence(ms(10)));
    given
}

/// The ticket of the only resolution among some orders.
fn only(given: &[Order]) -> Ticket {
    let [(ticket, NAME)] = resolutions(given)[..] else {
        panic!("{given:?}")
    };
    ticket
}

/// The only dial among some orders.
fn dial(given: &[Order]) -> (DialId, Address) {
    let [(_, dial, address)] = &dials(given)[..] else {
        panic!("{given:?}")
    };
    (*dial, address.clone())
}

fn to(index: usize) -> Address {
    Address::Socket(address(index))
}

fn refuses(all: &mut NeighbourWorld, dial: DialId) -> Vec<Order> {
    let reason = DialError::Refused;
    let mut given = all.give(Input::DialFailed { dial, reason });
    given.extend(all.silence(ms(10)));
    given
}

/// Passes time until the name is resolved again.
fn until_resolution(all: &mut NeighbourWorld) -> (Duration, Ticket) {
    let begun = all.now;
    loop {
        let given = all.silence(ms(10));
        if !resolutions(&given).is_empty() {
            assert_eq!(dials(&given), []);
            return (all.now - begun, only(&given));
        }
        assert!(all.now - begun < Duration::from_secs(60));
    }
}

fn error(all: &NeighbourWorld) -> Option<String> {
    let (address, peer, error) = all.machine.seeds().next()?;
    assert_eq!((address, peer), (&Address::Name(NAME.to_owned()), None));
    error.map(str::to_owned)
}

#[test]
fn the_addresses_of_a_name_are_dialled_one_after_another_and_then_the_name_is_resolved_again() {
    let mut all = fresh();
    let given = all.silence(ms(10));
    assert_eq!(dials(&given), []);
    let given = resolved(&mut all, only(&given), &[1, 2, 1]);
    let (first, address) = dial(&given);
    assert_eq!(address, to(1));
    let given = refuses(&mut all, first);
    assert_eq!(events(&given), [] as [&Event; 0], "an address is left");
    let (second, address) = dial(&given);
    assert_eq!(address, to(2));
    let given = refuses(&mut all, second);
    let [
        Event::DialFailed {
            address,
            reason,
            retry_in: Some(wait),
        },
    ] = events(&given)[..]
    else {
        panic!("{given:?}")
    };
    assert_eq!(address.to_string(), NAME);
    assert_eq!(*reason, format!("{}: connection refused", to(2)));
    assert_eq!(error(&all).as_ref(), Some(reason));
    let (waited, ticket) = until_resolution(&mut all);
    assert!(waited <= *wait);
    // The resolver's answer has changed.
    let given = resolved(&mut all, ticket, &[3]);
    assert_eq!(dial(&given).1, to(3));
}

#[test]
fn an_address_that_does_not_answer_delays_the_next_by_a_moment() {
    let mut all = fresh();
    let given = all.silence(ms(10));
    let mut given = resolved(&mut all, only(&given), &[1, 2, 3]);
    given.extend(all.silence(ms(1_400)));
    let dialled = dials(&given);
    let at: Vec<_> = dialled
        .iter()
        .map(|(at, _, to)| (*at, to.clone()))
        .collect();
    let first = at[0].0;
    let moment = bootstrap::JOIN_STAGGER;
    assert_eq!(
        at,
        [
            (first, to(1)),
            (first + moment, to(2)),
            (first + 2 * moment, to(3))
        ]
    );
    // The second address leads to a member. After that, failed dials to the other addresses do not count as failures of
    // the seed address.
    answered(&mut all, dialled[1].1, 2, welcome(2, 1));
    let given = all.hear_only(&[100 + dialled[1].1.0], ms(60_000));
    let failed = |event: &&&Event| matches!(event, Event::DialFailed { .. });
    assert_eq!(events(&given).iter().filter(failed).count(), 0);
    let (_, peer, error) = all.machine.seeds().next().unwrap();
    assert_eq!((peer, error), (Some(&name(2)), None));
    let again = resolutions(&given).len();
    assert!(
        (1..=2).contains(&again),
        "for the failed addresses: {again}"
    );
}

#[test]
fn every_address_of_a_name_is_dialled_unless_its_member_is_alive() {
    let mut all = fresh();
    let given = all.silence(ms(10));
    let given = resolved(&mut all, only(&given), &[1, 2, 3]);
    let (first, _) = dial(&given);
    answered(&mut all, first, 1, welcome(1, 1));
    // The peer knows the member at the second address, but not the member at the third.
    all.receives(100 + first.0, records(&[published(2, 1)]));
    let given = all.hear_only(&[100 + first.0], ms(1_000));
    let dialled: Vec<Address> = dials(&given).into_iter().map(|(_, _, it)| it).collect();
    assert_eq!(dialled.iter().filter(|it| **it == to(3)).count(), 1);
    let seeds = |all: &NeighbourWorld| all.machine.seeds().next().unwrap().1.cloned();
    let found = seeds(&all);
    assert!(
        found == Some(name(1)) || found == Some(name(2)),
        "{found:?}"
    );
}

#[test]
fn an_address_of_the_node_itself_does_not_exclude_the_others_of_the_name() {
    let mut all = fresh();
    let given = all.silence(ms(10));
    // The node advertises the first address; the second also leads to the node.
    let mut given = resolved(&mut all, only(&given), &[0, 1, 2]);
    for own in [0, 1] {
        let (first, address) = dial(&given);
        assert_eq!(address, to(own));
        given = answered(&mut all, first, 0, refusal(RefusalReason::Myself, &[]));
        assert_eq!(all.machine.phase(), Phase::Joining);
        given.extend(all.silence(ms(10)));
        assert_eq!(events(&given), [] as [&Event; 0]);
    }
    let (second, address) = dial(&given);
    assert_eq!(address, to(2));
    refuses(&mut all, second);
    let (_, ticket) = until_resolution(&mut all);
    let given = resolved(&mut all, ticket, &[1, 0, 2]);
    let (third, address) = dial(&given);
    assert_eq!(address, to(2), "the others are known to be this node's");
    answered(&mut all, third, 2, welcome(2, 1));
    assert_eq!(all.machine.phase(), Phase::Running);
}

#[test]
fn a_name_that_leads_to_no_other_node_ends_the_join_and_is_resolved_again() {
    let mut all = fresh();
    let given = all.silence(ms(10));
    let given = resolved(&mut all, only(&given), &[1]);
    let (first, _) = dial(&given);
    let given = answered(&mut all, first, 0, refusal(RefusalReason::Myself, &[]));
    let address = Address::Name(NAME.to_owned());
    assert!(events(&given).contains(&&Event::DialedMyself { address }));
    assert_eq!(all.machine.phase(), Phase::Running);
    assert_eq!(error(&all).as_deref(), Some("is this node itself"));
    let (waited, ticket) = until_resolution(&mut all);
    let retry_max = all.machine.config().tuning.retry_max;
    assert!(waited + ms(10) >= retry_max && waited <= retry_max + ms(10));
    // If nothing changes, this is reported only once.
    let given = resolved(&mut all, ticket, &[1]);
    let (own, address) = dial(&given);
    assert_eq!(address, to(1));
    let given = answered(&mut all, own, 0, refusal(RefusalReason::Myself, &[]));
    assert_eq!((dials(&given), events(&given)), (vec![], vec![]));
    let (_, ticket) = until_resolution(&mut all);
    let given = resolved(&mut all, ticket, &[2, 1]);
    assert_eq!(dial(&given).1, to(2), "the name has a further address");
}

/// Passes time until the name is resolved again, while messages arrive from one neighbour.
fn until_resolution_beside(all: &mut NeighbourWorld, link: u64) -> (Duration, Ticket) {
    let begun = all.now;
    loop {
        let given = all.hear_only(&[link], ms(250));
        if !resolutions(&given).is_empty() {
            return (all.now - begun, only(&given));
        }
        assert_eq!((dials(&given), events(&given)), (vec![], vec![]));
        assert!(all.now - begun < Duration::from_secs(120));
    }
}

/// A name has two addresses. Dials to the first fail. The second, `at`, leads to a member, and `at` is either the
/// address in the record of the member or another one.
fn reached_beside_a_failed_address(at: usize) {
    let mut all = fresh();
    let given = all.silence(ms(10));
    let given = resolved(&mut all, only(&given), &[1, at]);
    let given = refuses(&mut all, dial(&given).0);
    let (second, address) = dial(&given);
    assert_eq!(address, to(at));
    answered(&mut all, second, 2, welcome(2, 1));
    let link = 100 + second.0;
    let pace = all.machine.config().tuning.retry_max;
    let peer = |all: &NeighbourWorld| all.machine.seeds().next().unwrap().1.cloned();
    for _ in 0..3 {
        let (waited, ticket) = until_resolution_beside(&mut all, link);
        assert!(
            waited >= pace / 2 && waited <= pace / 2 * 3 + ms(1_250),
            "{waited:?}"
        );
        let given = resolved(&mut all, ticket, &[1, at]);
        let (again, address) = dial(&given);
        assert_eq!(address, to(1), "a live member has the other address");
        let given = refuses(&mut all, again);
        assert_eq!((dials(&given), events(&given)), (vec![], vec![]));
        assert_eq!(peer(&all), Some(name(2)));
    }
    // While the member is alive, a failed resolution is not a failure of the seed address.
    for reason in [
        ResolutionError::TimedOut,
        ResolutionError::Failed("planted".into()),
    ] {
        let (_, ticket) = until_resolution_beside(&mut all, link);
        let addresses = Err(reason);
        let given = all.give(Input::Resolved { ticket, addresses });
        assert_eq!((dials(&given), events(&given)), (vec![], vec![]));
        assert_eq!(peer(&all), Some(name(2)));
    }
    let (_, ticket) = until_resolution_beside(&mut all, link);
    let given = resolved(&mut all, ticket, &[at]);
    assert_eq!(dials(&given), []);
    let given = all.hear_only(&[link], Duration::from_secs(120));
    assert_eq!(resolutions(&given), [], "the name lists no other address");
    assert_eq!(peer(&all), Some(name(2)));
}

#[test]
fn a_failed_address_beside_one_of_a_live_member_is_dialled_again_slowly() {
    reached_beside_a_failed_address(2);
}

#[test]
fn an_address_that_led_to_a_live_member_of_another_address_is_not_dialled_again() {
    reached_beside_a_failed_address(5);
}

#[test]
fn an_address_that_led_to_this_node_is_dialled_again_after_a_while() {
    let mut all = fresh();
    let given = all.silence(ms(10));
    let mut given = resolved(&mut all, only(&given), &[1]);
    let address = Address::Name(NAME.to_owned());
    for round in 0..3 {
        let (myself, to_address) = dial(&given);
        assert_eq!(to_address, to(1));
        let given_by_answer = answered(&mut all, myself, 0, refusal(RefusalReason::Myself, &[]));
        let reported = events(&given_by_answer);
        let event = Event::DialedMyself {
            address: address.clone(),
        };
        assert_eq!(reported.contains(&&event), round == 0, "{reported:?}");
        assert_eq!(error(&all).as_deref(), Some("is this node itself"));
        let (_, ticket) = until_resolution(&mut all);
        given = resolved(&mut all, ticket, &[1]);
    }
    // Another node has taken the address.
    answered(&mut all, dial(&given).0, 1, welcome(1, 1));
    let seed = all.machine.seeds().next();
    assert_eq!(seed.and_then(|(_, peer, _)| peer.cloned()), Some(name(1)));
}

#[test]
fn an_address_that_led_to_this_node_and_then_fails_is_a_failure_of_the_seed() {
    let mut all = fresh();
    let given = all.silence(ms(10));
    let given = resolved(&mut all, only(&given), &[1]);
    let (myself, _) = dial(&given);
    answered(&mut all, myself, 0, refusal(RefusalReason::Myself, &[]));
    let (_, ticket) = until_resolution(&mut all);
    let given = resolved(&mut all, ticket, &[1]);
    let given = refuses(&mut all, dial(&given).0);
    assert!(
        matches!(events(&given)[..], [Event::DialFailed { .. }]),
        "{given:?}"
    );
    let wanted = format!("{}: connection refused", to(1));
    assert_eq!(error(&all), Some(wanted));
}

#[test]
fn an_answer_that_takes_seconds_is_used() {
    let mut all = fresh();
    let ticket = only(&all.silence(ms(10)));
    let given = all.silence(ms(9_500));
    assert_eq!((resolutions(&given), events(&given)), (vec![], vec![]));
    let given = resolved(&mut all, ticket, &[1]);
    assert_eq!(dial(&given).1, to(1));
}

#[test]
fn an_answer_is_awaited_although_the_member_of_the_name_goes_meanwhile() {
    let mut all = fresh();
    let given = all.silence(ms(10));
    let given = resolved(&mut all, only(&given), &[1, 2]);
    let given = refuses(&mut all, dial(&given).0);
    let (second, _) = dial(&given);
    answered(&mut all, second, 2, welcome(2, 1));
    let link = 100 + second.0;
    let (_, ticket) = until_resolution_beside(&mut all, link);
    let gone = LinkId(link);
    all.give(Input::Closed {
        link: gone,
        reason: CloseReason::Farewell,
    });
    let given = all.silence(ms(6_000));
    assert_eq!(resolutions(&given), []);
    let failed = |event: &&&Event| matches!(event, Event::DialFailed { .. });
    assert_eq!(events(&given).iter().filter(failed).count(), 0);
    let given = resolved(&mut all, ticket, &[3]);
    assert_eq!(dial(&given).1, to(3));
}

#[test]
fn dials_to_the_addresses_of_names_leave_room_for_dials_to_members() {
    let names = (0..16).map(|index| Address::Name(format!("seed-{index}:7000")));
    let mut all = with_names(names.collect());
    let mut given = all.silence(ms(10));
    all.link(1, 1);
    let mut pending = std::collections::BTreeSet::new();
    let mut most = 0;
    for round in 0..40 {
        for (ticket, name) in resolutions(&given) {
            let index: usize = name[5..name.len() - 5].parse().unwrap();
            let silent = (0..ADDRESSES_MAX).map(|at| address(1_000 + 100 * index + at));
            let addresses = Ok(silent.collect());
            all.give(Input::Resolved { ticket, addresses });
        }
        given = all.hear_only(&[1], ms(50));
        for (_, dial, address) in dials(&given) {
            let Address::Socket(address) = address else {
                unreachable!("a dial goes to an address")
            };
            pending.insert((address.ip(), dial));
        }
        pending.retain(|(_, dial)| all.machine.dialer.get(*dial).is_some());
        most = most.max(pending.len());
        if round == 20 {
            let own: Vec<usize> = (2..8).collect();
            let learnt: Vec<_> = own.iter().map(|at| published(*at, 1)).collect();
            all.receives(1, records(&learnt));
        }
    }
    assert!(most >= 24, "the names fill their share: {most}");
    let ring = all.machine.links(all.now).count();
    let to_members = (2..8).map(|at| address(at).ip());
    let seen: Vec<_> = to_members
        .filter(|ip| pending.iter().any(|(of, _)| of == ip))
        .collect();
    assert!(
        !seen.is_empty(),
        "no member is dialled beside {ring} links: {pending:?}"
    );
}

#[test]
fn an_answer_that_fails_is_empty_or_does_not_come_is_a_failure_of_the_seed() {
    let mut all = fresh();
    let mut ticket = only(&all.silence(ms(10)));
    let failures = [
        (
            Some(Err(ResolutionError::Failed("no such host".to_owned()))),
            "the name was not resolved: no such host",
        ),
        (Some(Ok(vec![])), "the name has no address"),
        (None, "the name was not resolved in time"),
    ];
    for (addresses, wanted) in failures {
        let answers = addresses.is_some();
        let given = match addresses {
            Some(addresses) => all.give(Input::Resolved { ticket, addresses }),
            None => all.silence(all.machine.config().tuning.resolution_timeout),
        };
        let [Event::DialFailed { reason, .. }] = events(&given)[..] else {
            panic!("{given:?}")
        };
        assert_eq!(reason, wanted);
        assert_eq!(error(&all).as_deref(), Some(wanted));
        let late = ticket;
        (_, ticket) = until_resolution(&mut all);
        if !answers {
            let given = resolved(&mut all, late, &[1]);
            assert_eq!(given, [], "the answer is late");
        }
    }
    let given = resolved(&mut all, ticket, &[1]);
    assert_eq!(dial(&given).1, to(1));
}

#[test]
fn an_answer_for_a_removed_seed_is_ignored() {
    let mut all = fresh();
    let ticket = only(&all.silence(ms(10)));
    all.give(Input::Seeds {
        addresses: vec![to(9)],
        replace: true,
    });
    all.silence(ms(10));
    assert_eq!(resolved(&mut all, ticket, &[1]), []);
    // A seed address that is added again is resolved by a new order.
    all.give(Input::Seeds {
        addresses: vec![Address::Name(NAME.to_owned())],
        replace: true,
    });
    let again = only(&all.silence(ms(300)));
    assert_ne!(again, ticket);
    assert_eq!(resolved(&mut all, ticket, &[1]), []);
}

#[test]
fn a_name_with_the_address_of_a_live_member_is_not_dialled() {
    let mut all = fresh();
    let ticket = only(&all.silence(ms(10)));
    all.link(1, 3);
    let given = resolved(&mut all, ticket, &[3]);
    assert_eq!(dials(&given), []);
    let seed = all.machine.seeds().next();
    assert_eq!(seed.and_then(|(_, peer, _)| peer.cloned()), Some(name(3)));
}

#[test]
fn resolutions_in_progress_and_the_addresses_of_a_name_are_bounded() {
    let names = (0..40).map(|index| Address::Name(format!("seed-{index}:7000")));
    let mut all = with_names(names.collect());
    let given = all.silence(ms(10));
    let ordered = resolutions(&given);
    assert_eq!(ordered.len(), 16);
    let (mut answers, mut seen) = (ordered.len(), ordered.len());
    let mut waiting: Vec<Ticket> = ordered.into_iter().map(|(ticket, _)| ticket).collect();
    while let Some(ticket) = waiting.pop() {
        all.give(Input::Resolved {
            ticket,
            addresses: Err(ResolutionError::TimedOut),
        });
        answers -= 1;
        let given = all.silence(ms(1));
        for (ticket, _) in resolutions(&given) {
            waiting.push(ticket);
            (answers, seen) = (answers + 1, seen + 1);
        }
        assert!(answers <= 16);
        if seen >= 40 {
            break;
        }
        if waiting.is_empty() {
            let given = all.silence(ms(300));
            let more = resolutions(&given);
            (answers, seen) = (answers + more.len(), seen + more.len());
            waiting.extend(more.into_iter().map(|(ticket, _)| ticket));
        }
    }
    assert!(seen >= 40, "the other names are resolved later: {seen}");
    let mut all = fresh();
    let ticket = only(&all.silence(ms(10)));
    let many: Vec<usize> = (1..=ADDRESSES_MAX + 5).collect();
    let mut given = resolved(&mut all, ticket, &many);
    let mut dialled = 0;
    while let [(_, dial, _)] = dials(&given)[..] {
        dialled += 1;
        given = refuses(&mut all, dial);
    }
    assert_eq!(dialled, ADDRESSES_MAX);
}

#[test]
fn a_name_of_silent_addresses_does_not_delay_the_other_seeds() {
    let mut all = with_names(vec![Address::Name(NAME.to_owned()), to(50), to(51)]);
    let ticket = only(&all.silence(ms(10)));
    let many: Vec<usize> = (10..10 + ADDRESSES_MAX).collect();
    let mut given = resolved(&mut all, ticket, &many);
    given.extend(all.silence(ms(1_000)));
    let dialled: Vec<Address> = dials(&given).into_iter().map(|(_, _, it)| it).collect();
    assert!(dialled.contains(&to(51)), "{dialled:?}");
}

#[test]
fn another_address_of_a_linked_member_does_not_replace_the_link() {
    let mut all = fresh();
    let given = all.silence(ms(10));
    let given = resolved(&mut all, only(&given), &[1, 2]);
    let (first, _) = dial(&given);
    answered(&mut all, first, 1, welcome(1, 1));
    let given = all.hear_only(&[100 + first.0], ms(400));
    let second = dials(&given)
        .into_iter()
        .find_map(|(_, dial, address)| (address == to(2)).then_some(dial))
        .expect("no record names the second address");
    let link = LinkId(900);
    let given = all.give(Input::Dialed {
        dial: second,
        link,
        peer: name(1),
    });
    let orders: Vec<_> = given.iter().map(|(_, order)| order).collect();
    assert!(
        matches!(orders[..], [Output::Close { link: closed }] if *closed == link),
        "{orders:?}"
    );
    assert!(all.machine.links(all.now).any(|it| it.peer == name(1)));
}
