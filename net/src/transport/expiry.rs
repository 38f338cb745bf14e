//! When a connection must end because a certificate does.
//!
//! Certificates are judged in the handshake, and a connection may outlive that judgement by months. A link closes
//! shortly before the first of its two certificates ends, in order; any other connection ends with the certificate.

use crate::clock;
use crate::identity::{Validity, iso_8601};
use phalanx_core::time::Wall;
use std::fmt;
use std::time::Duration;
use tokio::time;

/// A link closes so long before a certificate ends: time enough to send what waits.
const MARGIN: Duration = Duration::from_secs(2);
/// Clocks of two machines that differ by less still name the same cause.
const SKEW: Duration = Duration::from_secs(5);
/// How often the calendar is looked at: it may be set meanwhile, and machines sleep.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The end of whichever of a connection's two certificates ends first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expiry {
    not_after: Wall,
    /// When both ends had time to renew that certificate, and a new connection is worth while.
    renewable: Wall,
}

impl Expiry {
    /// Of two certificates that are valid so long.
    pub(crate) fn first_of(one: Validity, other: Validity) -> Self {
        let first = if one.not_after <= other.not_after {
            one
        } else {
            other
        };
        let life = first.not_after.0.saturating_sub(first.not_before.0);
        Self {
            not_after: first.not_after,
            // Certificates are renewed when a third of their life is left; half of that is patience.
            renewable: Wall(first.not_after.0.saturating_sub(life / 6)),
        }
    }

    /// How long to wait before a new connection is tried: until there may be a new certificate, then half of what is
    /// left each time. None when too little is left.
    pub(crate) fn until_renewal(self) -> Option<Duration> {
        let now = clock::since_1970();
        let left = self
            .last_second()
            .saturating_sub(MARGIN * 2)
            .checked_sub(now)?;
        let early = Duration::from_secs(self.renewable.0).checked_sub(now);
        early.or(Some(left / 2)).filter(|_| left > MARGIN)
    }

    /// Since 1970.
    const fn last_second(self) -> Duration {
        Duration::from_secs(self.not_after.0)
    }

    /// Whether it comes too soon for a link to open.
    pub(crate) fn is_near(self) -> bool {
        clock::since_1970() + MARGIN >= self.last_second()
    }

    /// Whether it has come.
    pub(crate) fn is_over(self) -> bool {
        clock::wall() > self.not_after
    }

    /// Whether the other end of a link may have closed it for this.
    pub(crate) fn explains_an_end(self) -> bool {
        clock::since_1970() + MARGIN + SKEW >= self.last_second()
    }

    /// Waits until a link must close.
    pub(crate) async fn comes_near(self) {
        wait_until(self.last_second().saturating_sub(MARGIN)).await;
    }

    /// Waits until it has come.
    pub(crate) async fn comes(self) {
        wait_until(self.last_second() + Duration::from_secs(1)).await;
    }
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a certificate of the two ends at {}; issue a new one",
            iso_8601(self.not_after)
        )
    }
}

/// Waits until the calendar says so.
async fn wait_until(at: Duration) {
    loop {
        let left = at.saturating_sub(clock::since_1970());
        if left.is_zero() {
            return;
        }
        time::sleep(left.min(LOOK_EVERY)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate of 1970 that lasts so long from now on.
    fn lasting(seconds: u64) -> Validity {
        Validity {
            not_before: Wall(0),
            not_after: Wall(clock::wall().0 + seconds),
        }
    }

    #[test]
    fn a_new_connection_is_tried_late_in_a_certificates_life_and_ever_more_often() {
        let of = |since: u64, seconds: u64| {
            let now = clock::wall().0;
            let validity = Validity {
                not_before: Wall(now - since),
                not_after: Wall(now + seconds),
            };
            Expiry::first_of(validity, lasting(1 << 40)).until_renewal()
        };
        let near = |found: Option<Duration>, wanted: u64| {
            let found = found.unwrap();
            let wanted = Duration::from_secs(wanted);
            assert!(
                found <= wanted && found + Duration::from_secs(2) >= wanted,
                "{found:?}"
            );
        };
        near(of(0, 6_000), 5_000);
        near(of(5_400, 600), 298);
        near(of(5_900, 100), 48);
        assert_eq!(of(6_000, 5), None);
    }

    #[test]
    fn the_first_of_two_ends_counts_and_is_near_before_it_is_over() {
        let far = lasting(1_000);
        assert_eq!(
            Expiry::first_of(far, lasting(2_000)),
            Expiry::first_of(lasting(2_000), far)
        );
        let near = Expiry::first_of(far, lasting(1));
        assert!(near.is_near() && near.explains_an_end() && !near.is_over());
        let other = Expiry::first_of(far, far);
        assert!(!other.is_near() && !other.explains_an_end() && !other.is_over());
        let over = Expiry::first_of(
            far,
            Validity {
                not_before: Wall(0),
                not_after: Wall(1),
            },
        );
        assert!(over.is_near() && over.explains_an_end() && over.is_over());
    }

    #[tokio::test]
    async fn it_comes_near_before_it_comes() {
        let expiry = Expiry::first_of(lasting(3), lasting(1_000));
        expiry.comes_near().await;
        assert!(expiry.is_near() && !expiry.is_over());
        expiry.comes().await;
        assert!(expiry.is_over());
    }
}
