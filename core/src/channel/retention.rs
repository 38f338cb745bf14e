//! The bound of the memory of all channels on one node.
//!
//! The bound counts messages and maps, with a fixed number of bytes for each element. A quarter of it is the bound of the
//! messages of one origin. Messages above a bound are dropped, the largest first: the retained messages then depend on
//! the set of all messages, and not on their order of arrival, so that nodes retain the same. Maps take precedence over
//! messages. Applications of this node may fill maps up to three quarters of the bound, and writes of other nodes up to
//! seven eighths, so that there is nearly always room for writes that other nodes accepted.
//!
//! The last eighth is kept for payloads that arrive in segments ([`super::admission`]).

use super::message::ChannelName;
use super::store::{ChannelStore, LargestMessage};
use crate::identity::NodeId;
use std::collections::BTreeMap;

/// The channels of a node.
type Stores = BTreeMap<ChannelName, ChannelStore>;

fn map_bytes(stores: &Stores) -> usize {
    stores.values().map(ChannelStore::map_bytes).sum()
}

/// The memory of all messages and maps. O(channels).
pub(super) fn bytes(stores: &Stores) -> usize {
    let messages: usize = stores.values().map(ChannelStore::message_bytes).sum();
    messages + map_bytes(stores)
}

/// The number of bytes by which writes may extend maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MapRoom {
    /// By writes of this node's applications.
    pub(super) applications: usize,
    /// By any write.
    pub(super) all: usize,
}

/// The room of maps. O(channels).
pub(super) fn map_room(stores: &Stores, bytes_max: usize) -> MapRoom {
    let bytes = map_bytes(stores);
    MapRoom {
        applications: (bytes_max / 4 * 3).saturating_sub(bytes),
        all: (bytes_max / 8 * 7).saturating_sub(bytes),
    }
}

/// The message to drop after an update of `origin`, if the messages of this origin or of all origins exceed their bound.
pub(super) fn excess(
    stores: &Stores,
    bytes_max: usize,
    origin: &NodeId,
) -> Option<(ChannelName, LargestMessage)> {
    let messages: usize = stores.values().map(ChannelStore::message_bytes).sum();
    if messages > bytes_max / 4 {
        let logs = stores.values().filter_map(ChannelStore::as_log);
        let bytes: usize = logs.map(|log| log.bytes_of(origin)).sum();
        if bytes > bytes_max / 4 {
            return largest(stores, Some(origin));
        }
    }
    if messages > (bytes_max / 8 * 7).saturating_sub(map_bytes(stores)) {
        return largest(stores, None);
    }
    None
}

/// The largest message of all channels, or of one origin.
fn largest(stores: &Stores, origin: Option<&NodeId>) -> Option<(ChannelName, LargestMessage)> {
    let logs = stores
        .iter()
        .filter_map(|(name, store)| Some((name, store.as_log()?)));
    let largest = logs.filter_map(|(name, log)| Some((log.largest(origin)?, name)));
    largest.max().map(|(message, name)| (name.clone(), message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::message::{Kind, Update, UpdateId};
    use crate::channel::store::Rule;
    use crate::channel::tests::sample::{channel, id, message, write};
    use crate::random::Random;
    use std::sync::Arc;

    const BYTES_MAX: usize = 100_000;

    /// Applies an update, and drops messages as the machine does.
    fn apply(stores: &mut Stores, update: &Arc<Update>) {
        let room = map_room(stores, BYTES_MAX).all;
        let kind = update.body.kind();
        let store = stores.entry(update.id.channel.clone());
        let store = store.or_insert_with(|| ChannelStore::new(kind, None));
        store.apply(update, Rule::LaterWins, room);
        while let Some((name, message)) = excess(stores, BYTES_MAX, &update.id.origin) {
            stores.get_mut(&name).unwrap().drop_message(&message);
        }
    }

    /// A message on a channel of its own.
    fn elsewhere(on: &str, update: &Update) -> Arc<Update> {
        let id = UpdateId {
            channel: channel(on),
            ..update.id.clone()
        };
        Arc::new(Update {
            id,
            ..update.clone()
        })
    }

    #[test]
    fn many_origins_and_channels_share_one_bound_and_one_origin_has_a_quarter() {
        let mut stores = Stores::new();
        apply(&mut stores, &message("honest", 1, 100));
        for number in 0..40 {
            let large = message(&format!("invented{number}"), 1, 10_000);
            apply(&mut stores, &elsewhere(&format!("c{}", number % 7), &large));
            assert!(bytes(&stores) <= BYTES_MAX);
        }
        for sequence in 1..=40 {
            let many = message("busy", sequence, 900);
            apply(
                &mut stores,
                &elsewhere(&format!("c{}", sequence % 5), &many),
            );
        }
        let logs = || stores.values().filter_map(ChannelStore::as_log);
        let busy: usize = logs().map(|log| log.bytes_of(&id("busy"))).sum();
        assert!(busy > BYTES_MAX / 5 && busy <= BYTES_MAX / 4, "{busy}");
        let honest: usize = logs().map(|log| log.bytes_of(&id("honest"))).sum();
        assert!(honest > 0, "small messages stay");
    }

    #[test]
    fn maps_are_bounded_and_take_precedence_over_messages() {
        let mut stores = Stores::new();
        for sequence in 1..=20 {
            apply(&mut stores, &message("a", sequence, 1_000));
        }
        for sequence in 1..=200 {
            apply(
                &mut stores,
                &write(sequence, &[&format!("k{sequence}")], 2_000),
            );
            assert!(bytes(&stores) <= BYTES_MAX);
        }
        assert!(map_bytes(&stores) > BYTES_MAX / 4 * 3);
        assert_eq!(map_room(&stores, BYTES_MAX).applications, 0);
    }

    #[test]
    fn nodes_that_received_the_same_messages_retain_the_same() {
        for seed in 0..50 {
            let mut random = Random::from_seed(seed);
            let mut updates: Vec<_> = (0..60)
                .map(|number: u64| {
                    let size = usize::try_from(random.below(12_000)).unwrap();
                    let origin = format!("n{}", random.below(9));
                    let on = format!("c{}", random.below(3));
                    elsewhere(&on, &message(&origin, number + 1, size))
                })
                .collect();
            let mut one = Stores::from([(channel("c0"), ChannelStore::new(Kind::Messages, None))]);
            let mut other = one.clone();
            updates.iter().for_each(|update| apply(&mut one, update));
            random.shuffle(&mut updates);
            updates.iter().for_each(|update| apply(&mut other, update));
            // Anti-entropy repairs messages that one node dropped and the other node retained.
            for _ in 0..8 {
                let held = |stores: &Stores| -> Vec<Arc<Update>> {
                    stores
                        .values()
                        .flat_map(ChannelStore::messages)
                        .cloned()
                        .collect()
                };
                let (ones, others) = (held(&one), held(&other));
                others.iter().for_each(|update| apply(&mut one, update));
                ones.iter().for_each(|update| apply(&mut other, update));
            }
            let hashes = |stores: &Stores| -> Vec<_> {
                stores
                    .iter()
                    .map(|(name, store)| (name.clone(), store.hash()))
                    .collect()
            };
            assert_eq!(hashes(&one), hashes(&other), "seed {seed}");
        }
    }
}
