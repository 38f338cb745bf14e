//! Changes to names that are not durable yet.
//!
//! A sync makes some changes durable, together with all earlier changes that concern the same paths; the changes to one
//! path therefore become durable in their order, as in a journalling file system.

use super::tree::{FileTree, put};
use phalanx_core::random::Random;

/// Maximum number of waiting changes. Beyond this number, the oldest change becomes durable, because kernels also write
/// back without a sync.
const CHANGES_MAX: usize = 4_096;

/// A change to the names of a tree. Paths are canonical: they contain no symbolic links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NameChange {
    /// A file was created; its bytes are not part of the change.
    Create(String),
    /// A folder was created, with its missing ancestors.
    Folder(String),
    /// A symbolic link was created.
    Link { target: String, path: String },
    /// An entry was moved.
    Rename { old: String, new: String },
    /// An entry was removed.
    Remove(String),
}

impl NameChange {
    fn paths(&self) -> [&str; 2] {
        match self {
            Self::Rename { old, new } => [old, new],
            Self::Create(path)
            | Self::Folder(path)
            | Self::Link { path, .. }
            | Self::Remove(path) => [path, path],
        }
    }

    /// Whether two changes concern the same path, or a path and a path below it.
    fn relates(&self, other: &Self) -> bool {
        let mine = self.paths();
        mine.iter()
            .any(|one| other.paths().iter().any(|two| same_line(one, two)))
    }

    /// Whether a random draw decides if the change survives; the creation of a file that was never synced does not
    /// survive.
    const fn is_drawn(&self) -> bool {
        matches!(self, Self::Rename { .. } | Self::Link { .. })
    }

    fn replay(self, durable: &mut FileTree) {
        // If the durable tree lacks an entry, the bytes of the entry were never synced.
        match self {
            Self::Create(path) => {
                if durable.entry(&path, false).is_err() {
                    put(durable, &path, b"");
                }
            }
            Self::Folder(path) => {
                let _blocked = durable.make_folders(&path);
            }
            Self::Link { target, path } => {
                make_way(durable, &path);
                let _blocked = durable.make_link(&target, &path);
            }
            Self::Rename { old, new } => {
                make_way(durable, &new);
                if durable.rename(&old, &new).is_err() && durable.entry(&new, false).is_err() {
                    put(durable, &new, b"");
                }
            }
            Self::Remove(path) => {
                let _gone = durable.remove(&path);
            }
        }
    }
}

/// Creates the folder of a path.
fn make_way(durable: &mut FileTree, path: &str) {
    let folder = path.rfind('/').map_or("", |at| &path[..at]);
    let _blocked = durable.make_folders(folder);
}

/// Whether two paths are equal, or one is an ancestor of the other.
fn same_line(one: &str, two: &str) -> bool {
    let above = |upper: &str, lower: &str| {
        lower
            .strip_prefix(upper)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    above(one, two) || above(two, one)
}

/// The changes, in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Journal {
    changes: Vec<NameChange>,
}

impl Journal {
    pub(super) fn record(&mut self, change: NameChange, durable: &mut FileTree) {
        self.changes.push(change);
        if self.changes.len() > CHANGES_MAX {
            self.flush(durable, |at, _| at == 0);
        }
    }

    /// Makes durable all changes that concern a path.
    pub(super) fn flush_path(&mut self, path: &str, durable: &mut FileTree) {
        self.flush(durable, |_, change| {
            change
                .paths()
                .iter()
                .any(|changed| same_line(changed, path) && changed.len() <= path.len())
        });
    }

    /// Makes durable all changes to the names of a folder.
    pub(super) fn flush_folder(&mut self, folder: &str, durable: &mut FileTree) {
        let inside = |path: &str| path.rfind('/').is_some_and(|at| &path[..at] == folder);
        self.flush(durable, |_, change| {
            let [one, two] = change.paths();
            inside(one) || inside(two) || same_line(one, folder) && one.len() <= folder.len()
        });
    }

    fn flush(&mut self, durable: &mut FileTree, chosen: impl Fn(usize, &NameChange) -> bool) {
        let changes = core::mem::take(&mut self.changes);
        let mut needed: Vec<bool> = changes
            .iter()
            .enumerate()
            .map(|(at, change)| chosen(at, change))
            .collect();
        for at in (0..changes.len()).rev() {
            let later = (at + 1..changes.len())
                .any(|later| needed[later] && changes[at].relates(&changes[later]));
            needed[at] |= later;
        }
        for (change, needed) in changes.into_iter().zip(needed) {
            if needed {
                change.replay(durable);
            } else {
                self.changes.push(change);
            }
        }
    }

    /// Power is lost: a prefix of the changes, of random length, survives.
    pub(super) fn survive(&mut self, durable: &mut FileTree, random: &mut Random) {
        let changes = core::mem::take(&mut self.changes);
        if !changes.iter().any(NameChange::is_drawn) {
            return;
        }
        let kept = random.below(changes.len() as u64 + 1);
        for change in changes.into_iter().take(usize::try_from(kept).unwrap_or(0)) {
            change.replay(durable);
        }
    }
}
