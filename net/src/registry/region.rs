//! The running sequencer of a region: its loop, its store's thread, and the calls that wait for it.

use super::link::{DialedLinks, FollowerArrival, FollowerStream, JoinedNode, follow_members};
use super::message::watch::WatchReply;
use super::meters::RegistryMeters;
use super::store::{RegionStore, RegionStoreOrder, RegistryStoreView, StoreThread};
use crate::clock;
use crate::driver::{self, Executor, Handle, Inbox, Stopped, TimeOrigin};
use crate::transport::lifetime::until;
use crate::transport::{MeshNode, Tasks};
use phalanx_core::registry::name::RegionId;
use phalanx_core::registry::replica::{FeedRequest, FollowerId, ReplicaEvent};
use phalanx_core::registry::sequencer::{
    Config, Event, Input, Output, Sequencer, WriteId, WriteRequest,
};
use phalanx_core::registry::watch::{WatchId, WatchRequest};
use phalanx_core::registry::write::{
    CopiesWanted, RegistryCaller, WriteBatch, WriteOutcome, WriteRefusal,
};
use phalanx_core::time::Instant;
use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot, watch};

/// The registry has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the registry has stopped")]
pub struct RegistryStopped;

impl From<Stopped> for RegistryStopped {
    fn from(_: Stopped) -> Self {
        Self
    }
}

/// Reason why a write has no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteFailure {
    /// The write was refused.
    #[error(transparent)]
    Refused(#[from] WriteRefusal),
    /// The registry has stopped. Whether the write was applied is not known.
    #[error(transparent)]
    Stopped(#[from] RegistryStopped),
}

/// A reply to the stream of a watch.
pub(super) type WatchArrival = (WatchId, WatchReply);

type WriteAnswer = Result<WriteOutcome, WriteRefusal>;

/// The calls that wait for the sequencer.
#[derive(Debug, Default)]
struct WaitingCalls {
    last: u64,
    writes: BTreeMap<WriteId, oneshot::Sender<WriteAnswer>>,
    watches: BTreeMap<WatchId, mpsc::UnboundedSender<WatchArrival>>,
    followers: BTreeMap<FollowerId, FollowerStream>,
    /// The loop has ended.
    has_ended: bool,
}

#[derive(Clone, Debug, Default)]
struct SharedCalls(Arc<Mutex<WaitingCalls>>);

impl SharedCalls {
    fn lock(&self) -> MutexGuard<'_, WaitingCalls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reply(&self, watch: WatchId, reply: WatchReply) {
        let mut calls = self.lock();
        let is_end = matches!(reply, WatchReply::Refused(_));
        let stream = calls.watches.get(&watch);
        let is_gone = stream.is_none_or(|stream| stream.send((watch, reply)).is_err());
        if is_end || is_gone {
            calls.watches.remove(&watch);
        }
    }

    fn feed(&self, follower: FollowerId, arrival: FollowerArrival) {
        let mut calls = self.lock();
        let is_end = matches!(arrival, FollowerArrival::Ended(_));
        let stream = calls.followers.get(&follower);
        let is_gone = stream.is_none_or(|stream| !stream.send(arrival));
        if is_end || is_gone {
            calls.followers.remove(&follower);
        }
    }
}

/// Performs the outputs of the sequencer. Dropped with the loop, it ends the calls that wait.
#[derive(Debug)]
struct RegistryExecutor {
    orders: Sender<RegionStoreOrder>,
    calls: SharedCalls,
    meters: RegistryMeters,
    links: DialedLinks,
}

impl RegistryExecutor {
    fn order(&self, order: RegionStoreOrder) {
        // The thread ends the loop when it ends, so that no order waits for it.
        let _ended = self.orders.send(order).is_err();
    }
}

