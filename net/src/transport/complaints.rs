//! Rate-limits events about unauthenticated peers: reports some of each burst, and the number of
//! the others.
//!
//! A peer without a certificate must not fill the log, nor push the events of members out of the
//! events kept for watchers.

use crate::link::Event;
use std::time::Duration;
use tokio::time;

/// Maximum number of events reported within one [`WINDOW`].
const TOLD_MAX: u32 = 20;
/// Length of the window; see [`TOLD_MAX`].
const WINDOW: Duration = Duration::from_secs(1);

/// The rate limiter of events about unauthenticated peers.
#[derive(Debug)]
pub(crate) struct Complaints {
    since: time::Instant,
    told: u32,
    untold: u64,
}

impl Complaints {
    pub(crate) fn new() -> Self {
        Self {
            since: time::Instant::now(),
            told: 0,
            untold: 0,
        }
    }

    /// Returns the events to report: the number of events suppressed earlier, if a new window
    /// begins, and the given event, unless it is suppressed.
    pub(crate) fn take(&mut self, event: Event) -> [Option<Event>; 2] {
        let now = time::Instant::now();
        let mut before = None;
        if now.saturating_duration_since(self.since) >= WINDOW {
            let count = std::mem::take(&mut self.untold);
            before = (count > 0).then_some(Event::MoreTurnedAway { count });
            self.since = now;
            self.told = 0;
        }
        if self.told >= TOLD_MAX {
            self.untold += 1;
            return [before, None];
        }
        self.told += 1;
        [before, Some(event)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_reported_in_part_and_the_rest_is_counted() {
        let complaint = || Event::AcceptFailed {
            reason: "planted".to_owned(),
        };
        let mut complaints = Complaints::new();
        let told: Vec<Event> = (0..1_000)
            .flat_map(|_| complaints.take(complaint()))
            .flatten()
            .collect();
        assert_eq!(told, vec![complaint(); TOLD_MAX as usize]);
        time::advance(WINDOW).await;
        let count = 1_000 - u64::from(TOLD_MAX);
        assert_eq!(
            complaints.take(complaint()),
            [Some(Event::MoreTurnedAway { count }), Some(complaint())]
        );
        time::advance(WINDOW).await;
        assert_eq!(complaints.take(complaint()), [None, Some(complaint())]);
    }
}
