//! The right to write to the store: the epoch of this sequencer, and the states on the way to it.
//!
//! ```text
//! closed ──► opening ──► serving ──(store failed)──► opening
//!               ▲  │         │
//!               └──┘         └──(another epoch)──► deposed, or standby if the store is shared
//!       failed or standby:
//!         after a second
//! ```
//!
//! A registry is a standby while another process holds the store.

use crate::registry::log::LogEpoch;
use crate::registry::write::WriteRefusal;
use crate::time::{Duration, Instant};

/// Interval of the attempts to open the store.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    Opening,
    Failed { retry_at: Instant },
    Standby { retry_at: Instant },
    Serving,
    Deposed,
}

/// The right to write to the store.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    phase: Phase,
    epoch: LogEpoch,
    /// The uid of the store; 0 before it was opened.
    store: u64,
    /// Whether the store was open once, and no other process is known to have held it since, so that there is a state to
    /// read.
    was_open: bool,
    /// The process that holds the store, while this one is a standby.
    holder: Option<String>,
}

impl Lease {
    pub(super) const fn new() -> Self {
        Self {
            phase: Phase::Closed,
            epoch: LogEpoch {
                number: 0,
                incarnation: 0,
            },
            store: 0,
            was_open: false,
            holder: None,
        }
    }

    /// The epoch; that of the last opening if the store is not open.
    pub(super) const fn epoch(&self) -> LogEpoch {
        self.epoch
    }

    /// The uid of the store.
    pub(super) const fn store(&self) -> u64 {
        self.store
    }

    /// Whether reads are served: the store was open, and no other sequencer is known to have opened it since.
    pub(super) fn is_readable(&self) -> bool {
        self.was_open && self.phase != Phase::Deposed
    }

    /// Whether groups may be committed.
    pub(super) fn is_serving(&self) -> bool {
        self.phase == Phase::Serving
    }

    /// Whether the store was open, and no other process is known to have held it since.
    pub(super) const fn was_open(&self) -> bool {
        self.was_open
    }

    /// The process that holds the store, while this one is a standby.
    pub(super) fn holder(&self) -> Option<&str> {
        self.holder.as_deref()
    }

    /// Why no write is accepted, if none is.
    pub(super) fn refusal(&self) -> Option<WriteRefusal> {
        match self.phase {
            Phase::Closed | Phase::Opening | Phase::Failed { .. } | Phase::Standby { .. } => {
                Some(match self.holder.clone() {
                    Some(holder) => WriteRefusal::Standby { holder },
                    None => WriteRefusal::Opening,
                })
            }
            Phase::Serving => None,
            Phase::Deposed => Some(WriteRefusal::Deposed),
        }
    }

    /// The store is being opened. Returns false if it must not be.
    pub(super) fn begin(&mut self) -> bool {
        let begins = match self.phase {
            Phase::Closed | Phase::Failed { .. } | Phase::Standby { .. } | Phase::Serving => true,
            Phase::Opening | Phase::Deposed => false,
        };
        if begins {
            self.phase = Phase::Opening;
        }
        begins
    }

    /// The store is open. Returns false if it was not being opened.
    pub(super) fn on_opened(&mut self, epoch: LogEpoch, store: u64) -> bool {
        let is_expected = self.phase == Phase::Opening;
        if is_expected {
            self.phase = Phase::Serving;
            self.epoch = epoch;
            self.store = store;
            self.was_open = true;
            self.holder = None;
        }
        is_expected
    }

    /// The store could not be opened.
    pub(super) fn on_failed(&mut self, now: Instant) {
        if self.phase == Phase::Opening {
            let retry_at = now + RETRY;
            self.phase = Phase::Failed { retry_at };
            self.holder = None;
        }
    }

    /// Another process holds the store. Returns false if that is known.
    pub(super) fn on_held(&mut self, now: Instant, holder: &str) -> bool {
        if self.phase != Phase::Opening {
            return false;
        }
        self.stand_by(now);
        let is_known = self.holder.as_deref() == Some(holder);
        self.holder = Some(holder.to_owned());
        !is_known
    }

    /// Waits until another process no longer holds the store.
    pub(super) fn stand_by(&mut self, now: Instant) {
        let retry_at = now + RETRY;
        self.phase = Phase::Standby { retry_at };
        self.was_open = false;
    }

    /// Another sequencer has opened the store.
    pub(super) const fn depose(&mut self) {
        self.phase = Phase::Deposed;
    }

    /// The time of the next attempt to open the store.
    pub(super) const fn retry_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Failed { retry_at } | Phase::Standby { retry_at } => Some(retry_at),
            Phase::Closed | Phase::Opening | Phase::Serving | Phase::Deposed => None,
        }
    }
}
