//! Tests of the bounds of calls, and of requests that are not gRPC.

use super::*;
use crate::service::REQUEST_BYTES_MAX;
use crate::transport::Call;
use crate::wire::proto;
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body::Frame;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::Code;
use tonic::body::Body;
use tower::{Service, ServiceExt as _};

const SYNC: &str = "/phalanx.mesh.v1.MeshService/SyncTopology";
const GRPC: &str = "application/grpc";

/// A request whose first bytes arrive and whose end does not.
struct Unfinished(Option<Bytes>);

impl http_body::Body for Unfinished {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        match self.0.take() {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None => Poll::Pending,
        }
    }
}

/// The first `sent` bytes of a message of `announced` bytes.
fn begun(announced: u32, sent: usize) -> Body {
    let mut bytes = vec![0];
    bytes.extend(announced.to_be_bytes());
    bytes.resize(5 + sent, 0);
    Body::new(Unfinished(Some(bytes.into())))
}

async fn connection(node: &MeshNode, identity: &Identity) -> Call {
    let address = Address::Socket(node.address());
    Call::connect(&Tcp, identity, &address, SOON).await.unwrap()
}

/// Sends a request and returns the head of its answer.
async fn request(call: &Call, path: &str, kind: Option<&str>, body: Body) -> Response<Body> {
    let mut request = http::Request::builder().method(Method::POST).uri(path);
    if let Some(kind) = kind {
        request = request.header("content-type", kind);
    }
    let mut channel = call.channel.clone();
    let channel = channel.ready().await.unwrap();
    channel.call(request.body(body).unwrap()).await.unwrap()
}

fn code(response: &Response<Body>) -> Option<Code> {
    let status = response.headers().get("grpc-status")?;
    Some(Code::from_bytes(status.as_bytes()))
}

#[tokio::test]
async fn requests_that_are_not_grpc_are_not_found_and_unknown_methods_are_unimplemented() {
    let mesh = Mesh::new();
    let (node, _) = mesh.start("a", vec![]).await;
    let call = connection(&node, &mesh.admin()).await;
    let not_found = [
        ("/", None),
        ("/healthz", None),
        ("/healthz", Some("text/plain")),
        (SYNC, None),
        (SYNC, Some("application/json")),
        (SYNC, Some("application/grpcfoo")),
        (SYNC, Some("application/grpc-web+proto")),
    ];
    for (path, kind) in not_found {
        let response = request(&call, path, kind, Body::empty()).await;
        assert_eq!(
            (response.status(), code(&response)),
            (StatusCode::NOT_FOUND, None),
            "{path} {kind:?}"
        );
    }
    let unimplemented = [
        "/phalanx.mesh.v1.MeshService/Nothing",
        "/phalanx.mesh.v1.ChannelService/Nothing",
        "/phalanx.mesh.v1.Mesh/Nothing",
        "/grpc.health.v1.Health/Check",
    ];
    for path in unimplemented {
        for kind in [GRPC, "application/grpc+proto", "application/grpc;x=y"] {
            let response = request(&call, path, Some(kind), Body::empty()).await;
            assert_eq!(
                (response.status(), code(&response)),
                (StatusCode::OK, Some(Code::Unimplemented)),
                "{path} {kind}"
            );
        }
    }
    node.shutdown().await;
}

#[tokio::test]
async fn a_large_request_is_refused_before_its_bytes_are_held() {
    let mesh = Mesh::new();
    let (node, _) = mesh.start("a", vec![]).await;
    let call = connection(&node, &mesh.admin()).await;
    let announced = u32::try_from(REQUEST_BYTES_MAX).unwrap() + 1;
    let response = request(&call, SYNC, Some(GRPC), begun(announced, 10)).await;
    assert_eq!(code(&response), Some(Code::OutOfRange));
    // The channel service accepts large requests, but only of callers that may use channels.
    let path = "/phalanx.mesh.v1.ChannelService/Publish";
    let evil = connection(&node, &mesh.node("evil")).await;
    let response = request(&evil, path, Some(GRPC), begun(9 << 20, 10)).await;
    assert_eq!(code(&response), Some(Code::PermissionDenied));
    node.shutdown().await;
}

#[tokio::test]
async fn the_calls_of_one_caller_hold_bounded_bytes_and_other_callers_are_served() {
    let mesh = Mesh::new();
    let (node, _) = mesh.start("a", vec![]).await;
    let evil = mesh.node("evil");
    let (answers, mut answered) = tokio::sync::mpsc::unbounded_channel();
    let mut connections = Vec::new();
    for _ in 0..5 {
        connections.push(Arc::new(connection(&node, &evil).await));
    }
    let sent = REQUEST_BYTES_MAX - 10;
    let announced = u32::try_from(REQUEST_BYTES_MAX).unwrap();
    for number in 0..40 {
        let (call, answers) = (Arc::clone(&connections[number % 5]), answers.clone());
        mesh.tasks.spawn(async move {
            let response = request(&call, SYNC, Some(GRPC), begun(announced, sent)).await;
            // The receiver is gone when the test ends.
            let _ended = answers.send(code(&response)).is_err();
        });
    }
    let share = phalanx_core::calls::CallLimits::default()
        .members
        .of_one
        .request_bytes;
    for _ in share / REQUEST_BYTES_MAX..40 {
        let answer = time::timeout(SOON, answered.recv()).await.unwrap();
        assert_eq!(answer.unwrap(), Some(Code::ResourceExhausted));
    }
    let mut other = client(&node, &mesh.node("b")).await;
    let mut admin = client(&node, &mesh.admin()).await;
    for client in [&mut other, &mut admin] {
        let held = BTreeMap::new();
        let request = proto::SyncTopologyRequest { held };
        client.calls().sync_topology(request).await.unwrap();
    }
    assert!(answered.try_recv().is_err(), "the others wait");
    node.shutdown().await;
}

#[tokio::test]
async fn the_number_of_calls_of_one_caller_is_bounded() {
    let mesh = Mesh::new();
    let (node, _) = mesh.start("a", vec![]).await;
    let evil = connection(&node, &mesh.node("evil")).await;
    let evil = Arc::new(evil);
    let (answers, mut answered) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..60 {
        let (call, answers) = (Arc::clone(&evil), answers.clone());
        mesh.tasks.spawn(async move {
            let response = request(&call, SYNC, Some(GRPC), begun(100, 10)).await;
            // The receiver is gone when the test ends.
            let _ended = answers.send(code(&response)).is_err();
        });
    }
    let most = phalanx_core::calls::CallLimits::default()
        .members
        .of_one
        .calls;
    for _ in most..60 {
        let answer = time::timeout(SOON, answered.recv()).await.unwrap();
        assert_eq!(answer.unwrap(), Some(Code::ResourceExhausted));
    }
    client(&node, &mesh.node("b")).await;
    node.shutdown().await;
}
