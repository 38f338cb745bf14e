//! Addresses of members that a node keeps for its next start.

use super::super::*;
use super::dialing::{answered, welcome};
use super::neighbours::{NeighbourWorld, dials, events, ms};
use super::world::{address, config};
use crate::link::{Address, DialError};

fn to(index: usize) -> Address {
    Address::Socket(address(index))
}

/// A node without seed addresses whose earlier start kept the addresses of these nodes.
fn with_kept(kept: &[usize]) -> NeighbourWorld {
    let mut config = config(0, 1, &[]);
    config.kept = kept.iter().map(|node| address(*node)).collect();
    let mut all = NeighbourWorld {
        machine: Gossip::new(config, 1, Instant::ZERO),
        now: Instant::ZERO,
    };
    all.give(Input::Start);
    all
}

#[test]
fn a_node_joins_through_the_addresses_that_an_earlier_start_kept() {
    let mut all = with_kept(&[1, 2, 3]);
    let (_, first, address) = dials(&all.silence(ms(1)))[0].clone();
    assert_eq!(address, to(1));
    all.give(Input::DialFailed {
        dial: first,
        reason: DialError::Refused,
    });
    // The next address is dialled at once.
    let (_, second, address) = dials(&all.silence(ms(1)))[0].clone();
    assert_eq!(address, to(2));
    let given = answered(&mut all, second, 2, welcome(2, 1));
    assert!(events(&given).iter().any(|it| it.word() == "link-up"));
    // The address that was not dialled yet is dialled once, and the failed one no more.
    let mut given = all.hear_only(&[2], ms(1_500));
    given.extend(all.hear_only(&[2], ms(60_000)));
    let dialled = dials(&given).into_iter().map(|(_, _, address)| address);
    let dialled: Vec<_> = dialled.filter(|it| [to(1), to(3)].contains(it)).collect();
    assert_eq!(dialled, [to(3)]);
    assert_eq!(kept_orders(&given), 0, "the set of addresses is the same");
}

fn kept_orders(given: &[(Instant, Output)]) -> usize {
    let kept = given.iter();
    let kept = kept.filter(|(_, order)| matches!(order, Output::KeepAddresses { .. }));
    kept.count()
}

#[test]
fn the_addresses_of_proved_members_are_stored_soon_and_once() {
    let mut all = NeighbourWorld {
        machine: Gossip::new(config(0, 1, &[1]), 1, Instant::ZERO),
        now: Instant::ZERO,
    };
    all.give(Input::Start);
    let (_, dial, _) = dials(&all.silence(ms(1)))[0].clone();
    let mut given = answered(&mut all, dial, 1, welcome(1, 1));
    given.extend(all.hear_only(&[100 + dial.0], ms(3_000)));
    let addresses = vec![address(1)];
    let stored = Output::KeepAddresses { addresses };
    assert!(given.iter().any(|(_, order)| *order == stored));
    assert_eq!(kept_orders(&given), 1);
}
