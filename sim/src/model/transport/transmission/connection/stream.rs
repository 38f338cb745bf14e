//! One direction of a TCP connection as a queue of parcels in flight.
//!
//! Items that wait for the bandwidth of the sender wait in lanes, as in the send queue of a link in `net`: a message of
//! an earlier lane is sent first. An item that has left waits behind those that left before it.
//!
//! Bytes arrive in order. Segments are lost independently. A lost segment is retransmitted after
//! max(200 ms, srtt + 4 rttvar), doubled each time, and later segments wait for it. When a retransmission arrives, all missing segments
//! after it follow one round trip later, and the backoff is reset (RFC 6298, RFC 6582). Other acknowledgements and fast
//! retransmission are not modelled, because their effect is small compared with the timeouts of the protocols under
//! test.

use crate::record::Cause;
use crate::world::{CloseReason, Message};
use phalanx_core::lane::{Lanes, Placement};
use std::collections::VecDeque;
use std::rc::Rc;

/// Payload of one segment, in bytes.
pub(crate) const SEGMENT_BYTES: usize = 1_400;
/// Overhead of TLS, HTTP/2 and gRPC per message, in bytes; estimated.
pub(crate) const FRAMING_BYTES: usize = 36;
/// Overhead of TCP and IP per segment, in bytes.
pub(crate) const SEGMENT_OVERHEAD_BYTES: usize = 52;
/// Minimum retransmission timeout (Linux), in nanoseconds.
const RTO_MIN: u64 = 200_000_000;
/// Retransmission timeout before the first measured round trip (RFC 6298), in nanoseconds.
const RTO_FIRST: u64 = 1_000_000_000;
/// A connection with data unacknowledged for this time, in nanoseconds, breaks (the keepalive limit in production).
pub(crate) const GIVES_UP_AFTER: u64 = 30_000_000_000;
/// Timeout of a handshake, in nanoseconds.
pub(crate) const DIAL_GIVES_UP_AFTER: u64 = 10_000_000_000;

/// Sizes of the flights of TCP, TLS 1.3 with both certificates, and the opening of the stream, in bytes.
pub(crate) const FLIGHTS: [usize; 6] = [60, 60, 300, 1_000, 1_000, 100];

/// An item in flight.
#[derive(Clone, Debug)]
pub(crate) enum ItemInFlight {
    /// A flight of the handshake, from 1. Flights with odd numbers go from the dialer to the acceptor.
    Flight(u8),
    /// A message.
    Message(Rc<dyn Message>),
    /// The end of the stream.
    Fin(CloseReason),
}

/// An item and the state of its transmission.
#[derive(Debug)]
struct Parcel {
    item: ItemInFlight,
    /// Encoded bytes of a message; of a flight, all bytes.
    bytes: usize,
    /// Number of segments not known to have arrived.
    segments: u32,
    attempts: u32,
    /// Number of times that the retransmission timeout was doubled.
    backoff: u32,
    /// The time of the next retransmission. Earlier scheduled retransmissions are void.
    again_at: u64,
    sent_at: u64,
    arrived: bool,
    /// The cause of the transmission.
    cause: Cause,
}

impl Parcel {
    const fn in_flight(&self) -> InFlight {
        InFlight {
            bytes: self.bytes,
            segments: self.segments,
            attempts: self.attempts,
            sent_at: self.sent_at,
            is_message: matches!(self.item, ItemInFlight::Message(_)),
            needs_process: matches!(self.item, ItemInFlight::Flight(flight) if flight > 2),
        }
    }
}

/// Parcels in order. There is rarely more than one, so the first is stored inline.
#[derive(Debug)]
struct Parcels {
    head: Option<Parcel>,
    /// Empty unless there is a head.
    tail: VecDeque<Parcel>,
}

impl Parcels {
    const fn new() -> Self {
        Self {
            head: None,
            tail: VecDeque::new(),
        }
    }

    fn len(&self) -> usize {
        usize::from(self.head.is_some()) + self.tail.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    const fn front(&self) -> Option<&Parcel> {
        self.head.as_ref()
    }

    fn get_mut(&mut self, index: usize) -> Option<&mut Parcel> {
        match index.checked_sub(1) {
            None => self.head.as_mut(),
            Some(index) => self.tail.get_mut(index),
        }
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Parcel> {
        self.head.iter_mut().chain(self.tail.iter_mut())
    }

    fn push_back(&mut self, parcel: Parcel) {
        if self.head.is_none() {
            self.head = Some(parcel);
        } else {
            self.tail.push_back(parcel);
        }
    }

    fn pop_front(&mut self) -> Option<Parcel> {
        let next = self.tail.pop_front();
        if next.is_some() && self.tail.is_empty() {
            // An idle lane allocates no memory.
            self.tail = VecDeque::new();
        }
        std::mem::replace(&mut self.head, next)
    }
}

/// The state of a parcel that arrives or is due for retransmission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InFlight {
    pub bytes: usize,
    /// Number of segments not known to have arrived.
    pub segments: u32,
    pub attempts: u32,
    pub sent_at: u64,
    pub is_message: bool,
    /// Whether the receiving process must run to take the parcel: the kernel answers a SYN, but no later flight.
    pub needs_process: bool,
}

/// An item that waits for the bandwidth of the sender.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub item: ItemInFlight,
    pub bytes: usize,
    /// The cause of the transmission.
    pub cause: Cause,
}

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Stream {
    parcels: Parcels,
    /// Number of the first parcel in the queue.
    first: u64,
    /// The time from which the sender's bandwidth is free.
    free_at: u64,
    /// The items that wait for it; allocated while there are any.
    waiting: Option<Box<Lanes<Waiting>>>,
    srtt: u64,
    rttvar: u64,
}

