//! The parts of a filter: evaluation and printing.

use super::lexer::Operator;
use super::like;
use crate::registry::object::Object;
use crate::registry::value::{FieldPath, ObjectValue};
use core::cmp::Ordering;
use core::fmt;

/// A part of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FilterNode {
    All(Vec<Self>),
    Any(Vec<Self>),
    Field(FieldPath, FieldCondition),
}

/// A condition on one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FieldCondition {
    Compare(Operator, ObjectValue),
    In(Vec<ObjectValue>),
    Contains(ObjectValue),
    Like(String),
    /// Is null, or is not.
    Null(bool),
    /// Is "not a number", or is not.
    Nan(bool),
}

impl FilterNode {
    pub(super) fn matches(&self, object: &Object) -> bool {
        match self {
            Self::All(nodes) => nodes.iter().all(|node| node.matches(object)),
            Self::Any(nodes) => nodes.iter().any(|node| node.matches(object)),
            Self::Field(path, condition) => condition.holds(object.field(path).as_deref()),
        }
    }
}

impl FieldCondition {
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

impl fmt::Display for FieldCondition {
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
