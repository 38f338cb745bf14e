//! Tests of daemons whose connections are slow: a proxy before each daemon delays every byte.

use crate::daemon::{RunningDaemon, SOON};
use crate::mesh::{all_alive, sees};
use crate::place::Place;
use phalanx_net::wire::proto::{GetStatusRequest, GetTopologyRequest, Link};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time;

/// The time from one end of a connection to the other.
const ONE_WAY: Duration = Duration::from_millis(800);
/// The time for which the mesh is watched after it has formed.
const STAYS_FOR: Duration = Duration::from_secs(20);

/// A proxy before one daemon, which delays every byte in both directions by [`ONE_WAY`].
struct Proxy {
    address: SocketAddr,
    target: watch::Sender<Option<SocketAddr>>,
}

impl Proxy {
    #[expect(
        clippy::disallowed_methods,
        reason = "the proxy of a test has tasks of its own"
    )]
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (target, mut known) = watch::channel(None);
        tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let target = *known.wait_for(Option::is_some).await.unwrap();
                tokio::spawn(forward(near, target.unwrap()));
            }
        });
        Self { address, target }
    }

    /// Starts a daemon that advertises the proxy's address, with the proxies of others as seed nodes.
    fn start(&self, place: &Place, id: &str, seeds: &[&Self]) -> RunningDaemon {
        let mut command = place.command(id);
        command.args(["--advertise", &self.address.to_string()]);
        for seed in seeds {
            command.args(["--target", &seed.address.to_string()]);
        }
        let daemon = RunningDaemon::start(command);
        self.target.send_replace(Some(daemon.address));
        daemon
    }
}

async fn forward(near: TcpStream, target: SocketAddr) {
    near.set_nodelay(true).unwrap();
    let Ok(far) = TcpStream::connect(target).await else {
        return;
    };
    far.set_nodelay(true).unwrap();
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    tokio::join!(delay(near_in, far_out), delay(far_in, near_out));
}

/// Copies bytes, each [`ONE_WAY`] after it was read.
async fn delay(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let (read, mut under_way) = mpsc::unbounded_channel();
    let reads = async move {
        let mut buffer = vec![0; 16_384];
        while let Ok(count) = from.read(&mut buffer).await {
            let due = time::Instant::now() + ONE_WAY;
            let bytes = buffer.get(..count).unwrap_or_default().to_vec();
            // An end of the stream is empty, and is delayed too.
            if read.send((due, bytes)).is_err() || count == 0 {
                return;
            }
        }
    };
    let writes = async move {
        while let Some((due, bytes)) = under_way.recv().await {
            time::sleep_until(due).await;
            if bytes.is_empty() || to.write_all(&bytes).await.is_err() {
                break;
            }
        }
        drop(to.shutdown().await);
    };
    tokio::join!(reads, writes);
}

async fn links(place: &Place, daemon: &RunningDaemon) -> Vec<Link> {
    let mut client = place.ask(daemon).await;
    let status = client.calls().get_status(GetStatusRequest {}).await;
    status.unwrap().into_inner().links
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn daemons_with_800_ms_one_way_join_and_stay() {
    let place = Place::new();
    let proxies = [Proxy::new().await, Proxy::new().await, Proxy::new().await];
    let [first, second, third] = &proxies;
    let a = first.start(&place, "a", &[]);
    let b = second.start(&place, "b", &[first]);
    let c = third.start(&place, "c", &[first]);
    for daemon in [&a, &b, &c] {
        sees(&place, daemon, |view| all_alive(view, 3)).await;
    }
    let until = Instant::now() + STAYS_FOR;
    while Instant::now() < until {
        for daemon in [&a, &b, &c] {
            let mut client = place.ask(daemon).await;
            let view = client.calls().get_topology(GetTopologyRequest {}).await;
            let view = view.unwrap().into_inner().members;
            assert!(all_alive(&view, 3), "{view:#?}");
        }
        time::sleep(Duration::from_millis(250)).await;
    }
    // The links name the round trip that the daemon measured, and the silence that follows from it.
    let deadline = Instant::now() + SOON;
    for daemon in [&a, &b, &c] {
        loop {
            let links = links(&place, daemon).await;
            // The estimate begins below the round trip, because the proxy accepts connections without a delay.
            let is_measured = |link: &Link| {
                let round_trip = link.round_trip_us.unwrap_or_default();
                (1_000_000..2_600_000).contains(&round_trip)
                    && (4_000..=6_500).contains(&link.silent_after_ms)
            };
            if !links.is_empty() && links.iter().all(is_measured) {
                break;
            }
            assert!(Instant::now() < deadline, "{links:#?}");
            time::sleep(Duration::from_millis(250)).await;
        }
    }
    // A caller over the slow connection is answered too.
    let mut far = a;
    far.address = first.address;
    sees(&place, &far, |view| all_alive(view, 3)).await;
}
