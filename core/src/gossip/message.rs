//! Messages of the mesh between two nodes.
//!
//! Bounds: a message takes at most [`size::FRAME_BYTES_MAX`] bytes encoded. Sizes equal the wire format's
//! (net/proto/mesh.proto).

use crate::identity::NodeId;
use crate::size::{self, Encoded};
use crate::sketch::Cell;
use crate::time::{Duration, Instant};
use crate::topology::publication::PublicationId;
use crate::topology::record::{Edge, EdgeReport, Record};
use crate::topology::{EdgeFailure, StoredReport};
use core::net::SocketAddr;
use std::sync::Arc;

/// Maximum number of other members that a refusal names.
pub const REFERRALS_MAX: usize = 8;
/// The oldest protocol version this build speaks.
pub const VERSION_MIN: u32 = 1;
/// The newest protocol version this build speaks.
pub const VERSION_MAX: u32 = 2;
/// The oldest protocol version whose links carry messages about revocations.
pub const VERSION_REVOCATIONS: u32 = 2;

/// A message of the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The first message of the dialer.
    Hello(Hello),
    /// The acceptor's answer: the link is accepted.
    Welcome(Welcome),
    /// The acceptor's answer: the link is refused.
    Refuse(Refusal),
    /// The sender closes the link on purpose.
    Goodbye(Goodbye),
    /// Updates, announcements, requests and heartbeats, in batches.
    Frame(Frame),
}

/// The first message of a node on a connection it dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The mesh that the sender belongs to.
    pub mesh: String,
    /// The oldest protocol version that the sender speaks.
    pub version_min: u32,
    /// The newest protocol version that the sender speaks.
    pub version_max: u32,
    /// Orders the connections between two nodes; the connection with the highest session wins on both ends.
    pub session: u32,
    /// The sender knows no other member yet and requests the whole view.
    pub joining: bool,
    /// The sender knows other members and has no link, so a full receiver makes room for it.
    pub alone: bool,
    /// Set hash of the sender's view.
    pub hash: u64,
    /// The sender's own record.
    pub record: Arc<Record>,
    /// Hash of the sender's revocations; 0 without revocations, and in version 1.
    pub revocations: u64,
}

/// The answer to a [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The protocol version that both ends use from here on.
    pub version: u32,
    /// The session of the `Hello` that is answered.
    pub session: u32,
    /// Set hash of the sender's view.
    pub hash: u64,
    /// The sender's own record.
    pub record: Arc<Record>,
}

/// Reasons why a link is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefusalReason {
    /// Too many connections for now; retry at a member named in the refusal, or later.
    Busy,
    /// The acceptor has its maximum number of links; retry at a member named in the refusal.
    Full,
    /// A connection with a higher session exists or is being made; `session` holds that session.
    Superseded,
    /// The dialer reached itself.
    Myself,
    /// The dialer belongs to another mesh.
    WrongMesh,
    /// The two nodes have no protocol version in common.
    Version,
    /// Another, newer machine holds the dialer's id.
    NameTaken,
    /// The acceptor is leaving the mesh.
    Leaving,
}

/// The answer to a refused [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub reason: RefusalReason,
    /// With `Superseded`: the highest session that the acceptor knows with the dialer.
    pub session: u32,
    /// With `Version`: the oldest and newest version that the acceptor speaks.
    pub versions: (u32, u32),
    /// Other members to try; at most [`REFERRALS_MAX`].
    pub others: Vec<SocketAddr>,
    /// With `NameTaken`: the acceptor's record of the dialer's id, from an earlier start of the dialer or from another
    /// machine.
    pub yours: Option<Arc<Record>>,
    /// With `NameTaken`: the owner of `yours` is down, left or forgotten in the acceptor's view.
    pub gone: bool,
}

/// Reasons why a link is closed on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Goodbye {
    /// The sender's overlay does not need the link.
    Unneeded,
    /// The sender leaves the mesh.
    Leaving,
    /// Another connection between the same two nodes takes precedence.
    Superseded,
    /// The sender gave up its id to another machine.
    NameTaken,
    /// The receiver broke the protocol.
    Protocol,
}

