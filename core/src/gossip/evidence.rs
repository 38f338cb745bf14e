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

/// How long a node that hears nobody accuses nobody.
const ISOLATION_HOLD: Duration = Duration::from_secs(1);
/// The time a vouch has to arrive after a suspicion that rests on an old proof.
const VOUCH_GRACE: Duration = Duration::from_millis(300);
/// Who stands still again and again puts its judgement on a suspect off no more often than this: the others forget the
/// dead meanwhile, and it would bring them back.
const PUT_OFF_MAX: u8 = 2;
/// Timers that are late by less are as good as in time.
const LATE_TOLERATED: Duration = Duration::from_millis(10);
/// A node whose timers were late by a time doubts itself for this many times as long.
const DOUBT_FACTOR: u32 = 8;
/// The longest such doubt.
const DOUBT_MAX: Duration = Duration::from_secs(8);
/// How often a doubt is reconsidered.
const DOUBT_INTERVAL: Duration = Duration::from_millis(250);
/// The most redials of one neighbour under way: enough that a lost one costs no time.
const REDIALS_MAX: usize = 3;
/// A neighbour heard within a heartbeat plus this is vouched for.
const HEARTBEAT_SLACK: Duration = Duration::from_millis(100);
/// Members that are down are probed by this many nodes a second, mesh-wide, each.
const PROBERS: u64 = 2;
/// A forgotten member that is still named or linked when its place is to be freed keeps it for this share of the time
/// until members are forgotten, and again.
const STILL_NAMED_SHARE: u32 = 8;
/// How often a node probes.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// The most probes one node sends a second.
const PROBES_MAX: u64 = 8;

impl Gossip {
    /// Sends a heartbeat on the next link in turn; if it comes late, on as many as have had their turn since it was due.
    pub(super) fn beat(&mut self, due: Instant) {
        let open = self.links.open();
        debug_assert_eq!(
            open,
            self.links.values().filter(|link| link.is_open()).count(),
            "a stage was changed past the count"
        );
        let tuning = &self.context.config.tuning;
        let share = tuning.heartbeat_interval_max / u32::try_from(open.max(1)).unwrap_or(1);
        let share = share.min(tuning.heartbeat_spacing);
        self.context
            .timers
            .set(Timer::Heartbeat, self.context.now + share);
        let turns = 1 + (self.context.now - due).as_nanos() / share.as_nanos().max(1);
        for _ in 0..turns.min(open as u128) {
            self.beat_next();
        }
    }

