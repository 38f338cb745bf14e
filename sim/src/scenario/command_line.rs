//! Command lines that reproduce a run of a scenario.

use super::definition::Scenario;
use super::engine::Engine;

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The command that reproduces a run. The comment behind it identifies the file and the program.
#[must_use]
pub fn reproduce(scenario: &Scenario, engine: Engine, seed: u64) -> String {
    let run = run_words(scenario);
    format!("phalanx sim run {run} --seed {seed} --engine {engine}") + &stamp(scenario)
}

/// The words of a command that say which scenario is meant: its file, and which run of its matrix.
#[must_use]
pub fn run_words(scenario: &Scenario) -> String {
    let file = quoted(&scenario.file);
    if scenario.variant.is_empty() {
        return file;
    }
    format!("{file} --variant {}", quoted(&scenario.variant.to_string()))
}

/// The comment behind a command that reproduces a run: the hash of the file, and the version of the program.
#[must_use]
pub fn stamp(scenario: &Scenario) -> String {
    format!("  # file {:016x}, phalanx {VERSION}", scenario.hash)
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
