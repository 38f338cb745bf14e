//! One key of a replicated map: its current write.

use crate::channel::message::{Body, ChannelName, Entry, Update, UpdateId, Version};
use crate::random::{hash_bytes, mix};
use std::sync::Arc;

/// The current write of one key of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapEntry {
    /// The version of the write.
    pub version: Version,
    /// The version that the writer overwrote; none if the writer did not know the key.
    pub over: Option<Version>,
    /// The value; none if the write deleted the key.
    pub value: Option<Arc<[u8]>>,
}

impl MapEntry {
    /// A hash of the key, the version and the value.
    pub(super) fn digest(&self, key: &str) -> u64 {
        let mut hash = hash_bytes(key.as_bytes());
        let mut add = |value: u64| hash = mix(hash ^ mix(value));
        add(self.version.clock);
        add(hash_bytes(self.version.origin.as_str().as_bytes()));
        add(self.version.epoch);
        add(self.version.sequence);
        add(self.value.as_ref().map_or(0, |value| hash_bytes(value) | 1));
        hash
    }

    /// The write as a separate update, because other writes of the same update may have been overwritten.
    pub(super) fn to_update(&self, channel: &ChannelName, key: &Arc<str>) -> Update {
        let length = self
            .value
            .as_ref()
            .map(|value| u32::try_from(value.len()).unwrap_or(u32::MAX));
        Update {
            id: UpdateId {
                channel: channel.clone(),
                origin: self.version.origin.clone(),
                epoch: self.version.epoch,
                sequence: self.version.sequence,
            },
            body: Body::Entries {
                clock: self.version.clock,
                entries: vec![Entry {
                    key: Arc::clone(key),
                    over: self.over.clone(),
                    length,
                }],
            },
            payload: self.value.clone().unwrap_or_else(|| Arc::from([])),
        }
    }
}

/// The effect of one write on a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MapChange {
    pub key: Arc<str>,
    /// The write.
    pub entry: MapEntry,
    /// The write that was replaced.
    pub replaced: Option<MapEntry>,
}
