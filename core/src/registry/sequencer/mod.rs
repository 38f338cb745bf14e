//! The sequencer of a region: it alone decides about writes to the objects that the region owns.
//!
//! [`Sequencer`] is a machine. It decides about a batch on the state after all accepted batches, gives it the next
//! revision, and hands it to the store in a group. When the group is durable, it publishes the group to watchers and
//! answers the writers. Reads and watches see durable batches alone.
//!
//! - `lease`: the epoch, and the states of the store.
//! - `pipeline`: batches that are not yet durable, and their writers.
//! - `decision`: preconditions, masks, rules; the changes of a batch.
//! - `deletions`: objects that refer to deleted ones, which `reference_index` finds.
//! - `audiences`: the services that may read the changed objects.
//! - `requests`: writes that are repeated under their request ids.
//! - `reconcile`: batches that the registry writes of its own accord; `reconciler`: its questions to other regions.
//! - `quotas`: objects and writes of each service.
//! - [`RegionLogs`]: durable batches, for watchers that resume and requests that are repeated.
//! - [`WatchServer`]: the watchers.
//! - [`Replicas`]: the copies of other regions' objects. Reads and rules see them, as far as they have arrived.
//! - [`FeedServer`]: the copies that other regions have of this one.
//! - `regions`: what the sequencer does with these two.
//! - `acks`: writers that wait for copies. `routing`: writes for other regions. `claim`: the claim of the store to the
//!   region.
//!
//! Promises:
//! - Reads, writes and refusals of the region's own objects are linearizable while the epoch lasts, and a batch is atomic. A registry that does not
//!   know yet that another one has opened its store may answer reads and refusals from its last state.
//! - An acknowledged write is durable. A write that is refused is not applied, except for
//!   [`WriteRefusal::Unknown`]; its outcome is learnt by repeating it with its request id.
//! - A request id is executed at most once while the log keeps its batch. A request that changed nothing or was refused
//!   has a batch without changes, so that a repeat has no other outcome.
//! - After a failure of the store with an unknown outcome, the store is opened again before any other write.
//! - A sequencer whose epoch has ended commits nothing, because the store checks the epoch in each commit.
//!
//! Bounds: those of the components; [`WriteLimits`].

mod acks;
mod audiences;
mod changes;
mod claim;
mod decision;
mod deletions;
mod interface;
mod lease;
mod pipeline;
mod quotas;
mod reconcile;
mod reconciler;
mod reference_index;
mod regions;
mod requests;
mod routing;
#[cfg(test)]
mod tests;

pub use acks::COPIES_TIMEOUT_MAX;
pub use claim::{STORE_FIELD, store_text};
pub use interface::{
    Config, Event, Input, Output, PREFIXES_MAX, PrefixQuota, WriteId, WriteLimits, WriteRequest,
};
pub use pipeline::{WAITING_BYTES_MAX, WAITING_ENTRIES_MAX};
pub use routing::ROUTED_MAX;

use super::log::{ChangeLog, LogEntry, LogEpoch, ObjectChange, RequestStamp};
use super::metadata::Revision;
use super::name::ObjectName;
use super::object::Object;
use super::query::{ObjectPage, ObjectQuery, PageTokenError};
use super::region_logs::RegionLogs;
use super::replica::{CopyStatus, FeedServer, FollowerStatus, ReplicaReports, Replicas};
use super::sabotage::RegistryBug;
use super::state::{ObjectMap, RegistryState};
use super::store::{CommitGroup, StoreFailure, StoreImage};
use super::watch::{
    WatchId, WatchMessage, WatchOutput, WatchRefusal, WatchRequest, WatchServer, WatchedState,
};
use super::write::{RegistryCaller, WriteOutcome, WriteRefusal};
use crate::link::Ticket;
use crate::machine::{Machine, Outbox};
use crate::random::Random;
use crate::time::{Instant, Wall};
use acks::CopyAcks;
use changes::DecisionContext;
use claim::{ClaimState, RegionClaim, is_region};
use decision::{added, decide};
use lease::Lease;
use pipeline::{CommitPipeline, Waiter, WaitingAnswer};
use quotas::Quotas;
use reconciler::{INTERNAL_MIN, OWN_WRITE, Reconciler};
use reference_index::ReferenceIndex;
use routing::RoutedWrites;
use std::sync::Arc;

