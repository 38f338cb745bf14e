//! A host's disk: files, what of them is durable, and how writing fails.
//!
//! A write takes [`WRITE`] until the process hears of it, a sync [`SYNC`]; they complete in the order in which they
//! were ordered. What is written and not synced is read back by the next life of a process that was killed, and is
//! gone when the machine loses its power. A write under way when the process ends did not happen; on a disk that
//! tears, a beginning of it, drawn, may have.

use core::fmt;
use core::time::Duration;
use phalanx_core::random::Random;
use std::borrow::Cow;
use std::collections::BTreeMap;

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

/// How long a write takes that is not synced.
pub const WRITE: Duration = Duration::from_micros(20);
/// How long a sync takes, and a write that is synced.
pub const SYNC: Duration = Duration::from_millis(2);

/// What is done to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// It holds this and nothing else.
    Replace(Cow<'static, str>, Vec<u8>),
    /// It holds this besides.
    Append(Cow<'static, str>, Vec<u8>),
    /// It is gone.
    Remove(Cow<'static, str>),
    /// Every file is made durable as it stands.
    Sync,
}

/// Why a write or sync failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskError {
    /// No space is left.
    Full,
    /// The device failed.
    Io,
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "no space left on device",
            Self::Io => "input/output error",
        })
    }
}

/// What a crash leaves of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// All that was written.
    Written,
    /// All that was synced.
    Synced,
    /// Nothing.
    Nothing,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct File {
    durable: Option<Vec<u8>>,
    written: Option<Vec<u8>>,
}

/// The files of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    files: BTreeMap<Cow<'static, str>, File>,
    /// What was ordered and is not done, by number, with whether it is synced.
    under_way: BTreeMap<u64, (Write, bool)>,
    /// The process that ordered each of these.
    owners: BTreeMap<u64, usize>,
    ordered: u64,
    /// When the latest order is done, in true time.
    busy_until: u64,
    fault: Option<(DiskFault, Option<usize>)>,
}

impl Files {
    /// What a file holds; none if there is no such file.
    #[must_use]
    pub fn read(&self, file: &str) -> Option<&[u8]> {
        self.files.get(file)?.written.as_deref()
    }

    /// The names of all files.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let there = self.files.iter().filter(|(_, file)| file.written.is_some());
        there.map(|(name, _)| name.as_ref())
    }

    /// Puts a file there, durably and at once: before a process runs.
    pub fn put(&mut self, file: impl Into<Cow<'static, str>>, bytes: Vec<u8>) {
        let file = self.files.entry(file.into()).or_default();
        file.durable = Some(bytes.clone());
        file.written = Some(bytes);
    }

    /// A write begins; returns its number and when it is done.
    pub(crate) fn begin(
        &mut self,
        now: u64,
        owner: usize,
        write: Write,
        synced: bool,
    ) -> (u64, u64) {
        let takes = if synced || write == Write::Sync {
            SYNC
        } else {
            WRITE
        };
        self.ordered += 1;
        self.under_way.insert(self.ordered, (write, synced));
        self.owners.insert(self.ordered, owner);
        let done = now + phalanx_core::time::nanos(takes);
        self.busy_until = self.busy_until.max(done);
        (self.ordered, self.busy_until)
    }

    /// A write comes to its end, or fails: what it was, and whether synced; none if it was forgotten with its process.
    pub(crate) fn end(&mut self, number: u64) -> Option<Result<(), (DiskError, Write, bool)>> {
        let (write, synced) = self.under_way.remove(&number)?;
        self.owners.remove(&number);
        match self.fault {
            Some((DiskFault::IoError, _)) => return Some(Err((DiskError::Io, write, synced))),
            Some((DiskFault::Full, _)) if write.grows() => {
                return Some(Err((DiskError::Full, write, synced)));
            }
            Some((DiskFault::Full | DiskFault::TornWrite, _)) | None => {}
        }
        let Some(name) = write.file() else {
            for file in self.files.values_mut() {
                file.durable.clone_from(&file.written);
            }
            return Some(Ok(()));
        };
        let file = self.files.entry(name.clone()).or_default();
        file.written = write.onto(file.written.take());
        if synced {
            file.durable.clone_from(&file.written);
        }
        Some(Ok(()))
    }

    /// A fault begins; none: it ends. `step` ordered it.
    pub(crate) const fn set_fault(&mut self, fault: Option<DiskFault>, step: Option<usize>) {
        self.fault = match fault {
            Some(fault) => Some((fault, step)),
            None => None,
        };
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

    /// The process or the machine ended. Returns how many writes that were not durable are gone or torn.
    pub(crate) fn crash(&mut self, left: Left, random: &mut Random) -> u64 {
        let under_way = std::mem::take(&mut self.under_way);
        self.owners.clear();
        self.busy_until = 0;
        let before = self.files.clone();
        match left {
            Left::Written => {}
            Left::Nothing => self.files.clear(),
            Left::Synced => {
                let torn = matches!(self.fault, Some((DiskFault::TornWrite, _)));
                if torn {
                    for (write, _) in under_way.into_values() {
                        if let Some(name) = write.file() {
                            let file = self.files.entry(name.clone()).or_default();
                            file.written = write.onto(file.written.take());
                        }
                    }
                }
                for file in self.files.values_mut() {
                    if torn && file.written != file.durable {
                        file.durable = tear(file.durable.take(), file.written.take(), random);
                    }
                    file.written.clone_from(&file.durable);
                }
                self.files.retain(|_, file| file.written.is_some());
            }
        }
        let differs = |name: &Cow<'static, str>, file: &File| {
            self.files.get(name).map(|now| &now.written) != Some(&file.written)
        };
        before
            .iter()
            .filter(|(name, file)| differs(name, file))
            .count() as u64
    }
}

