//! Flags of the command line as a source.

use super::key::{SettingKey, ValueKind};
use super::layer::{Given, Layer, Origin, Value};
use super::nearest::nearest;
use super::program::DaemonProgram;

/// Reads pairs of a flag, with its dashes, and its text. Of a text or a number the last pair counts; the texts of a
/// list or a table are collected.
pub(super) fn read<'a, K: SettingKey>(
    program: &DaemonProgram,
    pairs: impl IntoIterator<Item = (&'a str, String)>,
) -> Result<Layer<K>, Vec<String>> {
    let mut layer = Layer::new();
    let mut problems = Vec::new();
    for (name, text) in pairs {
        let known = K::ALL
            .iter()
            .find_map(|key| Some((*key, key.flag().filter(|flag| *flag == name)?)));
        match known {
            Some((key, flag)) => take(&mut layer, key, Origin::Flag(flag), text),
            None => problems.push(unknown::<K>(program, name)),
        }
    }
    if problems.is_empty() {
        Ok(layer)
    } else {
        Err(problems)
    }
}

fn take<K: SettingKey>(layer: &mut Layer<K>, key: K, origin: Origin, text: String) {
    let item = (origin.clone(), text);
    let value = match key.kind() {
        ValueKind::Text | ValueKind::Number { .. } => Value::Text(item.1),
        ValueKind::List | ValueKind::Table => match layer.remove(&key).map(|given| given.value) {
            Some(Value::List(mut items)) => {
                items.push(item);
                Value::List(items)
            }
            Some(Value::Text(_)) | None => Value::List(vec![item]),
        },
    };
    layer.insert(key, Given { origin, value });
}

fn unknown<K: SettingKey>(program: &DaemonProgram, name: &str) -> String {
    let known = K::ALL.iter().filter_map(|key| key.flag());
    match nearest(name, known) {
        Some(meant) => format!("{name}: unknown flag; did you mean {meant}?"),
        None => format!(
            "{name}: unknown flag; {} --help lists the flags",
            program.name
        ),
    }
}
