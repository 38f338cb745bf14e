//! Anti-entropy: when a channel's state is compared with that of neighbours, and how a difference is reconciled.
//!
//! Hashes are compared when a link opens, and with [`NEIGHBOURS_MAX`] random neighbours once per interval. If the
//! hashes differ, the node with the lower id sends a sketch of its state, and each end sends the elements that the
//! other end lacks ([`crate::reconcile`]). State that an application merges is sent whole; once per interval it is also
//! sent to a random member that broadcasts on the channel, because the neighbours may only relay the channel.
//!
//! A channel that changed less than [`QUIET_AFTER`] ago is compared rarely, because its recent changes are probably
//! still in flight and would be sent twice.

use super::context::{Context, Timer};
use super::interface::INTERVAL;
use super::message::{ChannelName, Item, Kind, WANT_MAX};
use super::store::{ChannelStore, Element, ElementKey};
use crate::identity::NodeId;
use crate::link::LinkId;
use crate::reconcile::{self, Opening, ReconcileLimits, ReconcileStep, SketchRole};
use crate::sabotage::Switch;
use crate::sketch::Cell;
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, VecDeque};

/// Time without changes after which a channel is quiet.
const QUIET_AFTER: Duration = Duration::from_millis(500);
/// Age up to which a link counts as new. The ends of a new link also compare channels that are not quiet.
const NEW_FOR: Duration = Duration::from_secs(2);
/// Time after which an incomplete comparison continues.
const CONTINUED_AFTER: Duration = Duration::from_secs(1);
/// Maximum number of neighbours with which a channel is compared in one interval.
const NEIGHBOURS_MAX: usize = 2;
const LIMITS: ReconcileLimits = ReconcileLimits {
    cells_below: usize::MAX,
    want_max: WANT_MAX,
};

/// The times at which one channel changed and was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Schedule {
    changed: Instant,
    /// Time of the latest comparison that went further than hashes.
    compared: Option<Instant>,
    interval: Duration,
    /// A neighbour uses the channel, or the other nodes have room for it.
    shared: bool,
}

/// The answer to a hash of a neighbour.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Comparison {
    /// The hashes are equal, or the comparison is postponed.
    Done,
    /// Send this step.
    Step(Item),
    /// Send the whole state, followed by this node's hash; the neighbour sends its own state if its hash still differs.
    State,
}

/// The answer to a step of a neighbour.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Answer {
    /// The next step to send.
    pub step: Option<Item>,
    /// Elements that the neighbour lacks, in the order of sending.
    pub repairs: VecDeque<ElementKey>,
}

/// The schedules of all channels.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AntiEntropy {
    channels: BTreeMap<ChannelName, Schedule>,
}

impl AntiEntropy {
    /// Schedules a new channel. `shared`: the other nodes have room for the channel.
    pub(super) fn learn(&mut self, context: &mut Context, channel: &ChannelName, shared: bool) {
        let schedule = Schedule {
            changed: context.now,
            shared,
            compared: None,
            interval: INTERVAL,
        };
        self.channels.insert(channel.clone(), schedule);
        let at = context.now + context.random.anti_entropy.duration_below(INTERVAL);
        context.timers.set(Timer::Compare(channel.clone()), at);
    }

    /// A channel is forgotten.
    pub(super) fn forget(&mut self, context: &mut Context, channel: &ChannelName) {
        self.channels.remove(channel);
        context.timers.cancel(&Timer::Compare(channel.clone()));
    }

    /// The time of the latest change of a channel's state, or at which the channel became known.
    pub(super) fn changed(&self, channel: &ChannelName) -> Option<Instant> {
        self.channels.get(channel).map(|schedule| schedule.changed)
    }

    /// A neighbour uses the channel, or the other nodes have room for it.
    pub(super) fn set_shared(&mut self, channel: &ChannelName) {
        if let Some(schedule) = self.channels.get_mut(channel) {
            schedule.shared = true;
        }
    }

    pub(super) fn is_shared(&self, channel: &ChannelName) -> bool {
        let schedule = self.channels.get(channel);
        schedule.is_some_and(|schedule| schedule.shared)
    }

