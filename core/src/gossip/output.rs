//! Outgoing values, dials and closes: the data this node publishes, the members it dials, and the links it closes.

use super::anti_entropy::{Answer, AntiEntropy};
use super::bootstrap::JOIN_STAGGER;
use super::capacity::{LinkValue, Room};
use super::dialer::{Dial, DialPurpose};
use super::dissemination::Dissemination;
use super::frame_builder::PushMode;
use super::handshake;
use super::links::Link;
use super::message::{FORGET_NOW, Frame, Gone, Goodbye, Refusal, RefusalReason, Sync};
use super::{Event, ForgetRefusal, Gossip, LinkEnd, Message, Neighbourhood, Output, Phase, Status};
use crate::identity::NodeId;
use crate::link::{Address, DialError, DialId, LinkId, ResolutionError, Ticket};
use crate::sabotage::Switch;
use crate::time::Duration;
use crate::topology::publication::Key;
use crate::topology::{EdgeFailure, MemberIndex};
use core::net::SocketAddr;
use std::collections::BTreeMap;

/// Back-off from a member that refused a link as busy; the first back-off from a member that is full.
pub(super) const REFUSED_FOR: Duration = Duration::from_millis(500);

/// Publishing and sending.
impl Gossip {
    /// Publishes the changes of this step: the record at most once, the report at most once.
    pub(super) fn publish(&mut self) {
        let me = self.context.me;
        if let Some(before) = self.self_record.publish_record(&mut self.context) {
            self.members.refresh(&self.context, me, self.context.now);
            self.on_view_changed(Key::Record(me), before);
            self.broadcast(Key::Record(me), None);
        }
        // An isolated node does not accuse members for a while.
        if self.local_health.held_until(&self.context).is_none()
            && let Some(before) = self.self_record.publish_report(&mut self.context)
        {
            self.on_view_changed(Key::EdgeReport(me), before);
            self.broadcast(Key::EdgeReport(me), None);
            self.verdict.schedule(&mut self.context);
        }
    }

    /// Sends the current value of a key to all neighbours but one: the value on eager links, its name on lazy links.
    pub(super) fn broadcast(&mut self, key: Key, except: Option<LinkId>) {
        let schedule = Dissemination::schedule(&self.context, key);
        let links = self.links.iter().zip(self.silence.iter());
        let links = links.zip(self.dissemination.iter());
        let modes = links.map(|(((id, link), (_, silent)), (_, eager))| {
            let mode = if !link.is_open() || Some(id) == except {
                PushMode::None
            } else if eager && !silent {
                PushMode::Eager
            } else {
                PushMode::Lazy
            };
            (id, mode)
        });
        let anti_entropy = &mut self.anti_entropy;
        // Too many announcements: the next heartbeat carries the hash instead.
        self.frames
            .broadcast(key, schedule, modes, |link| anti_entropy.forget_hash(link));
    }

    /// Sends the due output of each link.
    pub(super) fn flush(&mut self) {
        let anti_entropy = &mut self.anti_entropy;
        self.frames.flush(
            &mut self.context,
            &self.links,
            &self.members,
            |context, link| anti_entropy.on_hash_sent(context, link),
        );
    }

    /// Sends all output of every link.
    pub(super) fn flush_now(&mut self) {
        let anti_entropy = &mut self.anti_entropy;
        self.frames.flush_now(
            &mut self.context,
            &self.links,
            &self.members,
            |context, link| anti_entropy.on_hash_sent(context, link),
        );
    }
}

/// Anti-entropy.
impl Gossip {
    pub(super) fn begin_sync(&mut self, link: LinkId) {
        if let Some(step) = self.anti_entropy.begin(&self.context, link) {
            self.frames.sync(link, step);
        }
    }

    pub(super) fn on_hash(&mut self, link: LinkId, theirs: u64) {
        if theirs == self.hash()
            && let Some(held) = self.links.get(link)
        {
            let only = self.links.open_count() == 1;
            self.newcomers.on_agreed(&self.context, held.member(), only);
        }
        let answer = self.anti_entropy.on_hash(&self.context, link, theirs);
        self.send_answer(link, answer);
    }

