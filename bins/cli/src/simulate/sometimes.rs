//! Expectations that must hold in at least one run of a sweep (`sometimes`), with the number of
//! runs in which they held.

use super::record::Record;
use serde::Serialize;

/// One such expectation, over the runs of one scenario in one engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Sometimes {
    /// The line of the expectation in its file.
    pub(super) line: usize,
    /// The text of the expectation.
    pub(super) text: String,
    /// Number of runs in which it held.
    pub(super) reached: usize,
    /// Number of runs.
    pub(super) runs: usize,
    /// The first seed in which it held.
    pub(super) first: Option<u64>,
}

impl Sometimes {
    /// Returns whether the expectation held in none of several runs. A single run is not enough to
    /// decide.
    pub(super) const fn is_missed(&self) -> bool {
        self.reached == 0 && self.runs > 1
    }

    /// Formats the number of runs in which it held.
    pub(super) fn share(&self) -> String {
        let Self { reached, runs, .. } = self;
        match reached {
            0 => format!("none of {runs}"),
            _ => format!("{reached} of {runs}"),
        }
    }
}

/// Counts one more run.
pub(super) fn count(all: &mut Vec<Sometimes>, record: &Record) {
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
