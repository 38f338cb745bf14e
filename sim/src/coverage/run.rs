//! The coverage of one run.

use super::occurrence::Occurrence;
use std::collections::{BTreeMap, BTreeSet};

/// The coverage of one run: for each program, the number of each occurrence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunCoverage {
    programs: BTreeMap<&'static str, ProgramCounts>,
}

/// The coverage of one program in one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ProgramCounts {
    /// The declared occurrences, and those that occurred, each with its number.
    pub(super) counts: BTreeMap<Occurrence, u64>,
    /// The invariants that do not count their checks.
    pub(super) uncounted: BTreeSet<&'static str>,
}

impl RunCoverage {
    /// Adds a program, which hosts of the run have, with the occurrences that it declares.
    pub fn declare(
        &mut self,
        program: &'static str,
        declared: impl IntoIterator<Item = Occurrence>,
    ) {
        let counts = &mut self.programs.entry(program).or_default().counts;
        for occurrence in declared {
            counts.entry(occurrence).or_default();
        }
    }

    /// Counts an occurrence.
    pub fn count(&mut self, program: &'static str, occurrence: Occurrence) {
        let counts = &mut self.programs.entry(program).or_default().counts;
        *counts.entry(occurrence).or_default() += 1;
    }

    /// Adds the number of checks of an invariant; `None` if the invariant does not count them.
    pub fn checked(&mut self, program: &'static str, invariant: &'static str, checks: Option<u64>) {
        let of = self.programs.entry(program).or_default();
        match checks {
            Some(checks) => {
                *of.counts
                    .entry(Occurrence::invariant(invariant))
                    .or_default() += checks;
            }
            None => {
                of.uncounted.insert(invariant);
            }
        }
    }

    /// Returns how often an occurrence occurred in the processes of a program; `None` if it is neither declared nor
    /// occurred.
    #[must_use]
    pub fn number_of(&self, program: &str, occurrence: &Occurrence) -> Option<u64> {
        self.programs.get(program)?.counts.get(occurrence).copied()
    }

    /// Iterates over the programs, each with its occurrences and their numbers.
    pub fn iter(
        &self,
    ) -> impl Iterator<Item = (&'static str, impl Iterator<Item = (&Occurrence, u64)>)> {
        let programs = self.programs.iter();
        programs.map(|(program, of)| {
            let counts = of.counts.iter();
            (*program, counts.map(|(it, count)| (it, *count)))
        })
    }

    pub(super) fn programs(&self) -> impl Iterator<Item = (&'static str, &ProgramCounts)> {
        self.programs.iter().map(|(program, of)| (*program, of))
    }
}
