//! Converts the tables of expectations in a file to expectations.

use super::conditions::{Bound, Condition, Expectation, Metric, Mode, OwnArguments, OwnCondition};
use super::error::{ScenarioError, SourceText};
use super::file::{At, ConditionTable, ExpectTable, OwnKey, OwnKeys, Text};
use super::names::{Names, Selector};
use super::value::{optional, who_or_all, with};
use super::{own, own_words, text};

pub(crate) fn read(
    source: &SourceText<'_>,
    names: &Names,
    expect: &At<ExpectTable>,
    own: OwnKeys<'_>,
) -> Result<Expectation, ScenarioError> {
    let at = expect.span().start;
    let table = expect.get_ref();
    let from = optional(source, table.from.as_ref(), text::duration)?.unwrap_or_default();
    let to = optional(source, table.to.as_ref(), text::duration)?;
    let within = optional(source, table.within.as_ref(), text::duration)?;
    if to.is_some_and(|to| to <= from) {
        return Err(source.error(at, "to", "is not after `from`"));
    }
    let reader = OwnKeysReader { source, names, at };
    let mode = match (
        &table.eventually,
        &table.always,
        &table.never,
        &table.sometimes,
        &table.metric,
    ) {
        (Some(condition), None, None, None, None) => {
            Mode::Eventually(reader.condition(condition, own)?)
        }
        (None, Some(condition), None, None, None) => {
            Mode::Always(reader.condition(condition, own)?)
        }
        (None, None, Some(condition), None, None) => Mode::Never(reader.condition(condition, own)?),
        (None, None, None, Some(condition), None) => {
            Mode::Sometimes(reader.condition(condition, own)?)
        }
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

/// Formats a table of a file on one line.
fn describe(source: &SourceText<'_>, expect: &At<ExpectTable>) -> String {
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

struct OwnKeysReader<'a> {
    source: &'a SourceText<'a>,
    names: &'a Names,
    at: usize,
}

impl OwnKeysReader<'_> {
    fn select(&self, text: &Text) -> Result<Selector, ScenarioError> {
        with(self.source, text, |word| self.names.selector(word))
    }

    fn who(&self, text: Option<&Text>) -> Result<Selector, ScenarioError> {
        who_or_all(self.source, self.names, self.at, text)
    }

    /// Converts a metric and its bound.
    fn metric(&self, table: &ExpectTable, metric: &Text) -> Result<Mode, ScenarioError> {
        let who = self.who(table.who.as_ref())?;
        let metric = with(self.source, metric, |word| {
            Metric::named(self.source.vocabulary, word, who.program())
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
        if who.program().is_some() && !matches!(metric, Metric::Gauge(_)) {
            let message = "must name whole hosts: this metric is counted by host";
            return Err(self.source.error(self.at, "who", message));
        }
        Ok(Mode::Metric(metric, who, bound))
    }

    /// Converts a condition with a key of a program's own vocabulary.
    fn own_condition(&self, key: OwnKey<'_>) -> Result<Condition, ScenarioError> {
        let (program, word) = (key.program, key.field.key);
        let reader = own_words::OwnKeysReader {
            source: self.source,
            names: Some(self.names),
            at: self.at,
        };
        let (who, arguments) = reader.about(key)?;
        Ok(Condition::Own(OwnCondition {
            program,
            word,
            who,
            said: OwnArguments::Keyed(arguments),
        }))
    }

    /// Converts a condition on reported events.
    fn event(
        &self,
        table: &ConditionTable,
        found: &mut Vec<Condition>,
    ) -> Result<(), ScenarioError> {
        let source = self.source;
        if let Some(event) = &table.event {
            let words = source.vocabulary.events();
            let kind = own::known(source, "event", &words, &event.kind)?;
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

    /// Converts conditions on states and agreement, and conditions of programs.
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

    /// Converts the condition of a table, or the condition under a program's own key in the table.
    fn condition(
        &self,
        table: &ConditionTable,
        own: OwnKeys<'_>,
    ) -> Result<Condition, ScenarioError> {
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
        for key in own {
            found.push(self.own_condition(key)?);
        }
        self.event(table, &mut found)?;
        self.conditions_of_systems(table, &mut found)?;
        match found.len() {
            1 => Ok(found.remove(0)),
            _ => Err(source.error(
                self.at,
                "expect",
                "a condition needs exactly one key, such as `converged`",
            )),
        }
    }
}
