//! Members that are lost at about the same time, such as the other side of a partition: one event names them together.
//!
//! Each loss has an event of its own as well. A loss is joint while further members are suspect. Bound:
//! [`NAMED_MAX`] names.

use super::context::Context;
use super::event::Event;
use super::unreachable::NAMED_MAX;
use crate::identity::NodeId;
use crate::sabotage::Switch;
use crate::size::held;
use crate::time::{Duration, Instant};
use crate::topology::MemberIndex;

/// Maximum time from the first loss to the event that names all.
const GATHERED_FOR: Duration = Duration::from_secs(2);

/// The losses that no event has named yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Losses {
    named: Vec<NodeId>,
    count: usize,
    first: Instant,
}

impl Losses {
    /// A member is down. Returns whether further members are lost: `suspects` are suspect.
    pub(super) fn on_down(
        &mut self,
        context: &Context,
        member: MemberIndex,
        suspects: usize,
    ) -> bool {
        if self.count == 0 && suspects == 0 || context.has(Switch::NoJointLosses) {
            return false;
        }
        if self.count == 0 {
            self.first = context.now;
        }
        self.count += 1;
        if self.named.len() < NAMED_MAX {
            self.named.extend(context.id_of(member));
        }
        true
    }

    /// Reports the joint losses when no further members are suspect, or after [`GATHERED_FOR`].
    pub(super) fn report(&mut self, context: &mut Context, suspects: usize) {
        let waits = suspects > 0 && context.now.since(self.first) < GATHERED_FOR;
        if self.count == 0 || waits {
            return;
        }
        let Self { named, count, .. } = core::mem::take(self);
        let topology = &context.topology;
        let known = topology
            .indices()
            .filter(|member| topology.is_known(*member));
        let alive = known.filter(|member| topology.is_alive(*member)).count();
        context.report(Event::PeersDown {
            named,
            count,
            alive,
        });
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        held::<NodeId>(self.named.len())
    }
}
