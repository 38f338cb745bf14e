//! The transmission of items over connections: bandwidth with lanes, loss, retransmission and arrival.
//!
//! `network` decides which segments are lost and how long the others take; `connection` keeps the two streams of one
//! connection. An item leaves when the bandwidth of its end is free, arrives or is retransmitted, and is taken in
//! order. The meaning of the items is left to the transport.

mod connection;
mod latency;
mod network;

pub(crate) use connection::{
    Connection, DIAL_GIVES_UP_AFTER, EndState, FLIGHTS, FRAMING_BYTES, ItemInFlight, NatMemory,
    SEGMENT_OVERHEAD_BYTES, link, place, segments,
};
pub(crate) use network::{DatagramFlight, NetworkChange};

use crate::model::context::Context;
use crate::model::event::ScheduledEvent;
use crate::record::{Cause, Held};
use crate::scenario::Scenario;
use crate::scenario::plan::Cut;
use connection::{GIVES_UP_AFTER, SEGMENT_BYTES, Waiting};
use network::{LOOPBACK, NetworkState, Transit};
use phalanx_core::lane::{Lane, Placement};
use std::collections::BTreeMap;

/// The state of the host and process that a parcel arrives at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Receiver {
    pub powered: bool,
    /// The time until which the process is paused; 0 without a process.
    pub paused_until: u64,
    /// The step that delays the process.
    pub delayed_by: Option<usize>,
}

/// A parcel whose retransmission is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetransmissionDue {
    /// The parcel was delivered, or is due at another time.
    No,
    /// The parcel was retransmitted.
    Retransmitted,
    /// The first transmission was too long ago: the connection breaks.
    TimedOut,
}

/// All connections, and the network that they lead over.
pub(super) struct Transmission<'a> {
    fabric: NetworkState<'a>,
    connections: Vec<Option<Box<Connection>>>,
    /// Whether messages wait in the lanes that they name.
    has_lanes: bool,
    /// The hosts behind a NAT: the time after which it forgets an idle connection, and the step.
    nats: NatMemory,
    /// The latest datagram between a host behind a NAT and another host, in either direction.
    flows: BTreeMap<(usize, usize), u64>,
}

impl<'a> Transmission<'a> {
    pub(super) fn new(scenario: &'a Scenario, seed: u64, has_lanes: bool) -> Self {
        Self {
            fabric: NetworkState::new(scenario, seed),
            connections: Vec::new(),
            has_lanes,
            nats: BTreeMap::new(),
            flows: BTreeMap::new(),
        }
    }

    /// Changes the network. A step causes the change.
    pub(super) fn change_network(
        &mut self,
        now: u64,
        change: NetworkChange<'a>,
        step: Option<usize>,
    ) {
        self.fabric.change(now, change, step);
    }

    /// Sets the time after which a NAT before a host forgets an idle connection or flow of datagrams; `None`: no NAT.
    pub(super) fn set_nat(&mut self, host: usize, idle: Option<u64>, step: Option<usize>) {
        self.flows.retain(|(inside, _), _| *inside != host);
        match idle {
            Some(idle) => self.nats.insert(host, (idle, step)),
            None => self.nats.remove(&host),
        };
    }

    /// Returns the numbers of the connections between the pairs of a cut.
    pub(super) fn between(&self, pairs: &Cut) -> Vec<u32> {
        let connections = (0_u32..).zip(&self.connections);
        let chosen = connections.filter(|(_, held)| {
            held.as_ref().is_some_and(|held| {
                let (one, other) = (held.host(0), held.host(1));
                one != other && (pairs.blocks(one, other) || pairs.blocks(other, one))
            })
        });
        chosen.map(|(number, _)| number).collect()
    }

    /// Returns whether traffic from one host to another is blocked.
    pub(super) fn is_blocked(&self, from: usize, to: usize) -> bool {
        self.fabric.is_blocked(from, to)
    }

