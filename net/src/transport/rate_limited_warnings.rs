//! Rate-limited warnings about connections without a certificate: some events of each window, and a count of the others.
//!
//! Unauthenticated connections must not fill the log, nor push events about members out of those kept for watchers.

use crate::link::TransportEvent;
use std::time::Duration;
use tokio::time;

/// Events reported within one [`WINDOW`].
const REPORTED_MAX: u32 = 20;
/// The window in which events are counted.
const WINDOW: Duration = Duration::from_secs(1);

/// A limiter of events about unauthenticated connections.
#[derive(Debug)]
pub(crate) struct RateLimitedWarnings {
    since: time::Instant,
    reported: u32,
    suppressed: u64,
}

impl RateLimitedWarnings {
    pub(crate) fn new() -> Self {
        Self {
            since: time::Instant::now(),
            reported: 0,
            suppressed: 0,
        }
    }

    /// The events to report after one more event: the number of events suppressed before, if a new window begins, and
    /// the event, unless it is suppressed itself.
    pub(crate) fn admit(&mut self, event: TransportEvent) -> [Option<TransportEvent>; 2] {
        let now = time::Instant::now();
        let mut before = None;
        if now.saturating_duration_since(self.since) >= WINDOW {
            let count = std::mem::take(&mut self.suppressed);
            before = (count > 0).then_some(TransportEvent::MoreTurnedAway { count });
            self.since = now;
            self.reported = 0;
        }
        if self.reported >= REPORTED_MAX {
            self.suppressed += 1;
            return [before, None];
        }
        self.reported += 1;
        [before, Some(event)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_reported_in_part_and_then_counted() {
        let event = || TransportEvent::AcceptFailed {
            reason: "planted".to_owned(),
        };
        let mut warnings = RateLimitedWarnings::new();
        let reported: Vec<TransportEvent> = (0..1_000)
            .flat_map(|_| warnings.admit(event()))
            .flatten()
            .collect();
        assert_eq!(reported, vec![event(); REPORTED_MAX as usize]);
        time::advance(WINDOW).await;
        let count = 1_000 - u64::from(REPORTED_MAX);
        assert_eq!(
            warnings.admit(event()),
            [
                Some(TransportEvent::MoreTurnedAway { count }),
                Some(event())
            ]
        );
        time::advance(WINDOW).await;
        assert_eq!(warnings.admit(event()), [None, Some(event())]);
    }
}
