//! A run in a terminal: a lane for each node (or for several nodes, if there are many) over virtual
//! time.
//!
//! A letter stands for a view of membership that several nodes share; equal letters mean equal views. `~` is a view
//! that several nodes share briefly, `.` is a view that a single node has briefly, and a blank means that the node does
//! not run.

use crate::record::Recording;
use crate::record::fault::together;
use crate::report::strip::{ALONE, Colours, PALE, STOPPED, STRONG, Strip};
use crate::scenario::text;
use core::time::Duration;

/// Maximum number of lanes; with more nodes, each lane represents several nodes and shows the state
/// of most of them.
pub const LANES_MAX: usize = 40;
/// Maximum number of rows of faults.
const FAULT_ROWS_MAX: usize = 12;
/// Minimum width of a lane.
const WIDTH_MIN: usize = 20;

/// One line of a timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The label in front of the cells, padded.
    pub label: String,
    /// The characters, each with its colour: 0 for none, 1 for quiet, from 2 on one for each state, 100 for a fault.
    pub cells: Vec<(char, u8)>,
}

impl Row {
    /// Returns the line without colours.
    #[must_use]
    pub fn text(&self) -> String {
        let cells: String = self.cells.iter().map(|(character, _)| character).collect();
        format!("{} {cells}", self.label).trim_end().to_owned()
    }
}

/// The colour of a fault.
pub const FAULT: u8 = 100;

/// Returns the rows of a run that ended at `end` (nanoseconds), at most `width` characters wide.
#[must_use]
pub fn rows(recording: &Recording<'_>, end: u64, width: usize) -> Vec<Row> {
    let hosts = &recording.scenario().hosts;
    let each = hosts.len().div_ceil(LANES_MAX);
    let groups: Vec<(usize, usize)> = (0..hosts.len())
        .step_by(each)
        .map(|from| (from, hosts.len().min(from + each)))
        .collect();
    let labels: Vec<String> = groups
        .iter()
        .map(|(from, to)| match to - from {
            1 => hosts[*from].name.clone(),
            _ => format!("{}..{}", hosts[*from].name, hosts[*to - 1].name),
        })
        .collect();
    let pad = labels
        .iter()
        .map(|label| label.chars().count())
        .max()
        .unwrap_or(0)
        .max(6);
    let columns = width.saturating_sub(pad + 1).max(WIDTH_MIN);
    let strip = Strip::of(recording, end, columns, Colours::Membership);
    let mut rows = vec![axis(end, columns, pad)];
    rows.extend(faults(recording, end, columns, pad));
    for ((from, to), label) in groups.into_iter().zip(labels) {
        let lanes = &strip.lanes[from..to];
        let cell = |column: usize| {
            let until = (column as u64 + 1) * end / 1_000 / columns as u64;
            let mut votes = [0_usize; 32];
            for lane in lanes {
                votes[usize::from(colour(lane, until)) % 32] += 1;
            }
            let most = (0..votes.len()).rev().max_by_key(|colour| votes[*colour]);
            let colour = u8::try_from(most.unwrap_or(0)).unwrap_or(STOPPED);
            (character(colour), colour)
        };
        rows.push(Row {
            label: format!("{label:pad$}"),
            cells: (0..columns).map(cell).collect(),
        });
    }
    rows
}

/// Returns the colour of a lane at an instant.
fn colour(lane: &[u64], at: u64) -> u8 {
    let changes = lane.as_chunks::<2>().0;
    let after = changes.partition_point(|[from, _]| *from <= at);
    let found = after.checked_sub(1).map(|index| changes[index][1]);
    found
        .and_then(|colour| u8::try_from(colour).ok())
        .unwrap_or(STOPPED)
}

const fn character(colour: u8) -> char {
    match colour {
        STOPPED => ' ',
        ALONE => '.',
        PALE.. => '~',
        strong => (b'a' + strong - STRONG) as char,
    }
}

fn axis(end: u64, columns: usize, pad: usize) -> Row {
    let mut cells = vec![(' ', 1); columns];
    let mut free = 0;
    for tick in 0..=5_u64 {
        let at = end * tick / 5;
        let label = text::show(Duration::from_millis(at / 1_000_000 / 100 * 100));
        let column = usize::try_from(u128::from(at) * columns as u128 / u128::from(end.max(1)));
        let start = column.unwrap_or(0).min(columns.saturating_sub(label.len()));
        if start >= free {
            for (offset, character) in label.chars().enumerate() {
                cells[start + offset].0 = character;
            }
            free = start + label.len() + 1;
        }
    }
    Row {
        label: " ".repeat(pad),
        cells,
    }
}

