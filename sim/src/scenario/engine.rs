//! The engines, and what each can do.

use super::{Action, Scenario, ScenarioError, suggestion};
use core::fmt;
use serde::Serialize;

/// The most machines the wire engine runs in bearable time.
const WIRE_HOSTS_MAX: usize = 50;

/// What runs a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// The core's machines on an event heap.
    Model,
    /// The production adapters on a simulated network.
    Wire,
}

impl Engine {
    /// Every engine and its name.
    pub const ALL: &'static [(Self, &'static str)] =
        &[(Self::Model, "model"), (Self::Wire, "wire")];

    /// The engine of this name.
    ///
    /// # Errors
    /// A message with the engines there are.
    pub fn named(name: &str) -> Result<Self, String> {
        let words = Self::ALL.iter().map(|(_, name)| *name);
        Self::ALL
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(engine, _)| *engine)
            .ok_or_else(|| format!("`{name}` is no engine{}", suggestion(name, words)))
    }

    /// Whether the engine can do this.
    const fn can(self, action: &Action) -> bool {
        match self {
            Self::Model => true,
            Self::Wire => !matches!(
                action,
                Action::Pause { .. } | Action::Slow { .. } | Action::Clock { .. } | Action::Loss(_)
            ),
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Model => "model",
            Self::Wire => "wire",
        })
    }
}

impl Scenario {
    /// Whether an engine can run this scenario.
    ///
    /// # Errors
    /// The first step or setting that it cannot do, or that the scenario is not written for it.
    pub fn check_engine(&self, engine: Engine) -> Result<(), ScenarioError> {
        let error = |line, key: &str, message| ScenarioError {
            file: self.file.clone(),
            line,
            key: key.to_owned(),
            message,
        };
        for step in &self.steps {
            if !engine.can(&step.action) {
                let word = step.action.word();
                let message =
                    format!("engine {engine} cannot do the step `{word}`; use --engine model");
                return Err(error(step.line, word, message));
            }
        }
        let line = self.engines_line;
        if engine == Engine::Wire {
            let rules = self
                .links
                .iter()
                .map(|rule| rule.network)
                .chain([self.network]);
            if rules
                .into_iter()
                .any(|network| network.loss_ppm > 0 || network.bandwidth.is_some())
            {
                let message =
                    "engine wire has neither loss nor bandwidth; use --engine model".to_owned();
                return Err(error(line, "network", message));
            }
            if self
                .hosts
                .iter()
                .any(|host| host.clock.drift_ppm != 0 || host.clock.offset != 0)
            {
                let message =
                    "engine wire has one clock for all nodes; use --engine model".to_owned();
                return Err(error(line, "clock", message));
            }
            if self.hosts.len() > WIRE_HOSTS_MAX {
                let message = format!(
                    "engine wire runs at most {WIRE_HOSTS_MAX} nodes, and here are {}; use --engine model",
                    self.hosts.len()
                );
                return Err(error(line, "nodes", message));
            }
        }
        if !self.engines.contains(&engine) {
            let first = self.steps.first().map_or_else(String::new, |step| {
                format!(
                    " (first step: `{}`, line {})",
                    step.action.word(),
                    step.line
                )
            });
            let message = format!("this scenario is not written for engine {engine}{first}");
            return Err(error(line, "engines", message));
        }
        Ok(())
    }
}