    /// An application opens a channel, which is then compared once per interval.
    pub(super) fn set_interval(
        &mut self,
        context: &mut Context,
        channel: &ChannelName,
        interval: Duration,
    ) {
        if let Some(schedule) = self.channels.get_mut(channel) {
            schedule.interval = interval;
        }
        let at = context.now + context.random.anti_entropy.duration_below(interval);
        context
            .timers
            .set_earlier(Timer::Compare(channel.clone()), at);
    }

    /// The application closes the channel.
    pub(super) fn reset_interval(&mut self, channel: &ChannelName) {
        if let Some(schedule) = self.channels.get_mut(channel) {
            schedule.interval = INTERVAL;
        }
    }

    /// The interval of a channel.
    pub(super) fn interval(&self, channel: &ChannelName) -> Option<Duration> {
        self.channels.get(channel).map(|schedule| schedule.interval)
    }

    /// The state of a channel changed.
    pub(super) fn note_changed(&mut self, channel: &ChannelName, now: Instant) {
        if let Some(schedule) = self.channels.get_mut(channel) {
            schedule.changed = now;
        }
    }

    /// Schedules a comparison of a channel soon, because the channel is known to lack data.
    pub(super) fn continue_soon(&self, context: &mut Context, channel: &ChannelName) {
        let at = context.now + CONTINUED_AFTER + context.pace();
        context
            .timers
            .set_earlier(Timer::Compare(channel.clone()), at);
    }

    /// Starts an interval: chooses the lively links on which to send the channel's hash.
    pub(super) fn begin_interval(
        &self,
        context: &mut Context,
        channel: &ChannelName,
        mut lively: Vec<LinkId>,
    ) -> Vec<LinkId> {
        let Some(schedule) = self.channels.get(channel) else {
            return Vec::new();
        };
        let interval = schedule.interval;
        let jitter = context.random.anti_entropy.duration_below(interval / 8);
        let next = context.now + (interval - interval / 16) + jitter;
        context.timers.set(Timer::Compare(channel.clone()), next);
        context.random.anti_entropy.shuffle(&mut lively);
        lively.truncate(NEIGHBOURS_MAX);
        lively
    }

    /// Chooses one of `members` at random as the receiver of the whole state.
    pub(super) fn choose_member(
        &self,
        context: &mut Context,
        members: &[NodeId],
    ) -> Option<NodeId> {
        context.random.anti_entropy.pick(members).cloned()
    }

    /// The step that sends a channel's hash; none if there is nothing to compare.
    pub(super) fn hash(
        &self,
        context: &Context,
        channel: &ChannelName,
        store: &ChannelStore,
    ) -> Option<Item> {
        let hash = store.hash().filter(|_| !context.has(Switch::NoCompare))?;
        Some(Item::Digest {
            channel: channel.clone(),
            kind: store.kind(),
            hash,
        })
    }

    /// A neighbour sent its hash of a channel over a link of age `link_age`.
    pub(super) fn on_hash(
        &mut self,
        context: &Context,
        channel: &ChannelName,
        store: &ChannelStore,
        theirs: u64,
        (peer, link_age): (&NodeId, Duration),
    ) -> Comparison {
        let Some(ours) = store.hash().filter(|ours| *ours != theirs) else {
            return Comparison::Done;
        };
        let Some(schedule) = self.channels.get_mut(channel) else {
            return Comparison::Done;
        };
        let was_compared_within = |time| {
            schedule
                .compared
                .is_some_and(|compared| context.now - compared < time)
        };
        let quiet_after = QUIET_AFTER + context.pace();
        let restless = ours != 0 && context.now - schedule.changed < quiet_after;
        let is_custom = store.kind() == Kind::Custom;
        if restless && link_age >= NEW_FOR && was_compared_within(schedule.interval)
            || is_custom && was_compared_within(quiet_after)
        {
            return Comparison::Done;
        }
        schedule.compared = Some(context.now);
        if is_custom {
            return Comparison::State;
        }
        let role = if context.config.id < *peer {
            SketchRole::Initiator
        } else {
            SketchRole::Responder
        };
        let step = match reconcile::on_different_hash(role, digests(store)) {
            Opening::Sketch(cells) => Some(sketch(channel, store, cells)),
            Opening::Hash => self.hash(context, channel, store),
        };
        step.map_or(Comparison::Done, Comparison::Step)
    }