/// Draws each fault in its own row; consecutive faults of one step share a row.
fn faults(recording: &Recording<'_>, end: u64, columns: usize, pad: usize) -> Vec<Row> {
    let column = |at: u64| {
        let column = u128::from(at) * columns as u128 / u128::from(end.max(1));
        usize::try_from(column).unwrap_or(0).min(columns - 1)
    };
    let mut rows: Vec<(Option<usize>, Row, usize)> = Vec::new();
    let mut more = 0;
    for band in together(recording.bands(end)) {
        let (from, to) = (column(band.from), column(band.to));
        let free = rows
            .iter()
            .position(|(step, _, free)| *step == band.step && *free <= from && band.step.is_some());
        let index = match free {
            Some(index) => index,
            None if rows.len() < FAULT_ROWS_MAX => {
                let row = Row {
                    label: " ".repeat(pad),
                    cells: vec![(' ', 0); columns],
                };
                rows.push((band.step, row, 0));
                rows.len() - 1
            }
            None => {
                more += 1;
                continue;
            }
        };
        let (_, row, free) = &mut rows[index];
        for cell in &mut row.cells[from..=to] {
            *cell = ('─', FAULT);
        }
        row.cells[from].0 = if to > from { '├' } else { '│' };
        if to > from {
            row.cells[to].0 = '┤';
        }
        let whom = match band.fault.text.as_str() {
            "" => crate::record::fault::few(recording.scenario(), &band.fault.hosts),
            text => text.to_owned(),
        };
        let label: Vec<char> = format!(" {} {whom} ", band.fault.word).chars().collect();
        let inside = to.saturating_sub(from + 1);
        let start = if label.len() <= inside {
            from + 1
        } else {
            to + 1
        };
        let fits = start + label.len() <= columns;
        if fits {
            for (offset, character) in label.iter().enumerate() {
                row.cells[start + offset] = (*character, FAULT);
            }
        }
        *free = (to + 1).max(if fits { start + label.len() } else { 0 });
    }
    let mut rows: Vec<Row> = rows.into_iter().map(|(_, row, _)| row).collect();
    if more > 0 {
        let text = format!("and {more} more faults and steps");
        rows.push(Row {
            label: " ".repeat(pad),
            cells: text.chars().take(columns).map(|it| (it, 1)).collect(),
        });
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::MESH;
    use crate::scenario::Scenario;
    use crate::{RunOptions, run};

    fn drawn(name: &str, width: usize) -> Vec<String> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
        let scenario = Scenario::load(&folder.join(name)).unwrap();
        let mut recording = Recording::new(&scenario, scenario.plan(1).unwrap());
        let options = RunOptions {
            recorder: Some(&mut recording),
            ..RunOptions::default()
        };
        let outcome = run(&MESH, &scenario, 1, options).unwrap();
        let rows = rows(&recording, outcome.virtual_ms * 1_000_000, width);
        rows.iter().map(Row::text).collect()
    }

    #[test]
    fn lanes_fit_the_width_and_show_which_nodes_agree() {
        for width in [60, 120] {
            let lines = drawn("two-nodes.toml", width);
            let text = lines.join("\n");
            assert!(
                lines.iter().all(|line| line.chars().count() <= width),
                "{text}"
            );
            assert!(
                text.contains("partition n1 | n2") && text.contains("crash n2"),
                "{text}"
            );
            let lane = |name: &str| {
                let line = lines.iter().find(|line| line.starts_with(name)).unwrap();
                line.chars().skip(7).collect::<Vec<char>>()
            };
            let (first, second) = (lane("n1"), lane("n2"));
            assert_eq!(first[1], second[1], "the views are equal at first\n{text}");
            assert!(
                second.contains(&' ') && !first.contains(&' '),
                "n2 was down\n{text}"
            );
            let split = first.len() * 20 / 70;
            assert_ne!(first[split], second[split], "the views diverge\n{text}");
        }
    }

    #[test]
    fn many_nodes_share_lanes() {
        let lines = drawn("join-storm.toml", 100);
        assert!(
            lines.len() <= LANES_MAX + FAULT_ROWS_MAX + 3,
            "{}",
            lines.join("\n")
        );
    }
}
