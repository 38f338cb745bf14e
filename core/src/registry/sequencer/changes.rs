//! The changes of single objects that a decision makes.

use super::interface::Config;
use super::reference_index::ReferenceIndex;
use crate::random::Random;
use crate::registry::log::ObjectChange;
use crate::registry::metadata::Revision;
use crate::registry::object::Object;
use crate::registry::write::RegistryCaller;
use crate::time::Wall;
use std::sync::Arc;

/// The circumstances of a decision.
pub(super) struct DecisionContext<'a> {
    pub(super) config: &'a Config,
    pub(super) caller: &'a RegistryCaller,
    pub(super) time: Wall,
    /// The revision of the batch, if it is accepted.
    pub(super) revision: Revision,
    /// The stream of uids.
    pub(super) uids: &'a mut Random,
    /// Whether the registry writes of its own accord.
    pub(super) is_registry: bool,
    /// The objects that refer to others.
    pub(super) references: &'a ReferenceIndex,
}

/// The next generation of an object.
pub(super) fn changed(
    before: &Arc<Object>,
    context: &DecisionContext<'_>,
    change: impl FnOnce(&mut Object),
) -> ObjectChange {
    let mut after = Object::clone(before);
    after.metadata.generation += 1;
    after.metadata.revision = context.revision;
    after.metadata.updated = context.time;
    change(&mut after);
    ObjectChange {
        name: before.name.clone(),
        before: Some(Arc::clone(before)),
        after: Some(Arc::new(after)),
    }
}

/// The removal of an object.
pub(super) fn removed(before: &Arc<Object>) -> ObjectChange {
    ObjectChange {
        name: before.name.clone(),
        before: Some(Arc::clone(before)),
        after: None,
    }
}

/// The object, being deleted.
pub(super) fn ended(before: &Arc<Object>, context: &DecisionContext<'_>) -> ObjectChange {
    let time = context.time;
    changed(before, context, |object| {
        object.metadata.deleted = Some(time);
    })
}
