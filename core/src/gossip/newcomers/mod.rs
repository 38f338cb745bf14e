//! Newcomers: members that this node knows by hearsay only, and the guard against members that do not exist.
//!
//! Records are relayed and not signed, so a member can invent members by the thousand. A node believes the records that
//! it hears until they are too many:
//!
//! ```text
//!   (first link) ──PROOF_TIME──► watching ──too many unproven members──► guarded
//!        trusting                   ▲                                      │
//!                                   └──calm for GUARD_TIME, or a trial─────┘
//! ```
//!
//! - *trusting*: every record is believed, up to [`TRUSTED_MAX`] members, because a node that joins learns the whole mesh
//!   by hearsay. Further members are unproven, as at a watching node. A node without a link trusts again. At the end of this time, members that other neighbours do not hold are unproven (`corroboration`).
//! - *watching*: a new member is *unproven* for [`PROOF_TIME`]. It is proven if it is alive without interruption for
//!   this time, although not all of its ring neighbours report that they have no link with it.
//! - *guarded*: the unproven members are more than half of the proven ones, and more than [`UNPROVEN_MIN`]. They are
//!   taken off the rings, so that no edge to them is assumed. The record of an unknown member is refused unless a proven
//!   member has named it for [`VOUCHED_AFTER`] as a neighbour, at most [`VOUCHED_MAX`] for each reporter. A guarded
//!   node reports its own links, so that real newcomers are admitted and reached at all nodes. An unproven member that
//!   two proven ones report for [`GUARDED_PROOF_TIME`] is proven.
//!
//! A member that opens a link has proved its certificate (*met*): it is admitted by this node and may vouch. It is on
//! the rings of a guarded node once it is proven, so that guarded nodes agree on the rings.
//!
//! Many real members may appear at once: a guarded node dials a sample of the refused ones (`trial`). If nearly all
//! of them answer under their ids, the guard ends.
//!
//! An unproven member that was never met and is dead is dropped soon, instead of remembered, while the node is
//! guarded or has more than [`DEAD_KEPT`] such members.
//!
//! Bounds: unproven members as above, and those vouched for; [`REFUSED_MAX`] refused ids; [`DROPPED_MAX`] slots of dropped
//! members.

mod corroboration;
mod trial;
mod unproven;

use super::context::Context;
use super::view::Status;
use crate::identity::NodeId;
use crate::link::LinkId;
use crate::sabotage::Switch;
use crate::size::held;
use crate::time::{Duration, Instant};
use crate::topology::record::Record;
use crate::topology::{MemberIndex, Topology, VOUCHED_MAX};
use corroboration::Corroboration;
use std::collections::{BTreeMap, BTreeSet};
use trial::NewcomerTrial;
use unproven::{GUARD_TIME, Unproven, UnprovenMembers};

/// Time for which a member must be alive until it is proven.
pub(super) const PROOF_TIME: Duration = Duration::from_secs(20);
/// The same time at a guarded node. A member that joins is put on the rings after it judged what it learnt.
const GUARDED_PROOF_TIME: Duration = Duration::from_secs(40);
/// Number of members up to which every record is believed. A newcomer learns a mesh of ten thousand members at once; a
/// larger one in parts, or as soon as a trial shows that its members are real.
pub(super) const TRUSTED_MAX: usize = 12_288;
/// Number of dead members that were never met above which failed probes of them pause.
const DOUBTED_MIN: usize = 16;
/// Number of unproven members above which a small mesh is guarded.
pub(super) const UNPROVEN_MIN: usize = 64;
/// Age of the report of a proven member at which the report admits a member. The owner of a forged report overrides it
/// within this time.
pub(super) const VOUCHED_AFTER: Duration = Duration::from_secs(1);
/// Number of proven members that prove a member of a guarded node together. One member cannot prove the members that it
/// invents.
const VOUCHERS_MIN: usize = 2;
/// Maximum number of ids that were refused within [`GUARD_TIME`] and are remembered.
pub(super) const REFUSED_MAX: usize = 1_024;
/// Number of dead members that were never met above which they are dropped although the node is not guarded.
const DEAD_KEPT: usize = 256;
/// Time for which the slot of a dropped member is kept, so that late updates do not bring it back.
pub(super) const DROPPED_FOR: Duration = Duration::from_secs(60);
/// Maximum number of slots of dropped members.
const DROPPED_MAX: usize = 1_024;
/// The share of a view's slots that only members with a link can take.
const RESERVED_SHARE: usize = 8;
/// Maximum number of slots of ids without a record. Further ids are not believed.
const WITHOUT_RECORD_MAX: usize = 4_096;

