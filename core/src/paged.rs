//! A long list in pages of one size.
//!
//! A view of thousands of members holds six such lists, and a simulation holds thousands of views that grow side by
//! side. A contiguous list leaves a hole in memory each time it grows, and the hole is too small for the next list;
//! such holes took a quarter of all memory.

/// Number of elements in a page.
const PAGE: usize = 256;
/// Minimum number of elements for which an insertion is done in one pass.
const MANY: usize = 16;

/// A list in which all pages except the last are full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Paged<T> {
    pages: Vec<Vec<T>>,
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Paged<T> {
    pub(crate) const fn new() -> Self {
        Self { pages: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        let last = self.pages.last();
        last.map_or(0, |last| (self.pages.len() - 1) * PAGE + last.len())
    }

    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        self.pages.get(at / PAGE)?.get(at % PAGE)
    }

    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.pages.get_mut(at / PAGE)?.get_mut(at % PAGE)
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + Clone {
        self.pages.iter().flatten()
    }

    /// The elements from index `at` on.
    pub(crate) fn iter_from(&self, at: usize) -> impl Iterator<Item = &T> {
        let first = self.pages.get(at / PAGE);
        let first = first.and_then(|page| page.get(at % PAGE..));
        let others = self.pages.iter().skip(at / PAGE + 1).flatten();
        first.into_iter().flatten().chain(others)
    }

    pub(crate) fn push(&mut self, item: T) {
        match self.pages.last_mut() {
            Some(page) if page.len() < PAGE => {
                if page.len() == page.capacity() {
                    // The first page starts small, as does the last page of a copy; all other pages are allocated in
                    // full.
                    page.reserve_exact(page.len().max(4).min(PAGE - page.len()));
                }
                page.push(item);
            }
            last => {
                let room = if last.is_some() { PAGE } else { 4 };
                let mut page = Vec::with_capacity(room);
                page.push(item);
                self.pages.push(page);
            }
        }
    }

    /// Inserts an element before index `at`. The cost is O(n), mostly for moving whole pages.
    ///
    /// # Panics
    /// Panics if `at` is beyond the end.
    pub(crate) fn insert(&mut self, at: usize, item: T) {
        assert!(at <= self.len(), "beyond the end");
        self.push(item);
        let first = at / PAGE;
        // The last element of each page moves to the front of the next page.
        for page in (first + 1..self.pages.len()).rev() {
            let (before, from) = self.pages.split_at_mut(page);
            from[0].rotate_right(1);
            if let Some(last) = before[page - 1].last_mut() {
                core::mem::swap(last, &mut from[0][0]);
            }
        }
        self.pages[first][at % PAGE..].rotate_right(1);
    }

    /// Removes the element at index `at`. The cost is O(n), mostly for moving whole pages.
    ///
    /// # Panics
    /// Panics if there is no element at `at`.
    pub(crate) fn remove(&mut self, at: usize) -> T {
        let first = at / PAGE;
        let item = self.pages[first].remove(at % PAGE);
        for page in first + 1..self.pages.len() {
            let moved = self.pages[page].remove(0);
            self.pages[page - 1].push(moved);
        }
        self.pages.pop_if(|last| last.is_empty());
        item
    }

    /// The index of an element in a sorted list, or the index at which it would be inserted. Works like
    /// `slice::binary_search_by`.
    pub(crate) fn binary_search_by(
        &self,
        order: impl Fn(&T) -> core::cmp::Ordering,
    ) -> Result<usize, usize> {
        let reaches = |page: &Vec<T>| page.first().is_some_and(|first| order(first).is_le());
        let page = self.pages.partition_point(reaches).saturating_sub(1);
        let start = page * PAGE;
        let found = self
            .pages
            .get(page)
            .map_or(Err(0), |page| page.binary_search_by(order));
        found.map(|at| start + at).map_err(|at| start + at)
    }
}

