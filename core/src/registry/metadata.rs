//! Metadata of an object: the part that its writers set, and the part that the registry sets.

use super::audience::{ALL_SERVICES, ObjectAudience};
use super::name::{ObjectName, ObjectNameError, RegionId};
use super::value::{ObjectTable, ObjectValue};
use crate::time::Wall;
use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

/// Maximum number of labels, annotations, tags, finalizers and owner references of an object, each.
pub const METADATA_ENTRIES_MAX: usize = 64;

/// A position in the log of a region. Each committed batch has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// The epoch of the sequencer that committed the batch.
    pub epoch: u64,
    /// The number of the batch in the log, from 1 on.
    pub sequence: u64,
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.sequence)
    }
}

/// The identity of one life of an object. An object that is deleted and created again has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(u128);

impl Uid {
    /// A version 4 UUID of these random bits.
    #[must_use]
    pub const fn from_random(high: u64, low: u64) -> Self {
        let bits = (high as u128) << 64 | low as u128;
        let cleared = bits & !(0xF << 76) & !(0b11 << 62);
        Self(cleared | 4 << 76 | 0b10 << 62)
    }

    /// The uid with this value.
    #[must_use]
    pub const fn new(value: u128) -> Self {
        Self(value)
    }

    /// The value.
    #[must_use]
    pub const fn value(self) -> u128 {
        self.0
    }

    /// The uid of a text such as `01234567-89ab-4def-8123-456789abcdef`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = text.chars().filter(|it| *it != '-').collect();
        let uid = Self(u128::from_str_radix(&digits, 16).ok()?);
        (uid.to_string() == text).then_some(uid)
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:032x}", self.0);
        let (a, b, c) = (&digits[..8], &digits[8..12], &digits[12..16]);
        write!(f, "{a}-{b}-{c}-{}-{}", &digits[16..20], &digits[20..])
    }
}

/// A reference to an object that this object depends on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnerReference {
    /// The owner's name.
    pub name: ObjectName,
    /// The owner's uid.
    pub uid: Uid,
    /// The region that owns the owner.
    pub region: RegionId,
    /// The version of the owner's kind.
    pub api_version: String,
    /// Whether the owner manages this object.
    pub controller: bool,
    /// Whether this object blocks the deletion of the owner.
    pub block: bool,
}

/// The part of the metadata that writers set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriterMetadata {
    /// Labels, for filters.
    pub labels: BTreeMap<String, String>,
    /// Texts of tools.
    pub annotations: BTreeMap<String, String>,
    /// Words, for filters.
    pub tags: BTreeSet<String>,
    /// Programs that must act before the object is removed. A deleted object remains until the set is empty.
    pub finalizers: BTreeSet<String>,
    /// The objects that this object depends on.
    pub owner_references: BTreeSet<OwnerReference>,
    /// Whether the object cannot be deleted.
    pub block_deletion: bool,
    /// The version of the kind in which the object is written.
    pub api_version: String,
    /// Services that may read the object, beside those that may because of its kind; `*` for all services.
    pub shared_with: BTreeSet<String>,
}

/// Metadata of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The identity of this life of the object.
    pub uid: Uid,
    /// The number of changes of the object: 1 after its creation. The token of compare-and-swap.
    pub generation: u64,
    /// The batch that changed the object last.
    pub revision: Revision,
    /// The region that owns the object, which alone decides about writes.
    pub owning_region: RegionId,
    /// Calendar time of the creation, of the last change, and of the order to delete the object.
    pub created: Wall,
    /// See `created`.
    pub updated: Wall,
    /// See `created`; none unless the object is being deleted.
    pub deleted: Option<Wall>,
    /// The other services that may read the object.
    pub audience: ObjectAudience,
    /// The part that writers set.
    pub writer: WriterMetadata,
}

