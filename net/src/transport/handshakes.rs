//! Limits unfinished TLS handshakes, in total and per source.
//!
//! A connection is unauthenticated until the TLS handshake verifies a certificate, and its peer may
//! stay silent for any time. Members can connect despite many such peers, because:
//!
//! - every source has its own rate limit ([`Rates`]);
//! - a source with too many unfinished handshakes loses its oldest one; when the total limit is
//!   reached, the source with the most handshakes loses its oldest one ([`Handshakes`]). The newest
//!   handshake is always admitted: a member completes within a few round trips, and an idle peer
//!   becomes the oldest sooner or later.
//!
//! Bounds: [`Limits::handshakes`] and [`Limits::handshakes_from_one`]; [`SOURCES`] for the rates.

use super::connection::ConnectionState;
use super::limits::Limits;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time;

/// Maximum number of sources with their own rate; further sources share one rate.
const SOURCES: usize = 1024;
/// Mask of the network part of an IPv6 address: one machine owns all addresses of the network.
const NETWORK_V6: u128 = !0 << 64;

/// A source of connections: an IPv4 address, or an IPv6 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Source(IpAddr);

impl Source {
    fn of(remote: SocketAddr) -> Self {
        Self(match remote.ip().to_canonical() {
            v4 @ IpAddr::V4(_) => v4,
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & NETWORK_V6).into(),
        })
    }
}

/// Allows each source a burst, and then one connection per interval (generic cell rate algorithm).
#[derive(Debug)]
pub(crate) struct Rates {
    interval: Duration,
    tolerance: Duration,
    /// Time at which the next connection of a source conforms to its rate; the key `None` is the
    /// shared rate.
    next: BTreeMap<Option<Source>, time::Instant>,
}

impl Rates {
    pub(crate) fn new(limits: &Limits) -> Self {
        let interval = limits.accept_interval;
        let tolerance = interval * limits.accept_burst.saturating_sub(1);
        Self {
            interval,
            tolerance,
            next: BTreeMap::new(),
        }
    }

    /// Returns whether one more connection conforms to the rate of its source, and counts it if so.
    pub(crate) fn allow(&mut self, remote: SocketAddr) -> bool {
        let now = time::Instant::now();
        let mut source = Some(Source::of(remote));
        if self.next.len() >= SOURCES && !self.next.contains_key(&source) {
            // A source whose time has passed needs no entry.
            self.next.retain(|_, next| *next > now);
            if self.next.len() >= SOURCES {
                source = None;
            }
        }
        let next = self.next.get(&source).map_or(now, |next| now.max(*next));
        if next - now > self.tolerance {
            return false;
        }
        self.next.insert(source, next + self.interval);
        true
    }
}

/// The unfinished handshakes. Dropping the struct kills them all.
#[derive(Debug)]
pub(crate) struct Handshakes {
    most: usize,
    most_from_one: usize,
    pending: Arc<Mutex<Pending>>,
}

#[derive(Debug, Default)]
struct Pending {
    last: u64,
    count: usize,
    /// By source, and within a source from the oldest to the newest.
    sources: BTreeMap<Source, BTreeMap<u64, Stranger>>,
}

#[derive(Debug)]
struct Stranger {
    remote: SocketAddr,
    connection: ConnectionState,
}

/// Counts one unfinished handshake until it is dropped.
#[derive(Debug)]
pub(crate) struct UnfinishedHandshake {
    source: Source,
    number: u64,
    pending: Arc<Mutex<Pending>>,
}

fn lock(pending: &Mutex<Pending>) -> MutexGuard<'_, Pending> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pending {
    fn remove(&mut self, source: Source, number: u64) -> Option<Stranger> {
        let strangers = self.sources.get_mut(&source)?;
        let stranger = strangers.remove(&number)?;
        if strangers.is_empty() {
            self.sources.remove(&source);
        }
        self.count -= 1;
        Some(stranger)
    }

    fn remove_oldest(&mut self, source: Source) -> Option<Stranger> {
        let number = *self.sources.get(&source)?.first_key_value()?.0;
        self.remove(source, number)
    }

    /// Returns the source with the most handshakes; among equals, the one with the oldest
    /// handshake.
    fn greediest(&self) -> Option<Source> {
        let rank = |strangers: &BTreeMap<u64, Stranger>| {
            let oldest = strangers.first_key_value().map_or(0, |(number, _)| *number);
            (strangers.len(), u64::MAX - oldest)
        };
        let most = self.sources.iter().max_by_key(|(_, held)| rank(held));
        most.map(|(source, _)| *source)
    }
}

