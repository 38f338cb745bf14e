//! Whom to be connected to.
//!
//! On each ring a node dials the first following member that can be dialled, is not down and did not just fail. One
//! more link goes to a random member and is replaced from time to time, so that an overlay that happens to be cut
//! does not stay so. Links that serve none of this are closed after a while by who dialled them. Targets (addresses
//! given by people) are dialled until a member is found there, again and again, ever more slowly.

use super::bootstrap::JOIN_STAGGER;
use super::config::MAINTAIN_INTERVAL;
use super::dialer::{Dial, Purpose};
use super::link::Stage;
use super::message::{Goodbye, Refusal, RefusalReason};
use super::{
    Address, DialError, DialId, Event, Gossip, LinkId, Output, Phase, Status, Switch, Timer,
    WANTED_MAX,
};
use crate::identity::NodeId;
use crate::time::Duration;
use crate::topology::publication::Key;
use crate::topology::{Handle, RINGS};
use std::collections::BTreeSet;

/// News about members within this time lead to one look at the rings.
const WEAVE_AFTER: Duration = Duration::from_millis(100);
/// How far along a ring a node looks for somebody to dial.
const HOPS_MAX: usize = 16;
/// A dial older than this no longer keeps its node from dialling the next on the ring too.
const DIAL_PATIENCE: Duration = Duration::from_millis(300);
/// How long a busy or better connected member is left alone.
const REFUSED_FOR: Duration = Duration::from_millis(500);

impl Gossip {
    pub(super) fn on_seeds(&mut self, addresses: Vec<Address>, replace: bool) {
        if replace {
            self.dialer.forget_seeds();
        }
        self.bootstrap
            .set_seeds(&mut self.context, addresses, replace);
    }

    pub(super) fn on_discover(&mut self, discovery: bool) {
        self.bootstrap.set_discovery(discovery);
        self.weave_soon();
    }

    /// Dials the seed addresses that are due and do not lead to live members.
    pub(super) fn dial_seeds(&mut self) {
        if self.self_record.is_raising() {
            return;
        }
        let joining = self.context.topology.len() <= 1;
        let own = self.record().content().address;
        for index in 0..self.bootstrap.len() {
            if !self.bootstrap.is_due(&self.context, index) || self.dialer.is_dialing_seed(index) {
                continue;
            }
            if self.bootstrap.is_settled(&self.context, index, own) {
                continue;
            }
            if joining && self.dialer.has_begun_since(&self.context, JOIN_STAGGER) {
                break;
            }
            if let Some(address) = self.bootstrap.address(index).cloned() {
                self.dial(Purpose::Seed(index), address, None);
            }
        }
        self.bootstrap.schedule(&mut self.context, joining);
    }

    /// A member left, or is down.
    pub(super) fn on_member_gone(&mut self, handle: Handle) {
        if self.bootstrap.len() > 0
            && let Some(peer) = self.context.id_of(handle)
        {
            self.bootstrap.on_member_gone(&mut self.context, &peer);
        }
    }

    fn dial(&mut self, purpose: Purpose, address: Address, peer: Option<Handle>) {
        if self.self_record.phase() != Phase::Leaving {
            self.dialer.begin(&mut self.context, purpose, address, peer);
        }
    }

    /// Dials a member, if it can be dialled.
    pub(super) fn dial_member(&mut self, purpose: Purpose, handle: Handle) {
        let learnt = match purpose {
            Purpose::Ring | Purpose::Probe | Purpose::RandomLink | Purpose::Requested => true,
            Purpose::Seed(_) | Purpose::Referral | Purpose::Redial | Purpose::Renewal => false,
        };
        if learnt && !self.bootstrap.discovers() {
            return;
        }
        let Some(address) = self.address_of(handle) else {
            return;
        };
        self.dial(purpose, Address::Socket(address), Some(handle));
    }

    fn address_of(&self, handle: Handle) -> Option<core::net::SocketAddr> {
        let record = self.context.topology.slot(handle)?.record?;
        record.content().address
    }

