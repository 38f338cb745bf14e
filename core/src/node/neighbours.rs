//! The open links as the channels know them.
//!
//! Channels cost nothing before their first use, because they get no neighbours before it.

use crate::channel::Neighbour;
use crate::gossip::Gossip;
use crate::time::Duration;

/// The open links as the channels know them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Neighbours {
    /// Whether channels were ever used.
    in_use: bool,
    known: Vec<Neighbour>,
    /// The pace of the mesh that the channels know.
    pace: Duration,
}

impl Neighbours {
    /// Channels are used from now on. Returns whether channels were unused before.
    pub(super) const fn use_channels(&mut self) -> bool {
        !core::mem::replace(&mut self.in_use, true)
    }

    /// All open links, if the set of links or their state changed since the last call.
    pub(super) fn take_change(&mut self, mesh: &Gossip) -> Option<Vec<Neighbour>> {
        let known = self.known.iter().map(|it| (it.link, &it.peer, it.lively));
        if !self.in_use || known.eq(mesh.neighbours()) {
            return None;
        }
        let neighbours = mesh.neighbours().map(|(link, peer, lively)| Neighbour {
            link,
            peer: peer.clone(),
            lively,
        });
        self.known = neighbours.collect();
        Some(self.known.clone())
    }

    /// The pace of the mesh, if it changed since the last call.
    pub(super) fn take_pace(&mut self, mesh: &Gossip) -> Option<Duration> {
        let pace = mesh.pace();
        let changed = self.in_use && pace != self.pace;
        changed.then(|| {
            self.pace = pace;
            pace
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::{Config, Input};
    use crate::identity::NodeId;
    use crate::machine::{Machine, Outbox};
    use crate::time::Instant;
    use crate::topology::record::Content;

    #[test]
    fn channels_get_neighbours_from_their_first_use() {
        let id = NodeId::new("a").unwrap();
        let config = Config::new(id, "test", 1, 1, Content::default(), Vec::new());
        let mut mesh = Gossip::new(config, 1, Instant::ZERO);
        mesh.step(Instant::ZERO, Input::Start, &mut Outbox::new());
        let mut neighbours = Neighbours {
            in_use: false,
            pace: Duration::ZERO,
            known: vec![Neighbour {
                link: crate::link::LinkId(1),
                peer: NodeId::new("b").unwrap(),
                lively: true,
            }],
        };
        assert_eq!(neighbours.take_change(&mesh), None);
        assert!(neighbours.use_channels() && !neighbours.use_channels());
        assert_eq!(neighbours.take_change(&mesh), Some(Vec::new()));
        assert_eq!(neighbours.take_change(&mesh), None, "nothing changed since");
    }
}
