//! Output of a sweep: a progress bar while it runs, failures in detail, and a table at the end; or
//! one JSON object per run.

use crate::failure::{CommandError, Completion};
use crate::junit::Junit;
use crate::record::{Broken, RunRecord};
use crate::screen::{Paint, Screen, Table, TableCell, count, size, span};
use crate::sometimes::{self, Sometimes};
use crate::sweep::NOT_COMPARED;
use crate::tool::complain;
use indicatif::ProgressBar;
use phalanx_sim::report::Seed;
use phalanx_sim::scenario::Scenario;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Instant;

/// Maximum number of failing runs shown in detail for one scenario and engine; the others are
/// counted.
const SHOWN_MAX: usize = 3;

/// The runs of one scenario in one engine.
struct Group {
    scenario: String,
    engine: String,
    nodes: u64,
    runs: usize,
    passed: usize,
    differ: usize,
    virtual_ms: u64,
    wall_ms: u64,
    messages: u64,
    vacuous: Vec<String>,
    sometimes: Vec<Sometimes>,
}

pub(crate) struct SweepReport<'a> {
    screen: &'a Screen,
    json: bool,
    total: usize,
    bar: ProgressBar,
    start: Instant,
    groups: Vec<Group>,
    failed: usize,
    differ: usize,
    last: Option<RunRecord>,
    /// Whether the reader of standard output closed it. The exit code is still that of the runs.
    gone: bool,
    /// Every run, for the HTML report and the timeline.
    seeds: Vec<Seed>,
    junit: Option<Junit>,
    /// Facts about scenarios, printed once.
    notes: BTreeSet<String>,
    /// Outputs that could not be written, and errors that ended the sweep.
    problems: Vec<CommandError>,
    /// The steps whose lack of effect was reported when their files were read: scenarios and lines.
    warned: BTreeSet<(String, usize)>,
}

impl<'a> SweepReport<'a> {
    /// Creates the report of `total` runs, with the progress bar and the JUnit file.
    pub(crate) fn new(
        screen: &'a Screen,
        json: bool,
        total: usize,
        (bar, junit): (ProgressBar, Option<Junit>),
    ) -> Self {
        Self {
            screen,
            json,
            total,
            bar,
            start: Instant::now(),
            groups: Vec::new(),
            failed: 0,
            differ: 0,
            last: None,
            gone: false,
            seeds: Vec::new(),
            junit,
            notes: BTreeSet::new(),
            problems: Vec::new(),
            warned: BTreeSet::new(),
        }
    }

