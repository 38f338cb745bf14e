//! Set sketches: the difference of two sets in space proportional to the difference.
//!
//! An invertible Bloom lookup table (Goodrich and Mitzenmacher 2011) with three cells for each element, one in each
//! third of the table. Subtracting two tables leaves the difference. Cells with one element are then peeled until the
//! table is empty. For larger differences, about 1.5 cells per element suffice.

use crate::random::mix;
use crate::size::{self, Encoded};

/// One cell of a set sketch (invertible Bloom lookup table, Goodrich and Mitzenmacher 2011).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Number of elements in the cell (wrapping; negative after subtraction).
    pub count: i32,
    /// Exclusive or of the elements' digests.
    pub sum: u64,
    /// Wrapping sum of the check values of the digests.
    pub check: u32,
}

impl Encoded for Cell {
    fn encoded_len(&self) -> usize {
        // A sint32 is zigzag-encoded.
        let zigzag = ((self.count << 1) ^ (self.count >> 31)) as u32;
        size::uint(u64::from(zigzag))
            + size::fixed64(self.sum)
            + if self.check == 0 { 0 } else { 5 }
    }
}

/// The sketch sizes that are tried in turn, in cells; after the largest, a snapshot is sent. The largest sketch fits in
/// a frame.
pub(crate) const SIZES: [u32; 3] = [24, 126, 600];

/// The next size after a sketch of `cells` cells; none after the largest.
pub(crate) fn size_above(cells: usize) -> Option<u32> {
    SIZES.into_iter().find(|size| *size as usize > cells)
}

/// The smallest size of at least `cells` cells, or else the largest size.
pub(crate) fn size_for(cells: u32) -> u32 {
    let fits = SIZES.into_iter().find(|size| *size >= cells);
    fits.unwrap_or(SIZES[SIZES.len() - 1])
}

/// The difference of two sets, as found by subtracting a peer's sketch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Digests of elements that only this node has.
    pub(crate) ours: Vec<u64>,
    /// Digests of elements that only the peer has.
    pub(crate) theirs: Vec<u64>,
}

const fn check(digest: u64) -> u32 {
    (mix(digest ^ 0x00c0_ffee) >> 32) as u32
}

/// The indices of the three cells of a digest in a table of `cells` cells.
fn places(digest: u64, cells: usize) -> [usize; 3] {
    let third = cells / 3;
    core::array::from_fn(|part| {
        let hash = mix(digest ^ mix(part as u64 + 17));
        part * third + ((u128::from(hash) * third as u128) >> 64) as usize
    })
}

fn add(cells: &mut [Cell], digest: u64, sign: i32) {
    for place in places(digest, cells.len()) {
        let cell = &mut cells[place];
        cell.count = cell.count.wrapping_add(sign);
        cell.sum ^= digest;
        let part = check(digest);
        cell.check = if sign > 0 {
            cell.check.wrapping_add(part)
        } else {
            cell.check.wrapping_sub(part)
        };
    }
}

/// The sketch of a set.
pub(crate) fn sketch(digests: impl Iterator<Item = u64>, cells: u32) -> Vec<Cell> {
    let mut table = vec![Cell::default(); cells as usize];
    for digest in digests {
        add(&mut table, digest, 1);
    }
    table
}

/// The difference between this node's set and a peer's sketch; none if the sketch is too small for the difference.
pub(crate) fn difference(ours: impl Iterator<Item = u64>, theirs: &[Cell]) -> Option<Difference> {
    if theirs.len() < 3 || !theirs.len().is_multiple_of(3) {
        return None;
    }
    let mut table = sketch(ours, u32::try_from(theirs.len()).ok()?);
    for (cell, theirs) in table.iter_mut().zip(theirs) {
        cell.count = cell.count.wrapping_sub(theirs.count);
        cell.sum ^= theirs.sum;
        cell.check = cell.check.wrapping_sub(theirs.check);
    }
    let mut found = Difference {
        ours: Vec::new(),
        theirs: Vec::new(),
    };
    let mut todo: Vec<usize> = (0..table.len()).collect();
    while let Some(place) = todo.pop() {
        let cell = table[place];
        let one = cell.count == 1 && cell.check == check(cell.sum);
        let minus_one = cell.count == -1 && cell.check == check(cell.sum).wrapping_neg();
        if !one && !minus_one || !places(cell.sum, table.len()).contains(&place) {
            continue;
        }
        // A crafted table could be peeled without end; a valid table yields fewer elements than it has cells.
        if found.ours.len() + found.theirs.len() >= table.len() {
            return None;
        }
        if one {
            found.ours.push(cell.sum)
        } else {
            found.theirs.push(cell.sum)
        }
        add(&mut table, cell.sum, -cell.count);
        todo.extend(places(cell.sum, table.len()));
    }
    if table.iter().any(|cell| *cell != Cell::default()) {
        return None;
    }
    found.ours.sort_unstable();
    found.theirs.sort_unstable();
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_decoded_difference_is_the_difference(
            common in prop::collection::btree_set(any::<u64>(), 0..200),
            ours in prop::collection::btree_set(any::<u64>(), 0..60),
            theirs in prop::collection::btree_set(any::<u64>(), 0..60),
            size in 0_usize..3,
        ) {
            let mine: BTreeSet<u64> = common.union(&ours).copied().collect();
            let other: BTreeSet<u64> = common.union(&theirs).copied().collect();
            let table = sketch(other.iter().copied(), SIZES[size]);
            if let Some(found) = difference(mine.iter().copied(), &table) {
                prop_assert_eq!(found.ours, mine.difference(&other).copied().collect::<Vec<_>>());
                prop_assert_eq!(found.theirs, other.difference(&mine).copied().collect::<Vec<_>>());
            }
        }

        #[test]
        fn a_random_table_ends(cells in prop::collection::vec((any::<i32>(), any::<u64>(), any::<u32>()), 0..60)) {
            let table: Vec<Cell> =
                cells.into_iter().map(|(count, sum, check)| Cell { count: count % 3, sum, check }).collect();
            let _ended = difference([1, 2, 3].into_iter(), &table);
        }
    }

    #[test]
    fn a_difference_of_a_quarter_of_the_cells_is_nearly_always_decoded() {
        let mut random = crate::random::Random::from_seed(1);
        for size in SIZES {
            let decoded = (0..400)
                .filter(|_| {
                    let theirs: Vec<u64> = (0..size / 4).map(|_| random.next_u64()).collect();
                    let table = sketch(theirs.iter().copied(), size);
                    difference(core::iter::empty(), &table)
                        .is_some_and(|found| found.theirs.len() == theirs.len())
                })
                .count();
            assert!(decoded >= 380, "{decoded} of 400 with {size} cells");
        }
    }
}
