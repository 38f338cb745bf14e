//! The watch server: a snapshot for each watcher, then each change once and in order.
//!
//! A watcher is a position in the log of the region, and one in the log of each copy of another region. Its queue is the
//! part of the logs after the positions, so a watcher that reads slowly costs no memory and delays no other watcher. Messages are sent only within the credit that the
//! watcher has granted. A watcher whose position falls below the floor gets a reset and a snapshot.
//!
//! ```text
//! open ──► snapshot ──► live ──(below the floor)──► reset ──► snapshot
//!    └──(token)──────────►┘
//! ```
//!
//! Promises for each watcher and each region that owns objects, by etcd's names: *ordered* and *unique* (revisions increase), *atomic* (a batch is in one
//! message), *reliable* (no change between two positions is left out), *resumable* (by token), *bookmarkable* (a
//! bookmark says that nothing before it is missing; one is sent at once to a watcher that resumes and has missed nothing,
//! before the floor moves past the last token, and to a watcher that has heard nothing for its interval).
//!
//! A watcher with credit hears a message at least each interval. A longer silence tells it that the connection is dead:
//! the host of the server may have lost power, or a firewall may have dropped the connection. While a snapshot is sent,
//! the message is a part without objects.
//!
//! A watcher hears of the objects that its caller may read ([`RegistryCaller::sees`]). An object that becomes visible to
//! it is a change like a creation, and one that ceases to be visible a change like a removal.
//!
//! Bounds: [`WATCHES_MAX`] watches; one step looks at [`SCAN_MAX`] objects or batches for each of them.

use super::message::{ResetReason, SnapshotEnd, WatchChange, WatchMessage, WatchRefusal};
use super::positions::WatchPositions;
use super::token::ResumeToken;
use crate::registry::access::RegistryCaller;
use crate::registry::log::{ChangeLog, LogEntry, LogPosition};
use crate::registry::name::RegionId;
use crate::registry::object::Object;
use crate::registry::query::ObjectScope;
use crate::registry::region_logs::RegionLogs;
use crate::registry::sabotage::{RegistryBug, RegistryBugs};
use crate::registry::state::ObjectMap;
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Maximum number of watches.
pub const WATCHES_MAX: usize = 100_000;
/// Maximum number of objects or batches that one step looks at for one watcher.
pub const SCAN_MAX: usize = 4_096;
/// Size of a message above which it is sent, in bytes.
const MESSAGE_BYTES: usize = 64 * 1024;
/// Default of the longest time between two messages to a watcher.
pub const BOOKMARK_INTERVAL: Duration = Duration::from_secs(5);
/// Least interval of bookmarks; shorter ones are raised to it.
pub const BOOKMARK_INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Greatest interval of bookmarks; longer ones are lowered to it.
pub const BOOKMARK_INTERVAL_MAX: Duration = Duration::from_secs(60);
/// Time until the work of an interrupted step goes on.
const CONTINUE_AFTER: Duration = Duration::from_millis(1);

/// The number of a watch, given by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(pub u64);

/// A request to open a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchRequest {
    /// The watched objects.
    pub scope: ObjectScope,
    /// The position after which to go on; none for a snapshot.
    pub resume: Option<ResumeToken>,
    /// The longest time between two messages that the watcher asks for. It is lowered to the server's interval, and
    /// raised to [`BOOKMARK_INTERVAL_MIN`]; none for the server's interval.
    pub interval: Option<Duration>,
}

impl WatchRequest {
    /// A request for a snapshot, and for messages at the server's interval.
    #[must_use]
    pub const fn new(scope: ObjectScope) -> Self {
        Self {
            scope,
            resume: None,
            interval: None,
        }
    }
}

/// A message to a watcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchOutput {
    /// The watch.
    pub watch: WatchId,
    /// The message.
    pub message: WatchMessage,
}

/// A snapshot that is being sent.
#[derive(Clone, Debug)]
struct Snapshot {
    objects: ObjectMap,
    /// The least name that was not looked at.
    next: String,
    /// The number of objects sent.
    sent: u64,
}

/// The objects that a watcher hears of.
#[derive(Clone, Debug)]
struct WatchedSet {
    viewer: RegistryCaller,
    scope: ObjectScope,
    /// Whether a planted bug shows objects that the viewer may not read.
    shows_hidden: bool,
}

impl WatchedSet {
    fn holds(&self, object: &Object) -> bool {
        let is_visible = self.shows_hidden || self.viewer.sees(object);
        is_visible && self.scope.holds(object)
    }

