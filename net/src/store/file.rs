//! An epoch in a file: written beside, flushed, renamed over, and the directory flushed.
//!
//! One process at a time holds the directory, by a lock that the system frees when the process dies; the lock file
//! names it. The stored epoch never falls.

use super::{EpochStore, StoreError};
use phalanx_core::random::hash_bytes;
use phalanx_core::time::Wall;
use phalanx_core::topology::record::COUNTER_MAX;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task;

/// The file's name in the state directory.
const NAME: &str = "epoch";
/// The lock's name beside it.
const LOCK: &str = "lock";
/// The first line of the file.
const HEAD: &str = "phalanx epoch 1";

/// An epoch in a file, whose directory is held until the last clone is dropped.
#[derive(Clone, Debug)]
pub struct FileEpoch {
    held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    directory: PathBuf,
    /// Locked; the lock goes with it.
    _lock: File,
    /// Whoever writes: the epoch is compared and replaced in one act.
    writing: Mutex<()>,
}

impl FileEpoch {
    /// Takes hold of the epoch in this directory, which must exist.
    ///
    /// # Errors
    /// When another process holds it, or it cannot be written.
    pub fn hold(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(LOCK);
        let failed = |doing| {
            let path = path.clone();
            move |error| StoreError::Io { doing, path, error }
        };
        let mut lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed("opening"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => StoreError::Held {
                directory: directory.to_owned(),
                // It may not have written its number yet.
                process: fs::read_to_string(&path)
                    .ok()
                    .and_then(|text| text.trim().parse().ok()),
            },
            TryLockError::Error(error) => failed("locking")(error),
        })?;
        lock.set_len(0).map_err(failed("writing"))?;
        writeln!(lock, "{}", std::process::id()).map_err(failed("writing"))?;
        Ok(Self {
            held: Arc::new(Held {
                directory: directory.to_owned(),
                _lock: lock,
                writing: Mutex::new(()),
            }),
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.held.directory.join(NAME)
    }

    /// The epoch for a new start: above the stored one, or from the calendar where none is stored; durable on
    /// return.
    ///
    /// # Errors
    /// When the file is damaged, or the directory cannot be read or written.
    pub fn next_epoch(&self, now: Wall) -> Result<u64, StoreError> {
        let next = match self.read()? {
            None => now.0.max(1),
            Some(epoch) if epoch < COUNTER_MAX => epoch + 1,
            Some(epoch) => {
                return Err(StoreError::Exhausted {
                    path: self.path(),
                    epoch,
                });
            }
        };
        self.write(next)?;
        Ok(next)
    }

    /// The stored epoch, if any.
    ///
    /// # Errors
    /// When the file is damaged or cannot be read.
    pub fn read(&self) -> Result<Option<u64>, StoreError> {
        let path = self.path();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(StoreError::Io {
                    doing: "reading",
                    path,
                    error,
                });
            }
        };
        match parse(&bytes) {
            Ok(epoch) => Ok(Some(epoch)),
            Err(reason) => Err(StoreError::Damaged { path, reason }),
        }
    }

    /// Replaces the stored epoch; durable on return, and never half written.
    ///
    /// # Errors
    /// When a higher one is stored, the file is damaged, or the directory cannot be written.
    pub fn write(&self, epoch: u64) -> Result<(), StoreError> {
        let _alone = self
            .held
            .writing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (path, beside) = (self.path(), self.held.directory.join(".epoch.new"));
        if let Some(stored) = self.read()?.filter(|stored| *stored > epoch) {
            return Err(StoreError::Falls {
                path,
                stored,
                epoch,
            });
        }
        let failed = |doing, path: &Path| {
            let path = path.to_owned();
            move |error| StoreError::Io { doing, path, error }
        };
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&beside)
            .map_err(failed("creating", &beside))?;
        file.write_all(compose(epoch).as_bytes())
            .map_err(failed("writing", &beside))?;
        file.sync_all().map_err(failed("flushing", &beside))?;
        drop(file);
        fs::rename(&beside, &path).map_err(failed("renaming to", &path))?;
        let held = &self.held.directory;
        let directory = File::open(held).map_err(failed("opening", held))?;
        directory.sync_all().map_err(failed("flushing", held))
    }
}

impl EpochStore for FileEpoch {
    async fn store(&self, epoch: u64) -> Result<(), StoreError> {
        let store = self.clone();
        let path = self.path();
        match task::spawn_blocking(move || store.write(epoch)).await {
            Ok(result) => result,
            Err(error) => Err(StoreError::Io {
                doing: "storing",
                path,
                error: io::Error::other(error),
            }),
        }
    }
}

