//! The task that calls the overlay for one link, one call after the other.

use super::path_driver::{PathDriver, SharedPath};
use super::{Offer, Unprepared};
use bytes::Bytes;
use phalanx_core::data_path::{Control, Input};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::mpsc;

/// A call into the overlay.
#[derive(Debug)]
pub(super) enum OverlayCall {
    Prepare(Offer),
    Confirm,
    Deliver(Control),
    Stop,
}

/// Makes the calls that the machine orders for one link. The data path is stopped when the task ends, also when it is
/// aborted.
pub(crate) struct PathTask {
    paths: Arc<PathDriver>,
    shared: Arc<SharedPath>,
    calls: mpsc::UnboundedReceiver<OverlayCall>,
    stopped: bool,
}

impl PathTask {
    pub(super) const fn new(
        paths: Arc<PathDriver>,
        shared: Arc<SharedPath>,
        calls: mpsc::UnboundedReceiver<OverlayCall>,
    ) -> Self {
        Self {
            paths,
            shared,
            calls,
            stopped: false,
        }
    }

    /// Runs until the data path has stopped.
    pub(crate) async fn run(mut self) {
        while !self.stopped {
            let Some(call) = self.calls.recv().await else {
                return;
            };
            let made = catch_unwind(AssertUnwindSafe(|| self.make(call)));
            let result = made.unwrap_or_else(|_| Some(self.failure("the overlay panicked")));
            // Other tasks have their turn between two calls.
            tokio::task::yield_now().await;
            if let Some(input) = result {
                self.shared.step(input);
            }
        }
    }

    /// Makes a call. Returns the input that completes it.
    fn make(&mut self, call: OverlayCall) -> Option<Input> {
        let link = self.shared.link;
        match call {
            OverlayCall::Prepare(offer) => Some(match self.prepare(offer) {
                Ok(()) => Input::Prepared { link },
                Err(why) => self.failure(&why.to_string()),
            }),
            OverlayCall::Confirm => {
                if let Some(path) = self.shared.path() {
                    path.confirm();
                }
                None
            }
            OverlayCall::Deliver(Control { kind, payload }) => {
                if let Some(path) = self.shared.path() {
                    path.control(kind, Bytes::from_owner(payload));
                }
                Some(Input::Delivered { link })
            }
            OverlayCall::Stop => {
                self.stop();
                None
            }
        }
    }

    fn prepare(&self, offer: Offer) -> Result<(), Unprepared> {
        let link = self.shared.overlay_link(offer);
        let link = link.ok_or_else(|| Unprepared::new("its handshake is not complete"))?;
        let path = self.paths.overlay.prepare(link)?;
        self.shared.set_path(Some(path.into()));
        Ok(())
    }

    fn failure(&self, reason: &str) -> Input {
        Input::Fail {
            link: self.shared.link,
            reason: reason.to_owned(),
            with_link: false,
        }
    }

    fn stop(&mut self) {
        self.stopped = true;
        self.shared.stop();
    }
}

impl Drop for PathTask {
    fn drop(&mut self) {
        if !self.stopped {
            self.shared.step(self.failure("the node ended"));
            self.stop();
        }
    }
}
