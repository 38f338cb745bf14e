//! The uses of commands and conditions in a scenario, which programs check together.

use super::action::{Action, NodeAction};
use super::conditions::{Condition, OwnArguments, OwnCondition};
use super::definition::Scenario;
use super::error::ScenarioError;
use super::vocabulary::Usage;

impl Scenario {
    /// Checks the uses of each program's commands and conditions together.
    ///
    /// # Errors
    /// The error is the first wrong use, with the line of its step or expectation.
    pub(crate) fn check_usages(&self) -> Result<(), ScenarioError> {
        for words in &self.vocabulary.programs {
            let Some(check) = words.check_usages else {
                continue;
            };
            let commands = self.steps.iter().filter_map(|step| match &step.action {
                Action::Nodes(who, NodeAction::Command { name, with, .. })
                    if words.commands.contains(&name.as_str())
                        && who.program().is_none_or(|program| program == words.program) =>
                {
                    let word = name.as_str();
                    Some(((step.file.as_str(), step.line), Usage { word, with }))
                }
                Action::Network(_) | Action::Nodes(..) | Action::Clone(_) => None,
            });
            let conditions = self.expectations.iter().filter_map(|expectation| {
                let place = (expectation.file.as_str(), expectation.line);
                match expectation.mode.condition()? {
                    Condition::Own(OwnCondition {
                        program,
                        word,
                        said: OwnArguments::With(with),
                        ..
                    }) if *program == words.program => Some((place, Usage { word, with })),
                    Condition::Converged | Condition::Event(..) | Condition::Own(_) => None,
                    Condition::State { .. } | Condition::Agree { .. } => None,
                }
            });
            let (places, usages): (Vec<_>, Vec<_>) = commands.chain(conditions).unzip();
            check(&usages, &self.hosts).map_err(|(index, message)| ScenarioError {
                file: places[index].0.to_owned(),
                line: places[index].1,
                key: "with".to_owned(),
                message,
            })?;
        }
        Ok(())
    }

    /// Checks the settings of each program together with the settings of the hosts.
    ///
    /// # Errors
    /// The error is the key of the first contradiction, and the reason.
    pub(crate) fn check_hosts(&self) -> Result<(), (&'static str, String)> {
        let checks = self.vocabulary.programs.iter();
        let mut checks = checks.filter_map(|words| words.check_hosts);
        let wrong = checks.find_map(|check| check(&self.settings, &self.hosts).err());
        wrong.map_or(Ok(()), Err)
    }
}
