//! Reads and lists scenario files. All files are read before the first run, so that an error is reported early.

use crate::failure::{CommandError, Completion};
use crate::screen::{Paint, Screen, Table, TableCell, span};
use crate::tool::{Tool, complain};
use phalanx_sim::scenario::command_line::Reproduction;
use phalanx_sim::scenario::{Engine, Scenario};
use phalanx_sim::world::Definition;
use serde_json::json;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A scenario, its file and its system.
#[derive(Clone, Debug)]
pub(crate) struct CatalogueEntry {
    pub(crate) path: PathBuf,
    pub(crate) system: &'static Definition,
    pub(crate) scenario: Arc<Scenario>,
}

impl CatalogueEntry {
    fn new(path: &Path, system: &'static Definition, scenario: Scenario) -> Self {
        Self {
            path: path.to_owned(),
            system,
            scenario: Arc::new(scenario),
        }
    }
}

/// Reads scenario files, and those of directories: every variant of their matrices, or those with the values of `variant`.
pub(crate) fn load(
    tool: &Tool<'_>,
    files: &[PathBuf],
    variant: Option<&str>,
) -> Result<Vec<CatalogueEntry>, CommandError> {
    let mut entries = Vec::new();
    let mut paths = Vec::new();
    for path in files {
        paths.extend(expand(path)?);
    }
    for path in &paths {
        let loaded = tool.systems.load_all(path, variant);
        let (system, scenarios) = loaded.map_err(CommandError::usage)?;
        let scenarios = scenarios.into_iter();
        entries.extend(scenarios.map(|scenario| CatalogueEntry::new(path, system, scenario)));
    }
    Ok(entries)
}

/// A scenario that its engines cannot run.
pub(crate) struct LeftAside {
    /// The name of the scenario.
    pub(crate) scenario: String,
    /// The reason, with the file.
    pub(crate) reason: String,
}

/// Returns the scenarios that their engines can run, and the others. Of several files, those that cannot run are left aside,
/// with a message on standard error.
///
/// # Errors
/// The reason why the engine cannot run the only file, or the first of several files of which none can run.
pub(crate) fn runnable(
    tool: &Tool<'_>,
    entries: Vec<CatalogueEntry>,
    engines: &dyn Fn(&CatalogueEntry) -> Vec<Engine>,
) -> Result<(Vec<CatalogueEntry>, Vec<LeftAside>), CommandError> {
    let check = |entry: &CatalogueEntry| {
        engines(entry).into_iter().try_for_each(|engine| {
            let runs = entry.scenario.check_engine(engine);
            runs.map_err(CommandError::usage)?;
            tool.check_program(engine)
        })
    };
    let (mut runnable, mut aside) = (Vec::new(), Vec::new());
    for entry in entries {
        match check(&entry) {
            Ok(()) => runnable.push(entry),
            Err(why) => aside.push((entry, why)),
        }
    }
    if runnable.is_empty() && !aside.is_empty() {
        return Err(aside.swap_remove(0).1);
    }
    aside.dedup_by(|one, two| one.0.path == two.0.path);
    let aside = aside.into_iter().map(|(entry, why)| {
        let why = why.to_string();
        let path = entry.path.display().to_string();
        let named = why.starts_with(&path);
        let path = if named { String::new() } else { path + ": " };
        LeftAside {
            scenario: entry.scenario.name.clone(),
            reason: format!("{path}{why}"),
        }
    });
    let aside: Vec<LeftAside> = aside.collect();
    for it in &aside {
        complain(format!("left aside: {}", it.reason));
    }
    Ok((runnable, aside))
}

/// Returns the files that scenarios were read from.
pub(crate) fn inputs<'a>(
    entries: impl IntoIterator<Item = &'a CatalogueEntry>,
) -> impl Iterator<Item = PathBuf> {
    entries.into_iter().flat_map(|entry| {
        let included = entry.scenario.included.iter().map(PathBuf::from);
        std::iter::once(entry.path.clone()).chain(included)
    })
}

