//! The state of one channel on this node, and the effect of an update on it.
//!
//! The state is a set: of retained messages, or of a map's entries. Two nodes with equal sets have equal hashes; sets
//! that differ are reconciled by the digests of their elements. Which messages are retained depends only on which
//! messages were received (the latest of each origin), so nodes that received the same messages retain the same.
//!
//! State that an application merges itself is opaque, so it is compared and sent as a whole.

mod applied;
mod custom;
mod entry;
mod log;
mod map;

use super::message::{ChannelName, Kind, Update};
use crate::identity::NodeId;
pub(super) use applied::{AppliedUpdate, Rule};
pub use custom::{Custom, Mergeable};
pub(super) use entry::MapChange;
pub use entry::MapEntry;
pub(super) use log::LargestMessage;
use log::MessageLog;
pub use log::{RETAINED_BYTES_MAX, RETAINED_MAX};
pub(super) use map::ReplicatedMap;
pub use map::{KEYS_MAX, MAP_BYTES_MAX};
use std::sync::Arc;

/// The state of one channel.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ChannelStore {
    Messages(MessageLog),
    Map(ReplicatedMap),
    /// None if no application of this node merges the channel's state. Updates are then only relayed.
    Custom(Option<Custom>),
}

/// One element of the state, by reference.
#[derive(Clone, Copy, Debug)]
pub(super) enum Element<'a> {
    Message(&'a Arc<Update>),
    Entry(&'a Arc<str>, &'a MapEntry),
}

/// The name of an element, by which it is found later if it is still part of the state.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ElementKey {
    /// The origin, epoch and sequence number of a message.
    Message(NodeId, (u64, u64)),
    /// The key of an entry of a map.
    Entry(Arc<str>),
}

impl Element<'_> {
    /// The name of the element.
    pub(super) fn key(self) -> ElementKey {
        match self {
            Self::Message(update) => {
                let id = &update.id;
                ElementKey::Message(id.origin.clone(), (id.epoch, id.sequence))
            }
            Self::Entry(key, _) => ElementKey::Entry(Arc::clone(key)),
        }
    }

    /// The element as a separate update.
    pub(super) fn to_update(self, channel: &ChannelName) -> Arc<Update> {
        match self {
            Self::Message(update) => Arc::clone(update),
            Self::Entry(key, entry) => Arc::new(entry.to_update(channel, key)),
        }
    }
}

impl ChannelStore {
    /// Empty state of a kind. `custom` is the application's state of a custom channel.
    pub(super) fn new(kind: Kind, custom: Option<Custom>) -> Self {
        match kind {
            Kind::Messages => Self::Messages(MessageLog::default()),
            Kind::Map => Self::Map(ReplicatedMap::default()),
            Kind::Custom => Self::Custom(custom),
        }
    }