/// The sequencer of a region.
#[derive(Debug)]
pub struct Sequencer {
    config: Config,
    lease: Lease,
    pipeline: CommitPipeline,
    quotas: Quotas,
    /// The state after all accepted batches.
    accepted: RegistryState,
    /// The state after all durable batches.
    durable: RegistryState,
    logs: RegionLogs,
    watches: WatchServer,
    replicas: Replicas,
    feed: FeedServer,
    acks: CopyAcks,
    routed: RoutedWrites,
    claim: RegionClaim,
    reconciler: Reconciler,
    references: ReferenceIndex,
    random: Random,
    /// Calendar time of the latest write.
    time: Wall,
}

/// Readable state.
impl Sequencer {
    /// A sequencer that has not started.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let random = Random::from_seed(config.seed).child("registry");
        let (region, primary, bugs) = (config.region.clone(), config.primary.clone(), config.bugs);
        let links = random.child("links");
        Self {
            replicas: Replicas::new(region.clone(), primary, config.replica, links, bugs),
            feed: FeedServer::new(config.replica, bugs),
            acks: CopyAcks::default(),
            routed: RoutedWrites::default(),
            claim: RegionClaim::default(),
            reconciler: Reconciler::default(),
            references: ReferenceIndex::default(),
            lease: Lease::new(),
            pipeline: CommitPipeline::default(),
            quotas: Quotas::new(config.limits, &config.prefixes),
            accepted: RegistryState::default(),
            durable: RegistryState::default(),
            logs: RegionLogs::new(region),
            watches: WatchServer::new(config.bookmark_interval, bugs),
            random,
            time: Wall(0),
            config,
        }
    }

    /// Whether the store was opened and has a copy of the primary region, so that there is a state to read, and no other
    /// sequencer is known to have opened it.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        let primary = &self.config.primary;
        let has_copy = || self.replicas.get(primary).and_then(|it| it.position());
        let is_primary = self.config.region == *primary;
        self.lease.is_readable() && (is_primary || has_copy().is_some())
    }

    /// Whether writes are accepted.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.lease.is_serving()
    }

    /// The process that holds the store, while this registry is its standby.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        self.lease.holder()
    }

    /// Whether the registry serves, has a state to read, and its store has the region, so that writes are accepted.
    #[must_use]
    pub fn takes_writes(&self) -> bool {
        self.is_serving() && self.is_readable() && self.claim_state() == ClaimState::Held
    }

    /// Whether another store is known to have the region.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.is_serving() && self.claim_state() == ClaimState::Taken
    }

    /// The epoch of the last opening of the store.
    #[must_use]
    pub const fn epoch(&self) -> LogEpoch {
        self.lease.epoch()
    }

    /// The durable objects. A copy costs O(1).
    #[must_use]
    pub const fn objects(&self) -> &ObjectMap {
        self.durable.objects()
    }

    /// The durable batches of the region.
    #[must_use]
    pub const fn log(&self) -> &ChangeLog {
        self.logs.own()
    }

    /// The durable batches of the region, and the latest ones of its copies.
    #[must_use]
    pub const fn logs(&self) -> &RegionLogs {
        &self.logs
    }

    /// The uid of the store; 0 before it was opened.
    #[must_use]
    pub const fn store(&self) -> u64 {
        self.lease.store()
    }

    /// The copies of other regions' objects, in the order of the regions.
    pub fn copies(&self, now: Instant) -> impl Iterator<Item = CopyStatus> {
        self.replicas.status(now)
    }

    /// The regions that have copies of this one, in the order of their names.
    pub fn followers(&self) -> impl Iterator<Item = FollowerStatus> {
        self.feed.status()
    }

    /// The number of watches.
    #[must_use]
    pub fn watches(&self) -> usize {
        self.watches.len()
    }

    /// The number of batches that are accepted and not yet durable.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.pipeline.len()
    }

    /// The durable object of a name.
    #[must_use]
    pub fn get(&self, name: &ObjectName) -> Option<&Arc<Object>> {
        self.durable.objects().get(name)
    }

    /// A page of the durable objects.
    ///
    /// # Errors
    /// Returns an error if the page token belongs to another query.
    pub fn list(&self, query: &ObjectQuery) -> Result<ObjectPage, PageTokenError> {
        let prefix = query.scope.selector.prefix();
        query.page(self.durable.objects().with_prefix(prefix))
    }
}

