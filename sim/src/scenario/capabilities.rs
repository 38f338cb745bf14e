//! The steps and settings of a scenario that each engine and each system supports.

use super::network::{Direction, LinkSetting, PathProperties};
use super::vocabulary::Vocabulary;
use super::{
    Action, CertificateChange, Engine, NetworkAction, NodeAction, Scenario, ScenarioError, Step,
    Trouble, When,
};

/// Maximum number of machines in an engine other than the model, to limit the real time of a run.
const HOSTS_MAX: usize = 50;

impl Engine {
    /// Returns the name of a step's action if the engine does not support it.
    fn lacks(self, vocabulary: &Vocabulary, step: &Step) -> Option<&'static str> {
        let lacks_action = match (self, &step.action) {
            (Self::Wire, Action::Nodes(_, NodeAction::Certificate(is))) => match is {
                CertificateChange::Expired => matches!(step.when, When::After(_)),
                CertificateChange::Revoked => true,
                CertificateChange::Rotated => false,
            },
            (_, Action::Nodes(_, NodeAction::Own(action))) => {
                let step = vocabulary.step(action.program, action.word);
                !step.is_some_and(|step| step.engines.contains(&self))
            }
            (Self::Model, _) | (_, Action::Clone(_)) => false,
            (Self::Wire, Action::Network(action)) => match action {
                NetworkAction::Hold(..) | NetworkAction::Clog(_) => true,
                NetworkAction::Swizzle(_) | NetworkAction::Loss(_) => true,
                NetworkAction::Latency(latency) => latency.bounds().is_none(),
                // In turmoil, a link has one latency for both directions.
                NetworkAction::Links(_, direction, LinkSetting::Latency(latency)) => {
                    *direction != Direction::Both || latency.bounds().is_none()
                }
                NetworkAction::Links(..) => true,
                NetworkAction::Partition(..) | NetworkAction::Heal => false,
                NetworkAction::Reset(_) => false,
                NetworkAction::Cut(..) | NetworkAction::Restore => false,
            },
            (Self::Wire, Action::Nodes(_, action)) => matches!(
                action,
                NodeAction::Pause(_)
                    | NodeAction::Slow { .. }
                    | NodeAction::Clock { .. }
                    | NodeAction::Disk(_)
                    | NodeAction::Trouble(Trouble::SlowDisk(_) | Trouble::NatIdle(_))
                    | NodeAction::Move
            ),
            (Self::Madsim, Action::Network(action)) => match action {
                NetworkAction::Hold(..) | NetworkAction::Clog(_) => true,
                NetworkAction::Swizzle(_) | NetworkAction::Loss(_) => true,
                NetworkAction::Latency(_) => true,
                NetworkAction::Links(..) | NetworkAction::Reset(_) => true,
                NetworkAction::Partition(..) | NetworkAction::Heal => false,
                NetworkAction::Cut(..) | NetworkAction::Restore => false,
            },
            (Self::Madsim, Action::Nodes(_, action)) => matches!(
                action,
                NodeAction::PowerLoss
                    | NodeAction::Slow { .. }
                    | NodeAction::Clock { .. }
                    | NodeAction::Disk(_)
                    | NodeAction::Trouble(_)
                    | NodeAction::Move
                    | NodeAction::Certificate(_)
            ),
        };
        lacks_action.then(|| step.action.word())
    }
}

impl Scenario {
    /// Checks that an engine can run this scenario.
    ///
    /// # Errors
    /// The error names the first unsupported step or setting, or states that `engines` does not list the engine.
    pub fn check_engine(&self, engine: Engine) -> Result<(), ScenarioError> {
        let error = |line, key: &str, message| ScenarioError {
            file: self.file.clone(),
            line,
            key: key.to_owned(),
            message,
        };
        for step in &self.steps {
            let simulated = (engine == Engine::Wire).then(|| self.simulated_command(step));
            if let Some(word) = simulated
                .flatten()
                .or_else(|| engine.lacks(&self.vocabulary, step))
            {
                let message = format!(
                    "engine {engine} cannot do the step `{word}`{}",
                    self.instead_for(engine, step)
                );
                return Err(ScenarioError {
                    file: step.file.clone(),
                    ..error(step.line, word, message)
                });
            }
        }
        let kinds = self.chaos.iter().flat_map(|chaos| &chaos.kinds);
        if let Some(kind) = kinds.into_iter().find(|kind| !kind.is_for(engine)) {
            let word = kind.word();
            let message = format!(
                "engine {engine} cannot do the chaos `{word}`{}",
                self.instead(engine)
            );
            return Err(error(
                self.chaos.as_ref().map_or(0, |chaos| chaos.line),
                "kinds",
                message,
            ));
        }
        if engine == Engine::Model {
            self.check_system(&self.vocabulary).map_err(|mut why| {
                if let Some(other) = self.engines.iter().find(|it| **it != engine) {
                    why.message += &format!("; use --engine {other}");
                }
                why
            })?;
        } else {
            self.check_small_world(engine).map_err(|(key, message)| {
                error(self.line(key), key, message + &self.instead(engine))
            })?;
        }
        if !self.engines.contains(&engine) {
            let message = format!(
                "this scenario is not written for engine {engine}; add \"{engine}\" to `engines`"
            );
            return Err(error(self.line("engines"), "engines", message));
        }
        Ok(())
    }

