//! Messages on the link between the registries of two regions.
//!
//! Bounds: numbers of batches and of epochs are below 2^63, a message has at most [`ITEMS_MAX`] batches or objects, and a text
//! of the other registry is cut to [`TEXT_BYTES_MAX`] bytes.

use super::entry::{of_wire_entry, to_copied_entry};
use super::object::{of_object, to_object};
use super::status;
use super::write::{of_batch, of_outcome, request_id, to_batch, to_outcome};
use super::{InvalidField, parsed, required};
use crate::registry::proto::{
    self, follow_reply::Reply, follow_request::Request, route_reply::Result as RouteResult,
};
use phalanx_core::registry::log::{CopyPosition, LogEpoch, LogPosition};
use phalanx_core::registry::name::RegionId;
use phalanx_core::registry::replica::{
    FeedBatch, FeedMessage, FeedRefusal, FeedRequest, FeedSnapshotEnd, ReplicaInput,
};
use phalanx_core::registry::sequencer::WriteRequest;
use phalanx_core::registry::write::{
    CopiesWanted, RegistryCaller, RemoteRefusal, WriteBatch, WriteOutcome, WriteRefusal,
};
use phalanx_core::time::Duration;
use std::sync::Arc;

/// Maximum number of batches or objects of a message.
const ITEMS_MAX: usize = 16_384;
/// Maximum size of a text that is kept, in bytes.
const TEXT_BYTES_MAX: usize = 4_096;
/// The time for which a writer waits for copies that gives no time.
const COPIES_TIMEOUT: Duration = Duration::from_secs(5);

/// A number of batches or of epochs.
fn number(field: &str, number: u64) -> Result<u64, InvalidField> {
    if number >= 1 << 63 {
        return Err(InvalidField::new(field, "is not below 2^63"));
    }
    Ok(number)
}

/// The beginning of a text of the other registry.
pub(crate) fn shortened(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        let end = (0..=TEXT_BYTES_MAX)
            .rev()
            .find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
    }
    text
}

const fn to_epoch(epoch: LogEpoch) -> proto::FeedEpoch {
    proto::FeedEpoch {
        number: epoch.number,
        incarnation: epoch.incarnation,
    }
}

fn of_epoch(field: &str, wire: Option<proto::FeedEpoch>) -> Result<LogEpoch, InvalidField> {
    let wire = required(field, wire)?;
    Ok(LogEpoch {
        number: number(field, wire.number)?,
        incarnation: wire.incarnation,
    })
}

const fn to_position(position: CopyPosition) -> proto::FeedPosition {
    proto::FeedPosition {
        store: position.store,
        epoch: Some(to_epoch(position.at.epoch)),
        sequence: position.at.sequence,
        hash: position.hash,
    }
}

fn of_position(wire: proto::FeedPosition) -> Result<CopyPosition, InvalidField> {
    Ok(CopyPosition {
        store: wire.store,
        at: LogPosition {
            epoch: of_epoch("position.epoch", wire.epoch)?,
            sequence: number("position.sequence", wire.sequence)?,
        },
        hash: wire.hash,
    })
}

/// A request of a follower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FollowerRequest {
    /// Opens the feed.
    Open(FeedRequest),
    /// Confirms batches up to a number, and takes further bytes.
    Confirm(u64, usize),
}

/// The message of a request for a feed.
pub(crate) fn to_open(request: &FeedRequest) -> proto::FollowRequest {
    let interval = request.interval.as_millis();
    let open = proto::OpenFeed {
        region: request.region.to_string(),
        store: request.store,
        epoch: Some(to_epoch(request.epoch)),
        position: request.position.map(to_position),
        window_bytes: request.window as u64,
        interval_ms: u64::try_from(interval).unwrap_or(u64::MAX),
    };
    let request = Some(Request::Open(open));
    proto::FollowRequest { request }
}

/// The message of a confirmation.
pub(crate) const fn to_confirm(sequence: u64, bytes: usize) -> proto::FollowRequest {
    let confirm = proto::ConfirmFeed {
        sequence,
        grant_bytes: bytes as u64,
    };
    let request = Some(Request::Confirm(confirm));
    proto::FollowRequest { request }
}

/// The request of a message.
pub(crate) fn of_request(wire: proto::FollowRequest) -> Result<FollowerRequest, InvalidField> {
    let bytes = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
    Ok(match required("request", wire.request)? {
        Request::Open(open) => FollowerRequest::Open(FeedRequest {
            region: parsed("region", &open.region)?,
            store: open.store,
            epoch: of_epoch("epoch", open.epoch)?,
            position: open.position.map(of_position).transpose()?,
            window: bytes(open.window_bytes),
            interval: Duration::from_millis(number("interval_ms", open.interval_ms)?),
        }),
        Request::Confirm(confirm) => {
            FollowerRequest::Confirm(confirm.sequence, bytes(confirm.grant_bytes))
        }
    })
}

