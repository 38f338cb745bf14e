//! A configuration as it serves: servers, locations, upstreams, zones and listeners.

use super::cost::Blocks;
use super::log::Level;
use super::value::Part;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeMap;

/// The address of a listener.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListenAddress {
    /// A TCP address.
    Tcp(SocketAddr),
    /// The absolute path of a Unix socket.
    Unix(String),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

/// A parsed and checked configuration.
#[derive(Clone, Debug)]
pub(super) struct Configuration {
    pub(super) worker_processes: u64,
    pub(super) daemon: bool,
    pub(super) pid: String,
    pub(super) error_log: String,
    pub(super) error_level: Level,
    pub(super) shutdown_timeout: Option<Duration>,
    pub(super) has_events: bool,
    pub(super) temporary: Vec<String>,
    pub(super) access_logs: Vec<String>,
    pub(super) servers: Vec<Server>,
    pub(super) upstreams: Vec<Upstream>,
    pub(super) zones: BTreeMap<String, SharedZone>,
    /// The servers of each address, the default server first.
    pub(super) listeners: BTreeMap<ListenAddress, Vec<usize>>,
}

impl Configuration {
    /// The addresses to bind: a wildcard address replaces the others on its port.
    pub(super) fn bound(&self) -> Vec<&ListenAddress> {
        let targets = self.listeners.keys();
        targets
            .filter(|target| match target {
                ListenAddress::Tcp(address) if !address.ip().is_unspecified() => {
                    !self.listeners.contains_key(&wildcard(*address))
                }
                ListenAddress::Tcp(_) | ListenAddress::Unix(_) => true,
            })
            .collect()
    }

    /// The servers for the address that a client connected to, the default server first.
    pub(super) fn servers_at(&self, target: &ListenAddress) -> Option<&[usize]> {
        let exact = self.listeners.get(target);
        let found = exact.or_else(|| match target {
            ListenAddress::Tcp(address) => self.listeners.get(&wildcard(*address)),
            ListenAddress::Unix(_) => None,
        });
        found.map(Vec::as_slice)
    }

    /// Whether a `proxy_cache_path` exists; if so, nginx runs a cache manager and a cache loader.
    pub(super) fn has_cache(&self) -> bool {
        self.zones
            .values()
            .any(|zone| matches!(zone.kind, ZoneKind::Cache { .. }))
    }

    /// The number of server blocks of each kind.
    pub(super) fn blocks(&self) -> Blocks {
        let mut blocks = Blocks::default();
        for server in &self.servers {
            if server.settings.certificate.is_some() {
                blocks.tls += 1;
            } else if server.locations.iter().any(Location::is_proxied) {
                blocks.proxied += 1;
            } else {
                blocks.plain += 1;
            }
        }
        blocks
    }
}

/// The wildcard address on the same port.
fn wildcard(address: SocketAddr) -> ListenAddress {
    let any: IpAddr = match address.ip() {
        IpAddr::V4(_) => core::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => core::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    ListenAddress::Tcp(SocketAddr::new(any, address.port()))
}

/// Settings that inner blocks inherit.
#[derive(Clone, Debug, Default)]
pub(super) struct InheritedSettings {
    pub(super) root: Option<String>,
    pub(super) index: Option<Vec<String>>,
    pub(super) default_type: Option<String>,
    pub(super) types: Option<BTreeMap<String, String>>,
    pub(super) header_timeout: Option<Duration>,
    pub(super) read_timeout: Option<Duration>,
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
    pub(super) cache: Option<String>,
}

impl InheritedSettings {
    /// These settings, with the missing ones taken from the outer block.
    pub(super) fn over(&mut self, outer: &Self) {
        fn inherit<T: Clone>(own: &mut Option<T>, outer: &Option<T>) {
            if own.is_none() {
                own.clone_from(outer);
            }
        }
        inherit(&mut self.root, &outer.root);
        inherit(&mut self.index, &outer.index);
        inherit(&mut self.default_type, &outer.default_type);
        inherit(&mut self.types, &outer.types);
        inherit(&mut self.header_timeout, &outer.header_timeout);
        inherit(&mut self.read_timeout, &outer.read_timeout);
        inherit(&mut self.certificate, &outer.certificate);
        inherit(&mut self.key, &outer.key);
        inherit(&mut self.cache, &outer.cache);
    }
}

/// A `server` block.
#[derive(Clone, Debug, Default)]
pub(super) struct Server {
    pub(super) names: Vec<String>,
    pub(super) tls: Vec<ListenAddress>,
    pub(super) listens: Vec<ListenAddress>,
    pub(super) answer: Option<Return>,
    pub(super) settings: InheritedSettings,
    pub(super) locations: Vec<Location>,
    /// The file and line of the block's opening brace.
    pub(super) place: (String, u32),
}

/// How a location is matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Matching {
    /// The whole path must be equal.
    Exact,
    /// The path must begin with the location's path.
    Prefix,
}

