//! The estimate of the round trip to one peer: smoothed mean and variation, and the minimum of the latest samples.
//!
//! Mean, variation and timeout follow RFC 6298. A lost segment delays a sample by a retransmission timeout, so the
//! timeout never exceeds [`MINIMUM_FACTOR`] times the least of the latest [`WINDOW`] samples: loss on a fast link does
//! not look like a slow link. The least sample of a window is also the idea of BBR's minimum round trip.

use crate::time::Duration;

/// A round trip from which a peer counts as slow. Timeouts to other peers are the defaults.
pub(super) const SLOW_FROM: Duration = Duration::from_millis(250);
/// Maximum time by which a measured round trip extends a silence timeout or a grace period.
pub(crate) const ALLOWANCE_MAX: Duration = Duration::from_secs(3);
/// A retransmission timeout up to this time fits into the default silence timeout.
const ALLOWANCE_FROM: Duration = Duration::from_millis(500);
/// Number of retransmission timeouts that a silence timeout allows beyond [`ALLOWANCE_FROM`].
const ALLOWANCE_FACTOR: u32 = 2;
/// Maximum timeout of a dial that follows from a measured round trip.
pub(crate) const DIAL_TIMEOUT_MAX: Duration = Duration::from_secs(12);
/// Maximum sample; a higher sample counts as this one.
const SAMPLE_MAX: Duration = Duration::from_secs(10);
/// Number of latest samples whose minimum counts.
pub(super) const WINDOW: usize = 4;
/// Maximum ratio of the retransmission timeout to the least of the latest samples.
const MINIMUM_FACTOR: u32 = 4;
/// Number of samples without which no silence timeout is extended: the first sample may be late by a retransmission.
const SAMPLES_MIN: u32 = 2;

/// Round trips of a dial up to the answer to its handshake message: TCP, TLS 1.3, the stream, `Hello` and `Welcome`.
const ANSWER_ROUND_TRIPS: u32 = 4;
/// Number of retransmission timeouts that a dial timeout allows.
const DIAL_RETRANSMISSIONS: u32 = 2;

/// The estimate of the round trip to one peer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RoundTripEstimate {
    smoothed: Duration,
    variation: Duration,
    /// The latest samples, in no order.
    latest: [Duration; WINDOW],
    samples: u32,
}

impl RoundTripEstimate {
    /// The estimate after the first sample.
    pub(super) fn new(sample: Duration) -> Self {
        let sample = sample.min(SAMPLE_MAX);
        Self {
            smoothed: sample,
            variation: sample / 2,
            latest: [sample; WINDOW],
            samples: 1,
        }
    }

    /// Adds a sample (RFC 6298, section 2.3).
    pub(super) fn add(&mut self, sample: Duration) {
        let sample = sample.min(SAMPLE_MAX);
        let difference = self.smoothed.abs_diff(sample);
        self.variation = (self.variation * 3 + difference) / 4;
        self.smoothed = (self.smoothed * 7 + sample) / 8;
        self.latest[self.samples as usize % WINDOW] = sample;
        self.samples = self.samples.wrapping_add(1).max(SAMPLES_MIN);
    }

    /// Replaces a first sample that a measurement of the same peer undercuts.
    pub(super) fn undercut(self, other: Self) -> Self {
        if other.minimum() < self.minimum() {
            other
        } else {
            self
        }
    }

    pub(super) const fn smoothed(&self) -> Duration {
        self.smoothed
    }

    /// Whether [`WINDOW`] samples were measured.
    pub(super) const fn is_settled(&self) -> bool {
        self.samples as usize >= WINDOW
    }

    /// The least of the latest samples.
    fn minimum(&self) -> Duration {
        let latest = self.latest.iter();
        latest.min().copied().unwrap_or(self.smoothed)
    }

    /// Whether timeouts to the peer differ from the defaults.
    pub(super) fn is_slow(&self) -> bool {
        self.minimum() >= SLOW_FROM
    }

    /// The retransmission timeout.
    pub(super) fn timeout(&self) -> Duration {
        (self.smoothed + self.variation * 4).min(self.minimum() * MINIMUM_FACTOR)
    }

