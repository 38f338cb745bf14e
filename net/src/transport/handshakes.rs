//! The connections of unfinished TLS handshakes. Core decides which are admitted and which are evicted.

use super::connection::ConnectionState;
use super::limits::Limits;
use phalanx_core::unauthenticated::{HandshakeId, PendingHandshakes};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The unfinished handshakes. Dropping the struct kills them all.
#[derive(Debug)]
pub(crate) struct UnfinishedHandshakes {
    pending: Arc<Mutex<Pending>>,
}

#[derive(Debug)]
struct Pending {
    handshakes: PendingHandshakes,
    connections: BTreeMap<HandshakeId, Stranger>,
}

#[derive(Debug)]
struct Stranger {
    remote: SocketAddr,
    connection: ConnectionState,
}

/// Counts one unfinished handshake until it is dropped.
#[derive(Debug)]
pub(crate) struct UnfinishedHandshake {
    handshake: HandshakeId,
    pending: Arc<Mutex<Pending>>,
}

fn lock(pending: &Mutex<Pending>) -> MutexGuard<'_, Pending> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

impl UnfinishedHandshakes {
    pub(crate) fn new(limits: &Limits) -> Self {
        let pending = Pending {
            handshakes: PendingHandshakes::new(limits.handshakes, limits.handshakes_from_one),
            connections: BTreeMap::new(),
        };
        Self {
            pending: Arc::new(Mutex::new(pending)),
        }
    }

    /// Begins one more handshake. Returns its guard, and the address whose handshake was killed for it, if any.
    pub(crate) fn begin(
        &self,
        remote: SocketAddr,
        connection: ConnectionState,
    ) -> (UnfinishedHandshake, Option<SocketAddr>) {
        let mut pending = lock(&self.pending);
        let (handshake, evicted) = pending.handshakes.begin(remote);
        let evicted = evicted.and_then(|evicted| pending.connections.remove(&evicted));
        let stranger = Stranger { remote, connection };
        pending.connections.insert(handshake, stranger);
        drop(pending);
        let place = UnfinishedHandshake {
            handshake,
            pending: Arc::clone(&self.pending),
        };
        let evicted = evicted.map(|stranger| {
            stranger.connection.kill();
            stranger.remote
        });
        (place, evicted)
    }

    /// Returns the number of unfinished handshakes.
    pub(crate) fn count(&self) -> usize {
        lock(&self.pending).handshakes.len()
    }
}

impl Drop for UnfinishedHandshakes {
    fn drop(&mut self) {
        let strangers = std::mem::take(&mut lock(&self.pending).connections);
        for stranger in strangers.into_values() {
            stranger.connection.kill();
        }
    }
}

impl Drop for UnfinishedHandshake {
    fn drop(&mut self) {
        let mut pending = lock(&self.pending);
        pending.handshakes.end(self.handshake);
        let removed = pending.connections.remove(&self.handshake);
        drop(pending);
        drop(removed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(port: u16) -> SocketAddr {
        ([10, 0, 0, 1], port).into()
    }

    #[test]
    fn an_evicted_handshake_is_killed() {
        let limits = Limits {
            handshakes: 10,
            handshakes_from_one: 2,
            ..Limits::default()
        };
        let handshakes = UnfinishedHandshakes::new(&limits);
        let states: Vec<ConnectionState> = (0..4).map(|_| ConnectionState::default()).collect();
        let mut places = Vec::new();
        let mut out = Vec::new();
        for (port, connection) in (1..).zip(&states) {
            let (place, evicted) = handshakes.begin(from(port), connection.clone());
            places.push(place);
            out.push(evicted.map(|remote| remote.port()));
        }
        assert_eq!(out, [None, None, Some(1), Some(2)]);
        let killed: Vec<bool> = states.iter().map(ConnectionState::is_killed).collect();
        assert_eq!(killed, [true, true, false, false]);
        drop(places);
        assert_eq!(handshakes.count(), 0);
        assert!(lock(&handshakes.pending).connections.is_empty());
    }

    #[test]
    fn all_unfinished_handshakes_end_when_the_struct_is_dropped() {
        let handshakes = UnfinishedHandshakes::new(&Limits::default());
        let connection = ConnectionState::default();
        let (place, _) = handshakes.begin(from(1), connection.clone());
        drop(handshakes);
        assert!(connection.is_killed());
        drop(place);
    }
}
