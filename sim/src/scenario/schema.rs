//! The JSON Schema of scenario files: the tables of all systems, with the keys of a system's programs in them.

use super::form::{Field, FileSettings, Presence, Shape};
use super::vocabulary::Vocabulary;
use serde_json::{Map, Value, json};

/// Returns the JSON Schema of a system's scenario files.
///
/// # Panics
/// Panics if a program has a key that every system already has.
#[must_use]
pub fn schema(vocabulary: &Vocabulary) -> Value {
    let schema = schemars::schema_for!(super::file::ScenarioFile);
    let mut schema = Schema(serde_json::to_value(schema).unwrap_or(Value::Null));
    for words in &vocabulary.programs {
        for field in words.settings {
            schema.add(&["properties"], words.program, field);
        }
        for field in words.hosts {
            schema.add(&["$defs", "NodesTable", "properties"], words.program, field);
        }
        for step in words.steps {
            let place = ["$defs", "StepTable", "properties"];
            schema.add(&place, words.program, &step.field);
        }
        for field in words.conditions {
            let place = ["$defs", "ConditionTable", "properties"];
            schema.add(&place, words.program, field);
        }
        for fault in words.faults {
            schema.name_fault(fault.word);
        }
    }
    schema.0
}

/// A schema under construction.
struct Schema(Value);

impl Schema {
    fn object(&mut self, place: &[&str]) -> Option<&mut Map<String, Value>> {
        let inner = place
            .iter()
            .try_fold(&mut self.0, |at, key| at.get_mut(key));
        inner?.as_object_mut()
    }

    /// Adds a key to the properties at a path.
    fn add(&mut self, place: &[&str], program: &str, field: &'static Field) {
        let property = self.property(program, field);
        if let Some(properties) = self.object(place) {
            let taken = properties.insert(field.key.to_owned(), property);
            assert!(taken.is_none(), "`{}` is a key of every system", field.key);
        }
    }

    fn property(&mut self, program: &str, field: &'static Field) -> Value {
        let nullable = field.presence == Presence::Optional;
        let of = |kind: &str| {
            if nullable {
                json!([kind, "null"])
            } else {
                json!(kind)
            }
        };
        let texts = json!({ "type": "string" });
        let mut property = match field.shape {
            Shape::Hosts | Shape::HostsOrNobody | Shape::Processes => {
                json!({ "type": of("string") })
            }
            Shape::Text(_) | Shape::Time(_) => json!({ "type": of("string") }),
            Shape::Texts(_) => json!({ "type": of("array"), "items": texts }),
            Shape::Pairs { .. } => json!({ "type": of("object"), "additionalProperties": texts }),
            Shape::FreePairs => {
                let mut pairs = json!({ "type": of("object"), "additionalProperties": texts });
                if field.presence == Presence::Empty {
                    pairs["default"] = json!({});
                }
                pairs
            }
            Shape::Number { min, max } => {
                let mut number = json!({ "type": of("integer"), "minimum": min });
                if max < u64::MAX {
                    number["maximum"] = json!(max);
                }
                number
            }
            Shape::U32 => json!({ "type": of("integer"), "format": "uint32", "minimum": 0 }),
            Shape::Flag(_) => json!({ "type": of("boolean") }),
            Shape::Table(_) | Shape::Settings(_) => {
                let definition = json!({ "$ref": self.table(program, field) });
                if nullable {
                    json!({ "anyOf": [definition, { "type": "null" }] })
                } else {
                    definition
                }
            }
        };
        property["description"] = json!(field.about);
        property
    }

    /// Defines a table, and returns a reference to its definition.
    fn table(&mut self, program: &str, field: &Field) -> String {
        let mut properties = Map::new();
        let key = field.key;
        let form = if let Shape::Settings(settings) = field.shape {
            let about =
                "The file of an operator, beside this one, whose table of this name is taken.";
            let file = json!({ "type": ["string", "null"], "description": about });
            properties.insert(FileSettings::FILE.to_owned(), file);
            settings.form
        } else if let Shape::Table(form) = field.shape {
            form
        } else {
            return String::new();
        };
        for field in form.fields {
            properties.insert(field.key.to_owned(), self.property(program, field));
        }
        let mut table = json!({
            "type": "object",
            "description": form.about,
            "properties": properties,
            "additionalProperties": false,
        });
        let needed = form.fields.iter();
        let needed = needed.filter(|field| field.presence == Presence::Needed);
        let needed: Vec<&str> = needed.map(|field| field.key).collect();
        if !needed.is_empty() {
            table["required"] = json!(needed);
        }
        let name = format!("{}Table", pascal(key));
        let Some(definitions) = self.object(&["$defs"]) else {
            return String::new();
        };
        // Tables of different forms may have the same key.
        let name = match definitions.get(&name) {
            Some(other) if *other != table => format!("{}{name}", pascal(program)),
            Some(_) | None => name,
        };
        definitions.insert(name.clone(), table);
        format!("#/$defs/{name}")
    }

    /// Adds a fault to the kinds in the description of chaos.
    fn name_fault(&mut self, word: &str) {
        let kinds = ["$defs", "ChaosTable", "properties", "kinds"];
        let Some(kinds) = self.object(&kinds) else {
            return;
        };
        let about = kinds.get("description").and_then(Value::as_str);
        let about = about.unwrap_or_default();
        let about = about.replacen(" (default", &format!(", `{word}` (default"), 1);
        kinds.insert("description".to_owned(), json!(about));
    }
}

/// Converts a key to Pascal case: `flap-hard` to `FlapHard`.
fn pascal(key: &str) -> String {
    let parts = key.split(['-', '_']);
    let part = |part: &str| {
        let mut letters = part.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    parts.map(part).collect()
}
