//! The named streams of random choices of the gossip machine.
//!
//! A component draws only from the stream with its name. A change in one component does not shift the choices of
//! another component.

use crate::random::Random;

/// One stream for each component that draws.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Streams {
    /// The members that a dialler is referred to.
    pub(super) admission: Random,
    /// Waits before a seed is dialled.
    pub(super) bootstrap: Random,
    /// Jitter of requests for announced records.
    pub(super) dissemination: Random,
    /// The phase of heartbeats.
    pub(super) heartbeat: Random,
    /// The members that a node asks about the holder of its id.
    pub(super) inquiry: Random,
    /// The refused members that are dialled.
    pub(super) newcomers: Random,
    /// The random link: its member, and the time at which it is replaced.
    pub(super) overlay: Random,
    /// Probes of members that are down.
    pub(super) prober: Random,
    /// The address of a referral that is dialled.
    pub(super) referral: Random,
}

impl Streams {
    /// The streams of a node with this seed.
    pub(super) const fn new(seed: u64) -> Self {
        let gossip = Random::from_seed(seed).child("gossip");
        Self {
            admission: gossip.child("admission"),
            bootstrap: gossip.child("bootstrap"),
            dissemination: gossip.child("dissemination"),
            heartbeat: gossip.child("heartbeat"),
            inquiry: gossip.child("inquiry"),
            newcomers: gossip.child("newcomers"),
            overlay: gossip.child("overlay"),
            prober: gossip.child("prober"),
            referral: gossip.child("referral"),
        }
    }
}