/// The decision about a record that a neighbour sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admittance {
    /// The member is known, or every record is believed.
    Believed,
    /// The member is new and unproven.
    Unproven,
    /// The member is new and vouched for; it stays off the rings.
    OffRings,
    /// The record is refused.
    Refused,
    /// The room for members without a link is full.
    Full,
}

/// A step of merging records that are hearsay.
pub(super) enum Hearsay<'a> {
    /// A record is offered to a view with this many slots.
    Offered(&'a Topology, usize, &'a Record),
    /// The member of an unproven record has entered the view.
    Entered(MemberIndex),
}

/// The changes that a round of maintenance finds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Round {
    /// Members to put back on the rings.
    pub(super) on_rings: Vec<MemberIndex>,
    /// Members that are due to be dropped.
    pub(super) drop: Vec<MemberIndex>,
    /// Members whose records are announced again.
    pub(super) introduce: Vec<MemberIndex>,
    /// Addresses of refused members to dial.
    pub(super) dial: Vec<core::net::SocketAddr>,
    /// Members whose records are requested from neighbours, and the links to these.
    pub(super) ask: Option<(Vec<MemberIndex>, Vec<LinkId>)>,
    /// Whether the guard ended.
    pub(super) ended: bool,
}

/// The refused ids within [`GUARD_TIME`].
#[derive(Clone, Debug, Default, PartialEq)]
struct RefusedIds {
    since: Instant,
    ids: BTreeMap<NodeId, Option<core::net::SocketAddr>>,
    /// Number of refused records since the start of the node.
    total: u64,
}

/// The belief in records that a node knows by hearsay only.
#[derive(Clone, Copy, Debug, PartialEq)]
struct HearsayTrust {
    /// Every record is believed until this time.
    until: Instant,
    /// Records are believed while the view has fewer members.
    members_max: usize,
}

/// The unproven members of one view.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Newcomers {
    trust: HearsayTrust,
    unproven: UnprovenMembers,
    /// The number of members that count towards the guard.
    weight: usize,
    /// The end of the guard, if the node is guarded.
    guarded_until: Option<Instant>,
    /// The members to take off the rings have not been taken off yet.
    begun: bool,
    /// The node reports its links until this time.
    lists_until: Instant,
    /// Members without a record that proven members name as neighbours, each with the time since which they do.
    vouched: BTreeMap<MemberIndex, Instant>,
    refused: RefusedIds,
    trial: NewcomerTrial,
    /// The check of what the node learnt while it believed every record; none if it is over.
    joining: Option<Corroboration>,
}