impl Executor<Sequencer> for RegistryExecutor {
    fn execute(&mut self, _now: Instant, output: Output) {
        match output {
            Output::OpenStore { incarnation } => self.order(RegionStoreOrder::Open { incarnation }),
            Output::Commit { ticket, group } => {
                self.meters.on_commit_ordered(group.entries.len());
                self.order(RegionStoreOrder::Commit { ticket, group });
            }
            Output::Answer { write, result } => {
                if let Err(refusal) = &result {
                    self.meters.on_refused(refusal);
                }
                if let Some(call) = self.calls.lock().writes.remove(&write) {
                    // The caller may have given up.
                    let _gone = call.send(result).is_err();
                }
            }
            Output::WatchOpened { watch, result } => {
                let reply = match result {
                    Ok(()) => WatchReply::Opened,
                    Err(refusal) => WatchReply::Refused(refusal),
                };
                self.calls.reply(watch, reply);
            }
            Output::Watch { watch, message } => {
                self.calls.reply(watch, WatchReply::Message(message));
            }
            Output::Link { region, order } => self.links.perform(&region, order),
            Output::Route { owner, write } => self.links.route(&owner, write),
            Output::Feed { follower, message } => {
                self.calls.feed(follower, FollowerArrival::Message(message));
            }
            Output::FeedEnded { follower, refusal } => {
                self.calls.feed(follower, FollowerArrival::Ended(refusal));
            }
            Output::Report(event) => {
                if let Event::WatchReset { reason, .. } = &event {
                    self.meters.on_reset(*reason);
                }
                report(&event);
            }
        }
    }
}

impl Drop for RegistryExecutor {
    fn drop(&mut self) {
        let mut calls = self.calls.lock();
        calls.has_ended = true;
        calls.writes.clear();
        calls.watches.clear();
        calls.followers.clear();
    }
}

fn report(event: &Event) {
    let word = event.word();
    match event {
        Event::Serving { epoch, head } => {
            let epoch = epoch.number;
            tracing::info!(event = word, epoch, head, "the registry serves");
        }
        Event::OpenFailed(failure) => tracing::warn!(
            event = word,
            ?failure,
            "the registry's store cannot be opened; the next attempt follows in a second"
        ),
        Event::CommitFailed { failure, writes } => tracing::warn!(
            event = word,
            ?failure,
            writes,
            "the registry's store did not take a group of writes"
        ),
        Event::Deposed => tracing::error!(
            event = word,
            "another process has opened the registry's store; this one takes no more writes"
        ),
        Event::Standby { holder } => tracing::info!(
            event = word,
            holder,
            "another process holds the registry's store; this one is its standby"
        ),
        Event::HistoryLost { head, stored } => tracing::error!(
            event = word,
            head,
            stored,
            "the registry's store has lost committed batches: an older copy was put in its place"
        ),
        Event::WatchReset { watch, reason } => tracing::debug!(
            event = word,
            watch = watch.0,
            reason = reason.word(),
            "a watcher gets a snapshot instead of changes"
        ),
        Event::Copy { region, event } => report_copy(word, region, event),
        Event::FollowerRefused { region, refusal } => tracing::error!(
            event = word,
            %region,
            "the registry of another region is not served: {refusal}"
        ),
        Event::RegionTaken => tracing::error!(
            event = word,
            "another store has this region, as field `uid` of the region's record says; this registry takes no writes"
        ),
    }
}

fn report_copy(word: &'static str, region: &RegionId, event: &ReplicaEvent) {
    match event {
        ReplicaEvent::Following => tracing::info!(
            event = word,
            %region,
            "the copy of the region follows its registry"
        ),
        ReplicaEvent::Lost => tracing::warn!(
            event = word,
            %region,
            "the registry of the region cannot be reached: reads see the last copy, and writes to its objects are refused"
        ),
        ReplicaEvent::Gap { expected, arrived } => tracing::warn!(
            event = word,
            %region,
            expected,
            arrived,
            "a batch of the region is missing; the copy asks for it again"
        ),
        ReplicaEvent::Diverged { sequence } => tracing::warn!(
            event = word,
            %region,
            sequence,
            "a batch of the region does not follow the copy; the copy asks for a snapshot"
        ),
        ReplicaEvent::TookSnapshot { sequence, changes } => tracing::info!(
            event = word,
            %region,
            sequence,
            changes,
            "the copy of the region has taken a snapshot"
        ),
        ReplicaEvent::Refused(refusal) if refusal.is_transient() => tracing::warn!(
            event = word,
            %region,
            "there is no link to the registry of the region: {refusal}"
        ),
        ReplicaEvent::Refused(refusal) => tracing::error!(
            event = word,
            %region,
            "the registry of the region does not serve this one: {refusal}"
        ),
        ReplicaEvent::Violation(what) => tracing::error!(
            event = word,
            %region,
            "the registry of the region broke a promise: {what}"
        ),
    }
}

