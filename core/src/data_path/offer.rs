//! The offer of an overlay: its name and features, sent with the handshake of a link.
//!
//! Bounds: [`FEATURES_MAX`] features, each with a name as key and a value of at most [`FEATURE_BYTES_MAX`] bytes without
//! control characters. An offer takes less than 4 KiB, so it fits into the handshake beside the largest record.

use crate::identity::{NODE_ID_BYTES_MAX, NameError, check_name, only_shows};
use core::fmt;
use std::collections::BTreeMap;

/// Maximum number of features of an overlay.
pub const FEATURES_MAX: usize = 16;
/// Maximum length of one feature's value, in bytes.
pub const FEATURE_BYTES_MAX: usize = 128;

/// An overlay's name and features.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    name: String,
    features: BTreeMap<String, String>,
}

/// The reason why an offer is not valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OfferError {
    /// The overlay's name breaks the rules of names.
    Name(NameError),
    /// The key of a feature breaks the rules of names.
    Key(NameError),
    /// The key is already in the offer.
    Duplicate(String),
    /// A feature's value has more than [`FEATURE_BYTES_MAX`] bytes.
    TooLong {
        /// The feature's key.
        key: String,
        /// The length of the value, in bytes.
        bytes: usize,
    },
    /// A feature's value holds a control character.
    Character {
        /// The feature's key.
        key: String,
        /// The character.
        character: char,
    },
    /// More than [`FEATURES_MAX`] features.
    TooMany,
}

impl fmt::Display for OfferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => write!(f, "the overlay's name {error}"),
            Self::Key(error) => write!(f, "the key of a feature {error}"),
            Self::Duplicate(key) => write!(f, "the feature {key:?} is given twice"),
            Self::TooLong { key, bytes } => write!(
                f,
                "the feature {key:?} has {bytes} bytes; at most {FEATURE_BYTES_MAX} are allowed"
            ),
            Self::Character { key, character } => write!(
                f,
                "the feature {key:?} holds {character:?}; control characters are not allowed"
            ),
            Self::TooMany => write!(f, "more than {FEATURES_MAX} features"),
        }
    }
}

impl core::error::Error for OfferError {}

impl Offer {
    /// An offer without features. The name has 1 to 63 of `a-z`, `0-9`, `.`, `_` and `-`, like a node's id.
    ///
    /// # Errors
    /// Returns an error if the name breaks the rules of names.
    pub fn new(name: impl Into<String>) -> Result<Self, OfferError> {
        let name = name.into();
        check_name(&name).map_err(OfferError::Name)?;
        let features = BTreeMap::new();
        Ok(Self { name, features })
    }

    /// The offer with one more feature.
    ///
    /// # Errors
    /// Returns an error if the feature breaks a bound, or its key is already in the offer.
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
            return Err(OfferError::Duplicate(key));
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

    /// The overlay's features, by key, in the overlay's own terms.
    #[must_use]
    pub const fn features(&self) -> &BTreeMap<String, String> {
        &self.features
    }
}

// The name and the keys are short enough to keep an offer below the size that the module documentation states.
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
    fn an_offer_that_breaks_a_bound_is_rejected_with_the_reason() {
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
