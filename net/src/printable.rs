//! Text of others, made safe to print: control characters escaped, length bounded.

use core::fmt::{self, Write};

/// Maximum number of bytes of one field of a log line.
pub(crate) const FIELD_BYTES_MAX: usize = 1024;
/// Maximum number of characters of a name that an unauthenticated peer states.
const FOREIGN_NAME_CHARACTERS_MAX: usize = 64;

/// Collects text up to a bound. Control characters, line separators and characters that change the direction of text
/// are escaped.
#[derive(Debug)]
pub(crate) struct Printable {
    text: String,
    bytes_max: usize,
    is_cut: bool,
}

impl Printable {
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self {
            text: String::new(),
            bytes_max,
            is_cut: false,
        }
    }

    /// The text, with a mark if it was cut.
    pub(crate) fn finish(mut self) -> String {
        if self.is_cut {
            self.text.push('…');
        }
        self.text
    }
}

fn is_escaped(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

impl Write for Printable {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.text.len() >= self.bytes_max {
                self.is_cut = true;
                // An error ends the formatting of a long value.
                return Err(fmt::Error);
            }
            if is_escaped(character) {
                self.text.extend(character.escape_default());
            } else {
                self.text.push(character);
            }
        }
        Ok(())
    }
}

/// The value as text that is safe to print, cut at about `bytes_max` bytes.
pub(crate) fn printable(value: impl fmt::Display, bytes_max: usize) -> String {
    let mut text = Printable::new(bytes_max);
    // An error means that the text was cut.
    let _cut = write!(text, "{value}").is_err();
    text.finish()
}

/// A name that an unauthenticated peer states.
pub(crate) fn foreign_name(name: &str) -> String {
    printable(name, FOREIGN_NAME_CHARACTERS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_long_texts_are_cut() {
        let forged = "x)\n2026-11-29T00:00:00Z ERROR n1 is down\u{1b}[31m\u{202e}";
        let text = printable(forged, 200);
        assert_eq!(
            text,
            "x)\\n2026-11-29T00:00:00Z ERROR n1 is down\\u{1b}[31m\\u{202e}"
        );
        let long = "B".repeat(50_000);
        assert_eq!(
            foreign_name(&long).chars().count(),
            FOREIGN_NAME_CHARACTERS_MAX + 1
        );
        assert_eq!(printable("größe", 100), "größe");
    }
}
