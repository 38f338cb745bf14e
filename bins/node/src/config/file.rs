//! The configuration file.

use super::key::{Key, Shape, nearest};
use super::layer::{Given, Layer, Origin, Value};
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What the file at `path` says.
pub(super) fn read(path: &Path) -> Result<Layer, Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        vec![format!(
            "{}: cannot be read: {error}; check that it exists and that this user may read it",
            path.display()
        )]
    })?;
    parse(path, &text)
}

/// What the text of the file at `path` says.
pub(super) fn parse(path: &Path, text: &str) -> Result<Layer, Vec<String>> {
    let mut reader = Reader {
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

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    layer: Layer,
    /// By line.
    problems: Vec<(usize, String)>,
}

impl Reader<'_> {
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
            if let Some(key) = Key::named(&full) {
                self.value(key, at, value);
            } else if let (true, Some(inner)) = (Key::is_table(&full), value.get_ref().as_table()) {
                self.table(&format!("{full}."), inner);
            } else {
                self.unknown(at, &full);
            }
        }
    }

    fn unknown(&mut self, at: usize, name: &str) {
        let tables = Key::ALL
            .iter()
            .filter_map(|key| key.name().split_once('.'))
            .map(|(table, _)| table);
        let names = Key::ALL.iter().map(|key| key.name());
        let last = |word: &str| word.rsplit('.').next().unwrap_or_default().to_owned();
        // A key under a wrong table, or under none, is meant too.
        let moved = Key::ALL
            .iter()
            .map(|key| key.name())
            .find(|full| last(full) == last(name));
        let meant = nearest(name, names.chain(tables)).or(moved);
        let mend = match meant {
            Some(meant) if meant == name => "is a table; write [".to_owned() + name + "]",
            Some(meant) => format!("unknown key; did you mean {meant:?}?"),
            None => "unknown key; phalanxd --help says what can be set".to_owned(),
        };
        self.problem(at, &format!("{name}: {mend}"));
    }

    fn value(&mut self, key: Key, at: usize, value: &Spanned<DeValue<'_>>) {
        let (wanted, found) = match key.shape() {
            Shape::Text => (
                "a string, in quotes",
                value
                    .get_ref()
                    .as_str()
                    .map(|text| Value::Text(text.to_owned())),
            ),
            Shape::Number => ("a whole number", number(value.get_ref())),
            Shape::List => ("an array of strings", self.list(value.get_ref())),
            Shape::Table => ("a table of strings", self.entries(value.get_ref())),
        };
        if let Some(value) = found {
            self.layer.insert(
                key,
                Given {
                    origin: Origin::File(self.path.to_owned(), at),
                    value,
                },
            );
        } else {
            let (name, kind) = (key.name(), value.get_ref().type_str());
            self.problem(
                at,
                &format!("{name}: is of the type {kind}; write {wanted}"),
            );
        }
    }

    fn list(&self, value: &DeValue<'_>) -> Option<Value> {
        let items = value.as_array()?.iter();
        let text = |item: &Spanned<DeValue<'_>>| {
            Some((
                self.origin(item.span().start),
                item.get_ref().as_str()?.to_owned(),
            ))
        };
        items.map(text).collect::<Option<_>>().map(Value::List)
    }

    fn entries(&self, value: &DeValue<'_>) -> Option<Value> {
        let entry = |(key, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
            let text = format!("{}={}", key.get_ref(), value.get_ref().as_str()?);
            Some((self.origin(key.span().start), text))
        };
        value
            .as_table()?
            .iter()
            .map(entry)
            .collect::<Option<_>>()
            .map(Value::List)
    }
}

fn number(value: &DeValue<'_>) -> Option<Value> {
    let integer = value.as_integer()?;
    let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok()?;
    Some(Value::Text(number.to_string()))
}
