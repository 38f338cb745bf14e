//! How two views that differ become equal without sending what both have.
//!
//! Each link compares order-free set hashes once it has stood for a moment, and whenever the view is quiet. A neighbour whose hash we had a little while
//! ago gets what changed since. Otherwise the dialer of the link sends a sketch of its view; the acceptor pushes
//! what is missing there and asks for what is missing here. When even the largest sketch is too small, both send
//! snapshots.

use super::link::{Cursor, Link};
use super::message::Sync;
use super::provenance::Provenance;
use super::{Gossip, LinkId, Switch};
use crate::sketch::{SIZES, difference, size_above, size_for, sketch};
use crate::time::Duration;
use crate::topology::Applied;
use crate::topology::publication::Key;
use std::collections::BTreeSet;

/// Two reconciliations begun on one link are at least this far apart.
const SYNC_INTERVAL: Duration = Duration::from_millis(500);
/// The most updates asked for at once; more follow in the next round.
const WANT_MAX: usize = 1_000;

impl Gossip {
    fn is_quiet(&self) -> bool {
        self.context.now - self.changed >= self.context.tuning().quiet_after
    }

    /// Whether a link is so old that what was spread when it opened has come. What its ends knew before, no tree brings:
    /// parts of a mesh that grew apart are made one by comparing, before the view rests.
    fn has_stood(&self, link: &Link) -> bool {
        self.context.now - link.opened >= self.context.tuning().quiet_after
    }

    /// Whether a heartbeat on this link shall carry the hash.
    pub(super) fn hash_is_due(&self, link: LinkId) -> bool {
        if self.context.has(Switch::NoAntiEntropy) {
            return false;
        }
        let Some(held) = self.links.get(&link) else {
            return false;
        };
        // A view that never rests compares all the same: until told once, then rarely.
        let rests_or_waited = self.is_quiet()
            || match held.hash_sent {
                None => self.has_stood(held),
                Some((_, at)) => self.context.now - at >= self.context.tuning().hash_interval,
            };
        if !rests_or_waited {
            return false;
        }
        held.hash_sent.is_none_or(|(hash, at)| {
            hash != self.hash() || self.context.now - at >= self.context.tuning().hash_interval
        })
    }

    /// A neighbour told the hash of its view.
    pub(super) fn compare(&mut self, link: LinkId, theirs: u64) {
        if theirs == self.hash() || self.context.has(Switch::NoAntiEntropy) {
            return;
        }
        if self.context.has(Switch::WholeViewAlways) {
            self.push_whole_view(link);
            return;
        }
        // What changed just now is on its way along the tree; sent this way too, it would cut the tree (a value
        // received twice prunes). Once quiet, this node tells its own hash.
        let overdue = self.links.get(&link).is_some_and(|held| match held.synced {
            None => self.has_stood(held),
            Some(at) => self.context.now - at >= self.context.tuning().hash_interval,
        });
        let rests = self.is_quiet();
        if !rests {
            if !overdue {
                self.tell_again(link);
                return;
            }
            if let Some(held) = self.links.get_mut(&link).filter(|held| !held.dialed) {
                held.synced = Some(self.context.now);
            }
        }
        let behind = self
            .history
            .iter()
            .position(|(before, _)| *before == theirs);
        if let Some(behind) = behind {
            let now = self.context.now;
            let held = self.links.get_mut(&link);
            let Some(held) =
                held.filter(|held| held.pushed.is_none_or(|at| now - at >= SYNC_INTERVAL))
            else {
                self.tell_again(link);
                return;
            };
            held.pushed = Some(now);
            if !rests {
                held.synced = Some(now);
            }
            let keys: Vec<Key> = self
                .history
                .iter()
                .skip(behind)
                .map(|(_, key)| *key)
                .collect();
            for key in keys {
                self.push_to(link, key);
            }
            return;
        }
        let (hash, now) = (self.hash(), self.context.now);
        let Some(held) = self.links.get_mut(&link) else {
            return;
        };
        let ready = if held.dialed {
            held.synced.is_none_or(|at| now - at >= SYNC_INTERVAL)
        } else {
            held.hash_sent
                .is_none_or(|(sent, at)| sent != hash || now - at >= SYNC_INTERVAL)
        };
        if !ready {
            self.tell_again(link);
        } else if held.dialed {
            self.begin_sync(link);
        } else {
            held.outgoing.hash = true;
            self.dirty.push(link);
        }
    }

    /// The neighbour's view differs, and nothing can be done about it this moment: a later heartbeat tells our hash, be
    /// it told before. The neighbour may not have been ready for it either.
    fn tell_again(&mut self, link: LinkId) {
        let hash = self.hash();
        if let Some(held) = self.links.get_mut(&link)
            && held.hash_sent.is_some_and(|(sent, _)| sent == hash)
        {
            held.hash_sent = None;
        }
    }

    /// Starts a reconciliation on a link.
    pub(super) fn begin_sync(&mut self, link: LinkId) {
        if self.context.has(Switch::NoAntiEntropy) {
            return;
        }
        if let Some(held) = self.links.get_mut(&link) {
            held.synced = Some(self.context.now);
        }
        self.send_sketch(link, SIZES[0]);
    }

