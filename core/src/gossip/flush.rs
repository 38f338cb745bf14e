//! What goes out on a link, and when: an idle link sends at once, then gathers for a moment.
//!
//! One message a flush, at most [`FRAME_BYTES_MAX`] bytes; what does not fit follows in the next. Control goes
//! before data, broadcasts before reconciliation.

use super::link::{Link, Outgoing};
use super::member::Life;
use super::message::{AgedReport, Frame, Gone, Message, Sync};
use super::{Gossip, LinkId, Output, Timer};
use crate::size::{self, Encoded, FRAME_BYTES_MAX};
use crate::time::{Duration, Instant};
use crate::topology::publication::{Key, PublicationKind, UpdateId};
use crate::topology::record::Record;
use crate::topology::{Handle, Topology};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Room kept for a frame's own tags and lengths.
const HEADROOM: usize = 64;

/// What fits into one message.
struct Budget {
    left: usize,
}

impl Budget {
    /// Takes room for one element; false if there is none.
    fn take(&mut self, encoded: usize) -> bool {
        let cost = size::delimited(encoded);
        if cost > self.left {
            return false;
        }
        self.left -= cost;
        true
    }
}

impl Gossip {
    /// Sends what is due on each link that has something to send.
    pub(super) fn flush(&mut self) {
        if self.dirty.is_empty() {
            return;
        }
        let mut dirty = core::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        dirty.dedup();
        for id in dirty.drain(..) {
            let Some(link) = self.links.get_mut(&id).filter(|link| link.is_open()) else {
                continue;
            };
            let later = link.outgoing.due();
            let urgent = link.outgoing.is_urgent();
            if !urgent && later.is_none() {
                continue;
            }
            let ready = link
                .flushed
                .map(|at| at + self.context.tuning().coalesce)
                .filter(|at| *at > self.context.now);
            let due = if urgent {
                self.context.now
            } else {
                later.unwrap_or(self.context.now)
            };
            let at = ready.map_or(due, |ready| ready.max(due));
            if at > self.context.now {
                self.context.timers.set_earlier(Timer::Flush(id), at);
                continue;
            }
            self.send_frame(id);
        }
        // Its memory serves the next step.
        self.dirty = dirty;
    }

    /// Sends everything on every link, as the last thing said.
    pub(super) fn flush_now(&mut self) {
        let open: Vec<LinkId> = self
            .links
            .iter()
            .filter(|(_, link)| link.is_open())
            .map(|(id, _)| *id)
            .collect();
        for id in open {
            if self
                .links
                .get(&id)
                .is_some_and(|link| link.outgoing.is_urgent() || link.outgoing.due().is_some())
            {
                self.send_frame(id);
            }
        }
    }

    fn send_frame(&mut self, id: LinkId) {
        let hash = self.hash();
        let shelf = Shelf {
            topology: &self.context.topology,
            lives: &self.lives,
            forget_after: self.context.tuning().forget_after,
            now: self.context.now,
        };
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let frame = shelf.fill_frame(link, hash);
        link.flushed = Some(self.context.now);
        let more = link.outgoing.is_urgent();
        let later = link.outgoing.due();
        if more || later.is_some() {
            let soonest = self.context.now + self.context.tuning().coalesce;
            self.context.timers.set(
                Timer::Flush(id),
                if more {
                    soonest
                } else {
                    later.map_or(soonest, |at| at.max(soonest))
                },
            );
        } else {
            self.context.timers.cancel(&Timer::Flush(id));
        }
        self.context.out.push(Output::Send {
            link: id,
            message: Message::Frame(frame),
        });
    }
}

/// Where what is sent stands: values are named while they wait, and looked up when they go.
struct Shelf<'a> {
    topology: &'a Topology,
    lives: &'a BTreeMap<Handle, Life>,
    forget_after: Duration,
    now: Instant,
}

