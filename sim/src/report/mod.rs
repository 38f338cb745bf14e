//! A run as a self-contained HTML page: no network access, no other file.
//!
//! The content of the page is selected here and limited, so that the page opens for runs of any
//! size; the page states what it omits. `strip` assigns colours to the lanes, `groupings` groups
//! the lanes, `bands` names the faults, `detail` selects messages and reports, `commands` has the
//! commands that the page prints, `data` is the data that the page reads.
//!
//! Colours of a lane show the view of membership, or on request the whole state. A digest that at
//! least two nodes held at the same time has its own colour; the ten that were held most (nodes
//! times duration) have strong colours. A digest held by a single node is grey, unless it was held
//! for long and a strong colour is free.

mod bands;
mod commands;
mod data;
mod detail;
mod groupings;
pub(crate) mod strip;
#[cfg(test)]
mod tests;

use crate::coverage::ProgramCoverage;
use crate::explanation::Explanation;
use crate::outcome::Outcome;
use crate::record::Recording;
use crate::world::Definition;
use std::io::{self, Write};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The placeholders in the page.
const SLOTS: [&str; 4] = ["<!--title-->", "/*style*/", "<!--data-->", "/*script*/"];

/// One seed of a sweep.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Seed {
    /// The seed.
    pub seed: u64,
    /// Whether all expectations held.
    pub passed: bool,
    /// Time until the system recovered; `None` if it did not.
    pub recovery_ms: Option<u64>,
    /// Number of events.
    pub events: u64,
    /// Number of messages.
    pub messages: u64,
    /// Bytes of the messages.
    pub bytes: u64,
    /// Lines of expectations that did not hold.
    pub unmet: Vec<usize>,
    /// Lines of steps that affected nothing.
    pub idle: Vec<usize>,
    /// The first failure, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// A file of the scenario, for the report.
#[derive(Clone, Debug, serde::Serialize)]
pub struct SourceFile {
    /// The file, as failures name it.
    pub file: String,
    /// Its text.
    pub text: String,
}

/// The run that a report shows.
#[derive(Clone, Copy, Debug)]
pub struct ShownRun<'a> {
    /// The system of the run.
    pub definition: &'a Definition,
    /// The names of the planted bugs and disabled mechanisms.
    pub sabotage: &'a [String],
    /// The files of the scenario.
    pub sources: &'a [SourceFile],
    /// The recording.
    pub recording: &'a Recording<'a>,
    /// The outcome.
    pub outcome: &'a Outcome,
    /// The explanation of each failure.
    pub explained: &'a [Explanation],
    /// All runs of the sweep, including this one.
    pub seeds: &'a [Seed],
    /// The coverage of the sweep; empty if it is not collected.
    pub coverage: &'a [ProgramCoverage],
}

/// Writes the report of a run.
///
/// # Errors
/// If the page cannot be written.
pub fn write<W: Write>(mut sink: W, shown: &ShownRun<'_>) -> io::Result<()> {
    let outcome = shown.outcome;
    let data = data::ReportData::of(shown);
    // Within a script element only `<` could end the element.
    let data = serde_json::to_string(&data)?.replace('<', "\\u003c");
    let title = escaped(&format!("{} · seed {}", outcome.scenario, outcome.seed));
    let contents = [title.as_str(), STYLE, &data, SCRIPT];
    let mut rest = PAGE;
    for (slot, content) in SLOTS.into_iter().zip(contents) {
        let (before, after) = rest.split_once(slot).unwrap_or((rest, ""));
        sink.write_all(before.as_bytes())?;
        sink.write_all(content.as_bytes())?;
        rest = after;
    }
    sink.write_all(rest.as_bytes())?;
    sink.flush()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
