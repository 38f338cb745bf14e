//! The stored epoch: its item and its format. Core decides which epoch is stored.
//!
//! The epoch is durable before the node publishes it: [`next`] at the start, and [`save`] when the machine orders it
//! later.

use super::error::StoreError;
use super::interface::Store;
use super::name::ItemName;
use phalanx_core::gossip::{epoch_of_start, may_replace_epoch};
use phalanx_core::random::hash_bytes;
use phalanx_core::time::Wall;
use phalanx_core::topology::record::COUNTER_MAX;

/// The item of the epoch.
pub const EPOCH: ItemName = ItemName::new("epoch");
/// The first line of the item.
const HEAD: &str = "phalanx epoch 1";

/// The reason why an epoch cannot be read or stored. The stored epoch remains.
#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The epoch to store is below the stored one.
    #[error("{place}: holds epoch {stored}, and {epoch} is lower; an epoch never falls")]
    Falls {
        /// The place of the item.
        place: String,
        /// The stored epoch.
        stored: u64,
        /// The epoch to store.
        epoch: u64,
    },
    /// The item is not one that [`encode`] made.
    #[error(
        "{place}: is damaged ({reason}); remove it, and the node takes a new epoch from the calendar"
    )]
    Damaged {
        /// The place of the item.
        place: String,
        /// The first difference.
        reason: String,
    },
    /// The stored epoch is the highest.
    #[error("{place}: epoch {epoch} cannot rise any more; remove the file")]
    Exhausted {
        /// The place of the item.
        place: String,
        /// The epoch.
        epoch: u64,
    },
}

/// The epoch for a new start: above the stored one, or from the calendar where none is stored; durable on return.
///
/// # Errors
/// When the item is damaged, or the store cannot be read or written.
pub async fn next<S: Store>(store: &S, now: Wall) -> Result<u64, EpochError> {
    let place = store.place(EPOCH);
    let raised = move |bytes: Option<&[u8]>| {
        let stored = stored(&place, bytes)?;
        match epoch_of_start(stored, now) {
            Some(epoch) => Ok((encode(epoch), epoch)),
            None => Err(EpochError::Exhausted {
                place,
                epoch: stored.unwrap_or_default(),
            }),
        }
    };
    store.update(EPOCH, raised).await
}

/// The stored epoch, if any.
///
/// # Errors
/// When the item is damaged or the store cannot be read.
pub async fn load<S: Store>(store: &S) -> Result<Option<u64>, EpochError> {
    let bytes = store.load(EPOCH).await?;
    stored(&store.place(EPOCH), bytes.as_deref())
}

/// Replaces the stored epoch; durable on return.
///
/// # Errors
/// When a higher one is stored, the item is damaged, or the store cannot be written.
pub async fn save<S: Store>(store: &S, epoch: u64) -> Result<(), EpochError> {
    let place = store.place(EPOCH);
    let replaced = move |bytes: Option<&[u8]>| {
        let stored = stored(&place, bytes)?;
        if may_replace_epoch(stored, epoch) {
            return Ok((encode(epoch), ()));
        }
        Err(EpochError::Falls {
            place,
            stored: stored.unwrap_or_default(),
            epoch,
        })
    };
    store.update(EPOCH, replaced).await
}

fn stored(place: &str, bytes: Option<&[u8]>) -> Result<Option<u64>, EpochError> {
    let damaged = |reason| EpochError::Damaged {
        place: place.to_owned(),
        reason,
    };
    bytes.map(decode).transpose().map_err(damaged)
}

/// The item of an epoch: three lines, the last a check sum.
#[must_use]
pub fn encode(epoch: u64) -> Vec<u8> {
    text(epoch).into_bytes()
}

fn text(epoch: u64) -> String {
    let check = hash_bytes(format!("{HEAD} {epoch}").as_bytes());
    format!("{HEAD}\n{epoch}\n{check:016x}\n")
}

