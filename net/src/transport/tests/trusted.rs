//! Tests of links in trusted subnets, which are authenticated but not encrypted, as seen on the
//! network.

use super::*;
use crate::identity::Secret;
use crate::service::{Api, EventJournal};
use crate::wire::proto::PingRequest;
use crate::wire::proto::mesh_service_client::MeshServiceClient;
use std::io;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// Part of the record that a node sends in its first message on each link.
const SAID: &[u8] = b"a sentence that nothing else on the wire looks like";

/// A change that an attacker makes to bytes on a dialled connection.
type Meddle = fn(&mut Vec<u8>);

/// An attacker between a node and the nodes that it dials, who reads all bytes and may change them.
#[derive(Clone)]
struct Wire {
    seen: Arc<Mutex<Vec<u8>>>,
    /// Applied once to the bytes that the dialer receives.
    inward: Arc<Mutex<Option<Meddle>>>,
    /// Applied to all bytes that the dialer sends.
    outward: Meddle,
}

impl Wire {
    fn new(outward: Meddle) -> Self {
        Self {
            seen: Arc::default(),
            inward: Arc::default(),
            outward,
        }
    }

    fn saw(&self, text: &[u8]) -> bool {
        let seen = self.seen.lock().unwrap();
        seen.windows(text.len()).any(|window| window == text)
    }
}

impl Network for Wire {
    type Io = Tapped;
    type Listener = Untapped;

    async fn connect(&self, address: SocketAddr) -> io::Result<Tapped> {
        let io = Tcp.connect(address).await?;
        let wire = Some(self.clone());
        Ok(Tapped { io, wire })
    }

    async fn resolve(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        Tcp.resolve(name).await
    }

    async fn bind(&self, address: SocketAddr) -> io::Result<Untapped> {
        Tcp.bind(address).await.map(Untapped)
    }
}

struct Untapped(TcpListener);

impl Listener for Untapped {
    type Io = Tapped;

    async fn accept(&mut self) -> io::Result<(Tapped, SocketAddr)> {
        let (io, remote) = Listener::accept(&mut self.0).await?;
        Ok((Tapped { io, wire: None }, remote))
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.0.local_address()
    }

    fn local_end(io: &Tapped) -> io::Result<SocketAddr> {
        TcpListener::local_end(&io.io)
    }
}

struct Tapped {
    io: TcpStream,
    /// `None` if the other end dialled: the connection is tapped there.
    wire: Option<Wire>,
}

impl AsyncRead for Tapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.io).poll_read(context, buffer);
        if let Some(wire) = &self.wire {
            let heard = &mut buffer.filled_mut()[before..];
            wire.seen.lock().unwrap().extend_from_slice(heard);
            let meddle = (!heard.is_empty()).then(|| wire.inward.lock().unwrap().take());
            if let Some(meddle) = meddle.flatten() {
                let mut changed = heard.to_vec();
                meddle(&mut changed);
                heard.copy_from_slice(&changed);
            }
        }
        result
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut said = bytes.to_vec();
        if let Some(wire) = &self.wire {
            (wire.outward)(&mut said);
        }
        let result = Pin::new(&mut self.io).poll_write(context, &said);
        if let (Some(wire), Poll::Ready(Ok(written))) = (&self.wire, &result) {
            let mut seen = wire.seen.lock().unwrap();
            seen.extend_from_slice(&said[..*written]);
        }
        result
    }

    // All slices are written at once: after a failed handshake TLS writes only once, and the alert
    // is not in the first slice.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all: Vec<u8> = slices
            .iter()
            .flat_map(|slice| slice.iter())
            .copied()
            .collect();
        self.poll_write(context, &all)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

fn subnets(texts: &[&str]) -> TrustedSubnets {
    let subnets: Vec<Subnet> = texts.iter().map(|text| text.parse().unwrap()).collect();
    TrustedSubnets::new(&subnets).unwrap()
}