    fn send_answer(&mut self, link: LinkId, answer: Answer) {
        let (keys, step) = match answer {
            Answer::None => return,
            Answer::Hash => return self.frames.hash(link),
            Answer::Snapshot => return self.frames.snapshot(link, true),
            Answer::Push(keys) => (keys, None),
            Answer::Step(step) => (Vec::new(), Some(step)),
            Answer::Exchange(keys, want) => (keys, (!want.is_empty()).then_some(Sync::Want(want))),
        };
        for key in keys {
            self.frames.push(link, key);
        }
        if let Some(step) = step {
            self.frames.sync(link, step);
        }
    }

    pub(super) fn on_sync(&mut self, link: LinkId, step: Sync) {
        let asks = matches!(step, Sync::Sketch(_) | Sync::Larger(_) | Sync::Want(_));
        let compares = matches!(step, Sync::Sketch(_) | Sync::Larger(_));
        let paused = compares && self.anti_entropy.is_paused(&self.context, link);
        if asks && self.frames.is_syncing(link) || paused {
            return;
        }
        match step {
            Sync::Sketch(cells) => {
                let answer = AntiEntropy::on_sketch(&self.context, &cells);
                self.send_answer(link, answer);
            }
            Sync::Larger(cells) => {
                let answer = AntiEntropy::on_larger(&self.context, cells);
                self.send_answer(link, answer);
            }
            Sync::Want(digests) => {
                let answer = AntiEntropy::on_want(&self.context, digests);
                self.send_answer(link, answer);
            }
            Sync::Push { records, reports } => self.on_pushed(link, &records, &reports, true),
            Sync::Snapshot {
                records,
                reports,
                last,
                reply,
            } => {
                // The first contact of a newcomer has already broadcast the newcomer's record. Other content of a
                // snapshot may still be new to this node's other neighbours.
                let broadcast = reply || self.links.open_count() > 1;
                self.on_pushed(link, &records, &reports, broadcast);
                if last && reply {
                    self.frames.snapshot(link, false);
                }
            }
        }
    }
}

/// Dials.
impl Gossip {
    pub(super) fn dial(
        &mut self,
        purpose: DialPurpose,
        address: SocketAddr,
        peer: Option<MemberIndex>,
    ) {
        if self.may_dial(purpose) {
            let timeout = self.round_trips.dial_timeout(&self.context, peer);
            self.dialer
                .begin(&mut self.context, purpose, (address, peer), timeout);
        }
    }

    /// Whether another dial of this purpose may start.
    fn may_dial(&self, purpose: DialPurpose) -> bool {
        self.self_record.phase() != Phase::Leaving && self.dialer.has_room_for(purpose)
    }

    /// Dials a member, if it is dialable.
    pub(super) fn dial_member(&mut self, purpose: DialPurpose, member: MemberIndex) {
        let learnt = match purpose {
            DialPurpose::Ring
            | DialPurpose::Probe
            | DialPurpose::RandomLink
            | DialPurpose::Requested => true,
            DialPurpose::Seed(_)
            | DialPurpose::Kept(_)
            | DialPurpose::Referral
            | DialPurpose::Redial
            | DialPurpose::Renewal
            | DialPurpose::AddressCheck
            | DialPurpose::Claim
            | DialPurpose::Inquiry => false,
        };
        if learnt && !self.bootstrap.discovers() {
            return;
        }
        let slot = self.context.topology.slot(member);
        let record = slot.and_then(|slot| slot.record);
        if let Some(address) = record.and_then(|record| record.content().address) {
            self.dial(purpose, address, Some(member));
        }
    }

    /// Dials the requested members that have no link, except those in back-off.
    pub(super) fn dial_requested(&mut self) {
        self.overlay.retain_known_requests(&self.context);
        let near = self.neighbourhood();
        for member in self.overlay.requested_missing(&self.context, &near) {
            if self.room(Some(member), LinkValue::Requested) == Room::None {
                return;
            }
            self.dial_member(DialPurpose::Requested, member);
        }
    }

    /// Reconciles links with the rings: dials missing neighbours and closes links without a purpose.
    pub(super) fn reconcile_links(&mut self) {
        let near = self.neighbourhood();
        let needed = self.overlay.ring_links(&self.context, &near);
        for member in needed.dial() {
            if self.room(Some(*member), LinkValue::Ring) != Room::None {
                self.dial_member(DialPurpose::Ring, *member);
            }
        }
        if !needed.is_complete() && self.dialer.len() > 0 {
            let slow = self.round_trips.dial_extension(&self.context);
            self.overlay
                .schedule_next_candidate(&mut self.context, slow);
        }
        if needed.is_complete() && self.bootstrap.discovers() {
            let reported = |member| self.self_record.edge(member).is_some();
            let near = self.neighbourhood();
            let unneeded = self
                .overlay
                .unneeded(&self.context, &near, &needed, reported);
            for link in unneeded {
                self.send_goodbye(link, Goodbye::Unneeded);
            }
        }
    }

