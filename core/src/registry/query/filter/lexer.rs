//! Tokens of a filter.

use super::error::FilterError;
use crate::registry::value::{FieldPath, Number};

/// A word with a meaning of its own; written in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    And,
    Or,
    Not,
    Like,
    Contains,
    In,
    Is,
    Null,
    Nan,
    True,
    False,
}

impl Keyword {
    const ALL: &'static [(&'static str, Self)] = &[
        ("and", Self::And),
        ("or", Self::Or),
        ("not", Self::Not),
        ("like", Self::Like),
        ("contains", Self::Contains),
        ("in", Self::In),
        ("is", Self::Is),
        ("null", Self::Null),
        ("nan", Self::Nan),
        ("true", Self::True),
        ("false", Self::False),
    ];

    fn of(word: &str) -> Option<Self> {
        let found = Self::ALL
            .iter()
            .find(|(it, _)| it.eq_ignore_ascii_case(word));
        found.map(|(_, keyword)| *keyword)
    }
}

/// An operator of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Operator {
    /// The operators with their texts; a text that begins with another precedes it.
    pub(super) const ALL: &'static [(&'static str, Self)] = &[
        ("<=", Self::LessOrEqual),
        (">=", Self::GreaterOrEqual),
        ("!=", Self::NotEqual),
        ("=", Self::Equal),
        ("<", Self::Less),
        (">", Self::Greater),
    ];
}

/// The content of a token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenContent {
    Keyword(Keyword),
    Path(FieldPath),
    Text(String),
    Number(Number),
    Operator(Operator),
    Open,
    Close,
    Comma,
    End,
}

/// A token, and the number of bytes before it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) at: usize,
    pub(super) content: TokenContent,
}

/// Divides a filter into tokens; the last one is `End`.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, FilterError> {
    let (mut tokens, mut at) = (Vec::new(), 0);
    loop {
        let rest = &text[at..];
        let blank = rest.len() - rest.trim_start().len();
        at += blank;
        let (content, length) = token(text, at)?;
        let is_end = content == TokenContent::End;
        tokens.push(Token { at, content });
        if is_end {
            return Ok(tokens);
        }
        at += length;
    }
}

/// The token at a position, and its length.
fn token(text: &str, at: usize) -> Result<(TokenContent, usize), FilterError> {
    let rest = &text[at..];
    let Some(first) = rest.chars().next() else {
        return Ok((TokenContent::End, 0));
    };
    let operator = Operator::ALL.iter().find(|(it, _)| rest.starts_with(it));
    if let Some((it, operator)) = operator {
        return Ok((TokenContent::Operator(*operator), it.len()));
    }
    match first {
        '(' => Ok((TokenContent::Open, 1)),
        ')' => Ok((TokenContent::Close, 1)),
        ',' => Ok((TokenContent::Comma, 1)),
        '"' | '\'' => quoted(text, at, first),
        '-' | '0'..='9' => number(text, at),
        _ => {
            let scanned = FieldPath::scan(rest);
            let (path, length) =
                scanned.map_err(|error| FilterError::new(text, at + error.at, error.problem))?;
            let keyword = Keyword::of(&rest[..length]);
            Ok((
                keyword.map_or(TokenContent::Path(path), TokenContent::Keyword),
                length,
            ))
        }
    }
}

fn quoted(text: &str, at: usize, quote: char) -> Result<(TokenContent, usize), FilterError> {
    let (mut content, mut is_escaped) = (String::new(), false);
    for (index, character) in text[at + 1..].char_indices() {
        if is_escaped {
            content.push(match character {
                'n' => '\n',
                't' => '\t',
                '"' | '\'' | '\\' => character,
                _ => {
                    let problem = "expected one of \\\" \\' \\\\ \\n \\t";
                    return Err(FilterError::new(text, at + index, problem));
                }
            });
            is_escaped = false;
        } else if character == '\\' {
            is_escaped = true;
        } else if character == quote {
            return Ok((TokenContent::Text(content), index + 2));
        } else {
            content.push(character);
        }
    }
    Err(FilterError::new(text, at, "the text is not closed"))
}

fn number(text: &str, at: usize) -> Result<(TokenContent, usize), FilterError> {
    let rest = &text[at..];
    let mut before = ' ';
    let end = rest.find(|character: char| {
        let is_sign = matches!(character, '+' | '-') && matches!(before, 'e' | 'E' | ' ');
        before = character;
        !(character.is_ascii_alphanumeric() || character == '.' || is_sign)
    });
    let word = &rest[..end.unwrap_or(rest.len())];
    match word.parse() {
        Ok(number) => Ok((TokenContent::Number(number), word.len())),
        Err(error) => Err(FilterError::new(text, at, &format!("`{word}` {error}"))),
    }
}
