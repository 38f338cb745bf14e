//! Incoming connections and messages, and the reactions of the components to them.

use super::admission;
use super::capacity::{self, LinkValue, Room};
use super::dialer::DialPurpose;
use super::dissemination::{Dissemination, Merged, ReceivedRecord, Unmerged};
use super::frame_builder::SYNCS_MAX;
use super::handshake::{self, Handshakes};
use super::links::{Link, Precedence};
use super::message::{AgedReport, Frame, Goodbye, Hello, Refusal, RefusalReason, Welcome};
use super::output::REFUSED_FOR;
use super::own_id::Testimony;
use super::{Event, Gossip, LinkEnd, Message, Output, Phase, Rejection, Status};
use crate::identity::NodeId;
use crate::link::{Address, DialId, LinkId};
use crate::sabotage::Switch;
use crate::time::Duration;
use crate::topology::publication::Key;
use crate::topology::record::Record;
use crate::topology::{Applied, EdgeFailure, MemberIndex};
use std::sync::Arc;

/// Time within which a node that found the mesh receives all that the members know of the node's earlier starts.
const ECHO_TIME: Duration = Duration::from_secs(2);

/// Connections and handshakes.
impl Gossip {
    pub(super) fn on_accepted(&mut self, link: LinkId, peer: NodeId) {
        let links = self.links.len();
        self.handshakes.accept(&mut self.context, link, peer, links);
    }

    pub(super) fn on_dialed(&mut self, dial: DialId, link: LinkId, peer: NodeId) {
        let resumed = self.resume_overdue(dial, &peer);
        let Some(attempt) = self.dialer.get(dial) else {
            self.context.out.push(Output::Close { link });
            return;
        };
        // The expected member may have been forgotten since the dial began: any peer is then accepted.
        let expected = attempt.peer().and_then(|peer| self.context.id_of(peer));
        if let Some(expected) = expected.filter(|expected| *expected != peer) {
            let address = Address::Socket(attempt.address());
            let member = attempt.peer();
            let context = &self.context;
            if member.is_none_or(|member| self.dialer.on_misdirected(context, member)) {
                self.context.report(Event::WrongPeer {
                    address,
                    expected,
                    found: peer,
                });
            }
            self.context.out.push(Output::Close { link });
            self.note_failed_dial(dial, EdgeFailure::WrongPeer);
            self.on_dial_ended(dial, "another node answered");
            return;
        }
        if attempt.purpose() == DialPurpose::AddressCheck {
            attempt
                .peer()
                .inspect(|peer| self.address_checks.on_passed(*peer));
            self.context.out.push(Output::Close { link });
            self.dialer.end(&mut self.context, dial);
            return;
        }
        let (purpose, address) = (attempt.purpose(), attempt.address());
        let elapsed = self.context.now - attempt.started();
        self.newcomers.on_answered(&peer);
        let Some(member) = self.place_of_peer(&peer) else {
            self.context.out.push(Output::Close { link });
            self.on_dial_ended(dial, "the view is full");
            return;
        };
        if let DialPurpose::Seed(index) = purpose
            && self.bootstrap.is_name(index)
            && self.live_link_to(member).is_some()
        {
            // A dial to another address of the name already reached this member: that link stays.
            self.context.out.push(Output::Close { link });
            self.dialer.end(&mut self.context, dial);
            self.bootstrap
                .on_linked(&mut self.context, index, address, Some(peer));
            return;
        }
        self.on_member_answered(member);
        let session = self.members.begin_session(member);
        self.dialer.connected(dial, link, member, session);
        let (own, linked) = (self.self_record.record(), self.has_live_link());
        let proposed = (member, session);
        self.handshakes
            .send_hello(&mut self.context, link, peer, proposed, own, linked);
        self.measure_dial((dial, link, member), elapsed, resumed);
    }

    pub(super) fn on_handshake_due(&mut self, link: LinkId) {
        if self.handshakes.end(&mut self.context, link).is_none() {
            return;
        }
        self.context.out.push(Output::Close { link });
        if let Some(dial) = self.dialer.over(link) {
            self.note_failed_dial(dial, EdgeFailure::TimedOut);
            self.on_dial_ended(dial, "no answer to the handshake");
        }
    }

