//! The program-specific keys of a file: removed from its tables before these are parsed.

use crate::scenario::form::Field;
use crate::scenario::vocabulary::{Vocabulary, Words};
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

/// A program-specific key, and its value in the file.
#[derive(Debug)]
pub(crate) struct OwnKey<'i> {
    /// The name of the program.
    pub(crate) program: &'static str,
    /// The key.
    pub(crate) field: &'static Field,
    /// The value, with its position.
    pub(crate) value: Spanned<DeValue<'i>>,
}

/// The program-specific keys of one table.
pub(crate) type OwnKeys<'i> = Vec<OwnKey<'i>>;

/// The program-specific keys of a file, by table.
#[derive(Debug)]
pub(crate) struct OwnTables<'i> {
    /// The keys at the top level of the file.
    pub(crate) settings: OwnKeys<'i>,
    /// The keys of each `[[nodes]]`.
    pub(crate) nodes: Vec<OwnKeys<'i>>,
    /// The keys of each `[[at]]`.
    pub(crate) steps: Vec<OwnKeys<'i>>,
    /// The keys of the condition of each `[[expect]]`.
    pub(crate) conditions: Vec<OwnKeys<'i>>,
}

/// Returns the keys that a program defines in one kind of table.
type Kind = fn(&Words) -> Vec<&'static Field>;

/// The keys of an expectation that contain a condition.
const MODES: [&str; 4] = ["eventually", "always", "never", "sometimes"];

fn settings(words: &Words) -> Vec<&'static Field> {
    words.settings.iter().collect()
}

fn hosts(words: &Words) -> Vec<&'static Field> {
    words.hosts.iter().collect()
}

fn steps(words: &Words) -> Vec<&'static Field> {
    words.steps.iter().map(|step| &step.field).collect()
}

fn conditions(words: &Words) -> Vec<&'static Field> {
    words.conditions.iter().collect()
}

impl<'i> OwnTables<'i> {
    /// Removes the program-specific keys from a file.
    pub(crate) fn split(file: &mut DeTable<'i>, vocabulary: &Vocabulary) -> Self {
        let settings = take(file, vocabulary, settings);
        let groups = tables_mut(file, "nodes").into_iter();
        let nodes = groups.map(|group| take(group, vocabulary, hosts)).collect();
        let tables = tables_mut(file, "at").into_iter();
        let steps = tables.map(|table| take(table, vocabulary, steps)).collect();
        let expectations = tables_mut(file, "expect").into_iter();
        let conditions = expectations.map(|expectation| {
            let mut keys = OwnKeys::new();
            for mode in MODES {
                if let Some(condition) = table_mut(expectation, mode) {
                    keys.extend(take(condition, vocabulary, conditions));
                }
            }
            keys
        });
        Self {
            settings,
            nodes,
            steps,
            conditions: conditions.collect(),
        }
    }
}

/// Returns the program-specific keys allowed in the table that has a key at a byte position.
pub(crate) fn words_beside(text: &str, vocabulary: &Vocabulary, at: usize) -> Vec<&'static str> {
    let Ok(file) = DeTable::parse(text) else {
        return Vec::new();
    };
    let mut file = file.into_inner();
    let mut kind: Option<Kind> = has_key_at(&file, at).then_some(settings);
    for (key, of) in [("nodes", hosts as Kind), ("at", steps)] {
        for table in tables_mut(&mut file, key) {
            if has_key_at(table, at) {
                kind = Some(of);
            }
        }
    }
    for expectation in tables_mut(&mut file, "expect") {
        for mode in MODES {
            if table_mut(expectation, mode).is_some_and(|table| has_key_at(table, at)) {
                kind = Some(conditions);
            }
        }
    }
    let programs = vocabulary.programs.iter();
    let fields = programs.flat_map(|words| kind.map(|kind| kind(words)).unwrap_or_default());
    fields.map(|field| field.key).collect()
}

fn has_key_at(table: &DeTable<'_>, at: usize) -> bool {
    table.keys().any(|key| key.span().start == at)
}

/// Returns the tables of an array of tables.
fn tables_mut<'t, 'i>(file: &'t mut DeTable<'i>, key: &str) -> Vec<&'t mut DeTable<'i>> {
    let Some(DeValue::Array(array)) = file.get_mut(key).map(Spanned::get_mut) else {
        return Vec::new();
    };
    array
        .iter_mut()
        .filter_map(|value| as_table(value.get_mut()))
        .collect()
}

fn table_mut<'t, 'i>(table: &'t mut DeTable<'i>, key: &str) -> Option<&'t mut DeTable<'i>> {
    as_table(table.get_mut(key)?.get_mut())
}

const fn as_table<'t, 'i>(value: &'t mut DeValue<'i>) -> Option<&'t mut DeTable<'i>> {
    match value {
        DeValue::Table(table) => Some(table),
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) => None,
        DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) => None,
    }
}

/// Removes the program-specific keys from a table.
fn take<'i>(table: &mut DeTable<'i>, vocabulary: &Vocabulary, kind: Kind) -> OwnKeys<'i> {
    let mut keys = OwnKeys::new();
    for words in &vocabulary.programs {
        for field in kind(words) {
            if let Some(value) = table.remove(field.key) {
                keys.push(OwnKey {
                    program: words.program,
                    field,
                    value,
                });
            }
        }
    }
    keys
}
