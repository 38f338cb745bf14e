//! The environment as a source.

use super::key::{SettingKey, ValueKind};
use super::layer::{Given, Layer, Origin, Value};
use super::nearest::nearest;
use super::program::DaemonProgram;
use std::collections::BTreeMap;
use std::ffi::OsString;

/// The variables of one program.
pub(super) struct Environment<K> {
    /// The settings.
    pub(super) layer: Layer<K>,
    /// The values of the program's documents, by variable.
    pub(super) documents: BTreeMap<&'static str, String>,
    /// Warnings about variables of the program's prefix that no key has.
    pub(super) warnings: Vec<String>,
}

/// Reads the variables that begin with the program's prefix.
pub(super) fn read<K: SettingKey>(
    program: &DaemonProgram,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Environment<K>, Vec<String>> {
    let mut environment = Environment {
        layer: Layer::new(),
        documents: BTreeMap::new(),
        warnings: Vec::new(),
    };
    let mut problems = Vec::new();
    for (name, value) in variables {
        let Some(name) = name
            .to_str()
            .filter(|name| name.starts_with(program.prefix))
        else {
            continue;
        };
        match value.into_string() {
            Ok(value) => environment.take(program, name, value),
            Err(_) => problems.push(format!("environment variable {name}: is not valid UTF-8")),
        }
    }
    if problems.is_empty() {
        Ok(environment)
    } else {
        Err(problems)
    }
}

impl<K: SettingKey> Environment<K> {
    fn take(&mut self, program: &DaemonProgram, name: &str, value: String) {
        let document = program.documents.iter().find(|known| **known == name);
        if let Some(document) = document {
            self.documents.insert(document, value);
        } else if let Some(key) = K::ALL.iter().copied().find(|key| key.variable() == name) {
            let origin = Origin::Variable(name.to_owned());
            let value = match key.kind() {
                ValueKind::Text | ValueKind::Number { .. } => Value::Text(value),
                ValueKind::List | ValueKind::Table => Value::List(items(&origin, &value)),
            };
            self.layer.insert(key, Given { origin, value });
        } else if !program.read_elsewhere.contains(&name) {
            self.warnings.push(unknown::<K>(program, name));
        }
    }
}

fn unknown<K: SettingKey>(program: &DaemonProgram, name: &str) -> String {
    let known = K::ALL.iter().map(|key| key.variable());
    let meant = nearest(name, known.chain(program.documents.iter().copied()))
        .map(|meant| format!("; did you mean {meant}?"))
        .unwrap_or_default();
    format!(
        "environment variable {name}: means nothing to {}{meant}",
        program.name
    )
}

fn items(origin: &Origin, value: &str) -> Vec<(Origin, String)> {
    let items = value
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty());
    items
        .map(|item| (origin.clone(), item.to_owned()))
        .collect()
}
