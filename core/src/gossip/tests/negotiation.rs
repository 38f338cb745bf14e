//! The protocol version of a link: both ends choose the newest that both speak.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one order among many"
)]

use super::super::message::{Hello, RefusalReason, Welcome};
use super::super::*;
use super::handshake::{connect, dialling, hello, refusal, welcome};
use super::neighbours::{NeighbourWorld, events, published};
use super::world::name;
use crate::link::LinkId;

#[test]
fn versions_that_do_not_overlap_are_refused_with_ours() {
    for (least, most, refused) in [
        (1, 1, false),
        (1, 9, false),
        (2, 9, false),
        (3, 9, true),
        (0, 0, true),
        (0, 1, false),
    ] {
        let mut all = NeighbourWorld::new(1);
        let message = Hello {
            version_min: least,
            version_max: most,
            ..hello(1, published(7, 1))
        };
        let given = connect(&mut all, 9, message);
        let found = refusal(&given);
        assert_eq!(found.is_some(), refused, "{least} to {most}");
        let is_refusal = |event: &&&Event| matches!(event, Event::VersionRefused { .. });
        let refusals = events(&given);
        let refusals = refusals.iter().filter(is_refusal).count();
        assert_eq!(refusals, usize::from(refused), "{least} to {most}");
        if let Some(found) = found {
            let peer = name(7);
            let versions = (least, most);
            let reported = Event::VersionRefused { peer, versions };
            assert_eq!(events(&given), [&reported], "{least} to {most}");
            assert_eq!(all.machine.link_count(), 1, "{least} to {most}");
            assert_eq!(
                (found.reason, found.versions),
                (RefusalReason::Version, (1, 2))
            );
        }
    }
}

/// The protocol version of the only link.
fn version(all: &NeighbourWorld) -> Option<u32> {
    let mut links = all.machine.links(all.now);
    links.next().map(|link| link.version)
}

#[test]
fn an_acceptor_chooses_the_newest_version_that_both_ends_speak() {
    for (least, most, chosen) in [
        (1, 1, 1),
        (0, 1, 1),
        (1, 2, 2),
        (2, 2, 2),
        (1, 9, 2),
        (2, 9, 2),
    ] {
        let mut all = NeighbourWorld::new(0);
        let message = Hello {
            version_min: least,
            version_max: most,
            ..hello(1, published(7, 1))
        };
        let given = connect(&mut all, 9, message);
        let found = given.iter().find_map(|(_, order)| match order {
            Output::Send {
                message: Message::Welcome(welcome),
                ..
            } => Some(welcome.version),
            _ => None,
        });
        assert_eq!(found, Some(chosen), "{least} to {most}");
        assert_eq!(version(&all), Some(chosen), "{least} to {most}");
    }
}

#[test]
fn a_dialer_takes_a_version_that_it_offered_and_no_other() {
    for (chosen, taken) in [
        (0, false),
        (1, true),
        (2, true),
        (3, false),
        (u32::MAX, false),
    ] {
        let (mut all, offer) = dialling(&[1]);
        assert_eq!((offer.version_min, offer.version_max), (1, 2));
        let Message::Welcome(welcome) = welcome(published(1, 1)) else {
            panic!("a welcome")
        };
        let message = Message::Welcome(Welcome {
            version: chosen,
            ..welcome
        });
        let link = LinkId(101);
        let given = all.give(Input::Receive { link, message });
        assert_eq!(version(&all), taken.then_some(chosen));
        let from = name(1);
        let reason = Rejection::VersionNotOffered;
        let rejected = events(&given).contains(&&Event::Rejected { from, reason });
        assert_eq!(rejected, !taken, "{chosen}");
        assert_eq!(all.machine.link_count(), usize::from(taken), "{chosen}");
    }
}
