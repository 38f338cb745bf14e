//! The effect of a deletion on the objects that refer to the deleted one.
//!
//! | reference | object of this region | object of another region |
//! |---|---|---|
//! | block | the deletion is refused | the deletion is refused |
//! | cascade | it is deleted in the same batch | its own registry deletes it when it hears of the deletion |
//! | unset | the name is removed in the same batch | its own registry removes it |
//!
//! A deleted object stays, marked as being deleted, until nothing refers to it.
//!
//! Bounds: [`CASCADE_MAX`] changes of a batch; the registry goes on with further batches then.

use super::changes::{DecisionContext, changed, ended, removed};
use super::reference_index::Referrer;
use crate::registry::log::ObjectChange;
use crate::registry::name::ObjectName;
use crate::registry::object::Object;
use crate::registry::references::{OnDelete, without_target};
use crate::registry::rules::{
    BLOCKERS_MAX, RuleViolation, check_deletion, check_removed, concerns_others, is_ended,
};
use crate::registry::state::RegistryState;
use crate::registry::write::WriteRefusal;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Number of changes of a batch above which no further object is deleted or changed because of a reference.
pub(super) const CASCADE_MAX: usize = 256;

/// The change of an order to delete an object; none if it is being deleted already and nothing blocks it.
///
/// # Errors
/// Returns what blocks the deletion.
pub(super) fn delete(
    state: &RegistryState,
    before: &Arc<Object>,
    context: &DecisionContext<'_>,
) -> Result<Option<ObjectChange>, WriteRefusal> {
    let has_finalizers = !before.metadata.writer.finalizers.is_empty();
    if before.metadata.deleted.is_some() {
        if context.is_registry && !has_finalizers {
            return Ok(Some(removed(before)));
        }
        // A repeated order names what the removal waits for.
        check_removed(state, before, true).map_err(WriteRefusal::Rule)?;
        return blockers(state, before, context).map(|()| None);
    }
    check_deletion(before).map_err(WriteRefusal::Rule)?;
    let region = context.config.region.as_str();
    if !has_finalizers && !concerns_others(state, before, region) {
        return Ok(Some(removed(before)));
    }
    Ok(Some(ended(before, context)))
}

/// Adds to the changes of a batch those of the objects that refer to deleted ones; `state` is the state after the batch.
///
/// # Errors
/// Returns the objects that block a deletion.
pub(super) fn follow(
    state: &mut RegistryState,
    changes: &mut Vec<ObjectChange>,
    context: &DecisionContext<'_>,
) -> Result<(), WriteRefusal> {
    let mut places: BTreeMap<ObjectName, usize> =
        changes.iter().map(|it| it.name.clone()).zip(0..).collect();
    let mut left: Vec<ObjectName> = changes.iter().map(|it| it.name.clone()).collect();
    while let Some(name) = left.pop() {
        let change = &changes[places[&name]];
        let Some(before) = change.before.clone().filter(|_| is_end(change)) else {
            continue;
        };
        let is_removed = change.after.is_none();
        blockers(state, &before, context)?;
        let referrers: Vec<_> = context.references.referrers(state, &before).collect();
        let mut waits = false;
        for referrer in referrers {
            let is_own = referrer.object.metadata.owning_region == context.config.region;
            let is_deleted = referrer.object.metadata.deleted.is_some();
            if !is_own || is_deleted || changes.len() >= CASCADE_MAX {
                waits = true;
                continue;
            }
            let Some(change) = end_reference(state, &referrer, &before, context)? else {
                continue;
            };
            state.apply(&change);
            // A change that only marks the object leaves the reference.
            waits |= change.after.as_deref().is_some_and(is_ended);
            left.push(change.name.clone());
            match places.get(&change.name) {
                Some(at) => changes[*at].after = change.after,
                None => {
                    places.insert(change.name.clone(), changes.len());
                    changes.push(change);
                }
            }
        }
        if is_removed && waits {
            if context.is_registry {
                let blockers = Vec::new();
                return Err(WriteRefusal::Rule(RuleViolation::Blocked {
                    name,
                    blockers,
                }));
            }
            let mark = ended(&before, context);
            state.apply(&mark);
            changes[places[&name]].after = mark.after;
        }
    }
    Ok(())
}

/// Whether a change removes an object, or begins its removal.
fn is_end(change: &ObjectChange) -> bool {
    let was = change.before.as_deref().is_some_and(is_ended);
    change
        .after
        .as_deref()
        .is_none_or(|it| is_ended(it) && !was)
}

/// Checks that no object blocks the deletion of another one by its reference.
pub(super) fn blockers(
    state: &RegistryState,
    target: &Object,
    context: &DecisionContext<'_>,
) -> Result<(), WriteRefusal> {
    let referrers = context.references.referrers(state, target);
    let blocking = referrers.filter(|it| it.on_delete == OnDelete::Block);
    let blocking = blocking.filter(|it| it.object.metadata.deleted.is_none());
    let blockers = blocking.map(|it| it.object.name.clone());
    let blockers: Vec<_> = blockers.take(BLOCKERS_MAX).collect();
    if blockers.is_empty() {
        return Ok(());
    }
    let name = target.name.clone();
    Err(WriteRefusal::Rule(RuleViolation::Blocked {
        name,
        blockers,
    }))
}

/// The change of an object that refers to a deleted one; none if nothing changes.
fn end_reference(
    state: &RegistryState,
    referrer: &Referrer,
    target: &Object,
    context: &DecisionContext<'_>,
) -> Result<Option<ObjectChange>, WriteRefusal> {
    let object: &Arc<Object> = &referrer.object;
    match referrer.on_delete {
        OnDelete::Block => Ok(None),
        OnDelete::Cascade => delete(state, object, context),
        OnDelete::Unset => {
            let fields = state.kinds().references_of(&object.name);
            let body = without_target(fields, object, &target.name);
            Ok(Some(changed(object, context, |it| it.body = body)))
        }
    }
}
