//! The vocabularies of programs and systems: the words that scenario files and command lines may contain.

use super::action::{Extent, OwnAction};
use super::argument::Arguments;
use super::engine::Engine;
use super::form::{Field, Form, Presence, Shape};
use super::host::Host;
use super::names::Selector;
use super::planning::{Plain, Planning};
use super::suggestion::suggestion;
use core::time::Duration;
use serde_json::Value;
use std::collections::BTreeSet;

/// The event of every system: a process exited at its start.
pub const START_FAILED: &str = "start-failed";

/// Validates the arguments of a command, or of a condition under `holds`; the error gives the reason.
pub type Check = fn(&str, &Value) -> Result<(), String>;

/// A use of a command, or of a condition under `holds`, in a scenario.
#[derive(Clone, Copy, Debug)]
pub struct Usage<'a> {
    /// The name of the command or condition.
    pub word: &'a str,
    /// The arguments.
    pub with: &'a Value,
}

/// Validates the uses of a program's commands and conditions together, given the hosts of the scenario. The error
/// contains the index of the wrong use, and the reason.
pub type CheckUsages = fn(&[Usage<'_>], &[Host]) -> Result<(), (usize, String)>;

/// The truth of a condition in every run, as far as a file tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// The condition always holds, for this reason.
    Always(String),
    /// The condition never holds, for this reason.
    Never(String),
    /// The condition may or may not hold.
    Open,
}

/// A condition that a program may be certain about.
#[derive(Clone, Copy, Debug)]
pub enum UncertainClaim<'a> {
    /// An event of this name was reported.
    Event(&'a str),
    /// A condition of the program's own.
    Own {
        /// The name of the condition.
        word: &'a str,
        /// The nodes.
        who: &'a Selector,
        /// The arguments of a condition with its own key.
        arguments: Option<&'a Arguments>,
    },
}

/// The parts of a scenario on which the truth of a condition depends.
#[derive(Clone, Debug)]
pub struct Story<'a> {
    /// The hosts.
    pub hosts: &'a [Host],
    /// The names of the commands of all steps.
    pub commands: Vec<&'a str>,
    /// The steps of the program's own vocabulary.
    pub steps: Vec<&'a OwnAction>,
    /// Whether chaos may draw faults.
    pub has_chaos: bool,
}

/// Returns the certainty of a condition in a program's vocabulary.
///
/// # Errors
/// The condition names an item that the scenario lacks; the message names the nearest one.
pub type FindCertainty = fn(UncertainClaim<'_>, &Story<'_>) -> Result<Certainty, String>;

/// A step of a program's own vocabulary in a scenario.
#[derive(Clone, Debug)]
pub struct OwnUsage<'a> {
    /// The step.
    pub action: &'a OwnAction,
    /// The nodes; `None` if they depend on the run.
    pub who: Option<Vec<usize>>,
    /// Whether the time of the step is neither drawn nor that of an event.
    pub at_fixed_time: bool,
}

/// The steps of a program's own vocabulary in a scenario, in time order.
#[derive(Clone, Debug)]
pub struct OwnTimeline<'a> {
    /// The steps.
    pub steps: Vec<OwnUsage<'a>>,
    /// The hosts of the scenario.
    pub hosts: &'a [Host],
    /// Whether chaos may draw faults of the program's own.
    pub drawn: bool,
    /// Whether a step or chaos may restart nodes.
    pub restarts: bool,
}