    /// The channel's kind.
    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Messages(_) => Kind::Messages,
            Self::Map(_) => Kind::Map,
            Self::Custom(_) => Kind::Custom,
        }
    }

    /// Order-free hash of the state; none if this node only relays updates and has nothing to compare.
    pub(super) fn hash(&self) -> Option<u64> {
        match self {
            Self::Messages(log) => Some(log.hash()),
            Self::Map(map) => Some(map.hash()),
            Self::Custom(custom) => custom.as_ref().map(Custom::hash),
        }
    }

    /// Computes what a comparison needs, once for all comparisons until the state changes.
    pub(super) fn prepare_hash(&mut self) {
        if let Self::Custom(Some(custom)) = self {
            custom.prepare_hash();
        }
    }

    /// The number of elements that a comparison walks through.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Messages(log) => log.len(),
            Self::Map(map) => map.len(),
            Self::Custom(_) => 0,
        }
    }

    /// The memory of the messages, in bytes.
    pub(super) const fn message_bytes(&self) -> usize {
        match self {
            Self::Messages(log) => log.bytes(),
            Self::Map(_) | Self::Custom(_) => 0,
        }
    }

    /// The memory of the map, in bytes.
    pub(super) fn map_bytes(&self) -> usize {
        self.as_map().map_or(0, ReplicatedMap::memory)
    }

    /// The messages, if the channel carries messages.
    pub(super) const fn as_log(&self) -> Option<&MessageLog> {
        match self {
            Self::Messages(log) => Some(log),
            Self::Map(_) | Self::Custom(_) => None,
        }
    }

    /// Drops a retained message.
    pub(super) fn drop_message(&mut self, message: &LargestMessage) {
        if let Self::Messages(log) = self {
            log.drop_message(message);
        }
    }

    /// Applies an update. A map may grow by `room` bytes.
    pub(super) fn apply(&mut self, update: &Arc<Update>, rule: Rule, room: usize) -> AppliedUpdate {
        match self {
            Self::Messages(log) => log.insert(update),
            Self::Map(map) => map.apply(update, rule, room),
            Self::Custom(None) => AppliedUpdate::PassedOn,
            Self::Custom(Some(custom)) => match custom.merge(&update.payload) {
                Ok(Some(delta)) => AppliedUpdate::Merged(delta),
                Ok(None) => AppliedUpdate::Old,
                Err(reason) => AppliedUpdate::Malformed(reason),
            },
        }
    }

    /// Merges an update into the application's state. Returns the part that was new.
    ///
    /// # Errors
    /// The error is the reason why the application's state rejected the update.
    pub(super) fn merge(&mut self, update: &[u8]) -> Result<Option<Vec<u8>>, String> {
        match self {
            Self::Custom(Some(custom)) => custom.merge(update),
            Self::Messages(_) | Self::Map(_) | Self::Custom(None) => Ok(None),
        }
    }

    /// Detaches the application's state. Updates are then only relayed.
    pub(super) fn detach(&mut self) {
        if let Self::Custom(custom) = self {
            *custom = None;
        }
    }

    /// Whether the state holds all elements of an update, so that a copy of the update changes nothing.
    pub(super) fn holds(&self, update: &Update) -> bool {
        match self {
            Self::Messages(log) => log.holds(update),
            Self::Map(map) => map.holds(update),
            Self::Custom(_) => false,
        }
    }

    /// The application's state, encoded.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        match self {
            Self::Custom(custom) => custom.as_ref().map(Custom::encode),
            Self::Messages(_) | Self::Map(_) => None,
        }
    }

    /// The map, if the channel is one.
    pub(super) const fn as_map(&self) -> Option<&ReplicatedMap> {
        match self {
            Self::Map(map) => Some(map),
            Self::Messages(_) | Self::Custom(_) => None,
        }
    }

    /// The retained messages, by origin, oldest first; there are none if the channel does not carry messages.
    pub(super) fn messages(&self) -> impl Iterator<Item = &Arc<Update>> {
        self.as_log().into_iter().flat_map(MessageLog::iter)
    }

    /// The element with this name.
    pub(super) fn element(&self, key: &ElementKey) -> Option<Element<'_>> {
        match key {
            ElementKey::Message(origin, key) => {
                self.as_log()?.message(origin, *key).map(Element::Message)
            }
            ElementKey::Entry(key) => {
                let (key, entry) = self.as_map()?.key_and_entry(key)?;
                Some(Element::Entry(key, entry))
            }
        }
    }

    /// The elements of the state with their digests. State that an application merges has no elements.
    pub(super) fn elements(&self) -> impl Iterator<Item = (u64, Element<'_>)> {
        let messages = self.as_log().into_iter().flat_map(MessageLog::digests);
        let messages = messages.map(|(digest, update)| (digest, Element::Message(update)));
        let entries = self
            .as_map()
            .into_iter()
            .flat_map(ReplicatedMap::entries)
            .map(|(digest, key, entry)| (digest, Element::Entry(key, entry)));
        messages.chain(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::tests::sample::{channel, deletion, message, write};

    #[test]
    fn the_elements_of_a_store_make_an_equal_store() {
        let updates = [
            (Kind::Messages, vec![message("a", 1, 5), message("b", 2, 5)]),
            (Kind::Map, vec![write(1, &["x", "y"], 2), deletion(2, "y")]),
        ];
        for (kind, updates) in updates {
            let (mut store, mut copy) =
                (ChannelStore::new(kind, None), ChannelStore::new(kind, None));
            for update in &updates {
                store.apply(update, Rule::LaterWins, usize::MAX);
            }
            for (_, element) in store.elements() {
                copy.apply(
                    &element.to_update(&channel("kv")),
                    Rule::LaterWins,
                    usize::MAX,
                );
            }
            assert_eq!((copy.hash(), copy.kind()), (store.hash(), kind));
        }
    }

    #[test]
    fn a_channel_without_an_application_that_merges_only_passes_on() {
        let mut store = ChannelStore::new(Kind::Custom, None);
        assert_eq!(
            store.apply(&message("a", 1, 5), Rule::LaterWins, usize::MAX),
            AppliedUpdate::PassedOn
        );
        assert_eq!((store.hash(), store.encode()), (None, None));
        assert_eq!(store.merge(b"x"), Ok(None));
        assert_eq!(store.elements().count(), 0);
    }
}
