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
    /// The hash of the other files that were read; 0 if there were none.
    pub(crate) others: &'a Cell<u64>,
}

/// Returns the positions of all newlines of a text.
pub(crate) fn newlines(text: &str) -> Vec<usize> {
    text.match_indices('\n').map(|(at, _)| at).collect()
}

impl SourceText<'_> {
    /// Returns the start of the file's text that contains a byte position, and the file's name.
    fn part(&self, at: usize) -> (usize, &str) {
        let part = self.included.iter().rev().find(|(start, _)| *start <= at);
        part.map_or((0, self.file), |(start, file)| (*start, file))
    }

    /// Returns the file of a byte position.
    pub(crate) fn file_at(&self, at: usize) -> &str {
        self.part(at).1
    }

    /// Returns the line of a byte position in the file that contains the position, from 1.
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
            let end = error.span().map_or(at, |span| span.end);
            return self.missing(at, end, &word);
        }
        if message.starts_with("data did not match any variant of untagged enum") {
            return self.error(at, "", "needs a number, true or false, or a text in quotes");
        }
        if let Some((begin, wanted)) = message.split_once(", expected ")
            && let Some(found) = begin
                .strip_prefix("invalid type: ")
                .or_else(|| begin.strip_prefix("invalid value: "))
        {
            let (wanted, found) = (wanted_in_words(wanted), found_in_words(found));
            return self.error(at, "", format!("needs {wanted} instead of {found}"));
        }
        self.error(at, "", message)
    }

    /// Creates an error about all missing keys of a table at a byte position; `word` is one of these keys.
    fn missing(&self, at: usize, end: usize, word: &str) -> ScenarioError {
        let whole: toml::Table = toml::from_str(self.text).unwrap_or_default();
        if FILE_KEYS.contains(&word) && !whole.contains_key(word) {
            let keys = FILE_KEYS
                .into_iter()
                .filter(|key| !whole.contains_key(*key));
            return self.missing_keys(at, &keys.collect::<Vec<_>>(), "scenario file");
        }
        let at = at.min(self.text.len());
        let table = self.text[at..].trim_start();
        let header = table.starts_with("[[link]]");
        let name = if header {
            "link".to_owned()
        } else {
            self.key(at)
        };
        let text = if header {
            let next = table[1..].find("\n[").map_or(table.len(), |next| next + 1);
            &table[..next]
        } else {
            self.text.get(at..end).unwrap_or_default()
        };
        let needed = TABLE_KEYS
            .iter()
            .find(|(table, keys)| *table == name && keys.contains(&word));
        let keys = needed.map_or(&[][..], |(_, keys)| keys);
        let mut missing = vec![word];
        missing.extend(
            keys.iter()
                .filter(|key| **key != word && !has_key(text, key)),
        );
        self.missing_keys(at, &missing, "such table")
    }

    /// Creates an error about missing keys that every table of a kind needs.
    pub(crate) fn missing_keys(&self, at: usize, keys: &[&str], kind: &str) -> ScenarioError {
        let (verb, pronoun) = if keys.len() == 1 {
            ("is", "it")
        } else {
            ("are", "them")
        };
        let message = format!("{verb} missing; every {kind} needs {pronoun}");
        self.error(at, &keys.join(", "), message)
    }
}

/// The keys that every scenario file needs.
const FILE_KEYS: [&str; 7] = [
    "scenario", "name", "about", "engines", "duration", "nodes", "expect",
];

/// Kinds of tables, each with the keys that every table of the kind needs.
const TABLE_KEYS: [(&str, &[&str]); 8] = [
    ("link", &["from", "to"]),
    ("command", &["who", "name"]),
    ("pause", &["who", "for"]),
    ("slow", &["who", "by"]),
    ("clone", &["of", "name"]),
    ("disk", &["who", "fault"]),
    ("certificate", &["who", "is"]),
    ("state", &["key", "is"]),
];

