//! Pairs of live members without a link, or with a wrong address: this node and a member that it should have a link
//! with.
//!
//! A link is expected with ring neighbours and with members that applications request. If the edge to such a member is
//! reported down, by this node or by the member, while both are alive, the two are a pair. The reports spread, so both
//! ends know of the pair, and each end states its reason beside the edge. A member that dialled its link itself, and
//! that fails the check of its address, is a pair with a link. If members cannot reach the address that this node
//! advertises, the node itself is told so.
//!
//! ```text
//!   (no pair) ──edge down, both alive──► begun ──PAIR_AFTER──► standing ──(line, at most one in LINE_AGAIN)
//!       ▲                                  │                      │
//!       └──────a link, or not alive────────┴──────────────────────┘
//! ```
//!
//! The pairs decide nothing: they are facts for operators. Bounds: [`PAIRS_MAX`] pairs and failed dials,
//! [`EDGE_FAILURES_MAX`] published reasons, [`NAMED_MAX`] members named in one event.

use super::context::Context;
use super::event::Event;
use super::overlay::Neighbourhood;
use super::self_record::OwnEdge;
use super::view::{Status, UndialableView, UnreachableView};
use crate::size::held;
use crate::time::{Duration, Instant};
use crate::topology::{EDGE_FAILURES_MAX, EdgeFailure, MemberIndex};
use std::collections::{BTreeMap, BTreeSet};

/// Time for which a pair lasts before it is shown: twice the time in which a dead member is declared down.
pub(super) const PAIR_AFTER: Duration = Duration::from_secs(10);
/// Time for which an event waits for further pairs, and for the reason that the other end states.
const GATHERED_FOR: Duration = Duration::from_secs(4);
/// Minimum time between two events that name the same pair, or this node's address.
const LINE_AGAIN: Duration = Duration::from_secs(600);
/// Minimum time between two events about pairs.
const LINE_INTERVAL: Duration = Duration::from_secs(60);
/// Minimum time between two published reasons of one pair.
const REASON_INTERVAL: Duration = Duration::from_secs(60);
/// Maximum number of pairs, and of members whose latest failed dial is kept.
const PAIRS_MAX: usize = 64;
/// Maximum number of members that one event names.
pub const NAMED_MAX: usize = 5;

/// A pair of this node and a member.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct MemberPair {
    /// The start of the pair; none if the pair has ended.
    since: Option<Instant>,
    /// Whether the two have a link, which the end with the wrong address dialled.
    linked: bool,
    /// This node's reason.
    own: Option<EdgeFailure>,
    /// The reason that the member reports.
    theirs: Option<EdgeFailure>,
    last_contact: Option<Instant>,
    /// The earliest time of the next event that names the pair.
    next_line: Instant,
    /// The earliest time at which another reason is published.
    next_reason: Instant,
}

impl MemberPair {
    fn age(&self, now: Instant) -> Option<Duration> {
        self.since.map(|since| now.since(since))
    }

    fn is_standing(&self, now: Instant) -> bool {
        self.age(now).is_some_and(|age| age >= PAIR_AFTER)
    }
}

/// The edge between this node and a member, as both ends report it.
#[derive(Clone, Copy, Debug, Default)]
struct ReportedPair {
    linked: bool,
    own: Option<OwnEdge>,
    /// The failed check of the member's address.
    checked: Option<EdgeFailure>,
    theirs: Option<(Option<EdgeFailure>, Option<Instant>)>,
}

/// The pairs of one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Unreachable {
    /// The latest failed dial to each member without a link.
    failures: BTreeMap<MemberIndex, EdgeFailure>,
    pairs: BTreeMap<MemberIndex, MemberPair>,
    /// The earliest time of the next event about pairs.
    next_line: Instant,
    /// The earliest time of the next event about this node's address.
    next_address_line: Instant,
}

impl Unreachable {
    /// A dial to a member failed.
    pub(super) fn on_dial_failed(&mut self, member: MemberIndex, failure: EdgeFailure) {
        if self.failures.len() < PAIRS_MAX || self.failures.contains_key(&member) {
            self.failures.insert(member, failure);
        }
    }

    /// A link to a member opened: a pair with the member ends.
    pub(super) fn on_linked(&mut self, member: MemberIndex) {
        self.failures.remove(&member);
        if let Some(pair) = self.pairs.get_mut(&member) {
            pair.since = None;
        }
    }

    /// The slot of a member was freed.
    pub(super) fn forget(&mut self, member: MemberIndex) {
        self.failures.remove(&member);
        self.pairs.remove(&member);
    }