/// A write to a registry.
#[derive(Clone, Debug)]
pub struct RegionWrite {
    /// The authenticated caller.
    pub caller: RegistryCaller,
    /// The caller's id of the request, if it gives one.
    pub request: Option<String>,
    /// The operations.
    pub batch: WriteBatch,
    /// The copies in other regions that the caller waits for.
    pub copies: Option<CopiesWanted>,
    /// Whether the registry of another region has routed the write here.
    pub is_routed: bool,
}

/// The running registry of a region. Clones share it.
#[derive(Clone, Debug)]
pub struct RegionRegistry {
    driver: Handle<Sequencer>,
    calls: SharedCalls,
    meters: RegistryMeters,
    region: RegionId,
    primary: RegionId,
    store: RegistryStoreView,
    tasks: Tasks,
    node: JoinedNode,
    has_ended: watch::Receiver<bool>,
}

impl RegionRegistry {
    /// Starts the registry of a region on a store.
    ///
    /// # Errors
    /// If the system does not start the store's thread.
    pub fn start(
        config: Config,
        view: impl Into<RegistryStoreView>,
        store: impl RegionStore,
    ) -> io::Result<Self> {
        let inbox = Inbox::<Sequencer>::new();
        let (driver, calls) = (inbox.handle(), SharedCalls::default());
        let meters = RegistryMeters::new();
        let (ending, has_ended) = watch::channel(false);
        let (region, primary) = (config.region.clone(), config.primary.clone());
        let runtime = runtime::Handle::current();
        let complete = {
            let (driver, runtime) = (driver.clone(), runtime.clone());
            let meters = meters.clone();
            move |input| {
                meters.on_completed(&input);
                runtime.block_on(driver.send(input)).is_ok()
            }
        };
        let ended = {
            let driver = driver.clone();
            move || runtime.block_on(driver.stop())
        };
        let (thread, orders) = StoreThread::start(store, complete, ended)?;
        let (starting, tasks) = (driver.clone(), Tasks::new());
        let node = JoinedNode::default();
        let executor = RegistryExecutor {
            orders,
            calls: calls.clone(),
            meters: meters.clone(),
            links: DialedLinks::new(
                region.clone(),
                node.clone(),
                driver.clone(),
                tasks.clone(),
                config.replica.idle_timeout,
            ),
        };
        tasks.spawn(async move {
            let machine = Sequencer::new(config);
            let running = driver::run(machine, executor, inbox, TimeOrigin::begin());
            // The executor is dropped here, and with it the sender of the thread's orders.
            drop(running.await);
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !joined.is_ok_and(|ended| ended) {
                tracing::error!("the thread of the registry's store panicked");
            }
            ending.send_replace(true);
        });
        tasks.spawn(async move {
            // An error means that the loop has ended.
            let _ended = starting.send(Input::Start).await.is_err();
        });
        Ok(Self {
            driver,
            calls,
            meters,
            region,
            primary,
            store: view.into(),
            tasks,
            node,
            has_ended,
        })
    }

    /// The region.
    #[must_use]
    pub const fn region(&self) -> &RegionId {
        &self.region
    }

    /// The region that owns regions, services and resources.
    #[must_use]
    pub const fn primary(&self) -> &RegionId {
        &self.primary
    }

    /// The store, for people.
    #[must_use]
    pub const fn store(&self) -> &RegistryStoreView {
        &self.store
    }

    /// Counts and times since the start.
    pub(crate) const fn meters(&self) -> &RegistryMeters {
        &self.meters
    }

    /// Runs a task.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Links the registry to those of other regions: it finds them through the node on which it runs.
    pub fn join(&self, node: &MeshNode) {
        if self.node.set(node.clone()).is_ok() {
            let following = follow_members(node.clone(), self.driver.clone());
            self.spawn(until(following, self.closed()));
        }
    }

