//! Slow links: late answers, echoes, and the timeouts that follow from round trips.

use super::super::message::{Frame, Hello};
use super::super::*;
use super::dialing::welcome;
use super::neighbours::{NeighbourWorld, Order, dials, events, frames, ms, published};
use super::world::{config, name};
use crate::link::{DialId, LinkId};
use crate::time::Duration;

const ROUND_TRIP: Duration = ms(1_600);

fn fresh(targets: &[usize]) -> NeighbourWorld {
    let mut all = NeighbourWorld {
        machine: Gossip::new(config(0, 1, targets), 1, Instant::ZERO),
        now: Instant::ZERO,
    };
    all.give(Input::Start);
    all
}

/// `n0` with a link 1 to `n1`, whose handshake took a round trip.
fn far_neighbour() -> NeighbourWorld {
    let mut all = fresh(&[]);
    let link = LinkId(1);
    all.give(Input::Accepted {
        link,
        peer: name(1),
    });
    all.silence(ROUND_TRIP);
    let hello = Hello {
        mesh: "test".into(),
        version_min: 1,
        version_max: 2,
        session: 1,
        joining: false,
        alone: false,
        hash: 0,
        record: published(1, 1),
        revocations: 0,
    };
    all.give(Input::Receive {
        link,
        message: Message::Hello(hello),
    });
    all
}

fn requested(orders: &[Order]) -> Vec<u32> {
    let pings = frames(orders, 1).into_iter().map(|(_, frame)| frame.ping);
    pings.filter(|ping| *ping != 0).collect()
}

/// Advances time while `n1` is heard, and answers each echo after a round trip. Returns the number of echoes.
fn answer_echoes(all: &mut NeighbourWorld, duration: Duration) -> usize {
    let (end, mut under_way, mut count) = (all.now + duration, Vec::new(), 0);
    while all.now < end {
        let mut given = all.receives(1, Frame::default());
        given.extend(all.silence(ms(100)));
        let due = all.now + ROUND_TRIP;
        for ping in requested(&given) {
            count += 1;
            under_way.push((due, ping));
        }
        let now = all.now;
        for (_, pong) in under_way.extract_if(.., |(due, _)| *due <= now) {
            all.receives(
                1,
                Frame {
                    pong,
                    ..Frame::default()
                },
            );
        }
    }
    count
}

fn silent_after(all: &NeighbourWorld) -> Duration {
    let mut links = all.machine.links(all.now);
    links.next().expect("the link is open").silent_after
}

#[test]
fn the_answer_of_a_slow_peer_is_awaited_beyond_the_timeout_of_the_dial() {
    let mut all = fresh(&[1]);
    let (_, dial, _) = dials(&all.silence(ms(1)))[0];
    all.silence(ms(1_200));
    let link = LinkId(9);
    all.give(Input::Dialed {
        dial,
        link,
        peer: name(1),
    });
    let given = all.silence(ms(1_000));
    assert!(given.iter().all(|(_, it)| *it != Output::Close { link }));
    let given = all.give(Input::Receive {
        link,
        message: welcome(1, 1),
    });
    let is_up = |event: &&Event| matches!(event, Event::LinkUp { .. });
    assert!(events(&given).iter().any(is_up), "{given:?}");
    let round_trip = all.machine.links(all.now).next().unwrap().round_trip;
    // The dial took three round trips, and the handshake one.
    assert!(round_trip.is_some_and(|it| it >= ms(400) && it < ms(410)));
}

#[test]
fn later_dials_of_a_node_that_measured_a_slow_peer_have_more_time() {
    let mut all = fresh(&[1]);
    let (_, dial, _) = dials(&all.silence(ms(1)))[0];
    // The peer answers too late for the dial, and another link exists meanwhile.
    all.silence(ms(4_800));
    all.link(5, 1);
    let given = all.give(Input::Dialed {
        dial,
        link: LinkId(9),
        peer: name(1),
    });
    assert_eq!(given, [(all.now, Output::Close { link: LinkId(9) })]);
    let member = all.machine.context.topology.index_of(&name(1));
    let timeout = all
        .machine
        .round_trips
        .dial_timeout(&all.machine.context, member);
    // The open link proves that the peer is near.
    assert_eq!(timeout, all.machine.config().tuning.dial_timeout);
    let mut all = fresh(&[1]);
    let (_, dial, _) = dials(&all.silence(ms(1)))[0];
    all.silence(ms(4_800));
    all.give(Input::Dialed {
        dial,
        link: LinkId(9),
        peer: name(1),
    });
    let timeout = all
        .machine
        .round_trips
        .dial_timeout(&all.machine.context, None);
    assert!(timeout > ms(6_400) && timeout <= Gossip::DIAL_TIMEOUT_MAX);
}

#[test]
fn a_slow_link_is_measured_by_echoes_and_tolerates_a_longer_silence() {
    let mut all = far_neighbour();
    let default = all.machine.config().tuning.silent_after;
    assert_eq!(silent_after(&all), default);
    let echoes = answer_echoes(&mut all, ms(60_000));
    assert!((8..=25).contains(&echoes), "{echoes} echoes");
    let extended = silent_after(&all);
    assert!(extended >= default + ms(2_200), "{extended:?}");
    assert!(extended <= default + Gossip::ALLOWANCE_MAX);
    all.silence(default + ms(500));
    let is_silent = |all: &NeighbourWorld| all.machine.links(all.now).next().unwrap().silent;
    assert!(!is_silent(&all));
    all.silence(extended - default);
    assert!(is_silent(&all));
}

#[test]
fn a_neighbour_that_answers_no_echo_keeps_the_default_silence() {
    let mut all = far_neighbour();
    let given = all.rest(ms(60_000));
    let echoes = requested(&given).len();
    assert!((1..=5).contains(&echoes), "{echoes} echoes");
    assert_eq!(silent_after(&all), all.machine.config().tuning.silent_after);
}

#[test]
fn an_echo_is_answered_at_once_and_a_flood_of_requests_is_not() {
    let mut all = NeighbourWorld::new(1);
    let ping = Frame {
        ping: 7,
        ..Frame::default()
    };
    let pongs = |given: &[Order]| {
        let pongs = frames(given, 1).into_iter().map(|(_, frame)| frame.pong);
        pongs.filter(|pong| *pong == 7).count()
    };
    assert_eq!(pongs(&all.receives(1, ping.clone())), 1);
    let flood: usize = (0..100)
        .map(|_| pongs(&all.receives(1, ping.clone())))
        .sum();
    assert_eq!(flood, 0);
    all.silence(ms(250));
    assert_eq!(pongs(&all.receives(1, ping)), 1);
}

#[test]
fn a_fast_mesh_sends_no_echo() {
    let mut all = NeighbourWorld::new(3);
    let given = all.rest(ms(120_000));
    for link in 1..=3 {
        let frames = frames(&given, link);
        assert!(frames.iter().all(|(_, frame)| frame.ping == 0));
    }
    assert_eq!(dials(&all.silence(ms(1))), []);
    let unknown = DialId(99);
    let given = all.give(Input::Dialed {
        dial: unknown,
        link: LinkId(9),
        peer: name(9),
    });
    assert_eq!(given, [(all.now, Output::Close { link: LinkId(9) })]);
}