/// Admission.
impl Newcomers {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            trust: HearsayTrust {
                until: now,
                members_max: TRUSTED_MAX,
            },
            unproven: UnprovenMembers::default(),
            weight: 0,
            guarded_until: None,
            begun: false,
            lists_until: now,
            vouched: BTreeMap::new(),
            refused: RefusedIds::default(),
            trial: NewcomerTrial::default(),
            joining: None,
        }
    }

    /// A link opened on a node that had none: the node believes what it hears for [`PROOF_TIME`].
    pub(super) fn on_first_link(&mut self, now: Instant) {
        self.trust = HearsayTrust {
            until: now + PROOF_TIME,
            members_max: TRUSTED_MAX,
        };
        self.joining = Some(Corroboration::default());
    }

    /// Whether every record is believed. A node that joins judges afterwards what it learnt.
    fn is_trusting(&self, now: Instant) -> bool {
        now < self.trust.until || self.joining.is_some()
    }

    /// Whether the unproven members are off the rings, and the records of unknown members are refused.
    pub(super) const fn is_guarded(&self) -> bool {
        self.guarded_until.is_some()
    }

    /// The number of unproven members above which the node is guarded.
    fn limit(&self, topology: &Topology) -> usize {
        let proven = topology.len().saturating_sub(self.unproven.len());
        (proven / 2).max(UNPROVEN_MIN)
    }

    /// Takes a step of merging. Returns the decision about an offered record.
    pub(super) fn judge(&mut self, now: Instant, step: &Hearsay<'_>) -> Admittance {
        match step {
            Hearsay::Offered(topology, max, record) => self.admit(now, (topology, *max), record),
            Hearsay::Entered(member) => {
                self.on_entered(now, *member);
                Admittance::Unproven
            }
        }
    }

    /// Decides about the record of a member that a neighbour sent. Begins the guard if unproven members become too many.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        (topology, max): (&Topology, usize),
        record: &Record,
    ) -> Admittance {
        let member = topology.index_of(record.id());
        if member.is_some_and(|member| topology.is_known(member)) {
            return Admittance::Believed;
        }
        if member.is_none() && topology.slots() >= max - max / RESERVED_SHARE {
            return Admittance::Full;
        }
        if self.is_trusting(now) && topology.len() < self.trust.members_max {
            return Admittance::Believed;
        }
        if !self.is_guarded() && self.weight >= self.limit(topology) {
            self.begin(now, topology);
        }
        if !self.is_guarded() {
            return Admittance::Unproven;
        }
        let vouched = member.is_some_and(|member| self.is_vouched(now, topology, member));
        if vouched || topology.has(Switch::HearsayBelieved) {
            return Admittance::OffRings;
        }
        self.refused.total += 1;
        if self.refused.ids.len() < REFUSED_MAX && !self.refused.ids.contains_key(record.id()) {
            let address = record.content().address;
            self.refused.ids.insert(record.id().clone(), address);
        }
        Admittance::Refused
    }

    /// Whether values of an id without a record are believed.
    pub(super) fn admits_unknown(&self, topology: &Topology, id: &NodeId) -> bool {
        match topology.index_of(id) {
            Some(member) if topology.is_known(member) => true,
            Some(member) if self.is_guarded() => self.vouched.contains_key(&member),
            Some(_) => true,
            None => !self.is_guarded() && topology.without_record() < WITHOUT_RECORD_MAX,
        }
    }

    /// A new member entered the view after [`Admittance::Unproven`] or [`Admittance::OffRings`].
    pub(super) fn on_entered(&mut self, now: Instant, member: MemberIndex) {
        self.vouched.remove(&member);
        self.unproven.insert(member, now, None);
        self.weight += 1;
    }

    fn begin(&mut self, now: Instant, topology: &Topology) {
        self.guarded_until = Some(now + GUARD_TIME);
        self.begun = true;
        self.refused.since = now;
        self.refused.ids.clear();
        self.trial = NewcomerTrial::new(now);
        let named = topology.edges_up();
        for (reporter, peer) in named.collect::<Vec<_>>() {
            self.note_vouched(now, topology, (reporter, peer));
        }
    }

    /// The members to take off the rings, once after the guard began.
    pub(super) fn take_begun(&mut self) -> Option<Vec<MemberIndex>> {
        core::mem::take(&mut self.begun).then(|| self.unproven.indices().collect())
    }

    /// A member with a link stated its record in the handshake. `known`: the view had its record before.
    pub(super) fn on_met(&mut self, now: Instant, member: MemberIndex, known: bool) {
        if let Some(before) = self.unproven.on_met(member, now) {
            self.weight -= usize::from(before.weighs(now));
        } else if !known && !self.is_trusting(now) {
            self.unproven.insert(member, now, Some(now));
        }
        self.vouched.remove(&member);
    }

    /// The slot of a member was freed.
    pub(super) fn forget(&mut self, now: Instant, member: MemberIndex) {
        if let Some(unproven) = self.unproven.remove(member) {
            self.weight -= usize::from(unproven.weighs(now)).min(self.weight);
        }
        self.vouched.remove(&member);
    }
}

