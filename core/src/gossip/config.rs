//! Settings of a node: its identity and seed addresses, and the timings and limits of the protocol.

use crate::identity::NodeId;
use crate::link::Address;
use crate::sabotage::Sabotage;
use crate::time::Duration;
use crate::topology::record::Content;
use core::net::SocketAddr;

/// Time between two reconciliations of edges, links and requested links.
pub(super) const MAINTAIN_INTERVAL: Duration = Duration::from_secs(2);

/// The factor by which the transport's keepalive interval exceeds the maximum interval of heartbeats. The timer of a
/// connection wakes the process once per interval, although heartbeats keep it from sending a ping.
const KEEPALIVE_FACTOR: u32 = 15;

/// The identity of a node, and the settings of its protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The node's id, as in its certificate.
    pub id: NodeId,
    /// The mesh's name. Links to other meshes are refused.
    pub mesh: String,
    /// The epoch of this start. The epoch is above all stored epochs, and durable before the start.
    pub epoch: u64,
    /// Random for this start, not 0.
    pub instance: u32,
    /// The content of the node's own record.
    pub content: Content,
    /// Seed addresses: addresses of members through which the node joins.
    pub seeds: Vec<Address>,
    /// Addresses of members that an earlier start kept, from [`Output::KeepAddresses`](super::Output); dialled beside
    /// the seed addresses.
    pub kept: Vec<SocketAddr>,
    /// Whether members learnt from other members are dialled; if false, only the seed addresses are.
    pub discovery: bool,
    /// Timings and limits. All nodes of a mesh should have the same timings.
    pub tuning: Tuning,
    /// Switched-off mechanisms and planted bugs; empty outside the simulator.
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
        seeds: Vec<Address>,
    ) -> Self {
        Self {
            id,
            mesh: mesh.to_owned(),
            epoch,
            instance,
            content,
            seeds,
            kept: Vec::new(),
            discovery: true,
            tuning: Tuning::default(),
            sabotage: Sabotage::NONE,
        }
    }
}

/// Timings and limits of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Maximum time between two heartbeats on one link.
    pub heartbeat_interval_max: Duration,
    /// Maximum time between two heartbeats of one node, over all of its links.
    pub heartbeat_spacing: Duration,
    /// Silence after which a neighbour is redialled over a new connection.
    pub redial_after: Duration,
    /// Time between two redials of a silent neighbour.
    pub redial_interval: Duration,
    /// Silence after which an edge is published as down.
    pub silent_after: Duration,
    /// Age of the latest evidence of life after which an unreachable member is down.
    pub down_after: Duration,
    /// Silence after which a link is removed. The neighbour is redialled until the link is removed.
    pub silent_kept: Duration,
    /// Minimum time between two batches on one link.
    pub coalesce: Duration,
    /// Delay of announcements: an update that the neighbour sends within this time is not announced to it.
    pub announce_after: Duration,
    /// Delay of reports at each hop, so that bursts of reports (many crashes, a healed partition) are sent together.
    pub report_after: Duration,
    /// Delay before a missing announced update is requested; a uniform draw below `graft_jitter` is added.
    pub graft_after: Duration,
    /// Maximum random addition to `graft_after`.
    pub graft_jitter: Duration,
    /// Time between the requests to two announcers.
    pub graft_interval: Duration,
    /// Updates that arrive within this time cause one computation of reachability.
    pub judge_after: Duration,
    /// The hash of a view that did not change for this long is announced.
    pub quiet_after: Duration,
    /// Maximum time between two hashes on one link.
    pub hash_interval: Duration,
    /// Time after which an unanswered dial counts as failed.
    pub dial_timeout: Duration,
    /// Time after which an unanswered resolution of a name counts as failed.
    pub resolution_timeout: Duration,
    /// Back-off from a member after a failed dial.
    pub dial_failed_for: Duration,
    /// Delay before a failed seed address is dialled again; grows by half with each failure, with jitter.
    pub retry_min: Duration,
    /// Maximum delay before a failed seed address is dialled again.
    pub retry_max: Duration,
    /// Time after which a link that serves no purpose is closed.
    pub surplus_kept: Duration,
    /// Time after which the extra random link is replaced.
    pub random_link_interval: Duration,
    /// Time after which members that are down or left are forgotten.
    pub forget_after: Duration,
    /// A timer that fires at least this late shows that the process was paused.
    pub pause_threshold: Duration,
    /// Time that a leaving node waits for its last record to spread.
    pub leave_linger: Duration,
    /// Maximum number of links.
    pub links_max: usize,
    /// Maximum number of members known (alive, down or left); from 2 to [`crate::topology::MEMBERS_LIMIT`].
    pub members_max: usize,
    /// Maximum size of the messages and maps of all channels, in KiB.
    pub channel_kib_max: usize,
    /// Number of links from unknown nodes accepted in one burst; after the burst, one link is accepted per
    /// `accept_interval`.
    pub accept_burst: u32,
    /// Time after which one more link is accepted.
    pub accept_interval: Duration,
}

impl Tuning {
    /// The interval at which the transport itself checks a connection. The keepalive is a backstop to heartbeats,
    /// because the machine notices a silent neighbour first.
    #[must_use]
    pub fn keepalive_interval(&self) -> Duration {
        self.heartbeat_interval_max.saturating_mul(KEEPALIVE_FACTOR)
    }
}

impl Default for Tuning {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            heartbeat_interval_max: ms(2_000),
            heartbeat_spacing: ms(330),
            redial_after: ms(2_500),
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
            resolution_timeout: ms(10_000),
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
            channel_kib_max: 24 * 1024,
            accept_burst: 20,
            accept_interval: ms(50),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_neighbour_is_redialled_before_the_transport_checks_its_connection() {
        let tuning = Tuning::default();
        assert!(tuning.redial_after < tuning.keepalive_interval());
        assert!(tuning.silent_after < tuning.keepalive_interval());
    }
}
