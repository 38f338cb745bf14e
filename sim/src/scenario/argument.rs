//! The arguments of a program's own vocabulary, as a file states them.

use super::names::{Named, Selector};
use super::text::short;
use core::time::Duration;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// An argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A set of nodes. An empty set would change the meaning of the key.
    Who(Selector),
    /// A set of nodes that may be empty.
    WhoOrNobody(Selector),
    /// A text.
    Text(String),
    /// A list of texts.
    Texts(Vec<String>),
    /// Texts by arbitrary keys.
    Pairs(BTreeMap<String, String>),
    /// A time span.
    Time(Duration),
    /// A number.
    Number(u64),
    /// A boolean.
    Flag(bool),
    /// A table of arguments.
    Table(Arguments),
    /// Any value; the program parses it itself.
    Value(Value),
}

/// The arguments of one table, in the order of the table's form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments(Vec<(&'static str, Argument)>);

impl Arguments {
    /// Creates an empty list of arguments.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Returns the arguments with one appended.
    #[must_use]
    pub fn with(mut self, key: &'static str, argument: Argument) -> Self {
        self.0.push((key, argument));
        self
    }

    /// Returns whether there are no arguments.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Iterates over the arguments with their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Argument)> {
        self.0.iter().map(|(key, argument)| (*key, argument))
    }

    /// Returns the argument of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Argument> {
        let found = self.0.iter().find(|(known, _)| *known == key);
        found.map(|(_, argument)| argument)
    }

    /// Returns the nodes of a key.
    #[must_use]
    pub fn who(&self, key: &str) -> Option<&Selector> {
        match self.get(key) {
            Some(Argument::Who(who) | Argument::WhoOrNobody(who)) => Some(who),
            _ => None,
        }
    }

    /// Returns the text of a key.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(Argument::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Returns the list of texts of a key.
    #[must_use]
    pub fn texts(&self, key: &str) -> Option<&[String]> {
        match self.get(key) {
            Some(Argument::Texts(texts)) => Some(texts),
            _ => None,
        }
    }

    /// Returns the texts by arbitrary keys that a key holds.
    #[must_use]
    pub fn pairs(&self, key: &str) -> Option<&BTreeMap<String, String>> {
        match self.get(key) {
            Some(Argument::Pairs(pairs)) => Some(pairs),
            _ => None,
        }
    }

    /// Returns the time span of a key.
    #[must_use]
    pub fn time(&self, key: &str) -> Option<Duration> {
        match self.get(key) {
            Some(Argument::Time(time)) => Some(*time),
            _ => None,
        }
    }

    /// Returns the time span of a key, mutable.
    pub fn time_mut(&mut self, key: &str) -> Option<&mut Duration> {
        let found = self.0.iter_mut().find(|(known, _)| *known == key);
        match found {
            Some((_, Argument::Time(time))) => Some(time),
            _ => None,
        }
    }

    /// Returns the number of a key.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        match self.get(key) {
            Some(Argument::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// Returns the flag of a key.
    #[must_use]
    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key) {
            Some(Argument::Flag(flag)) => Some(*flag),
            _ => None,
        }
    }

    /// Returns the table of a key.
    #[must_use]
    pub fn table(&self, key: &str) -> Option<&Self> {
        match self.get(key) {
            Some(Argument::Table(table)) => Some(table),
            _ => None,
        }
    }

    /// Returns the value of a key that the program parses itself.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&Value> {
        match self.get(key) {
            Some(Argument::Value(value)) => Some(value),
            _ => None,
        }
    }

    /// Removes the argument of a key, and returns its nodes.
    pub(super) fn take_who(&mut self, key: &str) -> Option<Selector> {
        let place = self.0.iter().position(|(known, _)| *known == key)?;
        let (_, removed) = self.0.remove(place);
        let (Argument::Who(who) | Argument::WhoOrNobody(who)) = removed else {
            return None;
        };
        Some(who)
    }

    /// Returns the arguments without the one of a key.
    #[must_use]
    pub fn without(&self, key: &str) -> Self {
        let rest = self.0.iter().filter(|(known, _)| *known != key);
        Self(rest.cloned().collect())
    }

    /// Returns the arguments with each set of nodes replaced.
    #[must_use]
    pub fn mapped(&self, map: &dyn Fn(&Selector) -> Selector) -> Self {
        let mapped = |argument: &Argument| match argument {
            Argument::Who(who) => Argument::Who(map(who)),
            Argument::WhoOrNobody(who) => Argument::WhoOrNobody(map(who)),
            Argument::Table(table) => Argument::Table(table.mapped(map)),
            Argument::Text(_) | Argument::Texts(_) | Argument::Pairs(_) => argument.clone(),
            Argument::Time(_) | Argument::Number(_) | Argument::Flag(_) => argument.clone(),
            Argument::Value(_) => argument.clone(),
        };
        let all = self.0.iter();
        Self(
            all.map(|(key, argument)| (*key, mapped(argument)))
                .collect(),
        )
    }

    /// Returns whether a set of nodes is empty although it must not be.
    #[must_use]
    pub fn lacks_nodes(&self) -> bool {
        self.0.iter().any(|(_, argument)| match argument {
            Argument::Who(who) => who.fixed().is_some_and(|hosts| hosts.is_empty()),
            Argument::Table(table) => table.lacks_nodes(),
            Argument::WhoOrNobody(_) | Argument::Value(_) => false,
            Argument::Text(_) | Argument::Texts(_) | Argument::Pairs(_) => false,
            Argument::Time(_) | Argument::Number(_) | Argument::Flag(_) => false,
        })
    }

    /// Returns the arguments in the form that a process receives: nodes by name, time spans in the notation of files.
    #[must_use]
    pub fn to_json(&self, hosts: &[impl Named]) -> Value {
        let names = |who: &Selector| match who.fixed() {
            Some(chosen) => chosen.iter().map(|host| hosts[*host].name()).collect(),
            None => Value::from(who.show(hosts)),
        };
        let json = |argument: &Argument| match argument {
            Argument::Who(who) | Argument::WhoOrNobody(who) => names(who),
            Argument::Text(text) => Value::from(text.as_str()),
            Argument::Texts(texts) => texts.iter().map(String::as_str).collect(),
            Argument::Pairs(pairs) => {
                let pairs = pairs.iter();
                Value::Object(
                    pairs
                        .map(|(key, text)| (key.clone(), text.as_str().into()))
                        .collect(),
                )
            }
            Argument::Time(time) => Value::from(short(*time)),
            Argument::Number(number) => Value::from(*number),
            Argument::Flag(flag) => Value::from(*flag),
            Argument::Table(table) => table.to_json(hosts),
            Argument::Value(value) => value.clone(),
        };
        let all = self.0.iter();
        let all: Map<String, Value> = all
            .map(|(key, argument)| ((*key).to_owned(), json(argument)))
            .collect();
        Value::Object(all)
    }
}
