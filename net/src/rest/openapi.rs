//! The OpenAPI document of the bindings.

use super::binding::{Binding, BindingBody, comment};
use super::template::parameter;
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The document of a service.
pub(super) fn document(service: &str, bindings: &[Binding]) -> Value {
    let mut schemas = Schemas::default();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for (index, binding) in bindings.iter().enumerate() {
        let path = paths.entry(binding.template.openapi()).or_default();
        let before = bindings[..index].iter();
        let before = before.filter(|it| it.method == binding.method).count();
        let operation = operation(binding, before, &mut schemas);
        path.insert(binding.http.as_str().to_lowercase(), operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": service, "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "components": {"schemas": schemas.finish()},
    })
}

fn operation(binding: &Binding, before: usize, schemas: &mut Schemas) -> Value {
    let method = &binding.method;
    let input = method.input();
    let mut parameters: Vec<Value> = Vec::new();
    for field in binding.template.fields() {
        parameters.push(json!({
            "name": parameter(field), "in": "path", "required": true, "schema": {"type": "string"},
        }));
    }
    if binding.body != BindingBody::Whole {
        query(binding, &input, "", &mut parameters, schemas);
    }
    if input.get_field_by_name("condition").is_some() {
        parameters.push(json!({
            "name": "If-Match", "in": "header", "schema": {"type": "string"},
            "description": "The entity tag that the object must have.",
        }));
    }
    let problem = json!({"application/problem+json": {"schema": schemas.problem()}});
    let mut operation = json!({
        "operationId": match before {
            0 => method.name().to_owned(),
            before => format!("{}{}", method.name(), before + 1),
        },
        "description": comment(&method.parent_file(), method.path()),
        "parameters": parameters,
        "responses": {
            "200": {
                "description": "The reply.",
                "content": {"application/json": {"schema": schemas.message(&method.output())}},
            },
            "default": {"description": "The reason of the refusal.", "content": problem},
        },
    });
    let body = match &binding.body {
        BindingBody::Absent => None,
        BindingBody::Whole => Some(schemas.message(&input)),
        BindingBody::Field(name) => {
            let field = input.get_field_by_name(name);
            field.map(|field| schemas.field(&field))
        }
    };
    if let Some(schema) = body {
        operation["requestBody"] =
            json!({"required": true, "content": {"application/json": {"schema": schema}}});
    }
    operation
}

/// Adds the fields that a query can have: those of the request, and those of its conditions.
fn query(
    binding: &Binding,
    message: &MessageDescriptor,
    above: &str,
    parameters: &mut Vec<Value>,
    schemas: &mut Schemas,
) {
    for field in message.fields() {
        let name = format!("{above}{}", field.name());
        let of_body = matches!(&binding.body, BindingBody::Field(body) if *body == name);
        if of_body || field.is_map() || binding.template.fields().any(|it| it == name) {
            continue;
        }
        let kind = field.kind();
        let is_text = kind
            .as_message()
            .is_none_or(|it| well_known(it).is_some_and(|it| it["type"] == "string"));
        match kind.as_message() {
            Some(inner)
                if !is_text
                    && above.is_empty()
                    && !field.is_list()
                    && well_known(inner).is_none() =>
            {
                query(
                    binding,
                    inner,
                    &format!("{}.", field.name()),
                    parameters,
                    schemas,
                );
            }
            _ if is_text => parameters.push(json!({
                "name": name, "in": "query", "schema": schemas.field(&field),
                "description": comment(&message.parent_file(), field.path()),
            })),
            _ => {}
        }
    }
}

/// The schemas of messages, by name.
#[derive(Debug, Default)]
struct Schemas {
    done: BTreeMap<String, Value>,
}

impl Schemas {
    fn finish(self) -> Value {
        json!(self.done)
    }

    /// The schema of errors.
    fn problem(&mut self) -> Value {
        let schema = json!({
            "type": "object",
            "required": ["type", "title", "status", "detail"],
            "properties": {
                "type": {"type": "string"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string"},
                "code": {"type": "string"},
                "reason": {"type": "string"},
                "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
                "violations": {"type": "array", "items": {"type": "object"}},
            },
        });
        self.done.entry("Problem".to_owned()).or_insert(schema);
        json!({"$ref": "#/components/schemas/Problem"})
    }

    fn message(&mut self, message: &MessageDescriptor) -> Value {
        if let Some(schema) = well_known(message) {
            return schema;
        }
        let name = message.name().to_owned();
        let reference = json!({"$ref": format!("#/components/schemas/{name}")});
        if self.done.contains_key(&name) {
            return reference;
        }
        // A message may contain itself.
        self.done.insert(name.clone(), Value::Null);
        let properties = message.fields().map(|field| {
            let mut schema = self.field(&field);
            let text = comment(&message.parent_file(), field.path());
            if !text.is_empty() {
                schema["description"] = text.into();
            }
            (field.json_name().to_owned(), schema)
        });
        let properties: Map<String, Value> = properties.collect();
        let schema = json!({
            "type": "object",
            "description": comment(&message.parent_file(), message.path()),
            "properties": properties,
            "additionalProperties": false,
        });
        self.done.insert(name, schema);
        reference
    }

    fn field(&mut self, field: &FieldDescriptor) -> Value {
        let kind = field.kind();
        if field.is_map() {
            let value = kind
                .as_message()
                .map(MessageDescriptor::map_entry_value_field);
            let value = value.map_or(Value::Bool(true), |value| self.field(&value));
            return json!({"type": "object", "additionalProperties": value});
        }
        let one = self.kind(&kind);
        match field.is_list() {
            true => json!({"type": "array", "items": one}),
            false => one,
        }
    }

    fn kind(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Bool => json!({"type": "boolean"}),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                json!({"type": "integer", "format": "int32"})
            }
            Kind::Uint32 | Kind::Fixed32 => {
                json!({"type": "integer", "minimum": 0, "maximum": u32::MAX})
            }
            // JSON numbers are not exact beyond 2^53, so these are texts.
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                json!({"type": "string", "pattern": "^-?[0-9]{1,19}$"})
            }
            Kind::Uint64 | Kind::Fixed64 => json!({"type": "string", "pattern": "^[0-9]{1,19}$"}),
            Kind::Float | Kind::Double => json!({"type": "number"}),
            Kind::String => json!({"type": "string"}),
            Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Kind::Message(message) => self.message(message),
            Kind::Enum(values) => words(values),
        }
    }
}

fn words(values: &EnumDescriptor) -> Value {
    let words: Vec<_> = values.values().map(|it| it.name().to_owned()).collect();
    json!({"type": "string", "enum": words})
}

/// The schema of a message that has a JSON form of its own.
fn well_known(message: &MessageDescriptor) -> Option<Value> {
    Some(match message.full_name() {
        "google.protobuf.Struct" => json!({"type": "object", "additionalProperties": true}),
        "google.protobuf.Value" => json!({}),
        "google.protobuf.ListValue" => json!({"type": "array", "items": {}}),
        "google.protobuf.Timestamp" => json!({"type": "string", "format": "date-time"}),
        "google.protobuf.Duration" => json!({"type": "string"}),
        "google.protobuf.FieldMask" => json!({"type": "string"}),
        _ => return None,
    })
}
