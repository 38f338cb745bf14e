//! The watches on one stream. Each has credit of its own, so that one that is not read delays no other.

use super::message::required;
use super::message::watch::{WatchReply, of_open, to_invalid, to_refused, to_reply};
use super::proto::watch_objects_reply::Reply;
use super::proto::watch_objects_request::Request;
use super::proto::{self, WatchObjectsReply, WatchObjectsRequest};
use super::region::{RegionRegistry, RegistryStopped, WatchArrival};
use phalanx_core::registry::access::RegistryCaller;
use phalanx_core::registry::watch::{WatchId, WatchRefusal};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use tokio::sync::mpsc;
use tokio_stream::Stream as _;
use tonic::{Status, Streaming};

/// Maximum number of watches on one stream.
pub const WATCHES_PER_STREAM_MAX: usize = 4_096;
/// Bytes that the registry sends ahead to a watch whose caller grants none itself.
const WINDOW: usize = 256 * 1024;

/// A reply, or the end of the stream.
pub(super) type SessionReply = Result<WatchObjectsReply, Status>;

/// A watch of a session.
#[derive(Clone, Copy, Debug)]
struct SessionWatch {
    id: WatchId,
    /// Whether the caller grants bytes itself.
    grants: bool,
}

/// Why a session ends.
enum SessionEnd {
    /// The caller is gone.
    Gone,
    /// The registry has stopped.
    Stopped,
}

impl From<RegistryStopped> for SessionEnd {
    fn from(_: RegistryStopped) -> Self {
        Self::Stopped
    }
}

/// The watches on one stream.
pub(super) struct WatchSession {
    registry: RegionRegistry,
    caller: RegistryCaller,
    /// By the numbers of the caller.
    watches: BTreeMap<u64, SessionWatch>,
    callers: BTreeMap<WatchId, u64>,
    stream: mpsc::UnboundedSender<WatchArrival>,
    out: mpsc::Sender<SessionReply>,
}

/// An event that a session reacts to.
enum SessionTurn {
    /// A request, or the end of the requests.
    Request(Option<Result<WatchObjectsRequest, Status>>),
    /// A reply of the registry.
    Reply(WatchArrival),
    /// The session ends.
    End(SessionEnd),
}

