//! One broadcast tree over the links of an overlay.
//!
//! [`TreeLink`] decides whether a link carries publications at once (eager) or only announces them (lazy), and holds
//! the announcements, graft requests and the prune that wait for the next message. [`Missing`] decides from which
//! announcer a missing publication is requested. Values, timers and the layout of messages belong to the caller.
//!
//! ```text
//!           duplicate received, prune received
//!   eager ─────────────────────────────────────▶ lazy
//!         ◀─────────────────────────────────────
//!           first copy received, graft sent, graft received, another link of the tree lost
//! ```
//!
//! Bounds: [`MISSING_MAX`] missing publications with [`ANNOUNCERS_MAX`] announcers each; announcements on a link up to
//! a limit of the caller.
//!
//! Source: Plumtree (Leitão, Pereira, Rodrigues: Epidemic Broadcast Trees, SRDS 2007).

use crate::sorted::SortedSet;
use crate::time::Instant;
use std::collections::BTreeMap;

/// Maximum number of announced publications awaited; further ones are left to anti-entropy.
pub const MISSING_MAX: usize = 1_024;
/// Maximum number of announcers kept for each missing publication.
pub const ANNOUNCERS_MAX: usize = 8;

/// One link's part of a broadcast tree.
///
/// `A` identifies a publication in announcements, `G` in graft requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeLink<A, G> {
    eager: bool,
    /// Whether a prune waits to be sent.
    prune: bool,
    announcements: SortedSet<A>,
    announce_at: Option<Instant>,
    grafts: SortedSet<G>,
}

impl<A, G> TreeLink<A, G> {
    /// A link without waiting output.
    #[must_use]
    pub const fn new(eager: bool) -> Self {
        Self {
            eager,
            prune: false,
            announcements: SortedSet::new(),
            announce_at: None,
            grafts: SortedSet::new(),
        }
    }

    /// Whether publications are sent on the link at once.
    #[must_use]
    pub const fn is_eager(&self) -> bool {
        self.eager
    }

    /// Adds the link to the tree: it delivered a first copy, the neighbour sent a graft, or another link of the tree
    /// was lost.
    pub const fn make_eager(&mut self) {
        self.eager = true;
    }

    /// Takes the link out of the tree: the neighbour sent a prune.
    pub const fn make_lazy(&mut self) {
        self.eager = false;
    }

    /// Takes the link out of the tree after a duplicate, and schedules a prune.
    pub const fn prune(&mut self) {
        self.eager = false;
        self.prune = true;
    }

    /// Whether a prune or a graft request waits to be sent.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        self.prune || !self.grafts.is_empty()
    }

    /// The time at which the waiting announcements are sent; none without announcements.
    #[must_use]
    pub fn announcements_due(&self) -> Option<Instant> {
        self.announce_at.filter(|_| !self.announcements.is_empty())
    }

    /// The number of waiting announcements.
    #[must_use]
    pub fn announcements_len(&self) -> usize {
        self.announcements.len()
    }

    /// The number of waiting graft requests.
    #[must_use]
    pub fn grafts_len(&self) -> usize {
        self.grafts.len()
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

    /// Removes the waiting prune. Returns whether there was one.
    pub const fn take_prune(&mut self) -> bool {
        core::mem::replace(&mut self.prune, false)
    }
}

impl<A: Ord, G: Ord> TreeLink<A, G> {
    /// Schedules an announcement for `due`, or for the earlier deadline of those that wait already. Returns false, and
    /// changes nothing, if `limit` announcements wait.
    pub fn announce(&mut self, id: A, due: Instant, limit: usize) -> bool {
        if self.announcements.len() >= limit {
            return false;
        }
        self.announcements.insert(id);
        self.announce_at = Some(self.announce_at.map_or(due, |at| at.min(due)));
        true
    }

    /// Drops the announcement of a publication that the neighbour holds or is about to be sent.
    pub fn withdraw(&mut self, id: &A) {
        self.announcements.remove(id);
    }

    /// Schedules a request for a publication that the neighbour announced, which adds the link to the tree.
    pub fn graft(&mut self, id: G) {
        self.eager = true;
        self.grafts.insert(id);
    }

    /// Passes the waiting graft requests to `put`, in order, until `put` returns one that does not fit. Returns whether
    /// all fitted.
    pub fn drain_grafts(&mut self, put: impl FnMut(G) -> Result<(), G>) -> bool {
        drain(&mut self.grafts, put)
    }

    /// Passes the due announcements to `put`, in order, until `put` returns one that does not fit. Returns whether all
    /// due announcements fitted.
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

/// Outcome of an announcement of a publication that is not held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// The announcement is the first: the caller sets the graft timer.
    First,
    /// The publication was announced before.
    Again,
    /// [`MISSING_MAX`] publications are missing already; the announcement was dropped.
    Full,
}

