//! Refusals as gRPC statuses with a `google.rpc.ErrorInfo`, and back.
//!
//! The info's reason is a constant, its domain is `registry.phalanx`, and its metadata name the object. A refusal that a
//! repetition cannot change has the entry `terminal`. A rate or a quota of objects that is exceeded has a `google.rpc.RetryInfo` as well.

use super::InvalidField;
use phalanx_core::identity::NodeId;
use phalanx_core::registry::members::RegistryMember;
use phalanx_core::registry::name::ObjectName;
use phalanx_core::registry::write::{RemoteRefusal, WriteLimit, WriteRefusal};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The domain of the reasons.
const DOMAIN: &str = "registry.phalanx";
/// The entry of refusals that a repetition cannot change.
const TERMINAL: &str = "terminal";
/// Time after which a write may be repeated that exceeds a quota of objects: others must delete some.
const QUOTA_RETRY: Duration = Duration::from_secs(30);
/// The reason of a write whose outcome is not known.
pub(super) const UNKNOWN_OUTCOME: &str = "UNKNOWN_OUTCOME";

/// The reason of the refusal of another process that is not known here.
const REMOTE: &str = "REMOTE";

/// The reasons of refusals with their codes. Another process may give others, which are [`REMOTE`].
const REASONS: [(&str, Code); 30] = [
    ("OPENING", Code::Unavailable),
    ("DEPOSED", Code::Unavailable),
    ("STANDBY", Code::Unavailable),
    ("BUSY", Code::ResourceExhausted),
    ("EMPTY_BATCH", Code::InvalidArgument),
    ("OBJECT_TWICE", Code::InvalidArgument),
    ("DENIED", Code::PermissionDenied),
    ("OTHER_REGION", Code::FailedPrecondition),
    ("REGION_UNREACHABLE", Code::Unavailable),
    ("TWO_REGIONS", Code::InvalidArgument),
    ("NOT_FOUND", Code::NotFound),
    ("ALREADY_EXISTS", Code::AlreadyExists),
    ("CONFLICT", Code::Aborted),
    ("DELETING", Code::FailedPrecondition),
    ("KIND", Code::InvalidArgument),
    ("METADATA", Code::InvalidArgument),
    ("BODY", Code::InvalidArgument),
    ("MASK", Code::InvalidArgument),
    ("READ_ONLY_FIELD", Code::InvalidArgument),
    ("RULE", Code::FailedPrecondition),
    ("QUOTA", Code::ResourceExhausted),
    ("LIMIT", Code::InvalidArgument),
    ("RATE", Code::ResourceExhausted),
    ("REQUEST_ID_REUSED", Code::InvalidArgument),
    ("REFUSED_BEFORE", Code::Aborted),
    ("STORE_FULL", Code::ResourceExhausted),
    ("STORE_FAILED", Code::Unavailable),
    (UNKNOWN_OUTCOME, Code::Unavailable),
    ("INVALID_FIELD", Code::InvalidArgument),
    (REMOTE, Code::Unavailable),
];

/// A reason that is known here, with its code.
fn known(reason: &str) -> (&'static str, Code) {
    let mut reasons = REASONS.into_iter();
    let found = reasons.find(|(known, _)| *known == reason);
    found.unwrap_or((REMOTE, Code::Unavailable))
}

/// The facts of a refusal that a client needs beside its text.
pub(super) struct RefusalFacts<'a> {
    pub(super) reason: &'static str,
    pub(super) name: Option<&'a ObjectName>,
    pub(super) generation: Option<u64>,
    pub(super) retry_after: Option<Duration>,
}

/// The facts of a refusal.
pub(super) fn facts(refusal: &WriteRefusal) -> RefusalFacts<'_> {
    let (reason, name) = parts(refusal);
    let generation = if let WriteRefusal::Conflict { generation, .. } = refusal {
        *generation
    } else if let WriteRefusal::Remote(remote) = refusal {
        remote.generation
    } else {
        None
    };
    RefusalFacts {
        reason,
        name,
        generation,
        retry_after: retry_after(refusal),
    }
}

