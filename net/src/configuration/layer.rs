//! The values that one source gives, with their origins.

use core::fmt;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The sources, from the lowest to the highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SettingSource {
    /// The configuration file.
    File,
    /// Environment variables.
    Environment,
    /// Flags of the command line.
    Flags,
}

/// The place where a value is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of a file, counted from 1.
    File(PathBuf, usize),
    /// An environment variable.
    Variable(String),
    /// A flag.
    Flag(&'static str),
}

impl Origin {
    /// The source of this place.
    #[must_use]
    pub const fn source(&self) -> SettingSource {
        match self {
            Self::File(..) => SettingSource::File,
            Self::Variable(_) => SettingSource::Environment,
            Self::Flag(_) => SettingSource::Flags,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// A value before it is parsed. It has no `Debug`, since it may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// A text, or a number in digits.
    Text(String),
    /// Texts, each with its place. Entries of a table have the form `key=value`.
    List(Vec<(Origin, String)>),
}

/// A value and its place.
#[derive(Clone, PartialEq, Eq)]
pub struct Given {
    /// The place.
    pub origin: Origin,
    /// The value.
    pub value: Value,
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Given at {}", self.origin)
    }
}

/// The values of one source, by key.
pub(super) type Layer<K> = BTreeMap<K, Given>;
