//! Properties of the disk under all sequences of writes, syncs and power losses.

use super::{DiskChange, Files, Left};
use phalanx_core::random::Random;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// A step on one of a few files in two folders.
#[derive(Clone, Debug)]
enum Step {
    Replace(usize, bool),
    Remove(usize),
    Rename(usize, usize, bool),
    SyncFile(usize),
    SyncFolder(usize),
    Sync,
    Restart,
}

const NAMES: [&str; 4] = ["/one/a", "/one/b", "/two/a", "/two/b"];
const FOLDERS: [&str; 2] = ["/one", "/two"];

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..NAMES.len();
    prop_oneof![
        4 => (name(), any::<bool>()).prop_map(|(name, synced)| Step::Replace(name, synced)),
        1 => name().prop_map(Step::Remove),
        4 => (name(), name(), any::<bool>()).prop_map(|(old, new, synced)| Step::Rename(old, new, synced)),
        1 => name().prop_map(Step::SyncFile),
        2 => (0..FOLDERS.len()).prop_map(Step::SyncFolder),
        1 => Just(Step::Sync),
        1 => Just(Step::Restart),
    ]
}

fn disk() -> Files {
    let mut files = Files::default();
    for folder in FOLDERS {
        done(&mut files, DiskChange::Folder(folder.into()), true);
    }
    done(&mut files, DiskChange::Sync, true);
    files
}

/// Performs a write; returns whether its path could be resolved.
fn done(files: &mut Files, write: DiskChange, synced: bool) -> bool {
    let (number, _) = files.begin(0, 0, write, synced);
    files.end(number) == Some(Ok(()))
}

/// The content of each name.
fn state(files: &Files) -> BTreeMap<usize, Vec<u8>> {
    let held = |at: usize| Some((at, files.read(NAMES[at])?.to_vec()));
    (0..NAMES.len()).filter_map(held).collect()
}

fn take(files: &mut Files, step: &Step, version: u64, synced: &mut BTreeSet<Vec<u8>>) {
    let note = |files: &Files, synced: &mut BTreeSet<Vec<u8>>, name: usize| {
        synced.extend(files.read(NAMES[name]).map(<[u8]>::to_vec));
    };
    match step {
        Step::Replace(name, durable) => {
            let write = DiskChange::Replace(NAMES[*name].into(), version.to_string().into_bytes());
            done(files, write, *durable);
            if *durable {
                note(files, synced, *name);
            }
        }
        Step::Remove(name) => {
            done(files, DiskChange::Remove(NAMES[*name].into()), false);
        }
        Step::Rename(old, new, durable) => {
            let (old, new) = (NAMES[*old].into(), NAMES[*new].into());
            done(files, DiskChange::Rename { old, new }, *durable);
        }
        Step::SyncFile(name) => {
            done(files, DiskChange::SyncFile(NAMES[*name].into()), true);
            note(files, synced, *name);
        }
        Step::SyncFolder(folder) => {
            done(files, DiskChange::SyncFolder(FOLDERS[*folder].into()), true);
        }
        Step::Sync => {
            done(files, DiskChange::Sync, true);
            (0..NAMES.len()).for_each(|name| note(files, synced, name));
        }
        Step::Restart => {
            files.crash(Left::Written, &mut Random::from_seed(0));
        }
    }
}

proptest! {
    /// A loss of power leaves each file empty or with the complete bytes of one sync.
    #[test]
    fn a_file_is_whole_after_a_loss_of_power(
        steps in prop::collection::vec(step(), 0..40),
        seed in any::<u64>(),
    ) {
        let (mut files, mut synced) = (disk(), BTreeSet::new());
        for (version, step) in steps.iter().enumerate() {
            let before = state(&files);
            take(&mut files, step, version as u64, &mut synced);
            if matches!(step, Step::Restart) {
                prop_assert_eq!(state(&files), before);
            }
        }
        files.crash(Left::Synced, &mut Random::from_seed(seed));
        for (name, bytes) in state(&files) {
            prop_assert!(bytes.is_empty() || synced.contains(&bytes), "{}: {bytes:?}", NAMES[name]);
        }
        // A second loss changes nothing.
        let after = state(&files);
        files.crash(Left::Synced, &mut Random::from_seed(seed ^ 1));
        prop_assert_eq!(state(&files), after);
    }

    /// After a sync of the whole disk, or of both folders and all files, nothing is lost.
    #[test]
    fn synced_data_outlives_a_loss_of_power(
        steps in prop::collection::vec(step(), 0..40),
        seed in any::<u64>(),
        whole in any::<bool>(),
    ) {
        let (mut files, mut synced) = (disk(), BTreeSet::new());
        for (version, step) in steps.iter().enumerate() {
            take(&mut files, step, version as u64, &mut synced);
        }
        if whole {
            done(&mut files, DiskChange::Sync, true);
        } else {
            for name in NAMES {
                done(&mut files, DiskChange::SyncFile(name.into()), true);
            }
            for folder in FOLDERS {
                done(&mut files, DiskChange::SyncFolder(folder.into()), true);
            }
        }
        let before = state(&files);
        files.crash(Left::Synced, &mut Random::from_seed(seed));
        prop_assert_eq!(state(&files), before);
    }

    /// A file that is written, synced and renamed over another leaves either the old or the new file, complete and
    /// under one name; after a sync of the folder, it leaves the new file.
    #[test]
    fn a_rename_is_atomic(versions in prop::collection::vec((any::<bool>(), any::<bool>()), 1..8), seed in any::<u64>()) {
        let mut files = disk();
        let (new, file) = (NAMES[0], NAMES[1]);
        let mut least = None;
        for (version, (in_folder, restart)) in (0_u64..).zip(&versions) {
            let bytes = version.to_string().into_bytes();
            done(&mut files, DiskChange::Replace(new.into(), bytes), true);
            done(&mut files, DiskChange::Rename { old: new.into(), new: file.into() }, false);
            if *in_folder {
                done(&mut files, DiskChange::SyncFolder(FOLDERS[0].into()), true);
                least = Some(version);
            }
            if *restart {
                files.crash(Left::Written, &mut Random::from_seed(0));
            }
        }
        files.crash(Left::Synced, &mut Random::from_seed(seed));
        let read = |name: &str| {
            let bytes = files.read(name)?;
            Some(String::from_utf8_lossy(bytes).parse::<u64>().unwrap())
        };
        let (left, held) = (read(new), read(file));
        prop_assert!(held >= least, "{held:?} is older than {least:?}");
        prop_assert!(left.is_none() || held.is_none_or(|held| left == Some(held + 1)), "{left:?} beside {held:?}");
        prop_assert!(left.is_some() || held.is_some());
    }
}

#[test]
fn a_file_renamed_without_a_sync_of_its_bytes_may_be_empty() {
    let outcomes: BTreeSet<Option<Vec<u8>>> = (0..32)
        .map(|seed| {
            let mut files = disk();
            done(
                &mut files,
                DiskChange::Replace(NAMES[0].into(), b"new".to_vec()),
                false,
            );
            let (old, new) = (NAMES[0].into(), NAMES[1].into());
            done(&mut files, DiskChange::Rename { old, new }, false);
            files.crash(Left::Synced, &mut Random::from_seed(seed));
            files.read(NAMES[1]).map(<[u8]>::to_vec)
        })
        .collect();
    assert_eq!(outcomes, [None, Some(Vec::new())].into());
}
