//! The disk by single steps.

use super::*;

fn written(files: &mut Files, write: DiskChange, synced: bool) {
    let (number, _) = files.begin(0, 0, write, synced);
    assert_eq!(files.end(number), Some(Ok(())));
}

fn replace(text: &str) -> DiskChange {
    DiskChange::Replace("vote".into(), text.as_bytes().to_vec())
}

#[test]
fn unsynced_writes_survive_a_crash_and_not_a_power_loss() {
    let mut random = Random::from_seed(1);
    let mut files = Files::default();
    written(&mut files, replace("old"), true);
    written(&mut files, replace("new"), false);
    files.crash(Left::Written, &mut random);
    assert_eq!(files.read("vote"), Some(&b"new"[..]));
    assert_eq!(files.crash(Left::Synced, &mut random), 1);
    assert_eq!(files.read("vote"), Some(&b"old"[..]));
    written(&mut files, replace("new"), false);
    written(&mut files, DiskChange::Sync, true);
    assert_eq!(files.crash(Left::Synced, &mut random), 0);
    assert_eq!(files.read("vote"), Some(&b"new"[..]));
    files.crash(Left::Nothing, &mut random);
    assert_eq!(files.names().count(), 0);
}

#[test]
fn a_write_under_way_at_a_crash_did_not_happen() {
    let mut files = Files::default();
    let (number, _) = files.begin(0, 0, replace("new"), true);
    files.crash(Left::Written, &mut Random::from_seed(1));
    assert_eq!(files.end(number), None);
    assert_eq!(files.read("vote"), None);
}

#[test]
fn writes_complete_in_order() {
    let mut files = Files::default();
    let (_, slow) = files.begin(0, 0, replace("one"), true);
    let (_, quick) = files.begin(1, 0, replace("two"), false);
    assert_eq!((slow, quick), (2_000_000, 2_000_000));
}

#[test]
fn a_full_disk_refuses_growing_writes_and_a_failing_one_every_access() {
    let mut files = Files::default();
    written(&mut files, replace("one"), true);
    files.set_fault(Some(DiskFault::Full), None);
    let (number, _) = files.begin(0, 0, replace("two"), true);
    assert_eq!(
        files.end(number),
        Some(Err((DiskError::Full, replace("two"), true)))
    );
    written(&mut files, DiskChange::Sync, true);
    files.set_fault(Some(DiskFault::IoError), None);
    let (number, _) = files.begin(0, 0, DiskChange::Sync, true);
    assert_eq!(
        files.end(number),
        Some(Err((DiskError::Io, DiskChange::Sync, true)))
    );
    files.set_fault(None, None);
    assert_eq!(files.read("vote"), Some(&b"one"[..]));
}

#[test]
fn a_torn_write_leaves_a_beginning_of_it_and_all_that_was_durable() {
    let append = |text: &str| DiskChange::Append("log".into(), text.as_bytes().to_vec());
    let mut lengths = BTreeSet::new();
    for seed in 0..64 {
        let mut files = Files::default();
        written(&mut files, append("safe"), true);
        files.set_fault(Some(DiskFault::TornWrite), None);
        let _under_way = files.begin(0, 0, append("more"), true);
        files.crash(Left::Synced, &mut Random::from_seed(seed));
        let left = files.read("log").unwrap();
        assert!(b"safemore".starts_with(left) && left.starts_with(b"safe"));
        lengths.insert(left.len());
    }
    assert_eq!(lengths, (4..8).collect());
}

/// Performs a write that must succeed, without a sync.
fn change(files: &mut Files, write: DiskChange) {
    written(files, write, false);
}

fn link(files: &mut Files, target: &'static str) {
    let path = "/.next".into();
    let target = target.into();
    change(files, DiskChange::Link { target, path });
    let (old, new) = ("/.next".into(), "/current".into());
    change(files, DiskChange::Rename { old, new });
}

#[test]
fn a_swapped_link_is_the_old_or_the_new_one_until_the_folder_is_synced() {
    let mut seen = BTreeSet::new();
    for seed in 0..64 {
        let mut files = Files::default();
        change(&mut files, DiskChange::Folder("/gen".into()));
        link(&mut files, "gen/v1");
        written(&mut files, DiskChange::SyncFolder("/".into()), true);
        link(&mut files, "gen/v2");
        assert_eq!(files.tree().read_link("/current"), Ok("gen/v2"));
        let mut synced = files.clone();
        written(&mut synced, DiskChange::SyncFolder("/".into()), true);
        synced.crash(Left::Synced, &mut Random::from_seed(seed));
        assert_eq!(synced.tree().read_link("/current"), Ok("gen/v2"));
        files.crash(Left::Synced, &mut Random::from_seed(seed));
        seen.insert(files.tree().read_link("/current").unwrap().to_owned());
    }
    assert_eq!(seen, ["gen/v1".to_owned(), "gen/v2".to_owned()].into());
}

#[test]
fn a_sync_of_one_folder_leaves_changes_of_another_open() {
    let mut lost = 0;
    for seed in 0..32 {
        let mut files = Files::default();
        for path in ["/a/f", "/b/f"] {
            files.put(path, b"x".to_vec());
        }
        for folder in ["a", "b"] {
            let (old, new) = (format!("/{folder}/f").into(), format!("/{folder}/g").into());
            change(&mut files, DiskChange::Rename { old, new });
        }
        written(&mut files, DiskChange::SyncFolder("/a".into()), true);
        files.crash(Left::Synced, &mut Random::from_seed(seed));
        assert_eq!(files.read("/a/g"), Some(&b"x"[..]));
        lost += u32::from(files.read("/b/g").is_none());
    }
    assert!(lost > 0 && lost < 32, "{lost}");
}

#[test]
fn a_path_that_leads_nowhere_is_an_error() {
    let mut files = Files::default();
    let write = DiskChange::Replace("/none/f".into(), Vec::new());
    let (number, _) = files.begin(0, 0, write.clone(), true);
    let error = DiskError::Path(TreeError::NotFound);
    assert_eq!(files.end(number), Some(Err((error, write, true))));
}

#[test]
fn a_slow_disk_takes_longer_for_each_operation() {
    let mut files = Files::default();
    let write = || DiskChange::Replace("a".into(), b"1".to_vec());
    files.set_delay(Duration::from_millis(50), Some(3));
    assert_eq!(files.delay_step(), Some(3));
    let (_, done) = files.begin(0, 0, write(), true);
    assert_eq!(done, 52_000_000);
    let (_, done) = files.begin(0, 0, write(), false);
    assert_eq!(done, 52_000_000, "requests complete in their order");
    assert_eq!(files.read_done(60_000_000), 110_020_000);
    files.set_delay(Duration::ZERO, None);
    assert_eq!(files.read_done(60_000_000), 60_020_000);
}

#[test]
fn a_file_is_stored_unless_the_disk_is_full_or_fails() {
    let mut files = Files::default();
    for (fault, error) in [
        (DiskFault::Full, DiskError::Full),
        (DiskFault::IoError, DiskError::Io),
    ] {
        files.set_fault(Some(fault), None);
        assert_eq!(files.store("epoch", vec![1]), Err(error));
        assert_eq!(files.read("epoch"), None);
    }
    files.set_fault(Some(DiskFault::TornWrite), None);
    assert_eq!(files.store("epoch", vec![1]), Ok(()));
    assert_eq!(files.read("epoch"), Some(&[1][..]));
}
