//! Edge reports, with the ages of their evidence.

use super::error::{FieldFault, WireError};
use super::field::{Parsed, at_most, id};
use super::proto;
use phalanx_core::gossip::message::AgedReport;
use phalanx_core::time::Duration;
use phalanx_core::topology::EdgeFailure;
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
    let mut failures = Vec::with_capacity(count);
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
        failures.push(failure(edge.failure));
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
        failures,
    })
}

/// Parses a reason. A reason that a later build introduced counts as none.
#[must_use]
pub fn failure(number: i32) -> Option<EdgeFailure> {
    EdgeFailure::of_number(u32::try_from(number).ok()?)
}

/// Returns the number of a reason; 0 for none.
#[must_use]
pub fn failure_number(failure: Option<EdgeFailure>) -> i32 {
    let number = failure.map_or(0, EdgeFailure::number);
    i32::try_from(number).unwrap_or(0)
}

/// Returns the edges of a report with their evidence.
#[must_use]
pub fn edges(aged: &AgedReport) -> Vec<proto::Edge> {
    let edges = aged.edges().map(|(edge, age, failure)| proto::Edge {
        peer: edge.peer.as_str().to_owned(),
        down: edge.down,
        age_ms: age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        refused: edge.refused,
        failure: failure_number(failure),
    });
    edges.collect()
}

impl From<&AgedReport> for proto::Report {
    fn from(aged: &AgedReport) -> Self {
        let report = &aged.report;
        let mut edges = edges(aged);
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
    use phalanx_core::topology::EdgeFailure;
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
        let failure = || {
            (0..=EdgeFailure::ALL.len())
                .prop_map(|at| EdgeFailure::ALL.get(at).map(|(failure, ..)| *failure))
        };
        let half = move || {
            let down = (any::<bool>(), any::<bool>());
            (id(), down, age.clone(), failure())
        };
        let halves = size.prop_flat_map(move |size| vec(half(), size));
        (id(), counter(), counter(), halves).prop_map(|(reporter, epoch, version, halves)| {
            let halves = halves
                .into_iter()
                .map(|(peer, down, age, failure)| (peer, (down, age, failure)));
            let halves: BTreeMap<_, _> = halves.collect();
            let ages = halves
                .values()
                .map(|(_, age, _)| age.map(Duration::from_millis))
                .collect();
            let failures = halves.values().map(|(.., failure)| *failure).collect();
            let edges = halves
                .into_iter()
                .map(|(peer, ((down, refused), ..))| Edge {
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
                failures,
            }
        })
    }
}
