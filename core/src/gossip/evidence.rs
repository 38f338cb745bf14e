//! Whose silence proves what.
//!
//! Every link is heard at least every `heartbeat_interval_max`. A neighbour silent for `redial_after` is redialled
//! on a fresh connection; only after `silent_after` does a ring edge count as down and go into this node's report.
//! A member to whom no path leads (`topology::reach`) is suspect; whoever still hears a suspect vouches for it. A
//! suspect is down `down_after` after the latest proof of life that anybody reported.
//!
//! This node doubts itself first: if its own timer is late, everybody's silence starts anew; if all its links fall
//! silent at once, it accuses nobody for a second.

use super::config::MAINTAIN_INTERVAL;
use super::dialer::Purpose;
use super::link::Stage;
use super::message::Gone;
use super::{Event, Gossip, LinkEnd, LinkId, Status, Suspicion, Switch, Timer};
use crate::time::{Duration, Instant};
use crate::topology::Handle;
use crate::topology::publication::Key;

/// The time a vouch has to arrive after a suspicion that rests on an old proof.
const VOUCH_GRACE: Duration = Duration::from_millis(300);
/// Who stands still again and again puts its judgement on a suspect off no more often than this: the others forget the
/// dead meanwhile, and it would bring them back.
const PUT_OFF_MAX: u8 = 2;
/// How often a doubt is reconsidered.
const DOUBT_INTERVAL: Duration = Duration::from_millis(250);
/// The most redials of one neighbour under way: enough that a lost one costs no time.
const REDIALS_MAX: usize = 3;
/// A neighbour heard within a heartbeat plus this is vouched for.
const HEARTBEAT_SLACK: Duration = Duration::from_millis(100);
/// A forgotten member that is still named or linked when its place is to be freed keeps it for this share of the time
/// until members are forgotten, and again.
const STILL_NAMED_SHARE: u32 = 8;

impl Gossip {
    /// Sends heartbeats on the links whose turn has come.
    pub(super) fn beat(&mut self, due: Instant) {
        let open = self.links.open();
        debug_assert_eq!(
            open,
            self.links.values().filter(|link| link.is_open()).count(),
            "a stage was changed past the count"
        );
        for _ in 0..self.heartbeat.on_due(&mut self.context, due, open) {
            let links = &self.links;
            let following = |after| {
                let mut following = links.after(after);
                following
                    .find(|(_, link)| link.is_open())
                    .map(|(id, _)| *id)
            };
            let Some(id) = self.heartbeat.next(following) else {
                return;
            };
            let hash = self.hash_is_due(id);
            if let Some(link) = self.links.get_mut(&id) {
                link.outgoing.heartbeat = true;
                link.outgoing.hash |= hash;
                self.dirty.push(id);
            }
        }
    }

    /// A message came on a link: the neighbour lives.
    pub(super) fn hear(&mut self, link: LinkId) {
        let now = self.context.now;
        let Some(held) = self.links.get_mut(&link) else {
            return;
        };
        held.heard = now;
        held.proven = Some(now);
        let was_silent = core::mem::take(&mut held.silent);
        let (handle, listens_at) = (held.handle, held.listens_at);
        if was_silent {
            held.hash_sent = None;
        }
        // Put off before it is due, the timer of a neighbour that is heard in time never wakes this node.
        let tuning = &self.context.config.tuning;
        if listens_at < now + tuning.heartbeat_interval_max + HEARTBEAT_SLACK {
            self.listen_at(link, now + tuning.redial_after);
        }
        self.local_health.on_heard(&mut self.context);
        let accused = self
            .self_record
            .edge(handle)
            .is_some_and(|edge| edge.is_down());
        if accused
            || (matches!(self.status(handle), Status::Suspect | Status::Down) && self.vouches())
        {
            self.self_record.set_edge(handle, false, Some(now));
        }
    }

