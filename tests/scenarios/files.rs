//! Where the scenario files are.

use phalanx_sim::scenario::{Engine, Scenario};
use std::path::{Path, PathBuf};

/// Takes half a minute of CPU: it has tests of its own, which run beside the others.
pub(crate) const LARGE: &str = "thousand-nodes";

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

pub(crate) fn load(name: &str) -> Scenario {
    let path = folder().join(format!("{name}.toml"));
    Scenario::load(&path).unwrap_or_else(|why| panic!("{why}"))
}

/// The names of the scenarios that are written for the model engine, in order.
pub(crate) fn of_model() -> Vec<String> {
    let mut names = names();
    names.retain(|name| load(name).engines.contains(&Engine::Model));
    names
}

/// The names of all scenario files, in order.
pub(crate) fn names() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).expect("the folder of scenarios can be read");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("its entries too").path())
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
