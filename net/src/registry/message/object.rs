//! Objects, drafts and views of objects.

use super::{InvalidField, parsed, required};
use crate::registry::proto;
use phalanx_core::registry::audience::ObjectAudience;
use phalanx_core::registry::metadata::{Metadata, OwnerReference, Revision, Uid, WriterMetadata};
use phalanx_core::registry::object::{METADATA_FIELD, NAME_FIELD, Object, ObjectDraft};
use phalanx_core::registry::query::{FieldMask, ObjectView};
use phalanx_core::registry::value::{Number, ObjectTable, ObjectValue};
use phalanx_core::time::Wall;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Timestamp, Value};

/// The message of a value.
fn to_value(value: &ObjectValue) -> Value {
    let kind = match value {
        ObjectValue::Null => Kind::NullValue(0),
        ObjectValue::Bool(value) => Kind::BoolValue(*value),
        ObjectValue::Number(number) => Kind::NumberValue(f64::from_bits(number.to_bits())),
        ObjectValue::Text(text) => Kind::StringValue(text.clone()),
        ObjectValue::List(list) => {
            let values = list.iter().map(to_value).collect();
            Kind::ListValue(ListValue { values })
        }
        ObjectValue::Table(table) => Kind::StructValue(to_struct(table)),
    };
    Value { kind: Some(kind) }
}

/// The value of a message. A value without a kind is null.
fn of_value(wire: Value) -> ObjectValue {
    match wire.kind {
        None | Some(Kind::NullValue(_)) => ObjectValue::Null,
        Some(Kind::BoolValue(value)) => ObjectValue::Bool(value),
        Some(Kind::NumberValue(number)) => ObjectValue::Number(Number::from_bits(number.to_bits())),
        Some(Kind::StringValue(text)) => ObjectValue::Text(text),
        Some(Kind::ListValue(list)) => {
            ObjectValue::List(list.values.into_iter().map(of_value).collect())
        }
        Some(Kind::StructValue(fields)) => ObjectValue::Table(of_struct(fields)),
    }
}

/// The message of named fields.
pub(crate) fn to_struct(table: &ObjectTable) -> Struct {
    let fields = table.iter();
    let fields = fields.map(|(name, value)| (name.clone(), to_value(value)));
    Struct {
        fields: fields.collect(),
    }
}

/// The named fields of a message.
pub(crate) fn of_struct(wire: Struct) -> ObjectTable {
    let fields = wire.fields.into_iter();
    fields
        .map(|(name, value)| (name, of_value(value)))
        .collect()
}

fn to_timestamp(time: Wall) -> Timestamp {
    Timestamp {
        seconds: i64::try_from(time.0).unwrap_or(i64::MAX),
        nanos: 0,
    }
}

fn of_timestamp(wire: Option<Timestamp>) -> Option<Wall> {
    let seconds = u64::try_from(wire?.seconds).ok()?;
    Some(Wall(seconds))
}

pub(crate) const fn to_revision(revision: Revision) -> proto::Revision {
    proto::Revision {
        epoch: revision.epoch,
        sequence: revision.sequence,
    }
}

pub(crate) fn of_revision(wire: Option<proto::Revision>) -> Revision {
    wire.map_or_else(Revision::default, |wire| Revision {
        epoch: wire.epoch,
        sequence: wire.sequence,
    })
}

pub(crate) fn uid(field: &str, text: &str) -> Result<Uid, InvalidField> {
    let problem = "is not a uid such as 01234567-89ab-4def-8123-456789abcdef";
    Uid::parse(text).ok_or_else(|| InvalidField::new(field, format_args!("{text:?} {problem}")))
}

fn to_services(object: &Object) -> Option<proto::ServicesInfo> {
    let owner = object.name.of_service()?;
    let allowed = object.allowed_services().into_iter();
    Some(proto::ServicesInfo {
        owning_service: owner.to_owned(),
        allowed_services: allowed.map(str::to_owned).collect(),
    })
}

/// The audience in a message that a registry or a store wrote.
fn of_services(wire: Option<proto::ServicesInfo>) -> ObjectAudience {
    let info = wire.unwrap_or_default();
    let owner = info.owning_service;
    let allowed = info.allowed_services.into_iter();
    allowed.filter(|it| *it != owner).collect()
}