/// Reason why a table is not valid metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataError {
    /// The metadata are not a table.
    NotATable,
    /// A field does not exist, or is set by the registry alone.
    NotWritable(String),
    /// A field has another type.
    Type {
        /// The field.
        field: &'static str,
        /// The required type.
        needed: &'static str,
    },
    /// A field has too many entries.
    TooMany(&'static str),
    /// The name of an owner is not valid.
    Owner(ObjectNameError),
    /// An entry of `shared_with` is not a service.
    Service(String),
}

impl fmt::Display for MetadataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotATable => f.write_str("metadata must be a table"),
            Self::NotWritable(field) => write!(
                f,
                "metadata.{field} does not exist or is set by the registry; writers set labels, annotations, tags, \
                 finalizers, owner_references, block_deletion, api_version and shared_with"
            ),
            Self::Type { field, needed } => write!(f, "metadata.{field} must be {needed}"),
            Self::TooMany(field) => write!(
                f,
                "metadata.{field} has more than {METADATA_ENTRIES_MAX} entries"
            ),
            Self::Owner(error) => write!(f, "metadata.owner_references: name, {error}"),
            Self::Service(text) => write!(
                f,
                "metadata.shared_with: {text:?} is not the id of a service; write ids, or \"*\" for all services"
            ),
        }
    }
}

impl core::error::Error for MetadataError {}

/// The fields that writers set.
const WRITABLE: &[&str] = &[
    "labels",
    "annotations",
    "tags",
    "finalizers",
    "owner_references",
    "block_deletion",
    "api_version",
    "shared_with",
];

impl WriterMetadata {
    /// Whether writers set this field of the metadata.
    #[must_use]
    pub fn is_writable(field: &str) -> bool {
        WRITABLE.contains(&field)
    }

    /// The fields that are set.
    #[must_use]
    pub fn to_table(&self) -> ObjectTable {
        let mut table = ObjectTable::new();
        let mut set = |field: &str, is_set: bool, value: ObjectValue| {
            if is_set {
                table.insert(field.to_owned(), value);
            }
        };
        set(
            "labels",
            !self.labels.is_empty(),
            texts_by_name(&self.labels),
        );
        let annotations = texts_by_name(&self.annotations);
        set("annotations", !self.annotations.is_empty(), annotations);
        set(
            "tags",
            !self.tags.is_empty(),
            ObjectValue::texts(&self.tags),
        );
        let finalizers = ObjectValue::texts(&self.finalizers);
        set("finalizers", !self.finalizers.is_empty(), finalizers);
        let owners = self.owner_references.iter().map(OwnerReference::to_value);
        let owners = ObjectValue::List(owners.collect());
        set(
            "owner_references",
            !self.owner_references.is_empty(),
            owners,
        );
        set(
            "block_deletion",
            self.block_deletion,
            ObjectValue::Bool(true),
        );
        let api_version = self.api_version.as_str().into();
        set("api_version", !self.api_version.is_empty(), api_version);
        let shared_with = ObjectValue::texts(&self.shared_with);
        set("shared_with", !self.shared_with.is_empty(), shared_with);
        table
    }

    /// Reads the fields of a table.
    ///
    /// # Errors
    /// Returns an error for an unknown field, a field of another type, or too many entries.
    pub fn from_table(table: &ObjectTable) -> Result<Self, MetadataError> {
        let mut metadata = Self::default();
        for (field, value) in table {
            match field.as_str() {
                "labels" => metadata.labels = read_texts_by_name("labels", value)?,
                "annotations" => metadata.annotations = read_texts_by_name("annotations", value)?,
                "tags" => metadata.tags = read_texts("tags", value)?,
                "finalizers" => metadata.finalizers = read_texts("finalizers", value)?,
                "owner_references" => metadata.owner_references = read_owners(value)?,
                "block_deletion" => match value {
                    ObjectValue::Bool(block) => metadata.block_deletion = *block,
                    ObjectValue::Null
                    | ObjectValue::Number(_)
                    | ObjectValue::Text(_)
                    | ObjectValue::List(_)
                    | ObjectValue::Table(_) => {
                        return Err(wrong_type("block_deletion", "true or false"));
                    }
                },
                "api_version" => match value.as_text() {
                    Some(version) => version.clone_into(&mut metadata.api_version),
                    None => return Err(wrong_type("api_version", "a text")),
                },
                "shared_with" => metadata.shared_with = read_services(value)?,
                other => return Err(MetadataError::NotWritable(other.to_owned())),
            }
        }
        Ok(metadata)
    }
}

