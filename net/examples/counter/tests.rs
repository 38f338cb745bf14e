//! Tests with three members, queried over HTTP.

use super::*;
use phalanx_core::channel::Mergeable;
use phalanx_core::link::Address;
use phalanx_net::identity::Secret;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time;

const SOON: Duration = Duration::from_secs(60);

/// Starts a member and its HTTP server.
async fn start(name: &str, targets: &[&MeshNode], secret: &str) -> (MeshNode, SocketAddr) {
    let name: NodeId = name.parse().unwrap();
    let targets = targets.iter().map(|node| Address::Socket(node.address()));
    let listen = "127.0.0.1:0".parse().unwrap();
    let node = member::join(&name, secret, listen, targets.collect(), None)
        .await
        .unwrap();
    let counting = Counting::open(&node, &name).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes(counting)).await.unwrap() });
    (node, address)
}

/// Sends a request and returns the number in the reply.
async fn ask(method: &str, address: SocketAddr) -> u64 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} /counter HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{reply}");
    body.trim().parse().unwrap()
}

async fn reads(address: SocketAddr, wanted: u64) {
    let deadline = Instant::now() + SOON;
    loop {
        let value = ask("GET", address).await;
        if value == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "reads {value}, not {wanted}");
        time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_count_on_any_member_is_read_on_all_members() {
    let secret = Secret::make().unwrap().text();
    let (a, at_a) = start("a", &[], &secret).await;
    let (b, at_b) = start("b", &[&a], &secret).await;
    for _ in 0..5 {
        ask("POST", at_a).await;
        ask("POST", at_b).await;
    }
    // A member that joins later reads the whole count and continues it.
    let (c, at_c) = start("c", &[&b], &secret).await;
    for address in [at_a, at_b, at_c] {
        reads(address, 10).await;
    }
    ask("POST", at_c).await;
    for address in [at_a, at_b, at_c] {
        reads(address, 11).await;
    }
    for node in [a, b, c] {
        node.shutdown().await;
    }
}

#[test]
fn merging_is_commutative_and_idempotent() {
    let updates = [("a", 2), ("b", 1), ("a", 1), ("a", 2)].map(|(who, n)| Counter::of(who, n));
    let (mut one, mut other) = (Counter::default(), Counter::default());
    for update in &updates {
        one.merge(&update.encode()).unwrap();
    }
    for update in updates.iter().rev() {
        other.merge(&update.encode()).unwrap();
    }
    assert_eq!((one.value(), &one), (3, &other));
    assert_eq!(one.merge(&other.encode()), Ok(None));
    assert!(one.merge(b"a many").is_err());
}
