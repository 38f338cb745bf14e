//! Tables that describe a program's own words: which keys a file may write, and what stands under them.
//!
//! The file's reader, its writer, the JSON schema and the shrinker all go by these tables.

use super::argument::Arguments;
use core::time::Duration;

/// Checks a text and gives it as it is kept; the error says what is wrong with it.
pub type Read = fn(&str) -> Result<String, String>;

/// A key of a program's own.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The key.
    pub key: &'static str,
    /// The description in the JSON schema.
    pub about: &'static str,
    /// The kind of value.
    pub shape: Shape,
    /// Whether the key may be left out.
    pub presence: Presence,
}

/// Whether a key may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The key must be there.
    Needed,
    /// The key may be left out. Without it `who` is all nodes.
    Optional,
    /// Without the key the value is empty; an empty value is as good as none.
    Empty,
}

/// The kind of value that stands under a key.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// A choice of hosts.
    Hosts,
    /// A choice of hosts that may be empty.
    HostsOrNobody,
    /// A choice of hosts, or of one program's processes on hosts.
    Processes,
    /// A text. A text that is read as empty is as good as none.
    Text(Read),
    /// A list of texts.
    Texts(Read),
    /// Any texts by free keys.
    FreePairs,
    /// Texts by keys, both checked.
    Pairs {
        /// Checks a key.
        key: fn(&str) -> Result<(), String>,
        /// Checks a text.
        text: Read,
    },
    /// A time span.
    Time(fn(&str) -> Result<Duration, String>),
    /// A number of 16 bits.
    U16,
    /// A number of 32 bits.
    U32,
    /// Yes or no; the value that is as good as none.
    Flag(bool),
    /// A table.
    Table(&'static Form),
}

/// A table of a program's own.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// The description in the JSON schema.
    pub about: &'static str,
    /// The keys, in the order in which they are written.
    pub fields: &'static [Field],
    /// Checks the arguments together; the error says what is wrong with them.
    pub check: fn(&Arguments) -> Result<(), String>,
}

impl Field {
    /// A key that must be there.
    #[must_use]
    pub const fn needed(key: &'static str, about: &'static str, shape: Shape) -> Self {
        let presence = Presence::Needed;
        Self {
            key,
            about,
            shape,
            presence,
        }
    }

    /// A key that may be left out.
    #[must_use]
    pub const fn optional(key: &'static str, about: &'static str, shape: Shape) -> Self {
        Self {
            presence: Presence::Optional,
            ..Self::needed(key, about, shape)
        }
    }

    /// A key whose value is empty where it is left out.
    #[must_use]
    pub const fn empty(key: &'static str, about: &'static str, shape: Shape) -> Self {
        Self {
            presence: Presence::Empty,
            ..Self::needed(key, about, shape)
        }
    }
}

/// Any text.
///
/// # Errors
/// Never.
pub fn any_text(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

/// Any arguments.
///
/// # Errors
/// Never.
pub const fn any_arguments(_: &Arguments) -> Result<(), String> {
    Ok(())
}
