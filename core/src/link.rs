//! The types that the transport and all machines share: links, dials, addresses and their order, and their errors.

use core::fmt;
use core::net::SocketAddr;

/// A connection, numbered by the adapter. The number is not reused after the connection closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// An attempt to connect, numbered by the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub u64);

/// Identifies an order whose completion is an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// An address that can be dialled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// An IP address and port.
    Socket(SocketAddr),
    /// `host:port`. The adapter resolves a name when it is ordered to.
    Name(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl core::str::FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Socket(address));
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err(AddressError::NoPort);
        };
        if host.is_empty() || host.contains([':', '/', ' ', '@']) {
            return Err(AddressError::BadHost);
        }
        match port.parse::<u16>() {
            Ok(0) | Err(_) => Err(AddressError::BadPort),
            Ok(_) => Ok(Self::Name(text.to_owned())),
        }
    }
}

/// Reasons why a text is not a valid address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// The text has no `:port`.
    NoPort,
    /// The host is empty or holds a character that host names do not allow.
    BadHost,
    /// The port is not a number from 1 to 65535.
    BadPort,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPort => "has no port; write host:port",
            Self::BadHost => "has no valid host; write host:port, an IPv6 address in brackets",
            Self::BadPort => "has no valid port; a port is a number from 1 to 65535",
        })
    }
}

impl core::error::Error for AddressError {}

/// The order in which the addresses of a name are dialled: as found, with alternating families (RFC 8305, section 4) and
/// without duplicates. Addresses after the first `max` are left out.
pub fn dial_order(found: impl IntoIterator<Item = SocketAddr>, max: usize) -> Vec<SocketAddr> {
    let mut found = found.into_iter().peekable();
    let first_is_v6 = found.peek().is_some_and(SocketAddr::is_ipv6);
    // Each family may fill the whole list.
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for address in found {
        let family = if address.is_ipv6() == first_is_v6 {
            &mut first
        } else {
            &mut second
        };
        if family.len() < max && !family.contains(&address) {
            family.push(address);
        }
    }
    let mut second = second.into_iter();
    let mut order = Vec::new();
    for address in first {
        order.push(address);
        order.extend(second.next());
    }
    order.extend(second);
    order.truncate(max);
    order
}

/// Reasons why a dial failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialError {
    /// No process listens at the address.
    Refused,
    /// No answer arrived in time.
    TimedOut,
    /// No route leads to the address.
    Unreachable,
    /// The two certificates do not match (foreign CA, expired, wrong name); the text gives the reason.
    Untrusted(String),
    /// The handshake was not completed; the text gives the reason.
    Protocol(String),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::Untrusted(why) => write!(f, "not trusted: {why}"),
            Self::Protocol(why) => write!(f, "the handshake failed: {why}"),
        }
    }
}

/// Reasons why a name was not resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolutionError {
    /// No answer arrived in time.
    TimedOut,
    /// The resolver failed, or does not know the name; the text gives the reason.
    Failed(String),
}

impl fmt::Display for ResolutionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("the name was not resolved in time"),
            Self::Failed(why) => write!(f, "the name was not resolved: {why}"),
        }
    }
}

/// Reasons why a link closed without an order of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CloseReason {
    /// The peer ended the link deliberately, in an orderly way.
    Farewell,
    /// The peer's end of the connection closed (FIN) before the link ended: the process may have died.
    Fin,
    /// The connection was reset (RST).
    Reset,
    /// The peer acknowledged no data within the time limit.
    TimedOut,
    /// This node's transport closed the link.
    Local(LocalClose),
}

impl CloseReason {
    /// Whether the messages that wait on the link are still sent, because the peer reads them and did nothing wrong.
    #[must_use]
    pub const fn sends_waiting(self) -> bool {
        match self {
            Self::Farewell
            | Self::Local(LocalClose::Expired | LocalClose::Untrusted | LocalClose::GivenUp) => {
                true
            }
            Self::Fin
            | Self::Reset
            | Self::TimedOut
            | Self::Local(LocalClose::Malformed | LocalClose::Overflow | LocalClose::Revoked) => {
                false
            }
        }
    }
}

