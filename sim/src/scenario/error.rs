//! Errors in scenario files, with their positions.

use super::file::words_beside;
use super::suggestion::suggestion;
use super::vocabulary::Vocabulary;
use core::cell::Cell;
use core::fmt;

/// An error in a scenario file: its file, line and key, the reason, and the correction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    /// The file, as the caller named it.
    pub file: String,
    /// The line, from 1; 0 if the error concerns the file as a whole.
    pub line: usize,
    /// The key; empty if the error concerns no single key.
    pub key: String,
    /// The reason and the correction.
    pub message: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        f.write_str(": ")?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

impl core::error::Error for ScenarioError {}

/// The text of a file, followed by the texts of its included files. Converts byte positions to files, lines and keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceText<'a> {
    pub(crate) file: &'a str,
    pub(crate) text: &'a str,
    /// The start of each included file's text, with the file's name.
    pub(crate) included: &'a [(usize, String)],
    /// The positions of all newlines of the text.
    pub(crate) newlines: &'a [usize],
    /// The vocabulary of the system.
    pub(crate) vocabulary: &'a Vocabulary,
    /// The hash of the other files that were read; 0 without any.
    pub(crate) others: &'a Cell<u64>,
}

/// Returns the positions of all newlines of a text.
pub(crate) fn newlines(text: &str) -> Vec<usize> {
    text.match_indices('\n').map(|(at, _)| at).collect()
}

impl SourceText<'_> {
    /// Returns the start of the text that contains a byte position, and the file's name.
    fn part(&self, at: usize) -> (usize, &str) {
        let part = self.included.iter().rev().find(|(start, _)| *start <= at);
        part.map_or((0, self.file), |(start, file)| (*start, file))
    }

    /// Returns the file of a byte position.
    pub(crate) fn file_at(&self, at: usize) -> &str {
        self.part(at).1
    }

    /// Returns the line of a byte position in its file, from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        let at = at.min(self.text.len());
        let start = self.part(at).0;
        let before = |at| self.newlines.partition_point(|newline| *newline < at);
        1 + before(at) - before(start)
    }

    /// Returns the position of a key in the table at a byte position, or the table's position if the table lacks the
    /// key.
    pub(crate) fn place_of(&self, at: usize, key: &str) -> usize {
        let mut place = at.min(self.text.len());
        for line in self.text[place..].split_inclusive('\n') {
            let trimmed = line.trim_start();
            if place > at && trimmed.starts_with('[') {
                break;
            }
            let rest = trimmed.strip_prefix(key).map(str::trim_start);
            if rest.is_some_and(|rest| rest.starts_with('=')) {
                return place;
            }
            place += line.len();
        }
        at
    }

    /// Returns the key of the value at a byte position: the last `key =` before it on its line.
    fn key(&self, at: usize) -> String {
        let at = at.min(self.text.len());
        let start = self.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let before = &self.text[start..at];
        let Some(equals) = before.rfind('=') else {
            return String::new();
        };
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let name = before[..equals].trim_end();
        let from = name.rfind(|c: char| !word(c)).map_or(0, |at| at + 1);
        name[from..].to_owned()
    }

    /// Creates an error about the value at a byte position.
    pub(crate) fn error(&self, at: usize, key: &str, message: impl Into<String>) -> ScenarioError {
        let key = if key.is_empty() {
            self.key(at)
        } else {
            key.to_owned()
        };
        ScenarioError {
            file: self.file_at(at).to_owned(),
            line: self.line(at),
            key,
            message: message.into(),
        }
    }

    /// Converts an error of the TOML parser, with a suggestion for an unknown key or value.
    pub(crate) fn parse_error(&self, error: &toml::de::Error) -> ScenarioError {
        let at = error.span().map_or(0, |span| span.start);
        let message = error
            .message()
            .lines()
            .next()
            .unwrap_or("is not valid TOML")
            .to_owned();
        let mut quoted = message.split('`').skip(1).step_by(2);
        if message.starts_with("unknown field") || message.starts_with("unknown variant") {
            let (word, mut words) = (quoted.next().unwrap_or(""), quoted.collect::<Vec<_>>());
            words.extend(words_beside(self.text, self.vocabulary, at));
            let what = if message.starts_with("unknown field") {
                "key"
            } else {
                "word"
            };
            let hint = suggestion(word, words);
            return self.error(at, word, format!("is not a {what} here{hint}"));
        }
        if message.starts_with("missing field") {
            let word = quoted.next().unwrap_or("").to_owned();
            return self.error(at, &word, "is missing; every such table needs it");
        }
        if message.starts_with("invalid type")
            && let Some((_, wanted)) = message.split_once(", expected ")
        {
            let wanted = match wanted {
                "a string" => "a text in quotes",
                wanted if wanted.starts_with("struct ") => "a table, such as { who = \"n1\" }",
                wanted => wanted,
            };
            let found = message.split(',').next().unwrap_or_default();
            let found = found.trim_start_matches("invalid type: ");
            return self.error(at, "", format!("needs {wanted} instead of {found}"));
        }
        self.error(at, "", message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_becomes_line_and_key() {
        let text = "a = 1\nb = { c = \"2\", d = 3 }\n";
        let source = SourceText {
            file: "x.toml",
            text,
            included: &[],
            newlines: &newlines(text),
            vocabulary: &Vocabulary::default(),
            others: &Cell::new(0),
        };
        let at = source.text.find("\"2\"").unwrap();
        assert_eq!(source.error(at, "", "bad").to_string(), "x.toml:2: c: bad");
    }
}
