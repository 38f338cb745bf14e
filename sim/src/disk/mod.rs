//! A host's disk: a tree of files, the durable part of this tree, and the faults of writes.
//!
//! A write takes [`WRITE`] until its completion is delivered, and a sync takes [`SYNC`]; writes and syncs complete in
//! the order in which they were requested. An unsynced write survives the kill of a process. A loss of power undoes an
//! unsynced write:
//!
//! - A file's bytes are those of its latest sync. A file that was never synced is gone, or is empty if a later change
//!   of names survives.
//! - A rename or link is atomic. The change is durable after a sync of the folder, of the whole disk, or of the file at
//!   its new name. Before such a sync, a random number of the unsynced changes of names survives, in their order.
//! - A write in progress when the process ends is lost; on a disk with torn writes, a random prefix of the write may
//!   survive.

mod journal;
pub mod tree;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;

use core::fmt;
use core::time::Duration;
use journal::{Journal, NameChange};
use phalanx_core::random::Random;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use tree::{FileTree, TreeEntry, TreeError, put};

/// How a disk fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// Writes fail because the disk is full.
    Full,
    /// Half of the write under way at a stop is on the disk.
    TornWrite,
    /// Reads and writes fail.
    IoError,
}

impl DiskFault {
    /// Every fault and its name.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::Full, "full"),
        (Self::TornWrite, "torn-write"),
        (Self::IoError, "io-error"),
    ];

    /// The fault's name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::TornWrite => "torn-write",
            Self::IoError => "io-error",
        }
    }
}

/// Duration of a read, and of a write without a sync.
pub const WRITE: Duration = Duration::from_micros(20);
/// Duration of a sync, and of a write with a sync.
pub const SYNC: Duration = Duration::from_millis(2);

/// A change of the disk. Paths are absolute; a name without a leading slash is in the root folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskChange {
    /// Replaces the content of a file by these bytes. The file is created if it does not exist.
    Replace(Cow<'static, str>, Vec<u8>),
    /// Appends these bytes to a file. The file is created if it does not exist.
    Append(Cow<'static, str>, Vec<u8>),
    /// Removes a file, a link or an empty folder.
    Remove(Cow<'static, str>),
    /// Moves an entry to another path in one step; an entry at that path is replaced.
    Rename {
        /// The old path.
        old: Cow<'static, str>,
        /// The new path.
        new: Cow<'static, str>,
    },
    /// Creates a symbolic link.
    Link {
        /// The target of the link.
        target: Cow<'static, str>,
        /// The link's own path.
        path: Cow<'static, str>,
    },
    /// Creates a folder, with its missing ancestors.
    Folder(Cow<'static, str>),
    /// Makes the entries of a folder durable: its names, but not the bytes of its files.
    SyncFolder(Cow<'static, str>),
    /// Makes a file's bytes and its name durable.
    SyncFile(Cow<'static, str>),
    /// Makes the whole disk durable in its current state.
    Sync,
}

/// The reason why a read, write or sync failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskError {
    /// No space is left.
    Full,
    /// The device failed.
    Io,
    /// The path does not resolve to an entry of the required kind.
    Path(TreeError),
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("no space left on device"),
            Self::Io => f.write_str("input/output error"),
            Self::Path(error) => error.fmt(f),
        }
    }
}

/// The part of a disk that survives a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// All written data.
    Written,
    /// All synced data.
    Synced,
    /// No data.
    Nothing,
}

/// The files of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// The tree that processes see.
    written: FileTree,
    /// The tree that remains after a loss of power.
    durable: FileTree,
    /// The changes of names that are in `written` and not in `durable`.
    journal: Journal,
    /// The writes that are ordered and not completed, by number, each with a flag whether the write is synced.
    under_way: BTreeMap<u64, (DiskChange, bool)>,
    /// The process that ordered each of these writes.
    owners: BTreeMap<u64, usize>,
    ordered: u64,
    /// The time at which the latest request completes, in true time.
    busy_until: u64,
    fault: Option<(DiskFault, Option<usize>)>,
    /// The additional time of each operation, and the step that caused the delay.
    delay: (Duration, Option<usize>),
}

