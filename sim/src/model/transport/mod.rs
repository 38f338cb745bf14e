//! The transport: connections over the simulated network, datagrams, and the ports of processes.
//!
//! `network` decides which segments are lost and how long the others take; `connection` keeps the two streams of one
//! connection, with retransmission and delivery in order; `ports` keeps the listeners. The transport passes a parcel from
//! one to the other, and returns what a process must be notified of as a [`Transition`]. It knows hosts and processes
//! as numbers only: the engine tells it whether a host has power and a process runs.

mod connection;
mod latency;
mod network;
mod ports;

pub(super) use connection::{FRAMING_BYTES, SEGMENT_OVERHEAD_BYTES};

use super::context::Context;
use super::event::ScheduledEvent;
use crate::record::Held;
use crate::scenario::plan::Cut;
use crate::scenario::{Latency, Scenario};
use crate::world::{CloseReason, DialError, DialId, LinkId, Message};
use connection::{
    Connection, DIAL_GIVES_UP_AFTER, EndState, FLIGHTS, GIVES_UP_AFTER, Item, Waiting, link, place,
    segments,
};
use network::{Fabric, LOOPBACK};
use phalanx_core::lane::{Lane, Placement};
use ports::Ports;
use std::collections::BTreeSet;
use std::rc::Rc;

/// A change of a connection that a process is notified of.
#[derive(Debug)]
pub(super) enum Transition {
    /// A message arrived.
    Received {
        slot: usize,
        link: LinkId,
        message: Rc<dyn Message>,
        /// The encoded bytes of the message.
        bytes: usize,
    },
    /// A connection of the process at the slot `peer` is accepted.
    Accepted {
        slot: usize,
        link: LinkId,
        peer: usize,
    },
    /// A dial reached the process at the slot `peer`.
    Dialed {
        slot: usize,
        dial: DialId,
        link: LinkId,
        peer: usize,
    },
    /// A dial failed.
    DialFailed {
        slot: usize,
        dial: DialId,
        reason: DialError,
    },
    /// A link broke or the peer closed it.
    Closed {
        slot: usize,
        link: LinkId,
        reason: CloseReason,
    },
}

/// The state of the host and process that a parcel arrives at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Receiver {
    pub powered: bool,
    /// The time until which the process is paused; 0 without a process.
    pub paused_until: u64,
    /// The step that delays the process.
    pub delayed_by: Option<usize>,
}

/// All connections, ports, and the network.
pub(super) struct Transport<'a> {
    fabric: Fabric<'a>,
    connections: Vec<Option<Box<Connection>>>,
    /// The connections with an end in each process.
    by_process: Vec<BTreeSet<u32>>,
    ports: Ports,
    /// Whether messages wait in the lanes that they name.
    has_lanes: bool,
    /// The number of segments that hosts sent to others, without retransmissions.
    segments: u64,
}

impl<'a> Transport<'a> {
    /// Creates the transport of a number of processes.
    pub(super) fn new(
        scenario: &'a Scenario,
        seed: u64,
        processes: usize,
        has_lanes: bool,
    ) -> Self {
        Self {
            fabric: Fabric::new(scenario, seed),
            connections: Vec::new(),
            by_process: vec![BTreeSet::new(); processes],
            ports: Ports::new(processes),
            has_lanes,
            segments: 0,
        }
    }

    /// Begins a cut.
    pub(super) fn cut(&mut self, index: usize, cut: &'a Cut, step: Option<usize>) {
        self.fabric.cut(index, cut, step);
    }

    /// Ends a cut.
    pub(super) fn heal(&mut self, index: usize) {
        self.fabric.heal(index);
    }

    /// Delays traffic between the pairs of a cut, from `now` on, until `until`.
    pub(super) fn hold(&mut self, now: u64, until: u64, cut: &'a Cut, step: Option<usize>) {
        self.fabric.hold(now, until, cut, step);
    }

    /// Sets the loss of all links, in parts per million; none restores the scenario's values.
    pub(super) const fn set_loss(&mut self, ppm: Option<u32>, step: Option<usize>) {
        self.fabric.set_loss(ppm, step);
    }

