//! What a node holds of one channel, and how an update changes it.
//!
//! Holding is a set: of the retained messages, or of a map's entries. Two nodes that hold equal sets have equal
//! hashes, and sets that differ are compared by sketches of their elements' digests. Which messages are retained
//! depends only on which were heard (the latest of each origin), so that nodes that heard the same hold the same.

use super::custom::Custom;
use super::message::{Body, Entry, Kind, Update, UpdateId, Version};
use crate::identity::NodeId;
use crate::random::{hash_bytes, mix};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The most messages retained of one origin.
pub const RETAINED_MAX: usize = 64;
/// The most bytes of messages retained of one origin; the latest message is always retained.
pub const RETAINED_BYTES_MAX: usize = 256 * 1024;
/// The most origins of whom messages are retained on one channel.
pub(super) const ORIGINS_MAX: usize = 1_024;
/// The most bytes of messages retained on one channel; beyond, origins that are not retained yet are not.
pub(super) const CHANNEL_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The most keys that an application may write into one map.
pub const KEYS_MAX: usize = 16_384;
/// The most deleted keys remembered in one map.
pub(super) const DELETED_MAX: usize = 4_096;
/// The most bytes of values that an application may write into one map.
pub const MAP_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A value of a map, or that it was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The write it stems from.
    pub version: Version,
    /// What that write overwrote.
    pub over: Option<Version>,
    /// The value; none if the key was deleted.
    pub value: Option<Arc<[u8]>>,
}

impl Held {
    fn digest(&self, key: &str) -> u64 {
        let mut hash = hash_bytes(key.as_bytes());
        let mut add = |value: u64| hash = mix(hash ^ mix(value));
        add(self.version.clock);
        add(hash_bytes(self.version.origin.as_str().as_bytes()));
        add(self.version.epoch);
        add(self.version.sequence);
        add(self.value.as_ref().map_or(0, |value| hash_bytes(value) | 1));
        hash
    }
}

/// What one write did to a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) key: Arc<str>,
    pub(super) held: Held,
    /// What stood there before.
    pub(super) before: Option<Held>,
}

/// The retained messages of one channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Log {
    origins: BTreeMap<NodeId, BTreeMap<(u64, u64), Arc<Update>>>,
    bytes: usize,
    hash: u64,
}

/// A map.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Map {
    entries: BTreeMap<Arc<str>, Held>,
    /// Deleted keys by the versions that deleted them, of which one may have deleted many.
    deleted: BTreeSet<(Version, Arc<str>)>,
    bytes: usize,
    pub(super) clock: u64,
    hash: u64,
}

/// What is held.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Store {
    Messages(Log),
    Map(Map),
    Custom(Option<Custom>),
}

/// Which of two writes stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    LaterWins,
    /// A planted bug.
    EarlierWins,
}

impl Rule {
    fn keeps(self, stands: &Version, comes: &Version) -> bool {
        match self {
            Self::LaterWins => stands >= comes,
            Self::EarlierWins => stands <= comes,
        }
    }
}

/// What an update did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    /// Nothing: it was known, or something newer is.
    Old,
    /// A message that was not known.
    Message,
    /// These keys changed.
    Changed(Vec<Change>),
    /// This was news to the application's state.
    Merged(Vec<u8>),
    /// There is no state here to merge it into.
    PassedOn,
    /// The application's state could not take it.
    Malformed(String),
    /// There is no room.
    Full,
}

/// What one element adds to the order-free hash.
const fn share(digest: u64) -> u64 {
    mix(digest ^ 0x6368_616e_6e65_6c73)
}

