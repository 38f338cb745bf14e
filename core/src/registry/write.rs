//! Writes: batches of operations, their preconditions, their outcomes and the reasons to refuse them.

pub use super::access::RegistryCaller;

use super::kind::KindError;
use super::log::{LogEntry, ObjectChange};
use super::metadata::{Metadata, MetadataError, Revision, Uid};
use super::name::{ObjectName, RegionId};
use super::object::{Object, ObjectDraft};
use super::query::{FieldMask, PathIntoList};
use super::rules::RuleViolation;
use super::value::{FieldPath, ObjectTable, write_canonical};
use crate::random::hash_bytes;
use crate::time::Duration;
use core::fmt;
use std::sync::Arc;

/// Maximum number of operations of a batch.
pub const BATCH_OPERATIONS_MAX: usize = 128;

/// A condition on the object before the write. The default holds for each object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Precondition {
    /// The generation.
    pub generation: Option<u64>,
    /// The uid.
    pub uid: Option<Uid>,
    /// The values of the fields that a mask names.
    pub fields: Option<(FieldMask, ObjectTable)>,
}

impl Precondition {
    /// The object is the one of this entity tag.
    #[must_use]
    pub fn from_etag(etag: &str) -> Option<Self> {
        let (uid, generation) = etag.rsplit_once('-')?;
        Some(Self {
            generation: Some(generation.parse().ok()?),
            uid: Some(Uid::parse(uid)?),
            fields: None,
        })
    }

    /// The object has this generation.
    #[must_use]
    pub fn generation(generation: u64) -> Self {
        Self {
            generation: Some(generation),
            ..Self::default()
        }
    }

    /// Whether the condition holds for an object. `table` returns all fields of the object.
    #[must_use]
    pub fn holds(&self, metadata: &Metadata, table: impl FnOnce() -> ObjectTable) -> bool {
        let fields = self.fields.as_ref();
        self.generation.is_none_or(|it| it == metadata.generation)
            && self.uid.is_none_or(|it| it == metadata.uid)
            && fields.is_none_or(|(mask, values)| mask.select(&table()) == mask.select(values))
    }

    /// Whether the condition holds for each object.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.generation.is_none() && self.uid.is_none() && self.fields.is_none()
    }
}

/// One operation of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteOperation {
    /// Creates an object.
    Create(ObjectDraft),
    /// Changes the fields that the mask names.
    Update {
        /// The new values.
        draft: ObjectDraft,
        /// The fields to change.
        mask: FieldMask,
        /// The condition.
        condition: Precondition,
        /// Whether to create the object if it does not exist.
        allow_missing: bool,
    },
    /// Deletes an object. An object with finalizers remains until they are removed.
    Delete {
        /// The object.
        name: ObjectName,
        /// The condition.
        condition: Precondition,
        /// Whether the operation succeeds if the object does not exist.
        allow_missing: bool,
    },
}

impl WriteOperation {
    /// The object that the operation writes.
    #[must_use]
    pub const fn name(&self) -> &ObjectName {
        match self {
            Self::Create(draft) | Self::Update { draft, .. } => &draft.name,
            Self::Delete { name, .. } => name,
        }
    }
}

/// Operations that are applied together or not at all, each on another object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteBatch {
    /// The operations.
    pub operations: Vec<WriteOperation>,
}

impl WriteBatch {
    /// A hash that equal batches share, in all releases.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let mut text = String::new();
        for operation in &self.operations {
            operation.write_canonical(&mut text);
        }
        hash_bytes(text.as_bytes())
    }
}

impl Precondition {
    fn write_canonical(&self, text: &mut String) {
        let uid = self.uid.map(Uid::value);
        text.push_str(&format!("{:?} {uid:?}", self.generation));
        if let Some((mask, values)) = &self.fields {
            text.push_str(&mask.to_string());
            write_canonical(values, text);
        }
    }
}

