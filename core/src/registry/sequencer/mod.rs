//! The sequencer of a region: it alone decides about writes to the objects that the region owns.
//!
//! [`Sequencer`] is a machine. It decides about a batch on the state after all accepted batches, gives it the next
//! revision, and hands it to the store in a group. When the group is durable, it publishes the group to watchers and
//! answers the writers. Reads and watches see durable batches alone.
//!
//! - `lease`: the epoch, and the states of the store.
//! - `pipeline`: batches that are not yet durable, and their writers.
//! - `decision`: preconditions, masks, rules; the changes of a batch.
//! - `audiences`: the services that may read the changed objects.
//! - `quotas`: objects and writes of each service.
//! - [`ChangeLog`]: durable batches, for watchers that resume and requests that are repeated.
//! - [`WatchServer`]: the watchers.
//!
//! Promises:
//! - Reads, writes and refusals are linearizable while the epoch lasts, and a batch is atomic. A registry that does not
//!   know yet that another one has opened its store may answer reads and refusals from its last state.
//! - An acknowledged write is durable. A write that is refused is not applied, except for
//!   [`WriteRefusal::Unknown`]; its outcome is learnt by repeating it with its request id.
//! - A request id is executed at most once while the log keeps its batch.
//! - After a failure of the store with an unknown outcome, the store is opened again before any other write.
//! - A sequencer whose epoch has ended commits nothing, because the store checks the epoch in each commit.
//!
//! Bounds: those of the components; [`WriteLimits`].

mod audiences;
mod decision;
mod interface;
mod lease;
mod pipeline;
mod quotas;
#[cfg(test)]
mod tests;

pub use interface::{
    Config, Event, Input, Output, PREFIXES_MAX, PrefixQuota, WriteId, WriteLimits, WriteRequest,
};
pub use pipeline::{WAITING_BYTES_MAX, WAITING_ENTRIES_MAX};

use super::log::{ChangeLog, LogEntry, LogEpoch, RequestKey, RequestStamp};
use super::metadata::Revision;
use super::name::ObjectName;
use super::object::Object;
use super::query::{ObjectPage, ObjectQuery, PageTokenError};
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
use decision::{DecisionContext, added, decide};
use lease::Lease;
use pipeline::{CommitPipeline, Waiter, WaitingAnswer};
use quotas::Quotas;
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
    log: ChangeLog,
    watches: WatchServer,
    random: Random,
    /// Calendar time of the latest write.
    time: Wall,
}

