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
use super::failure_detector::verdict::{self, Finding};
use super::link::Stage;
use super::members::Forgetting;
use super::message::Gone;
use super::provenance::Provenance;
use super::{Event, Gossip, LinkEnd, LinkId, Status, Switch, Timer};
use crate::time::{Duration, Instant};
use crate::topology::Handle;
use crate::topology::publication::Key;

/// The most redials of one neighbour under way: enough that a lost one costs no time.
const REDIALS_MAX: usize = 3;
/// A neighbour heard within a heartbeat plus this is vouched for.
const HEARTBEAT_SLACK: Duration = Duration::from_millis(100);

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
        self.verdict.schedule(&mut self.context);
    }

    /// Recomputes to which members paths lead, and suspects, clears and finds members accordingly.
    pub(super) fn judge(&mut self) {
        let mut newly_suspect = Vec::new();
        for (member, finding) in self.verdict.judge(&mut self.context, &self.members) {
            match finding {
                Finding::Reached => self.members.on_reached(member),
                Finding::Cleared => self.on_cleared(member),
                Finding::Found => self.on_found(member),
                Finding::Unreached(proof) => {
                    if self.on_unreached(member, proof) {
                        newly_suspect.push((member, proof));
                    }
                }
            }
        }
        for (member, proof) in newly_suspect {
            self.testify(member, proof);
        }
        self.verdict.schedule_first(&mut self.context);
    }

    /// No path leads to a member. Returns whether it is newly suspect.
    fn on_unreached(&mut self, member: Handle, proof: Option<Instant>) -> bool {
        let fresh = self.members.last_update(&self.context, member);
        let resumed = self.local_health.resumed();
        let newly = self
            .verdict
            .suspect(&self.context, member, proof, fresh, resumed);
        if newly {
            self.set_status(member, Status::Suspect);
            self.context
                .report_of(member, |id| Event::PeerSuspected { id });
        }
        newly
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
                self.members.refresh(&self.context, handle, heard);
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

    fn on_cleared(&mut self, member: Handle) {
        self.verdict.acquit(member);
        self.set_status(member, Status::Alive);
        self.members.on_reached(member);
        self.context
            .report_of(member, |id| Event::PeerCleared { id });
    }

    fn on_found(&mut self, member: Handle) {
        self.set_status(member, Status::Alive);
        if self.members.on_found(&mut self.context, member) {
            self.judge_soon();
        }
        self.dialer.reset_back_off(member);
        verdict::set_listed(&mut self.context, member, true);
        let record = self.context.topology.known_record(member);
        let epoch = record.map_or(0, |record| record.rank().epoch);
        self.context
            .report_of(member, |id| Event::PeerUp { id, epoch });
        self.weave_soon();
    }

    /// Declares the suspects down whose time is over.
    pub(super) fn declare_down(&mut self) {
        let held_until = self.local_health.held_until(&self.context);
        let doubt = self.local_health.doubt(&self.context);
        for member in self.verdict.on_due(&mut self.context, held_until, doubt) {
            self.set_status(member, Status::Down);
            verdict::set_listed(&mut self.context, member, false);
            self.context.report_of(member, |id| Event::PeerDown { id });
            if self.context.has(Switch::LimboForgets) {
                verdict::retire(&mut self.context, member);
                continue;
            }
            self.members.on_down(&mut self.context, member);
            self.prober.begin(&mut self.context);
            if let Some(link) = self.by_peer.get(&member).copied()
                && self
                    .links
                    .get(&link)
                    .is_some_and(|held| held.silent || held.stage == Stage::Broken)
            {
                self.drop_link(link, LinkEnd::Silent);
            }
            self.weave_soon();
        }
    }

    /// Dials members that are down.
    pub(super) fn probe(&mut self) {
        for handle in self.prober.on_due(&mut self.context, self.members.down()) {
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
        self.verdict.on_pause(&mut self.context);
        self.dialer.restart_time_outs(&mut self.context);
    }

    /// A neighbour hands on the records of members that it holds for gone. It counts for those of whom this node knows
    /// nothing: of others it knows better.
    pub(super) fn hear_of_gone(&mut self, gone: &[Gone]) {
        for Gone { id, age } in gone {
            if self.context.topology.record(id).is_some() {
                continue;
            }
            if let Some(handle) = self.context.topology.intern(id) {
                self.members.on_reported_gone(&self.context, handle, *age);
                self.judge_soon();
            }
        }
    }

    /// A member has been down or gone for long: forgets it, in two steps.
    pub(super) fn forget(&mut self, member: Handle) {
        let Some(step) = self.members.on_forget(&self.context, member) else {
            return;
        };
        if step == Forgetting::Retire {
            let before = verdict::retire(&mut self.context, member);
            self.remember(Key::Record(member), before);
            self.context
                .report_of(member, |id| Event::PeerForgotten { id });
            if self
                .members
                .keep_place(&mut self.context, member, MAINTAIN_INTERVAL)
            {
                return;
            }
        }
        // Here alone, and not before the second step: on nodes that have not forgotten the member yet, a withdrawn
        // accusation would make it reachable.
        self.self_record.clear_edge(member);
        let used = self.context.topology.is_named(member) || self.by_peer.contains_key(&member);
        if step == Forgetting::Release && used {
            // This node names it no more from the report on that goes out with this step; the others do so about now.
            self.members
                .keep_place_longer(&mut self.context, member, MAINTAIN_INTERVAL);
            return;
        }
        self.missing.remove(&Key::Record(member));
        self.missing.remove(&Key::EdgeReport(member));
        self.release(member);
    }

    /// Frees the place of a member.
    pub(super) fn release(&mut self, member: Handle) {
        self.members.reset(&self.context, member);
        self.report_provenance.remove(&member);
        self.set_provenance(Key::Record(member), Provenance::default());
        verdict::release(&mut self.context, member);
    }
}