impl Files {
    /// The bytes of a file; none if there is no such file.
    #[must_use]
    pub fn read(&self, file: &str) -> Option<&[u8]> {
        self.written.read(file).ok()
    }

    /// The paths of all files, without the leading slash.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        files(&self.written).map(|(path, _)| path.trim_start_matches('/'))
    }

    /// Stores a file durably and at once, before a process runs. Missing folders of the file are created.
    pub fn put(&mut self, file: impl Into<Cow<'static, str>>, bytes: Vec<u8>) {
        let file = file.into();
        for tree in [&mut self.written, &mut self.durable] {
            put(tree, &file, &bytes);
        }
    }

    /// Stores a file durably and at once, as a process does before it runs. Missing folders of the file are created.
    ///
    /// # Errors
    /// Returns an error if the disk is full or fails.
    pub fn store(
        &mut self,
        file: impl Into<Cow<'static, str>>,
        bytes: Vec<u8>,
    ) -> Result<(), DiskError> {
        match self.fault {
            Some((DiskFault::IoError, _)) => Err(DiskError::Io),
            Some((DiskFault::Full, _)) => Err(DiskError::Full),
            Some((DiskFault::TornWrite, _)) | None => {
                self.put(file, bytes);
                Ok(())
            }
        }
    }

    /// Creates a folder and its missing ancestors, durably and at once.
    pub fn put_folder(&mut self, path: &str) {
        for tree in [&mut self.written, &mut self.durable] {
            // A file at the path of a folder stays.
            let _blocked = tree.make_folders(path);
        }
    }

    /// The tree that processes see.
    #[must_use]
    pub const fn tree(&self) -> &FileTree {
        &self.written
    }

    /// The tree that processes see, for a part of the host that changes files within one step. Changes made through
    /// this reference are not durable until a sync.
    pub const fn tree_mut(&mut self) -> &mut FileTree {
        &mut self.written
    }

    /// Whether the device fails reads.
    pub(crate) const fn fails_reads(&self) -> bool {
        matches!(self.fault, Some((DiskFault::IoError, _)))
    }

    /// Begins a write; returns its number and its completion time.
    pub(crate) fn begin(
        &mut self,
        now: u64,
        owner: usize,
        write: DiskChange,
        synced: bool,
    ) -> (u64, u64) {
        let takes = if synced || write.syncs() { SYNC } else { WRITE } + self.delay.0;
        self.ordered += 1;
        self.under_way.insert(self.ordered, (write, synced));
        self.owners.insert(self.ordered, owner);
        let done = now + phalanx_core::time::nanos(takes);
        self.busy_until = self.busy_until.max(done);
        (self.ordered, self.busy_until)
    }

    /// The completion time of a read that begins now; all earlier requests complete first.
    pub(crate) fn read_done(&self, now: u64) -> u64 {
        let takes = WRITE + self.delay.0;
        self.busy_until.max(now + phalanx_core::time::nanos(takes))
    }

    /// A write completes or fails: returns the write and whether the write was synced; none if the write was forgotten
    /// with its process.
    pub(crate) fn end(&mut self, number: u64) -> Option<Result<(), (DiskError, DiskChange, bool)>> {
        let (write, synced) = self.under_way.remove(&number)?;
        self.owners.remove(&number);
        match self.fault {
            Some((DiskFault::IoError, _)) => return Some(Err((DiskError::Io, write, synced))),
            Some((DiskFault::Full, _)) if write.grows() => {
                return Some(Err((DiskError::Full, write, synced)));
            }
            Some((DiskFault::Full | DiskFault::TornWrite, _)) | None => {}
        }
        let done = self
            .apply(&write)
            .and_then(|()| if synced { self.sync(&write) } else { Ok(()) });
        Some(done.map_err(|error| (DiskError::Path(error), write, synced)))
    }

    /// Performs a write, and adds its change of names to the journal.
    fn apply(&mut self, write: &DiskChange) -> Result<(), TreeError> {
        match write {
            DiskChange::Replace(file, bytes) => {
                let change = self.creation(file)?;
                self.written.write(file, bytes)?;
                self.record(change);
            }
            DiskChange::Append(file, bytes) => {
                let change = self.creation(file)?;
                self.written.append(file, bytes)?;
                self.record(change);
            }
            DiskChange::Remove(path) => {
                let at = self.written.resolve(path, false)?;
                self.written.remove(path)?;
                self.record(Some(NameChange::Remove(at)));
            }
            DiskChange::Rename { old, new } => {
                let (from, to) = (
                    self.written.resolve(old, false)?,
                    self.written.resolve(new, false)?,
                );
                self.written.rename(old, new)?;
                if from != to {
                    self.record(Some(NameChange::Rename { old: from, new: to }));
                }
            }
            DiskChange::Link { target, path } => {
                let at = self.written.resolve(path, false)?;
                self.written.make_link(target, path)?;
                let target = target.clone().into_owned();
                self.record(Some(NameChange::Link { target, path: at }));
            }
            DiskChange::Folder(path) => {
                if !self.written.exists(path) {
                    self.written.make_folders(path)?;
                    let at = self.written.resolve(path, true)?;
                    self.record(Some(NameChange::Folder(at)));
                }
            }
            DiskChange::SyncFolder(_) | DiskChange::SyncFile(_) | DiskChange::Sync => {
                self.sync(write)?
            }
        }
        Ok(())
    }

    /// The change of names that a write to a file causes, if the write creates the file.
    fn creation(&self, file: &str) -> Result<Option<NameChange>, TreeError> {
        let path = self.written.resolve(file, true)?;
        let exists = self.written.exists(&path);
        Ok((!exists).then_some(NameChange::Create(path)))
    }

    fn record(&mut self, change: Option<NameChange>) {
        if let Some(change) = change {
            self.journal.record(change, &mut self.durable);
        }
    }

    /// Makes the data that a write concerns durable.
    fn sync(&mut self, write: &DiskChange) -> Result<(), TreeError> {
        match write {
            DiskChange::Replace(path, _)
            | DiskChange::Append(path, _)
            | DiskChange::SyncFile(path) => {
                let path = self.written.resolve(path, true)?;
                let bytes = self.written.read(&path)?;
                self.journal.flush_path(&path, &mut self.durable);
                put(&mut self.durable, &path, bytes);
            }
            DiskChange::Remove(path) | DiskChange::Link { path, .. } | DiskChange::Folder(path) => {
                let path = self.written.resolve(path, false)?;
                self.journal.flush_path(&path, &mut self.durable);
            }
            DiskChange::Rename { new, .. } => {
                let path = self.written.resolve(new, false)?;
                self.journal.flush_path(&path, &mut self.durable);
            }
            DiskChange::SyncFolder(path) => {
                let path = self.written.resolve(path, true)?;
                let _names = self
                    .written
                    .list(if path.is_empty() { "/" } else { &path })?;
                self.journal.flush_folder(&path, &mut self.durable);
            }
            DiskChange::Sync => {
                self.durable.clone_from(&self.written);
                self.journal = Journal::default();
            }
        }
        Ok(())
    }

    /// Begins a fault; `None` ends the current fault. `step` is the step that ordered the fault.
    pub(crate) const fn set_fault(&mut self, fault: Option<DiskFault>, step: Option<usize>) {
        self.fault = match fault {
            Some(fault) => Some((fault, step)),
            None => None,
        };
    }

    /// Makes each operation take longer by this time. `step` is the step that ordered the delay.
    pub(crate) const fn set_delay(&mut self, delay: Duration, step: Option<usize>) {
        self.delay = (delay, step);
    }

    /// The step that slows this disk down.
    pub(crate) const fn delay_step(&self) -> Option<usize> {
        self.delay.1
    }

    /// The step that ordered the disk's current fault.
    pub(crate) fn fault_step(&self) -> Option<usize> {
        self.fault.and_then(|(_, step)| step)
    }

    /// A process ended, so its writes under way are dropped.
    pub(crate) fn forget(&mut self, owner: usize) {
        let owners = &mut self.owners;
        self.under_way
            .retain(|number, _| owners.get(number) != Some(&owner));
        owners.retain(|_, of| *of != owner);
        if self.under_way.is_empty() {
            self.busy_until = 0;
        }
    }

    /// The process or the machine stopped. Returns the number of files that differ afterwards, because writes that were
    /// not durable are gone or torn.
    pub(crate) fn crash(&mut self, left: Left, random: &mut Random) -> u64 {
        let under_way = std::mem::take(&mut self.under_way);
        self.owners.clear();
        self.busy_until = 0;
        if left == Left::Written {
            return 0;
        }
        let before = self.written.clone();
        let mut paths = self.paths();
        match left {
            Left::Written => {}
            Left::Nothing => {
                self.written = FileTree::default();
                self.durable = FileTree::default();
                self.journal = Journal::default();
            }
            Left::Synced => {
                self.journal.survive(&mut self.durable, random);
                if matches!(self.fault, Some((DiskFault::TornWrite, _))) {
                    for (write, _) in under_way.into_values() {
                        if write.file().is_some() {
                            // A write that would have failed changes nothing.
                            let _failed = self.apply(&write);
                        }
                    }
                    self.tear_all(random);
                }
                self.journal = Journal::default();
                self.written.clone_from(&self.durable);
            }
        }
        paths.extend(self.paths());
        let differs = |path: &&String| before.read(path).ok() != self.written.read(path).ok();
        paths.iter().filter(differs).count() as u64
    }

    /// The paths of all files that exist now or after a loss of power.
    fn paths(&self) -> BTreeSet<String> {
        let both = files(&self.written).chain(files(&self.durable));
        both.map(|(path, _)| path.to_owned()).collect()
    }

    /// Replaces each file that differs from its durable state by a mixture of both states.
    fn tear_all(&mut self, random: &mut Random) {
        for path in self.paths() {
            let old = self.durable.read(&path).ok().map(<[u8]>::to_vec);
            let new = self.written.read(&path).ok().map(<[u8]>::to_vec);
            if old != new
                && let Some(torn) = tear(old, new, random)
            {
                put(&mut self.durable, &path, &torn);
            }
        }
    }
}

