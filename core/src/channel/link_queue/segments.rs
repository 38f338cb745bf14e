//! Payloads larger than a message, which the sender cuts into segments and the receiver reassembles.
//!
//! The first segment is sent in its item, with the number of bytes that follow. The other segments follow directly on
//! the same link, without other items in between.

use crate::channel::message::{Item, PAYLOAD_BYTES_MAX, Packet, Update};
use crate::size;
use std::sync::Arc;

/// A payload is cut only if a first segment of at least this many bytes fits.
const SEGMENT_BYTES_MIN: usize = 512;
/// Space for the tags and lengths of a further segment, in bytes.
const SEGMENT_HEADROOM: usize = 16;

/// The payload in transmission on a link.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Segmenter {
    /// The payload and the number of bytes sent.
    payload: Option<(Arc<[u8]>, usize)>,
}

impl Segmenter {
    /// Whether segments of a payload are pending.
    pub(super) const fn is_active(&self) -> bool {
        self.payload.is_some()
    }

    /// Starts a payload whose first `sent` bytes are sent in their item.
    pub(super) fn begin(&mut self, payload: Arc<[u8]>, sent: usize) {
        self.payload = Some((payload, sent));
    }

    /// The next segment, for a message with `room` bytes left.
    pub(super) fn next(&mut self, room: usize) -> Option<Arc<[u8]>> {
        let (payload, sent) = self.payload.take()?;
        let end = payload
            .len()
            .min(sent + room.saturating_sub(SEGMENT_HEADROOM));
        let segment = Arc::from(&payload[sent..end]);
        if end < payload.len() {
            self.payload = Some((payload, end));
        }
        Some(segment)
    }
}

/// A payload with missing segments.
#[derive(Clone, Debug, PartialEq)]
struct Partial {
    item: Item,
    payload: Vec<u8>,
    missing: usize,
}

/// A segment without its beginning, or a payload above [`PAYLOAD_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BrokenPayload;

/// Reassembles the payloads received on a link.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reassembly {
    partial: Option<Partial>,
}

impl Reassembly {
    /// Processes the items of one message. Returns the items that are complete.
    ///
    /// # Errors
    /// Returns an error if a payload is invalid. All items of the message are then dropped.
    pub(super) fn receive(&mut self, items: Vec<Item>) -> Result<Vec<Item>, BrokenPayload> {
        let mut complete = Vec::with_capacity(items.len());
        let mut result = Ok(());
        for item in items {
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
                    self.partial.take().map_or(Ok(()), |_| Err(BrokenPayload))
                }
            };
            result = result.and(taken);
        }
        result.map(|()| complete)
    }

    fn begin(&mut self, first: &[u8], remaining: u32, item: Item) -> Result<(), BrokenPayload> {
        let missing = remaining as usize;
        let fits = first.len() + missing <= PAYLOAD_BYTES_MAX && self.partial.is_none();
        self.partial = fits.then(|| Partial {
            item,
            payload: first.to_vec(),
            missing,
        });
        if fits { Ok(()) } else { Err(BrokenPayload) }
    }

    /// Adds a segment. Returns the item if the segment is its last one.
    fn extend(&mut self, segment: &[u8]) -> Result<Option<Item>, BrokenPayload> {
        let mut partial = self.partial.take().ok_or(BrokenPayload)?;
        if segment.is_empty() || segment.len() > partial.missing {
            return Err(BrokenPayload);
        }
        partial.payload.extend_from_slice(segment);
        partial.missing -= segment.len();
        if partial.missing > 0 {
            self.partial = Some(partial);
            return Ok(None);
        }
        let payload: Arc<[u8]> = Arc::from(partial.payload);
        match partial.item {
            Item::Update { update, repair, .. } => Ok(Some(Item::Update {
                update: Arc::new(Update {
                    payload,
                    ..Update::clone(&update)
                }),
                repair,
                remaining: 0,
            })),
            Item::Packet { packet, .. } => Ok(Some(Item::Packet {
                packet: Arc::new(Packet {
                    payload,
                    ..Packet::clone(&packet)
                }),
                remaining: 0,
            })),
            // Other items have no payload.
            Item::Have(_)
            | Item::Graft(_)
            | Item::Segment(_)
            | Item::Digest { .. }
            | Item::Sketch { .. }
            | Item::Larger { .. }
            | Item::Want { .. } => Err(BrokenPayload),
        }
    }
}

/// The bytes that an item of `len` bytes takes in a message.
pub(super) const fn item_cost(len: usize) -> usize {
    size::delimited(size::delimited(len))
}

/// The number of payload bytes that fit in a message with `room` bytes left, and the number of bytes that then follow
/// in segments. None if the item waits for the next message. `len` gives the item's size for both numbers.
pub(super) fn split(
    payload: usize,
    room: usize,
    len: impl Fn(usize, u32) -> usize,
) -> Option<(usize, u32)> {
    if item_cost(len(payload, 0)) <= room {
        return Some((payload, 0));
    }
    // The cost without payload counts five bytes for the number of bytes that follow and one byte for each length; a
    // length may take two bytes more.
    let first = room.checked_sub(item_cost(len(0, u32::MAX)) + 8)?;
    let first = first.min(payload.saturating_sub(1));
    let remaining = u32::try_from(payload - first).ok()?;
    (first >= SEGMENT_BYTES_MIN).then_some((first, remaining))
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

    #[test]
    fn an_item_in_segments_is_complete_with_its_last_segment() {
        let mut reassembly = Reassembly::default();
        let beginning = vec![whole(b"ab", 3), segment(b"c")];
        assert_eq!(reassembly.receive(beginning), Ok(Vec::new()));
        let have = Item::Have(update(b"").id.clone());
        let end = vec![segment(b"de"), have.clone()];
        assert_eq!(reassembly.receive(end), Ok(vec![whole(b"abcde", 0), have]));
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
        for items in broken {
            assert_eq!(reassembly.receive(items), Err(BrokenPayload));
            assert_eq!(reassembly.receive(vec![have()]), Ok(vec![have()]));
        }
    }

    proptest! {
        /// A payload arrives as it was sent, however the payload is split over messages.
        #[test]
        fn a_payload_survives_its_segments(
            bytes in prop::collection::vec(any::<u8>(), 0..20_000),
            room in 700_usize..4_000,
        ) {
            let sent = update(&bytes);
            let (first, remaining) = split(bytes.len(), room, |payload, remaining| sent.cut_len(payload, false, remaining)).unwrap();
            let mut items = vec![whole(&bytes[..first], remaining)];
            let mut segmenter = Segmenter::default();
            if remaining > 0 {
                segmenter.begin(Arc::clone(&sent.payload), first);
            }
            while let Some(segment) = segmenter.next(room) {
                prop_assert!(item_cost(segment.len()) <= room);
                items.push(Item::Segment(segment));
            }
            let mut reassembly = Reassembly::default();
            let mut arrived = Vec::new();
            for item in items {
                arrived.extend(reassembly.receive(vec![item]).unwrap());
            }
            prop_assert_eq!(arrived, vec![whole(&bytes, 0)]);
        }

        /// An item fits into the space for which it was split.
        #[test]
        fn a_first_segment_fits(payload in 0_usize..100_000, room in 0_usize..17_000) {
            let update = update(b"");
            let len = |payload, remaining| update.cut_len(payload, true, remaining);
            if let Some((first, remaining)) = split(payload, room, len) {
                prop_assert!(item_cost(len(first, remaining)) <= room);
                prop_assert_eq!(first + remaining as usize, payload);
            }
        }
    }
}
