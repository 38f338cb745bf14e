//! Transactions on a map: checked against this node's copy, and converted to one broadcast.

use super::interface::{Expected, Refusal, Transaction, Write};
use super::message::{Body, ENTRIES_MAX, Entry, KEY_BYTES_MAX, PAYLOAD_BYTES_MAX};
use super::store::ReplicatedMap;
use crate::identity::only_shows;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Checks the form of a transaction.
///
/// # Errors
/// Returns an error if a key is invalid, a key is written twice, or the number of writes is out of bounds.
pub(super) fn check(transaction: &Transaction) -> Result<(), Refusal> {
    let keys = transaction.compare.iter().map(|(key, _)| key);
    for key in keys.chain(transaction.write.iter().map(|write| &write.key)) {
        if key.is_empty() || key.len() > KEY_BYTES_MAX || !key.chars().all(only_shows) {
            return Err(Refusal::BadKey(Arc::clone(key)));
        }
    }
    let written: BTreeSet<&Arc<str>> = transaction.write.iter().map(|write| &write.key).collect();
    let count = transaction.write.len();
    if count == 0 || count > ENTRIES_MAX || written.len() != count {
        return Err(Refusal::BadTransaction);
    }
    Ok(())
}

/// The first key for which the transaction's condition does not hold in the map.
pub(super) fn first_mismatch(map: &ReplicatedMap, transaction: &Transaction) -> Option<Arc<str>> {
    let mut compared = transaction.compare.iter();
    let mismatch = compared.find(|(key, expected)| {
        let current = map.entry(key).filter(|entry| entry.value.is_some());
        let holds = match expected {
            Expected::Absent => current.is_none(),
            Expected::Value(value) => {
                current.is_some_and(|entry| entry.value.as_ref() == Some(value))
            }
            Expected::Version(version) => current.is_some_and(|entry| entry.version == *version),
        };
        !holds
    });
    mismatch.map(|(key, _)| Arc::clone(key))
}

/// Checks the size of a transaction. All maps of the node may grow by `room` bytes.
///
/// # Errors
/// Returns an error if the values exceed one payload, or the map has no room for them.
pub(super) fn check_size(
    map: &ReplicatedMap,
    transaction: &Transaction,
    room: usize,
) -> Result<(), Refusal> {
    let values = transaction
        .write
        .iter()
        .filter_map(|write| write.value.as_ref());
    let bytes: usize = values.clone().map(|value| value.len()).sum();
    if bytes > PAYLOAD_BYTES_MAX {
        return Err(Refusal::TooLarge(bytes));
    }
    if bytes > 0 && (bytes > room || !map.has_room(values.count(), bytes)) {
        return Err(Refusal::Full);
    }
    Ok(())
}

/// Converts the writes of a transaction to the body and payload of an update.
pub(super) fn encode(map: &ReplicatedMap, transaction: &Transaction) -> (Body, Arc<[u8]>) {
    let mut writes = transaction.write.clone();
    writes.sort_by(|one, other| one.key.cmp(&other.key));
    let entries = writes.iter().map(|Write { key, value }| Entry {
        key: Arc::clone(key),
        over: map.entry(key).map(|entry| entry.version.clone()),
        length: value
            .as_ref()
            .map(|value| u32::try_from(value.len()).unwrap_or(u32::MAX)),
    });
    let body = Body::Entries {
        clock: map.next_clock(),
        entries: entries.collect(),
    };
    let payload: Vec<u8> = writes
        .iter()
        .filter_map(|write| write.value.as_deref())
        .flatten()
        .copied()
        .collect();
    (body, Arc::from(payload))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::message::Kind;
    use crate::channel::store::{AppliedUpdate, ChannelStore, Rule};
    use crate::channel::tests::sample::{deletion, write};

    fn store() -> ChannelStore {
        let mut store = ChannelStore::new(Kind::Map, None);
        for update in [
            write(3, &["one"], 1),
            write(4, &["two"], 1),
            deletion(5, "two"),
        ] {
            assert!(matches!(
                store.apply(&update, Rule::LaterWins, usize::MAX),
                AppliedUpdate::Changed(_)
            ));
        }
        store
    }

    fn compare(key: &str, expected: Expected) -> Transaction {
        Transaction {
            compare: vec![(Arc::from(key), expected)],
            write: Vec::new(),
        }
    }

    fn writes(keys: &[&str], bytes: usize) -> Transaction {
        let write = |key: &&str| Write {
            key: Arc::from(*key),
            value: Some(vec![1; bytes].into()),
        };
        Transaction {
            compare: Vec::new(),
            write: keys.iter().map(write).collect(),
        }
    }

    #[test]
    fn a_comparison_holds_for_the_current_value_and_a_deleted_key_is_absent() {
        let store = store();
        let map = store.as_map().unwrap();
        let version = map.entry("one").unwrap().version.clone();
        let holds = |key, expected| first_mismatch(map, &compare(key, expected)).is_none();
        assert!(holds("one", Expected::Value(Arc::from([7]))));
        assert!(!holds("one", Expected::Value(Arc::from([8]))));
        assert!(holds("one", Expected::Version(version.clone())));
        assert!(!holds("two", Expected::Version(version)));
        assert!(holds("two", Expected::Absent) && holds("three", Expected::Absent));
        assert!(!holds("one", Expected::Absent));
    }

    #[test]
    fn a_transaction_out_of_bounds_is_refused() {
        let many: Vec<String> = (0..=ENTRIES_MAX).map(|key| key.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for keys in [&[][..], &["k", "k"], &many] {
            assert_eq!(check(&writes(keys, 1)), Err(Refusal::BadTransaction));
        }
        assert_eq!(check(&writes(&many[1..], 1)), Ok(()));
        for key in ["", "a\u{7}", &"x".repeat(KEY_BYTES_MAX + 1)] {
            assert_eq!(
                check(&writes(&[key], 1)),
                Err(Refusal::BadKey(Arc::from(key)))
            );
        }
        let (store, half) = (store(), PAYLOAD_BYTES_MAX / 2 + 1);
        let map = store.as_map().unwrap();
        assert_eq!(
            check_size(map, &writes(&["a", "b"], half), usize::MAX),
            Err(Refusal::TooLarge(2 * half))
        );
    }

    #[test]
    fn the_writes_are_encoded_by_key_above_every_clock() {
        let store = store();
        let map = store.as_map().unwrap();
        let mut transaction = writes(&["two", "one"], 2);
        transaction.write[0].value = None;
        let (body, payload) = encode(map, &transaction);
        let Body::Entries { clock, entries } = body else {
            panic!("{body:?}");
        };
        assert_eq!((clock, &payload[..]), (6, &[1, 1][..]));
        let names: Vec<&str> = entries.iter().map(|entry| &*entry.key).collect();
        assert_eq!(names, ["one", "two"]);
        let overwritten = |at: usize| entries[at].over.as_ref().map(|version| version.sequence);
        assert_eq!((overwritten(0), overwritten(1)), (Some(3), Some(5)));
        assert_eq!((entries[0].length, entries[1].length), (Some(2), None));
    }
}