    /// Returns the latency of a packet between two hosts; `None` if it is lost.
    pub(super) fn packet(
        &mut self,
        context: &mut Context<'_, '_>,
        from: usize,
        to: usize,
    ) -> Option<u64> {
        let settings = self.fabric.settings(from, to);
        let transit = self.fabric.transmit(context, (from, to), (1, 0), &settings);
        (transit.lost == 0 && !self.fabric.is_blocked(from, to)).then_some(transit.latency)
    }

    /// Sends a datagram from one host to another; returns its flight, unless a segment of it is lost.
    pub(super) fn send_datagram(
        &mut self,
        context: &mut Context<'_, '_>,
        from: usize,
        to: usize,
        bytes: usize,
    ) -> Option<DatagramFlight> {
        let whole = |latency| DatagramFlight {
            latency,
            again: None,
            damage: None,
        };
        if from == to {
            return Some(whole(LOOPBACK.latency));
        }
        let (at, cut) = (context.now(), self.fabric.is_blocked(from, to));
        if let Some(step) = self.note_datagram(at, from, to) {
            context.affect(step, 1);
            context.record_held(Held { at, from, to, cut });
            return None;
        }
        let settings = self.fabric.settings(from, to);
        let packets = (segments(bytes), packet(bytes));
        let transit = self
            .fabric
            .transmit(context, (from, to), packets, &settings);
        if transit.lost == 0 {
            let mut flight = whole(transit.latency);
            self.fabric.disturb(context, &settings, &mut flight);
            return Some(flight);
        }
        context.record_held(Held { at, from, to, cut });
        None
    }

