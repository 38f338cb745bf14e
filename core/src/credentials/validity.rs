//! The period in which a certificate is valid, and the time of its renewal.

use crate::time::Wall;

/// The number of seconds by which certificates are backdated, so that nodes whose clocks lag accept them.
const BACKDATED_SECONDS: u64 = 300;

/// Validity of a CA certificate, in days.
pub const CA_DAYS: u64 = 365;
/// Validity of a node's or administrator's certificate, in days.
pub const NODE_DAYS: u64 = 90;

/// The stage of a certificate's period of validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ValidityStage {
    /// Before the first second of the period: the issuer's clock was ahead, or this clock lags.
    NotYetValid,
    /// In the first two thirds of the period.
    Valid,
    /// In the last third of the period, in which a renewal is useful.
    Renewable,
    /// After the last second of the period.
    Expired,
}

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

    /// The stage at `now`.
    #[must_use]
    pub const fn stage(self, now: Wall) -> ValidityStage {
        if now.0 < self.not_before.0 {
            ValidityStage::NotYetValid
        } else if now.0 > self.not_after.0 {
            ValidityStage::Expired
        } else if now.0 >= self.renewable().0 {
            ValidityStage::Renewable
        } else {
            ValidityStage::Valid
        }
    }

    /// Whether a renewal is useful at `now`: two thirds of the period have passed, or the period has not begun because
    /// the issuer's clock was ahead.
    #[must_use]
    pub const fn is_renewable(self, now: Wall) -> bool {
        match self.stage(now) {
            ValidityStage::NotYetValid | ValidityStage::Renewable | ValidityStage::Expired => true,
            ValidityStage::Valid => false,
        }
    }

    /// Whether two thirds of the period have passed at `now`.
    #[must_use]
    pub const fn ends_soon(self, now: Wall) -> bool {
        match self.stage(now) {
            ValidityStage::Renewable | ValidityStage::Expired => true,
            ValidityStage::NotYetValid | ValidityStage::Valid => false,
        }
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
    fn the_first_and_the_last_second_belong_to_the_period() {
        use ValidityStage::{Expired, NotYetValid, Renewable, Valid};
        let validity = Validity {
            not_before: Wall(1_000),
            not_after: Wall(10_000),
        };
        let at = [999, 1_000, 6_999, 7_000, 10_000, 10_001];
        assert_eq!(
            at.map(|seconds| validity.stage(Wall(seconds))),
            [NotYetValid, Valid, Valid, Renewable, Renewable, Expired]
        );
        let ends_soon = at.map(|seconds| validity.ends_soon(Wall(seconds)));
        assert_eq!(ends_soon, [false, false, false, true, true, true]);
    }

    #[test]
    fn a_period_of_days_begins_five_minutes_ago() {
        let validity = Validity::days(Wall(86_400), 1);
        assert_eq!(validity.not_before, Wall(86_100));
        assert_eq!(validity.not_after, Wall(172_800));
    }
}
