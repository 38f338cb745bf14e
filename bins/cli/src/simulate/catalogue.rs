//! Scenario files: read all before any is run, so that a bad one is found at once.

use crate::failure::{Failure, Verdict};
use crate::screen::{Cell, Paint, Screen, Table, span};
use phalanx_sim::scenario::Scenario;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A scenario and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) scenario: Arc<Scenario>,
}

/// Reads scenario files.
pub(super) fn load(files: &[PathBuf]) -> Result<Vec<Entry>, Failure> {
    let read = |path: &PathBuf| {
        let scenario = Scenario::load(path).map_err(Failure::usage)?;
        Ok(Entry {
            path: path.clone(),
            scenario: Arc::new(scenario),
        })
    };
    files.iter().map(read).collect()
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
    let entries = load(&paths)?;
    if as_json {
        for Entry { path, scenario } in &entries {
            screen.json(&json!({
                "name": scenario.name,
                "file": path,
                "about": scenario.about,
                "engines": scenario.engines,
                "confluent": scenario.confluent,
                "nodes": scenario.hosts.len(),
                "duration_ms": u64::try_from(scenario.duration.as_millis()).unwrap_or(u64::MAX),
                "steps": scenario.steps.len(),
                "expectations": scenario.expectations.len(),
            }))?;
        }
        return Ok(Verdict::Yes);
    }
    let mut table = Table::new(&["scenario", "nodes", "length", "engines", "story"]);
    for Entry { scenario, .. } in &entries {
        let engines: Vec<String> = scenario.engines.iter().map(ToString::to_string).collect();
        let length = u64::try_from(scenario.duration.as_millis()).unwrap_or(u64::MAX);
        table.row(vec![
            Cell::new(&scenario.name).paint(Paint::Bold),
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
