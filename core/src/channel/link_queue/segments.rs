//! Payloads larger than a message, which the sender cuts into segments.
//!
//! The first segment is sent in its item, with the number of bytes that follow. The other segments follow directly on
//! the same link, without other items in between. `reassembly` describes the receiver.

use crate::channel::message::{Packet, Update};
use crate::identity::NodeId;
use crate::size;
use std::sync::Arc;

/// A payload is cut only if a first segment of at least this many bytes fits.
const SEGMENT_BYTES_MIN: usize = 512;
/// Space for the tags and lengths of a further segment, in bytes.
const SEGMENT_HEADROOM: usize = 16;

/// The owner of a payload that is sent in segments.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum SegmentedItem {
    Update(Arc<Update>),
    Packet(Arc<Packet>),
}

impl SegmentedItem {
    fn payload(&self) -> &Arc<[u8]> {
        match self {
            Self::Update(update) => &update.payload,
            Self::Packet(packet) => &packet.payload,
        }
    }

    fn author(&self) -> &NodeId {
        match self {
            Self::Update(update) => &update.id.origin,
            Self::Packet(packet) => &packet.from,
        }
    }
}

/// A payload that a link relays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum RelayedPayload<'a> {
    /// Of a broadcast, which a channel may hold too.
    Broadcast(&'a Update),
    /// Of a packet.
    Packet,
}

/// The payload in transmission on a link.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Segmenter {
    /// The item, and the number of payload bytes sent.
    item: Option<(SegmentedItem, usize)>,
}

impl Segmenter {
    /// Whether segments of a payload are pending.
    pub(super) const fn is_active(&self) -> bool {
        self.item.is_some()
    }

    /// The payload of more than `bytes` bytes in transmission that another node than `me` made.
    pub(super) fn relayed_above(&self, bytes: usize, me: &NodeId) -> Option<RelayedPayload<'_>> {
        let (item, _) = self.item.as_ref()?;
        let relays = item.payload().len() > bytes && item.author() != me;
        relays.then_some(match item {
            SegmentedItem::Update(update) => RelayedPayload::Broadcast(update),
            SegmentedItem::Packet(_) => RelayedPayload::Packet,
        })
    }

    /// Starts a payload whose first `sent` bytes are sent in their item.
    pub(super) fn begin(&mut self, item: SegmentedItem, sent: usize) {
        self.item = Some((item, sent));
    }

    /// The next segment, for a message with `room` bytes left.
    pub(super) fn next(&mut self, room: usize) -> Option<Arc<[u8]>> {
        let (item, sent) = self.item.take()?;
        let payload = item.payload();
        let end = payload
            .len()
            .min(sent + room.saturating_sub(SEGMENT_HEADROOM));
        let segment = Arc::from(&payload[sent..end]);
        if end < payload.len() {
            self.item = Some((item, end));
        }
        Some(segment)
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

    proptest! {
        /// The segments of a payload fit into their messages and are consecutive parts of the payload.
        #[test]
        fn segments_make_the_payload(
            bytes in prop::collection::vec(any::<u8>(), 0..20_000),
            room in 700_usize..4_000,
        ) {
            let update = Arc::new(Update { payload: Arc::from(&bytes[..]), ..Update::clone(&message("a", 1, 0)) });
            let (first, remaining) = split(bytes.len(), room, |payload, remaining| update.cut_len(payload, false, remaining)).unwrap();
            let mut sent = bytes[..first].to_vec();
            let mut segmenter = Segmenter::default();
            if remaining > 0 {
                segmenter.begin(SegmentedItem::Update(Arc::clone(&update)), first);
            }
            while let Some(segment) = segmenter.next(room) {
                prop_assert!(item_cost(segment.len()) <= room);
                sent.extend_from_slice(&segment);
            }
            prop_assert_eq!(sent, bytes);
        }

        /// An item fits into the space for which it was split.
        #[test]
        fn a_first_segment_fits(payload in 0_usize..100_000, room in 0_usize..17_000) {
            let update = message("a", 1, 0);
            let len = |payload, remaining| update.cut_len(payload, true, remaining);
            if let Some((first, remaining)) = split(payload, room, len) {
                prop_assert!(item_cost(len(first, remaining)) <= room);
                prop_assert_eq!(first + remaining as usize, payload);
            }
        }
    }
}