    /// A connection that takes the place of an open link. A neighbour that cannot be dialled must do it itself.
    pub(super) fn on_renew(&mut self, link: LinkId) {
        let open = self.links.get(&link).filter(|held| held.is_open());
        if let Some(handle) = open.map(|held| held.handle)
            && !self.dialer.is_dialing(handle)
            && !self.context.has(Switch::NoRenewal)
        {
            self.dial_member(Purpose::Renewal, handle);
        }
    }

    /// The greeting on a dialled link is over: it is the link now.
    pub(super) fn finish_dial(&mut self, link: LinkId) -> Option<Purpose> {
        let dial = self.dialer.over(link)?;
        let attempt = self.dialer.end(&mut self.context, dial)?;
        if let Purpose::Seed(index) = attempt.purpose() {
            let peer = attempt.peer().and_then(|peer| self.context.id_of(peer));
            self.bootstrap.on_linked(&self.context, index, peer);
        }
        Some(attempt.purpose())
    }

    pub(super) fn on_dial_failed(&mut self, dial: DialId, reason: &DialError) {
        self.dial_came_to_nothing(dial, &reason.to_string());
    }

    /// A dial ended without a link.
    pub(super) fn dial_came_to_nothing(&mut self, dial: DialId, why: &str) {
        let Some(attempt) = self.end_dial(dial) else {
            return;
        };
        match attempt.purpose() {
            Purpose::Seed(index) => self.bootstrap.on_failed(&mut self.context, index, why),
            Purpose::Referral => self.bootstrap.schedule_at_once(&mut self.context),
            Purpose::Ring | Purpose::RandomLink => {
                let Some(handle) = attempt.peer() else {
                    return;
                };
                self.dialer.back_off(&self.context, handle);
                let heard = self.last_heard(handle);
                if attempt.purpose() == Purpose::Ring
                    && self.open_link(handle).is_none()
                    && self.status(handle) != Status::Left
                    && self.context.topology.is_ring_edge(self.context.me, handle)
                {
                    self.self_record.set_edge(handle, true, heard);
                }
                self.context
                    .timers
                    .set(Timer::Overlay, self.context.at_once());
            }
            Purpose::Requested => {
                if let Some(handle) = attempt.peer() {
                    self.dialer.back_off(&self.context, handle);
                }
            }
            Purpose::Redial | Purpose::Probe => {}
            // The link it was for may have closed for it.
            Purpose::Renewal => self
                .context
                .timers
                .set(Timer::Overlay, self.context.at_once()),
        }
    }

    fn end_dial(&mut self, dial: DialId) -> Option<Dial> {
        let attempt = self.dialer.end(&mut self.context, dial)?;
        if let Some(link) = attempt.link()
            && self
                .links
                .get(&link)
                .is_some_and(|held| held.stage == Stage::AwaitsWelcome)
        {
            self.links.remove(&link);
            self.context.timers.cancel(&Timer::Greeting(link));
            self.context.out.push(Output::Close { link });
        }
        Some(attempt)
    }

    /// A dial was answered, and refused.
    pub(super) fn dial_refused(&mut self, dial: DialId, refusal: &Refusal) {
        let Some(attempt) = self.end_dial(dial) else {
            return;
        };
        let until = self.context.after(REFUSED_FOR);
        if let (Some(handle), Purpose::Ring | Purpose::RandomLink | Purpose::Requested) =
            (attempt.peer(), attempt.purpose())
        {
            self.dialer.back_off_until(handle, until);
            self.context.timers.set_earlier(Timer::Overlay, until);
        }
        let target = if let Purpose::Seed(index) = attempt.purpose() {
            Some(index)
        } else {
            None
        };
        match refusal.reason {
            RefusalReason::Busy | RefusalReason::Full => {
                self.follow_referral(attempt.purpose(), &refusal.others);
            }
            RefusalReason::Myself => {
                self.context.report(Event::DialedMyself {
                    address: attempt.address().clone(),
                });
                if let Some(index) = target {
                    if self.bootstrap.on_myself(index) {
                        self.self_record.establish(self.context.now);
                    }
                    return;
                }
            }
            RefusalReason::Superseded
            | RefusalReason::WrongMesh
            | RefusalReason::Version
            | RefusalReason::NameTaken
            | RefusalReason::Leaving => {}
        }
        let Some(index) = target else { return };
        let why = match refusal.reason {
            RefusalReason::Busy => "is busy; it named other members".to_owned(),
            RefusalReason::Full => "has all the links it may have".to_owned(),
            RefusalReason::Superseded => "is connected to us another way".to_owned(),
            RefusalReason::Myself => "is this node itself".to_owned(),
            RefusalReason::WrongMesh => {
                format!(
                    "belongs to another mesh than {:?}",
                    self.context.config.mesh
                )
            }
            RefusalReason::Version => {
                format!(
                    "speaks protocol versions {} to {}",
                    refusal.versions.0, refusal.versions.1
                )
            }
            RefusalReason::NameTaken => {
                format!(
                    "knows a newer machine under the id {}",
                    self.context.config.id
                )
            }
            RefusalReason::Leaving => "is leaving the mesh".to_owned(),
        };
        self.bootstrap.on_failed(&mut self.context, index, &why);
    }

