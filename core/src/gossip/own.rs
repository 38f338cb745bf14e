//! What the node says of itself: its record, its report, and what it does when others say something else.
//!
//! A value about this node that it did not publish is a lie, an echo of its previous life, or another machine
//! under its id. A lie (same instance, greater) is refuted: published over. An older life is ignored. A newer
//! machine wins: this node stops and says so; unless it has only just started, or the other is where this node is
//! (it lost its disk, and hears late of its past), then the value is of its own previous life and it takes a higher
//! epoch, stored first.

use super::message::Goodbye;
use super::self_record::OwnEdge;
use super::{Event, Gossip, LinkId, Output, Phase, Rejection, Switch, Ticket, Timer};
use crate::time::{Duration, Instant};
use crate::topology::Handle;
use crate::topology::publication::Key;
use crate::topology::record::{COUNTER_MAX, Content, EDGES_MAX, Edge, Rank, Record, Report};
use std::sync::Arc;

/// How often a node that has just started takes a higher epoch before it believes that the other is no past of its own.
const RAISES_MAX: u64 = 3;
/// The pause before an epoch that could not be stored is ordered again.
const STORE_RETRY: Duration = Duration::from_secs(1);

impl Gossip {
    /// Publishes what this step changed: the record once, the report once.
    pub(super) fn publish_own(&mut self) {
        if core::mem::take(&mut self.own.record_due) {
            self.own.version += 1;
            let rank = Rank {
                version: self.own.version,
                ..self.own.record.rank()
            };
            let content = self.own.record.content().clone();
            self.own.record = Arc::new(Record::new(self.context.config.id.clone(), rank, content));
            let before = self.context.topology.hash();
            self.context.topology.apply_record(&self.own.record);
            self.remember(Key::Record(self.context.me), before);
            self.spread(Key::Record(self.context.me), None);
        }
        // Whoever hears nobody accuses nobody, for a while.
        let may_accuse = self
            .isolated_since
            .is_none_or(|since| self.isolation_over(since));
        if may_accuse && core::mem::take(&mut self.own.report_due) {
            self.own.version += 1;
            let mut edges = Vec::new();
            let mut proofs = Vec::new();
            for (peer, edge) in self.own.edges.iter().take(EDGES_MAX) {
                let Some(peer) = self.context.id_of(*peer) else {
                    continue;
                };
                let down = edge.down;
                edges.push(Edge { peer, down });
                proofs.push(edge.proof);
            }
            let epoch = self.own.record.rank().epoch;
            let report = Report {
                epoch,
                version: self.own.version,
                edges,
                reporter: self.context.config.id.clone(),
            };
            let before = self.context.topology.hash();
            self.context
                .topology
                .apply_report(&Arc::new(report), proofs);
            self.remember(Key::EdgeReport(self.context.me), before);
            self.spread(Key::EdgeReport(self.context.me), None);
            self.judge_soon();
        }
    }

    pub(super) fn own_edge(&self, peer: Handle) -> Option<OwnEdge> {
        self.own.edges.get(&peer).copied()
    }

    /// Says that the edge to `peer` is down, or vouches that the peer is heard, unless that is said or presumed.
    pub(super) fn set_edge(&mut self, peer: Handle, down: bool, proof: Option<Instant>) {
        match self.own.edges.get(&peer) {
            Some(edge) if edge.down == down => return,
            Some(_) => {}
            None if self.own.edges.len() >= EDGES_MAX => return,
            None => {}
        }
        self.own.edges.insert(peer, OwnEdge { down, proof });
        self.own.report_due = true;
    }

    /// Takes back what was said of the edge to `peer`.
    pub(super) fn clear_edge(&mut self, peer: Handle) {
        if self.own.edges.remove(&peer).is_some() {
            self.own.report_due = true;
        }
    }

