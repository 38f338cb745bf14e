//! Payloads larger than a message, which the sender cuts into segments.
//!
//! The first segment is sent in its item, with the number of bytes that follow. The other segments follow directly on
//! the same link, without other items in between. `reassembly` describes the receiver.

use crate::identity::NodeId;
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
    /// The author of the latest payload.
    author: Option<NodeId>,
}

impl Segmenter {
    /// Whether segments of a payload are pending.
    pub(super) const fn is_active(&self) -> bool {
        self.payload.is_some()
    }

    /// Whether a payload of more than `bytes` bytes is in transmission that another node than `me` made.
    pub(super) fn relays_above(&self, bytes: usize, me: &NodeId) -> bool {
        let payload = self.payload.as_ref();
        self.author.as_ref() != Some(me) && payload.is_some_and(|(it, _)| it.len() > bytes)
    }

    /// Starts a payload of `author` whose first `sent` bytes are sent in their item.
    pub(super) fn begin(&mut self, payload: Arc<[u8]>, author: &NodeId, sent: usize) {
        self.payload = Some((payload, sent));
        self.author = Some(author.clone());
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
    use crate::channel::message::Update;
    use crate::channel::tests::sample::message;
    use proptest::prelude::*;

    proptest! {
        /// The segments of a payload fit into their messages and are consecutive parts of the payload.
        #[test]
        fn segments_make_the_payload(
            bytes in prop::collection::vec(any::<u8>(), 0..20_000),
            room in 700_usize..4_000,
        ) {
            let update = Update { payload: Arc::from(&bytes[..]), ..Update::clone(&message("a", 1, 0)) };
            let (first, remaining) = split(bytes.len(), room, |payload, remaining| update.cut_len(payload, false, remaining)).unwrap();
            let mut sent = bytes[..first].to_vec();
            let mut segmenter = Segmenter::default();
            if remaining > 0 {
                segmenter.begin(Arc::clone(&update.payload), &update.id.origin, first);
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
