//! Operations, conditions and outcomes of writes.

use super::object::{of_draft, of_revision, of_struct, to_draft, to_revision, to_struct, uid};
use super::query::{of_mask, to_mask};
use super::{InvalidField, parsed, required};
use crate::registry::proto::{self, write_operation::Operation};
use phalanx_core::registry::query::FieldMask;
use phalanx_core::registry::write::{
    Precondition, WriteBatch, WriteOperation, WriteOutcome, WrittenObject,
};

/// Maximum length of a request id, in bytes.
pub(crate) const REQUEST_ID_BYTES_MAX: usize = 128;

/// The request id of a message; none if it is empty.
pub(crate) fn request_id(text: String) -> Result<Option<String>, InvalidField> {
    if text.len() > REQUEST_ID_BYTES_MAX {
        let problem = format_args!("has more than {REQUEST_ID_BYTES_MAX} bytes");
        return Err(InvalidField::new("request_id", problem));
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// The condition of a message.
pub(crate) fn of_condition(
    wire: Option<proto::Precondition>,
) -> Result<Precondition, InvalidField> {
    let Some(wire) = wire else {
        return Ok(Precondition::default());
    };
    let mut condition = Precondition::default();
    if !wire.etag.is_empty() {
        let problem = "is not an entity tag that a registry returned";
        condition = Precondition::from_etag(&wire.etag)
            .ok_or_else(|| InvalidField::new("condition.etag", problem))?;
    }
    if !wire.uid.is_empty() {
        let uid = uid("condition.uid", &wire.uid)?;
        if condition.uid.is_some_and(|it| it != uid) {
            let problem = "contradicts condition.etag";
            return Err(InvalidField::new("condition.uid", problem));
        }
        condition.uid = Some(uid);
    }
    if let Some(generation) = wire.generation {
        if condition.generation.is_some_and(|it| it != generation) {
            let problem = "contradicts condition.etag";
            return Err(InvalidField::new("condition.generation", problem));
        }
        condition.generation = Some(generation);
    }
    if let Some(fields) = wire.fields {
        let mask = of_mask("condition.fields.mask", fields.mask)?;
        let values = of_struct(fields.values.unwrap_or_default());
        condition.fields = Some((mask.unwrap_or(FieldMask::All), values));
    }
    Ok(condition)
}

fn to_condition(condition: &Precondition) -> Option<proto::Precondition> {
    let fields = condition.fields.as_ref();
    (!condition.is_none()).then(|| proto::Precondition {
        generation: condition.generation,
        uid: condition.uid.map(|uid| uid.to_string()).unwrap_or_default(),
        etag: String::new(),
        fields: fields.map(|(mask, values)| proto::FieldCondition {
            mask: to_mask(mask),
            values: Some(to_struct(values)),
        }),
    })
}

/// The operation that an update stands for.
pub(crate) fn of_update(wire: proto::UpdateOperation) -> Result<WriteOperation, InvalidField> {
    let mask = of_mask("update_mask", wire.update_mask)?;
    Ok(WriteOperation::Update {
        draft: of_draft("object", wire.object)?,
        mask: mask.unwrap_or(FieldMask::All),
        condition: of_condition(wire.condition)?,
        allow_missing: wire.allow_missing,
    })
}

/// The operation that a deletion stands for.
pub(crate) fn of_delete(wire: proto::DeleteOperation) -> Result<WriteOperation, InvalidField> {
    Ok(WriteOperation::Delete {
        name: parsed("name", &wire.name)?,
        condition: of_condition(wire.condition)?,
        allow_missing: wire.allow_missing,
    })
}

/// The batch of a request.
pub(crate) fn of_batch(operations: Vec<proto::WriteOperation>) -> Result<WriteBatch, InvalidField> {
    let operations = operations.into_iter().enumerate().map(|(index, wire)| {
        let operation = match required("operation", wire.operation) {
            Ok(Operation::Create(object)) => {
                of_draft("create", Some(object)).map(WriteOperation::Create)
            }
            Ok(Operation::Update(update)) => {
                of_update(update).map_err(|error| error.inside("update"))
            }
            Ok(Operation::Delete(delete)) => {
                of_delete(delete).map_err(|error| error.inside("delete"))
            }
            Err(error) => Err(error),
        };
        operation.map_err(|error| error.inside(&format!("operations[{index}]")))
    });
    Ok(WriteBatch {
        operations: operations.collect::<Result<_, _>>()?,
    })
}

/// The messages of a batch.
pub(crate) fn to_batch(batch: &WriteBatch) -> Vec<proto::WriteOperation> {
    let operations = batch.operations.iter().map(|operation| {
        let operation = match operation {
            WriteOperation::Create(draft) => Operation::Create(to_draft(draft)),
            WriteOperation::Update {
                draft,
                mask,
                condition,
                allow_missing,
            } => Operation::Update(proto::UpdateOperation {
                object: Some(to_draft(draft)),
                update_mask: to_mask(mask),
                condition: to_condition(condition),
                allow_missing: *allow_missing,
            }),
            WriteOperation::Delete {
                name,
                condition,
                allow_missing,
            } => Operation::Delete(proto::DeleteOperation {
                name: name.to_string(),
                condition: to_condition(condition),
                allow_missing: *allow_missing,
            }),
        };
        proto::WriteOperation {
            operation: Some(operation),
        }
    });
    operations.collect()
}

/// The message of an outcome.
pub(crate) fn to_outcome(outcome: &WriteOutcome) -> proto::ApplyBatchReply {
    let objects = outcome.objects.iter().map(|it| proto::WrittenObject {
        name: it.name.to_string(),
        uid: it.uid.to_string(),
        generation: it.generation,
    });
    proto::ApplyBatchReply {
        revision: Some(to_revision(outcome.revision)),
        objects: objects.collect(),
        region: outcome.region.to_string(),
        copies_confirmed: u32::try_from(outcome.copies).unwrap_or(u32::MAX),
    }
}

/// The outcome of a message.
pub(crate) fn of_outcome(wire: proto::ApplyBatchReply) -> Result<WriteOutcome, InvalidField> {
    let objects = wire.objects.into_iter().map(|it| {
        Ok(WrittenObject {
            name: parsed("objects.name", &it.name)?,
            uid: uid("objects.uid", &it.uid)?,
            generation: it.generation,
        })
    });
    Ok(WriteOutcome {
        region: parsed("region", &wire.region)?,
        copies: usize::try_from(wire.copies_confirmed).unwrap_or(usize::MAX),
        revision: of_revision(wire.revision),
        objects: objects.collect::<Result<_, InvalidField>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::message::object::tests::any_object;
    use phalanx_core::registry::object::ObjectDraft;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn batches_are_read_back(objects in prop::collection::vec(any_object(), 3), flag in any::<bool>()) {
            let [one, two, three] = objects.as_slice() else { unreachable!("three objects") };
            let mask: FieldMask = "a,metadata.labels.`x/y`".parse().unwrap();
            let condition = Precondition {
                generation: Some(two.metadata.generation),
                uid: Some(two.metadata.uid),
                fields: flag.then(|| (mask.clone(), two.body.clone())),
            };
            let batch = WriteBatch { operations: vec![
                WriteOperation::Create(ObjectDraft::from(one)),
                WriteOperation::Update {
                    draft: ObjectDraft::from(two),
                    mask: if flag { mask } else { FieldMask::All },
                    condition: condition.clone(),
                    allow_missing: flag,
                },
                WriteOperation::Delete { name: three.name.clone(), condition, allow_missing: !flag },
            ]};
            prop_assert_eq!(of_batch(to_batch(&batch)), Ok(batch));
        }
    }

    #[test]
    fn conditions_that_contradict_each_other_are_refused() {
        let etag = "01234567-89ab-4def-8123-456789abcdef-7";
        let condition = |generation, etag: &str| proto::Precondition {
            generation,
            etag: etag.to_owned(),
            ..proto::Precondition::default()
        };
        let read = of_condition(Some(condition(Some(7), etag))).unwrap();
        assert_eq!(read, Precondition::from_etag(etag).unwrap());
        let error = of_condition(Some(condition(Some(8), etag))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "condition.generation: contradicts condition.etag"
        );
        assert!(of_condition(Some(condition(None, "7"))).is_err());
        assert!(request_id("x".repeat(129)).is_err());
        let operation = proto::WriteOperation { operation: None };
        let error = of_batch(vec![operation]).unwrap_err().to_string();
        assert_eq!(error, "operations[0].operation: is missing");
    }
}
