//! Assembles the text of a file: includes other files, and substitutes the values of a matrix.
//!
//! Both operations act on text, so that every line keeps its number. Included texts are appended to the file's own, and
//! a matrix replaces placeholders.

use super::definition::Scenario;
use super::error::{ScenarioError, SourceText, newlines};
use super::file::{MatrixValue, Text};
use super::read;
use super::variant::Variant;
use super::vocabulary::Vocabulary;
use core::cell::Cell;
use serde::Deserialize;
use serde_spanned::Spanned;
use std::collections::BTreeMap;
use std::path::Path;

/// Maximum number of variants of one matrix.
const RUNS_MAX: usize = 1_000;

/// The keys that control the assembly of the text.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    include: Vec<Text>,
    #[serde(default)]
    matrix: Vec<Spanned<BTreeMap<String, Vec<MatrixValue>>>>,
}

/// The text of one scenario of a file.
pub(super) struct Run {
    vocabulary: Vocabulary,
    file: String,
    text: String,
    included: Vec<(usize, String)>,
    /// The values of the matrix.
    variant: Variant,
}

impl Run {
    pub(super) fn read(&self) -> Result<Scenario, ScenarioError> {
        let mut scenario = read::scenario(SourceText {
            file: &self.file,
            text: &self.text,
            included: &self.included,
            newlines: &newlines(&self.text),
            vocabulary: &self.vocabulary,
            others: &Cell::new(0),
        })?;
        let included = self.included.iter().map(|(_, file)| file.clone());
        scenario.included = included.collect();
        if !self.variant.is_empty() {
            scenario.name = format!("{}[{}]", scenario.name, self.variant);
            scenario.variant = self.variant.clone();
        }
        Ok(scenario)
    }
}

/// Returns the texts of a file's scenarios.
pub(super) fn runs_of(
    file: &str,
    text: &str,
    vocabulary: &Vocabulary,
) -> Result<Vec<Run>, ScenarioError> {
    let source = SourceText {
        file,
        text,
        included: &[],
        newlines: &newlines(text),
        vocabulary,
        others: &Cell::new(0),
    };
    let head: Head = toml::from_str(text).map_err(|error| source.parse_error(&error))?;
    let (mut whole, mut included) = (text.to_owned(), Vec::new());
    for name in &head.include {
        let at = name.span().start;
        let path = Path::new(file).with_file_name(name.get_ref());
        let more = std::fs::read_to_string(&path).map_err(|why| {
            let message = format!("{} cannot be read: {why}", path.display());
            source.error(at, "include", message)
        })?;
        let part = path.display().to_string();
        tables_alone(&part, &more, vocabulary)?;
        whole.push('\n');
        included.push((whole.len(), part));
        whole.push_str(&more);
    }
    let source = SourceText {
        file,
        text: &whole,
        included: &included,
        newlines: &newlines(&whole),
        vocabulary,
        others: &Cell::new(0),
    };
    let runs = runs(&source, &head.matrix)?;
    runs.iter().map(|run| substitute(&source, run)).collect()
}

/// Checks that an included file has no top-level keys, because these would belong to the last table of the text before
/// them. An included file may contain only tables.
fn tables_alone(file: &str, text: &str, vocabulary: &Vocabulary) -> Result<(), ScenarioError> {
    let source = SourceText {
        file,
        text,
        included: &[],
        newlines: &newlines(text),
        vocabulary,
        others: &Cell::new(0),
    };
    let tables: BTreeMap<Spanned<String>, toml::Value> =
        toml::from_str(text).map_err(|error| source.parse_error(&error))?;
    let is_table = |value: &toml::Value| {
        let list = value.as_array();
        value.is_table()
            || list.is_some_and(|list| !list.is_empty() && list.iter().all(toml::Value::is_table))
    };
    match tables.iter().find(|(_, value)| !is_table(value)) {
        None => Ok(()),
        Some((key, _)) => {
            let message = "belongs into the file that includes this one; here are tables alone";
            Err(source.error(key.span().start, key.get_ref(), message))
        }
    }
}

type Values = Vec<(String, MatrixValue)>;

