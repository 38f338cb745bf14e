//! What the whole-system checks share: where the repository and its built binaries are.

use std::path::{Path, PathBuf};

/// The repository's top folder.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default()
}

/// A built binary of this workspace, found beside the running test.
///
/// # Panics
/// When it was not built: cargo does not build another package's binaries for a test.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap_or_default();
    let built = test
        .parent()
        .and_then(Path::parent)
        .map(|folder| folder.join(name))
        .unwrap_or_default();
    assert!(
        built.is_file(),
        "{} is not built; run `make build` first",
        built.display()
    );
    built
}
