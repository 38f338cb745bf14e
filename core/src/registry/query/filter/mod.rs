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

mod lexer;
mod like;
mod parser;

use crate::registry::object::Object;
use crate::registry::value::{FieldPath, ObjectValue};
use core::cmp::Ordering;
use core::fmt;
use core::str::FromStr;
use lexer::Operator;

/// Maximum length of a filter, in bytes.
pub const FILTER_BYTES_MAX: usize = 8_192;
/// Maximum number of nested parentheses.
pub const FILTER_DEPTH_MAX: usize = 32;
/// Maximum number of conditions on fields.
pub const FILTER_CONDITIONS_MAX: usize = 256;
/// Maximum number of values of one `IN`.
pub const FILTER_VALUES_MAX: usize = 256;

/// A filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectFilter {
    root: FilterNode,
}

/// Reason why a text is not a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    /// The character at which the text is wrong, from 1 on.
    pub column: usize,
    /// The reason.
    pub problem: String,
}

impl FilterError {
    fn new(text: &str, at: usize, problem: &str) -> Self {
        let before = text
            .char_indices()
            .take_while(|(index, _)| *index < at)
            .count();
        Self {
            column: before + 1,
            problem: problem.to_owned(),
        }
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "filter, column {}: {}", self.column, self.problem)
    }
}

impl core::error::Error for FilterError {}

/// A part of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
enum FilterNode {
    All(Vec<Self>),
    Any(Vec<Self>),
    Field(FieldPath, Condition),
}

/// A condition on one field.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Compare(Operator, ObjectValue),
    In(Vec<ObjectValue>),
    Contains(ObjectValue),
    Like(String),
    /// Is null, or is not.
    Null(bool),
    /// Is "not a number", or is not.
    Nan(bool),
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

impl FilterNode {
    fn matches(&self, object: &Object) -> bool {
        match self {
            Self::All(nodes) => nodes.iter().all(|node| node.matches(object)),
            Self::Any(nodes) => nodes.iter().any(|node| node.matches(object)),
            Self::Field(path, condition) => condition.holds(object.field(path).as_deref()),
        }
    }
}

impl Condition {
    fn holds(&self, value: Option<&ObjectValue>) -> bool {
        let value = value.filter(|value| **value != ObjectValue::Null);
        let Some(value) = value else {
            return *self == Self::Null(true);
        };
        match self {
            Self::Compare(operator, other) => {
                let order = value.compare(other);
                match operator {
                    Operator::Equal => order == Some(Ordering::Equal),
                    Operator::NotEqual => order != Some(Ordering::Equal),
                    Operator::Less => order == Some(Ordering::Less),
                    Operator::LessOrEqual => order.is_some_and(Ordering::is_le),
                    Operator::Greater => order == Some(Ordering::Greater),
                    Operator::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
                }
            }
            Self::In(values) => values.iter().any(|it| value.equals(it)),
            Self::Contains(other) => value.elements().iter().any(|it| it.equals(other)),
            Self::Like(pattern) => value.as_text().is_some_and(|it| like::is_like(it, pattern)),
            Self::Null(is) => !is,
            Self::Nan(is) => {
                let is_nan = matches!(value, ObjectValue::Number(number) if number.is_nan());
                is_nan == *is
            }
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

impl fmt::Display for FilterNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (nodes, word) = match self {
            Self::All(nodes) => (nodes, " AND "),
            Self::Any(nodes) => (nodes, " OR "),
            Self::Field(path, condition) => return write!(f, "{path} {condition}"),
        };
        for (index, node) in nodes.iter().enumerate() {
            if index > 0 {
                f.write_str(word)?;
            }
            match node {
                Self::Field(..) => node.fmt(f)?,
                Self::All(_) | Self::Any(_) => write!(f, "({node})")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = |is: &bool| if *is { "" } else { "NOT " };
        match self {
            Self::Compare(operator, value) => {
                let word = Operator::ALL.iter().find(|(_, it)| it == operator);
                write!(f, "{} ", word.map_or("", |(word, _)| word))?;
                write_value(f, value)
            }
            Self::In(values) => {
                f.write_str("IN (")?;
                for (index, value) in values.iter().enumerate() {
                    f.write_str(if index > 0 { ", " } else { "" })?;
                    write_value(f, value)?;
                }
                f.write_str(")")
            }
            Self::Contains(value) => {
                f.write_str("CONTAINS ")?;
                write_value(f, value)
            }
            Self::Like(pattern) => {
                f.write_str("LIKE ")?;
                write_text(f, pattern)
            }
            Self::Null(is) => write!(f, "IS {}NULL", not(is)),
            Self::Nan(is) => write!(f, "IS {}NaN", not(is)),
        }
    }
}

fn write_value(f: &mut fmt::Formatter<'_>, value: &ObjectValue) -> fmt::Result {
    match value {
        ObjectValue::Bool(value) => write!(f, "{value}"),
        ObjectValue::Number(number) => write!(f, "{number}"),
        ObjectValue::Text(text) => write_text(f, text),
        // The parser makes none of these.
        ObjectValue::Null | ObjectValue::List(_) | ObjectValue::Table(_) => f.write_str("null"),
    }
}

fn write_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    write!(f, "\"{escaped}\"")
}

#[cfg(test)]
pub(crate) mod tests;
