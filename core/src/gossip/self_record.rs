//! The node's own record and its report of edges.

use super::config::Config;
use crate::link::Ticket;
use crate::time::Instant;
use crate::topology::Handle;
use crate::topology::record::{Content, Rank, Record};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One edge as this node sees it, where others would presume wrongly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct OwnEdge {
    pub(super) down: bool,
    pub(super) proof: Option<Instant>,
}

/// The node's own record, its edge report, and the publication state of both.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Own {
    pub(super) record: Arc<Record>,
    /// The publication counter, shared by records and reports.
    pub(super) version: u64,
    pub(super) edges: BTreeMap<Handle, OwnEdge>,
    pub(super) record_due: bool,
    pub(super) report_due: bool,
    /// When our epoch stands: others have seen it and hold nothing against it. From then on a conflict is no longer
    /// with our own past.
    pub(super) established: Option<Instant>,
    pub(super) raising: Option<(Ticket, u64)>,
    pub(super) tickets: u64,
}

impl Own {
    pub(super) fn new(config: &Config) -> Self {
        let rank = Rank {
            epoch: config.epoch,
            instance: config.instance,
            incarnation: 0,
            leaving: false,
            version: 1,
        };
        Self {
            record: Arc::new(Record::new(config.id.clone(), rank, config.content.clone())),
            version: 1,
            edges: BTreeMap::new(),
            record_due: false,
            report_due: false,
            established: None,
            raising: None,
            tickets: 0,
        }
    }

    pub(super) const fn record(&self) -> &Arc<Record> {
        &self.record
    }

    pub(super) fn set(&mut self, rank: Rank, content: Content) {
        self.record = Arc::new(Record::new(self.record.id().clone(), rank, content));
        self.record_due = true;
    }
}
