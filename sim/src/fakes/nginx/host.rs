//! The host as nginx sees it: files, addresses, names, process numbers and the calendar.

use super::log::stamp;
use crate::disk::tree::FileTree;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use phalanx_core::time::{Instant, Wall};
use std::collections::{BTreeMap, BTreeSet};

/// The host of one or more nginx processes. The fields are plain data, which the owner may change between two steps.
#[derive(Clone, Debug)]
pub struct NginxHost {
    /// The files.
    pub tree: FileTree,
    /// The addresses of the host. Loopback addresses and the unspecified address always belong to the host.
    pub addresses: BTreeSet<IpAddr>,
    /// The TCP ports on which processes other than nginx listen.
    pub taken: BTreeSet<u16>,
    /// The names that resolve, with their addresses. `localhost` always resolves.
    pub names: BTreeMap<String, Vec<IpAddr>>,
    /// Whether nginx runs with super-user privileges.
    pub privileged: bool,
    /// The lowest port on which an unprivileged process may listen.
    pub first_unprivileged_port: u16,
    /// The calendar time at [`Instant::ZERO`].
    pub started: Wall,
    /// The process id that was assigned last.
    pub last_pid: u32,
}

impl Default for NginxHost {
    fn default() -> Self {
        Self {
            tree: FileTree::default(),
            addresses: BTreeSet::new(),
            taken: BTreeSet::new(),
            names: BTreeMap::new(),
            privileged: false,
            first_unprivileged_port: 1024,
            started: Wall(0),
            last_pid: 1_000,
        }
    }
}

impl NginxHost {
    /// Returns a new process id.
    pub(super) const fn next_pid(&mut self) -> u32 {
        self.last_pid += 1;
        self.last_pid
    }

    /// The addresses of a name or of a literal address; none if the name does not resolve.
    pub(super) fn resolve(&self, name: &str) -> Option<Vec<IpAddr>> {
        let literal = name.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = literal.parse() {
            return Some(vec![address]);
        }
        if let Some(addresses) = self.names.get(name) {
            return Some(addresses.clone());
        }
        (name == "localhost").then(|| vec![Ipv4Addr::LOCALHOST.into()])
    }

    /// The reason why the operating system refuses to bind an address, apart from conflicts with other listeners.
    pub(super) fn refusal(&self, address: SocketAddr) -> Option<&'static str> {
        if !self.privileged && address.port() < self.first_unprivileged_port {
            return Some("13: Permission denied");
        }
        let ip = address.ip();
        let local = ip.is_unspecified() || ip.is_loopback() || self.addresses.contains(&ip);
        (!local).then_some("99: Cannot assign requested address")
    }

    /// The calendar time as nginx writes it into a log.
    pub(super) fn stamp(&self, now: Instant) -> String {
        stamp(Wall(self.started.0 + now.as_millis() / 1_000))
    }
}
