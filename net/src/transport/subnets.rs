//! Trusted subnets, in which links need not be encrypted.
//!
//! A link is unencrypted only if each end trusts the subnet of the other's address, as seen by the
//! connection. Its records are still authenticated. Calls are always encrypted.

use ipnet::{IpNet, Ipv4Net};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

/// Maximum number of trusted subnets.
pub const TRUSTED_SUBNETS_MAX: usize = 64;
/// Number of bits before the IPv4 address in an IPv4-mapped IPv6 address.
const MAPPED: u8 = 96;

/// A subnet: its first address and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subnet(IpNet);

/// Reason why a text is not a valid subnet. The message continues a sentence that begins with the
/// text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubnetError {
    /// The text has another form.
    #[error("is not a valid subnet; write ADDRESS/PREFIX, such as 10.0.0.0/8 or fd00::/8")]
    Malformed,
    /// The text is a single address.
    #[error("is a single address; write {0} to mean this address only")]
    Address(IpNet),
    /// The address has bits set beyond the prefix.
    #[error("has bits set beyond its prefix; write {0}")]
    BitsBeyond(IpNet),
    /// An IPv4 subnet in IPv6 form; connections over IPv4 never have such addresses.
    #[error("is an IPv4 network in IPv6 form; write {0}")]
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

/// More than [`TRUSTED_SUBNETS_MAX`] subnets were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} subnets exceed the limit of {TRUSTED_SUBNETS_MAX}")]
pub struct TooManySubnets(usize);

/// The subnets that a node trusts; none by default. Clones share them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedSubnets(Arc<[Subnet]>);

impl TrustedSubnets {
    /// Creates a set of trusted subnets.
    ///
    /// # Errors
    /// If there are more than [`TRUSTED_SUBNETS_MAX`].
    pub fn new(subnets: &[Subnet]) -> Result<Self, TooManySubnets> {
        if subnets.len() > TRUSTED_SUBNETS_MAX {
            return Err(TooManySubnets(subnets.len()));
        }
        Ok(Self(subnets.into()))
    }

    /// Returns whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Iterates over the subnets.
    pub fn iter(&self) -> impl Iterator<Item = &Subnet> {
        self.0.iter()
    }

    /// Returns whether an address is in one of the subnets. An IPv4-mapped IPv6 address counts as
    /// an IPv4 address.
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
    fn an_invalid_subnet_is_an_error_with_its_fix() {
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
            "is a single address; write 10.0.0.1/32 to mean this address only"
        );
        assert!(why("fd00::1").contains("write fd00::1/128"));
        let mapped = "is an IPv4 network in IPv6 form; write 10.0.0.0/8";
        assert_eq!(why("::ffff:10.0.0.0/104"), mapped);
        assert_eq!(why("::ffff:10.1.0.0/104"), mapped);
    }

    #[test]
    fn an_address_is_matched_in_ipv4_and_in_mapped_form() {
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
    fn the_number_of_subnets_is_limited() {
        let one: Subnet = "::/0".parse().unwrap();
        assert!(TrustedSubnets::new(&[one; TRUSTED_SUBNETS_MAX]).is_ok());
        let error = TrustedSubnets::new(&[one; TRUSTED_SUBNETS_MAX + 1]).unwrap_err();
        assert_eq!(error.to_string(), "65 subnets exceed the limit of 64");
    }
}
