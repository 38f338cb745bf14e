//! The time at which a connection must end because one of its two certificates expires.
//!
//! Certificates are verified in the handshake, and a connection may live for months after it. A link closes in an
//! orderly way shortly before the first of its two certificates expires; any other connection ends when the certificate
//! expires.

use super::intervals::READ_INTERVAL;
use super::validity::Validity;
use crate::link::{CloseReason, LocalClose};
use crate::time::{Duration, Wall};

/// Time before a certificate's expiry at which a link closes, so that the link can drain.
const MARGIN_SECONDS: u64 = 2;
/// A reading of the calendar lags by less than this number of seconds, because [`Wall`] counts whole seconds.
const READING_SECONDS: u64 = 1;
/// Maximum difference between two machines' clocks at which both still name expiry as the cause of an end.
const SKEW_SECONDS: u64 = 5;

/// The expiry of that one of a connection's two certificates which expires first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    not_after: Wall,
    /// The time from which that certificate should have been renewed, so that a new connection is useful.
    renewable: Wall,
}

impl Expiry {
    /// The expiry of a connection whose two certificates are valid in these periods.
    #[must_use]
    pub const fn first_of(one: Validity, other: Validity) -> Self {
        let first = if one.not_after.0 <= other.not_after.0 {
            one
        } else {
            other
        };
        Self {
            not_after: first.not_after,
            // A certificate is renewed when a third of its life is left. Half of this third is left for retries.
            renewable: Wall(first.not_after.0.saturating_sub(first.seconds() / 6)),
        }
    }

    /// The last second in which both certificates are valid.
    #[must_use]
    pub const fn not_after(self) -> Wall {
        self.not_after
    }

    /// The time at which a link closes.
    #[must_use]
    pub const fn closes_at(self) -> Wall {
        let before = MARGIN_SECONDS + READING_SECONDS;
        Wall(self.not_after.0.saturating_sub(before))
    }

    /// Whether it is too late to open a link, because the link would close at once.
    pub(super) const fn is_near(self, now: Wall) -> bool {
        now.0 >= self.closes_at().0
    }

    /// Whether a certificate has expired.
    const fn is_over(self, now: Wall) -> bool {
        now.0 > self.not_after.0
    }

    /// Whether a dialler may open a link on the connection. A link that would close at once is not opened, because it
    /// would be dialled again at once. If a certificate has expired, the dialler proceeds, because the acceptor's
    /// rejection names the cause.
    #[must_use]
    pub const fn admits_dialing(self, now: Wall) -> bool {
        !self.is_near(now) || self.is_over(now)
    }

    /// Whether an acceptor admits a link on the connection; false if the link would close at once.
    #[must_use]
    pub const fn admits_accepting(self, now: Wall) -> bool {
        !self.is_near(now)
    }

    /// The reason why a link ended, given the apparent reason. The peer may have closed the link because of this
    /// expiry, according to a clock that is ahead.
    #[must_use]
    pub const fn cause_of_end(self, now: Wall, apparent: CloseReason) -> CloseReason {
        if now.0.saturating_add(SKEW_SECONDS) >= self.closes_at().0 {
            CloseReason::Local(LocalClose::Expired)
        } else {
            apparent
        }
    }

    /// The time after which the calendar is read again to decide whether the connection ends, at most
    /// [`READ_INTERVAL`]; none if a certificate has expired and the connection ends.
    #[must_use]
    pub fn until_end(self, now: Wall) -> Option<Duration> {
        if self.is_over(now) {
            return None;
        }
        let left = Duration::from_secs((self.not_after.0 - now.0).saturating_add(1));
        Some(left.min(READ_INTERVAL))
    }

