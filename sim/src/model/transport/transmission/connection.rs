//! One TCP connection: its two ends and its two streams.

mod stream;

pub(crate) use stream::{
    DIAL_GIVES_UP_AFTER, FLIGHTS, FRAMING_BYTES, GIVES_UP_AFTER, InFlight, ItemInFlight,
    SEGMENT_BYTES, SEGMENT_OVERHEAD_BYTES, Waiting, segments,
};

use crate::record::Cause;
use crate::world::{DialId, LinkId};
use phalanx_core::lane::Placement;
use std::collections::BTreeMap;
use stream::Stream;

/// The state of one end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndState {
    /// The handshake is not complete at this end.
    Opening,
    /// The process holds the end.
    Open,
    /// The process closed the end; pending data is still sent.
    Closed,
    /// The process or machine that held the end is gone.
    Gone,
}

/// One end of a connection.
#[derive(Debug)]
struct End {
    host: usize,
    /// The slot of the process; `None`: no process has accepted yet.
    slot: Option<usize>,
    state: EndState,
}

/// The hosts behind a NAT: the time after which it forgets an idle connection, in nanoseconds, and the step.
pub(crate) type NatMemory = BTreeMap<usize, (u64, Option<usize>)>;

/// A connection. End 0 is the dialer, end 1 the acceptor; stream 0 leads from end 0 to end 1.
#[derive(Debug)]
pub(crate) struct Connection {
    dial: DialId,
    /// The dialled port.
    port: u16,
    ends: [End; 2],
    streams: [Stream; 2],
    /// The time of the latest packet; 0 before the first.
    packet_at: u64,
    /// The step by which a NAT forgot the connection.
    forgotten: Option<Option<usize>>,
}

impl Connection {
    /// A connection that a process of a host dials to a port of another host.
    pub(crate) const fn new(
        dial: DialId,
        (host, slot): (usize, usize),
        (target, port): (usize, u16),
    ) -> Self {
        let state = EndState::Opening;
        let dialer = End {
            host,
            slot: Some(slot),
            state,
        };
        let acceptor = End {
            host: target,
            slot: None,
            state,
        };
        Self {
            dial,
            port,
            ends: [dialer, acceptor],
            streams: [Stream::new(), Stream::new()],
            packet_at: 0,
            forgotten: None,
        }
    }

    pub(crate) const fn dial(&self) -> DialId {
        self.dial
    }

    /// Returns the dialled host and port.
    pub(crate) const fn target(&self) -> (usize, u16) {
        (self.ends[1].host, self.port)
    }

    pub(crate) const fn host(&self, end: usize) -> usize {
        self.ends[end].host
    }

    pub(crate) const fn slot(&self, end: usize) -> Option<usize> {
        self.ends[end].slot
    }

    pub(crate) const fn state(&self, end: usize) -> EndState {
        self.ends[end].state
    }

    pub(crate) const fn set_state(&mut self, end: usize, state: EndState) {
        self.ends[end].state = state;
    }

    /// Sets the process that accepts the connection.
    pub(crate) const fn accept(&mut self, slot: usize) {
        self.ends[1].slot = Some(slot);
    }

    /// Reserves the bandwidth of an end for a number of bytes; returns the time until the last bit has left.
    pub(crate) fn reserve(&mut self, end: usize, now: u64, bytes: usize, rate: u64) -> u64 {
        self.streams[end].reserve(now, bytes, rate)
    }

    /// Returns whether an item of an end must wait for the end's bandwidth.
    pub(crate) const fn is_busy(&self, end: usize, now: u64) -> bool {
        self.streams[end].is_busy(now)
    }

    /// Lets an item wait for the bandwidth of an end; returns the time at which the first item is to be sent, if this
    /// one is the only one.
    pub(crate) fn wait(
        &mut self,
        end: usize,
        placement: Placement,
        waiting: Waiting,
    ) -> Option<u64> {
        self.streams[end].wait(placement, waiting)
    }

    /// Removes and returns the next item that waits for the bandwidth of an end. The items of an end that is gone are
    /// never sent.
    pub(crate) fn next_waiting(&mut self, end: usize) -> Option<Waiting> {
        if self.ends[end].state == EndState::Gone {
            self.streams[end].drop_waiting();
        }
        self.streams[end].next_waiting()
    }

    /// Drops the items that wait for the bandwidth of an end.
    pub(crate) fn drop_waiting(&mut self, end: usize) {
        self.streams[end].drop_waiting();
    }

    /// Returns the time at which the next waiting item of an end is to be sent, if there is one.
    pub(crate) fn departure(&self, end: usize) -> Option<u64> {
        self.streams[end].departure()
    }

