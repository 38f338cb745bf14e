//! Coverage of runs: which inputs, transitions, refusals and invariants of each program occurred, and which did not.
//!
//! An [`Occurrence`] names one of them. A program declares those that a run can have
//! ([`Words::occurrences`](crate::scenario::Words::occurrences)), and notes those that a run has. A run counts them
//! ([`RunCoverage`]), and a [`CoverageTable`] sums up many runs. Nothing is counted unless the caller of a run requests
//! it ([`RunOptions::coverage`](crate::RunOptions::coverage)).

mod occurrence;
mod run;
mod table;

pub use occurrence::{Notes, Occurrence, OccurrenceKind};
pub use run::RunCoverage;
pub use table::{CoverageRow, CoverageTable, OccurrenceCount, ProgramCoverage};
