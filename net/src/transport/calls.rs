//! Admission of requests on the port: only gRPC, and REST of services that have it, within the limits of [`CallsInProgress`]. Core decides.

use super::connection::Caller;
use crate::driver::TimeOrigin;
use crate::identity::Subject;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body::{Frame, SizeHint};
use phalanx_core::access;
use phalanx_core::calls::{CallExcess, CallInProgress, CallLimits, CallsInProgress};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// The content type of gRPC, before `+` or `;`.
const GRPC: &str = "application/grpc";
/// The start of the paths that answer other requests than gRPC, if a service has such paths.
const REST: &str = "/v1/";
/// The calls whose requests are streams of messages, which are taken one by one.
const LINK_PATHS: [&str; 2] = [
    "/phalanx.mesh.v1.Mesh/Link",
    "/phalanx.registry.v1.RegistryLink/Follow",
];

/// The other end of a connection on a socket of this host.
#[derive(Clone, Debug)]
pub(crate) struct LocalPeer {
    /// The number of the user in the operating system.
    pub(crate) user: u32,
    /// The holder for whom the calls of the user count.
    pub(crate) subject: Arc<Subject>,
}

/// The calls on one port. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct CallGate {
    calls: Arc<Mutex<CallsInProgress>>,
    /// Links, whose number and queues the machine bounds; they are counted apart, so that other calls take nothing of
    /// their share.
    links: Arc<Mutex<CallsInProgress>>,
    clock: TimeOrigin,
    own: Subject,
}

impl CallGate {
    /// The gate of the node with this subject.
    pub(crate) fn new(limits: CallLimits, own: Subject) -> Self {
        Self {
            calls: Arc::new(Mutex::new(CallsInProgress::new(limits))),
            links: Arc::new(Mutex::new(CallsInProgress::new(limits))),
            clock: TimeOrigin::begin(),
            own,
        }
    }

    /// Begins the call of a request.
    fn begin<B>(&self, request: &Request<B>) -> Result<Arc<OpenCall>, Status> {
        let extensions = request.extensions();
        let caller = extensions.get::<Caller>();
        let remote = caller.map(|it| &it.peer.subject);
        let is_registry = caller.is_some_and(|it| it.peer.registry.is_some());
        let local = || extensions.get::<LocalPeer>().map(|it| &*it.subject);
        let subject = remote.or_else(local);
        let subject = subject.ok_or_else(|| Status::internal("the connection has no caller"))?;
        let class = access::class(subject, is_registry, &self.own);
        let calls = match is_link(request) {
            true => &self.links,
            false => &self.calls,
        };
        let begun = locked(calls).begin(self.clock.now(), subject, class);
        Ok(Arc::new(OpenCall {
            call: Mutex::new(begun.map_err(refusal)?),
            calls: Arc::clone(calls),
        }))
    }
}

fn locked(calls: &Mutex<CallsInProgress>) -> MutexGuard<'_, CallsInProgress> {
    calls.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a request opens a link.
fn is_link<B>(request: &Request<B>) -> bool {
    LINK_PATHS.contains(&request.uri().path())
}

fn refusal(excess: CallExcess) -> Status {
    Status::resource_exhausted(excess.to_string())
}

/// One call, until its request and its answer are dropped.
#[derive(Debug)]
struct OpenCall {
    call: Mutex<CallInProgress>,
    calls: Arc<Mutex<CallsInProgress>>,
}

impl OpenCall {
    fn count(
        &self,
        how: impl FnOnce(&mut CallsInProgress, &mut CallInProgress) -> Result<(), CallExcess>,
    ) -> Result<(), Status> {
        let mut call = self.call.lock().unwrap_or_else(PoisonError::into_inner);
        how(&mut locked(&self.calls), &mut call).map_err(refusal)
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let call = self.call.get_mut().unwrap_or_else(PoisonError::into_inner);
        locked(&self.calls).end(call);
    }
}

impl<S> Layer<S> for CallGate {
    type Service = GatedService<S>;

    fn layer(&self, inner: S) -> GatedService<S> {
        GatedService {
            inner,
            gate: self.clone(),
        }
    }
}

/// The services of a port behind its [`CallGate`].
#[derive(Clone, Debug)]
pub(crate) struct GatedService<S> {
    inner: S,
    gate: CallGate,
}

impl<S> Service<Request<Body>> for GatedService<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let is_grpc_request = is_grpc(request.headers());
        if !is_grpc_request && !request.uri().path().starts_with(REST) {
            return Box::pin(async { Ok(empty(StatusCode::NOT_FOUND)) });
        }
        if is_grpc_request && request.version() != Version::HTTP_2 {
            // gRPC ends with trailers, and streams in both directions.
            return Box::pin(async { Ok(empty(StatusCode::HTTP_VERSION_NOT_SUPPORTED)) });
        }
        let call = match self.gate.begin(&request) {
            Ok(call) => call,
            Err(_) if !is_grpc_request => {
                return Box::pin(async { Ok(empty(StatusCode::TOO_MANY_REQUESTS)) });
            }
            Err(status) => return Box::pin(async move { Ok(status.into_http()) }),
        };
        let is_link = is_link(&request);
        let request = match is_link {
            true => request,
            false => request.map(|body| Body::new(RequestBody::new(body, &call))),
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            // No service has such a path: gRPC's answer would look like success.
            if !is_grpc_request && is_grpc(answer.headers()) {
                return Ok(empty(StatusCode::NOT_FOUND));
            }
            let counts = !is_link;
            Ok(answer.map(|body| Body::new(AnswerBody { body, call, counts })))
        })
    }
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Whether headers say that a request is gRPC.
fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let rest = kind.and_then(|kind| kind.strip_prefix(GRPC));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
}

/// The request of a call, whose bytes are counted.
struct RequestBody {
    body: Body,
    call: Arc<OpenCall>,
}

impl RequestBody {
    fn new(body: Body, call: &Arc<OpenCall>) -> Self {
        let call = Arc::clone(call);
        Self { body, call }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let bytes = bytes_of(frame.as_ref());
        let counted = self.call.count(|calls, call| calls.receive(call, bytes));
        Poll::Ready(frame.map(|frame| counted.and(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The answer of a call, whose waiting part is counted. The connection asks for a part when it has sent the one before.
struct AnswerBody {
    body: Body,
    call: Arc<OpenCall>,
    /// Whether the bytes are counted.
    counts: bool,
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if !self.counts {
            return Pin::new(&mut self.body).poll_frame(context);
        }
        // The connection has sent the part before.
        let released = self.call.count(|calls, call| calls.answer(call, 0));
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let bytes = bytes_of(frame.as_ref());
        let counted = self.call.count(|calls, call| calls.answer(call, bytes));
        match released.and(counted) {
            Ok(()) => Poll::Ready(frame),
            Err(status) => Poll::Ready(Some(Ok(end_with(&status)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The end of an answer that is refused. The connection takes no part of an answer after its trailers.
fn end_with(status: &Status) -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    // The status has no details that could fail to be encoded.
    drop(status.add_header(&mut trailers));
    Frame::trailers(trailers)
}

/// The bytes of data in a part of a body.
fn bytes_of(frame: Option<&Result<Frame<Bytes>, Status>>) -> usize {
    let data = frame.and_then(|frame| frame.as_ref().ok()?.data_ref());
    data.map_or(0, Bytes::len)
}
