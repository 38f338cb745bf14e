//! Dissemination: spreads an update to all members. An update is sent at once along a tree, announced on other links,
//! and repaired on demand.
//!
//! Plumtree (Leitão et al., SRDS 2007) over the overlay, with one tree for the whole mesh. An eager link carries
//! values; a lazy link carries only their names. A value received twice prunes the link that delivered the second copy.
//! A value that is announced and not received grafts the link that announced it. A graft is delayed by a jitter,
//! because otherwise a whole subtree would graft at once.
//!
//! Bounds: those of [`Tree`].

use super::config::Config;
use super::context::Context;
use super::frame_builder::BroadcastSchedule;
use super::message::AgedReport;
use super::newcomers::{Admittance, Hearsay, Newcomers};
use super::provenance::Provenance;
use super::timer::Timer;
use crate::identity::NodeId;
use crate::link::LinkId;
use crate::paged::Paged;
use crate::plumtree::{Announced, Tree};
use crate::sabotage::Switch;
use crate::size::held;
use crate::time::{Duration, Instant};
use crate::topology::publication::{Key, PublicationId};
use crate::topology::record::{Content, Record};
use crate::topology::{Applied, Batch, EDGE_FAILURES_MAX, EdgeEvidence, MemberIndex};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Maximum number of record announcements waiting on one link. More announcements mean that many members are joining;
/// the hash of the view is then sent instead.
const NAMES_MAX: usize = 48;
/// Maximum number of report announcements waiting on one link. The limit is higher than that of records, because a late
/// report at a member that the tree does not reach may cause a false death.
const REPORT_NAMES_MAX: usize = 512;
/// Delay between sending a report along the tree and announcing it.
const REPORT_ANNOUNCED_AFTER: Duration = Duration::from_millis(100);

/// A record merged into the view.
#[derive(Clone, Debug)]
pub(super) struct Merged {
    /// The outcome in the view.
    pub(super) applied: Applied,
    /// The key of the record in the view.
    pub(super) key: Key,
    /// The hash of the view before the merge.
    pub(super) before: u64,
    /// The record held before the merge.
    pub(super) replaced: Option<Arc<Record>>,
    pub(super) record: Arc<Record>,
}

impl Merged {
    /// Whether the record is of a later start than the record held before, or the first.
    pub(super) fn is_reborn(&self) -> bool {
        let theirs = self.record.rank();
        let held = self.replaced.as_ref().map(|held| held.rank());
        held.is_none_or(|held| (held.epoch, held.instance) < (theirs.epoch, theirs.instance))
    }

    /// Whether the record's content differs from that of the record held before.
    pub(super) fn is_updated(&self) -> bool {
        let held = self.replaced.as_ref();
        held.is_some_and(|held| held.content() != self.record.content())
    }
}

/// The outcome of a received record.
#[derive(Clone, Debug)]
pub(super) enum ReceivedRecord {
    /// The record is under this node's own id.
    Own,
    /// The record was merged into the view.
    Merged(Merged),
    /// The record was not merged.
    Unmerged(Unmerged),
}

/// Reasons why a received value was not merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unmerged {
    /// A counter is above the allowed maximum.
    CounterTooHigh,
    /// The view is full.
    TooMany,
    /// The member is unknown, and the node is guarded.
    Refused,
}

/// The broadcast tree at one node, and the updates awaited from it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dissemination {
    /// The links, in the order of [`Links`](super::links::Links), and the updates that are awaited.
    tree: Tree<Key, PublicationId, LinkId>,
    /// Provenance of the records received by broadcast, by index.
    record_provenance: Paged<Provenance>,
    /// Provenance of the reports received by broadcast.
    report_provenance: BTreeMap<MemberIndex, Provenance>,
}

/// The tree.
impl Dissemination {
    pub(super) const fn new() -> Self {
        Self {
            tree: Tree::new(),
            record_provenance: Paged::new(),
            report_provenance: BTreeMap::new(),
        }
    }

    pub(super) fn on_open(&mut self, link: LinkId, eager: bool) {
        self.tree.on_open(link, eager);
    }

    /// A link was removed. Returns whether the link was eager.
    pub(super) fn on_closed(&mut self, link: LinkId) -> bool {
        self.tree.on_closed(link)
    }

    /// Makes a link eager, because it delivered a new update.
    pub(super) fn make_eager(&mut self, link: LinkId) {
        self.tree.make_eager(link);
    }