    /// Drops what need not be said any more: about those who left, edges nobody presumes, vouches nobody needs. What is
    /// said of a forgotten member ends with its second step of being forgotten.
    pub(super) fn tidy_edges(&mut self) {
        let peers: Vec<(Handle, bool)> = self
            .own
            .edges
            .iter()
            .map(|(peer, edge)| (*peer, edge.down))
            .collect();
        // While edges of our own are down, it may be our vouches that join us to the others.
        let hangs_by_vouches = peers.iter().any(|(_, down)| *down)
            || self.context.topology.is_accused(self.context.me);
        for (peer, down) in peers {
            if self.context.topology.is_retired(peer) {
                continue;
            }
            let known = self.context.topology.is_known(peer);
            let needless = if down {
                // Beside the rings it says when a suspect was last heard.
                !self.context.topology.is_ring_edge(self.context.me, peer)
                    && self.status(peer) != super::Status::Suspect
            } else {
                let alive = self.status(peer) == super::Status::Alive;
                let whole = !self.context.topology.is_accused(peer) && !hangs_by_vouches;
                self.open_link(peer).is_none() || (alive && whole)
            };
            if !known || self.status(peer) == super::Status::Left || needless {
                self.clear_edge(peer);
            }
        }
    }

    pub(super) fn on_announce(&mut self, mut content: Content) {
        let held = self.own.record.content();
        content.address = content.address.or(held.address);
        content.joined = held.joined;
        match content.check() {
            Err(why) => self.context.report(Event::AnnounceRejected { why }),
            Ok(()) if content == *held => {}
            Ok(()) => self.own.set(self.own.record.rank(), content),
        }
    }

    /// Somebody published a record under our id.
    pub(super) fn hear_of_myself(&mut self, heard: &Record, from: LinkId) {
        let own = self.own.record.rank();
        let rank = heard.rank();
        if (rank.epoch, rank.instance) == (own.epoch, own.instance) {
            if heard <= self.own.record.as_ref() || self.context.has(Switch::NoRefute) {
                return;
            }
            self.refute(heard, from);
        } else if (rank.epoch, rank.instance) > (own.epoch, own.instance) {
            self.meet_newer_self(heard, false);
        } else {
            // The neighbour holds old news of us: bring it up to date.
            self.push_to(from, Key::Record(self.context.me));
        }
    }

    fn refute(&mut self, heard: &Record, from: LinkId) {
        if self.context.has(Switch::AdoptsLie) {
            self.own.version = self.own.version.max(heard.rank().version);
            self.own.record = Arc::new(heard.clone());
            let before = self.context.topology.hash();
            self.context.topology.apply_record(&self.own.record);
            self.remember(Key::Record(self.context.me), before);
            return;
        }
        if let Some(from) = self.peer_of(from) {
            self.context.report(Event::Refuted { from });
        }
        let rank = heard.rank();
        if rank.incarnation >= COUNTER_MAX || rank.version >= COUNTER_MAX {
            self.raise_epoch(rank.epoch);
            return;
        }
        self.own.version = self.own.version.max(rank.version);
        let leaving = self.own.record.rank().leaving;
        let content = self.own.record.content().clone();
        self.own.set(
            Rank {
                incarnation: rank.incarnation + 1,
                leaving,
                ..self.own.record.rank()
            },
            content,
        );
    }

    /// Somebody published a report under our name.
    pub(super) fn hear_own_report(&mut self, heard: &Report, from: LinkId) {
        let held = self
            .context
            .topology
            .report(&self.context.config.id)
            .map_or((0, 0), |held| (held.epoch, held.version));
        let epoch = self.own.record.rank().epoch;
        if heard.epoch != epoch
            || (heard.epoch, heard.version) < held
            || self.own.version >= COUNTER_MAX
        {
            return;
        }
        if self
            .context
            .topology
            .report(&self.context.config.id)
            .is_some_and(|held| held.as_ref() == heard)
        {
            return;
        }
        self.report_rejected(from, Rejection::ForgedReport);
        self.own.version = self.own.version.max(heard.version);
        self.own.report_due = true;
    }

    /// A newer machine, or our own previous life, holds our id; which is sure when it greets us itself.
    pub(super) fn meet_newer_self(&mut self, heard: &Record, greets: bool) {
        // An echo of what is being outdone already.
        if self
            .own
            .raising
            .is_some_and(|(_, epoch)| epoch > heard.rank().epoch)
        {
            return;
        }
        if self.is_established() && (greets || !self.is_own_past(heard)) {
            if !self.context.has(Switch::NoCloneCheck) {
                self.give_up_name(heard.rank());
            }
        } else if !self.context.has(Switch::EpochStands) {
            self.raise_epoch(heard.rank().epoch);
        }
    }