    fn hash(&self) -> u64 {
        self.scope.hash() ^ self.viewer.scope_hash()
    }
}

/// A watcher.
#[derive(Clone, Debug)]
struct Watcher {
    set: WatchedSet,
    hash: u64,
    /// The snapshot at the positions; none for a live watcher.
    snapshot: Option<Snapshot>,
    positions: WatchPositions,
    /// Bytes that may be sent.
    credit: usize,
    /// Whether the watcher resumed and has heard nothing since: it gets a bookmark even if nothing is new.
    is_silent: bool,
    /// The longest time between two messages.
    interval: Duration,
    /// The time of the last message.
    sent_at: Instant,
    /// The time of the watcher in [`WatchServer::idle`].
    idle_at: Instant,
}

/// The watchers.
#[derive(Clone, Debug)]
pub struct WatchServer {
    watchers: BTreeMap<WatchId, Watcher>,
    /// Watchers whose work was interrupted.
    unfinished: BTreeSet<WatchId>,
    continue_at: Option<Instant>,
    /// Each watcher with the time at which its silence is looked at. Messages that are sent meanwhile do not move it.
    idle: BTreeSet<(Instant, WatchId)>,
    /// The longest time between two messages to a watcher.
    interval: Duration,
    bugs: RegistryBugs,
}

/// The state that watchers hear of.
#[derive(Clone, Copy, Debug)]
pub struct WatchedState<'a> {
    /// The logs of the region and of its copies.
    pub logs: &'a RegionLogs,
    /// The objects after the last batch of each log.
    pub objects: &'a ObjectMap,
}

/// How a registry goes on with a watch after a position in one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resumption {
    /// With the batches after it.
    Continue,
    /// With a snapshot.
    Reset(ResetReason),
    /// Not before the copy of the region has the position.
    Wait,
}

impl WatchServer {
    /// No watchers. `interval` is the longest time between two messages to a watcher, within [`BOOKMARK_INTERVAL_MIN`]
    /// and [`BOOKMARK_INTERVAL_MAX`].
    #[must_use]
    pub fn new(interval: Duration, bugs: RegistryBugs) -> Self {
        Self {
            watchers: BTreeMap::new(),
            unfinished: BTreeSet::new(),
            continue_at: None,
            idle: BTreeSet::new(),
            interval: interval.clamp(BOOKMARK_INTERVAL_MIN, BOOKMARK_INTERVAL_MAX),
            bugs,
        }
    }

