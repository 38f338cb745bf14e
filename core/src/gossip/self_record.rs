//! The node's own record, its edge report, and its phase.
//!
//! A node publishes two values: its record, and a report of the edges that other nodes would otherwise assume wrongly.
//! Each of the two values is published at most once per step, and changes of the record's content at most once per
//! second: the first one at once, further ones together at the end of the second. A refutation, a higher epoch and the
//! announcement that the node leaves are published at once, with the content that waits. A received value under the node's id that the node did
//! not publish is a forgery, an echo of an earlier start, or the value of another machine with the same id:
//!
//! | epoch and instance | the value is | answer |
//! |---|---|---|
//! | equal, the value greater | forged | publish over it (refute) |
//! | equal, otherwise | known | none |
//! | lower | outdated | send the neighbour the current record |
//! | higher | another machine's, forged, or this node's own past | take a higher epoch, stored first; or stop |
//!
//! A node that started recently takes the higher epoch at once: the value comes from an earlier start of the node, if
//! the node lost its disk. Later, the node stops only for another machine that proves the id in a handshake; values
//! that neighbours relay are claims (`dispute`).
//!
//! ```text
//!   Joining ──established──► Running ──leave──► Leaving ──sent──► Left
//!      └───────────────────────┴──another machine proves the id──► NameTaken ──leave──► Left
//!      ▲                                                              │
//!      └──────────────that machine is gone, a higher epoch is stored──┘
//! ```

use super::config::Config;
use super::context::Context;
use super::event::Event;
use super::interface::Output;
use super::timer::Timer;
use super::view::Phase;
use crate::counter::BOUND_RISES;
use crate::identity::NodeId;
use crate::link::Ticket;
use crate::sabotage::Switch;
use crate::size::{Encoded, held};
use crate::time::{Duration, Instant};
use crate::topology::record::{Content, Edge, EdgeReport, Rank, Record};
use crate::topology::{EdgeEvidence, EdgeFailure, MemberIndex};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Number of times that a node takes a higher epoch before its epoch counts as established. Bounds the epochs raised
/// when two machines start under one id at once.
const RAISES_MAX: u64 = 3;

/// Minimum time between two records that the node publishes because neighbours had forgotten it.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(5);

/// Minimum time between two changes of the content that the node publishes. Changes within this time are published as
/// one at its end.
pub(super) const CHANGE_INTERVAL: Duration = Duration::from_secs(1);

/// Delay before the order for an epoch that could not be stored is repeated.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// The number of edges up to which a changed report is published at once.
const EDGES_PROMPT: usize = 64;
/// For longer reports, the time from one report to the next, for each edge. Many deaths within a second then take a few
/// reports.
const PAUSE_PER_EDGE: Duration = Duration::from_millis(2);
/// The number of rounds of maintenance at which a member is down until its edge counts as settled: the other nodes have
/// declared the member down too.
const SETTLED_ROUNDS: u8 = 4;

/// An edge as this node observes it, if other nodes would assume it wrongly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct OwnEdge {
    down: bool,
    /// The peer's process is gone: dials are refused.
    refused: bool,
    /// The time at which this node last heard the peer.
    last_heard: Option<Instant>,
    /// The published reason why this node has no link with the peer.
    failure: Option<EdgeFailure>,
    /// The number of rounds of maintenance in which the peer was down, up to [`SETTLED_ROUNDS`].
    settled: u8,
}

impl OwnEdge {
    /// An edge with a neighbour that is reported although no node assumes it wrongly.
    const LINKED: Self = Self {
        down: false,
        refused: false,
        last_heard: None,
        failure: None,
        settled: 0,
    };

    pub(super) const fn is_down(self) -> bool {
        self.down
    }

    /// The time at which this node last heard the peer, when the edge was reported.
    pub(super) const fn last_heard(self) -> Option<Instant> {
        self.last_heard
    }

    const fn is_settled(self) -> bool {
        self.settled >= SETTLED_ROUNDS
    }
}

