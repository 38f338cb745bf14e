//! How an update reaches everyone: at once along a tree, announced on the other links, repaired on demand.
//!
//! Plumtree (Leitão et al., SRDS 2007) over the overlay, with one tree for the whole mesh: an eager link carries
//! values, a lazy one only their names. A value received twice prunes the link it came on last; a value announced
//! and not received grafts the link that announced it. A graft waits a little and draws a jitter, since otherwise a
//! whole subtree grafts at once.

use super::message::{AgedReport, UpdateId};
use super::provenance::Provenance;
use super::{
    ANNOUNCERS_MAX, Event, Gossip, LinkId, MISSING_MAX, Missing, Rejection, Status, Switch, Timer,
};
use crate::time::Duration;
use crate::topology::publication::Key;
use crate::topology::record::{COUNTER_MAX, Content, Rank, Record};
use crate::topology::{Applied, Handle};
use std::sync::Arc;

/// More announcements of records than this waiting on one link say no more than a hash does: many join at once.
const ANNOUNCEMENTS_MAX: usize = 48;
/// Of reports, more are announced: a vouch that comes late, since the tree ends before somebody, is a false death.
const REPORTS_ANNOUNCED_MAX: usize = 512;
/// Reports are announced this long after they went out on the tree.
const REPORT_ANNOUNCED_AFTER: Duration = Duration::from_millis(100);

impl Gossip {
    /// Sends what stands under `key` to all neighbours but one: its value on eager links, its name on others.
    pub(super) fn spread(&mut self, key: Key, except: Option<LinkId>) {
        let tuning = &self.context.config.tuning;
        let reports_due = self.context.now + tuning.report_after;
        // Reports take their time along the tree: announced at once, they would be asked for in vain.
        let (wait, most) = match key {
            Key::Record(_) => (tuning.announce_after, ANNOUNCEMENTS_MAX),
            Key::EdgeReport(_) => (REPORT_ANNOUNCED_AFTER, REPORTS_ANNOUNCED_MAX),
        };
        let due = self.context.now + wait;
        for (id, link) in self.links.iter_mut() {
            if !link.is_open() || Some(*id) == except {
                continue;
            }
            if link.eager && !link.silent {
                link.outgoing.have.remove(&key);
                match key {
                    Key::EdgeReport(member) => {
                        link.outgoing.reports.insert(member);
                        link.outgoing.reports_due.get_or_insert(reports_due);
                    }
                    Key::Record(_) => {
                        link.outgoing.updates.insert(key);
                    }
                }
            } else if link.outgoing.have.len() < most {
                link.outgoing.have.insert(key);
                link.outgoing.have_due = Some(link.outgoing.have_due.map_or(due, |at| at.min(due)));
            } else {
                // Too much to announce: the next heartbeat's hash tells.
                link.outgoing.have.clear();
                link.outgoing.have_due = None;
                link.hash_sent = None;
            }
            self.dirty.push(*id);
        }
    }

    /// A link of the tree is gone: the next update floods from here, and what comes back twice prunes anew. Costs a
    /// few copies once; waiting for announcements would cost every update until then a graft.
    pub(super) fn mend_tree(&mut self) {
        for link in self.links.values_mut() {
            if link.is_lively() {
                link.eager = true;
            }
        }
    }

    /// The view changed under `key`; `before` was its hash.
    pub(super) fn remember(&mut self, key: Key, before: u64) {
        self.history.push((before, key));
        self.changed = self.context.now;
        if let Some(missing) = self.missing.get(&key)
            && self.context.topology.holds(&missing.id)
        {
            self.missing.remove(&key);
            self.context.timers.cancel(&Timer::Graft(key));
        }
    }

