//! Files of objects: documents of YAML or JSON.
//!
//! A document has a name, metadata, and the other fields of the object beside them, as `phalanx registry get -o yaml`
//! prints it. Fields of the metadata that the registry sets are ignored, except for `etag` and `generation`: they are
//! conditions.

use crate::failure::CommandError;
use core::fmt::Display;
use phalanx_net::registry::proto;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Maximum size of a file, in bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The greatest integer up to which each integer is a number of the registry.
const INTEGER_MAX: u64 = 1 << 53;
/// Fields of the metadata that the registry sets.
const IGNORED: &[&str] = &[
    "uid",
    "revision",
    "owning_region",
    "create_time",
    "update_time",
    "delete_time",
    "state",
    "services",
];

/// An object in a file.
#[derive(Debug)]
pub(super) struct Document {
    /// The object.
    pub(super) object: proto::Object,
    /// The condition that the document states.
    pub(super) condition: Option<proto::Precondition>,
}

/// Reads the documents of files; `-` is standard input.
pub(super) fn read_all(files: &[PathBuf]) -> Result<Vec<Document>, CommandError> {
    let mut documents = Vec::new();
    for path in files {
        let place = match path.to_str() {
            Some("-") => "standard input".to_owned(),
            _ => path.display().to_string(),
        };
        let text =
            text_of(path).map_err(|error| CommandError::usage(format!("{place}: {error}")))?;
        let values = values(path, &text);
        let values = values.map_err(|error| CommandError::usage(format!("{place}: {error}")))?;
        for (index, value) in values.into_iter().enumerate() {
            // A file may end with a separator.
            if value == Value::Null {
                continue;
            }
            let document = document(value).map_err(|error| {
                CommandError::usage(format!("{place}, document {}: {error}", index + 1))
            })?;
            documents.push(document);
        }
    }
    if documents.is_empty() {
        return Err(CommandError::usage("the files have no documents"));
    }
    Ok(documents)
}

fn text_of(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin()
            .take(FILE_BYTES_MAX + 1)
            .read_to_string(&mut text)
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
    };
    read.map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("has more than {FILE_BYTES_MAX} bytes"));
    }
    Ok(text)
}

fn values(path: &Path, text: &str) -> Result<Vec<Value>, String> {
    let is_json =
        path.extension().is_some_and(|it| it == "json") || text.trim_start().starts_with('{');
    if is_json {
        let values = serde_json::Deserializer::from_str(text).into_iter();
        let values: Result<Vec<Value>, _> = values.collect();
        values.map_err(|error| format!("is not valid JSON: {error}"))
    } else {
        serde_saphyr::from_multiple(text).map_err(|error| format!("is not valid YAML: {error}"))
    }
}

/// A field and what is wrong with it.
fn wrong<T>(field: &str, problem: impl Display) -> Result<T, String> {
    Err(format!("{field}: {problem}"))
}

fn document(value: Value) -> Result<Document, String> {
    let Value::Object(mut fields) = value else {
        return Err("is not a table with a name".to_owned());
    };
    let name = match fields.remove("name") {
        Some(Value::String(name)) => name,
        Some(_) => return wrong("name", "must be a text"),
        None => return wrong("name", "is missing"),
    };
    if let Err(error) = name.parse::<phalanx_core::registry::name::ObjectName>() {
        return wrong("name", format_args!("{name:?}: {error}"));
    }
    let (metadata, condition) = match fields.remove("metadata") {
        Some(Value::Object(metadata)) => metadata_of(metadata)?,
        Some(Value::Null) | None => (proto::ObjectMetadata::default(), None),
        Some(_) => return wrong("metadata", "must be a table"),
    };
    let object = proto::Object {
        name,
        metadata: Some(metadata),
        body: Some(fields_of("", fields)?),
    };
    Ok(Document { object, condition })
}

fn fields_of(above: &str, fields: Map<String, Value>) -> Result<Struct, String> {
    let fields = fields.into_iter().map(|(name, value)| {
        let value = value_of(&format!("{above}{name}"), value)?;
        Ok((name, value))
    });
    Ok(Struct {
        fields: fields.collect::<Result<_, String>>()?,
    })
}

fn value_of(field: &str, value: Value) -> Result<prost_types::Value, String> {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(value),
        Value::Number(number) => {
            let integer = number.as_u64().or(number.as_i64().map(i64::unsigned_abs));
            if integer.is_some_and(|it| it > INTEGER_MAX) {
                return wrong(
                    field,
                    format_args!("{number} has too many digits; write it in quotes"),
                );
            }
            Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN))
        }
        Value::String(text) => Kind::StringValue(text),
        Value::Array(values) => {
            let values = values.into_iter().enumerate();
            let values = values.map(|(index, value)| value_of(&format!("{field}[{index}]"), value));
            Kind::ListValue(ListValue {
                values: values.collect::<Result<_, String>>()?,
            })
        }
        Value::Object(fields) => Kind::StructValue(fields_of(&format!("{field}."), fields)?),
    };
    Ok(prost_types::Value { kind: Some(kind) })
}

type MetadataParts = (proto::ObjectMetadata, Option<proto::Precondition>);

