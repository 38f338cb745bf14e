//! The life cycle of one node: start, signals, end. `reload` applies a changed configuration.

mod registry;
mod reload;

use crate::DaemonError;
use crate::config::{
    Advertise, DaemonSettings, Discovery, RegistryPlace, RegistrySettings, warn_local_only,
};
use crate::state::StateDirectory;
use core::net::SocketAddr;
use core::pin::{Pin, pin};
use core::task::Poll;
use phalanx_core::gossip::{Config, Input};
use phalanx_core::link::Address;
use phalanx_core::supervision::TakenIdLimit;
use phalanx_core::time::Wall;
use phalanx_core::topology::record::Content;
use phalanx_net::identity::{
    self, ACCEPTED_SECRETS, Identity, IdentityError, Opened, Trust, iso_8601,
};
use phalanx_net::metrics::MetricsListener;
use phalanx_net::registry::{ElsewhereApi, RegionRegistry, add_services};
use phalanx_net::service::{Api, ChannelApi, EventJournal};
use phalanx_net::shutdown::{SignalRequest, Signals};
use phalanx_net::telemetry::Log;
use phalanx_net::transport::{self, AdvertiseError, BoundPort, Limits, MeshNode, Tcp};
use phalanx_net::{clock, entropy};
use sd_notify::NotifyState;
use std::future::{Future, poll_fn};
use std::io;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::{self, JoinSet};
use tokio::time;
use tonic::service::Routes;

/// Maximum time for announcing that the node leaves.
const LEAVE_MAX: Duration = Duration::from_secs(5);
/// Maximum time to write the last log lines.
const LOG_DRAIN_MAX: Duration = Duration::from_secs(1);
/// Maximum time from a signal to end to the end of the process.
const SHUTDOWN_MAX: Duration = Duration::from_secs(20);
/// Maximum interval at which the node's machine is queried. Each query wakes an idle process.
const SUPERVISION_INTERVAL: Duration = Duration::from_secs(5);
/// Maximum time to wait for threads that cannot be cancelled.
const THREADS_MAX: Duration = Duration::from_millis(500);

impl DaemonSettings {
    /// Returns the content of the record of a node that advertises `address`.
    pub(crate) fn content(&self, address: Option<SocketAddr>) -> Content {
        let mut content = Content {
            nickname: self.nickname.clone(),
            kind: self.kind.clone(),
            address,
            joined: clock::wall(),
            services: self.services.clone(),
            metadata: self.metadata.clone(),
        };
        if let Some(registry) = &self.registry {
            content.services.insert(RegistrySettings::service());
            registry.place(&mut content.metadata);
        }
        content
    }
}

fn start(error: impl std::fmt::Display) -> DaemonError {
    DaemonError::Start(error.to_string())
}

/// Checks everything that can be checked without starting the node or writing files.
pub(crate) fn check(settings: &DaemonSettings) -> Result<String, DaemonError> {
    let inspected = identity::inspect(&settings.certificates, &settings.subject, clock::wall())
        .map_err(start)?;
    let mut said = vec![format!(
        "the configuration of {} is valid",
        settings.subject
    )];
    said.extend(settings.warnings.iter().cloned());
    if let Some(RegistryPlace::Postgres(place)) = settings.registry.as_ref().map(|it| &it.store) {
        said.push(format!("the registry's store is {place}; it was not asked"));
    }
    match inspected {
        None => {
            said.push("its certificates do not exist yet; the first start creates them".to_owned());
        }
        Some(opened) => {
            registry::check(settings, &opened.identity).map_err(DaemonError::Start)?;
            checked_content(settings, Some(settings.listen), opened.identity.trust())
                .map_err(DaemonError::Start)?;
            said.extend(opened.warnings.iter().map(ToString::to_string));
        }
    }
    Ok(said.join("\n"))
}