    /// Makes a link lazy, because the link delivered a duplicate, its neighbour sent a prune, or the link carries no
    /// traffic. Returns whether the link was eager.
    pub(super) fn make_lazy(&mut self, link: LinkId) -> bool {
        self.tree.make_lazy(link)
    }

    /// An eager link was removed: the next update floods over all live links.
    pub(super) fn flood(&mut self, is_alive: impl Fn(LinkId) -> bool) {
        self.tree.flood(is_alive);
    }

    pub(super) fn is_eager(&self, link: LinkId) -> bool {
        self.tree.is_eager(link)
    }

    /// Whether each link is eager, in the order of the links.
    pub(super) fn iter(&self) -> impl Iterator<Item = (LinkId, bool)> {
        self.tree.links()
    }

    /// The time at which a broadcast update is sent. A report of refused dials is as urgent as a record.
    pub(super) fn schedule(context: &Context, key: Key) -> BroadcastSchedule {
        let tuning = context.tuning();
        // A report takes time to travel along the tree, so an immediate announcement of the report would cause needless
        // requests.
        let (report_wait, wait, names_max) = match key {
            Key::Record(_) => (tuning.report_after, tuning.announce_after, NAMES_MAX),
            Key::EdgeReport(member) if context.topology.reports_refusals(member) => {
                (Duration::ZERO, tuning.announce_after, REPORT_NAMES_MAX)
            }
            Key::EdgeReport(_) => (
                tuning.report_after,
                REPORT_ANNOUNCED_AFTER,
                REPORT_NAMES_MAX,
            ),
        };
        BroadcastSchedule {
            report_due: context.after(report_wait),
            name_due: context.after(wait),
            names_max,
        }
    }

    /// Notes a value received by broadcast. Returns whether the value was new, and whether another link had delivered
    /// the same value before. A value received by anti-entropy is not evidence about the tree, nor is a value received
    /// twice on one link (in a snapshot and in a broadcast).
    pub(super) fn weigh(&mut self, key: Key, applied: Applied, link: LinkId) -> (bool, bool) {
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
            Key::EdgeReport(member) => self.report_provenance.get(&member),
            Key::Record(member) => self.record_provenance.get(member as usize),
        };
        found.copied().unwrap_or_default()
    }

    fn set_provenance(&mut self, key: Key, from: Provenance) {
        match key {
            Key::Record(member) => {
                let place = member as usize;
                *self.record_provenance.reach(place, Provenance::default()) = from;
            }
            Key::EdgeReport(member) if from == Provenance::default() => {
                self.report_provenance.remove(&member);
            }
            Key::EdgeReport(member) => {
                self.report_provenance.insert(member, from);
            }
        }
    }

    /// A newer value was received by anti-entropy.
    pub(super) fn clear_provenance(&mut self, key: Key) {
        self.set_provenance(key, Provenance::default());
    }

    /// The slot of a member was freed.
    pub(super) fn forget(&mut self, member: MemberIndex) {
        for key in [Key::Record(member), Key::EdgeReport(member)] {
            self.tree.remove_missing(&key);
            self.clear_provenance(key);
        }
    }
}

/// Merging into the view.
impl Dissemination {
    /// The index of an id, assigned if the id is new; none if the view is full.
    pub(super) fn place_of(context: &mut Context, id: &NodeId) -> Option<MemberIndex> {
        context.topology.intern(id)
    }

    /// Takes members off the rings, because they may not exist.
    pub(super) fn hold_off(context: &mut Context, members: &[MemberIndex]) {
        context.topology.hold_all_off(members);
    }

    /// Puts members on the rings that were held off.
    pub(super) fn let_on(context: &mut Context, members: &[MemberIndex]) {
        context.topology.let_on(members);
    }