    /// Whether somebody who holds our id was where we are: nobody else can be there. Not believed for ever, since an
    /// address may be written wrongly on two machines.
    fn is_own_past(&self, heard: &Record) -> bool {
        let address = self.own.record.content().address;
        self.own.tickets < RAISES_MAX && address.is_some() && heard.content().address == address
    }

    fn raise_epoch(&mut self, above: u64) {
        if above >= COUNTER_MAX || self.own.raising.is_some_and(|(_, epoch)| epoch > above) {
            return;
        }
        self.own.tickets += 1;
        let ticket = Ticket(self.own.tickets);
        self.own.raising = Some((ticket, above + 1));
        self.context.timers.cancel(&Timer::StoreRetry);
        self.context.out.push(Output::Store {
            ticket,
            epoch: above + 1,
        });
    }

    /// Orders the epoch again after a pause, unless a newer order replaced it.
    pub(super) fn on_store_failed(&mut self, ticket: Ticket) {
        if self
            .own
            .raising
            .is_some_and(|(expected, _)| expected == ticket)
        {
            let at = self.context.after(STORE_RETRY);
            self.context.timers.set(Timer::StoreRetry, at);
        }
    }

    /// Orders the epoch that is not stored yet.
    pub(super) fn store_again(&mut self) {
        if let Some((ticket, epoch)) = self.own.raising {
            self.context.out.push(Output::Store { ticket, epoch });
        }
    }

    pub(super) fn on_stored(&mut self, ticket: Ticket) {
        let Some((expected, epoch)) = self.own.raising else {
            return;
        };
        if expected != ticket {
            return;
        }
        self.own.raising = None;
        let rank = self.own.record.rank();
        if epoch > rank.epoch {
            self.own.version = 0;
            let content = self.own.record.content().clone();
            self.own.set(
                Rank {
                    epoch,
                    incarnation: 0,
                    ..rank
                },
                content,
            );
            self.own.report_due = !self.own.edges.is_empty();
            self.context
                .timers
                .set(Timer::Targets, self.context.after(Duration::from_nanos(1)));
        }
    }

    /// Others know our epoch; it stands from `since` on, unless it stands already.
    pub(super) fn establish(&mut self, since: Instant) {
        self.own.established = Some(self.own.established.map_or(since, |at| at.min(since)));
        if self.phase == Phase::Joining {
            self.phase = Phase::Running;
        }
    }

    /// Whether our epoch stands. Two machines that start under one id at once must not outbid each other for ever.
    pub(super) fn is_established(&self) -> bool {
        self.own.tickets >= RAISES_MAX
            || self
                .own
                .established
                .is_some_and(|since| since <= self.context.now)
    }

    /// Whether our epoch is being raised: until it is stored, we greet nobody.
    pub(super) fn is_raising(&self) -> bool {
        self.own.raising.is_some()
    }

    fn give_up_name(&mut self, rank: Rank) {
        self.context.report(Event::NameTaken {
            epoch: rank.epoch,
            instance: rank.instance,
        });
        self.end_all_links(Goodbye::NameTaken);
        let leaving = self.phase == Phase::Leaving;
        self.phase = Phase::NameTaken;
        self.context.timers = super::timer::Timers::new();
        if leaving {
            self.phase = Phase::Left;
            self.context.out.push(Output::Left);
        }
    }

    pub(super) fn on_leave(&mut self) {
        if self.phase == Phase::Leaving {
            return;
        }
        self.phase = Phase::Leaving;
        if self.context.has(Switch::NoFarewell) || !self.links.values().any(super::Link::is_lively)
        {
            self.finish_leaving();
            return;
        }
        let content = self.own.record.content().clone();
        self.own.set(
            Rank {
                leaving: true,
                ..self.own.record.rank()
            },
            content,
        );
        self.own.report_due |= !self.own.edges.is_empty();
        self.own.edges.clear();
        self.context.timers.set(
            Timer::LeaveDone,
            self.context.after(self.context.tuning().leave_linger),
        );
    }

    pub(super) fn finish_leaving(&mut self) {
        self.end_all_links(Goodbye::Leaving);
        self.phase = Phase::Left;
        self.context.timers = super::timer::Timers::new();
        self.context.out.push(Output::Left);
    }
}
