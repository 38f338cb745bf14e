//! The node's own id: claims of other nodes to the id, the end of the node's participation, and its resumption. The
//! ends of handshakes and links.

use super::dialer::{Dial, DialPurpose};
use super::dispute::{ClaimAnswer, Dispute};
use super::message::{Frame, Goodbye, Refusal, RefusalReason};
use super::self_record::{Claim, Succession};
use super::timer::Timers;
use super::{Event, Gossip, Input, LinkEnd, Message, Output, Phase, Rejection, Status};
use crate::identity::NodeId;
use crate::link::{CloseReason, LinkId, LocalClose, Ticket};
use crate::sabotage::Switch;
use crate::time::Instant;
use crate::topology::publication::Key;
use crate::topology::record::{EdgeReport, Record};
use crate::topology::{Applied, EdgeFailure, MemberIndex};
use std::sync::Arc;

/// How a record under the node's own id arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Testimony<'a> {
    /// In a handshake with a peer that has a certificate of the id.
    InPerson,
    /// From a neighbour with another id, if the neighbour is still known.
    Relayed(Option<&'a NodeId>),
}

/// Queries, without side effects.
impl Gossip {
    /// The time since which another node holds this node's id, which that node proved in a handshake.
    #[must_use]
    pub fn name_taken_since(&self) -> Option<Instant> {
        self.dispute.suspended_since()
    }

    /// The time since which another node that this node never met is known to use this node's id.
    #[must_use]
    pub fn duplicate_since(&self, now: Instant) -> Option<Instant> {
        self.dispute.duplicate_since(now)
    }
}

/// Values under the node's own id.
impl Gossip {
    /// A record under the node's own id.
    pub(super) fn on_own_record(&mut self, heard: &Arc<Record>, from: LinkId) -> Applied {
        let same = heard == self.record();
        let me = Key::Record(self.context.me);
        match self.self_record.claim(&self.context, heard) {
            Claim::Known => {}
            Claim::Outdated => self.frames.push(from, me),
            Claim::Newer => {
                let relay = self.peer_of(from);
                self.on_newer_self(heard, Testimony::Relayed(relay.as_ref()));
            }
            Claim::Forged if self.context.has(Switch::AdoptsForgery) => {
                let before = self.self_record.adopt(&mut self.context, heard);
                self.on_view_changed(me, before);
            }
            Claim::Forged => {
                let relay = self.peer_of(from);
                if !self
                    .self_record
                    .refute(&mut self.context, heard, relay.clone())
                {
                    self.dispute_claim(heard, relay.as_ref());
                }
            }
        }
        if same { Applied::Same } else { Applied::Older }
    }

    /// A report under the node's own id.
    pub(super) fn on_own_report(&mut self, heard: &Arc<EdgeReport>, from: LinkId) -> Applied {
        let same = self.context.topology.report(self.id()) == Some(heard);
        if self.self_record.refute_report(&mut self.context, heard) {
            self.report_rejected(from, Rejection::ForgedReport);
        }
        if same { Applied::Same } else { Applied::Older }
    }

    /// A record with a higher epoch or instance than this node's own record.
    pub(super) fn on_newer_self(&mut self, heard: &Record, testimony: Testimony<'_>) {
        let in_person = testimony == Testimony::InPerson;
        match self.self_record.succession(&self.context, heard, in_person) {
            Succession::Stays => {}
            Succession::Raises(above) if above < self.context.counter_max() => {
                self.self_record.raise_epoch(&mut self.context, above);
            }
            Succession::GivesUp => self.give_up_id(heard),
            Succession::Raises(_) | Succession::Disputed => {
                let relay = match testimony {
                    Testimony::InPerson => None,
                    Testimony::Relayed(relay) => relay,
                };
                if self.context.has(Switch::BelievesHearsay) {
                    self.give_up_id(heard);
                    return;
                }
                self.dispute_claim(heard, relay);
            }
        }
    }

