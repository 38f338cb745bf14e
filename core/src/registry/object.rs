//! Objects of the registry: a name, metadata and a body of named fields.

use super::metadata::{Metadata, MetadataError, WriterMetadata};
use super::name::ObjectName;
use super::value::{FieldPath, ObjectTable, ObjectValue, table_len};
use crate::size::{bytes, delimited};
use std::borrow::Cow;

/// The field that holds the name, and the field that holds the metadata, in the view of filters and masks.
pub const NAME_FIELD: &str = "name";
/// See [`NAME_FIELD`].
pub const METADATA_FIELD: &str = "metadata";

/// An object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The name.
    pub name: ObjectName,
    /// The metadata.
    pub metadata: Metadata,
    /// The body. Fields called `name` and `metadata` do not exist in a body.
    pub body: ObjectTable,
}

impl Object {
    /// The object as one value: its name, its metadata and the fields of its body.
    #[must_use]
    pub fn to_table(&self) -> ObjectTable {
        let mut table = self.body.clone();
        table.insert(NAME_FIELD.to_owned(), self.name.as_str().into());
        table.insert(METADATA_FIELD.to_owned(), self.metadata_value());
        table
    }

    /// The metadata as one value. Its field `services` says which services may read the object.
    fn metadata_value(&self) -> ObjectValue {
        let mut table = self.metadata.to_table();
        if let Some(owner) = self.name.of_service() {
            let services = [
                ("owning_service", owner.into()),
                (
                    "allowed_services",
                    ObjectValue::texts(self.allowed_services()),
                ),
            ];
            let services = services.map(|(key, value)| (key.to_owned(), value));
            table.insert("services".to_owned(), ObjectValue::Table(services.into()));
        }
        ObjectValue::Table(table)
    }

    /// The services that may read the object, `*` for all; none for a region, which each caller may read.
    #[must_use]
    pub fn allowed_services(&self) -> Vec<&str> {
        let audience = &self.metadata.audience;
        let owner = self.name.of_service().filter(|_| !audience.admits_all());
        let mut services: Vec<&str> = audience.iter().chain(owner).collect();
        services.sort_unstable();
        services.dedup();
        services
    }

    /// The value of a field; none if the field is not set.
    #[must_use]
    pub fn field(&self, path: &FieldPath) -> Option<Cow<'_, ObjectValue>> {
        let (first, rest) = path.names().split_first()?;
        match first.as_str() {
            NAME_FIELD if rest.is_empty() => Some(Cow::Owned(self.name.as_str().into())),
            NAME_FIELD => None,
            METADATA_FIELD => {
                let table = self.metadata_value();
                table.at(rest).cloned().map(Cow::Owned)
            }
            _ => self.body.get(first)?.at(rest).map(Cow::Borrowed),
        }
    }

    /// A text of the body; empty if the field is not set.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        let value = self.body.get(field).and_then(ObjectValue::as_text);
        value.unwrap_or_default()
    }

    /// Whether a resource makes the objects of its kind readable for all services.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.body.get("is_public") == Some(&ObjectValue::Bool(true))
    }

    /// The texts of a list of the body.
    pub fn texts(&self, field: &str) -> impl Iterator<Item = &str> {
        let list = self.body.get(field).map_or(&[][..], ObjectValue::elements);
        list.iter().filter_map(ObjectValue::as_text)
    }

    /// The size that quotas count, in bytes: that of the name, of the metadata that writers set and of the body, as
    /// they are encoded.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let writer = table_len(&self.metadata.writer.to_table());
        bytes(self.name.as_str().len()) + bytes(writer) + delimited(table_len(&self.body))
    }
}

/// An object as a writer sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectDraft {
    /// The name.
    pub name: ObjectName,
    /// The metadata that writers set.
    pub metadata: WriterMetadata,
    /// The body.
    pub body: ObjectTable,
}

impl ObjectDraft {
    /// A draft without metadata.
    #[must_use]
    pub fn new(name: ObjectName, body: ObjectTable) -> Self {
        Self {
            name,
            metadata: WriterMetadata::default(),
            body,
        }
    }

    /// The draft as one value, without the name.
    #[must_use]
    pub fn to_table(&self) -> ObjectTable {
        let mut table = self.body.clone();
        let metadata = self.metadata.to_table();
        if !metadata.is_empty() {
            table.insert(METADATA_FIELD.to_owned(), ObjectValue::Table(metadata));
        }
        table
    }

    /// Reads one value, as [`Self::to_table`] returns it.
    ///
    /// # Errors
    /// Returns an error if the metadata are not valid.
    pub fn from_table(name: ObjectName, mut table: ObjectTable) -> Result<Self, MetadataError> {
        let metadata = match table.remove(METADATA_FIELD) {
            Some(ObjectValue::Table(metadata)) => WriterMetadata::from_table(&metadata)?,
            Some(_) => return Err(MetadataError::NotATable),
            None => WriterMetadata::default(),
        };
        let body = table;
        Ok(Self {
            name,
            metadata,
            body,
        })
    }
}

impl From<&Object> for ObjectDraft {
    fn from(object: &Object) -> Self {
        Self {
            name: object.name.clone(),
            metadata: object.metadata.writer.clone(),
            body: object.body.clone(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::registry::audience::ObjectAudience;
    use crate::registry::metadata::{Revision, Uid};
    use crate::registry::value::tests::any_value;
    use crate::time::Wall;
    use proptest::prelude::*;

    /// An object of this name and body, of the first generation.
    pub(crate) fn object(name: &str, body: ObjectTable) -> Object {
        Object {
            name: name.parse().unwrap(),
            metadata: Metadata {
                uid: Uid::from_random(1, 1),
                generation: 1,
                revision: Revision {
                    epoch: 1,
                    sequence: 1,
                },
                owning_region: "eu".parse().unwrap(),
                created: Wall(10),
                updated: Wall(10),
                deleted: None,
                audience: ObjectAudience::default(),
                writer: WriterMetadata::default(),
            },
            body,
        }
    }

    /// Objects with a few fields of few distinct contents.
    pub(crate) fn any_object() -> impl Strategy<Value = Object> {
        let body = prop::collection::btree_map("[abc]", any_value(), 0..4);
        ("[a-d]", body).prop_map(|(id, body)| object(&format!("//shop/orders/{id}"), body))
    }

    proptest! {
        #[test]
        fn a_field_is_that_of_the_whole_value(it in any_object(), names in prop::collection::vec("[abc]|name|metadata|uid", 1..4)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let path = FieldPath::of(&names);
            let whole = ObjectValue::Table(it.to_table());
            let field = it.field(&path);
            prop_assert_eq!(field.as_deref(), whole.at(path.names()));
        }

        #[test]
        fn a_draft_is_read_back(it in any_object()) {
            let draft = ObjectDraft::from(&it);
            let read = ObjectDraft::from_table(draft.name.clone(), draft.to_table());
            prop_assert_eq!(read, Ok(draft));
        }
    }
}
