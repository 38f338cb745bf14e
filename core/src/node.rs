//! One mesh daemon as one machine: the composition of what a node does.

use crate::gossip::{self, Gossip};
use crate::machine::{Machine, Outbox, Wake};
use crate::time::Instant;

pub use gossip::{Config, Event};

/// What can happen to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// To its part in the mesh.
    Mesh(gossip::Input),
    /// A deadline has arrived.
    Wake,
}

impl From<Wake> for Input {
    fn from(_: Wake) -> Self {
        Self::Wake
    }
}

/// What the caller must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// For the mesh.
    Mesh(gossip::Output),
}

/// One mesh daemon.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    gossip: Gossip,
    scratch: Outbox<gossip::Output>,
}

impl Node {
    /// The node of this configuration; `seed` feeds its random choices.
    #[must_use]
    pub fn new(config: Config, seed: u64, now: Instant) -> Self {
        Self {
            gossip: Gossip::new(config, seed, now),
            scratch: Outbox::new(),
        }
    }

    /// The node's part in the mesh, to read.
    #[must_use]
    pub const fn mesh(&self) -> &Gossip {
        &self.gossip
    }
}

impl Machine for Node {
    type Input = Input;
    type Output = Output;

    fn step(&mut self, now: Instant, input: Input, out: &mut Outbox<Output>) {
        let input = match input {
            Input::Mesh(input) => input,
            Input::Wake => gossip::Input::Wake,
        };
        self.gossip.step(now, input, &mut self.scratch);
        for order in self.scratch.drain() {
            out.push(Output::Mesh(order));
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.gossip.next_deadline()
    }
}