    /// Sets the latency of all links; none restores the scenario's values.
    pub(super) const fn set_latency(&mut self, latency: Option<Latency>, step: Option<usize>) {
        self.fabric.set_latency(latency, step);
    }

    /// Returns the number of segments that hosts sent to others, without retransmissions.
    pub(super) const fn segments(&self) -> u64 {
        self.segments
    }

    /// Counts the segments of a message that a host sends to another.
    pub(super) fn count_segments(&mut self, bytes: usize) {
        self.segments += u64::from(segments(bytes));
    }

    /// Listens on a port, unless another process of the host does; returns that process.
    pub(super) fn listen(&mut self, host: usize, port: u16, slot: usize) -> Result<(), usize> {
        self.ports.listen(host, port, slot)
    }

    /// Stops listening on a port.
    pub(super) fn unlisten(&mut self, host: usize, port: u16, slot: usize) {
        self.ports.unlisten(host, port, slot);
    }

    /// Returns the process that listens on a port of a host.
    pub(super) fn listener(&self, host: usize, port: u16) -> Option<usize> {
        self.ports.holder(host, port)
    }

    /// Returns the source port of a process's datagrams.
    pub(super) fn source_port(&self, slot: usize) -> u16 {
        self.ports.source(slot)
    }

    /// Returns the ports of a host on which other processes listen.
    pub(super) fn taken_ports(&self, host: usize, slot: usize) -> impl Iterator<Item = u16> {
        self.ports.taken(host, slot)
    }

    /// Forgets the ports of a process that ended.
    pub(super) fn forget_ports(&mut self, slot: usize) {
        self.ports.forget(slot);
    }

    /// Returns the number of connections with an end in a process.
    pub(super) fn connection_count(&self, slot: usize) -> usize {
        self.by_process[slot].len()
    }

    /// Returns the latency of a packet between two hosts; `None` if it is lost.
    pub(super) fn packet(
        &mut self,
        context: &mut Context<'_, '_>,
        from: usize,
        to: usize,
    ) -> Option<u64> {
        let settings = self.fabric.settings(from, to);
        let transit = self.fabric.transmit(context, (from, to), 1, &settings);
        (transit.lost == 0 && !self.fabric.is_blocked(from, to)).then_some(transit.latency)
    }

    /// Sends a datagram from one host to another; returns its latency, unless a segment of it is lost.
    pub(super) fn send_datagram(
        &mut self,
        context: &mut Context<'_, '_>,
        from: usize,
        to: usize,
        bytes: usize,
    ) -> Option<u64> {
        let transit = if from == to {
            LOOPBACK
        } else {
            let settings = self.fabric.settings(from, to);
            let segments = segments(bytes);
            self.fabric
                .transmit(context, (from, to), segments, &settings)
        };
        if transit.lost == 0 {
            return Some(transit.latency);
        }
        let (at, cut) = (context.now(), self.fabric.is_blocked(from, to));
        context.record_held(Held { at, from, to, cut });
        None
    }

    /// Returns whether a datagram that arrives passes the cuts.
    pub(super) fn passes(
        &self,
        context: &mut Context<'_, '_>,
        (from, to): (usize, usize),
        bytes: usize,
    ) -> bool {
        let cut = self.fabric.is_blocked(from, to);
        if cut {
            self.fabric.count_dropped(context, (from, to), bytes);
            let at = context.now();
            context.record_held(Held { at, from, to, cut });
        }
        !cut
    }

    /// Dials a port of a host for a process of another.
    pub(super) fn dial(
        &mut self,
        context: &mut Context<'_, '_>,
        dial: DialId,
        (host, slot): (usize, usize),
        target: (usize, u16),
    ) {
        let connection = u32::try_from(self.connections.len()).unwrap_or(u32::MAX);
        let dialled = Connection::new(dial, (host, slot), target);
        self.connections.push(Some(Box::new(dialled)));
        self.by_process[slot].insert(connection);
        let event = ScheduledEvent::DialTimeout { connection };
        context.schedule(context.now() + DIAL_GIVES_UP_AFTER, event);
        self.send(context, (connection, 0), Item::Flight(1), FLIGHTS[0]);
    }

