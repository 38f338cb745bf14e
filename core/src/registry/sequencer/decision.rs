//! The decision about a batch: its changes, or the reason to refuse it.
//!
//! The operations are applied in turn to a copy of the state, and the rules are checked on the result. A batch is
//! applied as a whole or not at all.

use super::changes::{DecisionContext, changed, removed};
use super::{audiences, deletions};
use crate::registry::audience::ObjectAudience;
use crate::registry::log::ObjectChange;
use crate::registry::metadata::{Metadata, Uid, WriterMetadata};
use crate::registry::name::ObjectName;
use crate::registry::object::{METADATA_FIELD, NAME_FIELD, Object, ObjectDraft};
use crate::registry::placement::owner_of;
use crate::registry::query::FieldMask;
use crate::registry::rules::{self, RuleContext, concerns_others};
use crate::registry::sabotage::RegistryBug;
use crate::registry::state::RegistryState;
use crate::registry::value::{DEPTH_MAX, FieldPath, ObjectTable, ObjectValue};
use crate::registry::write::{
    BATCH_OPERATIONS_MAX, Precondition, WriteBatch, WriteLimit, WriteOperation, WriteRefusal,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Decides about a batch on a state.
pub(super) fn decide(
    state: &RegistryState,
    batch: &WriteBatch,
    context: &mut DecisionContext<'_>,
) -> Result<Vec<ObjectChange>, WriteRefusal> {
    check_form(batch)?;
    let mut after = state.clone();
    let (mut changes, mut bytes) = (Vec::new(), 0);
    for operation in &batch.operations {
        let name = operation.name();
        if !context.caller.may_write(name) {
            let (caller, name) = (context.caller.clone(), name.clone());
            return Err(WriteRefusal::Denied { caller, name });
        }
        let owner = owner_of(name, after.objects(), &context.config.primary);
        if owner != context.config.region {
            let name = name.clone();
            return Err(WriteRefusal::OtherRegion { name, owner });
        }
        let Some(change) = apply(&after, operation, context)? else {
            continue;
        };
        if let Some(object) = &change.after {
            let (size, max) = (object.encoded_len(), context.config.limits.object_bytes);
            bytes += size;
            if size > max {
                let limit = WriteLimit::ObjectBytes(max);
                return Err(WriteRefusal::Limit(change.name, limit));
            }
        }
        let max = context.config.limits.batch_bytes;
        if bytes > max {
            let limit = WriteLimit::BatchBytes(max);
            return Err(WriteRefusal::Limit(change.name, limit));
        }
        after.apply(&change);
        changes.push(change);
    }
    if !context.config.bugs.has(RegistryBug::ReferrersForgotten) {
        deletions::follow(&mut after, &mut changes, context)?;
    }
    let rules = RuleContext {
        region: context.config.region.as_str(),
        is_registry: context.is_registry,
    };
    rules::check(&after, &changes, rules).map_err(WriteRefusal::Rule)?;
    let batch = (context.config, context.revision);
    audiences::follow(&mut after, &mut changes, batch).map_err(WriteRefusal::Rule)?;
    Ok(changes)
}

fn check_form(batch: &WriteBatch) -> Result<(), WriteRefusal> {
    let Some(first) = batch.operations.first() else {
        return Err(WriteRefusal::Empty);
    };
    if batch.operations.len() > BATCH_OPERATIONS_MAX {
        let limit = WriteLimit::Operations(BATCH_OPERATIONS_MAX);
        return Err(WriteRefusal::Limit(first.name().clone(), limit));
    }
    let mut names = BTreeSet::new();
    let mut operations = batch.operations.iter();
    match operations.find(|it| !names.insert(it.name())) {
        Some(twice) => Err(WriteRefusal::Twice(twice.name().clone())),
        None => Ok(()),
    }
}

/// The change of one operation; none if it changes nothing.
fn apply(
    state: &RegistryState,
    operation: &WriteOperation,
    context: &mut DecisionContext<'_>,
) -> Result<Option<ObjectChange>, WriteRefusal> {
    let name = operation.name();
    let before = state.objects().get(name);
    match (operation, before) {
        (WriteOperation::Create(draft), None) => create(state, draft, context).map(Some),
        (WriteOperation::Create(_), Some(_)) => Err(WriteRefusal::AlreadyExists(name.clone())),
        (
            WriteOperation::Update {
                draft,
                condition,
                allow_missing,
                mask,
            },
            None,
        ) => {
            check_mask(mask)?;
            if !condition.is_none() {
                return Err(WriteRefusal::Conflict {
                    name: name.clone(),
                    generation: None,
                });
            }
            if !allow_missing {
                return Err(WriteRefusal::NotFound(name.clone()));
            }
            create(state, draft, context).map(Some)
        }
        (
            WriteOperation::Update {
                draft,
                mask,
                condition,
                ..
            },
            Some(before),
        ) => {
            check_condition(condition, before)?;
            update(state, before, draft, mask, context)
        }
        (WriteOperation::Delete { allow_missing, .. }, None) => {
            if *allow_missing {
                Ok(None)
            } else {
                Err(WriteRefusal::NotFound(name.clone()))
            }
        }
        (WriteOperation::Delete { condition, .. }, Some(before)) => {
            check_condition(condition, before)?;
            deletions::delete(state, before, context)
        }
    }
}

fn check_condition(condition: &Precondition, before: &Object) -> Result<(), WriteRefusal> {
    if condition.holds(&before.metadata, || before.to_table()) {
        return Ok(());
    }
    Err(WriteRefusal::Conflict {
        name: before.name.clone(),
        generation: Some(before.metadata.generation),
    })
}

/// A mask may name the fields that writers set.
fn check_mask(mask: &FieldMask) -> Result<(), WriteRefusal> {
    let FieldMask::Paths(paths) = mask else {
        return Ok(());
    };
    let is_read_only = |path: &&FieldPath| {
        let names = path.names();
        let of_metadata = names.get(1).filter(|_| names[0] == METADATA_FIELD);
        names[0] == NAME_FIELD
            || of_metadata.is_some_and(|field| !WriterMetadata::is_writable(field))
    };
    match paths.iter().find(is_read_only) {
        Some(path) => Err(WriteRefusal::ReadOnly(path.clone())),
        None => Ok(()),
    }
}

fn check_draft(state: &RegistryState, draft: &ObjectDraft) -> Result<(), WriteRefusal> {
    let name = &draft.name;
    let has_reserved = [NAME_FIELD, METADATA_FIELD]
        .iter()
        .any(|field| draft.body.contains_key(*field));
    if has_reserved {
        let problem = "the body has a field called `name` or `metadata`";
        return Err(WriteRefusal::Body(name.clone(), problem));
    }
    if draft.body.values().any(|value| value.depth() >= DEPTH_MAX) {
        let problem = "the body has more than 32 levels";
        return Err(WriteRefusal::Body(name.clone(), problem));
    }
    WriterMetadata::from_table(&draft.metadata.to_table())
        .map_err(|error| WriteRefusal::Metadata(name.clone(), error))?;
    let checked = state.kinds().check(name, &draft.body);
    checked.map_err(|error| WriteRefusal::Kind(name.clone(), error))
}

fn create(
    state: &RegistryState,
    draft: &ObjectDraft,
    context: &mut DecisionContext<'_>,
) -> Result<ObjectChange, WriteRefusal> {
    check_draft(state, draft)?;
    let after = Object {
        name: draft.name.clone(),
        metadata: Metadata {
            uid: Uid::from_random(context.uids.next_u64(), context.uids.next_u64()),
            generation: 1,
            revision: context.revision,
            owning_region: context.config.region.clone(),
            created: context.time,
            updated: context.time,
            deleted: None,
            // The audience is set when all operations are applied.
            audience: ObjectAudience::default(),
            writer: draft.metadata.clone(),
        },
        body: set_fields(draft.body.clone()),
    };
    Ok(ObjectChange {
        name: draft.name.clone(),
        before: None,
        after: Some(Arc::new(after)),
    })
}

/// The fields that are set: a field that is set to null is not.
fn set_fields(mut table: ObjectTable) -> ObjectTable {
    table.retain(|_, value| *value != ObjectValue::Null);
    table
}

fn update(
    state: &RegistryState,
    before: &Arc<Object>,
    draft: &ObjectDraft,
    mask: &FieldMask,
    context: &DecisionContext<'_>,
) -> Result<Option<ObjectChange>, WriteRefusal> {
    check_mask(mask)?;
    let former = ObjectDraft::from(&**before);
    let mut table = former.to_table();
    let updated = mask.update(&mut table, &draft.to_table());
    updated.map_err(WriteRefusal::Mask)?;
    let after = ObjectDraft::from_table(before.name.clone(), set_fields(table))
        .map_err(|error| WriteRefusal::Metadata(before.name.clone(), error))?;
    if after == former {
        return Ok(None);
    }
    if before.metadata.deleted.is_some() {
        let mut allowed = former;
        allowed
            .metadata
            .finalizers
            .clone_from(&after.metadata.finalizers);
        let only_removes = after
            .metadata
            .finalizers
            .is_subset(&before.metadata.writer.finalizers);
        if after != allowed || !only_removes {
            return Err(WriteRefusal::Deleting(before.name.clone()));
        }
        let region = context.config.region.as_str();
        if after.metadata.finalizers.is_empty() && !concerns_others(state, before, region) {
            return Ok(Some(removed(before)));
        }
    }
    check_draft(state, &after)?;
    Ok(Some(changed(before, context, |object| {
        object.metadata.writer = after.metadata;
        object.body = after.body;
    })))
}

/// The objects that the changes add for each service, for its quota.
pub(super) fn added(changes: &[ObjectChange]) -> impl Iterator<Item = &ObjectName> {
    let new = changes.iter().filter(|it| it.before.is_none());
    new.map(|change| &change.name)
}