/// Publications that were announced and have not arrived.
///
/// `K` identifies what is published, `I` the version of it that was announced, `L` a link. A caller without versions
/// uses `()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing<K, I, L> {
    awaited: BTreeMap<K, Awaited<I, L>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Awaited<I, L> {
    id: I,
    /// Links that announced the publication and were not asked for it, oldest first.
    announcers: Vec<L>,
}

impl<K, I, L> Default for Missing<K, I, L> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, I, L> Missing<K, I, L> {
    /// Nothing is missing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            awaited: BTreeMap::new(),
        }
    }

    /// The number of missing publications.
    #[must_use]
    pub fn len(&self) -> usize {
        self.awaited.len()
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.awaited.is_empty()
    }

    /// Whether no further publication can be awaited.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.awaited.len() >= MISSING_MAX
    }
}

impl<K: Ord, I: Ord + Clone, L: PartialEq> Missing<K, I, L> {
    /// The latest announced version of a missing publication.
    #[must_use]
    pub fn announced_version(&self, key: &K) -> Option<&I> {
        self.awaited.get(key).map(|awaited| &awaited.id)
    }

    /// Notes that `link` announced a version of a publication that is not held. A later version replaces the announcers
    /// of an earlier one.
    pub fn note(&mut self, key: K, id: I, link: L) -> Announced {
        if let Some(awaited) = self.awaited.get_mut(&key) {
            if id > awaited.id {
                awaited.id = id;
                awaited.announcers = vec![link];
            } else if awaited.announcers.len() < ANNOUNCERS_MAX
                && !awaited.announcers.contains(&link)
            {
                awaited.announcers.push(link);
            }
            return Announced::Again;
        }
        if self.is_full() {
            return Announced::Full;
        }
        let announcers = vec![link];
        self.awaited.insert(key, Awaited { id, announcers });
        Announced::First
    }

    /// Chooses the announcer to request a publication from: the oldest that was not asked and that `is_usable`. The
    /// caller sends the graft and sets the timer again. Returns none, and drops the publication, if no announcer is
    /// left or no publication of that key is missing.
    pub fn next_announcer(
        &mut self,
        key: &K,
        mut is_usable: impl FnMut(&L) -> bool,
    ) -> Option<(L, I)> {
        let awaited = self.awaited.get_mut(key)?;
        while !awaited.announcers.is_empty() {
            let link = awaited.announcers.remove(0);
            if is_usable(&link) {
                return Some((link, awaited.id.clone()));
            }
        }
        self.awaited.remove(key);
        None
    }