    /// Notes the warnings about scenarios that were printed when their files were read.
    pub(crate) fn note_warnings<'s>(&mut self, scenarios: impl Iterator<Item = &'s Scenario>) {
        for scenario in scenarios {
            let lines = scenario.warnings().into_iter().map(|warning| warning.line);
            let warned = lines.map(|line| (scenario.name.clone(), line));
            self.warned.extend(warned);
        }
    }

    /// Advances the progress bar by a number of finished runs.
    pub(crate) fn progress(&self, runs: usize) {
        self.bar.inc(runs as u64);
    }

    /// Adds the next run, in order.
    pub(crate) fn add(&mut self, record: &RunRecord) -> Result<(), CommandError> {
        let differs = record.value["check"] == "differs";
        if record.value[NOT_COMPARED] == true {
            let scenario = &record.read.scenario;
            self.notes.insert(format!(
                "{scenario} is not `confluent`, so the final states of model and wire are not compared"
            ));
        }
        let shown = self.count(record, differs);
        if !record.passed() {
            self.failed += 1;
            self.bar.set_prefix(format!("{} failed", self.failed));
        }
        self.differ += usize::from(differs);
        self.seeds.push(record.seed());
        let problem = record.unwritten.as_ref();
        self.problems.extend(problem.map(CommandError::usage));
        if let Some(junit) = &mut self.junit {
            junit.add(record, differs);
        }
        let bar = self.bar.clone();
        let shown = bar.suspend(|| self.show(record, differs, shown));
        self.unless_gone(shown)?;
        self.last = Some(record.clone());
        Ok(())
    }

    /// Returns whether the next failing run of the same scenario and engine is shown in detail.
    pub(crate) fn shows_failures_of(&self, record: &RunRecord) -> bool {
        let read = &record.read;
        let same = |group: &&Group| group.scenario == read.scenario && group.engine == read.engine;
        let group = self.groups.iter().find(same);
        group.is_none_or(|group| group.runs - group.passed < SHOWN_MAX)
    }

    /// Returns every run so far, in order.
    pub(crate) fn seeds(&self) -> &[Seed] {
        &self.seeds
    }

    /// Notes that the reader of standard output closed it, which is not a failure of the sweep.
    fn unless_gone(&mut self, written: Result<(), CommandError>) -> Result<(), CommandError> {
        match written {
            Err(CommandError::ReaderGone) => {
                self.gone = true;
                Ok(())
            }
            other => other,
        }
    }

    /// Counts a run; returns whether it is shown in detail if it failed.
    fn count(&mut self, record: &RunRecord, differs: bool) -> bool {
        let read = &record.read;
        let found = self
            .groups
            .iter()
            .position(|it| it.scenario == read.scenario && it.engine == read.engine);
        let index = found.unwrap_or_else(|| {
            self.groups.push(Group {
                scenario: read.scenario.clone(),
                engine: read.engine.clone(),
                nodes: read.nodes,
                runs: 0,
                passed: 0,
                differ: 0,
                virtual_ms: 0,
                wall_ms: 0,
                messages: 0,
                vacuous: Vec::new(),
                sometimes: Vec::new(),
            });
            self.groups.len() - 1
        });
        let group = &mut self.groups[index];
        group.runs += 1;
        group.passed += usize::from(record.passed());
        group.differ += usize::from(differs);
        group.virtual_ms += read.virtual_ms;
        group.wall_ms += read.wall_ms;
        group.messages += read.messages;
        sometimes::count(&mut group.sometimes, record);
        let warned = &self.warned;
        let known = |line| warned.contains(&(read.scenario.clone(), line));
        for fault in read.vacuous.iter().filter(|fault| !known(fault.line)) {
            let text = format!(
                "{} line {}: the step `{}` affected nothing: {}",
                read.scenario, fault.line, fault.step, fault.why
            );
            if !group.vacuous.contains(&text) {
                group.vacuous.push(text);
            }
        }
        group.runs - group.passed <= SHOWN_MAX
    }

    fn show(&self, record: &RunRecord, differs: bool, in_full: bool) -> Result<(), CommandError> {
        if self.gone {
            return Ok(());
        }
        if self.json {
            return self.screen.json(&record.value);
        }
        let read = &record.read;
        let title = format!(
            "{}, seed {}, engine {}",
            read.scenario, read.seed, read.engine
        );
        if differs {
            let word = self.screen.painted("differs", Paint::Bad);
            let (one, two) = (&read.trace_hash, &record.value["check_trace_hash"]);
            self.screen.line(format!(
                "{word}  {title}: two processes gave the trace hashes {one} and {two}"
            ))?;
        }
        if record.passed() || !in_full {
            return Ok(());
        }
        self.screen.line(format!(
            "{}  {title}",
            self.screen.painted("failed", Paint::Bad)
        ))?;
        for broken in &read.failures {
            self.broken(broken)?;
        }
        Ok(())
    }

    /// Prints a failure: its place, time, reason, causes, and the command that reproduces it.
    fn broken(&self, broken: &Broken) -> Result<(), CommandError> {
        let screen = self.screen;
        screen.line(format!("  {}: {}", broken.place(), broken.expectation))?;
        let (at, why) = (broken.at_ms, &broken.why);
        screen.line(format!(
            "    at {}.{:03}s of virtual time: {why}",
            at / 1_000,
            at % 1_000
        ))?;
        for fact in &broken.explanation {
            screen.line(format!("    - {fact}"))?;
        }
        if !broken.causes.is_empty() {
            screen.line("    causes:")?;
        }
        for cause in &broken.causes {
            screen.line(screen.painted(&format!("      {cause}"), Paint::Dim))?;
        }
        let again = screen.painted(&broken.reproduce, Paint::Bold);
        screen.line(format!("    reproduce: {again}"))
    }

    /// Writes with the progress bar hidden.
    pub(crate) fn hidden<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// Ends the sweep: prints the summary, unless the output is JSON, writes the JUnit file, and returns the verdict. The
    /// failure of an output is returned if no run failed; it is printed in any case.
    pub(crate) fn finish(
        mut self,
        result: Result<(), CommandError>,
        interrupted: bool,
    ) -> Result<Completion, CommandError> {
        self.bar.finish_and_clear();
        let result = self.unless_gone(result);
        self.problems.extend(result.err());
        if let Some(junit) = &mut self.junit {
            for group in &self.groups {
                junit.add_sometimes(&group.scenario, &group.engine, &group.sometimes);
            }
            self.problems.extend(junit.write().err());
        }
        let ran = !self.seeds.is_empty() || self.problems.is_empty();
        if ran && !self.gone {
            let shown = if self.json {
                self.over_all_seeds()
            } else {
                self.summary(interrupted)
            };
            let shown = self.unless_gone(shown);
            self.problems.extend(shown.err());
        }
        let verdict = match (self.failed + self.missed(), self.differ) {
            (_, 1..) => Completion::Differs,
            (1.., 0) => Completion::No,
            (0, 0) if interrupted => Completion::Interrupted,
            (0, 0) => Completion::Yes,
        };
        let last = match verdict {
            Completion::No | Completion::Differs => None,
            Completion::Yes | Completion::Passes | Completion::Interrupted => self.problems.pop(),
        };
        for problem in &self.problems {
            complain(problem);
        }
        last.map_or(Ok(verdict), Err)
    }

    /// Returns the number of `sometimes` expectations that held in no run.
    fn missed(&self) -> usize {
        let sometimes = self.groups.iter().flat_map(|group| &group.sometimes);
        sometimes.filter(|it| it.is_missed()).count()
    }

    /// Prints an object for each scenario with `sometimes` expectations, after all runs.
    fn over_all_seeds(&self) -> Result<(), CommandError> {
        let groups = self.groups.iter();
        for group in groups.filter(|group| !group.sometimes.is_empty()) {
            self.screen.json(&json!({
                "scenario": group.scenario,
                "engine": group.engine,
                "runs": group.runs,
                "sometimes": group.sometimes,
            }))?;
        }
        Ok(())
    }

    fn summary(&self, interrupted: bool) -> Result<(), CommandError> {
        match (self.total, &self.last) {
            (1, Some(record)) => self.details(record)?,
            (_, Some(_)) => self.table()?,
            (_, None) => {}
        }
        self.sometimes()?;
        let sometimes = self.groups.iter().flat_map(|group| {
            let undecided = group.sometimes.iter().filter(|it| it.is_undecided());
            undecided.map(|it| it.warning(&group.scenario))
        });
        let vacuous = self.groups.iter().flat_map(|group| &group.vacuous);
        for text in vacuous.cloned().chain(sometimes) {
            self.screen.line(format!(
                "{}  {text}",
                self.screen.painted("warning", Paint::Warn)
            ))?;
        }
        for note in &self.notes {
            let word = self.screen.painted("note", Paint::Warn);
            self.screen.line(format!("{word}  {note}"))?;
        }
        let wall = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let runs = self.seeds.len();
        let mut text = match interrupted || runs < self.total {
            false => count(runs, "run"),
            true => format!("interrupted after {runs} of {}", count(self.total, "run")),
        };
        text += &format!(", {} passed", runs - self.failed);
        if self.failed > 0 {
            text += &format!(", {} failed", self.failed);
        }
        if self.differ > 0 {
            text += &format!(", {} not reproducible", self.differ);
        }
        let missed = self.missed();
        if missed > 0 {
            text += &format!(", {} met in no seed", count(missed, "expectation"));
        }
        let paint = match self.failed + self.differ + missed {
            0 if runs < self.total => Paint::Warn,
            0 => Paint::Good,
            _ => Paint::Bad,
        };
        self.screen.line(format!(
            "{} in {}",
            self.screen.painted(&text, paint),
            span(wall)
        ))
    }

    /// Prints all measurements of a single run.
    fn details(&self, record: &RunRecord) -> Result<(), CommandError> {
        let read = &record.read;
        let mut facts = vec![
            (
                "scenario",
                TableCell::new(format!(
                    "{} with seed {} in engine {}",
                    read.scenario, read.seed, read.engine
                )),
            ),
            ("outcome", outcome_cell(record.passed())),
            ("nodes", TableCell::new(read.nodes.to_string())),
            (
                "time",
                TableCell::new(format!(
                    "{} virtual in {} real",
                    span(read.virtual_ms),
                    span(read.wall_ms)
                )),
            ),
            (
                "events",
                TableCell::new(format!(
                    "{} processed, {} in a trace",
                    read.events, read.trace_events
                )),
            ),
            (
                "messages",
                TableCell::new(format!("{}, {}", read.messages, size(read.bytes))),
            ),
            ("trace", TableCell::new(&read.trace_hash)),
        ];
        if let Some(check) = record.value["check"].as_str() {
            facts.push((
                "check",
                TableCell::new(format!("{check} in another process")),
            ));
        }
        let metrics: Vec<(String, u64)> = read
            .metrics
            .iter()
            .map(|(name, value)| (name.clone(), *value))
            .collect();
        facts.extend(
            metrics
                .iter()
                .map(|(name, value)| (name.as_str(), TableCell::new(value.to_string()))),
        );
        self.screen.facts(&facts)
    }

    /// Prints each `sometimes` expectation, and the number of runs in which it held.
    fn sometimes(&self) -> Result<(), CommandError> {
        if self.groups.iter().all(|group| group.sometimes.is_empty()) {
            return Ok(());
        }
        let mut table = Table::new(&["scenario", "line", "seeds", "first", "sometimes"]);
        for group in &self.groups {
            for it in &group.sometimes {
                let paint = match (it.is_missed(), it.is_undecided()) {
                    (true, _) => Paint::Bad,
                    (false, true) => Paint::Warn,
                    (false, false) => Paint::Good,
                };
                let first = it
                    .first
                    .map_or_else(|| "-".to_owned(), |seed| seed.to_string());
                let text = it.text.strip_prefix("sometimes = ").unwrap_or(&it.text);
                table.row(vec![
                    TableCell::new(format!("{} on {}", group.scenario, group.engine)),
                    TableCell::number(it.line),
                    TableCell::new(it.share()).paint(paint),
                    TableCell::number(first),
                    TableCell::new(text),
                ]);
            }
        }
        self.screen.table(&table)
    }

    fn table(&self) -> Result<(), CommandError> {
        let mut table = Table::new(&[
            "scenario", "engine", "nodes", "passed", "virtual", "speed", "messages",
        ]);
        for group in &self.groups {
            let paint = if group.passed == group.runs && group.differ == 0 {
                Paint::Good
            } else {
                Paint::Bad
            };
            table.row(vec![
                TableCell::new(&group.scenario).paint(Paint::Bold),
                TableCell::new(&group.engine),
                TableCell::number(group.nodes),
                TableCell::number(format!("{}/{}", group.passed, group.runs)).paint(paint),
                TableCell::number(span(group.virtual_ms / group.runs.max(1) as u64)),
                TableCell::number(format!("{}x", group.virtual_ms / group.wall_ms.max(1))),
                TableCell::number(group.messages / group.runs.max(1) as u64),
            ]);
        }
        self.screen.table(&table)
    }
}

fn outcome_cell(passed: bool) -> TableCell {
    if passed {
        TableCell::new("pass").paint(Paint::Good)
    } else {
        TableCell::new("fail").paint(Paint::Bad)
    }
}
