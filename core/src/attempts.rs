//! Connection attempts of a client to the addresses of one name (RFC 8305, Happy Eyeballs). A node's own dials are not
//! covered; the node's machine decides these.
//!
//! Addresses are tried in the order of [`dial_order`]. The next address is tried when an attempt failed, or when no
//! attempt completed for [`MOMENT_MAX`] or less; the first established connection is used. An address that drops
//! packets delays the client by at most [`MOMENT_MAX`]. If every attempt fails, the client reports a refusal if any
//! attempt was refused, because a refusal shows that the host is reachable; otherwise the client reports the last
//! failure.
//!
//! Bounds: [`ADDRESSES_MAX`] addresses, all of which are tried within [`SPREAD`].

use crate::link::{DialError, dial_order};
use crate::time::Duration;
use core::net::SocketAddr;
use std::collections::VecDeque;

/// Maximum number of addresses of one name that are tried.
pub const ADDRESSES_MAX: usize = 10;
/// Maximum time to wait for an attempt before the next address is tried in parallel.
pub const MOMENT_MAX: Duration = Duration::from_millis(250);
/// Time within which an attempt to every address begins, so that connecting takes little longer than this.
pub const SPREAD: Duration = Duration::from_secs(1);

/// The next action of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextAttempt {
    /// Begin an attempt. The client takes the next turn when an attempt failed, or after [`Attempts::patience`].
    Connect(SocketAddr),
    /// Wait until an attempt completes. The client takes the next turn when the attempt failed.
    Wait,
    /// Every attempt failed.
    Fail(DialError),
}

/// The attempts to connect to the addresses of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempts {
    left: VecDeque<SocketAddr>,
    moment: Duration,
    in_progress: usize,
    failure: Option<DialError>,
}

impl Attempts {
    /// Creates the attempts to connect to these addresses of a name.
    pub fn new(found: impl IntoIterator<Item = SocketAddr>) -> Self {
        let left: VecDeque<SocketAddr> = dial_order(found, ADDRESSES_MAX).into();
        let count = u32::try_from(left.len()).unwrap_or(u32::MAX).max(1);
        Self {
            left,
            moment: MOMENT_MAX.min(SPREAD / count),
            in_progress: 0,
            failure: None,
        }
    }

    /// Takes a turn, because an attempt failed, an attempt took too long, or the client begins.
    pub fn take_turn(&mut self) -> NextAttempt {
        if let Some(address) = self.left.pop_front() {
            self.in_progress += 1;
            return NextAttempt::Connect(address);
        }
        if self.in_progress > 0 {
            return NextAttempt::Wait;
        }
        NextAttempt::Fail(self.failure.clone().unwrap_or(DialError::Unreachable))
    }

    /// Maximum time to wait for an attempt; none if no address is left to try.
    #[must_use]
    pub fn patience(&self) -> Option<Duration> {
        (!self.left.is_empty()).then_some(self.moment)
    }

    /// An attempt failed.
    pub fn on_failed(&mut self, error: DialError) {
        self.in_progress = self.in_progress.saturating_sub(1);
        if self.failure != Some(DialError::Refused) {
            self.failure = Some(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(host: u8) -> SocketAddr {
        ([10, 0, 0, host], 7_000).into()
    }

    fn v6(host: u16) -> SocketAddr {
        ([0xfd00, 0, 0, 0, 0, 0, 0, host], 7_000).into()
    }

    #[test]
    fn addresses_are_tried_in_the_order_of_dials_each_after_a_moment() {
        let mut attempts = Attempts::new([v6(1), v6(2), v4(1)]);
        for address in [v6(1), v4(1), v6(2)] {
            assert_eq!(attempts.patience(), Some(MOMENT_MAX));
            assert_eq!(attempts.take_turn(), NextAttempt::Connect(address));
        }
        assert_eq!(attempts.patience(), None);
        assert_eq!(attempts.take_turn(), NextAttempt::Wait);
    }

    #[test]
    fn many_addresses_are_all_tried_within_the_spread() {
        let mut attempts = Attempts::new((1..=99).map(v4));
        let mut waited = Duration::ZERO;
        let mut tried = 0;
        while let NextAttempt::Connect(_) = attempts.take_turn() {
            tried += 1;
            waited += attempts.patience().unwrap_or_default();
        }
        assert_eq!(tried, ADDRESSES_MAX);
        assert!(waited < SPREAD, "{waited:?}");
    }

    #[test]
    fn the_client_fails_after_the_last_attempt_and_reports_a_refusal_rather_than_another_failure() {
        let failures = [
            (
                [DialError::Refused, DialError::Unreachable],
                DialError::Refused,
            ),
            (
                [DialError::TimedOut, DialError::Refused],
                DialError::Refused,
            ),
            (
                [DialError::Unreachable, DialError::TimedOut],
                DialError::TimedOut,
            ),
        ];
        for (each, reported) in failures {
            let mut attempts = Attempts::new([v4(1), v4(2)]);
            attempts.take_turn();
            attempts.take_turn();
            let [first, last] = each;
            attempts.on_failed(first);
            assert_eq!(attempts.take_turn(), NextAttempt::Wait);
            attempts.on_failed(last);
            assert_eq!(attempts.take_turn(), NextAttempt::Fail(reported));
        }
        let none = Attempts::new([]).take_turn();
        assert_eq!(none, NextAttempt::Fail(DialError::Unreachable));
    }
}