    const fn vouches(&self) -> bool {
        !self.context.has(Switch::NoVouch)
    }

    /// A link's silence timer: redials, accuses, gives up.
    pub(super) fn listen_closely(&mut self, link: LinkId) {
        let tuning = self.context.tuning().clone();
        let Some(held) = self.links.get(&link) else {
            return;
        };
        let (heard, redialed, handle) = (held.heard, held.redialed, held.handle);
        let broken = held.stage == Stage::Broken;
        let age = self.context.now - heard;
        if age < tuning.redial_after && !broken {
            self.listen_at(link, heard + tuning.redial_after);
            return;
        }
        if age >= tuning.silent_kept {
            let until = self.context.after(tuning.dial_failed_for);
            self.dialer.back_off_until(handle, until);
            self.drop_link(link, LinkEnd::Silent);
            self.weave_soon();
            return;
        }
        if self.context.now - redialed >= tuning.redial_interval || redialed == Instant::ZERO {
            if let Some(held) = self.links.get_mut(&link) {
                held.redialed = self.context.now;
            }
            let under_way = self.dialer.attempts(handle);
            if !self.context.has(Switch::NoRedial) && under_way < REDIALS_MAX {
                self.dial_member(Purpose::Redial, handle);
            }
        }
        if age >= tuning.silent_after {
            self.fall_silent(link);
        }
        let next_redial = self.context.now + tuning.redial_interval;
        let next = if age < tuning.silent_after {
            next_redial.min(heard + tuning.silent_after)
        } else {
            next_redial
        };
        let next = next.min(heard + tuning.silent_kept);
        self.listen_at(link, next.max(self.context.at_once()));
    }

    /// Sets when the silence on a link is looked at next.
    pub(super) fn listen_at(&mut self, link: LinkId, at: Instant) {
        if let Some(held) = self.links.get_mut(&link) {
            held.listens_at = at;
        }
        self.context.timers.set(Timer::Silence(link), at);
    }

    fn fall_silent(&mut self, link: LinkId) {
        let Some(held) = self.links.get_mut(&link) else {
            return;
        };
        if held.silent {
            return;
        }
        held.silent = true;
        let was_eager = core::mem::take(&mut held.eager);
        let (handle, heard) = (held.handle, held.heard);
        if was_eager {
            self.mend_tree();
        }
        self.weave_soon();
        if !self.links.values().any(super::Link::is_lively) {
            self.local_health.on_isolated(&mut self.context);
        }
        if self.self_record.edge(handle).is_some()
            || self.context.topology.is_ring_edge(self.context.me, handle)
        {
            self.self_record.set_edge(handle, true, Some(heard));
        }
    }

    /// The hold of an isolated node is over: what it holds against others goes out with this step.
    pub(super) fn accuse_silent(&mut self) {
        self.judge();
    }

    pub(super) fn judge_soon(&mut self) {
        self.context.timers.set_if_unset(
            Timer::Judge,
            self.context.now + self.context.tuning().judge_after,
        );
    }