    /// The number of watchers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.watchers.len()
    }

    /// Whether there are no watchers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.watchers.is_empty()
    }

    /// Opens a watch without credit. A watch of the same number is replaced.
    ///
    /// # Errors
    /// Returns an error if there are too many watches, or if the token is one of other regions or of a position that the
    /// copies have not reached.
    pub fn open(
        &mut self,
        now: Instant,
        watch: WatchId,
        viewer: RegistryCaller,
        request: WatchRequest,
        watched: WatchedState<'_>,
        out: &mut Vec<WatchOutput>,
    ) -> Result<Option<ResetReason>, WatchRefusal> {
        self.close(watch);
        if self.watchers.len() >= WATCHES_MAX {
            return Err(WatchRefusal::TooMany);
        }
        let resume = request.resume.as_ref();
        let set = WatchedSet {
            viewer,
            scope: request.scope,
            shows_hidden: self.bugs.has(RegistryBug::HiddenIsShown),
        };
        let hash = set.hash();
        let reset = match resume {
            Some(token) => self.reset_reason(token, hash, watched.logs)?,
            None => None,
        };
        let interval = request.interval.unwrap_or(self.interval);
        let interval = interval.clamp(BOOKMARK_INTERVAL_MIN, self.interval);
        let mut watcher = Watcher {
            set,
            hash,
            snapshot: None,
            positions: WatchPositions::default(),
            credit: 0,
            is_silent: false,
            interval,
            sent_at: now,
            idle_at: now + interval,
        };
        match resume {
            Some(token) if reset.is_none() => {
                let repeats = u64::from(self.bugs.has(RegistryBug::WatchRepeats));
                watcher.positions = WatchPositions::of(token, repeats);
                watcher.is_silent = true;
            }
            Some(_) | None => watcher.begin_snapshot(watched),
        }
        if let Some(reason) = reset {
            let message = WatchMessage::Reset { reason };
            out.push(WatchOutput { watch, message });
        }
        self.idle.insert((watcher.idle_at, watch));
        self.watchers.insert(watch, watcher);
        Ok(reset)
    }

    /// Why a token cannot be resumed; an error if the watch cannot be opened.
    fn reset_reason(
        &self,
        token: &ResumeToken,
        hash: u64,
        logs: &RegionLogs,
    ) -> Result<Option<ResetReason>, WatchRefusal> {
        let mut regions = token.positions.keys();
        if !regions.any(|region| logs.of(region).is_some()) {
            return Err(WatchRefusal::OtherRegion);
        }
        if token.scope != hash {
            return Ok(Some(ResetReason::OtherScope));
        }
        let mut reason = None;
        let named = token.positions.iter();
        let named = named.map(|(region, position)| self.resumption(region, *position, logs));
        // A log that the token does not name is resumed at its beginning.
        let others = logs.iter().filter(|it| !token.positions.contains_key(it.0));
        let others =
            others.map(|(region, _)| self.resumption(region, LogPosition::default(), logs));
        for resumption in named.chain(others) {
            match resumption {
                Resumption::Continue => {}
                Resumption::Reset(found) => reason = reason.or(Some(found)),
                Resumption::Wait => return Err(WatchRefusal::Behind),
            }
        }
        Ok(reason)
    }

    fn resumption(
        &self,
        region: &RegionId,
        position: LogPosition,
        logs: &RegionLogs,
    ) -> Resumption {
        let Some(log) = logs.of(region) else {
            return Resumption::Wait;
        };
        let LogPosition { epoch, sequence } = position;
        let (end, is_copy) = (log.end(), region != logs.region());
        if is_copy && sequence > end.sequence && epoch >= end.epoch {
            Resumption::Wait
        } else if sequence < log.floor() {
            let ignores = self.bugs.has(RegistryBug::WatchIgnoresFloor);
            if ignores {
                return Resumption::Continue;
            }
            Resumption::Reset(ResetReason::Compacted)
        } else if sequence > 0 && !log.knows(epoch, sequence) {
            if self.bugs.has(RegistryBug::WatchIgnoresHistory) {
                return Resumption::Continue;
            }
            Resumption::Reset(ResetReason::OtherHistory)
        } else {
            Resumption::Continue
        }
    }

    /// Ends a watch.
    pub fn close(&mut self, watch: WatchId) {
        if let Some(watcher) = self.watchers.remove(&watch) {
            self.idle.remove(&(watcher.idle_at, watch));
        }
        self.unfinished.remove(&watch);
    }

    /// Ends all watches. Returns them.
    pub fn close_all(&mut self) -> Vec<WatchId> {
        self.unfinished.clear();
        self.continue_at = None;
        self.idle.clear();
        std::mem::take(&mut self.watchers).into_keys().collect()
    }

    /// Adds to the credit of a watcher, and sends within it.
    pub fn grant(
        &mut self,
        now: Instant,
        watch: WatchId,
        bytes: usize,
        watched: WatchedState<'_>,
        out: &mut Vec<WatchOutput>,
    ) {
        if let Some(watcher) = self.watchers.get_mut(&watch) {
            watcher.credit = watcher.credit.saturating_add(bytes);
            self.pump(now, watch, watched, out);
        }
    }

    /// Sends to all watchers what is new in the log.
    pub fn publish(&mut self, now: Instant, watched: WatchedState<'_>, out: &mut Vec<WatchOutput>) {
        let blocks = self.bugs.has(RegistryBug::SlowWatcherBlocks);
        let ahead = self.watchers.iter();
        let ahead = ahead.take_while(|(_, watcher)| !blocks || watcher.credit > 0);
        let watches: Vec<WatchId> = ahead.map(|(watch, _)| *watch).collect();
        for watch in watches {
            self.pump(now, watch, watched, out);
        }
    }

    /// Resets the watchers whose positions are not part of the region's log, because the store was opened again with
    /// another history. `former` is the log before.
    pub fn on_reopened(
        &mut self,
        now: Instant,
        former: &ChangeLog,
        watched: WatchedState<'_>,
        out: &mut Vec<WatchOutput>,
    ) {
        let region = watched.logs.region();
        for (watch, watcher) in &mut self.watchers {
            let LogPosition { epoch, sequence } = former.position(watcher.positions.at(region));
            if watched.logs.own().knows(epoch, sequence) {
                continue;
            }
            watcher.begin_snapshot(watched);
            let reason = ResetReason::OtherHistory;
            let message = WatchMessage::Reset { reason };
            let watch = *watch;
            out.push(WatchOutput { watch, message });
        }
        self.publish(now, watched, out);
    }

    /// Sends bookmarks to the watchers whose last token is about to fall below the floor of a region's log, and advances
    /// slow watchers past batches that do not concern them.
    pub fn before_compaction(
        &mut self,
        now: Instant,
        region: &RegionId,
        floor: u64,
        watched: WatchedState<'_>,
        out: &mut Vec<WatchOutput>,
    ) {
        let Some(log) = watched.logs.of(region) else {
            return;
        };
        for (watch, watcher) in &mut self.watchers {
            if watcher.snapshot.is_some() {
                continue;
            }
            let position = watcher.positions.at(region);
            if position < floor && position >= log.floor() {
                let passed = log.after(position);
                let count = usize::try_from(floor - position).unwrap_or(usize::MAX);
                if passed
                    .take(count)
                    .all(|entry| watcher.changes(entry).is_empty())
                {
                    watcher.positions.advance(region, floor);
                }
            }
            let is_past = watcher.positions.at(region) >= floor;
            if watcher.positions.told(region) < floor && is_past && watcher.credit > 0 {
                let message = watcher.bookmark(watched.logs);
                out.push(watcher.send(now, *watch, message));
            }
        }
    }

    /// Goes on with interrupted work, and sends bookmarks that are due.
    pub fn on_wake(&mut self, now: Instant, watched: WatchedState<'_>, out: &mut Vec<WatchOutput>) {
        if self.continue_at.is_some_and(|at| at <= now) {
            self.continue_at = None;
            for watch in std::mem::take(&mut self.unfinished) {
                self.pump(now, watch, watched, out);
            }
        }
        self.break_silence(now, watched, out);
    }

    /// Sends a message to each watcher that has heard nothing for its interval.
    fn break_silence(
        &mut self,
        now: Instant,
        watched: WatchedState<'_>,
        out: &mut Vec<WatchOutput>,
    ) {
        while let Some((at, watch)) = self.idle.first().copied().filter(|it| it.0 <= now) {
            self.idle.remove(&(at, watch));
            let Some(watcher) = self.watchers.get_mut(&watch) else {
                continue;
            };
            let is_due = watcher.sent_at + watcher.interval <= now;
            if is_due && watcher.credit > 0 && !self.bugs.has(RegistryBug::WatchIdlesSilently) {
                let message = if watcher.snapshot.is_some() {
                    let (objects, end) = (Vec::new(), None);
                    WatchMessage::Snapshot { objects, end }
                } else {
                    watcher.bookmark(watched.logs)
                };
                out.push(watcher.send(now, watch, message));
            }
            let from = if is_due { now } else { watcher.sent_at };
            watcher.idle_at = from + watcher.interval;
            self.idle.insert((watcher.idle_at, watch));
        }
    }

    /// The time of the next wake.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let idle_at = self.idle.first().map(|it| it.0);
        [self.continue_at, idle_at].into_iter().flatten().min()
    }

    /// Sends to one watcher within its credit.
    fn pump(
        &mut self,
        now: Instant,
        watch: WatchId,
        watched: WatchedState<'_>,
        out: &mut Vec<WatchOutput>,
    ) {
        let Some(watcher) = self.watchers.get_mut(&watch) else {
            return;
        };
        let mut budget = SCAN_MAX;
        while watcher.credit > 0 && budget > 0 {
            let below = watcher.snapshot.is_none() && watcher.is_below(watched.logs, self.bugs);
            let message = if below {
                watcher.begin_snapshot(watched);
                let reason = ResetReason::Compacted;
                Some(WatchMessage::Reset { reason })
            } else if watcher.snapshot.is_some() {
                watcher.snapshot_part(watched.logs, &mut budget, self.bugs)
            } else {
                watcher.live_part(watched.logs, &mut budget, self.bugs)
            };
            let Some(message) = message else {
                if watcher.is_silent && !watcher.positions.has_more(watched.logs) {
                    let message = watcher.bookmark(watched.logs);
                    out.push(watcher.send(now, watch, message));
                }
                break;
            };
            out.push(watcher.send(now, watch, message));
        }
        let has_more = watcher.snapshot.is_some() || watcher.positions.has_more(watched.logs);
        if has_more && watcher.credit > 0 {
            self.unfinished.insert(watch);
            self.continue_at.get_or_insert(now + CONTINUE_AFTER);
        }
    }
}

