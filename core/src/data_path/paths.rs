//! Decides which link with a peer carries the data path, from the opening of the link to the end of its data path.
//!
//! ```text
//! opening --up, no predecessor--> running --stop--> stopping --stopped--> stopped
//!    |                               ^
//!    +--up--> queued --predecessor stopped
//! ```
//!
//! A link that replaces another with the same peer (after a renewed certificate, a simultaneous dial or a stalled
//! connection) waits until the data path of its predecessor has stopped.

use crate::identity::NodeId;
use crate::link::LinkId;
use std::collections::BTreeMap;

/// Progress of one link's data path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The handshake of the link is not complete.
    Opening,
    /// The data path of the predecessor has not stopped.
    Queued,
    /// The data path is being set up, or works.
    Running,
    /// The data path was told to stop.
    Stopping,
    /// The data path has stopped.
    Stopped,
}

/// One link.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    peer: NodeId,
    stage: Stage,
    /// The link whose data path begins when the data path of this link has stopped.
    successor: Option<LinkId>,
    /// The link closed.
    closed: bool,
    /// The link is to close once the data path has stopped.
    given_up: bool,
}

/// The consequences of the end of a data path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Aftermath {
    /// The link whose data path begins.
    pub(super) successor: Option<LinkId>,
    /// Whether the link closes.
    pub(super) closes: bool,
    /// Whether the link is gone and its state can be dropped.
    pub(super) gone: bool,
}

/// The links of a node that carry, will carry or carried a data path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Paths {
    links: BTreeMap<LinkId, Entry>,
    /// The newest link with each peer whose data path has not stopped.
    newest: BTreeMap<NodeId, LinkId>,
}

impl Paths {
    pub(super) const fn new() -> Self {
        Self {
            links: BTreeMap::new(),
            newest: BTreeMap::new(),
        }
    }

    /// A link opened. Returns false if the link is already known.
    pub(super) fn open(&mut self, link: LinkId, peer: NodeId) -> bool {
        if self.links.contains_key(&link) {
            return false;
        }
        let entry = Entry {
            peer,
            stage: Stage::Opening,
            successor: None,
            closed: false,
            given_up: false,
        };
        self.links.insert(link, entry);
        true
    }

    /// The handshake of a link is complete: the link's data path runs, or waits until the data path of its predecessor
    /// has stopped.
    pub(super) fn up(&mut self, link: LinkId) {
        let Some(entry) = self.links.get_mut(&link) else {
            return;
        };
        if entry.stage != Stage::Opening {
            return;
        }
        entry.stage = Stage::Queued;
        let peer = entry.peer.clone();
        let predecessor = self.newest.insert(peer, link);
        match predecessor.and_then(|it| self.links.get_mut(&it)) {
            Some(predecessor) => predecessor.successor = Some(link),
            None => self.run(link),
        }
    }

    fn run(&mut self, link: LinkId) {
        if let Some(entry) = self.links.get_mut(&link)
            && entry.stage == Stage::Queued
        {
            entry.stage = Stage::Running;
        }
    }

    /// The data path of a link ended. Returns whether the data path must be told to stop.
    pub(super) fn stop(&mut self, link: LinkId) -> bool {
        match self.links.get_mut(&link) {
            Some(entry) if entry.stage == Stage::Running => {
                entry.stage = Stage::Stopping;
                true
            }
            Some(_) | None => false,
        }
    }

    /// The data path of a link has stopped. Returns none if the data path was not told to stop.
    pub(super) fn stopped(&mut self, link: LinkId) -> Option<Aftermath> {
        let entry = self.links.get_mut(&link)?;
        if entry.stage != Stage::Stopping {
            return None;
        }
        entry.stage = Stage::Stopped;
        let successor = entry.successor.take();
        let closes = entry.given_up && !entry.closed;
        let gone = entry.closed;
        if self.newest.get(&entry.peer) == Some(&link) {
            self.newest.remove(&entry.peer);
        }
        if gone {
            self.links.remove(&link);
        }
        if let Some(successor) = successor {
            self.run(successor);
        }
        Some(Aftermath {
            successor,
            closes,
            gone,
        })
    }

    /// The overlay gave a link up. Returns whether the link closes now, because its data path has stopped.
    pub(super) fn give_up(&mut self, link: LinkId) -> bool {
        let Some(entry) = self.links.get_mut(&link) else {
            return false;
        };
        entry.given_up = true;
        entry.stage == Stage::Stopped && !entry.closed
    }

    /// A link closed. Returns whether the link is gone and its state can be dropped.
    pub(super) fn close(&mut self, link: LinkId) -> bool {
        let Some(entry) = self.links.get_mut(&link) else {
            return false;
        };
        entry.closed = true;
        let gone = matches!(entry.stage, Stage::Opening | Stage::Stopped);
        if gone {
            self.links.remove(&link);
        }
        gone
    }

    /// Whether the data path of a link is being set up, or works.
    pub(super) fn is_running(&self, link: LinkId) -> bool {
        self.links
            .get(&link)
            .is_some_and(|entry| entry.stage == Stage::Running)
    }

    /// Whether a link closed.
    pub(super) fn is_closed(&self, link: LinkId) -> bool {
        self.links.get(&link).is_none_or(|entry| entry.closed)
    }

    /// The peer of a link.
    pub(super) fn peer(&self, link: LinkId) -> Option<&NodeId> {
        self.links.get(&link).map(|entry| &entry.peer)
    }
}
