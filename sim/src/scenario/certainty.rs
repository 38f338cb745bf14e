//! Expectations that cannot fail, as far as a file tells. They are errors: such an expectation checks nothing.

use super::action::{Action, NodeAction};
use super::conditions::{Bound, Condition, Expectation, Metric, Mode, OwnArguments};
use super::definition::Scenario;
use super::error::ScenarioError;
use super::names::Selector;
use super::vocabulary::{Certainty, Story, UncertainClaim, Words};

impl Scenario {
    /// Checks that each expectation can fail.
    ///
    /// # Errors
    /// The first expectation that cannot fail, or that names an item that the scenario lacks.
    pub(crate) fn check_expectations(&self) -> Result<(), ScenarioError> {
        for expectation in &self.expectations {
            self.can_fail(expectation)
                .map_err(|(key, message)| ScenarioError {
                    file: expectation.file.clone(),
                    line: expectation.line,
                    key: key.to_owned(),
                    message,
                })?;
        }
        Ok(())
    }

    fn can_fail(&self, expectation: &Expectation) -> Result<(), (&'static str, String)> {
        let (key, condition, holds) = match &expectation.mode {
            Mode::Eventually(condition) => ("eventually", condition, true),
            Mode::Always(condition) => ("always", condition, true),
            Mode::Sometimes(condition) => ("sometimes", condition, true),
            Mode::Never(condition) => ("never", condition, false),
            Mode::Metric(metric, who, bound) => return self.bounds(*metric, who, *bound),
        };
        match (self.certainty(condition).map_err(|why| (key, why))?, holds) {
            (Certainty::Always(why), true) | (Certainty::Never(why), false) => {
                Err((key, format!("cannot fail: {why}")))
            }
            (Certainty::Always(_), false) | (Certainty::Never(_), true) => Ok(()),
            (Certainty::Open, _) => Ok(()),
        }
    }

    /// Checks that a metric can lie outside of its bound.
    fn bounds(
        &self,
        metric: Metric,
        who: &Selector,
        bound: Bound,
    ) -> Result<(), (&'static str, String)> {
        let Bound { min, max } = bound;
        if let Some(why) = self.never_runs(who) {
            return Err(("who", format!("{why}, so the metric has no value")));
        }
        if min == 0 && max == u64::MAX {
            let message = "is 0, and every value is at least 0: without `max` it cannot fail";
            return Err(("min", message.to_owned()));
        }
        let mut limits = self.vocabulary.programs.iter();
        let limit = limits.find_map(|words| {
            let mut limits = words.limits.iter();
            limits.find(|(word, _)| *word == metric.name())
        });
        let Some((word, limit)) = limit else {
            return Ok(());
        };
        if min == 0 && max >= *limit {
            let message = format!("is {max}, and `{word}` is at most {limit}: it cannot fail");
            return Err(("max", message));
        }
        if min > *limit {
            let message = format!("is {min}, and `{word}` is at most {limit}: it cannot hold");
            return Err(("min", message));
        }
        Ok(())
    }

    fn certainty(&self, condition: &Condition) -> Result<Certainty, String> {
        match condition {
            Condition::Converged => Ok(Certainty::Open),
            Condition::Event(word, by, about, min) => {
                let found = self.event(word, by, about.as_ref(), *min);
                if found == Certainty::Open {
                    return self.event_of_programs(word);
                }
                Ok(found)
            }
            Condition::State { who, count, .. } => Ok(self.state(who, *count)),
            Condition::Agree { who, .. } => Ok(self.agreement(who)),
            Condition::Own(own) => {
                let words = self.vocabulary.program(own.program);
                let Some((words, find)) = words.and_then(|words| Some((words, words.certainty?)))
                else {
                    return Ok(Certainty::Open);
                };
                if let Some(why) = self.never_runs(&own.who) {
                    return Ok(Certainty::Never(why));
                }
                let arguments = match &own.said {
                    OwnArguments::Keyed(arguments) => Some(arguments),
                    OwnArguments::With(_) => None,
                };
                let claim = UncertainClaim::Own {
                    word: own.word,
                    who: &own.who,
                    arguments,
                };
                find(claim, &self.story(words))
            }
        }
    }

