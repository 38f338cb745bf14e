//! The difference between an object and its document.

use super::document::Document;
use super::show;
use crate::arguments::registry::ObjectFormat;
use crate::failure::CommandError;
use crate::screen::{Paint, Screen, shown_lines};
use phalanx_core::registry::metadata::WriterMetadata;
use phalanx_net::registry::proto;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Lists of the metadata without an order.
const SETS: &[&str] = &["tags", "finalizers", "shared_with"];

/// A field whose value changes.
#[derive(Debug)]
struct ChangedField {
    path: String,
    /// None if the object does not set the field.
    before: Option<Value>,
    /// None if the document does not set the field.
    after: Option<Value>,
}

/// The effect of applying a document.
#[derive(Debug)]
pub(super) struct ObjectDifference {
    name: String,
    exists: bool,
    /// The document has a condition that the object does not meet.
    is_stale: bool,
    fields: Vec<ChangedField>,
}

/// Adds the values below a path: those of tables one by one, lists as a whole.
fn add(path: &str, value: Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                add(&format!("{path}.{name}"), value, into);
            }
        }
        value @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_)) => {
            into.insert(path.to_owned(), value);
        }
    }
}

fn written(metadata: Map<String, Value>, into: &mut BTreeMap<String, Value>) {
    let written = metadata
        .into_iter()
        .filter(|(name, _)| WriterMetadata::is_writable(name));
    for (name, mut value) in written {
        if let (true, Some(texts)) = (SETS.contains(&&*name), value.as_array_mut()) {
            texts.sort_by_key(Value::to_string);
            texts.dedup();
        }
        add(&format!("metadata.{name}"), value, into);
    }
}

/// The values of the fields that a document writes, by their paths.
fn values(object: proto::Object) -> BTreeMap<String, Value> {
    let mut values = BTreeMap::new();
    let shown = serde_json::to_value(show::shown(object)).unwrap_or_default();
    let Value::Object(mut fields) = shown else {
        return values;
    };
    fields.remove("name");
    if let Some(Value::Object(metadata)) = fields.remove("metadata") {
        written(metadata, &mut values);
    }
    for (name, value) in fields {
        add(&name, value, &mut values);
    }
    values
}

fn meets(object: &proto::Object, condition: &proto::Precondition) -> bool {
    let metadata = object.metadata.clone().unwrap_or_default();
    let generation = condition.generation;
    (condition.etag.is_empty() || condition.etag == metadata.etag)
        && generation.is_none_or(|it| it == metadata.generation)
}

impl ObjectDifference {
    /// Compares an object, if it exists, with its document.
    pub(super) fn between(before: Option<&proto::Object>, document: Document) -> Self {
        let name = document.object.name.clone();
        let condition = document.condition.as_ref();
        let is_stale = condition
            .is_some_and(|condition| before.is_none_or(|object| !meets(object, condition)));
        let mut old = before.cloned().map(values).unwrap_or_default();
        let mut new = values(document.object);
        let paths: BTreeSet<String> = old.keys().chain(new.keys()).cloned().collect();
        let fields = paths.into_iter().map(|path| ChangedField {
            before: old.remove(&path),
            after: new.remove(&path),
            path,
        });
        Self {
            name,
            exists: before.is_some(),
            is_stale,
            fields: fields.filter(|it| it.before != it.after).collect(),
        }
    }

    /// Whether applying the document would change the object, or be refused.
    pub(super) const fn is_some(&self) -> bool {
        !self.exists || self.is_stale || !self.fields.is_empty()
    }

    const fn result(&self) -> &'static str {
        match (self.is_stale, self.exists) {
            (true, _) => "conflict",
            (false, false) => "create",
            (false, true) if self.fields.is_empty() => "unchanged",
            (false, true) => "update",
        }
    }

    /// Prints the difference. In a table, objects that do not change have no line.
    pub(super) fn show(&self, screen: &Screen, format: ObjectFormat) -> Result<(), CommandError> {
        let changes = self.fields.iter().map(
            |field| json!({ "field": field.path, "before": field.before, "after": field.after }),
        );
        let changes: Vec<Value> = changes.collect();
        let value = json!({ "name": self.name, "result": self.result(), "changes": changes });
        match format {
            ObjectFormat::Json => screen.json(&value),
            ObjectFormat::Yaml => {
                show::yaml(screen, &value)?;
                screen.bytes(b"---\n")
            }
            ObjectFormat::Table if !self.is_some() => Ok(()),
            ObjectFormat::Table => self.lines(screen),
        }
    }

    fn lines(&self, screen: &Screen) -> Result<(), CommandError> {
        let would = match self.result() {
            "conflict" => "has changed since the document was read; `apply` would be refused",
            "create" => "would be created",
            _ => "would be updated",
        };
        let name = screen.painted(&self.name, Paint::Bold);
        screen.line(format!("{name}: {would}"))?;
        for field in &self.fields {
            let line = |sign, value: &Value| format!("  {sign} {}: {value}", field.path);
            let before = field
                .before
                .as_ref()
                .map(|value| (line('-', value), Paint::Bad));
            let after = field
                .after
                .as_ref()
                .map(|value| (line('+', value), Paint::Good));
            for (line, paint) in before.into_iter().chain(after) {
                screen.line(screen.painted(shown_lines(&line).as_ref(), paint))?;
            }
        }
        Ok(())
    }
}
