//! Negotiation of the protocol version, at both ends.

use super::super::message::{Hello, VERSION_MAX, VERSION_MIN, Welcome};
use super::super::*;
use super::dialing::{answered, fresh, welcome};
use super::handshake::{connect, hello, record_of};
use super::neighbours::{NeighbourWorld, dials, events, ms};
use super::world::name;

fn welcomed(version: u32) -> Message {
    let Message::Welcome(welcome) = welcome(1, 1) else {
        panic!("a welcome")
    };
    Message::Welcome(Welcome { version, ..welcome })
}

#[test]
fn a_version_that_was_not_offered_is_refused() {
    for version in [0, VERSION_MAX + 1, u32::MAX] {
        let mut all = fresh(&[1]);
        let (_, dial, _) = dials(&all.silence(ms(1)))[0];
        let given = answered(&mut all, dial, 1, welcomed(version));
        let refused = Event::Rejected {
            from: name(1),
            reason: Rejection::VersionNotOffered,
        };
        assert!(events(&given).contains(&&refused), "version {version}");
        assert_eq!(all.machine.link_count(), 0, "version {version}");
    }
    for version in VERSION_MIN..=VERSION_MAX {
        let mut all = fresh(&[1]);
        let (_, dial, _) = dials(&all.silence(ms(1)))[0];
        answered(&mut all, dial, 1, welcomed(version));
        let links: Vec<LinkView> = all.machine.links(all.now).collect();
        assert_eq!(links.len(), 1);
        assert_eq!(links[0].version, version);
    }
}

#[test]
fn the_acceptor_reports_a_version_refusal() {
    let mut all = NeighbourWorld::new(1);
    for versions in [(0, VERSION_MIN - 1), (VERSION_MAX + 1, VERSION_MAX + 7)] {
        let later = Hello {
            version_min: versions.0,
            version_max: versions.1,
            ..hello(1, record_of(7, 1, 7))
        };
        let given = connect(&mut all, 50, later);
        let peer = name(7);
        let reported = Event::VersionRefused { peer, versions };
        assert_eq!(events(&given), [&reported]);
        assert_eq!(all.machine.link_count(), 1);
    }
}

#[test]
fn a_link_speaks_the_newest_version_of_both_ends() {
    for (offered, spoken) in [(1, 1), (VERSION_MAX, VERSION_MAX), (9, VERSION_MAX)] {
        let mut all = NeighbourWorld::new(1);
        let offer = Hello {
            version_max: offered,
            ..hello(1, record_of(7, 1, 7))
        };
        connect(&mut all, 50, offer);
        let link = all.machine.links(all.now).find(|link| link.peer == name(7));
        assert_eq!(link.map(|link| link.version), Some(spoken), "{offered}");
    }
}