fn metadata_of(fields: Map<String, Value>) -> Result<MetadataParts, String> {
    let mut metadata = proto::ObjectMetadata::default();
    let mut condition = proto::Precondition::default();
    for (name, value) in fields {
        let field = format!("metadata.{name}");
        match name.as_str() {
            "labels" => metadata.labels = texts_by_name(&field, value)?,
            "annotations" => metadata.annotations = texts_by_name(&field, value)?,
            "tags" => metadata.tags = texts(&field, value)?,
            "finalizers" => metadata.finalizers = texts(&field, value)?,
            "owner_references" => metadata.owner_references = owners(&field, value)?,
            "block_deletion" => metadata.block_deletion = flag(&field, &value)?,
            "api_version" => metadata.api_version = text(&field, value)?,
            "shared_with" => metadata.shared_with = texts(&field, value)?,
            "etag" => condition.etag = text(&field, value)?,
            "generation" => match value.as_u64() {
                Some(generation) => condition.generation = Some(generation),
                None => return wrong(&field, "must be an integer from 0 on"),
            },
            known if IGNORED.contains(&known) => {}
            _ => {
                let problem = "does not exist; writers set labels, annotations, tags, finalizers, \
                               owner_references, block_deletion, api_version and shared_with";
                return wrong(&field, problem);
            }
        }
    }
    let is_given = condition != proto::Precondition::default();
    Ok((metadata, is_given.then_some(condition)))
}

fn text(field: &str, value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            wrong(field, "must be a text; write other values in quotes")
        }
    }
}

fn flag(field: &str, value: &Value) -> Result<bool, String> {
    value
        .as_bool()
        .map_or_else(|| wrong(field, "must be true or false"), Ok)
}

fn texts_by_name(field: &str, value: Value) -> Result<BTreeMap<String, String>, String> {
    let Value::Object(fields) = value else {
        return wrong(field, "must be a table of texts");
    };
    let texts = fields.into_iter().map(|(name, value)| {
        let text = text(&format!("{field}.{name}"), value)?;
        Ok((name, text))
    });
    texts.collect()
}

fn texts(field: &str, value: Value) -> Result<Vec<String>, String> {
    let Value::Array(values) = value else {
        return wrong(field, "must be a list of texts");
    };
    let values = values.into_iter();
    values.map(|value| text(field, value)).collect()
}

fn owners(field: &str, value: Value) -> Result<Vec<proto::OwnerReference>, String> {
    let Value::Array(values) = value else {
        return wrong(field, "must be a list of tables");
    };
    let values = values.into_iter().enumerate();
    values
        .map(|(index, value)| owner(&format!("{field}[{index}]"), value))
        .collect()
}

fn owner(place: &str, value: Value) -> Result<proto::OwnerReference, String> {
    let Value::Object(fields) = value else {
        return wrong(place, "must be a table");
    };
    let mut owner = proto::OwnerReference::default();
    for (name, value) in fields {
        let field = format!("{place}.{name}");
        match name.as_str() {
            "name" => owner.name = text(&field, value)?,
            "uid" => owner.uid = text(&field, value)?,
            "region" => owner.region = text(&field, value)?,
            "api_version" => owner.api_version = text(&field, value)?,
            "controller" => owner.controller = flag(&field, &value)?,
            "block" => owner.block = flag(&field, &value)?,
            _ => return wrong(&field, "does not exist"),
        }
    }
    Ok(owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<Vec<Document>, String> {
        let values = values(Path::new("x.yaml"), yaml)?;
        values.into_iter().map(document).collect()
    }

    #[test]
    fn documents_have_a_name_metadata_and_fields() {
        let documents = read(
            "name: regions/eu\ndisplay_name: Europe\n---\n# a comment\nname: services/shop\nmetadata:\n  etag: x-1\n  \
             uid: ignored\n  labels: {tier: web}\nall_versions: [v1, 'v2']\nimported: {deep: {flag: true, n: 1.5}}\n",
        )
        .unwrap();
        let [region, service] = documents.as_slice() else {
            panic!("two documents: {documents:?}");
        };
        assert_eq!(region.object.name, "regions/eu");
        assert!(region.condition.is_none());
        let metadata = service.object.metadata.as_ref().unwrap();
        assert_eq!(
            (metadata.labels["tier"].as_str(), metadata.uid.as_str()),
            ("web", "")
        );
        assert_eq!(service.condition.as_ref().unwrap().etag, "x-1");
        let body = service.object.body.as_ref().unwrap();
        let names: Vec<_> = body.fields.keys().map(String::as_str).collect();
        assert_eq!(names, ["all_versions", "imported"]);
    }

    #[test]
    fn json_documents_follow_each_other() {
        let text = "{\"name\": \"regions/eu\"}\n{\"name\": \"regions/us\"}";
        assert_eq!(values(Path::new("-"), text).unwrap().len(), 2);
        assert_eq!(values(Path::new("a.json"), text).unwrap().len(), 2);
    }

    #[test]
    fn an_error_names_the_field() {
        for (yaml, problem) in [
            ("[1]", "is not a table with a name"),
            ("a: 1", "name: is missing"),
            ("name: regions/EU", "name: \"regions/EU\": column 9"),
            (
                "name: regions/eu\nmetadata: {colour: red}",
                "metadata.colour: does not exist",
            ),
            (
                "name: regions/eu\nmetadata: {labels: {a: 1}}",
                "metadata.labels.a: must be a text",
            ),
            (
                "name: regions/eu\na: {b: [9007199254740993]}",
                "a.b[0]: 9007199254740993 has too many digits",
            ),
            ("name: [", "is not valid YAML"),
        ] {
            let error = read(yaml).unwrap_err();
            assert!(error.starts_with(problem), "{yaml}: {error}");
        }
    }
}