/// Prints the steps of scenarios that change nothing, as far as their files tell.
///
/// # Errors
/// With `strict`, such a step is an error of the file.
pub(crate) fn check_steps(entries: &[CatalogueEntry], strict: bool) -> Result<(), CommandError> {
    let mut found: Vec<String> = Vec::new();
    for warning in entries.iter().flat_map(|entry| entry.scenario.warnings()) {
        let text = format!("{warning}");
        if !found.contains(&text) {
            found.push(text);
        }
    }
    if strict && !found.is_empty() {
        return Err(CommandError::usage(found.join("\n")));
    }
    for text in found {
        // A closed standard error loses the warning, not the command.
        drop(writeln!(std::io::stderr(), "warning: {text}"));
    }
    Ok(())
}

/// Reads a scenario file, and selects exactly one variant.
pub(crate) fn one(
    tool: &Tool<'_>,
    path: &Path,
    variant: Option<&str>,
) -> Result<CatalogueEntry, CommandError> {
    let loaded = tool.systems.load_one(path, variant);
    let (system, scenario) = loaded.map_err(CommandError::usage)?;
    Ok(CatalogueEntry::new(path, system, scenario))
}

/// Returns the command that runs a scenario file written by this program, with these bugs planted.
pub(crate) fn again(
    tool: &Tool<'_>,
    path: &Path,
    seed: u64,
    sabotage: &[String],
) -> Result<String, CommandError> {
    let entry = one(tool, path, None)?;
    Ok(entry.system.reproduce_command(&Reproduction {
        sabotage,
        ..Reproduction::new(&entry.scenario, seed)
    }))
}

/// Returns the scenario files of a directory, ordered by name; a path of a file is returned as it is.
fn expand(path: &Path) -> Result<Vec<PathBuf>, CommandError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable = |error: std::io::Error| {
        CommandError::usage(format!("{} cannot be read: {error}", path.display()))
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(CommandError::usage(format!(
            "{} holds no scenario (*.toml)",
            path.display()
        )));
    }
    Ok(files)
}

pub(crate) fn list(
    screen: &Screen,
    tool: &Tool<'_>,
    files: &[PathBuf],
    as_json: bool,
) -> Result<Completion, CommandError> {
    let entries = load(tool, files, None)?;
    check_steps(&entries, false)?;
    let files: Vec<&[CatalogueEntry]> = entries.chunk_by(|one, two| one.path == two.path).collect();
    if as_json {
        for runs in &files {
            let CatalogueEntry { path, scenario, .. } = &runs[0];
            let variants = runs.iter().map(|run| &run.scenario.variant);
            let variants: Vec<_> = variants.filter(|variant| !variant.is_empty()).collect();
            screen.json(&json!({
                "name": scenario.plain_name(),
                "file": path,
                "about": scenario.about,
                "engines": scenario.engines,
                "confluent": scenario.confluent,
                "nodes": scenario.hosts.len(),
                "duration_ms": u64::try_from(scenario.duration.as_millis()).unwrap_or(u64::MAX),
                "steps": scenario.steps.len(),
                "expectations": scenario.expectations.len(),
                "variants": variants,
            }))?;
        }
        return Ok(Completion::Yes);
    }
    let mut table = Table::new(&["scenario", "nodes", "length", "engines", "story"]);
    for runs in &files {
        let scenario = &runs[0].scenario;
        let name = match scenario.variant.is_empty() {
            true => scenario.name.clone(),
            false => format!("{} ({} runs)", scenario.plain_name(), runs.len()),
        };
        let engines: Vec<String> = scenario.engines.iter().map(ToString::to_string).collect();
        let length = u64::try_from(scenario.duration.as_millis()).unwrap_or(u64::MAX);
        table.row(vec![
            TableCell::new(name).paint(Paint::Bold),
            TableCell::number(scenario.hosts.len()),
            TableCell::new(span(length)),
            TableCell::new(engines.join(" ")),
            TableCell::new(first_sentence(&scenario.about)),
        ]);
    }
    screen.table(&table)?;
    Ok(Completion::Yes)
}

/// Returns the first sentence of a description, for one line of output.
fn first_sentence(about: &str) -> String {
    let words: Vec<&str> = about.split_whitespace().collect();
    let text = words.join(" ");
    let end = text.find(". ").map_or(text.len(), |at| at + 1);
    text[..end].to_owned()
}
