//! How a run differs from the ordinary.

use crate::record::Recorder;
use core::fmt;

/// How a run differs from the ordinary.
#[derive(Default)]
pub struct Options<'a> {
    /// The mechanisms broken on purpose in every process, by their words in the system's vocabulary.
    pub sabotage: Vec<String>,
    /// A fault without effect fails the run.
    pub strict: bool,
    /// The recorder of the run.
    pub recorder: Option<&'a mut dyn Recorder>,
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("sabotage", &self.sabotage)
            .field("strict", &self.strict)
            .finish_non_exhaustive()
    }
}