    /// Sends a message on an open link; returns whether it goes to another host.
    pub(super) fn send_message(
        &mut self,
        context: &mut Context<'_, '_>,
        link: LinkId,
        message: Rc<dyn Message>,
        bytes: usize,
    ) -> bool {
        let (connection, end) = place(link);
        let held = self.connections.get(connection as usize);
        let Some(held) = held.and_then(Option::as_deref) else {
            return false;
        };
        if held.state(end) != EndState::Open {
            return false;
        }
        let leaves = held.host(end) != held.host(1 - end);
        self.send(context, (connection, end), Item::Message(message), bytes);
        leaves
    }

    /// Sends an item from one end of a connection. While earlier items take the bandwidth, the item waits in its lane.
    fn send(
        &mut self,
        context: &mut Context<'_, '_>,
        (connection, end): (u32, usize),
        item: Item,
        bytes: usize,
    ) {
        let Some(Some(held)) = self.connections.get_mut(connection as usize) else {
            return;
        };
        let settings = self.fabric.settings(held.host(end), held.host(1 - end));
        let (now, cause) = (context.now(), context.cause());
        let mut wait = 0;
        if let Some(rate) = settings.bandwidth {
            if held.is_busy(end, now) {
                let placement = if self.has_lanes {
                    placement(&item)
                } else {
                    Placement::of(Lane::Control)
                };
                let waiting = Waiting { item, bytes, cause };
                if let Some(at) = held.wait(end, placement, waiting) {
                    schedule_departure(context, (connection, end), at);
                }
                return;
            }
            wait = held.reserve(end, now, bytes, rate);
        }
        let number = held.push(end, item, bytes, now, cause);
        self.transmit(context, (connection, end), number, wait);
    }

    /// Sends the next item that waits for the bandwidth of an end.
    pub(super) fn on_departure(&mut self, context: &mut Context<'_, '_>, connection: u32, end: u8) {
        let (sender, now) = (usize::from(end), context.now());
        let Some(Some(held)) = self.connections.get_mut(connection as usize) else {
            return;
        };
        let Some(Waiting { item, bytes, cause }) = held.next_waiting(sender) else {
            return self.release(connection);
        };
        let settings = self
            .fabric
            .settings(held.host(sender), held.host(1 - sender));
        let rate = settings.bandwidth.unwrap_or(u64::MAX);
        let wait = held.reserve(sender, now, bytes, rate);
        let number = held.push(sender, item, bytes, now, cause);
        if let Some(at) = held.departure(sender) {
            schedule_departure(context, (connection, sender), at);
        }
        context.set_cause(cause);
        self.transmit(context, (connection, sender), number, wait);
    }

    fn transmit(
        &mut self,
        context: &mut Context<'_, '_>,
        (connection, sender): (u32, usize),
        number: u64,
        wait: u64,
    ) {
        let Some(Some(held)) = self.connections.get_mut(connection as usize) else {
            return;
        };
        let (from, to) = (held.host(sender), held.host(1 - sender));
        let Some(before) = held.begin_attempt(sender, number) else {
            return;
        };
        let transit = if from == to {
            LOOPBACK
        } else {
            let settings = self.fabric.settings(from, to);
            self.fabric
                .transmit(context, (from, to), before.segments, &settings)
        };
        let held_back = self.fabric.held(context, from, to);
        let (now, end) = (context.now(), sender as u8);
        if transit.lost == 0 {
            let event = ScheduledEvent::Arrive {
                connection,
                end,
                number,
            };
            context.schedule(now + held_back + wait + transit.latency, event);
            return;
        }
        if before.attempts == 0 && before.is_message {
            let cut = self.fabric.is_blocked(from, to);
            let at = now;
            context.record_held(Held { at, from, to, cut });
        }
        let at = held.lose(sender, number, transit.lost, now + wait);
        let event = ScheduledEvent::Retransmit {
            connection,
            end,
            number,
        };
        context.schedule(at, event);
    }

