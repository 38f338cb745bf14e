//! Reads single values of a file; errors name the position.

use super::error::{ScenarioError, SourceText};
use super::file::{At, Text};
use super::names::{Names, Selector};

/// Maximum clock drift, in parts per million.
const DRIFT_MAX: i32 = 100_000;

/// Parses a text with `read`; errors name the text's position.
pub(crate) fn with<T>(
    source: &SourceText<'_>,
    text: &Text,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, ScenarioError> {
    read(text.get_ref()).map_err(|why| source.error(text.span().start, "", why))
}

/// Parses an optional text with `read`; errors name the text's position.
pub(crate) fn optional<T>(
    source: &SourceText<'_>,
    text: Option<&Text>,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, ScenarioError> {
    text.map(|text| with(source, text, read)).transpose()
}

/// Reads an optional selector of hosts or processes; the default is all hosts.
pub(crate) fn who_or_all(
    source: &SourceText<'_>,
    names: &Names,
    at: usize,
    text: Option<&Text>,
) -> Result<Selector, ScenarioError> {
    match text {
        Some(text) => with(source, text, |word| names.processes(word)),
        None => names
            .selector("all")
            .map_err(|why| source.error(at, "who", why)),
    }
}

/// Reads the drift of a clock.
pub(crate) fn drift(source: &SourceText<'_>, drift: &At<i32>) -> Result<i32, ScenarioError> {
    let ppm = *drift.get_ref();
    if !(-DRIFT_MAX..=DRIFT_MAX).contains(&ppm) {
        let message =
            format!("{ppm} is out of bounds; at most {DRIFT_MAX} millionths (10 %) either way");
        return Err(source.error(drift.span().start, "drift-ppm", message));
    }
    Ok(ppm)
}