    /// Merges received records into the view. `judge` decides about each record and hears of the
    /// members that enter.
    pub(super) fn merge_records(
        context: &mut Context,
        records: &[Arc<Record>],
        mut judge: impl FnMut(Instant, &Hearsay<'_>) -> Admittance,
    ) -> Vec<ReceivedRecord> {
        if records.is_empty() {
            return Vec::new();
        }
        let (config, now, max) = (&context.config, context.now, context.counter_max());
        let slots = config.tuning.members_max;
        let mut batch = context.topology.batch();
        let merged = records.iter().map(|record| {
            if !is_within(record, max) {
                return ReceivedRecord::Unmerged(Unmerged::CounterTooHigh);
            }
            if *record.id() == config.id {
                return ReceivedRecord::Own;
            }
            let altered = sabotaged(config, now, &batch, record);
            let record = altered.unwrap_or_else(|| Arc::clone(record));
            let before = batch.hash();
            let offered = Hearsay::Offered(batch.view(), slots, &record);
            let (new, off_rings) = match judge(now, &offered) {
                Admittance::Believed => (false, false),
                Admittance::Unproven => (true, false),
                Admittance::OffRings => (true, true),
                Admittance::Refused => return ReceivedRecord::Unmerged(Unmerged::Refused),
                Admittance::Full => return ReceivedRecord::Unmerged(Unmerged::TooMany),
            };
            let Some((member, replaced, applied)) = batch.merge(&record, off_rings) else {
                return ReceivedRecord::Unmerged(Unmerged::TooMany);
            };
            if new && applied == Applied::Newer {
                judge(now, &Hearsay::Entered(member));
            }
            ReceivedRecord::Merged(Merged {
                applied,
                key: Key::Record(member),
                before,
                replaced,
                record,
            })
        });
        merged.collect()
    }

    /// Merges the record that the peer of a new link stated itself. A forgotten member that states the record with which
    /// it was forgotten, or an older one, did not restart meanwhile: the peer is a member again. Its slot may hold a newer
    /// record than the stated one.
    pub(super) fn merge_stated(
        context: &mut Context,
        is_guarded: bool,
        record: &Arc<Record>,
    ) -> Option<ReceivedRecord> {
        let member = context.topology.intern(record.id());
        let known = member.is_some_and(|member| context.topology.is_known(member));
        if let Some(member) = member.filter(|_| !known && is_guarded) {
            context.topology.hold_off(member);
        }
        let believed = |_: Instant, _: &Hearsay<'_>| Admittance::Believed;
        let mut received =
            Self::merge_records(context, core::slice::from_ref(record), believed).pop()?;
        if let ReceivedRecord::Merged(merged) = &mut received
            && matches!(merged.applied, Applied::Same | Applied::Older)
            && !context.has(Switch::StaysForgotten)
            && context.topology.reinstate(merged.key.member())
        {
            merged.applied = Applied::Newer;
            if let Some(held) = context.topology.known_record(merged.key.member()) {
                merged.record = Arc::clone(held);
            }
        }
        Some(received)
    }

    /// Checks that a report is well formed, and that its counters are within the bound.
    ///
    /// # Errors
    /// Returns an error if the report is malformed, or its counters are too high.
    pub(super) fn check_report(context: &Context, aged: &AgedReport) -> Result<(), Unmerged> {
        let report = &aged.report;
        if report.epoch.max(report.version) > context.counter_max()
            || aged.ages.len() != report.edges.len()
        {
            return Err(Unmerged::CounterTooHigh);
        }
        if report.fits() {
            Ok(())
        } else {
            Err(Unmerged::TooMany)
        }
    }

    /// Merges the report of another member. Returns the outcome, the key of the report in the view, and the hash of the
    /// view before the merge.
    ///
    /// # Errors
    /// Returns an error if the view is full.
    pub(super) fn merge_report(
        context: &mut Context,
        aged: &AgedReport,
    ) -> Result<(Applied, Key, u64), Unmerged> {
        let (now, last_heard_is_now) = (context.now, context.has(Switch::LastHeardIsNow));
        let last_heard = |age| {
            if last_heard_is_now {
                now
            } else {
                now.saturating_sub(age)
            }
        };
        let mut failures = 0;
        let evidence = aged.edges().map(|(_, age, failure)| {
            failures += usize::from(failure.is_some());
            EdgeEvidence {
                last_heard: age.map(last_heard),
                failure: failure.filter(|_| failures <= EDGE_FAILURES_MAX),
            }
        });
        let before = context.topology.hash();
        let member = context.topology.intern(&aged.report.reporter);
        let member = member.ok_or(Unmerged::TooMany)?;
        let topology = &mut context.topology;
        match topology.apply_report_at(member, &aged.report, evidence) {
            Applied::Full => Err(Unmerged::TooMany),
            applied @ (Applied::Same | Applied::Older | Applied::Newer) => {
                Ok((applied, Key::EdgeReport(member), before))
            }
        }
    }
}

/// Whether no counter of a record is above `max`.
fn is_within(record: &Record, max: u64) -> bool {
    let rank = record.rank();
    rank.epoch.max(rank.version).max(rank.incarnation) <= max
}

/// A received record, altered if a planted bug is on.
fn sabotaged(
    config: &Config,
    now: Instant,
    batch: &Batch<'_>,
    record: &Arc<Record>,
) -> Option<Arc<Record>> {
    if config.sabotage.is_none() {
        return None;
    }
    let mut content: Content = record.content().clone();
    if config.sabotage.has(Switch::DeltaDropsServices) && batch.is_known(record.id()) {
        content.services.clear();
    }
    if config.sabotage.has(Switch::JoinTimeReset) {
        content.joined.0 = content.joined.0.max(1) + now.as_millis() / 1_000;
    }
    (content != *record.content())
        .then(|| Arc::new(Record::new(record.id().clone(), record.rank(), content)))
}

/// Announcements and grafts.
impl Dissemination {
    /// The view changed at a key: an awaited update may have arrived.
    pub(super) fn on_changed(&mut self, context: &mut Context, key: Key) {
        if let Some(missing) = self.tree.missing(&key)
            && context.topology.holds(missing)
        {
            self.tree.remove_missing(&key);
            context.timers.cancel(&Timer::Graft(key));
        }
    }