/// Steps.
impl Sequencer {
    fn take(&mut self, now: Instant, input: Input, out: &mut Outbox<Output>) {
        match input {
            Input::Start => self.open_store(out),
            Input::Opened(image) => self.on_opened(now, *image, out),
            Input::OpenFailed(failure) => {
                self.lease.on_failed(now);
                out.push(Output::Report(Event::OpenFailed(failure)));
            }
            Input::StoreHeld { holder } => self.on_held(now, holder, out),
            Input::StoreFenced => self.on_fenced(now, out),
            Input::Write(write) => self.on_write(now, *write, out),
            Input::Committed { ticket } => self.on_committed(now, ticket, out),
            Input::CommitFailed { ticket, failure } => self.on_failed(now, ticket, failure, out),
            Input::OpenWatch {
                watch,
                caller,
                request,
            } => self.on_open_watch(now, watch, (caller, *request), out),
            Input::GrantWatch { watch, bytes } => self.watch(out, |watches, watched, sent| {
                watches.grant(now, watch, bytes, watched, sent);
            }),
            Input::CloseWatch { watch } => self.watches.close(watch),
            Input::OpenFeed { follower, request } => {
                self.on_open_feed(now, follower, &request, out);
            }
            Input::ConfirmFeed {
                follower,
                sequence,
                bytes,
            } => {
                self.feed(out, |feed, source, sent| {
                    feed.confirm(now, follower, sequence, bytes, source, sent);
                });
                self.answer_copied(now, out);
                self.reconcile(now, out);
            }
            Input::CloseFeed { follower } => self.feed.close(now, follower),
            Input::Registries(members) => self.replicas.on_members(now, members),
            Input::Link {
                region,
                attempt,
                input,
            } => self.on_link(now, &region, (attempt, *input), out),
            Input::Routed { write, result } => self.on_routed(now, write, result, out),
            Input::Wake => self.on_wake(now, out),
        }
    }

    fn open_store(&mut self, out: &mut Outbox<Output>) {
        if self.lease.begin() {
            let incarnation = self.random.next_u64();
            out.push(Output::OpenStore { incarnation });
        }
    }

    fn on_opened(&mut self, now: Instant, image: StoreImage, out: &mut Outbox<Output>) {
        let epoch = image.epochs.last().map(|(epoch, _)| *epoch);
        let (epoch, store) = (epoch.unwrap_or_default(), image.uid);
        if !self.lease.on_opened(epoch, store) {
            return;
        }
        let (head, stored) = (self.logs.own().head(), image.head());
        let last = image.log.last().map_or(self.time, |it| it.time);
        self.time = self.time.max(last);
        let log = ChangeLog::of(image.floor, image.epochs, image.log);
        let former = std::mem::replace(self.logs.own_mut(), log);
        if !self.logs.own().knows(former.epoch_of(head), head) {
            out.push(Output::Report(Event::HistoryLost { head, stored }));
        }
        self.durable = RegistryState::of(image.objects);
        self.accept_durable();
        for (region, position) in &image.copies {
            self.logs.begin_copy(region, *position);
        }
        let head = stored;
        out.push(Output::Report(Event::Serving { epoch, head }));
        self.end_feeds(out);
        let mut reports = ReplicaReports::default();
        (self.replicas).open(now, store, epoch, &image.copies, &mut reports);
        self.report_copies(now, reports, out);
        self.discover(now);
        self.claim_region(now, out);
        self.watch(out, |watches, watched, sent| {
            watches.on_reopened(now, &former, watched, sent);
        });
    }

    /// Drops what is accepted and not durable.
    fn accept_durable(&mut self) {
        self.accepted = self.durable.clone();
        self.references = ReferenceIndex::of(&self.durable);
        self.note_unfinished();
        self.quotas.recount(self.durable.objects().iter());
    }

    fn on_write(&mut self, now: Instant, write: WriteRequest, out: &mut Outbox<Output>) {
        let id = write.write;
        self.time = self.time.max(write.time);
        if let Some(copies) = write.copies {
            self.acks.want(id, copies);
        }
        if let Err(refusal) = self.accept(now, write, out) {
            self.answer(now, id, Err(refusal), out);
        }
    }

    /// Answers a writer, unless the writer waits for copies of its batch.
    fn answer(
        &mut self,
        now: Instant,
        write: WriteId,
        result: Result<WriteOutcome, WriteRefusal>,
        out: &mut Outbox<Output>,
    ) {
        if write.0 >= INTERNAL_MIN {
            return;
        }
        let result = match result {
            Ok(outcome) => match self.acks.hold(now, write, outcome, &self.feed) {
                Some(outcome) => Ok(outcome),
                None => return,
            },
            Err(refusal) => {
                self.acks.forget(write);
                Err(refusal)
            }
        };
        out.push(Output::Answer { write, result });
    }

