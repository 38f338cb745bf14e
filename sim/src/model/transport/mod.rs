//! The transport: connections over the simulated network, datagrams, and the ports of processes.
//!
//! `transmission` carries items over connections and `ports` keeps the listeners. The transport gives the items their
//! meaning: handshakes, messages and the ends of connections. It returns each change that a process is notified of as a
//! [`ConnectionTransition`]. It knows hosts and processes as numbers only: the engine tells it whether a host has power and a
//! process runs.

mod ports;
#[cfg(test)]
mod tests;
mod transmission;

pub(super) use transmission::{FRAMING_BYTES, NetworkChange, Receiver, SEGMENT_OVERHEAD_BYTES};

use super::context::Context;
use super::event::ScheduledEvent;
use crate::scenario::Scenario;
use crate::scenario::plan::Cut;
use crate::world::{CloseReason, DialError, DialId, LinkId, Message};
use ports::Ports;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
pub(crate) use transmission::DIAL_GIVES_UP_AFTER;
use transmission::{
    Connection, DatagramFlight, EndState, FLIGHTS, ItemInFlight, RetransmissionDue, Transmission,
    link, place, segments,
};

/// Round trips from the begin of a dial until the dialer is notified that it succeeded.
pub(crate) const DIAL_ROUND_TRIPS: u32 = 3;
const _: () = assert!(
    FLIGHTS.len() == 2 * DIAL_ROUND_TRIPS as usize,
    "a round trip is two flights"
);

/// A change of a connection that a process is notified of.
#[derive(Debug)]
pub(super) enum ConnectionTransition {
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

/// All connections and ports.
pub(super) struct Transport<'a> {
    transmission: Transmission<'a>,
    /// The connections with an end in each process.
    by_process: Vec<BTreeSet<u32>>,
    ports: Ports,
    /// The processes whose hosts refuse each dial of another host, with the step that makes them.
    refusing: BTreeMap<usize, Option<usize>>,
    /// The number of segments that hosts sent to others, without retransmissions.
    segments: u64,
}

impl<'a> Transport<'a> {
    /// Creates the transport of a number of processes. `has_lanes` tells whether messages wait in the lanes that they
    /// name.
    pub(super) fn new(
        scenario: &'a Scenario,
        seed: u64,
        processes: usize,
        has_lanes: bool,
    ) -> Self {
        Self {
            transmission: Transmission::new(scenario, seed, has_lanes),
            by_process: vec![BTreeSet::new(); processes],
            ports: Ports::new(processes),
            refusing: BTreeMap::new(),
            segments: 0,
        }
    }

    /// Changes the network. A step causes the change.
    pub(super) fn change_network(
        &mut self,
        now: u64,
        change: NetworkChange<'a>,
        step: Option<usize>,
    ) {
        self.transmission.change_network(now, change, step);
    }

    /// Sets whether each dial of another host to a process is refused.
    pub(super) fn set_refusal(&mut self, slot: usize, on: bool, step: Option<usize>) {
        if on {
            self.refusing.insert(slot, step);
        } else {
            self.refusing.remove(&slot);
        }
    }

    /// Sets the time, in nanoseconds, after which a NAT before a host forgets an idle connection; `None`: no NAT.
    pub(super) fn set_nat(&mut self, host: usize, idle: Option<u64>, step: Option<usize>) {
        self.transmission.set_nat(host, idle, step);
    }

    /// Sends a reset to both ends of each connection between the pairs of a cut that has an end in a chosen process;
    /// returns the number of connections.
    pub(super) fn reset_connections(
        &mut self,
        context: &mut Context<'_, '_>,
        pairs: &Cut,
        is_chosen: impl Fn(usize) -> bool,
    ) -> u64 {
        let mut chosen = self.transmission.between(pairs);
        chosen.retain(|connection| {
            let held = self.transmission.connection(*connection);
            held.is_some_and(|held| held.slots().any(&is_chosen))
        });
        for connection in &chosen {
            for end in 0..2 {
                self.transmission.reset(context, (*connection, end));
            }
        }
        chosen.len() as u64
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
        self.transmission.packet(context, from, to)
    }

    /// Sends a datagram from one host to another; returns its flight, unless a segment of it is lost.
    pub(super) fn send_datagram(
        &mut self,
        context: &mut Context<'_, '_>,
        from: usize,
        to: usize,
        bytes: usize,
    ) -> Option<DatagramFlight> {
        self.transmission.send_datagram(context, from, to, bytes)
    }

    /// Returns whether a datagram that arrives passes the cuts.
    pub(super) fn passes(
        &self,
        context: &mut Context<'_, '_>,
        hosts: (usize, usize),
        bytes: usize,
    ) -> bool {
        self.transmission.passes(context, hosts, bytes)
    }

