//! At rest, two nodes have at most one link, and both ends belong to the same connection.
//!
//! Reason: two nodes that dial each other at the same time must keep one connection, the same at both ends. If each
//! node keeps its own connection, heartbeats are not received; if both connections stay, links leak. Source: DESIGN
//! section 4 (links).

use super::{Node, Program, Scene, Seen};
use crate::invariant::{Invariant, InvariantResult};
use core::time::Duration;
use phalanx_core::gossip::Tuning;
use phalanx_core::identity::NodeId;
use phalanx_core::random::{hash_bytes, mix};
use phalanx_core::time::Instant;
use std::collections::BTreeMap;

/// A problem counts after it has lasted for `redial_after`, because a link may be in its handshake or about to close.
/// An end that receives nothing from its neighbour does not count: the neighbour may have died, and the node is about
/// to redial it.
pub(super) struct OneLink {
    redial_after: Duration,
    now: u64,
    /// The local time of each host's process.
    local: Vec<Instant>,
    /// The present problems, each with the time in nanoseconds since which it exists.
    uneven: BTreeMap<String, u64>,
    /// The number of ends of links compared at rest.
    checked: u64,
}

/// One end of a link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct End<'a> {
    id: &'a NodeId,
    peer: NodeId,
    session: u32,
    quiet: bool,
}

impl OneLink {
    pub(super) fn new(hosts: usize, tuning: &Tuning) -> Self {
        Self {
            redial_after: tuning.redial_after,
            now: 0,
            local: vec![Instant::ZERO; hosts],
            uneven: BTreeMap::new(),
            checked: 0,
        }
    }

    /// Whether every end of a link has its counterpart and no node has two links to one peer. Adds and subtracts a hash
    /// of each end; the sum is zero if all ends have a counterpart.
    fn is_even(scene: &Scene<'_>) -> bool {
        let mut sum = 0_u64;
        let mut peers: Vec<u64> = Vec::new();
        for (_, node) in scene.of::<Node>() {
            let mesh = node.mesh();
            let own = hash_bytes(mesh.id().as_str().as_bytes());
            peers.clear();
            for (peer, session) in mesh.sessions() {
                let peer = hash_bytes(peer.as_str().as_bytes());
                let end = mix(mix(own.min(peer)) ^ own.max(peer) ^ mix(session.into()));
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

    /// Lists every active end without a counterpart, and every second link to one neighbour.
    fn problems(&self, scene: &Scene<'_>) -> Vec<String> {
        let mut ends: Vec<End<'_>> = Vec::new();
        for (host, node) in scene.of::<Node>() {
            let mesh = node.mesh();
            ends.extend(mesh.links(self.local[host]).map(|link| End {
                id: mesh.id(),
                quiet: link.quiet >= self.redial_after,
                peer: link.peer,
                session: link.session,
            }));
        }
        ends.sort_unstable();
        let mut problems = Vec::new();
        for pair in ends.windows(2) {
            if (pair[0].id, &pair[0].peer) == (pair[1].id, &pair[1].peer) {
                problems.push(format!("{} has two links to {}", pair[0].id, pair[0].peer));
            }
        }
        for end in ends.iter().filter(|end| !end.quiet) {
            let (id, peer, session) = (end.id, &end.peer, end.session);
            let found = ends.binary_search_by(|other| (other.id, &other.peer).cmp(&(peer, id)));
            let other = found.ok().map(|at| ends[at].session);
            if other != Some(session) {
                problems.push(format!(
                    "{id} has a link to {peer} of session {session}, {peer} has {other:?}"
                ));
            }
        }
        problems
    }

    /// Checks all links. Returns the oldest problem and its start.
    fn scan(&mut self, scene: &Scene<'_>) -> Option<(&String, u64)> {
        if Self::is_even(scene) {
            self.uneven.clear();
            return None;
        }
        let problems = self.problems(scene).into_iter();
        self.uneven = problems
            .map(|problem| {
                let since = self.uneven.get(&problem).copied().unwrap_or(self.now);
                (problem, since)
            })
            .collect();
        let longest = self.uneven.iter().min_by_key(|(_, since)| **since)?;
        Some((longest.0, *longest.1))
    }
}

impl Invariant for OneLink {
    fn name(&self) -> &'static str {
        "one-link"
    }

    fn on_start(&mut self, host: usize) {
        self.local[host] = Instant::ZERO;
    }

    fn after_step(&mut self, seen: &Seen<'_>, _: &dyn Program) -> InvariantResult {
        self.now = seen.now;
        self.local[seen.host] = seen.local;
        Ok(())
    }

    fn checkpoint(&mut self, scene: &Scene<'_>) -> InvariantResult {
        self.scan(scene);
        Ok(())
    }

    fn at_rest(&mut self, scene: &Scene<'_>) -> InvariantResult {
        let ends = scene
            .of::<Node>()
            .map(|(_, node)| node.mesh().sessions().count());
        self.checked += ends.sum::<usize>() as u64;
        let (now, patience) = (self.now, self.redial_after);
        match self.scan(scene) {
            Some((why, since)) if Duration::from_nanos(now - since) >= patience => Err(why.clone()),
            Some(_) | None => Ok(()),
        }
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}
