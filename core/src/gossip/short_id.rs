//! The node's own short id: an event when it changes.
//!
//! A member with a lower name can take the number of a node, and when all numbers are taken, the highest names have none
//! (see [`crate::topology::alias`]). Users select members by their short ids, so a change is reported.

use super::context::Context;
use super::event::Event;
use crate::topology::alias::BITS;

/// The node's own short id, as of the latest round of maintenance.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ShortId {
    number: Option<u16>,
    /// The hash of the known names from which the number follows; none before the first round.
    names: Option<u64>,
}

impl ShortId {
    /// A round of maintenance: reports the short id if it changed.
    pub(super) fn on_maintained(&mut self, context: &mut Context) {
        let names = context.topology.names();
        if self.names == Some(names) {
            return;
        }
        let number = context.topology.alias_of(&context.config.id, BITS);
        let from = core::mem::replace(&mut self.number, number);
        if self.names.replace(names).is_some() && from != number {
            context.report(Event::ShortIdChanged { from, to: number });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::tests::context::{context, events, id};
    use crate::identity::NodeId;
    use crate::topology::record::{Content, Rank, Record};
    use std::sync::Arc;

    #[test]
    fn a_lower_name_takes_the_number_of_a_node_and_the_node_reports_it() {
        let (mut context, mut own) = (context(), ShortId::default());
        own.on_maintained(&mut context);
        assert_eq!(events(&mut context), [], "the first number does not count");
        let number = context.topology.alias_of(&id(0), BITS);
        // A name below `m0` that hashes to the same number.
        let candidates = (0_u32..).map(|index| NodeId::new(&format!("a{index}")).unwrap());
        let mut colliding = candidates.filter(|name| {
            let mut alone = crate::topology::Topology::new(2, context.config.sabotage);
            let record = Record::new(name.clone(), Rank::default(), Content::default());
            alone.apply_record(&Arc::new(record));
            alone.alias_of(name, BITS) == number
        });
        let name = colliding.next().unwrap();
        drop(colliding);
        let record = Record::new(name.clone(), Rank::default(), Content::default());
        context.topology.apply_record(&Arc::new(record));
        own.on_maintained(&mut context);
        let changed = context.topology.alias_of(&id(0), BITS);
        assert_ne!(changed, number);
        assert_eq!(context.topology.alias_of(&name, BITS), number);
        let event = Event::ShortIdChanged {
            from: number,
            to: changed,
        };
        assert_eq!(events(&mut context), [event]);
        own.on_maintained(&mut context);
        assert_eq!(events(&mut context), []);
    }
}
