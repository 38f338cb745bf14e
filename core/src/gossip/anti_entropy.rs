//! Anti-entropy: how two views that differ become equal without sending what both hold.
//!
//! The ends of each link compare order-free set hashes shortly after the link opens, and whenever the view is quiet. If
//! a neighbour's hash equals an earlier hash of this node, this node sends the changes since then. Otherwise the dialer
//! of the link sends a sketch of its view; the acceptor pushes the updates that the dialer lacks, and requests the
//! updates that the acceptor lacks. If even the largest sketch is too small, both send snapshots.
//!
//! Bounds: [`HISTORY_MAX`] changes remembered, [`WANT_MAX`] updates requested at once, and on each link one comparison
//! per [`SYNC_INTERVAL`].

use super::context::Context;
use super::message::Sync;
use crate::bounded::DropOldest;
use crate::link::LinkId;
use crate::reconcile::{self, Opening, ReconcileLimits, ReconcileStep, SketchRole};
use crate::sabotage::Switch;
use crate::size::held;
use crate::sketch::Cell;
use crate::sorted::SortedMap;
use crate::time::{Duration, Instant};
use crate::topology::publication::Key;

/// Maximum number of changes remembered, for neighbours whose view is slightly outdated.
pub const HISTORY_MAX: usize = 256;
/// Minimum time between the starts of two reconciliations on one link.
const SYNC_INTERVAL: Duration = Duration::from_millis(500);
/// Pauses of comparisons with a neighbour that offers members which this node refuses.
const REFUSED_PAUSE: Duration = Duration::from_secs(2);
const REFUSED_PAUSE_MAX: Duration = Duration::from_secs(64);
/// Maximum number of updates requested at once; more follow in the next round.
const WANT_MAX: usize = 1_000;

/// The state of comparisons over one link.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Comparison {
    opened: Instant,
    /// Whether this node dialled the link: the dialer begins reconciliations.
    dialed: bool,
    /// The hash that was sent last, and the time of sending.
    hash_sent: Option<(u64, Instant)>,
    /// Start of the latest reconciliation.
    synced: Option<Instant>,
    /// Time at which recent changes were last sent to the neighbour.
    pushed: Option<Instant>,
    /// Time within which the neighbour answers; zero unless the link is slow.
    answer_time: Duration,
    /// The number of consecutive comparisons whose records this node refused, and the end of the pause that follows.
    refusals: u32,
    paused_until: Instant,
}

/// The answer to a hash or to a step of a reconciliation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// No answer in this step.
    None,
    /// Send this node's hash, so that the dialer starts a reconciliation.
    Hash,
    /// Send this step.
    Step(Sync),
    /// Send these updates.
    Push(Vec<Key>),
    /// Send these updates, and request the updates with these digests.
    Exchange(Vec<Key>, Vec<u64>),
    /// Send the whole view, and request the neighbour's whole view.
    Snapshot,
}

/// The changes of the view, and the comparisons over a node's links.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AntiEntropy {
    /// The latest changes, each with the hash of the view before the change.
    history: DropOldest<(u64, Key)>,
    /// Time of the latest change of the view.
    changed: Instant,
    links: SortedMap<LinkId, Comparison>,
}

