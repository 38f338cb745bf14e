//! At rest, two nodes have at most one link, and both mean the same one.
//!
//! Reason: two nodes that dial each other at once must keep one connection, the same at both ends; if each keeps
//! its own, heartbeats go unheard, and if both stay, links leak. Source: DESIGN section 4 (links).

use super::{Mesh, Scene};
use crate::invariant::{Invariant, Verdict};
use phalanx_core::identity::NodeId;
use phalanx_core::random::{hash_bytes, mix};
use phalanx_core::time::Instant;

/// A difference must be seen at two looks in a row: a link may be in the middle of its handshake at one.
#[derive(Default)]
pub(super) struct OneLink {
    before: Option<String>,
}

impl OneLink {
    /// Whether all ends of links stand against each other, by a sum that is zero if they do; none is then twice.
    fn is_even(scene: &Scene<'_>) -> bool {
        let mut sum = 0_u64;
        let mut peers: Vec<u64> = Vec::new();
        for (_, mesh) in scene.nodes() {
            let own = hash_bytes(mesh.id().as_str().as_bytes());
            peers.clear();
            for link in mesh.links(Instant::ZERO) {
                let peer = hash_bytes(link.peer.as_str().as_bytes());
                let end = mix(mix(own.min(peer)) ^ own.max(peer) ^ mix(link.session.into()));
                sum = if own < peer {
                    sum.wrapping_add(end)
                } else {
                    sum.wrapping_sub(end)
                };
                if peers.contains(&peer) {
                    return false;
                }
                peers.push(peer);
            }
        }
        sum == 0
    }

    fn look(scene: &Scene<'_>) -> Verdict {
        if Self::is_even(scene) {
            return Ok(());
        }
        let mut sessions: Vec<(&NodeId, NodeId, u32)> = Vec::new();
        for (_, mesh) in scene.nodes() {
            let links = mesh.links(Instant::ZERO);
            sessions.extend(links.map(|link| (mesh.id(), link.peer, link.session)));
        }
        sessions.sort_unstable();
        for pair in sessions.windows(2) {
            let ((id, peer, _), (next, other, _)) = (&pair[0], &pair[1]);
            if (id, peer) == (next, other) {
                return Err(format!("{id} has two links to {peer}"));
            }
        }
        for (id, peer, session) in &sessions {
            let found = sessions.binary_search_by(|(one, two, _)| (*one, two).cmp(&(peer, id)));
            let other = found.ok().map(|at| sessions[at].2);
            if other != Some(*session) {
                return Err(format!(
                    "{id} has a link to {peer} of session {session}, {peer} has {other:?}"
                ));
            }
        }
        Ok(())
    }
}

impl Invariant<Mesh> for OneLink {
    fn name(&self) -> &'static str {
        "one-link"
    }

    fn checkpoint(&mut self, scene: &Scene<'_>) -> Verdict {
        self.before = Self::look(scene).err();
        Ok(())
    }

    fn at_rest(&mut self, scene: &Scene<'_>) -> Verdict {
        match Self::look(scene) {
            Err(why) if self.before.as_ref() == Some(&why) => Err(why),
            Err(_) | Ok(()) => Ok(()),
        }
    }
}
