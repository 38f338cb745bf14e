//! References: fields of registered kinds that name other objects, and what happens to them when these are deleted.
//!
//! A resource declares them in its field `references`: the path of a field with a name or a list of names, and what a
//! deletion does: it is blocked (the default), it deletes the referring object as well, or it unsets the field. An owner
//! reference with `block` blocks the deletion of the owner.
//!
//! A write names only objects that exist and are not being deleted.
//!
//! Bounds: [`REFERENCES_MAX`] fields of a kind; [`TARGETS_MAX`] names in a field.

use super::metadata::Uid;
use super::name::ObjectName;
use super::object::Object;
use super::value::{FieldPath, ObjectTable, ObjectValue};
use core::fmt;
use std::collections::BTreeSet;

/// Maximum number of fields of a kind that are references.
pub const REFERENCES_MAX: usize = 8;
/// Maximum number of names in a field.
pub const TARGETS_MAX: usize = 64;

/// The effect of the deletion of an object on one that refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OnDelete {
    /// The deletion is refused.
    Block,
    /// The referring object is deleted as well.
    Cascade,
    /// The name is removed from the field.
    Unset,
}

/// A field of a kind that names other objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceField {
    /// The field.
    pub path: FieldPath,
    /// The effect of a deletion.
    pub on_delete: OnDelete,
}

/// Reason why a kind cannot declare its references, or an object not have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReferenceError {
    /// The kind has more than [`REFERENCES_MAX`] references.
    TooMany,
    /// The path of a field is not valid, or names no field of the body.
    Path(String),
    /// `on_delete` has another value.
    OnDelete(String),
    /// A field has more than [`TARGETS_MAX`] names.
    TooManyNames(FieldPath),
    /// A field has a value that is neither a name nor a list of names.
    NotAName(FieldPath),
}

impl fmt::Display for ReferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(f, "a kind has at most {REFERENCES_MAX} references"),
            Self::Path(text) => {
                write!(
                    f,
                    "references: `{text}` is not the path of a field of the body"
                )
            }
            Self::OnDelete(text) => write!(
                f,
                "references: on_delete is `{text}`; expected `block`, `cascade` or `unset`"
            ),
            Self::TooManyNames(path) => {
                write!(f, "field `{path}` has more than {TARGETS_MAX} names")
            }
            Self::NotAName(path) => write!(
                f,
                "field `{path}` must be the name of an object or a list of names"
            ),
        }
    }
}

impl core::error::Error for ReferenceError {}

/// The references that the body of a resource declares.
///
/// # Errors
/// Returns the first declaration that is not valid.
pub fn declared(body: &ObjectTable) -> Result<Vec<ReferenceField>, ReferenceError> {
    let list = body
        .get("references")
        .map_or(&[][..], ObjectValue::elements);
    if list.len() > REFERENCES_MAX {
        return Err(ReferenceError::TooMany);
    }
    let text = |it: &ObjectValue, field: &str| {
        let value = it.as_table().and_then(|it| it.get(field));
        let text = value.and_then(ObjectValue::as_text).unwrap_or_default();
        text.to_owned()
    };
    let fields = list.iter().map(|it| {
        let path = text(it, "field");
        let read = path.parse::<FieldPath>().ok();
        let read = read.filter(|it| !matches!(it.names()[0].as_str(), "name" | "metadata"));
        let on_delete = match text(it, "on_delete").as_str() {
            "" | "block" => OnDelete::Block,
            "cascade" => OnDelete::Cascade,
            "unset" => OnDelete::Unset,
            other => return Err(ReferenceError::OnDelete(other.to_owned())),
        };
        Ok(ReferenceField {
            path: read.ok_or(ReferenceError::Path(path))?,
            on_delete,
        })
    });
    fields.collect()
}

/// The value of a field of a body.
fn value_of<'a>(body: &'a ObjectTable, path: &FieldPath) -> Option<&'a ObjectValue> {
    let (first, rest) = path.names().split_first()?;
    body.get(first)?.at(rest)
}