impl AntiEntropy {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            history: DropOldest::new(HISTORY_MAX),
            changed: now,
            links: SortedMap::new(),
        }
    }

    /// A link opened. A reconciliation may have started on the link that the new link replaces.
    pub(super) fn on_open(
        &mut self,
        context: &Context,
        link: LinkId,
        dialed: bool,
        synced: Option<Instant>,
    ) {
        let comparison = Comparison {
            opened: context.now,
            dialed,
            hash_sent: None,
            synced,
            pushed: None,
            answer_time: Duration::ZERO,
            refusals: 0,
            paused_until: Instant::ZERO,
        };
        self.links.insert(link, comparison);
    }

    /// A neighbour answers within this time; zero unless the link is slow.
    pub(super) fn set_answer_time(&mut self, link: LinkId, answer_time: Duration) {
        if let Some(comparison) = self.links.get_mut(&link) {
            comparison.answer_time = answer_time;
        }
    }

    pub(super) fn on_closed(&mut self, link: LinkId) {
        self.links.remove(&link);
    }

    /// A neighbour sent updates of a comparison. If this node `refused` any of them, further comparisons on the link
    /// pause for [`REFUSED_PAUSE`], and twice as long after each further one, up to [`REFUSED_PAUSE_MAX`].
    pub(super) fn on_compared(&mut self, context: &Context, link: LinkId, refused: bool) {
        let Some(comparison) = self.links.get_mut(&link) else {
            return;
        };
        if !refused {
            comparison.refusals = 0;
            return;
        }
        let pause = REFUSED_PAUSE * (1 << comparison.refusals.min(8));
        comparison.paused_until = context.after(pause.min(REFUSED_PAUSE_MAX));
        comparison.refusals = comparison.refusals.saturating_add(1);
    }

    /// Whether comparisons on a link pause.
    pub(super) fn is_paused(&self, context: &Context, link: LinkId) -> bool {
        let comparison = self.links.get(&link);
        comparison.is_some_and(|comparison| context.now < comparison.paused_until)
    }

    /// Ends the pauses on all links.
    pub(super) fn end_pauses(&mut self) {
        for (_, comparison) in self.links.iter_mut() {
            comparison.refusals = 0;
            comparison.paused_until = Instant::ZERO;
            comparison.hash_sent = None;
        }
    }

    /// Start of the latest reconciliation on a link.
    pub(super) fn synced(&self, link: LinkId) -> Option<Instant> {
        self.links.get(&link)?.synced
    }

    /// The view changed under a key; `before` is the view's hash before the change.
    pub(super) fn on_changed(&mut self, context: &Context, key: Key, before: u64) {
        self.history.push((before, key));
        self.changed = context.now;
    }

    /// Whether the view has not changed for `quiet_after`.
    fn is_quiet(&self, context: &Context) -> bool {
        context.now - self.changed >= context.tuning().quiet_after
    }
}

/// Hashes.
impl AntiEntropy {
    /// Whether a heartbeat on a link is to carry the hash.
    pub(super) fn hash_is_due(&self, context: &Context, link: LinkId) -> bool {
        if context.has(Switch::NoAntiEntropy) {
            return false;
        }
        let Some(comparison) = self.links.get(&link) else {
            return false;
        };
        let interval = context.tuning().hash_interval;
        // A view that is never quiet is compared too: shortly after the link opens, and rarely after that.
        let waited = match comparison.hash_sent {
            None => comparison.has_stood(context),
            Some((_, at)) => context.now - at >= interval,
        };
        if !waited && !self.is_quiet(context) {
            return false;
        }
        comparison.hash_sent.is_none_or(|(hash, at)| {
            hash != context.topology.hash() || context.now - at >= interval
        })
    }

    /// The hash is being sent on a link.
    pub(super) fn on_hash_sent(&mut self, context: &Context, link: LinkId) {
        if let Some(comparison) = self.links.get_mut(&link) {
            comparison.hash_sent = Some((context.topology.hash(), context.now));
        }
    }

    /// Resets a link, so that its next heartbeat carries the hash.
    pub(super) fn forget_hash(&mut self, link: LinkId) {
        if let Some(comparison) = self.links.get_mut(&link) {
            comparison.hash_sent = None;
        }
    }

    /// A neighbour sent the hash of its view.
    pub(super) fn on_hash(&mut self, context: &Context, link: LinkId, theirs: u64) -> Answer {
        if theirs == context.topology.hash()
            || context.has(Switch::NoAntiEntropy)
            || self.is_paused(context, link)
        {
            return Answer::None;
        }
        if context.has(Switch::WholeViewAlways) {
            return Answer::Push(context.topology.digests().map(|(_, key)| key).collect());
        }
        let quiet = self.is_quiet(context);
        let Some(comparison) = self.links.get_mut(&link) else {
            return Answer::None;
        };
        // A recent change is in flight along the tree. A second copy would damage the tree, because a value received
        // twice prunes a link. Once the view is quiet, this node sends its own hash.
        if !quiet {
            if !comparison.is_overdue(context) {
                comparison.send_hash_again(context);
                return Answer::None;
            }
            if !comparison.dialed {
                comparison.synced = Some(context.now);
            }
        }
        let behind = self
            .history
            .iter()
            .position(|(before, _)| *before == theirs);
        if let Some(behind) = behind {
            if !comparison.may_push(context) {
                comparison.send_hash_again(context);
                return Answer::None;
            }
            comparison.pushed = Some(context.now);
            if !quiet {
                comparison.synced = Some(context.now);
            }
            let changes = self.history.iter().skip(behind);
            return Answer::Push(changes.map(|(_, key)| *key).collect());
        }
        if !comparison.may_begin(context) {
            comparison.send_hash_again(context);
            return Answer::None;
        }
        let role = if comparison.dialed {
            comparison.synced = Some(context.now);
            SketchRole::Initiator
        } else {
            SketchRole::Responder
        };
        match reconcile::on_different_hash(role, digests(context)) {
            Opening::Sketch(cells) => Answer::Step(Sync::Sketch(cells)),
            Opening::Hash => Answer::Hash,
        }
    }
}