    /// The peer of a connection sent a part of its revocations.
    pub(super) fn on_exchanging(&mut self, link: LinkId) {
        let latest = self.handshakes.on_progress(&mut self.context, link);
        if let (Some(latest), Some(dial)) = (latest, self.dialer.over(link)) {
            self.dialer.extend(&mut self.context, dial, latest);
        }
    }

    fn on_hello(&mut self, link: LinkId, peer: &NodeId, hello: &Hello) {
        if hello.record.id() != peer {
            self.close_for_protocol(link, Rejection::WrongRecord);
            return;
        }
        if handshake::is_successor(peer, &hello.record, self.record()) {
            self.handshakes.end(&mut self.context, link);
            self.context.out.push(Output::Close { link });
            self.on_newer_self(&hello.record, Testimony::InPerson);
            return;
        }
        if hello.session > self.context.session_max() {
            self.close_for_protocol(link, Rejection::CounterTooHigh);
            return;
        }
        if let Some(refusal) = self.reason_to_refuse(peer, hello) {
            handshake::report_version(&mut self.context, peer, hello, &refusal);
            self.handshakes.refuse(&mut self.context, link, refusal);
            return;
        }
        let Some(member) = self.place_of_peer(peer) else {
            self.close_for_protocol(link, Rejection::TooMany);
            return;
        };
        if handshake::is_later_start(&self.context, member, &hello.record) {
            self.members.reset_sessions(member);
        }
        self.members.note_session(member, hello.session);
        let handshake = self.handshakes.end(&mut self.context, link);
        // The `Hello` is refused unless there is room for a link of some value.
        if !self.context.has(Switch::NoReferral) {
            self.make_room(member, LinkValue::Confirmed);
        }
        Handshakes::welcome(&mut self.context, link, hello, self.self_record.record());
        let fresh = Link::new(
            peer.clone(),
            member,
            false,
            hello.session,
            handshake::version(hello),
            self.context.now,
        );
        self.open(link, fresh, (&hello.record, hello.hash), hello.joining);
        self.measure_handshake(link, member, handshake);
        if hello.joining {
            self.frames.snapshot(link, false);
        }
    }

    fn reason_to_refuse(&mut self, peer: &NodeId, hello: &Hello) -> Option<Refusal> {
        let closing = self.self_record.phase() == Phase::Leaving || self.self_record.is_raising();
        let own = self.self_record.record();
        let objection = handshake::objection(&self.context, peer, hello, own, closing);
        let objection = objection.map(|refusal| Refusal {
            gone: refusal.yours.is_some() && self.is_gone(peer),
            ..refusal
        });
        objection.or_else(|| self.reason_to_refuse_connection(peer, hello))
    }

    /// Whether a member with a record is down, left or forgotten.
    fn is_gone(&self, id: &NodeId) -> bool {
        self.context.topology.index_of(id).is_some_and(|member| {
            let gone = matches!(self.status(member), Status::Down | Status::Left);
            gone || self.context.topology.is_retired(member)
        })
    }

    fn reason_to_refuse_connection(&mut self, peer: &NodeId, hello: &Hello) -> Option<Refusal> {
        let member = self.context.topology.index_of(peer);
        if let Some(member) = member
            && !handshake::is_later_start(&self.context, member, &hello.record)
            && let Some(session) = self.better_session(member, (hello.session, peer))
        {
            return Some(Refusal {
                session,
                ..handshake::refusal(RefusalReason::Superseded)
            });
        }
        let known = member.is_some_and(|member| {
            self.links.is_neighbour(member)
                || self.context.topology.is_known(member) && !hello.joining
        });
        if !known && !self.admission.take_token(&self.context) {
            return Some(self.referral(RefusalReason::Busy, peer));
        }
        if self.context.has(Switch::NoReferral) {
            return None;
        }
        let only = !known || hello.joining || hello.alone;
        match self.room(member, self.value_of(member, only)) {
            Room::Free => None,
            // A token limits how often a node without a link makes this node close another link.
            Room::InsteadOf(_) if known && only && !self.admission.take_token(&self.context) => {
                Some(self.referral(RefusalReason::Busy, peer))
            }
            Room::InsteadOf(_) => None,
            Room::None => Some(self.referral(RefusalReason::Full, peer)),
        }
    }

    /// The value of an accepted link; `only`: the peer has no other link.
    fn value_of(&self, member: Option<MemberIndex>, only: bool) -> LinkValue {
        let topology = &self.context.topology;
        let known = member.filter(|member| topology.is_known(*member));
        if only {
            LinkValue::Only
        } else if known.is_some_and(|member| topology.is_ring_edge(self.context.me, member)) {
            LinkValue::Ring
        } else {
            LinkValue::Surplus
        }
    }