    /// Returns the last part of an error message about an unsupported setting, which names the mend.
    fn instead(&self, engine: Engine) -> String {
        match engine {
            Engine::Model => String::new(),
            Engine::Wire | Engine::Madsim if self.engines.contains(&engine) => {
                let line = self.line("engines");
                format!(
                    "; use --engine model, and remove \"{engine}\" from `engines` (line {line})"
                )
            }
            Engine::Wire | Engine::Madsim => "; use --engine model".to_owned(),
        }
    }

    /// Returns the last part of an error message about an unsupported step: the reason, or the mend.
    fn instead_for(&self, engine: Engine, step: &Step) -> String {
        let system = self.vocabulary.name;
        match step.action {
            Action::Nodes(_, NodeAction::Certificate(CertificateChange::Revoked)) => {
                format!(": {system} cannot revoke certificates, on any engine")
            }
            Action::Nodes(_, NodeAction::Certificate(_)) => match engine {
                Engine::Wire => {
                    " when something is reported: an end is written into a certificate; give the step a `time`"
                        .to_owned()
                }
                Engine::Model | Engine::Madsim => {
                    format!("; {system} has certificates in --engine wire")
                }
            },
            Action::Network(_) | Action::Nodes(..) | Action::Clone(_) => self.instead(engine),
        }
    }

    /// Returns the line of a setting; the line of `engines` if the setting has none.
    fn line(&self, key: &str) -> usize {
        let lines = &self.lines;
        let line = lines.get(key).or_else(|| lines.get("engines"));
        line.copied().unwrap_or(1)
    }

    /// Returns the name of a step's command if real daemons cannot execute it.
    fn simulated_command(&self, step: &Step) -> Option<&'static str> {
        let Action::Nodes(_, NodeAction::Command { name, .. }) = &step.action else {
            return None;
        };
        let mut simulated = self.vocabulary.every(|words| &words.simulated_commands);
        simulated.find(|word| word == name)
    }

    /// Checks that a system understands this scenario's steps on the model engine.
    ///
    /// # Errors
    /// The error names the first unsupported step.
    pub fn check_system(&self, vocabulary: &Vocabulary) -> Result<(), ScenarioError> {
        let certificate =
            |step: &&Step| matches!(step.action, Action::Nodes(_, NodeAction::Certificate(_)));
        match self.steps.iter().find(certificate) {
            Some(step) if !vocabulary.has_certificates() => Err(ScenarioError {
                file: step.file.clone(),
                line: step.line,
                key: step.action.word().to_owned(),
                message: format!(
                    "engine {} cannot do the step `{}` to {}, whose machines have no certificates there",
                    Engine::Model,
                    step.action.word(),
                    vocabulary.name
                ),
            }),
            _ => Ok(()),
        }
    }

    /// Returns a setting of the world that engines with real network code do not support, as its key and the error
    /// message.
    fn check_small_world(&self, engine: Engine) -> Result<(), (&'static str, String)> {
        let lacks = |network: &PathProperties| {
            let lacking = [
                ("loss", network.loss_ppm > 0, "loses no segments"),
                (
                    "bandwidth",
                    network.bandwidth.is_some(),
                    "does not limit bandwidth",
                ),
                (
                    "latency",
                    network.latency.bounds().is_none(),
                    "needs a latency with an upper bound",
                ),
            ];
            let mut lacking = lacking.into_iter();
            lacking.find_map(|(key, is_set, why)| is_set.then_some((key, why)))
        };
        let links = || self.links.iter();
        let of_links = links().find_map(|rule| lacks(&rule.network));
        let of_links = of_links.map(|(_, why)| ("link", why));
        if let Some((key, why)) = lacks(&self.network).or(of_links) {
            return Err((key, format!("engine {engine} {why}")));
        }
        let mut clocks = self.hosts.iter().map(|host| host.clock);
        if clocks.any(|clock| clock.drift_ppm != 0 || clock.offset != 0) {
            let message = format!("engine {engine} has one clock for all nodes");
            return Err(("clock", message));
        }
        if links().any(|rule| rule.direction != Direction::Both) {
            let message = format!("engine {engine} has one network for both directions of a link");
            return Err(("direction", message));
        }
        if self.hosts.iter().any(|host| host.restart_after.is_some()) {
            let message = format!("engine {engine} has no service manager");
            return Err(("restart-after", message));
        }
        if engine == Engine::Madsim && !self.links.is_empty() {
            let message = "engine madsim has one network for all nodes";
            return Err(("link", message.to_owned()));
        }
        if self.hosts.len() > HOSTS_MAX {
            let message = format!(
                "engine {engine} runs at most {HOSTS_MAX} nodes, and here are {}",
                self.hosts.len()
            );
            return Err(("nodes", message));
        }
        Ok(())
    }
}