    pub(super) fn neighbourhood(&self) -> Neighbourhood<'_> {
        Neighbourhood {
            members: &self.members,
            links: &self.links,
            silence: &self.silence,
            dialer: &self.dialer,
            round_trips: &self.round_trips,
        }
    }

    pub(super) fn replace_random_link(&mut self) {
        let near = Neighbourhood {
            members: &self.members,
            links: &self.links,
            silence: &self.silence,
            dialer: &self.dialer,
            round_trips: &self.round_trips,
        };
        let drawn = self.overlay.on_random_due(&mut self.context, &near);
        if let Some(member) = drawn
            && self.room(Some(member), LinkValue::Surplus) == Room::Free
        {
            self.dial_member(DialPurpose::RandomLink, member);
        }
    }

    /// Periodic maintenance of reported edges, links, unknown ids and requested links.
    pub(super) fn maintain(&mut self) {
        self.overlay.schedule_maintenance(&mut self.context);
        self.tidy_edges();
        let slow = self.round_trips.dial_extension(&self.context);
        let unlinked = self.overlay.unlinked_long(&self.context, &self.links, slow);
        for member in unlinked {
            let heard = self.last_heard(member);
            self.self_record.set_edge(member, true, heard);
        }
        self.release_unknown();
        self.tend_newcomers();
        self.watch_pairs();
        self.short_id.on_maintained(&mut self.context);
        self.losses
            .report(&mut self.context, self.verdict.suspects());
        self.reconcile_links();
        self.dial_requested();
        self.bootstrap.store_changed(&mut self.context);
    }

    /// Finds the live members that this node should have a link with and has none, and those whose address is wrong. The
    /// edges to requested members without a link are reported too.
    fn watch_pairs(&mut self) {
        if self.context.has(Switch::NoPairs) {
            return;
        }
        let near = self.neighbourhood();
        let requested = self.overlay.requested_unlinked(&self.context, &near);
        let requested = requested.filter(|member| self.unreachable.has_failed(*member));
        for member in requested.collect::<Vec<MemberIndex>>() {
            let heard = self.last_heard(member);
            self.self_record.set_edge(member, true, heard);
        }
        let near = Neighbourhood {
            members: &self.members,
            links: &self.links,
            silence: &self.silence,
            dialer: &self.dialer,
            round_trips: &self.round_trips,
        };
        let edges = self.self_record.edges();
        let failed = self.address_checks.failed(&self.context, &near);
        let failed: BTreeMap<MemberIndex, EdgeFailure> = failed.collect();
        let reasons = self
            .unreachable
            .on_maintained(&mut self.context, &near, edges, failed);
        let due = self.address_checks.on_maintained(&self.context, &near);
        let unreachable = &self.unreachable;
        self.self_record
            .withdraw_failures(|member| unreachable.has_reason(member));
        for (member, failure) in reasons {
            self.self_record.set_failure(&self.context, member, failure);
        }
        if let Some(member) = due.filter(|_| self.bootstrap.discovers()) {
            self.dial_member(DialPurpose::AddressCheck, member);
        }
    }

    /// Withdraws reports that are not needed: edges to members that left, accusations outside the rings, and
    /// confirmations that no node needs. A report about a forgotten member ends with the second step of forgetting it.
    fn tidy_edges(&mut self) {
        let edges = self.self_record.edges();
        let edges: Vec<(MemberIndex, bool)> =
            edges.map(|(peer, edge)| (peer, edge.is_down())).collect();
        let (topology, me) = (&self.context.topology, self.context.me);
        // While edges of this node are down, its confirmations may be the only edges that connect it to the other
        // members.
        let hangs_by_them = edges.iter().any(|(_, down)| *down) || topology.is_accused(me);
        for (peer, down) in edges {
            let topology = &self.context.topology;
            if topology.is_retired(peer) {
                continue;
            }
            let status = self.status(peer);
            self.self_record.on_maintained(peer, status == Status::Down);
            let needless = if down {
                // Outside the rings, an accusation only states the time at which a suspect was last heard.
                let requested = status == Status::Alive && self.overlay.is_requested(peer);
                !topology.is_ring_edge(me, peer) && status != Status::Suspect && !requested
            } else {
                let whole = !topology.is_accused(peer) && !hangs_by_them;
                let unneeded =
                    status == Status::Alive && whole && !self.unreachable.is_linked(peer);
                self.links.open_to(peer).is_none() || unneeded
            };
            if !topology.is_known(peer) || status == Status::Left || needless {
                self.self_record.clear_edge(peer);
            }
        }
    }
}

