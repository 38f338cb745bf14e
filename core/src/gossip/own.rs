//! Publishing of the own record, and the answers to values under the own id that the node did not publish.

use super::message::Goodbye;
use super::self_record::{Claim, Succession};
use super::{Event, Gossip, LinkId, Phase, Rejection, Status, Switch, Ticket};
use crate::topology::Handle;
use crate::topology::publication::Key;
use crate::topology::record::{Record, Report};

impl Gossip {
    /// Publishes what this step changed: the record once, the report once.
    pub(super) fn publish_own(&mut self) {
        let me = self.context.me;
        if let Some(before) = self.self_record.publish_record(&mut self.context) {
            self.remember(Key::Record(me), before);
            self.spread(Key::Record(me), None);
        }
        // A node that hears no link accuses no member, for a while.
        if self.local_health.held_until(&self.context).is_none()
            && let Some(before) = self.self_record.publish_report(&mut self.context)
        {
            self.remember(Key::EdgeReport(me), before);
            self.spread(Key::EdgeReport(me), None);
            self.judge_soon();
        }
    }

    /// Drops what need not be said any more: about those who left, edges nobody presumes, vouches nobody needs. What is
    /// said of a forgotten member ends with its second step of being forgotten.
    pub(super) fn tidy_edges(&mut self) {
        let edges: Vec<(Handle, bool)> = self
            .self_record
            .edges()
            .map(|(peer, edge)| (peer, edge.is_down()))
            .collect();
        let topology = &self.context.topology;
        // While edges of our own are down, it may be our vouches that join us to the others.
        let hangs_by_vouches =
            edges.iter().any(|(_, down)| *down) || topology.is_accused(self.context.me);
        for (peer, down) in edges {
            let topology = &self.context.topology;
            if topology.is_retired(peer) {
                continue;
            }
            let known = topology.is_known(peer);
            let needless = if down {
                // Beside the rings it says when a suspect was last heard.
                !topology.is_ring_edge(self.context.me, peer)
                    && self.status(peer) != Status::Suspect
            } else {
                let alive = self.status(peer) == Status::Alive;
                let whole = !topology.is_accused(peer) && !hangs_by_vouches;
                self.open_link(peer).is_none() || (alive && whole)
            };
            if !known || self.status(peer) == Status::Left || needless {
                self.self_record.clear_edge(peer);
            }
        }
    }

    /// Somebody published a record under our id.
    pub(super) fn hear_of_myself(&mut self, heard: &Record, from: LinkId) {
        match self.self_record.claim(&self.context, heard) {
            Claim::Known => {}
            Claim::Outdated => self.push_to(from, Key::Record(self.context.me)),
            Claim::Newer => self.meet_newer_self(heard, false),
            Claim::Forged if self.context.has(Switch::AdoptsLie) => {
                let before = self.self_record.adopt(&mut self.context, heard);
                self.remember(Key::Record(self.context.me), before);
            }
            Claim::Forged => {
                let from = self.peer_of(from);
                self.self_record.refute(&mut self.context, heard, from);
            }
        }
    }

    /// Somebody published a report under our name.
    pub(super) fn hear_own_report(&mut self, heard: &Report, from: LinkId) {
        if self.self_record.refute_report(&self.context, heard) {
            self.report_rejected(from, Rejection::ForgedReport);
        }
    }

    /// A newer machine, or our own previous life, holds our id; which is sure when it greets us itself.
    pub(super) fn meet_newer_self(&mut self, heard: &Record, greets: bool) {
        match self.self_record.succession(&self.context, heard, greets) {
            Succession::Stays => {}
            Succession::Raises(above) => self.self_record.raise_epoch(&mut self.context, above),
            Succession::GivesUp => self.give_up_name(heard),
        }
    }

    fn give_up_name(&mut self, heard: &Record) {
        let rank = heard.rank();
        self.context.report(Event::NameTaken {
            epoch: rank.epoch,
            instance: rank.instance,
        });
        self.end_all_links(Goodbye::NameTaken);
        let leaving = self.self_record.phase() == Phase::Leaving;
        self.self_record.on_name_taken();
        self.context.timers = super::timer::Timers::new();
        if leaving {
            self.self_record.on_left(&mut self.context);
        }
    }

    pub(super) fn on_stored(&mut self, ticket: Ticket) {
        if self.self_record.on_stored(ticket) {
            self.bootstrap.schedule_at_once(&mut self.context);
        }
    }

    pub(super) fn on_leave(&mut self) {
        if self.self_record.phase() == Phase::Leaving {
            return;
        }
        self.self_record.leave();
        if self.context.has(Switch::NoFarewell) || !self.links.values().any(super::Link::is_lively)
        {
            self.finish_leaving();
            return;
        }
        self.self_record.say_farewell(&mut self.context);
    }

    pub(super) fn finish_leaving(&mut self) {
        self.end_all_links(Goodbye::Leaving);
        self.context.timers = super::timer::Timers::new();
        self.self_record.on_left(&mut self.context);
    }
}
