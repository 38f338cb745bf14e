//! Requests and messages of watches.

use super::object::{of_object, to_object};
use super::query::of_scope;
use super::{InvalidField, parsed, required};
use crate::registry::proto::{self, watch_change::Change, watch_objects_reply::Reply};
use phalanx_core::registry::watch::{
    ResetReason, ResumeToken, SnapshotEnd, WatchChange, WatchMessage, WatchRefusal, WatchRequest,
};
use phalanx_core::time::Duration;
use std::sync::Arc;

/// The token of a message; none if it is empty.
pub(crate) fn resume_token(text: &str) -> Result<Option<ResumeToken>, InvalidField> {
    if text.is_empty() {
        return Ok(None);
    }
    let token = text.parse();
    token
        .map(Some)
        .map_err(|error| InvalidField::new("resume_token", error))
}

/// The request of a message.
pub(crate) fn of_open(wire: &proto::OpenWatch) -> Result<WatchRequest, InvalidField> {
    let interval = (wire.interval_ms > 0).then(|| Duration::from_millis(wire.interval_ms));
    Ok(WatchRequest {
        scope: of_scope(&wire.selector, &wire.filter)?,
        resume: resume_token(&wire.resume_token)?,
        interval,
    })
}

/// The message of a request whose caller grants bytes itself.
pub(crate) fn to_open(request: &WatchRequest) -> proto::OpenWatch {
    let interval = request.interval.map_or(0, |interval| interval.as_millis());
    let resume = request.resume.as_ref();
    proto::OpenWatch {
        selector: request.scope.selector.to_string(),
        filter: request.scope.filter.to_string(),
        resume_token: resume.map(ToString::to_string).unwrap_or_default(),
        grants: true,
        interval_ms: u64::try_from(interval).unwrap_or(u64::MAX),
    }
}

const fn to_reset(reason: ResetReason) -> proto::ResetReason {
    match reason {
        ResetReason::Compacted => proto::ResetReason::Compacted,
        ResetReason::OtherHistory => proto::ResetReason::OtherHistory,
        ResetReason::OtherScope => proto::ResetReason::OtherScope,
    }
}

pub(crate) fn to_change(change: &WatchChange) -> proto::WatchChange {
    let change = match change {
        WatchChange::Current(object) => Change::Current(to_object(object)),
        WatchChange::Removed(name) => Change::Removed(name.to_string()),
    };
    proto::WatchChange {
        change: Some(change),
    }
}

/// The message of a watch message.
pub(crate) fn to_reply(message: &WatchMessage) -> Reply {
    match message {
        WatchMessage::Snapshot { objects, end } => Reply::Snapshot(proto::SnapshotPart {
            objects: objects.iter().map(|object| to_object(object)).collect(),
            end: end.as_ref().map(|end| proto::SnapshotEnd {
                resume_token: end.token.to_string(),
                count: end.count,
            }),
        }),
        WatchMessage::Changes { changes, token } => Reply::Changes(proto::WatchChanges {
            changes: changes.iter().map(to_change).collect(),
            resume_token: token.to_string(),
        }),
        WatchMessage::Bookmark { token } => Reply::Bookmark(token.to_string()),
        WatchMessage::Reset { reason } => Reply::Reset(proto::WatchReset {
            reason: to_reset(*reason).into(),
        }),
    }
}

/// The message of a refusal.
pub(crate) fn to_refused(refusal: &WatchRefusal) -> Reply {
    let reason = match refusal {
        WatchRefusal::Opening => proto::WatchRefusalReason::Opening,
        WatchRefusal::TooMany => proto::WatchRefusalReason::TooMany,
        WatchRefusal::OtherRegion => proto::WatchRefusalReason::OtherRegion,
        WatchRefusal::Denied(_) => proto::WatchRefusalReason::Denied,
        WatchRefusal::Behind => proto::WatchRefusalReason::Behind,
    };
    Reply::Refused(proto::WatchRefused {
        reason: reason.into(),
        text: refusal.to_string(),
    })
}

/// The message of a request that is not valid.
pub(crate) fn to_invalid(error: &InvalidField) -> Reply {
    Reply::Refused(proto::WatchRefused {
        reason: proto::WatchRefusalReason::InvalidRequest.into(),
        text: error.to_string(),
    })
}

/// A reply on a stream of watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WatchReply {
    /// The watch is open.
    Opened,
    /// The watch is not opened.
    Refused(WatchRefusal),
    /// A message of the watch.
    Message(WatchMessage),
}

fn of_change(wire: proto::WatchChange) -> Result<WatchChange, InvalidField> {
    Ok(match required("change", wire.change)? {
        Change::Current(object) => WatchChange::Current(Arc::new(of_object(object)?)),
        Change::Removed(name) => WatchChange::Removed(parsed("removed", &name)?),
    })
}

