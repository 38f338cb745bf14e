//! Names of nodes, and the identity data of a certificate.

use core::fmt;
use std::sync::Arc;

/// Maximum length of a node id, in bytes (a DNS label).
pub const NODE_ID_BYTES_MAX: usize = 63;

/// The number of characters in the prefix of an id.
const PREFIX: usize = 6;

/// The rank of each byte among the characters allowed in ids, counted from one.
const DIGITS: [u8; 256] = {
    let mut digits = [0; 256];
    let order = *b"-.0123456789_abcdefghijklmnopqrstuvwxyz";
    let mut at = 0;
    while at < order.len() {
        digits[order[at] as usize] = at as u8 + 1;
        at += 1;
    }
    digits
};

/// A node's id, as in its certificate (CN, and URI SAN `spiffe://MESH/node/ID`).
///
/// One to 63 characters of `a-z 0-9 . _ -`, beginning and ending with a letter or digit. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(Arc<str>);

/// Reasons why a text is not a valid name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// The text is empty.
    Empty,
    /// The text is longer than the bound.
    TooLong {
        /// The text's length, in bytes.
        bytes: usize,
        /// The bound, in bytes.
        max: usize,
    },
    /// The text holds a character that names do not allow, or do not allow at the beginning or the end.
    BadCharacter {
        /// The character.
        character: char,
        /// The position of the character, in bytes.
        at: usize,
    },
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "is empty; give at least one letter or digit"),
            Self::TooLong { bytes, max } => {
                write!(f, "has {bytes} bytes; at most {max} are allowed")
            }
            Self::BadCharacter { character, at } => write!(
                f,
                "has {character:?} at byte {at}; use a-z, 0-9, '.', '_' and '-', with a letter or digit first and last"
            ),
        }
    }
}

impl core::error::Error for NameError {}

/// Checks the rules of names (node ids, mesh names, service names).
///
/// # Errors
/// Returns the first rule that `text` breaks.
pub fn check_name(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > NODE_ID_BYTES_MAX {
        return Err(NameError::TooLong {
            bytes: text.len(),
            max: NODE_ID_BYTES_MAX,
        });
    }
    let last = text.len() - 1;
    for (at, character) in text.char_indices() {
        let word = character.is_ascii_lowercase() || character.is_ascii_digit();
        let inner = matches!(character, '.' | '_' | '-') && at != 0 && at != last;
        if !word && !inner {
            return Err(NameError::BadCharacter { character, at });
        }
    }
    Ok(())
}

/// Whether a character is printable, that is, neither a control character nor a character that changes the direction of
/// the text around it.
#[must_use]
pub fn only_shows(character: char) -> bool {
    let turns = matches!(
        character,
        '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    !character.is_control() && !turns
}

impl NodeId {
    /// Parses an id.
    ///
    /// # Errors
    /// Returns an error if the text breaks the rules of names.
    pub fn new(text: &str) -> Result<Self, NameError> {
        check_name(text)?;
        Ok(Self(text.into()))
    }

    /// The first six characters, as a number. Ids with different prefixes have the same order as their prefixes.
    pub(crate) fn prefix(&self) -> u32 {
        // There are 40 characters, including one for the end of the text, and 40^6 is below 2^32.
        let bytes = self.0.as_bytes();
        let digit = |at| {
            let byte: Option<&u8> = bytes.get(at);
            byte.map_or(0, |byte| u32::from(DIGITS[usize::from(*byte)]))
        };
        (0..PREFIX).fold(0, |prefix, at| prefix * 40 + digit(at))
    }

    /// Whether the id is as short as its prefix, so that no other id has the same prefix.
    pub(crate) fn is_its_prefix(&self) -> bool {
        self.0.len() < PREFIX
    }

    /// The text of the id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl core::str::FromStr for NodeId {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_in_the_order_of_the_ids() {
        let texts = [
            "0", "9.a", "a", "a-b", "a.b", "a0", "a_b", "aa", "ab", "n10000", "n9", "zzzzzz",
            "zzzzzzz",
        ];
        let ids = texts.map(|text| NodeId::new(text).unwrap());
        for pair in ids.windows(2) {
            assert!(pair[0] < pair[1], "{pair:?}");
            let (one, other) = (pair[0].prefix(), pair[1].prefix());
            assert!(
                one < other || one == other && pair[1].as_str().len() > 6,
                "{pair:?}"
            );
        }
    }

    #[test]
    fn good_names_are_taken_and_bad_ones_name_the_place() {
        assert!(NodeId::new("web-1.eu").is_ok());
        assert_eq!(NodeId::new(""), Err(NameError::Empty));
        assert_eq!(
            NodeId::new("Web"),
            Err(NameError::BadCharacter {
                character: 'W',
                at: 0
            })
        );
        assert_eq!(
            NodeId::new("web-"),
            Err(NameError::BadCharacter {
                character: '-',
                at: 3
            })
        );
        assert_eq!(
            NodeId::new(&"a".repeat(64)),
            Err(NameError::TooLong { bytes: 64, max: 63 })
        );
    }
}
