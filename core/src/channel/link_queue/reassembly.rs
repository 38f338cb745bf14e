//! Reassembly of the payload that arrives on a link in segments.
//!
//! A payload of more than [`WITHOUT_ROOM_MAX`] bytes needs room among the payloads of all links, which the caller grants.
//! Until then the payload waits: the link returns no credit, so that the neighbour stops after a window. With room, the
//! memory of the whole payload is allocated once, and the credit is returned.
//!
//! The remaining segments of a payload can be skipped: they are counted and dropped.
//!
//! Bound: [`WITHOUT_ROOM_MAX`] bytes of a payload without room; the size of the payload with room.

use crate::channel::message::{Item, PAYLOAD_BYTES_MAX, Packet, Update};
use crate::size::FRAME_BYTES_MAX;
use std::sync::Arc;

/// Maximum number of bytes sent on a link that the neighbour has not consumed.
pub const WINDOW: u32 = 256 * 1024;

/// Maximum number of bytes of a payload that is received without room. A neighbour sends at most this many bytes without
/// credit.
pub(crate) const WITHOUT_ROOM_MAX: usize = WINDOW as usize + FRAME_BYTES_MAX;

/// The received part of a payload.
#[derive(Clone, Debug, PartialEq)]
enum Content {
    /// The part of a payload that needs no room, or that waits for room.
    Part(Vec<u8>),
    /// The memory of the whole payload, and the number of bytes received.
    Whole(Arc<[u8]>, usize),
    /// The payload is known: the item is returned without it.
    Known,
    /// Payload and item are dropped.
    Dropped,
}

/// A payload with missing segments.
#[derive(Clone, Debug, PartialEq)]
struct Partial {
    item: Item,
    content: Content,
    /// The size of the whole payload.
    size: usize,
    missing: usize,
}

/// Reasons why the items of a message are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReassemblyFault {
    /// A segment without its beginning, or a payload above [`PAYLOAD_BYTES_MAX`].
    Broken,
    /// The neighbour sent more than its window while the payload waited for room.
    Unpermitted,
}

/// The effect of one message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ReceivedItems {
    /// The items that are complete. An update of which the payload was skipped has a number of remaining bytes.
    pub items: Result<Vec<Item>, ReassemblyFault>,
    /// Whether a payload with room, or that waited for room, has ended.
    pub ended: bool,
    /// The size of a payload that began and waits for room.
    pub waits: Option<usize>,
}

/// The reassembly of one link.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reassembly {
    partial: Option<Partial>,
    /// Bytes of messages for which no credit was returned, because their payload waits for room.
    withheld: u32,
}

impl Partial {
    const fn needs_room(&self) -> bool {
        match self.content {
            Content::Part(_) => self.size > WITHOUT_ROOM_MAX,
            Content::Whole(..) => true,
            Content::Known | Content::Dropped => false,
        }
    }

    /// Adds a segment.
    fn extend(&mut self, segment: &[u8]) -> Result<(), ReassemblyFault> {
        if segment.is_empty() || segment.len() > self.missing {
            return Err(ReassemblyFault::Broken);
        }
        self.missing -= segment.len();
        match &mut self.content {
            Content::Part(part) => {
                if part.len() + segment.len() > WITHOUT_ROOM_MAX {
                    self.content = Content::Dropped;
                    return Err(ReassemblyFault::Unpermitted);
                }
                part.extend_from_slice(segment);
            }
            Content::Whole(whole, len) => {
                let end = *len + segment.len();
                Arc::make_mut(whole)[*len..end].copy_from_slice(segment);
                *len = end;
            }
            Content::Known | Content::Dropped => {}
        }
        Ok(())
    }