    /// The room for a link of this value.
    pub(super) fn room(&self, member: Option<MemberIndex>, value: LinkValue) -> Room {
        if self.context.has(Switch::Unbounded) {
            return Room::Free;
        }
        let near = (&self.neighbourhood(), &self.overlay);
        capacity::room(&self.context, near, member, value, |member| {
            let edge = self.self_record.edge(member);
            edge.is_some_and(|edge| !edge.is_down())
        })
    }

    /// Closes a link if a new link of this value needs the room. Returns false if all links are worth more.
    fn make_room(&mut self, member: MemberIndex, value: LinkValue) -> bool {
        match self.room(Some(member), value) {
            Room::Free => true,
            Room::InsteadOf(link) => {
                self.send_goodbye(link, Goodbye::Unneeded);
                true
            }
            Room::None => false,
        }
    }

    /// The session that takes precedence over a session proposed by the peer, if any: of an open connection with the
    /// member, or of a handshake that this node dialled.
    fn better_session(&self, member: MemberIndex, (session, peer): (u32, &NodeId)) -> Option<u32> {
        if self.context.has(Switch::NoTieBreak) {
            return None;
        }
        let me = self.id();
        let dialed = self.dialer.session(member);
        if self.context.has(Switch::TieBreakBySide) {
            return dialed;
        }
        let theirs: Precedence<'_> = (session, core::cmp::Reverse(peer));
        let dialed = dialed.map(|session| (session, core::cmp::Reverse(me)));
        let held = self.live_link_to(member).map(|link| link.precedence(me));
        let ours = held.into_iter().chain(dialed);
        let better = ours.filter(|ours| *ours >= theirs);
        better.map(|(session, _)| session).max()
    }

    /// The open link to a member, if it is not silent.
    fn live_link_to(&self, member: MemberIndex) -> Option<&Link> {
        let (id, link) = self.links.open_to(member)?;
        (!self.silence.is_silent(id)).then_some(link)
    }

    /// A refusal that names other members to try.
    fn referral(&mut self, reason: RefusalReason, dialer: &NodeId) -> Refusal {
        Refusal {
            others: admission::referrals(&mut self.context, &self.members, dialer),
            ..handshake::refusal(reason)
        }
    }

    fn on_welcome(
        &mut self,
        link: LinkId,
        (member, session): (MemberIndex, u32),
        welcome: &Welcome,
    ) {
        let Some(peer) = self.handshakes.get(link).map(|held| held.peer().clone()) else {
            return;
        };
        if welcome.record.id() != &peer {
            self.close_for_protocol(link, Rejection::WrongRecord);
            return;
        }
        if !handshake::is_offered(welcome.version) {
            self.close_for_protocol(link, Rejection::VersionNotOffered);
            return;
        }
        let purpose = self.finish_dial(link);
        let fresh = Link::new(
            peer,
            member,
            true,
            session,
            welcome.version,
            self.context.now,
        );
        let me = self.id();
        let beaten = self
            .live_link_to(member)
            .is_some_and(|open| open.precedence(me) > fresh.precedence(me));
        if beaten && !self.context.has(Switch::NoTieBreak) {
            self.send_goodbye(link, Goodbye::Superseded);
            return;
        }
        let value = purpose.map_or(LinkValue::Surplus, LinkValue::of_dial);
        if !self.make_room(member, value) {
            self.send_goodbye(link, Goodbye::Unneeded);
            self.dialer
                .back_off_full(&self.context, member, REFUSED_FOR);
            return;
        }
        let joining = self.context.topology.len() <= 1;
        let replaced = self.links.open_to(member);
        let was_random = replaced.is_some_and(|(open, _)| self.overlay.is_random(open));
        if purpose == Some(DialPurpose::RandomLink)
            || purpose == Some(DialPurpose::Renewal) && was_random
        {
            self.overlay.mark_random(link);
        }
        let handshake = self.handshakes.end(&mut self.context, link);
        self.open(link, fresh, (&welcome.record, welcome.hash), joining);
        self.measure_handshake(link, member, handshake);
    }

