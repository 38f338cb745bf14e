//! When a connection must end because a certificate does.
//!
//! Certificates are judged in the handshake, and a connection may outlive that judgement by months. A link closes
//! shortly before the first of its two certificates ends, in order; any other connection ends with the certificate.

use crate::clock;
use crate::identity::iso_8601;
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
}

impl Expiry {
    /// Of two certificates with these last seconds.
    pub(crate) fn first_of(one: Wall, other: Wall) -> Self {
        Self {
            not_after: one.min(other),
        }
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

    fn in_seconds(seconds: u64) -> Wall {
        Wall(clock::wall().0 + seconds)
    }

    #[test]
    fn the_first_of_two_ends_counts_and_is_near_before_it_is_over() {
        let far = in_seconds(1_000);
        assert_eq!(
            Expiry::first_of(far, in_seconds(2_000)),
            Expiry::first_of(in_seconds(2_000), far)
        );
        let near = Expiry::first_of(far, in_seconds(1));
        assert!(near.is_near() && near.explains_an_end() && !near.is_over());
        let other = Expiry::first_of(far, far);
        assert!(!other.is_near() && !other.explains_an_end() && !other.is_over());
        let over = Expiry::first_of(far, Wall(1));
        assert!(over.is_near() && over.explains_an_end() && over.is_over());
    }

    #[tokio::test]
    async fn it_comes_near_before_it_comes() {
        let expiry = Expiry::first_of(in_seconds(3), in_seconds(1_000));
        expiry.comes_near().await;
        assert!(expiry.is_near() && !expiry.is_over());
        expiry.comes().await;
        assert!(expiry.is_over());
    }
}
