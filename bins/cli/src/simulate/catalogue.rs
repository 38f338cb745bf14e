//! Scenario files: read all before any is run, so that a bad one is found at once.

use super::engine::sabotage_flags;
use super::record::with_flags;
use crate::failure::{Failure, Verdict};
use crate::screen::{Cell, Paint, Screen, Table, span};
use phalanx_sim::mesh::MESH;
use phalanx_sim::scenario::command_line::reproduce;
use phalanx_sim::scenario::{Engine, Scenario};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A scenario and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) scenario: Arc<Scenario>,
}

impl Entry {
    fn new(path: &Path, scenario: Scenario) -> Self {
        Self {
            path: path.to_owned(),
            scenario: Arc::new(scenario),
        }
    }
}

/// Reads scenario files: every run of their matrices, or those with the values of `variant`.
pub(super) fn load(files: &[PathBuf], variant: Option<&str>) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    for path in files {
        let scenarios = Scenario::load_all(path, &(MESH.vocabulary)(), variant);
        let scenarios = scenarios.map_err(Failure::usage)?.into_iter();
        entries.extend(scenarios.map(|scenario| Entry::new(path, scenario)));
    }
    Ok(entries)
}

/// Reads a scenario file of which one run is needed.
pub(super) fn one(path: &Path, variant: Option<&str>) -> Result<Entry, Failure> {
    let scenario = Scenario::load_one(path, &(MESH.vocabulary)(), variant);
    Ok(Entry::new(path, scenario.map_err(Failure::usage)?))
}

/// The command that runs a scenario file which this program wrote, with these bugs planted.
pub(super) fn again(path: &Path, seed: u64, sabotage: &[String]) -> Result<String, Failure> {
    let entry = one(path, None)?;
    let command = reproduce(&entry.scenario, Engine::Model, seed);
    Ok(with_flags(&command, &sabotage_flags(sabotage)))
}

/// The scenario files of a folder, by name; a file stands for itself.
fn expand(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable = |error: std::io::Error| {
        Failure::usage(format!("{} cannot be read: {error}", path.display()))
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
        return Err(Failure::usage(format!(
            "{} holds no scenario (*.toml)",
            path.display()
        )));
    }
    Ok(files)
}

pub(super) fn list(screen: &Screen, files: &[PathBuf], as_json: bool) -> Result<Verdict, Failure> {
    let mut paths = Vec::new();
    for path in files {
        paths.extend(expand(path)?);
    }
    let entries = load(&paths, None)?;
    let files: Vec<&[Entry]> = entries.chunk_by(|one, two| one.path == two.path).collect();
    if as_json {
        for runs in &files {
            let Entry { path, scenario } = &runs[0];
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
        return Ok(Verdict::Yes);
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
            Cell::new(name).paint(Paint::Bold),
            Cell::number(scenario.hosts.len()),
            Cell::new(span(length)),
            Cell::new(engines.join(" ")),
            Cell::new(first_sentence(&scenario.about)),
        ]);
    }
    screen.table(&table)?;
    Ok(Verdict::Yes)
}

/// Enough of a story for one line.
fn first_sentence(about: &str) -> String {
    let words: Vec<&str> = about.split_whitespace().collect();
    let text = words.join(" ");
    let end = text.find(". ").map_or(text.len(), |at| at + 1);
    text[..end].to_owned()
}
