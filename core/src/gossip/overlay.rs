//! Whom to be connected to.
//!
//! On each ring a node dials the first following member that can be dialled, is not down and did not just fail. One
//! more link goes to a random member and is replaced from time to time, so that an overlay that happens to be cut
//! does not stay so. Links that serve none of this are closed after a while by who dialled them. Targets (addresses
//! given by people) are dialled until a member is found there, again and again, ever more slowly.

use super::bootstrap::Target;
use super::config::MAINTAIN_INTERVAL;
use super::dialer::{Dial, Purpose};
use super::link::Stage;
use super::message::{Goodbye, Refusal, RefusalReason};
use super::{
    Address, DIALS_MAX, DialError, DialId, Event, Gossip, LinkId, Output, Phase, Status, Switch,
    TARGETS_MAX, Timer, WANTED_MAX,
};
use crate::identity::NodeId;
use crate::time::{Duration, Instant};
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
/// About how long a target is left alone once the member there is gone: most that leave come back at once, and tell.
const LOST_TARGET_WAIT: Duration = Duration::from_secs(2);
/// Time between two targets dialled by a node that has not joined yet.
const JOIN_STAGGER: Duration = Duration::from_millis(250);

impl Gossip {
    pub(super) fn on_targets(&mut self, targets: Vec<Address>, replace: bool) {
        if replace {
            // Dials under way are numbered by the old list.
            for dial in self.dials.values_mut() {
                if matches!(dial.purpose, Purpose::Target(_)) {
                    dial.purpose = Purpose::Referral;
                }
            }
            self.targets
                .retain(|target| targets.contains(&target.address));
        }
        for address in targets {
            if !self.targets.iter().any(|target| target.address == address) {
                self.targets.push(Target::new(address));
            }
        }
        self.context
            .timers
            .set(Timer::Targets, self.context.at_once());
    }

    /// Adds and removes targets in one step, unless too many would result.
    pub(super) fn on_edit_targets(&mut self, add: Vec<Address>, remove: &[Address]) {
        let held = self.targets.iter().map(|target| target.address.clone());
        let mut targets: Vec<_> = held.filter(|address| !remove.contains(address)).collect();
        for address in add {
            if !targets.contains(&address) {
                targets.push(address);
            }
        }
        if targets.len() <= TARGETS_MAX {
            self.on_targets(targets, true);
        }
    }

    pub(super) fn on_discover(&mut self, discovery: bool) {
        self.context.config.discovery = discovery;
        self.weave_soon();
    }

    /// Dials the targets that are due and not known to be members.
    pub(super) fn dial_targets(&mut self) {
        if self.is_raising() {
            return;
        }
        let joining = self.context.topology.len() <= 1;
        for index in 0..self.targets.len() {
            let target = &self.targets[index];
            if target.myself || target.next > self.context.now || self.is_dialing_target(index) {
                continue;
            }
            if self.settle_target(index) {
                continue;
            }
            if joining
                && self
                    .dials
                    .values()
                    .any(|dial| self.context.now - dial.started < JOIN_STAGGER)
            {
                break;
            }
            let address = self.targets[index].address.clone();
            self.dial(Purpose::Target(index), address, None);
        }
        let waiting = if joining {
            JOIN_STAGGER
        } else {
            Duration::from_secs(1)
        };
        let soonest = self.context.now + waiting;
        if let Some(next) = self
            .targets
            .iter()
            .filter(|target| !target.myself)
            .map(|target| target.next)
            .min()
        {
            let at = if next > self.context.now {
                next
            } else {
                soonest
            };
            self.context.timers.set(Timer::Targets, at);
        }
    }

    fn is_dialing_target(&self, index: usize) -> bool {
        self.dials
            .values()
            .any(|dial| dial.purpose == Purpose::Target(index))
    }

    /// Whether nothing need be done about a target now: it is ourselves, or a member that is alive.
    fn settle_target(&mut self, index: usize) -> bool {
        let address = self.targets[index].address.clone();
        if self
            .record()
            .content()
            .address
            .map(Address::Socket)
            .as_ref()
            == Some(&address)
        {
            self.targets[index].myself = true;
            return true;
        }
        // The scan is for a target never found; the peer found there is looked up.
        let peer = match self.targets[index].peer.clone() {
            Some(peer) => Some(peer),
            None => self
                .context
                .topology
                .records()
                .find(|record| {
                    record.content().address.map(Address::Socket).as_ref() == Some(&address)
                })
                .map(|record| record.id().clone()),
        };
        let alive = peer
            .as_ref()
            .and_then(|peer| self.context.topology.handle(peer))
            .is_some_and(|handle| {
                self.status(handle) == Status::Alive && self.context.topology.is_known(handle)
            });
        if alive {
            let next = self.context.after(self.context.tuning().retry_max);
            let target = &mut self.targets[index];
            target.peer = peer;
            target.error = None;
            target.failures = 0;
            target.next = next;
        }
        alive
    }

