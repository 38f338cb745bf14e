//! Declarations of settings: names, kinds, units and bounds.

use core::fmt;
use core::ops::RangeInclusive;
use std::collections::BTreeSet;

/// The kind of value that a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// A string.
    Text,
    /// A whole number within bounds, both included.
    Number {
        /// The unit of the number.
        unit: Unit,
        /// The lowest number.
        min: u64,
        /// The highest number; `u64::MAX` if there is no upper bound.
        max: u64,
    },
    /// An array of strings. In a variable: separated by commas. As a flag: repeated.
    List,
    /// A table of strings. In a variable: `key=value`, separated by commas. As a flag: `key=value`, repeated.
    Table,
}

/// The unit of a number. Names of settings in milliseconds, seconds or bytes end with the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// Milliseconds; the name ends with `_ms`.
    Milliseconds,
    /// Seconds; the name ends with `_seconds`.
    Seconds,
    /// Bytes; the name ends with `_bytes`.
    Bytes,
}

impl Unit {
    /// The end of the names of settings in this unit.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Count => "",
            Self::Milliseconds => "_ms",
            Self::Seconds => "_seconds",
            Self::Bytes => "_bytes",
        }
    }
}

/// The declaration of one setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    name: &'static str,
    variable: &'static str,
    flag: Option<&'static str>,
    kind: ValueKind,
    secret: bool,
}

impl Setting {
    /// A string.
    #[must_use]
    pub const fn text(name: &'static str, variable: &'static str) -> Self {
        Self::new(name, variable, ValueKind::Text)
    }

    /// A whole number within `bounds`.
    #[must_use]
    pub const fn number(
        name: &'static str,
        variable: &'static str,
        unit: Unit,
        bounds: RangeInclusive<u64>,
    ) -> Self {
        let (min, max) = (*bounds.start(), *bounds.end());
        Self::new(name, variable, ValueKind::Number { unit, min, max })
    }

    /// An array of strings.
    #[must_use]
    pub const fn list(name: &'static str, variable: &'static str) -> Self {
        Self::new(name, variable, ValueKind::List)
    }

    /// A table of strings.
    #[must_use]
    pub const fn table(name: &'static str, variable: &'static str) -> Self {
        Self::new(name, variable, ValueKind::Table)
    }

    const fn new(name: &'static str, variable: &'static str, kind: ValueKind) -> Self {
        Self {
            name,
            variable,
            flag: None,
            kind,
            secret: false,
        }
    }

    /// The setting with a flag, written with its dashes.
    #[must_use]
    pub const fn flag(self, flag: &'static str) -> Self {
        Self {
            flag: Some(flag),
            ..self
        }
    }

    /// The setting as a secret: no message shows its value.
    #[must_use]
    pub const fn secret(self) -> Self {
        Self {
            secret: true,
            ..self
        }
    }
}

/// The settings of one daemon. [`keys!`](macro@super::keys) makes an enum that implements it.
pub trait SettingKey: Copy + Ord + fmt::Debug + 'static {
    /// Every key, in the order in which people read them.
    const ALL: &'static [Self];

    /// The declaration of this key.
    fn setting(self) -> Setting;

    /// The name in a file, with dots between tables and keys.
    fn name(self) -> &'static str {
        self.setting().name
    }

    /// The environment variable.
    fn variable(self) -> &'static str {
        self.setting().variable
    }

    /// The flag, with its dashes, if the setting has one.
    fn flag(self) -> Option<&'static str> {
        self.setting().flag
    }

    /// The kind of value.
    fn kind(self) -> ValueKind {
        self.setting().kind
    }

    /// Whether the value is kept out of messages.
    fn is_secret(self) -> bool {
        self.setting().secret
    }

    /// The key of this name in a file.
    #[must_use]
    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|key| key.name() == name)
    }

    /// Whether a table of this name holds keys.
    #[must_use]
    fn is_table(name: &str) -> bool {
        tables::<Self>().any(|table| table == name)
    }
}

/// The tables that hold the keys, some more than once.
pub(super) fn tables<K: SettingKey>() -> impl Iterator<Item = &'static str> {
    K::ALL.iter().flat_map(|key| {
        let name = key.name();
        name.match_indices('.').map(move |(at, _)| &name[..at])
    })
}

/// Every key with its environment variable, one a line, for the help of a command line.
#[must_use]
pub fn help<K: SettingKey>() -> String {
    let width = K::ALL.iter().map(|key| key.name().len()).max();
    let width = width.unwrap_or_default();
    let line = |key: &K| format!("  {:width$}  {}\n", key.name(), key.variable());
    K::ALL.iter().map(line).collect()
}

/// Mistakes in the declarations of a daemon's keys, for a test of the daemon: names, variables and flags that are not
/// unique, secrets with a flag, numbers whose name lacks the unit or whose bounds admit no number, and keys that are
/// tables too.
#[must_use]
pub fn inconsistencies<K: SettingKey>() -> Vec<String> {
    let mut found = Vec::new();
    let mut taken = BTreeSet::new();
    for key in K::ALL {
        let name = key.name();
        let words = [Some(name), Some(key.variable()), key.flag()];
        for word in words.into_iter().flatten() {
            if !taken.insert(word) {
                found.push(format!("{name}: {word} is declared twice"));
            }
        }
        if key.is_secret() && key.flag().is_some() {
            found.push(format!("{name}: a secret cannot have a flag"));
        }
        if K::is_table(name) {
            found.push(format!("{name}: is a table, too"));
        }
        if let ValueKind::Number { unit, min, max } = key.kind() {
            let suffix = unit.suffix();
            if !name.ends_with(suffix) || !key.variable().ends_with(&suffix.to_uppercase()) {
                found.push(format!("{name}: the unit {suffix} is not in both names"));
            }
            if min > max {
                found.push(format!("{name}: no number is within {min} and {max}"));
            }
        }
    }
    found
}
