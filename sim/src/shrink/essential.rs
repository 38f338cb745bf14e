//! The parts of a scenario that give the failure its meaning: the nodes and steps that the failed expectation names,
//! the nodes that a command names, and the position of the time window relative to the ends of the fault phase and the
//! run.

use crate::scenario::{
    Action, Condition, Expectation, Mode, NodeAction, OwnArguments, Scenario, Selector,
};
use crate::verdict::Failure;
use core::cell::RefCell;
use core::time::Duration;
use serde_json::Value;
use std::collections::BTreeSet;

/// The parts of one scenario without which a failure has another meaning.
#[derive(Clone, Debug, Default)]
pub(super) struct Essential {
    /// The names of all nodes of the original.
    all: BTreeSet<String>,
    /// The nodes that the expectation names.
    nodes: BTreeSet<String>,
    /// The file and line of the steps that chose the nodes with a name that the expectation uses.
    steps: BTreeSet<(String, usize)>,
}

impl Essential {
    /// The essential parts for a failure of a scenario.
    pub(super) fn of(scenario: &Scenario, failure: &Failure) -> Self {
        let names = |host: &crate::scenario::Host| host.name.clone();
        let all: BTreeSet<String> = scenario.hosts.iter().map(names).collect();
        let words = violated(scenario, failure).map_or_else(BTreeSet::new, |it| words(&it.mode));
        let choosing = scenario.steps.iter();
        let choosing = choosing.filter(|step| {
            // The sides of a partition that is named `half` are `half.1`, `half.2`.
            let names = |word: &String| step.named.as_deref() == word.split('.').next();
            words.iter().any(names)
        });
        Self {
            nodes: words.intersection(&all).cloned().collect(),
            steps: choosing
                .map(|step| (step.file.clone(), step.line))
                .collect(),
            all,
        }
    }

    /// Returns whether a smaller scenario has all essential parts.
    pub(super) fn remain_in(&self, candidate: &Scenario) -> bool {
        let hosts = candidate.hosts.iter();
        let hosts: BTreeSet<&str> = hosts.map(|host| host.name.as_str()).collect();
        let steps = candidate.steps.iter();
        let steps: BTreeSet<(&str, usize)> =
            steps.map(|step| (step.file.as_str(), step.line)).collect();
        let mut commands = candidate
            .steps
            .iter()
            .filter_map(|step| match &step.action {
                Action::Nodes(_, NodeAction::Command { with, .. }) => Some(with),
                Action::Network(_) | Action::Nodes(..) | Action::Clone(_) => None,
            });
        let removed = |text: &str| self.all.contains(text) && !hosts.contains(text);
        self.nodes.iter().all(|node| hosts.contains(node.as_str()))
            && self
                .steps
                .iter()
                .all(|(file, line)| steps.contains(&(file.as_str(), *line)))
            && !commands.any(|with| texts(with).into_iter().any(removed))
    }
}

/// Returns whether the time window of the failed expectation has the same position as in the original: in the fault
/// phase, and within the run.
pub(super) fn windows_remain(candidate: &Scenario, original: &Scenario, failure: &Failure) -> bool {
    let Some((now, before)) = violated(candidate, failure).zip(violated(original, failure)) else {
        return true;
    };
    let end = |scenario: &Scenario| scenario.duration + scenario.recovery;
    let fits = |it: &Expectation, end: Duration| it.from < end && it.to.is_none_or(|to| to <= end);
    let in_faults = |it: &Expectation, scenario: &Scenario| it.from < scenario.duration;
    (fits(now, end(candidate)) || !fits(before, end(original)))
        && (in_faults(now, candidate) || !in_faults(before, original))
}

fn violated<'a>(scenario: &'a Scenario, failure: &Failure) -> Option<&'a Expectation> {
    let is_violated = |it: &&Expectation| it.line == failure.line && it.text == failure.expectation;
    scenario.expectations.iter().find(is_violated)
}

