//! The steps of anti-entropy.

use super::field::{Parsed, all, each, required};
use super::proto::sync;
use super::{cell, proto, record, report};
use phalanx_core::gossip::message::Sync;

pub(super) fn parse(wire: proto::Sync) -> Parsed<Sync> {
    Ok(match required("step", wire.step)? {
        sync::Step::Sketch(sketch) => {
            Sync::Sketch(sketch.cells.into_iter().map(cell::parse).collect())
        }
        sync::Step::Larger(cells) => Sync::Larger(cells),
        sync::Step::Want(want) => Sync::Want(want.digests),
        sync::Step::Push(push) => Sync::Push {
            records: each("push.records", push.records, record::shared)?,
            reports: each("push.reports", push.reports, report::parse)?,
        },
        sync::Step::Snapshot(chunk) => Sync::Snapshot {
            records: each("snapshot.records", chunk.records, record::shared)?,
            reports: each("snapshot.reports", chunk.reports, report::parse)?,
            last: chunk.last,
            reply: chunk.reply,
        },
    })
}

impl From<&Sync> for proto::Sync {
    fn from(step: &Sync) -> Self {
        let step = match step {
            Sync::Sketch(cells) => sync::Step::Sketch(proto::Sketch { cells: all(cells) }),
            Sync::Larger(cells) => sync::Step::Larger(*cells),
            Sync::Want(digests) => sync::Step::Want(proto::Want {
                digests: digests.clone(),
            }),
            Sync::Push { records, reports } => sync::Step::Push(proto::Push {
                records: record::compose_all(records),
                reports: all(reports),
            }),
            Sync::Snapshot {
                records,
                reports,
                last,
                reply,
            } => sync::Step::Snapshot(proto::Snapshot {
                records: record::compose_all(records),
                reports: all(reports),
                last: *last,
                reply: *reply,
            }),
        };
        Self { step: Some(step) }
    }
}

/// Any step.
#[cfg(test)]
pub(super) mod arbitrary {
    use crate::wire::cell::arbitrary::cell;
    use crate::wire::record::arbitrary::record;
    use crate::wire::report::arbitrary::report;
    use phalanx_core::gossip::message::Sync;
    use proptest::collection::vec;
    use proptest::prelude::*;

    pub(crate) fn sync() -> impl Strategy<Value = Sync> {
        let records = || vec(record(), 0..3);
        let reports = || vec(report(), 0..3);
        prop_oneof![
            vec(cell(), 0..6).prop_map(Sync::Sketch),
            prop_oneof![Just(0), any::<u32>()].prop_map(Sync::Larger),
            vec(any::<u64>(), 0..6).prop_map(Sync::Want),
            (records(), reports()).prop_map(|(records, reports)| Sync::Push { records, reports }),
            (records(), reports(), any::<bool>(), any::<bool>()).prop_map(
                |(records, reports, last, reply)| Sync::Snapshot {
                    records,
                    reports,
                    last,
                    reply
                }
            ),
        ]
    }
}