    /// Answers a question about the sequencer.
    ///
    /// # Errors
    /// If the registry has stopped.
    pub async fn inspect<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Sequencer) -> T + Send + 'static,
    ) -> Result<T, RegistryStopped> {
        self.inspect_at(|machine, _| question(machine)).await
    }

    /// Answers a question about the sequencer at the present instant of its clock.
    ///
    /// # Errors
    /// If the registry has stopped.
    pub async fn inspect_at<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Sequencer, Instant) -> T + Send + 'static,
    ) -> Result<T, RegistryStopped> {
        Ok(self.driver.inspect(question).await?)
    }

    /// Writes a batch; returns when it is durable, and the copies that the caller waits for have it.
    ///
    /// # Errors
    /// If the batch is refused or the registry stops.
    pub async fn write(&self, write: RegionWrite) -> Result<WriteOutcome, WriteFailure> {
        let RegionWrite {
            caller,
            request,
            batch,
            copies,
            is_routed,
        } = write;
        let (call, answer) = oneshot::channel();
        let write = {
            let mut calls = self.calls.lock();
            if calls.has_ended {
                return Err(RegistryStopped.into());
            }
            calls.last += 1;
            let write = WriteId(calls.last);
            calls.writes.insert(write, call);
            write
        };
        let request = WriteRequest {
            write,
            caller,
            request,
            batch,
            time: clock::wall(),
            copies,
            is_routed,
        };
        let sent = self.driver.send(Input::Write(Box::new(request))).await;
        sent.map_err(RegistryStopped::from)?;
        Ok(answer.await.map_err(|_| RegistryStopped)??)
    }

    /// Opens a watch whose replies go to a stream. The first reply is `Opened` or `Refused`.
    pub(super) async fn open_watch(
        &self,
        caller: RegistryCaller,
        request: WatchRequest,
        stream: mpsc::UnboundedSender<WatchArrival>,
    ) -> Result<WatchId, RegistryStopped> {
        let watch = {
            let mut calls = self.calls.lock();
            if calls.has_ended {
                return Err(RegistryStopped);
            }
            calls.last += 1;
            let watch = WatchId(calls.last);
            calls.watches.insert(watch, stream);
            watch
        };
        let request = Box::new(request);
        let input = Input::OpenWatch {
            watch,
            caller,
            request,
        };
        self.driver.send(input).await?;
        Ok(watch)
    }

    /// Lets the registry send more bytes to a watch.
    pub(super) async fn grant(&self, watch: WatchId, bytes: usize) -> Result<(), RegistryStopped> {
        Ok(self.driver.send(Input::GrantWatch { watch, bytes }).await?)
    }

    /// Ends a watch.
    pub(super) async fn close_watch(&self, watch: WatchId) {
        self.calls.lock().watches.remove(&watch);
        // A registry that has stopped has no watches.
        let _stopped = self.driver.send(Input::CloseWatch { watch }).await.is_err();
    }

    /// Adds the stream of a follower.
    pub(super) fn add_follower(
        &self,
        stream: FollowerStream,
    ) -> Result<FollowerId, RegistryStopped> {
        let mut calls = self.calls.lock();
        if calls.has_ended {
            return Err(RegistryStopped);
        }
        calls.last += 1;
        let follower = FollowerId(calls.last);
        calls.followers.insert(follower, stream);
        Ok(follower)
    }

    /// A follower asks for the batches after its position.
    pub(super) async fn open_feed(
        &self,
        follower: FollowerId,
        request: FeedRequest,
    ) -> Result<(), RegistryStopped> {
        let request = Box::new(request);
        Ok(self
            .driver
            .send(Input::OpenFeed { follower, request })
            .await?)
    }

    /// A follower confirms batches, and takes more bytes.
    pub(super) async fn confirm_feed(
        &self,
        follower: FollowerId,
        sequence: u64,
        bytes: usize,
    ) -> Result<(), RegistryStopped> {
        let input = Input::ConfirmFeed {
            follower,
            sequence,
            bytes,
        };
        Ok(self.driver.send(input).await?)
    }

    /// The stream of a follower has ended.
    pub(super) async fn remove_follower(&self, follower: FollowerId) {
        self.calls.lock().followers.remove(&follower);
        let input = Input::CloseFeed { follower };
        // A registry that has stopped has no followers.
        let _stopped = self.driver.send(input).await.is_err();
    }

    /// Waits until the registry has ended: on request, or because its store's thread failed.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut has_ended = self.has_ended.clone();
        async move {
            // An error means that the loop's task has ended, too.
            let _gone = has_ended.wait_for(|ended| *ended).await.is_err();
        }
    }

    /// Ends the registry, after the group that is being committed. Writes that wait have no outcome.
    pub async fn shutdown(&self) {
        self.driver.stop().await;
        self.closed().await;
    }
}