    /// A member left, or is down: if a target led to it, that is tried again soon. Nobody else looks for one that
    /// left, and a name may lead elsewhere by now.
    pub(super) fn target_is_gone(&mut self, handle: Handle) {
        if self.targets.is_empty() {
            return;
        }
        let Some(peer) = self.context.id_of(handle) else {
            return;
        };
        let found = |target: &&mut Target| target.peer.as_ref() == Some(&peer);
        for target in self.targets.iter_mut().filter(found) {
            let wait = LOST_TARGET_WAIT / 2 + self.context.random.duration_below(LOST_TARGET_WAIT);
            target.next = self.context.now + wait;
            self.context.timers.set_earlier(Timer::Targets, target.next);
        }
    }

    fn dial(&mut self, purpose: Purpose, address: Address, expected: Option<Handle>) {
        if self.dials.len() >= DIALS_MAX || self.phase == Phase::Leaving {
            return;
        }
        self.dials_made += 1;
        let dial = DialId(self.dials_made);
        let attempt = Dial {
            purpose,
            address: address.clone(),
            expected,
            link: None,
            session: 0,
            started: self.context.now,
        };
        self.dials.insert(dial, attempt);
        self.context.timers.set(
            Timer::Dial(dial),
            self.context.after(self.context.tuning().dial_timeout),
        );
        self.context.out.push(Output::Dial { dial, address });
    }

