//! The named streams of random choices of the channel machine.
//!
//! A component draws from the stream of its name only. A change of one component does not shift the choices of another.

use crate::random::Random;

/// One stream for each component that draws.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Streams {
    /// Times of comparisons, the neighbours that are compared, and the first element of a repair.
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