impl Stream {
    /// Creates a stream without parcels.
    pub(super) const fn new() -> Self {
        Self {
            parcels: Parcels::new(),
            first: 0,
            free_at: 0,
            waiting: None,
            srtt: 0,
            rttvar: 0,
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.parcels.is_empty() && self.waiting.is_none()
    }

    /// Returns whether an item must wait for the bandwidth of the sender.
    pub(super) const fn is_busy(&self, now: u64) -> bool {
        self.free_at > now || self.waiting.is_some()
    }

    /// Lets an item wait for the bandwidth; returns the time at which the first item is to be sent, if this one is the
    /// only one.
    pub(super) fn wait(&mut self, placement: Placement, waiting: Waiting) -> Option<u64> {
        let is_first = self.waiting.is_none();
        let lanes = self.waiting.get_or_insert_default();
        lanes.push(placement, waiting);
        is_first.then_some(self.free_at)
    }

    /// Removes and returns the next item that waits for the bandwidth.
    pub(super) fn next_waiting(&mut self) -> Option<Waiting> {
        let lanes = self.waiting.as_mut()?;
        let next = lanes.pop();
        if lanes.is_empty() {
            self.waiting = None;
        }
        next
    }

    /// Returns the time at which the next waiting item is to be sent, if there is one.
    pub(super) fn departure(&self) -> Option<u64> {
        self.waiting.as_ref().map(|_| self.free_at)
    }

    /// Drops the items that wait for the bandwidth.
    pub(super) fn drop_waiting(&mut self) {
        self.waiting = None;
    }

    /// Reserves the bandwidth of the sender for a number of bytes; returns the time until the last bit has left.
    pub(super) fn reserve(&mut self, now: u64, bytes: usize, bits_per_second: u64) -> u64 {
        let depart = self.free_at.max(now);
        let bits = (bytes + FRAMING_BYTES) as u64 * 8;
        self.free_at = depart + bits * 1_000_000_000 / bits_per_second;
        self.free_at - now
    }

    /// Appends a parcel; returns its number.
    pub(super) fn push(&mut self, item: ItemInFlight, bytes: usize, now: u64, cause: Cause) -> u64 {
        let number = self.first + self.parcels.len() as u64;
        self.parcels.push_back(Parcel {
            item,
            bytes,
            segments: segments(bytes),
            attempts: 0,
            backoff: 0,
            again_at: 0,
            sent_at: now,
            arrived: false,
            cause,
        });
        number
    }

    fn parcel(&mut self, number: u64) -> Option<&mut Parcel> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.parcels.get_mut(index)
    }

    /// Begins a transmission of a parcel; returns its state before, unless it was delivered.
    pub(super) fn begin_attempt(&mut self, number: u64) -> Option<InFlight> {
        let parcel = self.parcel(number)?;
        let before = parcel.in_flight();
        parcel.attempts += 1;
        Some(before)
    }

    /// Returns the state of a parcel, unless it was delivered.
    pub(super) fn in_flight(&mut self, number: u64) -> Option<InFlight> {
        Some(self.parcel(number)?.in_flight())
    }

    /// Returns the time of the first transmission of a parcel whose retransmission is due.
    pub(super) fn due(&mut self, number: u64, now: u64) -> Option<u64> {
        let parcel = self.parcel(number)?;
        (!parcel.arrived && parcel.again_at == now).then_some(parcel.sent_at)
    }

    /// Records that a number of segments of a parcel were lost; returns the time of their retransmission.
    pub(super) fn lose(&mut self, number: u64, segments: u32, now: u64) -> u64 {
        if let Some(parcel) = self.parcel(number) {
            parcel.segments = segments;
        }
        self.again_at(number, now)
    }

    /// Records the arrival of a parcel. A first transmission measures the round trip. A retransmission hurries the
    /// parcels missing after it; returns their numbers and the time of their retransmission.
    pub(super) fn arrive(&mut self, number: u64, now: u64) -> (Option<u64>, Vec<u64>, u64) {
        let Some(parcel) = self.parcel(number) else {
            return (None, Vec::new(), now);
        };
        parcel.arrived = true;
        if parcel.attempts == 1 {
            let rtt = 2 * (now - parcel.sent_at);
            self.measured(rtt);
            return (Some(rtt), Vec::new(), now);
        }
        let (numbers, at) = self.hurry(now);
        (None, numbers, at)
    }

