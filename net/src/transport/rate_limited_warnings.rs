//! Rate-limited warnings about connections without a certificate. Core decides which are published.

use crate::driver::TimeOrigin;
use crate::link::TransportEvent;
use phalanx_core::unauthenticated::ReportLimit;

/// A limiter of events about unauthenticated connections.
#[derive(Debug)]
pub(crate) struct RateLimitedWarnings {
    clock: TimeOrigin,
    limit: ReportLimit,
}

impl RateLimitedWarnings {
    pub(crate) fn new() -> Self {
        let clock = TimeOrigin::begin();
        Self {
            limit: ReportLimit::new(clock.now()),
            clock,
        }
    }

    /// The events to publish after one more event: the number of events suppressed before, and the event, as far as the
    /// limit allows.
    pub(crate) fn admit(&mut self, event: TransportEvent) -> [Option<TransportEvent>; 2] {
        let admitted = self.limit.admit(self.clock.now());
        let count = admitted.suppressed_before;
        let before = (count > 0).then_some(TransportEvent::MoreTurnedAway { count });
        [before, admitted.published.then_some(event)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_core::unauthenticated::{REPORTS_MAX, WINDOW};
    use tokio::time;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_published_in_part_and_its_count_in_the_next_window() {
        let event = || TransportEvent::AcceptFailed {
            reason: "planted".to_owned(),
        };
        let mut warnings = RateLimitedWarnings::new();
        let reported: Vec<TransportEvent> = (0..1_000)
            .flat_map(|_| warnings.admit(event()))
            .flatten()
            .collect();
        assert_eq!(reported, vec![event(); REPORTS_MAX as usize]);
        time::advance(WINDOW).await;
        let count = 1_000 - u64::from(REPORTS_MAX);
        assert_eq!(
            warnings.admit(event()),
            [
                Some(TransportEvent::MoreTurnedAway { count }),
                Some(event())
            ]
        );
    }
}