/// The publication state of the report.
#[derive(Clone, Debug, Default, PartialEq)]
struct ReportState {
    /// Whether the edges changed since the latest report.
    due: bool,
    /// Whether the latest report lacks edges, because a report is bounded.
    omits: bool,
    /// The earliest time of the next report.
    from: Instant,
    /// Neighbours whose edges are reported as heard although no other node assumes them wrongly.
    linked: BTreeSet<MemberIndex>,
}

/// The publication state of the record.
#[derive(Clone, Debug, Default, PartialEq)]
struct RecordState {
    /// Whether the record changed in this step.
    due: bool,
    /// The announced content that is not published yet.
    waiting: Option<Content>,
    /// The earliest time at which announced content is published, unless the record is due anyway.
    from: Instant,
}

/// The classification of a received record under the node's own id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// The node's current record, or an older one of this start.
    Known,
    /// A record of an earlier start.
    Outdated,
    /// A record that the node did not publish, under its epoch and instance.
    Forged,
    /// A record of a higher epoch or instance.
    Newer,
}

/// The node's reaction to a record of a higher epoch or instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Succession {
    /// The node keeps its id.
    Stays,
    /// The node takes an epoch above the given one.
    Raises(u64),
    /// A neighbour relayed the record: it is a claim without proof.
    Disputed,
    /// Another machine proved the id: the node stops.
    GivesUp,
}

/// The records that the node publishes, without new content, because neighbours had forgotten it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Renewal {
    /// The earliest time of the next one.
    next: Instant,
    /// Whether a neighbour had forgotten the node since the latest one.
    due: bool,
}

/// The node's own record, the publication state of its record and report, and its phase.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SelfRecord {
    phase: Phase,
    record: Arc<Record>,
    /// The publication counter, shared by records and reports.
    version: u64,
    edges: BTreeMap<MemberIndex, OwnEdge>,
    publication: RecordState,
    report: ReportState,
    /// The time from which the epoch is established: other nodes have seen it and reported no conflict. A later
    /// conflict is with another machine, not with an earlier start of this node.
    established: Option<Instant>,
    /// The higher epoch that is being stored.
    raising: Option<(Ticket, u64)>,
    /// Number of epochs raised since the start.
    raised: u64,
    renewal: Renewal,
}

impl SelfRecord {
    pub(super) fn new(config: &Config) -> Self {
        let rank = Rank {
            epoch: config.epoch,
            instance: config.instance,
            incarnation: 0,
            leaving: false,
            version: 1,
        };
        Self {
            phase: Phase::Joining,
            record: Arc::new(Record::new(config.id.clone(), rank, config.content.clone())),
            version: 1,
            edges: BTreeMap::new(),
            publication: RecordState::default(),
            report: ReportState::default(),
            established: None,
            raising: None,
            raised: 0,
            renewal: Renewal::default(),
        }
    }

    fn set(&mut self, rank: Rank, content: Content) {
        self.record = Arc::new(Record::new(self.record.id().clone(), rank, content));
        self.publication.due = true;
    }

    /// The application publishes new content, at most once per [`CHANGE_INTERVAL`]. The address and the time of joining
    /// are kept if the new content lacks them.
    pub(super) fn announce(&mut self, context: &mut Context, mut content: Content) {
        let published = self.record.content();
        let latest = self.publication.waiting.as_ref().unwrap_or(published);
        content.address = content.address.or(latest.address);
        content.joined = latest.joined;
        match content.check() {
            Err(why) => context.report(Event::AnnounceRejected { why }),
            Ok(()) => self.publication.waiting = (content != *published).then_some(content),
        }
    }
}

/// Publishing.
impl SelfRecord {
    /// Publishes the record if the record changed. Returns the hash of the view before the publication.
    pub(super) fn publish_record(&mut self, context: &mut Context) -> Option<u64> {
        self.renew_if_due(context);
        if !(self.publication.due || self.is_change_due(context)) || !self.may_publish(context) {
            return None;
        }
        self.publication.due = false;
        self.version += 1;
        let rank = Rank {
            version: self.version,
            ..self.record.rank()
        };
        let content = match self.publication.waiting.take() {
            Some(content) => {
                self.publication.from = context.after(CHANGE_INTERVAL);
                content
            }
            None => self.record.content().clone(),
        };
        self.record = Arc::new(Record::new(self.record.id().clone(), rank, content));
        Some(self.apply(context))
    }