impl Shelf<'_> {
    /// Takes what is due on a link, as much as fits.
    fn fill_frame(&self, link: &mut Link, hash: u64) -> Frame {
        let mut frame = Frame::default();
        let outgoing = &mut link.outgoing;
        if core::mem::take(&mut outgoing.hash) {
            frame.hash = Some(hash);
            link.hash_sent = Some((hash, self.now));
        }
        frame.prune = core::mem::take(&mut outgoing.prune);
        outgoing.heartbeat = false;
        let mut budget = Budget {
            left: FRAME_BYTES_MAX - HEADROOM,
        };
        while let Some(graft) = outgoing.graft.pop_first() {
            if !budget.take(graft.encoded_len()) {
                outgoing.graft.insert(graft);
                break;
            }
            frame.graft.push(graft);
        }
        if outgoing.have_due.is_some_and(|at| at <= self.now) {
            while let Some(key) = outgoing.have.pop_first() {
                let Some(name) = self.name_of(key) else {
                    continue;
                };
                if !budget.take(name.encoded_len()) {
                    outgoing.have.insert(key);
                    break;
                }
                frame.have.push(name);
            }
            if outgoing.have.is_empty() {
                outgoing.have_due = None;
            }
        }
        while let Some(key) = outgoing.updates.pop_first() {
            if !self.put(key, &mut budget, &mut frame.records, &mut frame.reports) {
                outgoing.updates.insert(key);
                break;
            }
        }
        while let Some(handle) = outgoing.reports.pop_first() {
            if !self.put(
                Key::EdgeReport(handle),
                &mut budget,
                &mut frame.records,
                &mut frame.reports,
            ) {
                outgoing.reports.insert(handle);
                break;
            }
        }
        if outgoing.reports.is_empty() {
            outgoing.reports_due = None;
        }
        self.fill_sync(outgoing, &mut budget, &mut frame);
        frame
    }

    fn fill_sync(&self, outgoing: &mut Outgoing, budget: &mut Budget, frame: &mut Frame) {
        while let Some(sync) = outgoing.sync.first() {
            if !budget.take(sync.encoded_len()) {
                return;
            }
            frame.sync.push(outgoing.sync.remove(0));
        }
        if !outgoing.push.is_empty() {
            // The chunk's own tag and length.
            budget.left = budget.left.saturating_sub(8);
            let (mut records, mut reports) = (Vec::new(), Vec::new());
            while let Some(key) = outgoing.push.pop_first() {
                let fits = match key {
                    Key::EdgeReport(_) => self.put(key, budget, &mut records, &mut reports),
                    Key::Record(member) => {
                        self.put_known(member, budget, &mut records, &mut frame.gone)
                    }
                };
                if !fits {
                    outgoing.push.insert(key);
                    break;
                }
            }
            if !records.is_empty() || !reports.is_empty() {
                frame.sync.push(Sync::Push { records, reports });
            }
        }
        if let Some(cursor) = &mut outgoing.snapshot {
            budget.left = budget.left.saturating_sub(16);
            let (mut records, mut reports) = (Vec::new(), Vec::new());
            let mut last = true;
            for handle in self.topology.handles_after(cursor.after.as_ref()) {
                if !self.put_known(handle, budget, &mut records, &mut frame.gone)
                    || !self.put(Key::EdgeReport(handle), budget, &mut records, &mut reports)
                {
                    last = false;
                    break;
                }
                cursor.after = self.topology.id_at(handle).cloned();
            }
            if last || !records.is_empty() || !reports.is_empty() {
                let reply = cursor.reply;
                frame.sync.push(Sync::Snapshot {
                    records,
                    reports,
                    last,
                    reply,
                });
            }
            if last {
                outgoing.snapshot = None;
            }
        }
    }

    /// Puts what stands under a key into a message; false if it does not fit.
    fn put(
        &self,
        key: Key,
        budget: &mut Budget,
        records: &mut Vec<Arc<Record>>,
        reports: &mut Vec<AgedReport>,
    ) -> bool {
        let Some(slot) = self.topology.slot(key.member()) else {
            return true;
        };
        if slot.retired {
            return true;
        }
        if let Key::Record(_) = key {
            let Some(record) = slot.record else {
                return true;
            };
            let fits = budget.take(record.encoded_len());
            if fits {
                records.push(Arc::clone(record));
            }
            return fits;
        }
        let Some(standing) = slot.report else {
            return true;
        };
        let ages = standing
            .edges
            .iter()
            .map(|edge| edge.proof.map(|at| self.now - at))
            .collect();
        let aged = AgedReport {
            report: Arc::clone(&standing.report),
            ages,
        };
        let fits = budget.take(aged.encoded_len());
        if fits {
            reports.push(aged);
        }
        fits
    }

    /// Puts a member's record into a message of reconciliation, and if it is gone, for how long.
    fn put_known(
        &self,
        handle: Handle,
        budget: &mut Budget,
        records: &mut Vec<Arc<Record>>,
        gone: &mut Vec<Gone>,
    ) -> bool {
        let Some(since) = self.gone(handle) else {
            return self.put(Key::Record(handle), budget, records, &mut Vec::new());
        };
        let mut left = Budget { left: budget.left };
        let fits = left.take(since.encoded_len())
            && self.put(Key::Record(handle), &mut left, records, &mut Vec::new());
        if fits {
            gone.push(since);
            *budget = left;
        }
        fits
    }

    /// For how long a member is down or left, if it is, or if that is all that this node was told of it.
    fn gone(&self, handle: Handle) -> Option<Gone> {
        let life = self.lives.get(&handle)?;
        if life.presumed {
            return None;
        }
        let left = life.forget_at? - self.now;
        Some(Gone {
            id: self.topology.id_at(handle)?.clone(),
            age: self.forget_after.saturating_sub(left),
        })
    }

    /// The name of what stands under a key.
    fn name_of(&self, key: Key) -> Option<UpdateId> {
        let slot = self.topology.slot(key.member())?;
        if slot.retired {
            return None;
        }
        let (kind, epoch, version) = match key {
            Key::EdgeReport(_) => {
                let report = &slot.report?.report;
                (PublicationKind::EdgeReport, report.epoch, report.version)
            }
            Key::Record(_) => {
                let rank = slot.record?.rank();
                (PublicationKind::Record, rank.epoch, rank.version)
            }
        };
        Some(UpdateId {
            origin: slot.id.clone(),
            kind,
            epoch,
            version,
        })
    }
}
