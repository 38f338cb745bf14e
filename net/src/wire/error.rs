//! What can be wrong with a packet.

use core::fmt;
use phalanx_core::data_path::OfferError;
use phalanx_core::identity::NameError;
use phalanx_core::topology::record::ContentError;

/// A packet that is no message: which field, and why. The link it came on is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path} {fault}")]
pub struct WireError {
    path: String,
    fault: Fault,
}

impl WireError {
    /// The fault of the field `path`.
    #[must_use]
    pub fn new(path: impl Into<String>, fault: Fault) -> Self {
        Self {
            path: path.into(),
            fault,
        }
    }

    /// The same fault, `path` being inside `parent`.
    #[must_use]
    pub fn inside(mut self, parent: &str) -> Self {
        self.path.insert(0, '.');
        self.path.insert_str(0, parent);
        self
    }

    /// The field, with dots from the outermost to the innermost: `hello.record.id`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong with it.
    #[must_use]
    pub const fn fault(&self) -> &Fault {
        &self.fault
    }
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The bytes are no packet of this protocol: truncated, random, or another protocol's.
    Malformed(String),
    /// A field that must be there is not.
    Missing,
    /// A number that names nothing.
    UnknownNumber(i32),
    /// A text that is no name.
    Name(NameError),
    /// More elements than allowed.
    TooMany {
        /// How many there are.
        found: usize,
        /// How many there may be.
        max: usize,
        /// Of what.
        what: &'static str,
    },
    /// A counter so high that its owner could not refute it.
    CounterTooHigh(u64),
    /// An address that has neither 6 nor 18 bytes.
    AddressLength(usize),
    /// An address with port 0.
    NoPort,
    /// The same element twice.
    Twice(String),
    /// An element out of order.
    Unordered(String),
    /// Bytes that are not as many as what they belong to says.
    Length {
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// A record's content out of bounds.
    Content(ContentError),
    /// What is no overlay's offer.
    Offer(OfferError),
    /// A number above its highest.
    TooHigh(u32, u32),
    /// A text with a character that commands a terminal.
    Character(char),
    /// An overlay's offer that is not beside a greeting, or something else that is beside a message.
    Misplaced,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "is no message of this protocol: {why}"),
            Self::Missing => f.write_str("is missing"),
            Self::UnknownNumber(number) => write!(f, "is {number}, which means nothing"),
            Self::Name(error) => error.fmt(f),
            Self::TooMany { found, max, what } => {
                write!(f, "has {found} {what}; at most {max} are allowed")
            }
            Self::CounterTooHigh(found) => write!(f, "is {found}, above the allowed maximum"),
            Self::AddressLength(found) => write!(f, "has {found} bytes; an address has 6 or 18"),
            Self::NoPort => f.write_str("has port 0"),
            Self::Twice(which) => write!(f, "holds {which:?} twice"),
            Self::Unordered(which) => write!(f, "holds {which:?} out of order"),
            Self::Length { found, expected } => {
                write!(f, "has {found} bytes; the writes have {expected}")
            }
            Self::Content(error) => write!(f, "carries {error}"),
            Self::Offer(error) => write!(f, "is refused: {error}"),
            Self::TooHigh(found, max) => write!(f, "is {found}; at most {max} is allowed"),
            Self::Character(character) => {
                write!(f, "holds {character:?}; control characters are not allowed")
            }
            Self::Misplaced => f.write_str(
                "is misplaced: an offer belongs beside a greeting, everything else by itself",
            ),
        }
    }
}