fn to_batch_of_feed(batch: &FeedBatch) -> proto::FeedBatch {
    proto::FeedBatch {
        region: batch.region.to_string(),
        epoch: Some(to_epoch(batch.epoch)),
        entry: Some(to_copied_entry(&batch.entry)),
    }
}

fn of_batch_of_feed(wire: proto::FeedBatch) -> Result<FeedBatch, InvalidField> {
    let entry = of_wire_entry(required("batches.entry", wire.entry)?)?;
    number("batches.entry.revision", entry.revision.sequence)?;
    Ok(FeedBatch {
        region: parsed("batches.region", &wire.region)?,
        epoch: of_epoch("batches.epoch", wire.epoch)?,
        entry: Arc::new(entry),
    })
}

/// The message of a feed.
pub(crate) fn to_reply(message: &FeedMessage) -> proto::FollowReply {
    let reply = match message {
        FeedMessage::Opened {
            region,
            store,
            head,
        } => Reply::Opened(proto::FeedOpened {
            region: region.to_string(),
            store: *store,
            head: *head,
        }),
        FeedMessage::Batches { batches, head } => Reply::Batches(proto::FeedBatches {
            batches: batches.iter().map(to_batch_of_feed).collect(),
            head: *head,
        }),
        FeedMessage::Snapshot { objects, end } => Reply::Snapshot(proto::FeedSnapshot {
            objects: objects.iter().map(|object| to_object(object)).collect(),
            end: end.as_ref().map(|end| proto::FeedSnapshotEnd {
                position: Some(to_position(end.position)),
                count: end.count,
            }),
        }),
        FeedMessage::Head(head) => Reply::Head(*head),
    };
    let reply = Some(reply);
    proto::FollowReply { reply }
}

/// The message of a feed that is not served.
pub(crate) fn to_refused(refusal: &FeedRefusal) -> proto::FollowReply {
    let refused = proto::FeedRefused {
        opening: *refusal == FeedRefusal::Opening,
        text: refusal.to_string(),
    };
    let reply = Some(Reply::Refused(refused));
    proto::FollowReply { reply }
}

fn few<T>(field: &str, items: Vec<T>) -> Result<Vec<T>, InvalidField> {
    if items.len() > ITEMS_MAX {
        let problem = format_args!("has more than {ITEMS_MAX} items");
        return Err(InvalidField::new(field, problem));
    }
    Ok(items)
}

fn of_end(wire: proto::FeedSnapshotEnd) -> Result<FeedSnapshotEnd, InvalidField> {
    Ok(FeedSnapshotEnd {
        position: of_position(required("snapshot.end.position", wire.position)?)?,
        count: wire.count,
    })
}

/// The input of a copy from a reply of its owner.
pub(crate) fn of_reply(wire: proto::FollowReply) -> Result<ReplicaInput, InvalidField> {
    let message = match required("reply", wire.reply)? {
        Reply::Opened(wire) => FeedMessage::Opened {
            region: parsed("opened.region", &wire.region)?,
            store: wire.store,
            head: number("opened.head", wire.head)?,
        },
        Reply::Batches(wire) => {
            let batches = few("batches", wire.batches)?.into_iter();
            FeedMessage::Batches {
                batches: batches.map(of_batch_of_feed).collect::<Result<_, _>>()?,
                head: number("head", wire.head)?,
            }
        }
        Reply::Snapshot(wire) => {
            let objects = few("snapshot.objects", wire.objects)?.into_iter();
            let objects = objects.map(|object| of_object(object).map(Arc::new));
            FeedMessage::Snapshot {
                objects: objects.collect::<Result<_, _>>()?,
                end: wire.end.map(of_end).transpose()?,
            }
        }
        Reply::Head(head) => FeedMessage::Head(number("head", head)?),
        Reply::Refused(wire) => {
            return Ok(ReplicaInput::Refused(match wire.opening {
                true => FeedRefusal::Opening,
                false => FeedRefusal::Denied(shortened(wire.text)),
            }));
        }
    };
    Ok(ReplicaInput::Receive(message))
}