    /// A neighbour sent a sketch of its state.
    pub(super) fn on_sketch(
        &self,
        context: &mut Context,
        channel: &ChannelName,
        store: &ChannelStore,
        cells: &[Cell],
    ) -> Answer {
        let larger = |cells| {
            Some(Item::Larger {
                channel: channel.clone(),
                cells,
            })
        };
        match reconcile::on_sketch(|| store.elements(), cells, LIMITS) {
            ReconcileStep::AskLarger(cells) => Answer {
                step: larger(cells),
                repairs: VecDeque::new(),
            },
            ReconcileStep::Exchange { send, want } => Answer {
                step: (!want.is_empty()).then(|| Item::Want {
                    channel: channel.clone(),
                    digests: want,
                }),
                repairs: if send.is_empty() {
                    VecDeque::new()
                } else {
                    repairs(context, send.into_iter())
                },
            },
            ReconcileStep::GiveUp | ReconcileStep::Everything | ReconcileStep::Sketch(_) => {
                Answer {
                    step: larger(0),
                    repairs: everything(context, store),
                }
            }
        }
    }

    /// A neighbour requested a sketch of `cells` cells; 0 cells request the whole state.
    pub(super) fn on_larger(
        &self,
        context: &mut Context,
        channel: &ChannelName,
        store: &ChannelStore,
        cells: u32,
    ) -> Answer {
        match reconcile::on_larger(|| store.elements(), cells) {
            ReconcileStep::Sketch(cells) => Answer {
                step: Some(sketch(channel, store, cells)),
                repairs: VecDeque::new(),
            },
            ReconcileStep::Everything
            | ReconcileStep::GiveUp
            | ReconcileStep::AskLarger(_)
            | ReconcileStep::Exchange { .. } => Answer {
                step: None,
                repairs: everything(context, store),
            },
        }
    }

    /// A neighbour requested the elements with these digests.
    pub(super) fn on_want(
        &self,
        context: &mut Context,
        store: &ChannelStore,
        digests: &[u64],
    ) -> Answer {
        let wanted = reconcile::select(store.elements(), digests.iter().copied());
        Answer {
            step: None,
            repairs: repairs(context, wanted.into_iter()),
        }
    }
}

fn digests(store: &ChannelStore) -> impl Iterator<Item = u64> {
    store.elements().map(|(digest, _)| digest)
}

fn sketch(channel: &ChannelName, store: &ChannelStore, cells: Vec<Cell>) -> Item {
    Item::Sketch {
        channel: channel.clone(),
        kind: store.kind(),
        cells,
    }
}

fn everything(context: &mut Context, store: &ChannelStore) -> VecDeque<ElementKey> {
    repairs(context, store.elements().map(|(_, element)| element))
}

