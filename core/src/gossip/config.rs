//! Settings of a node: its own facts, and the timings and bounds of the protocol.

use crate::identity::NodeId;
use crate::link::Address;
use crate::sabotage::Sabotage;
use crate::time::Duration;
use crate::topology::record::Content;

/// Time between two reconciliations of edges, links and requested links.
pub(super) const MAINTAIN_INTERVAL: Duration = Duration::from_secs(2);

/// A node's own facts and its protocol's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The node's id, as in its certificate.
    pub id: NodeId,
    /// The mesh's name: links to other meshes are refused.
    pub mesh: String,
    /// The epoch of this start: above the stored one, durable before the start.
    pub epoch: u64,
    /// Random for this start, not 0.
    pub instance: u32,
    /// The content of the node's own record.
    pub content: Content,
    /// Addresses of members to join by.
    pub targets: Vec<Address>,
    /// Whether members learnt from others are dialled; otherwise only the targets are.
    pub discovery: bool,
    /// Timings and bounds; every node of a mesh should have the same timings.
    pub tuning: Tuning,
    /// Mechanisms switched off, bugs planted: nothing, outside the simulator.
    pub sabotage: Sabotage,
}

impl Config {
    /// A configuration with default tuning.
    #[must_use]
    pub fn new(
        id: NodeId,
        mesh: &str,
        epoch: u64,
        instance: u32,
        content: Content,
        targets: Vec<Address>,
    ) -> Self {
        Self {
            id,
            mesh: mesh.to_owned(),
            epoch,
            instance,
            content,
            targets,
            discovery: true,
            tuning: Tuning::default(),
            sabotage: Sabotage::NONE,
        }
    }
}

/// Timings and bounds of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// The longest time between two heartbeats on one link.
    pub heartbeat_interval_max: Duration,
    /// The shortest time between two heartbeats of one node.
    pub heartbeat_spacing: Duration,
    /// Silence after which a neighbour is redialled on a fresh connection.
    pub redial_after: Duration,
    /// Time between two such redials.
    pub redial_interval: Duration,
    /// Silence after which an edge is published as down.
    pub silent_after: Duration,
    /// Age of the latest proof of life after which an unreachable member is down.
    pub down_after: Duration,
    /// How long a silent link is kept, and redialled.
    pub silent_kept: Duration,
    /// Smallest time between two batches on one link.
    pub coalesce: Duration,
    /// Announcements wait this long, so that what the neighbour has meanwhile said need not be announced.
    pub announce_after: Duration,
    /// Reports wait this long at each hop, so that bursts of them (a crash of many, a heal) travel together.
    pub report_after: Duration,
    /// A missing announced update is asked for after this plus a uniform draw below `graft_jitter`.
    pub graft_after: Duration,
    /// See `graft_after`.
    pub graft_jitter: Duration,
    /// Time between asking two announcers.
    pub graft_interval: Duration,
    /// Updates that arrive within this time are judged together.
    pub judge_after: Duration,
    /// A view unchanged for this long announces its hash.
    pub quiet_after: Duration,
    /// The hash is announced at least this often on each link.
    pub hash_interval: Duration,
    /// A dial without answer counts as failed after this.
    pub dial_timeout: Duration,
    /// A member that could not be dialled is passed over for this long.
    pub dial_failed_for: Duration,
    /// The first wait before a failed target is dialled again; grows by half each time, with jitter.
    pub retry_min: Duration,
    /// The longest such wait.
    pub retry_max: Duration,
    /// A link the overlay does not need is closed after this.
    pub surplus_kept: Duration,
    /// The extra random link is replaced this often.
    pub random_link_interval: Duration,
    /// Members down or gone for this long are forgotten.
    pub forget_after: Duration,
    /// A timer this late means that we were stopped.
    pub pause_threshold: Duration,
    /// How long a leaving node waits for its last record to spread.
    pub leave_linger: Duration,
    /// The most links at one time.
    pub links_max: usize,
    /// The most members (alive, down or gone) known at one time; from 2 to [`crate::topology::MEMBERS_LIMIT`].
    pub members_max: usize,
    /// Links accepted at once; after that one each `accept_interval`.
    pub accept_burst: u32,
    /// See `accept_burst`.
    pub accept_interval: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            heartbeat_interval_max: ms(1_500),
            heartbeat_spacing: ms(250),
            redial_after: ms(2_000),
            redial_interval: ms(500),
            silent_after: ms(3_500),
            down_after: ms(4_700),
            silent_kept: ms(20_000),
            coalesce: ms(1),
            announce_after: ms(5),
            report_after: ms(8),
            graft_after: ms(10),
            graft_jitter: ms(30),
            graft_interval: ms(20),
            judge_after: ms(10),
            quiet_after: ms(300),
            hash_interval: ms(60_000),
            dial_timeout: ms(1_500),
            dial_failed_for: ms(10_000),
            retry_min: ms(100),
            retry_max: ms(30_000),
            surplus_kept: ms(20_000),
            random_link_interval: ms(180_000),
            forget_after: ms(24 * 3_600_000),
            pause_threshold: ms(1_000),
            leave_linger: ms(500),
            links_max: 64,
            members_max: 65_536,
            accept_burst: 20,
            accept_interval: ms(50),
        }
    }
}
