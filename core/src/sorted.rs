//! A set for a handful of elements: one list in order, read through faster than a tree is descended.
//!
//! Elements that arrive in order, and leave from the front, cost O(log n) each; one that arrives out of order moves at
//! most half of the others.

use std::collections::VecDeque;

/// An empty list keeps memory for this many elements at most.
const KEPT: usize = 16;

/// A set in the order of its elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortedSet<T> {
    items: VecDeque<T>,
}

impl<T> Default for SortedSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> SortedSet<T> {
    /// An empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            items: VecDeque::new(),
        }
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The elements in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }

    /// Removes all elements.
    pub fn clear(&mut self) {
        self.items.clear();
        self.items.shrink_to(KEPT);
    }

    /// Takes the least element.
    pub fn pop_first(&mut self) -> Option<T> {
        let first = self.items.pop_front();
        if self.items.is_empty() && self.items.capacity() > KEPT {
            self.items = VecDeque::new();
        }
        first
    }
}

impl<T: Ord> SortedSet<T> {
    /// Adds an element; whether it is new.
    pub fn insert(&mut self, item: T) -> bool {
        let place = match self.items.back() {
            Some(last) if *last >= item => self.items.binary_search(&item),
            Some(_) | None => Err(self.items.len()),
        };
        match place {
            Ok(_) => false,
            Err(at) => {
                self.items.insert(at, item);
                true
            }
        }
    }

    /// Removes an element; whether it was there.
    pub fn remove(&mut self, item: &T) -> bool {
        match self.items.binary_search(item) {
            Ok(at) => self.items.remove(at).is_some(),
            Err(_) => false,
        }
    }

    /// Whether an element is there.
    #[must_use]
    pub fn contains(&self, item: &T) -> bool {
        self.items.binary_search(item).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_a_tree_set_in_another_shape(
            moves in prop::collection::vec((0_u8..40, 0_u8..4), 0..200),
        ) {
            let (mut sorted, mut tree) = (SortedSet::new(), BTreeSet::new());
            for (item, what) in moves {
                match what {
                    0 | 1 => prop_assert_eq!(sorted.insert(item), tree.insert(item)),
                    2 => prop_assert_eq!(sorted.remove(&item), tree.remove(&item)),
                    _ => prop_assert_eq!(sorted.pop_first(), tree.pop_first()),
                }
                prop_assert_eq!(sorted.contains(&item), tree.contains(&item));
                prop_assert_eq!(sorted.len(), tree.len());
                prop_assert!(sorted.iter().eq(tree.iter()));
            }
        }
    }
}
