//! Converts the values of a program's own keys in a file to arguments.

use super::argument::{Argument, Arguments};
use super::error::{ScenarioError, SourceText, newlines};
use super::file::{At, OwnKey, OwnKeys, Text};
use super::form::{Field, FileSettings, Form, Presence, Shape};
use super::names::{Names, Selector};
use super::suggestion::suggestion;
use super::value::with;
use phalanx_core::random::{hash_bytes, mix};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_spanned::Spanned;
use std::collections::BTreeMap;
use std::path::Path;
use toml::de::{DeTable, DeValue, ValueDeserializer};

/// Reads the program-specific keys of one table of a file.
pub(crate) struct OwnKeysReader<'a> {
    pub(crate) source: &'a SourceText<'a>,
    /// The names that selectors may contain; `None`: selectors are not allowed.
    pub(crate) names: Option<&'a Names>,
    /// The byte position of the table.
    pub(crate) at: usize,
}

/// Verifies that a value is a table.
#[derive(Deserialize)]
struct Table {}

impl OwnKeysReader<'_> {
    /// Reads all program-specific keys.
    pub(crate) fn keys(&self, keys: OwnKeys<'_>) -> Result<Arguments, ScenarioError> {
        let mut arguments = Arguments::new();
        for OwnKey {
            program,
            field,
            value,
        } in keys
        {
            if let Some(argument) = self.argument(program, field, value)? {
                arguments = arguments.with(field.key, argument);
            }
        }
        Ok(arguments)
    }

    /// Reads a key whose value is a table with a selector: returns the selected nodes and the other arguments.
    pub(crate) fn about(&self, key: OwnKey<'_>) -> Result<(Selector, Arguments), ScenarioError> {
        let OwnKey {
            program,
            field,
            value,
        } = key;
        let mut arguments = match self.argument(program, field, value)? {
            Some(Argument::Table(arguments)) => arguments,
            _ => Arguments::new(),
        };
        let who = arguments.take_who("who");
        Ok((who.unwrap_or_else(|| Selector::of(&[])), arguments))
    }

    /// Reads a value; `None` if the value is equivalent to an absent key.
    fn argument(
        &self,
        program: &'static str,
        field: &'static Field,
        value: Spanned<DeValue<'_>>,
    ) -> Result<Option<Argument>, ScenarioError> {
        let optional = field.presence != Presence::Needed;
        let empty = field.presence == Presence::Empty;
        Ok(match field.shape {
            Shape::Hosts => Some(Argument::Who(self.hosts(value)?)),
            Shape::HostsOrNobody => Some(Argument::WhoOrNobody(self.hosts(value)?)),
            Shape::Processes => Some(Argument::Who(self.processes(program, value)?)),
            Shape::Text(read) => {
                let text = with(self.source, &self.parsed(value)?, read)?;
                (!(optional && text.is_empty())).then_some(Argument::Text(text))
            }
            Shape::Texts(read) => {
                let texts: Vec<Text> = self.parsed(value)?;
                let texts = texts.iter().map(|text| with(self.source, text, read));
                let texts: Vec<String> = texts.collect::<Result<_, _>>()?;
                (!(empty && texts.is_empty())).then_some(Argument::Texts(texts))
            }
            Shape::FreePairs => {
                let pairs: BTreeMap<String, String> = self.parsed(value)?;
                (!(empty && pairs.is_empty())).then_some(Argument::Pairs(pairs))
            }
            Shape::Pairs { key, text } => {
                let pairs: BTreeMap<String, Text> = self.parsed(value)?;
                let pairs = pairs.iter().map(|(name, value)| {
                    key(name).map_err(|why| self.source.error(self.at, field.key, why))?;
                    Ok((name.clone(), with(self.source, value, text)?))
                });
                let pairs: BTreeMap<String, String> = pairs.collect::<Result<_, _>>()?;
                (!(empty && pairs.is_empty())).then_some(Argument::Pairs(pairs))
            }
            Shape::Time(read) => {
                let time = with(self.source, &self.parsed(value)?, read)?;
                Some(Argument::Time(time))
            }
            Shape::Number { min, max } => {
                let number: At<u64> = self.parsed(value)?;
                let found = *number.get_ref();
                if !(min..=max).contains(&found) {
                    let most = if max == u64::MAX {
                        "up".to_owned()
                    } else {
                        format!("to {max}")
                    };
                    let message = format!("`{found}` is out of bounds; write {min} {most}");
                    return Err(self.source.error(number.span().start, "", message));
                }
                Some(Argument::Number(found))
            }
            Shape::U32 => Some(Argument::Number(self.parsed::<u32>(value)?.into())),
            Shape::Flag(usual) => {
                let flag: bool = self.parsed(value)?;
                (flag != usual).then_some(Argument::Flag(flag))
            }
            Shape::Table(form) => {
                let table = self.form(program, field, form, value)?;
                (!(empty && table.is_empty())).then_some(Argument::Table(table))
            }
            Shape::Settings(settings) => {
                let table = self.settings(program, field, settings, value)?;
                (!(empty && table.is_empty())).then_some(Argument::Table(table))
            }
        })
    }

    /// Reads a value of a plain type.
    fn parsed<T: DeserializeOwned>(&self, value: Spanned<DeValue<'_>>) -> Result<T, ScenarioError> {
        T::deserialize(ValueDeserializer::from(value))
            .map_err(|error| self.source.parse_error(&error))
    }

    fn names(&self, place: &Text) -> Result<&Names, ScenarioError> {
        self.names.ok_or_else(|| {
            let message = "cannot name nodes here";
            self.source.error(place.span().start, "", message)
        })
    }

    fn hosts(&self, value: Spanned<DeValue<'_>>) -> Result<Selector, ScenarioError> {
        let text: Text = self.parsed(value)?;
        let names = self.names(&text)?;
        with(self.source, &text, |word| names.selector(word))
    }

    /// Reads a selector of a program's processes; the key is not allowed for another program's processes.
    fn processes(
        &self,
        program: &'static str,
        value: Spanned<DeValue<'_>>,
    ) -> Result<Selector, ScenarioError> {
        let text: Text = self.parsed(value)?;
        let names = self.names(&text)?;
        with(self.source, &text, |word| {
            let chosen = names.processes(word)?;
            match chosen.program() {
                Some(other) if other != program => Err(format!(
                    "`{word}` names processes of {other}, and this is a word of {program}"
                )),
                Some(_) | None => Ok(chosen),
            }
        })
    }

    fn form(
        &self,
        program: &'static str,
        word: &'static Field,
        form: &'static Form,
        value: Spanned<DeValue<'_>>,
    ) -> Result<Arguments, ScenarioError> {
        let at = value.span().start;
        if !matches!(value.get_ref(), DeValue::Table(_)) {
            self.parsed::<Table>(value)?;
            return Ok(Arguments::new());
        }
        let DeValue::Table(mut table) = value.into_inner() else {
            return Ok(Arguments::new());
        };
        self.no_other_keys(form, &table)?;
        let needed = form.fields.iter();
        let needed = needed.filter(|field| field.presence == Presence::Needed);
        let keys = needed.map(|field| field.key);
        let missing: Vec<&str> = keys.filter(|key| !table.contains_key(*key)).collect();
        if !missing.is_empty() {
            return Err(self.source.missing_keys(at, &missing, "such table"));
        }
        let mut arguments = Arguments::new();
        for field in form.fields {
            let argument = match table.remove(field.key) {
                Some(value) => self.argument(program, field, value)?,
                None if field.key == "who" => Some(Argument::Who(self.all()?)),
                None => None,
            };
            if let Some(argument) = argument {
                arguments = arguments.with(field.key, argument);
            }
        }
        (form.check)(&arguments).map_err(|why| self.source.error(self.at, word.key, why))?;
        Ok(arguments)
    }

    /// Reads a table of settings, after the operator's file that the table names.
    fn settings(
        &self,
        program: &'static str,
        word: &'static Field,
        settings: &'static FileSettings,
        value: Spanned<DeValue<'_>>,
    ) -> Result<Arguments, ScenarioError> {
        let span = value.span();
        let DeValue::Table(mut table) = value.into_inner() else {
            let message = "needs a table, such as { file = \"phalanxd.toml\" }";
            return Err(self.source.error(span.start, word.key, message));
        };
        let given = match table.remove(FileSettings::FILE) {
            Some(file) => self.settings_of_file(program, word, settings, &self.parsed(file)?)?,
            None => Arguments::new(),
        };
        let value = Spanned::new(span.clone(), DeValue::Table(table));
        let own = self.form(program, word, settings.form, value)?;
        let is_kept = |key: &str| !own.iter().any(|(other, _)| (settings.same)(key, other));
        let kept = given.iter().filter(|(key, _)| is_kept(key));
        let all: Vec<(&'static str, &Argument)> = kept.chain(own.iter()).collect();
        let mut merged = Arguments::new();
        for field in settings.form.fields {
            if let Some((key, argument)) = all.iter().find(|(key, _)| *key == field.key) {
                merged = merged.with(key, (*argument).clone());
            }
        }
        (settings.form.check)(&merged)
            .map_err(|why| self.source.error(span.start, word.key, why))?;
        Ok(merged)
    }

    /// Reads the settings of an operator's file. Other tables of the operator's file are not read.
    fn settings_of_file(
        &self,
        program: &'static str,
        word: &'static Field,
        settings: &'static FileSettings,
        name: &Text,
    ) -> Result<Arguments, ScenarioError> {
        let at = name.span().start;
        let path = Path::new(self.source.file_at(at)).with_file_name(name.get_ref());
        let text = std::fs::read_to_string(&path).map_err(|why| {
            let message = format!("{} cannot be read: {why}", path.display());
            self.source.error(at, FileSettings::FILE, message)
        })?;
        let hash = hash_bytes(text.as_bytes());
        self.source.others.set(mix(self.source.others.get() ^ hash));
        let file = path.display().to_string();
        let newlines = newlines(&text);
        let source = SourceText {
            file: &file,
            text: &text,
            included: &[],
            newlines: &newlines,
            ..*self.source
        };
        let reader = OwnKeysReader {
            source: &source,
            names: None,
            at: 0,
        };
        let wrong = |error: toml::de::Error| source.parse_error(&error);
        let mut tables = DeTable::parse(&text).map_err(wrong)?.into_inner();
        match tables.remove(settings.table) {
            Some(table) => reader.form(program, word, settings.file, table),
            None => Ok(Arguments::new()),
        }
    }

    fn no_other_keys(&self, form: &Form, table: &DeTable<'_>) -> Result<(), ScenarioError> {
        let known = form.fields.iter().map(|field| field.key);
        for key in table.keys() {
            let word: &str = key.get_ref();
            if !known.clone().any(|known| known == word) {
                let hint = suggestion(word, known);
                let message = format!("is not a key here{hint}");
                return Err(self.source.error(key.span().start, word, message));
            }
        }
        Ok(())
    }

    fn all(&self) -> Result<Selector, ScenarioError> {
        let all = self.names.map(|names| names.selector("all"));
        let all = all.unwrap_or_else(|| Err("cannot name nodes here".to_owned()));
        all.map_err(|why| self.source.error(self.at, "who", why))
    }
}