    fn dispute_claim(&mut self, heard: &Record, relay: Option<&NodeId>) {
        let own = Arc::clone(self.self_record.record());
        let answer = self.dispute.on_claim(&mut self.context, &own, heard, relay);
        self.answer_claim(answer);
    }

    /// A dial to a claimed address ended without proof.
    fn on_claim_unproven(&mut self) {
        let own = Arc::clone(self.self_record.record());
        let answer = self.dispute.on_unproven(&mut self.context, &own);
        self.answer_claim(answer);
    }

    /// The answer to the claims under the node's id is due.
    pub(super) fn settle_claims(&mut self) {
        let own = Arc::clone(self.self_record.record());
        let answer = self.dispute.settle(&mut self.context, &own);
        self.answer_claim(answer);
    }

    fn answer_claim(&mut self, answer: ClaimAnswer) {
        match answer {
            ClaimAnswer::None => {}
            ClaimAnswer::Raise(above) => self.self_record.raise_epoch(&mut self.context, above),
            ClaimAnswer::Dial(address) => {
                let me = self.context.me;
                let begun = self.dialer.len();
                self.dial(DialPurpose::Claim, address, Some(me));
                if self.dialer.len() == begun {
                    self.on_claim_unproven();
                }
            }
        }
    }

    /// A handshake was refused because another record of this node's id is newer.
    pub(super) fn on_refused_for_id(&mut self, peer: &NodeId, refusal: &Refusal) {
        if refusal.reason != RefusalReason::NameTaken {
            return;
        }
        let Some(yours) = refusal.yours.as_ref().filter(|it| it.id() == self.id()) else {
            return;
        };
        let (own, theirs) = (self.record().rank(), yours.rank());
        let newer = (theirs.epoch, theirs.instance) > (own.epoch, own.instance);
        if newer || !self.self_record.is_established(self.context.now) {
            let in_person = peer == self.id() && own.instance != theirs.instance;
            let testimony = if in_person {
                Testimony::InPerson
            } else {
                Testimony::Relayed(Some(peer))
            };
            self.on_newer_self(yours, testimony);
        }
    }

    pub(super) fn on_stored(&mut self, ticket: Ticket) {
        if !self.self_record.on_stored(ticket) {
            return;
        }
        if self.self_record.phase() == Phase::NameTaken {
            self.resume();
        }
        self.bootstrap.schedule_at_once(&mut self.context);
    }
}

/// The ends of handshakes and links.
impl Gossip {
    pub(super) fn on_refused(&mut self, link: LinkId, member: MemberIndex, refusal: &Refusal) {
        let Some(handshake) = self.handshakes.end(&mut self.context, link) else {
            return;
        };
        let peer = handshake.peer().clone();
        self.context.out.push(Output::Close { link });
        let dial = self.dialer.over(link);
        if refusal.reason == RefusalReason::Superseded
            && refusal.session <= self.context.session_max()
        {
            self.members.note_session(member, refusal.session);
        }
        self.on_refused_for_id(&peer, refusal);
        if self.is_over() {
            return;
        }
        if let Some(dial) = dial {
            self.on_dial_refused(dial, refusal);
        }
    }

    pub(super) fn close_for_protocol(&mut self, link: LinkId, reason: Rejection) {
        self.report_rejected(link, reason);
        let dial = self.dialer.over(link);
        self.send_goodbye(link, Goodbye::Protocol);
        if let Some(dial) = dial {
            self.note_failed_dial(dial, EdgeFailure::Protocol);
            self.on_dial_ended(dial, "it broke the protocol");
        }
    }