/// Returns every combination of the values of each matrix table; the tables' combinations are concatenated.
fn runs(
    source: &SourceText<'_>,
    matrix: &[Spanned<BTreeMap<String, Vec<MatrixValue>>>],
) -> Result<Vec<Values>, ScenarioError> {
    let mut all = Vec::new();
    for table in matrix {
        let at = table.span().start;
        let lengths = table.get_ref().values().map(Vec::len);
        // The number of runs is checked before the runs are created.
        let product = lengths.fold(1, usize::saturating_mul);
        if all.len().saturating_add(product) > RUNS_MAX {
            let message = format!("makes more than {RUNS_MAX} runs; sweep less at once");
            return Err(source.error(at, "matrix", message));
        }
        let mut runs: Vec<Values> = vec![Vec::new()];
        for (word, values) in table.get_ref() {
            if values.is_empty() {
                let message = "has no values; list at least one";
                return Err(source.error(source.place_of(at, word), word, message));
            }
            if !source.text.contains(&format!("${{{word}}}")) {
                let message =
                    format!("stands nowhere; write \"${{{word}}}\" where its value belongs");
                return Err(source.error(source.place_of(at, word), word, message));
            }
            let with = |run: &Values, value: &MatrixValue| {
                let mut run = run.clone();
                run.push((word.clone(), value.clone()));
                run
            };
            let longer = runs
                .iter()
                .flat_map(|run| values.iter().map(move |value| with(run, value)));
            runs = longer.collect();
        }
        if let Some(twice) = runs.iter().enumerate().find_map(|(index, run)| {
            let before = all.iter().chain(&runs[..index]).any(|known| known == run);
            before.then(|| Variant::new(shown(run)))
        }) {
            let message = format!("makes the run {twice} twice; leave one of them away");
            return Err(source.error(at, "matrix", message));
        }
        all.append(&mut runs);
    }
    if all.is_empty() {
        all.push(Vec::new());
    }
    Ok(all)
}

/// Formats the values as the file states them.
fn shown(run: &Values) -> impl Iterator<Item = (String, String)> {
    let values = run.iter();
    values.map(|(word, value)| (word.clone(), value.to_string()))
}

/// Returns the text of one variant.
fn substitute(source: &SourceText<'_>, run: &Values) -> Result<Run, ScenarioError> {
    // Each part is substituted separately, because the length of a part determines the start of the next one.
    let starts: Vec<usize> = source.included.iter().map(|(start, _)| *start).collect();
    let ends = starts.iter().copied().chain([source.text.len()]);
    let begins = [0].into_iter().chain(starts.iter().copied());
    let (mut text, mut included) = (String::new(), Vec::new());
    for (number, (from, to)) in begins.zip(ends).enumerate() {
        if number > 0 {
            included.push((text.len(), source.included[number - 1].1.clone()));
        }
        let mut part = source.text[from..to].to_owned();
        for (word, value) in run {
            let place = format!("${{{word}}}");
            let shown = value.to_string();
            let quoted = !matches!(value, MatrixValue::Text(_));
            if quoted {
                part = part.replace(&format!("\"{place}\""), &shown);
            }
            part = part.replace(&place, &shown);
        }
        text.push_str(&part);
    }
    let run = Run {
        vocabulary: source.vocabulary.clone(),
        file: source.file.to_owned(),
        variant: Variant::new(shown(run)),
        included,
        text,
    };
    let left = SourceText {
        file: &run.file,
        text: &run.text,
        included: &run.included,
        newlines: &newlines(&run.text),
        vocabulary: &run.vocabulary,
        others: &Cell::new(0),
    };
    match unknown_word(&run.text) {
        None => Ok(run),
        Some((at, word)) => {
            let message = format!("`${{{word}}}` is not a word of a `[[matrix]]`");
            Err(left.error(at, "", message))
        }
    }
}

/// Returns the first `${word}` outside of comments.
fn unknown_word(text: &str) -> Option<(usize, &str)> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if !line.trim_start().starts_with('#')
            && let Some(at) = line.find("${")
            && let Some(length) = line[at..].find('}')
        {
            return Some((start + at, &line[at + 2..at + length]));
        }
        start += line.len();
    }
    None
}
