//! The addresses of hosts, on every engine.

use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

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
