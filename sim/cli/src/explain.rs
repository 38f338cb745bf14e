//! `phalanx sim explain`: finds the faults that a failing run needs, and says in one paragraph what they cause.

use crate::arguments::SimExplain;
use crate::catalogue::{self, CatalogueEntry};
use crate::engine::RunSettings;
use crate::failure::{CommandError, Completion};
use crate::overseer::{self, Overseen, Overseer, lock, wall_limit};
use crate::picture::{explanations, recorded};
use crate::pool;
use crate::screen::{Screen, Table, TableCell};
use crate::sweep;
use crate::tool::Tool;
use phalanx_sim::explanation::Explanation;
use phalanx_sim::fault_set::{MinimalFaults, SeedResults, minimal_faults};
use phalanx_sim::runner::{Model, SupervisedModel};
use phalanx_sim::scenario::Engine;
use phalanx_sim::scenario::command_line::{run_words, sabotage_flags};
use phalanx_sim::search::SystemUnderTest;
use serde_json::json;
use std::sync::Mutex;

/// Width of the paragraph, in columns, if the terminal's width is unknown.
const WIDTH: usize = 100;

/// Maximum width of the paragraph, in columns: longer lines are hard to read.
const WIDTH_MAX: usize = 120;

/// The result of the analysis of one run.
enum Analysis {
    /// The run passes.
    Passes,
    /// The run fails, and needs these faults.
    Explained(Box<MinimalFaults>, Option<Box<Explanation>>),
}

/// The parts of the command that the analysis needs.
struct Subject<'a> {
    entry: &'a CatalogueEntry,
    settings: RunSettings,
    arguments: &'a SimExplain,
    overseer: &'a Overseer,
}

pub(crate) fn run(
    screen: &Screen,
    tool: &Tool<'_>,
    arguments: &SimExplain,
) -> Result<Completion, CommandError> {
    let entry = catalogue::one(tool, &arguments.file, arguments.variant.as_deref())?;
    entry
        .scenario
        .check_engine(Engine::Model)
        .map_err(CommandError::usage)?;
    let settings = RunSettings {
        sabotage: sweep::sabotage(&arguments.common.sabotage, [&entry])?,
        wall_limit: arguments.common.wall_limit(),
        ..RunSettings::default()
    };
    let overseer = Overseer::start(arguments.limit.end(), overseer::bar(None))?;
    let subject = Subject {
        entry: &entry,
        settings,
        arguments,
        overseer: &overseer,
    };
    let known = Mutex::new(None);
    let work = |place: &Overseen| subject.analyse(place, &known);
    pool::work_alone(&overseer, work, |end| {
        let stuck = end.stuck(Some(&entry.scenario));
        let analysis = end.result(&overseer, Some(&entry.scenario));
        let analysis = analysis.flatten().map_err(|why| match overseer.is_over() {
            true => overseer.over(),
            false => why,
        });
        match (analysis, lock(&known).take()) {
            (Ok(analysis), _) => subject.report(screen, &analysis),
            (Err(_), Some(analysis)) => {
                let done = subject.report(screen, &analysis)?;
                stuck.map_or(Ok(done), |why| Err(CommandError::failed(why)))
            }
            (Err(why), None) => Err(why),
        }
    })
}

