//! The owner's side: the followers of a region's log.
//!
//! A follower is a position in the log and a credit of bytes, as a watcher is, so its queue is the log itself. The
//! positions that followers have confirmed keep the log from being compacted, up to the maximum size of the log; a
//! follower that falls below the floor gets a snapshot of the region's objects.

use super::message::{
    FeedBatch, FeedMessage, FeedRefusal, FeedRequest, FeedSnapshotEnd, FollowerId, ReplicaTuning,
};
use crate::registry::log::{ChangeLog, CopyPosition, LogEpoch};
use crate::registry::name::RegionId;
use crate::registry::region_logs::REGIONS_MAX;
use crate::registry::sabotage::{RegistryBug, RegistryBugs};
use crate::registry::state::ObjectMap;
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Size of a message above which it is sent, in bytes.
const MESSAGE_BYTES: usize = 64 * 1024;
/// Maximum number of objects or batches that one step looks at for one follower.
const SCAN_MAX: usize = 4_096;
/// Time until the work of an interrupted step goes on.
const CONTINUE_AFTER: Duration = Duration::from_millis(1);
/// Least time between two messages to a follower that has nothing to hear.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Maximum time between two messages to a follower.
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// Maximum credit of a follower, in bytes.
const CREDIT_MAX: usize = 16 * 1024 * 1024;

/// The state that followers hear of.
#[derive(Clone, Copy, Debug)]
pub struct FeedSource<'a> {
    /// The region.
    pub region: &'a RegionId,
    /// The uid of the region's store.
    pub store: u64,
    /// The region's log.
    pub log: &'a ChangeLog,
    /// The region's objects and copies after the last batch of the log.
    pub objects: &'a ObjectMap,
}

/// A message to a follower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedOutput {
    /// The follower.
    pub follower: FollowerId,
    /// The message.
    pub message: FeedMessage,
}

/// The state of a follower, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowerStatus {
    /// The region that has the copy.
    pub region: RegionId,
    /// Whether the follower is connected.
    pub is_connected: bool,
    /// The sequence number up to which the copy is durable.
    pub confirmed: u64,
}

#[derive(Clone, Debug)]
struct FeedSnapshot {
    objects: ObjectMap,
    position: CopyPosition,
    /// The least name that was not looked at.
    next: String,
    sent: u64,
}

/// A connected follower.
#[derive(Clone, Debug)]
struct FeedFollower {
    region: RegionId,
    /// The sequence number of the last batch that was sent, or of the snapshot.
    position: u64,
    snapshot: Option<FeedSnapshot>,
    credit: usize,
    interval: Duration,
    sent_at: Instant,
}

/// A region that has a copy, connected or not.
#[derive(Clone, Debug)]
struct KnownFollower {
    /// The epoch of the region's sequencer.
    epoch: LogEpoch,
    confirmed: u64,
    /// The last time at which the follower was connected.
    seen_at: Instant,
}

/// The followers.
#[derive(Clone, Debug)]
pub struct FeedServer {
    followers: BTreeMap<FollowerId, FeedFollower>,
    known: BTreeMap<RegionId, KnownFollower>,
    continue_at: Option<Instant>,
    tuning: ReplicaTuning,
    bugs: RegistryBugs,
}

/// Readable state.
impl FeedServer {
    /// No followers.
    #[must_use]
    pub const fn new(tuning: ReplicaTuning, bugs: RegistryBugs) -> Self {
        Self {
            followers: BTreeMap::new(),
            known: BTreeMap::new(),
            continue_at: None,
            tuning,
            bugs,
        }
    }

    /// The number of copies that are durable up to a batch.
    #[must_use]
    pub fn copies(&self, sequence: u64) -> usize {
        if self.bugs.has(RegistryBug::CountsSentCopies) {
            let sent = self.followers.values();
            return sent.filter(|it| it.position >= sequence).count();
        }
        let known = self.known.values();
        known.filter(|it| it.confirmed >= sequence).count()
    }

    /// The sequence number of the last batch that is durable in the copy of a region; 0 if none is known to be.
    #[must_use]
    pub fn confirmed(&self, region: &RegionId) -> u64 {
        self.known.get(region).map_or(0, |it| it.confirmed)
    }

    /// The sequence number after which the log is held for followers; none if it is not.
    #[must_use]
    pub fn held(&self, now: Instant) -> Option<u64> {
        let is_held = |it: &&KnownFollower| now < it.seen_at + self.tuning.hold;
        let held = self.known.values().filter(is_held);
        held.map(|it| it.confirmed).min()
    }

    /// The regions that have a copy, in the order of their names.
    pub fn status(&self) -> impl Iterator<Item = FollowerStatus> {
        self.known.iter().map(|(region, known)| FollowerStatus {
            region: region.clone(),
            is_connected: self.followers.values().any(|it| it.region == *region),
            confirmed: known.confirmed,
        })
    }

