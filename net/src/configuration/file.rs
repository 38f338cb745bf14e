//! The configuration file as a source.

use super::key::{SettingKey, ValueKind, tables};
use super::layer::{Given, Layer, Origin, Value};
use super::nearest::nearest;
use super::program::DaemonProgram;
use std::borrow::Cow;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Reads the file at `path`.
pub(super) fn read<K: SettingKey>(
    program: &DaemonProgram,
    path: &Path,
) -> Result<Layer<K>, Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        vec![format!(
            "{}: cannot be read: {error}; check that it exists and that this user may read it",
            path.display()
        )]
    })?;
    parse(program, path, &text)
}

/// Parses the text of the file at `path`. Problems are ordered by line.
pub(super) fn parse<K: SettingKey>(
    program: &DaemonProgram,
    path: &Path,
    text: &str,
) -> Result<Layer<K>, Vec<String>> {
    let mut reader = Reader {
        program,
        path,
        text,
        layer: Layer::new(),
        problems: Vec::new(),
    };
    match DeTable::parse(text) {
        Ok(table) => reader.table("", table.get_ref()),
        Err(error) => {
            let at = reader.line(error.span().map_or(0, |span| span.start));
            reader.problem(at, &format!("is no TOML: {}", error.message()));
        }
    }
    if reader.problems.is_empty() {
        return Ok(reader.layer);
    }
    reader.problems.sort();
    Err(reader
        .problems
        .into_iter()
        .map(|(_, problem)| problem)
        .collect())
}

struct Reader<'a, K> {
    program: &'a DaemonProgram,
    path: &'a Path,
    text: &'a str,
    layer: Layer<K>,
    /// Problems with their lines.
    problems: Vec<(usize, String)>,
}

impl<K: SettingKey> Reader<'_, K> {
    fn line(&self, byte: usize) -> usize {
        let before = self.text.as_bytes().iter().take(byte);
        1 + before.filter(|byte| **byte == b'\n').count()
    }

    fn origin(&self, byte: usize) -> Origin {
        Origin::File(self.path.to_owned(), self.line(byte))
    }

    fn problem(&mut self, line: usize, what: &str) {
        let place = Origin::File(self.path.to_owned(), line);
        self.problems.push((line, format!("{place}: {what}")));
    }

    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let full = format!("{prefix}{}", name.get_ref());
            let at = self.line(name.span().start);
            if let Some(key) = K::named(&full) {
                self.value(key, at, value);
            } else if let (true, Some(inner)) = (K::is_table(&full), value.get_ref().as_table()) {
                self.table(&format!("{full}."), inner);
            } else {
                self.unknown(at, &full);
            }
        }
    }

    fn unknown(&mut self, at: usize, name: &str) {
        let names = || K::ALL.iter().map(|key| key.name());
        let last = |word: &str| word.rsplit('.').next().unwrap_or_default().to_owned();
        // A key in the wrong table, or outside its table, is suggested too.
        let moved = names().find(|full| last(full) == last(name));
        let meant = nearest(name, names().chain(tables::<K>())).or(moved);
        let correction = match meant {
            Some(meant) if meant == name => format!("is a table; write [{name}]"),
            Some(meant) => format!("unknown key; did you mean {meant:?}?"),
            None => format!(
                "unknown key; {} --help says what can be set",
                self.program.name
            ),
        };
        self.problem(at, &format!("{name}: {correction}"));
    }

    fn value(&mut self, key: K, at: usize, value: &Spanned<DeValue<'_>>) {
        let content = value.get_ref();
        let (wanted, found) = match key.kind() {
            ValueKind::Text => ("a string, in quotes", text(content)),
            ValueKind::Number { .. } => ("a whole number", number(content)),
            ValueKind::List => ("an array of strings", self.list(content)),
            ValueKind::Table => ("a table of strings", self.entries(content)),
        };
        if let Some(value) = found {
            let origin = Origin::File(self.path.to_owned(), at);
            self.layer.insert(key, Given { origin, value });
        } else {
            let (name, kind) = (key.name(), content.type_str());
            self.problem(
                at,
                &format!("{name}: is of the type {kind}; write {wanted}"),
            );
        }
    }

    fn list(&self, value: &DeValue<'_>) -> Option<Value> {
        let items = value.as_array()?.iter();
        let text = |item: &Spanned<DeValue<'_>>| {
            let text = item.get_ref().as_str()?;
            Some((self.origin(item.span().start), text.to_owned()))
        };
        items.map(text).collect::<Option<_>>().map(Value::List)
    }

    fn entries(&self, value: &DeValue<'_>) -> Option<Value> {
        let entries = value.as_table()?.iter();
        let entry = |(key, value): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
            let text = format!("{}={}", key.get_ref(), value.get_ref().as_str()?);
            Some((self.origin(key.span().start), text))
        };
        entries.map(entry).collect::<Option<_>>().map(Value::List)
    }
}

fn text(value: &DeValue<'_>) -> Option<Value> {
    value.as_str().map(|text| Value::Text(text.to_owned()))
}

fn number(value: &DeValue<'_>) -> Option<Value> {
    let integer = value.as_integer()?;
    let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok()?;
    Some(Value::Text(number.to_string()))
}
