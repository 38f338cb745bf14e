//! Random latencies, computed in integer arithmetic only, so that every machine gets the same numbers.

use crate::model::clock::ns;
use crate::scenario::Latency;
use phalanx_core::random::Random;

/// The natural logarithm of 2, with 32 fractional bits.
const LN_2: u64 = 2_977_044_472;
/// The 99th percentile of the standard normal distribution, with 32 fractional bits.
const P99: u64 = 9_991_596_412;
/// Number of fractional bits of [`ROOTS`].
const PLACES: u32 = 62;
/// 2 to the power of 1/2, 1/4, 1/8, ...
const ROOTS: [u128; 32] = {
    let mut roots = [0; 32];
    let (mut root, mut at) = (2_u128 << PLACES, 0);
    while at < roots.len() {
        root = (root << PLACES).isqrt();
        roots[at] = root;
        at += 1;
    }
    roots
};

/// Draws a one-way latency, in nanoseconds.
pub(super) fn draw(latency: Latency, random: &mut Random) -> u64 {
    match latency {
        Latency::Constant(time) => ns(time),
        Latency::Uniform(least, most) => {
            let (least, most) = (ns(least), ns(most));
            least + random.below(most - least + 1)
        }
        Latency::Exponential { least, mean } => {
            // Inverse transform sampling: the mean times the negative logarithm of a uniform number in (0, 1).
            let bits = (64 << 32) - log2(random.next_u64().max(1));
            let nepers = (u128::from(bits) * u128::from(LN_2)) >> 32;
            let more = (u128::from(ns(mean)) * nepers) >> 32;
            ns(least).saturating_add(u64::try_from(more).unwrap_or(u64::MAX))
        }
        Latency::LogNormal { median, p99 } => {
            let (median, p99) = (ns(median).max(1), ns(p99).max(1));
            let spread = i128::from(log2(p99.max(median)) - log2(median));
            let bits = normal(random) * spread / i128::from(P99);
            exp2(i128::from(log2(median)) + bits)
        }
    }
}

/// Draws a standard normal number with 32 fractional bits, as the sum of twelve uniform ones. Its absolute value is at
/// most six.
fn normal(random: &mut Random) -> i128 {
    let sum: i128 = (0..12).map(|_| i128::from(random.next_u64() >> 32)).sum();
    sum - (6 << 32)
}

/// Returns the binary logarithm of a number above 0, with 32 fractional bits.
fn log2(number: u64) -> u64 {
    let zeros = number.leading_zeros();
    let mut log = u64::from(63 - zeros) << 32;
    let mut rest = u128::from(number << zeros);
    for place in (0..32).rev() {
        rest = (rest * rest) >> 63;
        if rest >> 64 > 0 {
            rest >>= 1;
            log |= 1 << place;
        }
    }
    log
}

/// Returns 2 to the power of a number with 32 fractional bits; at most one hour in nanoseconds.
fn exp2(power: i128) -> u64 {
    const HOUR: u64 = 3_600_000_000_000;
    let Ok(power) = u64::try_from(power) else {
        return 1;
    };
    let whole = (power >> 32) as u32;
    if whole > 41 {
        return HOUR;
    }
    let mut result: u128 = 1 << PLACES;
    for (place, root) in (0..32).rev().zip(ROOTS) {
        if power >> place & 1 == 1 {
            result = (result * root) >> PLACES;
        }
    }
    u64::try_from(result << whole >> PLACES).map_or(HOUR, |found| found.min(HOUR))
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    fn drawn(latency: Latency) -> Vec<u64> {
        let mut random = Random::from_seed(1);
        let mut drawn: Vec<u64> = (0..10_000).map(|_| draw(latency, &mut random)).collect();
        drawn.sort_unstable();
        drawn
    }

    #[test]
    fn a_seed_means_the_same_latency_for_ever() {
        let mut random = Random::from_seed(42);
        let latency = |text: &str| crate::scenario::text::latency(text).unwrap();
        let mut next = |text| draw(latency(text), &mut random);
        assert_eq!(
            [
                next("1ms..5ms"),
                next("exponential 5ms from 1ms"),
                next("log-normal 5ms p99 80ms")
            ],
            [2_445_885, 1_634_034, 4_096_271]
        );
    }

    #[test]
    fn exponential_latency_has_its_mean_above_its_least() {
        let (least, mean) = (Duration::from_millis(1), Duration::from_millis(5));
        let drawn = drawn(Latency::Exponential { least, mean });
        let found = drawn.iter().sum::<u64>() / drawn.len() as u64;
        assert!(
            drawn[0] >= 1_000_000 && (5_800_000..6_200_000).contains(&found),
            "{found}"
        );
    }

    #[test]
    fn log_normal_latency_has_its_median_and_its_99th_percentile() {
        let (median, p99) = (Duration::from_millis(5), Duration::from_millis(80));
        let drawn = drawn(Latency::LogNormal { median, p99 });
        let (half, late) = (drawn[5_000], drawn[9_900]);
        assert!((4_800_000..5_200_000).contains(&half), "{half}");
        assert!((70_000_000..90_000_000).contains(&late), "{late}");
    }
}
