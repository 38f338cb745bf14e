//! The inquiry of a node that gave up its id: which nodes it asks whether the holder of the id is gone.

use super::super::message::RefusalReason;
use super::super::*;
use super::handshake::{connect, elsewhere, hello, record_of, taken};
use super::neighbours::{NeighbourWorld, Order, dials, frames, ms, published, records};
use super::world::{address, name};
use crate::link::{Address, DialError, DialId, LinkId};
use proptest::prelude::*;

/// `n0`, which knows `n1` to `n<count>`, after another machine proved the id of `n0`.
fn suspended_among(count: usize) -> NeighbourWorld {
    let mut all = NeighbourWorld::new(1);
    let known: Vec<_> = (2..=count).map(|index| published(index, 1)).collect();
    all.receives(1, records(&known));
    all.rest(ms(6_000));
    connect(&mut all, 9, hello(1, elsewhere(&record_of(0, 9, 77))));
    assert_eq!(all.machine.phase(), Phase::NameTaken);
    all
}

/// The indices of the members that `n0` dials in one inquiry whose dials fail, in order. The holder is dialled at the
/// address 50.
fn asked(all: &mut NeighbourWorld) -> Vec<usize> {
    let mut given = all.silence(ms(5_000));
    let mut asked = vec![];
    while !dials(&given).is_empty() {
        let mut next: Vec<Order> = vec![];
        for (_, dial, to) in dials(&given) {
            let index = (0..=50).find(|index| Address::Socket(address(*index)) == to);
            asked.extend(index.filter(|index| *index != 50));
            let reason = DialError::Refused;
            next.extend(all.give(Input::DialFailed { dial, reason }));
        }
        given = next;
    }
    asked
}

proptest! {
    /// Members that are gone do not keep a node from those that know of the end of the id's holder.
    #[test]
    fn no_member_is_asked_twice_before_all_others(count in 1_usize..40) {
        let mut all = suspended_among(count);
        let mut order = vec![];
        while order.len() < 2 * count {
            let round = asked(&mut all);
            prop_assert!((1..8).contains(&round.len()));
            order.extend(round);
        }
        for turn in order.chunks_exact(count) {
            let mut turn = turn.to_vec();
            turn.sort_unstable();
            prop_assert!(turn.into_iter().eq(1..=count));
        }
    }
}

/// The dials of the next inquiry; the dial to the holder is left pending.
fn inquiry(all: &mut NeighbourWorld) -> DialId {
    let given = all.silence(ms(5_000));
    let holder = Address::Socket(address(50));
    let found = dials(&given).into_iter().find(|(.., to)| *to != holder);
    found.expect("a dial to a member").1
}

/// The member `index` answers a dial of `n0` with this message.
fn answers(all: &mut NeighbourWorld, dial: DialId, peer: NodeId, answer: Message) -> Vec<Order> {
    let link = LinkId(200 + dial.0);
    all.give(Input::Dialed { dial, link, peer });
    let message = answer;
    all.give(Input::Receive { link, message })
}

#[test]
fn a_refusal_without_a_record_of_the_id_is_followed_by_the_next_question() {
    for reason in [RefusalReason::Busy, RefusalReason::Leaving] {
        let mut all = suspended_among(5);
        let dial = inquiry(&mut all);
        let refusal = Message::Refuse(handshake::refusal(reason));
        let given = answers(&mut all, dial, name(1), refusal);
        assert_eq!(dials(&given).len(), 1, "{reason:?}");
        assert_eq!(all.machine.phase(), Phase::NameTaken);
    }
}

#[test]
fn an_answer_about_a_live_holder_ends_the_inquiry() {
    let mut all = suspended_among(5);
    let dial = inquiry(&mut all);
    let holder = elsewhere(&record_of(0, 9, 77));
    let given = answers(&mut all, dial, name(1), taken(holder, false));
    assert_eq!(dials(&given), []);
    assert!(frames(&given, 200 + dial.0).is_empty());
    assert_eq!(all.machine.phase(), Phase::NameTaken);
}