    /// Answers the writers whose copies are confirmed or whose deadlines have passed.
    fn answer_copied(&mut self, now: Instant, out: &mut Outbox<Output>) {
        for (write, outcome) in self.acks.take_due(now, &self.feed) {
            let result = Ok(outcome);
            out.push(Output::Answer { write, result });
        }
    }

    /// Accepts a batch. The writer is answered later, or at once if the batch changes nothing.
    fn accept(
        &mut self,
        now: Instant,
        write: WriteRequest,
        out: &mut Outbox<Output>,
    ) -> Result<(), WriteRefusal> {
        if let Some(refusal) = self.lease.refusal() {
            return Err(refusal);
        }
        if !self.is_readable() {
            return Err(WriteRefusal::Opening);
        }
        let (request, claim) = (write.stamp(), self.claim_state());
        // The owner of a name may be another one after the first attempt, so the log is asked before the owner is found.
        if claim == ClaimState::Held && self.repeat(now, &write, request.as_ref(), out)? {
            return Ok(());
        }
        if let Some((name, owner)) = self.other_owner(&write.batch)? {
            return self.route(name, owner, write, out);
        }
        match claim {
            ClaimState::Held => {}
            ClaimState::Open => return Err(WriteRefusal::Opening),
            ClaimState::Taken => return Err(WriteRefusal::Deposed),
        }
        self.quotas.begin(now, &write.caller, &write.batch)?;
        if !self.pipeline.has_room() {
            return Err(WriteRefusal::Busy);
        }
        match self.decide(&write) {
            Ok(changes) if changes.is_empty() => self.accept_unchanged(now, &write, request, out),
            Ok(changes) => self.push(&write, request, changes, WaitingAnswer::Own, out),
            Err(refusal) => self.accept_refusal(&write, request, refusal, out)?,
        }
        Ok(())
    }

    /// Decides about a batch on the accepted state.
    fn decide(&mut self, write: &WriteRequest) -> Result<Vec<ObjectChange>, WriteRefusal> {
        let revision = self.next_revision();
        let mut context = DecisionContext {
            config: &self.config,
            caller: &write.caller,
            time: self.time,
            revision,
            uids: &mut self.random,
            is_registry: write.write == OWN_WRITE,
            references: &self.references,
        };
        let state = if self.config.bugs.has(RegistryBug::LostUpdate) {
            &self.durable
        } else {
            &self.accepted
        };
        let changes = decide(state, &write.batch, &mut context)?;
        self.quotas.check(added(&changes))?;
        Ok(changes)
    }

    /// Hands an accepted batch to the pipeline. The writer gets the answer when the batch is durable.
    fn push(
        &mut self,
        write: &WriteRequest,
        request: Option<RequestStamp>,
        changes: Vec<ObjectChange>,
        answer: WaitingAnswer,
        out: &mut Outbox<Output>,
    ) {
        let revision = self.next_revision();
        for change in &changes {
            self.accepted.apply(change);
            self.quotas.apply(change);
            self.references.on_accepted(change, &self.accepted);
        }
        let entry = LogEntry {
            revision,
            time: self.time,
            request,
            changes,
            previous: 0,
            hash: 0,
        };
        let previous = self.pipeline.end_hash();
        let entry = entry.after(previous.unwrap_or_else(|| self.logs.own().end_hash()));
        let write = write.write;
        if self.config.bugs.has(RegistryBug::AnswersEarly) && answer == WaitingAnswer::Own {
            let result = Ok(WriteOutcome::of(&entry, &self.config.region));
            out.push(Output::Answer { write, result });
        }
        self.pipeline.push(entry, Waiter { write, answer });
    }

    /// The revision of the next accepted batch.
    fn next_revision(&self) -> Revision {
        Revision {
            epoch: self.lease.epoch().number,
            sequence: self.next_sequence(),
        }
    }

    /// The sequence number of the next accepted batch.
    fn next_sequence(&self) -> u64 {
        self.logs.own().head() + self.pipeline.len() as u64 + 1
    }