/// Vouching.
impl Newcomers {
    /// Whether the reports of a member admit others: it is proven, or was met.
    pub(super) fn may_vouch(&self, member: MemberIndex) -> bool {
        let unproven = self.unproven.get(member);
        unproven.is_none_or(|unproven| unproven.is_met())
    }

    /// The report of another member changed. [`Self::on_reports_merged`] follows in the same step.
    pub(super) fn on_report(&mut self, now: Instant, topology: &Topology, reporter: MemberIndex) {
        if !self.is_guarded() {
            return;
        }
        let named: Vec<_> = topology.edges_up_of(reporter).collect();
        for peer in named {
            self.note_vouched(now, topology, (reporter, peer));
        }
    }

    /// The reports of one message were merged.
    pub(super) fn on_reports_merged(&mut self, topology: &Topology) {
        if self.is_guarded() {
            self.retain_vouched(topology);
        }
    }

    /// Drops the members for which no report vouches any more. The owner of a forged report overrides it, and the time
    /// begins again.
    fn retain_vouched(&mut self, topology: &Topology) {
        if self.vouched.is_empty() {
            return;
        }
        let vouching = topology.edges_up();
        let vouching = vouching.filter(|(reporter, _)| self.may_vouch(*reporter));
        let named: BTreeSet<MemberIndex> = vouching.map(|(_, peer)| peer).collect();
        self.vouched.retain(|member, _| named.contains(member));
    }

    fn note_vouched(
        &mut self,
        now: Instant,
        topology: &Topology,
        (reporter, peer): (MemberIndex, MemberIndex),
    ) {
        if !topology.is_known(peer) && topology.is_known(reporter) && self.may_vouch(reporter) {
            self.vouched.entry(peer).or_insert(now);
        }
    }

    fn is_vouched(&self, now: Instant, topology: &Topology, member: MemberIndex) -> bool {
        let since = self.vouched.get(&member);
        since.is_some_and(|since| now.since(*since) >= VOUCHED_AFTER)
            && self.vouchers(topology, member).next().is_some()
    }

    /// The members that vouch for a member.
    fn vouchers<'a>(
        &'a self,
        topology: &'a Topology,
        member: MemberIndex,
    ) -> impl Iterator<Item = MemberIndex> + 'a {
        let named = topology.edges_up().filter(move |(_, peer)| *peer == member);
        let reporters = named.map(|(reporter, _)| reporter);
        reporters.filter(|reporter| topology.is_known(*reporter) && self.may_vouch(*reporter))
    }

    /// Whether this node reports its links.
    pub(super) fn reports_links(&self, now: Instant) -> bool {
        self.is_guarded() || now < self.lists_until
    }

    /// The neighbours to report, out of those with a live link: unproven ones first.
    pub(super) fn links_to_report(
        &self,
        now: Instant,
        live: impl Iterator<Item = MemberIndex>,
    ) -> BTreeSet<MemberIndex> {
        if !self.reports_links(now) {
            return BTreeSet::new();
        }
        let mut live: Vec<MemberIndex> = live.collect();
        live.sort_unstable_by_key(|member| (!self.unproven.contains(*member), *member));
        live.into_iter().take(VOUCHED_MAX).collect()
    }
}

/// Deaths.
impl Newcomers {
    /// A member is dead or left. Returns whether it is dropped at once.
    pub(super) fn on_dead(&mut self, now: Instant, member: MemberIndex) -> bool {
        self.unproven.on_dead(member, now) && self.drops()
    }

    /// Whether dead members that were never met are dropped.
    const fn drops(&self) -> bool {
        self.is_guarded() || self.unproven.kept() > DEAD_KEPT
    }

    /// A member returned.
    pub(super) fn on_returned(&mut self, now: Instant, member: MemberIndex) {
        self.unproven.on_returned(member, now);
    }

    /// A member was dropped. Returns the member whose slot is freed for it, if there are too many.
    pub(super) fn on_dropped(&mut self, now: Instant, member: MemberIndex) -> Option<MemberIndex> {
        self.unproven.on_dropped(member, now);
        self.unproven.excess(DROPPED_MAX)
    }