const fn wrong_type(field: &'static str, needed: &'static str) -> MetadataError {
    MetadataError::Type { field, needed }
}

fn texts_by_name(map: &BTreeMap<String, String>) -> ObjectValue {
    let fields = map.iter();
    ObjectValue::Table(
        fields
            .map(|(key, text)| (key.clone(), text.as_str().into()))
            .collect(),
    )
}

fn read_texts_by_name(
    field: &'static str,
    value: &ObjectValue,
) -> Result<BTreeMap<String, String>, MetadataError> {
    let needed = || wrong_type(field, "a table of texts");
    let table = value.as_table().ok_or_else(needed)?;
    if table.len() > METADATA_ENTRIES_MAX {
        return Err(MetadataError::TooMany(field));
    }
    let pairs = table.iter().map(|(key, value)| {
        let text = value.as_text().ok_or_else(needed)?;
        Ok((key.clone(), text.to_owned()))
    });
    pairs.collect()
}

fn read_texts(field: &'static str, value: &ObjectValue) -> Result<BTreeSet<String>, MetadataError> {
    let needed = || wrong_type(field, "a list of texts");
    let ObjectValue::List(list) = value else {
        return Err(needed());
    };
    if list.len() > METADATA_ENTRIES_MAX {
        return Err(MetadataError::TooMany(field));
    }
    let texts = list
        .iter()
        .map(|it| it.as_text().map(str::to_owned).ok_or_else(needed));
    texts.collect()
}

fn read_services(value: &ObjectValue) -> Result<BTreeSet<String>, MetadataError> {
    let services = read_texts("shared_with", value)?;
    let is_valid = |it: &&String| *it == ALL_SERVICES || ObjectName::service(it).is_ok();
    match services.iter().find(|it| !is_valid(it)) {
        Some(wrong) => Err(MetadataError::Service(wrong.clone())),
        None => Ok(services),
    }
}

fn read_owners(value: &ObjectValue) -> Result<BTreeSet<OwnerReference>, MetadataError> {
    let field = "owner_references";
    let needed = "a list of tables with name, uid, region, api_version, controller and block";
    let ObjectValue::List(list) = value else {
        return Err(wrong_type(field, needed));
    };
    if list.len() > METADATA_ENTRIES_MAX {
        return Err(MetadataError::TooMany(field));
    }
    let mut owners = BTreeSet::new();
    for owner in list {
        let read = owner.as_table().and_then(OwnerReference::from_table);
        owners.insert(read.ok_or_else(|| wrong_type(field, needed))??);
    }
    Ok(owners)
}

impl OwnerReference {
    fn to_value(&self) -> ObjectValue {
        let fields = [
            ("name", self.name.as_str().into()),
            ("uid", self.uid.to_string().as_str().into()),
            ("region", self.region.as_str().into()),
            ("api_version", self.api_version.as_str().into()),
            ("controller", ObjectValue::Bool(self.controller)),
            ("block", ObjectValue::Bool(self.block)),
        ];
        ObjectValue::Table(fields.map(|(key, value)| (key.to_owned(), value)).into())
    }