/// Readable state.
impl Sequencer {
    /// A sequencer that has not started.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            lease: Lease::new(),
            pipeline: CommitPipeline::default(),
            quotas: Quotas::new(config.limits, &config.prefixes),
            accepted: RegistryState::default(),
            durable: RegistryState::default(),
            log: ChangeLog::default(),
            watches: WatchServer::new(config.region.clone(), config.bookmark_interval, config.bugs),
            random: Random::from_seed(config.seed).child("registry"),
            time: Wall(0),
            config,
        }
    }

    /// Whether the store was opened, so that there is a state to read, and no other sequencer is known to have opened it.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.lease.is_readable()
    }

    /// Whether writes are accepted.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.lease.is_serving()
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

    /// The durable batches.
    #[must_use]
    pub const fn log(&self) -> &ChangeLog {
        &self.log
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
            Input::Write(write) => self.on_write(now, *write, out),
            Input::Committed { ticket } => self.on_committed(now, ticket, out),
            Input::CommitFailed { ticket, failure } => self.on_failed(ticket, failure, out),
            Input::OpenWatch {
                watch,
                caller,
                request,
            } => self.on_open_watch(now, watch, (caller, *request), out),
            Input::GrantWatch { watch, bytes } => self.watch(out, |watches, watched, sent| {
                watches.grant(now, watch, bytes, watched, sent);
            }),
            Input::CloseWatch { watch } => self.watches.close(watch),
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
        if !self.lease.on_opened(epoch.unwrap_or_default()) {
            return;
        }
        let (head, stored) = (self.log.head(), image.head());
        let log = ChangeLog::of(image.floor, image.epochs, image.log);
        let former = std::mem::replace(&mut self.log, log);
        if !self.log.knows(former.epoch_of(head), head) {
            out.push(Output::Report(Event::HistoryLost { head, stored }));
        }
        self.durable = RegistryState::of(image.objects);
        self.accept_durable();
        let (epoch, head) = (self.lease.epoch(), stored);
        out.push(Output::Report(Event::Serving { epoch, head }));
        self.watch(out, |watches, watched, sent| {
            watches.on_reopened(now, &former, watched, sent);
        });
    }

    /// Drops what is accepted and not durable.
    fn accept_durable(&mut self) {
        self.accepted = self.durable.clone();
        self.quotas.recount(self.durable.objects().iter());
    }

    fn on_write(&mut self, now: Instant, write: WriteRequest, out: &mut Outbox<Output>) {
        let id = write.write;
        self.time = self.time.max(write.time);
        if let Err(refusal) = self.accept(now, write, out) {
            let result = Err(refusal);
            out.push(Output::Answer { write: id, result });
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
        let request = write.request.as_ref().map(|id| RequestStamp {
            key: RequestKey {
                caller: write.caller.to_string(),
                id: id.clone(),
            },
            hash: write.batch.hash(),
        });
        if self.repeat(write.write, request.as_ref(), out)? {
            return Ok(());
        }
        self.quotas.begin(now, &write.caller, &write.batch)?;
        if !self.pipeline.has_room() {
            return Err(WriteRefusal::Busy);
        }
        let revision = Revision {
            epoch: self.lease.epoch().number,
            sequence: self.next_sequence(),
        };
        let mut context = DecisionContext {
            config: &self.config,
            caller: &write.caller,
            time: self.time,
            revision,
            uids: &mut self.random,
        };
        let state = if self.config.bugs.has(RegistryBug::LostUpdate) {
            &self.durable
        } else {
            &self.accepted
        };
        let decided = decide(state, &write.batch, &mut context);
        let changes = match decided.and_then(|it| self.quotas.check(added(&it)).map(|()| it)) {
            Ok(changes) => changes,
            Err(refusal) if self.pipeline.len() == 0 => return Err(refusal),
            Err(refusal) => {
                self.wait_for_last(write.write, WaitingAnswer::Refused(refusal));
                return Ok(());
            }
        };
        if changes.is_empty() {
            self.answer_unchanged(write.write, out);
            return Ok(());
        }
        for change in &changes {
            self.accepted.apply(change);
            self.quotas.apply(change);
        }
        let entry = LogEntry {
            revision,
            time: self.time,
            request,
            changes,
        };
        if self.config.bugs.has(RegistryBug::AnswersEarly) {
            let result = Ok(WriteOutcome::of(&entry));
            let write = write.write;
            out.push(Output::Answer { write, result });
        }
        self.pipeline.push(entry, write.write);
        Ok(())
    }

    /// The sequence number of the next accepted batch.
    fn next_sequence(&self) -> u64 {
        self.log.head() + self.pipeline.len() as u64 + 1
    }

    /// Whether a write is a repetition: then it gets the outcome of the first attempt.
    fn repeat(
        &mut self,
        write: WriteId,
        request: Option<&RequestStamp>,
        out: &mut Outbox<Output>,
    ) -> Result<bool, WriteRefusal> {
        let Some(request) = request else {
            return Ok(false);
        };
        if self.config.bugs.has(RegistryBug::RequestsForgotten) {
            return Ok(false);
        }
        let waiting = self.pipeline.of_request(&request.key);
        let Some(entry) = waiting.or_else(|| self.log.of_request(&request.key)) else {
            return Ok(false);
        };
        if entry.request.as_ref() != Some(request) {
            return Err(WriteRefusal::RequestReused);
        }
        let sequence = entry.revision.sequence;
        if sequence > self.log.head() {
            let answer = WaitingAnswer::Own;
            self.pipeline.wait(sequence, Waiter { write, answer });
        } else {
            let result = Ok(WriteOutcome::of(entry));
            out.push(Output::Answer { write, result });
        }
        Ok(true)
    }

    /// Answers a batch that changes nothing, once the state that it saw is durable.
    fn answer_unchanged(&mut self, write: WriteId, out: &mut Outbox<Output>) {
        if self.pipeline.len() > 0 {
            self.wait_for_last(write, WaitingAnswer::Unchanged);
        } else {
            let result = Ok(self.unchanged());
            out.push(Output::Answer { write, result });
        }
    }

    /// Answers a writer when the last accepted batch is durable.
    fn wait_for_last(&mut self, write: WriteId, answer: WaitingAnswer) {
        let last = self.next_sequence() - 1;
        self.pipeline.wait(last, Waiter { write, answer });
    }

    /// The outcome of a batch that changes nothing.
    fn unchanged(&self) -> WriteOutcome {
        let sequence = self.log.head();
        let epoch = self.log.epoch_of(sequence).number;
        WriteOutcome {
            revision: Revision { epoch, sequence },
            objects: Vec::new(),
        }
    }

    fn on_committed(&mut self, now: Instant, ticket: Ticket, out: &mut Outbox<Output>) {
        let Some(group) = self.pipeline.on_committed(ticket) else {
            return;
        };
        for (entry, waiters) in group {
            for change in &entry.changes {
                self.durable.apply(change);
            }
            self.log.append(Arc::clone(&entry));
            for waiter in waiters {
                let result = match waiter.answer {
                    WaitingAnswer::Own if self.config.bugs.has(RegistryBug::AnswersEarly) => {
                        continue;
                    }
                    WaitingAnswer::Own => Ok(WriteOutcome::of(&entry)),
                    WaitingAnswer::Unchanged => Ok(self.unchanged()),
                    WaitingAnswer::Refused(refusal) => Err(refusal),
                };
                let write = waiter.write;
                out.push(Output::Answer { write, result });
            }
        }
        self.watch(out, |watches, watched, sent| {
            watches.publish(now, watched, sent);
        });
        self.compact(now, out);
    }

    /// Removes old batches from the log; the next commit removes them from the store.
    fn compact(&mut self, now: Instant, out: &mut Outbox<Output>) {
        let floor = self.log.compactable(self.time, self.config.retention);
        if floor > self.log.floor() {
            self.watch(out, |watches, watched, sent| {
                watches.before_compaction(now, floor, watched, sent);
            });
            self.log.compact(floor);
        }
    }

    fn on_failed(&mut self, ticket: Ticket, failure: StoreFailure, out: &mut Outbox<Output>) {
        if !self.pipeline.is_under_way(ticket) {
            return;
        }
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
            out.push(Output::Answer { write, result });
        }
        self.accept_durable();
        out.push(Output::Report(Event::CommitFailed { failure, writes }));
        match failure {
            StoreFailure::Full => {}
            StoreFailure::Fenced => {
                self.lease.depose();
                out.push(Output::Report(Event::Deposed));
                self.end_watches(out);
            }
            StoreFailure::Failed => self.open_store(out),
        }
    }

    fn on_open_watch(
        &mut self,
        now: Instant,
        watch: WatchId,
        (viewer, request): (RegistryCaller, WatchRequest),
        out: &mut Outbox<Output>,
    ) {
        if !self.lease.is_readable() {
            let result = Err(WatchRefusal::Opening);
            out.push(Output::WatchOpened { watch, result });
            return;
        }
        let (mut sent, watched) = (Vec::new(), watched(&self.log, &self.durable));
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
            watched(&self.log, &self.durable),
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
    }

    /// Hands the next group to the store.
    fn commit(&mut self, out: &mut Outbox<Output>) {
        if !self.lease.is_serving() {
            return;
        }
        if let Some((ticket, entries)) = self.pipeline.take_group() {
            let (epoch, floor) = (self.lease.epoch(), self.log.floor());
            let group = CommitGroup {
                epoch,
                entries,
                floor,
            };
            out.push(Output::Commit { ticket, group });
        }
    }
}

const fn watched<'a>(log: &'a ChangeLog, state: &'a RegistryState) -> WatchedState<'a> {
    let objects = state.objects();
    WatchedState { log, objects }
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
        [self.lease.retry_at(), self.watches.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }
}
