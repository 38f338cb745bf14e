//! The options of a run.

use super::supervisor::Supervisor;
use crate::coverage::RunCoverage;
use crate::record::Recorder;
use core::fmt;

/// The options of a run.
#[derive(Default)]
pub struct RunOptions<'a> {
    /// The names of the mechanisms that are broken deliberately in every process, from the system's vocabulary.
    pub sabotage: Vec<String>,
    /// Whether a fault that affects nothing fails the run.
    pub strict: bool,
    /// Whether the outcome of a confluent scenario contains the final state.
    pub final_state: bool,
    /// The recorder of the run.
    pub recorder: Option<&'a mut dyn Recorder>,
    /// Receives what occurs in the run; nothing is counted if it is absent.
    pub coverage: Option<&'a mut RunCoverage>,
    /// The connection to a caller that may end the run early.
    pub supervisor: Option<&'a Supervisor>,
}

impl fmt::Debug for RunOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunOptions")
            .field("sabotage", &self.sabotage)
            .field("strict", &self.strict)
            .field("final_state", &self.final_state)
            .finish_non_exhaustive()
    }
}