    /// The item, once no segment is missing.
    fn finish(self) -> Option<Item> {
        let (payload, skipped): (Arc<[u8]>, usize) = match self.content {
            Content::Part(part) => (Arc::from(part), 0),
            Content::Whole(whole, _) => (whole, 0),
            Content::Known => (Arc::from([]), self.size),
            Content::Dropped => return None,
        };
        let remaining = u32::try_from(skipped).unwrap_or(u32::MAX);
        match self.item {
            Item::Update { update, repair, .. } => Some(Item::Update {
                update: Arc::new(Update {
                    payload,
                    ..Update::clone(&update)
                }),
                repair,
                remaining,
            }),
            Item::Packet { packet, .. } => Some(Item::Packet {
                packet: Arc::new(Packet {
                    payload,
                    ..Packet::clone(&packet)
                }),
                remaining,
            }),
            // Other items have no payload.
            Item::Have(_)
            | Item::Graft(_)
            | Item::Segment(_)
            | Item::Digest { .. }
            | Item::Sketch { .. }
            | Item::Larger { .. }
            | Item::Want { .. } => None,
        }
    }
}

impl Reassembly {
    /// Processes the items of one message. If a payload is invalid, all items of the message are dropped.
    pub(super) fn receive(&mut self, items: Vec<Item>) -> ReceivedItems {
        let mut complete = Vec::with_capacity(items.len());
        let (mut ended, mut fault) = (false, None);
        for item in items {
            let had_room = self.needs_room();
            let taken = match item {
                Item::Segment(segment) => self
                    .extend(&segment)
                    .map(|finished| complete.extend(finished)),
                Item::Update {
                    ref update,
                    remaining,
                    ..
                } if remaining > 0 => self.begin(&Arc::clone(&update.payload), remaining, item),
                Item::Packet {
                    ref packet,
                    remaining,
                } if remaining > 0 => self.begin(&Arc::clone(&packet.payload), remaining, item),
                Item::Update { .. }
                | Item::Packet { .. }
                | Item::Have(_)
                | Item::Graft(_)
                | Item::Digest { .. }
                | Item::Sketch { .. }
                | Item::Larger { .. }
                | Item::Want { .. } => {
                    complete.push(item);
                    let broken = self.partial.take().is_some();
                    if broken {
                        Err(ReassemblyFault::Broken)
                    } else {
                        Ok(())
                    }
                }
            };
            ended |= had_room && !self.needs_room();
            fault = fault.or(taken.err());
        }
        ReceivedItems {
            items: fault.map_or(Ok(complete), Err),
            ended,
            waits: self.waiting(),
        }
    }

    fn begin(&mut self, first: &[u8], remaining: u32, item: Item) -> Result<(), ReassemblyFault> {
        let missing = remaining as usize;
        let size = first.len() + missing;
        let fits = size <= PAYLOAD_BYTES_MAX && self.partial.is_none();
        self.partial = fits.then(|| Partial {
            item,
            content: Content::Part(first.to_vec()),
            size,
            missing,
        });
        if fits {
            Ok(())
        } else {
            Err(ReassemblyFault::Broken)
        }
    }

    /// Adds a segment. Returns the item if the segment is its last one.
    fn extend(&mut self, segment: &[u8]) -> Result<Option<Item>, ReassemblyFault> {
        let mut partial = self.partial.take().ok_or(ReassemblyFault::Broken)?;
        let taken = partial.extend(segment);
        if taken == Err(ReassemblyFault::Broken) {
            return Err(ReassemblyFault::Broken);
        }
        if partial.missing > 0 {
            self.partial = Some(partial);
            return taken.map(|()| None);
        }
        taken.map(|()| partial.finish())
    }

    fn needs_room(&self) -> bool {
        self.partial.as_ref().is_some_and(Partial::needs_room)
    }

    /// The size of the payload that waits for room.
    pub(super) fn waiting(&self) -> Option<usize> {
        let partial = self.partial.as_ref()?;
        let waits = partial.needs_room() && matches!(partial.content, Content::Part(_));
        waits.then_some(partial.size)
    }

    /// The broadcast whose payload arrives, and whether it is a repair.
    pub(super) fn broadcast(&self) -> Option<(&Update, bool)> {
        match &self.partial.as_ref()?.item {
            Item::Update { update, repair, .. } => Some((update, *repair)),
            Item::Packet { .. }
            | Item::Have(_)
            | Item::Graft(_)
            | Item::Segment(_)
            | Item::Digest { .. }
            | Item::Sketch { .. }
            | Item::Larger { .. }
            | Item::Want { .. } => None,
        }
    }