    /// The handshake on a dialled connection is complete: the connection becomes the link.
    fn finish_dial(&mut self, link: LinkId) -> Option<DialPurpose> {
        let dial = self.dialer.over(link)?;
        let attempt = self.dialer.end(&mut self.context, dial)?;
        let (context, address) = (&mut self.context, attempt.address());
        let peer = attempt.peer().and_then(|peer| context.id_of(peer));
        if let Some(peer) = &peer {
            self.bootstrap.on_proved(peer, address, true);
        }
        match attempt.purpose() {
            DialPurpose::Seed(index) => self.bootstrap.on_linked(context, index, address, peer),
            DialPurpose::Kept(index) => self.bootstrap.on_kept_linked(context, index),
            DialPurpose::Referral
            | DialPurpose::Ring
            | DialPurpose::Redial
            | DialPurpose::Probe
            | DialPurpose::RandomLink
            | DialPurpose::Requested
            | DialPurpose::Renewal
            | DialPurpose::AddressCheck
            | DialPurpose::Claim
            | DialPurpose::Inquiry => {}
        }
        Some(attempt.purpose())
    }

    /// Both ends agreed: the connection becomes the link to its peer.
    fn open(
        &mut self,
        link: LinkId,
        fresh: Link,
        (record, hash): (&Arc<Record>, u64),
        joining: bool,
    ) {
        let (member, dialed, session) = (fresh.member(), fresh.is_dialed(), fresh.session());
        let peer = fresh.peer().clone();
        if let (false, Some(address)) = (dialed, record.content().address) {
            self.bootstrap.on_proved(&peer, address, false);
        }
        let replaced = self.links.current(member).filter(|old| *old != link);
        let eager = joining || !self.has_eager_link();
        // A node that received nothing for a while has missed broadcasts, and later messages do not reveal the loss.
        let was_cut_off = !self.has_link_heard_within(self.context.tuning().redial_after);
        let doubted =
            self.status(member) != Status::Alive || self.self_record.edge(member).is_some();
        let lost = replaced.is_some_and(|old| !self.is_link_alive(old));
        let disrupted = doubted || lost;
        // A comparison of views that just began on the replaced connection is not repeated.
        let synced = replaced.and_then(|old| self.anti_entropy.synced(old));
        let eager = eager || replaced.is_some_and(|old| self.dissemination.is_eager(old));
        if !self.has_live_link() {
            self.newcomers.on_first_link(self.context.now);
        }
        self.links.insert(link, fresh);
        self.silence.on_open(&mut self.context, link);
        self.dissemination.on_open(link, eager);
        self.anti_entropy
            .on_open(&self.context, link, dialed, synced.filter(|_| !disrupted));
        self.frames.on_open(link);
        if let Some(old) = replaced
            && !self.context.has(Switch::NoTieBreak)
        {
            self.drop_link(old, LinkEnd::Superseded);
        }
        let instance = record.rank().instance;
        self.context.out.push(Output::LinkOpened { link, instance });
        self.context.report(Event::LinkUp { peer, link, dialed });
        // A neighbour does not necessarily know about an earlier start of this node. Updates about earlier starts
        // arrive from other members within this time.
        let slow = self.round_trips.grace(&self.context);
        let since = self.context.after(ECHO_TIME + slow);
        self.self_record.establish(since);
        self.dialer.reset_back_off(member);
        self.end_refusals(member);
        self.unreachable.on_linked(member);
        // A suspect is announced when a path is found.
        if self.status(member) == Status::Alive {
            self.announce_lost(member);
        }
        self.members.on_linked(member);
        self.on_stated(record, member, link);
        // The record of a later start resets the sessions, but not below the session just opened.
        self.members.note_session(member, session);
        self.on_link_heard(link, member);
        let edge = self.self_record.edge(member);
        if edge.is_some_and(|edge| edge.is_down()) || self.status(member) != Status::Alive {
            self.self_record
                .set_edge(member, false, Some(self.context.now));
        }
        let reconciles = was_cut_off || disrupted && dialed;
        if reconciles && !joining && hash != self.hash() {
            self.begin_sync(link);
        }
        self.overlay.schedule(&mut self.context);
    }