/// Runs the daemon until a signal to end, or, if `until_input_ends`, until standard input ends.
/// `reload` reads the configuration again.
pub(crate) fn run(
    settings: DaemonSettings,
    log: &Log,
    until_input_ends: bool,
    reload: impl Fn() -> Result<DaemonSettings, String> + Clone + Send + 'static,
) -> Result<(), DaemonError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| start(format!("cannot start the async runtime: {error}")))?;
    to_the_end(runtime, async {
        let mut signals = Signals::listen()
            .map_err(|error| start(format!("cannot install the signal handlers: {error}")))?;
        if until_input_ends {
            signals.end_with(io::stdin());
        }
        let starting = pin!(Daemon::start(settings, log.clone()));
        match until_requested_end(&mut signals, log, starting).await {
            Some(daemon) => daemon?.serve(&mut signals, reload).await,
            None => Ok(()),
        }
    })
}

/// Runs a task until it completes; `None` if a signal to end comes first. Other signals but those for the log are
/// ignored meanwhile.
async fn until_requested_end<T>(
    signals: &mut Signals,
    log: &Log,
    mut task: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    loop {
        match either(task.as_mut(), pin!(signals.next())).await {
            Either::First(output) => return Some(output),
            Either::Second(SignalRequest::End) => return None,
            Either::Second(SignalRequest::Reload) => {}
            Either::Second(SignalRequest::MoreDetail) => more_detail(log),
            Either::Second(SignalRequest::ConfiguredDetail) => configured_detail(log),
        }
    }
}

fn more_detail(log: &Log) {
    let filter = log.more_detail();
    if log.admits_request("SIGUSR1") {
        tracing::info!(filter, "more detail is logged; SIGUSR2 ends this");
    }
}

fn configured_detail(log: &Log) {
    let filter = log.configured_detail();
    if log.admits_request("SIGUSR2") {
        tracing::info!(filter, "the log is as configured");
    }
}

/// Runs work that may block, such as reading a file on a network file system, on a thread of its own.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, DaemonError> {
    let done = task::spawn_blocking(work).await;
    done.map_err(|error| DaemonError::Run(format!("reading files failed: {error}")))
}

/// Runs a task until it completes. The runtime's blocking threads, for example a name lookup, delay the return by at
/// most [`THREADS_MAX`].
fn to_the_end<T>(runtime: Runtime, task: impl Future<Output = T>) -> T {
    let ended = runtime.block_on(task);
    runtime.shutdown_timeout(THREADS_MAX);
    ended
}

/// The result of whichever future completed first; the first future's result if both completed at once.
enum Either<A, B> {
    First(A),
    Second(B),
}

async fn either_of<A, B>(
    first: impl Future<Output = A>,
    second: impl Future<Output = B>,
) -> Either<A, B> {
    either(pin!(first), pin!(second)).await
}

async fn either<A, B>(
    mut first: Pin<&mut impl Future<Output = A>>,
    mut second: Pin<&mut impl Future<Output = B>>,
) -> Either<A, B> {
    poll_fn(|context| match first.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Either::First(output)),
        Poll::Pending => second.as_mut().poll(context).map(Either::Second),
    })
    .await
}

/// A running node with its settings.
struct Daemon {
    settings: DaemonSettings,
    log: Log,
    node: MeshNode,
    tasks: JoinSet<()>,
    /// The registry that the node runs, if any.
    registry: Option<RegionRegistry>,
    /// The warnings about the certificates when they were last read. Renewals do not repeat them.
    warned: Vec<String>,
    /// The state directory, held until the daemon ends.
    _state: StateDirectory,
}

