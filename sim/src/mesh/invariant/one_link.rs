//! At rest, two nodes have at most one link, and both mean the same one.
//!
//! Reason: two nodes that dial each other at once must keep one connection, the same at both ends; if each keeps
//! its own, heartbeats go unheard, and if both stay, links leak. Source: DESIGN section 4 (links).

use super::{Mesh, Scene};
use crate::invariant::{Invariant, Verdict};
use phalanx_core::identity::NodeId;
use phalanx_core::time::Instant;
use std::collections::BTreeMap;

/// A difference must be seen at two looks in a row: a link may be in the middle of its handshake at one.
#[derive(Default)]
pub(super) struct OneLink {
    before: Option<String>,
}

impl OneLink {
    fn look(scene: &Scene<'_>) -> Verdict {
        let mut sessions: BTreeMap<(&NodeId, NodeId), u32> = BTreeMap::new();
        for (_, mesh) in scene.nodes() {
            for link in mesh.links(Instant::ZERO) {
                if sessions
                    .insert((mesh.id(), link.peer.clone()), link.session)
                    .is_some()
                {
                    return Err(format!("{} has two links to {}", mesh.id(), link.peer));
                }
            }
        }
        for ((id, peer), session) in &sessions {
            let other = sessions.get(&(peer, (*id).clone()));
            if other != Some(session) {
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
