//! Objects as people and programs read them.

use crate::arguments::registry::ObjectFormat;
use crate::failure::CommandError;
use crate::screen::{Paint, Screen, Table, TableCell};
use phalanx_core::time::Wall;
use phalanx_net::identity::iso_8601;
use phalanx_net::registry::proto;
use prost_types::value::Kind;
use prost_types::{Struct, Timestamp};
use serde::Serialize;
use serde_json::{Map, Number, Value, json};
use std::collections::BTreeMap;

/// An object with its fields in the order in which people read them.
#[derive(Serialize)]
pub(super) struct ShownObject {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<ShownMetadata>,
    #[serde(flatten)]
    body: Map<String, Value>,
}

#[derive(Serialize)]
struct ShownMetadata {
    uid: String,
    generation: u64,
    etag: String,
    revision: String,
    owning_region: String,
    create_time: String,
    update_time: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    delete_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    services: Option<Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    finalizers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    owner_references: Vec<Value>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    block_deletion: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    api_version: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shared_with: Vec<String>,
}

/// A revision as text; empty if there is none.
pub(super) fn revision(revision: Option<proto::Revision>) -> String {
    revision.map_or_else(String::new, |it| format!("{}.{}", it.epoch, it.sequence))
}

fn time(time: Option<Timestamp>) -> String {
    let seconds = time.and_then(|it| u64::try_from(it.seconds).ok());
    seconds.map_or_else(String::new, |seconds| iso_8601(Wall(seconds)))
}

fn shown_metadata(metadata: proto::ObjectMetadata) -> ShownMetadata {
    let owners = metadata.owner_references.into_iter().map(|owner| {
        json!({
            "name": owner.name,
            "uid": owner.uid,
            "region": owner.region,
            "api_version": owner.api_version,
            "controller": owner.controller,
            "block": owner.block,
        })
    });
    let services = metadata.services.map(|info| {
        json!({
            "owning_service": info.owning_service,
            "allowed_services": info.allowed_services,
        })
    });
    ShownMetadata {
        uid: metadata.uid,
        generation: metadata.generation,
        etag: metadata.etag,
        revision: revision(metadata.revision),
        owning_region: metadata.owning_region,
        create_time: time(metadata.create_time),
        update_time: time(metadata.update_time),
        delete_time: time(metadata.delete_time),
        services,
        labels: metadata.labels,
        annotations: metadata.annotations,
        tags: metadata.tags,
        finalizers: metadata.finalizers,
        owner_references: owners.collect(),
        block_deletion: metadata.block_deletion,
        api_version: metadata.api_version,
        shared_with: metadata.shared_with,
    }
}

fn fields(body: Struct) -> Map<String, Value> {
    let fields = body.fields.into_iter();
    fields
        .map(|(name, value)| (name, value_of(value)))
        .collect()
}

fn value_of(value: prost_types::Value) -> Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => value.into(),
        Some(Kind::NumberValue(number)) => number_of(number),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(value_of).collect(),
        Some(Kind::StructValue(body)) => Value::Object(fields(body)),
    }
}

/// A number, an integer without a fraction. JSON has no other than finite numbers; the others are texts.
fn number_of(number: f64) -> Value {
    // Up to 2^53, each integer is exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the number is an integer of 53 bits"
        )]
        return Value::from(number as i64);
    }
    match Number::from_f64(number) {
        Some(number) => Value::Number(number),
        None => Value::String(number.to_string()),
    }
}

/// An object as programs read it.
pub(super) fn shown(object: proto::Object) -> ShownObject {
    ShownObject {
        name: object.name,
        metadata: object.metadata.map(shown_metadata),
        body: fields(object.body.unwrap_or_default()),
    }
}

/// Prints one document.
pub(super) fn yaml(screen: &Screen, value: &impl Serialize) -> Result<(), CommandError> {
    let text = serde_saphyr::to_string(value).map_err(|error| {
        CommandError::failed(format!("the value cannot be written as YAML: {error}"))
    })?;
    screen.bytes(text.as_bytes())
}

/// Prints objects.
pub(super) fn objects(
    screen: &Screen,
    format: ObjectFormat,
    objects: &[proto::Object],
) -> Result<(), CommandError> {
    match format {
        ObjectFormat::Json => {
            let mut objects = objects.iter();
            objects.try_for_each(|object| screen.json(&shown(object.clone())))
        }
        ObjectFormat::Yaml => {
            for (index, object) in objects.iter().enumerate() {
                if index > 0 {
                    screen.bytes(b"---\n")?;
                }
                yaml(screen, &shown(object.clone()))?;
            }
            Ok(())
        }
        ObjectFormat::Table if objects.is_empty() => Ok(()),
        ObjectFormat::Table => {
            let mut table = Table::new(&["name", "generation", "updated", "labels"]);
            for object in objects {
                let metadata = object.metadata.clone().unwrap_or_default();
                let labels = metadata.labels.iter();
                let labels: Vec<_> = labels
                    .map(|(key, value)| format!("{key}={value}"))
                    .collect();
                table.row(vec![
                    TableCell::new(&object.name).paint(Paint::Bold),
                    TableCell::number(metadata.generation),
                    TableCell::new(time(metadata.update_time)).paint(Paint::Dim),
                    TableCell::new(labels.join(",")),
                ]);
            }
            screen.table(&table)
        }
    }
}

/// Prints the result of a write of one object.
pub(super) fn result(
    screen: &Screen,
    format: ObjectFormat,
    name: &str,
    result: &str,
    revision: &str,
) -> Result<(), CommandError> {
    let mut value = json!({ "name": name, "result": result });
    if !revision.is_empty() {
        value["revision"] = revision.into();
    }
    match format {
        ObjectFormat::Json => screen.json(&value),
        ObjectFormat::Yaml => {
            yaml(screen, &value)?;
            screen.bytes(b"---\n")
        }
        ObjectFormat::Table => screen.line(format!("{name}: {result}")),
    }
}
