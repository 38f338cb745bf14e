//! The time that an unfinished handshake may take.
//!
//! A peer that is far away, or whose segments are lost, needs several seconds. While places are not scarce, a longer
//! time costs no other peer its place.

use crate::time::Duration;

/// The factor by which a handshake may take longer while places are not scarce.
const ROOMY_FACTOR: u32 = 3;
/// Places are not scarce below this share of the maximum number of handshakes: one in this number.
const ROOMY_SHARE: usize = 4;

/// The maximum duration of a handshake that begins while `unfinished` of at most `count_max` handshakes are unfinished.
/// `least` is the maximum duration while places are scarce.
#[must_use]
pub fn patience(least: Duration, unfinished: usize, count_max: usize) -> Duration {
    if unfinished < count_max / ROOMY_SHARE {
        least.saturating_mul(ROOMY_FACTOR)
    } else {
        least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes_have_more_time_while_places_are_not_scarce() {
        let least = Duration::from_secs(5);
        let after = |unfinished| patience(least, unfinished, 256).as_secs();
        assert_eq!([0, 63, 64, 256, 300].map(after), [15, 15, 5, 5, 5]);
        assert_eq!(patience(least, 0, 1), least);
    }
}