    /// A neighbour announced updates. Updates that the view holds are passed to `held`; the others are awaited, on a
    /// slow link longer by `slow`.
    pub(super) fn on_announced(
        &mut self,
        context: &mut Context,
        link: LinkId,
        (have, slow): (&[PublicationId], Duration),
        newcomers: &Newcomers,
        mut held: impl FnMut(Key),
    ) {
        let mut wait = None;
        let max = context.counter_max();
        for id in have.iter().filter(|id| id.epoch.max(id.version) <= max) {
            let known = context.topology.index_of(&id.origin);
            if let Some(member) = known {
                let topology = &context.topology;
                let any_will_do = context.has(Switch::SequenceIgnored);
                if topology.holds_at(member, id) || any_will_do && topology.is_known(member) {
                    held(Key::new(member, id.kind));
                    continue;
                }
            }
            if context.has(Switch::NoGraft) {
                continue;
            }
            if self.tree.is_full() && known.is_none()
                || !newcomers.admits_unknown(&context.topology, &id.origin)
            {
                continue;
            }
            let Some(member) = known.or_else(|| context.topology.intern(&id.origin)) else {
                continue;
            };
            let key = Key::new(member, id.kind);
            match self.tree.on_announced(key, id.clone(), link) {
                Announced::Again | Announced::Full => {}
                Announced::First => {
                    // The jitter is drawn once for the whole message, so that updates announced together are requested
                    // together.
                    let tuning = &context.config.tuning;
                    let jitter = *wait.get_or_insert_with(|| {
                        context
                            .random
                            .dissemination
                            .duration_below(tuning.graft_jitter)
                    });
                    let at = context.now + tuning.graft_after + jitter + slow;
                    context.timers.set(Timer::Graft(key), at);
                }
            }
        }
    }

    /// An announced update has not arrived. Returns the next live link that announced the update, and the update's
    /// name. The link becomes eager.
    pub(super) fn on_missing(
        &mut self,
        context: &mut Context,
        key: Key,
        is_alive: impl Fn(LinkId) -> bool,
    ) -> Option<(LinkId, PublicationId)> {
        let missing = self.tree.missing(&key)?;
        if context.topology.holds(missing) {
            self.tree.remove_missing(&key);
            return None;
        }
        let request = self.tree.next_announcer(&key, is_alive)?;
        Some(request)
    }

    /// Schedules the request to the next announcer. A slow link answers after `slow`.
    pub(super) fn schedule_next_request(context: &mut Context, key: Key, slow: Duration) {
        let at = context.after(context.tuning().graft_interval.max(slow));
        context.timers.set(Timer::Graft(key), at);
    }

    /// A neighbour requests updates that the neighbour did not receive; the request makes the link eager. Returns the
    /// updates that the view holds.
    pub(super) fn on_graft(
        &mut self,
        context: &Context,
        link: LinkId,
        graft: &[PublicationId],
    ) -> Vec<Key> {
        let mut keys = Vec::new();
        for id in graft {
            let Some(member) = context.topology.index_of(&id.origin) else {
                continue;
            };
            self.tree.make_eager(link);
            if context.topology.holds_at(member, id) {
                keys.push(Key::new(member, id.kind));
            }
        }
        keys
    }

    /// Whether an update of a member is awaited.
    pub(super) fn awaits(&self, member: MemberIndex) -> bool {
        let keys = [Key::Record(member), Key::EdgeReport(member)];
        keys.iter().any(|key| self.tree.missing(key).is_some())
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        self.tree.memory()
            + held::<Provenance>(self.record_provenance.len())
            + held::<(MemberIndex, Provenance)>(self.report_provenance.len())
    }

