//! Filters of objects: `metadata.labels.tier = "web" AND (replicas >= 3 OR display_name LIKE "shop%")`.
//!
//! The grammar is in `parser.rs`. Rules of evaluation:
//! - A condition on a field that is not set, or is null, does not hold; `IS NULL` alone does.
//! - `!=` holds for each set value that is not equal, so also for a value of another type and for "not a number".
//! - `<`, `<=`, `>` and `>=` hold between values of one type: numbers, texts (by code point), false and true.
//! - `CONTAINS` holds for a list with an equal element. `LIKE` holds for a whole text, with regard to case.
//!
//! This is the only evaluator: stores may narrow a search, but do not decide it.
//!
//! Bounds: [`FILTER_BYTES_MAX`], [`FILTER_DEPTH_MAX`], [`FILTER_CONDITIONS_MAX`], [`FILTER_VALUES_MAX`].

mod error;
mod lexer;
mod like;
mod node;
mod parser;

pub use error::FilterError;
pub use parser::{FILTER_BYTES_MAX, FILTER_CONDITIONS_MAX, FILTER_DEPTH_MAX, FILTER_VALUES_MAX};

use crate::registry::object::Object;
use core::fmt;
use core::str::FromStr;
use node::FilterNode;

/// A filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectFilter {
    root: FilterNode,
}

impl ObjectFilter {
    /// Whether the filter matches all objects because it is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        matches!(&self.root, FilterNode::All(nodes) if nodes.is_empty())
    }

    /// Whether an object matches.
    #[must_use]
    pub fn matches(&self, object: &Object) -> bool {
        self.root.matches(object)
    }
}

impl Default for ObjectFilter {
    fn default() -> Self {
        Self {
            root: FilterNode::All(Vec::new()),
        }
    }
}

impl FromStr for ObjectFilter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let root = parser::parse(text)?;
        Ok(Self { root })
    }
}

impl fmt::Display for ObjectFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(f)
    }
}

#[cfg(test)]
pub(crate) mod tests;