/// The copies that a writer waits for; none if it waits for none.
pub(crate) fn of_copies(copies: u32, timeout_ms: u64) -> Option<CopiesWanted> {
    let timeout = match timeout_ms {
        0 => COPIES_TIMEOUT,
        given => Duration::from_millis(given),
    };
    (copies > 0).then(|| CopiesWanted {
        count: usize::try_from(copies).unwrap_or(usize::MAX),
        timeout,
    })
}

/// A write that another registry routes here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoutedBatch {
    /// The region of the other registry.
    pub(crate) region: RegionId,
    /// The caller there.
    pub(crate) caller: RegistryCaller,
    /// The caller's id of the request.
    pub(crate) request: Option<String>,
    /// The operations.
    pub(crate) batch: WriteBatch,
    /// The copies that the caller waits for.
    pub(crate) copies: Option<CopiesWanted>,
}

/// The message of a write that the registry of `region` routes.
pub(crate) fn to_route(region: &RegionId, write: &WriteRequest) -> proto::RouteRequest {
    let copies = write.copies.as_ref();
    let timeout = copies.map_or(0, |it| it.timeout.as_millis());
    let count = copies.map_or(0, |it| it.count);
    proto::RouteRequest {
        region: region.to_string(),
        caller: write.caller.to_string(),
        request_id: write.request.clone().unwrap_or_default(),
        operations: to_batch(&write.batch),
        copies: u32::try_from(count).unwrap_or(u32::MAX),
        copies_timeout_ms: u64::try_from(timeout).unwrap_or(u64::MAX),
    }
}

