//! What must come of it: expectations, their conditions and their bounds in time.

use super::argument::Arguments;
use super::names::Selector;
use super::vocabulary::{Vocabulary, Words};
use super::words::{word_for, word_of};
use core::time::Duration;
use serde_json::Value;

/// One thing that must come of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// The file it stands in.
    pub file: String,
    /// Its line there.
    pub line: usize,
    /// As people read it.
    pub text: String,
    /// What is demanded.
    pub mode: Mode,
    /// From when.
    pub from: Duration,
    /// Until when; none: the end of the run.
    pub to: Option<Duration>,
}

/// What is demanded of a condition or a figure.
#[derive(Clone, Debug, PartialEq)]
pub enum Mode {
    /// It becomes true.
    Eventually(Condition),
    /// It is true at every check.
    Always(Condition),
    /// It is false at every check.
    Never(Condition),
    /// It is true at some check, in at least one of many runs.
    Sometimes(Condition),
    /// A figure lies within a bound.
    Metric(Metric, Selector, Bound),
}

/// The least and the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The least.
    pub min: u64,
    /// The most.
    pub max: u64,
}

impl Bound {
    /// Whether a number lies within.
    #[must_use]
    pub const fn holds(&self, value: u64) -> bool {
        self.min <= value && value <= self.max
    }
}

/// Something that is true or false of a world at one instant.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// All views are equal and right.
    Converged,
    /// This event was reported this often: by whom, about whom.
    Event(&'static str, Selector, Option<Selector>, u32),
    /// Their states hold this under this key: all of theirs, or so many.
    State {
        /// Whose.
        who: Selector,
        /// The key.
        key: String,
        /// What it is.
        is: Value,
        /// At how many of them; none: at all.
        count: Option<Bound>,
    },
    /// Their states are equal, or what these hold under a key.
    Agree {
        /// Whose.
        who: Selector,
        /// The key.
        key: Option<String>,
    },
    /// A condition of a program's own.
    Own(OwnCondition),
}

/// A condition of a program's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCondition {
    /// The name of the program.
    pub program: &'static str,
    /// The condition's word.
    pub word: &'static str,
    /// The nodes.
    pub who: Selector,
    /// The other arguments.
    pub said: Said,
}

/// The arguments of a condition besides its nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Those of a condition with a key of its own.
    Keyed(Arguments),
    /// The value of `with` of a condition under `holds`.
    With(Value),
}

impl OwnCondition {
    /// The same condition on other nodes.
    #[must_use]
    pub fn mapped(&self, map: &dyn Fn(&Selector) -> Selector) -> Self {
        let said = match &self.said {
            Said::Keyed(arguments) => Said::Keyed(arguments.mapped(map)),
            Said::With(value) => Said::With(value.clone()),
        };
        let who = map(&self.who);
        Self { who, said, ..*self }
    }

    /// Whether it is about nobody.
    #[must_use]
    pub fn lacks_nodes(&self) -> bool {
        let nobody = self.who.fixed().is_some_and(|hosts| hosts.is_empty());
        nobody || matches!(&self.said, Said::Keyed(arguments) if arguments.lacks_nodes())
    }
}

/// A figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Encoded bytes sent between the two instants, a node.
    BytesPerNode,
    /// The same, a second.
    BytesPerNodeSecond,
    /// Messages sent between the two instants, a node.
    MessagesPerNode,
    /// The same, a second.
    MessagesPerNodeSecond,
    /// Milliseconds from the first instant until all views were right.
    ConvergeMs,
    /// Milliseconds from the first instant until 99 of 100 views were right to stay so.
    ConvergeP99Ms,
    /// Milliseconds from the first instant until every view was right to stay so.
    AllRightMs,
    /// A figure of a program's own.
    Own(OwnMetric),
    /// How many events a program counts between the two instants.
    Counter(OwnMetric),
    /// A figure of a program's processes: the highest of any at any check between the two instants.
    Gauge(OwnMetric),
}

/// A metric of a program's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnMetric {
    /// The name of the program.
    pub program: &'static str,
    /// The metric's word.
    pub word: &'static str,
}

impl Metric {
    /// Every metric that any system has, and its name.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::BytesPerNode, "bytes-per-node"),
        (Self::BytesPerNodeSecond, "bytes-per-node-second"),
        (Self::MessagesPerNode, "messages-per-node"),
        (Self::MessagesPerNodeSecond, "messages-per-node-second"),
        (Self::ConvergeMs, "converge-ms"),
        (Self::ConvergeP99Ms, "converge-p99-ms"),
        (Self::AllRightMs, "all-right-ms"),
    ];

    /// The metric of this name, if a system has it; `program` is the one whose processes it is asked of, if one alone.
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
            (None, Some(program), _) => Err(format!("`{word}` is no metric of {program}")),
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

    /// The metric of a program's own, if it is one.
    const fn own(self) -> Option<OwnMetric> {
        match self {
            Self::Own(own) | Self::Counter(own) | Self::Gauge(own) => Some(own),
            Self::BytesPerNode | Self::BytesPerNodeSecond => None,
            Self::MessagesPerNode | Self::MessagesPerNodeSecond => None,
            Self::ConvergeMs | Self::ConvergeP99Ms | Self::AllRightMs => None,
        }
    }

    /// Whether it counts what is sent.
    pub(crate) const fn is_of_traffic(self) -> bool {
        match self {
            Self::BytesPerNode | Self::BytesPerNodeSecond => true,
            Self::MessagesPerNode | Self::MessagesPerNodeSecond => true,
            Self::ConvergeMs | Self::ConvergeP99Ms | Self::AllRightMs => false,
            Self::Own(_) | Self::Counter(_) | Self::Gauge(_) => false,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        if let Some(own) = self.own() {
            return own.word;
        }
        word_for(self, Self::ALL)
    }
}

/// The metrics of one kind that programs have, each with its word.
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
