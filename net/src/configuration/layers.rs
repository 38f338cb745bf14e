//! The three layers of the configuration, merged by precedence, and the problems found in them.

use super::key::{SettingKey, Unit, ValueKind};
use super::layer::{Given, Layer, Origin, Value};
use super::program::DaemonProgram;
use super::{environment, file, flags};
use core::fmt::Display;
use core::net::SocketAddr;
use core::str::FromStr;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// The values of all sources, of which the highest layer counts, and the problems found so far.
#[derive(Debug)]
pub struct Layers<K> {
    /// From the lowest (the file) to the highest (the flags).
    layers: [Layer<K>; 3],
    documents: BTreeMap<&'static str, String>,
    warnings: Vec<String>,
    problems: Vec<String>,
}

impl<K: SettingKey> Layers<K> {
    /// Reads the file, if there is one, the variables and the flags. Flags are pairs of a name, with its dashes, and a
    /// text.
    ///
    /// # Errors
    /// All problems of the first source that is malformed or holds an unknown key.
    pub fn read<'a>(
        program: &DaemonProgram,
        path: Option<&Path>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        flags: impl IntoIterator<Item = (&'a str, String)>,
    ) -> Result<Self, Vec<String>> {
        let file = path.map(|path| file::read(program, path)).transpose()?;
        let environment = environment::read(program, variables)?;
        let flags = flags::read(program, flags)?;
        Ok(Self {
            layers: [file.unwrap_or_default(), environment.layer, flags],
            documents: environment.documents,
            warnings: environment.warnings,
            problems: Vec::new(),
        })
    }

    /// The value of a key in the highest layer that has one.
    #[must_use]
    pub fn given(&self, key: K) -> Option<&Given> {
        self.layers.iter().rev().find_map(|layer| layer.get(&key))
    }

    /// Takes the text of one of the program's document variables.
    pub fn document(&mut self, variable: &str) -> Option<String> {
        self.documents.remove(variable)
    }

    /// Takes the warnings: things that work and should be corrected.
    pub fn warnings(&mut self) -> Vec<String> {
        core::mem::take(&mut self.warnings)
    }

    /// Adds a problem that belongs to no single key.
    pub fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// Adds a problem of a key at a place.
    pub fn problem_at(&mut self, origin: &Origin, key: K, why: impl Display) {
        let name = key.name();
        self.problem(format!("{origin}: {name}: {why}"));
    }

    /// Adds a problem of a key at the place of its value; if it has none, at the place of `other`, with which it
    /// conflicts.
    pub fn conflict(&mut self, key: K, other: Option<K>, why: impl Display) {
        let place = |key: K| self.given(key).map(|given| given.origin.clone());
        match place(key).or_else(|| other.and_then(place)) {
            Some(origin) => self.problem_at(&origin, key, why),
            None => self.problem(format!("{}: {why}", key.name())),
        }
    }

    /// Adds the problem that a key has no value.
    pub fn missing(&mut self, key: K) {
        let (name, variable) = (key.name(), key.variable());
        let places = match key.flag() {
            Some(_) => format!("in the configuration file, as {variable} or by its flag"),
            None => format!("in the configuration file or as {variable}"),
        };
        self.problem(format!("{name}: is missing; give it {places}"));
    }

    /// The text of a key and its place.
    #[must_use]
    pub fn text(&self, key: K) -> Option<(Origin, String)> {
        let given = self.given(key)?;
        match &given.value {
            Value::Text(text) => Some((given.origin.clone(), text.clone())),
            // Each source gives a value of the kind of its key, so only lists and tables get here.
            Value::List(_) => None,
        }
    }

    /// The text of a key that must have one; a problem if it has none.
    pub fn required_text(&mut self, key: K) -> Option<String> {
        let text = self.text(key);
        if text.is_none() {
            self.missing(key);
        }
        text.map(|(_, text)| text)
    }

    /// The items of a list or a table, each with its place.
    #[must_use]
    pub fn list(&self, key: K) -> Vec<(Origin, String)> {
        match self.given(key).map(|given| &given.value) {
            Some(Value::List(items)) => items.clone(),
            Some(Value::Text(_)) | None => Vec::new(),
        }
    }

    /// The text of a key, parsed; a problem if it cannot be.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, key: K) -> Option<T> {
        let (origin, text) = self.text(key)?;
        let parsed = text.parse();
        self.accepted(&origin, key, &text, parsed)
    }

    /// The items of a list or a table, parsed; a problem for each that cannot be.
    pub fn items<T, E: Display>(&mut self, key: K, parse: impl Fn(&str) -> Result<T, E>) -> Vec<T> {
        let items = self.list(key).into_iter();
        items
            .filter_map(|(origin, text)| self.accepted(&origin, key, &text, parse(&text)))
            .collect()
    }

    /// An address and a port.
    pub fn address(&mut self, key: K) -> Option<SocketAddr> {
        let (origin, text) = self.text(key)?;
        let why = "is not a valid address; write IP:PORT, an IPv6 address in brackets";
        self.accepted(&origin, key, &text, text.parse().map_err(|_| why))
    }

    /// A number within the bounds of its key.
    ///
    /// # Panics
    /// If the key is not declared as a number.
    pub fn number(&mut self, key: K) -> Option<u64> {
        let ValueKind::Number { min, max, .. } = key.kind() else {
            panic!("{key:?} is not declared as a number");
        };
        let (origin, text) = self.text(key)?;
        let number = text
            .parse()
            .ok()
            .filter(|number| (min..=max).contains(number));
        let number = number.ok_or_else(|| match max {
            u64::MAX => format!("is not a whole number from {min} up"),
            max => format!("is not a whole number from {min} to {max}"),
        });
        self.accepted(&origin, key, &text, number)
    }

    /// A duration within the bounds of its key.
    ///
    /// # Panics
    /// If the key is not declared as a number of milliseconds or seconds.
    pub fn duration(&mut self, key: K) -> Option<Duration> {
        let unit = match key.kind() {
            ValueKind::Number { unit, .. } => Some(unit),
            ValueKind::Text | ValueKind::List | ValueKind::Table => None,
        };
        let to_duration: fn(u64) -> Duration = match unit {
            Some(Unit::Milliseconds) => Duration::from_millis,
            Some(Unit::Seconds) => Duration::from_secs,
            Some(Unit::Count | Unit::Bytes) | None => {
                panic!("{key:?} is not declared as a duration")
            }
        };
        self.number(key).map(to_duration)
    }

    /// The checked settings, or every problem.
    ///
    /// # Errors
    /// If any problem was found or `settings` is `None`.
    pub fn finish<T>(self, settings: Option<T>) -> Result<T, Vec<String>> {
        match settings {
            Some(settings) if self.problems.is_empty() => Ok(settings),
            Some(_) | None => Err(self.problems),
        }
    }

    /// The parsed value, or the problem of its text. The text of a secret is left out.
    fn accepted<T, E: Display>(
        &mut self,
        origin: &Origin,
        key: K,
        text: &str,
        parsed: Result<T, E>,
    ) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(why) if key.is_secret() => {
                self.problem_at(origin, key, format_args!("the value {why}"));
                None
            }
            Err(why) => {
                self.problem_at(origin, key, format_args!("{text:?} {why}"));
                None
            }
        }
    }
}
