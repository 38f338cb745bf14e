//! The order of a list: `display_name desc, metadata.create_time`.
//!
//! Objects are compared by the keys in turn, and at last by name, so that the order is total. A text is compared by its
//! first [`KEY_BYTES_MAX`] bytes. A field that is not set comes first.

use crate::registry::object::Object;
use crate::registry::value::{FieldPath, ObjectTable, ObjectValue, PathError};
use core::cmp::Ordering;
use core::fmt;
use core::str::FromStr;

/// Maximum number of keys.
pub const ORDER_KEYS_MAX: usize = 8;
/// Maximum length of the compared part of a text, in bytes.
pub const KEY_BYTES_MAX: usize = 256;

/// The order of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SortOrder {
    /// The fields, each with a flag whether it is descending.
    keys: Vec<(FieldPath, bool)>,
}

/// The position of an object in an order: the compared part of each key, and the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortPosition {
    /// The values of the keys.
    pub keys: Vec<ObjectValue>,
    /// The name.
    pub name: String,
}

impl SortOrder {
    /// Whether the order is that of names.
    #[must_use]
    pub const fn is_by_name(&self) -> bool {
        self.keys.is_empty()
    }

    /// The number of keys.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are no keys: the order is that of names.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The position of an object.
    #[must_use]
    pub fn position(&self, object: &Object) -> SortPosition {
        let keys = self.keys.iter().map(|(path, _)| key(object, path));
        SortPosition {
            keys: keys.collect(),
            name: object.name.as_str().to_owned(),
        }
    }

    /// Compares two positions.
    #[must_use]
    pub fn compare(&self, one: &SortPosition, two: &SortPosition) -> Ordering {
        let keys = self.keys.iter().zip(one.keys.iter().zip(&two.keys));
        let mut orders = keys.map(|((_, is_descending), (one, two))| {
            let order = one.sort(two);
            if *is_descending {
                order.reverse()
            } else {
                order
            }
        });
        let first = orders.find(|order| order.is_ne());
        first.unwrap_or_else(|| one.name.cmp(&two.name))
    }
}

/// The compared part of a field.
fn key(object: &Object, path: &FieldPath) -> ObjectValue {
    match object.field(path).as_deref() {
        None | Some(ObjectValue::Null) => ObjectValue::Null,
        Some(ObjectValue::Bool(value)) => ObjectValue::Bool(*value),
        Some(ObjectValue::Number(number)) => ObjectValue::Number(*number),
        Some(ObjectValue::Text(text)) => {
            let end = text.floor_char_boundary(KEY_BYTES_MAX);
            text[..end].into()
        }
        Some(ObjectValue::List(_)) => ObjectValue::List(Vec::new()),
        Some(ObjectValue::Table(_)) => ObjectValue::Table(ObjectTable::new()),
    }
}

impl FromStr for SortOrder {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let (mut keys, mut at) = (Vec::new(), 0);
        if text.trim().is_empty() {
            return Ok(Self { keys });
        }
        loop {
            at += text[at..].len() - text[at..].trim_start().len();
            if keys.len() == ORDER_KEYS_MAX {
                let problem = "the order has more than 8 keys";
                return Err(PathError { at, problem });
            }
            let (path, length) = FieldPath::scan(&text[at..]).map_err(|error| PathError {
                at: at + error.at,
                problem: error.problem,
            })?;
            at += length;
            let end = text[at..].find(',').map_or(text.len(), |end| at + end);
            let is_descending = match text[at..end].trim().to_ascii_lowercase().as_str() {
                "" | "asc" => false,
                "desc" => true,
                _ => {
                    let problem = "expected `asc`, `desc` or `,`";
                    return Err(PathError { at, problem });
                }
            };
            keys.push((path, is_descending));
            if end == text.len() {
                return Ok(Self { keys });
            }
            at = end + 1;
        }
    }
}

impl fmt::Display for SortOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (path, is_descending)) in self.keys.iter().enumerate() {
            let separator = if index > 0 { ", " } else { "" };
            let direction = if *is_descending { " desc" } else { "" };
            write!(f, "{separator}{path}{direction}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::registry::object::tests::any_object;
    use proptest::prelude::*;

    /// Orders of the fields that [`any_object`] sets.
    pub(crate) fn any_order() -> impl Strategy<Value = SortOrder> {
        let key = ("[abc]", any::<bool>()).prop_map(|(name, it)| (FieldPath::of(&[&name]), it));
        prop::collection::vec(key, 0..3).prop_map(|keys| SortOrder { keys })
    }

    proptest! {
        #[test]
        fn a_printed_order_is_read_back(order in any_order()) {
            prop_assert_eq!(order.to_string().parse::<SortOrder>(), Ok(order));
        }

        #[test]
        fn an_order_is_total(order in any_order(), objects in prop::collection::vec(any_object(), 3)) {
            let at: Vec<_> = objects.iter().map(|it| order.position(it)).collect();
            prop_assert_eq!(order.compare(&at[0], &at[1]), order.compare(&at[1], &at[0]).reverse());
            if order.compare(&at[0], &at[1]).is_le() && order.compare(&at[1], &at[2]).is_le() {
                prop_assert!(order.compare(&at[0], &at[2]).is_le());
            }
        }

        #[test]
        fn reading_never_panics(text in "[ab.,` descéA]{0,12}") {
            drop(text.parse::<SortOrder>());
        }
    }

    #[test]
    fn an_error_names_its_column() {
        let error = |text: &str| text.parse::<SortOrder>().unwrap_err().to_string();
        assert_eq!(error("a,"), "column 3: expected a field name");
        assert_eq!(error("a down"), "column 2: expected `asc`, `desc` or `,`");
        assert_eq!(
            error(&"a,".repeat(9)),
            "column 17: the order has more than 8 keys"
        );
    }
}
