//! The message of an established link: updates, announcements, requests, anti-entropy, and members that are gone.

use super::field::{Parsed, all, each, id};
use super::{proto, record, report, sync};
use phalanx_core::gossip::message::{Frame, Gone};
use phalanx_core::time::Duration;
use phalanx_core::topology::publication::{PublicationId, PublicationKind};

fn update_id(wire: proto::UpdateId) -> Parsed<PublicationId> {
    Ok(PublicationId {
        origin: id("origin", &wire.origin)?,
        kind: if wire.report {
            PublicationKind::EdgeReport
        } else {
            PublicationKind::Record
        },
        epoch: wire.epoch,
        version: wire.version,
    })
}

fn gone(wire: proto::Gone) -> Parsed<Gone> {
    Ok(Gone {
        id: id("id", &wire.id)?,
        age: Duration::from_millis(wire.age_ms),
    })
}

pub(super) fn parse(wire: proto::Frame) -> Parsed<Frame> {
    Ok(Frame {
        hash: wire.hash,
        prune: wire.prune,
        have: each("have", wire.have, update_id)?,
        graft: each("graft", wire.graft, update_id)?,
        records: each("records", wire.records, record::shared)?,
        reports: each("reports", wire.reports, report::parse)?,
        sync: each("sync", wire.sync, sync::parse)?,
        gone: each("gone", wire.gone, gone)?,
        ping: wire.ping,
        pong: wire.pong,
    })
}

impl From<&PublicationId> for proto::UpdateId {
    fn from(id: &PublicationId) -> Self {
        Self {
            origin: id.origin.as_str().to_owned(),
            report: id.kind == PublicationKind::EdgeReport,
            epoch: id.epoch,
            version: id.version,
        }
    }
}

impl From<&Gone> for proto::Gone {
    fn from(gone: &Gone) -> Self {
        Self {
            id: gone.id.to_string(),
            age_ms: u64::try_from(gone.age.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl From<&Frame> for proto::Frame {
    fn from(frame: &Frame) -> Self {
        Self {
            hash: frame.hash,
            prune: frame.prune,
            have: all(&frame.have),
            graft: all(&frame.graft),
            records: record::compose_all(&frame.records),
            reports: all(&frame.reports),
            sync: all(&frame.sync),
            gone: all(&frame.gone),
            ping: frame.ping,
            pong: frame.pong,
        }
    }
}

/// Any frame.
#[cfg(test)]
pub(super) mod arbitrary {
    use crate::wire::field::arbitrary::{counter, hash, id};
    use crate::wire::record::arbitrary::record;
    use crate::wire::report::arbitrary::report;
    use crate::wire::sync::arbitrary::sync;
    use phalanx_core::gossip::message::{Frame, Gone};
    use phalanx_core::time::Duration;
    use phalanx_core::topology::publication::{PublicationId, PublicationKind};
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    fn update_id() -> impl Strategy<Value = PublicationId> {
        let kind = prop::sample::select(vec![PublicationKind::Record, PublicationKind::EdgeReport]);
        (id(), kind, counter(), counter()).prop_map(|(origin, kind, epoch, version)| {
            PublicationId {
                origin,
                kind,
                epoch,
                version,
            }
        })
    }

    fn gone() -> impl Strategy<Value = Gone> {
        let age = prop_oneof![Just(0), 0_u64..300, 0_u64..=u64::from(u32::MAX) * 1_000];
        (id(), age).prop_map(|(id, age)| Gone {
            id,
            age: Duration::from_millis(age),
        })
    }

    pub(crate) fn frame() -> impl Strategy<Value = Frame> {
        let updates = || vec(update_id(), 0..4);
        (
            option::of(hash()),
            any::<bool>(),
            updates(),
            updates(),
            vec(record(), 0..3),
            vec(report(), 0..3),
            vec(sync(), 0..3),
            vec(gone(), 0..3),
            (any::<u32>(), any::<u32>()),
        )
            .prop_map(
                |(hash, prune, have, graft, records, reports, sync, gone, (ping, pong))| Frame {
                    hash,
                    prune,
                    have,
                    graft,
                    records,
                    reports,
                    sync,
                    gone,
                    ping,
                    pong,
                },
            )
    }
}