    /// The payload that waited has room.
    pub(super) fn give_room(&mut self) {
        let Some(partial) = &mut self.partial else {
            return;
        };
        if let Content::Part(part) = &partial.content {
            let mut whole: Arc<[u8]> = core::iter::repeat_n(0, partial.size).collect();
            Arc::make_mut(&mut whole)[..part.len()].copy_from_slice(part);
            partial.content = Content::Whole(whole, part.len());
        }
    }

    /// Skips the rest of the payload. If the broadcast is known, its item is returned at the end.
    pub(super) fn skip(&mut self, known: bool) {
        if let Some(partial) = &mut self.partial {
            partial.content = if known {
                Content::Known
            } else {
                Content::Dropped
            };
        }
    }

    /// A message of `bytes` bytes was processed. Returns the bytes for which credit is due.
    pub(super) fn due_credit(&mut self, bytes: u32) -> u32 {
        self.withheld = self.withheld.saturating_add(bytes);
        if self.waiting().is_some() {
            return 0;
        }
        core::mem::replace(&mut self.withheld, 0)
    }

    /// The bytes of memory of the payload.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        match self.partial.as_ref().map(|partial| &partial.content) {
            Some(Content::Part(part)) => part.len(),
            Some(Content::Whole(whole, _)) => whole.len(),
            Some(Content::Known | Content::Dropped) | None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::tests::sample::message;
    use proptest::prelude::*;

    fn update(payload: &[u8]) -> Arc<Update> {
        let mut update = Update::clone(&message("a", 1, 0));
        update.payload = Arc::from(payload);
        Arc::new(update)
    }

    fn whole(payload: &[u8], remaining: u32) -> Item {
        Item::Update {
            update: update(payload),
            repair: false,
            remaining,
        }
    }

    fn segment(bytes: &[u8]) -> Item {
        Item::Segment(Arc::from(bytes))
    }

    fn items(reassembly: &mut Reassembly, items: Vec<Item>) -> Result<Vec<Item>, ReassemblyFault> {
        reassembly.receive(items).items
    }

    /// A reassembly whose payload of `size` bytes waits for room after its first byte.
    fn waiting(size: usize) -> Reassembly {
        let mut reassembly = Reassembly::default();
        let begun = reassembly.receive(vec![whole(b"a", size as u32 - 1)]);
        assert_eq!(begun.waits, Some(size));
        reassembly
    }

    #[test]
    fn an_item_in_segments_is_complete_with_its_last_segment() {
        let mut reassembly = Reassembly::default();
        let beginning = vec![whole(b"ab", 3), segment(b"c")];
        assert_eq!(items(&mut reassembly, beginning), Ok(Vec::new()));
        let have = Item::Have(update(b"").id.clone());
        let end = vec![segment(b"de"), have.clone()];
        let received = reassembly.receive(end);
        assert_eq!(received.items, Ok(vec![whole(b"abcde", 0), have]));
        assert!(!received.ended, "a small payload needs no room");
    }

    #[test]
    fn a_segment_out_of_place_breaks_its_message() {
        let mut reassembly = Reassembly::default();
        let have = || Item::Have(update(b"").id.clone());
        let broken = [
            vec![segment(b"a")],
            vec![whole(b"ab", 3), have()],
            vec![whole(b"ab", 3), whole(b"ab", 3)],
            vec![whole(b"ab", 3), segment(b"")],
            vec![whole(b"ab", 3), segment(b"cdef")],
            vec![whole(b"ab", u32::MAX)],
        ];
        for broken in broken {
            let received = items(&mut reassembly, broken);
            assert_eq!(received, Err(ReassemblyFault::Broken));
            assert_eq!(items(&mut reassembly, vec![have()]), Ok(vec![have()]));
        }
    }

