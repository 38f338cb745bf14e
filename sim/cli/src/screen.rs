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

    fn cut(&mut self, width: usize) {
        if self.text.chars().count() > width {
            let kept = width.saturating_sub(1);
            self.text = self.text.chars().take(kept).chain(['…']).collect();
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
    /// The columns that are left out if the table is too wide, the first one first.
    optional: Vec<&'static str>,
}

/// Minimum width of a column whose cells are cut.
const CUT_COLUMN_MIN: usize = 8;
/// Number of lines of the terminal that a redrawn table leaves for other output.
const LINES_LEFT: usize = 5;

impl Table {
    /// Creates a table without rows.
    pub fn new(header: &[&'static str]) -> Self {
        Self {
            header: header.to_vec(),
            rows: Vec::new(),
            optional: Vec::new(),
        }
    }

    /// Returns the table with these columns optional: they are left out on a narrow terminal, the first one first.
    pub fn optional(mut self, columns: &[&'static str]) -> Self {
        self.optional = columns.to_vec();
        self
    }

    fn widths(&self) -> Vec<usize> {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].text.chars().count());
            cells.chain([self.header[column].len()]).max().unwrap_or(0)
        };
        (0..self.header.len()).map(width).collect()
    }

    /// Returns the table for a terminal of this width: optional columns are left out until the others fit, and then the
    /// cells of the widest columns are cut.
    fn fitted(&self, terminal: usize) -> Self {
        let mut table = self.clone();
        let mut optional = self.optional.iter();
        let total =
            |widths: &[usize]| widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
        while total(&table.widths()) > terminal
            && let Some(column) = optional.next()
        {
            table.leave_out(column);
        }
        let mut widths = table.widths();
        while total(&widths) > terminal
            && let Some(widest) = widths.iter_mut().max()
            && *widest > CUT_COLUMN_MIN
        {
            *widest -= 1;
        }
        for row in &mut table.rows {
            for (cell, width) in row.iter_mut().zip(&widths) {
                cell.cut(*width);
            }
        }
        table
    }

    fn leave_out(&mut self, column: &str) {
        if let Some(at) = self.header.iter().position(|name| *name == column) {
            self.header.remove(at);
            for row in &mut self.rows {
                row.remove(at);
            }
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
        let widths = self.widths();
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
                let last = cells.len().saturating_sub(1);
                let padded: Vec<String> = cells
                    .iter()
                    .zip(&widths)
                    .enumerate()
                    // The last column needs no space after it.
                    .map(
                        |(column, (cell, width))| match column == last && !cell.right {
                            true => painted(&cell.text, cell.paint, colours),
                            false => pad(cell, *width, colours),
                        },
                    )
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

    /// Writes bytes as they are, for programs: nothing is escaped, and no line end is added.
    pub fn bytes(&self, bytes: &[u8]) -> Result<(), CommandError> {
        let mut out = std::io::stdout().lock();
        out.write_all(bytes)?;
        Ok(out.flush()?)
    }

    /// Writes one line for people to standard error, so that standard output holds only results.
    pub fn note(&self, text: impl AsRef<str>) {
        // A closed standard error must not end the command.
        let _lost = writeln!(std::io::stderr(), "{}", shown_lines(text.as_ref())).is_err();
    }

    /// Writes a table.
    pub fn table(&self, table: &Table) -> Result<(), CommandError> {
        self.block(&self.lines(table))
    }

    /// Writes several lines in one call.
    pub fn block(&self, lines: &[String]) -> Result<(), CommandError> {
        if lines.is_empty() {
            Ok(())
        } else {
            self.line(lines.join("\n"))
        }
    }

    /// Returns the lines of a table, fitted to the terminal.
    fn lines(&self, table: &Table) -> Vec<String> {
        match self.width().filter(|_| self.terminal) {
            Some(width) => table.fitted(width).lines(self.colours),
            None => table.lines(self.colours),
        }
    }

    /// Returns the number of lines of the terminal, if there is one.
    fn height(&self) -> Option<usize> {
        let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
        let rows = size.filter(|_| self.terminal)?.ws_row;
        (rows > 0).then(|| usize::from(rows))
    }

    /// Draws a table over a previous one of `before` lines; returns the number of lines drawn. Rows that do not fit onto
    /// the terminal are counted instead.
    pub fn redraw(&self, table: &Table, before: usize) -> Result<usize, CommandError> {
        let mut lines = self.lines(table);
        let room = self
            .height()
            .map_or(usize::MAX, |it| it.saturating_sub(LINES_LEFT).max(2));
        if lines.len() > room {
            let more = lines.len() - (room - 1);
            lines.truncate(room - 1);
            lines.push(format!("… {}", count(more, "more row")));
        }
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
    fn a_wide_table_loses_optional_columns_and_then_parts_of_its_cells() {
        let mut table = Table::new(&["node", "epoch", "address"]).optional(&["epoch"]);
        table.row(vec![
            "n1".into(),
            TableCell::number(1_234_567),
            "10.0.0.1:7400".into(),
        ]);
        let lines = |width| table.fitted(width).lines(false);
        assert_eq!(lines(80)[1], "n1    1234567  10.0.0.1:7400");
        assert_eq!(lines(28)[1], "n1    1234567  10.0.0.1:7400");
        assert_eq!(lines(27)[1], "n1    10.0.0.1:7400");
        assert_eq!(lines(16)[1], "n1    10.0.0.1:…");
        assert_eq!(lines(1)[1], "n1    10.0.0.…", "the minimum");
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
