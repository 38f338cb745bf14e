//! What a node holds in memory, counted from what is in it, not asked of an allocator: the same on every machine.

use super::LinkId;
use super::{Gossip, Handle, Link, Missing, Provenance, Timer};
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
        let sets = self.wanted.len() + self.unlinked.len();
        held::<Self>(1)
            + self.context.topology.memory()
            + self.members.memory()
            + self.verdict.memory()
            + held::<Provenance>(self.record_provenance.len())
            + held::<(Handle, Provenance)>(self.report_provenance.len())
            + held::<(LinkId, Link)>(self.links.len())
            + waiting.sum::<usize>()
            + held::<(Handle, LinkId)>(self.by_peer.len())
            + self.dialer.memory()
            + self.bootstrap.memory()
            + self.self_record.memory()
            // Each timer stands in two orders.
            + held::<(Instant, Timer)>(2 * self.context.timers.len())
            + held::<(Key, Missing)>(self.missing.len())
            + held::<Handle>(sets)
            + held::<(u64, Key)>(self.history.len())
            + held::<LinkId>(self.dirty.len())
    }
}