/// Returns whether the text of a table assigns a key.
fn has_key(text: &str, key: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    text.match_indices(key).any(|(at, _)| {
        let after = text[at + key.len()..].trim_start();
        !text[..at].ends_with(word) && after.starts_with('=')
    })
}

/// Describes the type that the parser expected.
fn wanted_in_words(wanted: &str) -> String {
    match wanted {
        "a string" => "a text in quotes".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list in brackets".to_owned(),
        "a map" => "a table in braces".to_owned(),
        "u8" => whole_number(u8::MAX),
        "u16" => whole_number(u16::MAX),
        "u32" => whole_number(u32::MAX),
        "u64" | "usize" | "i64" | "i32" => "a whole number".to_owned(),
        wanted if wanted.starts_with("struct ") => "a table, such as { who = \"n1\" }".to_owned(),
        wanted => wanted.to_owned(),
    }
}

fn whole_number(most: impl fmt::Display) -> String {
    format!("a whole number from 0 to {most}")
}

/// Describes the value that the parser found.
fn found_in_words(found: &str) -> String {
    let number = found
        .trim_end_matches(" as i128")
        .trim_end_matches(" as u128");
    let number = ["integer `", "floating point `", "boolean `"]
        .iter()
        .find_map(|kind| number.strip_prefix(kind)?.strip_suffix('`'));
    match (number, found) {
        (Some(number), _) => number.to_owned(),
        (None, "map") => "a table".to_owned(),
        (None, "sequence") => "a list".to_owned(),
        (None, found) => found
            .strip_prefix("string ")
            .map_or_else(|| found.to_owned(), |text| format!("the text {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> String {
        let error = crate::scenario::Scenario::parse("x.toml", text);
        error.unwrap_err().to_string()
    }

    const HEAD: &str =
        "scenario = 1\nname = \"x\"\nabout = \"x\"\nengines = [\"model\"]\nduration = \"9s\"\n";
    const EXPECT: &str = "[[expect]]\neventually = { converged = true }\n";

    #[test]
    fn all_missing_keys_of_a_table_are_named_at_once() {
        let first = complaint("scenario = 1\nname = \"x\"\n[[nodes]]\ncount = 2\n");
        let keys = "about, engines, duration, expect: are missing; every scenario file needs them";
        assert!(first.ends_with(keys), "{first}");
        let one = complaint(&HEAD.replace("name = \"x\"\n", ""));
        assert!(one.contains("name, nodes, expect: are missing"), "{one}");
        let link = format!("{HEAD}[[nodes]]\ncount = 2\n[[link]]\nloss = \"1%\"\n{EXPECT}");
        let link = complaint(&link);
        assert_eq!(
            link,
            "x.toml:8: from, to: are missing; every such table needs them"
        );
        let step = "[[at]]\ntime = \"1s\"\npause = { }\n";
        let step = complaint(&format!("{HEAD}[[nodes]]\ncount = 2\n{step}{EXPECT}"));
        assert_eq!(
            step,
            "x.toml:10: who, for: are missing; every such table needs them"
        );
    }

    #[test]
    fn types_are_named_in_plain_words() {
        let nodes = |count: &str| complaint(&format!("{HEAD}[[nodes]]\ncount = {count}\n{EXPECT}"));
        let needs = |count: &str, found: &str| {
            let words = format!("needs a whole number from 0 to 4294967295 instead of {found}");
            let why = nodes(count);
            assert_eq!(why, format!("x.toml:7: count: {words}"));
        };
        needs("-5", "-5");
        needs("99999999999999999999", "99999999999999999999");
        needs("{ }", "a table");
        needs("[]", "a list");
        needs("\"two\"", "the text \"two\"");
        needs("1.5", "1.5");
        let name = complaint(&HEAD.replace("name = \"x\"", "name = { }"));
        assert!(
            name.contains("name: needs a text in quotes instead of a table"),
            "{name}"
        );
    }

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