    /// Whether the latest round found a pair with a member, and a reason of this node.
    pub(super) fn has_reason(&self, member: MemberIndex) -> bool {
        let pair = self.pairs.get(&member);
        pair.is_some_and(|pair| pair.since.is_some() && pair.own.is_some())
    }

    /// Whether the latest round found a pair with a member that has a link, and a reason of this node.
    pub(super) fn is_linked(&self, member: MemberIndex) -> bool {
        let linked = self.pairs.get(&member).is_some_and(|pair| pair.linked);
        linked && self.has_reason(member)
    }

    /// Whether a dial to a member failed since the latest link with it.
    pub(super) fn has_failed(&self, member: MemberIndex) -> bool {
        self.failures.contains_key(&member)
    }

    /// A round of maintenance: finds the pairs, from the edges that this node (`edges`) and other members report and from
    /// the checks of addresses (`failed`), and reports those that last. Returns the reasons to publish.
    pub(super) fn on_maintained(
        &mut self,
        context: &mut Context,
        near: &Neighbourhood<'_>,
        edges: impl Iterator<Item = (MemberIndex, OwnEdge)>,
        failed: BTreeMap<MemberIndex, EdgeFailure>,
    ) -> Vec<(MemberIndex, EdgeFailure)> {
        let found = reported_pairs(context, near, edges, failed);
        let alive = |member: &MemberIndex| near.members.status(context, *member) == Status::Alive;
        self.failures.retain(|member, _| alive(member));
        for (member, pair) in &mut self.pairs {
            if !found.contains_key(member) {
                pair.since = None;
            }
        }
        let now = context.now;
        self.pairs
            .retain(|_, pair| pair.since.is_some() || pair.next_line > now);
        for (member, reported) in found {
            self.on_found(now, near, member, reported);
        }
        self.report(context);
        self.take_reasons(now)
    }

    fn on_found(
        &mut self,
        now: Instant,
        near: &Neighbourhood<'_>,
        member: MemberIndex,
        reported: ReportedPair,
    ) {
        if self.pairs.len() >= PAIRS_MAX && !self.pairs.contains_key(&member) {
            return;
        }
        let stalls = !reported.linked && near.links.current(member).is_some();
        let silent = stalls.then_some(EdgeFailure::Silent);
        let dialled = self.failures.get(&member).copied().or(silent);
        let (theirs, heard_by_peer) = reported.theirs.unzip();
        let heard = reported.own.and_then(OwnEdge::last_heard);
        let pair = self.pairs.entry(member).or_default();
        // The member reports a reason only if the pair lasted.
        let lasts = now.saturating_sub(PAIR_AFTER);
        let since = if theirs.flatten().is_some() {
            lasts
        } else {
            now
        };
        pair.since = pair.since.map(|held| held.min(since)).or(Some(since));
        pair.linked = reported.linked;
        pair.own = if reported.linked {
            reported.checked
        } else {
            dialled
        };
        pair.theirs = theirs.flatten();
        pair.last_contact = heard
            .max(heard_by_peer.flatten())
            .max(near.last_received(member));
    }

    /// The reasons of this node that are published: of the longest standing pairs.
    fn take_reasons(&mut self, now: Instant) -> Vec<(MemberIndex, EdgeFailure)> {
        let standing = self
            .pairs
            .iter_mut()
            .filter(|(_, pair)| pair.is_standing(now));
        let mut standing: Vec<_> = standing.filter(|(_, pair)| pair.own.is_some()).collect();
        standing.sort_by_key(|(member, pair)| (pair.since, **member));
        standing.truncate(EDGE_FAILURES_MAX);
        let due = standing
            .into_iter()
            .filter(|(_, pair)| pair.next_reason <= now);
        let due = due.filter_map(|(member, pair)| {
            pair.next_reason = now + REASON_INTERVAL;
            Some((*member, pair.own?))
        });
        due.collect()
    }

