//! [`EnvRegistry`]: the registry as the process of a service sees it.
//!
//! The machine is [`ServiceEnvironment`]; this file connects it to a registry. A connection carries the watch and the
//! writes. A write without an answer is repeated by the machine under its request id.
//!
//! A subscription reads the copy of the machine when it changes, and so coalesces changes: a slow subscriber costs no
//! memory and delays no other.

use super::endpoint::RegistryEndpoint;
use super::limits::MESSAGE_BYTES_MAX;
use super::message::status::to_refusal;
use super::message::watch::{WatchReply, of_reply, to_open};
use super::message::write::{of_outcome, to_batch};
use super::proto::object_service_client::ObjectServiceClient;
use super::proto::watch_objects_request::Request;
use super::proto::{ApplyBatchRequest, WatchObjectsRequest};
use super::region::RegistryStopped;
use crate::driver::{self, Executor, Handle, Inbox, TimeOrigin};
use crate::entropy::{self, NoEntropy};
use crate::identity::Identity;
use crate::transport::Tasks;
use crate::transport::lifetime::until;
use phalanx_core::link::Address;
use phalanx_core::random::Random;
use phalanx_core::registry::environment::address::{NoAddress, ServiceAddress};
use phalanx_core::registry::environment::relevance::RelevantView;
use phalanx_core::registry::environment::{
    EnvironmentConfig, Event, Input, Output, ServiceEnvironment,
};
use phalanx_core::registry::name::ObjectName;
use phalanx_core::registry::object::Object;
use phalanx_core::registry::watch::{
    ClientEvent, ClientInput, ClientOutput, WatchChange, WatchRefusal, WatchRequest,
};
use phalanx_core::registry::write::{WriteBatch, WriteRefusal};
use phalanx_core::time::{Duration, Instant};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Code;
use tonic::transport::Channel;

/// Maximum time to connect.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// The number of the watch on its stream.
const WATCH_ID: u64 = 1;

/// Reason why an environment is not ready and will not be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvRegistryError {
    /// The operating system did not provide random bytes.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    /// The records of the process are refused for good.
    #[error("the records of this process are refused: {0}")]
    Rejected(WriteRefusal),
    /// The watch is refused for good.
    #[error("the watch of the registry is refused: {0}")]
    Watch(WatchRefusal),
    /// The environment was stopped.
    #[error(transparent)]
    Stopped(#[from] RegistryStopped),
}

/// The progress of an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Progress {
    /// With the reason why the records cannot be written yet, if there is one.
    Waiting(Option<WriteRefusal>),
    Ready,
    Failed(EnvRegistryError),
}

/// The registry as the process of a service sees it. Clones share it; the environment ends with the last one.
#[derive(Clone, Debug)]
pub struct EnvRegistry {
    driver: Handle<ServiceEnvironment>,
    service: String,
    progress: watch::Receiver<Progress>,
    /// Changes when the copy does.
    version: watch::Receiver<u64>,
    _stop: Arc<StopOnDrop>,
}

/// Ends the loop when the last clone is dropped.
#[derive(Debug)]
struct StopOnDrop {
    stop: Option<mpsc::Sender<()>>,
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

impl EnvRegistry {
    /// Begins to register the process, and to follow the registry at an address. Needs a runtime of tokio.
    ///
    /// # Errors
    /// If the operating system does not provide random bytes.
    pub fn begin(
        config: EnvironmentConfig,
        address: Address,
        identity: Identity,
    ) -> Result<Self, EnvRegistryError> {
        let identity = Box::new(identity);
        Self::begin_at(config, RegistryEndpoint::Node { address, identity })
    }