    /// Recomputes to whom paths lead, and suspects, clears and revives accordingly, in order of their numbers. O(members).
    pub(super) fn judge(&mut self) {
        if self.context.has(Switch::NoDetection) {
            return;
        }
        // While nobody holds anything against anybody, the rings reach everyone: a joining mesh needs no search.
        let told: Vec<Handle> = self.told_gone().collect();
        let calm = self.suspects.is_empty() && self.limbo.is_empty() && told.is_empty();
        if calm && self.context.topology.is_unaccused() {
            self.context.timers.cancel(&Timer::Suspicion);
            return;
        }
        let presumed = |handle: &Handle| self.life_of(*handle).presumed;
        let unheard = self.limbo.iter().filter(|handle| !presumed(handle));
        let reach = self
            .context
            .topology
            .reach(self.context.me, unheard.chain(&told).copied());
        for handle in told {
            if reach.is_reached(handle) {
                self.life(handle).forget_at = None;
            }
        }
        // Whoever is alive and reached stays so.
        let mut members: Vec<Handle> = self
            .context
            .topology
            .on_rings()
            .filter(|handle| !reach.is_reached(*handle))
            .chain(self.suspects.keys().copied())
            .chain(self.limbo.iter().copied())
            .filter(|handle| *handle != self.context.me)
            .collect();
        members.sort_unstable();
        members.dedup();
        let mut newly_suspect = Vec::new();
        for handle in members {
            match (self.status(handle), reach.is_reached(handle)) {
                (Status::Left, _) | (Status::Alive, true) | (Status::Down, false) => {}
                (Status::Suspect, true) => self.clear(handle),
                (Status::Down, true) => self.revive(handle),
                (Status::Alive, false) => {
                    self.suspect(handle, reach.proof(handle));
                    newly_suspect.push((handle, reach.proof(handle)));
                }
                (Status::Suspect, false) => self.suspect(handle, reach.proof(handle)),
            }
        }
        for (handle, proof) in newly_suspect {
            self.testify(handle, proof);
        }
        if let Some(first) = self.first_verdict() {
            self.context
                .timers
                .set(Timer::Suspicion, first.max(self.context.at_once()));
        } else {
            self.context.timers.cancel(&Timer::Suspicion);
        }
    }