    /// Returns the certainty of an event, as the only program with an event of this name tells.
    fn event_of_programs(&self, word: &str) -> Result<Certainty, String> {
        let programs = self.vocabulary.programs.iter();
        let mut owners = programs.filter(|words| words.events.contains(&word));
        let (Some(words), None) = (owners.next(), owners.next()) else {
            return Ok(Certainty::Open);
        };
        let find = words.certainty;
        find.map_or(Ok(Certainty::Open), |find| {
            find(UncertainClaim::Event(word), &self.story(words))
        })
    }

    fn story(&self, words: &Words) -> Story<'_> {
        let (mut commands, mut steps) = (Vec::new(), Vec::new());
        for step in &self.steps {
            if let Action::Nodes(_, action) = &step.action {
                if let NodeAction::Command { name, .. } = action {
                    commands.push(name.as_str());
                }
                if let NodeAction::Own(own) = action
                    && own.program == words.program
                {
                    steps.push(own);
                }
            }
        }
        Story {
            hosts: &self.hosts,
            commands,
            steps,
            has_chaos: self.chaos.is_some(),
        }
    }

    fn event(&self, word: &str, by: &Selector, about: Option<&Selector>, min: u32) -> Certainty {
        if min == 0 {
            return Certainty::Always("every event is reported at least 0 times".to_owned());
        }
        if let Some(why) = self.never_runs(by) {
            return Certainty::Never(format!(
                "{why}, and a node that does not run reports nothing"
            ));
        }
        match about.and_then(Selector::fixed) {
            Some(about) if about.is_empty() => {
                Certainty::Never(format!("`about` names no node, so no `{word}` fits"))
            }
            Some(_) | None => Certainty::Open,
        }
    }

    fn state(&self, who: &Selector, count: Option<Bound>) -> Certainty {
        let absent = self.never_runs(who);
        match (count, absent) {
            (None, Some(why)) => Certainty::Never(why),
            (Some(bound), Some(why)) if bound.holds(0) => Certainty::Always(why),
            (Some(_), Some(why)) => Certainty::Never(why),
            (Some(bound), None) => {
                let all = who.fixed().map_or(self.hosts.len(), |hosts| hosts.len());
                if bound.min == 0 && bound.max >= all as u64 {
                    let why = format!("at least 0 and at most {all} of {all} nodes have the value");
                    Certainty::Always(why)
                } else {
                    Certainty::Open
                }
            }
            (None, None) => Certainty::Open,
        }
    }

    fn agreement(&self, who: &Selector) -> Certainty {
        if let Some(why) = self.never_runs(who) {
            return Certainty::Never(why);
        }
        let one_program = who.program().is_some() || self.vocabulary.programs.len() == 1;
        match who.fixed() {
            Some(hosts) if hosts.len() == 1 && one_program => {
                Certainty::Always("a single node agrees with itself".to_owned())
            }
            Some(_) | None => Certainty::Open,
        }
    }

    /// Returns the reason why none of these nodes ever runs when it is selected; `None` if one may run.
    #[must_use]
    pub fn never_runs(&self, who: &Selector) -> Option<String> {
        if who.selects_only_stopped() {
            return Some("`down` selects nodes that do not run".to_owned());
        }
        let hosts = who.fixed()?;
        if hosts.is_empty() {
            return Some("no node is named".to_owned());
        }
        let starts = |host: usize| {
            let host_starts = &self.hosts[host];
            host_starts.start.is_some()
                || host_starts.clone_of.is_some()
                || self.steps.iter().any(|step| may_start(&step.action, host))
        };
        let none = !hosts.iter().any(|host| starts(*host));
        none.then(|| format!("no step starts {}, which waits", who.show(&self.hosts)))
    }
}

/// Returns whether an action may start a host that waits.
fn may_start(action: &Action, host: usize) -> bool {
    let Action::Nodes(who, action) = action else {
        return false;
    };
    let starts = match action {
        NodeAction::Join | NodeAction::Restart(_) | NodeAction::Own(_) => true,
        NodeAction::Crash | NodeAction::PowerLoss | NodeAction::Pause(_) => false,
        NodeAction::Slow { .. } | NodeAction::Clock { .. } | NodeAction::Disk(_) => false,
        NodeAction::Trouble(_) | NodeAction::Move => false,
        NodeAction::Certificate(_) | NodeAction::Leave | NodeAction::Command { .. } => false,
    };
    starts && who.fixed().is_none_or(|hosts| hosts.contains(&host))
}
