//! Helpers shared by tests: the paths of the repository and of its built binaries, the end of servers whose test is
//! killed, and a server of PostgreSQL.

mod guardian;
mod postgres;

pub use guardian::FolderGuardian;
pub use postgres::PostgresServer;

use std::path::{Path, PathBuf};

/// Returns the top directory of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default()
}

/// Returns the path of a built binary of this workspace, beside the running test.
///
/// # Panics
/// Panics if the binary is not built, because cargo does not build binaries of other packages for a test.
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
