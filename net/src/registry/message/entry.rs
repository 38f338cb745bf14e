//! Batches of the log, as stores keep them.

use super::object::{of_object, of_revision, to_object, to_revision};
use super::{InvalidField, parsed};
use crate::registry::proto;
use phalanx_core::registry::log::{LogEntry, ObjectChange, RequestKey, RequestStamp};
use phalanx_core::registry::object::Object;
use phalanx_core::time::Wall;
use prost::Message as _;
use std::sync::Arc;

fn to_change(change: &ObjectChange) -> proto::StoredChange {
    let object = |object: &Option<Arc<Object>>| object.as_deref().map(to_object);
    proto::StoredChange {
        name: change.name.to_string(),
        before: object(&change.before),
        after: object(&change.after),
    }
}

fn of_change(wire: proto::StoredChange) -> Result<ObjectChange, InvalidField> {
    let object = |wire: Option<proto::Object>| wire.map(of_object).transpose();
    Ok(ObjectChange {
        name: parsed("name", &wire.name)?,
        before: object(wire.before)?.map(Arc::new),
        after: object(wire.after)?.map(Arc::new),
    })
}

/// The message of a batch for a copy, which needs neither its request nor the objects before it.
pub(super) fn to_copied_entry(entry: &LogEntry) -> proto::StoredEntry {
    let changes = entry.changes.iter();
    let changes = changes.map(|change| proto::StoredChange {
        name: change.name.to_string(),
        before: None,
        after: change.after.as_deref().map(to_object),
    });
    proto::StoredEntry {
        revision: Some(to_revision(entry.revision)),
        time: entry.time.0,
        request: None,
        changes: changes.collect(),
        previous: entry.previous,
        hash: entry.hash,
    }
}

/// Encodes a batch.
pub(crate) fn encode_entry(entry: &LogEntry) -> Vec<u8> {
    let stored = proto::StoredEntry {
        revision: Some(to_revision(entry.revision)),
        time: entry.time.0,
        request: entry.request.as_ref().map(|stamp| proto::StoredRequest {
            caller: stamp.key.caller.clone(),
            id: stamp.key.id.clone(),
            hash: stamp.hash,
        }),
        changes: entry.changes.iter().map(to_change).collect(),
        previous: entry.previous,
        hash: entry.hash,
    };
    stored.encode_to_vec()
}

/// Decodes a batch.
pub(crate) fn decode_entry(bytes: &[u8]) -> Result<LogEntry, InvalidField> {
    let stored =
        proto::StoredEntry::decode(bytes).map_err(|error| InvalidField::new("entry", error))?;
    of_wire_entry(stored)
}

/// The batch of a message.
pub(super) fn of_wire_entry(stored: proto::StoredEntry) -> Result<LogEntry, InvalidField> {
    let changes = stored.changes.into_iter().map(of_change);
    Ok(LogEntry {
        revision: of_revision(stored.revision),
        time: Wall(stored.time),
        request: stored.request.map(|wire| RequestStamp {
            key: RequestKey {
                caller: wire.caller,
                id: wire.id,
            },
            hash: wire.hash,
        }),
        changes: changes.collect::<Result<_, _>>()?,
        previous: stored.previous,
        hash: stored.hash,
    })
}

/// Encodes an object.
pub(crate) fn encode_object(object: &Object) -> Vec<u8> {
    to_object(object).encode_to_vec()
}

/// Decodes an object.
pub(crate) fn decode_object(bytes: &[u8]) -> Result<Object, InvalidField> {
    let wire = proto::Object::decode(bytes).map_err(|error| InvalidField::new("object", error))?;
    of_object(wire)
}