    /// The time of the next wake.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let idle = self.followers.values().map(|it| it.sent_at + it.interval);
        [self.continue_at, idle.min()].into_iter().flatten().min()
    }
}

/// Changes.
impl FeedServer {
    /// Serves a follower. A follower of the same region is replaced, unless it is one of a later epoch; it is returned.
    ///
    /// # Errors
    /// Returns why the follower is not served.
    pub fn open(
        &mut self,
        now: Instant,
        follower: FollowerId,
        request: &FeedRequest,
        source: FeedSource<'_>,
        out: &mut Vec<FeedOutput>,
    ) -> Result<Option<FollowerId>, FeedRefusal> {
        self.check(request, source)?;
        let mut replaced = None;
        let others = self.followers.iter();
        let mut others = others.filter(|(id, it)| it.region == request.region && **id != follower);
        if let Some((other, _)) = others.next() {
            replaced = Some(*other);
        }
        if let Some(other) = replaced {
            self.followers.remove(&other);
        }
        let known = self.known.entry(request.region.clone());
        let known = known.or_insert(KnownFollower {
            epoch: request.epoch,
            confirmed: 0,
            seen_at: now,
        });
        known.epoch = request.epoch;
        known.seen_at = now;
        let mut served = FeedFollower {
            region: request.region.clone(),
            position: 0,
            snapshot: None,
            credit: request.window.min(CREDIT_MAX),
            interval: request.interval.clamp(INTERVAL_MIN, INTERVAL_MAX),
            sent_at: now,
        };
        match request.position.filter(|it| is_continued(*it, source.log)) {
            Some(position) => {
                served.position = position.at.sequence;
                // The copy may be committing what it has; it confirms that itself.
                known.confirmed = known.confirmed.min(position.at.sequence);
            }
            None => {
                known.confirmed = 0;
                served.begin_snapshot(source);
            }
        }
        self.followers.insert(follower, served);
        let message = FeedMessage::Opened {
            region: source.region.clone(),
            store: source.store,
            head: source.log.head(),
        };
        out.push(FeedOutput { follower, message });
        self.pump(now, follower, source, out);
        Ok(replaced)
    }

    fn check(&self, request: &FeedRequest, source: FeedSource<'_>) -> Result<(), FeedRefusal> {
        let region = request.region.clone();
        if region == *source.region {
            return Err(FeedRefusal::OwnRegion(region));
        }
        let known = self.known.get(&region);
        if known.is_none() && self.known.len() >= REGIONS_MAX {
            return Err(FeedRefusal::TooMany);
        }
        let other = known.is_some_and(|it| {
            let (known, asking) = (it.epoch, request.epoch);
            known.number > asking.number
                || known.number == asking.number && known.incarnation != asking.incarnation
        });
        if other {
            return Err(FeedRefusal::SecondStore { region });
        }
        let Some(position) = request.position else {
            return Ok(());
        };
        let region = source.region.clone();
        if position.store != source.store {
            return Err(FeedRefusal::OtherOwner { region });
        }
        let own = source.log.epochs().last().map_or(0, |it| it.0.number);
        let heard = position.at.epoch.number;
        if heard > own {
            return Err(FeedRefusal::LowerEpoch { region, own, heard });
        }
        Ok(())
    }

    /// A follower has confirmed batches, and takes more bytes.
    pub fn confirm(
        &mut self,
        now: Instant,
        follower: FollowerId,
        sequence: u64,
        bytes: usize,
        source: FeedSource<'_>,
        out: &mut Vec<FeedOutput>,
    ) {
        let Some(served) = self.followers.get_mut(&follower) else {
            return;
        };
        served.credit = served.credit.saturating_add(bytes).min(CREDIT_MAX);
        // A follower cannot confirm what was not sent to it.
        let confirmed = sequence.min(served.position);
        if let Some(known) = self.known.get_mut(&served.region) {
            known.confirmed = known.confirmed.max(confirmed);
            known.seen_at = now;
        }
        self.pump(now, follower, source, out);
    }

    /// A follower is gone. Its position holds the log for a while.
    pub fn close(&mut self, now: Instant, follower: FollowerId) {
        if let Some(served) = self.followers.remove(&follower)
            && let Some(known) = self.known.get_mut(&served.region)
        {
            known.seen_at = now;
        }
    }

    /// Ends all feeds, because the store was opened again or belongs to another sequencer. Returns the followers.
    pub fn close_all(&mut self) -> Vec<FollowerId> {
        self.continue_at = None;
        self.known.clear();
        std::mem::take(&mut self.followers).into_keys().collect()
    }

