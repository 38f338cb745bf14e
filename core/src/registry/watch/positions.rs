//! The positions of a watcher in the logs of regions.

use super::token::ResumeToken;
use crate::registry::log::LogPosition;
use crate::registry::name::RegionId;
use crate::registry::region_logs::RegionLogs;

/// The position of a watcher in one log.
#[derive(Clone, Debug)]
struct WatchPosition {
    region: RegionId,
    /// The sequence number of the last batch that the watcher needs not hear of.
    at: u64,
    /// The sequence number of the last token that was sent.
    told: u64,
}

/// The positions of a watcher, in the order of regions. A log without a position is at its beginning.
#[derive(Clone, Debug, Default)]
pub(super) struct WatchPositions(Vec<WatchPosition>);

impl WatchPositions {
    /// The positions of a token. Each log goes back `repeats` batches.
    pub(super) fn of(token: &ResumeToken, repeats: u64) -> Self {
        let positions = token.positions.iter().map(|(region, it)| WatchPosition {
            region: region.clone(),
            at: it.sequence.saturating_sub(repeats),
            told: it.sequence,
        });
        Self(positions.collect())
    }

    fn find(&self, region: &RegionId) -> Result<usize, usize> {
        self.0.binary_search_by(|it| it.region.cmp(region))
    }

    /// The position in the log of a region.
    pub(super) fn at(&self, region: &RegionId) -> u64 {
        self.find(region).map_or(0, |index| self.0[index].at)
    }

    /// The last position in the log of a region that the watcher was told.
    pub(super) fn told(&self, region: &RegionId) -> u64 {
        self.find(region).map_or(0, |index| self.0[index].told)
    }

    /// Moves to a batch.
    pub(super) fn advance(&mut self, region: &RegionId, at: u64) {
        match self.find(region) {
            Ok(index) => self.0[index].at = at,
            Err(index) => {
                let (region, told) = (region.clone(), 0);
                self.0.insert(index, WatchPosition { region, at, told });
            }
        }
    }

    /// Moves to the ends of all logs.
    pub(super) fn end(&mut self, logs: &RegionLogs) {
        for (region, log) in logs.iter() {
            self.advance(region, log.head());
        }
    }

    /// Whether a log ends after its position.
    pub(super) fn has_more(&self, logs: &RegionLogs) -> bool {
        logs.iter()
            .any(|(region, log)| self.at(region) < log.head())
    }

    /// The token of the positions, which counts as told.
    pub(super) fn tell(&mut self, logs: &RegionLogs, scope: u64) -> ResumeToken {
        for (region, _) in logs.iter() {
            // Each log has a position from the first token on.
            self.advance(region, self.at(region));
        }
        let positions = self.0.iter_mut().map(|it| {
            it.told = it.at;
            let log = logs.of(&it.region);
            let unknown = LogPosition {
                sequence: it.at,
                ..LogPosition::default()
            };
            let position = log.map_or(unknown, |log| log.position(it.at));
            (it.region.clone(), position)
        });
        let positions = positions.collect();
        ResumeToken { positions, scope }
    }
}
