//! Networks that this node trusts: what it sends there need not be encrypted.
//!
//! A link is unencrypted only if both its ends trust the network in which the connection shows the other end. The records
//! are then authenticated all the same. Calls are always encrypted.

use ipnet::{IpNet, Ipv4Net};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

/// The most subnets a node trusts.
pub const TRUSTED_SUBNETS_MAX: usize = 64;
/// The bits of an IPv6 address before the IPv4 address in it.
const MAPPED: u8 = 96;

/// A network, as its first address and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subnet(IpNet);

/// Why a text is no subnet. It goes on from the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubnetError {
    /// It is something else.
    #[error("is no subnet; write ADDRESS/PREFIX, such as 10.0.0.0/8 or fd00::/8")]
    Malformed,
    /// It is an address.
    #[error("is one address; write {0} if it alone is meant")]
    Address(IpNet),
    /// It is an address in a subnet.
    #[error("has bits set beyond its prefix; write {0}")]
    BitsBeyond(IpNet),
    /// Connections over IPv4 never show it.
    #[error("is an IPv4 network in the form of IPv6; write {0}")]
    Mapped(Ipv4Net),
}

impl FromStr for Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Self, SubnetError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Err(SubnetError::Address(address.to_canonical().into()));
        }
        let net: IpNet = text.parse().map_err(|_| SubnetError::Malformed)?;
        let whole = net.trunc();
        if let (IpNet::V6(v6), IpAddr::V4(v4)) = (net, net.addr().to_canonical())
            && let Some(prefix) = v6.prefix_len().checked_sub(MAPPED)
            && let Ok(v4) = Ipv4Net::new(v4, prefix)
        {
            return Err(SubnetError::Mapped(v4.trunc()));
        }
        if whole == net {
            Ok(Self(net))
        } else {
            Err(SubnetError::BitsBeyond(whole))
        }
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// There are more than [`TRUSTED_SUBNETS_MAX`] subnets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} subnets are too many; at most {TRUSTED_SUBNETS_MAX} are allowed")]
pub struct TooManySubnets(usize);

/// The subnets a node trusts; none, by default. Cloning shares them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedSubnets(Arc<[Subnet]>);

impl TrustedSubnets {
    /// Trusts these.
    ///
    /// # Errors
    /// When they are more than [`TRUSTED_SUBNETS_MAX`].
    pub fn new(subnets: &[Subnet]) -> Result<Self, TooManySubnets> {
        if subnets.len() > TRUSTED_SUBNETS_MAX {
            return Err(TooManySubnets(subnets.len()));
        }
        Ok(Self(subnets.into()))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Subnet> {
        self.0.iter()
    }

    /// Whether somebody at this address is in one of them. An IPv4 address in the form of IPv6 is an IPv4 address.
    #[must_use]
    pub fn contains(&self, remote: SocketAddr) -> bool {
        let address = remote.ip().to_canonical();
        self.0.iter().any(|subnet| subnet.0.contains(&address))
    }
}

impl fmt::Display for TrustedSubnets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, subnet) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{subnet}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusted(texts: &[&str]) -> TrustedSubnets {
        let subnets: Vec<Subnet> = texts.iter().map(|text| text.parse().unwrap()).collect();
        TrustedSubnets::new(&subnets).unwrap()
    }

    #[test]
    fn what_is_no_subnet_is_named_with_the_mend() {
        let why = |text: &str| text.parse::<Subnet>().unwrap_err().to_string();
        let malformed = SubnetError::Malformed.to_string();
        for text in [
            "",
            "ten",
            "10.0.0.0/33",
            "fd00::/129",
            "10.0.0/8",
            "10.0.0.0/",
            "10.0.0.0/8 ",
        ] {
            assert_eq!(why(text), malformed, "{text:?}");
        }
        assert_eq!(
            why("10.1.0.0/8"),
            "has bits set beyond its prefix; write 10.0.0.0/8"
        );
        assert!(why("fd00::1/8").ends_with("write fd00::/8"));
        assert_eq!(
            why("10.0.0.1"),
            "is one address; write 10.0.0.1/32 if it alone is meant"
        );
        assert!(why("fd00::1").contains("write fd00::1/128"));
        let mapped = "is an IPv4 network in the form of IPv6; write 10.0.0.0/8";
        assert_eq!(why("::ffff:10.0.0.0/104"), mapped);
        assert_eq!(why("::ffff:10.1.0.0/104"), mapped);
    }

    #[test]
    fn an_address_is_in_a_subnet_whichever_way_it_is_written() {
        let trusted = trusted(&["10.0.0.0/8", "192.0.2.7/32", "fd00::/8"]);
        let is = |ip: &str| trusted.contains(SocketAddr::new(ip.parse().unwrap(), 1));
        for inside in ["10.255.0.1", "::ffff:10.0.0.1", "192.0.2.7", "fdff::1"] {
            assert!(is(inside), "{inside}");
        }
        for outside in [
            "11.0.0.1",
            "::ffff:11.0.0.1",
            "192.0.2.8",
            "fe80::1",
            "::a00:1",
        ] {
            assert!(!is(outside), "{outside}");
        }
        assert!(!TrustedSubnets::default().contains(([10, 0, 0, 1], 1).into()));
        assert_eq!(trusted.to_string(), "10.0.0.0/8, 192.0.2.7/32, fd00::/8");
    }

    #[test]
    fn there_are_not_too_many() {
        let one: Subnet = "::/0".parse().unwrap();
        assert!(TrustedSubnets::new(&[one; TRUSTED_SUBNETS_MAX]).is_ok());
        let error = TrustedSubnets::new(&[one; TRUSTED_SUBNETS_MAX + 1]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "65 subnets are too many; at most 64 are allowed"
        );
    }
}