    /// The peer of a new link stated its record. A member that this node had forgotten is told so: the other nodes that
    /// forgot the member take it back with a newer record.
    fn on_stated(&mut self, record: &Arc<Record>, member: MemberIndex, link: LinkId) {
        let held = self.context.topology.slot(member);
        let held = held
            .filter(|slot| slot.retired)
            .and_then(|slot| slot.record.cloned());
        let Some(received) = self.merge_stated(record) else {
            return;
        };
        let (applied, key) = self.on_record(record, received, link);
        let Some(held) = held.filter(|_| self.context.topology.is_known(member)) else {
            self.relay(key, applied, link);
            return;
        };
        let gone_for = self.members.gone_for(&self.context, member);
        self.members.on_reinstated(member);
        self.relay(key, applied, link);
        if *record < held {
            self.frames.push(link, Key::Record(member));
        } else if *record == held {
            self.frames.forgotten(link, gone_for.unwrap_or_default());
        }
    }
}

/// Messages.
impl Gossip {
    pub(super) fn on_receive(&mut self, link: LinkId, message: Message) {
        match self.links.get(link) {
            Some(held) => self.on_link_message(link, held.member(), held.is_open(), message),
            None => self.on_handshake_message(link, message),
        }
    }

    fn on_link_message(&mut self, link: LinkId, member: MemberIndex, open: bool, message: Message) {
        match message {
            Message::Goodbye(goodbye) => self.on_goodbye(link, goodbye),
            Message::Frame(frame) if open => self.on_frame(link, member, frame),
            Message::Hello(_) | Message::Welcome(_) | Message::Refuse(_) if open => {
                self.close_for_protocol(link, Rejection::SecondHello);
            }
            // Late messages of a broken connection are dropped.
            Message::Frame(_) | Message::Hello(_) | Message::Welcome(_) | Message::Refuse(_) => {}
        }
    }

    fn on_handshake_message(&mut self, link: LinkId, message: Message) {
        let Some(handshake) = self.handshakes.get(link) else {
            return;
        };
        match (message, handshake.proposed()) {
            (Message::Hello(hello), None) => {
                let peer = handshake.peer().clone();
                self.on_hello(link, &peer, &hello);
            }
            (Message::Welcome(welcome), Some(proposed)) => {
                self.on_welcome(link, proposed, &welcome);
            }
            (Message::Refuse(refusal), Some((member, _))) => {
                self.on_refused(link, member, &refusal);
            }
            (Message::Goodbye(goodbye), _) => self.on_goodbye(link, goodbye),
            (Message::Hello(_), Some(_))
            | (Message::Welcome(_) | Message::Refuse(_), None)
            | (Message::Frame(_), _) => self.close_for_protocol(link, Rejection::BeforeHello),
        }
    }

    /// A message for another state machine of this node proves that the peer is alive and that both ends completed the
    /// handshake.
    pub(super) fn on_heard(&mut self, link: LinkId) {
        if let Some(held) = self.links.get(link) {
            let member = held.member();
            if held.is_open() {
                self.on_link_heard(link, member);
            }
        } else if self.handshakes.get(link).is_some() {
            self.close_for_protocol(link, Rejection::BeforeHello);
        }
    }

    fn on_frame(&mut self, link: LinkId, member: MemberIndex, frame: Frame) {
        self.on_link_heard(link, member);
        self.on_echoes(link, frame.ping, frame.pong);
        if frame.prune {
            self.dissemination.make_lazy(link);
        }
        if !frame.records.is_empty() || !frame.reports.is_empty() {
            self.on_updates(link, &frame.records, &frame.reports);
        }
        if !frame.have.is_empty() {
            let slow = self.round_trips.answer_time(&self.context, link) / 2;
            let frames = &mut self.frames;
            self.dissemination.on_announced(
                &mut self.context,
                link,
                (&frame.have, slow),
                &self.newcomers,
                |key| {
                    frames.on_announced_there(link, key);
                },
            );
        }
        if !frame.graft.is_empty() {
            let keys = self
                .dissemination
                .on_graft(&self.context, link, &frame.graft);
            for key in keys {
                self.frames.update(link, key);
            }
        }
        self.on_gone(link, &frame.gone);
        // Each step of a reconciliation may require a scan of the whole view.
        for step in frame.sync.into_iter().take(SYNCS_MAX) {
            self.on_sync(link, step);
        }
        if let Some(hash) = frame.hash {
            self.on_hash(link, hash);
        }
    }

    /// Reports that a message of a neighbour was rejected, unless the connection closed meanwhile.
    pub(super) fn report_rejected(&mut self, link: LinkId, reason: Rejection) {
        if let Some(from) = self.peer_of(link) {
            self.context.report(Event::Rejected { from, reason });
        }
    }
}