impl Comparison {
    /// Whether the link is old enough that updates broadcast at its opening have arrived. Values that the ends held
    /// before are not broadcast: parts of a mesh that diverged become equal only by comparison, which does not wait
    /// until the view is quiet.
    fn has_stood(&self, context: &Context) -> bool {
        context.now - self.opened >= context.tuning().quiet_after + self.answer_time
    }

    /// Whether a comparison is due although the views are not quiet.
    fn is_overdue(&self, context: &Context) -> bool {
        match self.synced {
            None => self.has_stood(context),
            Some(at) => context.now - at >= context.tuning().hash_interval,
        }
    }

    fn may_push(&self, context: &Context) -> bool {
        self.pushed
            .is_none_or(|at| context.now - at >= self.interval())
    }

    /// The interval of reconciliations: the answer to the previous one has arrived.
    fn interval(&self) -> Duration {
        SYNC_INTERVAL.max(self.answer_time)
    }

    fn may_begin(&self, context: &Context) -> bool {
        if self.dialed {
            return self
                .synced
                .is_none_or(|at| context.now - at >= self.interval());
        }
        self.hash_sent.is_none_or(|(sent, at)| {
            sent != context.topology.hash() || context.now - at >= self.interval()
        })
    }

    /// The neighbour's view differs, and this step has no answer. A later heartbeat carries the hash, even if it was
    /// sent before, because the neighbour may not have been ready to compare either.
    fn send_hash_again(&mut self, context: &Context) {
        let hash = context.topology.hash();
        if self.hash_sent.is_some_and(|(sent, _)| sent == hash) {
            self.hash_sent = None;
        }
    }
}

/// Reconciliation.
impl AntiEntropy {
    /// Begins a reconciliation on a link. Returns the first message of the reconciliation.
    pub(super) fn begin(&mut self, context: &Context, link: LinkId) -> Option<Sync> {
        if context.has(Switch::NoAntiEntropy) {
            return None;
        }
        if let Some(comparison) = self.links.get_mut(&link) {
            comparison.synced = Some(context.now);
        }
        Some(Sync::Sketch(reconcile::first_sketch(digests(context))))
    }

    /// A neighbour sent a sketch of its view.
    pub(super) fn on_sketch(context: &Context, cells: &[Cell]) -> Answer {
        let limits = ReconcileLimits {
            // If the difference exceeds half the view, a snapshot is smaller than the necessary sketches.
            cells_below: 4 * context.topology.len().max(16),
            want_max: WANT_MAX,
        };
        answer(reconcile::on_sketch(
            || context.topology.digests(),
            cells,
            limits,
        ))
    }

    /// A neighbour requested a sketch of `cells` cells, or, if 0, a snapshot.
    pub(super) fn on_larger(context: &Context, cells: u32) -> Answer {
        answer(reconcile::on_larger(|| context.topology.digests(), cells))
    }

    /// A neighbour requested the updates with these digests.
    pub(super) fn on_want(context: &Context, digests: Vec<u64>) -> Answer {
        Answer::Push(reconcile::select(context.topology.digests(), digests))
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        held::<(u64, Key)>(self.history.len()) + held::<(LinkId, Comparison)>(self.links.len())
    }

    /// Sets the time of the latest change of the view.
    #[cfg(test)]
    pub(super) const fn set_changed(&mut self, at: Instant) {
        self.changed = at;
    }
}

fn digests(context: &Context) -> impl Iterator<Item = u64> {
    context.topology.digests().map(|(digest, _)| digest)
}