    /// The members that this node holds for alive or suspect, and was told of by somebody who held them for gone. Their
    /// edges are no paths unless somebody vouches for them: who is beside them on the rings may know nothing of them.
    fn told_gone(&self) -> impl Iterator<Item = Handle> + '_ {
        let told = self.lives.iter().filter(|(_, life)| {
            life.forget_at.is_some() && matches!(life.status, Status::Alive | Status::Suspect)
        });
        told.map(|(handle, _)| *handle)
    }

    fn suspect(&mut self, handle: Handle, proof: Option<Instant>) {
        let (since, put_off) = match self.suspects.get(&handle) {
            Some(suspicion) => (suspicion.since, suspicion.put_off),
            None => {
                self.set_status(handle, Status::Suspect);
                self.context
                    .report_of(handle, |id| Event::PeerSuspected { id });
                (self.context.now, 0)
            }
        };
        let floor = if put_off > PUT_OFF_MAX {
            Instant::ZERO
        } else {
            self.local_health.resumed()
        };
        let down_after = self.context.tuning().down_after;
        let now = self.context.now;
        let fresh = self.news(handle).fresh(now).max(floor);
        let grace = if proof.is_some() {
            VOUCH_GRACE
        } else {
            down_after
        };
        let until = (proof.unwrap_or(Instant::ZERO).max(fresh) + down_after).max(since + grace);
        let suspicion = Suspicion {
            since,
            until,
            put_off,
        };
        self.suspects.insert(handle, suspicion);
    }

    /// Says what this node knows of a new suspect: that it hears it, or when it last did if that was after the latest
    /// proof that those report who watch it. Links beside the rings are no evidence, but what came on them proves life.
    fn testify(&mut self, handle: Handle, reported: Option<Instant>) {
        let limit = self.context.tuning().heartbeat_interval_max + HEARTBEAT_SLACK;
        let now = self.context.now;
        let heard = self
            .open_link(handle)
            .filter(|link| !link.silent && now - link.heard <= limit)
            .map(|link| link.heard);
        if let Some(heard) = heard {
            if self.vouches() {
                self.news(handle).refresh(heard);
                self.self_record.set_edge(handle, false, Some(heard));
            }
            return;
        }
        // What is older than a suspect's time puts nothing off.
        let down_after = self.context.tuning().down_after;
        let proof = self
            .last_heard(handle)
            .filter(|heard| now - *heard < down_after);
        if proof > reported && self.self_record.edge(handle).is_none() {
            self.self_record.set_edge(handle, true, proof);
        }
    }

    fn clear(&mut self, handle: Handle) {
        self.suspects.remove(&handle);
        self.set_status(handle, Status::Alive);
        self.life(handle).forget_at = None;
        self.context
            .report_of(handle, |id| Event::PeerCleared { id });
    }

    fn revive(&mut self, handle: Handle) {
        self.limbo.remove(&handle);
        self.context.timers.cancel(&Timer::Forget(handle));
        self.set_status(handle, Status::Alive);
        self.presume_those_lost_with(handle);
        self.life(handle).forget_at = None;
        self.dialer.reset_back_off(handle);
        self.context.topology.set_listed(handle, true);
        let record = self.context.topology.known_record(handle);
        let epoch = record.map_or(0, |record| record.rank().epoch);
        self.context
            .report_of(handle, |id| Event::PeerUp { id, epoch });
        self.weave_soon();
    }

    /// Somebody is back who did not die: nor need those have died who were lost at the same time. What the rings say of
    /// their edges counts again; the dead are accused by those beside them.
    fn presume_those_lost_with(&mut self, handle: Handle) {
        let Some(lost) = self.life_of(handle).forget_at else {
            return;
        };
        let window = self.context.tuning().down_after;
        let mut news = false;
        for other in &self.limbo {
            let Some(life) = self.lives.get_mut(other) else {
                continue;
            };
            let together = |at: Instant| at.since(lost).max(lost.since(at)) <= window;
            if !life.presumed && life.forget_at.is_some_and(together) {
                life.presumed = true;
                news = true;
            }
        }
        if news {
            self.judge_soon();
        }
    }

    /// When the first suspect's time is over.
    fn first_verdict(&self) -> Option<Instant> {
        self.suspects
            .values()
            .map(|suspicion| suspicion.until)
            .min()
    }

    /// Declares down whose time as a suspect is over.
    pub(super) fn declare_down(&mut self) {
        if let Some(until) = self.local_health.held_until(&self.context) {
            self.context.timers.set(Timer::Suspicion, until);
            return;
        }
        let doubt = self.local_health.doubt(&self.context);
        let due: Vec<Handle> = self
            .suspects
            .iter()
            .filter(|(_, suspicion)| suspicion.until + doubt <= self.context.now)
            .map(|(handle, _)| *handle)
            .collect();
        for handle in due {
            self.suspects.remove(&handle);
            self.set_status(handle, Status::Down);
            self.context.topology.set_listed(handle, false);
            self.context.report_of(handle, |id| Event::PeerDown { id });
            if self.context.has(Switch::LimboForgets) {
                self.context.topology.retire(handle);
                continue;
            }
            self.limbo.insert(handle);
            self.life(handle).presumed = false;
            self.prober.begin(&mut self.context);
            self.forget_in_time(handle);
            if let Some(link) = self.by_peer.get(&handle).copied()
                && self
                    .links
                    .get(&link)
                    .is_some_and(|held| held.silent || held.stage == Stage::Broken)
            {
                self.drop_link(link, LinkEnd::Silent);
            }
            self.weave_soon();
        }
        if let Some(first) = self.first_verdict() {
            // A doubt that shrinks is looked at again before long.
            let at = (first + doubt)
                .min(self.context.now + DOUBT_INTERVAL)
                .max(first);
            self.context
                .timers
                .set(Timer::Suspicion, at.max(self.context.at_once()));
        }
    }

    /// Dials members that are down.
    pub(super) fn probe(&mut self) {
        for handle in self.prober.on_due(&mut self.context, &self.limbo) {
            if !self.dialer.is_dialing(handle) {
                self.dial_member(Purpose::Probe, handle);
            }
        }
    }

    /// Our own timer was late: we were stopped, so nobody's silence counts.
    pub(super) fn forgive_own_pause(&mut self, late: Duration) {
        self.local_health.on_pause(&mut self.context, late);
        let now = self.context.now;
        for link in self.links.values_mut() {
            link.heard = now;
            link.silent = false;
        }
        let until = now + self.context.tuning().down_after;
        for suspicion in self.suspects.values_mut() {
            suspicion.put_off = suspicion.put_off.saturating_add(1);
            if suspicion.put_off <= PUT_OFF_MAX {
                suspicion.until = suspicion.until.max(until);
            }
        }
        if let Some(first) = self.first_verdict() {
            self.context
                .timers
                .set(Timer::Suspicion, first.max(now + DOUBT_INTERVAL));
        }
        self.dialer.restart_time_outs(&mut self.context);
    }

    /// A member is down or gone: from now on, or from when those who told us of it lost it.
    pub(super) fn forget_in_time(&mut self, handle: Handle) {
        let (now, whole) = (
            self.context.now,
            self.context.after(self.context.tuning().forget_after),
        );
        let at = self
            .life(handle)
            .forget_at
            .map_or(whole, |at| at.min(whole));
        self.life(handle).forget_at = Some(at);
        self.context
            .timers
            .set(Timer::Forget(handle), at.max(now + Duration::from_nanos(1)));
    }

    /// A neighbour hands on the records of members that it holds for gone. It counts for those of whom this node knows
    /// nothing: of others it knows better.
    pub(super) fn hear_of_gone(&mut self, gone: &[Gone]) {
        for Gone { id, age } in gone {
            if self.context.topology.record(id).is_some() {
                continue;
            }
            if let Some(handle) = self.context.topology.intern(id) {
                // Counted forwards: this node's clock may not reach back that far.
                let left = self.context.tuning().forget_after.saturating_sub(*age);
                self.life(handle).forget_at = Some(self.context.now + left);
                self.judge_soon();
            }
        }
    }

    /// The second step of forgetting a member comes when nobody can need it to be remembered. Whoever learnt of it last,
    /// from the last that still knew it, needs what is said against it until it finds out for itself: its own edge
    /// missing twice running, and the time of a suspect; thrice that, since it may have handed it on.
    fn keep_place(&mut self, handle: Handle) {
        let tuning = &self.context.config.tuning;
        let found_out = 2 * MAINTAIN_INTERVAL + tuning.down_after;
        let wait = tuning.forget_after.max(3 * found_out);
        self.context
            .timers
            .set(Timer::Forget(handle), self.context.now + wait);
    }

    /// A member has been down or gone for long: forget it, in two steps, so that old news does not bring it back.
    pub(super) fn forget(&mut self, handle: Handle) {
        if !matches!(self.status(handle), Status::Down | Status::Left) {
            return;
        }
        let Some(slot) = self.context.topology.slot(handle) else {
            return;
        };
        let (retired, id) = (slot.retired, slot.id.clone());
        self.limbo.remove(&handle);
        if !retired {
            let before = self.context.topology.hash();
            self.context.topology.retire(handle);
            self.remember(Key::Record(handle), before);
            self.context.report(Event::PeerForgotten { id });
            if !self.context.has(Switch::Resurrects) {
                self.keep_place(handle);
                return;
            }
        }
        // Here alone, and not before the second step: where the member is not forgotten yet, an accusation that is
        // withdrawn would make it reachable.
        self.self_record.clear_edge(handle);
        if retired && (self.context.topology.is_named(handle) || self.by_peer.contains_key(&handle))
        {
            // We by the report that goes out with this step; others take theirs back about now.
            let share = self.context.tuning().forget_after / STILL_NAMED_SHARE;
            let again = share.max(MAINTAIN_INTERVAL);
            self.context
                .timers
                .set(Timer::Forget(handle), self.context.now + again);
            return;
        }
        self.missing.remove(&Key::Record(handle));
        self.missing.remove(&Key::EdgeReport(handle));
        self.start_anew(handle);
        self.context.topology.release(handle);
    }
}
