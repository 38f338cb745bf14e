//! Replacing an established link by a new connection, step by step.

use super::super::*;
use super::handshake::{connect, connected, dialling_unconnected, hello, links, welcome};
use super::neighbours::{NeighbourWorld, dials, events, ms, published};
use super::world::name;
use crate::link::{CloseReason, LinkId};

/// `n0`, linked to `n1` over link 1, while it dials a replacement for that link; the hello is sent over link 50.
fn renewing() -> NeighbourWorld {
    let mut all = NeighbourWorld::new(2);
    let given = all.give(Input::Renew { link: LinkId(1) });
    let dialled = dials(&given);
    let [(_, dial, _)] = &dialled[..] else {
        panic!("{given:?}")
    };
    let dial = *dial;
    connected(&mut all, dial, 50, 1);
    all
}

#[test]
fn a_renewed_link_stays_until_its_successor_is_established() {
    let mut all = renewing();
    assert_eq!(links(&all), [1, 2], "the third is not open yet");
    let given = all.give(Input::Receive {
        link: LinkId(50),
        message: welcome(published(1, 1)),
    });
    let (peer, link) = (name(1), LinkId(1));
    let reason = LinkEnd::Superseded;
    let down = Event::LinkDown { peer, link, reason };
    assert!(events(&given).contains(&&down), "{given:?}");
    assert_eq!(links(&all), [2, 50]);
    assert_eq!(all.own_report(), []);
}

#[test]
fn a_link_that_ends_for_its_successor_is_not_lost() {
    let mut all = renewing();
    let (peer, link) = (name(1), LinkId(1));
    let reason = CloseReason::Farewell;
    let given = all.give(Input::Closed { link, reason });
    let reason = LinkEnd::Superseded;
    assert_eq!(events(&given), [&Event::LinkDown { peer, link, reason }]);
    let given = all.silence(ms(200));
    assert_eq!(dials(&given), [], "its successor is on the way");
    all.give(Input::Receive {
        link: LinkId(50),
        message: welcome(published(1, 1)),
    });
    assert_eq!(links(&all), [2, 50]);
    assert_eq!(all.own_report(), []);
}

#[test]
fn a_link_that_the_peer_closes_for_another_dial_is_not_lost() {
    for (reason, end) in [
        (CloseReason::Farewell, LinkEnd::Superseded),
        (CloseReason::Fin, LinkEnd::Lost),
    ] {
        let (mut all, dial) = dialling_unconnected(&[1]);
        // The neighbour's connection becomes the link before the own dial connects with a higher session.
        connect(&mut all, 9, hello(1, published(1, 1)));
        assert_eq!(connected(&mut all, dial, 101, 1).session, 2);
        let (peer, link) = (name(1), LinkId(9));
        let given = all.give(Input::Closed { link, reason });
        let reason = end;
        assert!(events(&given).contains(&&Event::LinkDown { peer, link, reason }));
        assert_eq!(
            all.machine.links.get(LinkId(9)).is_some(),
            reason == LinkEnd::Lost
        );
        all.give(Input::Receive {
            link: LinkId(101),
            message: welcome(published(1, 1)),
        });
        assert_eq!(links(&all), [101]);
    }
}

#[test]
fn a_link_with_a_failed_successor_stands_and_a_lost_link_is_dialled_again() {
    for ended in [false, true] {
        let mut all = renewing();
        if ended {
            let (link, reason) = (LinkId(1), CloseReason::Farewell);
            all.give(Input::Closed { link, reason });
        }
        all.give(Input::Closed {
            link: LinkId(50),
            reason: CloseReason::Reset,
        });
        let given = all.silence(ms(200));
        assert_eq!(dials(&given).len(), usize::from(ended));
        assert_eq!(all.machine.links.get(LinkId(1)).is_some(), !ended);
    }
}

#[test]
fn a_neighbour_that_cannot_be_dialled_or_is_gone_is_not_renewed() {
    let mut all = NeighbourWorld::new(2);
    assert_eq!(dials(&all.give(Input::Renew { link: LinkId(77) })), []);
    let twice = all.give(Input::Renew { link: LinkId(1) });
    assert_eq!(dials(&twice).len(), 1);
    assert_eq!(
        dials(&all.give(Input::Renew { link: LinkId(1) })),
        [],
        "one at a time"
    );
}
