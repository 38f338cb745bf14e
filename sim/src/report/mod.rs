//! A run as one HTML page that needs nothing else: no network, no other file.
//!
//! What the page shows is chosen here and bounded, so that it opens whatever the size of the run; what was left out
//! it says itself. `strip` gives each lane its colours, `detail` chooses messages and reports, `data` is what the
//! page reads.
//!
//! Colours of a lane: a digest that at least two nodes held at one time has a colour of its own, the ten that were
//! held most (nodes times duration) a strong one; a digest that one node alone held is grey, unless it held it for
//! long and a strong colour is left.

mod data;
mod detail;
pub(crate) mod strip;
#[cfg(test)]
mod tests;

use crate::outcome::Outcome;
use crate::record::Recording;
use std::io::{self, Write};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What stands where in the page.
const SLOTS: [&str; 4] = ["<!--title-->", "/*style*/", "<!--data-->", "/*script*/"];

/// Another seed of the same sweep.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Seed {
    /// The seed.
    pub seed: u64,
    /// Whether everything came true.
    pub passed: bool,
    /// How long the system took to recover; none if it did not.
    pub recovery_ms: Option<u64>,
    /// Events processed.
    pub events: u64,
    /// Messages sent.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Lines of expectations that did not come true.
    pub unmet: Vec<usize>,
    /// Lines of steps that bit nothing.
    pub idle: Vec<usize>,
}

/// Writes the report of a run; `seeds` are all runs of its sweep, this one among them.
///
/// # Errors
/// When the page cannot be written.
pub fn write<W: Write>(
    mut sink: W,
    recording: &Recording<'_>,
    outcome: &Outcome,
    seeds: &[Seed],
) -> io::Result<()> {
    let data = data::Data::of(recording, outcome, seeds);
    // Inside a script element only `<` could end it.
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