    /// Whether announced content is published now. Content that was announced too soon after the previous one waits.
    fn is_change_due(&self, context: &mut Context) -> bool {
        if self.publication.waiting.is_none() {
            return false;
        }
        let from = self.publication.from;
        if context.now < from {
            context.timers.set_earlier(Timer::Publish, from);
        }
        from <= context.now
    }

    /// A neighbour had forgotten this node: the node publishes a newer record, with which it is a member again on all
    /// nodes that have forgotten it. At most one such record in [`RENEWAL_INTERVAL`].
    pub(super) fn renew(&mut self, context: &mut Context) {
        self.renewal.due = true;
        self.renew_if_due(context);
    }

    fn renew_if_due(&mut self, context: &mut Context) {
        if !self.renewal.due {
            return;
        }
        if context.now < self.renewal.next {
            context
                .timers
                .set_earlier(Timer::Publish, self.renewal.next);
            return;
        }
        self.renewal = Renewal {
            next: context.after(RENEWAL_INTERVAL),
            due: false,
        };
        self.publication.due = true;
    }

    /// Whether the next version is within the bound of counters. If it is not, because a version was forged, the node
    /// publishes when the bound has risen.
    fn may_publish(&self, context: &mut Context) -> bool {
        if self.version < context.counter_max() {
            return true;
        }
        let at = context.after(BOUND_RISES);
        context.timers.set_earlier(Timer::Publish, at);
        false
    }

    /// Stores the record in the view. Returns the hash of the view before the change.
    pub(super) fn apply(&self, context: &mut Context) -> u64 {
        let before = context.topology.hash();
        context.topology.apply_record(&self.record);
        before
    }

    /// Publishes the report if edges changed. Returns the hash of the view before the publication.
    pub(super) fn publish_report(&mut self, context: &mut Context) -> Option<u64> {
        if !self.report.due || !self.may_publish(context) {
            return None;
        }
        if context.now < self.report.from {
            context.timers.set_earlier(Timer::Publish, self.report.from);
            return None;
        }
        self.report.due = false;
        self.version += 1;
        let (edges, evidence) = self.reported(context);
        self.report.omits = edges.len() < self.named().count();
        if edges.len() > EDGES_PROMPT {
            let pause = PAUSE_PER_EDGE * u32::try_from(edges.len()).unwrap_or(u32::MAX);
            self.report.from = context.now + pause;
        }
        let report = EdgeReport {
            epoch: self.record.rank().epoch,
            version: self.version,
            edges,
            reporter: self.record.id().clone(),
        };
        let before = context.topology.hash();
        context.topology.apply_report(&Arc::new(report), evidence);
        Some(before)
    }

    /// The edges to report, with their evidence, by peer. If not all of them fit, those to members that other
    /// nodes know to be down are left out first.
    fn reported(&self, context: &Context) -> (Vec<Edge>, Vec<EdgeEvidence>) {
        let mut named: Vec<(MemberIndex, OwnEdge)> = self.named().collect();
        named.sort_by_key(|(peer, _)| *peer);
        let fitting = |named: &[(MemberIndex, OwnEdge)]| {
            let edges = named.iter();
            let edges = edges.filter_map(|(peer, edge)| {
                let id = context.topology.id_at(*peer)?;
                Some((id, edge.refused))
            });
            EdgeReport::fitting(edges)
        };
        if fitting(&named) < named.len() {
            let linked = &self.report.linked;
            named.sort_by_key(|(peer, edge)| (edge.is_settled(), !linked.contains(peer), *peer));
            named.truncate(fitting(&named));
            named.sort_by_key(|(peer, _)| *peer);
        }
        let edges = named.into_iter().filter_map(|(peer, edge)| {
            let peer = context.id_of(peer)?;
            let (down, refused) = (edge.down, edge.refused);
            let evidence = EdgeEvidence {
                last_heard: edge.last_heard,
                failure: edge.failure,
            };
            let reported = Edge {
                peer,
                down,
                refused,
            };
            Some((reported, evidence))
        });
        edges.unzip()
    }

