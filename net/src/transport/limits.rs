//! Bounds of the transport.

use phalanx_core::backlog::QueueLimits;
use phalanx_core::calls::CallLimits;
use phalanx_core::places;
use phalanx_core::size::FRAME_BYTES_MAX;
use phalanx_core::unauthenticated;
use std::time::Duration;

/// The maximum bytes of one message on a link, checked by the codec before anything is parsed.
pub const LINK_MESSAGE_BYTES_MAX: usize = FRAME_BYTES_MAX;
/// The maximum bytes of one message of any other call.
pub const CALL_MESSAGE_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Bounds of the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The maximum number of authenticated connections that others have to this node at one time.
    pub connections: usize,
    /// The maximum number of these connections that present one certificate's name.
    pub connections_of_one: usize,
    /// Connections accepted in a burst from one source; after that one each `accept_interval`.
    pub accept_burst: u32,
    /// See `accept_burst`.
    pub accept_interval: Duration,
    /// The maximum number of concurrent TLS handshakes; one more ends the oldest of the source that has the most.
    pub handshakes: usize,
    /// The maximum number of concurrent handshakes with one source, an IPv4 address or an IPv6 network; one more ends
    /// the oldest of the source.
    pub handshakes_from_one: usize,
    /// The maximum duration of a TLS handshake, and of the time until HTTP/2 begins; three times as long while few
    /// handshakes are unfinished, for peers that are far away.
    pub handshake_timeout: Duration,
    /// Bounds of calls in progress.
    pub calls: CallLimits,
    /// The maximum number of streams on one connection.
    pub streams: u32,
    /// The bounds of the messages that wait to go out on one link.
    pub queue: QueueLimits,
    /// The maximum time that a closed link takes to send its waiting messages.
    pub close_grace: Duration,
    /// The time that a node that ends waits for its connections.
    pub shutdown_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            connections_of_one: 32,
            accept_burst: 200,
            accept_interval: Duration::from_millis(5),
            handshakes: 256,
            handshakes_from_one: 96,
            handshake_timeout: Duration::from_secs(5),
            calls: CallLimits::default(),
            streams: 256,
            queue: QueueLimits::default(),
            close_grace: Duration::from_secs(1),
            shutdown_grace: Duration::from_secs(2),
        }
    }
}

impl Limits {
    /// The maximum duration of a handshake that begins while this number of handshakes is unfinished.
    #[must_use]
    pub(crate) fn handshake_patience(&self, unfinished: usize) -> Duration {
        unauthenticated::patience(self.handshake_timeout, unfinished, self.handshakes)
    }

    /// The limits of a process that may open this number of files.
    #[must_use]
    pub fn within_files(self, files: usize) -> Self {
        let (connections, handshakes) =
            places::within_files(files, self.connections, self.handshakes);
        Self {
            connections,
            handshakes,
            ..self
        }
    }
}