    /// Whether a member is known by hearsay only, and not proven.
    #[cfg(test)]
    fn is_hearsay(&self, member: MemberIndex) -> bool {
        let unproven = self.unproven.get(member);
        unproven.is_some_and(|it| !it.is_met())
    }

    /// Whether failed probes of a member pause ever longer, because the member is one of many that may not exist.
    pub(super) fn is_doubtful(&self, member: MemberIndex) -> bool {
        let unproven = self.unproven.get(member);
        unproven.is_some_and(|it| it.is_dead() && !it.is_met())
            && self.unproven.unmet() > DOUBTED_MIN
    }

    /// The member whose slot a member with a link takes in a full view: the one that is dead for the longest time, or the
    /// oldest unproven one.
    pub(super) fn to_replace(&self) -> Option<MemberIndex> {
        self.unproven.oldest_unmet()
    }
}

/// Maintenance.
impl Newcomers {
    /// A round of maintenance: proofs, the end of the guard, introductions, and members to drop. `linked` are the members
    /// with a live link.
    pub(super) fn on_maintained(
        &mut self,
        context: &mut Context,
        status: impl Fn(&Context, MemberIndex) -> Status,
        linked: &BTreeMap<MemberIndex, LinkId>,
    ) -> Round {
        let mut round = Round::default();
        let now = context.now;
        if self.joining.is_some() && now >= self.trust.until {
            round.ask = self.corroborate(context, linked);
        }
        if self.unproven.is_empty() && !self.is_guarded() {
            return round;
        }
        round.on_rings = self.prove(context, &status, linked);
        self.weight = self.unproven.weight(now);
        self.tend_guard(context, &mut round);
        if self.reports_links(now) {
            round.introduce = self.introductions(now, linked);
        }
        if self.drops() {
            round.drop = self.unproven.due();
        }
        round
    }

    /// Checks the members that the node learnt while it believed every record. Returns the members to request, and the
    /// links.
    fn corroborate(
        &mut self,
        context: &mut Context,
        linked: &BTreeMap<MemberIndex, LinkId>,
    ) -> Option<(Vec<MemberIndex>, Vec<LinkId>)> {
        if linked.is_empty() {
            return None;
        }
        let mut joining = self.joining.take()?;
        let topology = &context.topology;
        let learnt = topology.indices().filter(|member| {
            !joining.covers(*member)
                && *member != context.me
                && topology.is_known(*member)
                && !linked.contains_key(member)
                && !self.unproven.contains(*member)
        });
        let learnt: Vec<MemberIndex> = learnt.collect();
        if joining.is_asking() && joining.is_passed() {
            return None;
        }
        if learnt.len() > UNPROVEN_MIN {
            let links: Vec<LinkId> = linked.values().copied().collect();
            let random = &mut context.random.newcomers;
            if let Some(asked) = joining.begin(&learnt, &links, random) {
                self.joining = Some(joining);
                return Some(asked);
            }
        }
        let now = context.now;
        for member in learnt {
            self.unproven.insert(member, now, None);
        }
        if self.unproven.len() > self.limit(&context.topology) {
            if !self.is_guarded() {
                self.begin(now, &context.topology);
            }
            self.begun = true;
        }
        None
    }

    /// A neighbour has an equal view.
    pub(super) fn on_agreed(&mut self, context: &Context, neighbour: MemberIndex, only: bool) {
        if let Some(joining) = &mut self.joining {
            let topology = &context.topology;
            let bound = topology.index_bound();
            joining.on_agreed((neighbour, topology.hash()), bound, only);
        }
    }

    /// A neighbour sent a member's record in a comparison.
    pub(super) fn on_pushed(&mut self, link: LinkId, member: MemberIndex) {
        if let Some(joining) = &mut self.joining {
            joining.on_pushed(link, member);
        }
    }

