//! The address of a member that is down is in use by another node.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one order among many"
)]

use super::super::message::RefusalReason;
use super::super::*;
use super::failure_detector::suspect;
use super::neighbours::{NeighbourWorld, dials, events, ms, published, records};
use super::world::{address, name};
use crate::link::{Address, DialError, LinkId};

/// The node that answers at the address of `n7`: another one, of another authority or of another mesh.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Member,
    Authority,
    Mesh,
}

/// `n7` is down, and a node with this answer has its address, for `duration`. Returns the times of the dials to the
/// address, and the number of reports about it.
fn times(answer: Answer, duration: Duration) -> (Vec<Instant>, usize) {
    let mut all = NeighbourWorld::new(3);
    suspect(&mut all);
    all.rest(ms(9_000));
    let (mut times, mut reports) = (vec![], 0);
    let end = all.now + duration;
    while all.now < end {
        let given = all.rest(ms(250));
        for (at, dial, to) in dials(&given) {
            if to != Address::Socket(address(7)) {
                continue;
            }
            times.push(at);
            let link = LinkId(100 + dial.0);
            let peer = match answer {
                Answer::Member => name(9),
                Answer::Mesh => name(7),
                Answer::Authority => {
                    let reason = DialError::Untrusted("another authority".into());
                    all.give(Input::DialFailed { dial, reason });
                    continue;
                }
            };
            let given = all.give(Input::Dialed { dial, link, peer });
            let wrong = events(&given).into_iter().filter(|event| match event {
                Event::WrongPeer { expected, .. } => *expected == name(7),
                _ => false,
            });
            reports += wrong.count();
            if matches!(answer, Answer::Mesh) {
                let message = Message::Refuse(handshake::refusal(RefusalReason::WrongMesh));
                all.give(Input::Receive { link, message });
            }
        }
    }
    (times, reports)
}

#[test]
fn an_address_in_use_by_another_node_is_dialled_with_growing_pauses_and_reported_once() {
    for (answer, reported) in [
        (Answer::Member, 1),
        (Answer::Authority, 0),
        (Answer::Mesh, 0),
    ] {
        let (times, reports) = times(answer, ms(600_000));
        assert_eq!(reports, reported, "{answer:?}");
        // Pauses of 5, 10, 20, 40, 80, 160 and 320 s, each with up to some seconds until the next probe.
        assert!((5..=8).contains(&times.len()), "{answer:?}: {times:?}");
    }
}

#[test]
fn a_member_with_another_address_is_dialled_at_once() {
    let mut all = NeighbourWorld::new(3);
    suspect(&mut all);
    let member = all.machine.topology().index_of(&name(7)).unwrap();
    assert!(
        all.machine
            .dialer
            .on_misdirected(&all.machine.context, member)
    );
    assert!(
        all.machine
            .dialer
            .is_misdirected(&all.machine.context, member)
    );
    let moved = published(7, 9);
    let mut content = moved.content().clone();
    content.address = Some(address(70));
    let moved = Record::new(name(7), moved.rank(), content);
    all.receives(1, records(&[Arc::new(moved)]));
    assert!(
        !all.machine
            .dialer
            .is_misdirected(&all.machine.context, member)
    );
}