    /// The time by which the silence timeout of a link is extended, at most [`ALLOWANCE_MAX`]; zero for a peer that is
    /// not slow.
    pub(super) fn allowance(&self) -> Duration {
        if !self.is_slow() || self.samples < SAMPLES_MIN {
            return Duration::ZERO;
        }
        let beyond = self.timeout().saturating_sub(ALLOWANCE_FROM);
        (beyond * ALLOWANCE_FACTOR).min(ALLOWANCE_MAX)
    }

    /// The time that a dial needs up to the answer to its handshake message, with retransmissions; at most
    /// [`DIAL_TIMEOUT_MAX`].
    pub(super) fn dial_time(&self) -> Duration {
        let needed = self.smoothed * ANSWER_ROUND_TRIPS + self.timeout() * DIAL_RETRANSMISSIONS;
        needed.min(DIAL_TIMEOUT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn of(samples: impl IntoIterator<Item = u64>) -> RoundTripEstimate {
        let mut samples = samples.into_iter().map(ms);
        let mut estimate = RoundTripEstimate::new(samples.next().unwrap());
        samples.for_each(|sample| estimate.add(sample));
        estimate
    }

    #[test]
    fn the_estimate_converges_to_a_constant_round_trip() {
        let estimate = of([1_600; 40]);
        assert_eq!(estimate.smoothed(), ms(1_600));
        assert!(estimate.timeout() < ms(1_601));
        // Two retransmission timeouts beyond half a second.
        assert_eq!(estimate.allowance().as_millis(), 2_200);
        assert_eq!(estimate.dial_time().as_millis(), 9_600);
    }

    #[test]
    fn a_lost_segment_does_not_make_a_fast_link_slow() {
        // Two thirds of the samples are late by one to three retransmissions.
        let estimate = of([602, 2, 202, 1_402, 2, 602, 202, 1_402, 602]);
        assert!(!estimate.is_slow());
        assert_eq!(estimate.allowance(), Duration::ZERO);
    }

    #[test]
    fn one_sample_extends_no_silence_timeout() {
        assert!(of([1_600]).is_slow());
        assert_eq!(of([1_600]).allowance(), Duration::ZERO);
        assert_eq!(of([1_600, 1_600]).allowance(), ALLOWANCE_MAX);
    }

    #[test]
    fn a_spike_on_a_slow_link_ends_with_the_window_and_no_allowance_falls_below_the_one_before() {
        let before = of([1_000; 20]);
        let mut after = before;
        after.add(ms(4_000));
        for _ in 0..80 {
            assert!(after.allowance() + ms(20) >= before.allowance());
            after.add(ms(1_000));
        }
        assert!(after.allowance() <= before.allowance() + ms(10));
    }

    #[test]
    fn a_link_that_becomes_slow_is_slow_after_a_window_and_fast_again_at_once() {
        let mut estimate = of([2; 20]);
        for _ in 1..WINDOW {
            estimate.add(ms(1_600));
            assert!(!estimate.is_slow());
        }
        estimate.add(ms(1_600));
        assert!(estimate.is_slow());
        estimate.add(ms(2));
        assert!(!estimate.is_slow());
    }

    proptest! {
        #[test]
        fn every_timeout_is_bounded_whatever_the_samples(samples in vec(0_u64..100_000, 1..60)) {
            let estimate = of(samples.iter().copied());
            let least = samples.iter().rev().take(WINDOW).min().copied().unwrap();
            prop_assert!(estimate.allowance() <= ALLOWANCE_MAX);
            prop_assert!(estimate.dial_time() <= DIAL_TIMEOUT_MAX);
            prop_assert!(estimate.timeout() <= ms(least) * MINIMUM_FACTOR);
            prop_assert_eq!(estimate.is_slow(), ms(least) >= SLOW_FROM);
            if ms(least) < SLOW_FROM {
                prop_assert_eq!(estimate.allowance(), Duration::ZERO);
            }
        }

        #[test]
        fn a_constant_round_trip_after_any_samples_is_found(
            samples in vec(0_u64..10_000, 1..20),
            constant in 1_u64..9_000,
        ) {
            let estimate = of(samples.into_iter().chain([constant; 80]));
            let (smoothed, constant) = (estimate.smoothed(), ms(constant));
            prop_assert!(smoothed.abs_diff(constant) <= ms(2));
            prop_assert!(estimate.timeout() <= constant + ms(10));
        }
    }
}