    /// Drops a publication: it arrived, or its publisher was forgotten. Returns whether it was missing.
    pub fn remove(&mut self, key: &K) -> bool {
        self.awaited.remove(key).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const NOW: Instant = Instant::from_millis(1_000);

    fn link(eager: bool) -> TreeLink<u8, u8> {
        TreeLink::new(eager)
    }

    #[test]
    fn a_duplicate_makes_a_link_lazy_and_sends_one_prune() {
        let mut tree = link(true);
        tree.prune();
        assert!(!tree.is_eager() && tree.is_urgent());
        assert!(tree.take_prune());
        assert!(!tree.take_prune() && !tree.is_urgent());
    }

    #[test]
    fn a_graft_request_makes_a_link_eager() {
        let mut tree = link(false);
        tree.graft(7);
        assert!(tree.is_eager() && tree.is_urgent());
        let mut sent = Vec::new();
        assert!(tree.drain_grafts(|id| {
            sent.push(id);
            Ok(())
        }));
        assert_eq!(sent, [7]);
        assert!(!tree.is_urgent());
    }

    #[test]
    fn announcements_wait_for_the_earliest_deadline_and_go_out_together() {
        let mut tree = link(false);
        let later = NOW + Duration::from_millis(9);
        assert!(tree.announce(2, later, 4));
        assert!(tree.announce(1, NOW, 4));
        assert_eq!(tree.announcements_due(), Some(NOW));
        let mut sent = Vec::new();
        let mut put = |id| {
            sent.push(id);
            Ok(())
        };
        assert!(tree.drain_announcements(NOW.saturating_sub(Duration::from_nanos(1)), &mut put));
        assert!(tree.drain_announcements(NOW, &mut put));
        assert_eq!(sent, [1, 2]);
        assert_eq!(tree.announcements_due(), None);
    }

    #[test]
    fn an_announcement_that_does_not_fit_stays_with_its_deadline() {
        let mut tree = link(false);
        tree.announce(1, NOW, 4);
        tree.announce(2, NOW, 4);
        assert!(!tree.drain_announcements(NOW, |id| if id == 1 { Ok(()) } else { Err(id) }));
        assert_eq!(tree.announcements_len(), 1);
        assert_eq!(tree.announcements_due(), Some(NOW));
    }

    #[test]
    fn announcements_above_the_limit_are_refused() {
        let mut tree = link(false);
        assert!(tree.announce(1, NOW, 2) && tree.announce(2, NOW, 2));
        assert!(!tree.announce(3, NOW, 2));
        assert_eq!(tree.announcements_len(), 2);
        tree.clear_announcements();
        assert_eq!(tree.announcements_due(), None);
    }

    #[test]
    fn a_deadline_without_announcements_lasts_until_it_is_reset() {
        let mut tree = link(false);
        tree.announce(1, NOW, 2);
        tree.withdraw(&1);
        assert_eq!(tree.announcements_due(), None);
        let later = NOW + Duration::from_millis(5);
        tree.announce(2, later, 2);
        assert_eq!(tree.announcements_due(), Some(NOW));
        tree.withdraw(&2);
        tree.reset_deadline_if_empty();
        tree.announce(2, later, 2);
        assert_eq!(tree.announcements_due(), Some(later));
    }

    #[test]
    fn announcers_are_asked_oldest_first_and_once() {
        let mut missing = Missing::new();
        assert_eq!(missing.note('a', 1, 10), Announced::First);
        assert_eq!(missing.note('a', 1, 20), Announced::Again);
        assert_eq!(missing.note('a', 1, 20), Announced::Again);
        assert_eq!(missing.note('a', 1, 30), Announced::Again);
        assert_eq!(missing.next_announcer(&'a', |_| true), Some((10, 1)));
        assert_eq!(
            missing.next_announcer(&'a', |link| *link != 20),
            Some((30, 1)),
            "an unusable announcer is passed over"
        );
        assert_eq!(missing.len(), 1, "the requested copy is still on its way");
        assert_eq!(missing.next_announcer(&'a', |_| true), None);
        assert!(missing.is_empty());
    }

    #[test]
    fn a_later_version_replaces_the_announcers_of_an_earlier_one() {
        let mut missing = Missing::new();
        missing.note('a', 1, 10);
        missing.note('a', 2, 20);
        missing.note('a', 1, 30);
        assert_eq!(missing.announced_version(&'a'), Some(&2));
        assert_eq!(missing.next_announcer(&'a', |_| true), Some((20, 2)));
        // The third announcement was of an older version. Its link is asked too, because it holds at least that
        // version.
        assert_eq!(missing.next_announcer(&'a', |_| true), Some((30, 2)));
    }

    #[test]
    fn missing_publications_are_bounded() {
        let mut missing = Missing::new();
        for key in 0..MISSING_MAX {
            assert_eq!(missing.note(key, (), 0), Announced::First);
        }
        assert_eq!(missing.note(MISSING_MAX, (), 0), Announced::Full);
        assert_eq!(missing.note(0, (), 1), Announced::Again);
        assert!(missing.remove(&0) && !missing.remove(&0));
        assert_eq!(missing.note(MISSING_MAX, (), 0), Announced::First);
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
            let (mut tree, mut plain) = (link(false), BTreeSet::new());
            for one in all {
                match one {
                    Move::Announce(id) => {
                        prop_assert_eq!(tree.announce(id, NOW, 12), plain.len() < 12);
                        if plain.len() < 12 {
                            plain.insert(id);
                        }
                    }
                    Move::Withdraw(id) => {
                        tree.withdraw(&id);
                        plain.remove(&id);
                    }
                    Move::Drain(room) => {
                        let mut sent = Vec::new();
                        let all = tree.drain_announcements(NOW, |id| {
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
                prop_assert_eq!(tree.announcements_len(), plain.len());
                prop_assert_eq!(tree.announcements_due().is_some(), !plain.is_empty());
            }
        }

        /// Requests for one publication go to links that announced it, and each link is asked at most once for each of
        /// its announcements.
        #[test]
        fn requests_go_to_announcers_only(
            all in prop::collection::vec((0_u8..4, 0_u8..3, 0_u8..12, any::<bool>()), 0..200),
        ) {
            let mut missing = Missing::new();
            let mut announced: BTreeMap<u8, BTreeSet<u8>> = BTreeMap::new();
            for (key, id, link, asks) in all {
                if asks {
                    let open = missing.announced_version(&key).copied();
                    match missing.next_announcer(&key, |link| link % 3 != 0) {
                        Some((link, version)) => {
                            prop_assert_eq!(Some(version), open);
                            prop_assert!(link % 3 != 0);
                            prop_assert!(announced.entry(key).or_default().remove(&link));
                        }
                        None => {
                            prop_assert_eq!(missing.announced_version(&key), None);
                            announced.remove(&key);
                        }
                    }
                } else {
                    missing.note(key, id, link);
                    announced.entry(key).or_default().insert(link);
                    prop_assert!(missing.awaited[&key].announcers.len() <= ANNOUNCERS_MAX);
                }
            }
        }
    }
}
