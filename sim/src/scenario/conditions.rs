//! Expectations, their conditions and their time windows.

use super::argument::Arguments;
use super::names::Selector;
use super::vocabulary::{Vocabulary, Words};
use super::words::{word_for, word_of};
use core::time::Duration;
use serde_json::Value;

/// An expectation.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// The file of the expectation.
    pub file: String,
    /// The line in that file.
    pub line: usize,
    /// The expectation as text, for messages.
    pub text: String,
    /// The required property.
    pub mode: Mode,
    /// Start of the time window.
    pub from: Duration,
    /// End of the time window; `None`: the end of the run.
    pub to: Option<Duration>,
}

/// The property that an expectation requires of a condition or metric.
#[derive(Clone, Debug, PartialEq)]
pub enum Mode {
    /// The condition becomes true.
    Eventually(Condition),
    /// The condition is true at every check.
    Always(Condition),
    /// The condition is false at every check.
    Never(Condition),
    /// The condition is true at one check or more, in at least one of many runs.
    Sometimes(Condition),
    /// A metric lies within a bound.
    Metric(Metric, Selector, Bound),
}

impl Mode {
    /// Returns the condition; `None` for a metric.
    #[must_use]
    pub const fn condition(&self) -> Option<&Condition> {
        match self {
            Self::Eventually(condition) | Self::Always(condition) => Some(condition),
            Self::Never(condition) | Self::Sometimes(condition) => Some(condition),
            Self::Metric(..) => None,
        }
    }
}

/// A range of numbers, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The minimum.
    pub min: u64,
    /// The maximum.
    pub max: u64,
}

impl Bound {
    /// Returns whether a number lies within the bound.
    #[must_use]
    pub const fn holds(&self, value: u64) -> bool {
        self.min <= value && value <= self.max
    }
}

/// A predicate on a world at one instant.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// All views are equal and correct.
    Converged,
    /// An event was reported at least this often. The selectors restrict the reporting and the reported nodes.
    Event(&'static str, Selector, Option<Selector>, u32),
    /// The state of each selected node has this value under a key, at all of the nodes or at a number of them.
    State {
        /// The nodes.
        who: Selector,
        /// The key.
        key: String,
        /// The expected value.
        is: Value,
        /// The number of nodes with the value; `None`: all of them.
        count: Option<Bound>,
    },
    /// The states of the selected nodes are equal, or, if a key is given, their values under the key are equal.
    Agree {
        /// The nodes.
        who: Selector,
        /// The key; `None`: the whole states.
        key: Option<String>,
    },
    /// A condition in a program's own vocabulary.
    Own(OwnCondition),
}

/// A condition in a program's own vocabulary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCondition {
    /// The name of the program.
    pub program: &'static str,
    /// The name of the condition.
    pub word: &'static str,
    /// The nodes that the condition concerns.
    pub who: Selector,
    /// The other arguments.
    pub said: OwnArguments,
}

/// The arguments of a condition besides its nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnArguments {
    /// The arguments of a condition with its own key.
    Keyed(Arguments),
    /// The value of `with` of a condition under `holds`.
    With(Value),
}

impl OwnCondition {
    /// Returns the condition for other nodes.
    #[must_use]
    pub fn mapped(&self, map: &dyn Fn(&Selector) -> Selector) -> Self {
        let said = match &self.said {
            OwnArguments::Keyed(arguments) => OwnArguments::Keyed(arguments.mapped(map)),
            OwnArguments::With(value) => OwnArguments::With(value.clone()),
        };
        let who = map(&self.who);
        Self { who, said, ..*self }
    }

    /// Returns whether a set of nodes is empty although it must not be.
    #[must_use]
    pub fn lacks_nodes(&self) -> bool {
        let nobody = self.who.fixed().is_some_and(|hosts| hosts.is_empty());
        nobody || matches!(&self.said, OwnArguments::Keyed(arguments) if arguments.lacks_nodes())
    }
}

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Encoded bytes per node, sent within the time window.
    BytesPerNode,
    /// Encoded bytes per node and second, sent within the time window.
    BytesPerNodeSecond,
    /// Messages per node, sent within the time window.
    MessagesPerNode,
    /// Messages per node and second, sent within the time window.
    MessagesPerNodeSecond,
    /// Milliseconds from the start of the time window until all views were correct.
    ConvergeMs,
    /// Milliseconds from the start of the time window until 99 % of the views were correct and stayed so.
    ConvergeP99Ms,
    /// Milliseconds from the start of the time window until every view was correct and stayed so.
    AllRightMs,
    /// A metric in a program's own vocabulary.
    Own(OwnMetric),
    /// Number of events that a program counts within the time window.
    Counter(OwnMetric),
    /// Maximum of a figure of a program's processes, over all processes and all checks within the time window.
    Gauge(OwnMetric),
}