/// Updates.
impl Gossip {
    /// Updates that were broadcast.
    fn on_updates(&mut self, link: LinkId, records: &[Arc<Record>], reports: &[AgedReport]) {
        let (mut useful, mut repeated) = (false, false);
        let received = self.merge_hearsay(link, records);
        for (record, received) in records.iter().zip(received) {
            let (applied, key) = self.on_record(record, received, link);
            let (new, again) = self.weigh(key, applied, link);
            (useful, repeated) = (useful || new, repeated || again);
            self.relay(key, applied, link);
        }
        for report in reports {
            let (applied, key) = self.take_report(report, link);
            let (new, again) = self.weigh(key, applied, link);
            (useful, repeated) = (useful || new, repeated || again);
            self.relay(key, applied, link);
        }
        self.on_reports_merged(reports.len());
        if useful {
            self.dissemination.make_eager(link);
        } else if repeated {
            self.dissemination.make_lazy(link);
            self.frames.prune(link);
        }
    }

    fn weigh(&mut self, key: Option<Key>, applied: Applied, link: LinkId) -> (bool, bool) {
        key.map_or((false, false), |key| {
            self.dissemination.weigh(key, applied, link)
        })
    }

    /// Updates received by anti-entropy, which are broadcast only if the caller requests it.
    pub(super) fn on_pushed(
        &mut self,
        link: LinkId,
        records: &[Arc<Record>],
        reports: &[AgedReport],
        broadcast: bool,
    ) {
        let refused = self.newcomers.refused();
        let received = self.merge_hearsay(link, records);
        for (record, received) in records.iter().zip(received) {
            let (applied, key) = self.on_record(record, received, link);
            key.inspect(|key| self.newcomers.on_pushed(link, key.member()));
            self.on_pushed_value(link, key, applied, broadcast);
        }
        for report in reports {
            let (applied, key) = self.take_report(report, link);
            self.on_pushed_value(link, key, applied, broadcast);
        }
        self.on_reports_merged(reports.len());
        let refused = self.newcomers.refused() > refused;
        self.anti_entropy.on_compared(&self.context, link, refused);
    }

    fn on_pushed_value(
        &mut self,
        link: LinkId,
        key: Option<Key>,
        applied: Applied,
        broadcast: bool,
    ) {
        if let (Some(key), Applied::Newer) = (key, applied) {
            self.dissemination.clear_provenance(key);
        }
        if broadcast {
            self.relay(key, applied, link);
        }
    }

    /// Relays a new value. A value that the neighbour is known to hold is not announced to it.
    fn relay(&mut self, key: Option<Key>, applied: Applied, from: LinkId) {
        let Some(key) = key else { return };
        self.frames.on_held_there(from, key);
        if applied == Applied::Newer {
            self.broadcast(key, Some(from));
        }
    }

    /// A record was received. Returns the outcome in the view, and the record's key in the view.
    fn on_record(
        &mut self,
        record: &Arc<Record>,
        received: ReceivedRecord,
        from: LinkId,
    ) -> (Applied, Option<Key>) {
        match received {
            ReceivedRecord::Own => (self.on_own_record(record, from), None),
            ReceivedRecord::Unmerged(why) => (self.on_unmerged(why, from), None),
            ReceivedRecord::Merged(merged) => {
                if merged.applied == Applied::Newer {
                    self.on_renewed(&merged);
                    self.on_view_changed(merged.key, merged.before);
                } else if self.context.topology.is_retired(merged.key.member()) {
                    self.on_shown(merged.key.member());
                }
                (merged.applied, Some(merged.key))
            }
        }
    }

    /// A neighbour sent the record of a member that this node has forgotten: the member is asked itself, by a dial.
    fn on_shown(&mut self, member: MemberIndex) {
        if self.members.on_shown(&self.context, member) {
            self.prober.begin(&mut self.context);
        }
    }

    fn on_unmerged(&mut self, why: Unmerged, from: LinkId) -> Applied {
        let (reason, applied) = match why {
            Unmerged::CounterTooHigh => (Rejection::CounterTooHigh, Applied::Older),
            Unmerged::TooMany => (Rejection::TooMany, Applied::Full),
            Unmerged::Refused => return Applied::Older,
        };
        self.report_rejected(from, reason);
        applied
    }

