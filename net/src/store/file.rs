//! Items in files of one directory: written beside, flushed, renamed over, and the directory flushed.
//!
//! One process at a time holds the directory, by a lock that the system frees when the process dies; the lock file
//! names the process. Files are readable by their user alone, so that no other user can hold the lock. Symbolic links
//! and files that are not regular are refused.

use super::error::StoreError;
use super::interface::Store;
use super::name::ItemName;
use crate::durable;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task;

/// The name of the lock file in the directory.
const LOCK: &str = "lock";
/// Maximum number of bytes of the lock file.
const LOCK_BYTES_MAX: u64 = 64;

/// Items in files of a directory, which is held until the last clone is dropped.
#[derive(Clone, Debug)]
pub struct FileStore {
    directory: Arc<Directory>,
}

#[derive(Debug)]
struct Directory {
    path: PathBuf,
    /// Held while an item is read, changed and replaced.
    writing: Mutex<()>,
    /// Locked. Closing the file unlocks the directory.
    _lock: File,
}

impl FileStore {
    /// Holds this directory, which must exist.
    ///
    /// # Errors
    /// When another process holds the directory, or it cannot be written.
    pub fn hold(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(LOCK);
        let failed = |doing| {
            let path = path.clone();
            move |error| StoreError::Io { doing, path, error }
        };
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        durable::only_this_user(&mut options);
        let opened = durable::open_regular(&mut options, &path);
        let mut lock = opened.map_err(failed("opening"))?;
        // An earlier version may have left a file that other users can open, and therefore lock.
        durable::restrict_to_this_user(&lock).map_err(failed("restricting"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => StoreError::Held {
                directory: directory.to_owned(),
                // The process may not have written its number yet.
                process: durable::read_regular(&path, LOCK_BYTES_MAX)
                    .ok()
                    .and_then(|text| str::from_utf8(&text).ok()?.trim().parse().ok()),
            },
            TryLockError::Error(error) => failed("locking")(error),
        })?;
        lock.set_len(0).map_err(failed("writing"))?;
        writeln!(lock, "{}", std::process::id()).map_err(failed("writing"))?;
        let directory = Directory {
            path: directory.to_owned(),
            writing: Mutex::new(()),
            _lock: lock,
        };
        Ok(Self {
            directory: Arc::new(directory),
        })
    }

    /// The file of an item.
    #[must_use]
    pub fn path(&self, name: ItemName) -> PathBuf {
        self.directory.file(name)
    }

    /// Runs file operations outside the loops of tasks.
    async fn blocking<T, E>(
        &self,
        work: impl FnOnce(&Directory) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let directory = Arc::clone(&self.directory);
        let done = task::spawn_blocking(move || work(&directory)).await;
        done.unwrap_or_else(|error| {
            Err(E::from(StoreError::Io {
                doing: "using the directory",
                path: self.directory.path.clone(),
                error: io::Error::other(error),
            }))
        })
    }
}

impl Store for FileStore {
    async fn load(&self, name: ItemName) -> Result<Option<Vec<u8>>, StoreError> {
        self.blocking(move |directory| directory.load(name)).await
    }

    async fn update<T, E>(
        &self,
        name: ItemName,
        change: impl FnOnce(Option<&[u8]>) -> Result<(Vec<u8>, T), E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.blocking(move |directory| directory.update(name, change))
            .await
    }

    fn place(&self, name: ItemName) -> String {
        self.path(name).display().to_string()
    }
}

impl Directory {
    fn file(&self, name: ItemName) -> PathBuf {
        self.path.join(name.as_str())
    }