    /// Begins to register the process, and to follow the registry at an endpoint. Needs a runtime of tokio.
    ///
    /// # Errors
    /// If the operating system does not provide random bytes.
    pub fn begin_at(
        config: EnvironmentConfig,
        endpoint: RegistryEndpoint,
    ) -> Result<Self, EnvRegistryError> {
        let random = Random::from_seed(entropy::seed()?).child("environment");
        let service = config.service().id().to_owned();
        let inbox = Inbox::<ServiceEnvironment>::new();
        let (driver, tasks) = (inbox.handle(), Tasks::new());
        let (progress, has_progressed) = watch::channel(Progress::Waiting(None));
        let (version, has_changed) = watch::channel(0);
        let executor = EnvironmentExecutor {
            driver: driver.clone(),
            endpoint,
            connection: Arc::default(),
            tasks: tasks.clone(),
            cancel: None,
            requests: None,
            progress,
            version,
        };
        let machine = ServiceEnvironment::new(config, &random);
        let (stop, mut stopping) = mpsc::channel::<()>(1);
        let own = driver.clone();
        tasks.spawn(async move {
            drop(driver::run(machine, executor, inbox, TimeOrigin::begin()).await);
        });
        tasks.spawn(async move {
            // An error means that the loop has ended.
            let _ended = own.send(Input::Start).await.is_err();
            // Nothing is ever sent: the channel closes with the last clone.
            let _none = stopping.recv().await;
            own.stop().await;
        });
        Ok(Self {
            driver,
            service,
            progress: has_progressed,
            version: has_changed,
            _stop: Arc::new(StopOnDrop { stop: Some(stop) }),
        })
    }

    /// Begins, and waits until the records of the process stand and it has a copy of the registry.
    ///
    /// # Errors
    /// If the registry refuses the records or the watch for good. A registry that cannot be reached is waited for.
    pub async fn start(
        config: EnvironmentConfig,
        address: Address,
        identity: Identity,
    ) -> Result<Self, EnvRegistryError> {
        let identity = Box::new(identity);
        Self::start_at(config, RegistryEndpoint::Node { address, identity }).await
    }

    /// Begins, and waits as [`start`](Self::start) does, for the registry at an endpoint.
    ///
    /// # Errors
    /// The errors of [`start`](Self::start).
    pub async fn start_at(
        config: EnvironmentConfig,
        endpoint: RegistryEndpoint,
    ) -> Result<Self, EnvRegistryError> {
        let environment = Self::begin_at(config, endpoint)?;
        environment.ready().await?;
        Ok(environment)
    }

    /// Waits until the records of the process stand and it has a copy of the registry.
    ///
    /// # Errors
    /// If the registry refuses the records or the watch for good.
    pub async fn ready(&self) -> Result<(), EnvRegistryError> {
        let mut progress = self.progress.clone();
        let is_over = |it: &Progress| !matches!(it, Progress::Waiting(_));
        let ended = progress.wait_for(is_over).await;
        match ended.map(|it| it.clone()) {
            Ok(Progress::Failed(error)) => Err(error),
            Ok(Progress::Ready | Progress::Waiting(_)) => Ok(()),
            Err(_) => Err(RegistryStopped.into()),
        }
    }

    /// The reasons for which the records of the process cannot be written yet, as they change.
    #[must_use]
    pub fn waiting(&self) -> WaitingReasons {
        let mut progress = self.progress.clone();
        progress.mark_changed();
        WaitingReasons { progress }
    }

    /// Answers a question about the environment.
    ///
    /// # Errors
    /// If the environment was stopped.
    pub async fn inspect<T: Send + 'static>(
        &self,
        question: impl FnOnce(&ServiceEnvironment, Instant) -> T + Send + 'static,
    ) -> Result<T, EnvRegistryError> {
        let asked = self.driver.inspect(question).await;
        asked.map_err(|_| RegistryStopped.into())
    }

    /// The object of a name in the copy.
    ///
    /// # Errors
    /// If the environment was stopped.
    pub async fn get(&self, name: ObjectName) -> Result<Option<Arc<Object>>, EnvRegistryError> {
        self.inspect(move |it, _| it.get(&name).cloned()).await
    }

    /// The record of the process's own service.
    ///
    /// # Errors
    /// If the environment was stopped.
    pub async fn own_service(&self) -> Result<Option<Arc<Object>>, EnvRegistryError> {
        self.inspect(|it, _| it.own_service().cloned()).await
    }

    /// The record of the process's own deployment.
    ///
    /// # Errors
    /// If the environment was stopped.
    pub async fn own_deployment(&self) -> Result<Option<Arc<Object>>, EnvRegistryError> {
        self.inspect(|it, _| it.own_deployment().cloned()).await
    }