/// A batch of pending output. Control fields come before data on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Set hash of the sender's view. An empty frame is a heartbeat.
    pub hash: Option<u64>,
    /// The receiver is to announce updates on this link instead of sending them (PRUNE of Plumtree).
    pub prune: bool,
    /// Updates that the sender holds and that may be requested (IHAVE of Plumtree).
    pub have: Vec<PublicationId>,
    /// Updates that the sender requests (GRAFT of Plumtree); the link becomes eager.
    pub graft: Vec<PublicationId>,
    /// Broadcast records.
    pub records: Vec<Arc<Record>>,
    /// Broadcast reports.
    pub reports: Vec<AgedReport>,
    /// Steps of reconciliation.
    pub sync: Vec<Sync>,
    /// The members that are down or left in the sender's view and whose records are in this frame.
    pub gone: Vec<Gone>,
    /// Requests an echo of this number, which measures the round trip; 0 requests none.
    pub ping: u32,
    /// The echo of the number in a frame of the receiver; 0 is none.
    pub pong: u32,
}

/// The age by which a node asks its neighbours to forget a member that is down or left at once.
pub const FORGET_NOW: Duration = Duration::from_millis(u64::MAX);

/// A member that is down or left in the sender's view. The age lets a receiver that did not know the member forget it
/// at the same time as the other nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// The member.
    pub id: NodeId,
    /// The time since the member was lost or left, in milliseconds on the wire.
    pub age: Duration,
}

/// A report with the evidence of each edge: the time since it was last heard, as of sending, and the reason why there is
/// no link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgedReport {
    /// The report.
    pub report: Arc<EdgeReport>,
    /// For each edge, the time since its reporter last heard the peer; none if the reporter never heard it. The times
    /// are in milliseconds on the wire.
    pub ages: Vec<Option<Duration>>,
    /// For each edge, the reason why its reporter has no link with the peer; none if the reporter states no reason. A list
    /// that is shorter than the edges lacks the reasons of the last ones. At most
    /// [`EDGE_FAILURES_MAX`](crate::topology::EDGE_FAILURES_MAX) reasons.
    pub failures: Vec<Option<EdgeFailure>>,
}

impl AgedReport {
    /// The report that a view holds, as of `now`.
    pub(super) fn of(stored: &StoredReport, now: Instant) -> Self {
        let edges = || stored.edges.iter();
        Self {
            report: Arc::clone(&stored.report),
            ages: edges()
                .map(|edge| edge.last_heard.map(|at| now - at))
                .collect(),
            failures: edges().map(|edge| edge.failure).collect(),
        }
    }

    /// The edges with their evidence, in order.
    pub fn edges(
        &self,
    ) -> impl Iterator<Item = (&Edge, Option<Duration>, Option<EdgeFailure>)> + '_ {
        let failures = self.failures.iter().copied();
        let failures = failures.chain(core::iter::repeat(None));
        let edges = self.report.edges.iter().zip(&self.ages).zip(failures);
        edges.map(|((edge, age), failure)| (edge, *age, failure))
    }
}

/// One step of a reconciliation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sync {
    /// The sender's view as a sketch. The receiver answers with `Push` and `Want`, or with `Larger`.
    Sketch(Vec<Cell>),
    /// The sketch could not be decoded: the receiver is to send a sketch of this many cells, or a snapshot if the
    /// number is 0.
    Larger(u32),
    /// The receiver is to push the updates with these digests.
    Want(Vec<u64>),
    /// Updates that the receiver lacks, not to be broadcast: recent changes, or the result of a reconciliation.
    Push {
        /// Records.
        records: Vec<Arc<Record>>,
        /// Reports.
        reports: Vec<AgedReport>,
    },
    /// A chunk of the sender's whole view, for a node that joins or lacks much.
    Snapshot {
        /// Records.
        records: Vec<Arc<Record>>,
        /// Reports.
        reports: Vec<AgedReport>,
        /// Whether this is the last chunk.
        last: bool,
        /// Whether the sender requests the receiver's whole view in return (repair).
        reply: bool,
    },
}

impl Encoded for AgedReport {
    fn encoded_len(&self) -> usize {
        let edges: usize = self
            .edges()
            .map(|(edge, age, failure)| {
                let age = age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
                size::delimited(
                    size::bytes(edge.peer.as_str().len())
                        + size::boolean(edge.down)
                        + size::optional_uint(age)
                        + size::boolean(edge.refused)
                        + size::uint(failure.map_or(0, EdgeFailure::number).into()),
                )
            })
            .sum();
        size::bytes(self.report.reporter.as_str().len())
            + size::uint(self.report.epoch)
            + size::uint(self.report.version)
            + edges
    }
}

