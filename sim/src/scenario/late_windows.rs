//! Expectations whose time window ends after the run: their `within` or `to` is longer than the time that they have.

use super::conditions::Mode;
use super::definition::Scenario;
use super::error::ScenarioError;
use super::text;

impl Scenario {
    /// Returns a warning for each expectation whose window ends after the run.
    pub(super) fn late_windows(&self) -> impl Iterator<Item = ScenarioError> {
        let end = self.duration + self.recovery;
        self.expectations.iter().filter_map(move |expectation| {
            let to = expectation.to.filter(|to| *to > end)?;
            let key = match expectation.mode {
                Mode::Eventually(_) => "within",
                Mode::Always(_) | Mode::Never(_) | Mode::Sometimes(_) | Mode::Metric(..) => "to",
            };
            Some(ScenarioError {
                file: expectation.file.clone(),
                line: expectation.line,
                key: key.to_owned(),
                message: format!(
                    "the window ends at {}, after the end of the run ({}), which ends it earlier",
                    text::show(to),
                    text::show(end)
                ),
            })
        })
    }
}
