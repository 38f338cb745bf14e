//! The attacking member: a certificate of the mesh, connections, and links that send any bytes.

use crate::fleet::{Fleet, ROGUE};
use crate::packets;
use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use phalanx_core::link::Address;
use phalanx_net::identity::Identity;
use phalanx_net::transport::{Call, Tasks, Tcp};
use phalanx_net::wire::proto::{Frame, Goodbye, Packet, Record, goodbye, packet, sync};
use prost::Message as _;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status, Streaming};

/// Time within which a daemon accepts a connection and welcomes a link.
const OPEN: Duration = Duration::from_secs(5);
/// Maximum number of connections that do nothing; a daemon has places for 1024.
const IDLE_MAX: usize = 1_200;
/// Time within which a link takes a packet.
const SEND: Duration = Duration::from_secs(2);
/// Interval of heartbeats.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// Passes the bytes of messages unchanged.
#[derive(Clone, Copy, Debug, Default)]
struct Bare;

impl Codec for Bare {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bare {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(message);
        Ok(())
    }
}

impl Decoder for Bare {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// The attacking member.
pub(crate) struct Rogue {
    identity: Identity,
    tasks: Tasks,
    own: Record,
    session: AtomicU32,
    /// Connections that do nothing.
    idle: Mutex<Vec<Call>>,
}

/// A link of the attacking member to one daemon. It sends heartbeats until it is dropped.
pub(crate) struct RogueLink {
    out: mpsc::Sender<Bytes>,
    seen: Arc<Mutex<Seen>>,
}

/// The data that arrived on a link.
#[derive(Debug, Default)]
struct Seen {
    welcomed: bool,
    ended: bool,
    records: BTreeMap<String, Record>,
}

impl Seen {
    fn take(&mut self, message: &[u8]) {
        let body = Packet::decode(message).ok().and_then(|packet| packet.body);
        let mut records = Vec::new();
        match body {
            Some(packet::Body::Welcome(welcome)) => {
                self.welcomed = true;
                records.extend(welcome.record);
            }
            Some(packet::Body::Frame(frame)) => {
                records.extend(frame.records);
                for step in frame.sync.into_iter().filter_map(|sync| sync.step) {
                    match step {
                        sync::Step::Push(push) => records.extend(push.records),
                        sync::Step::Snapshot(snapshot) => records.extend(snapshot.records),
                        sync::Step::Sketch(_) | sync::Step::Larger(_) | sync::Step::Want(_) => {}
                    }
                }
            }
            Some(packet::Body::Refuse(_) | packet::Body::Goodbye(_)) => self.ended = true,
            Some(packet::Body::Hello(_) | packet::Body::Data(_) | packet::Body::Revocation(_))
            | None => {}
        }
        let by_id = records
            .into_iter()
            .map(|record| (record.id.clone(), record));
        self.records.extend(by_id);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no task panicked")
}

impl Rogue {
    pub(crate) fn new(fleet: &Fleet) -> Self {
        Self {
            identity: fleet.rogue(),
            tasks: Tasks::new(),
            own: packets::record(ROGUE, packets::seconds()),
            session: AtomicU32::new(1),
            idle: Mutex::new(Vec::new()),
        }
    }

    pub(crate) const fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Keeps a connection open, up to [`IDLE_MAX`] of them.
    pub(crate) fn hold_idle(&self, call: Call) {
        let mut idle = locked(&self.idle);
        if idle.len() < IDLE_MAX {
            idle.push(call);
        }
    }

    pub(crate) fn holds_idle(&self) -> bool {
        !locked(&self.idle).is_empty()
    }

    /// Ends the connections that do nothing.
    pub(crate) fn drop_idle(&self) {
        locked(&self.idle).clear();
    }

    /// A connection to a daemon; none if the daemon does not accept it.
    pub(crate) async fn connect(&self, to: SocketAddr) -> Option<Call> {
        let address = Address::Socket(to);
        Call::connect(&Tcp, &self.identity, &address, OPEN)
            .await
            .ok()
    }

