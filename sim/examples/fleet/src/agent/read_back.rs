//! Reads the disk at a start: the live configuration, and a candidate that was not switched to.

use super::turn::{RETRY, Turn};
use crate::release::{CANDIDATE, Configuration, LIVE};
use phalanx_core::time::Instant;
use phalanx_sim::disk::DiskError;
use phalanx_sim::world::{Content, Read, ReadOf, Ticket};

/// The configurations on the disk.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The version of the live configuration; `None` if it is absent or not complete.
    pub(super) live: Option<u64>,
    /// A complete candidate.
    pub(super) candidate: Option<Configuration>,
}

/// The two reads at a start.
#[derive(Debug, Default)]
pub(super) struct ReadBack {
    awaited: [Option<Ticket>; 2],
    read: [Option<Configuration>; 2],
    retry_at: Option<Instant>,
}

impl ReadBack {
    /// Reads both files.
    pub(super) fn begin(&mut self, turn: &mut Turn<'_>) {
        self.retry_at = None;
        for (awaited, path) in self.awaited.iter_mut().zip([LIVE, CANDIDATE]) {
            let ticket = turn.ticket();
            *awaited = Some(ticket);
            turn.out.read(ticket, path, ReadOf::File);
        }
    }

    /// Takes an answer. Returns both configurations after the second one.
    pub(super) fn on_read(&mut self, now: Instant, read: &Read) -> Option<Found> {
        let place = self
            .awaited
            .iter()
            .position(|it| *it == Some(read.ticket))?;
        self.awaited[place] = None;
        match &read.content {
            Ok(Content::File(bytes)) => self.read[place] = Configuration::parse(bytes),
            Ok(_) | Err(DiskError::Path(_)) => self.read[place] = None,
            Err(DiskError::Io | DiskError::Full) => {
                // An unreadable file is not an absent one.
                self.awaited = [None; 2];
                self.retry_at = Some(now + RETRY);
                return None;
            }
        }
        if self.awaited.iter().any(Option::is_some) {
            return None;
        }
        let [live, candidate] = core::mem::take(&mut self.read);
        let live = live.map(|live| live.version);
        Some(Found { live, candidate })
    }

    pub(super) fn on_wake(&mut self, turn: &mut Turn<'_>) {
        if self.retry_at.is_some_and(|at| at <= turn.now) {
            self.begin(turn);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.retry_at
    }
}
