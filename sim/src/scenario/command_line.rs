//! Command lines that reproduce a run of a scenario.

use super::definition::Scenario;
use super::engine::Engine;

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A run, as described by the command that reproduces it.
#[derive(Clone, Copy, Debug)]
pub struct Reproduction<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// The value of the flag `--engine`.
    pub engine: &'a str,
    /// The seed.
    pub seed: u64,
    /// Whether a fault that affects nothing fails the run.
    pub strict: bool,
    /// The names of the planted bugs and disabled mechanisms.
    pub sabotage: &'a [String],
}

impl<'a> Reproduction<'a> {
    /// Creates the description of a run of the model engine without flags.
    #[must_use]
    pub const fn new(scenario: &'a Scenario, seed: u64) -> Self {
        Self {
            scenario,
            engine: Engine::Model.name(),
            seed,
            strict: false,
            sabotage: &[],
        }
    }

    /// Returns the command, for a tool whose commands begin with `prefix` (`phalanx sim`). The comment at the end of
    /// the command identifies the file and the version of the simulator.
    #[must_use]
    pub fn command(&self, prefix: &str) -> String {
        let Self { engine, seed, .. } = self;
        let run = run_words(self.scenario);
        let strict = if self.strict { " --strict" } else { "" };
        let sabotage = sabotage_flags(self.sabotage);
        let stamp = stamp(self.scenario);
        format!("{prefix} run {run} --seed {seed} --engine {engine}{strict}{sabotage}{stamp}")
    }
}

/// Returns the flags that plant bugs and disable mechanisms of these names, each preceded by a space.
#[must_use]
pub fn sabotage_flags(names: &[String]) -> String {
    let flags = names
        .iter()
        .map(|name| format!(" --sabotage {}", quoted(name)));
    flags.collect()
}

/// Returns the arguments that name the scenario: its file, and the variant of its matrix.
#[must_use]
pub fn run_words(scenario: &Scenario) -> String {
    let file = quoted_path(&scenario.file);
    if scenario.variant.is_empty() {
        return file;
    }
    format!("{file} --variant {}", quoted(&scenario.variant.to_string()))
}

/// Returns the comment of a command that reproduces a run: the hash of the file, and the version of the program.
#[must_use]
pub fn stamp(scenario: &Scenario) -> String {
    format!("  # file {:016x}, phalanx {VERSION}", scenario.hash)
}

/// Returns an equivalent path that does not begin with a dash, because a dash begins a flag.
#[must_use]
pub fn plain_path(path: &str) -> String {
    let dash = if path.starts_with('-') { "./" } else { "" };
    format!("{dash}{path}")
}

/// Quotes a path for a shell, if necessary.
#[must_use]
pub fn quoted_path(path: &str) -> String {
    quoted(&plain_path(path))
}

/// Quotes an argument for a shell, if necessary.
#[must_use]
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_a_command_is_quoted_and_is_no_flag() {
        assert_eq!(quoted_path("a/two-nodes.toml"), "a/two-nodes.toml");
        assert_eq!(quoted_path("-dash.toml"), "./-dash.toml");
        assert_eq!(quoted_path("it's here.toml"), r"'it'\''s here.toml'");
        assert_eq!(quoted_path("-a b"), "'./-a b'");
        let planted = ["no-graft".to_owned(), "a b".to_owned()];
        assert_eq!(
            sabotage_flags(&planted),
            " --sabotage no-graft --sabotage 'a b'"
        );
    }
}