    /// Drops all awaited updates.
    #[cfg(test)]
    pub(super) fn clear_missing(&mut self) {
        self.tree.clear_missing();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::tests::context::{context, id, learn};
    use crate::plumtree::MISSING_MAX;
    use crate::topology::publication::PublicationKind;
    use crate::topology::record::Rank;

    const ONE: LinkId = LinkId(1);
    const OTHER: LinkId = LinkId(2);

    fn tree() -> Dissemination {
        let mut tree = Dissemination::new();
        tree.on_open(ONE, true);
        tree.on_open(OTHER, false);
        tree
    }

    fn named(index: usize, version: u64) -> PublicationId {
        PublicationId {
            origin: id(index),
            kind: PublicationKind::Record,
            epoch: 1,
            version,
        }
    }

    fn announce(tree: &mut Dissemination, context: &mut Context, link: LinkId, id: &PublicationId) {
        let announced = (core::slice::from_ref(id), Duration::ZERO);
        let newcomers = Newcomers::new(context.now);
        tree.on_announced(context, link, announced, &newcomers, |_| {});
    }

    #[test]
    fn a_value_that_comes_again_on_another_link_is_a_repetition() {
        let mut tree = tree();
        let key = Key::Record(3);
        assert_eq!(tree.weigh(key, Applied::Newer, ONE), (true, false));
        assert_eq!(tree.weigh(key, Applied::Same, ONE), (false, false));
        assert_eq!(tree.weigh(key, Applied::Same, OTHER), (false, true));
        tree.clear_provenance(key);
        assert_eq!(tree.weigh(key, Applied::Same, OTHER), (false, false));
    }

    #[test]
    fn an_announced_update_is_requested_from_each_announcer_in_turn() {
        let (mut context, mut tree) = (context(), tree());
        announce(&mut tree, &mut context, OTHER, &named(1, 1));
        announce(&mut tree, &mut context, ONE, &named(1, 1));
        let member = context.topology.index_of(&id(1)).unwrap();
        let key = Key::Record(member);
        assert!(tree.awaits(member));
        let request = tree.on_missing(&mut context, key, |_| true);
        assert_eq!(request, Some((OTHER, named(1, 1))));
        assert!(tree.is_eager(OTHER), "its announcer grafts it");
        let request = tree.on_missing(&mut context, key, |link| link != ONE);
        assert_eq!(request, None);
        assert!(!tree.awaits(member));
    }

    #[test]
    fn an_update_that_arrives_is_not_requested() {
        let (mut context, mut tree) = (context(), tree());
        announce(&mut tree, &mut context, OTHER, &named(1, 1));
        let member = learn(&mut context, 1);
        tree.on_changed(&mut context, Key::Record(member));
        assert!(!tree.awaits(member));
        assert_eq!(context.timers.next(), None);
        let mut held = Vec::new();
        let announced = [named(1, 1)];
        let announced = (announced.as_slice(), Duration::ZERO);
        let newcomers = Newcomers::new(context.now);
        tree.on_announced(&mut context, OTHER, announced, &newcomers, |key| {
            held.push(key);
        });
        assert_eq!(held, [Key::Record(member)]);
    }

    #[test]
    fn awaited_updates_are_bounded() {
        let (mut context, mut tree) = (context(), tree());
        for index in 1..=MISSING_MAX + 50 {
            announce(&mut tree, &mut context, OTHER, &named(index, 1));
        }
        assert_eq!(tree.tree.missing_len(), MISSING_MAX);
    }

    #[test]
    fn after_a_loss_the_next_update_floods_over_links_that_are_alive() {
        let mut tree = tree();
        assert!(tree.on_closed(ONE));
        tree.on_open(LinkId(3), false);
        tree.flood(|link| link == OTHER);
        assert!(tree.iter().eq([(OTHER, true), (LinkId(3), false)]));
        assert!(tree.make_lazy(OTHER));
        assert!(!tree.make_lazy(OTHER));
    }

    #[test]
    fn a_record_with_a_counter_beyond_the_maximum_is_not_merged() {
        let rank = Rank {
            version: context().counter_max() + 1,
            ..Rank::default()
        };
        let record = Arc::new(Record::new(id(1), rank, Content::default()));
        let mut context = context();
        let received =
            Dissemination::merge_records(&mut context, &[record], |_, _| Admittance::Believed);
        let refused = ReceivedRecord::Unmerged(Unmerged::CounterTooHigh);
        assert_eq!(format!("{received:?}"), format!("[{refused:?}]"));
        assert_eq!(context.topology.index_of(&id(1)), None);
    }
}