/// The write of a message.
pub(crate) fn of_route(wire: proto::RouteRequest) -> Result<RoutedBatch, InvalidField> {
    Ok(RoutedBatch {
        region: parsed("region", &wire.region)?,
        caller: parsed("caller", &wire.caller)?,
        request: request_id(wire.request_id)?,
        batch: of_batch(wire.operations)?,
        copies: of_copies(wire.copies, wire.copies_timeout_ms),
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The message of a result.
pub(crate) fn to_result(result: &Result<WriteOutcome, WriteRefusal>) -> proto::RouteReply {
    let result = match result {
        Ok(outcome) => RouteResult::Outcome(to_outcome(outcome)),
        Err(refusal) => {
            let facts = status::facts(refusal);
            RouteResult::Refused(proto::RouteRefused {
                reason: facts.reason.to_owned(),
                text: refusal.to_string(),
                name: facts.name.map(ToString::to_string).unwrap_or_default(),
                generation: facts.generation,
                retry_after_ms: facts.retry_after.map(millis),
                terminal: refusal.is_terminal(),
            })
        }
    };
    let result = Some(result);
    proto::RouteReply { result }
}

/// The result of a message.
pub(crate) fn of_result(
    wire: proto::RouteReply,
) -> Result<Result<WriteOutcome, WriteRefusal>, InvalidField> {
    Ok(match required("result", wire.result)? {
        RouteResult::Outcome(outcome) => Ok(of_outcome(outcome)?),
        RouteResult::Refused(wire) if wire.reason == status::UNKNOWN_OUTCOME => {
            Err(WriteRefusal::Unknown)
        }
        RouteResult::Refused(wire) => {
            let name = Some(wire.name).filter(|name| !name.is_empty());
            let name = name.map(|name| parsed("refused.name", &name));
            Err(WriteRefusal::Remote(Box::new(RemoteRefusal {
                reason: wire.reason,
                text: shortened(wire.text),
                name: name.transpose()?,
                generation: wire.generation,
                retry_after: wire.retry_after_ms.map(Duration::from_millis),
                is_terminal: wire.terminal,
            })))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::message::object::tests::any_object;
    use phalanx_core::registry::log::{LogEntry, ObjectChange};
    use phalanx_core::registry::metadata::Revision;
    use phalanx_core::time::Wall;
    use proptest::prelude::*;
    use tonic_types::StatusExt as _;

    fn position(sequence: u64) -> CopyPosition {
        let epoch = LogEpoch {
            number: 3,
            incarnation: u64::MAX,
        };
        CopyPosition {
            store: 7,
            at: LogPosition { epoch, sequence },
            hash: 9,
        }
    }

    proptest! {
        #[test]
        fn messages_are_read_back(objects in prop::collection::vec(any_object(), 2), sequence in 1..1_u64 << 62) {
            let at = position(sequence);
            let objects: Vec<_> = objects.into_iter().map(Arc::new).collect();
            let change = |after: bool| ObjectChange {
                name: objects[usize::from(after)].name.clone(),
                before: None,
                after: after.then(|| Arc::clone(&objects[1])),
            };
            let entry = LogEntry {
                revision: Revision { epoch: 3, sequence },
                time: Wall(17),
                request: None,
                changes: vec![change(true), change(false)],
                previous: 5,
                hash: 0,
            };
            let entry = Arc::new(entry.after(5));
            let region: RegionId = "eu".parse().unwrap();
            let batch = FeedBatch { region: region.clone(), epoch: at.at.epoch, entry };
            let end = Some(FeedSnapshotEnd { position: at, count: 2 });
            for message in [
                FeedMessage::Opened { region, store: 7, head: sequence },
                FeedMessage::Batches { batches: vec![batch], head: sequence },
                FeedMessage::Snapshot { objects: objects.clone(), end: None },
                FeedMessage::Snapshot { objects, end },
                FeedMessage::Head(sequence),
            ] {
                let read = of_reply(to_reply(&message)).unwrap();
                let ReplicaInput::Receive(read) = read else { panic!("a message") };
                prop_assert_eq!(read, message);
            }
        }
    }

    #[test]
    fn requests_are_read_back() {
        let mut request = FeedRequest {
            region: "us".parse().unwrap(),
            store: 1,
            epoch: LogEpoch::default(),
            position: None,
            window: 1024,
            interval: Duration::from_secs(5),
        };
        for position in [None, Some(position(4))] {
            request.position = position;
            let read = of_request(to_open(&request));
            assert_eq!(read, Ok(FollowerRequest::Open(request.clone())));
        }
        let read = of_request(to_confirm(4, 100));
        assert_eq!(read, Ok(FollowerRequest::Confirm(4, 100)));
    }

    #[test]
    fn refusals_of_routed_writes_keep_what_a_client_must_know() {
        let conflict = WriteRefusal::Conflict {
            name: "services/shop".parse().unwrap(),
            generation: Some(7),
        };
        let standby = WriteRefusal::Standby {
            holder: "n1".to_owned(),
        };
        for refusal in [conflict, standby, WriteRefusal::RefusedBefore] {
            let read = of_result(to_result(&Err(refusal.clone()))).unwrap();
            let read = read.unwrap_err();
            assert_eq!(read.to_string(), refusal.to_string());
            let (first, second) = (status::of_refusal(&refusal), status::of_refusal(&read));
            assert_eq!(first.code(), second.code());
            // The order of the entries in the encoded details is random.
            let details = [&first, &second].map(|status| {
                let info = status.get_details_error_info().unwrap();
                (info.reason, info.metadata)
            });
            assert_eq!(details[0], details[1]);
        }
        let read = of_result(to_result(&Err(WriteRefusal::Unknown)));
        assert_eq!(read, Ok(Err(WriteRefusal::Unknown)));
    }

    #[test]
    fn messages_that_are_not_valid_are_refused_with_the_field() {
        let text = |error: InvalidField| error.to_string();
        let open = |edit: fn(&mut proto::OpenFeed)| {
            let mut open = proto::OpenFeed {
                region: "us".to_owned(),
                epoch: Some(proto::FeedEpoch::default()),
                ..proto::OpenFeed::default()
            };
            edit(&mut open);
            let request = Some(Request::Open(open));
            of_request(proto::FollowRequest { request }).map_err(text)
        };
        assert!(open(|_| {}).is_ok());
        let error = open(|it| it.region = "US".to_owned()).unwrap_err();
        assert!(error.starts_with("region: \"US\""), "{error}");
        assert_eq!(open(|it| it.epoch = None).unwrap_err(), "epoch: is missing");
        let far = open(|it| {
            it.position = Some(proto::FeedPosition {
                epoch: Some(proto::FeedEpoch::default()),
                sequence: u64::MAX,
                ..proto::FeedPosition::default()
            });
        });
        assert_eq!(far.unwrap_err(), "position.sequence: is not below 2^63");
        let empty = proto::FollowReply { reply: None };
        assert_eq!(
            of_reply(empty).map_err(text).unwrap_err(),
            "reply: is missing"
        );
        let route = |caller: &str| proto::RouteRequest {
            region: "us".to_owned(),
            caller: caller.to_owned(),
            ..proto::RouteRequest::default()
        };
        for caller in ["administrator", "node", "service/shop"] {
            assert_eq!(of_route(route(caller)).unwrap().caller.to_string(), caller);
        }
        for caller in ["", "root", "service/", "service/Shop"] {
            assert!(of_route(route(caller)).is_err(), "{caller}");
        }
        let long = "ä".repeat(TEXT_BYTES_MAX);
        assert_eq!(shortened(long).len(), TEXT_BYTES_MAX);
    }
}