    /// Updates broadcast to us.
    pub(super) fn on_updates(
        &mut self,
        link: LinkId,
        records: &[Arc<Record>],
        reports: &[AgedReport],
    ) {
        let mut useful = false;
        let mut repeated = false;
        self.context.topology.gather();
        for record in records {
            let (applied, key) = self.take_record(record, link);
            let (news, again) = self.weigh(applied, key, link);
            useful |= news;
            repeated |= again;
            self.relay(key, applied, link);
        }
        self.context.topology.settle();
        for report in reports {
            let (applied, key) = self.take_report(report, link);
            let (news, again) = self.weigh(applied, key, link);
            useful |= news;
            repeated |= again;
            self.relay(key, applied, link);
        }
        let Some(held) = self.links.get_mut(&link) else {
            return;
        };
        if useful {
            held.eager = true;
        } else if repeated {
            held.eager = false;
            held.outgoing.prune = true;
            self.dirty.push(link);
        }
    }

    /// Whether what a link brought was news, and whether another link had brought the very same by broadcast before.
    /// What came by reconciliation, or twice on one link (a snapshot and a broadcast crossing), says nothing about
    /// the tree.
    fn weigh(&mut self, applied: Applied, key: Option<Key>, link: LinkId) -> (bool, bool) {
        let Some(key) = key else {
            return (false, false);
        };
        match applied {
            Applied::Newer => {
                self.set_provenance(key, Provenance::link(link));
                (true, false)
            }
            Applied::Same => (false, self.provenance(key).is_another_than(link)),
            Applied::Older | Applied::Full => (false, false),
        }
    }

    fn provenance(&self, key: Key) -> Provenance {
        let found = match key {
            Key::EdgeReport(member) => self.report_provenance.get(&member).copied(),
            Key::Record(member) => {
                let news = self.news.get(member as usize);
                news.map(|news| news.received_from)
            }
        };
        found.unwrap_or_default()
    }

    pub(super) fn set_provenance(&mut self, key: Key, from: Provenance) {
        match key {
            Key::Record(member) => self.news(member).received_from = from,
            Key::EdgeReport(member) if from == Provenance::default() => {
                self.report_provenance.remove(&member);
            }
            Key::EdgeReport(member) => {
                self.report_provenance.insert(member, from);
            }
        }
    }

    /// Passes news on; what the neighbour has shown to hold need not be announced to it.
    pub(super) fn relay(&mut self, key: Option<Key>, applied: Applied, from: LinkId) {
        let Some(key) = key else { return };
        if let Some(held) = self.links.get_mut(&from) {
            held.outgoing.is_held_there(key);
        }
        if applied == Applied::Newer {
            self.spread(key, Some(from));
        }
    }

    /// Merges a record somebody sent; says what it did and under which key it stands.
    pub(super) fn take_record(
        &mut self,
        record: &Arc<Record>,
        from: LinkId,
    ) -> (Applied, Option<Key>) {
        let rank = record.rank();
        if rank.epoch > COUNTER_MAX || rank.version > COUNTER_MAX || rank.incarnation > COUNTER_MAX
        {
            self.report_rejected(from, Rejection::CounterTooHigh);
            return (Applied::Older, None);
        }
        if record.id() == &self.context.config.id {
            let applied = if record == self.record() {
                Applied::Same
            } else {
                Applied::Older
            };
            self.hear_of_myself(record, from);
            return (applied, None);
        }
        let altered = self.sabotaged(record);
        let record = altered.as_ref().unwrap_or(record);
        let before = self.context.topology.hash();
        let Some(handle) = self.context.topology.intern(record.id()) else {
            self.report_rejected(from, Rejection::TooMany);
            return (Applied::Full, None);
        };
        let old = self.context.topology.known_record(handle).cloned();
        let applied = self.context.topology.apply_record_at(handle, record);
        if applied == Applied::Newer {
            self.renew(
                handle,
                old.as_ref().map(|old| (old.rank(), old.content())),
                record,
            );
            self.remember(Key::Record(handle), before);
        }
        (applied, Some(Key::Record(handle)))
    }

