//! Errors of malformed packets.

use core::fmt;
use phalanx_core::data_path::OfferError;
use phalanx_core::identity::NameError;
use phalanx_core::topology::record::ContentError;

/// A packet that is not a valid message: the field and the cause. The link on which the packet arrived is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path} {fault}")]
pub struct WireError {
    path: String,
    fault: FieldFault,
}

impl WireError {
    /// The error of the field `path`.
    #[must_use]
    pub fn new(path: impl Into<String>, fault: FieldFault) -> Self {
        Self {
            path: path.into(),
            fault,
        }
    }

    /// The same error, with its path inside `parent`.
    #[must_use]
    pub fn inside(mut self, parent: &str) -> Self {
        self.path.insert(0, '.');
        self.path.insert_str(0, parent);
        self
    }

    /// The path of the field, from the outermost to the innermost, separated by dots: `hello.record.id`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The cause.
    #[must_use]
    pub const fn fault(&self) -> &FieldFault {
        &self.fault
    }
}

/// The cause of an error of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldFault {
    /// The bytes are not a packet of this protocol: truncated, random, or of another protocol.
    Malformed(String),
    /// A required field is missing.
    Missing,
    /// A number that is not a value of its enumeration.
    UnknownNumber(i32),
    /// A text that is not a valid name.
    Name(NameError),
    /// More elements than allowed.
    TooMany {
        /// The number received.
        found: usize,
        /// The maximum number.
        max: usize,
        /// The name of the elements.
        what: &'static str,
    },
    /// An address whose length is neither 6 nor 18 bytes.
    AddressLength(usize),
    /// An address with port 0.
    NoPort,
    /// A duplicate element.
    Twice(String),
    /// An element out of order.
    Unordered(String),
    /// A number of bytes that differs from the declared number.
    Length {
        /// The number received.
        found: usize,
        /// The declared number.
        expected: usize,
    },
    /// A number of bytes other than the fixed one.
    BytesLength {
        /// The number received.
        found: usize,
        /// The fixed number.
        expected: usize,
    },
    /// A holder beside the fingerprint of a certificate.
    BesideFingerprint,
    /// Two roles of one holder.
    BesideAdmin,
    /// The content of a record is out of bounds.
    Content(ContentError),
    /// An invalid offer of an overlay.
    Offer(OfferError),
    /// A number above its maximum: the number, then the maximum.
    TooHigh(u32, u32),
    /// A text with a control character.
    Character(char),
    /// An overlay's offer outside of a handshake message, or another signal beside a message.
    Misplaced,
}

impl fmt::Display for FieldFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "is not a message of this protocol: {why}"),
            Self::Missing => f.write_str("is missing"),
            Self::UnknownNumber(number) => write!(f, "is {number}, which means nothing"),
            Self::Name(error) => error.fmt(f),
            Self::TooMany { found, max, what } => {
                write!(f, "has {found} {what}; at most {max} are allowed")
            }
            Self::AddressLength(found) => write!(f, "has {found} bytes; an address has 6 or 18"),
            Self::NoPort => f.write_str("has port 0"),
            Self::Twice(which) => write!(f, "holds {which:?} twice"),
            Self::Unordered(which) => write!(f, "holds {which:?} out of order"),
            Self::Length { found, expected } => {
                write!(f, "has {found} bytes; the writes have {expected}")
            }
            Self::BytesLength { found, expected } => {
                write!(f, "has {found} bytes instead of {expected}")
            }
            Self::BesideFingerprint => {
                f.write_str("names a holder beside the fingerprint of a certificate")
            }
            Self::BesideAdmin => f.write_str("names a service, and `admin` an administrator"),
            Self::Content(error) => write!(f, "carries {error}"),
            Self::Offer(error) => write!(f, "is refused: {error}"),
            Self::TooHigh(found, max) => write!(f, "is {found}; at most {max} is allowed"),
            Self::Character(character) => {
                write!(f, "holds {character:?}; control characters are not allowed")
            }
            Self::Misplaced => f.write_str(
                "is misplaced: an offer accompanies a handshake message, everything else is sent separately",
            ),
        }
    }
}