    /// The edges to report, and those to the neighbours that are reported as linked.
    fn named(&self) -> impl Iterator<Item = (MemberIndex, OwnEdge)> + '_ {
        let edges = self.edges();
        let linked = self.report.linked.iter().copied();
        let linked = linked.filter(|peer| !self.edges.contains_key(peer));
        edges.chain(linked.map(|peer| (peer, OwnEdge::LINKED)))
    }

    fn reports_any(&self) -> bool {
        self.named().next().is_some()
    }

    /// Reports the links with these neighbours, whether or not other nodes assume them.
    pub(super) fn report_links(&mut self, linked: BTreeSet<MemberIndex>) {
        if self.report.linked != linked {
            self.report.linked = linked;
            self.report.due = true;
        }
    }

    /// A round of maintenance found the member at the other end of a reported edge down, or not.
    pub(super) fn on_maintained(&mut self, peer: MemberIndex, is_down: bool) {
        let Some(edge) = self.edges.get_mut(&peer) else {
            return;
        };
        let was_settled = edge.is_settled();
        edge.settled = if is_down {
            edge.settled.saturating_add(1).min(SETTLED_ROUNDS)
        } else {
            0
        };
        // The other nodes do not need the refusal to know that the member is down. The next report is shorter.
        edge.refused &= !edge.is_settled();
        // The edges that the latest report lacks take the room of the settled ones.
        self.report.due |= self.report.omits && edge.is_settled() && !was_settled;
    }

    /// Reports the edge to a peer as down, or as heard. A repeated report of the same state keeps the first one, with
    /// its last-heard time.
    pub(super) fn set_edge(&mut self, peer: MemberIndex, down: bool, last_heard: Option<Instant>) {
        match self.edges.get(&peer) {
            Some(edge) if edge.down == down => return,
            Some(_) | None => {}
        }
        self.edges.insert(
            peer,
            OwnEdge {
                down,
                refused: false,
                last_heard,
                failure: None,
                settled: 0,
            },
        );
        self.report.due = true;
    }

    /// Reports whether dials of the peer at the other end of an edge that is down are refused.
    pub(super) fn set_refused(&mut self, peer: MemberIndex, refused: bool) {
        let edge = self.edges.get_mut(&peer).filter(|edge| edge.down);
        if let Some(edge) = edge.filter(|edge| edge.refused != refused) {
            edge.refused = refused;
            self.report.due = true;
        }
    }

    /// States the reason why this node cannot reach the address of a peer, or why the edge to the peer is down. An edge
    /// that is not reported is reported as heard. A reason that changed is published.
    pub(super) fn set_failure(
        &mut self,
        context: &Context,
        peer: MemberIndex,
        failure: EdgeFailure,
    ) {
        if !self.edges.contains_key(&peer) {
            self.set_edge(peer, false, Some(context.now));
        }
        if let Some(edge) = self.edges.get_mut(&peer)
            && edge.failure.replace(failure) != Some(failure)
        {
            self.report.due = true;
        }
    }

    /// Withdraws the reasons of the edges to all peers except those for which `holds` is true.
    pub(super) fn withdraw_failures(&mut self, holds: impl Fn(MemberIndex) -> bool) {
        for (peer, edge) in &mut self.edges {
            if edge.failure.is_some() && !holds(*peer) {
                edge.failure = None;
                self.report.due = true;
            }
        }
    }

    /// Withdraws the report of the edge to a peer.
    pub(super) fn clear_edge(&mut self, peer: MemberIndex) {
        if self.edges.remove(&peer).is_some() {
            self.report.due = true;
        }
    }
}

