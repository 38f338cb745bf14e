//! The event heap: events ordered by time, then by the order in which they were scheduled.

use crate::record::Cause;
use core::cmp::Reverse;
use std::collections::BinaryHeap;

/// Number of bits of an entry that hold the index of the event.
const SLOT_BITS: u32 = 24;

/// The time of an event, its number and its index in one number that sorts in the order of events: 64 bits, 40 bits and
/// 24 bits.
type Entry = u128;

/// An event heap. Times are nanoseconds of true time.
#[derive(Debug)]
pub(crate) struct Heap<E> {
    order: BinaryHeap<Reverse<Entry>>,
    slots: Vec<Option<(E, Cause)>>,
    free: Vec<u32>,
    planned: u64,
    /// The cause of the events scheduled next; `pop` sets it to the cause of the event that it returns.
    cause: Cause,
}

impl<E> Heap<E> {
    pub(crate) const fn new() -> Self {
        Self {
            order: BinaryHeap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            planned: 0,
            cause: Cause::NONE,
        }
    }

    /// Returns the cause of the events scheduled next.
    pub(crate) const fn cause(&self) -> Cause {
        self.cause
    }

    /// Sets the cause of the events scheduled next.
    pub(crate) const fn set_cause(&mut self, cause: Cause) {
        self.cause = cause;
    }

    /// Schedules an event.
    ///
    /// # Panics
    /// Panics if more than 2^24 events are scheduled at a time, or more than 2^40 in total.
    pub(crate) fn push(&mut self, at: u64, event: E) {
        let event = (event, self.cause);
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(event);
                slot
            }
            None => {
                self.slots.push(Some(event));
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.planned += 1;
        assert!(
            slot >> SLOT_BITS == 0 && self.planned >> (64 - SLOT_BITS) == 0,
            "more events than the heap can number"
        );
        let entry = u128::from(at) << 64 | u128::from(self.planned << SLOT_BITS | u64::from(slot));
        self.order.push(Reverse(entry));
    }

    /// Returns the time of the next event.
    pub(crate) fn next(&self) -> Option<u64> {
        self.order.peek().map(|Reverse(entry)| (entry >> 64) as u64)
    }

    /// Removes the next event, and returns it with its time and number.
    pub(crate) fn pop(&mut self) -> Option<(u64, u64, E)> {
        let Reverse(first) = self.order.pop()?;
        let slot = first as u32 & ((1 << SLOT_BITS) - 1);
        let (event, cause) = self.slots[slot as usize].take()?;
        self.cause = cause;
        self.free.push(slot);
        Some(((first >> 64) as u64, first as u64 >> SLOT_BITS, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_core::random::Random;

    #[test]
    fn events_of_one_instant_happen_in_the_order_they_were_planned() {
        let mut heap = Heap::new();
        for (at, event) in [(5, 'a'), (3, 'b'), (5, 'c'), (3, 'd')] {
            heap.push(at, event);
        }
        let order: String = std::iter::from_fn(|| heap.pop().map(|(_, _, event)| event)).collect();
        assert_eq!(order, "bdac");
    }

    #[test]
    fn whatever_is_planned_happens_once_and_in_order() {
        let (mut heap, mut random) = (Heap::new(), Random::from_seed(1));
        let mut planned = Vec::new();
        let mut happened = Vec::new();
        for event in 0..2_000 {
            let at = random.below(50) + happened.last().map_or(0, |(at, _)| *at);
            heap.push(at, event);
            planned.push((at, event));
            if random.below(3) == 0 {
                happened.extend(heap.pop().map(|(at, _, event)| (at, event)));
            }
        }
        happened.extend(std::iter::from_fn(|| {
            heap.pop().map(|(at, _, event)| (at, event))
        }));
        planned.sort_unstable();
        assert_eq!(happened, planned);
        assert_eq!(heap.next(), None);
    }
}