impl Log {
    fn insert(&mut self, update: &Arc<Update>) -> Applied {
        let key = (update.id.epoch, update.id.sequence);
        let known = self.origins.contains_key(&update.id.origin);
        if !known && (self.origins.len() >= ORIGINS_MAX || self.bytes >= CHANNEL_BYTES_MAX) {
            return Applied::Full;
        }
        let of = self.origins.entry(update.id.origin.clone()).or_default();
        if of.contains_key(&key) {
            return Applied::Old;
        }
        // What would be dropped at once is too old to come again.
        let newer = of.range(key..).map(|(_, update)| update.payload.len());
        let (count, bytes) = newer.fold((0, update.payload.len()), |(count, bytes), len| {
            (count + 1, bytes + len)
        });
        if count >= RETAINED_MAX || count > 0 && bytes > RETAINED_BYTES_MAX {
            return Applied::Old;
        }
        of.insert(key, Arc::clone(update));
        self.hash = self.hash.wrapping_add(share(update.digest()));
        self.bytes += update.payload.len();
        let mut held: usize = of.values().map(|update| update.payload.len()).sum();
        while of.len() > 1 && (of.len() > RETAINED_MAX || held > RETAINED_BYTES_MAX) {
            let Some((_, dropped)) = of.pop_first() else {
                break;
            };
            held -= dropped.payload.len();
            self.bytes -= dropped.payload.len();
            self.hash = self.hash.wrapping_sub(share(dropped.digest()));
        }
        Applied::Message
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Update>> {
        self.origins.values().flat_map(BTreeMap::values)
    }
}

impl Map {
    fn apply(&mut self, update: &Update, rule: Rule) -> Applied {
        let version = update.version();
        self.clock = self.clock.max(version.clock);
        let mut changes = Vec::new();
        let mut full = false;
        for (entry, value) in update.writes() {
            let held = Held {
                version: version.clone(),
                over: entry.over.clone(),
                value: value.map(Arc::from),
            };
            let stands = self.entries.get(&entry.key);
            if stands.is_some_and(|stands| rule.keeps(&stands.version, &held.version)) {
                continue;
            }
            // Twice what applications may write: what others wrote must nearly always find room.
            let room =
                self.entries.len() < 2 * (KEYS_MAX + DELETED_MAX) && self.bytes < 2 * MAP_BYTES_MAX;
            if stands.is_none() && !room {
                full = true;
                continue;
            }
            let before = self.put(&entry.key, held.clone());
            changes.push(Change {
                key: Arc::clone(&entry.key),
                held,
                before,
            });
        }
        while self.deleted.len() > DELETED_MAX {
            let Some((_, key)) = self.deleted.pop_first() else {
                break;
            };
            if let Some(held) = self.entries.remove(&key) {
                self.hash = self.hash.wrapping_sub(share(held.digest(&key)));
            }
        }
        match (changes.is_empty(), full) {
            (false, _) => Applied::Changed(changes),
            (true, false) => Applied::Old,
            (true, true) => Applied::Full,
        }
    }

    fn put(&mut self, key: &Arc<str>, held: Held) -> Option<Held> {
        self.hash = self.hash.wrapping_add(share(held.digest(key)));
        self.bytes += held.value.as_ref().map_or(0, |value| value.len());
        if held.value.is_none() {
            self.deleted.insert((held.version.clone(), Arc::clone(key)));
        }
        let before = self.entries.insert(Arc::clone(key), held);
        if let Some(before) = &before {
            self.hash = self.hash.wrapping_sub(share(before.digest(key)));
            self.bytes -= before.value.as_ref().map_or(0, |value| value.len());
            if before.value.is_none() {
                self.deleted
                    .remove(&(before.version.clone(), Arc::clone(key)));
            }
        }
        before
    }

    /// What stands under a key, be it that it was deleted.
    pub(super) fn held(&self, key: &str) -> Option<&Held> {
        self.entries.get(key)
    }

    /// The keys that have a value, with it, in order.
    pub(super) fn values(&self) -> impl Iterator<Item = (&Arc<str>, &Held)> {
        self.entries.iter().filter(|(_, held)| held.value.is_some())
    }

