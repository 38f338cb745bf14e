//! The claim of a store to its region: field `uid` of the region's record, which the primary region owns.
//!
//! A region that is not the primary one takes writes only while its record has the uid of its store. The claim is a
//! write to the primary: it creates the record or sets the field, on the condition that the record has not changed.
//! A second store of the region finds another uid and takes no writes. The copies of a region hold the uid of its store,
//! so they detect a second store of the primary region as well.

use super::interface::WriteId;
use crate::registry::name::{ObjectName, RegionId};
use crate::registry::object::{Object, ObjectDraft};
use crate::registry::query::FieldMask;
use crate::registry::value::FieldPath;
use crate::registry::write::{Precondition, WriteBatch, WriteOperation};
use crate::time::{Duration, Instant};

/// The number of the claim's write.
pub(super) const CLAIM: WriteId = WriteId(u64::MAX);
/// The field of a region's record with the uid of its store.
pub const STORE_FIELD: &str = "uid";
/// Interval of the attempts.
const RETRY: Duration = Duration::from_secs(1);

/// Which store has a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClaimState {
    /// This one.
    Held,
    /// None.
    Open,
    /// Another one.
    Taken,
}

/// The uid of a store as the field has it.
#[must_use]
pub fn store_text(store: u64) -> String {
    format!("{store:016x}")
}

/// Which store has the region of a record.
pub(super) fn claim_state(record: Option<&Object>, store: u64) -> ClaimState {
    match record.map_or("", |it| it.text(STORE_FIELD)) {
        "" => ClaimState::Open,
        uid if uid == store_text(store) => ClaimState::Held,
        _ => ClaimState::Taken,
    }
}

/// Whether a name is that of the record of a region.
pub(super) fn is_region(name: &ObjectName) -> bool {
    name.as_str().starts_with("regions/")
}

/// The claim of a store.
#[derive(Clone, Debug, Default)]
pub(super) struct RegionClaim {
    /// The time of the next attempt; none before the first one.
    retry_at: Option<Instant>,
    /// Whether it was reported that another store has the region.
    is_reported: bool,
}

impl RegionClaim {
    /// The write that claims the region, unless one is under way.
    pub(super) fn attempt(
        &mut self,
        now: Instant,
        region: &RegionId,
        record: Option<&Object>,
        store: u64,
    ) -> Option<WriteBatch> {
        if self.retry_at.is_some_and(|at| now < at) {
            return None;
        }
        self.retry_at = Some(now + RETRY);
        // A valid region makes a valid name.
        let name: ObjectName = format!("regions/{region}").parse().ok()?;
        let uid = store_text(store).as_str().into();
        let draft = ObjectDraft::new(name, [(STORE_FIELD.to_owned(), uid)].into());
        let operation = match record {
            None => WriteOperation::Create(draft),
            Some(record) => WriteOperation::Update {
                draft,
                mask: FieldMask::of(vec![FieldPath::of(&[STORE_FIELD])]),
                condition: Precondition::generation(record.metadata.generation),
                allow_missing: false,
            },
        };
        let operations = vec![operation];
        Some(WriteBatch { operations })
    }

    /// Another store has the region. Returns whether this is to be reported.
    pub(super) const fn on_taken(&mut self) -> bool {
        let is_new = !self.is_reported;
        self.is_reported = true;
        self.retry_at = None;
        is_new
    }

    /// No attempt can be made at present.
    pub(super) const fn pause(&mut self) {
        self.retry_at = None;
    }

    /// The store has the region.
    pub(super) const fn on_held(&mut self) {
        self.is_reported = false;
        self.retry_at = None;
    }

    /// The time of the next attempt.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.retry_at
    }
}
