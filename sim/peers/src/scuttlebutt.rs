//! chitchat (Scuttlebutt anti-entropy with phi-accrual failure detection) on a simulated network of its own.
//!
//! chitchat is written for tokio, so its nodes are tasks of a single-threaded runtime with virtual time: the clock
//! stands still while a task is ready, and otherwise jumps to the next timer. Its transport is replaced by one with the
//! latency, loss and cuts of the [`Course`]. chitchat draws from the operating system's generator, so its figures
//! differ slightly between runs, unlike those of the other libraries.

#![expect(
    clippy::disallowed_methods,
    reason = "tasks of a simulated network end with its runtime"
)]

use crate::course::{Course, LATENCY, MARK, SPREAD};
use crate::tape::{PeerObservation, Tape, TimedObservation, Views};
use anyhow::Context as _;
use async_trait::async_trait;
use chitchat::transport::{ChannelTransport, RecvOutcome, SendOutcome, Socket, Transport};
use chitchat::{
    ChitchatConfig, ChitchatEnvelope, ChitchatHandle, ChitchatId, ChitchatMessage,
    FailureDetectorConfig, ProtocolVersion, spawn_chitchat,
};
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use phalanx_core::random::Random;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

/// chitchat's default gossip interval.
const TICK: Duration = Duration::from_secs(1);
/// Maximum size of a UDP datagram, in bytes.
const DATAGRAM_MAX: usize = 65_507;
/// Interval between checks of the condition for an early end.
const LOOK: Duration = Duration::from_millis(100);
/// The address of the far end of the pair that measures sizes. No node has this address.
const SCALE: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 1);

/// Runs a course.
///
/// # Errors
/// Returns an error if chitchat refuses to start.
pub fn run(course: &Course, seed: u64) -> Result<Tape, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|why| why.to_string())?;
    let done = runtime.block_on(act(course.clone(), seed));
    done.map_err(|why| format!("{why:#}"))
}

fn address(host: usize) -> SocketAddr {
    let host = u32::try_from(host).unwrap_or(u32::MAX);
    let base = u32::from(Ipv4Addr::new(10, 0, 0, 1));
    SocketAddr::from((Ipv4Addr::from(base.saturating_add(host)), 7400))
}

fn host_at(address: SocketAddr) -> Option<usize> {
    let SocketAddr::V4(address) = address else {
        return None;
    };
    let base = u32::from(Ipv4Addr::new(10, 0, 0, 1));
    usize::try_from(u32::from(*address.ip()).checked_sub(base)?).ok()
}

/// The state that nodes share: the network and the record of the run.
struct World {
    course: Course,
    began: Instant,
    random: Random,
    inboxes: Vec<Option<UnboundedSender<RecvOutcome>>>,
    tape: Tape,
    views: Views,
}

/// The world, shared between tasks of one thread.
#[derive(Clone)]
struct Net(Arc<Mutex<World>>);

impl Net {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn found(&self, host: usize, about: usize, found: PeerObservation) {
        self.world().found(host, about, found);
    }
}

impl World {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn found(&mut self, host: usize, about: usize, found: PeerObservation) {
        let event = TimedObservation {
            at: self.now(),
            host,
            about,
            found,
        };
        self.views.take(&event);
        self.tape.events.push(event);
    }

    fn is_dead(&self, host: usize) -> bool {
        let crash = self.course.crash;
        crash.is_some_and(|crash| crash.host == host && self.now() >= crash.at)
    }

    /// Counts a datagram and returns whether the network carries it.
    fn departs(&mut self, from: usize, to: usize, bytes: usize) -> bool {
        let now = self.now();
        if self.is_dead(from) {
            return false;
        }
        if now >= self.course.counted.0 && now < self.course.counted.1 {
            self.tape.sent += bytes as u64;
        }
        let lossy = self.course.loss.filter(|loss| now >= loss.from);
        let lost = lossy.is_some_and(|loss| self.random.chance_ppm(loss.percent * 10_000));
        !lost && bytes <= DATAGRAM_MAX && !self.is_cut(now, from, to)
    }

    fn is_cut(&self, now: Duration, from: usize, to: usize) -> bool {
        let half = self.course.nodes / 2;
        let split = self.course.split;
        split.is_some_and(|split| now >= split.from && now < split.to)
            && (from < half) != (to < half)
    }

    fn arrive(&mut self, from: usize, to: usize, mail: RecvOutcome) {
        if self.is_dead(to) || self.is_cut(self.now(), from, to) {
            return;
        }
        if carries(&mail.envelope.message) {
            let now = self.now();
            self.tape.copies.push(now);
        }
        if let Some(inbox) = self.inboxes.get(to).and_then(Option::as_ref) {
            // A node that has ended receives no datagram.
            drop(inbox.send(mail));
        }
    }
}

/// Returns whether a message carries an update.
fn carries(message: &ChitchatMessage) -> bool {
    match message {
        ChitchatMessage::SynAck { delta, .. } | ChitchatMessage::Ack { delta } => {
            format!("{delta:?}").contains(MARK)
        }
        ChitchatMessage::Syn { .. } | ChitchatMessage::BadCluster => false,
    }
}

#[async_trait]
impl Transport for Net {
    async fn open(&self, listen: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        let host = host_at(listen).context("no address of the network")?;
        let channel = ChannelTransport::default();
        let (sender, inbox) = unbounded_channel();
        let slot = |world: &mut World| world.inboxes.get_mut(host).map(|slot| *slot = Some(sender));
        slot(&mut self.world()).context("no node of the network")?;
        Ok(Box::new(Port {
            host,
            net: self.clone(),
            inbox,
            scale: [channel.open(listen).await?, channel.open(SCALE).await?],
        }))
    }
}