    /// Returns the host and the process that a parcel of an end's stream arrives at.
    pub(super) fn receiver(&self, connection: u32, sender: u8) -> Option<(usize, Option<usize>)> {
        let held = self.connections.get(connection as usize)?.as_deref()?;
        let receiver = 1 - usize::from(sender);
        Some((held.host(receiver), held.slot(receiver)))
    }

    /// Handles the arrival of a parcel; returns whether it arrived. Then the parcels that have arrived in order are
    /// delivered by [`Self::next_transition`].
    pub(super) fn on_arrive(
        &mut self,
        context: &mut Context<'_, '_>,
        (connection, end): (u32, u8),
        number: u64,
        receiver: Receiver,
    ) -> bool {
        let sender = usize::from(end);
        let Some(Some(held)) = self.connections.get_mut(connection as usize) else {
            return false;
        };
        let Some(parcel) = held.in_flight(sender, number) else {
            return false;
        };
        let (from, to) = (held.host(sender), held.host(1 - sender));
        let now = context.now();
        if !receiver.powered || self.fabric.is_blocked(from, to) {
            // The parcel was in flight when the cut began, or the receiver has no power.
            if parcel.attempts == 1 && parcel.is_message {
                let (at, cut) = (parcel.sent_at, true);
                context.record_held(Held { at, from, to, cut });
            }
            let at = held.lose(sender, number, parcel.segments.max(1), now);
            let event = ScheduledEvent::Retransmit {
                connection,
                end,
                number,
            };
            context.schedule(at, event);
            self.fabric.count_dropped(context, (from, to), parcel.bytes);
            return false;
        }
        if parcel.needs_process && receiver.paused_until > now {
            let event = ScheduledEvent::Arrive {
                connection,
                end,
                number,
            };
            context.schedule(receiver.paused_until, event);
            context.affect(receiver.delayed_by, 1);
            return false;
        }
        let (hurried, at) = held.arrive(sender, number, now);
        for number in hurried {
            let event = ScheduledEvent::Retransmit {
                connection,
                end,
                number,
            };
            context.schedule(at, event);
        }
        true
    }

    /// Delivers parcels of an end's stream that have arrived in order, up to the next one that a process is notified
    /// of. `runs` tells whether the process at a slot runs.
    pub(super) fn next_transition(
        &mut self,
        context: &mut Context<'_, '_>,
        (connection, sender): (u32, u8),
        runs: impl Fn(usize) -> bool,
    ) -> Option<Transition> {
        let sender = usize::from(sender);
        loop {
            let held = self.connections.get_mut(connection as usize)?.as_mut()?;
            let Some((item, bytes, cause)) = held.pop_arrived(sender) else {
                self.release(connection);
                return None;
            };
            context.set_cause(cause);
            let place = (connection, 1 - sender);
            let transition = self.deliver(context, place, item, bytes, &runs);
            if transition.is_some() {
                return transition;
            }
        }
    }

    fn deliver(
        &mut self,
        context: &mut Context<'_, '_>,
        (connection, end): (u32, usize),
        item: Item,
        bytes: usize,
        runs: &impl Fn(usize) -> bool,
    ) -> Option<Transition> {
        let held = self.connections.get(connection as usize)?.as_deref()?;
        match (held.state(end), item) {
            (EndState::Open, Item::Message(message)) => Some(Transition::Received {
                slot: held.slot(end)?,
                link: link(connection, end),
                message,
                bytes,
            }),
            (EndState::Opening | EndState::Open, Item::Flight(flight)) => {
                if flight == 1 {
                    let (host, port) = held.target();
                    let listener = self.ports.holder(host, port).filter(|slot| runs(*slot));
                    self.accept(context, connection, listener)?;
                }
                self.on_flight(context, (connection, end), flight)
            }
            (EndState::Opening | EndState::Open, Item::Fin(reason)) => {
                self.broken((connection, end), reason, DialError::Refused)
            }
            (EndState::Gone, Item::Message(_) | Item::Flight(_)) => {
                self.reset(context, (connection, 1 - end));
                None
            }
            (EndState::Opening, Item::Message(_))
            | (EndState::Gone, Item::Fin(_))
            | (EndState::Closed, _) => None,
        }
    }