/// Waits for the next turn. Of several, the end comes first, and then requests.
async fn next_turn(
    requests: &mut Option<Streaming<WatchObjectsRequest>>,
    arrivals: &mut mpsc::UnboundedReceiver<WatchArrival>,
    out: &mpsc::Sender<SessionReply>,
    mut stopped: Pin<&mut impl Future<Output = ()>>,
) -> SessionTurn {
    let mut gone = pin!(out.closed());
    poll_fn(|context| {
        if stopped.as_mut().poll(context).is_ready() {
            return Poll::Ready(SessionTurn::End(SessionEnd::Stopped));
        }
        if gone.as_mut().poll(context).is_ready() {
            return Poll::Ready(SessionTurn::End(SessionEnd::Gone));
        }
        if let Some(requests) = requests
            && let Poll::Ready(request) = Pin::new(requests).poll_next(context)
        {
            return Poll::Ready(SessionTurn::Request(request));
        }
        match arrivals.poll_recv(context) {
            Poll::Ready(Some(arrival)) => Poll::Ready(SessionTurn::Reply(arrival)),
            // The session holds a sender.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Serves the watches of a stream until the caller is gone or the registry stops.
pub(super) async fn serve(
    registry: RegionRegistry,
    caller: RegistryCaller,
    requests: Streaming<WatchObjectsRequest>,
    out: mpsc::Sender<SessionReply>,
) {
    let (stream, mut arrivals) = mpsc::unbounded_channel();
    let mut stopped = pin!(registry.closed());
    let mut session = WatchSession {
        registry,
        caller,
        watches: BTreeMap::new(),
        callers: BTreeMap::new(),
        stream,
        out: out.clone(),
    };
    // None after the last request: a caller that sends no more may still read.
    let mut requests = Some(requests);
    let end = loop {
        let turn = next_turn(&mut requests, &mut arrivals, &out, stopped.as_mut()).await;
        let done = match turn {
            SessionTurn::Request(Some(Ok(request))) => session.on_request(request).await,
            SessionTurn::Request(Some(Err(_))) => Err(SessionEnd::Gone),
            SessionTurn::Request(None) => {
                requests = None;
                Ok(())
            }
            SessionTurn::Reply((watch, reply)) => session.on_reply(watch, reply).await,
            SessionTurn::End(end) => Err(end),
        };
        if let Err(end) = done {
            break end;
        }
    };
    match end {
        SessionEnd::Gone => session.close_all().await,
        SessionEnd::Stopped => {
            let status = Status::unavailable(RegistryStopped.to_string());
            // The caller may be gone, too.
            let _gone = out.send(Err(status)).await.is_err();
        }
    }
}

impl WatchSession {
    async fn send(&self, watch_id: u64, reply: Reply) -> Result<(), SessionEnd> {
        let reply = Some(reply);
        let sent = self.out.send(Ok(WatchObjectsReply { watch_id, reply }));
        sent.await.map_err(|_| SessionEnd::Gone)
    }

    async fn on_request(&mut self, wire: WatchObjectsRequest) -> Result<(), SessionEnd> {
        let number = wire.watch_id;
        match required("request", wire.request) {
            Ok(Request::Open(open)) => self.open(number, open).await,
            Ok(Request::GrantBytes(bytes)) => {
                let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                // A watch that was refused or has ended takes no credit.
                if let Some(watch) = self.watches.get(&number) {
                    self.registry.grant(watch.id, bytes).await?;
                }
                Ok(())
            }
            Ok(Request::Close(proto::CloseWatch {})) => {
                self.close(number).await;
                Ok(())
            }
            Err(error) => self.send(number, to_invalid(&error)).await,
        }
    }

    async fn open(&mut self, number: u64, open: proto::OpenWatch) -> Result<(), SessionEnd> {
        self.close(number).await;
        if self.watches.len() >= WATCHES_PER_STREAM_MAX {
            let refused = to_refused(&WatchRefusal::TooMany);
            return self.send(number, refused).await;
        }
        let request = match of_open(&open) {
            Ok(request) => request,
            Err(error) => return self.send(number, to_invalid(&error)).await,
        };
        let stream = self.stream.clone();
        let id = self
            .registry
            .open_watch(self.caller.clone(), request, stream);
        let id = id.await?;
        let grants = open.grants;
        self.watches.insert(number, SessionWatch { id, grants });
        self.callers.insert(id, number);
        if !grants {
            self.registry.grant(id, WINDOW).await?;
        }
        Ok(())
    }

    async fn on_reply(&mut self, id: WatchId, reply: WatchReply) -> Result<(), SessionEnd> {
        // Replies to a watch that was closed meanwhile may still arrive.
        let Some(number) = self.callers.get(&id).copied() else {
            return Ok(());
        };
        match reply {
            WatchReply::Opened => {
                self.send(number, Reply::Opened(proto::WatchOpened {}))
                    .await
            }
            WatchReply::Refused(refusal) => {
                self.watches.remove(&number);
                self.callers.remove(&id);
                self.send(number, to_refused(&refusal)).await
            }
            WatchReply::Message(message) => {
                self.send(number, to_reply(&message)).await?;
                if self.watches.get(&number).is_some_and(|watch| !watch.grants) {
                    self.registry.grant(id, message.weight()).await?;
                }
                Ok(())
            }
        }
    }

    async fn close(&mut self, number: u64) {
        if let Some(watch) = self.watches.remove(&number) {
            self.callers.remove(&watch.id);
            self.registry.close_watch(watch.id).await;
        }
    }

    async fn close_all(&mut self) {
        for watch in std::mem::take(&mut self.watches).into_values() {
            self.registry.close_watch(watch.id).await;
        }
    }
}
