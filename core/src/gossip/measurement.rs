//! Measurements of round trips, the components that follow them, and the evidence of life on links.

use super::Gossip;
use super::dissemination::Dissemination;
use super::handshake::Handshake;
use super::links::Link;
use super::message::{Frame, Message};
use super::view::Phase;
use super::{Output, round_trip};
use crate::identity::NodeId;
use crate::link::{DialId, LinkId};
use crate::time::{Duration, Instant};
use crate::topology::MemberIndex;

/// Dials and handshakes.
impl Gossip {
    /// A dial connected. An overdue dial is in progress again, unless another link to the peer exists or is being made.
    /// Returns whether the dial was resumed.
    pub(super) fn resume_overdue(&mut self, dial: DialId, peer: &NodeId) -> bool {
        let Some(attempt) = self.dialer.overdue(&self.context, dial) else {
            return false;
        };
        let (expected, elapsed) = (attempt.peer(), self.context.now - attempt.started());
        let Some(member) = Dissemination::place_of(&mut self.context, peer) else {
            self.dialer.forget_overdue(dial);
            return false;
        };
        let other = expected.is_some_and(|expected| expected != member);
        let linked = self.links.open_to(member).is_some() || self.dialer.session(member).is_some();
        if other || linked || self.self_record.phase() == Phase::Leaving {
            self.round_trips.on_dialed(member, elapsed);
            self.dialer.forget_overdue(dial);
            return false;
        }
        self.dialer.resume(&mut self.context, dial);
        true
    }

    /// A dial connected after this time. The answer of a slow peer may take as long as the connection did.
    pub(super) fn measure_dial(
        &mut self,
        (dial, link, member): (DialId, LinkId, MemberIndex),
        elapsed: Duration,
        resumed: bool,
    ) {
        self.round_trips.on_dialed(member, elapsed);
        let within = self.round_trips.answer_within(&self.context, elapsed);
        if resumed || within > Duration::ZERO {
            let within = within.max(self.context.tuning().dial_timeout);
            self.dialer.allow_answer(&mut self.context, dial, within);
            self.handshakes
                .allow_answer(&mut self.context, link, within);
        }
    }

    /// A link opened at the end of a handshake.
    pub(super) fn measure_handshake(
        &mut self,
        link: LinkId,
        member: MemberIndex,
        handshake: Option<Handshake>,
    ) {
        if let Some(handshake) = handshake
            && self.links.is_open(link)
        {
            let elapsed = self.context.now - handshake.begun();
            self.round_trips
                .on_open(&self.context, link, member, elapsed);
            self.follow_round_trip(link);
        }
    }
}

/// Echoes on links.
impl Gossip {
    /// A message arrives on a link. If the message is as late as if one was lost, the round trip of the link is checked.
    pub(super) fn check_lateness(&mut self, link: LinkId) {
        let (now, late_from) = (self.context.now, self.context.tuning().redial_after);
        let is_late = |heard: Instant| now - heard >= late_from;
        if self.silence.heard(link).is_some_and(is_late) {
            self.round_trips.on_late(&self.context, link);
        }
    }

    /// Sends heartbeats on the links whose turn it is.
    pub(super) fn send_heartbeats(&mut self, due: Instant) {
        let open = self.links.open_count();
        for _ in 0..self.heartbeat.on_due(&mut self.context, due, open) {
            let Some(link) = self.heartbeat.next(|last| self.links.next_open(last)) else {
                return;
            };
            let hash = self.anti_entropy.hash_is_due(&self.context, link);
            self.frames.heartbeat(link, hash);
            self.request_echo(link);
        }
    }

    /// Requests an echo on a link, if one is due.
    fn request_echo(&mut self, link: LinkId) {
        if let Some(number) = self.round_trips.take_request(&self.context, link) {
            let frame = Frame {
                ping: number,
                ..Frame::default()
            };
            self.send_frame(link, frame);
        }
    }

    /// A neighbour requests an echo, answers one, or neither.
    pub(super) fn on_echoes(&mut self, link: LinkId, ping: u32, pong: u32) {
        if ping != 0 && self.round_trips.admits_answer(&self.context, link) {
            let frame = Frame {
                pong: ping,
                ..Frame::default()
            };
            self.send_frame(link, frame);
        }
        if pong != 0 {
            self.round_trips.on_echo(&self.context, link, pong);
            self.follow_round_trip(link);
        }
    }

    fn send_frame(&mut self, link: LinkId, frame: Frame) {
        let message = Message::Frame(frame);
        self.context.out.push(Output::Send { link, message });
    }

    /// The estimate of a link changed.
    fn follow_round_trip(&mut self, link: LinkId) {
        let allowance = self.round_trips.allowance(&self.context, link);
        self.silence.set_allowance(link, allowance);
        let answer_time = self.round_trips.answer_time(&self.context, link);
        self.anti_entropy.set_answer_time(link, answer_time);
    }

    /// The round trip of a typical slow link, in units of 250 ms; zero in a fast mesh.
    pub(crate) fn pace(&self) -> Duration {
        self.round_trips.pace(&self.context)
    }
}

/// Links and the evidence of life on them.
impl Gossip {
    /// The time at which this node itself last heard a member on a link. A message on a slow link may be under way until
    /// the end of the link's allowance.
    pub(super) fn last_heard(&self, member: MemberIndex) -> Option<Instant> {
        self.neighbourhood().last_heard(member, |link| {
            let received = self.silence.received(link)? + self.silence.allowance(link);
            Some(received.min(self.context.now))
        })
    }

    pub(super) fn has_eager_link(&self) -> bool {
        let links = self.iter_links();
        let mut alive = links.filter(|(_, _, alive)| *alive);
        alive.any(|(id, ..)| self.dissemination.is_eager(id))
    }

    pub(super) fn has_link_heard_within(&self, duration: Duration) -> bool {
        let now = self.context.now;
        let links = self.iter_links();
        let mut alive = links.filter(|(_, _, alive)| *alive);
        alive.any(|(id, ..)| {
            let heard = self.silence.heard(id);
            heard.is_some_and(|heard| now - heard < duration)
        })
    }

    /// The peer of a connection; none if the connection closed.
    pub(super) fn peer_of(&self, link: LinkId) -> Option<NodeId> {
        let linked = self.links.get(link).map(Link::peer);
        let in_handshake = || self.handshakes.get(link).map(|held| held.peer());
        linked.or_else(in_handshake).cloned()
    }
}

/// The bounds of timeouts that follow from round trips.
impl Gossip {
    /// The highest timeout of a dial that follows from a measured round trip.
    pub const DIAL_TIMEOUT_MAX: Duration = round_trip::DIAL_TIMEOUT_MAX;
    /// The highest time by which a measured round trip extends the silence timeouts of a link.
    pub const ALLOWANCE_MAX: Duration = round_trip::ALLOWANCE_MAX;
}