impl Daemon {
    async fn start(settings: DaemonSettings, log: Log) -> Result<Self, DaemonError> {
        let (source, subject) = (settings.certificates.clone(), settings.subject.clone());
        let opened = blocking(move || identity::open(&source, &subject, clock::wall())).await?;
        let opened = opened.map_err(start)?;
        for warning in &settings.warnings {
            tracing::warn!("{warning}");
        }
        let warned: Vec<String> = opened.warnings.iter().map(ToString::to_string).collect();
        for warning in &warned {
            tracing::warn!("{warning}");
        }
        registry::check(&settings, &opened.identity).map_err(DaemonError::Start)?;
        checked_content(&settings, Some(settings.listen), opened.identity.trust())
            .map_err(DaemonError::Start)?;
        // The port is bound first: a start that fails because of the port must not raise the epoch.
        let bound = BoundPort::bind(Tcp, settings.listen).await.map_err(start)?;
        let metrics = match settings.metrics {
            Some(address) => Some(MetricsListener::bind(address).await.map_err(start)?),
            None => None,
        };
        let directory = settings.state_dir.clone();
        let store = blocking(move || StateDirectory::hold(&directory)).await??;
        let state = StateDirectory::open(store).await?;
        let trust = opened.identity.trust().clone();
        let advertised = advertised(&settings, bound.local_address()).await;
        let advertised = advertised.map_err(start)?;
        advertised.log();
        let config = config(&settings, &state, advertised.address, &trust)?;
        let registry = match &settings.registry {
            Some(registry) => Some(registry::run(registry, &settings).await?),
            None => None,
        };
        let parts = (opened.identity, registry.clone());
        let (node, mut tasks, api) = node(bound, config, parts, &settings, &state)?;
        let (id, mesh) = (settings.subject.id().as_str(), settings.subject.mesh());
        tracing::info!(id, mesh, address = %node.address(), epoch = state.epoch, "phalanxd has started");
        if let Some(metrics) = metrics {
            tracing::info!(address = %metrics.address(), "metrics and health are served over HTTP");
            let closed = node.closed();
            let closed = async {
                closed.await;
            };
            tasks.spawn(metrics.serve(api, registry.clone(), closed));
        }
        if let Some(why) = &state.ignored {
            tracing::warn!(
                "the addresses of members that an earlier start kept are ignored: {why}"
            );
        }
        if settings.targets.is_empty() {
            tracing::info!(
                "no targets are configured: the node forms a mesh by itself (bootstrap), and others join it"
            );
        }
        if !settings.trusted.is_empty() {
            let subnets = &settings.trusted;
            tracing::warn!(
                "links to nodes in {subnets} that trust this node's network too are authenticated but not encrypted: \
                 their traffic is readable on the network"
            );
        }
        Ok(Self {
            settings,
            log,
            node,
            tasks,
            registry,
            warned,
            _state: state,
        })
    }

    async fn serve(
        mut self,
        signals: &mut Signals,
        reload: impl Fn() -> Result<DaemonSettings, String> + Clone + Send + 'static,
    ) -> Result<(), DaemonError> {
        notify(&[NotifyState::Ready]);
        let closed = self.node.closed();
        let log = self.log.clone();
        let supervised = supervise(
            self.node.clone(),
            log.clone(),
            self.settings.taken_id_exit_after,
        );
        let mut tasks = std::mem::take(&mut self.tasks);
        // The journal ends with the node.
        let journal = async { drop(tasks.join_next().await) };
        let registry = self.registry.clone();
        let registry = async {
            match registry {
                Some(registry) => registry.closed().await,
                None => std::future::pending().await,
            }
        };
        let parts = either_of(either_of(closed, journal), registry);
        let failing = either_of(supervised, parts);
        let served = either_of(failing, self.follow_requests(signals, &log, reload)).await;
        self.tasks = tasks;
        match served {
            // The service manager must learn that the daemon no longer serves.
            Either::First(Either::First(failure)) => return Err(failure),
            Either::First(Either::Second(Either::Second(()))) => {
                let why = "the registry ended unexpectedly; the log says why".to_owned();
                return Err(DaemonError::Run(why));
            }
            Either::First(Either::Second(Either::First(_))) => {
                let task = self.node.failure().unwrap_or("journal");
                let why = format!("the task {task:?} of the node ended unexpectedly");
                return Err(DaemonError::Run(why));
            }
            Either::Second(requested) => requested?,
        }
        notify(&[NotifyState::Stopping]);
        exit_after(SHUTDOWN_MAX);
        let ending = pin!(self.end());
        match until_requested_end(signals, &log, ending).await {
            Some(()) => Ok(()),
            // A second request to stop skips the graceful shutdown.
            None => Err(DaemonError::Run(
                "ended immediately on a second signal; other members may detect the end by their failure detectors only".to_owned(),
            )),
        }
    }

