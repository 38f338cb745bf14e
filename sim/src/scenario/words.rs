//! Tables of words: conversion between words and values.

use super::suggestion::suggestion;

/// Returns the word of a value.
#[must_use]
pub fn word_for<T: Copy + PartialEq>(value: T, words: &[(T, &'static str)]) -> &'static str {
    let found = words.iter().find(|(known, _)| *known == value);
    found.map_or("", |(_, word)| *word)
}

/// Returns the value of a word; the error names the nearest known word.
///
/// # Errors
/// The error is that no value has this word.
pub fn word_of<T: Copy>(what: &str, words: &[(T, &'static str)], word: &str) -> Result<T, String> {
    let names: Vec<&str> = words.iter().map(|(_, name)| *name).collect();
    words
        .iter()
        .find(|(_, name)| *name == word)
        .map(|(value, _)| *value)
        .ok_or_else(|| {
            format!(
                "`{word}` is not {}{}",
                with_article(what),
                suggestion(word, names)
            )
        })
}

/// Returns a noun with its indefinite article.
pub(crate) fn with_article(noun: &str) -> String {
    let vowel = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if vowel { "an" } else { "a" })
}