impl Watcher {
    /// Charges the credit with a message.
    fn send(&mut self, now: Instant, watch: WatchId, message: WatchMessage) -> WatchOutput {
        self.is_silent = false;
        self.sent_at = now;
        self.credit = self.credit.saturating_sub(message.weight());
        WatchOutput { watch, message }
    }

    fn bookmark(&mut self, logs: &RegionLogs) -> WatchMessage {
        let token = self.positions.tell(logs, self.hash);
        WatchMessage::Bookmark { token }
    }

    fn begin_snapshot(&mut self, watched: WatchedState<'_>) {
        self.positions.end(watched.logs);
        self.snapshot = Some(Snapshot {
            objects: watched.objects.clone(),
            next: self.set.scope.selector.prefix().to_owned(),
            sent: 0,
        });
    }

    /// Whether a log does not go back to its position. With a planted bug, the watcher skips what is missing.
    fn is_below(&mut self, logs: &RegionLogs, bugs: RegistryBugs) -> bool {
        for (region, log) in logs.iter() {
            if self.positions.at(region) >= log.floor() {
                continue;
            }
            let ignores = bugs.has(RegistryBug::WatchIgnoresFloor)
                || bugs.has(RegistryBug::WatchIgnoresCopySnapshot) && region != logs.region();
            if !ignores {
                return true;
            }
            self.positions.advance(region, log.floor());
        }
        false
    }