/// The words of all selectors of an expectation, and the texts of its other arguments.
fn words(mode: &Mode) -> BTreeSet<String> {
    let words = RefCell::new(BTreeSet::new());
    let add = |who: &Selector| {
        words.borrow_mut().extend(who.words().map(str::to_owned));
    };
    let add_texts = |value: &Value| {
        let texts = texts(value).into_iter().map(str::to_owned);
        words.borrow_mut().extend(texts);
    };
    let condition = |condition: &Condition| match condition {
        Condition::Converged => {}
        Condition::Event(_, by, about, _) => {
            add(by);
            about.iter().for_each(add);
        }
        Condition::State { who, is, .. } => {
            add(who);
            add_texts(is);
        }
        Condition::Agree { who, .. } => add(who),
        Condition::Own(own) => {
            let _same = own.mapped(&|who| {
                add(who);
                who.clone()
            });
            if let OwnArguments::With(with) = &own.said {
                add_texts(with);
            }
        }
    };
    match mode {
        Mode::Eventually(inner) | Mode::Always(inner) => condition(inner),
        Mode::Never(inner) | Mode::Sometimes(inner) => condition(inner),
        Mode::Metric(_, who, _) => add(who),
    }
    words.into_inner()
}

/// Every text contained in a value.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Object(values) => values.values().flat_map(texts).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "scenario = 1\nname = \"a\"\nabout = \"One is cut off.\"\nengines = [\"model\"]\n\
        duration = \"20s\"\n[[nodes]]\ncount = 4\nchannels = { chat = \"messages\" }\n[[nodes]]\ncount = 2\nprefix = \"web\"\n\
        [[at]]\ntime = \"2s\"\ncrash = \"1 of n2..n4\"\nnamed = \"victim\"\n\
        [[at]]\ntime = \"3s\"\ncommand = { who = \"n2\", name = \"send\", with = { channel = \"chat\", to = \"web2\" } }\n\
        [[expect]]\neventually = { sees = { who = \"n1, web\", of = \"victim\", as = \"down\" } }\n\
        from = \"5s\"\nwithin = \"6s\"\n";

    fn parts() -> (Scenario, Failure, Essential) {
        let scenario = Scenario::parse("a.toml", FILE).unwrap_or_else(|why| panic!("{why}"));
        let it = &scenario.expectations[0];
        let failure = Failure::new("a.toml", it.line, &it.text, Duration::ZERO, "it is not so");
        let essential = Essential::of(&scenario, &failure);
        (scenario, failure, essential)
    }

    fn without(scenario: &Scenario, name: &str) -> Scenario {
        let mut smaller = scenario.clone();
        smaller.hosts.retain(|host| host.name != name);
        smaller
    }

    #[test]
    fn a_node_that_the_expectation_or_a_command_names_stays() {
        let (scenario, _, essential) = parts();
        let stays = |name| !essential.remain_in(&without(&scenario, name));
        assert_eq!(
            ["n1", "n3", "web1", "web2"].map(stays),
            [true, false, false, true]
        );
        let mut silent = scenario.clone();
        silent.steps.pop();
        assert!(essential.remain_in(&without(&silent, "web2")));
    }

    #[test]
    fn a_step_that_chooses_the_nodes_of_the_expectation_stays() {
        let (scenario, _, essential) = parts();
        let mut smaller = scenario.clone();
        smaller.steps.remove(0);
        assert!(!essential.remain_in(&smaller));
        assert!(essential.remain_in(&scenario));
    }

    #[test]
    fn a_window_stays_in_the_fault_phase_and_within_the_run() {
        let (scenario, failure, _) = parts();
        let with = |duration: u64, recovery: u64| {
            let mut shorter = scenario.clone();
            shorter.duration = Duration::from_secs(duration);
            shorter.recovery = Duration::from_secs(recovery);
            windows_remain(&shorter, &scenario, &failure)
        };
        assert!(with(20, 60) && with(6, 5));
        assert!(!with(5, 60), "it begins in the fault phase");
        assert!(!with(6, 4), "it ends with the run");
    }
}
