//! Decides which connections a port accepts, and when the next connection is accepted after an error.

use super::rates::SourceRates;
use crate::time::{Duration, Instant};
use core::net::SocketAddr;

/// Pause after an error of the port; in most cases, the cause is that the process has too many open files.
const PORT_ERROR_PAUSE: Duration = Duration::from_millis(100);

/// The reason why no connection was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptFailure {
    /// A connection closed before it was accepted.
    Connection,
    /// The port failed.
    Port,
}

impl AcceptFailure {
    /// The pause before the next connection is accepted; none if the next connection may be accepted at once, in which
    /// case the failure need not be reported.
    #[must_use]
    pub const fn pause(self) -> Option<Duration> {
        match self {
            Self::Connection => None,
            Self::Port => Some(PORT_ERROR_PAUSE),
        }
    }
}

/// The bound that an accepted connection exceeds, so that the connection is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// The maximum number of authenticated connections.
    Connections,
    /// The rate of the connection's source.
    Rate,
}

/// Admits accepted connections to their handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortGate {
    connections_max: usize,
    rates: SourceRates,
}

impl PortGate {
    /// Admits connections while there are fewer than `connections_max` authenticated ones, at these rates.
    #[must_use]
    pub const fn new(connections_max: usize, rates: SourceRates) -> Self {
        Self {
            connections_max,
            rates,
        }
    }

    /// Admits one more connection. `accepted` is the number of open connections accepted before, of which `unfinished`
    /// are in their handshake. Unfinished handshakes have their own bound, so they do not count as authenticated
    /// connections. A connection that is admitted counts towards the rate of its source.
    ///
    /// # Errors
    /// Returns an error if a bound is exceeded.
    pub fn admit(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        accepted: usize,
        unfinished: usize,
    ) -> Result<(), Excess> {
        if accepted.saturating_sub(unfinished) >= self.connections_max {
            return Err(Excess::Connections);
        }
        if !self.rates.admits(now, remote) {
            return Err(Excess::Rate);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_millis(1_000);

    fn remote(host: u8) -> SocketAddr {
        ([10, 0, 0, host], 7_000).into()
    }

    #[test]
    fn only_a_failure_of_the_port_delays_the_next_connection() {
        assert_eq!(AcceptFailure::Connection.pause(), None);
        assert_eq!(AcceptFailure::Port.pause(), Some(PORT_ERROR_PAUSE));
    }

    #[test]
    fn unfinished_handshakes_take_no_place_of_authenticated_connections() {
        let mut gate = PortGate::new(2, SourceRates::new(9, Duration::from_secs(1)));
        assert_eq!(gate.admit(NOW, remote(1), 5, 4), Ok(()));
        assert_eq!(gate.admit(NOW, remote(1), 6, 4), Err(Excess::Connections));
        assert_eq!(gate.admit(NOW, remote(1), 1, 4), Ok(()));
    }

    #[test]
    fn a_refused_connection_does_not_count_in_the_rate_of_its_source() {
        let mut gate = PortGate::new(1, SourceRates::new(1, Duration::from_secs(1)));
        assert_eq!(gate.admit(NOW, remote(1), 1, 0), Err(Excess::Connections));
        assert_eq!(gate.admit(NOW, remote(1), 0, 0), Ok(()));
        assert_eq!(gate.admit(NOW, remote(1), 0, 0), Err(Excess::Rate));
        assert_eq!(gate.admit(NOW, remote(2), 0, 0), Ok(()));
    }
}
