//! One broadcast tree over the links of an overlay.
//!
//! [`Tree`] decides at one node which links carry publications at once (eager) and which only announce them (lazy). For
//! a publication that was announced and has not arrived, [`Tree`] decides from which announcer to request it.
//! [`TreeControl`] holds the prune, the announcements and the graft requests that wait for the next message of one
//! link. Values, timers and the layout of messages stay with the caller.
//!
//! ```text
//!           duplicate received, prune received
//!   eager ─────────────────────────────────────▶ lazy
//!         ◀─────────────────────────────────────
//!           first copy received, graft sent, graft received, another link of the tree lost
//! ```
//!
//! Bounds: [`MISSING_MAX`] missing publications with [`ANNOUNCERS_MAX`] announcers each; on each link, announcements up
//! to a limit that the caller sets.
//!
//! Source: Plumtree (Leitão, Pereira, Rodrigues: Epidemic Broadcast Trees, SRDS 2007).

use crate::size::held;
use crate::sorted::{SortedMap, SortedSet};
use crate::time::Instant;
use std::collections::BTreeMap;

/// Maximum number of announced publications awaited; further ones are left to anti-entropy.
pub const MISSING_MAX: usize = 1_024;
/// Maximum number of announcers kept for each missing publication.
pub const ANNOUNCERS_MAX: usize = 8;

/// Outcome of an announcement of a publication that is not held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// The announcement is the first one: the caller sets the graft timer.
    First,
    /// The publication was announced before.
    Again,
    /// [`MISSING_MAX`] publications are already missing; the announcement was dropped.
    Full,
}

/// One node's part of a broadcast tree.
///
/// `K` identifies a publication, `I` the announced version of it, and `L` a link. A caller without versions uses `()`
/// for `I`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree<K, I, L> {
    /// Whether each link is eager.
    eager: SortedMap<L, bool>,
    /// Publications that were announced and have not arrived.
    missing: BTreeMap<K, Missing<I, L>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Missing<I, L> {
    id: I,
    /// Links that announced the publication and from which it was not requested yet, oldest first.
    announcers: Vec<L>,
}

impl<K, I, L> Default for Tree<K, I, L> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, I, L> Tree<K, I, L> {
    /// A tree without links and without missing publications.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            eager: SortedMap::new(),
            missing: BTreeMap::new(),
        }
    }

    /// The number of missing publications.
    #[must_use]
    pub fn missing_len(&self) -> usize {
        self.missing.len()
    }

    /// Whether the maximum number of publications is missing.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.missing.len() >= MISSING_MAX
    }

    /// Forgets all missing publications.
    pub fn clear_missing(&mut self) {
        self.missing.clear();
    }

    /// Bytes in memory, without the announcers.
    #[must_use]
    pub fn memory(&self) -> usize {
        held::<(L, bool)>(self.eager.len()) + held::<(K, Missing<I, L>)>(self.missing.len())
    }
}

/// The links.
impl<K, I, L: Ord + Copy> Tree<K, I, L> {
    /// A link opened.
    pub fn on_open(&mut self, link: L, eager: bool) {
        self.eager.insert(link, eager);
    }

    /// A link closed. Returns whether the link was eager; if so, the caller floods.
    pub fn on_closed(&mut self, link: L) -> bool {
        self.eager.remove(&link) == Some(true)
    }

    /// Whether publications are pushed on a link immediately, without an announcement.
    #[must_use]
    pub fn is_eager(&self, link: L) -> bool {
        self.eager.get(&link) == Some(&true)
    }

    /// All links, in order, and whether each is eager.
    pub fn links(&self) -> impl Iterator<Item = (L, bool)> {
        self.eager.iter().map(|(link, eager)| (*link, *eager))
    }

    /// Makes a link eager, because a first copy arrived over it or the neighbour sent a graft.
    pub fn make_eager(&mut self, link: L) {
        if let Some(eager) = self.eager.get_mut(&link) {
            *eager = true;
        }
    }

