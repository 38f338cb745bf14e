//! What an overlay says of itself in the greeting: its name, and what it can do.
//!
//! Bounds: [`FEATURES_MAX`] features, each a name and at most [`FEATURE_BYTES_MAX`] bytes that only show. So an offer
//! takes less than 4 KiB, and fits into the greeting beside the largest record.

use core::fmt;
use phalanx_core::identity::{NODE_ID_BYTES_MAX, NameError, check_name, only_shows};
use std::collections::BTreeMap;

/// The most features of an overlay.
pub const FEATURES_MAX: usize = 16;
/// The most bytes of one feature's value.
pub const FEATURE_BYTES_MAX: usize = 128;

/// An overlay's name and features.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    name: String,
    features: BTreeMap<String, String>,
}

/// Why something is no offer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// The overlay's name is no name.
    #[error("the overlay's name {0}")]
    Name(NameError),
    /// The key of a feature is no name.
    #[error("the key of a feature {0}")]
    Key(NameError),
    /// A key that is there already.
    #[error("the feature {0:?} is given twice")]
    Twice(String),
    /// A feature's value has more than [`FEATURE_BYTES_MAX`] bytes.
    #[error("the feature {key:?} has {bytes} bytes; at most {FEATURE_BYTES_MAX} are allowed")]
    TooLong {
        /// Of which feature.
        key: String,
        /// How many there are.
        bytes: usize,
    },
    /// A feature's value holds a character that commands a terminal.
    #[error("the feature {key:?} holds {character:?}; control characters are not allowed")]
    Character {
        /// Of which feature.
        key: String,
        /// The character.
        character: char,
    },
    /// More than [`FEATURES_MAX`] features.
    #[error("more than {FEATURES_MAX} features")]
    TooMany,
}

impl Offer {
    /// An overlay without features. The name is 1 to 63 of `a-z`, `0-9`, `.`, `_` and `-`, like a node's id.
    ///
    /// # Errors
    /// When the name is none.
    pub fn new(name: impl Into<String>) -> Result<Self, OfferError> {
        let name = name.into();
        check_name(&name).map_err(OfferError::Name)?;
        let features = BTreeMap::new();
        Ok(Self { name, features })
    }

    /// The same with one more feature.
    ///
    /// # Errors
    /// When it breaks a bound or is there already.
    pub fn with(
        mut self,
        key: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<Self, OfferError> {
        let (key, value) = (key.into(), value.into());
        check_name(&key).map_err(OfferError::Key)?;
        let bytes = value.len();
        if bytes > FEATURE_BYTES_MAX {
            return Err(OfferError::TooLong { key, bytes });
        }
        if let Some(character) = value.chars().find(|it| !only_shows(*it)) {
            return Err(OfferError::Character { key, character });
        }
        if self.features.contains_key(&key) {
            return Err(OfferError::Twice(key));
        }
        if self.features.len() >= FEATURES_MAX {
            return Err(OfferError::TooMany);
        }
        self.features.insert(key, value);
        Ok(self)
    }

    /// The overlay's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it can do, in its own words.
    #[must_use]
    pub const fn features(&self) -> &BTreeMap<String, String> {
        &self.features
    }
}

// Keys and the name are short enough for the size in the head of this file.
const _: () = assert!(
    (FEATURES_MAX + 1) * (NODE_ID_BYTES_MAX + FEATURE_BYTES_MAX + 8) < 4 * 1024,
    "an offer fits beside a record"
);

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (key, value) in &self.features {
            write!(f, " {key}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_names_what_is_wrong_with_it() {
        let udp = || Offer::new("udp").unwrap();
        let many = (0..FEATURES_MAX).try_fold(udp(), |offer, at| offer.with(format!("f{at}"), ""));
        let long = "x".repeat(FEATURE_BYTES_MAX + 1);
        let cases = [
            (Offer::new(""), "the overlay's name is empty"),
            (Offer::new("UDP"), "the overlay's name has"),
            (udp().with("Port", "1"), "the key of a feature has"),
            (
                udp().with("port", long),
                "the feature \"port\" has 129 bytes; at most 128",
            ),
            (
                udp().with("port", "\x1b[2J"),
                "the feature \"port\" holds '\\u{1b}'",
            ),
            (
                udp().with("a", "1").unwrap().with("a", "2"),
                "\"a\" is given twice",
            ),
            (many.unwrap().with("one-more", ""), "more than 16 features"),
        ];
        for (offer, why) in cases {
            let error = offer.unwrap_err().to_string();
            assert!(error.contains(why), "{error:?}, wanted {why:?}");
        }
        let offer = udp().with("port", "7").unwrap();
        assert_eq!(offer.to_string(), "udp port=7");
    }
}