    fn beat_next(&mut self) {
        let next = self
            .links
            .after(self.heartbeat_last)
            .find(|(_, link)| link.is_open())
            .map(|(id, _)| *id);
        let Some(id) = next else { return };
        self.heartbeat_last = id;
        let hash = self.hash_is_due(id);
        if let Some(link) = self.links.get_mut(&id) {
            link.outgoing.heartbeat = true;
            link.outgoing.hash |= hash;
            self.dirty.push(id);
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
        if self.isolated_since.take().is_some() {
            self.context.timers.cancel(&Timer::Isolation);
            self.context.report(Event::Rejoined);
        }
        let accused = self.own_edge(handle).is_some_and(|edge| edge.down);
        if accused
            || (matches!(self.status(handle), Status::Suspect | Status::Down) && self.vouches())
        {
            self.set_edge(handle, false, Some(now));
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
            self.life(handle).failed_until = until;
            self.drop_link(link, LinkEnd::Silent);
            self.weave_soon();
            return;
        }
        if self.context.now - redialed >= tuning.redial_interval || redialed == Instant::ZERO {
            if let Some(held) = self.links.get_mut(&link) {
                held.redialed = self.context.now;
            }
            let under_way = self.dials_to(handle);
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
        if self.isolated_since.is_none()
            && !self.links.values().any(super::Link::is_lively)
            && !self.context.has(Switch::NoIsolationGuard)
        {
            self.isolated_since = Some(self.context.now);
            self.context
                .timers
                .set(Timer::Isolation, self.context.now + ISOLATION_HOLD);
            self.context.report(Event::Isolated);
        }
        if self.own_edge(handle).is_some()
            || self.context.topology.is_ring_edge(self.context.me, handle)
        {
            self.set_edge(handle, true, Some(heard));
        }
    }

    /// The hold of an isolated node is over: what it holds against others goes out with this step.
    pub(super) fn accuse_silent(&mut self) {
        self.judge();
    }

    pub(super) fn isolation_over(&self, since: Instant) -> bool {
        self.context.now - since >= ISOLATION_HOLD
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
            self.judge_floor
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
                self.set_edge(handle, false, Some(heard));
            }
            return;
        }
        // What is older than a suspect's time puts nothing off.
        let down_after = self.context.tuning().down_after;
        let proof = self
            .last_heard(handle)
            .filter(|heard| now - *heard < down_after);
        if proof > reported && self.own_edge(handle).is_none() {
            self.set_edge(handle, true, proof);
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
        let life = self.life(handle);
        life.forget_at = None;
        life.failed_until = Instant::ZERO;
        life.failures = 0;
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
        if let Some(since) = self.isolated_since
            && !self.isolation_over(since)
        {
            self.context
                .timers
                .set(Timer::Suspicion, since + ISOLATION_HOLD);
            return;
        }
        let doubt = self.doubt();
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
            self.probe_soon();
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

    /// This node's timers were late by so much. That adds up, and wears off by a sixteenth with each wake: who is late
    /// again and again has more mail before it than it can know.
    pub(super) fn note_lateness(&mut self, late: Duration) {
        let kept = self.lag - self.lag / 16;
        // More would lengthen no doubt, and wear off late.
        let most = DOUBT_MAX / DOUBT_FACTOR;
        self.lag = (kept + late.saturating_sub(LATE_TOLERATED)).min(most);
    }

    /// How much longer this node waits before it declares anybody down, because it lags behind its mail itself:
    /// what clears a suspect may wait in the inbox. After Lifeguard's local health multiplier.
    fn doubt(&self) -> Duration {
        if self.context.has(Switch::NoPauseGuard) {
            return Duration::ZERO;
        }
        (self.lag * DOUBT_FACTOR).min(DOUBT_MAX)
    }

    /// Somebody is in limbo: probes go out every second, at this node's own beat. Nodes that lost somebody at once shall
    /// not probe at once.
    fn probe_soon(&mut self) {
        if core::mem::replace(&mut self.probing, true) {
            return;
        }
        let beats = if self.context.now < self.first_probe {
            0
        } else {
            (self.context.now - self.first_probe).as_secs() + 1
        };
        let at = self.first_probe + Duration::from_secs(beats);
        self.context.timers.set(Timer::Probe, at);
    }

    /// Dials some members that are down: two nodes a second for each of them, mesh-wide, on average.
    pub(super) fn probe_limbo(&mut self) {
        if self.limbo.is_empty() || self.context.has(Switch::NoLimboProbe) {
            self.probing = false;
            self.probe_from = None;
            return;
        }
        self.context
            .timers
            .set(Timer::Probe, self.context.now + PROBE_INTERVAL);
        let limbo = self.limbo.len() as u64;
        let others = (self.context.topology.len() as u64)
            .saturating_sub(limbo)
            .max(1);
        let millionths = PROBERS * 1_000_000 * limbo / others;
        let extra = self
            .context
            .random
            .chance_ppm(u32::try_from(millionths % 1_000_000).unwrap_or(0));
        let probes = (millionths / 1_000_000 + u64::from(extra))
            .min(PROBES_MAX)
            .min(limbo);
        // In turn from a random start: each member as often as every other.
        let bound = self.context.topology.handle_bound() as u64;
        let mut from = match self.probe_from {
            Some(from) => from,
            None => u32::try_from(self.context.random.below(bound)).unwrap_or(0),
        };
        for _ in 0..probes {
            let next = self.limbo.range(from..).next();
            let Some(handle) = next.or_else(|| self.limbo.first()).copied() else {
                break;
            };
            from = handle + 1;
            if !self.is_dialing(handle) {
                self.dial_member(Purpose::Probe, handle);
            }
        }
        self.probe_from = Some(from);
    }

    /// Our own timer was late: we were stopped, so nobody's silence counts.
    pub(super) fn forgive_own_pause(&mut self, late: Duration) {
        self.context.report(Event::Paused { late });
        let now = self.context.now;
        self.judge_floor = now;
        for link in self.links.values_mut() {
            link.heard = now;
            link.silent = false;
        }
        self.isolated_since = None;
        self.context.timers.cancel(&Timer::Isolation);
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
        let dials: Vec<_> = self.dials.keys().copied().collect();
        for dial in dials {
            self.context
                .timers
                .set(Timer::Dial(dial), now + self.context.tuning().dial_timeout);
        }
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
        self.clear_edge(handle);
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