    /// Sends to all followers what is new in the log.
    pub fn publish(&mut self, now: Instant, source: FeedSource<'_>, out: &mut Vec<FeedOutput>) {
        let blocks = self.bugs.has(RegistryBug::SlowFollowerBlocks);
        let ahead = self.followers.iter();
        let ahead = ahead.take_while(|(_, it)| !blocks || it.credit > 0);
        let ids: Vec<FollowerId> = ahead.map(|(id, _)| *id).collect();
        for follower in ids {
            self.pump(now, follower, source, out);
        }
    }

    /// Goes on with interrupted work, and tells the head to followers that have heard nothing for their interval.
    pub fn on_wake(&mut self, now: Instant, source: FeedSource<'_>, out: &mut Vec<FeedOutput>) {
        if self.continue_at.is_some_and(|at| at <= now) {
            self.continue_at = None;
            self.publish(now, source, out);
        }
        for (follower, served) in &mut self.followers {
            if served.sent_at + served.interval <= now {
                served.sent_at = now;
                let (follower, message) = (*follower, FeedMessage::Head(source.log.head()));
                out.push(FeedOutput { follower, message });
            }
        }
    }

    /// Sends to one follower within its credit.
    fn pump(
        &mut self,
        now: Instant,
        follower: FollowerId,
        source: FeedSource<'_>,
        out: &mut Vec<FeedOutput>,
    ) {
        let Some(served) = self.followers.get_mut(&follower) else {
            return;
        };
        let mut budget = SCAN_MAX;
        while served.credit > 0 && budget > 0 {
            if served.snapshot.is_none() && served.position < source.log.floor() {
                served.begin_snapshot(source);
            }
            let message = if served.snapshot.is_some() {
                served.snapshot_part(source, &mut budget)
            } else {
                served.batches(source, &mut budget)
            };
            let Some(message) = message else {
                break;
            };
            served.credit = served.credit.saturating_sub(message.weight());
            served.sent_at = now;
            out.push(FeedOutput { follower, message });
        }
        let has_more = served.snapshot.is_some() || served.position < source.log.head();
        if has_more && served.credit > 0 {
            self.continue_at.get_or_insert(now + CONTINUE_AFTER);
        }
    }
}

/// Whether a position is one of the log, whose next batch the log keeps.
fn is_continued(position: CopyPosition, log: &ChangeLog) -> bool {
    let (epoch, sequence) = (position.at.epoch, position.at.sequence);
    sequence >= log.floor()
        && log.knows(epoch, sequence)
        && log.hash_of(sequence).is_none_or(|it| it == position.hash)
}

impl FeedFollower {
    fn begin_snapshot(&mut self, source: FeedSource<'_>) {
        self.position = source.log.head();
        self.snapshot = Some(FeedSnapshot {
            objects: source.objects.clone(),
            position: CopyPosition {
                store: source.store,
                at: source.log.end(),
                hash: source.log.end_hash(),
            },
            next: String::new(),
            sent: 0,
        });
    }

    /// The next part of the snapshot; none if the budget is used up before a part is full.
    fn snapshot_part(&mut self, source: FeedSource<'_>, budget: &mut usize) -> Option<FeedMessage> {
        let snapshot = self.snapshot.as_mut()?;
        let (mut objects, mut bytes, mut is_complete) = (Vec::new(), 0, true);
        for object in snapshot.objects.iter_from(&snapshot.next) {
            if *budget == 0 || bytes >= MESSAGE_BYTES {
                object.name.as_str().clone_into(&mut snapshot.next);
                is_complete = false;
                break;
            }
            *budget -= 1;
            if object.metadata.owning_region == *source.region {
                bytes += object.encoded_len();
                objects.push(Arc::clone(object));
            }
        }
        snapshot.sent += objects.len() as u64;
        let end = is_complete.then_some(FeedSnapshotEnd {
            position: snapshot.position,
            count: snapshot.sent,
        });
        if end.is_some() {
            self.snapshot = None;
        }
        let has_content = end.is_some() || !objects.is_empty();
        has_content.then_some(FeedMessage::Snapshot { objects, end })
    }

    /// The next batches; none if there are none.
    fn batches(&mut self, source: FeedSource<'_>, budget: &mut usize) -> Option<FeedMessage> {
        let (mut batches, mut bytes) = (Vec::new(), 0);
        for entry in source.log.after(self.position) {
            if *budget == 0 || bytes >= MESSAGE_BYTES {
                break;
            }
            *budget -= 1;
            bytes += entry.encoded_len();
            let sequence = entry.revision.sequence;
            self.position = sequence;
            batches.push(FeedBatch {
                region: source.region.clone(),
                epoch: source.log.epoch_of(sequence),
                entry: Arc::clone(entry),
            });
        }
        let head = source.log.head();
        (!batches.is_empty()).then_some(FeedMessage::Batches { batches, head })
    }
}