    /// Whether an application may write so many more bytes under a key.
    pub(super) fn has_room(&self, keys: usize, bytes: usize) -> bool {
        self.entries.len() - self.deleted.len() + keys <= KEYS_MAX
            && self.bytes + bytes <= MAP_BYTES_MAX
    }
}

impl Store {
    pub(super) fn of(kind: Kind, custom: Option<Custom>) -> Self {
        match kind {
            Kind::Messages => Self::Messages(Log::default()),
            Kind::Map => Self::Map(Map::default()),
            Kind::Custom => Self::Custom(custom),
        }
    }

    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Messages(_) => Kind::Messages,
            Self::Map(_) => Kind::Map,
            Self::Custom(_) => Kind::Custom,
        }
    }

    /// Order-free hash of what is held; none if nothing is: a node that only passes on compares nothing.
    pub(super) fn hash(&self) -> Option<u64> {
        match self {
            Self::Messages(log) => Some(log.hash),
            Self::Map(map) => Some(map.hash),
            Self::Custom(custom) => custom.as_ref().map(|custom| hash_bytes(&custom.encode())),
        }
    }

    pub(super) fn apply(&mut self, update: &Arc<Update>, rule: Rule) -> Applied {
        match self {
            Self::Messages(log) => log.insert(update),
            Self::Map(map) => map.apply(update, rule),
            Self::Custom(None) => Applied::PassedOn,
            Self::Custom(Some(custom)) => match custom.merge(&update.payload) {
                Ok(Some(news)) => Applied::Merged(news),
                Ok(None) => Applied::Old,
                Err(why) => Applied::Malformed(why),
            },
        }
    }

    /// The digests of what is held.
    pub(super) fn digests(&self) -> Vec<u64> {
        match self {
            Self::Messages(log) => log.iter().map(|update| update.digest()).collect(),
            Self::Map(map) => map
                .entries
                .iter()
                .map(|(key, held)| held.digest(key))
                .collect(),
            Self::Custom(_) => Vec::new(),
        }
    }

    /// What is held and wanted, as updates.
    pub(super) fn updates(
        &self,
        channel: &super::message::ChannelName,
        wanted: impl Fn(u64) -> bool,
    ) -> Vec<Arc<Update>> {
        match self {
            Self::Messages(log) => log
                .iter()
                .filter(|update| wanted(update.digest()))
                .cloned()
                .collect(),
            Self::Map(map) => {
                let entries = map
                    .entries
                    .iter()
                    .filter(|(key, held)| wanted(held.digest(key)));
                entries
                    .map(|(key, held)| Arc::new(alone(channel, key, held)))
                    .collect()
            }
            Self::Custom(_) => Vec::new(),
        }
    }
}

/// One write of an update as an update of its own: the others may have been overwritten.
fn alone(channel: &super::message::ChannelName, key: &Arc<str>, held: &Held) -> Update {
    let length = held
        .value
        .as_ref()
        .map(|value| u32::try_from(value.len()).unwrap_or(u32::MAX));
    Update {
        id: UpdateId {
            channel: channel.clone(),
            origin: held.version.origin.clone(),
            epoch: held.version.epoch,
            sequence: held.version.sequence,
        },
        body: Body::Entries {
            clock: held.version.clock,
            entries: vec![Entry {
                key: Arc::clone(key),
                over: held.over.clone(),
                length,
            }],
        },
        payload: held.value.clone().unwrap_or_else(|| Arc::from([])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::ChannelName;

    fn update(sequence: u64, keys: &[&str]) -> Update {
        let entry = |key: &&str| Entry {
            key: Arc::from(*key),
            over: None,
            length: Some(1),
        };
        Update {
            id: UpdateId {
                channel: ChannelName::new("kv").unwrap(),
                origin: NodeId::new("a").unwrap(),
                epoch: 1,
                sequence,
            },
            body: Body::Entries {
                clock: sequence,
                entries: keys.iter().map(entry).collect(),
            },
            payload: vec![7; keys.len()].into(),
        }
    }

    #[test]
    fn of_an_update_that_does_not_fit_what_fits_is_taken_and_told() {
        let mut map = Map::default();
        let full = 2 * (KEYS_MAX + DELETED_MAX);
        for sequence in 1..=full {
            let key = format!("k{sequence}");
            map.apply(&update(sequence as u64, &[&key]), Rule::LaterWins);
        }
        let over = update(1 << 40, &["k1", "new"]);
        let Applied::Changed(changes) = map.apply(&over, Rule::LaterWins) else {
            panic!("a key that is there has room");
        };
        assert_eq!(changes.len(), 1);
        assert_eq!(&*changes[0].key, "k1");
        assert_eq!(map.held("new"), None);
        let over = update(1 << 41, &["new"]);
        assert_eq!(map.apply(&over, Rule::LaterWins), Applied::Full);
    }
}
