//! Memory of a view, computed from its contents instead of measured at the allocator, so that the value is the same on
//! every computer.

use super::record::{Edge, EdgeReport, Record};
use super::{MemberIndex, ReportedEdge, StoredReport, Topology};
use crate::size::{Encoded as _, held};

impl Topology {
    /// Bytes in memory; values shared with other views of the process are counted in full.
    pub(crate) fn memory(&self) -> usize {
        let records = self
            .records()
            .map(|record| held::<Record>(1) + record.encoded_len());
        let reports = self.reports.values().map(|stored| {
            let peers = stored.report.edges.iter().map(|edge| &edge.peer);
            let names = peers.chain([&stored.report.reporter]);
            let names = names.map(|id| id.as_str().len());
            held::<(MemberIndex, StoredReport)>(1)
                + held::<EdgeReport>(1)
                + held::<Edge>(stored.report.edges.len())
                + names.sum::<usize>()
                + held::<ReportedEdge>(stored.edges.len())
        });
        let sets = self.retired.len() + self.reporting.len() + self.not_alive.len();
        let sets = sets + self.off_rings.len();
        self.members.memory()
            + records.sum::<usize>()
            + reports.sum::<usize>()
            + held::<MemberIndex>(sets)
            + self.rings.memory()
            + self.providers.memory()
    }
}
