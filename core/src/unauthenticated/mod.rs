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
//!   sooner or later;
//! - a handshake has more time while few handshakes are unfinished, because a peer may be far away (`patience`).
//!
//! A [`PortGate`] admits connections to their handshake. The caller accepts connections, closes those whose handshakes
//! are evicted, and limits its [reports](crate::reports). Bounds: [`SOURCES_MAX`] rates, and the two maximum numbers of
//! handshakes that the caller sets.

mod gate;
mod patience;
mod rates;

pub use gate::{AcceptFailure, Excess, PortGate};
pub use patience::patience;
pub use rates::{SOURCES_MAX, SourceRates};

use core::net::SocketAddr;
use rates::ConnectionSource;
use std::collections::BTreeMap;

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
    pending: BTreeMap<HandshakeId, ConnectionSource>,
    /// The handshakes of each source, oldest first.
    sources: BTreeMap<ConnectionSource, Vec<HandshakeId>>,
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
        let source = ConnectionSource::of(remote);
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
    fn largest_source(&self) -> Option<ConnectionSource> {
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

    /// An address of a source.
    pub(super) fn from(ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), 1)
    }

    /// An address of one of many sources.
    pub(super) fn numbered(number: usize) -> SocketAddr {
        from(&format!("10.1.{}.{}", number / 256, number % 256))
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
