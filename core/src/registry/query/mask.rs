//! Field masks: the fields that a read returns or an update changes, `display_name,metadata.labels.tier`.
//!
//! A mask lists paths; `*` is all fields. A path descends into tables, and so into maps, but not into lists: a list is
//! replaced as a whole. A field that the mask names and the new value does not set is removed.
//!
//! Bounds: [`MASK_PATHS_MAX`] paths.

use crate::registry::value::{FieldPath, ObjectTable, ObjectValue, PathError};
use core::fmt;
use core::str::FromStr;

/// Maximum number of paths of a mask.
pub const MASK_PATHS_MAX: usize = 128;

/// A field mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldMask {
    /// All fields.
    All,
    /// These fields; none of them covers another.
    Paths(Vec<FieldPath>),
}

/// A path that descends into a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathIntoList(pub FieldPath);

impl fmt::Display for PathIntoList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the mask's path `{}` descends into a list; name the list, which is replaced as a whole",
            self.0
        )
    }
}

impl core::error::Error for PathIntoList {}

impl FieldMask {
    /// A mask of these paths.
    #[must_use]
    pub fn of(mut paths: Vec<FieldPath>) -> Self {
        paths.sort();
        // A path precedes those that it covers, and no other path is between them.
        paths.dedup_by(|path, before| before.covers(path));
        Self::Paths(paths)
    }

    /// The named fields of a table.
    #[must_use]
    pub fn select(&self, table: &ObjectTable) -> ObjectTable {
        let Self::Paths(paths) = self else {
            return table.clone();
        };
        let mut selected = ObjectTable::new();
        for path in paths {
            if let Some(value) = value_at(table, path) {
                set(&mut selected, path.names(), value.clone());
            }
        }
        selected
    }

    /// Gives the named fields of `target` the values that they have in `source`.
    ///
    /// # Errors
    /// Returns an error if a path descends into a list. The target is then unchanged.
    pub fn update(
        &self,
        target: &mut ObjectTable,
        source: &ObjectTable,
    ) -> Result<(), PathIntoList> {
        let Self::Paths(paths) = self else {
            target.clone_from(source);
            return Ok(());
        };
        for path in paths {
            if enters_list(target, path) || enters_list(source, path) {
                return Err(PathIntoList(path.clone()));
            }
        }
        for path in paths {
            match value_at(source, path) {
                Some(value) => set(target, path.names(), value.clone()),
                None => remove(target, path.names()),
            }
        }
        Ok(())
    }
}

fn value_at<'a>(table: &'a ObjectTable, path: &FieldPath) -> Option<&'a ObjectValue> {
    let (first, rest) = path.names().split_first()?;
    table.get(first)?.at(rest)
}

fn enters_list(table: &ObjectTable, path: &FieldPath) -> bool {
    let names = path.names();
    (1..names.len()).any(|length| {
        let (first, rest) = (&names[0], &names[1..length]);
        let value = table.get(first).and_then(|value| value.at(rest));
        matches!(value, Some(ObjectValue::List(_)))
    })
}

fn set(table: &mut ObjectTable, names: &[String], value: ObjectValue) {
    let Some((first, rest)) = names.split_first() else {
        return;
    };
    if rest.is_empty() {
        table.insert(first.clone(), value);
        return;
    }
    let empty = || ObjectValue::Table(ObjectTable::new());
    let inner = table.entry(first.clone()).or_insert_with(empty);
    if inner.as_table().is_none() {
        *inner = empty();
    }
    if let ObjectValue::Table(inner) = inner {
        set(inner, rest, value);
    }
}

fn remove(table: &mut ObjectTable, names: &[String]) {
    match names {
        [] => {}
        [last] => drop(table.remove(last)),
        [first, rest @ ..] => {
            if let Some(ObjectValue::Table(inner)) = table.get_mut(first) {
                remove(inner, rest);
            }
        }
    }
}