impl Handshakes {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            most: limits.handshakes.max(1),
            most_from_one: limits.handshakes_from_one.max(1),
            pending: Arc::default(),
        }
    }

    /// Admits one more handshake. Returns its guard, and the address whose handshake was killed for it, if any.
    pub(crate) fn begin(
        &self,
        remote: SocketAddr,
        connection: ConnectionState,
    ) -> (UnfinishedHandshake, Option<SocketAddr>) {
        let source = Source::of(remote);
        let mut pending = lock(&self.pending);
        let own = pending.sources.get(&source).map_or(0, BTreeMap::len);
        let out = if own >= self.most_from_one {
            pending.remove_oldest(source)
        } else if pending.count >= self.most {
            let greediest = pending.greediest();
            greediest.and_then(|source| pending.remove_oldest(source))
        } else {
            None
        };
        pending.last += 1;
        pending.count += 1;
        let number = pending.last;
        let strangers = pending.sources.entry(source).or_default();
        strangers.insert(number, Stranger { remote, connection });
        drop(pending);
        let place = UnfinishedHandshake {
            source,
            number,
            pending: self.pending.clone(),
        };
        let turned_out = out.map(|stranger| {
            stranger.connection.kill();
            stranger.remote
        });
        (place, turned_out)
    }

    /// Returns the number of unfinished handshakes.
    pub(crate) fn count(&self) -> usize {
        lock(&self.pending).count
    }
}

impl Drop for Handshakes {
    fn drop(&mut self) {
        let sources = std::mem::take(&mut lock(&self.pending).sources);
        for stranger in sources.into_values().flat_map(BTreeMap::into_values) {
            stranger.connection.kill();
        }
    }
}

impl Drop for UnfinishedHandshake {
    fn drop(&mut self) {
        let removed = lock(&self.pending).remove(self.source, self.number);
        drop(removed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(ip: &str, port: u16) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), port)
    }

    fn limits(handshakes: usize, handshakes_from_one: usize) -> Limits {
        Limits {
            handshakes,
            handshakes_from_one,
            ..Limits::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_allows_a_burst_and_then_one_per_interval_independent_of_other_sources() {
        let limits = Limits {
            accept_burst: 3,
            accept_interval: Duration::from_millis(10),
            ..Limits::default()
        };
        let mut rates = Rates::new(&limits);
        let (one, two) = (from("10.0.0.1", 1), from("10.0.0.2", 1));
        let now: Vec<bool> = (0..5).map(|_| rates.allow(one)).collect();
        assert_eq!(now, [true, true, true, false, false]);
        assert!(rates.allow(two), "another source has its own rate");
        time::advance(Duration::from_millis(10)).await;
        assert_eq!([rates.allow(one), rates.allow(one)], [true, false]);
        time::advance(Duration::from_secs(60)).await;
        let later: Vec<bool> = (0..5).map(|_| rates.allow(one)).collect();
        assert_eq!(later, [true, true, true, false, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn sources_beyond_the_bound_share_one_rate() {
        let limits = Limits {
            accept_burst: 1,
            accept_interval: Duration::from_secs(1),
            ..Limits::default()
        };
        let mut rates = Rates::new(&limits);
        let of = |n: usize| from(&format!("10.1.{}.{}", n / 256, n % 256), 1);
        assert!((0..SOURCES).all(|n| rates.allow(of(n))));
        assert!(
            rates.allow(of(SOURCES)),
            "the first source on the shared rate"
        );
        assert!(
            !rates.allow(of(SOURCES + 1)),
            "the second source on the shared rate"
        );
        assert!(rates.next.len() <= SOURCES + 1);
        time::advance(Duration::from_secs(2)).await;
        assert!(rates.allow(of(SOURCES + 1)) && rates.allow(of(SOURCES + 2)));
    }

    #[test]
    fn a_source_above_its_limit_loses_its_oldest_handshake() {
        let handshakes = Handshakes::new(&limits(10, 2));
        let states: Vec<ConnectionState> = (0..4).map(|_| ConnectionState::default()).collect();
        let mut places = Vec::new();
        let mut out = Vec::new();
        for (port, connection) in (1..).zip(&states) {
            let (place, turned_out) = handshakes.begin(from("10.0.0.1", port), connection.clone());
            places.push(place);
            out.push(turned_out.map(|remote| remote.port()));
        }
        assert_eq!(out, [None, None, Some(1), Some(2)]);
        let killed: Vec<bool> = states.iter().map(ConnectionState::is_killed).collect();
        assert_eq!(killed, [true, true, false, false]);
        drop(places);
        assert_eq!(handshakes.count(), 0);
        assert!(lock(&handshakes.pending).sources.is_empty());
    }

    #[test]
    fn at_the_total_limit_the_source_with_the_most_handshakes_loses_one() {
        let handshakes = Handshakes::new(&limits(4, 3));
        let hold = |ip: &str, port| handshakes.begin(from(ip, port), ConnectionState::default());
        let quiet = hold("10.0.0.9", 1);
        let greedy: Vec<_> = (1..=3).map(|port| hold("10.0.0.1", port)).collect();
        let (place, out) = hold("10.0.0.2", 1);
        assert_eq!(out, Some(from("10.0.0.1", 1)));
        assert_eq!(handshakes.count(), 4);
        drop((quiet, greedy, place));
        assert_eq!(handshakes.count(), 0);
    }

    #[test]
    fn an_ipv6_network_is_one_source_and_so_is_a_mapped_address() {
        let of = |ip: &str| Source::of(from(ip, 1));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }

    #[test]
    fn all_unfinished_handshakes_end_when_the_struct_is_dropped() {
        let handshakes = Handshakes::new(&Limits::default());
        let connection = ConnectionState::default();
        let (place, _) = handshakes.begin(from("10.0.0.1", 1), connection.clone());
        drop(handshakes);
        assert!(connection.is_killed());
        drop(place);
    }
}