    /// A link to a daemon, which has been welcomed; none if the daemon does not welcome it in time.
    pub(crate) async fn link(&self, to: SocketAddr) -> Option<RogueLink> {
        let link = self.greet(to, 0).await?;
        let welcomed = time::timeout(OPEN, async {
            while !locked(&link.seen).welcomed {
                if locked(&link.seen).ended {
                    return false;
                }
                time::sleep(Duration::from_millis(5)).await;
            }
            true
        });
        if !welcomed.await.is_ok_and(|welcomed| welcomed) {
            return None;
        }
        self.tasks.spawn(beat(link.out.downgrade()));
        Some(link)
    }

    /// A link to a daemon that has been greeted with this hash of revocations, and not yet welcomed.
    pub(crate) async fn greet(&self, to: SocketAddr, revocations: u64) -> Option<RogueLink> {
        let call = self.connect(to).await?;
        let mut grpc = tonic::client::Grpc::new(call.channel.clone());
        grpc.ready().await.ok()?;
        let (out, waiting) = mpsc::channel(64);
        let session = self.session.fetch_add(1, Ordering::Relaxed);
        let hello = packets::hello(session, revocations, self.own.clone());
        out.send(packets::bytes(hello)).await.ok()?;
        let request = Request::new(ReceiverStream::new(waiting));
        let path = PathAndQuery::from_static("/phalanx.mesh.v1.Mesh/Link");
        let inbound = grpc.streaming(request, path, Bare);
        let inbound = time::timeout(OPEN, inbound).await.ok()?.ok()?.into_inner();
        let seen = Arc::new(Mutex::new(Seen::default()));
        self.tasks.spawn(read(inbound, Arc::clone(&seen), call));
        Some(RogueLink { out, seen })
    }

    /// Ends all connections.
    pub(crate) async fn leaves(self) {
        self.tasks.finish(Duration::ZERO).await;
    }
}

impl RogueLink {
    /// Sends any bytes as one message. Returns whether the link took them.
    pub(crate) async fn raw(&self, bytes: impl Into<Bytes>) -> bool {
        let sent = time::timeout(SEND, self.out.send(bytes.into())).await;
        self.is_open() && sent.is_ok_and(|sent| sent.is_ok())
    }

    pub(crate) async fn send(&self, packet: Packet) -> bool {
        self.raw(packets::bytes(packet)).await
    }

    pub(crate) async fn frame(&self, frame: Frame) -> bool {
        self.send(packets::framed(frame)).await
    }

    /// Sends packets until the link does not take one.
    pub(crate) async fn send_all(&self, packets: impl IntoIterator<Item = Packet>) -> bool {
        for packet in packets {
            if !self.send(packet).await {
                return false;
            }
        }
        true
    }

    pub(crate) fn is_open(&self) -> bool {
        !locked(&self.seen).ended
    }

    /// The records that arrived, once there are `count` of them or a second has passed.
    pub(crate) async fn records(&self, count: usize) -> Vec<Record> {
        for _ in 0..100 {
            if locked(&self.seen).records.len() >= count {
                break;
            }
            time::sleep(Duration::from_millis(10)).await;
        }
        locked(&self.seen).records.values().cloned().collect()
    }

    /// Keeps the link open until what was sent has arrived, and closes it.
    pub(crate) async fn close(self) {
        time::sleep(Duration::from_millis(200)).await;
        let reason = goodbye::Reason::Surplus.into();
        let body = Some(packet::Body::Goodbye(Goodbye { reason }));
        self.send(Packet {
            body,
            overlay: None,
        })
        .await;
    }
}

/// Reads a link until it ends. The connection is held as long.
async fn read(mut inbound: Streaming<Bytes>, seen: Arc<Mutex<Seen>>, call: Call) {
    while let Ok(Some(message)) = inbound.message().await {
        locked(&seen).take(&message);
    }
    locked(&seen).ended = true;
    drop(call);
}

/// Sends heartbeats until the link is dropped.
async fn beat(out: mpsc::WeakSender<Bytes>) {
    loop {
        time::sleep(HEARTBEAT).await;
        let Some(out) = out.upgrade() else {
            return;
        };
        let empty = packets::bytes(packets::framed(Frame::default()));
        if time::timeout(SEND, out.send(empty)).await.is_err() {
            return;
        }
    }
}
