//! One connection, and what waits to be sent on it.

use super::message::{Sync, UpdateId};
use crate::identity::NodeId;
use crate::sorted::SortedSet;
use crate::time::Instant;
use crate::topology::Handle;
use crate::topology::publication::Key;
use std::collections::BTreeSet;

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Accepted; the dialer's greeting has not come.
    AwaitsHello,
    /// Dialled; the acceptor has not answered our greeting.
    AwaitsWelcome,
    /// Both sides have agreed.
    Open,
    /// An edge of the rings whose connection broke: kept to be redialled, and as evidence.
    Broken,
}

/// One connection.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Link {
    pub(super) peer: NodeId,
    /// The peer's number in our view; 0 before the greeting.
    pub(super) handle: Handle,
    pub(super) dialed: bool,
    pub(super) stage: Stage,
    pub(super) session: u32,
    pub(super) version: u32,
    pub(super) opened: Instant,
    pub(super) heard: Instant,
    /// When its silence is looked at next.
    pub(super) listens_at: Instant,
    /// When a message last came.
    pub(super) proven: Option<Instant>,
    pub(super) eager: bool,
    pub(super) silent: bool,
    /// The extra link that is replaced from time to time.
    pub(super) random: bool,
    pub(super) redialed: Instant,
    pub(super) hash_sent: Option<(u64, Instant)>,
    /// When a reconciliation last began.
    pub(super) synced: Option<Instant>,
    /// When the neighbour was last given what it was a little behind with.
    pub(super) pushed: Option<Instant>,
    pub(super) flushed: Option<Instant>,
    pub(super) outgoing: Outgoing,
}

impl Link {
    pub(super) const fn new(peer: NodeId, dialed: bool, now: Instant) -> Self {
        Self {
            peer,
            handle: 0,
            dialed,
            stage: if dialed {
                Stage::AwaitsWelcome
            } else {
                Stage::AwaitsHello
            },
            session: 0,
            version: 0,
            opened: now,
            heard: now,
            listens_at: Instant::ZERO,
            proven: None,
            eager: false,
            silent: false,
            random: false,
            redialed: Instant::ZERO,
            hash_sent: None,
            synced: None,
            pushed: None,
            flushed: None,
            outgoing: Outgoing::new(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    /// Whether the neighbour can be counted on to hear us.
    pub(super) fn is_lively(&self) -> bool {
        self.stage == Stage::Open && !self.silent
    }

    /// Orders two connections between one pair, the same on both ends: the higher session wins, then the one
    /// whose dialer has the lower id. `me` is our id.
    pub(super) fn precedence<'a>(
        &'a self,
        me: &'a NodeId,
    ) -> (u32, core::cmp::Reverse<&'a NodeId>) {
        (
            self.session,
            core::cmp::Reverse(if self.dialed { me } else { &self.peer }),
        )
    }
}

/// How far a snapshot has been sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The last id sent.
    pub(super) after: Option<NodeId>,
    /// The receiver shall send its own in return.
    pub(super) reply: bool,
}

/// What waits to be sent. Values are named, not held: what is sent is what stands at that moment, so a value
/// that is replaced while it waits is never sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outgoing {
    pub(super) heartbeat: bool,
    pub(super) hash: bool,
    pub(super) prune: bool,
    pub(super) have: SortedSet<Key>,
    pub(super) have_due: Option<Instant>,
    pub(super) graft: SortedSet<UpdateId>,
    pub(super) updates: SortedSet<Key>,
    /// Updates that wait until `reports_due` for others of their kind, or for any message.
    pub(super) reports: SortedSet<Handle>,
    pub(super) reports_due: Option<Instant>,
    pub(super) push: BTreeSet<Key>,
    pub(super) sync: Vec<Sync>,
    pub(super) snapshot: Option<Cursor>,
}

impl Outgoing {
    pub(super) const fn new() -> Self {
        Self {
            heartbeat: false,
            hash: false,
            prune: false,
            have: SortedSet::new(),
            have_due: None,
            graft: SortedSet::new(),
            updates: SortedSet::new(),
            reports: SortedSet::new(),
            reports_due: None,
            push: BTreeSet::new(),
            sync: Vec::new(),
            snapshot: None,
        }
    }

    /// Whether something must go out without waiting for announcements to gather.
    pub(super) fn is_urgent(&self) -> bool {
        self.heartbeat
            || self.hash
            || self.prune
            || !self.graft.is_empty()
            || !self.updates.is_empty()
            || !self.push.is_empty()
            || !self.sync.is_empty()
            || self.snapshot.is_some()
    }

    /// When what may wait must go out.
    pub(super) fn due(&self) -> Option<Instant> {
        let have = self.have_due.filter(|_| !self.have.is_empty());
        let reports = self.reports_due.filter(|_| !self.reports.is_empty());
        have.into_iter().chain(reports).min()
    }

    /// Forgets to send or announce what the neighbour has shown to hold.
    pub(super) fn is_held_there(&mut self, key: Key) {
        self.have.remove(&key);
        self.updates.remove(&key);
        if let Key::EdgeReport(member) = key {
            self.reports.remove(&member);
        }
    }
}
