//! The period in which a certificate is valid, and the time of its renewal.

use crate::time::Wall;

/// The number of seconds by which certificates are backdated, so that nodes whose clocks lag accept them.
const BACKDATED_SECONDS: u64 = 300;

/// The period in which a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second of the period.
    pub not_before: Wall,
    /// The last second of the period.
    pub not_after: Wall,
}

impl Validity {
    /// A period of `days` days from `now`, backdated by five minutes.
    #[must_use]
    pub const fn days(now: Wall, days: u64) -> Self {
        Self {
            not_before: Wall(now.0.saturating_sub(BACKDATED_SECONDS)),
            not_after: Wall(now.0.saturating_add(days.saturating_mul(86_400))),
        }
    }

    /// The length of the period, in seconds.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.not_after.0.saturating_sub(self.not_before.0)
    }

    /// The time from which a renewal is useful: two thirds of the period have passed.
    #[must_use]
    pub const fn renewable(self) -> Wall {
        let third = self.seconds() / 3;
        Wall(self.not_before.0.saturating_add(third.saturating_mul(2)))
    }

    /// Whether a renewal is useful at `now`: two thirds of the period have passed, or the period has not begun because
    /// the issuer's clock was ahead.
    #[must_use]
    pub const fn is_renewable(self, now: Wall) -> bool {
        now.0 >= self.renewable().0 || now.0 < self.not_before.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewable_in_the_last_third_of_its_life_and_before_its_first_second() {
        let validity = Validity {
            not_before: Wall(1_000),
            not_after: Wall(10_000),
        };
        assert_eq!(validity.renewable(), Wall(7_000));
        let at = |seconds| validity.is_renewable(Wall(seconds));
        assert_eq!([at(999), at(1_000), at(6_999)], [true, false, false]);
        assert_eq!([at(7_000), at(10_001)], [true, true]);
    }

    #[test]
    fn a_period_of_days_begins_five_minutes_ago() {
        let validity = Validity::days(Wall(86_400), 1);
        assert_eq!(validity.not_before, Wall(86_100));
        assert_eq!(validity.not_after, Wall(172_800));
    }
}