/// A metric in a program's own vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnMetric {
    /// The name of the program.
    pub program: &'static str,
    /// The name of the metric.
    pub word: &'static str,
}

impl Metric {
    /// Every metric that all systems have, and its name.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::BytesPerNode, "bytes-per-node"),
        (Self::BytesPerNodeSecond, "bytes-per-node-second"),
        (Self::MessagesPerNode, "messages-per-node"),
        (Self::MessagesPerNodeSecond, "messages-per-node-second"),
        (Self::ConvergeMs, "converge-ms"),
        (Self::ConvergeP99Ms, "converge-p99-ms"),
        (Self::AllRightMs, "all-right-ms"),
    ];

    /// Returns the metric of a name, if the system has such a metric; `program` is the program that the selector names,
    /// if any.
    pub(super) fn named(
        vocabulary: &Vocabulary,
        word: &str,
        program: Option<&'static str>,
    ) -> Result<Self, String> {
        let counters = own(vocabulary, |words| &words.counters, Self::Counter);
        let metrics = own(vocabulary, |words| &words.metrics, Self::Own);
        let gauges = own(vocabulary, |words| &words.gauges, Self::Gauge);
        let words: Vec<_> = [&counters[..], Self::ALL, &metrics, &gauges].concat();
        let found = word_of("metric", &words, word)?;
        let Self::Gauge(_) = found else {
            return Ok(found);
        };
        let owners = gauges.iter().filter(|(_, known)| *known == word);
        let owners: Vec<OwnMetric> = owners.filter_map(|(metric, _)| metric.own()).collect();
        let owner = owners.iter().find(|owner| Some(owner.program) == program);
        match (owner, program, &owners[..]) {
            (Some(owner), _, _) | (None, None, [owner]) => Ok(Self::Gauge(*owner)),
            (None, Some(program), _) => Err(format!("`{word}` is not a metric of {program}")),
            (None, None, _) => {
                let programs: Vec<&str> = owners.iter().map(|owner| owner.program).collect();
                Err(format!(
                    "several programs have the metric `{word}`: {}; name one in `who`, such as `all/{}`",
                    programs.join(", "),
                    programs[0]
                ))
            }
        }
    }

    /// Returns the metric of a program's own vocabulary, if this is such a metric.
    const fn own(self) -> Option<OwnMetric> {
        match self {
            Self::Own(own) | Self::Counter(own) | Self::Gauge(own) => Some(own),
            Self::BytesPerNode | Self::BytesPerNodeSecond => None,
            Self::MessagesPerNode | Self::MessagesPerNodeSecond => None,
            Self::ConvergeMs | Self::ConvergeP99Ms | Self::AllRightMs => None,
        }
    }

    /// Returns whether the metric measures traffic.
    pub(crate) const fn is_of_traffic(self) -> bool {
        match self {
            Self::BytesPerNode | Self::BytesPerNodeSecond => true,
            Self::MessagesPerNode | Self::MessagesPerNodeSecond => true,
            Self::ConvergeMs | Self::ConvergeP99Ms | Self::AllRightMs => false,
            Self::Own(_) | Self::Counter(_) | Self::Gauge(_) => false,
        }
    }

    /// Returns the name of the metric.
    #[must_use]
    pub fn name(self) -> &'static str {
        if let Some(own) = self.own() {
            return own.word;
        }
        word_for(self, Self::ALL)
    }
}

/// Iterates over the programs' metrics of one kind, each with its name.
fn own<'a>(
    vocabulary: &'a Vocabulary,
    kind: impl Fn(&'a Words) -> &'a [&'static str],
    metric: fn(OwnMetric) -> Metric,
) -> Vec<(Metric, &'static str)> {
    let programs = vocabulary.programs.iter();
    let all = programs.flat_map(|words| {
        let program = words.program;
        let of = kind(words).iter();
        of.map(move |word| (metric(OwnMetric { program, word }), *word))
    });
    all.collect()
}
