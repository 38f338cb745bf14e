//! The message of a request: its body, the variables of its path, and its query.
//!
//! Everything becomes one JSON value, which is read as the JSON of protocol buffers. A field that several parts of a
//! request give is an error, except that the path overrides the body.

use super::binding::{Binding, BindingBody};
use prost_reflect::{DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};

/// The condition of a write, in messages that have one.
const CONDITION: &str = "condition";
/// The condition's entity tag.
const ETAG: &str = "etag";

/// The message of field masks.
const MASK: &str = "google.protobuf.FieldMask";

/// What the parts of an HTTP request give.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestParts<'a> {
    pub(super) variables: &'a [(&'a str, String)],
    pub(super) query: &'a [(String, String)],
    pub(super) body: &'a [u8],
    /// The entity tag of `If-Match`, without quotes.
    pub(super) if_match: Option<&'a str>,
}

/// Builds the message of a request.
///
/// # Errors
/// What is wrong, with the field.
pub(super) fn message(
    binding: &Binding,
    parts: &RequestParts<'_>,
) -> Result<DynamicMessage, String> {
    let input = binding.method.input();
    let mut fields = body(binding, parts.body)?;
    for (field, value) in parts.variables {
        put(&mut fields, &input, field, value, true)?;
    }
    let mut masks = Vec::new();
    for (name, value) in parts.query {
        match field(&input, name).filter(is_mask) {
            Some(mask) => masks.push((mask, value)),
            None => put(&mut fields, &input, name, value, false)?,
        }
    }
    if let Some(tag) = parts.if_match {
        if input.get_field_by_name(CONDITION).is_none() {
            return Err(
                "If-Match: this request has no condition; leave the header away".to_owned(),
            );
        }
        put(
            &mut fields,
            &input,
            &format!("{CONDITION}.{ETAG}"),
            tag,
            false,
        )?;
    }
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let read = DynamicMessage::deserialize_with_options(input, Value::Object(fields), &options);
    let mut message = read.map_err(|error| error.to_string())?;
    for (field, text) in masks {
        if message.has_field(&field) {
            return Err(format!("{}: is given twice", field.name()));
        }
        message.set_field(&field, mask(&field, text)?);
    }
    Ok(message)
}

fn is_mask(field: &FieldDescriptor) -> bool {
    let kind = field.kind();
    kind.as_message().is_some_and(|it| it.full_name() == MASK)
}

/// A field mask from its paths. JSON would change names such as `displayName`, which fields of objects may have.
fn mask(field: &FieldDescriptor, text: &str) -> Result<prost_reflect::Value, String> {
    let kind = field.kind();
    let message = kind.as_message().filter(|_| !field.is_list());
    let message = message.ok_or_else(|| format!("{}: belongs into a body", field.name()))?;
    let mut mask = DynamicMessage::new(message.clone());
    let paths = text
        .split(',')
        .map(str::trim)
        .filter(|path| !path.is_empty());
    let paths = paths.map(|path| prost_reflect::Value::String(path.to_owned()));
    mask.set_field_by_name("paths", prost_reflect::Value::List(paths.collect()));
    Ok(prost_reflect::Value::Message(mask))
}

fn body(binding: &Binding, body: &[u8]) -> Result<Map<String, Value>, String> {
    let parsed = || match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err("the body is not a JSON object".to_owned()),
        Err(error) => Err(format!("the body is not valid JSON: {error}")),
    };
    match &binding.body {
        BindingBody::Absent if body.is_empty() => Ok(Map::new()),
        BindingBody::Absent => Err("this request has no body; leave the body away".to_owned()),
        BindingBody::Whole => parsed(),
        BindingBody::Field(field) => {
            let input = binding.method.input();
            let name = input.get_field_by_name(field);
            let name = name.ok_or_else(|| format!("{field} is not a field of the request"))?;
            Ok(Map::from_iter([(
                name.json_name().to_owned(),
                Value::Object(parsed()?),
            )]))
        }
    }
}

/// The field of a message by its name in the definitions or in JSON.
fn field(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    let by_name = message.get_field_by_name(name);
    by_name.or_else(|| message.get_field_by_json_name(name))
}

/// Sets the field at a path such as `object.name`.
fn put(
    fields: &mut Map<String, Value>,
    message: &MessageDescriptor,
    path: &str,
    text: &str,
    replaces: bool,
) -> Result<(), String> {
    let (name, rest) = path
        .split_once('.')
        .map_or((path, None), |(name, rest)| (name, Some(rest)));
    let Some(found) = field(message, name) else {
        let mut names: Vec<_> = message
            .fields()
            .map(|it| it.json_name().to_owned())
            .collect();
        names.sort_unstable();
        return Err(format!(
            "{path}: is not a field; there is {}",
            names.join(", ")
        ));
    };
    // The body may have the other spelling.
    let spelt = match fields.contains_key(found.name()) {
        true => found.name(),
        false => found.json_name(),
    };
    if let Some(rest) = rest {
        let kind = found.kind();
        let inner = kind
            .as_message()
            .filter(|_| !found.is_list() && !found.is_map());
        let inner = inner.ok_or_else(|| format!("{path}: {name} has no fields"))?;
        let nested = fields
            .entry(spelt)
            .or_insert_with(|| Value::Object(Map::new()));
        let nested = nested.as_object_mut();
        let nested = nested.ok_or_else(|| format!("{path}: {name} is not an object"))?;
        return put(nested, inner, rest, text, replaces);
    }
    let value = value(&found, text).map_err(|problem| format!("{path}: {text:?} {problem}"))?;
    if found.is_list() {
        let list = fields
            .entry(spelt)
            .or_insert_with(|| Value::Array(Vec::new()));
        let list = list.as_array_mut();
        list.ok_or_else(|| format!("{path}: is not a list"))?
            .push(value);
    } else if fields.insert(spelt.to_owned(), value).is_some() && !replaces {
        return Err(format!("{path}: is given twice"));
    }
    Ok(())
}

/// The JSON of a field's value from its text in a path or a query.
fn value(field: &FieldDescriptor, text: &str) -> Result<Value, &'static str> {
    if field.is_map() {
        return Err("belongs into a body, because the field is a map");
    }
    match field.kind() {
        Kind::Bool => match text {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err("is neither true nor false"),
        },
        Kind::Int32
        | Kind::Int64
        | Kind::Uint32
        | Kind::Uint64
        | Kind::Sint32
        | Kind::Sint64
        | Kind::Fixed32
        | Kind::Fixed64
        | Kind::Sfixed32
        | Kind::Sfixed64 => {
            let number = text.parse::<i128>();
            let number = number.map_err(|_| "is not a whole number")?;
            let number = u64::try_from(number).map(Value::from);
            number.or_else(|_| match text.parse::<i64>() {
                Ok(number) => Ok(Value::from(number)),
                Err(_) => Err("is not a number of 64 bits"),
            })
        }
        Kind::Float | Kind::Double => {
            let number: f64 = text.parse().map_err(|_| "is not a number")?;
            Ok(Value::from(number))
        }
        Kind::String | Kind::Bytes | Kind::Enum(_) => Ok(Value::from(text)),
        // Field masks, times and durations are texts in JSON. Others are refused when the message is read.
        Kind::Message(_) => Ok(Value::from(text)),
    }
}
