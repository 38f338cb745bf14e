//! The cells of set sketches.

use super::proto;
use phalanx_core::sketch::Cell;

pub(super) const fn parse(wire: proto::Cell) -> Cell {
    Cell {
        count: wire.count,
        sum: wire.sum,
        check: wire.check,
    }
}

impl From<&Cell> for proto::Cell {
    fn from(cell: &Cell) -> Self {
        Self {
            count: cell.count,
            sum: cell.sum,
            check: cell.check,
        }
    }
}

/// Any cell.
#[cfg(test)]
pub(super) mod arbitrary {
    use phalanx_core::sketch::Cell;
    use proptest::prelude::*;

    pub(crate) fn cell() -> impl Strategy<Value = Cell> {
        prop_oneof![
            Just(Cell::default()),
            (any::<i32>(), any::<u64>(), any::<u32>()).prop_map(|(count, sum, check)| Cell {
                count,
                sum,
                check
            }),
            (-3_i32..3).prop_map(|count| Cell {
                count,
                sum: 0,
                check: 1
            }),
        ]
    }
}