    /// Reloads and renews as signals and the node request it, until a signal to end. A signal to end takes effect even
    /// while a file cannot be read.
    async fn follow_requests(
        &mut self,
        signals: &mut Signals,
        log: &Log,
        reload: impl Fn() -> Result<DaemonSettings, String> + Clone + Send + 'static,
    ) -> Result<(), DaemonError> {
        loop {
            let event = either_of(signals.next(), self.node.renewal_due()).await;
            match event {
                Either::First(SignalRequest::End) => return Ok(()),
                Either::First(SignalRequest::MoreDetail) => more_detail(log),
                Either::First(SignalRequest::ConfiguredDetail) => configured_detail(log),
                Either::First(SignalRequest::Reload) => {
                    notify_reloading();
                    let reload = reload.clone();
                    let reloading = pin!(async {
                        let read = blocking(reload).await?;
                        self.reload(read).await
                    });
                    match until_requested_end(signals, log, reloading).await {
                        Some(reloaded) => reloaded?,
                        None => return Ok(()),
                    }
                    notify(&[NotifyState::Ready]);
                }
                Either::Second(()) => {
                    let renewing = pin!(self.renew());
                    match until_requested_end(signals, log, renewing).await {
                        Some(renewed) => renewed?,
                        None => return Ok(()),
                    }
                }
            }
        }
    }

    /// Publishes the content of the node's record with these settings. Without `advertised`, the node keeps its address.
    async fn announce(
        &self,
        settings: &DaemonSettings,
        advertised: Option<SocketAddr>,
    ) -> Result<(), DaemonError> {
        let content = content(settings, advertised, self.node.identity().trust());
        let stopped = |_| DaemonError::Run("the node has stopped".to_owned());
        self.node
            .send(Input::Announce(content))
            .await
            .map_err(stopped)
    }

    /// Replaces the node's credentials with those at their source, if these are better than the current ones. Returns the
    /// lines to log.
    async fn take_certificates(
        &self,
        settings: &DaemonSettings,
    ) -> Result<Result<TakenCertificates, IdentityError>, DaemonError> {
        let now = clock::wall();
        let (source, subject) = (settings.certificates.clone(), self.settings.subject.clone());
        let opened = blocking(move || identity::open(&source, &subject, now)).await?;
        Ok(opened.and_then(|opened| self.use_certificates(opened, now)))
    }

    /// Replaces the node's credentials by these, if these are better.
    fn use_certificates(
        &self,
        opened: Opened,
        now: Wall,
    ) -> Result<TakenCertificates, IdentityError> {
        let mut taken = TakenCertificates {
            warnings: opened.warnings.iter().map(ToString::to_string).collect(),
            replaced: None,
        };
        let identity = opened.identity;
        if self.node.identity().yields_to(&identity, now) {
            taken.replaced = Some(NewCertificate {
                trust: identity.trust().to_string(),
                until: iso_8601(identity.validity().not_after),
            });
            self.node.renew(identity)?;
        }
        Ok(taken)
    }

    /// Mints or reads a new certificate, as the node requested.
    async fn renew(&mut self) -> Result<(), DaemonError> {
        match self.take_certificates(&self.settings).await? {
            Ok(taken) => {
                taken.log(&self.warned);
                self.warned.clone_from(&taken.warnings);
                if taken.replaced.is_some() {
                    self.announce(&self.settings, None).await?;
                } else {
                    tracing::debug!("there is no newer certificate");
                    self.node.renewal_unchanged().await;
                }
            }
            Err(problem) => self.node.renewal_failed(problem.to_string()).await,
        }
        Ok(())
    }

