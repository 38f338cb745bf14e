//! The commands that the page prints, of the binary of the system.

use super::ShownRun;
use crate::scenario::command_line::{run_words, sabotage_flags};

/// The commands that reproduce a run.
#[derive(Debug, serde::Serialize)]
pub(super) struct Commands {
    /// Runs the seed again.
    reproduce: String,
    /// Replays the seed up to the last cause.
    replay: String,
    /// Draws the seed in the terminal.
    timeline: String,
    /// Writes the report of another seed, which the page writes in place of `{seed}`.
    report: String,
}

impl Commands {
    /// `until` is the time of the last cause, in nanoseconds.
    pub(super) fn of(shown: &ShownRun<'_>, until: Option<u64>) -> Self {
        let outcome = shown.outcome;
        let plain = outcome.reproduce.split("  #").next().unwrap_or_default();
        let micros = until.unwrap_or(outcome.virtual_ms * 1_000_000) / 1_000;
        let replay = format!(
            "{} replay {} --seed {}{} --until {}.{:06}s",
            shown.definition.command,
            run_words(shown.recording.scenario()),
            outcome.seed,
            sabotage_flags(shown.sabotage),
            micros / 1_000_000,
            micros % 1_000_000
        );
        let seed = format!(" --seed {} ", outcome.seed);
        let report = plain.replacen(&seed, " --seed {seed} ", 1) + " --report seed-{seed}.html";
        Self {
            reproduce: outcome.reproduce.clone(),
            replay,
            timeline: format!("{plain} --timeline"),
            report,
        }
    }
}
