//! Reads single values of a file; a mistake names its place.

use super::error::{ScenarioError, Source};
use super::file::{At, Text};
use super::names::{Names, Selector};

/// The strongest clock drift, in millionths.
const DRIFT_MAX: i32 = 100_000;

/// Reads a text by `read`; a mistake names the text's place.
pub(crate) fn with<T>(
    source: &Source<'_>,
    text: &Text,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, ScenarioError> {
    read(text.get_ref()).map_err(|why| source.error(text.span().start, "", why))
}

/// The same for a text that may be absent.
pub(crate) fn optional<T>(
    source: &Source<'_>,
    text: Option<&Text>,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, ScenarioError> {
    text.map(|text| with(source, text, read)).transpose()
}

/// Reads a selector of hosts or processes that may be absent: then all hosts.
pub(crate) fn who_or_all(
    source: &Source<'_>,
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

/// Reads a clock's drift.
pub(crate) fn drift(source: &Source<'_>, drift: &At<i32>) -> Result<i32, ScenarioError> {
    let ppm = *drift.get_ref();
    if ppm.abs() > DRIFT_MAX {
        let message =
            format!("{ppm} is out of bounds; at most {DRIFT_MAX} millionths (10 %) either way");
        return Err(source.error(drift.span().start, "drift-ppm", message));
    }
    Ok(ppm)
}
