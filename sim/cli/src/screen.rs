//! Terminal output: lines, tables with aligned columns, and colours on a terminal only.
//!
//! Output contains texts from other machines. Control characters in them are written as escape
//! codes, so that a remote node cannot colour, hide or move text on the operator's terminal. Only
//! the colours of [`Paint`] pass.

use crate::failure::CommandError;
use phalanx_core::identity::only_shows;
use serde::Serialize;
use std::borrow::Cow;
use std::io::{IsTerminal as _, Write as _};

/// Style of a piece of text on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// No style.
    Plain,
    /// A positive result.
    Good,
    /// A warning.
    Warn,
    /// A negative result.
    Bad,
    /// Secondary text.
    Dim,
    /// Important text.
    Bold,
    /// One of several states, by number.
    State(u8),
}

/// Escape sequence that resets the style.
const PLAIN_AGAIN: &str = "\x1b[0m";

impl Paint {
    const ALL: [Self; 11] = [
        Self::Plain,
        Self::Good,
        Self::Warn,
        Self::Bad,
        Self::Dim,
        Self::Bold,
        Self::State(0),
        Self::State(1),
        Self::State(2),
        Self::State(3),
        Self::State(4),
    ];

    const fn escape(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "\x1b[32m",
            Self::Warn => "\x1b[33m",
            Self::Bad => "\x1b[31m",
            Self::Dim => "\x1b[2m",
            Self::Bold => "\x1b[1m",
            Self::State(number) => match number % 5 {
                0 => "\x1b[36m",
                1 => "\x1b[33m",
                2 => "\x1b[35m",
                3 => "\x1b[34m",
                _ => "\x1b[32m",
            },
        }
    }
}

/// One cell of a table.
#[derive(Clone, Debug)]
pub struct TableCell {
    text: String,
    paint: Paint,
    right: bool,
}

impl TableCell {
    /// Creates a cell that is aligned to the left.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            text: shown(&text).into_owned(),
            paint: Paint::Plain,
            right: false,
        }
    }

    /// Creates a numeric cell, aligned to the right.
    pub fn number(value: impl ToString) -> Self {
        Self {
            text: value.to_string(),
            paint: Paint::Plain,
            right: true,
        }
    }

    /// Returns the cell in a style.
    pub const fn paint(mut self, paint: Paint) -> Self {
        self.paint = paint;
        self
    }
}

