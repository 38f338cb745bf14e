//! Prints the figures of several libraries side by side.

use crate::figures::{Figures, LOSSES, Times};
use core::fmt;

/// One figure of a row.
enum Cell {
    /// Times of several runs.
    Times(Times),
    /// A number.
    Number(f64),
    /// Not measured.
    Missing,
}

impl Cell {
    fn value(&self) -> Option<f64> {
        match self {
            Self::Times(times) => times.median().map(|time| time.as_secs_f64() * 1_000.0),
            Self::Number(number) => Some(*number),
            Self::Missing => None,
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match (self, self.value()) {
            (Self::Missing, _) => "-".to_owned(),
            (Self::Times(times), value) => {
                let (ended, runs) = (times.ended.len(), times.runs);
                let some = format!("({ended} of {runs})");
                match value {
                    None => format!("never {some}"),
                    Some(value) if ended < runs => format!("{} {some}", number(value)),
                    Some(value) => number(value),
                }
            }
            (Self::Number(_), value) => number(value.unwrap_or_default()),
        };
        f.pad(&text)
    }
}

/// Formats a number with its significant digits.
fn number(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value < 0.1 => format!("{value:.4}"),
        value if value < 10.0 => format!("{value:.2}"),
        value => format!("{value:.0}"),
    }
}

/// Formats the ratio of another library's figure to Phalanx's.
fn ratio(ours: &Cell, theirs: &Cell) -> String {
    match (ours.value(), theirs.value()) {
        (Some(ours), Some(theirs)) if ours > 0.0 => format!("{}x", number(theirs / ours)),
        _ => "-".to_owned(),
    }
}

/// One figure: its name, its unit, and the function that reads it.
type Row = (String, &'static str, Box<dyn Fn(&Figures) -> Cell>);

fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = vec![
        (
            "cold join, all see all".to_owned(),
            "ms",
            Box::new(|figures| Cell::Times(figures.join.clone())),
        ),
        (
            "bytes a node for it".to_owned(),
            "B",
            Box::new(|figures| Cell::Number(figures.join_bytes)),
        ),
    ];
    for (at, percent) in LOSSES.into_iter().enumerate() {
        let name = |what: &str| match percent {
            0 => what.to_owned(),
            _ => format!("{what}, {percent} % loss"),
        };
        rows.push((
            name("at rest, bytes a node"),
            "B/s",
            Box::new(move |figures| Cell::Number(figures.losses[at].rest)),
        ));
        rows.push((
            name("false deaths a node-minute"),
            "",
            Box::new(move |figures| Cell::Number(figures.losses[at].false_deaths)),
        ));
        rows.push((
            name("64 bytes to all"),
            "ms",
            Box::new(move |figures| Cell::Times(figures.losses[at].update.clone())),
        ));
        rows.push((
            name("copies a node of it"),
            "",
            Box::new(move |figures| Cell::Number(figures.losses[at].copies)),
        ));
        rows.push((
            name("silent crash known to all"),
            "ms",
            Box::new(move |figures| Cell::Times(figures.losses[at].crash.clone())),
        ));
    }
    rows.push((
        "halves of 90 s, all see all".to_owned(),
        "ms",
        Box::new(|figures| Cell::Times(figures.heal.clone())),
    ));
    rows
}

/// Returns the table of one mesh size: Phalanx, then each other library with its ratio to Phalanx.
#[must_use]
pub fn table(nodes: usize, ours: &Figures, others: &[(&str, Option<Figures>)]) -> String {
    let mut lines = vec![format!(
        "{:<38}{:>6}{:>14}",
        format!("N = {nodes}"),
        "",
        "phalanx"
    )];
    for (name, _) in others {
        lines[0] += &format!("{name:>20}{:>9}", "ratio");
    }
    for (name, unit, cell) in rows() {
        let mine = cell(ours);
        let mut line = format!("{name:<38}{unit:>6}{mine:>14}");
        for (_, figures) in others {
            let theirs = figures.as_ref().map_or(Cell::Missing, &cell);
            line += &format!("{theirs:>20}{:>9}", ratio(&mine, &theirs));
        }
        lines.push(line);
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn a_run_without_an_end_is_marked_and_has_no_ratio() {
        let ours = Cell::Times(Times {
            runs: 1,
            ended: vec![Duration::from_millis(50)],
        });
        let theirs = Cell::Times(Times {
            runs: 2,
            ended: Vec::new(),
        });
        assert_eq!(theirs.to_string(), "never (0 of 2)");
        assert_eq!(ratio(&ours, &theirs), "-");
        assert_eq!(ratio(&ours, &Cell::Number(5_000.0)), "100x");
    }
}