/// Reasons why this node's transport closed a link without an order of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LocalClose {
    /// The peer sent bytes that are not a valid message.
    Malformed,
    /// The queue of messages to the peer is full: the peer reads too slowly.
    Overflow,
    /// One of the two certificates is about to expire.
    Expired,
    /// One of the two certificates is no longer trusted.
    Untrusted,
    /// The peer's certificate is revoked.
    Revoked,
    /// An overlay abandoned the link.
    GivenUp,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: usize = 32;

    fn v4(host: u8) -> SocketAddr {
        ([10, 0, 0, host], 7_000).into()
    }

    fn v6(host: u16) -> SocketAddr {
        ([0xfd00, 0, 0, 0, 0, 0, 0, host], 7_000).into()
    }

    #[test]
    fn address_families_alternate_without_duplicates() {
        let found = [v6(1), v6(2), v4(1), v6(1), v4(2), v4(3)];
        let order = dial_order(found, MAX);
        assert_eq!(order, [v6(1), v4(1), v6(2), v4(2), v4(3)]);
        assert_eq!(dial_order(found, 3), order[..3]);
        assert_eq!(dial_order([], MAX), []);
    }

    #[test]
    fn a_family_that_fills_the_list_does_not_exclude_the_other() {
        let first = (1..=64).map(v6);
        let order = dial_order(first.chain((1..=10).map(v4)), MAX);
        assert_eq!(order.len(), MAX);
        assert_eq!(order.iter().filter(|it| it.is_ipv4()).count(), 10);
        assert_eq!(order[..3], [v6(1), v4(1), v6(2)]);
    }

    #[test]
    fn a_link_that_a_certificate_or_an_overlay_ends_still_sends_its_messages() {
        use LocalClose::{Expired, GivenUp, Malformed, Overflow, Untrusted};
        let orderly = [Expired, Untrusted, GivenUp].map(CloseReason::Local);
        assert!(orderly.into_iter().all(CloseReason::sends_waiting));
        assert!(CloseReason::Farewell.sends_waiting());
        let broken = [Malformed, Overflow].map(CloseReason::Local);
        let lost = [CloseReason::Fin, CloseReason::Reset, CloseReason::TimedOut];
        let others = broken.into_iter().chain(lost);
        assert!(!others.into_iter().any(CloseReason::sends_waiting));
    }

    proptest! {
        #[test]
        fn a_list_is_bounded_and_keeps_the_order_of_each_family(
            found in proptest::collection::vec((any::<bool>(), 0..60_u8), 0..200)
        ) {
            let address = |(six, host): &(bool, u8)| if *six { v6((*host).into()) } else { v4(*host) };
            let found: Vec<_> = found.iter().map(address).collect();
            let order = dial_order(found.clone(), MAX);
            prop_assert!(order.len() <= MAX);
            prop_assert_eq!(order.first(), found.first());
            for family in [true, false] {
                let of = |list: &[SocketAddr]| {
                    let mut kept: Vec<SocketAddr> = Vec::new();
                    for address in list.iter().filter(|it| it.is_ipv6() == family) {
                        if !kept.contains(address) {
                            kept.push(*address);
                        }
                    }
                    kept
                };
                let (kept, all) = (of(&order), of(&found));
                prop_assert_eq!(&kept[..], &all[..kept.len()]);
                let duplicates = order.iter().filter(|it| it.is_ipv6() == family).count();
                prop_assert_eq!(kept.len(), duplicates, "an address stands twice");
            }
            let known = found.iter().collect::<std::collections::BTreeSet<_>>().len();
            prop_assert_eq!(order.len(), known.min(MAX));
        }
    }
}