    fn on_committed(&mut self, now: Instant, ticket: Ticket, out: &mut Outbox<Output>) {
        let Some(group) = self.pipeline.on_committed(ticket) else {
            return;
        };
        let mut has_regions = false;
        for (entry, waiters) in group {
            for change in &entry.changes {
                has_regions |= is_region(&change.name);
                self.durable.apply(change);
                self.on_durable(change);
            }
            self.logs.own_mut().append(Arc::clone(&entry));
            for waiter in waiters {
                let result = match waiter.answer {
                    WaitingAnswer::Own if self.config.bugs.has(RegistryBug::AnswersEarly) => {
                        continue;
                    }
                    WaitingAnswer::Own => Ok(WriteOutcome::of(&entry, &self.config.region)),
                    WaitingAnswer::Unchanged => Ok(self.unchanged()),
                    WaitingAnswer::Refused(refusal) => Err(refusal),
                };
                self.answer(now, waiter.write, result, out);
            }
        }
        has_regions |= self.apply_copies(now, out);
        if has_regions {
            self.discover(now);
        }
        self.claim_region(now, out);
        self.watch(out, |watches, watched, sent| {
            watches.publish(now, watched, sent);
        });
        self.feed(out, |feed, source, sent| feed.publish(now, source, sent));
        self.answer_copied(now, out);
        self.reconcile(now, out);
        self.compact(now, out);
    }

    /// Removes old batches from the logs; the next commit removes those of the region from the store.
    fn compact(&mut self, now: Instant, out: &mut Outbox<Output>) {
        let retention = self.config.retention;
        let mut floors = Vec::new();
        for (region, log) in self.logs.iter() {
            let is_own = *region == self.config.region;
            let held = self.feed.held(now).filter(|_| is_own);
            // The clock of a copy is that of its owner.
            let last = log.after(log.head().saturating_sub(1)).next();
            let time = last.filter(|_| !is_own).map_or(self.time, |it| it.time);
            let floor = log.compactable(time, retention, held);
            if floor > log.floor() {
                floors.push((region.clone(), floor));
            }
        }
        for (region, floor) in floors {
            self.watch(out, |watches, watched, sent| {
                watches.before_compaction(now, &region, floor, watched, sent);
            });
            if region == self.config.region {
                self.logs.own_mut().compact(floor);
            } else {
                self.logs.copy_mut(&region).compact(floor);
            }
        }
    }

    fn on_failed(
        &mut self,
        now: Instant,
        ticket: Ticket,
        failure: StoreFailure,
        out: &mut Outbox<Output>,
    ) {
        if !self.pipeline.is_under_way(ticket) {
            return;
        }
        self.end_group(now, failure, out);
        match failure {
            StoreFailure::Full => {}
            StoreFailure::Fenced => self.depose(now, out),
            StoreFailure::Failed => self.open_store(out),
        }
    }

    /// The store has found that another process has begun an epoch.
    fn on_fenced(&mut self, now: Instant, out: &mut Outbox<Output>) {
        if self.lease.is_serving() {
            // A group that is under way fails, too.
            self.end_group(now, StoreFailure::Fenced, out);
            self.depose(now, out);
        }
    }

    /// Another process holds the store.
    fn on_held(&mut self, now: Instant, holder: String, out: &mut Outbox<Output>) {
        let was_open = self.lease.was_open();
        if self.lease.on_held(now, &holder) {
            out.push(Output::Report(Event::Standby { holder }));
        }
        if was_open {
            self.end_service(now, out);
        }
    }

    /// Another sequencer has opened the store.
    fn depose(&mut self, now: Instant, out: &mut Outbox<Output>) {
        self.lease.depose();
        self.end_service(now, out);
        if self.config.shares_store {
            self.lease.stand_by(now);
        }
    }

    /// Ends what is served, because another sequencer decides from now on.
    fn end_service(&mut self, now: Instant, out: &mut Outbox<Output>) {
        out.push(Output::Report(Event::Deposed));
        self.end_watches(out);
        self.end_feeds(out);
        let mut reports = ReplicaReports::default();
        self.replicas.end(&mut reports);
        self.report_copies(now, reports, out);
    }

    /// Answers the writers of all batches that are not durable, and drops the batches.
    fn end_group(&mut self, now: Instant, failure: StoreFailure, out: &mut Outbox<Output>) {
        let is_unknown =
            failure == StoreFailure::Failed && !self.config.bugs.has(RegistryBug::UnknownIsFailed);
        let writers = self.pipeline.abort();
        let writes = writers.len();
        for (write, was_sent) in writers {
            let result = Err(match failure {
                StoreFailure::Full => WriteRefusal::StoreFull,
                StoreFailure::Fenced => WriteRefusal::Deposed,
                StoreFailure::Failed if was_sent && is_unknown => WriteRefusal::Unknown,
                StoreFailure::Failed => WriteRefusal::StoreFailed,
            });
            self.answer(now, write, result, out);
        }
        self.accept_durable();
        let mut reports = ReplicaReports::default();
        self.replicas.abort(now, &mut reports);
        self.report_copies(now, reports, out);
        out.push(Output::Report(Event::CommitFailed { failure, writes }));
    }