impl FromStr for FieldMask {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let (mut paths, mut at) = (Vec::new(), 0);
        if text.trim() == "*" {
            return Ok(Self::All);
        }
        loop {
            at += text[at..].len() - text[at..].trim_start().len();
            if paths.len() == MASK_PATHS_MAX {
                let problem = "the mask has more than 128 paths";
                return Err(PathError { at, problem });
            }
            let (path, length) = FieldPath::scan(&text[at..]).map_err(|error| PathError {
                at: at + error.at,
                problem: error.problem,
            })?;
            paths.push(path);
            at += length;
            at += text[at..].len() - text[at..].trim_start().len();
            if at == text.len() {
                return Ok(Self::of(paths));
            }
            if !text[at..].starts_with(',') {
                let problem = "expected `,` between paths";
                return Err(PathError { at, problem });
            }
            at += 1;
        }
    }
}

impl fmt::Display for FieldMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Paths(paths) = self else {
            return f.write_str("*");
        };
        for (index, path) in paths.iter().enumerate() {
            let separator = if index > 0 { "," } else { "" };
            write!(f, "{separator}{path}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::value::tests::any_value;
    use proptest::prelude::*;

    fn any_table() -> impl Strategy<Value = ObjectTable> {
        prop::collection::btree_map("[abc]", any_value(), 0..4)
    }

    fn any_mask() -> impl Strategy<Value = FieldMask> {
        let path = prop::collection::vec("[abc]", 1..3).prop_map(|names| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            FieldPath::of(&names)
        });
        prop::collection::vec(path, 1..4).prop_map(FieldMask::of)
    }

    proptest! {
        #[test]
        fn an_update_changes_the_named_fields_alone(
            mask in any_mask(), other in any_mask(), mut target in any_table(), source in any_table(),
        ) {
            let before = target.clone();
            match mask.update(&mut target, &source) {
                Err(_) => prop_assert_eq!(target, before),
                Ok(()) => {
                    prop_assert_eq!(mask.select(&target), mask.select(&source));
                    let (FieldMask::Paths(named), FieldMask::Paths(others)) = (&mask, &other) else {
                        unreachable!("masks of paths")
                    };
                    let apart = |one: &FieldPath, two: &FieldPath| one.names()[0] != two.names()[0];
                    if named.iter().all(|one| others.iter().all(|two| apart(one, two))) {
                        prop_assert_eq!(other.select(&target), other.select(&before));
                    }
                }
            }
        }

        #[test]
        fn a_printed_mask_is_read_back(mask in any_mask()) {
            prop_assert_eq!(mask.to_string().parse::<FieldMask>(), Ok(mask));
        }

        #[test]
        fn reading_never_panics(text in "[ab.,*` é]{0,12}") {
            drop(text.parse::<FieldMask>());
        }
    }

    fn table(fields: &[(&str, ObjectValue)]) -> ObjectTable {
        fields
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect()
    }

    #[test]
    fn an_update_reaches_into_maps_and_replaces_lists() {
        let labels = |tier: &str| {
            let fields = [("tier", tier.into()), ("zone", "a".into())];
            ObjectValue::Table(table(&fields))
        };
        let mut target = table(&[
            ("labels", labels("web")),
            ("list", ObjectValue::texts(["a"])),
        ]);
        let inner = ObjectValue::Table(table(&[("tier", "db".into())]));
        let source = table(&[("labels", inner), ("list", ObjectValue::texts(["b", "c"]))]);
        let mask: FieldMask = "labels.tier, list, labels.other".parse().unwrap();
        mask.update(&mut target, &source).unwrap();
        let expected = [
            ("labels", labels("db")),
            ("list", ObjectValue::texts(["b", "c"])),
        ];
        assert_eq!(target, table(&expected));
        let mask: FieldMask = "list.a".parse().unwrap();
        let error = mask.update(&mut target, &source).unwrap_err();
        assert!(error.to_string().contains("`list.a` descends into a list"));
    }

    #[test]
    fn covered_paths_are_dropped() {
        let mask: FieldMask = "a.b,a,c.d.e,c.d,a-b".parse().unwrap();
        assert_eq!(mask.to_string(), "a,`a-b`,c.d");
        assert_eq!(" * ".parse(), Ok(FieldMask::All));
        assert!("".parse::<FieldMask>().is_err());
    }
}