    /// Reads a table: none if a field is missing, unknown or of another type.
    fn from_table(table: &ObjectTable) -> Option<Result<Self, MetadataError>> {
        let known = [
            "name",
            "uid",
            "region",
            "api_version",
            "controller",
            "block",
        ];
        if table.keys().any(|key| !known.contains(&key.as_str())) {
            return None;
        }
        let flag = |key| match table.get(key) {
            None => Some(false),
            Some(ObjectValue::Bool(flag)) => Some(*flag),
            Some(_) => None,
        };
        let text = |key| table.get(key).and_then(ObjectValue::as_text);
        let name = match text("name")?.parse() {
            Ok(name) => name,
            Err(error) => return Some(Err(MetadataError::Owner(error))),
        };
        Some(Ok(Self {
            name,
            uid: Uid::parse(text("uid")?)?,
            region: text("region")?.parse().ok()?,
            api_version: text("api_version").unwrap_or_default().to_owned(),
            controller: flag("controller")?,
            block: flag("block")?,
        }))
    }
}

impl Metadata {
    /// The entity tag: it changes with every change of the object, and with its life.
    #[must_use]
    pub fn etag(&self) -> String {
        format!("{}-{}", self.uid, self.generation)
    }

    /// All fields, as filters and masks see them.
    #[must_use]
    pub fn to_table(&self) -> ObjectTable {
        let mut table = self.writer.to_table();
        let state = if self.deleted.is_some() {
            "DELETING"
        } else {
            "ACTIVE"
        };
        let fields: [(&str, ObjectValue); 8] = [
            ("uid", self.uid.to_string().as_str().into()),
            ("generation", self.generation.into()),
            ("revision", self.revision.to_string().as_str().into()),
            ("etag", self.etag().as_str().into()),
            ("owning_region", self.owning_region.as_str().into()),
            ("create_time", self.created.0.into()),
            ("update_time", self.updated.0.into()),
            ("state", state.into()),
        ];
        table.extend(fields.map(|(key, value)| (key.to_owned(), value)));
        if let Some(deleted) = self.deleted {
            table.insert("delete_time".to_owned(), deleted.0.into());
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> OwnerReference {
        OwnerReference {
            name: "services/shop".parse().unwrap(),
            uid: Uid::from_random(1, 2),
            region: "eu".parse().unwrap(),
            api_version: "v1".to_owned(),
            controller: true,
            block: false,
        }
    }

    #[test]
    fn what_writers_set_is_read_back() {
        let metadata = WriterMetadata {
            labels: [("tier".to_owned(), "web".to_owned())].into(),
            annotations: [("a/b".to_owned(), "c".to_owned())].into(),
            tags: ["x".to_owned()].into(),
            finalizers: ["drain".to_owned()].into(),
            owner_references: [owner()].into(),
            block_deletion: true,
            api_version: "v2".to_owned(),
            shared_with: ["*".to_owned(), "mail".to_owned()].into(),
        };
        assert_eq!(
            WriterMetadata::from_table(&metadata.to_table()),
            Ok(metadata)
        );
        assert_eq!(WriterMetadata::default().to_table(), ObjectTable::new());
    }

    #[test]
    fn fields_of_the_registry_are_refused() {
        for field in ["uid", "generation", "revision", "owning_region", "other"] {
            let table = ObjectTable::from([(field.to_owned(), 1.into())]);
            let error = MetadataError::NotWritable(field.to_owned());
            assert_eq!(WriterMetadata::from_table(&table), Err(error));
        }
        let table = ObjectTable::from([("labels".to_owned(), "x".into())]);
        let error = WriterMetadata::from_table(&table).unwrap_err();
        assert_eq!(
            error.to_string(),
            "metadata.labels must be a table of texts"
        );
    }

    #[test]
    fn an_object_is_shared_with_services() {
        let with = |text: &str| {
            let table = [("shared_with".to_owned(), ObjectValue::texts([text]))];
            WriterMetadata::from_table(&table.into())
        };
        assert!(with("mail.example").is_ok() && with("*").is_ok());
        assert_eq!(
            with("services/mail"),
            Err(MetadataError::Service("services/mail".to_owned()))
        );
    }

    #[test]
    fn an_uid_is_a_random_uuid() {
        let uid = Uid::from_random(u64::MAX, u64::MAX);
        assert_eq!(uid.to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(Uid::parse(&uid.to_string()), Some(uid));
        assert_eq!(Uid::parse("ffff"), None);
    }
}
