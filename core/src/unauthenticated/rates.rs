//! The rate of connections from each source.

use crate::time::{Duration, Instant};
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::collections::BTreeMap;

/// Maximum number of sources with a rate of their own; further sources share one rate.
pub const SOURCES_MAX: usize = 1024;
/// Mask of the network part of an IPv6 address: one machine can use all addresses of its network.
const NETWORK_V6: u128 = !0 << 64;

/// A source of connections: an IPv4 address, or an IPv6 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConnectionSource(IpAddr);

impl ConnectionSource {
    pub(super) fn of(remote: SocketAddr) -> Self {
        Self(match remote.ip().to_canonical() {
            v4 @ IpAddr::V4(_) => v4,
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & NETWORK_V6).into(),
        })
    }
}

/// The rate of connections from each source: a burst, and then one connection for each interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRates {
    interval: Duration,
    tolerance: Duration,
    /// The time at which the next connection of a source conforms to its rate; the key `None` is the shared rate.
    next: BTreeMap<Option<ConnectionSource>, Instant>,
}

impl SourceRates {
    /// Each rate admits `burst` connections at once, and then one for each `interval`.
    #[must_use]
    pub fn new(burst: u32, interval: Duration) -> Self {
        Self {
            interval,
            tolerance: interval * burst.saturating_sub(1),
            next: BTreeMap::new(),
        }
    }

    /// Whether one more connection conforms to the rate of its source. A connection that conforms is counted.
    pub fn admits(&mut self, now: Instant, remote: SocketAddr) -> bool {
        let mut source = Some(ConnectionSource::of(remote));
        if self.next.len() >= SOURCES_MAX && !self.next.contains_key(&source) {
            // A source whose time has passed needs no entry.
            self.next.retain(|_, next| *next > now);
            if self.next.len() >= SOURCES_MAX {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unauthenticated::tests::{from, numbered};

    #[test]
    fn a_rate_allows_a_burst_and_then_one_for_each_interval_independent_of_other_sources() {
        let mut rates = SourceRates::new(3, Duration::from_millis(10));
        let (one, two) = (from("10.0.0.1"), from("10.0.0.2"));
        let mut now = Instant::from_millis(5_000);
        let burst: Vec<bool> = (0..5).map(|_| rates.admits(now, one)).collect();
        assert_eq!(burst, [true, true, true, false, false]);
        assert!(rates.admits(now, two), "another source has its own rate");
        now += Duration::from_millis(10);
        assert_eq!(
            [rates.admits(now, one), rates.admits(now, one)],
            [true, false]
        );
        now += Duration::from_secs(60);
        let later: Vec<bool> = (0..5).map(|_| rates.admits(now, one)).collect();
        assert_eq!(later, [true, true, true, false, false]);
    }

    #[test]
    fn sources_beyond_the_bound_share_one_rate() {
        let mut rates = SourceRates::new(1, Duration::from_secs(1));
        let mut now = Instant::from_millis(5_000);
        assert!((0..SOURCES_MAX).all(|number| rates.admits(now, numbered(number))));
        assert!(
            rates.admits(now, numbered(SOURCES_MAX)),
            "the first of them"
        );
        assert!(!rates.admits(now, numbered(SOURCES_MAX + 1)), "the second");
        assert!(rates.next.len() <= SOURCES_MAX + 1);
        now += Duration::from_secs(2);
        assert!(rates.admits(now, numbered(SOURCES_MAX + 1)));
        assert!(rates.admits(now, numbered(SOURCES_MAX + 2)));
    }

    #[test]
    fn an_ipv6_network_is_one_source_and_so_is_a_mapped_address() {
        let of = |ip: &str| ConnectionSource::of(from(ip));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
