//! One stream of the registry of another region that has a copy of this one.

use crate::registry::link::{FollowerArrival, FollowerStream};
use crate::registry::message::link::{FollowerRequest, of_request, to_refused, to_reply};
use crate::registry::message::{InvalidField, status};
use crate::registry::proto::{FollowReply, FollowRequest};
use crate::registry::region::{RegionRegistry, RegistryStopped};
use phalanx_core::registry::name::RegionId;
use phalanx_core::registry::replica::FollowerId;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::task::Poll;
use tokio::sync::mpsc;
use tokio_stream::Stream as _;
use tonic::{Code, Status, Streaming};

/// A reply, or the end of the stream.
pub(super) type FollowerReply = Result<FollowReply, Status>;

/// The status of a caller that claims another region than its certificate proves.
pub(super) fn other_region(proved: &RegionId, claimed: &RegionId) -> Status {
    let text = format!(
        "the caller's certificate names the registry of region {proved}, and the request claims region {claimed}"
    );
    status::terminal(Code::PermissionDenied, "DENIED", text)
}

/// Why a session ends.
enum SessionEnd {
    /// The follower is gone.
    Gone,
    /// The stream ends with this status.
    With(Status),
}

impl From<RegistryStopped> for SessionEnd {
    fn from(error: RegistryStopped) -> Self {
        Self::With(Status::unavailable(error.to_string()))
    }
}

impl From<InvalidField> for SessionEnd {
    fn from(error: InvalidField) -> Self {
        Self::With(status::of_invalid(&error))
    }
}

/// An event that a session reacts to.
enum SessionTurn {
    /// A request, or the end of the requests.
    Request(Option<FollowRequest>),
    /// The messages of the registry; none if it sends no more, because too much waits.
    Arrival(Option<FollowerArrival>),
    /// The follower is gone.
    Gone,
    /// The registry has stopped.
    Stopped,
}

/// Waits for the next turn. Of several, the end comes first, and then requests.
async fn next_turn(
    requests: &mut Streaming<FollowRequest>,
    arrivals: &mut mpsc::UnboundedReceiver<FollowerArrival>,
    out: &mpsc::Sender<FollowerReply>,
    mut stopped: Pin<&mut impl Future<Output = ()>>,
) -> SessionTurn {
    let mut gone = pin!(out.closed());
    poll_fn(|context| {
        if stopped.as_mut().poll(context).is_ready() {
            return Poll::Ready(SessionTurn::Stopped);
        }
        if gone.as_mut().poll(context).is_ready() {
            return Poll::Ready(SessionTurn::Gone);
        }
        if let Poll::Ready(request) = Pin::new(&mut *requests).poll_next(context) {
            let request = request.and_then(Result::ok);
            return Poll::Ready(SessionTurn::Request(request));
        }
        arrivals.poll_recv(context).map(SessionTurn::Arrival)
    })
    .await
}

/// Serves the stream of the registry of a region until it ends.
pub(super) async fn serve(
    registry: RegionRegistry,
    region: RegionId,
    mut requests: Streaming<FollowRequest>,
    out: mpsc::Sender<FollowerReply>,
) {
    let (queue, mut arrivals) = mpsc::unbounded_channel();
    let stream = FollowerStream::new(queue);
    let waiting = stream.waiting();
    let Ok(follower) = registry.add_follower(stream) else {
        return;
    };
    let mut stopped = pin!(registry.closed());
    let end = loop {
        let turn = next_turn(&mut requests, &mut arrivals, &out, stopped.as_mut()).await;
        let done = match turn {
            SessionTurn::Request(Some(request)) => {
                on_request(&registry, &region, follower, request).await
            }
            SessionTurn::Request(None) | SessionTurn::Gone => Err(SessionEnd::Gone),
            SessionTurn::Stopped => Err(RegistryStopped.into()),
            SessionTurn::Arrival(Some(arrival)) => {
                waiting.fetch_sub(arrival.weight(), Ordering::Relaxed);
                on_arrival(&arrival, &out).await
            }
            SessionTurn::Arrival(None) => Err(SessionEnd::With(Status::resource_exhausted(
                "the follower grants more bytes than it reads",
            ))),
        };
        if let Err(end) = done {
            break end;
        }
    };
    registry.remove_follower(follower).await;
    if let SessionEnd::With(status) = end {
        // The follower may be gone, too.
        let _gone = out.send(Err(status)).await.is_err();
    }
}

async fn on_request(
    registry: &RegionRegistry,
    region: &RegionId,
    follower: FollowerId,
    wire: FollowRequest,
) -> Result<(), SessionEnd> {
    match of_request(wire)? {
        FollowerRequest::Open(request) if request.region == *region => {
            Ok(registry.open_feed(follower, request).await?)
        }
        FollowerRequest::Open(request) => {
            Err(SessionEnd::With(other_region(region, &request.region)))
        }
        FollowerRequest::Confirm(sequence, bytes) => {
            Ok(registry.confirm_feed(follower, sequence, bytes).await?)
        }
    }
}

async fn on_arrival(
    arrival: &FollowerArrival,
    out: &mpsc::Sender<FollowerReply>,
) -> Result<(), SessionEnd> {
    let (reply, is_end) = match arrival {
        FollowerArrival::Message(message) => (to_reply(message), false),
        FollowerArrival::Ended(refusal) => (to_refused(refusal), true),
    };
    let sent = out.send(Ok(reply)).await;
    match sent {
        Ok(()) if !is_end => Ok(()),
        Ok(()) | Err(_) => Err(SessionEnd::Gone),
    }
}
