//! Expectations that must hold in at least one run of a sweep (`sometimes`), with the number of
//! runs in which they held.

use crate::record::RunRecord;
use serde::Serialize;

/// Minimum number of runs of which one must meet such an expectation. In fewer, none is a warning.
const RUNS_MIN: usize = 20;

/// One such expectation, over the runs of one scenario in one engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Sometimes {
    /// The line of the expectation in its file.
    pub(crate) line: usize,
    /// The text of the expectation.
    pub(crate) text: String,
    /// Number of runs in which it held.
    pub(crate) reached: usize,
    /// Number of runs.
    pub(crate) runs: usize,
    /// The first seed in which it held.
    pub(crate) first: Option<u64>,
}

impl Sometimes {
    /// Returns whether there were enough runs, and the expectation held in none of them.
    pub(crate) const fn is_missed(&self) -> bool {
        self.reached == 0 && self.runs >= RUNS_MIN
    }

    /// Returns whether the expectation held in none of too few runs to decide.
    pub(crate) const fn is_undecided(&self) -> bool {
        self.reached == 0 && self.runs < RUNS_MIN
    }

    /// Formats the warning about too few runs.
    pub(crate) fn warning(&self, scenario: &str) -> String {
        format!(
            "{scenario} line {}: held in {}; {RUNS_MIN} runs decide whether it can hold: {}",
            self.line,
            self.share(),
            self.text
        )
    }

    /// Formats the number of runs in which it held.
    pub(crate) fn share(&self) -> String {
        let Self { reached, runs, .. } = self;
        match reached {
            0 => format!("none of {runs}"),
            _ => format!("{reached} of {runs}"),
        }
    }
}

/// Counts one more run.
pub(crate) fn count(all: &mut Vec<Sometimes>, record: &RunRecord) {
    let sometimes = record.read.expected.iter().filter(|it| it.sometimes);
    for expected in sometimes {
        let same = |it: &Sometimes| it.line == expected.line && it.text == expected.text;
        let index = all.iter().position(same).unwrap_or_else(|| {
            all.push(Sometimes {
                line: expected.line,
                text: expected.text.clone(),
                reached: 0,
                runs: 0,
                first: None,
            });
            all.len() - 1
        });
        let one = &mut all[index];
        one.runs += 1;
        one.reached += usize::from(expected.met);
        one.first = one.first.or(expected.met.then_some(record.read.seed));
    }
}
