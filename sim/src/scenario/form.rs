//! Tables that describe a program's own vocabulary: the keys that a file may contain, and their values.
//!
//! The reader and the writer of files, the JSON schema and the shrinker use these tables.

use super::argument::Arguments;
use core::time::Duration;

/// Validates a text and returns its normalised form; the error gives the reason.
pub type ReadForm = fn(&str) -> Result<String, String>;

/// A key of a program's own vocabulary.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The key.
    pub key: &'static str,
    /// The description in the JSON schema.
    pub about: &'static str,
    /// The kind of value.
    pub shape: Shape,
    /// Whether the key is optional.
    pub presence: Presence,
}

/// Whether a key is optional.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The key is required.
    Needed,
    /// The key is optional. The default of `who` is all nodes.
    Optional,
    /// The key is optional and its default is an empty value. An explicit empty value is equivalent.
    Empty,
}

/// The kind of value of a key.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// A set of hosts.
    Hosts,
    /// A set of hosts that may be empty.
    HostsOrNobody,
    /// A set of hosts, or of one program's processes on hosts.
    Processes,
    /// A text. A text whose normalised form is empty is equivalent to an absent key.
    Text(ReadForm),
    /// A list of texts.
    Texts(ReadForm),
    /// Arbitrary texts by arbitrary keys.
    FreePairs,
    /// Texts by keys, both validated.
    Pairs {
        /// Validates a key.
        key: fn(&str) -> Result<(), String>,
        /// Validates a text.
        text: ReadForm,
    },
    /// A time span.
    Time(fn(&str) -> Result<Duration, String>),
    /// A whole number within bounds, both included.
    Number {
        /// The lowest number.
        min: u64,
        /// The highest number.
        max: u64,
    },
    /// A 32-bit number.
    U32,
    /// A boolean; the given value is equivalent to an absent key.
    Flag(bool),
    /// A table.
    Table(&'static Form),
    /// A table of settings, which may also be taken from the file of an operator.
    Settings(&'static FileSettings),
}

/// Settings that a program also reads from its own file.
#[derive(Clone, Copy, Debug)]
pub struct FileSettings {
    /// The form of the table in a scenario. The key `file` of the form names the other file; the other keys of the form
    /// override the settings of that file.
    pub form: &'static Form,
    /// The name of the table in the other file.
    pub table: &'static str,
    /// The form of the table in the other file.
    pub file: &'static Form,
    /// Returns whether two keys set the same setting.
    pub same: fn(&str, &str) -> bool,
}

impl FileSettings {
    /// The key that names the other file.
    pub const FILE: &'static str = "file";
}

/// A table of a program's own vocabulary.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// The description in the JSON schema.
    pub about: &'static str,
    /// The keys, in the order in which they are written to files.
    pub fields: &'static [Field],
    /// Validates the arguments together; the error gives the reason.
    pub check: fn(&Arguments) -> Result<(), String>,
}

impl Field {
    /// Creates a required key.
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

    /// Creates an optional key.
    #[must_use]
    pub const fn optional(key: &'static str, about: &'static str, shape: Shape) -> Self {
        Self {
            presence: Presence::Optional,
            ..Self::needed(key, about, shape)
        }
    }

    /// Creates an optional key with an empty default.
    #[must_use]
    pub const fn empty(key: &'static str, about: &'static str, shape: Shape) -> Self {
        Self {
            presence: Presence::Empty,
            ..Self::needed(key, about, shape)
        }
    }
}

/// Accepts any text.
///
/// # Errors
/// Never returns an error.
pub fn any_text(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

/// Accepts any arguments.
///
/// # Errors
/// Never returns an error.
pub const fn any_arguments(_: &Arguments) -> Result<(), String> {
    Ok(())
}