    /// Appends a parcel to the stream of an end; returns its number.
    pub(crate) fn push(
        &mut self,
        end: usize,
        item: ItemInFlight,
        bytes: usize,
        now: u64,
        cause: Cause,
    ) -> u64 {
        self.streams[end].push(item, bytes, now, cause)
    }

    /// Begins a transmission of a parcel; returns its state before, unless it was delivered.
    pub(crate) fn begin_attempt(&mut self, end: usize, number: u64) -> Option<InFlight> {
        self.streams[end].begin_attempt(number)
    }

    /// Returns the state of a parcel, unless it was delivered.
    pub(crate) fn in_flight(&mut self, end: usize, number: u64) -> Option<InFlight> {
        self.streams[end].in_flight(number)
    }

    /// Returns the time of the first transmission of a parcel whose retransmission is due.
    pub(crate) fn due(&mut self, end: usize, number: u64, now: u64) -> Option<u64> {
        if self.ends[end].state == EndState::Gone {
            return None;
        }
        self.streams[end].due(number, now)
    }

    /// Records that a number of segments of a parcel were lost; returns the time of their retransmission.
    pub(crate) fn lose(&mut self, end: usize, number: u64, segments: u32, now: u64) -> u64 {
        self.streams[end].lose(number, segments, now)
    }

    /// Records the arrival of a parcel; returns the numbers of the parcels to retransmit because of it, and the time.
    pub(crate) fn arrive(&mut self, end: usize, number: u64, now: u64) -> (Vec<u64>, u64) {
        let (rtt, numbers, at) = self.streams[end].arrive(number, now);
        if let Some(rtt) = rtt {
            self.streams[1 - end].measured(rtt);
        }
        (numbers, at)
    }

    /// Removes and returns the first parcel of an end's stream if it has arrived: its item, bytes and cause.
    pub(crate) fn pop_arrived(&mut self, end: usize) -> Option<(ItemInFlight, usize, Cause)> {
        self.streams[end].pop_arrived()
    }

    /// Returns the slots of the processes at the ends.
    pub(crate) fn slots(&self) -> impl Iterator<Item = usize> {
        self.ends.iter().filter_map(|end| end.slot)
    }

    /// Notes a packet. If a NAT at an end has forgotten the connection, returns the step that set up the NAT; the connection
    /// stays forgotten.
    pub(crate) fn note_packet(&mut self, now: u64, nats: &NatMemory) -> Option<Option<usize>> {
        let idle = match self.packet_at {
            0 => 0,
            before => now - before,
        };
        self.packet_at = now;
        if self.forgotten.is_none() {
            let nats = self.ends.iter().filter_map(|end| nats.get(&end.host));
            let mut forgetful = nats.filter(|(after, _)| idle > *after);
            self.forgotten = forgetful.next().map(|(_, step)| *step);
        }
        self.forgotten
    }

    /// Returns whether no event can occur on the connection any more.
    pub(crate) fn is_over(&self) -> bool {
        let gone = |end: usize| match self.ends[end].state {
            EndState::Opening | EndState::Open => false,
            EndState::Closed => self.streams[end].is_empty(),
            EndState::Gone => true,
        };
        gone(0) && gone(1)
    }
}

/// Returns the connection and end of a link id.
pub(crate) const fn place(link: LinkId) -> (u32, usize) {
    ((link.0 >> 1) as u32, (link.0 & 1) as usize)
}

/// Returns the link id of a connection's end.
pub(crate) const fn link(connection: u32, end: usize) -> LinkId {
    LinkId((connection as u64) << 1 | end as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_id_names_a_connection_and_an_end() {
        assert_eq!(place(link(7, 1)), (7, 1));
        assert_ne!(link(7, 0), link(7, 1));
    }

    #[test]
    fn a_closed_end_persists_until_its_stream_is_empty() {
        let mut connection = Connection::new(DialId(1), (0, 0), (1, 80));
        assert_eq!(connection.target(), (1, 80));
        connection.accept(5);
        assert_eq!(connection.slots().collect::<Vec<_>>(), [0, 5]);
        let number = connection.push(0, ItemInFlight::Flight(1), 60, 0, Cause::NONE);
        connection.set_state(0, EndState::Closed);
        connection.set_state(1, EndState::Gone);
        assert!(!connection.is_over() && connection.pop_arrived(0).is_none());
        assert!(connection.begin_attempt(0, number).is_some());
        assert_eq!(connection.arrive(0, number, 10), (vec![], 10));
        assert!(connection.pop_arrived(0).is_some() && connection.is_over());
    }
}