    /// Finds the members that are proven.
    fn prove(
        &mut self,
        context: &Context,
        status: &impl Fn(&Context, MemberIndex) -> Status,
        linked: &BTreeMap<MemberIndex, LinkId>,
    ) -> Vec<MemberIndex> {
        let (now, topology) = (context.now, &context.topology);
        let vouchers = if self.is_guarded() {
            self.count_vouchers(topology, linked)
        } else {
            BTreeMap::new()
        };
        let guarded = self.is_guarded();
        let proof_time = if guarded {
            GUARDED_PROOF_TIME
        } else {
            PROOF_TIME
        };
        let holds = |member, unproven: &Unproven| {
            let alive = status(context, member) == Status::Alive && !unproven.is_dead();
            let named = || {
                let vouchers = vouchers.get(&member);
                vouchers.is_some_and(|count| *count >= VOUCHERS_MIN)
            };
            alive && (!guarded || named())
        };
        let mut due = self.unproven.prove(now, proof_time, holds);
        if !guarded && !due.is_empty() {
            let accusers = topology.accusers();
            let is_down = |member| status(context, member) == Status::Down;
            due.retain(|member| !topology.is_shunned(*member, &accusers, is_down));
        }
        for member in &due {
            self.unproven.remove(*member);
        }
        if guarded { due } else { Vec::new() }
    }

    /// The number of proven members that report a link with each unproven member.
    fn count_vouchers(
        &self,
        topology: &Topology,
        linked: &BTreeMap<MemberIndex, LinkId>,
    ) -> BTreeMap<MemberIndex, usize> {
        let mut counts: BTreeMap<MemberIndex, usize> = BTreeMap::new();
        for (reporter, peer) in topology.edges_up() {
            let counts_for = self.unproven.contains(peer) && self.may_vouch(reporter);
            if counts_for && reporter != peer {
                *counts.entry(peer).or_default() += 1;
            }
        }
        for member in linked.keys() {
            *counts.entry(*member).or_default() += 1;
        }
        counts
    }

    /// Extends or ends the guard.
    fn tend_guard(&mut self, context: &mut Context, round: &mut Round) {
        let (now, Some(until)) = (context.now, self.guarded_until) else {
            return;
        };
        let topology = &context.topology;
        self.retain_vouched(topology);
        if self.weight + self.refused.ids.len() > self.limit(topology).min(REFUSED_MAX - 1) {
            self.guarded_until = Some(now + GUARD_TIME);
        }
        let honest = self.trial.is_passed();
        if honest {
            self.trust.until = now + PROOF_TIME;
            self.trust.members_max = usize::MAX;
        }
        if honest || now >= until {
            self.guarded_until = None;
            self.lists_until = now + GUARD_TIME;
            self.refused.ids.clear();
            self.vouched.clear();
            self.unproven.restart_proofs(now);
            round.on_rings.extend(self.unproven.indices());
            round.ended = true;
            return;
        }
        if self.trial.is_due(now) {
            let random = &mut context.random.newcomers;
            round.dial = self.trial.begin(now, &self.refused.ids, random);
        }
        if now.since(self.refused.since) >= GUARD_TIME {
            self.refused.since = now;
            self.refused.ids.clear();
        }
    }

    /// The members whose records this node announces again, because guarded nodes refused them before they heard of its
    /// link.
    fn introductions(
        &mut self,
        now: Instant,
        linked: &BTreeMap<MemberIndex, LinkId>,
    ) -> Vec<MemberIndex> {
        self.unproven
            .introduce(now, |member| linked.contains_key(&member))
    }

    /// A node answered a dial under its id.
    pub(super) fn on_answered(&mut self, id: &NodeId) {
        self.trial.on_answered(id);
    }

    /// Number of records that were refused since the start of the node.
    pub(super) const fn refused(&self) -> u64 {
        self.refused.total
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        self.unproven.memory()
            + held::<(MemberIndex, Instant)>(self.vouched.len())
            + held::<(NodeId, Option<core::net::SocketAddr>)>(self.refused.ids.len())
            + self.trial.memory()
            + self.joining.as_ref().map_or(0, Corroboration::memory)
    }
}

#[cfg(test)]
mod tests;