    /// Announces that the node leaves, ends the node, and waits for the last log lines.
    async fn end(self) {
        tracing::info!("leaving the mesh");
        let said = self.node.leave(LEAVE_MAX).await;
        if !said {
            tracing::warn!(
                "leaving was not announced to all neighbours in time; the other members will detect it"
            );
        }
        // Before the node: the registry's streams would hold its connections.
        if let Some(registry) = &self.registry {
            registry.shutdown().await;
        }
        self.node.shutdown().await;
        let Self {
            node, mut tasks, ..
        } = self;
        drop(node);
        let rest = async { while tasks.join_next().await.is_some() {} };
        if time::timeout(LOG_DRAIN_MAX, rest).await.is_err() {
            tasks.abort_all();
        }
        tracing::info!("phalanxd has ended");
    }
}

/// Certificates that were read while the node runs.
struct TakenCertificates {
    warnings: Vec<String>,
    /// The new certificate, if the node's credentials were replaced.
    replaced: Option<NewCertificate>,
}

struct NewCertificate {
    trust: String,
    until: String,
}

impl TakenCertificates {
    /// Logs the warnings that are not in `known`, and the new certificate.
    fn log(&self, known: &[String]) {
        for warning in &self.warnings {
            if !known.contains(warning) {
                tracing::warn!("{warning}");
            }
        }
        if let Some(NewCertificate { trust, until }) = &self.replaced {
            tracing::info!(trust, until, "the node uses a new certificate");
        }
    }
}

/// The address that a node advertises.
struct Advertised {
    /// None if the node cannot be dialled.
    address: Option<SocketAddr>,
    warning: Option<String>,
    /// The name of which the address is one.
    name: Option<String>,
}

impl Advertised {
    fn log(&self) {
        if let Some(warning) = &self.warning {
            tracing::warn!("{warning}");
        }
        if let (Some(address), Some(name)) = (self.address, &self.name) {
            tracing::info!("the node advertises {address}, an address of {name}");
        }
    }
}

/// Returns the address that a node advertises that listens at `listen`.
async fn advertised(
    settings: &DaemonSettings,
    listen: SocketAddr,
) -> Result<Advertised, AdvertiseError> {
    let at = |address| Advertised {
        address,
        warning: None,
        name: None,
    };
    match &settings.advertise {
        Advertise::Listen => Ok(at(Some(listen))),
        Advertise::At(Address::Socket(address)) => Ok(at(Some(*address))),
        Advertise::At(Address::Name(name)) => {
            let within = settings.tuning.resolution_timeout;
            let address = transport::advertised_address(&Tcp, name, listen, within).await?;
            Ok(Advertised {
                address: Some(address),
                warning: warn_local_only(address, listen),
                name: Some(name.to_string()),
            })
        }
        Advertise::Nowhere => Ok(at(None)),
    }
}

/// Returns the content of the node's record: the settings, and the secrets that the node accepts.
fn content(settings: &DaemonSettings, address: Option<SocketAddr>, trust: &Trust) -> Content {
    let mut content = settings.content(address);
    if let Some(accepted) = trust.accepted() {
        content
            .metadata
            .insert(ACCEPTED_SECRETS.to_owned(), accepted);
    }
    content
}

/// Returns the same, or the limit that the content exceeds together with the node's own entries.
fn checked_content(
    settings: &DaemonSettings,
    address: Option<SocketAddr>,
    trust: &Trust,
) -> Result<Content, String> {
    let content = content(settings, address, trust);
    match content.check() {
        Ok(()) => Ok(content),
        Err(why) => Err(format!(
            "metadata: {why}, counting the node's own entry {ACCEPTED_SECRETS} in a mesh with a secret; other nodes \
             would refuse the record; shorten metadata or services"
        )),
    }
}

fn config(
    settings: &DaemonSettings,
    state: &StateDirectory,
    advertised: Option<SocketAddr>,
    trust: &Trust,
) -> Result<Config, DaemonError> {
    let instance = entropy::instance().map_err(start)?;
    let mut config = Config::new(
        settings.subject.id().clone(),
        settings.subject.mesh(),
        state.epoch,
        instance,
        content(settings, advertised, trust),
        settings.targets.clone(),
    );
    config.kept.clone_from(&state.addresses);
    config.discovery = settings.discovery == Discovery::On;
    config.tuning = settings.tuning.clone();
    Ok(config)
}

