//! Tests of foreign, expired and malformed peers: each is rejected, and the node keeps running.

use super::*;
use crate::transport::CallError;
use crate::wire;
use bytes::{Buf, BufMut};
use http::uri::PathAndQuery;
use phalanx_core::gossip;
use phalanx_core::gossip::Status::Alive;
use phalanx_core::gossip::message::{
    Frame, Goodbye, Hello, RefusalReason, VERSION_MAX, VERSION_MIN,
};
use phalanx_core::link::DialError;
use phalanx_core::node::Message;
use phalanx_core::topology::record::{Content, Rank, Record};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Request, Status, Streaming};

/// A codec that sends any bytes as a message.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;
    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;
    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut bytes = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut bytes);
        Ok(Some(bytes))
    }
}

/// A link opened without the transport.
pub(super) struct RawLink {
    call: Arc<Call>,
    pub(super) out: tokio::sync::mpsc::Sender<Vec<u8>>,
    pub(super) inbound: Streaming<Vec<u8>>,
}

pub(super) async fn raw_link(identity: &Identity, to: &TestMember) -> Result<RawLink, Status> {
    let address = Address::Socket(to.address());
    let call = Call::connect(&Tcp, identity, &address, DEADLINE)
        .await
        .unwrap();
    RawLink::on(Arc::new(call)).await
}

impl RawLink {
    async fn on(call: Arc<Call>) -> Result<Self, Status> {
        let mut grpc = tonic::client::Grpc::new(call.channel.clone());
        grpc.ready().await.unwrap();
        let (out, stream) = tokio::sync::mpsc::channel(16);
        let request = Request::new(ReceiverStream::new(stream));
        let path = PathAndQuery::from_static("/phalanx.mesh.v1.Mesh/Link");
        let inbound = grpc.streaming(request, path, Raw).await?.into_inner();
        Ok(Self { call, out, inbound })
    }

    /// Opens a second link on the same connection.
    pub(super) async fn another(&self) -> Result<Self, Status> {
        Self::on(Arc::clone(&self.call)).await
    }
}

/// Checks that the node still accepts new members.
async fn still_lives(ca: &TestAuthority, member: TestMember) {
    let friend = start(ca.node("friend"), &[member.address()]).await;
    friend.sees(&[("friend", Alive), ("one", Alive)]).await;
    friend.ends().await;
    member.ends().await;
}

#[tokio::test]
async fn a_foreign_ca_is_not_trusted_by_either_end() {
    let (ca, foreign) = (TestAuthority::new(), TestAuthority::new());
    let mut one = start(ca.node("one"), &[]).await;
    let mut two = start(foreign.node("two"), &[one.address()]).await;
    let reason = two.fails_to_dial("not trusted").await;
    assert!(reason.contains("CA"), "{reason}");
    one.turns_away("CA").await;
    two.ends().await;
    still_lives(&ca, one).await;
}

#[tokio::test]
async fn an_expired_dialer_learns_the_reason_although_its_own_handshake_succeeded() {
    let ca = TestAuthority::new();
    let mut one = start(ca.node("one"), &[]).await;
    let mut two = start(ca.expired_node("two"), &[one.address()]).await;
    let reason = two.fails_to_dial("not trusted").await;
    assert!(
        reason.contains("does not accept the certificate of this end: expired"),
        "{reason}"
    );
    one.turns_away("expired").await;
    two.ends().await;
    still_lives(&ca, one).await;
}

#[tokio::test]
async fn an_expired_acceptor_is_not_trusted() {
    let ca = TestAuthority::new();
    let one = start(ca.expired_node("one"), &[]).await;
    let mut two = start(ca.node("two"), &[one.address()]).await;
    let reason = two.fails_to_dial("not trusted").await;
    assert!(reason.contains("its certificate has expired"), "{reason}");
    two.ends().await;
    one.ends().await;
}

