//! Tests of limits: connections, rates, handshakes, queues, and the duration of a shutdown.

use super::*;
use crate::identity::Encryption;
use phalanx_core::gossip::message::{Frame, Sync};
use phalanx_core::node::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Waits until the other end has closed a connection.
async fn is_dropped(mut stream: TcpStream) -> bool {
    let mut buffer = [0; 16];
    match time::timeout(DEADLINE, stream.read(&mut buffer)).await {
        Ok(Ok(read)) => read == 0,
        Ok(Err(_)) => true,
        Err(_) => false,
    }
}

async fn drops(member: &mut TestMember, limit: Limit) {
    member
        .hears("a dropped connection", |notice| {
            matches!(notice, Notice::Transport(TransportEvent::ConnectionDropped { limit: found, .. }) if *found == limit)
        })
        .await;
}

/// Makes an authenticated connection.
async fn call(ca: &TestAuthority, name: &str, to: &TestMember) -> Call {
    let address = Address::Socket(to.address());
    Call::connect(&Tcp, &ca.admin(name), &address, DEADLINE)
        .await
        .unwrap()
}

/// Waits until a node has accepted this number of connections.
async fn has_connections(member: &TestMember, wanted: usize) {
    let reached = async {
        while member.node.connections() != wanted {
            time::sleep(Duration::from_millis(5)).await;
        }
    };
    let reached = time::timeout(DEADLINE, reached).await;
    assert!(reached.is_ok(), "{}", member.node.connections());
}

#[tokio::test]
async fn one_certificate_cannot_take_the_connections_of_others() {
    let ca = TestAuthority::new();
    let limits = Limits {
        connections_of_one: 2,
        ..Limits::default()
    };
    let mut one = start_with(ca.node("one"), &[], limits, 1).await;
    let calls = (call(&ca, "eve", &one).await, call(&ca, "eve", &one).await);
    let address = Address::Socket(one.address());
    let third = Call::connect(&Tcp, &ca.admin("eve"), &address, DEADLINE).await;
    drops(&mut one, Limit::Holder).await;
    drop(third);
    let other = call(&ca, "ada", &one).await;
    drop(calls);
    has_connections(&one, 1).await;
    let again = call(&ca, "eve", &one).await;
    drop((again, other));
}

#[tokio::test]
async fn connections_above_the_limit_are_dropped_until_others_end() {
    let ca = TestAuthority::new();
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let mut one = start_with(ca.node("one"), &[], limits, 1).await;
    let calls = (call(&ca, "ada", &one).await, call(&ca, "eve", &one).await);
    let third = TcpStream::connect(one.address()).await.unwrap();
    drops(&mut one, Limit::Connections).await;
    assert!(is_dropped(third).await);
    drop(calls);
    let two = start(ca.node("two"), &[one.address()]).await;
    one.sees(&[("one", Status::Alive), ("two", Status::Alive)])
        .await;
    two.ends().await;
    one.ends().await;
}

#[tokio::test]
async fn a_member_connects_despite_hundreds_of_unauthenticated_connections() {
    let ca = TestAuthority::new();
    let limits = Limits {
        accept_burst: 1_000,
        handshake_timeout: Duration::from_secs(3_600),
        connections: 100,
        ..Limits::default()
    };
    let mut one = start_with(ca.node("one"), &[], limits, 1).await;
    let mut strangers = Vec::new();
    for _ in 0..200 {
        strangers.push(TcpStream::connect(one.address()).await.unwrap());
    }
    drops(&mut one, Limit::Handshakes).await;
    let two = start(ca.node("two"), &[one.address()]).await;
    let both = [("one", Status::Alive), ("two", Status::Alive)];
    one.sees(&both).await;
    two.sees(&both).await;
    // The oldest handshakes were evicted; the others still wait and do not count towards the limit
    // of connections.
    assert!(is_dropped(strangers.remove(0)).await);
    let held = one.node.connections();
    assert!(held <= limits.handshakes_from_one + 4, "{held}");
    drop(strangers);
    two.ends().await;
    has_connections(&one, 0).await;
    one.ends().await;
}

#[tokio::test]
async fn connections_above_the_rate_are_dropped() {
    let ca = TestAuthority::new();
    let limits = Limits {
        accept_burst: 2,
        accept_interval: Duration::from_secs(60),
        ..Limits::default()
    };
    let mut one = start_with(ca.node("one"), &[], limits, 1).await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(TcpStream::connect(one.address()).await.unwrap());
    }
    drops(&mut one, Limit::Rate).await;
    assert!(is_dropped(streams.pop().unwrap()).await);
    one.ends().await;
}