fn node(
    bound: BoundPort<Tcp>,
    config: Config,
    (identity, registry): (Identity, Option<RegionRegistry>),
    settings: &DaemonSettings,
    state: &StateDirectory,
) -> Result<(MeshNode, JoinSet<()>, Api), DaemonError> {
    let settings = transport::Settings {
        config,
        seed: entropy::seed().map_err(start)?,
        identity,
        store: state.store.clone(),
        trusted: settings.trusted.clone(),
        limits: Limits::default().within_files(open_files()),
        observer: None,
        overlay: None,
    };
    let mut tasks = JoinSet::new();
    let mut served = None;
    let routes = |node: &MeshNode| {
        let journal = EventJournal::new();
        // The journal subscribes before the node runs, so that it misses no event.
        tasks.spawn(journal.clone().follow(node.subscribe()));
        let api = Api::new(node.clone(), journal);
        served = Some(api.clone());
        let channels = ChannelApi::server(node.clone());
        let routes = Routes::new(api.into_server()).add_service(channels);
        match registry {
            Some(registry) => {
                let own = node.identity().subject().clone();
                registry.join(node);
                registry::with_rest(add_services(routes, &registry, own))
            }
            None => routes.add_service(ElsewhereApi::server(node.clone())),
        }
    };
    let node = bound.start(settings, routes).map_err(start)?;
    let api = served.ok_or_else(|| start("the node was started without its routes"))?;
    Ok((node, tasks, api))
}

/// Queries the node's machine at intervals: each answer feeds the watchdog of the service manager. Returns when the id of
/// the node was taken for too long. Writes the summaries of requests that were not logged.
async fn supervise(node: MeshNode, log: Log, taken_id_exit_after: Duration) -> DaemonError {
    let mut limit = TakenIdLimit::new(taken_id_exit_after);
    let watchdog = sd_notify::watchdog_enabled();
    let interval = SUPERVISION_INTERVAL.min(taken_id_exit_after / 4);
    let interval = watchdog.map_or(interval, |watchdog| interval.min(watchdog / 3));
    loop {
        // The machine answers after the inputs that wait, so an answer shows that its loop makes progress.
        let asked = node
            .driver()
            .inspect(|node, now| (now, node.mesh().phase()));
        let Ok((now, phase)) = asked.await else {
            // The end of the node is reported by its failed task.
            return std::future::pending().await;
        };
        if watchdog.is_some() {
            notify(&[NotifyState::Watchdog]);
        }
        log.sum_up_requests();
        if limit.observe(now, phase) {
            return DaemonError::IdTaken(
                "another node uses this node's id; change the id of one of them, or stop the other one".to_owned(),
            );
        }
        time::sleep(interval).await;
    }
}

/// Ends the process after this time, even if no task of the runtime can run.
fn exit_after(deadline: Duration) {
    std::thread::spawn(move || {
        std::thread::sleep(deadline);
        std::process::exit(1);
    });
}

/// Raises the number of files that this process may open to its hard limit, and returns it.
fn open_files() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let in_effect = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    // `None` means that there is no limit.
    in_effect.map_or(usize::MAX, |files| {
        usize::try_from(files).unwrap_or(usize::MAX)
    })
}

/// Notifies the service manager, if there is one.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("cannot notify the service manager: {error}");
    }
}

fn notify_reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!("cannot notify the service manager: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Instant;

    #[test]
    fn a_blocked_thread_does_not_delay_the_end_of_the_runtime() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        let stuck_for = Duration::from_secs(120);
        let (release, held) = channel::<()>();
        let begun = Instant::now();
        to_the_end(runtime, async {
            let (started, has_started) = tokio::sync::oneshot::channel();
            // A blocking call that stands for the system's resolver when no name server responds.
            let stuck = task::spawn_blocking(move || {
                started.send(()).unwrap();
                held.recv_timeout(stuck_for)
            });
            has_started.await.unwrap();
            drop(stuck);
        });
        assert!(begun.elapsed() < stuck_for / 2, "{:?}", begun.elapsed());
        drop(release);
    }
}