    fn on_open_watch(
        &mut self,
        now: Instant,
        watch: WatchId,
        (viewer, request): (RegistryCaller, WatchRequest),
        out: &mut Outbox<Output>,
    ) {
        if !self.is_readable() {
            let result = Err(WatchRefusal::Opening);
            out.push(Output::WatchOpened { watch, result });
            return;
        }
        let (mut sent, watched) = (Vec::new(), watched(&self.logs, &self.durable));
        let opened = (self.watches).open(now, watch, viewer, request, watched, &mut sent);
        let result = opened.map(drop);
        out.push(Output::WatchOpened { watch, result });
        deliver(sent, out);
    }

    /// Ends all watches, because another sequencer decides from now on.
    fn end_watches(&mut self, out: &mut Outbox<Output>) {
        if self.config.bugs.has(RegistryBug::DeposedWatchesStay) {
            return;
        }
        for watch in self.watches.close_all() {
            let result = Err(WatchRefusal::Opening);
            out.push(Output::WatchOpened { watch, result });
        }
    }

    /// Calls the watch server, and orders what it sends.
    fn watch(
        &mut self,
        out: &mut Outbox<Output>,
        call: impl FnOnce(&mut WatchServer, WatchedState<'_>, &mut Vec<WatchOutput>),
    ) {
        let mut sent = Vec::new();
        call(
            &mut self.watches,
            watched(&self.logs, &self.durable),
            &mut sent,
        );
        deliver(sent, out);
    }

    fn on_wake(&mut self, now: Instant, out: &mut Outbox<Output>) {
        if self.lease.retry_at().is_some_and(|at| at <= now) {
            self.open_store(out);
        }
        self.watch(out, |watches, watched, sent| {
            watches.on_wake(now, watched, sent);
        });
        self.feed(out, |feed, source, sent| feed.on_wake(now, source, sent));
        let mut reports = ReplicaReports::default();
        self.replicas.on_wake(now, &mut reports);
        self.report_copies(now, reports, out);
        self.claim_region(now, out);
        let due = self.routed.take_due(now);
        self.answer_routed(due, out);
        self.answer_copied(now, out);
        if self.reconciler.is_due(now) {
            self.reconcile(now, out);
        }
    }

    /// Hands the next group to the store.
    fn commit(&mut self, out: &mut Outbox<Output>) {
        if !self.lease.is_serving() {
            return;
        }
        if self.pipeline.is_committing() {
            return;
        }
        let copies = if self.replicas.has_content() {
            self.replicas.take_updates(self.durable.objects())
        } else {
            Vec::new()
        };
        if let Some((ticket, entries)) = self.pipeline.take_group(!copies.is_empty()) {
            let (epoch, floor) = (self.lease.epoch(), self.logs.own().floor());
            let group = CommitGroup {
                epoch,
                entries,
                floor,
                copies,
            };
            out.push(Output::Commit { ticket, group });
        }
    }
}

const fn watched<'a>(logs: &'a RegionLogs, state: &'a RegistryState) -> WatchedState<'a> {
    let objects = state.objects();
    WatchedState { logs, objects }
}

fn deliver(sent: Vec<WatchOutput>, out: &mut Outbox<Output>) {
    for WatchOutput { watch, message } in sent {
        if let WatchMessage::Reset { reason } = &message {
            let reason = *reason;
            out.push(Output::Report(Event::WatchReset { watch, reason }));
        }
        out.push(Output::Watch { watch, message });
    }
}

impl Machine for Sequencer {
    type Input = Input;
    type Output = Output;

    fn step(&mut self, now: Instant, input: Input, out: &mut Outbox<Output>) {
        self.take(now, input, out);
        self.commit(out);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let deadlines = [
            self.lease.retry_at(),
            self.watches.next_deadline(),
            self.feed.next_deadline(),
            self.replicas.next_deadline(),
            self.claim.deadline(),
            self.acks.deadline(),
            self.routed.deadline(),
            self.reconciler.deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }
}
