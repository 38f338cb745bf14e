//! Finds the other programs of Phalanx: beside this one, then on PATH.

use crate::failure::Failure;
use std::path::{Path, PathBuf};

/// This program's own file.
pub(crate) fn this() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::failed(format!("this program's own file is not found: {error}")))
}

/// Finds a program; `target` builds it.
pub(crate) fn find(name: &str, target: &str) -> Result<PathBuf, Failure> {
    let beside = this()?.parent().map(Path::to_path_buf);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = beside.into_iter().chain(std::env::split_paths(&path));
    folders
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .ok_or_else(|| {
            Failure::usage(format!(
                "{name} is neither beside this program nor on PATH; build it with `{target}`"
            ))
        })
}