/// Finds the steps of a timeline that change nothing: their indices, and the reasons.
pub type FindIdleSteps = fn(&OwnTimeline<'_>) -> Vec<(usize, String)>;

/// Validates the settings of a program together with those of the hosts. The error has the key, and the reason.
pub type CheckHosts = fn(&Arguments, &[Host]) -> Result<(), (&'static str, String)>;

/// The vocabulary of one program.
#[derive(Clone, Debug, Default)]
pub struct Words {
    /// The name of the program, as returned by [`Program::name`](crate::world::Program::name).
    pub program: &'static str,
    /// The events that its processes report.
    pub events: Vec<&'static str>,
    /// The tables of settings at the top level of a file.
    pub settings: &'static [Field],
    /// The keys of a group of nodes.
    pub hosts: &'static [Field],
    /// The steps, each with a table that contains `who`.
    pub steps: &'static [StepWord],
    /// The conditions with a key of their own, whose value is a table that contains `who`.
    pub conditions: &'static [Field],
    /// The conditions under the key `holds`.
    pub holds: Vec<&'static str>,
    /// The metrics that are read once, at the end of their time window.
    pub metrics: Vec<&'static str>,
    /// The greatest possible values of metrics that have one.
    pub limits: Vec<(&'static str, u64)>,
    /// The metrics that count events.
    pub counters: Vec<&'static str>,
    /// The metrics whose value is the maximum of a figure over all processes in their time window
    /// (`ProcessView::gauge`).
    pub gauges: Vec<&'static str>,
    /// The commands of a workload.
    pub commands: Vec<&'static str>,
    /// The commands that real daemons cannot execute; the engine `wire` refuses them.
    pub simulated_commands: Vec<&'static str>,
    /// Whether the processes have certificates, which the step `certificate` can change.
    pub certificates: bool,
    /// Validates the arguments of a command or of a condition under `holds`.
    pub check: Option<Check>,
    /// Validates the arguments that refer to hosts or to other commands.
    pub check_usages: Option<CheckUsages>,
    /// Returns whether a condition on the program holds in every run, or in none.
    pub certainty: Option<FindCertainty>,
    /// Finds the steps of the program's own vocabulary that change nothing.
    pub idle_steps: Option<FindIdleSteps>,
    /// Validates the settings of the program together with those of the hosts; the error has the key and the reason.
    pub check_hosts: Option<CheckHosts>,
    /// The keys of a process's state that the conditions `state` and `agree` may name; if the list is empty, keys are
    /// not checked.
    pub state: Vec<&'static str>,
    /// The faults that chaos may draw besides those of all systems.
    pub faults: &'static [FaultWord],
    /// The kinds of chaos that neither a budget without `kinds` nor the search draws, because the program is not meant to
    /// survive them, such as `wipe` for a program whose only copy of its data is on the disk. A file may name them.
    pub excluded_chaos: Vec<&'static str>,
    /// The planning of the steps and faults; `None`: each step or fault is one action, with the arguments of the step.
    pub planning: Option<MakePlanning>,
    /// Returns the maximum duration of a fault that the search adds, given settings and hosts.
    pub longest_fault: Option<fn(&Arguments, &[Host]) -> Duration>,
    /// The mechanisms that can be broken deliberately.
    pub sabotage: Vec<&'static str>,
}

/// Makes the planning of a program, by its name and the hosts of the scenario.
pub type MakePlanning = fn(&'static str, &[Host]) -> Box<dyn Planning>;

/// A step of a program's own vocabulary.
#[derive(Clone, Copy, Debug)]
pub struct StepWord {
    /// The key, whose value is a table that contains `who`.
    pub field: Field,
    /// The extent of the step in time.
    pub extent: Extent,
    /// Whether shrinking keeps the step unchanged. Otherwise each of the step's actions becomes a separate step.
    pub steady: bool,
    /// The engines that support the step.
    pub engines: &'static [Engine],
}

/// A fault of a program's own vocabulary. A program without a planning has a step of the same name.
#[derive(Clone, Copy, Debug)]
pub struct FaultWord {
    /// The name of the fault.
    pub word: &'static str,
    /// The engines that support the fault.
    pub engines: &'static [Engine],
}

impl Words {
    /// Returns the step of this name.
    #[must_use]
    pub fn step(&self, word: &str) -> Option<&'static StepWord> {
        self.steps.iter().find(|step| step.field.key == word)
    }

    /// Returns the optional arguments of a step.
    #[must_use]
    pub fn optional_arguments(&self, step: &str) -> Vec<&'static str> {
        let Some(Shape::Table(form)) = self.step(step).map(|step| step.field.shape) else {
            return Vec::new();
        };
        let fields = form.fields.iter();
        let optional =
            fields.filter(|field| field.presence != Presence::Needed && field.key != "who");
        optional.map(|field| field.key).collect()
    }

    /// Returns whether a file may contain the step with these arguments.
    #[must_use]
    pub fn allow(&self, action: &OwnAction) -> bool {
        match self.step(action.word).map(|step| step.field.shape) {
            Some(Shape::Table(form)) => (form.check)(&action.arguments).is_ok(),
            _ => false,
        }
    }

    /// Creates the planning of the program for one plan.
    pub(super) fn planning_of(&self, hosts: &[Host]) -> Box<dyn Planning> {
        if let Some(planning) = self.planning {
            return planning(self.program, hosts);
        }
        let steps = self.steps.iter();
        Box::new(Plain {
            program: self.program,
            extents: steps.map(|step| (step.field.key, step.extent)).collect(),
        })
    }
}

/// The vocabulary of a system: the vocabularies of its programs together.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    /// The name of the system, as error messages write it.
    pub name: &'static str,
    /// The vocabulary of each program.
    pub programs: Vec<Words>,
}

impl Vocabulary {
    /// Creates the vocabulary of a system of these programs.
    ///
    /// # Panics
    /// Panics if a step or a condition has no `who`, or if two programs have the same setting, key of nodes, step,
    /// condition, metric, fault or planted bug.
    #[must_use]
    pub fn of(name: &'static str, programs: impl IntoIterator<Item = Words>) -> Self {
        let programs = programs.into_iter().collect();
        let vocabulary = Self { name, programs };
        let programs = &vocabulary.programs;
        unique(programs.iter().flat_map(|words| keys(words.settings)));
        unique(programs.iter().flat_map(|words| keys(words.hosts)));
        unique(programs.iter().flat_map(|words| keys(words.conditions)));
        let steps = programs.iter().flat_map(|words| words.steps);
        let fields = steps.clone().map(|step| &step.field);
        let conditions = programs.iter().flat_map(|words| words.conditions);
        fields.chain(conditions).for_each(about_nodes);
        unique(steps.map(|step| step.field.key));
        let faults = programs.iter().flat_map(|words| words.faults);
        unique(faults.map(|fault| fault.word));
        let metrics = vocabulary.every(|words| &words.metrics);
        unique(metrics.chain(vocabulary.every(|words| &words.counters)));
        unique(vocabulary.every(|words| &words.sabotage));
        vocabulary
    }

    /// Returns the vocabulary of the program of this name.
    #[must_use]
    pub fn program(&self, name: &str) -> Option<&Words> {
        self.programs.iter().find(|words| words.program == name)
    }

    /// Iterates over the words of one kind, of all programs.
    pub(crate) fn every<'a>(
        &'a self,
        kind: impl Fn(&'a Words) -> &'a [&'static str] + 'a,
    ) -> impl Iterator<Item = &'static str> + 'a {
        self.programs
            .iter()
            .flat_map(move |words| kind(words).iter().copied())
    }

    /// Returns a program's step of this name.
    pub(crate) fn step(&self, program: &str, word: &str) -> Option<&'static StepWord> {
        self.program(program)?.step(word)
    }

    /// Returns the events that processes of any program report, and those of every system.
    pub(crate) fn events(&self) -> Vec<&'static str> {
        let own = self.every(|words| &words.events);
        own.chain([START_FAILED]).collect()
    }

    /// Returns whether any program's processes have certificates.
    #[must_use]
    pub fn has_certificates(&self) -> bool {
        self.programs.iter().any(|words| words.certificates)
    }

    /// Validates the names of planted bugs.
    ///
    /// # Errors
    /// The error names the first unknown name, with the nearest known name.
    pub fn check_sabotage(&self, words: &[String]) -> Result<(), String> {
        let known: BTreeSet<&str> = self.every(|words| &words.sabotage).collect();
        match words.iter().find(|word| !known.contains(word.as_str())) {
            None => Ok(()),
            Some(word) => {
                let near = suggestion(word, known);
                Err(format!("there is no switch `{word}`{near}"))
            }
        }
    }

    /// Returns those of the given names of planted bugs that one program defines.
    #[must_use]
    pub fn sabotage_of(&self, program: &str, words: &[String]) -> Vec<String> {
        let own = self
            .program(program)
            .map_or(&[][..], |words| &words.sabotage);
        let own = words.iter().filter(|word| own.contains(&word.as_str()));
        own.cloned().collect()
    }
}

/// Asserts that a step or a condition selects nodes.
fn about_nodes(field: &Field) {
    let has_key = |form: &Form| form.fields.iter().any(|field| field.key == "who");
    let has_who = matches!(field.shape, Shape::Table(form) if has_key(form));
    assert!(has_who, "`{}` is not a table with `who`", field.key);
}

fn keys(fields: &'static [Field]) -> impl Iterator<Item = &'static str> {
    fields.iter().map(|field| field.key)
}

/// Asserts that words are unique, because a word of two programs would be ambiguous.
fn unique(words: impl Iterator<Item = &'static str>) {
    let mut known = BTreeSet::new();
    for word in words {
        assert!(known.insert(word), "two programs have the word `{word}`");
    }
}