#[tokio::test]
async fn garbage_and_plain_http_on_the_port_are_rejected() {
    let ca = TestAuthority::new();
    let mut one = start(ca.node("one"), &[]).await;
    for (bytes, why) in [
        (
            &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
            "another protocol",
        ),
        (&[0x5a; 400], "another protocol"),
        (b"\x16\x03\x01", "aborted the TLS handshake"),
    ] {
        let mut stream = TcpStream::connect(one.address()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        one.turns_away(why).await;
        let mut rest = Vec::new();
        // The reply, at most an alert, ends.
        let read = time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await;
        assert!(read.is_ok() && rest.len() < 100);
    }
    still_lives(&ca, one).await;
}

/// Starts a server that answers every connection with these bytes.
async fn speaks(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(answer).await.unwrap();
            let mut sink = [0; 1024];
            while stream.read(&mut sink).await.is_ok_and(|read| read > 0) {}
        }
    });
    tasks.detach_all();
    address
}

#[tokio::test]
async fn dialling_another_protocol_is_reported_and_dialling_silence_times_out() {
    let ca = TestAuthority::new();
    let http = speaks(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
    let mut one = start(ca.node("one"), &[http]).await;
    one.fails_to_dial("another protocol").await;
    let mut two = start(ca.node("two"), &[speaks(b"").await]).await;
    two.fails_to_dial("timed out").await;
    one.ends().await;
    two.ends().await;
}

#[tokio::test]
async fn an_administrator_is_refused_a_link_with_the_reason() {
    let ca = TestAuthority::new();
    let mut one = start(ca.node("one"), &[]).await;
    let status = raw_link(&ca.admin("ada"), &one).await.err().unwrap();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(
        status.message().contains("only nodes open links"),
        "{status}"
    );
    one.hears("a denied link", |notice| {
        matches!(notice, Notice::Transport(TransportEvent::LinkDenied { .. }))
    })
    .await;
    still_lives(&ca, one).await;
}

#[tokio::test]
async fn an_invalid_message_closes_its_link_and_is_reported() {
    let ca = TestAuthority::new();
    let mut one = start(ca.node("one"), &[]).await;
    let whole = wire::encode(&Message::Mesh(gossip::Message::Frame(Frame {
        hash: Some(1),
        ..Frame::default()
    })));
    let truncated = whole[..whole.len() - 3].to_vec();
    let oversized = vec![0; LINK_MESSAGE_BYTES_MAX + 1];
    let cases = [
        (vec![0xff; 64], "decode"),
        (truncated, "decode"),
        (oversized, "too large"),
    ];
    for (bytes, reason) in cases {
        let mut link = raw_link(&ca.node("two"), &one).await.unwrap();
        link.out.send(bytes).await.unwrap();
        let notice = one
            .hears("a malformed message", |notice| {
                matches!(notice, Notice::Transport(TransportEvent::Malformed { .. }))
            })
            .await;
        let Notice::Transport(event) = notice else {
            panic!()
        };
        assert!(event.to_string().contains(reason), "{event}");
        assert!(
            event.to_string().starts_with("two sent an invalid message"),
            "{event}"
        );
        let end = time::timeout(DEADLINE, async {
            while let Ok(Some(_)) = link.inbound.message().await {}
        });
        assert!(end.await.is_ok(), "the link is closed");
    }
    still_lives(&ca, one).await;
}

#[tokio::test]
async fn a_node_whose_record_is_refused_hears_why() {
    let ca = TestAuthority::new();
    let one = start(ca.node("one"), &[]).await;
    let entries = (0..65).map(|entry| (format!("k{entry}"), String::new()));
    let bound = BoundPort::bind(Tcp, loopback()).await.unwrap();
    let content = Content {
        address: Some(bound.local_address()),
        metadata: entries.collect(),
        ..Content::default()
    };
    let (identity, targets) = (ca.node("two"), [one.address()]);
    let limits = Limits::default();
    let mut two = start_bound(bound, content, identity, &targets, limits, 100, |_| ());
    let notice = two
        .hears("a refused message", |notice| {
            matches!(
                notice,
                Notice::Transport(TransportEvent::MessageRefused { .. })
            )
        })
        .await;
    let Notice::Transport(event) = notice else {
        panic!()
    };
    let said = event.to_string();
    for part in [
        "one refused a message of this node",
        "metadata has 65 entries",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

#[tokio::test]
async fn an_unexpected_first_message_ends_the_link_but_not_the_node() {
    let ca = TestAuthority::new();
    let one = start(ca.node("one"), &[]).await;
    let mut link = raw_link(&ca.node("two"), &one).await.unwrap();
    link.out
        .send(wire::encode(&Message::Mesh(gossip::Message::Goodbye(
            Goodbye::Unneeded,
        ))))
        .await
        .unwrap();
    let end = time::timeout(DEADLINE, async {
        while let Ok(Some(_)) = link.inbound.message().await {}
    });
    assert!(end.await.is_ok(), "the link is closed");
    still_lives(&ca, one).await;
}

#[tokio::test]
async fn calls_know_their_caller_and_learn_the_reason_of_a_rejection() {
    let ca = TestAuthority::new();
    let one = start(ca.node("one"), &[]).await;
    let address = Address::Socket(one.address());
    let call = Call::connect(&Tcp, &ca.node("two"), &address, DEADLINE)
        .await
        .unwrap();
    assert_eq!(call.peer.subject.to_string(), "spiffe://test/node/one");
    let foreign = Call::connect(&Tcp, &TestAuthority::new().node("two"), &address, DEADLINE).await;
    assert!(matches!(
        foreign,
        Err(CallError::Dial(DialError::Untrusted(_)))
    ));
    let expired = Call::connect(&Tcp, &ca.expired_node("two"), &address, DEADLINE).await;
    let reason = match expired {
        // The node rejected the certificate while HTTP/2 was starting.
        Err(reason) => reason.to_string(),
        Ok(call) => {
            let mut grpc = tonic::client::Grpc::new(call.channel.clone());
            grpc.ready().await.unwrap();
            let path = PathAndQuery::from_static("/phalanx.mesh.v1.Mesh/Nothing");
            let answer = grpc.unary(Request::new(vec![]), path, Raw).await;
            call.explain(&answer.unwrap_err())
        }
    };
    assert!(
        reason.contains("does not accept the certificate of this end: expired"),
        "{reason}"
    );
    one.ends().await;
}

#[tokio::test]
async fn older_and_newer_protocols_learn_the_supported_versions() {
    let ca = TestAuthority::new();
    let one = start(ca.node("one"), &[]).await;
    for versions in [(0, VERSION_MIN - 1), (VERSION_MAX + 1, VERSION_MAX + 9)] {
        let id = NodeId::new("two").unwrap();
        let hello = Hello {
            mesh: "test".to_owned(),
            version_min: versions.0,
            version_max: versions.1,
            session: 1,
            joining: true,
            alone: false,
            hash: 0,
            revocations: 0,
            record: Arc::new(Record::new(
                id,
                Rank {
                    epoch: 1,
                    instance: 1,
                    ..Rank::default()
                },
                Content::default(),
            )),
        };
        let mut link = raw_link(&ca.node("two"), &one).await.unwrap();
        link.out
            .send(wire::encode(&Message::Mesh(gossip::Message::Hello(hello))))
            .await
            .unwrap();
        let answer = time::timeout(DEADLINE, link.inbound.message())
            .await
            .unwrap();
        let answer = wire::decode(&answer.unwrap().unwrap()).unwrap();
        let Message::Mesh(gossip::Message::Refuse(refusal)) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(refusal.reason, RefusalReason::Version);
        assert_eq!(refusal.versions, (VERSION_MIN, VERSION_MAX));
    }
    still_lives(&ca, one).await;
}