/// The constant reason of a refusal, and the object that it concerns.
fn parts(refusal: &WriteRefusal) -> (&'static str, Option<&ObjectName>) {
    match refusal {
        WriteRefusal::Opening => ("OPENING", None),
        WriteRefusal::Deposed => ("DEPOSED", None),
        WriteRefusal::Standby { .. } => ("STANDBY", None),
        WriteRefusal::Busy => ("BUSY", None),
        WriteRefusal::Empty => ("EMPTY_BATCH", None),
        WriteRefusal::Twice(name) => ("OBJECT_TWICE", Some(name)),
        WriteRefusal::Denied { name, .. } => ("DENIED", Some(name)),
        WriteRefusal::OtherRegion { name, .. } => ("OTHER_REGION", Some(name)),
        WriteRefusal::Unreachable { name, .. } => ("REGION_UNREACHABLE", Some(name)),
        WriteRefusal::TwoRegions { name, .. } => ("TWO_REGIONS", Some(name)),
        WriteRefusal::NotFound(name) => ("NOT_FOUND", Some(name)),
        WriteRefusal::AlreadyExists(name) => ("ALREADY_EXISTS", Some(name)),
        WriteRefusal::Conflict { name, .. } => ("CONFLICT", Some(name)),
        WriteRefusal::Deleting(name) => ("DELETING", Some(name)),
        WriteRefusal::Kind(name, _) => ("KIND", Some(name)),
        WriteRefusal::Metadata(name, _) => ("METADATA", Some(name)),
        WriteRefusal::Body(name, _) => ("BODY", Some(name)),
        WriteRefusal::Mask(_) => ("MASK", None),
        WriteRefusal::ReadOnly(_) => ("READ_ONLY_FIELD", None),
        WriteRefusal::Rule(_) => ("RULE", None),
        WriteRefusal::Limit(name, WriteLimit::Objects(_) | WriteLimit::ObjectsBelow(_)) => {
            ("QUOTA", Some(name))
        }
        WriteRefusal::Limit(name, _) => ("LIMIT", Some(name)),
        WriteRefusal::Rate { .. } | WriteRefusal::PrefixRate { .. } => ("RATE", None),
        WriteRefusal::RequestReused => ("REQUEST_ID_REUSED", None),
        WriteRefusal::RefusedBefore => ("REFUSED_BEFORE", None),
        WriteRefusal::StoreFull => ("STORE_FULL", None),
        WriteRefusal::StoreFailed => ("STORE_FAILED", None),
        WriteRefusal::Unknown => (UNKNOWN_OUTCOME, None),
        WriteRefusal::Remote(refusal) => {
            let (reason, _) = known(&refusal.reason);
            (reason, refusal.name.as_ref())
        }
    }
}

/// The constant reason of a refusal.
pub(crate) fn reason(refusal: &WriteRefusal) -> &'static str {
    parts(refusal).0
}

/// The time after which a write that exceeds a rate or a quota may be repeated.
fn retry_after(refusal: &WriteRefusal) -> Option<Duration> {
    if let WriteRefusal::Rate { retry_after, .. } | WriteRefusal::PrefixRate { retry_after, .. } =
        refusal
    {
        return Some(*retry_after);
    }
    if let WriteRefusal::Remote(remote) = refusal {
        return remote.retry_after;
    }
    let is_quota = matches!(
        refusal,
        WriteRefusal::Limit(_, WriteLimit::Objects(_) | WriteLimit::ObjectsBelow(_))
    );
    is_quota.then_some(QUOTA_RETRY)
}

/// The status of a refusal.
pub(crate) fn of_refusal(refusal: &WriteRefusal) -> Status {
    let facts = facts(refusal);
    let (reason, code) = known(facts.reason);
    debug_assert_eq!(reason, facts.reason, "the table has all reasons");
    let mut metadata = HashMap::new();
    if let Some(name) = facts.name {
        metadata.insert("name".to_owned(), name.to_string());
    }
    if let Some(generation) = facts.generation {
        metadata.insert("generation".to_owned(), generation.to_string());
    }
    if refusal.is_terminal() {
        metadata.insert(TERMINAL.to_owned(), "true".to_owned());
    }
    let mut details = ErrorDetails::with_error_info(facts.reason, DOMAIN, metadata);
    if let Some(retry_after) = facts.retry_after {
        details.set_retry_info(Some(retry_after));
    }
    Status::with_error_details(code, refusal.to_string(), details)
}

/// The status of a call that is refused for a reason of its own.
pub(crate) fn refused(code: Code, reason: &str, text: String) -> Status {
    let details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
    Status::with_error_details(code, text, details)
}

/// The status of a call that is refused however often it is repeated.
pub(crate) fn terminal(code: Code, reason: &str, text: String) -> Status {
    let metadata = HashMap::from([(TERMINAL.to_owned(), "true".to_owned())]);
    let details = ErrorDetails::with_error_info(reason, DOMAIN, metadata);
    Status::with_error_details(code, text, details)
}

/// The reason of a call to a node that runs no registry.
const NO_REGISTRY: &str = "NO_REGISTRY";

/// The status of a call to the node `own`, which runs no registry, with the registry to ask.
pub(crate) fn no_registry(own: &NodeId, other: Option<&RegistryMember>) -> Status {
    let mut metadata = HashMap::from([(TERMINAL.to_owned(), "true".to_owned())]);
    let text = match other {
        Some(member) => {
            let RegistryMember {
                id,
                region,
                address,
                ..
            } = member;
            metadata.extend([
                ("node".to_owned(), id.to_string()),
                ("region".to_owned(), region.to_string()),
                ("address".to_owned(), address.to_string()),
            ]);
            format!(
                "{own} runs no registry; ask that of region {region}, which {id} runs at {address}"
            )
        }
        None => format!(
            "{own} runs no registry, and it knows no member that does; give a node registry.region to run one"
        ),
    };
    let details = ErrorDetails::with_error_info(NO_REGISTRY, DOMAIN, metadata);
    Status::with_error_details(Code::Unimplemented, text, details)
}

