//! Values of an object's fields: the data model of `google.protobuf.Struct`.
//!
//! Two orders exist. [`ObjectValue::compare`] is the order of filters: it is defined between values of one type, and
//! never for null or "not a number". [`ObjectValue::sort`] is the total order of sorted lists: null, then false and
//! true, "not a number", numbers, texts by code point, lists, tables.
//!
//! Bounds: [`DEPTH_MAX`] levels.

mod natural;
mod number;
mod path;

pub use number::{NUMBER_TEXT_MAX, Number, NumberError};
pub use path::{FieldPath, PATH_NAMES_MAX, PathError};

use crate::size::{bytes, delimited};
use core::cmp::Ordering;
use std::collections::BTreeMap;

/// Maximum number of levels of a value.
pub const DEPTH_MAX: usize = 32;

/// A value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectValue {
    /// The null value.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// Named fields.
    Table(ObjectTable),
}

/// Named fields.
pub type ObjectTable = BTreeMap<String, ObjectValue>;

impl From<&str> for ObjectValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for ObjectValue {
    fn from(value: u64) -> Self {
        Self::Number(Number::from_integer(value))
    }
}

impl ObjectValue {
    /// A list of texts.
    pub fn texts<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Self {
        let texts = texts.into_iter();
        Self::List(texts.map(|text| text.as_ref().into()).collect())
    }

    /// The text, if the value is a text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::List(_) | Self::Table(_) => None,
        }
    }

    /// The fields, if the value is a table.
    #[must_use]
    pub const fn as_table(&self) -> Option<&ObjectTable> {
        match self {
            Self::Table(table) => Some(table),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::List(_) => None,
        }
    }

    /// The elements; none unless the value is a list.
    #[must_use]
    pub fn elements(&self) -> &[Self] {
        match self {
            Self::List(list) => list,
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::Table(_) => &[],
        }
    }

    /// The value below these names.
    #[must_use]
    pub fn at(&self, names: &[String]) -> Option<&Self> {
        names
            .iter()
            .try_fold(self, |value, name| value.as_table()?.get(name))
    }

    /// The order of two values of the same type: truth values, numbers and texts.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(one), Self::Bool(two)) => Some(one.cmp(two)),
            (Self::Number(one), Self::Number(two)) => one.compare(*two),
            (Self::Text(one), Self::Text(two)) => Some(one.cmp(two)),
            (Self::List(one), Self::List(two)) => {
                let same = one.len() == two.len() && one.iter().zip(two).all(|(a, b)| a.equals(b));
                same.then_some(Ordering::Equal)
            }
            (Self::Table(one), Self::Table(two)) => {
                let mut pairs = one.iter().zip(two);
                let same =
                    one.len() == two.len() && pairs.all(|(a, b)| a.0 == b.0 && a.1.equals(b.1));
                same.then_some(Ordering::Equal)
            }
            (
                Self::Null
                | Self::Bool(_)
                | Self::Number(_)
                | Self::Text(_)
                | Self::List(_)
                | Self::Table(_),
                _,
            ) => None,
        }
    }

    /// Whether the values are equal for a filter: the two zeros are equal, "not a number" and null equal nothing.
    #[must_use]
    pub fn equals(&self, other: &Self) -> bool {
        self.compare(other) == Some(Ordering::Equal)
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Number(number) if number.is_nan() => 2,
            Self::Number(_) => 3,
            Self::Text(_) => 4,
            Self::List(_) => 5,
            Self::Table(_) => 6,
        }
    }

    /// The total order of sorted lists. All lists are equal, and all tables.
    #[must_use]
    pub fn sort(&self, other: &Self) -> Ordering {
        let scalar = || match (self, other) {
            (
                Self::Bool(_) | Self::Number(_) | Self::Text(_),
                Self::Bool(_) | Self::Number(_) | Self::Text(_),
            ) => self.compare(other).unwrap_or(Ordering::Equal),
            _ => Ordering::Equal,
        };
        self.rank().cmp(&other.rank()).then_with(scalar)
    }

    /// The number of levels: 1 for a scalar.
    #[must_use]
    pub fn depth(&self) -> usize {
        let inner = match self {
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => 0,
            Self::List(list) => list.iter().map(Self::depth).max().unwrap_or(0),
            Self::Table(table) => table.values().map(Self::depth).max().unwrap_or(0),
        };
        inner + 1
    }

    /// Appends a text that equal values share and others do not.
    pub fn write_canonical(&self, text: &mut String) {
        let mut write_text = |content: &str| {
            // The length makes the end of the content certain.
            text.push_str(&format!("{}:{content}", content.len()));
        };
        match self {
            Self::Null => text.push('0'),
            Self::Bool(value) => text.push(if *value { 't' } else { 'f' }),
            Self::Number(number) => text.push_str(&format!("n{:x}", number.to_bits())),
            Self::Text(content) => write_text(content),
            Self::List(list) => {
                text.push('[');
                list.iter().for_each(|it| it.write_canonical(text));
                text.push(']');
            }
            Self::Table(table) => write_canonical(table, text),
        }
    }

    /// The encoded size as a `google.protobuf.Value`, in bytes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) => 2,
            Self::Number(_) => 9,
            Self::Text(text) => delimited(text.len()),
            Self::List(list) => {
                let elements = list.iter().map(|it| delimited(it.encoded_len()));
                delimited(elements.sum())
            }
            Self::Table(table) => delimited(table_len(table)),
        }
    }
}