/// Seed addresses, without side effects.
impl Gossip {
    /// The seed addresses that result from an edit ([`Input::EditSeeds`](super::Input::EditSeeds)).
    ///
    /// # Errors
    /// Returns the number of the resulting seed addresses as an error if this number would exceed
    /// [`SEEDS_MAX`](super::SEEDS_MAX). The machine ignores such an edit.
    pub fn edited_seeds(&self, add: &[Address], remove: &[Address]) -> Result<Vec<Address>, usize> {
        self.bootstrap.edited(add, remove)
    }

    /// The seed addresses of the node, each with the peer found there, or the latest failure.
    pub fn seeds(&self) -> impl Iterator<Item = (&Address, Option<&NodeId>, Option<&str>)> + '_ {
        self.bootstrap.views()
    }
}

/// Requests of the node layer.
impl Gossip {
    pub(super) fn on_seeds(&mut self, addresses: Vec<Address>, replace: bool) {
        if replace {
            self.dialer.forget_seeds();
        }
        self.bootstrap
            .set_seeds(&mut self.context, addresses, replace);
    }

    /// Adds and removes seed addresses in one step. An edit that would leave too many seed addresses is rejected as a
    /// whole.
    pub(super) fn on_edited_seeds(&mut self, add: &[Address], remove: &[Address]) {
        if let Ok(addresses) = self.bootstrap.edited(add, remove) {
            self.on_seeds(addresses, true);
        }
    }

    /// Dials the seed addresses that are due and do not lead to live members.
    pub(super) fn dial_seeds(&mut self) {
        if self.self_record.is_raising() {
            return;
        }
        let joining = self.context.topology.len() <= 1;
        // Names with further addresses come last, so that a name with many silent addresses does not delay the other
        // seeds.
        let (walking, others): (Vec<usize>, Vec<usize>) =
            (0..self.bootstrap.len()).partition(|index| self.bootstrap.has_addresses_left(*index));
        for index in others.into_iter().chain(walking) {
            if !self.bootstrap.is_due(&self.context, index) || self.is_awaiting_seed(index) {
                continue;
            }
            if self.bootstrap.is_settled(&mut self.context, index) {
                continue;
            }
            if joining && self.dialer.has_begun_since(&self.context, JOIN_STAGGER) {
                break;
            }
            if self.may_dial(DialPurpose::Seed(index))
                && let Some(address) = self.bootstrap.take_next(&mut self.context, index)
            {
                self.dial(DialPurpose::Seed(index), address, None);
            }
        }
        self.dial_kept(joining);
        self.bootstrap.schedule(&mut self.context, joining);
    }

    /// Dials one of the addresses that an earlier start kept, if it is due. Seed addresses precede.
    fn dial_kept(&mut self, joining: bool) {
        let waits = joining && self.dialer.has_begun_since(&self.context, JOIN_STAGGER);
        if !waits
            && self.dialer.has_room_for(DialPurpose::Kept(0))
            && let Some((index, address)) = self.bootstrap.take_kept(&self.context)
        {
            self.dial(DialPurpose::Kept(index), address, None);
        }
    }

    /// Whether a dial to a seed address is in progress and it is too early to dial another address of the same name.
    fn is_awaiting_seed(&self, index: usize) -> bool {
        if self.bootstrap.has_addresses_left(index) {
            self.dialer
                .is_dialing_seed_since(&self.context, index, JOIN_STAGGER)
        } else {
            self.dialer.is_dialing_seed(index)
        }
    }

    /// The resolution of a seed's name succeeded or failed.
    pub(super) fn on_resolved(
        &mut self,
        ticket: Ticket,
        addresses: Result<Vec<SocketAddr>, ResolutionError>,
    ) {
        if self
            .bootstrap
            .on_resolved(&mut self.context, ticket, addresses)
        {
            self.self_record.establish(self.context.now);
        }
    }

