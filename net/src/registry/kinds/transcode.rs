//! Messages of the typed services as those of `ObjectService`, and back.
//!
//! The messages of both have the same fields under the same numbers, except that a typed one has a kind where the other
//! has an `Object`.

use crate::dynamic::definitions;
use prost::Message;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value,
};
use prost_types::value::Kind as StructKind;
use prost_types::{ListValue, Struct};
use std::collections::HashMap;
use tonic::Status;

/// The package of the definitions.
const PACKAGE: &str = "phalanx.registry.v1";
/// The message for objects of all kinds.
const OBJECT: &str = "phalanx.registry.v1.Object";
/// Fields of a kind that are not in the body of the object.
const OUTSIDE: [&str; 2] = ["name", "metadata"];

fn internal(problem: impl std::fmt::Display) -> Status {
    Status::internal(format!("the protocol definitions: {problem}"))
}

/// The type of a message of the registry's package.
pub(super) fn descriptor(name: &str) -> Result<MessageDescriptor, Status> {
    let pool = definitions().map_err(internal)?;
    let found = pool.get_message_by_name(&format!("{PACKAGE}.{name}"));
    found.ok_or_else(|| internal(format_args!("there is no message {name}")))
}

fn is_object(message: &MessageDescriptor) -> bool {
    message.full_name() == OBJECT
}

/// Converts a typed message into one of `ObjectService`.
pub(super) fn to_generic<M: Message + Default>(
    typed: &DynamicMessage,
    name: &str,
) -> Result<M, Status> {
    let generic = converted(typed, &descriptor(name)?)?;
    generic.transcode_to().map_err(internal)
}

/// Converts a message of `ObjectService` into a typed one.
pub(super) fn to_typed(
    generic: &impl Message,
    name: &str,
    typed: &MessageDescriptor,
) -> Result<DynamicMessage, Status> {
    let mut message = DynamicMessage::new(descriptor(name)?);
    message.transcode_from(generic).map_err(internal)?;
    converted(&message, typed)
}

/// Converts a message, field by field. Fields that the other type does not have are left out.
fn converted(from: &DynamicMessage, to: &MessageDescriptor) -> Result<DynamicMessage, Status> {
    let own = from.descriptor();
    if own == *to {
        return Ok(from.clone());
    }
    match (is_object(&own), is_object(to)) {
        (false, true) => return object_of(from, to),
        (true, false) => return kind_of(from, to),
        (false, false) | (true, true) => {}
    }
    let mut message = DynamicMessage::new(to.clone());
    for (field, value) in from.fields() {
        let Some(target) = to.get_field(field.number()) else {
            continue;
        };
        let kind = target.kind();
        let inner = kind.as_message().filter(|_| !target.is_map());
        let value = match inner {
            Some(inner) => converted_value(value, inner)?,
            None => value.clone(),
        };
        message.try_set_field(&target, value).map_err(internal)?;
    }
    Ok(message)
}

fn converted_value(value: &Value, to: &MessageDescriptor) -> Result<Value, Status> {
    if let Some(message) = value.as_message() {
        return converted(message, to).map(Value::Message);
    }
    let Some(values) = value.as_list() else {
        return Ok(value.clone());
    };
    let values = values.iter().map(|value| converted_value(value, to));
    Ok(Value::List(values.collect::<Result<_, _>>()?))
}

/// The object of a typed message.
fn object_of(kind: &DynamicMessage, to: &MessageDescriptor) -> Result<DynamicMessage, Status> {
    let mut object = DynamicMessage::new(to.clone());
    let mut body = Struct::default();
    for (field, value) in kind.fields() {
        if OUTSIDE.contains(&field.name()) {
            let set = object.try_set_field_by_name(field.name(), value.clone());
            set.map_err(internal)?;
        } else {
            body.fields
                .insert(field.name().to_owned(), struct_value(value));
        }
    }
    let field = to.get_field_by_name("body");
    let field = field.ok_or_else(|| internal("an object has no body"))?;
    let Kind::Message(tables) = field.kind() else {
        return Err(internal("the body of an object is not a message"));
    };
    let mut table = DynamicMessage::new(tables);
    table.transcode_from(&body).map_err(internal)?;
    let set = object.try_set_field(&field, Value::Message(table));
    set.map_err(internal)?;
    Ok(object)
}

