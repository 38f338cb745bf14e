//! Seed addresses that are names with several addresses.

use super::*;
use phalanx_core::gossip::Status::Alive;
use std::io;
use std::sync::Mutex;
use tokio::net::{TcpListener, TcpStream};

const NAME: &str = "seeds.test:7400";

/// The operating system's TCP, with a resolver that knows one name.
#[derive(Clone, Default)]
struct Named {
    /// The addresses of [`NAME`]; none if the name does not exist.
    addresses: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Named {
    fn put(&self, addresses: &[SocketAddr]) {
        *self.addresses.lock().unwrap() = addresses.to_vec();
    }
}

impl Network for Named {
    type Io = TcpStream;
    type Listener = TcpListener;

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        Tcp.connect(address).await
    }

    async fn resolve(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        let addresses = self.addresses.lock().unwrap().clone();
        if name == NAME && !addresses.is_empty() {
            Ok(addresses)
        } else {
            Err(io::Error::other("no such name"))
        }
    }

    async fn bind(&self, address: SocketAddr) -> io::Result<TcpListener> {
        Tcp.bind(address).await
    }
}

/// Starts a node whose seed is [`NAME`], with the addresses that `resolves` makes of the node's own.
async fn start_named(
    identity: Identity,
    dialable: bool,
    resolves: impl FnOnce(SocketAddr) -> Vec<SocketAddr>,
) -> (TestMember, Named) {
    let network = Named::default();
    let bound = BoundPort::bind(network.clone(), loopback()).await.unwrap();
    let own = bound.local_address();
    network.put(&resolves(own));
    let content = Content {
        address: dialable.then_some(own),
        ..Content::default()
    };
    let mut settings = settings(content, identity, &[], 100);
    settings.config.seeds = vec![Address::Name(NAME.to_owned())];
    (run(bound, settings), network)
}

async fn target(member: &TestMember) -> (Option<String>, Option<String>) {
    let seed = member.node.driver().inspect(|node, _| {
        let seed = node.mesh().seeds().next().unwrap();
        (seed.1.map(ToString::to_string), seed.2.map(str::to_owned))
    });
    seed.await.unwrap()
}

#[tokio::test]
async fn a_dead_address_of_a_name_leads_to_the_next() {
    let ca = TestAuthority::new();
    let one = start(ca.node("one"), &[]).await;
    let (_reserved, dead) = unused_address();
    let alive = one.address();
    let (two, _) = start_named(ca.node("two"), true, |_| vec![dead, alive]).await;
    let both = [("one", Alive), ("two", Alive)];
    two.sees(&both).await;
    one.sees(&both).await;
    assert_eq!(target(&two).await, (Some("one".to_owned()), None));
    two.ends().await;
    one.ends().await;
}

#[tokio::test]
async fn a_name_that_lists_all_seeds_leads_a_seed_to_the_others() {
    let ca = TestAuthority::new();
    let one = start(ca.node("one"), &[]).await;
    let other = one.address();
    // A node that advertises no address learns from the refusal of its own dial that the address is its own.
    for dialable in [true, false] {
        let (two, _) = start_named(ca.node("two"), dialable, |own| vec![own, other]).await;
        two.sees(&[("one", Alive), ("two", Alive)]).await;
        assert!(two.node.leave(DEADLINE).await);
        two.ends().await;
    }
    one.ends().await;
}

#[tokio::test]
async fn a_name_that_is_unknown_or_whose_addresses_are_dead_is_resolved_again() {
    let ca = TestAuthority::new();
    let one = start(ca.node("one"), &[]).await;
    let (_reserved, dead) = unused_address();
    let (mut two, network) = start_named(ca.node("two"), true, |_| vec![]).await;
    let reason = two.fails_to_dial("not resolved").await;
    assert_eq!(reason, "the name was not resolved: no such name");
    network.put(&[dead]);
    let reason = two.fails_to_dial("refused").await;
    assert_eq!(reason, format!("{dead}: connection refused"));
    network.put(&[dead, one.address()]);
    two.sees(&[("one", Alive), ("two", Alive)]).await;
    two.ends().await;
    one.ends().await;
}