impl WriteOperation {
    fn write_canonical(&self, text: &mut String) {
        text.push_str(self.name().as_str());
        match self {
            Self::Create(draft) => {
                text.push_str(" create ");
                write_canonical(&draft.to_table(), text);
            }
            Self::Update {
                draft,
                mask,
                condition,
                allow_missing,
            } => {
                text.push_str(&format!(" update {allow_missing} {mask} "));
                condition.write_canonical(text);
                write_canonical(&draft.to_table(), text);
            }
            Self::Delete {
                condition,
                allow_missing,
                ..
            } => {
                text.push_str(&format!(" delete {allow_missing} "));
                condition.write_canonical(text);
            }
        }
        text.push('\n');
    }
}

/// An object that a batch has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenObject {
    /// The name.
    pub name: ObjectName,
    /// The uid.
    pub uid: Uid,
    /// The generation after the write; none if the object was removed.
    pub generation: Option<u64>,
}

/// The copies in other regions that a writer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopiesWanted {
    /// The number of copies.
    pub count: usize,
    /// The time after which the write is answered with the number of copies that have confirmed it.
    pub timeout: Duration,
}

/// The outcome of a batch that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteOutcome {
    /// The region that owns the objects.
    pub region: RegionId,
    /// The revision of the batch. If it changed nothing and has no request id, of the latest batch before it.
    pub revision: Revision,
    /// The objects that were changed.
    pub objects: Vec<WrittenObject>,
    /// The number of copies in other regions that are known to have the batch; 0 if the writer did not wait for any.
    pub copies: usize,
}

impl WriteOutcome {
    /// The outcome of a committed batch of a region.
    #[must_use]
    pub fn of(entry: &LogEntry, region: &RegionId) -> Self {
        Self {
            region: region.clone(),
            copies: 0,
            revision: entry.revision,
            objects: entry.changes.iter().filter_map(written).collect(),
        }
    }
}

/// A change of the registry's own, such as that of an audience, keeps the generation.
fn written(change: &ObjectChange) -> Option<WrittenObject> {
    let generation = |object: &Option<Arc<Object>>| Some(object.as_ref()?.metadata.generation);
    let (before, after) = (generation(&change.before), generation(&change.after));
    if before.is_some() && before == after {
        return None;
    }
    let latest = change.after.as_ref().or(change.before.as_ref())?;
    Some(WrittenObject {
        name: change.name.clone(),
        uid: latest.metadata.uid,
        generation: after,
    })
}

/// The limit that a write exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteLimit {
    /// Operations of a batch.
    Operations(usize),
    /// Bytes of an object.
    ObjectBytes(usize),
    /// Bytes of a batch.
    BatchBytes(usize),
    /// Objects of a service.
    Objects(usize),
    /// Objects whose names begin with a prefix that has a quota.
    ObjectsBelow(usize),
}

/// Reason why a batch is not applied. Nothing of the batch is applied then, except for [`WriteRefusal::Unknown`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteRefusal {
    /// The registry has not opened its store yet, or opens it again after a failure.
    Opening,
    /// Another sequencer has opened the store.
    Deposed,
    /// Another process of the region holds the store, and this registry is its standby.
    Standby {
        /// The name of the process.
        holder: String,
    },
    /// Too many writes are waiting.
    Busy,
    /// The batch has no operation.
    Empty,
    /// The batch has two operations on this object.
    Twice(ObjectName),
    /// The caller may not write the object.
    Denied {
        /// The caller.
        caller: RegistryCaller,
        /// The object.
        name: ObjectName,
    },
    /// Another region owns the object.
    OtherRegion {
        /// The object.
        name: ObjectName,
        /// The owner.
        owner: RegionId,
    },
    /// The region that owns the object cannot be reached, so the write was not applied.
    Unreachable {
        /// The object.
        name: ObjectName,
        /// The owner.
        owner: RegionId,
    },
    /// Two regions own the objects of the batch.
    TwoRegions {
        /// An object of the batch.
        name: ObjectName,
        /// Its owner.
        owner: RegionId,
        /// The owner of the objects before it.
        other: RegionId,
    },
    /// The object does not exist.
    NotFound(ObjectName),
    /// The object exists already.
    AlreadyExists(ObjectName),
    /// A precondition does not hold.
    Conflict {
        /// The object.
        name: ObjectName,
        /// Its generation; none if the object does not exist.
        generation: Option<u64>,
    },
    /// The object is being deleted and takes no other change than the removal of finalizers.
    Deleting(ObjectName),
    /// The name has no kind, or the body does not fit the kind.
    Kind(ObjectName, KindError),
    /// The metadata are not valid.
    Metadata(ObjectName, MetadataError),
    /// The body has a field of a name that is not allowed, or too many levels.
    Body(ObjectName, &'static str),
    /// The mask descends into a list.
    Mask(PathIntoList),
    /// The mask names a field that the registry sets.
    ReadOnly(FieldPath),
    /// The batch breaks a rule about several objects.
    Rule(RuleViolation),
    /// A limit is exceeded.
    Limit(ObjectName, WriteLimit),
    /// The service writes too often.
    Rate {
        /// The service.
        service: String,
        /// The time after which the write may be repeated.
        retry_after: Duration,
    },
    /// Services write too often to names that begin with a prefix.
    PrefixRate {
        /// The prefix.
        prefix: String,
        /// The time after which the write may be repeated.
        retry_after: Duration,
    },
    /// The request id was used for another write.
    RequestReused,
    /// The first attempt of the write under this request id was refused, for a reason that does not hold any more.
    RefusedBefore,
    /// The store has no room.
    StoreFull,
    /// The store failed before the batch was sent to it.
    StoreFailed,
    /// The store failed while the batch was committed. Repeat the write with the same request id to learn the outcome.
    Unknown,
    /// The registry of another process refused the write.
    Remote(Box<RemoteRefusal>),
}