    /// The changes of a batch that concern the watcher.
    fn changes(&self, entry: &LogEntry) -> Vec<WatchChange> {
        let concern = entry.changes.iter().filter_map(|change| {
            if !self.set.scope.selector.matches(&change.name) {
                return None;
            }
            let matches = |object: &Option<_>| {
                let object: Option<&Arc<_>> = object.as_ref();
                object.filter(|object| self.set.holds(object)).cloned()
            };
            match (matches(&change.before), matches(&change.after)) {
                (_, Some(after)) => Some(WatchChange::Current(after)),
                (Some(_), None) => Some(WatchChange::Removed(change.name.clone())),
                (None, None) => None,
            }
        });
        concern.collect()
    }

    /// The next part of the snapshot; none if the budget is used up before a part is full.
    fn snapshot_part(
        &mut self,
        logs: &RegionLogs,
        budget: &mut usize,
        bugs: RegistryBugs,
    ) -> Option<WatchMessage> {
        let snapshot = self.snapshot.as_mut()?;
        let prefix = self.set.scope.selector.prefix();
        let (mut objects, mut bytes, mut is_complete) = (Vec::new(), 0, true);
        for object in snapshot.objects.iter_from(&snapshot.next) {
            if !object.name.as_str().starts_with(prefix) {
                break;
            }
            if *budget == 0 || bytes >= MESSAGE_BYTES {
                object.name.as_str().clone_into(&mut snapshot.next);
                is_complete = false;
                break;
            }
            *budget -= 1;
            if self.set.holds(object) {
                bytes += object.encoded_len();
                objects.push(Arc::clone(object));
            }
        }
        snapshot.sent += objects.len() as u64;
        if !is_complete {
            let end = None;
            return (!objects.is_empty()).then_some(WatchMessage::Snapshot { objects, end });
        }
        let count = snapshot.sent;
        self.snapshot = None;
        let token = self.positions.tell(logs, self.hash);
        if bugs.has(RegistryBug::WatchSkipsEdge) {
            self.positions.end(logs);
        }
        let end = Some(SnapshotEnd { token, count });
        Some(WatchMessage::Snapshot { objects, end })
    }

    /// The changes of the next batches; none if no batch concerns the watcher.
    fn live_part(
        &mut self,
        logs: &RegionLogs,
        budget: &mut usize,
        bugs: RegistryBugs,
    ) -> Option<WatchMessage> {
        let (mut all, mut bytes) = (Vec::new(), 0);
        for (region, log) in logs.iter() {
            let before = self.positions.at(region);
            let mut position = before;
            for entry in log.after(before) {
                if *budget == 0 || bytes >= MESSAGE_BYTES {
                    break;
                }
                let mut changes = self.changes(entry);
                if bugs.has(RegistryBug::WatchTruncatesBatches) {
                    changes.truncate(1);
                }
                *budget -= 1;
                position = entry.revision.sequence;
                if !changes.is_empty() {
                    bytes += entry.encoded_len();
                    all.append(&mut changes);
                }
            }
            if position > before {
                self.positions.advance(region, position);
            }
        }
        if all.is_empty() {
            return None;
        }
        let token = self.positions.tell(logs, self.hash);
        let changes = all;
        Some(WatchMessage::Changes { changes, token })
    }
}
