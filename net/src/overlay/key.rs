//! A key for each connection, which only its two ends know.
//!
//! The key comes from the exporter of TLS 1.3 (RFC 8446, section 7.5), with a label of its own and both nodes' ids. Two
//! ends that do not agree on each other's ids have different keys, and the key reveals nothing about the traffic keys of
//! the link.

use core::fmt;
use phalanx_core::identity::NodeId;
use rustls::ConnectionCommon;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

const LABEL: &[u8] = b"EXPORTER-phalanx-overlay";
const KEY_BYTES: usize = 32;
const ID_BYTES: usize = 8;

/// The key of one connection: 32 secret bytes, equal at both ends, new with every connection. The key is wiped from
/// memory when dropped, and its `Debug` output does not show it.
///
/// Both ends have the same key. A cipher needs a separate key, or separate nonces, for each direction: see
/// [`OverlayLink::is_dialer`](super::OverlayLink::is_dialer).
#[derive(Clone)]
pub struct SessionKey(Zeroizing<[u8; KEY_BYTES]>);

impl SessionKey {
    /// The bytes of the key.
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

/// The id of one connection, equal at both ends. Not secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The key and the id of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Exported {
    pub(super) key: SessionKey,
    pub(super) connection: ConnectionId,
}

/// The key and the id of a connection, for one link: the first link on the connection takes them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys(Arc<Mutex<Option<Exported>>>);

impl Keys {
    /// Exports them from a connection whose handshake is complete. Empty if TLS exports nothing.
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

/// An address in the form that a data path can use: a socket for both IP versions shows IPv4 addresses within IPv6.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        // Unchanged: the address may have a scope.
        IpAddr::V6(_) => address,
    }
}

/// The connection below a link.
#[derive(Clone, Debug)]
pub(crate) struct LinkConnection {
    pub(crate) keys: Keys,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) dialed: bool,
    pub(crate) encrypted: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Encryption;
    use crate::transport::tests::TestAuthority;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConnection, ServerConnection};

    /// Two ends of one connection, in memory.
    fn shaken() -> (ClientConnection, ServerConnection) {
        let ca = TestAuthority::new();
        let (one, two) = (ca.node("one"), ca.node("two"));
        let name = ServerName::try_from("node").unwrap();
        let dialing = one.client_config(Encryption::Demanded).unwrap();
        let accepting = two.server_config(Encryption::Demanded).unwrap();
        let mut dialer = ClientConnection::new(dialing, name).unwrap();
        let mut acceptor = ServerConnection::new(accepting).unwrap();
        while dialer.is_handshaking() || acceptor.is_handshaking() {
            let (mut there, mut back) = (Vec::new(), Vec::new());
            dialer.write_tls(&mut there).unwrap();
            acceptor.read_tls(&mut &there[..]).unwrap();
            acceptor.process_new_packets().unwrap();
            acceptor.write_tls(&mut back).unwrap();
            dialer.read_tls(&mut &back[..]).unwrap();
            dialer.process_new_packets().unwrap();
        }
        (dialer, acceptor)
    }

    fn key<Side>(tls: &ConnectionCommon<Side>, dialer: &str, acceptor: &str) -> [u8; KEY_BYTES] {
        let [dialer, acceptor] = [dialer, acceptor].map(|id| NodeId::new(id).unwrap());
        let exported = Keys::of(tls, &dialer, &acceptor).take().unwrap();
        *exported.key.as_bytes()
    }

    #[test]
    fn a_key_depends_on_the_connection_and_on_the_ids_of_both_ends() {
        let (dialer, acceptor) = shaken();
        let ours = key(&dialer, "one", "two");
        assert_eq!(key(&acceptor, "one", "two"), ours);
        assert_ne!(key(&acceptor, "two", "one"), ours, "turned round");
        assert_ne!(key(&acceptor, "three", "two"), ours, "another dialer");
        let (another, _) = shaken();
        assert_ne!(key(&another, "one", "two"), ours, "another connection");
    }

    #[test]
    fn an_ipv4_address_within_ipv6_is_shown_as_ipv4_and_a_scope_stays() {
        let shown = |text: &str| canonical(text.parse().unwrap()).to_string();
        assert_eq!(shown("[::ffff:10.0.0.1]:7"), "10.0.0.1:7");
        assert_eq!(shown("10.0.0.1:7"), "10.0.0.1:7");
        assert_eq!(shown("[fe80::1%3]:7"), "[fe80::1%3]:7");
    }
}