/// The refusal of a write by the registry of another process, as far as this process knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteRefusal {
    /// A constant word for the reason; empty if the other process gave none.
    pub reason: String,
    /// The reason for people.
    pub text: String,
    /// The object that the refusal concerns.
    pub name: Option<ObjectName>,
    /// The generation of the object, if a precondition does not hold.
    pub generation: Option<u64>,
    /// The time after which the write may be repeated.
    pub retry_after: Option<Duration>,
    /// Whether the refusal stays the same however often the write is repeated.
    pub is_terminal: bool,
}

impl WriteRefusal {
    /// Whether the refusal stays the same however often the write is repeated, unless the batch changes.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        match self {
            Self::Denied { .. }
            | Self::Empty
            | Self::Twice(_)
            | Self::Kind(..)
            | Self::Metadata(..)
            | Self::Body(..)
            | Self::Mask(_)
            | Self::ReadOnly(_)
            | Self::TwoRegions { .. }
            | Self::RequestReused => true,
            // The write may be accepted under another request id.
            Self::RefusedBefore
            // Other objects, other writers, quotas and the state of the registry change.
            | Self::Opening
            | Self::Deposed
            | Self::Standby { .. }
            | Self::Busy
            | Self::OtherRegion { .. }
            | Self::Unreachable { .. }
            | Self::NotFound(_)
            | Self::AlreadyExists(_)
            | Self::Conflict { .. }
            | Self::Deleting(_)
            | Self::Rule(_)
            | Self::Limit(..)
            | Self::Rate { .. }
            | Self::PrefixRate { .. }
            | Self::StoreFull
            | Self::StoreFailed
            | Self::Unknown => false,
            Self::Remote(remote) => remote.is_terminal,
        }
    }

    /// Whether the registry decided so because of its objects, so that the same batch might be accepted later. The
    /// outcome of a write with a request id is recorded then.
    #[must_use]
    pub const fn depends_on_state(&self) -> bool {
        match self {
            Self::NotFound(_)
            | Self::AlreadyExists(_)
            | Self::Conflict { .. }
            | Self::Deleting(_)
            | Self::Kind(..)
            | Self::Metadata(..)
            | Self::Body(..)
            | Self::Mask(_)
            | Self::Rule(_)
            | Self::Limit(..) => true,
            // The form of the batch and the rights of the caller stay the same.
            Self::Denied { .. }
            | Self::Empty
            | Self::Twice(_)
            | Self::ReadOnly(_)
            | Self::RequestReused
            | Self::RefusedBefore => false,
            // Nothing was decided, or another registry decides.
            Self::Opening
            | Self::Deposed
            | Self::Standby { .. }
            | Self::Busy
            | Self::OtherRegion { .. }
            | Self::TwoRegions { .. }
            | Self::Unreachable { .. }
            | Self::Rate { .. }
            | Self::PrefixRate { .. }
            | Self::StoreFull
            | Self::StoreFailed
            | Self::Unknown
            | Self::Remote { .. } => false,
        }
    }
}