    /// The time of the next attempt to replace a link: when there may be a new certificate, and then after half of the
    /// remaining time at each attempt. None when too little time remains. A certificate's life may be so short that its
    /// link closes before there may be a new certificate. In that case, half of the remaining time is waited from the
    /// start.
    #[must_use]
    pub const fn next_attempt(self, now: Wall) -> Option<Wall> {
        let last = self.not_after.0.saturating_sub(2 * MARGIN_SECONDS);
        let left = last.saturating_sub(now.0);
        if left <= MARGIN_SECONDS {
            None
        } else if now.0 < self.renewable.0 && self.renewable.0 <= last {
            Some(self.renewable)
        } else {
            Some(Wall(now.0 + left / 2))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn validity(not_before: u64, not_after: u64) -> Validity {
        Validity {
            not_before: Wall(not_before),
            not_after: Wall(not_after),
        }
    }

    fn expiry(not_before: u64, not_after: u64) -> Expiry {
        Expiry::first_of(
            validity(not_before, not_after),
            validity(not_before, 1 << 40),
        )
    }

    #[test]
    fn a_replacement_is_attempted_late_in_a_certificates_life_and_ever_more_often() {
        let expiry = expiry(0, 6_000);
        let next = |now| expiry.next_attempt(Wall(now)).map(|at| at.0 - now);
        assert_eq!(next(0), Some(5_000));
        assert_eq!(next(5_400), Some(298));
        assert_eq!(next(5_900), Some(48));
        assert_eq!(next(5_993), Some(1));
        assert_eq!(next(5_994), None);
    }

    #[test]
    fn a_certificate_of_seconds_is_replaced_before_its_link_closes() {
        // A new certificate may exist one second before the expiry, but the link closes three seconds before it.
        let expiry = expiry(0, 7);
        assert_eq!(expiry.closes_at(), Wall(4));
        assert_eq!(expiry.next_attempt(Wall(0)), Some(Wall(1)));
        assert_eq!(expiry.next_attempt(Wall(1)), None);
    }

    #[test]
    fn the_first_of_two_certificates_counts_and_is_near_before_it_is_over() {
        let (far, farther) = (validity(0, 1_000), validity(0, 2_000));
        let first = Expiry::first_of(far, farther);
        assert_eq!(first, Expiry::first_of(farther, far));
        assert_eq!(first.not_after(), Wall(1_000));
        let judged = |now: u64| {
            let now = Wall(now);
            let expired = CloseReason::Local(LocalClose::Expired);
            [
                first.cause_of_end(now, CloseReason::Fin) == expired,
                first.admits_accepting(now),
                first.admits_dialing(now),
            ]
        };
        assert_eq!(judged(991), [false, true, true]);
        assert_eq!(judged(992), [true, true, true]);
        assert_eq!(judged(996), [true, true, true]);
        assert_eq!(judged(997), [true, false, false]);
        assert_eq!(judged(1_000), [true, false, false]);
        // The dialler proceeds, and the acceptor names the cause.
        assert_eq!(judged(1_001), [true, false, true]);
        let apparent = first.cause_of_end(Wall(991), CloseReason::Reset);
        assert_eq!(apparent, CloseReason::Reset);
    }

    #[test]
    fn a_connection_ends_after_the_last_second_of_a_certificate_whatever_the_calendar_does() {
        let expiry = expiry(0, 1_000);
        let wait = |now| expiry.until_end(Wall(now)).map(|wait| wait.as_secs());
        assert_eq!(wait(0), Some(READ_INTERVAL.as_secs()));
        assert_eq!(wait(995), Some(6));
        assert_eq!(wait(1_000), Some(1));
        assert_eq!(wait(1_001), None);
        // If the calendar is set back, the connection regains the time.
        assert_eq!(wait(999), Some(2));
    }

    proptest! {
        #[test]
        fn an_attempt_comes_later_than_now_and_before_the_link_closes(
            not_before in 0..100_000_u64, life in prop_oneof![0..100_u64, 0..100_000_u64],
            ago in prop_oneof![0..100_u64, 0..100_000_u64],
        ) {
            let now = (not_before + life).saturating_sub(ago);
            let expiry = expiry(not_before, not_before + life);
            if let Some(at) = expiry.next_attempt(Wall(now)) {
                prop_assert!(at > Wall(now));
                prop_assert!(at < expiry.closes_at());
            }
        }
    }
}