/// The registry that a node without one names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherRegistry {
    /// The id of the node that runs it.
    pub node: String,
    /// Its region.
    pub region: String,
    /// The address of the node.
    pub address: SocketAddr,
}

/// The registry that the status of a call to a node without one names; none if it names none.
#[must_use]
pub fn other_registry(status: &Status) -> Option<OtherRegistry> {
    let info = status.get_details_error_info()?;
    let is_other = info.domain == DOMAIN && info.reason == NO_REGISTRY;
    let fact = |name| info.metadata.get(name).filter(|_| is_other).cloned();
    Some(OtherRegistry {
        node: fact("node")?,
        region: fact("region")?,
        address: fact("address")?.parse().ok()?,
    })
}

/// The status of a field that is not valid.
pub(crate) fn of_invalid(error: &InvalidField) -> Status {
    let mut details = ErrorDetails::with_bad_request_violation(&error.field, &error.problem);
    let metadata = HashMap::from([(TERMINAL.to_owned(), "true".to_owned())]);
    details.set_error_info("INVALID_FIELD", DOMAIN, metadata);
    Status::with_error_details(Code::InvalidArgument, error.to_string(), details)
}

/// The refusal that a status stands for. The outcome of a call that was cut off is not known.
pub(crate) fn to_refusal(status: &Status) -> WriteRefusal {
    let info = status.get_details_error_info();
    let info = info.filter(|info| info.domain == DOMAIN);
    if info.as_ref().is_some_and(|it| it.reason == UNKNOWN_OUTCOME) {
        return WriteRefusal::Unknown;
    }
    let cut_off = [
        Code::Unavailable,
        Code::Unknown,
        Code::Cancelled,
        Code::DeadlineExceeded,
        Code::Internal,
    ];
    if info.is_none() && cut_off.contains(&status.code()) {
        return WriteRefusal::Unknown;
    }
    // A caller without permission is refused before the registry sees the request.
    let is_terminal = match &info {
        Some(info) => info.metadata.contains_key(TERMINAL),
        None => matches!(
            status.code(),
            Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented
        ),
    };
    let name = info.as_ref().and_then(|it| it.metadata.get("name"));
    let generation = info.as_ref().and_then(|it| it.metadata.get("generation"));
    let retry = status.get_details_retry_info();
    WriteRefusal::Remote(Box::new(RemoteRefusal {
        text: status.message().to_owned(),
        name: name.and_then(|name| name.parse().ok()),
        generation: generation.and_then(|it| it.parse().ok()),
        retry_after: retry.and_then(|it| it.retry_delay),
        reason: info.map(|it| it.reason).unwrap_or_default(),
        is_terminal,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_a_client_must_know() {
        let name: ObjectName = "services/shop".parse().unwrap();
        let conflict = WriteRefusal::Conflict {
            name,
            generation: Some(7),
        };
        let status = of_refusal(&conflict);
        assert_eq!(status.code(), Code::Aborted);
        let info = status.get_details_error_info().unwrap();
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            ("CONFLICT", DOMAIN)
        );
        assert_eq!(info.metadata["generation"], "7");
        assert_eq!(info.metadata["name"], "services/shop");
        let read = to_refusal(&status);
        assert!(!read.is_terminal() && read.to_string() == conflict.to_string());
        let rate = WriteRefusal::Rate {
            service: "shop".to_owned(),
            retry_after: Duration::from_millis(20),
        };
        let retry = of_refusal(&rate).get_details_retry_info().unwrap();
        assert_eq!(retry.retry_delay, Some(Duration::from_millis(20)));
    }

    #[test]
    fn a_refusal_is_terminal_on_both_sides() {
        let name: ObjectName = "services/shop".parse().unwrap();
        for refusal in [
            WriteRefusal::Empty,
            WriteRefusal::Twice(name.clone()),
            WriteRefusal::NotFound(name),
            WriteRefusal::StoreFull,
            WriteRefusal::RequestReused,
        ] {
            let read = to_refusal(&of_refusal(&refusal));
            assert_eq!(read.is_terminal(), refusal.is_terminal(), "{refusal}");
        }
        assert_eq!(
            to_refusal(&of_refusal(&WriteRefusal::Unknown)),
            WriteRefusal::Unknown
        );
        assert!(to_refusal(&Status::permission_denied("no")).is_terminal());
        let cut_off = to_refusal(&Status::unavailable("the connection is lost"));
        assert_eq!(cut_off, WriteRefusal::Unknown);
        let invalid = InvalidField::new("name", "is missing");
        assert!(to_refusal(&of_invalid(&invalid)).is_terminal());
    }
}
