//! A set of numbers as ranges, for sets with few gaps.
//!
//! Bounds: those of the caller. A set takes 16 bytes for each range.

/// Numbers, as disjoint closed ranges in ascending order with a gap before each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NumberRanges {
    ranges: Vec<(u64, u64)>,
}

impl NumberRanges {
    /// The number of ranges.
    pub(crate) const fn ranges(&self) -> usize {
        self.ranges.len()
    }

    /// The number of numbers.
    pub(crate) fn len(&self) -> usize {
        let lengths = self.ranges.iter().map(|(first, last)| last - first);
        let sum: u64 = lengths.fold(self.ranges.len() as u64, u64::saturating_add);
        usize::try_from(sum).unwrap_or(usize::MAX)
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        let next = self.ranges.partition_point(|(_, last)| *last < number);
        let range = self.ranges.get(next);
        range.is_some_and(|(first, _)| *first <= number)
    }

    /// Adds a number that the set does not contain.
    pub(crate) fn insert(&mut self, number: u64) {
        let next = self.ranges.partition_point(|(_, last)| *last < number);
        let joins_next = self
            .ranges
            .get(next)
            .is_some_and(|(first, _)| number.checked_add(1) == Some(*first));
        let joins_previous = next > 0 && self.ranges[next - 1].1.checked_add(1) == Some(number);
        match (joins_previous, joins_next) {
            (true, true) => {
                let (_, last) = self.ranges.remove(next);
                self.ranges[next - 1].1 = last;
            }
            (true, false) => self.ranges[next - 1].1 = number,
            (false, true) => self.ranges[next].0 = number,
            (false, false) => self.ranges.insert(next, (number, number)),
        }
    }

    /// Removes all numbers up to `number`.
    pub(crate) fn remove_up_to(&mut self, number: u64) {
        let below = self.ranges.partition_point(|(_, last)| *last <= number);
        self.ranges.drain(..below);
        if let Some((first, _)) = self.ranges.first_mut()
            && *first <= number
        {
            *first = number + 1;
        }
    }

    /// Removes the first range and returns its last number, if its first number is `number`.
    pub(crate) fn take_range_at(&mut self, number: u64) -> Option<u64> {
        let (first, last) = *self.ranges.first()?;
        (first == number).then(|| {
            self.ranges.remove(0);
            last
        })
    }

    /// The number before which `count` numbers of the set are; none if it has fewer.
    pub(crate) fn nth(&self, count: usize) -> Option<u64> {
        self.from(0).nth(count)
    }

    /// The highest number.
    pub(crate) fn last(&self) -> Option<u64> {
        self.ranges.last().map(|(_, last)| *last)
    }

    /// The numbers from `number` on, in ascending order.
    pub(crate) fn from(&self, number: u64) -> impl Iterator<Item = u64> {
        let below = self.ranges.partition_point(|(_, last)| *last < number);
        let ranges = self.ranges[below..].iter();
        ranges.flat_map(move |(first, last)| (*first).max(number)..=*last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_highest_number_joins_its_range() {
        let mut ranges = NumberRanges::default();
        for number in [u64::MAX, u64::MAX - 2, u64::MAX - 1] {
            ranges.insert(number);
        }
        assert_eq!(ranges.ranges, [(u64::MAX - 2, u64::MAX)]);
        assert_eq!((ranges.len(), ranges.last()), (3, Some(u64::MAX)));
        ranges.remove_up_to(u64::MAX);
        assert_eq!(ranges, NumberRanges::default());
    }

    proptest! {
        /// The ranges equal a plain set after any changes, and two ranges never touch.
        #[test]
        fn ranges_are_a_set(changes in prop::collection::vec((0_u64..60, 0_u8..8), 0..120)) {
            let (mut ranges, mut plain) = (NumberRanges::default(), BTreeSet::new());
            for (number, change) in changes {
                match change {
                    0 => {
                        ranges.remove_up_to(number);
                        plain = plain.split_off(&(number + 1));
                    }
                    1 => {
                        let taken = ranges.take_range_at(number);
                        prop_assert_eq!(taken.is_some(), plain.first() == Some(&number));
                        plain = plain.split_off(&taken.map_or(0, |last| last + 1));
                    }
                    _ => {
                        if plain.insert(number) {
                            ranges.insert(number);
                        }
                    }
                }
                prop_assert_eq!(ranges.from(0).collect::<BTreeSet<_>>(), plain.clone());
                prop_assert!(ranges.from(number).eq(plain.range(number..).copied()));
                prop_assert_eq!(ranges.contains(number), plain.contains(&number));
                prop_assert_eq!((ranges.len(), ranges.last()), (plain.len(), plain.last().copied()));
                prop_assert_eq!(ranges.nth(3), plain.iter().nth(3).copied());
                prop_assert!(ranges.ranges.windows(2).all(|two| two[0].1 + 1 < two[1].0));
            }
        }
    }
}