/// Claims of other nodes about this node's id.
impl SelfRecord {
    /// Classifies a received record under the node's own id.
    pub(super) fn claim(&self, context: &Context, heard: &Record) -> Claim {
        let (own, theirs) = (self.record.rank(), heard.rank());
        match (theirs.epoch, theirs.instance).cmp(&(own.epoch, own.instance)) {
            core::cmp::Ordering::Less => Claim::Outdated,
            core::cmp::Ordering::Greater => Claim::Newer,
            core::cmp::Ordering::Equal
                if heard <= self.record.as_ref() || context.has(Switch::NoRefute) =>
            {
                Claim::Known
            }
            core::cmp::Ordering::Equal => Claim::Forged,
        }
    }

    /// Overrides a forged record that `relay` sent by publishing a newer one. Returns whether the counters of the
    /// record leave room for that; otherwise only a higher epoch overrides the record.
    pub(super) fn refute(
        &mut self,
        context: &mut Context,
        heard: &Record,
        relay: Option<NodeId>,
    ) -> bool {
        if let Some(from) = relay {
            context.report(Event::Refuted { from });
        }
        let rank = heard.rank();
        let max = context.counter_max();
        if rank.incarnation >= max || rank.version >= max {
            return false;
        }
        self.version = self.version.max(rank.version);
        let own = self.record.rank();
        let content = self.record.content().clone();
        self.set(
            Rank {
                incarnation: rank.incarnation + 1,
                ..own
            },
            content,
        );
        true
    }

    /// The planted bug [`Switch::AdoptsForgery`]: adopts a forged record. Returns the hash of the view before the
    /// change.
    pub(super) fn adopt(&mut self, context: &mut Context, heard: &Record) -> u64 {
        self.version = self.version.max(heard.rank().version);
        self.record = Arc::new(heard.clone());
        self.apply(context)
    }

    /// Checks a received report under the node's own id, and overrides a forged report by a newer one. Returns whether
    /// the received report is forged. A report that this node's report outranks is not overridden: it may be a copy that a
    /// member of an older build has shortened.
    pub(super) fn refute_report(&mut self, context: &mut Context, heard: &EdgeReport) -> bool {
        let held = context.topology.report(self.record.id());
        if heard.epoch != self.record.rank().epoch
            || held.is_some_and(|held| heard <= held.as_ref())
        {
            return false;
        }
        self.version = self.version.max(heard.version);
        self.report.due = true;
        true
    }

    /// Decides how this node reacts to a record of a higher epoch or instance. With `in_person`, the record comes from a
    /// handshake with a node that has a certificate of this node's id, so it belongs to another machine.
    pub(super) fn succession(
        &self,
        context: &Context,
        heard: &Record,
        in_person: bool,
    ) -> Succession {
        let epoch = heard.rank().epoch;
        // The value is an echo: the pending epoch already outranks it.
        if self.raising.is_some_and(|(_, raising)| raising > epoch) {
            return Succession::Stays;
        }
        let established = self.is_established(context.now);
        if established && context.has(Switch::NoCloneCheck) {
            return Succession::Stays;
        }
        if established && in_person {
            return Succession::GivesUp;
        }
        if context.has(Switch::EpochReused) {
            return Succession::Stays;
        }
        if established {
            Succession::Disputed
        } else {
            Succession::Raises(epoch)
        }
    }

    /// Takes an epoch higher than `above`, once it is stored.
    pub(super) fn raise_epoch(&mut self, context: &mut Context, above: u64) {
        if self.raising.is_some_and(|(_, epoch)| epoch > above) {
            return;
        }
        self.raised += 1;
        let ticket = Ticket(self.raised);
        let epoch = above + 1;
        self.raising = Some((ticket, epoch));
        context.timers.cancel(&Timer::StoreRetry);
        context.out.push(Output::Store { ticket, epoch });
    }

    /// An epoch could not be stored. The order is repeated after [`STORE_RETRY`], unless a newer one replaced it.
    pub(super) fn on_store_failed(&self, context: &mut Context, ticket: Ticket) {
        if self.raising.is_some_and(|(expected, _)| expected == ticket) {
            let at = context.after(STORE_RETRY);
            context.timers.set(Timer::StoreRetry, at);
        }
    }