/// Starts a node on a tapped network that trusts these subnets.
async fn start_trusting(
    wire: &Wire,
    identity: Identity,
    targets: &[SocketAddr],
    trusted: &[&str],
) -> TestMember {
    let bound = BoundPort::bind(wire.clone(), loopback()).await.unwrap();
    let content = Content {
        nickname: String::from_utf8(SAID.to_vec()).unwrap(),
        address: Some(bound.local_address()),
        ..Content::default()
    };
    let settings = Settings {
        trusted: subnets(trusted),
        ..settings(content, identity, targets, 100)
    };
    let mut early = None;
    let node = bound.start(settings, |node| {
        early = Some(node.subscribe());
        Routes::new(Api::server(node.clone(), EventJournal::new()))
    });
    TestMember {
        node: node.unwrap(),
        notices: early.unwrap(),
        heard: Vec::new(),
    }
}

const BOTH: [(&str, Status); 2] = [("one", Status::Alive), ("two", Status::Alive)];

/// Returns whether the link of two such nodes is readable on the network, after both have sent
/// their records.
async fn is_read(ones: &[&str], twos: &[&str]) -> bool {
    let ca = TestAuthority::new();
    let wire = Wire::new(|_| ());
    let one = start_trusting(&wire, ca.node("one"), &[], ones).await;
    let two = start_trusting(&wire, ca.node("two"), &[one.address()], twos).await;
    one.sees(&BOTH).await;
    two.sees(&BOTH).await;
    let unencrypted = [&one, &two].map(|member| member.node.unencrypted_links().len());
    let read = wire.saw(SAID);
    assert_eq!(unencrypted, if read { [1, 1] } else { [0, 0] });
    for mut member in [one, two] {
        if read {
            member.hears("an unencrypted link", is_unencrypted).await;
        }
        let (node, tells) = (member.node.clone(), member.heard.iter().any(is_unencrypted));
        member.ends().await;
        assert_eq!(node.unencrypted_links().len(), 0);
        assert_eq!(tells, read);
    }
    read
}

fn is_unencrypted(notice: &Notice) -> bool {
    matches!(
        notice,
        Notice::Transport(TransportEvent::Unencrypted { .. })
    )
}

#[tokio::test]
async fn a_link_is_readable_on_the_network_if_both_ends_trust_the_subnet() {
    assert!(is_read(&["127.0.0.0/8"], &["10.0.0.0/8", "127.0.0.0/8"]).await);
}

#[tokio::test]
async fn a_link_is_encrypted_unless_each_end_lists_the_others_address() {
    assert!(!is_read(&[], &[]).await);
    assert!(!is_read(&["127.0.0.0/8"], &[]).await);
    assert!(!is_read(&[], &["127.0.0.0/8"]).await);
    assert!(!is_read(&["127.0.0.0/8"], &["10.0.0.0/8"]).await);
}

const LOCAL: &[&str] = &["127.0.0.0/8"];

#[tokio::test]
async fn an_untrusted_peer_is_rejected_in_a_trusted_subnet_too() {
    let (ca, foreign) = (TestAuthority::new(), TestAuthority::new());
    let wire = Wire::new(|_| ());
    let mut one = start_trusting(&wire, ca.node("one"), &[], LOCAL).await;
    let target = [one.address()];
    let mut two = start_trusting(&wire, foreign.node("two"), &target, LOCAL).await;
    two.fails_to_dial("its certificate is signed by").await;
    one.turns_away("not trusted").await;
    two.ends().await;
    let with = |id: &str| {
        let subject = Subject::node("test", NodeId::new(id).unwrap()).unwrap();
        let secret = Secret::make().unwrap();
        Identity::from_secrets(&[secret], &subject, Validity::days(now(), 1), now()).unwrap()
    };
    let knows = start_trusting(&wire, with("knows"), &[], LOCAL).await;
    let target = [knows.address()];
    let mut guesses = start_trusting(&wire, with("guesses"), &target, LOCAL).await;
    guesses
        .fails_to_dial("a different secret of the mesh")
        .await;
    for member in [&one, &knows, &guesses] {
        assert_eq!(member.node.links(), 0);
    }
    for member in [one, knows, guesses] {
        member.ends().await;
    }
}