fn to_metadata(object: &Object) -> proto::ObjectMetadata {
    let metadata = &object.metadata;
    proto::ObjectMetadata {
        uid: metadata.uid.to_string(),
        generation: metadata.generation,
        etag: metadata.etag(),
        revision: Some(to_revision(metadata.revision)),
        owning_region: metadata.owning_region.to_string(),
        create_time: Some(to_timestamp(metadata.created)),
        update_time: Some(to_timestamp(metadata.updated)),
        delete_time: metadata.deleted.map(to_timestamp),
        services: to_services(object),
        ..to_writer_metadata(&metadata.writer)
    }
}

/// The fields that writers set.
fn to_writer_metadata(writer: &WriterMetadata) -> proto::ObjectMetadata {
    let owners = writer.owner_references.iter();
    proto::ObjectMetadata {
        labels: writer.labels.clone(),
        annotations: writer.annotations.clone(),
        tags: writer.tags.iter().cloned().collect(),
        finalizers: writer.finalizers.iter().cloned().collect(),
        owner_references: owners.map(to_owner).collect(),
        block_deletion: writer.block_deletion,
        api_version: writer.api_version.clone(),
        shared_with: writer.shared_with.iter().cloned().collect(),
        ..proto::ObjectMetadata::default()
    }
}

fn to_owner(owner: &OwnerReference) -> proto::OwnerReference {
    proto::OwnerReference {
        name: owner.name.to_string(),
        uid: owner.uid.to_string(),
        region: owner.region.to_string(),
        api_version: owner.api_version.clone(),
        controller: owner.controller,
        block: owner.block,
    }
}

fn of_owner(wire: proto::OwnerReference) -> Result<OwnerReference, InvalidField> {
    Ok(OwnerReference {
        name: parsed("name", &wire.name)?,
        uid: uid("uid", &wire.uid)?,
        region: parsed("region", &wire.region)?,
        api_version: wire.api_version,
        controller: wire.controller,
        block: wire.block,
    })
}

/// The part of the metadata that writers set. The rest is ignored.
fn of_writer(wire: proto::ObjectMetadata) -> Result<WriterMetadata, InvalidField> {
    let owners = wire.owner_references.into_iter().map(of_owner);
    let owners: Result<_, _> = owners.collect();
    Ok(WriterMetadata {
        labels: wire.labels,
        annotations: wire.annotations,
        tags: wire.tags.into_iter().collect(),
        finalizers: wire.finalizers.into_iter().collect(),
        owner_references: owners
            .map_err(|error: InvalidField| error.inside("metadata.owner_references"))?,
        block_deletion: wire.block_deletion,
        api_version: wire.api_version,
        shared_with: wire.shared_with.into_iter().collect(),
    })
}

/// The message of an object.
pub(crate) fn to_object(object: &Object) -> proto::Object {
    proto::Object {
        name: object.name.to_string(),
        metadata: Some(to_metadata(object)),
        body: Some(to_struct(&object.body)),
    }
}

/// The object of a message that a registry or a store wrote.
pub(crate) fn of_object(wire: proto::Object) -> Result<Object, InvalidField> {
    let mut metadata = required("metadata", wire.metadata)?;
    let services = metadata.services.take();
    let time = |field, wire| required(field, of_timestamp(wire));
    Ok(Object {
        name: parsed("name", &wire.name)?,
        metadata: Metadata {
            uid: uid("metadata.uid", &metadata.uid)?,
            generation: metadata.generation,
            revision: of_revision(metadata.revision),
            owning_region: parsed("metadata.owning_region", &metadata.owning_region)?,
            created: time("metadata.create_time", metadata.create_time)?,
            updated: time("metadata.update_time", metadata.update_time)?,
            deleted: of_timestamp(metadata.delete_time),
            audience: of_services(services),
            writer: of_writer(metadata)?,
        },
        body: of_struct(wire.body.unwrap_or_default()),
    })
}