    /// Makes a link lazy, because a duplicate arrived over it, the neighbour sent a prune, or the link carries no
    /// traffic. Returns whether the link was eager.
    pub fn make_lazy(&mut self, link: L) -> bool {
        let eager = self.eager.get_mut(&link);
        eager.is_some_and(core::mem::take)
    }

    /// A link of the tree is lost: the next publication floods over all links that are alive, and its duplicates then
    /// prune the superfluous links. The flood costs a few copies once; without it, each publication until then would
    /// cost a graft.
    pub fn flood(&mut self, is_alive: impl Fn(L) -> bool) {
        for (link, eager) in self.eager.iter_mut() {
            *eager |= is_alive(*link);
        }
    }
}

/// Missing publications.
impl<K: Ord, I: Ord + Clone, L: Ord + Copy> Tree<K, I, L> {
    /// The latest announced version of a missing publication.
    #[must_use]
    pub fn missing(&self, key: &K) -> Option<&I> {
        self.missing.get(key).map(|missing| &missing.id)
    }

    /// Notes that `link` announced a version of a publication that is not held. Announcers of an earlier version are
    /// forgotten.
    pub fn on_announced(&mut self, key: K, id: I, link: L) -> Announced {
        if let Some(missing) = self.missing.get_mut(&key) {
            if id > missing.id {
                missing.id = id;
                missing.announcers = vec![link];
            } else if missing.announcers.len() < ANNOUNCERS_MAX
                && !missing.announcers.contains(&link)
            {
                missing.announcers.push(link);
            }
            return Announced::Again;
        }
        if self.is_full() {
            return Announced::Full;
        }
        let announcers = vec![link];
        self.missing.insert(key, Missing { id, announcers });
        Announced::First
    }

    /// Chooses the announcer from which to request a missing publication: the oldest announcer that is alive and has
    /// not been asked. The announcer's link becomes eager; the caller sends the graft and sets the timer again. If no
    /// announcer is left, forgets the publication and returns none; also returns none if the publication is not
    /// missing.
    pub fn next_announcer(&mut self, key: &K, is_alive: impl Fn(L) -> bool) -> Option<(L, I)> {
        let missing = self.missing.get_mut(key)?;
        while !missing.announcers.is_empty() {
            let link = missing.announcers.remove(0);
            if is_alive(link) {
                let id = missing.id.clone();
                self.make_eager(link);
                return Some((link, id));
            }
        }
        self.missing.remove(key);
        None
    }

    /// Forgets a missing publication, because it arrived or its publisher was forgotten. Returns whether the
    /// publication was missing.
    pub fn remove_missing(&mut self, key: &K) -> bool {
        self.missing.remove(key).is_some()
    }
}

/// The messages of the tree that wait to be sent on one link.
///
/// `A` identifies a publication in announcements, `G` in graft requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeControl<A, G> {
    prune: bool,
    announcements: SortedSet<A>,
    announce_at: Option<Instant>,
    grafts: SortedSet<G>,
}

impl<A, G> Default for TreeControl<A, G> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A, G> TreeControl<A, G> {
    /// Nothing waits.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            prune: false,
            announcements: SortedSet::new(),
            announce_at: None,
            grafts: SortedSet::new(),
        }
    }

    /// Schedules a prune, because a duplicate arrived over the link.
    pub const fn prune(&mut self) {
        self.prune = true;
    }

    /// Takes the waiting prune.
    pub const fn take_prune(&mut self) -> bool {
        core::mem::replace(&mut self.prune, false)
    }

    /// Whether a prune or a graft request waits.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        self.prune || !self.grafts.is_empty()
    }

    /// The time at which the waiting announcements are sent; none if no announcements wait.
    #[must_use]
    pub fn announcements_due(&self) -> Option<Instant> {
        self.announce_at.filter(|_| !self.announcements.is_empty())
    }

    /// Drops all announcements.
    pub fn clear_announcements(&mut self) {
        self.announcements.clear();
        self.announce_at = None;
    }

    /// Drops the deadline of announcements if none is waiting. Otherwise announcements that are added before the old
    /// deadline keep that deadline.
    pub fn reset_deadline_if_empty(&mut self) {
        if self.announcements.is_empty() {
            self.announce_at = None;
        }
    }

    /// Bytes in memory beyond the size of the struct.
    #[must_use]
    pub fn memory(&self) -> usize {
        held::<A>(self.announcements.len()) + held::<G>(self.grafts.len())
    }
}