    pub(super) fn on_discover(&mut self, discovery: bool) {
        self.bootstrap.set_discovery(discovery);
        self.overlay.schedule(&mut self.context);
    }

    /// A link to a member is requested or released.
    pub(super) fn on_requested(&mut self, peer: &NodeId, requested: bool) {
        let Some(member) = self.context.topology.index_of(peer) else {
            return;
        };
        if self.overlay.request(&self.context, member, requested) {
            self.dial_requested();
        }
    }

    /// Whether a member may be forgotten on request.
    ///
    /// # Errors
    /// Returns an error if the member is unknown, the node itself, neither down nor left, or has an open link.
    pub fn may_forget(&self, peer: &NodeId) -> Result<(), ForgetRefusal> {
        let known = self.context.topology.index_of(peer);
        let member = known.filter(|member| self.member_at(*member).is_some());
        let member = member.ok_or(ForgetRefusal::Unknown)?;
        if member == self.context.me {
            return Err(ForgetRefusal::Myself);
        }
        if self.links.open_to(member).is_some() {
            return Err(ForgetRefusal::Linked);
        }
        match self.status(member) {
            Status::Down | Status::Left => Ok(()),
            Status::Alive | Status::Suspect => Err(ForgetRefusal::Alive),
        }
    }

    /// A caller, or a neighbour, requests that a dead member is forgotten. The request is passed on once, because a
    /// forgotten member is unknown.
    pub(super) fn on_forget_request(&mut self, peer: &NodeId, from: Option<LinkId>) {
        let known = self.context.topology.index_of(peer);
        let Some(member) = known.filter(|_| self.may_forget(peer).is_ok()) else {
            return;
        };
        self.members.forget_at_once(&mut self.context, member);
        let others = self.links.iter_open().map(|(link, _)| link);
        for link in others.filter(|link| Some(*link) != from) {
            let gone = vec![Gone {
                id: peer.clone(),
                age: FORGET_NOW,
            }];
            let message = Message::Frame(Frame {
                gone,
                ..Frame::default()
            });
            self.context.out.push(Output::Send { link, message });
        }
    }

    /// An open link is to be replaced by a new connection. A neighbour that is not dialable must dial the new
    /// connection itself.
    pub(super) fn on_renew(&mut self, link: LinkId) {
        let open = self.links.get(link).filter(|held| held.is_open());
        if let Some(member) = open.map(Link::member)
            && !self.dialer.is_dialing(member)
            && !self.context.has(Switch::NoRenewal)
        {
            self.dial_member(DialPurpose::Renewal, member);
        }
    }
}

/// The ends of dials.
impl Gossip {
    /// A dial failed before a connection was established. If the node at a member's address is not of this mesh, the
    /// dials of the probes pause ever longer.
    pub(super) fn on_dial_failed(&mut self, dial: DialId, reason: &DialError) {
        let is_stranger = match reason {
            DialError::Untrusted(_) | DialError::Protocol(_) => true,
            DialError::Refused | DialError::TimedOut | DialError::Unreachable => false,
        };
        let attempt = self.dialer.get(dial);
        let to_member = attempt.and_then(|attempt| Some((attempt.peer()?, attempt.started())));
        let is_probe = attempt.is_some_and(|attempt| attempt.purpose() == DialPurpose::Probe);
        let is_doubtful = |member| is_stranger || self.newcomers.is_doubtful(member);
        if let Some((member, _)) = to_member.filter(|(it, _)| is_probe && is_doubtful(*it)) {
            self.dialer.on_misdirected(&self.context, member);
        }
        self.note_failed_dial(dial, EdgeFailure::from(reason));
        self.on_dial_ended(dial, &reason.to_string());
        if let Some((member, started)) = to_member {
            self.on_dial_to_member_failed(member, started, reason);
        }
    }