/// The draft in a request.
pub(crate) fn of_draft(
    field: &str,
    wire: Option<proto::Object>,
) -> Result<ObjectDraft, InvalidField> {
    let wire = required(field, wire)?;
    let draft = || {
        Ok(ObjectDraft {
            name: parsed("name", &wire.name)?,
            metadata: of_writer(wire.metadata.unwrap_or_default())?,
            body: of_struct(wire.body.unwrap_or_default()),
        })
    };
    draft().map_err(|error: InvalidField| error.inside(field))
}

/// The message of a draft.
pub(crate) fn to_draft(draft: &ObjectDraft) -> proto::Object {
    proto::Object {
        name: draft.name.to_string(),
        metadata: Some(to_writer_metadata(&draft.metadata)),
        body: Some(to_struct(&draft.body)),
    }
}

/// The message of the part of an object that a view shows, restricted by a mask.
pub(crate) fn shown(object: &Object, view: ObjectView, mask: Option<&FieldMask>) -> proto::Object {
    let mut table = view.of(object, mask);
    table.remove(NAME_FIELD);
    let metadata = table.remove(METADATA_FIELD);
    let shown = metadata.as_ref().and_then(ObjectValue::as_table);
    proto::Object {
        name: object.name.to_string(),
        metadata: shown.map(|shown| restricted(to_metadata(object), shown)),
        body: Some(to_struct(&table)),
    }
}

