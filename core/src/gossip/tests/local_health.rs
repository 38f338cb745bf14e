//! Reactions of a node to faults of its own: a local stall, and timer lag.

use super::super::message::Frame;
use super::super::*;
use super::failure_detector::suspect;
use super::neighbours::{NeighbourWorld, dials, events, ms};
use super::world::name;

#[test]
fn a_paused_node_declares_no_member_down_at_once() {
    for (stopped, forgives) in [(1_000, false), (1_001, true), (9_000, true)] {
        let mut all = NeighbourWorld::new(3);
        let due = all.machine.next_deadline().unwrap();
        all.now = due + ms(stopped);
        let given = all.give(Input::Wake);
        let late = ms(stopped);
        assert_eq!(
            events(&given).contains(&&Event::Paused { late }),
            forgives,
            "{stopped}"
        );
        assert!(!events(&given).contains(&&Event::Isolated));
        if !forgives {
            continue;
        }
        assert!(
            all.machine
                .links(all.now)
                .all(|link| !link.silent && link.quiet == ms(0))
        );
        // All neighbours get the full timeout again.
        let given = all.silence(ms(1_900));
        assert_eq!(dials(&given), []);
        assert_eq!(all.own_report(), []);
    }
}

#[test]
fn a_paused_node_restarts_the_timeouts_of_suspects_and_dials() {
    let mut all = NeighbourWorld::new(3);
    suspect(&mut all);
    let due = all.machine.next_deadline().unwrap();
    all.now = due + ms(3_000);
    all.give(Input::Wake);
    let woke = all.now;
    let given = all.hear_only(&[1, 2, 3], ms(20_000));
    let down = given
        .iter()
        .find(|(_, order)| {
            *order
                == Output::Report(Event::PeerDown {
                    id: name(7),
                    cause: DeathCause::Silent,
                    joint: false,
                })
        })
        .map(|(at, _)| *at)
        .expect("down in the end");
    assert!(
        down >= woke + all.machine.config().tuning.down_after,
        "{down:?} {woke:?}"
    );
}

#[test]
fn a_repeatedly_paused_node_still_declares_a_suspect_down() {
    let mut all = NeighbourWorld::new(3);
    suspect(&mut all);
    let since = all.now;
    let down = Event::PeerDown {
        id: name(7),
        cause: DeathCause::Silent,
        joint: false,
    };
    loop {
        let due = all.machine.next_deadline().unwrap();
        all.now = due + ms(1_500);
        let mut given = all.give(Input::Wake);
        given.extend(all.hear_only(&[1, 2, 3], ms(3_000)));
        if events(&given).contains(&&down) {
            break;
        }
        assert!(all.now - since < ms(40_000), "put off for ever");
    }
    assert!(all.now - since > ms(9_000), "put off twice");
}

#[test]
fn a_lagging_node_waits_longer_before_it_declares_a_member_down() {
    let down_after = |lag: u64| {
        let mut all = NeighbourWorld::new(3);
        suspect(&mut all);
        let since = all.now;
        loop {
            // Each timer fires late by the lag.
            let due = all.machine.next_deadline().expect("a deadline");
            all.now = (due + ms(lag)).max(all.now);
            let mut given = all.give(Input::Wake);
            for link in 1..=3 {
                given.extend(all.receives(link, Frame::default()));
            }
            let down = Event::PeerDown {
                id: name(7),
                cause: DeathCause::Silent,
                joint: false,
            };
            if events(&given).contains(&&down) {
                return all.now - since;
            }
            assert!(all.now - since < ms(60_000));
        }
    };
    let (prompt, late) = (down_after(0), down_after(300));
    assert!(prompt < ms(6_000), "{prompt:?}");
    // The timeout grows by eight times the accumulated lag, but by at most eight seconds; the lag itself adds to this.
    assert!(
        late >= prompt + ms(16 * 300) && late < prompt + ms(8_000 + 2_000),
        "{prompt:?} {late:?}"
    );
}