#[tokio::test]
async fn handshakes_are_bounded_in_number_and_time() {
    let ca = TestAuthority::new();
    let limits = Limits {
        handshakes: 1,
        handshake_timeout: Duration::from_secs(3),
        ..Limits::default()
    };
    let mut one = start_with(ca.node("one"), &[], limits, 1).await;
    let older = TcpStream::connect(one.address()).await.unwrap();
    has_connections(&one, 1).await;
    let newer = TcpStream::connect(one.address()).await.unwrap();
    drops(&mut one, Limit::Handshakes).await;
    assert!(is_dropped(older).await);
    one.turns_away("no TLS handshake within 3s").await;
    assert!(is_dropped(newer).await);
    one.ends().await;
}

#[tokio::test]
async fn an_unread_link_overflows_and_only_this_link_closes() {
    let ca = TestAuthority::new();
    let limits = Limits {
        queue: QueueLimits {
            messages: 64,
            bytes: 1 << 20,
        },
        ..Limits::default()
    };
    let mut one = start_with(ca.node("one"), &[], limits, 1).await;
    let mut two = start(ca.node("two"), &[one.address()]).await;
    let up = one
        .hears("a link", |notice| {
            matches!(notice, Notice::Mesh(gossip::Event::LinkUp { .. }))
        })
        .await;
    let Notice::Mesh(gossip::Event::LinkUp { link, .. }) = up else {
        panic!()
    };
    // More messages than the queue can hold are sent at once.
    let bulk = Frame {
        sync: vec![Sync::Want(vec![1; 1000])],
        ..Frame::default()
    };
    for _ in 0..65 {
        one.node
            .links
            .send(link, Message::Mesh(gossip::Message::Frame(bulk.clone())));
    }
    one.hears("the lost link", |notice| {
        matches!(notice, Notice::Mesh(gossip::Event::LinkDown { link: down, .. }) if *down == link)
    })
    .await;
    two.hears("the lost link", |notice| {
        matches!(notice, Notice::Mesh(gossip::Event::LinkDown { .. }))
    })
    .await;
    // The nodes reconnect.
    one.hears("a new link", |notice| {
        matches!(notice, Notice::Mesh(gossip::Event::LinkUp { .. }))
    })
    .await;
    two.ends().await;
    one.ends().await;
}

#[tokio::test]
async fn shutdown_is_bounded_although_a_peer_keeps_its_connection() {
    let ca = TestAuthority::new();
    let limits = Limits {
        shutdown_grace: Duration::from_millis(200),
        handshake_timeout: Duration::from_secs(3_600),
        ..Limits::default()
    };
    let one = start_with(ca.node("one"), &[], limits, 1).await;
    let silent = TcpStream::connect(one.address()).await.unwrap();
    let call = call(&ca, "ada", &one).await;
    let begun = time::Instant::now();
    one.ends().await;
    assert!(begun.elapsed() < DEADLINE, "took {:?}", begun.elapsed());
    assert!(is_dropped(silent).await);
    drop(call);
}

#[tokio::test]
async fn shutdown_ends_unfinished_handshakes_and_dials() {
    let ca = TestAuthority::new();
    let hour = Duration::from_secs(3_600);
    let limits = Limits {
        shutdown_grace: hour,
        handshake_timeout: hour,
        ..Limits::default()
    };
    let silence = tokio::net::TcpListener::bind(loopback()).await.unwrap();
    let silent_address = silence.local_addr().unwrap();
    let one = start_tuned(ca.node("one"), &[silent_address], limits, 1, |tuning| {
        tuning.dial_timeout = hour;
    })
    .await;
    let (dialled, _) = silence.accept().await.unwrap();
    let silent = TcpStream::connect(one.address()).await.unwrap();
    has_connections(&one, 1).await;
    one.ends().await;
    assert!(is_dropped(silent).await);
    drop(dialled);
}

#[tokio::test]
async fn a_connection_without_a_preface_ends_although_its_certificate_is_valid() {
    let ca = TestAuthority::new();
    let limits = Limits {
        handshake_timeout: Duration::from_secs(1),
        ..Limits::default()
    };
    let one = start_with(ca.node("one"), &[], limits, 1).await;
    let identity = ca.node("eve");
    let config = identity.client_config(Encryption::Demanded).unwrap();
    let connector = tokio_rustls::TlsConnector::from(config);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for part in [0, 1, preface.len() - 1] {
        let stream = TcpStream::connect(one.address()).await.unwrap();
        let name = std::net::IpAddr::from(Ipv4Addr::LOCALHOST).into();
        let mut stream = connector.connect(name, stream).await.unwrap();
        stream.write_all(&preface[..part]).await.unwrap();
        let mut read = Vec::new();
        // The connection ends with or without an error of TLS.
        let ended = time::timeout(DEADLINE, stream.read_to_end(&mut read)).await;
        assert!(ended.is_ok(), "{part} bytes");
    }
    // Connections with a preface stay open for longer.
    let call = call(&ca, "ada", &one).await;
    time::sleep(4 * limits.handshake_timeout).await;
    assert_eq!(one.node.connections(), 1);
    drop(call);
    one.ends().await;
}