impl From<&str> for TableCell {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for TableCell {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

/// Rows under a header; each column is as wide as its widest cell.
#[derive(Clone, Debug)]
pub struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<TableCell>>,
}

impl Table {
    /// Creates a table without rows.
    pub fn new(header: &[&'static str]) -> Self {
        Self {
            header: header.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row with a cell for each column.
    pub fn row(&mut self, cells: Vec<TableCell>) {
        debug_assert_eq!(
            cells.len(),
            self.header.len(),
            "a row has a cell for each column"
        );
        self.rows.push(cells);
    }

    /// Returns the lines, header first.
    fn lines(&self, colours: bool) -> Vec<String> {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].text.chars().count());
            cells.chain([self.header[column].len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.header.len()).map(width).collect();
        let right = |column: usize| self.rows.iter().any(|row| row[column].right);
        let header = self
            .header
            .iter()
            .enumerate()
            .map(|(column, text)| TableCell {
                text: text.to_uppercase(),
                paint: Paint::Dim,
                right: right(column),
            });
        std::iter::once(header.collect::<Vec<_>>())
            .chain(self.rows.iter().cloned())
            .map(|cells| {
                let padded: Vec<String> = cells
                    .iter()
                    .zip(&widths)
                    .map(|(cell, width)| pad(cell, *width, colours))
                    .collect();
                padded.join("  ").trim_end().to_owned()
            })
            .collect()
    }
}

fn pad(cell: &TableCell, width: usize, colours: bool) -> String {
    let space = " ".repeat(width.saturating_sub(cell.text.chars().count()));
    let text = painted(&cell.text, cell.paint, colours);
    if cell.right {
        space + &text
    } else {
        text + &space
    }
}

fn painted(text: &str, paint: Paint, colours: bool) -> String {
    let text = shown(text);
    if colours && paint != Paint::Plain && !text.is_empty() {
        format!("{}{text}{PLAIN_AGAIN}", paint.escape())
    } else {
        text.into_owned()
    }
}

/// Returns a text with each non-printable character written as its escape code.
fn shown(text: &str) -> Cow<'_, str> {
    if text.chars().all(only_shows) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::new();
    text.chars()
        .for_each(|character| push(&mut safe, character));
    Cow::Owned(safe)
}

fn push(safe: &mut String, character: char) {
    if only_shows(character) {
        safe.push(character);
    } else {
        safe.extend(character.escape_unicode());
    }
}

/// Returns lines with each non-printable character escaped, except line ends and the sequences of
/// [`Paint`].
pub fn shown_lines(text: &str) -> Cow<'_, str> {
    if text.chars().all(|it| it == '\n' || only_shows(it)) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let paints = Paint::ALL.iter().map(|paint| paint.escape());
        let paint = paints
            .chain([PLAIN_AGAIN, "\n"])
            .find(|paint| !paint.is_empty() && rest.starts_with(paint));
        if let Some(paint) = paint {
            safe.push_str(paint);
        } else {
            push(&mut safe, character);
        }
        rest = &rest[paint.map_or(character.len_utf8(), str::len)..];
    }
    Cow::Owned(safe)
}

fn write_line(text: &str) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Returns whether the terminal interprets no escape sequences (TERM is `dumb`).
pub fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|value| value == "dumb")
}

/// Standard output, written for a terminal or for a program.
#[derive(Debug)]
pub struct Screen {
    terminal: bool,
    colours: bool,
}

impl Default for Screen {
    fn default() -> Self {
        Self::new()
    }
}

impl Screen {
    /// Creates a screen with colours if standard output is a terminal that has colours (TERM is not
    /// `dumb`), and NO_COLOR is unset or empty.
    pub fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let refused =
            std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) || is_dumb();
        Self {
            terminal,
            colours: terminal && !refused,
        }
    }

    /// Returns whether standard output is a terminal.
    pub const fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Returns the number of columns of the terminal; without a terminal, that of the variable COLUMNS, if it is set.
    pub fn width(&self) -> Option<usize> {
        let size = || rustix::termios::tcgetwinsize(std::io::stdout()).ok();
        let terminal = self.terminal.then(size).flatten();
        let terminal = terminal.map(|size| usize::from(size.ws_col));
        let columns = || std::env::var("COLUMNS").ok()?.trim().parse().ok();
        let known = |columns: &usize| *columns > 0;
        terminal.filter(known).or_else(|| columns().filter(known))
    }

    /// Returns a text in a style, if standard output shows colours.
    pub fn painted(&self, text: &str, paint: Paint) -> String {
        painted(text, paint, self.colours)
    }

    /// Writes one line and flushes it.
    pub fn line(&self, text: impl AsRef<str>) -> Result<(), CommandError> {
        write_line(&shown_lines(text.as_ref()))
    }

    /// Writes a table.
    pub fn table(&self, table: &Table) -> Result<(), CommandError> {
        self.block(&table.lines(self.colours))
    }

    /// Writes several lines in one call.
    pub fn block(&self, lines: &[String]) -> Result<(), CommandError> {
        if lines.is_empty() {
            Ok(())
        } else {
            self.line(lines.join("\n"))
        }
    }

    /// Draws a table over a previous one of `before` lines; returns the number of lines drawn.
    pub fn redraw(&self, table: &Table, before: usize) -> Result<usize, CommandError> {
        let lines = table.lines(self.colours);
        let up = if before == 0 {
            String::new()
        } else {
            format!("\x1b[{before}A\x1b[J")
        };
        write_line(&(up + &shown_lines(&lines.join("\n"))))?;
        Ok(lines.len())
    }

    /// Writes labels and values with the labels aligned.
    pub fn facts(&self, facts: &[(&str, TableCell)]) -> Result<(), CommandError> {
        let width = facts
            .iter()
            .map(|(label, _)| label.len())
            .max()
            .unwrap_or(0);
        let lines: Vec<String> = facts
            .iter()
            .map(|(label, cell)| {
                let label = self.painted(&format!("{label:width$}"), Paint::Dim);
                format!("{label}  {}", self.painted(&cell.text, cell.paint))
            })
            .collect();
        self.block(&lines)
    }

    /// Writes one JSON object on one line.
    pub fn json(&self, value: &impl Serialize) -> Result<(), CommandError> {
        let text = serde_json::to_string(value).map_err(|error| {
            CommandError::failed(format!("the value cannot be written as JSON: {error}"))
        })?;
        write_line(&text)
    }
}