/// A node's socket.
struct Port {
    host: usize,
    net: Net,
    inbox: UnboundedReceiver<RecvOutcome>,
    /// Both ends of an original chitchat transport, which encodes messages. The transport is needed to measure encoded
    /// sizes, because only chitchat can encode its messages.
    scale: [Box<dyn Socket>; 2],
}

#[async_trait]
impl Socket for Port {
    fn local_addr(&self) -> anyhow::Result<SocketAddr> {
        Ok(address(self.host))
    }

    async fn send(
        &mut self,
        to: SocketAddr,
        envelope: ChitchatEnvelope,
    ) -> anyhow::Result<SendOutcome> {
        let [near, far] = &mut self.scale;
        let outcome = near.send(SCALE, envelope).await?;
        let weighed = far.recv().await?;
        let (net, from) = (self.net.clone(), self.host);
        let to = host_at(to).context("no address of the network")?;
        if net.world().departs(from, to, outcome.num_bytes_sent) {
            let mail = RecvOutcome {
                from_addr: address(from),
                ..weighed
            };
            let at = Instant::now() + LATENCY;
            tokio::spawn(async move {
                sleep_until(at).await;
                net.world().arrive(from, to, mail);
            });
        }
        Ok(outcome)
    }

    async fn recv(&mut self) -> anyhow::Result<RecvOutcome> {
        self.inbox.recv().await.context("the node is gone")
    }
}

/// Starts the nodes, performs the course, and waits for its end.
async fn act(course: Course, seed: u64) -> anyhow::Result<Tape> {
    let random = Random::from_seed(seed);
    let mut starts = random.child("starts");
    let net = Net(Arc::new(Mutex::new(World {
        course: course.clone(),
        began: Instant::now(),
        random: random.child("network"),
        inboxes: vec![None; course.nodes],
        tape: Tape::default(),
        views: Views::new(course.nodes),
    })));
    let began = Instant::now();
    let mut order: Vec<(Duration, usize)> = (0..course.nodes)
        .map(|host| (starts.duration_below(SPREAD), host))
        .collect();
    order.sort_unstable();
    let mut handles: Vec<Option<ChitchatHandle>> = Vec::new();
    handles.resize_with(course.nodes, || None);
    for (at, host) in order {
        sleep_until(began + at).await;
        handles[host] = Some(start(&net, host).await?);
    }
    let mut updates = course.updates.iter().enumerate().peekable();
    let mut killed = false;
    loop {
        let now = began.elapsed();
        if now >= course.end || net.world().views.are_enough(&course, now) {
            break;
        }
        let update = updates.peek().map(|(_, update)| update.at);
        let crash = course.crash.filter(|_| !killed).map(|crash| crash.at);
        let next = [Some(now + LOOK), Some(course.end), update, crash];
        let next = next.into_iter().flatten().min().unwrap_or(course.end);
        sleep_until(began + next).await;
        while let Some((index, update)) = updates.next_if(|(_, update)| update.at <= next) {
            if let Some(handle) = &handles[update.host] {
                let payload = Course::payload(index);
                let set = |node: &mut chitchat::Chitchat| node.self_node_state().set("u", &payload);
                handle.with_chitchat(set).await;
            }
        }
        if let Some(crash) = course.crash.filter(|crash| !killed && crash.at <= next) {
            killed = true;
            if let Some(handle) = handles[crash.host].take() {
                handle.abort();
            }
        }
    }
    let tape = std::mem::take(&mut net.world().tape);
    Ok(tape)
}

/// Starts a node and records its observations.
async fn start(net: &Net, host: usize) -> anyhow::Result<ChitchatHandle> {
    let id = |host: usize| ChitchatId::new(format!("n{}", host + 1), 0, address(host));
    let config = ChitchatConfig {
        chitchat_id: id(host),
        cluster_id: "sim".to_owned(),
        gossip_interval: TICK,
        listen_addr: address(host),
        seed_nodes: vec![address(0).to_string()],
        failure_detector_config: FailureDetectorConfig::default(),
        marked_for_deletion_grace_period: Duration::from_secs(900),
        catchup_callback: None,
        extra_liveness_predicate: None,
        protocol_version: ProtocolVersion::V1,
    };
    let handle = spawn_chitchat(config, Vec::new(), net).await?;
    let ear = net.clone();
    let watching = move |news: chitchat::KeyChangeEvent<'_>| {
        if let Some(about) = host_at(news.node.gossip_advertise_addr).filter(|about| *about != host)
        {
            ear.found(host, about, PeerObservation::Updated);
        }
    };
    handle
        .with_chitchat(|node| node.subscribe_event("u", watching.clone()).forever())
        .await;
    let mut living = handle.with_chitchat(|node| node.live_nodes_watcher()).await;
    let ear = net.clone();
    tokio::spawn(async move {
        let mut known: BTreeSet<usize> = BTreeSet::new();
        while living.changed().await.is_ok() {
            let seen = living.borrow_and_update();
            let seen: BTreeSet<usize> = seen
                .keys()
                .filter_map(|id| host_at(id.gossip_advertise_addr))
                .collect();
            for about in seen.difference(&known) {
                ear.found(host, *about, PeerObservation::Up);
            }
            for about in known.difference(&seen) {
                ear.found(host, *about, PeerObservation::Down);
            }
            known = seen;
        }
    });
    Ok(handle)
}