fn answer(step: ReconcileStep<Key>) -> Answer {
    match step {
        ReconcileStep::Sketch(cells) => Answer::Step(Sync::Sketch(cells)),
        ReconcileStep::AskLarger(cells) => Answer::Step(Sync::Larger(cells)),
        ReconcileStep::GiveUp => Answer::Step(Sync::Larger(0)),
        ReconcileStep::Everything => Answer::Snapshot,
        ReconcileStep::Exchange { send, want } => Answer::Exchange(send, want),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::tests::context::{context, learn};
    use crate::sketch::SIZES;

    const LINK: LinkId = LinkId(1);

    fn open(dialed: bool) -> (Context, AntiEntropy) {
        let context = context();
        let mut views = AntiEntropy::new(context.now);
        views.on_open(&context, LINK, dialed, None);
        (context, views)
    }

    /// Adds a member to the view, as a change. Returns the hash before the change.
    fn change(context: &mut Context, views: &mut AntiEntropy, index: usize) -> u64 {
        let before = context.topology.hash();
        let member = learn(context, index);
        views.on_changed(context, Key::Record(member), before);
        before
    }

    fn rest(context: &mut Context) {
        context.now += context.tuning().quiet_after;
    }

    #[test]
    fn a_hash_is_due_when_the_view_is_quiet_and_then_once_an_interval() {
        let (mut context, mut views) = open(true);
        change(&mut context, &mut views, 1);
        assert!(!views.hash_is_due(&context, LINK));
        rest(&mut context);
        assert!(views.hash_is_due(&context, LINK));
        views.on_hash_sent(&context, LINK);
        assert!(!views.hash_is_due(&context, LINK));
        context.now += context.tuning().hash_interval;
        assert!(views.hash_is_due(&context, LINK));
    }

    #[test]
    fn a_neighbour_a_little_behind_gets_the_changes_since() {
        let (mut context, mut views) = open(false);
        change(&mut context, &mut views, 1);
        let behind = change(&mut context, &mut views, 2);
        change(&mut context, &mut views, 3);
        rest(&mut context);
        let Answer::Push(keys) = views.on_hash(&context, LINK, behind) else {
            panic!("its hash is remembered");
        };
        assert_eq!(keys.len(), 2);
        assert_eq!(
            views.on_hash(&context, LINK, behind),
            Answer::None,
            "a moment later"
        );
    }

    #[test]
    fn the_dialer_begins_a_reconciliation_and_the_acceptor_sends_its_hash() {
        for dialed in [true, false] {
            let (mut context, mut views) = open(dialed);
            rest(&mut context);
            let answer = views.on_hash(&context, LINK, 42);
            match answer {
                Answer::Step(Sync::Sketch(ref cells)) => {
                    assert!(dialed && cells.len() == SIZES[0] as usize);
                    assert_eq!(views.on_hash(&context, LINK, 42), Answer::None);
                    context.now += SYNC_INTERVAL;
                    assert!(matches!(views.on_hash(&context, LINK, 42), Answer::Step(_)));
                }
                Answer::Hash => assert!(!dialed),
                Answer::None
                | Answer::Push(_)
                | Answer::Step(_)
                | Answer::Exchange(..)
                | Answer::Snapshot => panic!("{answer:?}"),
            }
        }
    }

    #[test]
    fn views_that_change_are_left_to_the_tree() {
        let (mut context, mut views) = open(true);
        change(&mut context, &mut views, 1);
        assert_eq!(views.on_hash(&context, LINK, 42), Answer::None);
    }

    #[test]
    fn a_sketch_that_is_too_small_is_answered_by_a_request_for_more() {
        let mut context = context();
        for index in 1..100 {
            learn(&mut context, index);
        }
        let Answer::Step(Sync::Sketch(own)) = AntiEntropy::on_larger(&context, 1) else {
            panic!("a sketch was asked for");
        };
        let equal = Answer::Exchange(Vec::new(), Vec::new());
        assert_eq!(AntiEntropy::on_sketch(&context, &own), equal);
        let empty = vec![Cell::default(); SIZES[0] as usize];
        let larger = AntiEntropy::on_sketch(&context, &empty);
        assert_eq!(larger, Answer::Step(Sync::Larger(SIZES[1])));
        assert_eq!(AntiEntropy::on_larger(&context, 0), Answer::Snapshot);
    }
}
