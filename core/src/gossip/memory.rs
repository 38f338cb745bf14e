//! What a node holds in memory, counted from what is in it, not asked of an allocator: the same on every machine.

use super::{
    Dial, Gossip, Handle, Life, Link, Missing, News, Provenance, Suspicion, Target, Timer,
};
use super::{DialId, LinkId};
use crate::size::held;
use crate::time::Instant;
use crate::topology::publication::Key;

impl Gossip {
    /// Bytes of everything this node remembers, as if nothing were shared with other nodes of the process. Entries are
    /// counted, not the room that collections keep for more.
    #[must_use]
    pub fn memory(&self) -> usize {
        let waiting = self.links.values().map(|link| {
            let out = &link.outgoing;
            let keys = out.have.len() + out.graft.len() + out.updates.len() + out.push.len();
            held::<Key>(keys) + held::<Handle>(out.reports.len())
        });
        let sets = self.wanted.len() + self.limbo.len() + self.unlinked.len();
        held::<Self>(1)
            + self.context.topology.memory()
            + held::<News>(self.news.len())
            + held::<(Handle, Provenance)>(self.report_provenance.len())
            + held::<(Handle, Life)>(self.lives.len())
            + held::<(LinkId, Link)>(self.links.len())
            + waiting.sum::<usize>()
            + held::<(Handle, LinkId)>(self.by_peer.len())
            + held::<(DialId, Dial)>(self.dials.len())
            + held::<Target>(self.targets.len())
            // Each timer stands in two orders.
            + held::<(Instant, Timer)>(2 * self.context.timers.len())
            + held::<(Key, Missing)>(self.missing.len())
            + held::<(Handle, Suspicion)>(self.suspects.len())
            + held::<Handle>(sets)
            + held::<(u64, Key)>(self.history.len())
            + held::<LinkId>(self.dirty.len())
    }
}