impl Encoded for Gone {
    fn encoded_len(&self) -> usize {
        let age = u64::try_from(self.age.as_millis()).unwrap_or(u64::MAX);
        size::bytes(self.id.as_str().len()) + size::uint(age)
    }
}

impl Encoded for Hello {
    fn encoded_len(&self) -> usize {
        size::bytes(self.mesh.len())
            + size::uint(u64::from(self.version_min))
            + size::uint(u64::from(self.version_max))
            + size::uint(u64::from(self.session))
            + size::boolean(self.joining)
            + size::boolean(self.alone)
            + size::fixed64(self.hash)
            + size::delimited(self.record.encoded_len())
            + size::fixed64(self.revocations)
    }
}

impl Encoded for Welcome {
    fn encoded_len(&self) -> usize {
        size::uint(u64::from(self.version))
            + size::uint(u64::from(self.session))
            + size::fixed64(self.hash)
            + size::delimited(self.record.encoded_len())
    }
}

impl Encoded for Refusal {
    fn encoded_len(&self) -> usize {
        let others: usize = self
            .others
            .iter()
            .map(|a| size::delimited(if a.is_ipv4() { 6 } else { 18 }))
            .sum();
        // Every reason has a non-zero number on the wire.
        2 + size::uint(u64::from(self.session))
            + size::uint(u64::from(self.versions.0))
            + size::uint(u64::from(self.versions.1))
            + others
            + self
                .yours
                .as_ref()
                .map_or(0, |record| size::delimited(record.encoded_len()))
            + size::boolean(self.gone)
    }
}

fn batch(records: &[Arc<Record>], reports: &[AgedReport]) -> usize {
    let records: usize = records
        .iter()
        .map(|r| size::delimited(r.encoded_len()))
        .sum();
    let reports: usize = reports
        .iter()
        .map(|r| size::delimited(r.encoded_len()))
        .sum();
    records + reports
}

impl Encoded for Sync {
    fn encoded_len(&self) -> usize {
        match self {
            // Each variant is one field of a oneof, holding a message.
            Self::Sketch(cells) => {
                size::delimited(cells.iter().map(|c| size::delimited(c.encoded_len())).sum())
            }
            // A oneof's scalar is present even when zero.
            Self::Larger(cells) => 1 + size::varint(u64::from(*cells)),
            Self::Want(digests) => size::delimited(size::packed_fixed64(digests.len())),
            Self::Push { records, reports } => size::delimited(batch(records, reports)),
            Self::Snapshot {
                records,
                reports,
                last,
                reply,
            } => size::delimited(
                batch(records, reports) + size::boolean(*last) + size::boolean(*reply),
            ),
        }
    }
}

impl Encoded for Frame {
    fn encoded_len(&self) -> usize {
        let have: usize = self
            .have
            .iter()
            .map(|id| size::delimited(id.encoded_len()))
            .sum();
        let graft: usize = self
            .graft
            .iter()
            .map(|id| size::delimited(id.encoded_len()))
            .sum();
        let sync: usize = self
            .sync
            .iter()
            .map(|s| size::delimited(s.encoded_len()))
            .sum();
        let gone: usize = self
            .gone
            .iter()
            .map(|gone| size::delimited(gone.encoded_len()))
            .sum();
        self.hash.map_or(0, |_| 9)
            + size::boolean(self.prune)
            + have
            + graft
            + batch(&self.records, &self.reports)
            + sync
            + gone
            + size::uint(u64::from(self.ping))
            + size::uint(u64::from(self.pong))
    }
}

impl Encoded for Message {
    fn encoded_len(&self) -> usize {
        size::delimited(match self {
            Self::Hello(hello) => hello.encoded_len(),
            Self::Welcome(welcome) => welcome.encoded_len(),
            Self::Refuse(refusal) => refusal.encoded_len(),
            // Every reason has a non-zero number on the wire.
            Self::Goodbye(_) => 2,
            Self::Frame(frame) => frame.encoded_len(),
        })
    }
}
