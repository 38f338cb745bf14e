//! The parts that all components of the machine share: time, settings, random streams, timers and outputs.
//!
//! The timers are shared because they are one index over the whole machine. A [`Timer`] belongs to the component that
//! defines it.

use super::config::{Config, Tuning, life_max};
use super::interface::{Event, Output};
use super::message::{ChannelName, UpdateId};
use super::streams::Streams;
use crate::counter::CalendarTime;
use crate::deadlines::Deadlines;
use crate::identity::NodeId;
use crate::link::LinkId;
use crate::machine::Outbox;
use crate::sabotage::Switch;
use crate::time::{Duration, Instant, Wall};
use crate::topology::record::COUNTER_MAX;

/// The deadlines of the machine. One component sets each timer, and the timer is passed to that component when it is
/// due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A link sends its pending output.
    Flush(LinkId),
    /// A missing broadcast is requested.
    Graft(UpdateId),
    /// A channel is compared with neighbours.
    Compare(ChannelName),
    /// A message of this node is resent or fails.
    Retry(u64),
    /// A payload that arrives too slowly gives its room to others.
    Admission,
}

/// The shared parts, passed to components by the coordinator.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Context {
    /// The time of the current step.
    pub(super) now: Instant,
    /// The calendar time of this node.
    pub(super) calendar: CalendarTime,
    /// The time after which a neighbour over a typical slow link has answered; zero in a fast mesh.
    pace: Duration,
    /// The settings, which are constant.
    pub(super) config: Config,
    pub(super) random: Streams,
    pub(super) timers: Deadlines<Timer>,
    /// The outputs of the current step; empty between steps.
    pub(super) out: Outbox<Output>,
}

impl Context {
    pub(super) fn new(config: Config, seed: u64, now: Instant) -> Self {
        Self {
            now,
            calendar: CalendarTime::new(config.started, now),
            pace: Duration::ZERO,
            config,
            random: Streams::new(seed),
            timers: Deadlines::new(),
            out: Outbox::new(),
        }
    }

    /// The id of this node.
    pub(super) const fn me(&self) -> &NodeId {
        &self.config.id
    }

    pub(super) const fn tuning(&self) -> &Tuning {
        &self.config.tuning
    }

    /// Whether a sabotage switch is on, which turns a mechanism off or plants a bug.
    pub(super) const fn has(&self, switch: Switch) -> bool {
        self.config.sabotage.has(switch)
    }

    /// The node's clock was set.
    pub(super) fn set_calendar(&mut self, wall: Wall) {
        self.calendar = CalendarTime::new(wall, self.now);
    }

    /// Neighbours over a typical slow link answer after this time; zero in a fast mesh.
    pub(super) const fn set_pace(&mut self, pace: Duration) {
        self.pace = pace;
    }

    /// The time after which a neighbour over a typical slow link has answered; zero in a fast mesh.
    pub(super) const fn pace(&self) -> Duration {
        self.pace
    }

    /// The highest value of a counter that this node accepts.
    pub(super) fn counter_max(&self) -> u64 {
        if self.has(Switch::NoCounterBound) {
            return COUNTER_MAX;
        }
        self.calendar.counter_max(self.now)
    }

    /// Whether the numbers of a broadcast are within the bound.
    pub(super) fn accepts(&self, id: &UpdateId) -> bool {
        let max = self.counter_max();
        id.sequence <= max && id.epoch <= life_max(max)
    }

    /// Reports an event.
    pub(super) fn report(&mut self, event: Event) {
        self.out.push(Output::Report(event));
    }
}
