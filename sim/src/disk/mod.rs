//! A host's disk: a tree of files, what of it is durable, and how writing fails.
//!
//! A write takes [`WRITE`] until its completion is delivered, a sync [`SYNC`]; they complete in the order in which they
//! were requested. An unsynced write survives the kill of a process. A loss of
//! power undoes it:
//!
//! - A file's bytes are those of its latest sync. A file that was never synced is gone, or empty
//!   where a later change to names survives.
//! - A rename or link is atomic. It is durable after a sync of the folder, of the whole disk, or of the file at its new
//!   name. Before that, a random number of the unsynced changes to names survives, in their order.
//! - A write in progress when the process ends is lost; on a disk with torn writes, a random prefix of it may survive.

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
    /// Writes fail for want of room.
    Full,
    /// The write under way at a stop is half there.
    TornWrite,
    /// Reads and writes fail.
    IoError,
}

impl DiskFault {
    /// Every fault and its word.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::Full, "full"),
        (Self::TornWrite, "torn-write"),
        (Self::IoError, "io-error"),
    ];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::TornWrite => "torn-write",
            Self::IoError => "io-error",
        }
    }
}

/// How long a read takes, and a write that is not synced.
pub const WRITE: Duration = Duration::from_micros(20);
/// How long a sync takes, and a write that is synced.
pub const SYNC: Duration = Duration::from_millis(2);

/// A change of the disk. Paths are absolute; a name without a slash at its beginning stands in the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskChange {
    /// A file holds these bytes and nothing else. The file is made if it does not exist.
    Replace(Cow<'static, str>, Vec<u8>),
    /// A file holds these bytes after its others. The file is made if it does not exist.
    Append(Cow<'static, str>, Vec<u8>),
    /// Removes a file, a link or an empty folder.
    Remove(Cow<'static, str>),
    /// An entry has another path, in the place of the entry that had it, in one step.
    Rename {
        /// The path before.
        old: Cow<'static, str>,
        /// The path afterwards.
        new: Cow<'static, str>,
    },
    /// Creates a symbolic link.
    Link {
        /// The path that the link leads to.
        target: Cow<'static, str>,
        /// The link's own path.
        path: Cow<'static, str>,
    },
    /// A folder exists, with those above it.
    Folder(Cow<'static, str>),
    /// The entries of a folder are made durable: which names it has, not the bytes of its files.
    SyncFolder(Cow<'static, str>),
    /// A file's bytes and its name are made durable.
    SyncFile(Cow<'static, str>),
    /// The whole disk is made durable as it stands.
    Sync,
}

/// The reason why a read, write or sync failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskError {
    /// No space is left.
    Full,
    /// The device failed.
    Io,
    /// The path does not lead where the operation needs it to.
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

/// The part of a disk that a crash leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// All that was written.
    Written,
    /// All that was synced.
    Synced,
    /// Nothing.
    Nothing,
}

/// The files of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// The tree that processes see.
    written: FileTree,
    /// The tree that a loss of power leaves.
    durable: FileTree,
    /// The changes to names that are in the first tree and not in the second.
    journal: Journal,
    /// The writes that are ordered and not done, by number, with whether each is synced.
    under_way: BTreeMap<u64, (DiskChange, bool)>,
    /// The process that ordered each of these.
    owners: BTreeMap<u64, usize>,
    ordered: u64,
    /// The time at which the latest request completes, in true time.
    busy_until: u64,
    fault: Option<(DiskFault, Option<usize>)>,
    /// The time that each operation takes in addition, and the step that caused it.
    delay: (Duration, Option<usize>),
}

impl Files {
    /// The bytes of a file; none if there is no such file.
    #[must_use]
    pub fn read(&self, file: &str) -> Option<&[u8]> {
        self.written.read(file).ok()
    }

    /// The paths of all files, without the slash at their beginning.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        files(&self.written).map(|(path, _)| path.trim_start_matches('/'))
    }

    /// Puts a file there, durably and at once: before a process runs. Its folders are made.
    pub fn put(&mut self, file: impl Into<Cow<'static, str>>, bytes: Vec<u8>) {
        let file = file.into();
        for tree in [&mut self.written, &mut self.durable] {
            put(tree, &file, &bytes);
        }
    }

    /// Stores a file durably and at once, as a process does before it runs. Its folders are made.
    ///
    /// # Errors
    /// The disk is full or fails.
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

    /// Puts a folder there, with those above it, durably and at once.
    pub fn put_folder(&mut self, path: &str) {
        for tree in [&mut self.written, &mut self.durable] {
            // A file that is in the way stays.
            let _blocked = tree.make_folders(path);
        }
    }

    /// The tree that processes see.
    #[must_use]
    pub const fn tree(&self) -> &FileTree {
        &self.written
    }

    /// The same, for a part of the host that acts on files within one step. Its changes are not durable until a sync.
    pub const fn tree_mut(&mut self) -> &mut FileTree {
        &mut self.written
    }

    /// Whether the device fails reads.
    pub(crate) const fn fails_reads(&self) -> bool {
        matches!(self.fault, Some((DiskFault::IoError, _)))
    }

    /// A write begins; returns its number and when it is done.
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

    /// The time at which a read that begins now completes: after all earlier requests.
    pub(crate) fn read_done(&self, now: u64) -> u64 {
        let takes = WRITE + self.delay.0;
        self.busy_until.max(now + phalanx_core::time::nanos(takes))
    }

    /// A write comes to its end, or fails: what it was, and whether synced; none if it was forgotten with its process.
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

    /// Does a write; what it changes of names goes into the journal.
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

    /// The change to names that a write to a file makes, if it makes the file.
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

    /// Makes durable what a write is about.
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

    /// A fault begins; none: it ends. `step` ordered it.
    pub(crate) const fn set_fault(&mut self, fault: Option<DiskFault>, step: Option<usize>) {
        self.fault = match fault {
            Some(fault) => Some((fault, step)),
            None => None,
        };
    }

    /// Each operation takes this much longer. `step` ordered it.
    pub(crate) const fn set_delay(&mut self, delay: Duration, step: Option<usize>) {
        self.delay = (delay, step);
    }

    /// The step that slows this disk down.
    pub(crate) const fn delay_step(&self) -> Option<usize> {
        self.delay.1
    }

    /// The step whose fault this disk has.
    pub(crate) fn fault_step(&self) -> Option<usize> {
        self.fault.and_then(|(_, step)| step)
    }

    /// A process ended: what it had under way did not happen.
    pub(crate) fn forget(&mut self, owner: usize) {
        let owners = &mut self.owners;
        self.under_way
            .retain(|number, _| owners.get(number) != Some(&owner));
        owners.retain(|_, of| *of != owner);
        if self.under_way.is_empty() {
            self.busy_until = 0;
        }
    }

    /// The process or the machine ended. Returns how many files differ afterwards: writes that were not durable are gone
    /// or torn.
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
                            // A write that would have failed leaves nothing.
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

    /// The paths of all files that are there now or after a loss of power.
    fn paths(&self) -> BTreeSet<String> {
        let both = files(&self.written).chain(files(&self.durable));
        both.map(|(path, _)| path.to_owned()).collect()
    }

    /// Makes each file that differs from its durable state a mixture of both.
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

/// The bytes of a file that was replaced in part.
fn tear(old: Option<Vec<u8>>, new: Option<Vec<u8>>, random: &mut Random) -> Option<Vec<u8>> {
    let Some(mut new) = new else {
        return old;
    };
    // Durable bytes that the new content begins with stay; of the rest, a beginning.
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