#[tokio::test]
async fn a_byte_changed_on_the_network_breaks_the_link() {
    let ca = TestAuthority::new();
    let wire = Wire::new(|_| ());
    let one = start_trusting(&wire, ca.node("one"), &[], LOCAL).await;
    let mut two = start_trusting(&wire, ca.node("two"), &[one.address()], LOCAL).await;
    two.sees(&BOTH).await;
    two.hears("an unencrypted link", is_unencrypted).await;
    // The last byte of the next read belongs to an authenticator, because records arrive whole.
    *wire.inward.lock().unwrap() = Some(|heard| {
        if let Some(last) = heard.last_mut() {
            *last ^= 1;
        }
    });
    two.hears("a broken link", |notice| {
        matches!(notice, Notice::Mesh(gossip::Event::LinkDown { .. }))
    })
    .await;
    two.hears("the next link", is_unencrypted).await;
    two.sees(&BOTH).await;
    two.ends().await;
    one.ends().await;
}

/// The number of the suite for unencrypted links.
const OFFER: [u8; 2] = [0xFF, 0xB4];

/// Returns the position of the offer in the list of suites of a first message of TLS. The random
/// bytes of the message may hold the same two bytes, so only the list is searched.
fn offer_position(hello: &[u8]) -> Option<usize> {
    // A record's header has 5 bytes, a message's header 4, the version 2 and the random bytes 32.
    let session = 5 + 4 + 2 + 32;
    if hello.first() != Some(&0x16) {
        return None;
    }
    let length = session + 1 + usize::from(*hello.get(session)?);
    let suites = length + 2;
    let bytes = u16::from_be_bytes(hello.get(length..suites)?.try_into().ok()?);
    let list = hello.get(suites..suites + usize::from(bytes))?;
    let mut pairs = list.chunks_exact(2);
    pairs
        .position(|suite| suite == OFFER)
        .map(|at| suites + 2 * at)
}

#[tokio::test]
async fn an_attacker_cannot_choose_whether_a_link_is_encrypted() {
    let ca = TestAuthority::new();
    // Removes the offer from the dialer's first message, so that the acceptor would choose to
    // encrypt.
    let wire = Wire::new(|said| {
        if let Some(at) = offer_position(said) {
            said[at + 1] ^= 1;
        }
    });
    let mut one = start_trusting(&wire, ca.node("one"), &[], LOCAL).await;
    let mut two = start_trusting(&wire, ca.node("two"), &[one.address()], LOCAL).await;
    two.fails_to_dial("").await;
    one.turns_away("").await;
    assert_eq!((one.node.links(), two.node.links()), (0, 0));
    two.ends().await;
    one.ends().await;
}

#[tokio::test]
async fn calls_are_encrypted_in_a_trusted_subnet_too() {
    let ca = TestAuthority::new();
    let wire = Wire::new(|_| ());
    let mut one = start_trusting(&wire, ca.node("one"), &[], LOCAL).await;
    let (address, admin) = (Address::Socket(one.address()), ca.admin("ada"));
    let call = Call::connect(&wire, &admin, &address, DEADLINE)
        .await
        .unwrap();
    let ping = PingRequest {
        payload: SAID.to_vec(),
    };
    let mut client = MeshServiceClient::new(call.channel.clone());
    let answer = client.ping(ping.clone()).await.unwrap().into_inner();
    assert_eq!(answer.payload, SAID);
    assert!(!wire.saw(SAID));
    let first = wire.seen.lock().unwrap().clone();
    assert_eq!((first[0], offer_position(&first)), (0x16, None));
    // A program that offers the suite for calls is rejected: as an administrator at the connection,
    // as a node at the call.
    let (node, tapped) = (one.address(), wire.clone());
    let offering = |identity: Identity| {
        let (wire, address) = (tapped.clone(), node);
        async move {
            let io = Tcp.connect(address).await.unwrap();
            let io = Tapped {
                io,
                wire: Some(wire),
            };
            let io = connection::Connections::default().guard(io, false);
            let config = identity.client_config(crate::identity::Encryption::Waived);
            let keepalive = None;
            dial::call(io, &identity, config.unwrap(), keepalive).await
        }
    };
    if let Ok(call) = offering(admin).await {
        let refused = MeshServiceClient::new(call.channel.clone())
            .ping(ping.clone())
            .await;
        refused.unwrap_err();
    }
    one.turns_away("ada requested an unencrypted connection")
        .await;
    let call = offering(ca.node("two")).await.unwrap();
    let refused = MeshServiceClient::new(call.channel.clone())
        .ping(ping)
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied, "{refused:?}");
    assert!(refused.message().contains("not encrypted"), "{refused:?}");
    drop((call, client));
    one.ends().await;
}