    /// A member published an update newer than the one in this view.
    fn on_renewed(&mut self, merged: &Merged) {
        let (member, record) = (merged.key.member(), &merged.record);
        let (id, rank) = (record.id().clone(), record.rank());
        let (epoch, leaves) = (rank.epoch, rank.leaving);
        let was = self.status(member);
        let reborn = merged.is_reborn();
        let known = merged.replaced.is_some();
        let remains_gone = was == Status::Left && leaves;
        // A member that neighbours lost is up only once a path leads to it, or once it publishes an update.
        let lost = self.members.is_reported_gone(member);
        self.members
            .on_renewed(&self.context, member, known, reborn, remains_gone);
        let replaced = merged.replaced.as_ref();
        let moved = replaced.is_some_and(|it| it.content().address != record.content().address);
        if reborn || moved {
            self.dialer.reset_back_off(member);
            self.end_refusals(member);
        }
        if leaves {
            if was != Status::Left {
                self.set_status(member, Status::Left);
                self.verdict.acquit(member);
                self.self_record.clear_edge(member);
                self.members.on_left(&mut self.context, member);
                self.context.report(Event::PeerLeft { id });
                self.on_unproven_dead(member);
            }
        } else if reborn || was == Status::Left {
            self.set_status(member, Status::Alive);
            self.members.on_returned(&mut self.context, member);
            self.verdict.acquit(member);
            if known || !lost {
                self.context.report(Event::PeerUp { id, epoch });
            }
        } else if was == Status::Down {
            // The member published an update after it was declared down: the member has the timeout of a suspect to
            // prove that it is alive.
            self.set_status(member, Status::Suspect);
            self.members.on_returned(&mut self.context, member);
            self.verdict.on_returned(&mut self.context, member);
            self.context.report(Event::PeerUp { id, epoch });
        } else if lost {
            self.context.report(Event::PeerUp { id, epoch });
        } else if merged.is_updated() {
            self.context.report(Event::PeerUpdated { id });
        }
        if reborn || leaves {
            self.overlay.schedule(&mut self.context);
        }
        self.verdict.schedule(&mut self.context);
    }

    /// A member that neighbours had reported lost before its record arrived is alive.
    pub(super) fn announce_lost(&mut self, member: MemberIndex) {
        if self.members.is_reported_gone(member)
            && let Some(record) = self.context.topology.known_record(member)
        {
            let (id, epoch) = (record.id().clone(), record.rank().epoch);
            self.context.report(Event::PeerUp { id, epoch });
        }
    }

    /// Merges a received report. Returns the outcome and the report's key in the view.
    fn take_report(&mut self, aged: &AgedReport, from: LinkId) -> (Applied, Option<Key>) {
        if let Err(why) = Dissemination::check_report(&self.context, aged) {
            return (self.on_unmerged(why, from), None);
        }
        if aged.report.reporter == *self.id() {
            return (self.on_own_report(&aged.report, from), None);
        }
        let topology = &self.context.topology;
        if !self
            .newcomers
            .admits_unknown(topology, &aged.report.reporter)
        {
            return (Applied::Older, None);
        }
        let (applied, key, before) = match Dissemination::merge_report(&mut self.context, aged) {
            Ok(merged) => merged,
            Err(why) => return (self.on_unmerged(why, from), None),
        };
        if applied == Applied::Newer {
            let (now, topology) = (self.context.now, &self.context.topology);
            self.newcomers.on_report(now, topology, key.member());
            self.on_view_changed(key, before);
            if self.status(key.member()) == Status::Down {
                self.members.assume_reachable(key.member());
            }
            self.verdict.schedule(&mut self.context);
        }
        (applied, Some(key))
    }

    /// The view changed at a key; `before` was its hash.
    pub(super) fn on_view_changed(&mut self, key: Key, before: u64) {
        self.anti_entropy.on_changed(&self.context, key, before);
        self.dissemination.on_changed(&mut self.context, key);
    }

    /// An announced update has not arrived: requests it from the next link that announced it.
    pub(super) fn request_missing(&mut self, key: Key) {
        let (links, silence) = (&self.links, &self.silence);
        let is_alive = |link| links.is_open(link) && !silence.is_silent(link);
        let request = self
            .dissemination
            .on_missing(&mut self.context, key, is_alive);
        if let Some((link, id)) = request {
            let slow = self.round_trips.answer_time(&self.context, link);
            Dissemination::schedule_next_request(&mut self.context, key, slow);
            self.frames.graft(link, id);
        }
    }
}
