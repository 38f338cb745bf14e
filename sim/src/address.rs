//! The addresses of hosts, on every engine.

use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::collections::BTreeMap;

/// The port that every node listens on.
pub const PORT: u16 = 7_000;

/// The IP address of the first host.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// Returns a host's IP address.
#[must_use]
pub fn ip(host: usize) -> Ipv4Addr {
    let host = u32::try_from(host).unwrap_or(u32::MAX);
    Ipv4Addr::from(u32::from(FIRST).saturating_add(host))
}

/// Returns the address on which a host listens.
#[must_use]
pub fn address(host: usize) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(ip(host), PORT))
}

/// Returns the host of an IP address, whatever the port; `hosts` is the number of hosts.
#[must_use]
pub fn host_at(address: SocketAddr, hosts: usize) -> Option<usize> {
    let SocketAddr::V4(address) = address else {
        return None;
    };
    let index = u32::from(*address.ip()).checked_sub(u32::from(FIRST))?;
    usize::try_from(index).ok().filter(|index| *index < hosts)
}

/// The addresses of the hosts of one run; a host may have moved to another address.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostAddresses {
    /// For each host that moved, the number of its moves.
    moves: BTreeMap<usize, u32>,
}

impl HostAddresses {
    /// The number of addresses between two moves of one host.
    const STRIDE: u32 = 1 << 16;

    /// Gives a host another address.
    pub(crate) fn change(&mut self, host: usize) {
        *self.moves.entry(host).or_default() += 1;
    }

    /// Returns the current address of a host, with the usual port.
    pub(crate) fn of(&self, host: usize) -> SocketAddr {
        let moves = self.moves.get(&host).copied().unwrap_or_default();
        let ip = u32::from(ip(host)).saturating_add(moves * Self::STRIDE);
        SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from(ip), PORT))
    }

    /// Returns the host of an IP address, whatever the port; `hosts` is the number of hosts.
    pub(crate) fn host_at(&self, address: SocketAddr, hosts: usize) -> Option<usize> {
        let found = host_at(address, hosts).filter(|host| !self.moves.contains_key(host));
        let mut moved = self.moves.keys().copied();
        found.or_else(|| moved.find(|host| self.of(*host).ip() == address.ip()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_moved_is_at_its_latest_address_alone() {
        let mut addresses = HostAddresses::default();
        let first = addresses.of(1);
        assert_eq!(first, address(1));
        addresses.change(1);
        let second = addresses.of(1);
        assert_eq!(addresses.host_at(first, 3), None);
        assert_eq!(addresses.host_at(second, 3), Some(1));
        addresses.change(1);
        assert_eq!(addresses.host_at(second, 3), None);
        assert_eq!(addresses.host_at(addresses.of(1), 3), Some(1));
        assert_eq!(addresses.host_at(address(2), 3), Some(2));
    }
}
