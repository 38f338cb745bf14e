//! The dials in progress, each of which the machine may cancel.

use phalanx_core::link::DialId;
use std::collections::BTreeMap;
use tokio::sync::oneshot;

/// The dials in progress. Dropping the struct cancels them all.
#[derive(Debug, Default)]
pub(crate) struct DialsInProgress {
    dials: BTreeMap<DialId, oneshot::Sender<()>>,
}

impl DialsInProgress {
    /// Begins a dial. Returns the receiver that completes when the dial is cancelled, and which the dial drops at its
    /// end.
    pub(crate) fn begin(&mut self, dial: DialId) -> oneshot::Receiver<()> {
        self.dials.retain(|_, dial| !dial.is_closed());
        let (cancel, cancelled) = oneshot::channel();
        self.dials.insert(dial, cancel);
        cancelled
    }

    /// Cancels a dial, if it is in progress.
    pub(crate) fn cancel(&mut self, dial: DialId) {
        drop(self.dials.remove(&dial));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_dial_ends_and_an_ended_dial_is_forgotten() {
        let mut dials = DialsInProgress::default();
        let mut cancelled = dials.begin(DialId(1));
        let ended = dials.begin(DialId(2));
        assert!(cancelled.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        dials.cancel(DialId(1));
        assert!(cancelled.try_recv() == Err(oneshot::error::TryRecvError::Closed));
        drop(ended);
        let _third = dials.begin(DialId(3));
        assert_eq!(dials.dials.keys().collect::<Vec<_>>(), [&DialId(3)]);
        dials.cancel(DialId(2));
    }
}