    /// What a planted bug makes of a received record.
    fn sabotaged(&self, record: &Arc<Record>) -> Option<Arc<Record>> {
        if self.context.config.sabotage.is_none() {
            return None;
        }
        let mut content: Content = record.content().clone();
        if self.context.has(Switch::DeltaDropsServices)
            && self.context.topology.record(record.id()).is_some()
        {
            content.services.clear();
        }
        if self.context.has(Switch::JoinTimeReset) {
            content.joined.0 = content.joined.0.max(1) + self.context.now.as_millis() / 1_000;
        }
        (content != *record.content())
            .then(|| Arc::new(Record::new(record.id().clone(), record.rank(), content)))
    }

    /// A member published something newer than what we held.
    fn renew(&mut self, handle: Handle, old: Option<(Rank, &Content)>, record: &Record) {
        let id = record.id().clone();
        let epoch = record.rank().epoch;
        let was = self.status(handle);
        let now = self.context.now;
        let down_after = self.context.tuning().down_after;
        self.news(handle).refresh(now);
        let reborn = old
            .is_none_or(|(rank, _)| (rank.epoch, rank.instance) < (epoch, record.rank().instance));
        let still_gone = was == Status::Left && record.rank().leaving;
        if let Some(life) = self.lives.get_mut(&handle) {
            if reborn {
                life.session = if old.is_some() { 0 } else { life.session };
                life.failed_until = crate::time::Instant::ZERO;
                life.failures = 0;
            }
            if old.is_some() && !still_gone {
                life.forget_at = None;
            }
        }
        if record.rank().leaving {
            if was != Status::Left {
                self.set_status(handle, Status::Left);
                self.suspects.remove(&handle);
                self.limbo.remove(&handle);
                self.clear_edge(handle);
                self.forget_in_time(handle);
                self.context.report(Event::PeerLeft { id });
            }
        } else if reborn || was == Status::Left {
            self.set_status(handle, Status::Alive);
            self.context.timers.cancel(&Timer::Forget(handle));
            self.suspects.remove(&handle);
            self.limbo.remove(&handle);
            self.context.report(Event::PeerUp { id, epoch });
        } else if was == Status::Down {
            // It published after we thought it dead: it has the time of a suspect to show itself.
            self.set_status(handle, Status::Suspect);
            self.context.timers.cancel(&Timer::Forget(handle));
            self.limbo.remove(&handle);
            self.suspects.insert(
                handle,
                super::Suspicion {
                    since: now,
                    until: now + down_after,
                    put_off: 0,
                },
            );
            self.context
                .timers
                .set_earlier(Timer::Suspicion, now + down_after);
            self.context.report(Event::PeerUp { id, epoch });
        } else if old.is_some_and(|(_, content)| content != record.content()) {
            self.context.report(Event::PeerUpdated { id });
        }
        if reborn || record.rank().leaving {
            self.weave_soon();
        }
        self.judge_soon();
    }

    /// Merges a report somebody sent.
    pub(super) fn take_report(
        &mut self,
        aged: &AgedReport,
        from: LinkId,
    ) -> (Applied, Option<Key>) {
        let report = &aged.report;
        if report.epoch > COUNTER_MAX
            || report.version > COUNTER_MAX
            || aged.ages.len() != report.edges.len()
        {
            self.report_rejected(from, Rejection::CounterTooHigh);
            return (Applied::Older, None);
        }
        if report.reporter == self.context.config.id {
            let same = self
                .context
                .topology
                .report(&self.context.config.id)
                .is_some_and(|held| held == report);
            self.hear_own_report(report, from);
            return (if same { Applied::Same } else { Applied::Older }, None);
        }
        let proof_is_now = self.context.has(Switch::ProofIsNow);
        let now = self.context.now;
        let proofs = aged.ages.iter().map(|age| {
            age.map(|age| {
                if proof_is_now {
                    now
                } else {
                    now.saturating_sub(age)
                }
            })
        });
        let before = self.context.topology.hash();
        let handle = self.context.topology.intern(&report.reporter);
        let applied = handle.map_or(Applied::Full, |handle| {
            self.context
                .topology
                .apply_report_at(handle, report, proofs)
        });
        if applied == Applied::Full {
            self.report_rejected(from, Rejection::TooMany);
            return (applied, None);
        }
        let Some(handle) = handle else {
            return (applied, None);
        };
        if applied == Applied::Newer {
            self.remember(Key::EdgeReport(handle), before);
            if self.status(handle) == Status::Down {
                self.life(handle).presumed = true;
            }
            self.judge_soon();
        }
        (applied, Some(Key::EdgeReport(handle)))
    }

