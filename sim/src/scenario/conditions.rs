//! What must come of it: expectations, their conditions and their bounds in time.

use super::error::{ScenarioError, Source, suggestion};
use super::file::{At, ConditionTable, ExpectTable, Text};
use super::names::{Names, Selector};
use super::read::{optional, with};
use super::{own, text};
use crate::system::Vocabulary;
use core::time::Duration;
use phalanx_core::gossip::{Phase, Status};
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
    /// The first see the second in this state.
    Sees(Selector, Selector, SeenAs),
    /// They know this many members in this state.
    Members(Selector, Option<SeenAs>, Bound),
    /// They find exactly these providers of a service (name, version).
    Providers(Selector, (String, Option<String>), Selector),
    /// They have this many links.
    Links(Selector, Bound),
    /// They are in this phase.
    Phase(Selector, Phase),
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
    /// A condition of the system's own.
    Own {
        /// Its word.
        name: String,
        /// The nodes.
        who: Selector,
        /// What goes with it.
        with: Value,
    },
}

/// How a member is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeenAs {
    /// In exactly this state.
    Status(Status),
    /// Not at all.
    Unknown,
    /// Neither alive nor suspect, or not at all.
    Gone,
}

impl SeenAs {
    /// Every way and its word.
    pub(super) const ALL: [(Self, &'static str); 6] = [
        (Self::Status(Status::Alive), "alive"),
        (Self::Status(Status::Suspect), "suspect"),
        (Self::Status(Status::Down), "down"),
        (Self::Status(Status::Left), "left"),
        (Self::Unknown, "unknown"),
        (Self::Gone, "gone"),
    ];

    /// Whether a member of this status (none: unknown) is seen so.
    #[must_use]
    pub fn fits(self, status: Option<Status>) -> bool {
        match self {
            Self::Status(wanted) => status == Some(wanted),
            Self::Unknown => status.is_none(),
            Self::Gone => !matches!(status, Some(Status::Alive | Status::Suspect)),
        }
    }
}

/// A figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// How often a running node was reported down.
    FalseDeaths,
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
    /// A figure of the system's own, by its name.
    Own(&'static str),
    /// A figure of the system's own: the highest of any node at any check between the two instants.
    Gauge(&'static str),
}

impl Metric {
    /// Every metric and its name.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::FalseDeaths, "false-deaths"),
        (Self::BytesPerNode, "bytes-per-node"),
        (Self::BytesPerNodeSecond, "bytes-per-node-second"),
        (Self::MessagesPerNode, "messages-per-node"),
        (Self::MessagesPerNodeSecond, "messages-per-node-second"),
        (Self::ConvergeMs, "converge-ms"),
        (Self::ConvergeP99Ms, "converge-p99-ms"),
        (Self::AllRightMs, "all-right-ms"),
    ];

    /// The metric of this name, if a system has it.
    fn named(vocabulary: &Vocabulary, word: &str) -> Result<Self, String> {
        if let Some(gauge) = vocabulary.gauges.iter().find(|gauge| **gauge == word) {
            return Ok(Self::Gauge(gauge));
        }
        let known = |(metric, name): &(Self, &str)| {
            metric.is_of_traffic() || vocabulary.metrics.contains(name)
        };
        let mut words: Vec<_> = Self::ALL.iter().copied().filter(known).collect();
        let own = vocabulary.metrics.iter();
        let own = own.filter(|word| Self::ALL.iter().all(|(_, name)| name != *word));
        words.extend(own.map(|word| (Self::Own(word), *word)));
        let gauges = vocabulary.gauges.iter();
        words.extend(gauges.map(|gauge| (Self::Gauge(gauge), *gauge)));
        word_of("metric", &words, word)
    }

    /// Whether every system has it.
    pub(crate) const fn is_of_traffic(self) -> bool {
        match self {
            Self::BytesPerNode | Self::BytesPerNodeSecond => true,
            Self::MessagesPerNode | Self::MessagesPerNodeSecond => true,
            Self::FalseDeaths | Self::ConvergeMs | Self::ConvergeP99Ms => false,
            Self::AllRightMs | Self::Own(_) | Self::Gauge(_) => false,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        if let Self::Own(name) | Self::Gauge(name) = self {
            return name;
        }
        word_for(self, Self::ALL)
    }
}

pub(super) const PHASES: [(Phase, &str); 6] = [
    (Phase::Joining, "joining"),
    (Phase::Running, "running"),
    (Phase::Isolated, "isolated"),
    (Phase::Leaving, "leaving"),
    (Phase::Left, "left"),
    (Phase::NameTaken, "name-taken"),
];

/// The word of a value.
pub(super) fn word_for<T: Copy + PartialEq>(value: T, words: &[(T, &'static str)]) -> &'static str {
    let found = words.iter().find(|(known, _)| *known == value);
    found.map_or("", |(_, word)| *word)
}

pub(super) fn word_of<T: Copy>(
    what: &str,
    words: &[(T, &'static str)],
    word: &str,
) -> Result<T, String> {
    let names: Vec<&str> = words.iter().map(|(_, name)| *name).collect();
    words
        .iter()
        .find(|(_, name)| *name == word)
        .map(|(value, _)| *value)
        .ok_or_else(|| format!("`{word}` is no {what}{}", suggestion(word, names)))
}

pub(crate) fn read(
    source: &Source<'_>,
    names: &Names,
    expect: &At<ExpectTable>,
) -> Result<Expectation, ScenarioError> {
    let at = expect.span().start;
    let table = expect.get_ref();
    let from = optional(source, table.from.as_ref(), text::duration)?.unwrap_or_default();
    let to = optional(source, table.to.as_ref(), text::duration)?;
    let within = optional(source, table.within.as_ref(), text::duration)?;
    if to.is_some_and(|to| to <= from) {
        return Err(source.error(at, "to", "is not after `from`"));
    }
    let reader = Reader { source, names, at };
    let mode = match (
        &table.eventually,
        &table.always,
        &table.never,
        &table.sometimes,
        &table.metric,
    ) {
        (Some(condition), None, None, None, None) => Mode::Eventually(reader.condition(condition)?),
        (None, Some(condition), None, None, None) => Mode::Always(reader.condition(condition)?),
        (None, None, Some(condition), None, None) => Mode::Never(reader.condition(condition)?),
        (None, None, None, Some(condition), None) => Mode::Sometimes(reader.condition(condition)?),
        (None, None, None, None, Some(metric)) => reader.metric(table, metric)?,
        _ => {
            return Err(source.error(
                at,
                "expect",
                "needs exactly one of `eventually`, `always`, `never`, `sometimes`, `metric`",
            ));
        }
    };
    if !matches!(mode, Mode::Metric(..))
        && (table.min.is_some() || table.max.is_some() || table.who.is_some())
    {
        return Err(source.error(
            at,
            "expect",
            "`min`, `max` and `who` beside a condition go with `metric` only",
        ));
    }
    if within.is_some() && !matches!(mode, Mode::Eventually(_)) {
        return Err(source.error(at, "within", "goes with `eventually`; use `to`"));
    }
    let to = within.map_or(to, |within| Some(from + within));
    Ok(Expectation {
        file: source.file_at(at).to_owned(),
        line: source.line(at),
        text: describe(source, expect),
        mode,
        from,
        to,
    })
}

/// The table as it stands in the file, on one line.
fn describe(source: &Source<'_>, expect: &At<ExpectTable>) -> String {
    let span = expect.span();
    let from = span.start.min(source.text.len());
    let rest = &source.text[from..];
    let body = rest.strip_prefix("[[expect]]").unwrap_or(rest);
    let lines = body
        .lines()
        .map(str::trim)
        .skip_while(|line| line.is_empty());
    let lines: Vec<&str> = lines
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    lines.join(", ")
}

struct Reader<'a> {
    source: &'a Source<'a>,
    names: &'a Names,
    at: usize,
}

impl Reader<'_> {
    fn select(&self, text: &Text) -> Result<Selector, ScenarioError> {
        with(self.source, text, |word| self.names.selector(word))
    }

    fn who(&self, text: Option<&Text>) -> Result<Selector, ScenarioError> {
        self.names.or_all(self.source, self.at, text)
    }

    fn bound(&self, key: &str, min: Option<u32>, max: Option<u32>) -> Result<Bound, ScenarioError> {
        if min.is_none() && max.is_none() {
            return Err(self.source.error(
                self.at,
                key,
                "needs `min` or `max`: without them it cannot fail",
            ));
        }
        let bound = Bound {
            min: min.unwrap_or(0).into(),
            max: max.map_or(u64::MAX, u64::from),
        };
        if bound.min > bound.max {
            return Err(self.source.error(self.at, key, "`min` is above `max`"));
        }
        Ok(bound)
    }

    /// A figure and its bound.
    fn metric(&self, table: &ExpectTable, metric: &Text) -> Result<Mode, ScenarioError> {
        let metric = with(self.source, metric, |word| {
            Metric::named(self.source.vocabulary, word)
        })?;
        let bound = Bound {
            min: table.min.as_ref().map_or(0, |min| *min.get_ref()),
            max: table.max.as_ref().map_or(u64::MAX, |max| *max.get_ref()),
        };
        if table.min.is_none() && table.max.is_none() {
            return Err(self.source.error(
                self.at,
                "metric",
                "needs `min` or `max`: without them it cannot fail",
            ));
        }
        if bound.min > bound.max {
            return Err(self.source.error(self.at, "min", "is above `max`"));
        }
        let who = self.who(table.who.as_ref())?;
        if who.program().is_some() && !matches!(metric, Metric::Gauge(_)) {
            let message = "must name whole hosts: this metric is counted by host";
            return Err(self.source.error(self.at, "who", message));
        }
        Ok(Mode::Metric(metric, who, bound))
    }

    /// Links, phases and events.
    fn conditions_of_nodes(
        &self,
        table: &ConditionTable,
        found: &mut Vec<Condition>,
    ) -> Result<(), ScenarioError> {
        let source = self.source;
        if let Some(links) = &table.links {
            let bound = self.bound("links", links.min, links.max)?;
            found.push(Condition::Links(self.who(links.who.as_ref())?, bound));
        }
        if let Some(phase) = &table.phase {
            let is = with(source, &phase.is, |word| word_of("phase", &PHASES, word))?;
            let who = with(source, &phase.who, |word| self.names.processes(word))?;
            found.push(Condition::Phase(who, is));
        }
        if let Some(event) = &table.event {
            let words = &source.vocabulary.events;
            let kind = own::known(source, "event", words, &event.kind)?;
            let about = event
                .about
                .as_ref()
                .map(|about| self.select(about))
                .transpose()?;
            let by = self.who(event.by.as_ref())?;
            found.push(Condition::Event(kind, by, about, event.min.unwrap_or(1)));
        }
        Ok(())
    }

    /// States, agreement, and what a system has of its own.
    fn conditions_of_systems(
        &self,
        table: &ConditionTable,
        found: &mut Vec<Condition>,
    ) -> Result<(), ScenarioError> {
        let (source, names, at) = (self.source, self.names, self.at);
        if let Some(table) = &table.state {
            found.push(own::state(source, names, at, table)?);
        }
        if let Some(table) = &table.agree {
            found.push(own::agree(source, names, at, table)?);
        }
        if let Some(table) = &table.holds {
            found.push(own::holds(source, names, at, table)?);
        }
        Ok(())
    }

    fn condition(&self, table: &ConditionTable) -> Result<Condition, ScenarioError> {
        let mut found = Vec::new();
        let source = self.source;
        if let Some(flag) = &table.converged {
            if !flag.get_ref() {
                return Err(source.error(
                    flag.span().start,
                    "converged",
                    "can only be true; use `never`",
                ));
            }
            found.push(Condition::Converged);
        }
        if let Some(sees) = &table.sees {
            let status = with(source, &sees.status, |word| {
                word_of("state", &SeenAs::ALL, word)
            })?;
            found.push(Condition::Sees(
                self.who(sees.who.as_ref())?,
                self.select(&sees.of)?,
                status,
            ));
        }
        if let Some(members) = &table.members {
            let state = |word: &str| word_of("state", &SeenAs::ALL, word);
            let status = optional(source, members.status.as_ref(), state)?;
            let bound = self.bound("members", members.min, members.max)?;
            found.push(Condition::Members(
                self.who(members.who.as_ref())?,
                status,
                bound,
            ));
        }
        if let Some(providers) = &table.providers {
            let service = providers.of.get_ref();
            let service = match service.split_once('/') {
                Some((name, version)) => (name.to_owned(), Some(version.to_owned())),
                None => (service.clone(), None),
            };
            let are = self.select(&providers.are)?;
            found.push(Condition::Providers(
                self.who(providers.who.as_ref())?,
                service,
                are,
            ));
        }
        self.conditions_of_nodes(table, &mut found)?;
        self.conditions_of_systems(table, &mut found)?;
        match found.len() {
            1 => {
                let condition = found.remove(0);
                own::judged(source.vocabulary, &condition)
                    .map_err(|why| source.error(self.at, "expect", why))?;
                Ok(condition)
            }
            _ => Err(source.error(
                self.at,
                "expect",
                "a condition needs exactly one key, such as `converged`",
            )),
        }
    }
}
