//! A TCP relay before a daemon, which resets connections and refuses dials on request.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

/// A relay. Its address is known before its daemon starts.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    /// The address that connections are relayed to.
    target: Arc<Mutex<Option<SocketAddr>>>,
    resets: broadcast::Sender<()>,
    listening: Option<JoinHandle<()>>,
}

impl Relay {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut relay = Self {
            address: listener.local_addr().unwrap(),
            target: Arc::default(),
            resets: broadcast::channel(1).0,
            listening: None,
        };
        relay.listen(listener);
        relay
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the relay of a test has tasks of its own"
    )]
    fn listen(&mut self, listener: TcpListener) {
        let (target, resets) = (Arc::clone(&self.target), self.resets.clone());
        self.listening = Some(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let target = *target.lock().unwrap();
                let reset = resets.subscribe();
                if let Some(target) = target {
                    tokio::spawn(relay(stream, target, reset));
                }
            }
        }));
    }

    pub(crate) fn relay_to(&self, target: SocketAddr) {
        *self.target.lock().unwrap() = Some(target);
    }

    /// Resets all relayed connections, and ends each further one.
    pub(crate) fn cut(&self) {
        *self.target.lock().unwrap() = None;
        self.reset();
    }

    /// Resets all relayed connections at both ends.
    pub(crate) fn reset(&self) {
        // Without a connection there is no receiver.
        drop(self.resets.send(()));
    }

    /// Refuses dials; established connections stay.
    pub(crate) async fn refuse(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
            // The listener is closed when the task has ended.
            drop(listening.await);
        }
    }
}

async fn relay(mut near: TcpStream, target: SocketAddr, mut reset: broadcast::Receiver<()>) {
    let Ok(mut far) = TcpStream::connect(target).await else {
        return;
    };
    let is_reset = {
        let mut copied = pin!(copy_bidirectional(&mut near, &mut far));
        let mut reset = pin!(reset.recv());
        poll_fn(|context| {
            if reset.as_mut().poll(context).is_ready() {
                return Poll::Ready(true);
            }
            copied.as_mut().poll(context).map(|_| false)
        })
        .await
    };
    if is_reset {
        // A socket with this option sends a RST when it is closed.
        near.set_zero_linger().unwrap();
        far.set_zero_linger().unwrap();
    }
}
