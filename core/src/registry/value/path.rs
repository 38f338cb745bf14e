//! Paths of fields: `metadata.labels.tier`. A name that is not a plain identifier stands in backticks:
//! ``metadata.labels.`example.com/tier` ``.

use core::fmt;
use core::str::FromStr;

/// Maximum number of names in a path.
pub const PATH_NAMES_MAX: usize = 16;

/// A path of field names, at least one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath {
    names: Vec<String>,
}

/// Reason why a text is not a path, and the byte at which the text is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    /// The number of bytes before the error.
    pub at: usize,
    /// The reason.
    pub problem: &'static str,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.at + 1, self.problem)
    }
}

impl core::error::Error for PathError {}

impl FieldPath {
    /// A path of these names.
    ///
    /// # Panics
    /// Panics if there is no name.
    #[must_use]
    pub fn of(names: &[&str]) -> Self {
        assert!(!names.is_empty(), "a path has a name");
        Self {
            names: names.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    /// The names.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether `other` is this path or below it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.names.starts_with(&self.names)
    }

    /// Reads the path at the beginning of a text. Returns the path and its length in bytes.
    ///
    /// # Errors
    /// Returns an error if the text does not begin with a path.
    pub fn scan(text: &str) -> Result<(Self, usize), PathError> {
        let (mut names, mut at) = (Vec::new(), 0);
        loop {
            let error = |problem| PathError { at, problem };
            if names.len() == PATH_NAMES_MAX {
                return Err(error("the path has too many names"));
            }
            let rest = &text[at..];
            let length = if let Some(quoted) = rest.strip_prefix('`') {
                let end = quoted.find('`');
                let end = end.ok_or_else(|| error("the backtick is not closed"))?;
                if end == 0 {
                    return Err(error("the field name is empty"));
                }
                names.push(quoted[..end].to_owned());
                end + 2
            } else {
                let is_part = |character: char| is_plain(character) || character == '-';
                let end = rest.find(|character| !is_part(character));
                let end = end.unwrap_or(rest.len());
                let starts = rest.starts_with(|it: char| is_plain(it) && !it.is_ascii_digit());
                if end == 0 || names.is_empty() && !starts {
                    return Err(error("expected a field name"));
                }
                names.push(rest[..end].to_owned());
                end
            };
            at += length;
            if !text[at..].starts_with('.') {
                return Ok((Self { names }, at));
            }
            at += 1;
        }
    }
}

const fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

impl FromStr for FieldPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let (path, at) = Self::scan(text)?;
        if at < text.len() {
            let problem = "unexpected character after the path";
            return Err(PathError { at, problem });
        }
        Ok(path)
    }
}

/// Words that are not plain field names, because filters and orders have them as keywords.
const KEYWORDS: &[&str] = &[
    "and", "or", "not", "like", "contains", "in", "is", "null", "nan", "true", "false", "asc",
    "desc",
];

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.names.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            let starts_plain = name.starts_with(|it: char| is_plain(it) && !it.is_ascii_digit());
            let is_keyword = KEYWORDS.contains(&name.to_ascii_lowercase().as_str());
            if starts_plain && name.chars().all(is_plain) && !is_keyword {
                f.write_str(name)?;
            } else {
                write!(f, "`{name}`")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_and_printed() {
        for text in ["name", "metadata.labels.tier", "a.`b.c/d`.e_1", "`in`"] {
            let path: FieldPath = text.parse().unwrap();
            assert_eq!(path.to_string(), text);
        }
        let path: FieldPath = "labels.blue-green".parse().unwrap();
        assert_eq!(path.to_string(), "labels.`blue-green`");
    }

    #[test]
    fn an_error_names_its_column() {
        let error = |text: &str| text.parse::<FieldPath>().unwrap_err().to_string();
        assert_eq!(error(""), "column 1: expected a field name");
        assert_eq!(error("a..b"), "column 3: expected a field name");
        assert_eq!(
            error("a b"),
            "column 2: unexpected character after the path"
        );
        assert_eq!(error("a.`b"), "column 3: the backtick is not closed");
    }
}