    /// A neighbour announced what it has.
    pub(super) fn on_announced(&mut self, link: LinkId, have: &[UpdateId]) {
        let mut wait = None;
        for id in have {
            let any_will_do = self.context.has(Switch::SequenceIgnored);
            let known = self.context.topology.handle(&id.origin);
            let holds = known.is_some_and(|handle| {
                self.context.topology.holds_at(handle, id)
                    || any_will_do && self.context.topology.is_known(handle)
            });
            if holds {
                if let (Some(handle), Some(held)) = (known, self.links.get_mut(&link)) {
                    held.outgoing.have.remove(&Key::new(handle, id.kind));
                }
                continue;
            }
            if self.context.has(Switch::NoGraft) {
                continue;
            }
            if self.missing.len() >= MISSING_MAX && known.is_none() {
                continue;
            }
            let Some(handle) = known.or_else(|| self.context.topology.intern(&id.origin)) else {
                continue;
            };
            let key = Key::new(handle, id.kind);
            if let Some(missing) = self.missing.get_mut(&key) {
                if (id.epoch, id.version) > (missing.id.epoch, missing.id.version) {
                    *missing = Missing {
                        id: id.clone(),
                        announcers: vec![link],
                    };
                } else if missing.announcers.len() < ANNOUNCERS_MAX
                    && !missing.announcers.contains(&link)
                {
                    missing.announcers.push(link);
                }
                continue;
            }
            if self.missing.len() >= MISSING_MAX {
                continue;
            }
            // One draw for the whole message: what was announced together is asked for together.
            let jitter = *wait.get_or_insert_with(|| {
                self.context
                    .random
                    .duration_below(self.context.tuning().graft_jitter)
            });
            let at = self
                .context
                .after(self.context.tuning().graft_after + jitter);
            self.missing.insert(
                key,
                Missing {
                    id: id.clone(),
                    announcers: vec![link],
                },
            );
            self.context.timers.set(Timer::Graft(key), at);
        }
    }

    /// An announced update still has not come: ask the next who announced it.
    pub(super) fn ask_next_announcer(&mut self, key: Key) {
        let Some(missing) = self.missing.get_mut(&key) else {
            return;
        };
        if self.context.topology.holds(&missing.id) {
            self.missing.remove(&key);
            return;
        }
        while !missing.announcers.is_empty() {
            let link = missing.announcers.remove(0);
            if let Some(held) = self.links.get_mut(&link).filter(|held| held.is_lively()) {
                held.eager = true;
                held.outgoing.graft.insert(missing.id.clone());
                self.dirty.push(link);
                self.context.timers.set(
                    Timer::Graft(key),
                    self.context.now + self.context.tuning().graft_interval,
                );
                return;
            }
        }
        self.missing.remove(&key);
    }

    /// A neighbour asks for what we announced.
    pub(super) fn on_graft(&mut self, link: LinkId, graft: &[UpdateId]) {
        for id in graft {
            let Some(handle) = self.context.topology.handle(&id.origin) else {
                continue;
            };
            let held = self.context.topology.holds_at(handle, id);
            let Some(link_held) = self.links.get_mut(&link) else {
                return;
            };
            link_held.eager = true;
            if held {
                link_held.outgoing.updates.insert(Key::new(handle, id.kind));
                self.dirty.push(link);
            }
        }
    }
}