/// A `location` block.
#[derive(Clone, Debug)]
pub(super) struct Location {
    pub(super) matching: Matching,
    pub(super) path: String,
    pub(super) handler: Option<Handler>,
    pub(super) answer: Option<Return>,
    pub(super) alias: Option<String>,
    pub(super) internal: bool,
    pub(super) settings: InheritedSettings,
    pub(super) inner: Vec<Self>,
    /// The file and line of the block's opening brace.
    pub(super) place: (String, u32),
}

impl Location {
    fn is_proxied(&self) -> bool {
        matches!(self.handler, Some(Handler::Proxy(_))) || self.inner.iter().any(Self::is_proxied)
    }
}

/// The part of nginx that answers in a location, if not files.
#[derive(Clone, Debug)]
pub(super) enum Handler {
    /// `stub_status`.
    Status,
    /// `proxy_pass`.
    Proxy(Proxy),
}

/// `proxy_pass`.
#[derive(Clone, Debug)]
pub(super) struct Proxy {
    /// The upstream's number in the configuration.
    pub(super) upstream: usize,
    /// The part of the address after the host, which replaces the location's path.
    pub(super) uri: Option<String>,
}

/// `return`.
#[derive(Clone, Debug)]
pub(super) struct Return {
    pub(super) status: u16,
    pub(super) text: Vec<Part>,
}

/// An `upstream` block, or the implicit upstream of a literal address in `proxy_pass`.
#[derive(Clone, Debug)]
pub(super) struct Upstream {
    pub(super) name: String,
    pub(super) members: Vec<UpstreamServer>,
    /// Whether the block is in the configuration, as opposed to an implicit upstream.
    pub(super) written: bool,
    /// The file and line of its first mention.
    pub(super) place: (String, u32),
}

/// A server of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UpstreamServer {
    pub(super) target: ListenAddress,
    pub(super) weight: i64,
    pub(super) max_fails: u64,
    pub(super) fail_timeout: Duration,
    pub(super) down: bool,
    pub(super) backup: bool,
}

/// A zone of shared memory. The zone outlives its configuration if a reload names it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SharedZone {
    /// The size in bytes; zero if the zone is used but not defined.
    pub(super) size: u64,
    pub(super) kind: ZoneKind,
}

/// The use of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ZoneKind {
    /// `limit_req_zone`, with its key.
    Limit { key: String },
    /// `proxy_cache_path`.
    Cache { path: String, levels: String },
}

impl SharedZone {
    /// The reason why a reload cannot reuse an existing zone, computed from the zone's name, the old zone and the new
    /// zone.
    pub(super) fn conflict(name: &str, old: &Self, new: &Self) -> Option<String> {
        if old.size != new.size {
            return None;
        }
        match (&old.kind, &new.kind) {
            (ZoneKind::Limit { key: old }, ZoneKind::Limit { key: new }) if old != new => {
                Some(format!(
                    "limit_req \"{name}\" uses the \"{new}\" key while previously it used the \"{old}\" key"
                ))
            }
            (ZoneKind::Cache { path: old, .. }, ZoneKind::Cache { path: new, .. })
                if old != new =>
            {
                Some(format!(
                    "cache \"{name}\" uses the \"{new}\" cache path while previously it used the \"{old}\" cache path"
                ))
            }
            (ZoneKind::Cache { levels: old, .. }, ZoneKind::Cache { levels: new, .. })
                if old != new =>
            {
                Some(format!("cache \"{name}\" had previously different levels"))
            }
            (ZoneKind::Limit { .. } | ZoneKind::Cache { .. }, _) => None,
        }
    }
}