impl<T: Copy> Paged<T> {
    /// The first index of the range for which `before` does not hold. `before` must hold for a prefix of the list and
    /// for no element after it.
    pub(crate) fn partition_point(
        &self,
        among: core::ops::Range<usize>,
        before: impl Fn(T) -> bool,
    ) -> usize {
        let (mut low, mut high) = (among.start, among.end);
        while low < high {
            let middle = low.midpoint(high);
            if before(self.pages[middle / PAGE][middle % PAGE]) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Inserts each item before the element at its index. The indexes must be in ascending order. The cost is O(n + k)
    /// for k items.
    pub(crate) fn insert_all(&mut self, items: &[(usize, T)]) {
        if items.len() < MANY {
            for (before, (at, item)) in items.iter().enumerate() {
                self.insert(at + before, *item);
            }
            return;
        }
        let mut end = self.len();
        for (_, item) in items {
            self.push(*item);
        }
        // Insertion starts from the back: elements after the last insertion move by the number of items, those before
        // it by one less, and so on.
        for (before, (at, item)) in items.iter().enumerate().rev() {
            for from in (*at..end).rev() {
                self.put(from + before + 1, self.pages[from / PAGE][from % PAGE]);
            }
            self.put(at + before, *item);
            end = *at;
        }
    }

    /// The element at index `at`. A shorter list is first filled up to that index.
    pub(crate) fn reach(&mut self, at: usize, filling: T) -> &mut T {
        while self.len() <= at {
            self.push(filling);
        }
        &mut self.pages[at / PAGE][at % PAGE]
    }

    fn put(&mut self, at: usize, item: T) {
        self.pages[at / PAGE][at % PAGE] = item;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_a_list_in_another_shape(
            moves in prop::collection::vec((0_u16..2_000, 0_u8..6, 1_usize..200), 0..40),
        ) {
            let (mut paged, mut plain) = (Paged::new(), Vec::new());
            for (item, what, many) in moves {
                let at = usize::from(item) % (plain.len() + 1);
                match what {
                    0 => { paged.push(item); plain.push(item); }
                    1 => { paged.insert(at, item); plain.insert(at, item); }
                    // A copy has no spare capacity.
                    5 => paged = paged.clone(),
                    2 if at < plain.len() => prop_assert_eq!(paged.remove(at), plain.remove(at)),
                    _ => {
                        let step = (plain.len() / many).max(1);
                        let items: Vec<(usize, u16)> = (0..many).map(|n| ((n * step).min(plain.len()), item)).collect();
                        paged.insert_all(&items);
                        for (at, item) in items.iter().rev() {
                            plain.insert(*at, *item);
                        }
                    }
                }
                prop_assert_eq!(paged.len(), plain.len());
                prop_assert!(paged.iter().eq(&plain));
                prop_assert!(paged.iter().rev().eq(plain.iter().rev()));
                prop_assert!(paged.iter_from(at).eq(plain.iter().skip(at)));
                prop_assert_eq!(paged.get(at), plain.get(at));
                prop_assert!(paged.pages.iter().rev().skip(1).all(|page| page.len() == PAGE));
            }
        }

        #[test]
        fn a_copy_of_any_length_grows(length in 0_usize..600) {
            let mut paged = Paged::new();
            for item in 0..length {
                paged.push(item);
            }
            let mut copy = paged.clone();
            for item in length..length + 10 {
                copy.push(item);
            }
            prop_assert!(copy.iter().copied().eq(0..length + 10));
        }

        #[test]
        fn it_is_searched_as_a_slice_is(
            items in prop::collection::btree_set(0_u16..3_000, 0..900),
            wanted in 0_u16..3_000,
        ) {
            let plain: Vec<u16> = items.into_iter().collect();
            let mut paged = Paged::new();
            for item in &plain {
                paged.push(*item);
            }
            prop_assert_eq!(paged.binary_search_by(|item| item.cmp(&wanted)), plain.binary_search(&wanted));
            let (from, to) = (plain.len() / 3, plain.len());
            let found = paged.partition_point(from..to, |item| item < wanted);
            prop_assert_eq!(found, from + plain[from..].partition_point(|item| *item < wanted));
        }
    }
}
