//! Reads the disk at a start: the live configuration, the previous one, a candidate that never became live, and the
//! rejected version.

use super::turn::{RETRY, Turn};
use crate::release::{CANDIDATE, LIVE, NginxConfiguration, PREVIOUS, REJECTED};
use phalanx_core::time::Instant;
use phalanx_sim::disk::DiskError;
use phalanx_sim::world::{FileContent, Read, ReadOf, Ticket};

/// The configurations on the disk.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The live configuration; `None` if it is absent or not complete.
    pub(super) live: Option<NginxConfiguration>,
    /// The configuration that was served before the live one.
    pub(super) previous: Option<NginxConfiguration>,
    /// A complete candidate.
    pub(super) candidate: Option<NginxConfiguration>,
    /// The latest version that nginx refused.
    pub(super) rejected: Option<u64>,
}

/// The reads at a start.
#[derive(Debug, Default)]
pub(super) struct ReadBack {
    awaited: [Option<Ticket>; 4],
    read: [Option<Vec<u8>>; 4],
    retry_at: Option<Instant>,
}

impl ReadBack {
    /// Reads all files.
    pub(super) fn begin(&mut self, turn: &mut Turn<'_>) {
        self.retry_at = None;
        for (awaited, path) in self
            .awaited
            .iter_mut()
            .zip([LIVE, PREVIOUS, CANDIDATE, REJECTED])
        {
            let ticket = turn.ticket();
            *awaited = Some(ticket);
            turn.out.read(ticket, path, ReadOf::File);
        }
    }

    /// Handles the result of a read. Returns the configurations after the last result.
    pub(super) fn on_read(&mut self, now: Instant, read: &Read) -> Option<Found> {
        let place = self
            .awaited
            .iter()
            .position(|it| *it == Some(read.ticket))?;
        self.awaited[place] = None;
        match &read.content {
            Ok(FileContent::File(bytes)) => self.read[place] = Some(bytes.clone()),
            Ok(_) | Err(DiskError::Path(_)) => self.read[place] = None,
            Err(DiskError::Io | DiskError::Full) => {
                // An unreadable file does not count as absent.
                self.awaited = [None; 4];
                self.retry_at = Some(now + RETRY);
                return None;
            }
        }
        if self.awaited.iter().any(Option::is_some) {
            return None;
        }
        let [live, previous, candidate, rejected] = core::mem::take(&mut self.read);
        let parse = |bytes: Option<Vec<u8>>| NginxConfiguration::parse(&bytes?);
        let rejected = rejected.and_then(|bytes| String::from_utf8(bytes).ok());
        Some(Found {
            live: parse(live),
            previous: parse(previous),
            candidate: parse(candidate),
            rejected: rejected.and_then(|text| text.parse().ok()),
        })
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
