//! The notices of a node. Events that others can cause without bound are limited, for each kind and source, before they
//! displace others. Core decides which are published.

use crate::driver::TimeOrigin;
use crate::link::{Notice, TransportEvent};
use phalanx_core::reports::{ReportLimits, ReportRates};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast;

/// Number of notices kept for a slow subscriber; it loses older ones.
const NOTICES: usize = 4096;

/// The notices of one node. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Notices {
    sender: broadcast::Sender<Notice>,
    clock: TimeOrigin,
    limits: Arc<Mutex<ReportLimits>>,
}

impl Notices {
    pub(crate) fn new() -> Self {
        Self {
            sender: broadcast::channel(NOTICES).0,
            clock: TimeOrigin::begin(),
            limits: Arc::new(Mutex::new(ReportLimits::new(ReportRates::EVENTS))),
        }
    }

    /// Subscribes to the notices that follow.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Notice> {
        self.sender.subscribe()
    }

    /// Publishes a notice to the subscribers, if there are any and the limits allow it. The counts of earlier notices
    /// that were suppressed are published first.
    pub(crate) fn publish(&self, notice: Notice) {
        let (kind, source) = (notice.report_kind(), notice.source());
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let due = limits.due(now);
        let admitted = !notice.is_limited() || limits.admit(now, kind, &source);
        drop(limits);
        for summary in due {
            self.send(Notice::Transport(TransportEvent::Suppressed { summary }));
        }
        if admitted {
            self.send(notice);
        }
    }

    fn send(&self, notice: Notice) {
        // An error means that nothing listens.
        let _nobody = self.sender.send(notice).is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_published_in_part_and_its_count_with_a_later_notice() {
        let notices = Notices::new();
        let mut heard = notices.subscribe();
        let denied = |host: u8| {
            Notice::Transport(TransportEvent::LinkDenied {
                remote: ([10, 0, 0, host], 1).into(),
                reason: "planted".to_owned(),
            })
        };
        (0..1_000).for_each(|_| notices.publish(denied(1)));
        notices.publish(denied(2));
        let burst = ReportRates::EVENTS.source.burst;
        for _ in 0..burst {
            assert_eq!(heard.recv().await, Ok(denied(1)));
        }
        assert_eq!(heard.recv().await, Ok(denied(2)), "another source");
        time::advance(ReportRates::EVENTS.window_max).await;
        notices.publish(Notice::RoutesChanged);
        let counted = heard.recv().await;
        assert!(
            matches!(
                &counted,
                Ok(Notice::Transport(TransportEvent::Suppressed { summary }))
                    if summary.count == 1_000 - u64::from(burst)
            ),
            "{counted:?}"
        );
        assert_eq!(heard.recv().await, Ok(Notice::RoutesChanged));
    }
}