impl Subject<'_> {
    /// Explains the failure of the run, and finds the faults that it needs.
    /// Keeps each intermediate result in `known`.
    fn analyse(
        &self,
        place: &Overseen,
        known: &Mutex<Option<Analysis>>,
    ) -> Result<Analysis, CommandError> {
        let (scenario, seed) = (&*self.entry.scenario, self.arguments.seed);
        let explained = match recorded(self.entry, seed, &self.settings, place)? {
            // A machine panicked.
            None => None,
            Some((_, outcome)) if outcome.interrupted => return Err(self.overseer.over()),
            Some((_, outcome)) if outcome.failures.is_empty() => return Ok(Analysis::Passes),
            Some((recording, outcome)) => {
                let explained = explanations(self.entry, &self.settings, &recording, &outcome);
                let failures = outcome.failures.iter();
                let earliest = failures.zip(explained).min_by_key(|(it, _)| it.at_ms);
                earliest.map(|(_, explanation)| Box::new(explanation))
            }
        };
        let limit = wall_limit(self.settings.wall_limit, scenario, Engine::Model);
        place.set_limit(limit);
        let mut keep = |found: &MinimalFaults| {
            let analysis = Analysis::Explained(Box::new(found.clone()), explained.clone());
            *lock(known) = Some(analysis);
        };
        Ok(match self.minimal_faults(place, &mut keep)? {
            Some(found) => Analysis::Explained(Box::new(found), explained),
            None => Analysis::Passes,
        })
    }

    fn minimal_faults(
        &self,
        place: &Overseen,
        keep: &mut dyn FnMut(&MinimalFaults),
    ) -> Result<Option<MinimalFaults>, CommandError> {
        let runner = SupervisedModel {
            model: Model(self.entry.system),
            supervisor: place.supervisor(),
        };
        let subject = SystemUnderTest {
            runner: &runner,
            sabotage: &self.settings.sabotage,
        };
        let mut go_on = |runs: usize| {
            self.overseer.bar().set_prefix(format!("{runs} runs"));
            !self.overseer.is_over() && runs < self.arguments.runs
        };
        let (scenario, seed) = (&*self.entry.scenario, self.arguments.seed);
        minimal_faults(subject, scenario, seed, &mut go_on, keep).map_err(CommandError::usage)
    }

    fn report(&self, screen: &Screen, analysis: &Analysis) -> Result<Completion, CommandError> {
        let (seed, file) = (self.arguments.seed, self.arguments.file.display());
        let again = self
            .settings
            .reproduce(self.entry, Engine::Model.name(), seed);
        let (found, explained) = match analysis {
            Analysis::Passes if self.arguments.common.json => {
                screen.json(&json!({ "outcome": "passes", "seed": seed, "reproduce": again }))?;
                return Ok(Completion::Passes);
            }
            Analysis::Passes => {
                let search = self.entry.system.command;
                screen.line(format!(
                    "seed {seed} of {file} passes: there is nothing to explain; find a seed that fails with `{search} search`"
                ))?;
                return Ok(Completion::Passes);
            }
            Analysis::Explained(found, explained) => (found, explained.as_deref()),
        };
        let paragraph = found.paragraph(&self.entry.scenario, explained, &self.settings.sabotage);
        if self.arguments.common.json {
            let mut value = serde_json::to_value(found).map_err(CommandError::failed)?;
            value["outcome"] = "explained".into();
            value["paragraph"] = paragraph.into();
            value["explanation"] = serde_json::to_value(explained).map_err(CommandError::failed)?;
            value["failure"]["reproduce"] = again.clone().into();
            value["reproduce"] = again.into();
            screen.json(&value)?;
        } else {
            let width = screen.width().unwrap_or(WIDTH).min(WIDTH_MAX);
            screen.block(&wrapped(&paragraph, width))?;
            measured(screen, found)?;
            screen.line(format!("again:   {again}"))?;
            screen.line(format!(
                "smaller: {} shrink {} --seed {seed}{} -o small.toml",
                self.entry.system.command,
                run_words(&self.entry.scenario),
                sabotage_flags(&self.settings.sabotage)
            ))?;
        }
        Ok(match self.overseer.is_interrupted() {
            true => Completion::Interrupted,
            false => Completion::Yes,
        })
    }
}

/// Prints the measured runs as a table.
fn measured(screen: &Screen, found: &MinimalFaults) -> Result<(), CommandError> {
    let mut table = Table::new(&["runs of the file", "pass", "fail so", "otherwise", "seeds"]);
    let mut row = |name: &str, results: &SeedResults| {
        table.row(vec![
            TableCell::new(name),
            TableCell::number(results.passed),
            TableCell::number(results.failed),
            TableCell::number(results.failed_otherwise),
            TableCell::number(results.seeds),
        ]);
    };
    row("with all faults", &found.with_all);
    for fault in &found.faults {
        row(&format!("without {}", fault.name), &fault.without);
    }
    for (index, results) in found.with_set.iter().enumerate() {
        match found.sets.len() {
            1 => row("with the named faults alone", results),
            _ => row(&format!("with alternative {} alone", index + 1), results),
        }
    }
    if let Some(results) = &found.without_alternatives {
        row("without all of the alternatives", results);
    }
    if found.of_file > 0 && found.without_all.seeds > 0 {
        row("without any fault", &found.without_all);
    }
    if let Some(without) = &found.without_bug {
        row("without the planted bug", without);
    }
    screen.table(&table)
}

/// Breaks a paragraph into lines of at most `width` columns, between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        let length = line.chars().count() + 1 + word.chars().count();
        if line.is_empty() {
            line.push_str(word);
        } else if length <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paragraph_breaks_between_words_and_a_long_word_has_its_own_line() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("a-very-long-word b", 4), ["a-very-long-word", "b"]);
    }
}
