//! Edge reports, with the ages of their evidence.

use super::error::{FieldFault, WireError};
use super::field::{Parsed, at_most, id};
use super::proto;
use phalanx_core::gossip::message::AgedReport;
use phalanx_core::time::Duration;
use phalanx_core::topology::record::{EDGES_MAX, Edge, EdgeReport};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Maximum number of edges in the field `edges`. Builds that do not know the field `more_edges` refuse more.
const EDGES_FIRST: usize = 64;

pub(super) fn parse(wire: proto::Report) -> Parsed<AgedReport> {
    at_most("edges", wire.edges.len(), EDGES_FIRST, "edges")?;
    let more_max = EDGES_MAX - EDGES_FIRST;
    at_most("more_edges", wire.more_edges.len(), more_max, "edges")?;
    let mut peers = BTreeSet::new();
    let count = wire.edges.len() + wire.more_edges.len();
    let (mut edges, mut ages) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for edge in wire.edges.into_iter().chain(wire.more_edges) {
        let peer = id("edges.peer", &edge.peer)?;
        if !peers.insert(peer.clone()) {
            return Err(WireError::new("edges", FieldFault::Twice(edge.peer)));
        }
        edges.push(Edge {
            peer,
            down: edge.down,
            refused: edge.refused,
        });
        ages.push(edge.age_ms.map(Duration::from_millis));
    }
    let report = EdgeReport {
        epoch: wire.epoch,
        version: wire.version,
        edges,
        reporter: id("reporter", &wire.reporter)?,
    };
    Ok(AgedReport {
        report: Arc::new(report),
        ages,
    })
}

/// Returns the edges of a report with the ages of their evidence. An edge without an age in `ages` has no evidence.
#[must_use]
pub fn edges(report: &EdgeReport, ages: &[Option<Duration>]) -> Vec<proto::Edge> {
    let ages = ages.iter().copied().chain(core::iter::repeat(None));
    let edge = |(edge, age): (&Edge, Option<Duration>)| proto::Edge {
        peer: edge.peer.as_str().to_owned(),
        down: edge.down,
        age_ms: age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        refused: edge.refused,
    };
    report.edges.iter().zip(ages).map(edge).collect()
}

impl From<&AgedReport> for proto::Report {
    fn from(aged: &AgedReport) -> Self {
        let report = &aged.report;
        let mut edges = edges(report, &aged.ages);
        let more_edges = edges.split_off(edges.len().min(EDGES_FIRST));
        Self {
            reporter: report.reporter.as_str().to_owned(),
            epoch: report.epoch,
            version: report.version,
            edges,
            more_edges,
        }
    }
}

/// Any report.
#[cfg(test)]
pub(super) mod arbitrary {
    use crate::wire::field::arbitrary::{counter, id};
    use phalanx_core::gossip::message::AgedReport;
    use phalanx_core::time::Duration;
    use phalanx_core::topology::record::{Edge, EdgeReport};
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    pub(crate) fn report() -> impl Strategy<Value = AgedReport> {
        let age = option::of(prop_oneof![0_u64..3, any::<u64>()]);
        // Some reports have more edges than the first list holds, also after equal ids are merged.
        let size = prop_oneof![9 => 0_usize..5, 1 => 60_usize..120];
        let half = move || (id(), any::<bool>(), any::<bool>(), age.clone());
        let halves = size.prop_flat_map(move |size| vec(half(), size));
        (id(), counter(), counter(), halves).prop_map(|(reporter, epoch, version, halves)| {
            let halves = halves
                .into_iter()
                .map(|(peer, down, refused, age)| (peer, (down, refused, age)));
            let halves: BTreeMap<_, _> = halves.collect();
            let ages = halves
                .values()
                .map(|(_, _, age)| age.map(Duration::from_millis))
                .collect();
            let edges = halves
                .into_iter()
                .map(|(peer, (down, refused, _))| Edge {
                    peer,
                    down,
                    refused,
                })
                .collect();
            let report = EdgeReport {
                epoch,
                version,
                edges,
                reporter,
            };
            AgedReport {
                report: Arc::new(report),
                ages,
            }
        })
    }
}