    /// Tries one of the members that a refusal named and that are not alive here: a newcomer's way in, and the way to
    /// the rest of the mesh of a part that was cut off.
    fn follow_referral(&mut self, refused: Purpose, others: &[core::net::SocketAddr]) {
        // One that is refused in its turn is followed by a newcomer only: others come back to the target, or probe.
        let follows = match refused {
            Purpose::Seed(_) | Purpose::Probe => true,
            Purpose::Referral => self.context.topology.len() <= 1,
            Purpose::Ring
            | Purpose::Redial
            | Purpose::RandomLink
            | Purpose::Requested
            | Purpose::Renewal => false,
        };
        if !follows || !self.bootstrap.discovers() {
            return;
        }
        let is_alive = |address| {
            self.context.topology.records().any(|record| {
                record.content().address == Some(address)
                    && self
                        .context
                        .topology
                        .handle(record.id())
                        .is_some_and(|handle| self.status(handle) == Status::Alive)
            })
        };
        let others: Vec<_> = others
            .iter()
            .filter(|it| !is_alive(**it))
            .copied()
            .collect();
        if let Some(other) = self.context.random.pick(&others).copied() {
            self.dial(Purpose::Referral, Address::Socket(other), None);
        }
    }

    pub(super) fn weave_soon(&mut self) {
        self.context
            .timers
            .set_if_unset(Timer::Overlay, self.context.now + WEAVE_AFTER);
    }

    /// Dials whom the rings ask for, and closes what serves nothing.
    pub(super) fn weave(&mut self) {
        let mut wanted = BTreeSet::new();
        let mut complete = true;
        for ring in 0..RINGS {
            match self.choose(ring) {
                Some((handle, linked)) => {
                    wanted.insert(handle);
                    complete &= linked;
                    if !linked && !self.dialer.is_dialing(handle) {
                        self.dial_member(Purpose::Ring, handle);
                    }
                }
                None => complete = false,
            }
        }
        if !complete && self.dialer.len() > 0 {
            self.context
                .timers
                .set_earlier(Timer::Overlay, self.context.now + DIAL_PATIENCE);
        }
        if complete && self.bootstrap.discovers() {
            self.close_surplus(&wanted);
        }
    }

    /// The member to be linked to on a ring, and whether it is.
    fn choose(&self, ring: usize) -> Option<(Handle, bool)> {
        let only_first = self.context.has(Switch::NoFallback);
        let hops = if only_first { 1 } else { HOPS_MAX };
        let live = self
            .context
            .topology
            .following(self.context.me, ring)
            .filter(|handle| self.status(*handle) != Status::Down);
        for handle in live.take(hops) {
            if let Some(link) = self
                .by_peer
                .get(&handle)
                .and_then(|link| self.links.get(link))
            {
                if link.is_lively() {
                    return Some((handle, true));
                }
                continue;
            }
            if self
                .dialer
                .is_dialing_since(&self.context, handle, DIAL_PATIENCE)
            {
                return Some((handle, false));
            }
            let backed_off = self.dialer.is_backed_off(&self.context, handle);
            if !backed_off && !self.dialer.is_dialing(handle) {
                return Some((handle, false));
            }
        }
        None
    }

