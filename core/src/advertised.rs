//! The address that a node publishes for others to dial: which addresses are refused, and which address of a name is
//! published. The same checks hold for the seed addresses of a node (targets).
//!
//! An address that is valid only on this host, or on one of its networks, misleads all other members. An IPv6
//! link-local address needs a scope, which differs from host to host and is not part of a record.

use crate::link::{Address, AddressError};
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Reasons why no other node can dial an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undialable {
    /// The address stands for all addresses of a host.
    Unspecified,
    /// The port is 0.
    NoPort,
    /// The address belongs to a group of hosts.
    Multicast,
    /// The address belongs to all hosts of a network.
    Broadcast,
    /// The address is valid on one network only, and needs a scope that a record does not carry.
    LinkLocal,
}

impl fmt::Display for Undialable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "is the unspecified address",
            Self::NoPort => "has port 0",
            Self::Multicast => "is a multicast address",
            Self::Broadcast => "is the broadcast address",
            Self::LinkLocal => {
                "is a link-local address, whose scope (the part after %) is lost on other hosts"
            }
        })
    }
}

impl core::error::Error for Undialable {}

/// Checks that other nodes may be able to dial an address. Addresses that are mapped to IPv6 are checked as IPv4.
///
/// # Errors
/// The reason why no other node can dial it.
pub fn check(address: SocketAddr) -> Result<(), Undialable> {
    match (check_target(address), address.ip().to_canonical()) {
        (Ok(()), IpAddr::V6(ip)) if ip.is_unicast_link_local() => Err(Undialable::LinkLocal),
        (checked, _) => checked,
    }
}

/// Checks that this node may be able to dial an address, which may be link-local.
///
/// # Errors
/// The reason why the node cannot dial it.
pub fn check_target(address: SocketAddr) -> Result<(), Undialable> {
    let ip = address.ip().to_canonical();
    if ip.is_unspecified() {
        Err(Undialable::Unspecified)
    } else if ip.is_multicast() {
        Err(Undialable::Multicast)
    } else if ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        Err(Undialable::Broadcast)
    } else if address.port() == 0 {
        Err(Undialable::NoPort)
    } else {
        Ok(())
    }
}

/// Reasons why a text is not the address of a seed node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// The text is not a valid address.
    Address(AddressError),
    /// The node cannot dial the address.
    Undialable(Undialable),
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(why) => why.fmt(f),
            Self::Undialable(why) => write!(f, "{why}; give the address of one node"),
        }
    }
}

impl core::error::Error for TargetError {}

/// Parses the address of a seed node.
///
/// # Errors
/// If the text is not a valid address, or the node cannot dial it.
pub fn parse_target(text: &str) -> Result<Address, TargetError> {
    let address = text.parse::<Address>().map_err(TargetError::Address)?;
    if let Address::Socket(socket) = address {
        check_target(socket).map_err(TargetError::Undialable)?;
    }
    Ok(address)
}

/// Whether only this host can dial the advertised address, although the node listens for other hosts.
#[must_use]
pub fn is_local_only(advertised: SocketAddr, listen: SocketAddr) -> bool {
    is_loopback(advertised) && !is_loopback(listen)
}

/// Chooses the address to publish among the addresses of a name, in the resolver's order: one that other hosts can dial
/// and of the family of the listening address, if there is one.
///
/// # Errors
/// The reason why the first address cannot be dialled, if none can be; `None` if the name has no address.
pub fn choose(found: &[SocketAddr], listen: SocketAddr) -> Result<SocketAddr, Option<Undialable>> {
    let dialable = found.iter().filter(|address| check(**address).is_ok());
    // A wildcard IPv6 socket usually accepts connections of both families.
    let any_family = listen.is_ipv6() && listen.ip().is_unspecified();
    let best = dialable.min_by_key(|address| {
        let family = any_family || address.is_ipv6() == listen.is_ipv6();
        (is_local_only(**address, listen), !family)
    });
    best.copied().ok_or_else(|| {
        let first = found.first();
        first.and_then(|address| check(*address).err())
    })
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_that_others_cannot_dial_are_refused_with_the_reason() {
        let refused = [
            ("0.0.0.0:1", Undialable::Unspecified),
            ("[::]:1", Undialable::Unspecified),
            ("[::ffff:0.0.0.0]:1", Undialable::Unspecified),
            ("10.0.0.1:0", Undialable::NoPort),
            ("224.0.0.1:1", Undialable::Multicast),
            ("239.1.2.3:1", Undialable::Multicast),
            ("[ff02::1]:1", Undialable::Multicast),
            ("[::ffff:224.0.0.1]:1", Undialable::Multicast),
            ("255.255.255.255:1", Undialable::Broadcast),
            ("[fe80::1]:1", Undialable::LinkLocal),
            ("[fe80::1%3]:1", Undialable::LinkLocal),
        ];
        for (address, why) in refused {
            assert_eq!(check(at(address)), Err(why), "{address}");
        }
        for address in ["10.0.0.1:1", "127.0.0.1:1", "[::1]:1", "[2001:db8::1]:1"] {
            assert_eq!(check(at(address)), Ok(()), "{address}");
        }
    }

    #[test]
    fn a_target_may_be_link_local() {
        assert_eq!(check_target(at("[fe80::1%3]:1")), Ok(()));
        for (text, why) in [
            (
                "0.0.0.0:1",
                "is the unspecified address; give the address of one node",
            ),
            (
                "[ff02::1]:1",
                "is a multicast address; give the address of one node",
            ),
            ("10.0.0.1", "has no port; write host:port"),
        ] {
            assert_eq!(parse_target(text).unwrap_err().to_string(), why);
        }
        assert_eq!(
            parse_target("seeds.example:1").unwrap().to_string(),
            "seeds.example:1"
        );
    }

    #[test]
    fn a_loopback_address_is_local_unless_the_node_listens_on_loopback() {
        for listen in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1"] {
            for advertised in ["127.0.1.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
                assert!(is_local_only(at(advertised), at(listen)));
            }
            assert!(!is_local_only(at("10.0.0.1:1"), at(listen)));
        }
        assert!(!is_local_only(at("127.0.0.1:1"), at("127.0.0.1:1")));
    }

    #[test]
    fn the_address_of_a_name_is_one_that_other_hosts_can_dial() {
        let wildcard = at("0.0.0.0:1");
        let all = [
            "127.0.1.1:1",
            "[fe80::1]:1",
            "[2001:db8::1]:1",
            "10.0.0.1:1",
        ]
        .map(at);
        assert_eq!(choose(&all, wildcard), Ok(at("10.0.0.1:1")));
        assert_eq!(choose(&all, at("[::]:1")), Ok(at("[2001:db8::1]:1")));
        assert_eq!(choose(&all[..3], wildcard), Ok(at("[2001:db8::1]:1")));
        assert_eq!(choose(&all[..2], wildcard), Ok(at("127.0.1.1:1")));
        let none = choose(&all[1..2], wildcard);
        assert_eq!(none, Err(Some(Undialable::LinkLocal)));
        assert_eq!(choose(&[], wildcard), Err(None));
    }
}