    /// Removes and returns the first parcel if it has arrived: its item, bytes and cause.
    pub(super) fn pop_arrived(&mut self) -> Option<(ItemInFlight, usize, Cause)> {
        if !self.parcels.front()?.arrived {
            return None;
        }
        self.first += 1;
        let parcel = self.parcels.pop_front()?;
        Some((parcel.item, parcel.bytes, parcel.cause))
    }

    /// Updates the round-trip estimate with a measurement (RFC 6298).
    pub(super) const fn measured(&mut self, rtt: u64) {
        if self.srtt == 0 {
            self.srtt = rtt;
            self.rttvar = rtt / 2;
        } else {
            self.rttvar = (3 * self.rttvar + self.srtt.abs_diff(rtt)) / 4;
            self.srtt = (7 * self.srtt + rtt) / 8;
        }
    }

    /// Returns the time of the next retransmission of a parcel that has not arrived; doubles its timeout.
    fn again_at(&mut self, number: u64, now: u64) -> u64 {
        let first = if self.srtt == 0 {
            RTO_FIRST
        } else {
            RTO_MIN.max(self.srtt + 4 * self.rttvar)
        };
        let Some(parcel) = self.parcel(number) else {
            return now + first;
        };
        parcel.again_at = now + (first << parcel.backoff.min(9));
        parcel.backoff += 1;
        parcel.again_at
    }

    /// Schedules all missing parcels for one round trip from now, because a retransmission arrived. Returns their
    /// numbers and the time.
    fn hurry(&mut self, now: u64) -> (Vec<u64>, u64) {
        let at = now + self.srtt.max(1);
        let first = self.first;
        let waiting = self.parcels.iter_mut().zip(first..);
        let hurried = waiting.filter(|(parcel, _)| !parcel.arrived && parcel.again_at > at);
        let numbers = hurried.map(|(parcel, number)| {
            parcel.backoff = 0;
            parcel.again_at = at;
            number
        });
        (numbers.collect(), at)
    }
}

/// Returns the number of segments of a message of this size.
pub(crate) fn segments(bytes: usize) -> u32 {
    u32::try_from((bytes + FRAMING_BYTES).div_ceil(SEGMENT_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_core::lane::Lane;

    #[test]
    fn retransmitted_parcels_follow_the_first_that_arrived() {
        let mut stream = Stream::new();
        stream.measured(2_000_000);
        let numbers: Vec<u64> = (0..3)
            .map(|at| stream.push(ItemInFlight::Flight(at), 10, 0, Cause::NONE))
            .collect();
        // The first two parcels were lost twice; the third is in flight.
        for at in [0, 200_000_000] {
            let waits: Vec<u64> = numbers[..2]
                .iter()
                .map(|n| stream.again_at(*n, at))
                .collect();
            assert_eq!(waits, [2 * at + 200_000_000; 2]);
        }
        stream.parcel(0).expect("waits").arrived = true;
        let now = 600_000_000;
        assert_eq!(
            stream.hurry(now),
            (vec![], now + 2_000_000),
            "it is time anyway"
        );
        let now = 590_000_000;
        assert_eq!(stream.hurry(now), (vec![1], now + 2_000_000));
        // The backoff was reset: the next timeout is the minimum.
        assert_eq!(stream.again_at(1, now + 2_000_000), now + 202_000_000);
    }

    #[test]
    fn items_wait_in_lanes_while_the_bandwidth_is_taken() {
        let mut stream = Stream::new();
        assert!(!stream.is_busy(0));
        let wait = stream.reserve(0, 1_000 - FRAMING_BYTES, 8_000);
        assert_eq!(wait, 1_000_000_000);
        assert!(stream.is_busy(0) && !stream.is_busy(wait));
        let waiting = |flight| Waiting {
            item: ItemInFlight::Flight(flight),
            bytes: 10,
            cause: Cause::NONE,
        };
        let bulk = Placement::of(Lane::Channel);
        assert_eq!(stream.wait(bulk, waiting(1)), Some(wait));
        assert_eq!(stream.wait(bulk, waiting(2)), None);
        let control = Placement::of(Lane::Control);
        assert_eq!(stream.wait(control, waiting(3)), None);
        assert!(stream.is_busy(wait), "earlier items wait");
        let mut sent = Vec::new();
        while let Some(Waiting { item, .. }) = stream.next_waiting() {
            sent.push(item);
        }
        let expected = [
            ItemInFlight::Flight(3),
            ItemInFlight::Flight(1),
            ItemInFlight::Flight(2),
        ];
        assert_eq!(format!("{sent:?}"), format!("{expected:?}"));
        assert!(stream.is_empty() && stream.departure().is_none());
    }
}