    /// Dials a member, if it can be dialled.
    pub(super) fn dial_member(&mut self, purpose: Purpose, handle: Handle) {
        let learnt = match purpose {
            Purpose::Ring | Purpose::Probe | Purpose::RandomLink | Purpose::Wanted => true,
            Purpose::Target(_) | Purpose::Referral | Purpose::Redial | Purpose::Renewal => false,
        };
        if learnt && !self.context.config.discovery {
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
            && !self.is_dialing(handle)
            && !self.context.has(Switch::NoRenewal)
        {
            self.dial_member(Purpose::Renewal, handle);
        }
    }

    /// Whether a neighbour answers a connection that is to take its link's place.
    pub(super) fn is_renewing(&self, handle: Handle) -> bool {
        self.dials.values().any(|dial| {
            dial.purpose == Purpose::Renewal && dial.expected == Some(handle) && dial.link.is_some()
        })
    }

    pub(super) fn dials_to(&self, handle: Handle) -> usize {
        self.dials
            .values()
            .filter(|dial| dial.expected == Some(handle))
            .count()
    }

    pub(super) fn is_dialing(&self, handle: Handle) -> bool {
        self.dials
            .values()
            .any(|dial| dial.expected == Some(handle))
    }

    /// The dial whose greeting goes over a link.
    pub(super) fn dial_over(&self, link: LinkId) -> Option<DialId> {
        self.dials
            .iter()
            .find(|(_, dial)| dial.link == Some(link))
            .map(|(id, _)| *id)
    }

    /// The greeting on a dialled link is over: it is the link now.
    pub(super) fn finish_dial(&mut self, link: LinkId) -> Option<Purpose> {
        let dial = self.dial_over(link)?;
        let attempt = self.dials.remove(&dial)?;
        self.context.timers.cancel(&Timer::Dial(dial));
        let peer = attempt
            .expected
            .and_then(|handle| self.context.id_of(handle));
        let next = self.context.after(self.context.tuning().retry_max);
        if let Purpose::Target(index) = attempt.purpose
            && let Some(target) = self.targets.get_mut(index)
        {
            target.peer = peer;
            target.error = None;
            target.failures = 0;
            target.next = next;
        }
        Some(attempt.purpose)
    }

    pub(super) fn on_dial_failed(&mut self, dial: DialId, reason: &DialError) {
        self.dial_came_to_nothing(dial, &reason.to_string());
    }

    /// A dial ended without a link.
    pub(super) fn dial_came_to_nothing(&mut self, dial: DialId, why: &str) {
        let Some(attempt) = self.end_dial(dial) else {
            return;
        };
        match attempt.purpose {
            Purpose::Target(index) => self.target_failed(index, why),
            Purpose::Referral => self
                .context
                .timers
                .set(Timer::Targets, self.context.at_once()),
            Purpose::Ring | Purpose::RandomLink => {
                let Some(handle) = attempt.expected else {
                    return;
                };
                self.pass_over(handle);
                let heard = self.last_heard(handle);
                if attempt.purpose == Purpose::Ring
                    && self.open_link(handle).is_none()
                    && self.status(handle) != Status::Left
                    && self.context.topology.is_ring_edge(self.context.me, handle)
                {
                    self.set_edge(handle, true, heard);
                }
                self.context
                    .timers
                    .set(Timer::Overlay, self.context.at_once());
            }
            Purpose::Wanted => attempt
                .expected
                .into_iter()
                .for_each(|it| self.pass_over(it)),
            Purpose::Redial | Purpose::Probe => {}
            // The link it was for may have closed for it.
            Purpose::Renewal => self
                .context
                .timers
                .set(Timer::Overlay, self.context.at_once()),
        }
    }

    fn end_dial(&mut self, dial: DialId) -> Option<Dial> {
        let attempt = self.dials.remove(&dial)?;
        self.context.timers.cancel(&Timer::Dial(dial));
        if let Some(link) = attempt.link
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

    /// Leaves a member that could not be dialled alone, each time for longer.
    fn pass_over(&mut self, handle: Handle) {
        let base = self.context.tuning().dial_failed_for;
        let now = self.context.now;
        let life = self.life(handle);
        life.failed_until = now + base * (1 << life.failures.min(2));
        life.failures = life.failures.saturating_add(1);
    }

    fn target_failed(&mut self, index: usize, why: &str) {
        let tuning = &self.context.config.tuning;
        let (retry_min, retry_max) = (tuning.retry_min, tuning.retry_max);
        let Some(target) = self.targets.get_mut(index) else {
            return;
        };
        // Grows by half each time; jitter from half to one and a half.
        let mut wait = retry_min;
        for _ in 0..target.failures.min(32) {
            wait = (wait + wait / 2).min(retry_max);
        }
        let wait = wait / 2 + self.context.random.duration_below(wait);
        target.failures = target.failures.saturating_add(1);
        target.error = Some(why.to_owned());
        target.peer = None;
        let never = self.context.has(Switch::NoRetry);
        target.next = if never {
            Instant::FAR_FUTURE
        } else {
            self.context.now + wait
        };
        let (address, next) = (target.address.clone(), target.next);
        let retry_in = (!never).then_some(wait);
        self.context.report(Event::DialFailed {
            address,
            reason: why.to_owned(),
            retry_in,
        });
        self.context.timers.set_earlier(Timer::Targets, next);
    }

    /// A dial was answered, and refused.
    pub(super) fn dial_refused(&mut self, dial: DialId, refusal: &Refusal) {
        let Some(attempt) = self.end_dial(dial) else {
            return;
        };
        let until = self.context.after(REFUSED_FOR);
        if let (Some(handle), Purpose::Ring | Purpose::RandomLink | Purpose::Wanted) =
            (attempt.expected, attempt.purpose)
        {
            self.life(handle).failed_until = until;
            self.context.timers.set_earlier(Timer::Overlay, until);
        }
        let target = if let Purpose::Target(index) = attempt.purpose {
            Some(index)
        } else {
            None
        };
        match refusal.reason {
            RefusalReason::Busy | RefusalReason::Full => {
                self.follow_referral(attempt.purpose, &refusal.others);
            }
            RefusalReason::Myself => {
                self.context.report(Event::DialedMyself {
                    address: attempt.address,
                });
                if let Some(target) = target.and_then(|index| self.targets.get_mut(index)) {
                    target.myself = true;
                    target.error = Some("is this node itself".to_owned());
                    if self.targets.iter().all(|target| target.myself) {
                        self.establish(self.context.now);
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
        self.target_failed(index, &why);
    }

    /// Tries one of the members that a refusal named and that are not alive here: a newcomer's way in, and the way to
    /// the rest of the mesh of a part that was cut off.
    fn follow_referral(&mut self, refused: Purpose, others: &[core::net::SocketAddr]) {
        // One that is refused in its turn is followed by a newcomer only: others come back to the target, or probe.
        let follows = match refused {
            Purpose::Target(_) | Purpose::Probe => true,
            Purpose::Referral => self.context.topology.len() <= 1,
            Purpose::Ring
            | Purpose::Redial
            | Purpose::RandomLink
            | Purpose::Wanted
            | Purpose::Renewal => false,
        };
        if !follows || !self.context.config.discovery {
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
                    if !linked && !self.is_dialing(handle) {
                        self.dial_member(Purpose::Ring, handle);
                    }
                }
                None => complete = false,
            }
        }
        if !complete && !self.dials.is_empty() {
            self.context
                .timers
                .set_earlier(Timer::Overlay, self.context.now + DIAL_PATIENCE);
        }
        if complete && self.context.config.discovery {
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
            let patient = |dial: &Dial| {
                dial.expected == Some(handle) && self.context.now - dial.started < DIAL_PATIENCE
            };
            if self.dials.values().any(patient) {
                return Some((handle, false));
            }
            let failed = self.life_of(handle).failed_until > self.context.now;
            if !failed && !self.is_dialing(handle) {
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
                    && self.own_edge(link.handle).is_none()
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
                    && !self.is_dialing(*handle)
                    && self.life_of(*handle).failed_until <= self.context.now
            })
            .collect();
        for handle in missing {
            self.dial_member(Purpose::Wanted, handle);
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
            self.set_edge(handle, true, heard);
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
                && !self.is_dialing(handle)
                && !self.context.topology.is_named(handle)
            {
                self.start_anew(handle);
                self.context.topology.release(handle);
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