    /// Dials a port of a host for a process of another.
    pub(super) fn dial(
        &mut self,
        context: &mut Context<'_, '_>,
        dial: DialId,
        (host, slot): (usize, usize),
        target: (usize, u16),
    ) {
        let dialled = Connection::new(dial, (host, slot), target);
        let connection = self.transmission.open(dialled);
        self.by_process[slot].insert(connection);
        let event = ScheduledEvent::DialTimeout { connection };
        context.schedule(context.now() + DIAL_GIVES_UP_AFTER, event);
        let first = ItemInFlight::Flight(1);
        self.transmission
            .send(context, (connection, 0), first, FLIGHTS[0]);
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
        let Some(held) = self.transmission.connection(connection) else {
            return false;
        };
        if held.state(end) != EndState::Open {
            return false;
        }
        let leaves = held.host(end) != held.host(1 - end);
        let item = ItemInFlight::Message(message);
        self.transmission
            .send(context, (connection, end), item, bytes);
        leaves
    }

    /// Sends the next item that waits for the bandwidth of an end.
    pub(super) fn on_departure(&mut self, context: &mut Context<'_, '_>, connection: u32, end: u8) {
        self.transmission.on_departure(context, connection, end);
        self.release(connection);
    }

    /// Returns the host and the process that a parcel of an end's stream arrives at.
    pub(super) fn receiver(&self, connection: u32, sender: u8) -> Option<(usize, Option<usize>)> {
        let held = self.transmission.connection(connection)?;
        let receiver = 1 - usize::from(sender);
        Some((held.host(receiver), held.slot(receiver)))
    }

    /// Handles the arrival of a parcel; returns whether it arrived. Then the parcels that have arrived in order are
    /// delivered by [`Self::next_transition`].
    pub(super) fn on_arrive(
        &mut self,
        context: &mut Context<'_, '_>,
        place: (u32, u8),
        number: u64,
        receiver: Receiver,
    ) -> bool {
        self.transmission
            .on_arrive(context, place, number, receiver)
    }

