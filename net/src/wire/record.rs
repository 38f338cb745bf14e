//! Records.

use super::error::{FieldFault, WireError};
use super::field::{Parsed, address, address_bytes, at_most, id, required};
use super::proto;
use phalanx_core::time::Wall;
use phalanx_core::topology::record::{Content, METADATA_MAX, Rank, Record, SERVICES_MAX, Service};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Parses a record.
///
/// # Errors
/// The first field that is out of bounds.
pub fn record(mut record: proto::Record) -> Result<Record, WireError> {
    let id = id("id", &record.id)?;
    let rank = Rank {
        epoch: record.epoch,
        instance: record.instance,
        incarnation: record.incarnation,
        leaving: record.leaving,
        version: record.version,
    };
    let content = content(&mut record)?;
    Ok(Record::new(id, rank, content))
}

pub(super) fn shared(wire: proto::Record) -> Parsed<Arc<Record>> {
    record(wire).map(Arc::new)
}

/// Parses the sender's own record, which is required in a handshake message.
pub(super) fn own(wire: Option<proto::Record>) -> Parsed<Arc<Record>> {
    let wire = required("record", wire)?;
    shared(wire).map_err(|error| error.inside("record"))
}

fn content(record: &mut proto::Record) -> Parsed<Content> {
    at_most("services", record.services.len(), SERVICES_MAX, "services")?;
    at_most("metadata", record.metadata.len(), METADATA_MAX, "entries")?;
    let mut services = BTreeSet::new();
    for proto::Service { name, version } in record.services.drain(..) {
        let service = Service { name, version };
        if let Some(twice) = services.replace(service) {
            return Err(WireError::new("services", FieldFault::Twice(twice.name)));
        }
    }
    let mut metadata = BTreeMap::new();
    for proto::Entry { key, value } in record.metadata.drain(..) {
        if metadata.contains_key(&key) {
            return Err(WireError::new("metadata", FieldFault::Twice(key)));
        }
        metadata.insert(key, value);
    }
    let address = if record.address.is_empty() {
        None
    } else {
        Some(address("address", &record.address)?)
    };
    let content = Content {
        nickname: core::mem::take(&mut record.nickname),
        kind: core::mem::take(&mut record.kind),
        address,
        joined: Wall(record.joined),
        services,
        metadata,
    };
    content
        .check()
        .map_err(|error| WireError::new("content", FieldFault::Content(error)))?;
    Ok(content)
}

impl From<&Record> for proto::Record {
    fn from(record: &Record) -> Self {
        let (rank, content) = (record.rank(), record.content());
        let service = |service: &Service| proto::Service {
            name: service.name.clone(),
            version: service.version.clone(),
        };
        let entry = |(key, value): (&String, &String)| proto::Entry {
            key: key.clone(),
            value: value.clone(),
        };
        Self {
            id: record.id().as_str().to_owned(),
            epoch: rank.epoch,
            instance: rank.instance,
            incarnation: rank.incarnation,
            leaving: rank.leaving,
            version: rank.version,
            address: content.address.map(address_bytes).unwrap_or_default(),
            nickname: content.nickname.clone(),
            kind: content.kind.clone(),
            joined: content.joined.0,
            services: content.services.iter().map(service).collect(),
            metadata: content.metadata.iter().map(entry).collect(),
        }
    }
}

pub(super) fn compose_all(records: &[Arc<Record>]) -> Vec<proto::Record> {
    records
        .iter()
        .map(|record| record.as_ref().into())
        .collect()
}

/// Any record.
#[cfg(test)]
pub(super) mod arbitrary {
    use crate::wire::field::arbitrary::{address, counter, hash, id, shown};
    use phalanx_core::time::Wall;
    use phalanx_core::topology::record::{Content, Rank, Record, Service};
    use proptest::collection::{btree_map, btree_set};
    use proptest::option;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn rank() -> impl Strategy<Value = Rank> {
        let instance = prop_oneof![Just(0), any::<u32>()];
        (counter(), instance, counter(), any::<bool>(), counter()).prop_map(
            |(epoch, instance, incarnation, leaving, version)| Rank {
                epoch,
                instance,
                incarnation,
                leaving,
                version,
            },
        )
    }

    fn content() -> impl Strategy<Value = Content> {
        let service = ("[a-z]([a-z0-9._-]{0,10}[a-z0-9])?", "([0-9a-z]{1,4})?")
            .prop_map(|(name, version)| Service { name, version });
        (
            shown(".{0,12}"),
            shown(".{0,8}"),
            option::of(address()),
            hash(),
            btree_set(service, 0..4),
            btree_map(shown(".{0,6}"), shown(".{0,200}"), 0..3),
        )
            .prop_map(
                |(nickname, kind, address, joined, services, metadata)| Content {
                    nickname,
                    kind,
                    address,
                    joined: Wall(joined),
                    services,
                    metadata,
                },
            )
    }

    pub(crate) fn record() -> impl Strategy<Value = Arc<Record>> {
        (id(), rank(), content())
            .prop_map(|(id, rank, content)| Arc::new(Record::new(id, rank, content)))
    }
}