    /// Accepts a connection for the process that listens, or resets it; returns whether it is accepted.
    fn accept(
        &mut self,
        context: &mut Context<'_, '_>,
        connection: u32,
        listener: Option<usize>,
    ) -> Option<()> {
        let held = self.connections.get_mut(connection as usize)?.as_mut()?;
        let Some(slot) = listener else {
            held.set_state(1, EndState::Gone);
            self.reset(context, (connection, 0));
            return None;
        };
        held.accept(slot);
        self.by_process[slot].insert(connection);
        Some(())
    }

    /// Answers a flight of the handshake with the next one. The last two open the ends.
    fn on_flight(
        &mut self,
        context: &mut Context<'_, '_>,
        (connection, end): (u32, usize),
        flight: u8,
    ) -> Option<Transition> {
        let held = self.connections.get(connection as usize)?.as_deref()?;
        let (slot, peer) = (held.slot(end)?, held.slot(1 - end)?);
        let dial = held.dial();
        if let Some(bytes) = FLIGHTS.get(usize::from(flight)) {
            let next = Item::Flight(flight + 1);
            self.send(context, (connection, end), next, *bytes);
        }
        if flight < 5 {
            return None;
        }
        let held = self.connections.get_mut(connection as usize)?.as_mut()?;
        held.set_state(end, EndState::Open);
        let link = link(connection, end);
        Some(if flight == 5 {
            Transition::Accepted { slot, link, peer }
        } else {
            Transition::Dialed {
                slot,
                dial,
                link,
                peer,
            }
        })
    }

    /// Answers a segment of a connection unknown to the receiving machine with a reset, which arrives at an end.
    fn reset(&mut self, context: &mut Context<'_, '_>, (connection, end): (u32, usize)) {
        let held = self.connections.get(connection as usize);
        let Some(held) = held.and_then(Option::as_deref) else {
            return;
        };
        let (to, from) = (held.host(end), held.host(1 - end));
        let latency = if from == to {
            LOOPBACK.latency
        } else {
            let settings = self.fabric.settings(from, to);
            self.fabric.latency(&settings)
        };
        let end = end as u8;
        let event = ScheduledEvent::Reset { connection, end };
        context.schedule(context.now() + latency, event);
    }

    /// Handles the arrival of a reset at an end. `powered` tells whether a host has power.
    pub(super) fn on_reset(
        &mut self,
        connection: u32,
        end: u8,
        powered: impl Fn(usize) -> bool,
    ) -> Option<Transition> {
        let end = usize::from(end);
        let held = self.connections.get(connection as usize)?.as_deref()?;
        let (to, from) = (held.host(end), held.host(1 - end));
        if !powered(to) || self.fabric.is_blocked(from, to) {
            return None;
        }
        let transition = self.broken((connection, end), CloseReason::Reset, DialError::Refused);
        self.release(connection);
        transition
    }

    /// Ends a handshake that timed out; [`Self::abandon_dial`] follows the notification.
    pub(super) fn on_dial_timeout(&mut self, connection: u32) -> Option<Transition> {
        let held = self.connections.get(connection as usize)?.as_deref()?;
        if held.state(0) != EndState::Opening {
            return None;
        }
        self.broken((connection, 0), CloseReason::TimedOut, DialError::TimedOut)
    }

    /// Resets the other end of a handshake that timed out.
    pub(super) fn abandon_dial(&mut self, context: &mut Context<'_, '_>, connection: u32) {
        self.reset(context, (connection, 1));
        self.release(connection);
    }

    /// Retransmits a parcel, or breaks the connection if its first transmission was too long ago.
    pub(super) fn on_retransmit(
        &mut self,
        context: &mut Context<'_, '_>,
        (connection, end): (u32, u8),
        number: u64,
    ) -> Option<Transition> {
        let (sender, now) = (usize::from(end), context.now());
        let held = self.connections.get_mut(connection as usize)?.as_mut()?;
        let sent_at = held.due(sender, number, now)?;
        if now - sent_at < GIVES_UP_AFTER {
            self.transmit(context, (connection, sender), number, 0);
            return None;
        }
        let place = (connection, sender);
        let transition = self.broken(place, CloseReason::TimedOut, DialError::TimedOut);
        self.release(connection);
        transition
    }

