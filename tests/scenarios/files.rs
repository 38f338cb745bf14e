//! Access to the scenario files.

use phalanx_sim::scenario::{Engine, Scenario};
use std::path::{Path, PathBuf};

/// This scenario takes half a minute of CPU time, so it has its own tests, which run in parallel with the others.
pub(crate) const LARGE: &str = "thousand-nodes";

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

pub(crate) fn load(name: &str) -> Scenario {
    let path = folder().join(format!("{name}.toml"));
    Scenario::load(&path).unwrap_or_else(|why| panic!("{why}"))
}

/// Returns the names of the scenarios that support the model engine, in order.
pub(crate) fn of_model() -> Vec<String> {
    let mut names = names();
    names.retain(|name| load(name).engines.contains(&Engine::Model));
    names
}

/// Returns the names of all scenario files, in order.
pub(crate) fn names() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).expect("the directory of scenarios can be read");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry of the directory can be read").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .map(|path| {
            path.file_stem()
                .expect("a file has a name")
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}
