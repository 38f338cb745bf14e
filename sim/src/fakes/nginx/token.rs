//! Splits a configuration text into directives, as nginx's own reader does.
//!
//! The lexer decides where words, statements and blocks begin and end: quotes, backslashes, comments, `${name}`, and
//! the line that an error names. The meaning of a directive is left to [`super::load`]. Text that is not valid UTF-8
//! is read with replacement characters, and nginx's bound on the length of a word (one page) is not enforced.

/// A token of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A directive's name and arguments, ended by a semicolon.
    Statement(Vec<String>),
    /// A directive's name and arguments, ended by an opening brace.
    BlockStart(Vec<String>),
    /// A closing brace.
    BlockEnd,
    /// The end of the text.
    End,
}

/// The lexer of one file.
#[derive(Debug)]
pub(super) struct Lexer {
    text: Vec<char>,
    at: usize,
    line: u32,
}

/// The kind of the current word: bare or quoted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Bare,
    Quoted(char),
}

impl Lexer {
    pub(super) fn new(text: &[u8]) -> Self {
        Self {
            text: String::from_utf8_lossy(text).chars().collect(),
            at: 0,
            line: 1,
        }
    }

    /// The line of the character read last: the line that nginx names in an error.
    pub(super) const fn line(&self) -> u32 {
        self.line
    }

    /// Returns the next token.
    ///
    /// # Errors
    /// The error is the text of nginx's message.
    pub(super) fn next(&mut self) -> Result<Piece, String> {
        let mut words: Vec<String> = Vec::new();
        loop {
            let Some(character) = self.take() else {
                return if words.is_empty() {
                    Ok(Piece::End)
                } else {
                    Err(Self::unexpected_end())
                };
            };
            match character {
                ' ' | '\t' | '\r' | '\n' => {}
                ';' | '{' if words.is_empty() => return Err(unexpected(character)),
                ';' => return Ok(Piece::Statement(words)),
                '{' => return Ok(Piece::BlockStart(words)),
                '}' if words.is_empty() => return Ok(Piece::BlockEnd),
                '}' => return Err(unexpected('}')),
                '#' => while self.take().is_some_and(|character| character != '\n') {},
                '"' | '\'' => {
                    words.push(self.word(Word::Quoted(character))?);
                    if let Some(piece) = self.after_quote(&mut words)? {
                        return Ok(piece);
                    }
                }
                _ => {
                    self.at -= 1;
                    words.push(self.word(Word::Bare)?);
                }
            }
        }
    }

    fn take(&mut self) -> Option<char> {
        let character = *self.text.get(self.at)?;
        self.at += 1;
        if character == '\n' {
            self.line += 1;
        }
        Some(character)
    }

    fn unexpected_end() -> String {
        "unexpected end of file, expecting \";\" or \"}\"".to_owned()
    }

    /// Reads a word up to its end; the character that ends a bare word is left unread.
    fn word(&mut self, kind: Word) -> Result<String, String> {
        let mut word = String::new();
        let mut variable = false;
        loop {
            let Some(character) = self.take() else {
                return Err(Self::unexpected_end());
            };
            let after_dollar = core::mem::replace(&mut variable, false);
            match (character, kind) {
                ('\\', _) => match self.take() {
                    None => return Err(Self::unexpected_end()),
                    Some(quoted @ ('"' | '\'' | '\\')) => word.push(quoted),
                    Some('t') => word.push('\t'),
                    Some('r') => word.push('\r'),
                    Some('n') => word.push('\n'),
                    Some(other) => word.extend(['\\', other]),
                },
                ('{', _) if after_dollar => word.push('{'),
                (_, Word::Quoted(quote)) if character == quote => return Ok(word),
                (' ' | '\t' | '\r' | '\n' | ';' | '{', Word::Bare) => {
                    self.at -= 1;
                    self.line -= u32::from(character == '\n');
                    return Ok(word);
                }
                _ => {
                    variable = character == '$';
                    word.push(character);
                }
            }
        }
    }

    /// Reads the character after a closing quote: a space, or the end of the directive.
    fn after_quote(&mut self, words: &mut Vec<String>) -> Result<Option<Piece>, String> {
        match self.take() {
            None => Err(Self::unexpected_end()),
            Some(' ' | '\t' | '\r' | '\n') => Ok(None),
            Some(';') => Ok(Some(Piece::Statement(core::mem::take(words)))),
            Some('{') => Ok(Some(Piece::BlockStart(core::mem::take(words)))),
            Some(other) => Err(unexpected(other)),
        }
    }
}

fn unexpected(character: char) -> String {
    format!("unexpected \"{character}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<Vec<Piece>, (String, u32)> {
        let mut lexer = Lexer::new(text.as_bytes());
        let mut pieces = Vec::new();
        loop {
            match lexer.next() {
                Ok(Piece::End) => return Ok(pieces),
                Ok(piece) => pieces.push(piece),
                Err(why) => return Err((why, lexer.line())),
            }
        }
    }

    fn statement(words: &[&str]) -> Piece {
        Piece::Statement(words.iter().map(|&word| word.to_owned()).collect())
    }

    #[test]
    fn words_quotes_comments_and_blocks_are_told_apart() {
        let text = "a b#c 'd;{' \"e\\\"\\n\" ${f}g; # }\n h\t{ i \\;; }";
        let expected = [
            statement(&["a", "b#c", "d;{", "e\"\n", "${f}g"]),
            Piece::BlockStart(vec!["h".into()]),
            statement(&["i", "\\;"]),
            Piece::BlockEnd,
        ];
        assert_eq!(all(text), Ok(expected.to_vec()));
    }

    #[test]
    fn errors_name_the_line_that_was_read_last() {
        let end = "unexpected end of file, expecting \";\" or \"}\"";
        for (text, message, line) in [
            ("a\nb }", "unexpected \"}\"", 2),
            ("\n;", "unexpected \";\"", 2),
            ("{", "unexpected \"{\"", 1),
            ("a \"b\"c;", "unexpected \"c\"", 1),
            ("a\n\"b;\n", end, 3),
            ("a\n", end, 2),
        ] {
            assert_eq!(all(text), Err((message.to_owned(), line)), "{text:?}");
        }
    }
}
