//! Who is in the mesh, who is alive, and how both become known to everyone.

mod config;
mod interface;
pub mod message;
mod sabotage;
mod view;

pub use config::{Config, Tuning};
pub use interface::{
    Address, AddressError, CloseReason, DialError, DialId, Event, Input, LinkEnd, LinkId, Output, Rejection, Ticket,
};
pub use message::Message;
pub use sabotage::{Sabotage, Switch};
pub use view::{LinkView, MemberView, Phase, Status};

use crate::identity::NodeId;
use crate::machine::{Machine, Outbox};
use crate::time::Instant;
use crate::topology::record::Record;
use std::sync::Arc;

/// The gossip machine of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Gossip {
    config: Config,
}

impl Gossip {
    /// The machine of this configuration; `seed` feeds its random choices.
    #[must_use]
    pub fn new(config: Config, seed: u64, now: Instant) -> Self {
        let (_, _) = (seed, now);
        Self { config }
    }

    /// The node's id.
    #[must_use]
    pub const fn id(&self) -> &NodeId {
        &self.config.id
    }

    /// The node's settings.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The node's own record as it stands.
    #[must_use]
    pub fn record(&self) -> &Arc<Record> {
        unimplemented!()
    }

    /// Where the node is in its own life.
    #[must_use]
    pub fn phase(&self) -> Phase {
        Phase::Joining
    }

    /// Set hash of the view: equal on two nodes with equal views.
    #[must_use]
    pub fn hash(&self) -> u64 {
        0
    }

    /// Everyone this node knows, itself included, in id order. O(n).
    pub fn members(&self) -> impl Iterator<Item = MemberView> + '_ {
        std::iter::empty()
    }

    /// One member.
    #[must_use]
    pub fn member(&self, _id: &NodeId) -> Option<MemberView> {
        None
    }

    /// The established links, in order of their numbers.
    pub fn links(&self, _now: Instant) -> impl Iterator<Item = LinkView> + '_ {
        std::iter::empty()
    }

    /// The nodes that are alive (or suspect) and serve `name` in `version`, or in any version; in id order.
    #[must_use]
    pub fn providers(&self, _name: &str, _version: Option<&str>) -> Vec<NodeId> {
        Vec::new()
    }

    /// Every service served by a node that is alive: name, version, providers. In order.
    pub fn services(&self) -> impl Iterator<Item = (&str, &str, Vec<NodeId>)> + '_ {
        std::iter::empty()
    }
}

impl Machine for Gossip {
    type Input = Input;
    type Output = Output;

    fn step(&mut self, _now: Instant, _input: Input, _out: &mut Outbox<Output>) {}

    fn next_deadline(&self) -> Option<Instant> {
        None
    }
}
