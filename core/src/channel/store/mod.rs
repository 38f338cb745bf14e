//! State of one channel on this node, and how an update changes it.
//!
//! The state is a set: of retained messages, or of a map's entries. Two nodes with equal sets have equal hashes; sets
//! that differ are reconciled by the digests of their elements. Which messages are retained depends only on which
//! messages were received (the latest of each origin), so nodes that received the same messages retain the same.
//!
//! State that an application merges itself is opaque: it is compared and sent whole.

mod custom;
mod log;
mod map;

use super::message::{ChannelName, Kind, Update, Version};
use crate::random::{hash_bytes, mix};
pub use custom::{Custom, Mergeable};
use log::MessageLog;
pub use log::{RETAINED_BYTES_MAX, RETAINED_MAX};
pub(super) use map::{Change, ReplicatedMap};
pub use map::{KEYS_MAX, MAP_BYTES_MAX, MapEntry};
use std::sync::Arc;

/// The state of one channel.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Store {
    Messages(MessageLog),
    Map(ReplicatedMap),
    /// None: no application of this node merges the channel's state; updates are only passed on.
    Custom(Option<Custom>),
}

/// Which of two writes to one key wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    LaterWins,
    /// A planted bug.
    EarlierWins,
}

impl Rule {
    fn keeps(self, current: &Version, received: &Version) -> bool {
        match self {
            Self::LaterWins => current >= received,
            Self::EarlierWins => current <= received,
        }
    }
}

/// Outcome of applying an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    /// Nothing changed: the update is known, or something newer is.
    Old,
    /// The update is a message that was not known.
    Message,
    /// These keys changed.
    Changed(Vec<Change>),
    /// This part of the update was new to the application's state.
    Merged(Vec<u8>),
    /// No application of this node merges the update.
    PassedOn,
    /// The application's state rejected the update, for this reason.
    Malformed(String),
    /// There is no room.
    Full,
}

/// One element of the state, by reference.
#[derive(Clone, Copy, Debug)]
pub(super) enum Element<'a> {
    Message(&'a Arc<Update>),
    Entry(&'a Arc<str>, &'a MapEntry),
}

impl Element<'_> {
    /// The element as an update of its own.
    pub(super) fn to_update(self, channel: &ChannelName) -> Arc<Update> {
        match self {
            Self::Message(update) => Arc::clone(update),
            Self::Entry(key, entry) => Arc::new(entry.to_update(channel, key)),
        }
    }
}

/// The share of one element in the order-free hash.
const fn share(digest: u64) -> u64 {
    mix(digest ^ 0x6368_616e_6e65_6c73)
}

impl Store {
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

    /// Order-free hash of the state; none if this node only passes updates on and has nothing to compare.
    pub(super) fn hash(&self) -> Option<u64> {
        match self {
            Self::Messages(log) => Some(log.hash()),
            Self::Map(map) => Some(map.hash()),
            Self::Custom(custom) => custom.as_ref().map(|custom| hash_bytes(&custom.encode())),
        }
    }

    /// Applies an update.
    pub(super) fn apply(&mut self, update: &Arc<Update>, rule: Rule) -> Applied {
        match self {
            Self::Messages(log) => log.insert(update),
            Self::Map(map) => map.apply(update, rule),
            Self::Custom(None) => Applied::PassedOn,
            Self::Custom(Some(custom)) => match custom.merge(&update.payload) {
                Ok(Some(news)) => Applied::Merged(news),
                Ok(None) => Applied::Old,
                Err(reason) => Applied::Malformed(reason),
            },
        }
    }

    /// Merges an update into the application's state; returns the part that was new.
    ///
    /// # Errors
    /// The reason why the application's state rejected the update.
    pub(super) fn merge(&mut self, update: &[u8]) -> Result<Option<Vec<u8>>, String> {
        match self {
            Self::Custom(Some(custom)) => custom.merge(update),
            Self::Messages(_) | Self::Map(_) | Self::Custom(None) => Ok(None),
        }
    }

    /// Detaches the application's state: updates are only passed on.
    pub(super) fn detach(&mut self) {
        if let Self::Custom(custom) = self {
            *custom = None;
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

    /// The retained messages, by origin, oldest first; none unless the channel carries messages.
    pub(super) fn messages(&self) -> impl Iterator<Item = &Arc<Update>> {
        let log = match self {
            Self::Messages(log) => Some(log),
            Self::Map(_) | Self::Custom(_) => None,
        };
        log.into_iter().flat_map(MessageLog::iter)
    }

    /// The elements of the state with their digests. State that an application merges has none.
    pub(super) fn elements(&self) -> impl Iterator<Item = (u64, Element<'_>)> {
        let messages = self
            .messages()
            .map(|update| (update.digest(), Element::Message(update)));
        let entries = self
            .as_map()
            .into_iter()
            .flat_map(ReplicatedMap::entries)
            .map(|(key, entry)| (entry.digest(key), Element::Entry(key, entry)));
        messages.chain(entries)
    }
}