    /// A dial ended without a link.
    pub(super) fn on_dial_ended(&mut self, dial: DialId, why: &str) {
        let Some(attempt) = self.end_dial(dial) else {
            return;
        };
        match attempt.purpose() {
            DialPurpose::Seed(index) => self.on_seed_failed(index, attempt.address(), why),
            DialPurpose::Kept(index) => self.bootstrap.on_kept_failed(&mut self.context, index),
            DialPurpose::Referral => self.bootstrap.schedule_at_once(&mut self.context),
            DialPurpose::Ring | DialPurpose::RandomLink => {
                let Some(member) = attempt.peer() else {
                    return;
                };
                self.dialer.back_off(&self.context, member);
                let topology = &self.context.topology;
                if attempt.purpose() == DialPurpose::Ring
                    && self.links.open_to(member).is_none()
                    && self.status(member) != Status::Left
                    && topology.is_ring_edge(self.context.me, member)
                {
                    let heard = self.last_heard(member);
                    self.self_record.set_edge(member, true, heard);
                }
                self.overlay.schedule_at_once(&mut self.context);
            }
            DialPurpose::Requested => {
                if let Some(member) = attempt.peer() {
                    self.dialer.back_off(&self.context, member);
                }
            }
            DialPurpose::Redial | DialPurpose::Probe | DialPurpose::AddressCheck => {}
            purpose @ (DialPurpose::Claim | DialPurpose::Inquiry) => {
                self.on_claim_dial_ended(purpose)
            }
            // The link to replace may have closed in favour of this dial.
            DialPurpose::Renewal => self.overlay.schedule_at_once(&mut self.context),
        }
    }

    fn end_dial(&mut self, dial: DialId) -> Option<Dial> {
        let attempt = self.dialer.end(&mut self.context, dial)?;
        if let Some(link) = attempt.link()
            && self.handshakes.end(&mut self.context, link).is_some()
        {
            self.context.out.push(Output::Close { link });
        }
        Some(attempt)
    }

    /// Notes why a dial to a member failed.
    pub(super) fn note_failed_dial(&mut self, dial: DialId, failure: EdgeFailure) {
        let attempt = self.dialer.get(dial);
        match attempt.and_then(|attempt| Some((attempt.purpose(), attempt.peer()?))) {
            Some((DialPurpose::AddressCheck, member)) => {
                self.address_checks.on_failed(member, failure);
            }
            Some((_, member)) => self.unreachable.on_dial_failed(member, failure),
            None => {}
        }
    }

    /// A dial was answered with a refusal.
    pub(super) fn on_dial_refused(&mut self, dial: DialId, refusal: &Refusal) {
        self.note_failed_dial(dial, EdgeFailure::Rejected);
        let Some(attempt) = self.end_dial(dial) else {
            return;
        };
        let until = self.context.after(REFUSED_FOR);
        if let (
            Some(member),
            DialPurpose::Ring | DialPurpose::RandomLink | DialPurpose::Requested,
        ) = (attempt.peer(), attempt.purpose())
        {
            let until = if refusal.reason == RefusalReason::Full {
                self.dialer
                    .back_off_full(&self.context, member, REFUSED_FOR);
                self.dialer.backed_off_until(member).unwrap_or(until)
            } else {
                self.dialer.back_off_until(member, until);
                until
            };
            self.overlay.schedule_until(&mut self.context, until);
        }
        if matches!(refusal.reason, RefusalReason::Busy | RefusalReason::Full) {
            self.follow_referral(attempt.purpose(), &refusal.others);
        }
        if let Some(member) = attempt
            .peer()
            .filter(|_| refusal.reason == RefusalReason::WrongMesh)
        {
            self.dialer.on_misdirected(&self.context, member);
        }
        let (address, myself) = (attempt.address(), refusal.reason == RefusalReason::Myself);
        match attempt.purpose() {
            DialPurpose::Seed(index) if myself => {
                let dialing = self.dialer.is_dialing_seed(index);
                let context = &mut self.context;
                if self.bootstrap.on_myself(context, index, address, dialing) {
                    self.self_record.establish(self.context.now);
                }
            }
            DialPurpose::Seed(index) => {
                let why = handshake::explain(&self.context, refusal);
                self.on_seed_failed(index, address, &why);
            }
            DialPurpose::Kept(index) => self.bootstrap.on_kept_failed(&mut self.context, index),
            DialPurpose::Referral
            | DialPurpose::Ring
            | DialPurpose::Redial
            | DialPurpose::Probe
            | DialPurpose::RandomLink
            | DialPurpose::Requested
            | DialPurpose::Renewal
            | DialPurpose::AddressCheck => {
                if myself {
                    let address = Address::Socket(address);
                    self.context.report(Event::DialedMyself { address });
                }
            }
            purpose @ (DialPurpose::Claim | DialPurpose::Inquiry) => {
                self.on_claim_dial_ended(purpose);
            }
        }
    }