    pub(super) fn on_goodbye(&mut self, link: LinkId, goodbye: Goodbye) {
        let end = match goodbye {
            Goodbye::Leaving => LinkEnd::PeerLeft,
            Goodbye::Superseded => LinkEnd::Superseded,
            Goodbye::Unneeded | Goodbye::NameTaken | Goodbye::Protocol => LinkEnd::PeerClosed,
        };
        let theirs = match (self.links.get(link), self.handshakes.get(link)) {
            (Some(held), _) => !held.is_dialed(),
            (None, held) => held.is_some_and(|held| held.proposed().is_none()),
        };
        self.drop_link(link, end);
        self.overlay.schedule(&mut self.context);
        if goodbye == Goodbye::Unneeded && theirs {
            // The neighbour dialled the link and does not need it. If this node requested the link, it dials and keeps
            // its own.
            self.dial_requested();
        }
    }

    pub(super) fn on_closed(&mut self, link: LinkId, reason: CloseReason) {
        if let Some(handshake) = self.handshakes.end(&mut self.context, link) {
            if handshake.proposed().is_some()
                && let Some(dial) = self.dialer.over(link)
            {
                let peer = self.dialer.get(dial).and_then(Dial::peer);
                self.note_failed_dial(dial, EdgeFailure::Protocol);
                self.on_dial_ended(dial, "the connection closed during the handshake");
                if let Some(member) = peer {
                    self.on_handshake_broken(member, reason);
                }
            }
            return;
        }
        let Some(held) = self.links.get(link).filter(|held| held.is_open()) else {
            return;
        };
        let (member, peer) = (held.member(), held.peer().clone());
        // The peer closes the old link when it has accepted a better connection, and its acceptance is still in flight.
        let (me, proposed) = (self.id(), self.dialer.session(member));
        let better = proposed.map(|session| (session, core::cmp::Reverse(me)));
        let better = better.is_some_and(|better| better > held.precedence(me));
        let replaced = self.dialer.is_renewing(member) || better && reason == CloseReason::Farewell;
        let end = match reason {
            _ if replaced => LinkEnd::Superseded,
            CloseReason::Local(LocalClose::Malformed) => LinkEnd::Protocol,
            CloseReason::Local(LocalClose::Expired) => LinkEnd::Expired,
            CloseReason::Local(LocalClose::Untrusted) => LinkEnd::Untrusted,
            CloseReason::Local(LocalClose::Revoked) => LinkEnd::Revoked,
            CloseReason::Local(LocalClose::Overflow | LocalClose::GivenUp)
            | CloseReason::Farewell
            | CloseReason::Fin
            | CloseReason::Reset
            | CloseReason::TimedOut => LinkEnd::Lost,
        };
        self.context.report(Event::LinkDown {
            peer,
            link,
            reason: end,
        });
        let evidence = !replaced
            && self.context.topology.is_ring_edge(self.context.me, member)
            && self.status(member) != Status::Left;
        if evidence {
            self.links.set_broken(link);
            if self.dissemination.make_lazy(link) {
                self.flood();
            }
            self.silence.on_broken(&mut self.context, link);
            self.on_broken(member, reason);
        } else {
            self.remove_link(link);
        }
        self.overlay.schedule(&mut self.context);
    }
}

/// The end of the node's participation.
impl Gossip {
    pub(super) fn on_leave(&mut self) {
        if self.self_record.phase() == Phase::Leaving {
            return;
        }
        self.self_record.leave();
        if self.context.has(Switch::NoLeaveAnnouncement) {
            self.finish_leaving();
            return;
        }
        self.self_record.announce_departure(&mut self.context);
        if !self.has_live_link() {
            self.finish_leaving();
        }
    }

    pub(super) fn finish_leaving(&mut self) {
        self.end_all_links(Goodbye::Leaving);
        self.context.timers = Timers::new();
        self.self_record.on_left(&mut self.context);
    }

    fn end_all_links(&mut self, goodbye: Goodbye) {
        let links = self.links.iter().map(|(id, _)| id);
        let mut all: Vec<LinkId> = links.chain(self.handshakes.keys()).collect();
        all.sort_unstable();
        if goodbye == Goodbye::Leaving {
            self.publish();
            self.flush_now();
            self.tell_greeted();
        }
        for link in all {
            self.send_goodbye(link, goodbye);
        }
        self.dialer.clear(&mut self.context);
    }

