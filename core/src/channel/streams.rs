//! The named streams of random choices of the channel machine.
//!
//! A component draws only from the stream with its name. A change in one component does not shift the choices of
//! another component.

use crate::random::Random;

/// One stream for each component that draws.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Streams {
    /// Times of comparisons, neighbours to compare with, and the first element of a repair.
    pub(super) anti_entropy: Random,
    /// Jitter of requests for announced updates.
    pub(super) dissemination: Random,
}

impl Streams {
    /// The streams of a node with this seed.
    pub(super) const fn new(seed: u64) -> Self {
        let channel = Random::from_seed(seed).child("channel");
        Self {
            anti_entropy: channel.child("anti-entropy"),
            dissemination: channel.child("dissemination"),
        }
    }
}