    /// Notes a datagram. If a NAT before the receiver has forgotten the flow, returns the step that set up the NAT; the flow
    /// stays forgotten until the receiver sends.
    fn note_datagram(&mut self, now: u64, from: usize, to: usize) -> Option<Option<usize>> {
        if self.nats.contains_key(&from) {
            self.flows.insert((from, to), now);
        }
        let (idle, step) = self.nats.get(&to)?;
        let latest = self.flows.entry((to, from)).or_insert(now);
        if now - *latest > *idle {
            return Some(*step);
        }
        *latest = now;
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

    /// Adds a connection; returns its number.
    pub(super) fn open(&mut self, connection: Connection) -> u32 {
        let number = u32::try_from(self.connections.len()).unwrap_or(u32::MAX);
        self.connections.push(Some(Box::new(connection)));
        number
    }

    /// Returns a connection, unless it is over.
    pub(super) fn connection(&self, number: u32) -> Option<&Connection> {
        self.connections.get(number as usize)?.as_deref()
    }

    /// Sets the state of an end of a connection.
    pub(super) fn set_state(&mut self, (connection, end): (u32, usize), state: EndState) {
        if let Some(Some(held)) = self.connections.get_mut(connection as usize) {
            held.set_state(end, state);
        }
    }

    /// Sets the process that accepts a connection.
    pub(super) fn accept(&mut self, connection: u32, slot: usize) {
        if let Some(Some(held)) = self.connections.get_mut(connection as usize) {
            held.accept(slot);
        }
    }

    /// Drops the items that wait for the bandwidth of an end.
    pub(super) fn drop_waiting(&mut self, (connection, end): (u32, usize)) {
        if let Some(Some(held)) = self.connections.get_mut(connection as usize) {
            held.drop_waiting(end);
        }
    }

    /// Removes and returns a connection on which no event can occur any more.
    pub(super) fn remove_over(&mut self, connection: u32) -> Option<Box<Connection>> {
        let kept = self.connections.get_mut(connection as usize)?;
        kept.take_if(|held| held.is_over())
    }

    /// Sends an item from one end of a connection. While earlier items take the bandwidth, the item waits in its lane.
    pub(super) fn send(
        &mut self,
        context: &mut Context<'_, '_>,
        (connection, end): (u32, usize),
        item: ItemInFlight,
        bytes: usize,
    ) {
        let Some(Some(held)) = self.connections.get_mut(connection as usize) else {
            return;
        };
        let settings = self.fabric.settings(held.host(end), held.host(1 - end));
        let (now, cause) = (context.now(), context.cause());
        let mut wait = 0;
        if let Some(rate) = settings.network().bandwidth {
            context.affect(settings.bandwidth_by(), 1);
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
            return;
        };
        let settings = self
            .fabric
            .settings(held.host(sender), held.host(1 - sender));
        let rate = settings.network().bandwidth.unwrap_or(u64::MAX);
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
        let now = context.now();
        let transit = if from == to {
            LOOPBACK
        } else if let Some(step) = held.note_packet(now, &self.nats) {
            context.affect(step, u64::from(before.segments));
            Transit {
                lost: before.segments,
                latency: 0,
            }
        } else {
            let settings = self.fabric.settings(from, to);
            let packets = (before.segments, packet(before.bytes));
            self.fabric
                .transmit(context, (from, to), packets, &settings)
        };
        let held_back = self.fabric.held(context, from, to);
        let end = sender as u8;
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

    /// Retransmits a parcel that is due.
    pub(super) fn retransmit(
        &mut self,
        context: &mut Context<'_, '_>,
        (connection, sender): (u32, usize),
        number: u64,
    ) -> RetransmissionDue {
        let now = context.now();
        let held = self.connections.get_mut(connection as usize);
        let held = held.and_then(Option::as_mut);
        let Some(sent_at) = held.and_then(|held| held.due(sender, number, now)) else {
            return RetransmissionDue::No;
        };
        if now - sent_at >= GIVES_UP_AFTER {
            return RetransmissionDue::TimedOut;
        }
        self.transmit(context, (connection, sender), number, 0);
        RetransmissionDue::Retransmitted
    }

    /// Handles the arrival of a parcel; returns whether it arrived. Then parcels may have arrived in order.
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

    /// Removes and returns the first parcel of an end's stream if it has arrived: its item, bytes and cause.
    pub(super) fn pop_arrived(
        &mut self,
        (connection, sender): (u32, usize),
    ) -> Option<(ItemInFlight, usize, Cause)> {
        let held = self.connections.get_mut(connection as usize)?.as_mut()?;
        held.pop_arrived(sender)
    }

    /// Answers a segment of a connection unknown to the receiving machine with a reset, which arrives at an end.
    pub(super) fn reset(&mut self, context: &mut Context<'_, '_>, (connection, end): (u32, usize)) {
        let held = self.connections.get(connection as usize);
        let Some(held) = held.and_then(Option::as_deref) else {
            return;
        };
        let (to, from) = (held.host(end), held.host(1 - end));
        let latency = if from == to {
            LOOPBACK.latency
        } else {
            let settings = self.fabric.settings(from, to);
            self.fabric.latency(settings.network())
        };
        let end = end as u8;
        let event = ScheduledEvent::Reset { connection, end };
        context.schedule(context.now() + latency, event);
    }
}

/// Returns the size of the largest packet of a message, in bytes.
fn packet(bytes: usize) -> usize {
    (bytes + FRAMING_BYTES).min(SEGMENT_BYTES) + SEGMENT_OVERHEAD_BYTES
}

/// Returns where an item waits for the bandwidth.
fn placement(item: &ItemInFlight) -> Placement {
    match item {
        ItemInFlight::Message(message) => message.placement(),
        ItemInFlight::Flight(_) => Placement::of(Lane::Control),
        // The end of the stream follows all data.
        ItemInFlight::Fin(_) => Placement::behind(Lane::Control, Lane::Channel),
    }
}

/// Schedules the departure of the next waiting item of an end.
fn schedule_departure(context: &mut Context<'_, '_>, (connection, end): (u32, usize), at: u64) {
    let end = end as u8;
    context.schedule(at, ScheduledEvent::Depart { connection, end });
}
