//! The context of a step, shared by all components of the machine: the time, the settings, the named streams of random
//! choices, one set of timers, the view, and the orders of the step.
//!
//! The view and the timers are shared because each is one index over the whole machine. A [`Timer`](super::timer::Timer) belongs to the
//! component that defines it. Only dissemination, the failure detector and the self record write the view.

use super::config::{Config, Tuning};
use super::event::Event;
use super::interface::Output;
use super::streams::Streams;
use super::timer::Timers;
use crate::counter::CalendarTime;
use crate::identity::NodeId;
use crate::machine::Outbox;
use crate::sabotage::Switch;
use crate::time::{Duration, Instant, Wall};
use crate::topology::record::COUNTER_MAX;
use crate::topology::{MemberIndex, Topology};

/// The state that components share.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Context {
    /// The time of the current step.
    pub(super) now: Instant,
    /// The calendar time of this node.
    pub(super) calendar: CalendarTime,
    /// The settings, which are constant.
    pub(super) config: Config,
    /// The node's own index in its view.
    pub(super) me: MemberIndex,
    pub(super) random: Streams,
    pub(super) timers: Timers,
    pub(super) topology: Topology,
    /// The orders of the current step; empty between steps.
    pub(super) out: Outbox<Output>,
}

impl Context {
    /// The context of a node with these settings, which knows no other member.
    pub(super) fn new(config: Config, seed: u64, now: Instant) -> Self {
        let mut topology = Topology::new(config.tuning.members_max.max(2), config.sabotage);
        let me = topology
            .intern(&config.id)
            .expect("an empty view has room for its own node");
        topology.set_local_member(me);
        Self {
            now,
            calendar: CalendarTime::new(config.content.joined, now),
            me,
            random: Streams::new(seed),
            timers: Timers::new(),
            topology,
            out: Outbox::new(),
            config,
        }
    }

    pub(super) const fn tuning(&self) -> &Tuning {
        &self.config.tuning
    }

    /// Whether a sabotage switch is on, which turns a mechanism off or plants a bug.
    pub(super) const fn has(&self, switch: Switch) -> bool {
        self.config.sabotage.has(switch)
    }

    /// The time this long after the current step.
    pub(super) fn after(&self, duration: Duration) -> Instant {
        self.now + duration
    }

    /// The earliest time at which a timer set in this step may be due.
    pub(super) fn at_once(&self) -> Instant {
        self.after(Duration::from_nanos(1))
    }

    /// The node's clock was set.
    pub(super) fn set_calendar(&mut self, wall: Wall) {
        self.calendar = CalendarTime::new(wall, self.now);
    }

    /// The highest value of a counter that this node accepts.
    pub(super) fn counter_max(&self) -> u64 {
        if self.has(Switch::NoCounterBound) {
            return COUNTER_MAX;
        }
        self.calendar.counter_max(self.now)
    }

    /// The highest session that this node accepts.
    pub(super) fn session_max(&self) -> u32 {
        self.calendar.session_max(self.now)
    }

    /// The id of a member; none if the member's slot in the view was freed.
    pub(super) fn id_of(&self, member: MemberIndex) -> Option<NodeId> {
        self.topology.id_at(member).cloned()
    }

    /// Reports an event.
    pub(super) fn report(&mut self, event: Event) {
        self.out.push(Output::Report(event));
    }

    /// Reports an event about a member; reports nothing if the member's slot in the view was freed.
    pub(super) fn report_of(&mut self, member: MemberIndex, event: impl FnOnce(NodeId) -> Event) {
        if let Some(id) = self.id_of(member) {
            self.report(event(id));
        }
    }
}