/// Appends a text that equal tables share and others do not.
pub fn write_canonical(table: &ObjectTable, text: &mut String) {
    text.push('{');
    for (key, value) in table {
        ObjectValue::Text(key.clone()).write_canonical(text);
        value.write_canonical(text);
    }
    text.push('}');
}

/// The encoded size of fields as a `google.protobuf.Struct`, in bytes.
#[must_use]
pub fn table_len(table: &ObjectTable) -> usize {
    let entries = table
        .iter()
        .map(|(key, value)| delimited(bytes(key.len()) + delimited(value.encoded_len())));
    entries.sum()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Numbers of any kind; the common ones often.
    pub(crate) fn any_number() -> impl Strategy<Value = Number> {
        prop_oneof![
            (0_u64..5).prop_map(Number::from_integer),
            any::<u64>().prop_map(Number::from_bits),
        ]
    }

    /// Values of few names and few distinct contents, so that comparisons are often true.
    pub(crate) fn any_value() -> impl Strategy<Value = ObjectValue> {
        let scalar = prop_oneof![
            Just(ObjectValue::Null),
            any::<bool>().prop_map(ObjectValue::Bool),
            any_number().prop_map(ObjectValue::Number),
            "[ab%_\\\\'é]{0,4}".prop_map(ObjectValue::Text),
        ];
        scalar.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(ObjectValue::List),
                prop::collection::btree_map("[abc]", inner, 0..3).prop_map(ObjectValue::Table),
            ]
        })
    }

    proptest! {
        #[test]
        fn sort_is_a_total_order(one in any_value(), two in any_value(), three in any_value()) {
            prop_assert_eq!(one.sort(&two), two.sort(&one).reverse());
            prop_assert_eq!(one.sort(&one), Ordering::Equal);
            if one.sort(&two).is_le() && two.sort(&three).is_le() {
                prop_assert!(one.sort(&three).is_le());
            }
        }

        #[test]
        fn canonical_texts_are_equal_for_equal_values_alone(one in any_value(), two in any_value()) {
            let canonical = |value: &ObjectValue| {
                let mut text = String::new();
                value.write_canonical(&mut text);
                text
            };
            prop_assert_eq!(canonical(&one) == canonical(&two), one == two);
        }

        #[test]
        fn sort_agrees_with_filters(one in any_value(), two in any_value()) {
            let scalar = one.depth() == 1 && two.depth() == 1;
            if let Some(order) = one.compare(&two).filter(|_| scalar) {
                prop_assert_eq!(one.sort(&two), order);
            }
        }
    }

    #[test]
    fn types_sort_one_after_another() {
        let values = [
            ObjectValue::Null,
            ObjectValue::Bool(false),
            ObjectValue::Bool(true),
            ObjectValue::Number(Number::from_bits(u64::MAX)),
            ObjectValue::Number("-1".parse().unwrap()),
            1.into(),
            "".into(),
            "a".into(),
            ObjectValue::List(Vec::new()),
            ObjectValue::Table(ObjectTable::new()),
        ];
        assert!(values.is_sorted_by(|one, two| one.sort(two).is_lt()));
    }

    #[test]
    fn sizes_are_those_of_the_wire_format() {
        let inner = ObjectValue::List(vec!["ab".into(), ObjectValue::Null]);
        let table = ObjectTable::from([("k".to_owned(), inner)]);
        // Value "ab" 4 bytes, null 2; list 6 + 4; value 2 + 10; entry 3 + 14.
        assert_eq!(table_len(&table), 19);
    }
}
