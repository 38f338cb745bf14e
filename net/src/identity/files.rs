//! Files that hold identities: small, private, replaced whole.

use super::error::{IdentityError, Place, Warning};
use crate::durable;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// The largest certificate or key file, in bytes; a larger file was given by mistake.
const BYTES_MAX: u64 = 1 << 20;

/// Reads a whole small file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    let unreadable = |error| IdentityError::Unreadable {
        place: Place::File(path.to_owned()),
        error,
    };
    durable::read(path, BYTES_MAX).map_err(unreadable)
}

/// What a text without the wanted PEM block seems to be.
pub(super) fn looks_like(pem: &[u8]) -> &'static str {
    let has = |needle: &[u8]| pem.windows(needle.len()).any(|window| window == needle);
    if pem.is_empty() {
        "it is empty"
    } else if has(b"PRIVATE KEY-----") {
        "it holds a private key"
    } else if has(b"-----BEGIN CERTIFICATE-----") {
        "it holds a certificate"
    } else if pem.first() == Some(&0x30) {
        "it seems to be DER, the binary form"
    } else {
        "it is something else"
    }
}

/// Makes a directory, and those above it, that only this user may enter.
pub(super) fn make_directory(path: &Path) -> Result<(), IdentityError> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(path)
        .map_err(|error| IdentityError::Unwritable {
            path: path.to_owned(),
            error,
        })
}

/// Writes a file that only this user may read: whole or not at all, even if the machine stops.
pub(super) fn write_private(path: &Path, contents: &str) -> Result<(), IdentityError> {
    let replaced = durable::replace(path, &temporary_name(path), contents.as_bytes());
    replaced.map_err(|failed| IdentityError::Unwritable {
        path: path.to_owned(),
        error: failed.error,
    })
}

fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

/// Whoever holds a directory's lock writes a few files: even fifty nodes that start at once take less.
const LOCK_WAIT: Duration = Duration::from_secs(30);
/// How often a lock that somebody holds is tried.
const LOCK_RETRY: Duration = Duration::from_millis(10);

/// Holds a directory's lock until dropped; the system frees it if the process dies.
pub(super) fn lock(directory: &Path) -> Result<File, IdentityError> {
    lock_within(directory, LOCK_WAIT)
}

/// Takes the lock, or gives up: a process that is stopped while it holds the lock stops nobody else.
pub(super) fn lock_within(directory: &Path, wait: Duration) -> Result<File, IdentityError> {
    let path = directory.join(".lock");
    let unwritable = |error| IdentityError::Unwritable {
        path: path.clone(),
        error,
    };
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    durable::only_this_user(&mut options);
    let file = options.open(&path).map_err(unwritable)?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if begun.elapsed() < wait => thread::sleep(LOCK_RETRY),
            Err(TryLockError::WouldBlock) => return Err(IdentityError::Locked { path, wait }),
            Err(TryLockError::Error(error)) => return Err(unwritable(error)),
        }
    }
}

/// A warning when others may read (or, for a directory, write to) `path`.
#[cfg(unix)]
pub(super) fn permissions(path: &Path) -> Option<Warning> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = fs::metadata(path).ok()?;
    let mode = metadata.permissions().mode() & 0o777;
    let (forbidden, wanted) = if metadata.is_dir() {
        (0o022, 0o700)
    } else {
        (0o077, 0o600)
    };
    (mode & forbidden != 0).then(|| Warning::OpenPermissions {
        path: path.to_owned(),
        mode,
        wanted,
    })
}

/// Elsewhere permissions have another shape; nothing is said of them.
#[cfg(not(unix))]
pub(super) fn permissions(_path: &Path) -> Option<Warning> {
    None
}