    fn close_surplus(&mut self, wanted: &BTreeSet<Handle>) {
        let kept = self.context.tuning().surplus_kept;
        let surplus: Vec<LinkId> = self
            .links
            .iter()
            .filter(|(_, link)| {
                link.is_lively()
                    && link.dialed
                    && !link.random
                    && self.context.now - link.opened > kept
                    && !wanted.contains(&link.handle)
                    && !self.wanted.contains(&link.handle)
                    && self.self_record.edge(link.handle).is_none()
                    && !self
                        .context
                        .topology
                        .is_ring_edge(self.context.me, link.handle)
            })
            .map(|(id, _)| *id)
            .collect();
        for link in surplus {
            self.say_goodbye(link, Goodbye::Surplus);
        }
    }

    /// Somebody wants a link to a member, or no longer.
    pub(super) fn on_want(&mut self, peer: &NodeId, wanted: bool) {
        let Some(handle) = self.context.topology.handle(peer) else {
            return;
        };
        if !wanted {
            self.wanted.remove(&handle);
        } else if handle != self.context.me && self.wanted.len() < WANTED_MAX {
            self.wanted.insert(handle);
            self.dial_wanted();
        }
    }

    /// Dials those to whom a link is wanted, unless that failed lately.
    pub(super) fn dial_wanted(&mut self) {
        self.wanted
            .retain(|handle| self.context.topology.is_known(*handle));
        let missing: Vec<Handle> = self
            .wanted
            .iter()
            .copied()
            .filter(|handle| {
                self.status(*handle) == Status::Alive
                    && !self.by_peer.contains_key(handle)
                    && !self.dialer.is_dialing(*handle)
                    && !self.dialer.is_backed_off(&self.context, *handle)
            })
            .collect();
        for handle in missing {
            self.dial_member(Purpose::Requested, handle);
        }
    }

    /// Looks everything over.
    pub(super) fn maintain(&mut self) {
        self.context
            .timers
            .set(Timer::Maintain, self.context.now + MAINTAIN_INTERVAL);
        self.tidy_edges();
        self.report_unlinked();
        self.sweep_placeholders();
        self.weave();
        self.dial_wanted();
    }

    /// Says of each edge that the rings ask for and that was not there twice running that it is down. Otherwise all
    /// would presume it up: a member that died before its first links, or beside which the rings changed.
    fn report_unlinked(&mut self) {
        let unlinked: BTreeSet<Handle> = self
            .context
            .topology
            .ring_neighbours(self.context.me)
            .into_iter()
            .filter(|handle| !self.by_peer.contains_key(handle))
            .collect();
        for handle in unlinked
            .intersection(&self.unlinked)
            .copied()
            .collect::<Vec<_>>()
        {
            let heard = self.last_heard(handle);
            self.self_record.set_edge(handle, true, heard);
        }
        self.unlinked = unlinked;
    }

    /// Frees the places of ids that somebody named, that have no record, and that nothing refers to any more.
    fn sweep_placeholders(&mut self) {
        for handle in self.context.topology.placeholders() {
            let linked = self.links.values().any(|link| link.handle == handle);
            let missing = self.missing.contains_key(&Key::Record(handle))
                || self.missing.contains_key(&Key::EdgeReport(handle));
            if !linked
                && !missing
                && !self.dialer.is_dialing(handle)
                && !self.context.topology.is_named(handle)
            {
                self.release(handle);
            }
        }
    }

    pub(super) fn replace_random_link(&mut self) {
        let interval = self.context.tuning().random_link_interval;
        let wait = interval / 2 + self.context.random.duration_below(interval);
        self.context
            .timers
            .set(Timer::RandomLink, self.context.now + wait);
        for link in self.links.values_mut() {
            link.random = false;
        }
        let Some(handle) = self.context.random_member() else {
            return;
        };
        if handle != self.context.me
            && self.status(handle) == Status::Alive
            && !self.by_peer.contains_key(&handle)
        {
            self.dial_member(Purpose::RandomLink, handle);
        }
    }
}