/// The epoch of an item.
///
/// # Errors
/// The first difference from what [`encode`] makes.
pub fn decode(bytes: &[u8]) -> Result<u64, String> {
    let found = str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
    let mut lines = found.lines();
    if lines.next() != Some(HEAD) {
        return Err(format!("line 1 is not {HEAD:?}"));
    }
    let number = lines.next().ok_or("line 2 is missing")?;
    let epoch: u64 = number
        .parse()
        .map_err(|_| format!("line 2, {number:?}, is not a number"))?;
    if epoch > COUNTER_MAX {
        return Err(format!("line 2, {epoch}, is above the allowed maximum"));
    }
    if found != text(epoch) {
        return Err("line 3, the check sum, does not fit".to_owned());
    }
    Ok(epoch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{FileStore, MemoryStore};
    use std::fs;
    use tokio::task::JoinSet;

    #[tokio::test]
    async fn the_epoch_starts_at_the_calendar_and_rises_with_each_start() {
        let store = MemoryStore::default();
        assert_eq!(load(&store).await.unwrap(), None);
        let first = next(&store, Wall(1_700_000_000)).await.unwrap();
        assert_eq!(first, 1_700_000_000);
        // The calendar went back; the epoch does not.
        assert_eq!(next(&store, Wall(5)).await.unwrap(), 1_700_000_001);
        save(&store, 1_800_000_000).await.unwrap();
        assert_eq!(next(&store, Wall(5)).await.unwrap(), 1_800_000_001);
        assert_eq!(load(&store).await.unwrap(), Some(1_800_000_001));
        save(&store, COUNTER_MAX).await.unwrap();
        let error = next(&store, Wall(5)).await.unwrap_err().to_string();
        assert!(error.contains("cannot rise any more"), "{error}");
    }

    /// The files of a state directory as version 0.1.0 left them, when it was killed while it stored the next epoch.
    #[tokio::test]
    async fn a_state_directory_of_an_earlier_version_is_continued() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        let old = "phalanx epoch 1\n1795976263\n9e90492b4d1d2b04\n";
        write("epoch", old);
        write(".epoch.new", "phalanx epoch 1\n17959");
        write("lock", "4711\n");
        let store = FileStore::hold(directory.path()).unwrap();
        assert_eq!(load(&store).await.unwrap(), Some(1_795_976_263));
        assert_eq!(encode(1_795_976_263), old.as_bytes());
        assert_eq!(next(&store, Wall(5)).await.unwrap(), 1_795_976_264);
        let stored = fs::read(directory.path().join("epoch")).unwrap();
        assert_eq!(stored, encode(1_795_976_264));
    }

    #[tokio::test]
    async fn a_damaged_file_is_an_error_that_names_it_and_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = FileStore::hold(directory.path()).unwrap();
        let path = store.path(EPOCH);
        let flipped = text(7).replace('7', "8");
        let cases: [(&[u8], &str); 5] = [
            (b"", "line 1"),
            (b"phalanx epoch 1\n", "line 2"),
            (b"phalanx epoch 1\nmany\n", "not a number"),
            (flipped.as_bytes(), "check sum"),
            (&[0xff, 0xfe], "not text"),
        ];
        for (bytes, reason) in cases {
            fs::write(&path, bytes).unwrap();
            let error = next(&store, Wall(9)).await.unwrap_err().to_string();
            assert!(
                error.contains(reason) && error.contains("remove it"),
                "{error}"
            );
            assert!(error.contains(path.to_str().unwrap()), "{error}");
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
    }

    #[tokio::test]
    async fn the_stored_epoch_never_falls_in_any_order_of_writers() {
        let directory = tempfile::tempdir().unwrap();
        let store = FileStore::hold(directory.path()).unwrap();
        save(&store, 7).await.unwrap();
        save(&store, 7).await.unwrap();
        let error = save(&store, 6).await.unwrap_err();
        assert!(
            matches!(
                error,
                EpochError::Falls {
                    stored: 7,
                    epoch: 6,
                    ..
                }
            ),
            "{error}"
        );
        let mut writers = JoinSet::new();
        for epoch in 8..40 {
            let store = store.clone();
            writers.spawn(async move {
                match save(&store, epoch).await {
                    Ok(()) | Err(EpochError::Falls { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            });
        }
        writers.join_all().await;
        assert_eq!(load(&store).await.unwrap(), Some(39));
    }
}