impl<A: Ord, G: Ord> TreeControl<A, G> {
    /// Schedules an announcement for `due`, or for the deadline of the announcements that already wait, if that is
    /// earlier. Returns false and changes nothing if `limit` announcements already wait.
    pub fn announce(&mut self, id: A, due: Instant, limit: usize) -> bool {
        if self.announcements.len() >= limit {
            return false;
        }
        self.announcements.insert(id);
        self.announce_at = Some(self.announce_at.map_or(due, |at| at.min(due)));
        true
    }

    /// Drops the announcement of a publication that the neighbour holds, or that is about to be sent to the neighbour.
    pub fn withdraw(&mut self, id: &A) {
        self.announcements.remove(id);
    }

    /// Schedules a request for a publication that the neighbour announced.
    pub fn graft(&mut self, id: G) {
        self.grafts.insert(id);
    }

    /// Passes the waiting graft requests to `put`, in order, until `put` returns a request that does not fit. Returns
    /// whether all fitted.
    pub fn drain_grafts(&mut self, put: impl FnMut(G) -> Result<(), G>) -> bool {
        drain(&mut self.grafts, put)
    }

    /// Passes the due announcements to `put`, in order, until `put` returns an announcement that does not fit. Returns
    /// whether all due announcements fitted.
    pub fn drain_announcements(
        &mut self,
        now: Instant,
        put: impl FnMut(A) -> Result<(), A>,
    ) -> bool {
        if self.announce_at.is_none_or(|at| at > now) {
            return true;
        }
        let all = drain(&mut self.announcements, put);
        self.reset_deadline_if_empty();
        all
    }
}