impl fmt::Display for WriteLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operations(max) => write!(f, "the batch has more than {max} operations"),
            Self::ObjectBytes(max) => write!(f, "the object has more than {max} bytes"),
            Self::BatchBytes(max) => write!(f, "the batch has more than {max} bytes"),
            Self::Objects(max) => write!(f, "the service has {max} objects, its quota"),
            Self::ObjectsBelow(max) => {
                write!(f, "a prefix of the name has {max} objects, its quota")
            }
        }
    }
}

fn conflict(f: &mut fmt::Formatter<'_>, name: &ObjectName, found: Option<u64>) -> fmt::Result {
    match found {
        Some(generation) => write!(
            f,
            "{name}: has changed since it was read (its generation is {generation}); read it again"
        ),
        None => write!(f, "{name}: has been deleted since it was read"),
    }
}

impl fmt::Display for WriteRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opening => f.write_str("the registry is opening its store; repeat the write"),
            Self::Deposed => {
                f.write_str("another process has opened the store of this region; write to that one")
            }
            Self::Standby { holder } => write!(
                f,
                "this registry is a standby of {holder}, which holds the store of the region; write to {holder}"
            ),
            Self::Busy => f.write_str("too many writes are waiting; repeat the write later"),
            Self::Empty => f.write_str("the batch has no operation"),
            Self::Twice(name) => write!(f, "{name}: the batch has two operations on this object"),
            Self::Denied { caller, name } => write!(
                f,
                "{name}: {caller} may not write it; a service writes its own record and the objects that belong to it"
            ),
            Self::OtherRegion { name, owner } => {
                write!(f, "{name}: region {owner} owns it and decides about writes")
            }
            Self::Unreachable { name, owner } => write!(
                f,
                "{name}: region {owner} owns it and cannot be reached; the write was not applied, repeat it later"
            ),
            Self::TwoRegions { name, owner, other } => write!(
                f,
                "{name}: region {owner} owns it, and region {other} other objects of the batch; write them in two batches"
            ),
            Self::NotFound(name) => write!(f, "{name}: does not exist"),
            Self::AlreadyExists(name) => write!(f, "{name}: exists already"),
            Self::Conflict { name, generation } => conflict(f, name, *generation),
            Self::Deleting(name) => write!(
                f,
                "{name}: is being deleted; only its finalizers may be changed"
            ),
            Self::Kind(name, error) => write!(f, "{name}: {error}"),
            Self::Metadata(name, error) => write!(f, "{name}: {error}"),
            Self::Body(name, problem) => write!(f, "{name}: {problem}"),
            Self::Mask(error) => error.fmt(f),
            Self::ReadOnly(path) => {
                write!(f, "the mask names `{path}`, which the registry sets")
            }
            Self::Rule(violation) => violation.fmt(f),
            Self::Limit(name, limit) => write!(f, "{name}: {limit}"),
            Self::Rate {
                service,
                retry_after,
            } => write!(
                f,
                "service {service} writes too often; repeat the write after {} ms",
                retry_after.as_millis()
            ),
            Self::PrefixRate {
                prefix,
                retry_after,
            } => write!(
                f,
                "too many writes to names that begin with {prefix}; repeat the write after {} ms",
                retry_after.as_millis()
            ),
            Self::RequestReused => f.write_str("the request id was used for another write"),
            Self::RefusedBefore => f.write_str(
                "the write was refused when it was sent first under this request id; send it under another one",
            ),
            Self::StoreFull => f.write_str("the store has no room; the write was not applied"),
            Self::StoreFailed => f.write_str("the store failed; the write was not applied"),
            Self::Unknown => f.write_str(
                "the store failed during the commit; repeat the write with the same request id to learn the outcome",
            ),
            Self::Remote(remote) => f.write_str(&remote.text),
        }
    }
}

impl core::error::Error for WriteRefusal {}
