//! Prints the coverage of a set of runs: what never occurred as lists, then what occurred as columns, the rarest first.

use crate::failure::CommandError;
use crate::screen::{Paint, Screen, count};
use phalanx_sim::coverage::{CoverageRow, CoverageTable, OccurrenceKind, ProgramCoverage};
use serde_json::{Value, json};

/// Width of the output, in columns, if the terminal's width is unknown; wider terminals are not filled.
const WIDTH: usize = 100;
/// Width of the headings of kinds.
const HEADING: usize = 14;
/// Space between two columns.
const GAP: usize = 4;

/// Prints a table: as one JSON object, or as text.
pub(crate) fn show(screen: &Screen, json: bool, table: &CoverageTable) -> Result<(), CommandError> {
    if json {
        return screen.json(&json!({ "coverage": self::json(table)? }));
    }
    let programs = table.programs();
    let width = screen.width().unwrap_or(WIDTH).clamp(40, WIDTH);
    for program in &programs {
        let (missing, all) = (program.never, program.rows.len());
        let runs = count(usize::try_from(program.runs).unwrap_or(usize::MAX), "run");
        let head = format!(
            "coverage of {} in {runs}: {missing} of {all} never occurred",
            program.program
        );
        screen.line(screen.painted(&head, Paint::Bold))?;
        screen.block(&never(program, width))?;
        screen.block(&occurred(program, width, screen))?;
    }
    Ok(())
}

/// Returns the programs of a table as JSON.
pub(crate) fn json(table: &CoverageTable) -> Result<Value, CommandError> {
    serde_json::to_value(table.programs()).map_err(CommandError::failed)
}

/// Returns the rows that never occurred, as one wrapped list for each kind.
fn never(program: &ProgramCoverage, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for kind in OccurrenceKind::ALL {
        let rows = program.rows[..program.never].iter();
        let rows: Vec<&CoverageRow> = rows.filter(|row| row.kind == kind).collect();
        let words = rows.chunk_by(|one, other| one.word == other.word);
        let heading = format!("never {}", kind.heading());
        lines.extend(wrapped(&heading, words.map(grouped), width));
    }
    let uncounted = program.uncounted.iter();
    let uncounted = uncounted.map(|name| (*name).to_owned());
    lines.extend(wrapped("not counted", uncounted, width));
    lines
}

/// Returns a word with those of its details that a group of rows has: `closed (fin, reset)`.
fn grouped(rows: &[&CoverageRow]) -> String {
    let details: Vec<&str> = rows.iter().map(|row| row.detail.as_str()).collect();
    let word = rows.first().map_or("", |row| row.word);
    match details.as_slice() {
        [""] => word.to_owned(),
        details => format!("{word} ({})", details.join(", ")),
    }
}

/// Returns a heading with its items, wrapped between words; nothing if there are no items.
fn wrapped(heading: &str, items: impl Iterator<Item = String>, width: usize) -> Vec<String> {
    let items: Vec<String> = items.collect();
    if items.is_empty() {
        return Vec::new();
    }
    let indent = HEADING + 6;
    let mut lines = vec![format!("  {heading:<width$}", width = indent - 2)];
    let mut used = indent;
    for word in items.join(", ").split(' ') {
        if used > indent && used + 1 + word.len() > width {
            lines.push(" ".repeat(indent));
            used = indent;
        }
        let line = lines.last_mut().expect("the list has a line");
        if used > indent {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += word.len();
    }
    lines
}

/// Returns the rows that occurred, in columns for each kind.
fn occurred(program: &ProgramCoverage, width: usize, screen: &Screen) -> Vec<String> {
    let mut lines = Vec::new();
    for kind in OccurrenceKind::ALL {
        let rows = program.rows[program.never..].iter();
        let cells: Vec<[String; 3]> = rows
            .filter(|row| row.kind == kind)
            .map(|row| {
                let word = row.word;
                let name = match row.detail.as_str() {
                    "" => word.to_owned(),
                    detail => format!("{word}: {detail}"),
                };
                [
                    name,
                    row.tally.count.to_string(),
                    row.tally.runs.to_string(),
                ]
            })
            .collect();
        if !cells.is_empty() {
            let heading = format!(
                "  {}, with the number of occurrences and of runs",
                kind.heading()
            );
            lines.push(screen.painted(&heading, Paint::Dim));
            lines.extend(columns(&cells, width));
        }
    }
    lines
}

/// Arranges cells in as many columns as fit, from top to bottom.
fn columns(cells: &[[String; 3]], width: usize) -> Vec<String> {
    let widest = |at: usize| cells.iter().map(|cell| cell[at].len()).max().unwrap_or(0);
    let [name, occurrences, runs] = [0, 1, 2].map(widest);
    let cell_width = name + 2 + occurrences + 2 + runs;
    let across = ((width + GAP - 4) / (cell_width + GAP)).max(1);
    let down = cells.len().div_ceil(across);
    let line = |row: usize| {
        let cells = cells.iter().skip(row).step_by(down);
        let cells = cells
            .map(|[word, count, of]| format!("{word:<name$}  {count:>occurrences$}  {of:>runs$}"));
        let cells: Vec<String> = cells.collect();
        format!("    {}", cells.join(&" ".repeat(GAP)))
    };
    (0..down).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_sim::coverage::{Occurrence, RunCoverage};

    fn program() -> ProgramCoverage {
        let mut run = RunCoverage::default();
        let closed = |detail: &'static str| Occurrence::input("closed").with(detail);
        let declared = ["fin", "lost", "reset"].map(closed);
        run.declare("lamp", declared);
        run.declare(
            "lamp",
            [Occurrence::refusal("busy"), Occurrence::input("wake")],
        );
        run.count("lamp", closed("lost"));
        run.checked("lamp", "one-lamp", None);
        let mut table = CoverageTable::default();
        table.add(&run);
        table.programs().remove(0)
    }

    #[test]
    fn rows_that_never_occurred_are_lists_with_their_details_in_brackets() {
        let lines = never(&program(), 100);
        assert_eq!(
            lines,
            [
                "  never inputs      closed (fin, reset), wake",
                "  never refusals    busy",
                "  not counted       one-lamp",
            ]
        );
    }

    #[test]
    fn lists_and_columns_keep_the_width() {
        let items = (0..60).map(|number| format!("input-{number} (a, b)"));
        let lines = wrapped("never inputs", items, 60);
        assert!(lines.iter().all(|line| line.len() <= 60), "{lines:#?}");
        let cell = |number: usize| [format!("word-{number}"), "1200".to_owned(), "7".to_owned()];
        let cells: Vec<[String; 3]> = (0..7).map(cell).collect();
        let lines = columns(&cells, 44);
        assert_eq!(lines.len(), 4, "two columns: {lines:#?}");
        assert!(lines.iter().all(|line| line.len() <= 44), "{lines:#?}");
        assert!(lines[0].contains("word-0") && lines[0].contains("word-4"));
    }
}
