//! A key for each connection, which only its two ends know.
//!
//! Made by the exporter of TLS 1.3 (RFC 8446, section 7.5) with a label of its own and both nodes' ids: two ends that
//! did not agree on who they are have different keys, and the key tells nothing of the link's own.

use core::fmt;
use phalanx_core::identity::NodeId;
use rustls::ConnectionCommon;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

const LABEL: &[u8] = b"EXPORTER-phalanx-overlay";
const KEY_BYTES: usize = 32;
const ID_BYTES: usize = 8;

/// The key of one connection: 32 secret bytes, equal at both ends, new with every connection. It is wiped from memory
/// when dropped, and not printed.
///
/// Both ends have the same key. A cipher needs another one, or other nonces, for each direction: see
/// [`OverlayLink::is_dialer`](super::OverlayLink::is_dialer).
#[derive(Clone)]
pub struct SessionKey(Zeroizing<[u8; KEY_BYTES]>);

impl SessionKey {
    /// The key itself.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(secret)")
    }
}

/// Names one connection, equally at both ends. No secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What one connection is known by.
#[derive(Clone, Debug)]
pub(crate) struct Exported {
    pub(super) key: SessionKey,
    pub(super) connection: ConnectionId,
}

/// What a connection is known by, for the one link on it: whoever takes it has it alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys(Arc<Mutex<Option<Exported>>>);

impl Keys {
    /// Of a connection whose handshake is over; none if TLS gives none.
    pub(crate) fn of<Side>(
        tls: &ConnectionCommon<Side>,
        dialer: &NodeId,
        acceptor: &NodeId,
    ) -> Self {
        // Ids hold no zero byte.
        let context = [dialer.as_str(), acceptor.as_str()].join("\0");
        let room = Zeroizing::new([0; KEY_BYTES + ID_BYTES]);
        let exported = tls
            .export_keying_material(*room, LABEL, Some(context.as_bytes()))
            .map(Zeroizing::new);
        let split = |bytes: Zeroizing<[u8; KEY_BYTES + ID_BYTES]>| {
            let (key, rest) = bytes.split_first_chunk::<KEY_BYTES>()?;
            let id = rest.first_chunk::<ID_BYTES>()?;
            Some(Exported {
                key: SessionKey(Zeroizing::new(*key)),
                connection: ConnectionId(u64::from_be_bytes(*id)),
            })
        };
        Self(Arc::new(Mutex::new(exported.ok().and_then(split))))
    }

    pub(super) fn take(&self) -> Option<Exported> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The connection below a link.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    pub(crate) keys: Keys,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) dialed: bool,
    pub(crate) encrypted: bool,
}