    /// Sends the record of the departure where a hello is on its way: the peer opens the link when the hello arrives, and
    /// tells the mesh of this node.
    fn tell_greeted(&mut self) {
        let record = self.self_record.record();
        if !record.rank().leaving {
            return;
        }
        let pending = self.handshakes.keys().filter(|link| {
            let held = self.handshakes.get(*link);
            held.is_some_and(|held| held.proposed().is_some())
        });
        for link in pending.collect::<Vec<_>>() {
            let message = Message::Frame(Frame {
                records: vec![Arc::clone(record)],
                ..Frame::default()
            });
            self.context.out.push(Output::Send { link, message });
        }
    }

    /// Another machine proved the node's id: the node stops until that machine is gone.
    fn give_up_id(&mut self, holder: &Record) {
        let rank = holder.rank();
        self.context.report(Event::NameTaken {
            epoch: rank.epoch,
            instance: rank.instance,
        });
        self.end_all_links(Goodbye::NameTaken);
        let leaving = self.self_record.phase() == Phase::Leaving;
        self.self_record.on_name_taken();
        self.dispute.suspend(&mut self.context, holder);
        if leaving {
            self.context.timers = Timers::new();
            self.self_record.on_left(&mut self.context);
        }
    }
}

/// The state after the node left or gave up its id.
impl Gossip {
    /// After the node left, new connections are closed, and all other inputs are ignored. After the node gave up its
    /// id, the node also inquires whether the holder of the id is gone.
    pub(super) fn after_the_end(&mut self, input: Input) {
        let suspended = self.self_record.phase() == Phase::NameTaken;
        match input {
            Input::Dialed { dial, link, peer } if suspended => self.on_dialed(dial, link, peer),
            Input::Accepted { link, .. } | Input::Dialed { link, .. } => {
                self.context.out.push(Output::Close { link });
            }
            Input::Leave if suspended => {
                self.context.timers = Timers::new();
                self.self_record.on_left(&mut self.context);
            }
            Input::DialFailed { dial, reason } if suspended => {
                self.on_dial_ended(dial, &reason.to_string());
            }
            Input::Receive { link, message } if suspended => self.on_answer(link, message),
            Input::Closed { link, reason } if suspended => self.on_closed(link, reason),
            Input::Stored { ticket } if suspended => self.on_stored(ticket),
            Input::StoreFailed { ticket } if suspended => {
                self.self_record.on_store_failed(&mut self.context, ticket);
            }
            Input::Announce(content) if suspended => {
                self.self_record.announce(&mut self.context, content);
            }
            Input::Seeds { addresses, replace } if suspended => self.on_seeds(addresses, replace),
            Input::EditSeeds { add, remove } if suspended => self.on_edited_seeds(&add, &remove),
            Input::Discover(discovery) if suspended => self.bootstrap.set_discovery(discovery),
            Input::Calendar(wall) => self.context.set_calendar(wall),
            Input::Wake if suspended => self.on_wake_suspended(),
            Input::Start
            | Input::DialFailed { .. }
            | Input::Resolved { .. }
            | Input::Receive { .. }
            | Input::Heard { .. }
            | Input::Exchanging { .. }
            | Input::Closed { .. }
            | Input::Stored { .. }
            | Input::StoreFailed { .. }
            | Input::Announce(_)
            | Input::Seeds { .. }
            | Input::EditSeeds { .. }
            | Input::Discover(_)
            | Input::RequestLink { .. }
            | Input::Forget { .. }
            | Input::Renew { .. }
            | Input::Leave
            | Input::Wake => {}
        }
    }