    /// The address of a service, by a label if one is given; or the reason why there is none.
    ///
    /// # Errors
    /// If the environment was stopped.
    pub async fn address(
        &self,
        service: &str,
        label: Option<&str>,
    ) -> Result<Result<ServiceAddress, NoAddress>, EnvRegistryError> {
        let (service, label) = (service.to_owned(), label.map(str::to_owned));
        self.inspect(move |it, _| it.address(&service, label.as_deref()))
            .await
    }

    /// The time for which the copy may be out of date: zero while it follows the registry, none before it exists.
    ///
    /// # Errors
    /// If the environment was stopped.
    pub async fn age(&self) -> Result<Option<Duration>, EnvRegistryError> {
        self.inspect(|it, now| it.age(now)).await
    }

    /// A subscription to the relevant services. Its first update has all objects that exist.
    #[must_use]
    pub fn subscribe(&self) -> EnvironmentSubscription {
        let mut version = self.version.clone();
        version.mark_changed();
        EnvironmentSubscription {
            environment: self.clone(),
            version,
            state: Arc::new(Mutex::new(SubscriptionState {
                view: RelevantView::new(&self.service),
                has_snapshot: false,
                update: None,
            })),
        }
    }
}

/// The reasons why the records of a process wait.
#[derive(Debug)]
pub struct WaitingReasons {
    progress: watch::Receiver<Progress>,
}

impl WaitingReasons {
    /// Waits for the next reason. None if the process waits no longer: [`EnvRegistry::ready`] has the result then.
    pub async fn next(&mut self) -> Option<WriteRefusal> {
        loop {
            self.progress.changed().await.ok()?;
            match &*self.progress.borrow_and_update() {
                Progress::Waiting(None) => {}
                Progress::Waiting(Some(refusal)) => return Some(refusal.clone()),
                Progress::Ready | Progress::Failed(_) => return None,
            }
        }
    }
}

/// Changes of the relevant services, applied together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentUpdate {
    /// Whether the changes are all objects that exist: true for the first update.
    pub is_snapshot: bool,
    /// The changes, at most one of each object.
    pub changes: Vec<WatchChange>,
}

#[derive(Debug)]
struct SubscriptionState {
    view: RelevantView,
    has_snapshot: bool,
    /// The update that was not taken yet.
    update: Option<EnvironmentUpdate>,
}

impl SubscriptionState {
    /// Follows the copy.
    fn follow(&mut self, environment: &ServiceEnvironment) {
        if !environment.is_ready() {
            return;
        }
        let objects: Vec<_> = environment.objects().collect();
        let changes = self.view.update(objects.iter().copied());
        let is_snapshot = !self.has_snapshot;
        self.has_snapshot = true;
        match &mut self.update {
            Some(update) => update.changes.extend(changes),
            None if is_snapshot || !changes.is_empty() => {
                self.update = Some(EnvironmentUpdate {
                    is_snapshot,
                    changes,
                });
            }
            None => {}
        }
    }
}

/// A subscription to the relevant services.
#[derive(Debug)]
pub struct EnvironmentSubscription {
    environment: EnvRegistry,
    version: watch::Receiver<u64>,
    state: Arc<Mutex<SubscriptionState>>,
}

impl EnvironmentSubscription {
    /// Waits for the next update. A call that is cancelled loses nothing.
    ///
    /// # Errors
    /// If the environment was stopped.
    pub async fn next(&mut self) -> Result<EnvironmentUpdate, EnvRegistryError> {
        loop {
            let taken = self.locked(|state| state.update.take());
            if let Some(update) = taken {
                return Ok(update);
            }
            let changed = self.version.changed().await;
            changed.map_err(|_| RegistryStopped)?;
            let state = Arc::clone(&self.state);
            let follow = move |environment: &ServiceEnvironment, _| {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                state.follow(environment);
            };
            self.environment.inspect(follow).await?;
        }
    }