    /// Reports the pairs that last, and that members cannot reach this node's address.
    fn report(&mut self, context: &mut Context) {
        let now = context.now;
        let is_gathered = |pair: &MemberPair| {
            pair.age(now)
                .is_some_and(|age| age >= PAIR_AFTER + GATHERED_FOR)
        };
        if now >= self.next_address_line
            && self.inward().any(|(_, pair)| is_gathered(pair))
            && let Some(undialable) = self.undialable(context)
        {
            self.next_address_line = now + LINE_AGAIN;
            context.report(Event::AddressUndialable(undialable));
        }
        let is_due = |pair: &MemberPair| pair.is_standing(now) && pair.next_line <= now;
        let gathered = |pair: &MemberPair| is_due(pair) && is_gathered(pair);
        if now < self.next_line || !self.pairs.values().any(gathered) {
            return;
        }
        self.next_line = now + LINE_INTERVAL;
        let due = self.pairs.iter_mut().filter(|(_, pair)| is_due(pair));
        let due = due.map(|(member, pair)| {
            pair.next_line = now + LINE_AGAIN;
            (*member, *pair)
        });
        let due: Vec<(MemberIndex, MemberPair)> = due.collect();
        let views = due
            .iter()
            .filter_map(|(member, pair)| view(context, *member, pair));
        let named: Vec<UnreachableView> = views.take(NAMED_MAX).collect();
        let count = due.len();
        if !named.is_empty() {
            context.report(Event::Unreachable { named, count });
        }
    }

    /// The standing pairs of which the member reports that it cannot reach this node's address.
    fn inward(&self) -> impl Iterator<Item = (MemberIndex, &MemberPair)> {
        let inward = |pair: &MemberPair| pair.theirs.is_some_and(EdgeFailure::is_of_address);
        let pairs = self.pairs.iter();
        pairs
            .filter(move |(_, pair)| pair.since.is_some() && inward(pair))
            .map(|(member, pair)| (*member, pair))
    }
}

/// Queries.
impl Unreachable {
    /// The pairs that last, in the order of indices.
    pub(super) fn views(&self, context: &Context) -> Vec<UnreachableView> {
        let standing = self.pairs.iter();
        let standing = standing.filter(|(_, pair)| pair.is_standing(context.now));
        let views = standing.filter_map(|(member, pair)| view(context, *member, pair));
        views.collect()
    }

    /// The members that cannot reach the address that this node advertises; none if there are none.
    pub(super) fn undialable(&self, context: &Context) -> Option<UndialableView> {
        let own = context.topology.known_record(context.me)?;
        let address = own.content().address?;
        let standing = || {
            self.inward()
                .filter(|(_, pair)| pair.is_standing(context.now))
        };
        let failure = standing().find_map(|(_, pair)| pair.theirs)?;
        let named = standing().filter_map(|(member, _)| context.id_of(member));
        let contact = standing().filter_map(|(_, pair)| pair.last_contact).max();
        Some(UndialableView {
            address,
            by: named.take(NAMED_MAX).collect(),
            count: standing().count(),
            failure,
            last_contact: contact.map(|at| context.now.since(at)),
        })
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        held::<(MemberIndex, EdgeFailure)>(self.failures.len())
            + held::<(MemberIndex, MemberPair)>(self.pairs.len())
    }
}

fn view(context: &Context, member: MemberIndex, pair: &MemberPair) -> Option<UnreachableView> {
    let record = context.topology.known_record(member)?;
    Some(UnreachableView {
        peer: record.id().clone(),
        address: record.content().address,
        own: pair.own,
        theirs: pair.theirs,
        linked: pair.linked,
        last_contact: pair.last_contact.map(|at| context.now.since(at)),
        lasted: pair.age(context.now)?,
    })
}

/// The members that are alive and without a live link, to which this node (`edges`) or the member reports the edge down;
/// and the neighbours whose address failed the check of this node (`failed`), or that report so of this node's address.
fn reported_pairs(
    context: &Context,
    near: &Neighbourhood<'_>,
    edges: impl Iterator<Item = (MemberIndex, OwnEdge)>,
    failed: BTreeMap<MemberIndex, EdgeFailure>,
) -> BTreeMap<MemberIndex, ReportedPair> {
    let linked: BTreeSet<MemberIndex> = near.live().collect();
    let mut found = BTreeMap::<MemberIndex, ReportedPair>::new();
    for (member, edge) in edges.filter(|(member, edge)| edge.is_down() && !linked.contains(member))
    {
        found.entry(member).or_default().own = Some(edge);
    }
    for (member, edge) in context.topology.edges_to(context.me) {
        let wrong = edge.failure.is_some_and(EdgeFailure::is_of_address);
        let counts = if linked.contains(&member) {
            !edge.down && wrong
        } else {
            edge.down
        };
        if counts {
            found.entry(member).or_default().theirs = Some((edge.failure, edge.last_heard));
        }
    }
    for (member, failure) in failed {
        found.entry(member).or_default().checked = Some(failure);
    }
    found.retain(|member, pair| {
        pair.linked = linked.contains(member);
        let alive = near.members.status(context, *member) == Status::Alive;
        *member != context.me && alive && context.topology.is_known(*member)
    });
    found
}