/// What stays of a file in the middle of becoming another.
fn tear(old: Option<Vec<u8>>, new: Option<Vec<u8>>, random: &mut Random) -> Option<Vec<u8>> {
    let Some(mut new) = new else {
        return old;
    };
    // What was durable and still stands stays; of the rest, a beginning.
    let kept = old
        .as_ref()
        .map_or(0, |old| if new.starts_with(old) { old.len() } else { 0 });
    let rest = (new.len() - kept) as u64;
    let length = kept + usize::try_from(random.below(rest.max(1))).unwrap_or(0);
    new.truncate(length);
    Some(new)
}

impl Write {
    fn file(&self) -> Option<&Cow<'static, str>> {
        match self {
            Self::Replace(file, _) | Self::Append(file, _) | Self::Remove(file) => Some(file),
            Self::Sync => None,
        }
    }

    const fn grows(&self) -> bool {
        match self {
            Self::Replace(..) | Self::Append(..) => true,
            Self::Remove(_) | Self::Sync => false,
        }
    }

    /// What a file holds when it is done.
    fn onto(&self, before: Option<Vec<u8>>) -> Option<Vec<u8>> {
        match self {
            Self::Replace(_, bytes) => Some(bytes.clone()),
            Self::Append(_, bytes) => {
                let mut held = before.unwrap_or_default();
                held.extend_from_slice(bytes);
                Some(held)
            }
            Self::Remove(_) => None,
            Self::Sync => before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(files: &mut Files, write: Write, synced: bool) {
        let (number, _) = files.begin(0, 0, write, synced);
        assert_eq!(files.end(number), Some(Ok(())));
    }

    fn replace(text: &str) -> Write {
        Write::Replace("vote".into(), text.as_bytes().to_vec())
    }

    #[test]
    fn what_was_not_synced_outlives_the_process_and_not_the_power() {
        let mut random = Random::from_seed(1);
        let mut files = Files::default();
        written(&mut files, replace("old"), true);
        written(&mut files, replace("new"), false);
        files.crash(Left::Written, &mut random);
        assert_eq!(files.read("vote"), Some(&b"new"[..]));
        assert_eq!(files.crash(Left::Synced, &mut random), 1);
        assert_eq!(files.read("vote"), Some(&b"old"[..]));
        written(&mut files, replace("new"), false);
        written(&mut files, Write::Sync, true);
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
    fn a_full_disk_refuses_what_grows_and_a_failing_one_everything() {
        let mut files = Files::default();
        written(&mut files, replace("one"), true);
        files.set_fault(Some(DiskFault::Full), None);
        let (number, _) = files.begin(0, 0, replace("two"), true);
        assert_eq!(
            files.end(number),
            Some(Err((DiskError::Full, replace("two"), true)))
        );
        written(&mut files, Write::Sync, true);
        files.set_fault(Some(DiskFault::IoError), None);
        let (number, _) = files.begin(0, 0, Write::Sync, true);
        assert_eq!(
            files.end(number),
            Some(Err((DiskError::Io, Write::Sync, true)))
        );
        files.set_fault(None, None);
        assert_eq!(files.read("vote"), Some(&b"one"[..]));
    }

    #[test]
    fn a_torn_write_leaves_a_beginning_of_it_and_all_that_was_durable() {
        let append = |text: &str| Write::Append("log".into(), text.as_bytes().to_vec());
        let mut lengths = std::collections::BTreeSet::new();
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
}