/// Returns the names of the elements. Each round starts at another element, so that a round that a lost link ends early
/// is continued elsewhere by the next round.
fn repairs<'a>(
    context: &mut Context,
    elements: impl Iterator<Item = Element<'a>>,
) -> VecDeque<ElementKey> {
    let mut keys: VecDeque<_> = elements.map(Element::key).collect();
    let turn = context.random.anti_entropy.below(keys.len().max(1) as u64);
    keys.rotate_left(usize::try_from(turn).unwrap_or(0));
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::store::Rule;
    use crate::channel::streams::Streams;
    use crate::channel::tests::sample::{channel, context, id, message};
    use std::collections::BTreeSet;

    const OLD: Duration = Duration::from_secs(9);

    fn store(sequences: impl Iterator<Item = u64>) -> ChannelStore {
        let mut store = ChannelStore::new(Kind::Messages, None);
        for sequence in sequences {
            store.apply(&message("a", sequence, 1), Rule::LaterWins, usize::MAX);
        }
        store
    }

    /// Anti-entropy of node `me`, which has known the channel `chat` for one second.
    fn quiet() -> (Context, AntiEntropy) {
        let (mut context, mut anti_entropy) = (context(), AntiEntropy::default());
        anti_entropy.learn(&mut context, &channel("chat"), true);
        context.now += Duration::from_secs(1);
        (context, anti_entropy)
    }

    fn sequences(keys: &VecDeque<ElementKey>) -> BTreeSet<u64> {
        let sequence = |key: &ElementKey| match key {
            ElementKey::Message(_, (_, sequence)) => *sequence,
            ElementKey::Entry(key) => panic!("{key} is not a message"),
        };
        keys.iter().map(sequence).collect()
    }

    #[test]
    fn random_neighbours_are_chosen_evenly() {
        const INTERVALS: u32 = 4_500;
        let links: Vec<LinkId> = (1..=10).map(LinkId).collect();
        let mut first = BTreeSet::new();
        for seed in 1..=4 {
            let (mut context, mut anti_entropy) = quiet();
            context.random = Streams::new(seed);
            let chat = channel("chat");
            anti_entropy.learn(&mut context, &chat, true);
            let mut pairs: BTreeMap<Vec<LinkId>, u32> = BTreeMap::new();
            for interval in 0..INTERVALS {
                let mut chosen = anti_entropy.begin_interval(&mut context, &chat, links.clone());
                if interval == 0 {
                    first.insert(chosen.clone());
                }
                chosen.sort_unstable();
                *pairs.entry(chosen).or_default() += 1;
            }
            // Of 45 pairs, each is chosen 100 times, with a standard deviation of ten.
            assert_eq!(pairs.len(), 45, "seed {seed}");
            for (pair, count) in &pairs {
                assert!(
                    pair.len() == NEIGHBOURS_MAX && pair[0] != pair[1],
                    "{pair:?}"
                );
                assert!(
                    (50..150).contains(count),
                    "seed {seed}: {pair:?} {count} times"
                );
            }
            for link in &links {
                let all = pairs.iter().filter(|(pair, _)| pair.contains(link));
                let count: u32 = all.map(|(_, count)| count).sum();
                assert!(
                    (765..1_035).contains(&count),
                    "seed {seed}: {link:?} {count} times"
                );
            }
        }
        assert!(first.len() > 1, "the seed decides");
    }

    /// The time until the channel is compared next.
    fn wait(context: &Context) -> Duration {
        let due = context.timers.of(&Timer::Compare(channel("chat")));
        due.unwrap().since(context.now)
    }

    #[test]
    fn a_channel_is_compared_once_an_interval_with_jitter() {
        let chat = channel("chat");
        let (mut context, mut anti_entropy) = quiet();
        let short = Duration::from_secs(16);
        let mut waits = BTreeSet::new();
        for (interval, open) in [(INTERVAL, false), (short, true), (INTERVAL, false)] {
            if open {
                anti_entropy.set_interval(&mut context, &chat, interval);
                assert!(wait(&context) < interval, "soon after it was opened");
            } else {
                anti_entropy.reset_interval(&chat);
            }
            for _ in 0..100 {
                assert!(
                    anti_entropy
                        .begin_interval(&mut context, &chat, Vec::new())
                        .is_empty()
                );
                let (least, most) = (interval * 15 / 16, interval * 17 / 16);
                let wait = wait(&context);
                assert!((least..most).contains(&wait), "{wait:?} of {interval:?}");
                waits.insert(wait);
            }
        }
        assert!(waits.len() > 200, "the times are drawn");
    }

    #[test]
    fn a_channel_is_quiet_half_a_second_after_its_last_change() {
        let (chat, store, peer) = (channel("chat"), store(1..4), id("z"));
        for (age, compared_again) in [
            (QUIET_AFTER - Duration::from_nanos(1), false),
            (QUIET_AFTER, true),
        ] {
            let (mut context, mut anti_entropy) = quiet();
            let first = anti_entropy.on_hash(&context, &chat, &store, 7, (&peer, OLD));
            assert_ne!(first, Comparison::Done);
            context.now += Duration::from_millis(10);
            anti_entropy.note_changed(&chat, context.now);
            context.now += age;
            let again = anti_entropy.on_hash(&context, &chat, &store, 7, (&peer, OLD));
            assert_eq!(again != Comparison::Done, compared_again, "{age:?}");
        }
    }

    #[test]
    fn equal_hashes_end_a_comparison() {
        let (context, mut anti_entropy) = quiet();
        let (chat, store) = (channel("chat"), store(1..4));
        let hash = store.hash().unwrap();
        let done = anti_entropy.on_hash(&context, &chat, &store, hash, (&id("z"), OLD));
        assert_eq!(done, Comparison::Done);
    }

    #[test]
    fn of_two_ends_the_one_with_the_lower_id_sends_a_sketch() {
        let (context, mut anti_entropy) = quiet();
        let (chat, store) = (channel("chat"), store(1..4));
        let mut step = |peer| anti_entropy.on_hash(&context, &chat, &store, 7, (&id(peer), OLD));
        assert!(matches!(step("z"), Comparison::Step(Item::Sketch { .. })));
        assert!(matches!(step("a"), Comparison::Step(Item::Digest { .. })));
    }

    #[test]
    fn a_restless_channel_is_compared_once_an_interval_and_on_new_links_at_once() {
        let (mut context, mut anti_entropy) = quiet();
        let (chat, store) = (channel("chat"), store(1..4));
        anti_entropy.note_changed(&chat, context.now);
        let peer = id("z");
        let first = anti_entropy.on_hash(&context, &chat, &store, 7, (&peer, OLD));
        assert!(matches!(first, Comparison::Step(_)));
        let again = anti_entropy.on_hash(&context, &chat, &store, 7, (&peer, OLD));
        assert_eq!(again, Comparison::Done);
        let new = anti_entropy.on_hash(&context, &chat, &store, 7, (&peer, Duration::ZERO));
        assert!(matches!(new, Comparison::Step(_)));
        context.now += QUIET_AFTER;
        let quiet = anti_entropy.on_hash(&context, &chat, &store, 7, (&peer, OLD));
        assert!(matches!(quiet, Comparison::Step(_)));
    }

    #[test]
    fn a_channel_is_compared_with_two_neighbours_about_once_an_interval() {
        let (mut context, anti_entropy) = quiet();
        let (chat, timer) = (channel("chat"), Timer::Compare(channel("chat")));
        for _ in 0..20 {
            let links = (0..5).map(LinkId).collect();
            let chosen = anti_entropy.begin_interval(&mut context, &chat, links);
            assert_eq!(chosen.len(), NEIGHBOURS_MAX);
            let next = context.timers.of(&timer).unwrap() - context.now;
            assert!(next >= INTERVAL - INTERVAL / 16 && next <= INTERVAL + INTERVAL / 16);
        }
        anti_entropy.continue_soon(&mut context, &chat);
        let next = context.timers.of(&timer).unwrap();
        assert_eq!(next, context.now + CONTINUED_AFTER);
    }

    #[test]
    fn two_ends_exchange_their_missing_items() {
        let (mut context, anti_entropy) = quiet();
        let chat = channel("chat");
        let (ours, theirs) = (store(1..60), store(4..63));
        let cells = reconcile::first_sketch(digests(&theirs));
        let answer = anti_entropy.on_sketch(&mut context, &chat, &ours, &cells);
        assert_eq!(sequences(&answer.repairs), (1..4).collect());
        let Some(Item::Want { digests, .. }) = answer.step else {
            panic!("{:?}", answer.step);
        };
        let answer = anti_entropy.on_want(&mut context, &theirs, &digests);
        assert_eq!(sequences(&answer.repairs), (60..63).collect());
        assert_eq!(answer.step, None);
    }

    #[test]
    fn a_sketch_that_is_too_small_is_followed_by_a_larger_one() {
        let (mut context, anti_entropy) = quiet();
        let chat = channel("chat");
        let (ours, theirs) = (store(1..60), store(0..0));
        let cells = reconcile::first_sketch(digests(&theirs));
        let answer = anti_entropy.on_sketch(&mut context, &chat, &ours, &cells);
        let Some(Item::Larger { cells, .. }) = answer.step else {
            panic!("{:?}", answer.step);
        };
        assert!(answer.repairs.is_empty());
        let answer = anti_entropy.on_larger(&mut context, &chat, &theirs, cells);
        assert!(
            matches!(answer.step, Some(Item::Sketch { cells: sent, .. }) if sent.len() == cells as usize)
        );
        let answer = anti_entropy.on_larger(&mut context, &chat, &ours, 0);
        assert_eq!(sequences(&answer.repairs), (1..60).collect());
    }
}
