//! Views: how much of an object a read returns.

use super::mask::FieldMask;
use crate::registry::object::{METADATA_FIELD, NAME_FIELD, Object};
use crate::registry::value::{ObjectTable, ObjectValue};
use core::str::FromStr;

/// A view of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ObjectView {
    /// The name.
    Name,
    /// The name, the metadata, and the fields of the body that are neither lists nor tables.
    Basic,
    /// All stored fields.
    #[default]
    Full,
}

impl ObjectView {
    /// Every view and its name. DETAIL is FULL: it is the word of kinds that have derived fields.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("NAME", Self::Name),
        ("BASIC", Self::Basic),
        ("DETAIL", Self::Full),
        ("FULL", Self::Full),
    ];

    /// The part of an object that the view shows, restricted by a mask if there is one. The name is always part of it.
    #[must_use]
    pub fn of(self, object: &Object, mask: Option<&FieldMask>) -> ObjectTable {
        let mut table = object.to_table();
        match self {
            Self::Name => table.retain(|field, _| field == NAME_FIELD),
            Self::Basic => table.retain(|field, value| {
                let is_compound = matches!(value, ObjectValue::List(_) | ObjectValue::Table(_));
                field == METADATA_FIELD || !is_compound
            }),
            Self::Full => {}
        }
        if let Some(mask) = mask {
            table = mask.select(&table);
            table.insert(NAME_FIELD.to_owned(), object.name.as_str().into());
        }
        table
    }
}

impl FromStr for ObjectView {
    type Err = UnknownView;

    fn from_str(text: &str) -> Result<Self, UnknownView> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        found.map(|(_, view)| *view).ok_or(UnknownView)
    }
}

/// The text is not the name of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownView;

impl core::fmt::Display for UnknownView {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the view must be NAME, BASIC, DETAIL or FULL")
    }
}

impl core::error::Error for UnknownView {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::object::tests::object;

    #[test]
    fn views_show_more_and_more() {
        let body = [("a", 1.into()), ("b", ObjectValue::texts(["c"]))];
        let body = body.map(|(key, value)| (key.to_owned(), value)).into();
        let it = object("services/shop", body);
        let fields = |view: ObjectView, mask: Option<&str>| {
            let mask = mask.map(|text| text.parse().unwrap());
            let table = view.of(&it, mask.as_ref());
            table.into_keys().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(fields(ObjectView::Name, None), "name");
        assert_eq!(fields(ObjectView::Basic, None), "a metadata name");
        assert_eq!(fields(ObjectView::Full, None), "a b metadata name");
        assert_eq!(fields(ObjectView::Full, Some("b")), "b name");
        assert_eq!("NAMES".parse::<ObjectView>(), Err(UnknownView));
    }
}