/// Formats a time span in readable units: `850ms`, `12.3s`, `4m 10s`, `3h 5m`, `12d 4h`.
pub fn span(millis: u64) -> String {
    let seconds = millis / 1_000;
    match seconds {
        0 => format!("{millis}ms"),
        1..60 => format!("{seconds}.{}s", millis % 1_000 / 100),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// Formats a number of bytes in readable units.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} KB", bytes / 1_000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

/// Formats a count with its noun: `1 node`, `2 nodes`.
pub fn count(number: usize, word: &str) -> String {
    if number == 1 {
        format!("1 {word}")
    } else {
        format!("{number} {word}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_have_no_colours_off_a_terminal() {
        let mut table = Table::new(&["node", "links"]);
        table.row(vec!["n1".into(), TableCell::number(7)]);
        table.row(vec![
            TableCell::new("frankfurt").paint(Paint::Good),
            TableCell::number(12),
        ]);
        assert_eq!(
            table.lines(false),
            ["NODE       LINKS", "n1             7", "frankfurt     12"]
        );
        assert!(table.lines(true)[2].contains("\x1b[32mfrankfurt\x1b[0m"));
    }

    #[test]
    fn the_colours_of_every_style_pass() {
        let numbered = (0..9).map(Paint::State);
        for paint in Paint::ALL.into_iter().chain(numbered) {
            let line = painted("n1", paint, true);
            assert_eq!(shown_lines(&line), line, "{paint:?}");
        }
    }

    #[test]
    fn control_characters_in_remote_texts_are_escaped() {
        let evil = "a\x1b[2J\u{9b}31m\u{202e}b\r";
        let tame = "a\\u{1b}[2J\\u{9b}31m\\u{202e}b\\u{d}";
        assert_eq!(TableCell::new(evil).text, tame);
        assert_eq!(painted(evil, Paint::Plain, true), tame);
        assert_eq!(
            painted(evil, Paint::Good, true),
            format!("\x1b[32m{tame}\x1b[0m")
        );
        let line = format!("x\n{} {evil}", painted("y", Paint::Bold, true));
        assert_eq!(shown_lines(&line), format!("x\n\x1b[1my\x1b[0m {tame}"));
        let mut table = Table::new(&["node"]);
        table.row(vec!["n\n1".into()]);
        assert_eq!(table.lines(false)[1], "n\\u{a}1");
    }

    #[test]
    fn spans_and_sizes_use_readable_units() {
        assert_eq!(span(850), "850ms");
        assert_eq!(span(12_340), "12.3s");
        assert_eq!(span(250_000), "4m 10s");
        assert_eq!(span(3 * 86_400_000 + 7_200_000), "3d 2h");
        assert_eq!(size(12_345), "12 KB");
        assert_eq!(count(1, "node"), "1 node");
    }
}
