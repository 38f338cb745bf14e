//! What all components of the machine share: the time, the settings, one stream of random choices, one wheel of timers,
//! the view, and the orders of the current step.
//!
//! The view and the timers are shared because each is one index over the whole machine. A [`Timer`] belongs to the
//! component that names it; the view is written by dissemination, the failure detector and the self record alone.

use super::config::{Config, Tuning};
use super::interface::{Event, Output};
use super::timer::Timers;
use crate::identity::NodeId;
use crate::machine::Outbox;
use crate::random::Random;
use crate::sabotage::Switch;
use crate::time::{Duration, Instant};
use crate::topology::{Handle, Topology};

/// What components are given to work with.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Context {
    /// The time of the current step.
    pub(super) now: Instant,
    /// The settings, which do not change.
    pub(super) config: Config,
    /// The node's own place in its view.
    pub(super) me: Handle,
    pub(super) random: Random,
    pub(super) timers: Timers,
    pub(super) topology: Topology,
    /// The orders of the current step; empty between steps.
    pub(super) out: Outbox<Output>,
}

impl Context {
    /// The context of a node with these settings, which knows no member but itself by name.
    pub(super) fn new(config: Config, seed: u64, now: Instant) -> Self {
        let mut topology = Topology::new(config.tuning.members_max.max(2), config.sabotage);
        let me = topology
            .intern(&config.id)
            .expect("an empty view has room for its own node");
        topology.set_centre(me);
        Self {
            now,
            me,
            random: Random::from_seed(seed).child("gossip"),
            timers: Timers::new(),
            topology,
            out: Outbox::new(),
            config,
        }
    }

    pub(super) const fn tuning(&self) -> &Tuning {
        &self.config.tuning
    }

    /// Whether a mechanism is switched off, or a bug planted.
    pub(super) const fn has(&self, switch: Switch) -> bool {
        self.config.sabotage.has(switch)
    }

    /// The time this long after the current step.
    pub(super) fn after(&self, duration: Duration) -> Instant {
        self.now + duration
    }

    /// The soonest time at which a timer set in this step can be due.
    pub(super) fn at_once(&self) -> Instant {
        self.after(Duration::from_nanos(1))
    }

    /// The id of a member, unless its place in the view was freed.
    pub(super) fn id_of(&self, member: Handle) -> Option<NodeId> {
        self.topology.id_at(member).cloned()
    }

    /// Reports an event.
    pub(super) fn report(&mut self, event: Event) {
        self.out.push(Output::Report(event));
    }

    /// Reports an event about a member, unless its place in the view was freed.
    pub(super) fn report_of(&mut self, member: Handle, event: impl FnOnce(NodeId) -> Event) {
        if let Some(id) = self.id_of(member) {
            self.report(event(id));
        }
    }

    /// A member with a record, drawn at random; none if eight draws found none.
    pub(super) fn random_member(&mut self) -> Option<Handle> {
        let bound = self.topology.handle_bound() as u64;
        for _ in 0..8 {
            let member = Handle::try_from(self.random.below(bound)).ok()?;
            if self.topology.is_known(member) {
                return Some(member);
            }
        }
        None
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::topology::record::{Content, Rank, Record};
    use core::net::{Ipv4Addr, SocketAddr};
    use std::sync::Arc;

    /// The id `m0`, `m1`, ...
    pub(crate) fn id(index: usize) -> NodeId {
        NodeId::new(&format!("m{index}")).unwrap()
    }

    pub(crate) fn address(index: usize) -> SocketAddr {
        let [.., high, low] = index.to_be_bytes();
        SocketAddr::from((Ipv4Addr::new(10, 0, high, low), 7_000))
    }

    /// A context of the node `m0` that knows itself alone, an hour after its clock's zero.
    pub(crate) fn context() -> Context {
        let config = Config::new(id(0), "test", 1, 1, Content::default(), Vec::new());
        let mut context = Context::new(config, 1, Instant::from_millis(3_600_000));
        learn(&mut context, 0);
        context
    }

    /// Adds the record of a dialable member to the view.
    pub(crate) fn learn(context: &mut Context, index: usize) -> Handle {
        let rank = Rank {
            epoch: 1,
            instance: 1,
            version: 1,
            ..Rank::default()
        };
        let content = Content {
            address: Some(address(index)),
            ..Content::default()
        };
        let record = Record::new(id(index), rank, content);
        context.topology.apply_record(&Arc::new(record));
        context.topology.handle(&id(index)).unwrap()
    }

    /// The events reported since the last call.
    pub(crate) fn events(context: &mut Context) -> Vec<Event> {
        let reports = context.out.drain().filter_map(|output| match output {
            Output::Report(event) => Some(event),
            Output::Dial { .. }
            | Output::Send { .. }
            | Output::Close { .. }
            | Output::Store { .. }
            | Output::Left => None,
        });
        reports.collect()
    }

    #[test]
    fn a_random_member_has_a_record() {
        let mut context = context();
        context.topology.intern(&id(1)).unwrap();
        let known = learn(&mut context, 2);
        for _ in 0..50 {
            let drawn = context.random_member();
            assert!(drawn.is_none_or(|drawn| [context.me, known].contains(&drawn)));
        }
    }
}
