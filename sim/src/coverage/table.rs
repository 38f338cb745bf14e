//! The coverage of a set of runs.

use super::occurrence::{Occurrence, OccurrenceKind};
use super::run::RunCoverage;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The coverage of a set of runs. The table does not depend on the order in which runs are added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoverageTable {
    programs: BTreeMap<&'static str, Sums>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sums {
    runs: u64,
    tallies: BTreeMap<Occurrence, OccurrenceCount>,
    uncounted: BTreeSet<&'static str>,
}

/// The number of times that something occurred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct OccurrenceCount {
    /// The number of runs in which it occurred.
    pub runs: u64,
    /// The number of times that it occurred in all runs.
    pub count: u64,
}

/// The coverage of one program over a set of runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProgramCoverage {
    /// The name of the program.
    pub program: &'static str,
    /// The number of runs in which hosts had the program.
    pub runs: u64,
    /// The number of rows that never occurred. These rows are the first ones.
    pub never: usize,
    /// The rows: first those that never occurred, then by kind the rarest first.
    pub rows: Vec<CoverageRow>,
    /// The invariants that do not count their checks, so that it is unknown whether they had anything to check.
    pub uncounted: Vec<&'static str>,
}

/// One row of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CoverageRow {
    /// The kind.
    pub kind: OccurrenceKind,
    /// The word.
    pub word: &'static str,
    /// The detail; empty if there is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The number of times that it occurred.
    #[serde(flatten)]
    pub tally: OccurrenceCount,
}

impl CoverageTable {
    /// Adds a run.
    pub fn add(&mut self, run: &RunCoverage) {
        for (program, of) in run.programs() {
            let sums = self.programs.entry(program).or_default();
            sums.runs += 1;
            for (occurrence, count) in &of.counts {
                let tally = match sums.tallies.get_mut(occurrence) {
                    Some(tally) => tally,
                    None => sums.tallies.entry(occurrence.clone()).or_default(),
                };
                tally.runs += u64::from(*count > 0);
                tally.count += count;
            }
            sums.uncounted.extend(&of.uncounted);
        }
    }

    /// Returns whether no run was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.programs.is_empty()
    }

    /// Returns the coverage of each program, in the order of their names.
    #[must_use]
    pub fn programs(&self) -> Vec<ProgramCoverage> {
        let programs = self.programs.iter();
        programs.map(|(program, sums)| sums.of(program)).collect()
    }
}

impl Sums {
    fn of(&self, program: &'static str) -> ProgramCoverage {
        let mut rows: Vec<(&Occurrence, OccurrenceCount)> = self
            .tallies
            .iter()
            .map(|(it, tally)| (it, *tally))
            .collect();
        rows.sort_by_key(|(it, tally)| (tally.count > 0, it.kind(), *tally, *it));
        let never = rows.iter().filter(|(_, tally)| tally.count == 0).count();
        let rows = rows.into_iter().map(|(it, tally)| CoverageRow {
            kind: it.kind(),
            word: it.word(),
            detail: it.detail().to_owned(),
            tally,
        });
        ProgramCoverage {
            program,
            runs: self.runs,
            never,
            rows: rows.collect(),
            uncounted: self.uncounted.iter().copied().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of a program that declares two inputs and a transition, with these occurrences.
    fn run(occurred: &[Occurrence]) -> RunCoverage {
        let mut run = RunCoverage::default();
        let declared = [
            Occurrence::input("start"),
            Occurrence::transition("link-down").with("lost"),
            Occurrence::input("wake"),
        ];
        run.declare("lamp", declared);
        for occurrence in occurred {
            run.count("lamp", occurrence.clone());
        }
        run
    }

    #[test]
    fn rows_that_never_occurred_come_first_and_then_the_rarest() {
        let (start, wake) = (Occurrence::input("start"), Occurrence::input("wake"));
        let mut table = CoverageTable::default();
        table.add(&run(&[start, wake.clone(), wake.clone()]));
        table.add(&run(&[wake]));
        let [lamp] = &table.programs()[..] else {
            panic!("the table has one program");
        };
        let rows = lamp.rows.iter();
        let rows: Vec<_> = rows
            .map(|row| (row.word, row.tally.runs, row.tally.count))
            .collect();
        assert_eq!(rows, [("link-down", 0, 0), ("start", 1, 1), ("wake", 2, 3)]);
        assert_eq!((lamp.runs, lamp.never), (2, 1));
        assert_eq!(lamp.rows[0].detail, "lost");
    }

    #[test]
    fn the_order_of_runs_does_not_matter_and_undeclared_occurrences_count() {
        let other = Occurrence::refusal("refused");
        let runs = [run(&[Occurrence::input("wake")]), run(&[other]), run(&[])];
        let (mut forth, mut back) = (CoverageTable::default(), CoverageTable::default());
        runs.iter().for_each(|run| forth.add(run));
        runs.iter().rev().for_each(|run| back.add(run));
        assert_eq!(forth, back);
        let lamp = &forth.programs()[0];
        let refused = lamp.rows.iter().find(|row| row.word == "refused");
        assert_eq!(refused.map(|row| row.tally.count), Some(1));
    }

    #[test]
    fn an_invariant_without_checks_never_occurred_and_an_uncounted_one_is_listed_apart() {
        let mut run = run(&[]);
        run.checked("lamp", "idle", Some(0));
        run.checked("lamp", "busy", Some(7));
        run.checked("lamp", "silent", None);
        let mut table = CoverageTable::default();
        table.add(&run);
        let lamp = &table.programs()[0];
        let of = |word: &str| lamp.rows.iter().find(|row| row.word == word);
        assert_eq!(of("idle").map(|row| row.tally.runs), Some(0));
        assert_eq!(of("busy").map(|row| row.tally.count), Some(7));
        assert_eq!((of("silent"), &lamp.uncounted[..]), (None, &["silent"][..]));
    }
}