fn check(epoch: u64) -> u64 {
    hash_bytes(format!("{HEAD} {epoch}").as_bytes())
}

fn compose(epoch: u64) -> String {
    format!("{HEAD}\n{epoch}\n{:016x}\n", check(epoch))
}

fn parse(bytes: &[u8]) -> Result<u64, String> {
    let text = str::from_utf8(bytes).map_err(|_| "it is no text".to_owned())?;
    let mut lines = text.lines();
    if lines.next() != Some(HEAD) {
        return Err(format!("line 1 is not {HEAD:?}"));
    }
    let number = lines.next().ok_or("line 2 is missing")?;
    let epoch: u64 = number
        .parse()
        .map_err(|_| format!("line 2, {number:?}, is no number"))?;
    if epoch > COUNTER_MAX {
        return Err(format!("line 2, {epoch}, is above the allowed maximum"));
    }
    if text != compose(epoch) {
        return Err("line 3, the check sum, does not fit".to_owned());
    }
    Ok(epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_starts_at_the_calendar_and_rises_with_each_start() {
        let directory = tempfile::tempdir().unwrap();
        let store = FileEpoch::hold(directory.path()).unwrap();
        assert_eq!(store.read().unwrap(), None);
        assert_eq!(
            store.next_epoch(Wall(1_700_000_000)).unwrap(),
            1_700_000_000
        );
        // The calendar went back; the epoch does not.
        assert_eq!(store.next_epoch(Wall(5)).unwrap(), 1_700_000_001);
        store.write(1_800_000_000).unwrap();
        assert_eq!(store.next_epoch(Wall(5)).unwrap(), 1_800_000_001);
        let files: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
        assert_eq!(
            files.len(),
            2,
            "nothing is left beside the file and the lock"
        );
    }

    #[test]
    fn a_damaged_file_is_an_error_that_names_it_and_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = FileEpoch::hold(directory.path()).unwrap();
        let good = compose(7);
        let flipped = good.replace('7', "8");
        let cases: [(&[u8], &str); 5] = [
            (b"", "line 1"),
            (b"phalanx epoch 1\n", "line 2"),
            (b"phalanx epoch 1\nmany\n", "no number"),
            (flipped.as_bytes(), "check sum"),
            (&[0xff, 0xfe], "no text"),
        ];
        for (bytes, reason) in cases {
            fs::write(store.path(), bytes).unwrap();
            let error = store.next_epoch(Wall(9)).unwrap_err().to_string();
            assert!(
                error.contains(reason) && error.contains("remove it"),
                "{error}"
            );
            assert!(error.contains(store.path().to_str().unwrap()), "{error}");
            assert_eq!(fs::read(store.path()).unwrap(), bytes);
        }
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = FileEpoch::hold(&directory.path().join("nowhere")).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("nowhere") && error.contains("must exist"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn an_epoch_stored_off_the_loop_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let store = FileEpoch::hold(directory.path()).unwrap();
        store.store(42).await.unwrap();
        assert_eq!(store.read().unwrap(), Some(42));
    }

    #[test]
    fn a_directory_is_held_by_one_at_a_time_and_the_other_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let store = FileEpoch::hold(directory.path()).unwrap();
        let error = FileEpoch::hold(directory.path()).unwrap_err().to_string();
        let process = format!("process {}", std::process::id());
        assert!(error.contains(&process), "{error}");
        let shown = directory.path().display().to_string();
        assert!(error.contains(&shown), "{error}");
        let clone = store.clone();
        drop(store);
        assert!(FileEpoch::hold(directory.path()).is_err(), "a clone holds");
        drop(clone);
        assert!(FileEpoch::hold(directory.path()).is_ok());
    }

    #[test]
    fn the_stored_epoch_never_falls_whoever_writes_last() {
        let directory = tempfile::tempdir().unwrap();
        let store = FileEpoch::hold(directory.path()).unwrap();
        store.write(7).unwrap();
        store.write(7).unwrap();
        let error = store.write(6).unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::Falls {
                    stored: 7,
                    epoch: 6,
                    ..
                }
            ),
            "{error}"
        );
        std::thread::scope(|scope| {
            for epoch in 8..40 {
                let store = &store;
                scope.spawn(move || match store.write(epoch) {
                    Ok(()) | Err(StoreError::Falls { .. }) => {}
                    Err(error) => panic!("{error}"),
                });
            }
        });
        assert_eq!(store.read().unwrap(), Some(39));
    }
}