    fn send_sketch(&mut self, link: LinkId, cells: u32) {
        let table = sketch(
            self.context.topology.digests().map(|(digest, _)| digest),
            cells,
        );
        self.say(link, Sync::Sketch(table));
    }

    fn say(&mut self, link: LinkId, sync: Sync) {
        if let Some(held) = self.links.get_mut(&link) {
            held.outgoing.sync.push(sync);
            self.dirty.push(link);
        }
    }

    /// Sends what stands under a key to one neighbour, without broadcasting it.
    pub(super) fn push_to(&mut self, link: LinkId, key: Key) {
        if let Some(held) = self.links.get_mut(&link)
            && !held.outgoing.updates.contains(&key)
        {
            held.outgoing.push.insert(key);
            self.dirty.push(link);
        }
    }

    fn push_whole_view(&mut self, link: LinkId) {
        let keys: Vec<Key> = self
            .context
            .topology
            .digests()
            .map(|(_, key)| key)
            .collect();
        for key in keys {
            self.push_to(link, key);
        }
    }

    /// Sends the whole view, to a joining or far behind neighbour.
    pub(super) fn send_snapshot(&mut self, link: LinkId, reply: bool) {
        if let Some(held) = self.links.get_mut(&link) {
            // One that is under way is not begun again.
            let cursor = held.outgoing.snapshot.get_or_insert(Cursor {
                after: None,
                reply: false,
            });
            cursor.reply |= reply;
            self.dirty.push(link);
        }
    }

    pub(super) fn on_sync(&mut self, link: LinkId, sync: Sync) {
        let waiting = self
            .links
            .get(&link)
            .map_or(0, |held| held.outgoing.sync.len());
        let asks = matches!(sync, Sync::Sketch(_) | Sync::Larger(_) | Sync::Want(_));
        if asks && waiting >= super::greeting::SYNCS_MAX {
            return;
        }
        match sync {
            Sync::Sketch(cells) => self.on_sketch(link, &cells),
            Sync::Larger(0) => self.send_snapshot(link, true),
            Sync::Larger(cells) => {
                let size = size_for(cells);
                self.send_sketch(link, size);
            }
            Sync::Want(digests) => {
                let wanted: BTreeSet<u64> = digests.into_iter().collect();
                self.push_digests(link, &wanted);
            }
            Sync::Push { records, reports } => self.take_sync(link, &records, &reports, true),
            Sync::Snapshot {
                records,
                reports,
                last,
                reply,
            } => {
                // A newcomer's contact has told everyone else already.
                let broadcast = reply || self.stands_between_others();
                self.take_sync(link, &records, &reports, broadcast);
                if last && reply {
                    self.send_snapshot(link, false);
                }
            }
        }
    }

    /// Whether this node has more than one link: then what a snapshot brings may be news to its other neighbours.
    fn stands_between_others(&self) -> bool {
        self.links.open() > 1
    }

    fn on_sketch(&mut self, link: LinkId, cells: &[crate::sketch::Cell]) {
        let ours = self.context.topology.digests().map(|(digest, _)| digest);
        let Some(found) = difference(ours, cells) else {
            let larger = size_above(cells.len());
            // Beyond half the view, a snapshot is smaller than what led to it.
            let worth =
                larger.filter(|size| (*size as usize) < 4 * self.context.topology.len().max(16));
            self.say(link, Sync::Larger(worth.unwrap_or(0)));
            return;
        };
        self.push_digests(link, &found.ours.into_iter().collect());
        let mut theirs = found.theirs;
        theirs.truncate(WANT_MAX);
        if !theirs.is_empty() {
            self.say(link, Sync::Want(theirs));
        }
    }

    fn push_digests(&mut self, link: LinkId, digests: &BTreeSet<u64>) {
        let keys: Vec<Key> = self
            .context
            .topology
            .digests()
            .filter(|(digest, _)| digests.contains(digest))
            .map(|(_, key)| key)
            .collect();
        for key in keys {
            self.push_to(link, key);
        }
    }

    fn take_sync(
        &mut self,
        link: LinkId,
        records: &[std::sync::Arc<crate::topology::record::Record>],
        reports: &[super::message::AgedReport],
        broadcast: bool,
    ) {
        self.context.topology.gather();
        for record in records {
            let (applied, key) = self.take_record(record, link);
            self.clear_provenance(key, applied);
            if broadcast {
                self.relay(key, applied, link);
            }
        }
        self.context.topology.settle();
        for report in reports {
            let (applied, key) = self.take_report(report, link);
            self.clear_provenance(key, applied);
            if broadcast {
                self.relay(key, applied, link);
            }
        }
    }

    /// A value received by reconciliation says nothing about the broadcast tree.
    fn clear_provenance(&mut self, key: Option<Key>, applied: Applied) {
        if let (Some(key), Applied::Newer) = (key, applied) {
            self.set_provenance(key, Provenance::default());
        }
    }
}