    fn on_seed_failed(&mut self, index: usize, address: SocketAddr, why: &str) {
        let dialing = self.dialer.is_dialing_seed(index);
        self.bootstrap
            .on_failed(&mut self.context, index, address, why, dialing);
    }

    /// Tries one of the members that a refusal named and that are not alive in this view. Such a dial lets a newcomer
    /// join, and a split-off part reach the rest of the mesh.
    fn follow_referral(&mut self, refused: DialPurpose, others: &[SocketAddr]) {
        // Only a newcomer or a node without a link follows a referral from a node that it was itself referred to, or from
        // a ring neighbour; other nodes return to the seed address, or probe.
        let follows = match refused {
            DialPurpose::Seed(_) | DialPurpose::Kept(_) | DialPurpose::Probe => true,
            DialPurpose::Referral | DialPurpose::Ring => {
                self.context.topology.len() <= 1 || !self.has_live_link()
            }
            DialPurpose::Redial
            | DialPurpose::RandomLink
            | DialPurpose::Requested
            | DialPurpose::Renewal
            | DialPurpose::AddressCheck
            | DialPurpose::Claim
            | DialPurpose::Inquiry => false,
        };
        if !follows || !self.bootstrap.discovers() {
            return;
        }
        let topology = &self.context.topology;
        let is_alive = |address: SocketAddr| {
            let mut there = topology
                .records()
                .filter(|record| record.content().address == Some(address));
            there.any(|record| {
                let member = topology.index_of(record.id());
                member.is_some_and(|member| self.status(member) == Status::Alive)
            })
        };
        let others: Vec<SocketAddr> = others.iter().copied().filter(|it| !is_alive(*it)).collect();
        if let Some(other) = self.context.random.referral.pick(&others).copied() {
            self.dial(DialPurpose::Referral, other, None);
        }
    }
}

/// Closing links.
impl Gossip {
    /// Ends a link or a handshake in an orderly way, from this end.
    pub(super) fn send_goodbye(&mut self, link: LinkId, goodbye: Goodbye) {
        let end = match goodbye {
            Goodbye::Unneeded => LinkEnd::Unneeded,
            Goodbye::Superseded => LinkEnd::Superseded,
            Goodbye::Protocol => LinkEnd::Protocol,
            Goodbye::Leaving | Goodbye::NameTaken => LinkEnd::Leaving,
        };
        if self.links.is_open(link) || self.handshakes.get(link).is_some() {
            self.context.out.push(Output::Send {
                link,
                message: Message::Goodbye(goodbye),
            });
        }
        self.drop_link(link, end);
    }

    /// Removes a link or a handshake, and closes its connection if it has one.
    pub(super) fn drop_link(&mut self, link: LinkId, end: LinkEnd) {
        if self.handshakes.end(&mut self.context, link).is_some() {
            self.context.out.push(Output::Close { link });
            return;
        }
        let Some(held) = self.links.get(link) else {
            return;
        };
        if held.is_open() {
            let peer: NodeId = held.peer().clone();
            self.context.out.push(Output::Close { link });
            self.context.report(Event::LinkDown {
                peer,
                link,
                reason: end,
            });
        }
        self.remove_link(link);
    }

    /// Removes a link. A confirmation that depended on the link is withdrawn.
    pub(super) fn remove_link(&mut self, link: LinkId) {
        let Some((held, current)) = self.links.remove(link) else {
            return;
        };
        let member = held.member();
        let silence = self.silence.on_closed(&mut self.context, link);
        self.round_trips.on_closed(link);
        let eager = self.dissemination.on_closed(link);
        self.anti_entropy.on_closed(link);
        self.frames.on_closed(&mut self.context, link);
        self.overlay.on_closed(link);
        let (heard, received) = silence.unzip();
        if let Some(received) = received.flatten() {
            self.members.on_link_closed(member, received);
        }
        if !current {
            return;
        }
        if eager && held.is_open() {
            self.flood();
        }
        let edge = self.self_record.edge(member);
        if edge.is_some_and(|edge| !edge.is_down()) {
            self.self_record.set_edge(member, true, heard);
        }
    }
}