    /// Ends one end of a connection that broke.
    fn broken(
        &mut self,
        (connection, end): (u32, usize),
        reason: CloseReason,
        error: DialError,
    ) -> Option<Transition> {
        let held = self.connections.get_mut(connection as usize)?.as_mut()?;
        let state = held.state(end);
        held.set_state(end, EndState::Gone);
        let slot = held.slot(end)?;
        match state {
            EndState::Open => Some(Transition::Closed {
                slot,
                link: link(connection, end),
                reason,
            }),
            EndState::Opening if end == 0 => Some(Transition::DialFailed {
                slot,
                dial: held.dial(),
                reason: error,
            }),
            EndState::Opening | EndState::Closed | EndState::Gone => None,
        }
    }

    /// Closes a link gracefully: pending data is sent first.
    pub(super) fn close(
        &mut self,
        context: &mut Context<'_, '_>,
        link: LinkId,
        reason: CloseReason,
    ) {
        let (connection, end) = place(link);
        self.close_end(context, (connection, end), reason);
    }

    fn close_end(
        &mut self,
        context: &mut Context<'_, '_>,
        (connection, end): (u32, usize),
        reason: CloseReason,
    ) {
        let Some(Some(held)) = self.connections.get_mut(connection as usize) else {
            return;
        };
        if matches!(held.state(end), EndState::Open | EndState::Opening) {
            held.set_state(end, EndState::Closed);
            if reason == CloseReason::Fin {
                // The waiting messages were in the memory of the process that ended.
                held.drop_waiting(end);
            }
            self.send(context, (connection, end), Item::Fin(reason), 0);
        }
    }

    /// Closes all ports and connections of a process, as the operating system does.
    pub(super) fn close_all(
        &mut self,
        context: &mut Context<'_, '_>,
        slot: usize,
        reason: CloseReason,
    ) {
        self.ports.close(slot);
        let connections: Vec<u32> = self.by_process[slot].iter().copied().collect();
        for connection in connections {
            for end in 0..2 {
                let held = self.connections.get(connection as usize);
                let held = held.and_then(Option::as_deref);
                if held.and_then(|held| held.slot(end)) == Some(slot) {
                    self.close_end(context, (connection, end), reason);
                }
            }
        }
    }

    /// Removes all ports and connections of a process whose host lost power, silently.
    pub(super) fn vanish(&mut self, slot: usize, host: usize) {
        self.ports.forget(slot);
        for connection in std::mem::take(&mut self.by_process[slot]) {
            if let Some(Some(held)) = self.connections.get_mut(connection as usize) {
                for end in 0..2 {
                    if held.host(end) == host {
                        held.set_state(end, EndState::Gone);
                    }
                }
            }
            self.release(connection);
        }
    }

    /// Frees a connection on which no event can occur any more.
    fn release(&mut self, connection: u32) {
        let Some(kept) = self.connections.get_mut(connection as usize) else {
            return;
        };
        if let Some(held) = kept.take_if(|held| held.is_over()) {
            for slot in held.slots() {
                self.by_process[slot].remove(&connection);
            }
        }
    }
}

/// Returns where an item waits for the bandwidth.
fn placement(item: &Item) -> Placement {
    match item {
        Item::Message(message) => message.placement(),
        Item::Flight(_) => Placement::of(Lane::Control),
        // The end of the stream follows all data.
        Item::Fin(_) => Placement::behind(Lane::Control, Lane::Channel),
    }
}

/// Schedules the departure of the next waiting item of an end.
fn schedule_departure(context: &mut Context<'_, '_>, (connection, end): (u32, usize), at: u64) {
    let end = end as u8;
    context.schedule(at, ScheduledEvent::Depart { connection, end });
}
