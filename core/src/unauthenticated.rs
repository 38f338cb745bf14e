//! Admission of connections whose peer has not proved an identity: a rate for each source, and a bound of unfinished
//! handshakes.
//!
//! A connection is unauthenticated until its handshake verifies a certificate, and its peer may stay silent for any
//! time. Members can connect despite many such peers, because:
//!
//! - every source has a rate of its own ([`SourceRates`], the generic cell rate algorithm);
//! - a source with too many unfinished handshakes loses its oldest one; when the total bound is reached, the source
//!   with the most handshakes loses its oldest one ([`PendingHandshakes`]). The newest handshake is always admitted: a
//!   member completes its handshake within a few round trips, and the handshake of an idle peer becomes the oldest
//!   sooner or later.
//!
//! The caller accepts connections, and closes those whose handshakes are evicted. Bounds: [`SOURCES_MAX`] rates, and
//! the two maximum numbers of handshakes that the caller sets.

use crate::time::{Duration, Instant};
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::collections::BTreeMap;

/// Maximum number of sources with a rate of their own; further sources share one rate.
pub const SOURCES_MAX: usize = 1024;
/// Mask of the network part of an IPv6 address: one machine can use all addresses of its network.
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

/// The rate of connections from each source: a burst, and then one connection for each interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRates {
    interval: Duration,
    tolerance: Duration,
    /// The time at which the next connection of a source conforms to its rate; the key `None` is the shared rate.
    next: BTreeMap<Option<Source>, Instant>,
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
        let mut source = Some(Source::of(remote));
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

/// An unfinished handshake, numbered by [`PendingHandshakes`]. A later handshake has a higher number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HandshakeId(u64);

/// The unfinished handshakes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingHandshakes {
    count_max: usize,
    source_count_max: usize,
    /// The number of handshakes ever begun.
    begun: u64,
    /// The source of each handshake.
    pending: BTreeMap<HandshakeId, Source>,
    /// The handshakes of each source, oldest first.
    sources: BTreeMap<Source, Vec<HandshakeId>>,
}

impl PendingHandshakes {
    /// Admits at most `count_max` handshakes in total and `source_count_max` of one source; each maximum is at least
    /// one.
    #[must_use]
    pub fn new(count_max: usize, source_count_max: usize) -> Self {
        Self {
            count_max: count_max.max(1),
            source_count_max: source_count_max.max(1),
            begun: 0,
            pending: BTreeMap::new(),
            sources: BTreeMap::new(),
        }
    }

    /// Admits one more handshake. Returns the handshake, and the handshake that is evicted to make room, if any.
    pub fn begin(&mut self, remote: SocketAddr) -> (HandshakeId, Option<HandshakeId>) {
        let source = Source::of(remote);
        let own = self.sources.get(&source).map_or(0, Vec::len);
        let full = if own >= self.source_count_max {
            Some(source)
        } else if self.pending.len() >= self.count_max {
            self.largest_source()
        } else {
            None
        };
        let oldest = full.and_then(|source| self.sources.get(&source)?.first().copied());
        if let Some(oldest) = oldest {
            self.end(oldest);
        }
        self.begun += 1;
        let handshake = HandshakeId(self.begun);
        self.pending.insert(handshake, source);
        self.sources.entry(source).or_default().push(handshake);
        (handshake, oldest)
    }

    /// A handshake ended, with or without success. An evicted handshake is ignored.
    pub fn end(&mut self, handshake: HandshakeId) {
        let Some(source) = self.pending.remove(&handshake) else {
            return;
        };
        if let Some(held) = self.sources.get_mut(&source) {
            held.retain(|it| *it != handshake);
            if held.is_empty() {
                self.sources.remove(&source);
            }
        }
    }

    /// The number of unfinished handshakes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether there is no unfinished handshake.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// The source with the most handshakes; of several such sources, the one with the oldest handshake.
    fn largest_source(&self) -> Option<Source> {
        let rank = |held: &Vec<HandshakeId>| {
            let oldest = held.first().map_or(0, |handshake| handshake.0);
            (held.len(), u64::MAX - oldest)
        };
        let largest = self.sources.iter().max_by_key(|(_, held)| rank(held));
        largest.map(|(source, _)| *source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn from(ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), 1)
    }

    fn numbered(number: usize) -> SocketAddr {
        from(&format!("10.1.{}.{}", number / 256, number % 256))
    }

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
    fn a_source_above_its_bound_loses_its_oldest_handshake() {
        let mut handshakes = PendingHandshakes::new(10, 2);
        let begun: Vec<_> = (0..4).map(|_| handshakes.begin(from("10.0.0.1"))).collect();
        let evicted: Vec<_> = begun.iter().map(|(_, evicted)| *evicted).collect();
        assert_eq!(evicted, [None, None, Some(begun[0].0), Some(begun[1].0)]);
        assert_eq!(handshakes.len(), 2);
        // Ending an evicted handshake has no effect.
        for (handshake, _) in begun {
            handshakes.end(handshake);
        }
        assert!(handshakes.is_empty() && handshakes.sources.is_empty());
    }

    #[test]
    fn at_the_total_bound_the_source_with_the_most_handshakes_loses_its_oldest() {
        let mut handshakes = PendingHandshakes::new(4, 3);
        handshakes.begin(from("10.0.0.9"));
        let (oldest, _) = handshakes.begin(from("10.0.0.1"));
        handshakes.begin(from("10.0.0.1"));
        handshakes.begin(from("10.0.0.1"));
        assert_eq!(handshakes.begin(from("10.0.0.2")).1, Some(oldest));
        assert_eq!(handshakes.len(), 4);
    }

    #[test]
    fn an_ipv6_network_is_one_source_and_so_is_a_mapped_address() {
        let of = |ip: &str| Source::of(from(ip));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }

    proptest! {
        #[test]
        fn the_bounds_hold_and_the_newest_handshake_is_admitted(
            steps in prop::collection::vec((0_usize..5, any::<bool>()), 1..200)
        ) {
            let mut handshakes = PendingHandshakes::new(6, 3);
            for (source, ends) in steps {
                let (handshake, evicted) = handshakes.begin(numbered(source));
                prop_assert!(evicted.is_none_or(|evicted| evicted < handshake));
                prop_assert!(handshakes.pending.contains_key(&handshake));
                prop_assert!(handshakes.len() <= 6);
                prop_assert!(handshakes.sources.values().all(|held| held.len() <= 3));
                let counted: usize = handshakes.sources.values().map(Vec::len).sum();
                prop_assert_eq!(counted, handshakes.len());
                if ends {
                    handshakes.end(handshake);
                }
            }
        }
    }
}
