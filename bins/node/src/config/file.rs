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
            let at = reader.origin(error.span().map_or(0, |span| span.start));
            reader
                .problems
                .push(format!("{at}: is no TOML: {}", error.message()));
        }
    }
    if reader.problems.is_empty() {
        Ok(reader.layer)
    } else {
        Err(reader.problems)
    }
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    layer: Layer,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn origin(&self, byte: usize) -> Origin {
        let before = self.text.as_bytes().iter().take(byte);
        Origin::File(
            self.path.to_owned(),
            1 + before.filter(|byte| **byte == b'\n').count(),
        )
    }

    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let full = format!("{prefix}{}", name.get_ref());
            let at = self.origin(name.span().start);
            if let Some(key) = Key::named(&full) {
                self.value(key, at, value);
            } else if let (true, Some(inner)) = (Key::is_table(&full), value.get_ref().as_table()) {
                self.table(&format!("{full}."), inner);
            } else {
                self.unknown(&at, &full);
            }
        }
    }

    fn unknown(&mut self, at: &Origin, name: &str) {
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
        self.problems.push(match meant {
            Some(meant) if Key::is_table(meant) => {
                format!("{at}: {name}: is no key with a value; {meant:?} is a table")
            }
            Some(meant) => format!("{at}: {name}: unknown key; did you mean {meant:?}?"),
            None => format!("{at}: {name}: unknown key; phalanxd --help names all"),
        });
    }

    fn value(&mut self, key: Key, at: Origin, value: &Spanned<DeValue<'_>>) {
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
            self.layer.insert(key, Given { origin: at, value });
        } else {
            let (name, kind) = (key.name(), value.get_ref().type_str());
            self.problems
                .push(format!("{at}: {name}: is {kind}; write {wanted}"));
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
