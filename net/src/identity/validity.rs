//! The time in which a certificate is valid.

use phalanx_core::time::Wall;

/// A clock that lags by this much still accepts a new certificate.
const BACKDATED_SECONDS: u64 = 300;

/// The time in which a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: Wall,
    /// The last second.
    pub not_after: Wall,
}

impl Validity {
    /// From five minutes before `now`, for clocks that lag, to `days` days after it.
    #[must_use]
    pub const fn days(now: Wall, days: u64) -> Self {
        Self {
            not_before: Wall(now.0.saturating_sub(BACKDATED_SECONDS)),
            not_after: Wall(now.0.saturating_add(days.saturating_mul(86_400))),
        }
    }

    /// The instant at which this number of thirds has passed.
    #[must_use]
    pub(super) const fn at_thirds(self, thirds: u64) -> Wall {
        let third = self.not_after.0.saturating_sub(self.not_before.0) / 3;
        Wall(
            self.not_before
                .0
                .saturating_add(third.saturating_mul(thirds)),
        )
    }
}
