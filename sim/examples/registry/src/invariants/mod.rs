//! The invariants of the registry. Each file has one invariant with its property and its source.

mod acknowledged_is_durable;
mod copied_is_durable;
mod copies_equal_owners;
mod counts;
mod executed_once;
mod hidden_stays_hidden;
mod linearizable;
mod needed_stays;
mod one_owner;
mod promises_kept;
mod refused_is_not_applied;
mod versions_grow;
mod watch_is_exact;

use crate::archive::SharedArchive;
use phalanx_core::registry::name::RegionId;
use phalanx_sim::invariant::Invariant;

/// All invariants of a run; those of copies if there are several regions.
#[must_use]
pub fn all(
    archive: &SharedArchive,
    registries: &[usize],
    regions: &[(RegionId, usize)],
) -> Vec<Box<dyn Invariant>> {
    let mut all: Vec<Box<dyn Invariant>> = vec![
        Box::new(acknowledged_is_durable::AcknowledgedIsDurable::new(archive)),
        Box::new(executed_once::ExecutedOnce::default()),
        Box::new(hidden_stays_hidden::HiddenStaysHidden::default()),
        Box::new(counts::WorkloadCounts::new(archive, registries)),
        Box::new(linearizable::Linearizable::new(archive)),
        Box::new(one_owner::OneOwner::new(archive)),
        Box::new(promises_kept::PromisesKept),
        Box::new(refused_is_not_applied::RefusedIsNotApplied::new(archive)),
        Box::new(versions_grow::VersionsGrow::default()),
        Box::new(watch_is_exact::WatchIsExact::new(archive)),
    ];
    if !regions.is_empty() {
        all.push(Box::new(copied_is_durable::CopiedIsDurable::new(archive)));
        all.push(Box::new(needed_stays::NeededStays::new(archive)));
        let equal = copies_equal_owners::CopiesEqualOwners::new(archive);
        all.push(Box::new(equal));
    }
    all
}