/// Checks the fields of a body that are references.
///
/// # Errors
/// Returns the first field that is not valid.
pub fn check_fields(fields: &[ReferenceField], body: &ObjectTable) -> Result<(), ReferenceError> {
    for field in fields {
        let is_name = |it: &ObjectValue| {
            it.as_text()
                .is_some_and(|it| it.parse::<ObjectName>().is_ok())
        };
        let is_valid = match value_of(body, &field.path) {
            None => true,
            Some(ObjectValue::List(list)) if list.len() > TARGETS_MAX => {
                return Err(ReferenceError::TooManyNames(field.path.clone()));
            }
            Some(ObjectValue::List(list)) => list.iter().all(is_name),
            Some(value) => is_name(value),
        };
        if !is_valid {
            return Err(ReferenceError::NotAName(field.path.clone()));
        }
    }
    Ok(())
}

/// The names in a field.
fn names_in<'a>(body: &'a ObjectTable, path: &FieldPath) -> impl Iterator<Item = &'a str> {
    let value = value_of(body, path);
    let one = value.and_then(ObjectValue::as_text);
    let list = value.map_or(&[][..], ObjectValue::elements);
    one.into_iter()
        .chain(list.iter().filter_map(ObjectValue::as_text))
}

/// The objects that the fields of an object refer to.
#[must_use]
pub fn targets(fields: &[ReferenceField], object: &Object) -> BTreeSet<ObjectName> {
    let names = fields
        .iter()
        .flat_map(|field| names_in(&object.body, &field.path));
    names.filter_map(|it| it.parse().ok()).collect()
}

/// The effect of the deletion of another object on an object; none if it does not refer to it. The strictest of several
/// references counts.
#[must_use]
pub fn on_delete(fields: &[ReferenceField], object: &Object, target: &Object) -> Option<OnDelete> {
    let mut owners = object.metadata.writer.owner_references.iter();
    let is_target =
        |name: &ObjectName, uid: Uid| *name == target.name && uid == target.metadata.uid;
    if owners.any(|it| it.block && is_target(&it.name, it.uid)) {
        return Some(OnDelete::Block);
    }
    let fields = fields.iter().filter(|field| {
        let mut names = names_in(&object.body, &field.path);
        names.any(|it| it == target.name.as_str())
    });
    fields.map(|field| field.on_delete).min()
}

/// All objects that an object names, with its owners.
#[must_use]
pub fn named(fields: &[ReferenceField], object: &Object) -> BTreeSet<ObjectName> {
    let mut named = targets(fields, object);
    let owners = object.metadata.writer.owner_references.iter();
    named.extend(owners.map(|it| it.name.clone()));
    named
}

/// The body of an object without a name in the fields that a deletion unsets.
#[must_use]
pub fn without_target(
    fields: &[ReferenceField],
    object: &Object,
    target: &ObjectName,
) -> ObjectTable {
    let mut body = object.body.clone();
    for field in fields.iter().filter(|it| it.on_delete == OnDelete::Unset) {
        remove_name(&mut body, field.path.names(), target.as_str());
    }
    body
}

fn remove_name(table: &mut ObjectTable, path: &[String], target: &str) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    let Some(value) = table.get_mut(first) else {
        return;
    };
    match value {
        ObjectValue::Table(inner) if !rest.is_empty() => remove_name(inner, rest, target),
        ObjectValue::List(list) if rest.is_empty() => {
            list.retain(|it| it.as_text() != Some(target));
        }
        ObjectValue::Text(text) if rest.is_empty() && text == target => drop(table.remove(first)),
        ObjectValue::Null
        | ObjectValue::Bool(_)
        | ObjectValue::Number(_)
        | ObjectValue::Text(_)
        | ObjectValue::List(_)
        | ObjectValue::Table(_) => {}
    }
}

/// Whether an object is the owner of this uid: another life of the same name is not.
#[must_use]
pub fn is_owner(owner: Option<&Object>, uid: Uid) -> bool {
    owner.is_some_and(|it| it.metadata.uid == uid)
}
