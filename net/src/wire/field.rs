//! Fields that occur in many messages: ids, counters, addresses, lists.

use super::error::{FieldFault, WireError};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use phalanx_core::identity::NodeId;

/// A parsed value, or the error of a field.
pub(super) type Parsed<T> = Result<T, WireError>;

pub(super) fn id(path: &str, text: &str) -> Parsed<NodeId> {
    NodeId::new(text).map_err(|error| WireError::new(path, FieldFault::Name(error)))
}

pub(super) fn at_most(path: &str, found: usize, max: usize, what: &'static str) -> Parsed<()> {
    if found > max {
        Err(WireError::new(
            path,
            FieldFault::TooMany { found, max, what },
        ))
    } else {
        Ok(())
    }
}

pub(super) fn required<T>(path: &str, value: Option<T>) -> Parsed<T> {
    value.ok_or_else(|| WireError::new(path, FieldFault::Missing))
}

/// Parses each element; an error names `path` and the index of the element.
pub(super) fn each<P, T>(
    path: &str,
    items: Vec<P>,
    parse: impl Fn(P) -> Parsed<T>,
) -> Parsed<Vec<T>> {
    let numbered = items.into_iter().enumerate();
    numbered
        .map(|(at, item)| parse(item).map_err(|error| error.inside(&format!("{path}[{at}]"))))
        .collect()
}

/// Composes each element.
pub(super) fn all<'a, T: 'a, P: From<&'a T>>(items: &'a [T]) -> Vec<P> {
    items.iter().map(Into::into).collect()
}

/// Parses an address: 4 or 16 bytes of IP address, then 2 bytes of port, big-endian.
///
/// # Errors
/// If the number of bytes is another, or the port is 0.
pub fn address(path: &str, bytes: &[u8]) -> Result<SocketAddr, WireError> {
    let length = || WireError::new(path, FieldFault::AddressLength(bytes.len()));
    let (ip, port) = bytes.split_last_chunk::<2>().ok_or_else(length)?;
    let ip = if let Ok(octets) = <[u8; 4]>::try_from(ip) {
        IpAddr::V4(Ipv4Addr::from(octets))
    } else if let Ok(octets) = <[u8; 16]>::try_from(ip) {
        IpAddr::V6(Ipv6Addr::from(octets))
    } else {
        return Err(length());
    };
    match u16::from_be_bytes(*port) {
        0 => Err(WireError::new(path, FieldFault::NoPort)),
        port => Ok(SocketAddr::new(ip, port)),
    }
}

/// Encodes an address: 4 or 16 bytes of IP address, then 2 bytes of port, big-endian.
#[must_use]
pub fn address_bytes(address: SocketAddr) -> Vec<u8> {
    let mut bytes = match address {
        SocketAddr::V4(address) => address.ip().octets().to_vec(),
        SocketAddr::V6(address) => address.ip().octets().to_vec(),
    };
    bytes.extend(address.port().to_be_bytes());
    bytes
}

/// Any value of a field that core may send.
#[cfg(test)]
pub(super) mod arbitrary {
    use core::net::SocketAddr;
    use phalanx_core::identity::NodeId;
    use phalanx_core::identity::only_shows;
    use proptest::prelude::*;

    pub(crate) fn id() -> impl Strategy<Value = NodeId> {
        "[a-z0-9]([a-z0-9._-]{0,8}[a-z0-9])?".prop_map(|text| NodeId::new(&text).unwrap())
    }

    /// Small numbers, numbers around every boundary of varint lengths, and the maximum. The machines check the bound of
    /// counters.
    pub(crate) fn counter() -> impl Strategy<Value = u64> {
        prop_oneof![
            0_u64..4,
            (0_u32..64).prop_flat_map(|bits| 0..=(1_u64 << bits)),
            Just(u64::MAX)
        ]
    }

    /// Zero, which is absent on the wire, and any other number.
    pub(crate) fn hash() -> impl Strategy<Value = u64> {
        prop_oneof![Just(0), any::<u64>()]
    }

    pub(crate) fn number() -> impl Strategy<Value = u32> {
        prop_oneof![0_u32..200, any::<u32>()]
    }

    pub(crate) fn address() -> impl Strategy<Value = SocketAddr> {
        prop_oneof![
            (any::<[u8; 4]>(), 1_u16..).prop_map(|(ip, port)| (ip, port).into()),
            (any::<[u8; 16]>(), 1_u16..).prop_map(|(ip, port)| (ip, port).into()),
        ]
    }

    /// Any text without control characters.
    pub(crate) fn shown(pattern: &'static str) -> impl Strategy<Value = String> {
        pattern.prop_map(|text: String| text.chars().filter(|it| only_shows(*it)).collect())
    }
}