/// The metadata without the fields that are not shown.
fn restricted(mut metadata: proto::ObjectMetadata, shown: &ObjectTable) -> proto::ObjectMetadata {
    fn keep<T: Default>(shown: &ObjectTable, field: &str, value: &mut T) {
        if !shown.contains_key(field) {
            *value = T::default();
        }
    }
    keep(shown, "uid", &mut metadata.uid);
    keep(shown, "generation", &mut metadata.generation);
    keep(shown, "etag", &mut metadata.etag);
    keep(shown, "revision", &mut metadata.revision);
    keep(shown, "owning_region", &mut metadata.owning_region);
    keep(shown, "create_time", &mut metadata.create_time);
    keep(shown, "update_time", &mut metadata.update_time);
    keep(shown, "delete_time", &mut metadata.delete_time);
    keep(shown, "tags", &mut metadata.tags);
    keep(shown, "finalizers", &mut metadata.finalizers);
    keep(shown, "owner_references", &mut metadata.owner_references);
    keep(shown, "block_deletion", &mut metadata.block_deletion);
    keep(shown, "api_version", &mut metadata.api_version);
    keep(shown, "shared_with", &mut metadata.shared_with);
    let services = shown.get("services").and_then(ObjectValue::as_table);
    let none = ObjectTable::new();
    if let Some(info) = &mut metadata.services {
        let shown = services.unwrap_or(&none);
        keep(shown, "owning_service", &mut info.owning_service);
        keep(shown, "allowed_services", &mut info.allowed_services);
    }
    if services.is_none() {
        metadata.services = None;
    }
    for (field, map) in [
        ("labels", &mut metadata.labels),
        ("annotations", &mut metadata.annotations),
    ] {
        let shown = shown.get(field).and_then(ObjectValue::as_table);
        map.retain(|key, _| shown.is_some_and(|shown| shown.contains_key(key)));
    }
    metadata
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Values of any kind.
    pub(crate) fn any_value() -> impl Strategy<Value = ObjectValue> {
        let scalar = prop_oneof![
            Just(ObjectValue::Null),
            any::<bool>().prop_map(ObjectValue::Bool),
            any::<u64>().prop_map(|bits| ObjectValue::Number(Number::from_bits(bits))),
            "\\PC{0,6}".prop_map(ObjectValue::Text),
        ];
        scalar.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(ObjectValue::List),
                prop::collection::btree_map("[a-c]", inner, 0..3).prop_map(ObjectValue::Table),
            ]
        })
    }

    fn any_owner() -> impl Strategy<Value = OwnerReference> {
        (any::<u128>(), "[a-z]{1,4}", any::<(bool, bool)>()).prop_map(|(bits, id, flags)| {
            OwnerReference {
                name: format!("services/{id}").parse().unwrap(),
                uid: Uid::new(bits),
                region: "eu".parse().unwrap(),
                api_version: id,
                controller: flags.0,
                block: flags.1,
            }
        })
    }

    fn any_writer() -> impl Strategy<Value = WriterMetadata> {
        let map = || prop::collection::btree_map("[a-z/.]{0,4}", "\\PC{0,4}", 0..3);
        let set = || prop::collection::btree_set("[a-z]{0,4}", 0..3);
        let owners = prop::collection::btree_set(any_owner(), 0..3);
        (
            map(),
            map(),
            set(),
            set(),
            owners,
            any::<bool>(),
            ("[v0-9]{0,3}", set()),
        )
            .prop_map(
                |(labels, annotations, tags, finalizers, owner_references, block_deletion, api)| {
                    let (api, shared_with) = api;
                    WriterMetadata {
                        labels,
                        annotations,
                        tags,
                        finalizers,
                        owner_references,
                        block_deletion,
                        api_version: api,
                        shared_with,
                    }
                },
            )
    }

    /// Objects of few names.
    pub(crate) fn any_object() -> impl Strategy<Value = Object> {
        let body = prop::collection::btree_map("[a-c]", any_value(), 0..4);
        let numbers = (any::<u128>(), 1_u64.., any::<(u64, u64)>());
        let times = (
            0_u64..1 << 40,
            0_u64..1 << 40,
            prop::option::of(0_u64..1 << 40),
        );
        let services = prop::collection::vec("[a-d*]", 0..3);
        let writer = (any_writer(), services);
        ("[a-d]", numbers, times, writer, body).prop_map(
            |(id, (uid, generation, (epoch, sequence)), times, (writer, services), body)| Object {
                name: format!("//shop/orders/{id}").parse().unwrap(),
                metadata: Metadata {
                    uid: Uid::new(uid),
                    generation,
                    revision: Revision { epoch, sequence },
                    owning_region: "eu".parse().unwrap(),
                    created: Wall(times.0),
                    updated: Wall(times.1),
                    deleted: times.2.map(Wall),
                    audience: services.into_iter().collect(),
                    writer,
                },
                body,
            },
        )
    }

    proptest! {
        #[test]
        fn objects_and_drafts_are_read_back(object in any_object()) {
            let bytes = prost::Message::encode_to_vec(&to_object(&object));
            let wire: proto::Object = prost::Message::decode(bytes.as_slice()).unwrap();
            prop_assert_eq!(of_object(wire), Ok(object.clone()));
            let draft = ObjectDraft::from(&object);
            prop_assert_eq!(of_draft("object", Some(to_draft(&draft))), Ok(draft));
        }

        #[test]
        fn a_mask_shows_the_selected_fields_alone(object in any_object()) {
            let whole = shown(&object, ObjectView::Full, None);
            // "Not a number" is not equal to itself in a message.
            prop_assert_eq!(of_object(whole), Ok(object.clone()));
            let mask = "a,metadata.labels,metadata.etag".parse().unwrap();
            let part = shown(&object, ObjectView::Full, Some(&mask));
            let metadata = part.metadata.unwrap();
            prop_assert_eq!(&metadata.labels, &object.metadata.writer.labels);
            prop_assert_eq!(metadata.etag, object.metadata.etag());
            prop_assert_eq!((metadata.uid.as_str(), metadata.generation), ("", 0));
            prop_assert!(metadata.annotations.is_empty() && metadata.create_time.is_none());
            let fields: Vec<_> = part.body.unwrap().fields.into_keys().collect();
            let expected: Vec<_> = object.body.keys().filter(|it| *it == "a").cloned().collect();
            prop_assert_eq!(fields, expected);
        }
    }

    #[test]
    fn an_error_names_the_field() {
        let wire = proto::Object {
            name: "services/Shop".to_owned(),
            ..proto::Object::default()
        };
        let error = of_draft("object", Some(wire)).unwrap_err().to_string();
        assert!(
            error.starts_with("object.name: \"services/Shop\": column 10"),
            "{error}"
        );
        let error = of_draft("object", None).unwrap_err().to_string();
        assert_eq!(error, "object: is missing");
    }
}
