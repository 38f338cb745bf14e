//! The components that select links, for tests of one of them: a node that knows some members.

use super::context::{context, learn};
use crate::gossip::context::Context;
use crate::gossip::dialer::Dialer;
use crate::gossip::failure_detector::silence::Silence;
use crate::gossip::links::{Link, Links};
use crate::gossip::members::Members;
use crate::gossip::overlay::{Neighbourhood, Overlay};
use crate::gossip::round_trip::RoundTrips;
use crate::link::LinkId;
use crate::topology::MemberIndex;

pub(crate) struct Bench {
    pub(crate) context: Context,
    pub(crate) overlay: Overlay,
    pub(crate) members: Members,
    pub(crate) links: Links,
    pub(crate) silence: Silence,
    pub(crate) dialer: Dialer,
    pub(crate) round_trips: RoundTrips,
}

impl Bench {
    /// A node that knows this number of other members and has no links.
    pub(crate) fn of(members: usize) -> Self {
        let mut context = context();
        for index in 1..=members {
            learn(&mut context, index);
        }
        Self {
            members: Members::new(context.now),
            overlay: Overlay::default(),
            links: Links::default(),
            silence: Silence::default(),
            dialer: Dialer::default(),
            round_trips: RoundTrips::default(),
            context,
        }
    }

    pub(crate) fn near(&self) -> Neighbourhood<'_> {
        Neighbourhood {
            members: &self.members,
            links: &self.links,
            silence: &self.silence,
            dialer: &self.dialer,
            round_trips: &self.round_trips,
        }
    }

    /// Opens a link to a member.
    pub(crate) fn link(&mut self, member: MemberIndex, dialed: bool) -> LinkId {
        let link = LinkId(member.into());
        let peer = self.context.id_of(member).unwrap();
        let open = Link::new(peer, member, dialed, 1, 1, self.context.now);
        self.links.insert(link, open);
        self.silence.on_open(&mut self.context, link);
        link
    }
}