/// Removes elements while `put` accepts them. A rejected element goes back into the set.
fn drain<T: Ord>(set: &mut SortedSet<T>, mut put: impl FnMut(T) -> Result<(), T>) -> bool {
    while let Some(item) = set.pop_first() {
        if let Err(item) = put(item) {
            set.insert(item);
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const NOW: Instant = Instant::from_millis(1_000);

    fn control() -> TreeControl<u8, u8> {
        TreeControl::new()
    }

    fn tree() -> Tree<char, u8, u8> {
        let mut tree = Tree::new();
        for link in [10, 20, 30] {
            tree.on_open(link, false);
        }
        tree
    }

    fn eager(tree: &Tree<char, u8, u8>) -> Vec<u8> {
        let links = tree.links().filter(|(_, eager)| *eager);
        links.map(|(link, _)| link).collect()
    }

    #[test]
    fn a_first_copy_makes_a_link_eager_and_a_duplicate_lazy() {
        let mut tree = tree();
        tree.make_eager(20);
        tree.make_eager(40);
        assert_eq!(eager(&tree), [20], "link 40 is not open");
        assert!(tree.make_lazy(20) && !tree.make_lazy(20) && !tree.make_lazy(40));
        assert!(!tree.is_eager(20) && !tree.is_eager(40));
    }

    #[test]
    fn after_a_loss_the_next_publication_floods_over_links_that_are_alive() {
        let mut tree = tree();
        tree.make_eager(20);
        assert!(!tree.on_closed(10), "the link was lazy");
        assert!(tree.on_closed(20));
        tree.on_open(40, false);
        tree.flood(|link| link != 30);
        assert_eq!(eager(&tree), [40]);
    }

    #[test]
    fn a_prune_and_graft_requests_are_urgent_and_sent_once() {
        let mut control = control();
        control.prune();
        assert!(control.is_urgent());
        assert!(control.take_prune());
        assert!(!control.take_prune() && !control.is_urgent());
        control.graft(7);
        assert!(control.is_urgent());
        let mut sent = Vec::new();
        assert!(control.drain_grafts(|id| {
            sent.push(id);
            Ok(())
        }));
        assert_eq!(sent, [7]);
        assert!(!control.is_urgent());
    }

    #[test]
    fn announcements_wait_for_the_earliest_deadline_and_go_out_together() {
        let mut control = control();
        let later = NOW + Duration::from_millis(9);
        assert!(control.announce(2, later, 4));
        assert!(control.announce(1, NOW, 4));
        assert_eq!(control.announcements_due(), Some(NOW));
        let mut sent = Vec::new();
        let mut put = |id| {
            sent.push(id);
            Ok(())
        };
        assert!(control.drain_announcements(NOW.saturating_sub(Duration::from_nanos(1)), &mut put));
        assert!(control.drain_announcements(NOW, &mut put));
        assert_eq!(sent, [1, 2]);
        assert_eq!(control.announcements_due(), None);
    }

    #[test]
    fn an_announcement_that_does_not_fit_stays_with_its_deadline() {
        let mut control = control();
        control.announce(1, NOW, 4);
        control.announce(2, NOW, 4);
        assert!(!control.drain_announcements(NOW, |id| if id == 1 { Ok(()) } else { Err(id) }));
        assert_eq!(control.announcements.len(), 1);
        assert_eq!(control.announcements_due(), Some(NOW));
    }

    #[test]
    fn announcements_above_the_limit_are_refused() {
        let mut control = control();
        assert!(control.announce(1, NOW, 2) && control.announce(2, NOW, 2));
        assert!(!control.announce(3, NOW, 2));
        assert_eq!(control.announcements.len(), 2);
        control.clear_announcements();
        assert_eq!(control.announcements_due(), None);
    }

    #[test]
    fn a_deadline_without_announcements_lasts_until_it_is_reset() {
        let mut control = control();
        control.announce(1, NOW, 2);
        control.withdraw(&1);
        assert_eq!(control.announcements_due(), None);
        let later = NOW + Duration::from_millis(5);
        control.announce(2, later, 2);
        assert_eq!(control.announcements_due(), Some(NOW));
        control.withdraw(&2);
        control.reset_deadline_if_empty();
        control.announce(2, later, 2);
        assert_eq!(control.announcements_due(), Some(later));
    }

    #[test]
    fn announcers_are_asked_oldest_first_and_once() {
        let mut tree = tree();
        assert_eq!(tree.on_announced('a', 1, 10), Announced::First);
        assert_eq!(tree.on_announced('a', 1, 20), Announced::Again);
        assert_eq!(tree.on_announced('a', 1, 20), Announced::Again);
        assert_eq!(tree.on_announced('a', 1, 30), Announced::Again);
        assert_eq!(tree.next_announcer(&'a', |_| true), Some((10, 1)));
        assert_eq!(eager(&tree), [10], "a graft makes its link eager");
        assert_eq!(
            tree.next_announcer(&'a', |link| link != 20),
            Some((30, 1)),
            "an unusable announcer is passed over"
        );
        assert_eq!(
            tree.missing_len(),
            1,
            "the requested copy is still on its way"
        );
        assert_eq!(tree.next_announcer(&'a', |_| true), None);
        assert!((tree.missing_len() == 0));
    }

    #[test]
    fn a_later_version_replaces_the_announcers_of_an_earlier_one() {
        let mut tree = tree();
        tree.on_announced('a', 1, 10);
        tree.on_announced('a', 2, 20);
        tree.on_announced('a', 1, 30);
        assert_eq!(tree.missing(&'a'), Some(&2));
        assert_eq!(tree.next_announcer(&'a', |_| true), Some((20, 2)));
        // Version 1, announced third, is not the wanted one, but the node that announced it has at least version 1.
        assert_eq!(tree.next_announcer(&'a', |_| true), Some((30, 2)));
    }

    #[test]
    fn missing_publications_are_bounded() {
        let mut tree: Tree<usize, (), u8> = Tree::new();
        for key in 0..MISSING_MAX {
            assert_eq!(tree.on_announced(key, (), 0), Announced::First);
        }
        assert_eq!(tree.on_announced(MISSING_MAX, (), 0), Announced::Full);
        assert_eq!(tree.on_announced(0, (), 1), Announced::Again);
        assert!(tree.remove_missing(&0) && !tree.remove_missing(&0));
        assert_eq!(tree.on_announced(MISSING_MAX, (), 0), Announced::First);
    }

    #[derive(Clone, Debug)]
    enum Move {
        Announce(u8),
        Withdraw(u8),
        Drain(usize),
    }

    fn moves() -> impl Strategy<Value = Move> {
        prop_oneof![
            3 => (0_u8..30).prop_map(Move::Announce),
            1 => (0_u8..30).prop_map(Move::Withdraw),
            1 => (0_usize..6).prop_map(Move::Drain),
        ]
    }

    proptest! {
        /// A link announces exactly what was scheduled and not withdrawn, each once and in order.
        #[test]
        fn announcements_equal_a_plain_set(all in prop::collection::vec(moves(), 0..100)) {
            let (mut control, mut plain) = (control(), BTreeSet::new());
            for one in all {
                match one {
                    Move::Announce(id) => {
                        prop_assert_eq!(control.announce(id, NOW, 12), plain.len() < 12);
                        if plain.len() < 12 {
                            plain.insert(id);
                        }
                    }
                    Move::Withdraw(id) => {
                        control.withdraw(&id);
                        plain.remove(&id);
                    }
                    Move::Drain(room) => {
                        let mut sent = Vec::new();
                        let all = control.drain_announcements(NOW, |id| {
                            if sent.len() >= room {
                                return Err(id);
                            }
                            sent.push(id);
                            Ok(())
                        });
                        // All announcements may have been withdrawn since the deadline was set.
                        let expected: Vec<u8> = plain.iter().copied().take(room).collect();
                        prop_assert_eq!(&sent, &expected);
                        plain.retain(|id| !sent.contains(id));
                        prop_assert_eq!(all, plain.is_empty());
                    }
                }
                prop_assert_eq!(control.announcements.len(), plain.len());
                prop_assert_eq!(control.announcements_due().is_some(), !plain.is_empty());
            }
        }

        /// Requests for one publication go to links that announced it, and each link is asked at most once for each of
        /// its announcements.
        #[test]
        fn requests_go_to_announcers_only(
            all in prop::collection::vec((0_u8..4, 0_u8..3, 0_u8..12, any::<bool>()), 0..200),
        ) {
            let mut tree: Tree<u8, u8, u8> = Tree::new();
            let mut announced: BTreeMap<u8, BTreeSet<u8>> = BTreeMap::new();
            for (key, id, link, asks) in all {
                if asks {
                    let open = tree.missing(&key).copied();
                    match tree.next_announcer(&key, |link| link % 3 != 0) {
                        Some((link, version)) => {
                            prop_assert_eq!(Some(version), open);
                            prop_assert!(link % 3 != 0);
                            prop_assert!(announced.entry(key).or_default().remove(&link));
                        }
                        None => {
                            prop_assert_eq!(tree.missing(&key), None);
                            announced.remove(&key);
                        }
                    }
                } else {
                    tree.on_announced(key, id, link);
                    announced.entry(key).or_default().insert(link);
                    prop_assert!(tree.missing[&key].announcers.len() <= ANNOUNCERS_MAX);
                }
            }
        }
    }
}