/// The typed message of an object.
fn kind_of(object: &DynamicMessage, to: &MessageDescriptor) -> Result<DynamicMessage, Status> {
    let mut kind = DynamicMessage::new(to.clone());
    for name in OUTSIDE {
        if object.has_field_by_name(name)
            && let Some(value) = object.get_field_by_name(name)
        {
            let set = kind.try_set_field_by_name(name, value.into_owned());
            set.map_err(internal)?;
        }
    }
    let body = object.get_field_by_name("body");
    let body: Struct = match body.as_deref() {
        Some(Value::Message(body)) => body.transcode_to().map_err(internal)?,
        _ => Struct::default(),
    };
    set_fields(&mut kind, body)?;
    Ok(kind)
}

/// Sets the fields of a message from a table. A field that the message does not have, or of another type, is left out:
/// a later version of the kind may have it.
fn set_fields(message: &mut DynamicMessage, table: Struct) -> Result<(), Status> {
    let descriptor = message.descriptor();
    for (name, value) in table.fields {
        let Some(field) = descriptor.get_field_by_name(&name) else {
            continue;
        };
        if let Some(value) = field_value(&field, value.kind)? {
            message.try_set_field(&field, value).map_err(internal)?;
        }
    }
    Ok(())
}

fn field_value(
    field: &FieldDescriptor,
    value: Option<StructKind>,
) -> Result<Option<Value>, Status> {
    Ok(match (value, field.is_list(), field.is_map()) {
        (Some(StructKind::ListValue(list)), true, _) => {
            let values = list.values.into_iter();
            let values = values.map(|value| single(&field.kind(), value.kind));
            let values: Result<Vec<_>, Status> = values.collect();
            Some(Value::List(values?.into_iter().flatten().collect()))
        }
        (Some(StructKind::StructValue(table)), _, true) => {
            let entries = table.fields.into_iter().filter_map(|(key, value)| {
                let text = match value.kind {
                    Some(StructKind::StringValue(text)) => Value::String(text),
                    _ => return None,
                };
                Some((MapKey::String(key), text))
            });
            Some(Value::Map(entries.collect::<HashMap<_, _>>()))
        }
        (value, false, false) => single(&field.kind(), value)?,
        _ => None,
    })
}

fn single(kind: &Kind, value: Option<StructKind>) -> Result<Option<Value>, Status> {
    Ok(match (kind, value) {
        (Kind::String, Some(StructKind::StringValue(text))) => Some(Value::String(text)),
        (Kind::Bool, Some(StructKind::BoolValue(flag))) => Some(Value::Bool(flag)),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the registry takes only integers from 0 on in such a field"
        )]
        (Kind::Uint64, Some(StructKind::NumberValue(number))) => Some(Value::U64(number as u64)),
        (Kind::Message(inner), Some(StructKind::StructValue(table))) => {
            let mut message = DynamicMessage::new(inner.clone());
            set_fields(&mut message, table)?;
            Some(Value::Message(message))
        }
        _ => None,
    })
}

/// A field of a kind as a value of a body.
fn struct_value(value: &Value) -> prost_types::Value {
    let kind = match value {
        Value::Bool(flag) => StructKind::BoolValue(*flag),
        Value::String(text) => StructKind::StringValue(text.clone()),
        // The registry refuses numbers that are not exact.
        Value::U64(number) => StructKind::NumberValue(*number as f64),
        Value::List(values) => StructKind::ListValue(ListValue {
            values: values.iter().map(struct_value).collect(),
        }),
        Value::Map(entries) => {
            let entries = entries.iter().filter_map(|(key, value)| {
                let key = key.as_str()?;
                Some((key.to_owned(), struct_value(value)))
            });
            StructKind::StructValue(Struct {
                fields: entries.collect(),
            })
        }
        Value::Message(message) => {
            let fields = message
                .fields()
                .map(|(field, value)| (field.name().to_owned(), struct_value(value)));
            StructKind::StructValue(Struct {
                fields: fields.collect(),
            })
        }
        // No kind has such a field.
        Value::I32(_)
        | Value::I64(_)
        | Value::U32(_)
        | Value::F32(_)
        | Value::F64(_)
        | Value::Bytes(_)
        | Value::EnumNumber(_) => StructKind::NullValue(0),
    };
    prost_types::Value { kind: Some(kind) }
}
