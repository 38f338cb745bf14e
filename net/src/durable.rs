//! Small private files, read within a bound and replaced as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// The step of a replacement that failed. The old file is in place, unless the directory could not be flushed: then
/// the new file is, and a power loss may still undo it.
#[derive(Debug)]
pub(crate) struct Failed {
    /// The step, as in "writing".
    pub(crate) doing: &'static str,
    /// The file or directory of the step.
    pub(crate) path: PathBuf,
    /// The reason.
    pub(crate) error: io::Error,
}

/// Reads a whole file of at most `bytes_max` bytes.
pub(crate) fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    read_all(File::open(path)?, bytes_max)
}

fn read_all(file: File, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        let why = format!("it has more than {bytes_max} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(bytes)
}

/// Reads a whole file of at most `bytes_max` bytes. Symbolic links and files that are not regular are refused.
pub(crate) fn read_regular(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    options.read(true);
    read_all(open_regular(&mut options, path)?, bytes_max)
}

/// Opens a regular file without following a symbolic link. Never waits, as for the other end of a pipe.
pub(crate) fn open_regular(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, why);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        std::os::unix::fs::OpenOptionsExt::custom_flags(options, flags.bits().cast_signed());
    }
    let file = options.open(path).map_err(|error| {
        let is_link = fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_symlink());
        if is_link {
            invalid("it is a symbolic link, which is not followed; remove it")
        } else {
            error
        }
    })?;
    if !file.metadata()?.is_file() {
        return Err(invalid("it is not a regular file; remove it"));
    }
    Ok(file)
}

/// Replaces `path` by a file that only this user may read: as a whole or not at all, even if the machine stops.
///
/// The new file is written at `temporary`, in the same directory, flushed and renamed; then the directory is flushed.
pub(crate) fn replace(path: &Path, temporary: &Path, bytes: &[u8]) -> Result<(), Failed> {
    let replaced = write_and_rename(path, temporary, bytes);
    if replaced.is_err() {
        // The first error is the one to report.
        drop(fs::remove_file(temporary));
    }
    replaced?;
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."));
    let opened = File::open(directory).map_err(failed("opening", directory))?;
    opened.sync_all().map_err(failed("flushing", directory))
}

fn write_and_rename(path: &Path, temporary: &Path, bytes: &[u8]) -> Result<(), Failed> {
    // A process that crashed may have left a temporary file, with other permissions.
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("removing", temporary)(error));
        }
        Ok(()) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    only_this_user(&mut options);
    let mut file = options
        .open(temporary)
        .map_err(failed("creating", temporary))?;
    file.write_all(bytes)
        .map_err(failed("writing", temporary))?;
    file.sync_all().map_err(failed("flushing", temporary))?;
    drop(file);
    fs::rename(temporary, path).map_err(failed("renaming to", path))
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Failed {
    let path = path.to_owned();
    move |error| Failed { doing, path, error }
}

/// A file made with these options is readable and writable by this user alone.
pub(crate) fn only_this_user(options: &mut OpenOptions) {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    #[cfg(not(unix))]
    let _permissions_are_inherited = options;
}

/// Makes an open file readable and writable by this user alone.
pub(crate) fn restrict_to_this_user(file: &File) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mut permissions = file.metadata()?.permissions();
        if permissions.mode() & 0o777 != 0o600 {
            permissions.set_mode(0o600);
            file.set_permissions(permissions)?;
        }
    }
    #[cfg(not(unix))]
    let _permissions_are_inherited = file;
    Ok(())
}
