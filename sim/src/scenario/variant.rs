//! The values of one variant of a matrix.

use core::fmt;

/// The values of one variant of a `[[matrix]]`, by word; empty for a file without a matrix. Displayed as
/// `loss=10%,nodes=30`, the notation of `--variant`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variant {
    values: Vec<(String, String)>,
}

impl Variant {
    pub(super) fn new(values: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            values: values.into_iter().collect(),
        }
    }

    /// Returns whether the file has no matrix.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(super) fn has(&self, word: &str, value: &str) -> bool {
        let mut values = self.values.iter();
        values.any(|(known, held)| known == word && held == value)
    }

    /// Returns the values with their words.
    pub(super) fn values(&self) -> &[(String, String)] {
        &self.values
    }

    pub(super) fn words(&self) -> impl Iterator<Item = &str> + Clone {
        self.values.iter().map(|(word, _)| word.as_str())
    }
}

impl serde::Serialize for Variant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (word, value)) in self.values.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{word}={value}")?;
        }
        Ok(())
    }
}
