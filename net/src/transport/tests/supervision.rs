//! Tests of the end of a node whose task fails.

use super::*;
use crate::transport::network::Listener;
use std::io;
use tokio::net::{TcpListener, TcpStream};

/// A network whose listener panics, or ends with the first connection.
#[derive(Clone, Copy)]
struct Broken;

struct BrokenListener(TcpListener);

impl Network for Broken {
    type Io = TcpStream;
    type Listener = BrokenListener;

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        Tcp.connect(address).await
    }

    async fn resolve(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        Tcp.resolve(name).await
    }

    async fn bind(&self, address: SocketAddr) -> io::Result<BrokenListener> {
        Tcp.bind(address).await.map(BrokenListener)
    }
}

impl Listener for BrokenListener {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        let accepted = Listener::accept(&mut self.0).await;
        panic!("planted: {:?}", accepted.map(|(_, remote)| remote));
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.0.local_address()
    }

    fn local_end(io: &TcpStream) -> io::Result<SocketAddr> {
        io.local_addr()
    }
}

#[tokio::test]
async fn a_panic_of_the_listener_ends_the_node_and_names_the_task() {
    let identity = TestAuthority::new().node("one");
    let bound = BoundPort::bind(Broken, loopback()).await.unwrap();
    let address = bound.local_address();
    let id = NodeId::new("one").unwrap();
    let settings = Settings {
        config: Config::new(id, "test", 1, 1, Content::default(), vec![]),
        seed: 1,
        identity,
        store: MemoryStore::default(),
        trusted: TrustedSubnets::default(),
        limits: Limits::default(),
        observer: None,
        overlay: None,
    };
    let node = bound.start(settings, |_| Routes::default()).unwrap();
    let mut notices = node.subscribe();
    assert_eq!(node.failure(), None);
    let stranger = TcpStream::connect(address).await.unwrap();
    time::timeout(DEADLINE, node.closed()).await.unwrap();
    assert_eq!(node.failure(), Some("listener"));
    let ended = Notice::Transport(TransportEvent::TaskEnded { task: "listener" });
    while notices.recv().await.unwrap() != ended {}
    drop(stranger);
    node.shutdown().await;
    assert_eq!(node.tasks(), 0);
}

#[tokio::test]
async fn a_node_that_ends_on_request_has_no_failure() {
    let mut one = start(TestAuthority::new().node("one"), &[]).await;
    one.node.leave(DEADLINE).await;
    one.node.shutdown().await;
    assert_eq!(one.node.failure(), None);
    let ended =
        |notice: &Notice| matches!(notice, Notice::Transport(TransportEvent::TaskEnded { .. }));
    while let Ok(notice) = one.notices.try_recv() {
        assert!(!ended(&notice), "{notice:?}");
    }
}