    #[test]
    fn a_large_payload_returns_credit_once_it_has_room() {
        let mut reassembly = waiting(WITHOUT_ROOM_MAX + 1);
        assert_eq!(reassembly.due_credit(20), 0);
        assert!(reassembly.receive(vec![segment(b"b")]).waits.is_some());
        assert_eq!(reassembly.due_credit(30), 0);
        reassembly.give_room();
        assert_eq!(reassembly.due_credit(0), 50);
        assert_eq!(reassembly.held(), WITHOUT_ROOM_MAX + 1);
        let rest = vec![7; WITHOUT_ROOM_MAX - 1];
        let received = reassembly.receive(vec![segment(&rest)]);
        assert!(received.ended);
        let expected = [b"ab", &rest[..]].concat();
        assert_eq!(received.items, Ok(vec![whole(&expected, 0)]));
    }

    #[test]
    fn a_payload_that_exceeds_the_window_while_it_waits_is_dropped_to_its_end() {
        let mut reassembly = waiting(3 * WITHOUT_ROOM_MAX);
        let part = vec![7; WITHOUT_ROOM_MAX];
        let received = reassembly.receive(vec![segment(&part)]);
        assert_eq!(received.items, Err(ReassemblyFault::Unpermitted));
        assert!(received.ended && reassembly.held() == 0);
        assert_eq!(reassembly.due_credit(5), 5, "the link goes on");
        let rest = vec![segment(&part), segment(&part[..WITHOUT_ROOM_MAX - 1])];
        assert_eq!(items(&mut reassembly, rest), Ok(Vec::new()));
        let next = vec![whole(b"next", 0)];
        assert_eq!(items(&mut reassembly, next.clone()), Ok(next));
    }

    #[test]
    fn a_known_payload_is_skipped_and_its_item_returned_without_it() {
        let mut reassembly = waiting(WITHOUT_ROOM_MAX + 1);
        reassembly.skip(true);
        assert_eq!((reassembly.held(), reassembly.waiting()), (0, None));
        let received = reassembly.receive(vec![segment(&vec![7; WITHOUT_ROOM_MAX])]);
        let skipped = whole(b"", WITHOUT_ROOM_MAX as u32 + 1);
        assert_eq!(received.items, Ok(vec![skipped]));
        assert!(!received.ended, "it had no room");
    }

    #[test]
    fn an_item_between_the_segments_ends_a_payload_with_room() {
        let mut reassembly = waiting(WITHOUT_ROOM_MAX + 1);
        reassembly.give_room();
        let received = reassembly.receive(vec![whole(b"x", 0)]);
        assert_eq!(received.items, Err(ReassemblyFault::Broken));
        assert!(received.ended && reassembly.held() == 0);
    }

    proptest! {
        /// A payload arrives as it was sent, however it is split over messages and whenever it has room.
        #[test]
        fn a_payload_survives_its_segments(
            size in prop_oneof![1_usize..5_000, WITHOUT_ROOM_MAX - 9..WITHOUT_ROOM_MAX + 90_000],
            seed in any::<u8>(),
            segments in prop::collection::vec(1_usize..60_000, 1..9),
            room_after in 0_usize..4,
        ) {
            let bytes: Vec<u8> = (0..size).map(|at| (at as u8).wrapping_mul(31) ^ seed).collect();
            let (mut reassembly, mut arrived, mut at, mut owed, mut due) = (Reassembly::default(), Vec::new(), 0, 0, 0);
            for (number, length) in segments.iter().cycle().enumerate() {
                let end = (at + length).min(size);
                let item = match at {
                    0 => whole(&bytes[..end], (size - end) as u32),
                    _ => segment(&bytes[at..end]),
                };
                if number >= room_after {
                    reassembly.give_room();
                }
                let received = reassembly.receive(vec![item]);
                owed += 9;
                due += reassembly.due_credit(9);
                arrived.extend(received.items.unwrap());
                at = end;
                if at == size {
                    break;
                }
            }
            prop_assert_eq!(arrived, vec![whole(&bytes, 0)]);
            prop_assert_eq!((owed, reassembly.held()), (due, 0));
        }
    }
}