/// The files of a tree.
fn files(tree: &FileTree) -> impl Iterator<Item = (&str, &[u8])> {
    tree.iter().filter_map(|(path, entry)| match entry {
        TreeEntry::File(bytes) => Some((path, bytes.as_slice())),
        TreeEntry::Folder | TreeEntry::Link(_) | TreeEntry::Socket => None,
    })
}

/// The bytes of a file whose replacement was torn.
fn tear(old: Option<Vec<u8>>, new: Option<Vec<u8>>, random: &mut Random) -> Option<Vec<u8>> {
    let Some(mut new) = new else {
        return old;
    };
    // If the new content begins with the durable bytes, these stay; of the remaining bytes, a random prefix stays.
    let kept = old
        .as_ref()
        .map_or(0, |old| if new.starts_with(old) { old.len() } else { 0 });
    let rest = (new.len() - kept) as u64;
    let length = kept + usize::try_from(random.below(rest.max(1))).unwrap_or(0);
    new.truncate(length);
    Some(new)
}

impl DiskChange {
    fn file(&self) -> Option<&Cow<'static, str>> {
        match self {
            Self::Replace(file, _) | Self::Append(file, _) | Self::Remove(file) => Some(file),
            Self::Rename { .. } | Self::Link { .. } | Self::Folder(_) => None,
            Self::SyncFolder(_) | Self::SyncFile(_) | Self::Sync => None,
        }
    }

    const fn grows(&self) -> bool {
        match self {
            Self::Replace(..) | Self::Append(..) | Self::Link { .. } | Self::Folder(_) => true,
            Self::Remove(_) | Self::Rename { .. } => false,
            Self::SyncFolder(_) | Self::SyncFile(_) | Self::Sync => false,
        }
    }

    const fn syncs(&self) -> bool {
        match self {
            Self::SyncFolder(_) | Self::SyncFile(_) | Self::Sync => true,
            Self::Replace(..) | Self::Append(..) | Self::Link { .. } | Self::Folder(_) => false,
            Self::Remove(_) | Self::Rename { .. } => false,
        }
    }
}