fn of_refused(wire: &proto::WatchRefused) -> Result<WatchRefusal, InvalidField> {
    match wire.reason() {
        proto::WatchRefusalReason::Opening => Ok(WatchRefusal::Opening),
        proto::WatchRefusalReason::TooMany => Ok(WatchRefusal::TooMany),
        proto::WatchRefusalReason::OtherRegion => Ok(WatchRefusal::OtherRegion),
        proto::WatchRefusalReason::Denied => Ok(WatchRefusal::Denied(wire.text.clone())),
        proto::WatchRefusalReason::Behind => Ok(WatchRefusal::Behind),
        proto::WatchRefusalReason::InvalidRequest => Err(InvalidField::new("watch", &wire.text)),
        proto::WatchRefusalReason::Unspecified => {
            Err(InvalidField::new("refused.reason", "is not known"))
        }
    }
}

fn token(text: &str) -> Result<ResumeToken, InvalidField> {
    required("resume_token", resume_token(text)?)
}

/// The reply of a message.
pub(crate) fn of_reply(reply: Reply) -> Result<WatchReply, InvalidField> {
    let message = match reply {
        Reply::Opened(_) => return Ok(WatchReply::Opened),
        Reply::Refused(wire) => return Ok(WatchReply::Refused(of_refused(&wire)?)),
        Reply::Snapshot(part) => {
            let objects = part.objects.into_iter();
            let objects = objects.map(|object| of_object(object).map(Arc::new));
            let end = part.end.map(|end| {
                let (token, count) = (token(&end.resume_token)?, end.count);
                Ok(SnapshotEnd { token, count })
            });
            WatchMessage::Snapshot {
                objects: objects.collect::<Result<_, _>>()?,
                end: end.transpose()?,
            }
        }
        Reply::Changes(wire) => {
            let changes = wire.changes.into_iter().map(of_change);
            WatchMessage::Changes {
                changes: changes.collect::<Result<_, _>>()?,
                token: token(&wire.resume_token)?,
            }
        }
        Reply::Bookmark(text) => WatchMessage::Bookmark {
            token: token(&text)?,
        },
        Reply::Reset(wire) => WatchMessage::Reset {
            reason: match wire.reason() {
                proto::ResetReason::Compacted => ResetReason::Compacted,
                proto::ResetReason::OtherHistory => ResetReason::OtherHistory,
                proto::ResetReason::OtherScope => ResetReason::OtherScope,
                proto::ResetReason::Unspecified => {
                    return Err(InvalidField::new("reset.reason", "is not known"));
                }
            },
        },
    };
    Ok(WatchReply::Message(message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::message::object::tests::any_object;
    use phalanx_core::registry::log::{LogEpoch, LogPosition};
    use phalanx_core::registry::query::ObjectScope;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn messages_are_read_back(objects in prop::collection::vec(any_object(), 2), numbers in any::<(u64, u64)>()) {
            let epoch = LogEpoch { number: 3, incarnation: numbers.0 };
            let position = LogPosition { epoch, sequence: numbers.1 };
            let token = ResumeToken::of("eu".parse().unwrap(), position, 9);
            let objects: Vec<_> = objects.into_iter().map(Arc::new).collect();
            let changes = vec![
                WatchChange::Current(Arc::clone(&objects[0])),
                WatchChange::Removed(objects[1].name.clone()),
            ];
            let end = SnapshotEnd { token: token.clone(), count: 2 };
            for message in [
                WatchMessage::Snapshot { objects: objects.clone(), end: None },
                WatchMessage::Snapshot { objects, end: Some(end) },
                WatchMessage::Changes { changes, token: token.clone() },
                WatchMessage::Bookmark { token },
                WatchMessage::Reset { reason: ResetReason::Compacted },
                WatchMessage::Reset { reason: ResetReason::OtherHistory },
                WatchMessage::Reset { reason: ResetReason::OtherScope },
            ] {
                prop_assert_eq!(of_reply(to_reply(&message)), Ok(WatchReply::Message(message)));
            }
        }
    }

    #[test]
    fn requests_are_read_back() {
        let mut scope = ObjectScope::default();
        let mut request = WatchRequest::new(scope.clone());
        assert_eq!(of_open(&to_open(&request)), Ok(request.clone()));
        scope.selector = "services/-/deployments".parse().unwrap();
        scope.filter = "region = 'eu' AND a IS NULL".parse().unwrap();
        request.interval = Some(Duration::from_millis(1_500));
        let position = LogPosition {
            epoch: LogEpoch::default(),
            sequence: 7,
        };
        request.resume = Some(ResumeToken::of(
            "eu".parse().unwrap(),
            position,
            scope.hash(),
        ));
        request.scope = scope;
        assert_eq!(of_open(&to_open(&request)), Ok(request));
    }

    #[test]
    fn refusals_are_read_back_and_unknown_ones_are_errors() {
        for refusal in [
            WatchRefusal::Opening,
            WatchRefusal::TooMany,
            WatchRefusal::OtherRegion,
            WatchRefusal::Denied("no".to_owned()),
            WatchRefusal::Behind,
        ] {
            let read = of_reply(to_refused(&refusal));
            assert_eq!(read, Ok(WatchReply::Refused(refusal)));
        }
        assert!(of_reply(Reply::Refused(proto::WatchRefused::default())).is_err());
        assert!(of_reply(Reply::Reset(proto::WatchReset { reason: 9 })).is_err());
        assert!(of_reply(Reply::Bookmark(String::new())).is_err());
    }
}
