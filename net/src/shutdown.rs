//! The signals a daemon obeys.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// SIGTERM or SIGINT: leave the mesh and end.
    End,
    /// SIGHUP: read the configuration again.
    Reload,
}

/// The signals, from now on; what came before took its usual course.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Takes the signals over from the system.
    ///
    /// # Errors
    /// When the system does not give them.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal. An end that came together with a reload comes first.
    pub async fn next(&mut self) -> Request {
        std::future::poll_fn(|context| {
            if self.terminate.poll_recv(context).is_ready()
                || self.interrupt.poll_recv(context).is_ready()
            {
                return std::task::Poll::Ready(Request::End);
            }
            self.hang_up.poll_recv(context).map(|_| Request::Reload)
        })
        .await
    }
}
