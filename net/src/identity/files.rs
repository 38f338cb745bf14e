//! Files that hold identities: small, private, and replaced atomically.

use super::error::{IdentityError, PemOrigin, Warning};
use crate::durable;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// The largest certificate or key file, in bytes; a larger file was given by mistake.
const BYTES_MAX: u64 = 1 << 20;

/// Reads a whole file of at most [`BYTES_MAX`] bytes.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    let unreadable = |error| IdentityError::Unreadable {
        place: PemOrigin::File(path.to_owned()),
        error,
    };
    durable::read(path, BYTES_MAX).map_err(unreadable)
}

/// Describes the apparent content of a text without the expected PEM block.
pub(super) fn looks_like(pem: &[u8]) -> &'static str {
    let has = |needle: &[u8]| pem.windows(needle.len()).any(|window| window == needle);
    if pem.is_empty() {
        "it is empty"
    } else if has(b"PRIVATE KEY-----") {
        "it contains a private key"
    } else if has(b"-----BEGIN CERTIFICATE-----") {
        "it contains a certificate"
    } else if pem.first() == Some(&0x30) {
        "it seems to be in DER, the binary form"
    } else {
        "its content is unknown"
    }
}

/// Creates a directory, and missing parents, accessible to this user only.
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

/// Writes a file readable by this user only. The write is atomic and durable: after a crash the
/// file has the old or the new contents.
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

/// Maximum wait for a directory's lock. A holder writes a few files; fifty nodes that start at once take less.
const LOCK_WAIT: Duration = Duration::from_secs(30);
/// Interval between attempts to take a held lock.
const LOCK_RETRY: Duration = Duration::from_millis(10);

/// Takes a directory's lock, held until the file is dropped; the system releases it if the process
/// dies.
pub(super) fn lock(directory: &Path) -> Result<File, IdentityError> {
    lock_within(directory, LOCK_WAIT)
}

/// Takes the lock within `wait`, or fails: a process that is suspended while it holds the lock does
/// not block others forever.
pub(super) fn lock_within(directory: &Path, wait: Duration) -> Result<File, IdentityError> {
    let path = directory.join(".lock");
    let unwritable = |error| IdentityError::Unwritable {
        path: path.clone(),
        error,
    };
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    durable::only_this_user(&mut options);
    let file = durable::open_regular(&mut options, &path).map_err(unwritable)?;
    durable::restrict_to_this_user(&file).map_err(unwritable)?;
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

/// Returns a warning if other users can read `path`, or write to it if it is a directory.
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

/// On other systems permissions have another form and are not checked.
#[cfg(not(unix))]
pub(super) fn permissions(_path: &Path) -> Option<Warning> {
    None
}
