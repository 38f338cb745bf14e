//! What happens when: events ordered by time, then by the order in which they were planned.

use crate::record::Cause;
use core::cmp::Reverse;
use std::collections::BinaryHeap;

/// An event heap. Times are nanoseconds of true time.
#[derive(Debug)]
pub(crate) struct Heap<E> {
    order: BinaryHeap<Reverse<(u64, u64, u32)>>,
    slots: Vec<Option<(E, Cause)>>,
    free: Vec<u32>,
    planned: u64,
    /// What leads to the events planned from here on; after `pop`, what led to the event.
    pub(crate) cause: Cause,
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

    /// Plans an event.
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
        self.order.push(Reverse((at, self.planned, slot)));
    }

    /// When the next event happens.
    pub(crate) fn next(&self) -> Option<u64> {
        self.order.peek().map(|Reverse((at, _, _))| *at)
    }

    /// Takes the next event, with its time and number.
    pub(crate) fn pop(&mut self) -> Option<(u64, u64, E)> {
        let Reverse((at, number, slot)) = self.order.pop()?;
        let (event, cause) = self.slots[slot as usize].take()?;
        self.cause = cause;
        self.free.push(slot);
        Some((at, number, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_one_instant_happen_in_the_order_they_were_planned() {
        let mut heap = Heap::new();
        for (at, event) in [(5, 'a'), (3, 'b'), (5, 'c'), (3, 'd')] {
            heap.push(at, event);
        }
        let order: String = std::iter::from_fn(|| heap.pop().map(|(_, _, event)| event)).collect();
        assert_eq!(order, "bdac");
    }
}