    /// Repeats the order for the epoch that is not stored yet.
    pub(super) fn store_again(&self, context: &mut Context) {
        if let Some((ticket, epoch)) = self.raising {
            context.out.push(Output::Store { ticket, epoch });
        }
    }

    /// An epoch is stored. Returns whether the epoch takes effect.
    pub(super) fn on_stored(&mut self, ticket: Ticket) -> bool {
        let Some((_, epoch)) = self.raising.filter(|(expected, _)| *expected == ticket) else {
            return false;
        };
        self.raising = None;
        let rank = self.record.rank();
        if epoch <= rank.epoch {
            return false;
        }
        self.version = 0;
        let content = self.record.content().clone();
        self.set(
            Rank {
                epoch,
                incarnation: 0,
                ..rank
            },
            content,
        );
        self.report.due = self.reports_any();
        true
    }
}

/// The node's phase.
impl SelfRecord {
    /// A node without seed addresses forms a mesh by itself.
    pub(super) const fn start_alone(&mut self) {
        self.phase = Phase::Running;
    }

    /// Other nodes know the epoch; the epoch is established from `since` on, unless it is already established.
    pub(super) fn establish(&mut self, since: Instant) {
        self.established = Some(self.established.map_or(since, |at| at.min(since)));
        if self.phase == Phase::Joining {
            self.phase = Phase::Running;
        }
    }

    /// Starts to leave the mesh.
    pub(super) const fn leave(&mut self) {
        self.phase = Phase::Leaving;
    }

    /// Publishes that the node leaves, and withdraws all edges that the node reported. The record has `leave_linger` to
    /// spread.
    pub(super) fn announce_departure(&mut self, context: &mut Context) {
        let content = self.record.content().clone();
        let rank = Rank {
            leaving: true,
            ..self.record.rank()
        };
        self.set(rank, content);
        self.report.due |= self.reports_any();
        self.edges.clear();
        self.report.linked.clear();
        let at = context.after(context.tuning().leave_linger);
        context.timers.set(Timer::LeaveDone, at);
    }

    /// The node left.
    pub(super) fn on_left(&mut self, context: &mut Context) {
        self.phase = Phase::Left;
        context.out.push(Output::Left);
    }

    /// Another machine holds the node's id.
    pub(super) const fn on_name_taken(&mut self) {
        self.phase = Phase::NameTaken;
    }

    /// The node uses its id again; `alone`: it has no seed addresses.
    pub(super) const fn on_resumed(&mut self, alone: bool) {
        self.phase = if alone {
            Phase::Running
        } else {
            Phase::Joining
        };
    }
}

/// Queries.
impl SelfRecord {
    pub(super) const fn record(&self) -> &Arc<Record> {
        &self.record
    }

    pub(super) const fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether the node left or gave up its id.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Left | Phase::NameTaken)
    }

    /// Whether the epoch is established. Bounded by [`RAISES_MAX`], so that two machines that start under one id at
    /// once do not outbid each other at the rate of a start without end.
    pub(super) fn is_established(&self, now: Instant) -> bool {
        self.raised >= RAISES_MAX || self.established.is_some_and(|since| since <= now)
    }

    /// Whether a higher epoch is being stored. Until the epoch is stored, the node sends no handshakes.
    pub(super) const fn is_raising(&self) -> bool {
        self.raising.is_some()
    }

    pub(super) fn edge(&self, peer: MemberIndex) -> Option<OwnEdge> {
        self.edges.get(&peer).copied()
    }

    pub(super) fn edges(&self) -> impl Iterator<Item = (MemberIndex, OwnEdge)> + '_ {
        self.edges.iter().map(|(peer, edge)| (*peer, *edge))
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        let waiting = self.publication.waiting.as_ref();
        held::<(MemberIndex, OwnEdge)>(self.edges.len()) + waiting.map_or(0, Encoded::encoded_len)
    }
}

#[cfg(test)]
#[path = "self_record_tests.rs"]
mod tests;
