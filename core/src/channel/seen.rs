//! Which numbered things of one sender were seen.

use std::collections::BTreeSet;

/// The most numbers remembered one by one of each life.
const ABOVE_MAX: usize = 512;
/// The most lives of one sender remembered.
const LIVES_MAX: usize = 3;

/// The numbers seen of one sender.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The latest heard last.
    lives: Vec<Life>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Life {
    life: u64,
    /// This and everything below counts as seen.
    floor: u64,
    above: BTreeSet<u64>,
}

impl Seen {
    /// Whether a number was seen; what lies far below the latest counts as seen.
    pub(super) fn has(&self, life: u64, number: u64) -> bool {
        self.lives.iter().any(|known| {
            known.life == life && (number <= known.floor || known.above.contains(&number))
        })
    }

    /// Notes a number; false if it was seen before.
    pub(super) fn note(&mut self, life: u64, number: u64) -> bool {
        if self.has(life, number) {
            return false;
        }
        let known = self.life(life);
        known.above.insert(number);
        while known.above.len() > ABOVE_MAX {
            known.floor = known.above.pop_first().unwrap_or(known.floor);
        }
        known.settle();
        true
    }

    /// The sender waits for nothing below `floor`.
    pub(super) fn raise(&mut self, life: u64, floor: u64) {
        let known = self.life(life);
        known.floor = known.floor.max(floor.saturating_sub(1));
        known.above = known.above.split_off(&known.floor.saturating_add(1));
        known.settle();
    }

    fn life(&mut self, life: u64) -> &mut Life {
        let place = self.lives.iter().position(|known| known.life == life);
        let place = place.unwrap_or_else(|| {
            if self.lives.len() >= LIVES_MAX {
                self.lives.remove(0);
            }
            self.lives.push(Life {
                life,
                floor: 0,
                above: BTreeSet::new(),
            });
            self.lives.len() - 1
        });
        &mut self.lives[place]
    }
}

impl Life {
    fn settle(&mut self) {
        while let Some(next) = self.floor.checked_add(1)
            && self.above.remove(&next)
        {
            self.floor = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_is_new_once_and_a_life_apart() {
        let mut seen = Seen::default();
        assert!(seen.note(1, 3));
        assert!(!seen.note(1, 3));
        assert!(seen.note(2, 3));
        assert!(seen.note(1, u64::MAX) && !seen.note(1, u64::MAX));
        seen.raise(1, u64::MAX);
        assert!(seen.has(1, 77));
        assert!(!seen.has(2, 77));
    }

    #[test]
    fn the_oldest_life_is_forgotten_first() {
        let mut seen = Seen::default();
        for life in 1..=4 {
            seen.note(life, 1);
        }
        assert!(!seen.has(1, 1));
        assert!((2..=4).all(|life| seen.has(life, 1)));
    }

    proptest! {
        /// Numbers close together are told apart exactly; what is remembered stays in bounds.
        #[test]
        fn close_numbers_are_told_apart(numbers in prop::collection::vec(1_u64..400, 0..600)) {
            let mut seen = Seen::default();
            let mut model = BTreeSet::new();
            for number in numbers {
                prop_assert_eq!(seen.note(9, number), model.insert(number));
                prop_assert!(seen.lives[0].above.len() <= ABOVE_MAX);
            }
        }
    }
}