    /// Asks the holder of the id for a proof, and other nodes, one after the other until one of them answers, whether
    /// they know the holder as gone.
    pub(super) fn inquire(&mut self) {
        Dispute::schedule_inquiry(&mut self.context);
        if self.self_record.is_raising() || self.dialer.len() > 0 {
            return;
        }
        if self.context.has(Switch::NameStaysTaken) {
            return;
        }
        let me = self.context.me;
        if let Some((_, Some(holder))) = self.dispute.holder() {
            self.dial(DialPurpose::Claim, holder, Some(me));
        }
        self.dispute.begin_inquiry(&mut self.context);
        self.ask_next();
    }

    /// Asks the next node of the inquiry, if another one may be asked.
    fn ask_next(&mut self) {
        let seeds = self.bootstrap.socket_addresses();
        if let Some(address) = self.dispute.next_to_ask(&mut self.context, &seeds) {
            self.dial(DialPurpose::Inquiry, address, None);
        }
    }

    /// A message arrived on a connection of an inquiry.
    fn on_answer(&mut self, link: LinkId, message: Message) {
        let Some(peer) = self.handshakes.get(link).map(|held| held.peer().clone()) else {
            return;
        };
        let Some(dial) = self.dialer.over(link) else {
            return;
        };
        let gone = match &message {
            // The peer knows no newer record under the id.
            Message::Welcome(_) => Some(true),
            Message::Refuse(refusal) => {
                let yours = refusal.yours.as_ref().filter(|it| it.id() == self.id());
                if let Some(yours) = yours {
                    self.dispute.on_holder(yours);
                }
                yours.map(|yours| refusal.gone || yours.rank().leaving)
            }
            Message::Hello(_) | Message::Goodbye(_) | Message::Frame(_) => None,
        };
        let gone = gone.filter(|_| peer != *self.id());
        self.send_goodbye(link, Goodbye::Unneeded);
        let ended = self.dialer.end(&mut self.context, dial);
        let purpose = ended.map(|dial| dial.purpose());
        match gone {
            Some(true) => self.reclaim(),
            None if purpose == Some(DialPurpose::Inquiry) => self.ask_next(),
            Some(false) | None => {}
        }
    }

    /// A dial to a claimed address, or of an inquiry, ended without a proof or an answer. If a node that gave up its id
    /// knows no other node, the silence of the holder counts.
    pub(super) fn on_claim_dial_ended(&mut self, purpose: DialPurpose) {
        if self.self_record.phase() != Phase::NameTaken {
            if purpose == DialPurpose::Claim {
                self.on_claim_unproven();
            }
            return;
        }
        let alone = self.context.topology.len() <= 1 && self.bootstrap.len() == 0;
        if purpose == DialPurpose::Claim && alone {
            self.reclaim();
        }
        if purpose == DialPurpose::Inquiry && !self.self_record.is_raising() {
            self.ask_next();
        }
    }

    /// The holder of the id is gone: the node takes a higher epoch, and resumes once the epoch is stored.
    fn reclaim(&mut self) {
        if let Some((epoch, _)) = self.dispute.holder() {
            self.self_record.raise_epoch(&mut self.context, epoch);
        }
    }

    /// The node uses its id again. Its observations of other members restart, as after a pause.
    fn resume(&mut self) {
        for link in self.handshakes.keys().collect::<Vec<_>>() {
            self.send_goodbye(link, Goodbye::Unneeded);
        }
        self.dialer.clear(&mut self.context);
        if self.dispute.resume(&mut self.context).is_none() {
            return;
        }
        self.self_record.on_resumed(self.bootstrap.len() == 0);
        let epoch = self.record().rank().epoch;
        self.context.report(Event::NameResumed { epoch });
        self.restart_observations();
        self.overlay.schedule_at_once(&mut self.context);
    }

    /// The observations of other members restart.
    pub(super) fn restart_observations(&mut self) {
        self.local_health.on_pause(&mut self.context);
        self.silence.on_pause(&self.context);
        self.refusals.on_pause(&mut self.context);
        self.verdict.on_pause(&mut self.context);
        self.dialer.restart_time_outs(&mut self.context);
    }
}