    fn load(&self, name: ItemName) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.file(name);
        match durable::read_regular(&path, name.bytes_max() as u64) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::Io {
                doing: "reading",
                path,
                error,
            }),
        }
    }

    fn update<T, E: From<StoreError>>(
        &self,
        name: ItemName,
        change: impl FnOnce(Option<&[u8]>) -> Result<(Vec<u8>, T), E>,
    ) -> Result<T, E> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (new, result) = change(self.load(name)?.as_deref())?;
        if new.len() > name.bytes_max() {
            let bytes = new.len();
            return Err(StoreError::TooLarge { name, bytes }.into());
        }
        let temporary = self.path.join(format!(".{name}.new"));
        durable::replace(&self.file(name), &temporary, &new).map_err(|failed| {
            let durable::Failed { doing, path, error } = failed;
            StoreError::Io { doing, path, error }
        })?;
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ITEM_BYTES_MAX;
    use std::fs;

    const PEERS: ItemName = ItemName::new("peers");

    fn held() -> (tempfile::TempDir, FileStore) {
        let directory = tempfile::tempdir().unwrap();
        let store = FileStore::hold(directory.path()).unwrap();
        (directory, store)
    }

    fn files(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn items_are_kept_by_name_and_nothing_is_left_beside_them() {
        let (directory, store) = held();
        let other = ItemName::new("revocations");
        assert_eq!(store.load(PEERS).await.unwrap(), None);
        store.save(PEERS, b"a b".to_vec()).await.unwrap();
        store.save(other, Vec::new()).await.unwrap();
        store.save(PEERS, b"a".to_vec()).await.unwrap();
        drop(store);
        let store = FileStore::hold(directory.path()).unwrap();
        assert_eq!(store.load(PEERS).await.unwrap(), Some(b"a".to_vec()));
        assert_eq!(store.load(other).await.unwrap(), Some(Vec::new()));
        assert_eq!(files(directory.path()), ["lock", "peers", "revocations"]);
    }

    #[tokio::test]
    async fn a_rejected_change_leaves_the_item_as_it_was() {
        let (_directory, store) = held();
        store.save(PEERS, b"a".to_vec()).await.unwrap();
        let rejected = store
            .update(PEERS, |bytes| {
                assert_eq!(bytes, Some(&b"a"[..]));
                Err::<(Vec<u8>, ()), _>(StoreError::TooLarge {
                    name: PEERS,
                    bytes: 7,
                })
            })
            .await;
        assert!(matches!(
            rejected,
            Err(StoreError::TooLarge { bytes: 7, .. })
        ));
        assert_eq!(store.load(PEERS).await.unwrap(), Some(b"a".to_vec()));
    }

    #[tokio::test]
    async fn concurrent_changes_of_an_item_are_applied_one_after_the_other() {
        let (_directory, store) = held();
        let mut writers = task::JoinSet::new();
        for _ in 0..32 {
            let store = store.clone();
            writers.spawn(async move {
                let longer = |bytes: Option<&[u8]>| {
                    let mut bytes = bytes.unwrap_or_default().to_vec();
                    bytes.push(b'.');
                    Ok::<_, StoreError>((bytes, ()))
                };
                store.update(PEERS, longer).await.unwrap();
            });
        }
        writers.join_all().await;
        assert_eq!(store.load(PEERS).await.unwrap().unwrap().len(), 32);
    }

    #[tokio::test]
    async fn items_beyond_the_bound_are_neither_saved_nor_read() {
        let (_directory, store) = held();
        store.save(PEERS, vec![0; ITEM_BYTES_MAX]).await.unwrap();
        let error = store
            .save(PEERS, vec![0; ITEM_BYTES_MAX + 1])
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
        let kept = store.load(PEERS).await.unwrap().unwrap();
        assert_eq!(kept.len(), ITEM_BYTES_MAX);
        fs::write(store.path(PEERS), vec![0; ITEM_BYTES_MAX + 1]).unwrap();
        let error = store.load(PEERS).await.unwrap_err().to_string();
        assert!(error.contains("more than 4194304 bytes"), "{error}");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn files_are_readable_by_their_user_alone_after_any_crash() {
        use std::os::unix::fs::PermissionsExt as _;
        let (directory, store) = held();
        let left = directory.path().join(".peers.new");
        for path in [&store.path(PEERS), &left] {
            fs::write(path, b"half of it").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        }
        store.save(PEERS, b"a".to_vec()).await.unwrap();
        assert_eq!(store.load(PEERS).await.unwrap(), Some(b"a".to_vec()));
        assert_eq!(files(directory.path()), ["lock", "peers"]);
        for file in ["lock", "peers"] {
            let metadata = fs::metadata(directory.path().join(file)).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{file}");
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_symbolic_link_is_not_followed_and_its_target_is_unchanged() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("precious");
        fs::write(&target, b"precious").unwrap();
        let state = directory.path().join("state");
        fs::create_dir(&state).unwrap();
        let link = |name: &str| std::os::unix::fs::symlink(&target, state.join(name)).unwrap();
        link("lock");
        let error = FileStore::hold(&state).unwrap_err().to_string();
        assert!(error.contains("symbolic link"), "{error}");
        fs::remove_file(state.join("lock")).unwrap();
        let store = FileStore::hold(&state).unwrap();
        link("peers");
        let error = store.load(PEERS).await.unwrap_err().to_string();
        assert!(error.contains("symbolic link"), "{error}");
        // A new item replaces a link, and not its target.
        link(".peers.new");
        fs::remove_file(state.join("peers")).unwrap();
        store.save(PEERS, b"a".to_vec()).await.unwrap();
        assert!(
            !fs::symlink_metadata(state.join("peers"))
                .unwrap()
                .is_symlink()
        );
        assert_eq!(fs::read(&target).unwrap(), b"precious");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_file_that_is_not_regular_is_refused_at_once() {
        let (directory, store) = held();
        let fifo = directory.path().join("peers");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let error = store.load(PEERS).await.unwrap_err().to_string();
        assert!(error.contains("not a regular file"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_file_of_an_earlier_version_is_restricted_to_its_user() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(LOCK);
        fs::write(&path, b"17\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let store = FileStore::hold(directory.path()).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(store);
    }

    #[test]
    fn a_directory_that_does_not_exist_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = FileStore::hold(&directory.path().join("nowhere")).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("nowhere") && error.contains("must exist"),
            "{error}"
        );
    }

    #[test]
    fn a_directory_is_held_by_one_process_at_a_time_and_the_other_is_named() {
        let (directory, store) = held();
        let error = FileStore::hold(directory.path()).unwrap_err().to_string();
        let process = format!("process {}", std::process::id());
        assert!(error.contains(&process), "{error}");
        let shown = directory.path().display().to_string();
        assert!(error.contains(&shown), "{error}");
        let clone = store.clone();
        drop(store);
        assert!(FileStore::hold(directory.path()).is_err(), "a clone holds");
        drop(clone);
        assert!(FileStore::hold(directory.path()).is_ok());
    }
}
