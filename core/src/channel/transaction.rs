//! Transactions on a map: checked against this node's copy, and turned into one broadcast.

use super::interface::{Expected, Refusal, Transaction, Write};
use super::message::{Body, ENTRIES_MAX, Entry, KEY_BYTES_MAX, PAYLOAD_BYTES_MAX};
use super::store::ReplicatedMap;
use crate::identity::only_shows;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Checks the form of a transaction.
///
/// # Errors
/// When a key is not allowed, a key is written twice, or the number of writes is out of bounds.
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

/// The first key of which the transaction expects something else than the map holds.
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

/// Checks the size of a transaction.
///
/// # Errors
/// When its values exceed one payload, or the map has no room for them.
pub(super) fn check_size(map: &ReplicatedMap, transaction: &Transaction) -> Result<(), Refusal> {
    let values = transaction
        .write
        .iter()
        .filter_map(|write| write.value.as_ref());
    let bytes: usize = values.clone().map(|value| value.len()).sum();
    if bytes > PAYLOAD_BYTES_MAX {
        return Err(Refusal::TooLarge(bytes));
    }
    if bytes > 0 && !map.has_room(values.count(), bytes) {
        return Err(Refusal::Full);
    }
    Ok(())
}

/// The writes of a transaction as the body and payload of an update.
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