    /// Delivers parcels of an end's stream that have arrived in order, up to the next one that a process is notified
    /// of. `runs` tells whether the process at a slot runs.
    pub(super) fn next_transition(
        &mut self,
        context: &mut Context<'_, '_>,
        (connection, sender): (u32, u8),
        runs: impl Fn(usize) -> bool,
    ) -> Option<ConnectionTransition> {
        let sender = usize::from(sender);
        loop {
            let arrived = self.transmission.pop_arrived((connection, sender));
            let Some((item, bytes, cause)) = arrived else {
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
        item: ItemInFlight,
        bytes: usize,
        runs: &impl Fn(usize) -> bool,
    ) -> Option<ConnectionTransition> {
        let held = self.transmission.connection(connection)?;
        match (held.state(end), item) {
            (EndState::Open, ItemInFlight::Message(message)) => {
                Some(ConnectionTransition::Received {
                    slot: held.slot(end)?,
                    link: link(connection, end),
                    message,
                    bytes,
                })
            }
            (EndState::Opening | EndState::Open, ItemInFlight::Flight(flight)) => {
                if flight == 1 {
                    let (host, port) = held.target();
                    let mut listener = self.ports.holder(host, port).filter(|slot| runs(*slot));
                    if let Some(step) = listener.and_then(|slot| self.refusing.get(&slot))
                        && held.host(0) != host
                    {
                        context.affect(*step, 1);
                        listener = None;
                    }
                    self.accept(context, connection, listener)?;
                }
                self.on_flight(context, (connection, end), flight)
            }
            (EndState::Opening | EndState::Open, ItemInFlight::Fin(reason)) => {
                self.broken((connection, end), reason, DialError::Refused)
            }
            (EndState::Gone, ItemInFlight::Message(_) | ItemInFlight::Flight(_)) => {
                self.transmission.reset(context, (connection, 1 - end));
                None
            }
            (EndState::Opening, ItemInFlight::Message(_))
            | (EndState::Gone, ItemInFlight::Fin(_))
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
        let Some(slot) = listener else {
            self.transmission.set_state((connection, 1), EndState::Gone);
            self.transmission.reset(context, (connection, 0));
            return None;
        };
        self.transmission.accept(connection, slot);
        self.by_process[slot].insert(connection);
        Some(())
    }

    /// Answers a flight of the handshake with the next one. The last two open the ends.
    fn on_flight(
        &mut self,
        context: &mut Context<'_, '_>,
        (connection, end): (u32, usize),
        flight: u8,
    ) -> Option<ConnectionTransition> {
        let held = self.transmission.connection(connection)?;
        let (slot, peer) = (held.slot(end)?, held.slot(1 - end)?);
        let dial = held.dial();
        if let Some(bytes) = FLIGHTS.get(usize::from(flight)) {
            let next = ItemInFlight::Flight(flight + 1);
            self.transmission
                .send(context, (connection, end), next, *bytes);
        }
        if flight < 5 {
            return None;
        }
        self.transmission
            .set_state((connection, end), EndState::Open);
        let link = link(connection, end);
        Some(if flight == 5 {
            ConnectionTransition::Accepted { slot, link, peer }
        } else {
            ConnectionTransition::Dialed {
                slot,
                dial,
                link,
                peer,
            }
        })
    }

    /// Handles the arrival of a reset at an end. `powered` tells whether a host has power.
    pub(super) fn on_reset(
        &mut self,
        connection: u32,
        end: u8,
        powered: impl Fn(usize) -> bool,
    ) -> Option<ConnectionTransition> {
        let end = usize::from(end);
        let held = self.transmission.connection(connection)?;
        let (to, from) = (held.host(end), held.host(1 - end));
        if !powered(to) || self.transmission.is_blocked(from, to) {
            return None;
        }
        let transition = self.broken((connection, end), CloseReason::Reset, DialError::Refused);
        self.release(connection);
        transition
    }

    /// Ends a handshake that timed out; [`Self::abandon_dial`] follows the notification.
    pub(super) fn on_dial_timeout(&mut self, connection: u32) -> Option<ConnectionTransition> {
        let held = self.transmission.connection(connection)?;
        if held.state(0) != EndState::Opening {
            return None;
        }
        self.broken((connection, 0), CloseReason::TimedOut, DialError::TimedOut)
    }

    /// Resets the other end of a handshake that timed out.
    pub(super) fn abandon_dial(&mut self, context: &mut Context<'_, '_>, connection: u32) {
        self.transmission.reset(context, (connection, 1));
        self.release(connection);
    }

    /// Retransmits a parcel, or breaks the connection if its first transmission was too long ago.
    pub(super) fn on_retransmit(
        &mut self,
        context: &mut Context<'_, '_>,
        (connection, end): (u32, u8),
        number: u64,
    ) -> Option<ConnectionTransition> {
        let place = (connection, usize::from(end));
        match self.transmission.retransmit(context, place, number) {
            RetransmissionDue::No | RetransmissionDue::Retransmitted => None,
            RetransmissionDue::TimedOut => {
                let broken = self.broken(place, CloseReason::TimedOut, DialError::TimedOut);
                self.release(connection);
                broken
            }
        }
    }

    /// Ends one end of a connection that broke. A dial that a process had accepted is not refused.
    fn broken(
        &mut self,
        (connection, end): (u32, usize),
        reason: CloseReason,
        error: DialError,
    ) -> Option<ConnectionTransition> {
        let held = self.transmission.connection(connection)?;
        let (state, slot, dial) = (held.state(end), held.slot(end), held.dial());
        let was_accepted = error == DialError::Refused && held.slot(1).is_some();
        let error = if was_accepted {
            DialError::Unreachable
        } else {
            error
        };
        self.transmission
            .set_state((connection, end), EndState::Gone);
        let slot = slot?;
        match state {
            EndState::Open => Some(ConnectionTransition::Closed {
                slot,
                link: link(connection, end),
                reason,
            }),
            EndState::Opening if end == 0 => Some(ConnectionTransition::DialFailed {
                slot,
                dial,
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
        let place = (connection, end);
        let held = self.transmission.connection(connection);
        let state = held.map(|held| held.state(end));
        if !matches!(state, Some(EndState::Open | EndState::Opening)) {
            return;
        }
        self.transmission.set_state(place, EndState::Closed);
        if reason == CloseReason::Fin {
            // The waiting messages were in the memory of the process that ended.
            self.transmission.drop_waiting(place);
        }
        let end_of_stream = ItemInFlight::Fin(reason);
        self.transmission.send(context, place, end_of_stream, 0);
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
                let held = self.transmission.connection(connection);
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
            for end in 0..2 {
                let held = self.transmission.connection(connection);
                if held.is_some_and(|held| held.host(end) == host) {
                    self.transmission
                        .set_state((connection, end), EndState::Gone);
                }
            }
            self.release(connection);
        }
    }

    /// Frees a connection on which no event can occur any more.
    fn release(&mut self, connection: u32) {
        if let Some(held) = self.transmission.remove_over(connection) {
            for slot in held.slots() {
                self.by_process[slot].remove(&connection);
            }
        }
    }
}
