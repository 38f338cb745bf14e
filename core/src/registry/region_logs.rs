//! The logs of a registry: the log of its own region, and the latest batches of the regions that it has copies of.
//!
//! The log of a copy is kept in memory. After a start, it begins at the position of the copy; after a snapshot, at the
//! position of the snapshot. A watcher whose position is before that gets a snapshot.
//!
//! Bounds: [`REGIONS_MAX`] regions; each log as [`Retention`](super::log::Retention) says.

use super::log::{ChangeLog, CopyPosition};
use super::name::RegionId;
use std::collections::BTreeMap;

/// Maximum number of other regions that a registry has copies of.
pub const REGIONS_MAX: usize = 64;

/// The log of a region and those of its copies.
#[derive(Clone, Debug)]
pub struct RegionLogs {
    region: RegionId,
    own: ChangeLog,
    copies: BTreeMap<RegionId, ChangeLog>,
}

impl RegionLogs {
    /// Empty logs.
    #[must_use]
    pub fn new(region: RegionId) -> Self {
        Self {
            region,
            own: ChangeLog::default(),
            copies: BTreeMap::new(),
        }
    }

    /// The region.
    #[must_use]
    pub const fn region(&self) -> &RegionId {
        &self.region
    }

    /// The log of the region.
    #[must_use]
    pub const fn own(&self) -> &ChangeLog {
        &self.own
    }

    /// The log of the region, to change it.
    pub const fn own_mut(&mut self) -> &mut ChangeLog {
        &mut self.own
    }

    /// The log of a region; none if there is no copy of it.
    #[must_use]
    pub fn of(&self, region: &RegionId) -> Option<&ChangeLog> {
        if *region == self.region {
            return Some(&self.own);
        }
        self.copies.get(region)
    }

    /// The log of a copy, to change it.
    pub fn copy_mut(&mut self, region: &RegionId) -> &mut ChangeLog {
        self.copies.entry(region.clone()).or_default()
    }

    /// All logs: that of the region first, then those of copies in the order of their regions.
    pub fn iter(&self) -> impl Iterator<Item = (&RegionId, &ChangeLog)> {
        let own = core::iter::once((&self.region, &self.own));
        own.chain(&self.copies)
    }

    /// Lets the log of a copy begin at a position, unless its latest batch is the one of this position.
    pub fn begin_copy(&mut self, region: &RegionId, position: CopyPosition) {
        let (epoch, sequence) = (position.at.epoch, position.at.sequence);
        let log = self.copy_mut(region);
        if log.head() != sequence || !log.knows(epoch, sequence) {
            *log = ChangeLog::of(sequence, vec![(epoch, sequence)], []);
        }
    }
}
