//! Attacks by calls, connections and strangers.

use crate::rogue::Rogue;
use bytes::Bytes;
use http_body::Frame;
use phalanx_net::transport::Call;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use tokio::time;
use tonic::Status;
use tonic::body::Body;
use tower::{Service as _, ServiceExt as _};

/// Number of connections of the large calls.
const CONNECTIONS: usize = 5;
/// Number of large calls on each connection.
const CALLS: usize = 8;
/// Time for which large calls and idle connections stay open.
const HOLD: Duration = Duration::from_secs(1);
/// Number of idle connections that one run adds.
const IDLE: usize = 100;

/// A request of which all but the last bytes arrive.
struct Unfinished(Option<Bytes>);

impl http_body::Body for Unfinished {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.0.take() {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None => Poll::Pending,
        }
    }
}

/// The message of a `SyncTopologyRequest` with short ids, behind its length, of about `size` bytes.
fn request(size: usize) -> Bytes {
    let mut message = vec![0; 5];
    let mut number = 0_u64;
    while message.len() < size {
        let key = format!("{number:x}");
        let length = u8::try_from(key.len()).expect("a short key");
        message.extend([0x0a, length + 11, 0x0a, length]);
        message.extend(key.as_bytes());
        message.push(0x11);
        message.extend(number.to_le_bytes());
        number += 1;
    }
    let length = u32::try_from(message.len() - 5).expect("a few MiB");
    message[1..5].copy_from_slice(&length.to_be_bytes());
    message.into()
}

async fn send(call: Arc<Call>, bytes: Bytes) {
    let request = http::Request::post("/phalanx.mesh.v1.MeshService/SyncTopology");
    let request = request.header("content-type", "application/grpc");
    let request = request.body(Body::new(Unfinished(Some(bytes))));
    let mut channel = call.channel.clone();
    let Ok(channel) = channel.ready().await else {
        return;
    };
    let answer = channel.call(request.expect("a valid request"));
    // The daemon refuses the call, or waits for its end.
    drop(time::timeout(HOLD, answer).await);
}

/// Forty calls whose requests have about `size` bytes, without their last bytes.
pub(crate) async fn large_calls(rogue: &Rogue, to: SocketAddr, size: usize) -> bool {
    let mut bytes = request(size);
    bytes.truncate(bytes.len() - 10);
    let mut connected = false;
    for _ in 0..CONNECTIONS {
        let Some(call) = rogue.connect(to).await else {
            continue;
        };
        connected = true;
        let call = Arc::new(call);
        for _ in 0..CALLS {
            rogue.tasks().spawn(send(Arc::clone(&call), bytes.clone()));
        }
    }
    time::sleep(HOLD).await;
    connected
}

/// Connections of one certificate that do nothing, beside those of earlier runs.
pub(crate) async fn idle_connections(rogue: &Rogue, to: SocketAddr) -> bool {
    let mut taken = false;
    for _ in 0..IDLE {
        if let Some(call) = rogue.connect(to).await {
            rogue.hold_idle(call);
            taken = true;
        }
    }
    time::sleep(HOLD).await;
    taken || rogue.holds_idle()
}

/// Strangers that speak other protocols, each from an address of its own.
pub(crate) async fn strangers(to: SocketAddr, count: u8) {
    for number in 0..count {
        let socket = TcpSocket::new_v4().expect("a socket can be made");
        let source = SocketAddr::from(([127, 0, 0, 2 + number], 0));
        socket.bind(source).expect("all of 127.0.0.0/8 is local");
        let Ok(mut stream) = socket.connect(to).await else {
            continue;
        };
        let text: &[u8] = match number % 3 {
            0 => b"GET / HTTP/1.1\r\n\r\n",
            1 => b"\x16\x03\x01\x00\x05hello, this is no handshake",
            _ => b"SSH-2.0-x\r\n",
        };
        // The daemon may have closed the connection.
        let _closed = stream.write_all(text).await.is_err();
    }
}