    fn locked<T>(&self, with: impl FnOnce(&mut SubscriptionState) -> T) -> T {
        with(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The connection to the registry, once it is made.
type SharedConnection = Arc<Mutex<Option<ObjectServiceClient<Channel>>>>;

/// Performs the outputs of an environment.
struct EnvironmentExecutor {
    driver: Handle<ServiceEnvironment>,
    endpoint: RegistryEndpoint,
    connection: SharedConnection,
    tasks: Tasks,
    /// Dropped, it cancels the tasks of the connection.
    cancel: Option<watch::Sender<()>>,
    /// Requests on the stream of the watch.
    requests: Option<mpsc::UnboundedSender<WatchObjectsRequest>>,
    progress: watch::Sender<Progress>,
    version: watch::Sender<u64>,
}

impl Executor<ServiceEnvironment> for EnvironmentExecutor {
    fn execute(&mut self, _now: Instant, output: Output) {
        match output {
            Output::Watch(ClientOutput::Connect) => self.connect(),
            Output::Watch(ClientOutput::Open(request)) => self.open(&request),
            Output::Watch(ClientOutput::Grant { bytes }) => self.grant(bytes),
            Output::Watch(ClientOutput::Disconnect) => self.disconnect(),
            Output::Deliver(_) | Output::Watch(ClientOutput::Deliver(_)) => self.on_changed(),
            Output::Write { request, batch } => self.write(request, &batch),
            Output::Report(event) => self.report(event),
            Output::Watch(ClientOutput::Report(event)) => self.report(Event::Watch(event)),
        }
    }
}

impl Drop for EnvironmentExecutor {
    fn drop(&mut self) {
        self.disconnect();
    }
}

impl EnvironmentExecutor {
    fn on_changed(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    fn client(&self) -> Option<ObjectServiceClient<Channel>> {
        let connection = self.connection.lock();
        connection.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn disconnect(&mut self) {
        self.requests = None;
        self.cancel = None;
        *self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Runs a task until the connection is given up.
    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.get_or_insert_with(|| watch::channel(()).0);
        let mut cancelled = cancel.subscribe();
        let cancelled = async move {
            // Nothing is ever sent: the sender is dropped.
            let _dropped = cancelled.changed().await.is_err();
        };
        self.tasks.spawn(until(task, cancelled));
    }

    fn connect(&mut self) {
        self.disconnect();
        let endpoint = self.endpoint.clone();
        let (driver, connection) = (self.driver.clone(), Arc::clone(&self.connection));
        self.spawn(async move {
            let input = match endpoint.connect_registry(CONNECT_MAX).await {
                Ok(channel) => {
                    let client = ObjectServiceClient::new(channel)
                        .max_decoding_message_size(MESSAGE_BYTES_MAX)
                        .max_encoding_message_size(MESSAGE_BYTES_MAX);
                    *connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(client);
                    ClientInput::Connected
                }
                Err(error) => {
                    tracing::warn!("cannot connect to the registry at {endpoint}: {error}");
                    ClientInput::Disconnected
                }
            };
            tell(&driver, input).await;
        });
    }

    fn open(&mut self, wanted: &WatchRequest) {
        let (requests, sent) = mpsc::unbounded_channel();
        // The receiver exists until the end of this call.
        let _gone = requests
            .send(request(Request::Open(to_open(wanted))))
            .is_err();
        self.requests = Some(requests);
        let (driver, client) = (self.driver.clone(), self.client());
        self.spawn(async move {
            if let Some(client) = client {
                follow(client, UnboundedReceiverStream::new(sent), &driver).await;
            }
            tell(&driver, ClientInput::Disconnected).await;
        });
    }

    fn grant(&self, bytes: usize) {
        if let Some(requests) = &self.requests {
            // A stream that has ended is reported by its task.
            let _ended = requests
                .send(request(Request::GrantBytes(bytes as u64)))
                .is_err();
        }
    }

    /// Writes a batch. Without a connection, nothing happens: the machine repeats the order.
    fn write(&mut self, request: String, batch: &WriteBatch) {
        let Some(mut client) = self.client() else {
            return;
        };
        let driver = self.driver.clone();
        let call = ApplyBatchRequest {
            operations: to_batch(batch),
            request_id: request.clone(),
            ..ApplyBatchRequest::default()
        };
        self.spawn(async move {
            let result = match client.apply_batch(call).await {
                Ok(reply) => of_outcome(reply.into_inner()).map_err(|error| {
                    tracing::warn!("the registry's answer to a write is not valid: {error}");
                    WriteRefusal::Unknown
                }),
                Err(status) => Err(to_refusal(&status)),
            };
            // An error means that the loop has ended.
            let _ended = driver
                .send(Input::Written { request, result })
                .await
                .is_err();
        });
    }

    fn report(&self, event: Event) {
        match event {
            Event::Ready => {
                self.progress.send_replace(Progress::Ready);
                self.on_changed();
            }
            Event::Waiting(refusal) => {
                tracing::warn!("the records of this process wait: {refusal}");
                self.progress.send_if_modified(|progress| {
                    let waits = matches!(progress, Progress::Waiting(_));
                    if waits {
                        *progress = Progress::Waiting(Some(refusal));
                    }
                    waits
                });
            }
            Event::Rejected(refusal) => {
                tracing::error!("the records of this process are refused: {refusal}");
                self.fail(EnvRegistryError::Rejected(refusal));
            }
            Event::Watch(ClientEvent::Ended(refusal)) => {
                tracing::error!("the watch of the registry is refused: {refusal}");
                self.fail(EnvRegistryError::Watch(refusal));
            }
            Event::Watch(ClientEvent::Violation(what)) => {
                tracing::error!("the registry broke a promise: {what}");
            }
            Event::Watch(ClientEvent::TimedOut) => {
                tracing::warn!("the registry is silent; the process connects again");
            }
            Event::Watch(ClientEvent::LostSync) => {
                tracing::warn!("the copy of the registry ceases to be current");
            }
            Event::Watch(ClientEvent::InSync) => {
                tracing::info!("the copy of the registry is current");
            }
            Event::Watch(ClientEvent::Reset(reason)) => {
                let reason = reason.word();
                tracing::info!(reason, "the registry sends a snapshot instead of changes");
            }
        }
    }

    fn fail(&self, error: EnvRegistryError) {
        self.progress.send_replace(Progress::Failed(error));
    }
}

const fn request(request: Request) -> WatchObjectsRequest {
    WatchObjectsRequest {
        watch_id: WATCH_ID,
        request: Some(request),
    }
}

async fn tell(driver: &Handle<ServiceEnvironment>, input: ClientInput) {
    // An error means that the loop has ended.
    let _ended = driver.send(Input::Watch(input)).await.is_err();
}

/// Passes the replies of a watch to the machine until the stream ends.
async fn follow(
    mut client: ObjectServiceClient<Channel>,
    requests: UnboundedReceiverStream<WatchObjectsRequest>,
    driver: &Handle<ServiceEnvironment>,
) {
    let mut replies = match client.watch_objects(requests).await {
        Ok(replies) => replies.into_inner(),
        Err(status) => {
            tracing::warn!("the registry does not open a watch: {}", status.message());
            if let WriteRefusal::Remote(remote) = to_refusal(&status)
                && remote.is_terminal
            {
                let text = if status.code() == Code::Unimplemented {
                    "the node runs no registry".to_owned()
                } else {
                    remote.text
                };
                tell(driver, ClientInput::Refused(WatchRefusal::Denied(text))).await;
            }
            return;
        }
    };
    loop {
        let reply = match replies.message().await {
            Ok(Some(reply)) => reply.reply,
            Ok(None) => return,
            Err(status) => {
                tracing::warn!("the stream of the registry has ended: {}", status.message());
                return;
            }
        };
        match reply.map(of_reply) {
            Some(Ok(WatchReply::Opened)) | None => {}
            Some(Ok(WatchReply::Refused(refusal))) => {
                tell(driver, ClientInput::Refused(refusal)).await;
                return;
            }
            Some(Ok(WatchReply::Message(message))) => {
                tell(driver, ClientInput::Receive(message)).await;
            }
            Some(Err(error)) => {
                tracing::error!("a message of the registry is not valid: {error}");
                return;
            }
        }
    }
}
