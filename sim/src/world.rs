//! What every engine lets be seen of a running world.

use phalanx_core::gossip::{Gossip, Phase};
use phalanx_core::identity::NodeId;
use serde::Serialize;

/// What a host has sent since the start of the run, over all its lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Encoded messages, in bytes; without framing.
    pub bytes: u64,
    /// Messages.
    pub messages: u64,
}

/// A world at one instant.
pub trait World {
    /// The machine of a host, if its process runs. A node that left or gave its id up may still be shown.
    fn mesh(&self, host: usize) -> Option<&Gossip>;

    /// What a host has sent.
    fn traffic(&self, host: usize) -> Traffic;
}

/// Whether a node takes part in the mesh (or tries to).
#[must_use]
pub fn takes_part(mesh: &Gossip) -> bool {
    match mesh.phase() {
        Phase::Joining | Phase::Running | Phase::Isolated => true,
        Phase::Leaving | Phase::Left | Phase::NameTaken => false,
    }
}

/// The hosts that take part, of `hosts` in all, with their machines.
pub fn participants<W: World + ?Sized>(
    world: &W,
    hosts: usize,
) -> impl Iterator<Item = (usize, &Gossip)> {
    (0..hosts)
        .filter_map(|host| world.mesh(host).map(|mesh| (host, mesh)))
        .filter(|(_, mesh)| takes_part(mesh))
}

/// Whether a node of this id takes part.
#[must_use]
pub fn is_alive<W: World + ?Sized>(world: &W, hosts: usize, id: &NodeId) -> bool {
    participants(world, hosts).any(|(_, mesh)| mesh.id() == id)
}
