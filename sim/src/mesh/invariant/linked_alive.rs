//! Two nodes that have a link are alive in each other's view.
//!
//! A link counts once it has been open at both ends, and silent at neither, for [`SETTLED`]. Nodes that leave, that gave
//! up their id, or whose view is full do not count, nor do two processes under one id. A suspect counts as alive.
//!
//! Reason: a member that others forget while it stands still is not a member again although its links stand, all
//! processes report health, and no log shows a fault. Source: SWIM (Das et al., DSN 2002), section 4.2: a process that
//! communicates refutes its suspicion.

use super::{Node, Program, Scene, Seen};
use crate::invariant::{Invariant, InvariantResult};
use core::time::Duration;
use phalanx_core::gossip::{Phase, Status, Tuning};
use phalanx_core::identity::NodeId;
use phalanx_core::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// The time for which a link has to be open.
const SETTLED: Duration = Duration::from_secs(5);

/// One direction of a link: the node, its peer, and the session of the connection.
type End = (NodeId, NodeId, u32);

pub(super) struct LinkedAlive {
    members_max: usize,
    now: u64,
    /// For each end whose link is open at both ends, the time in nanoseconds since which this was seen.
    since: BTreeMap<End, u64>,
    /// The number of ends of settled links that were checked.
    checked: u64,
}

impl LinkedAlive {
    pub(super) const fn new(tuning: &Tuning) -> Self {
        Self {
            members_max: tuning.members_max,
            now: 0,
            since: BTreeMap::new(),
            checked: 0,
        }
    }

    /// The ends of links at the nodes that count.
    fn ends(members_max: usize, scene: &Scene<'_>) -> BTreeSet<End> {
        let mut ends = BTreeSet::new();
        let (mut ids, mut twice) = (BTreeSet::new(), BTreeSet::new());
        for (_, node) in scene.of::<Node>() {
            let mesh = node.mesh();
            if !ids.insert(mesh.id()) {
                twice.insert(mesh.id());
            }
            let counts = match mesh.phase() {
                Phase::Joining | Phase::Running | Phase::Isolated => true,
                Phase::Leaving | Phase::Left | Phase::NameTaken => false,
            };
            if !counts || mesh.topology().len() >= members_max {
                continue;
            }
            // The time does not matter here.
            let heard = mesh.links(Instant::ZERO).filter(|link| !link.silent);
            ends.extend(heard.map(|link| (mesh.id().clone(), link.peer, link.session)));
        }
        ends.retain(|(id, peer, _)| !twice.contains(id) && !twice.contains(peer));
        ends
    }
}

impl Invariant for LinkedAlive {
    fn name(&self) -> &'static str {
        "linked-alive"
    }

    fn after_step(&mut self, seen: &Seen<'_>, _: &dyn Program) -> InvariantResult {
        self.now = seen.now;
        Ok(())
    }

    fn checkpoint(&mut self, scene: &Scene<'_>) -> InvariantResult {
        let ends = Self::ends(self.members_max, scene);
        let is_whole =
            |(id, peer, session): &End| ends.contains(&(peer.clone(), id.clone(), *session));
        let open = ends.iter().filter(|end| is_whole(end));
        self.since = open
            .map(|end| {
                let since = self.since.get(end).copied().unwrap_or(self.now);
                (end.clone(), since)
            })
            .collect();
        let mut settled: BTreeMap<&NodeId, Vec<&NodeId>> = BTreeMap::new();
        for ((id, peer, _), since) in &self.since {
            if Duration::from_nanos(self.now - since) >= SETTLED {
                settled.entry(id).or_default().push(peer);
                self.checked += 1;
            }
        }
        for (_, node) in scene.of::<Node>() {
            let (mesh, id) = (node.mesh(), node.mesh().id());
            for peer in settled.get(id).into_iter().flatten() {
                let status = mesh.member(peer).map(|member| member.status);
                if !matches!(status, Some(Status::Alive | Status::Suspect)) {
                    return Err(format!(
                        "{id} has a link to {peer}, and sees {peer} as {status:?}"
                    ));
                }
            }
        }
        Ok(())
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}
