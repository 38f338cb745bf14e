//! Short ids: a small number for each member, the same in equal views.
//!
//! The numbers are derived from the names, so the nodes neither agree on them nor store them. In the order of names,
//! each member takes the number that its name hashes to, or the next free number. If two names hash to the same number,
//! the higher name gets another number once the lower name is present. When all numbers are taken, further members get
//! none. No function requires a member to have a number.

use super::Topology;
use crate::identity::NodeId;
use crate::random::{hash_bytes, mix};
use std::collections::BTreeMap;

/// The usual length of short ids, in bits.
pub const BITS: u32 = 12;
/// The maximum length, in bits.
pub const BITS_MAX: u32 = 16;

/// The short ids of one view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aliases {
    names: BTreeMap<u16, NodeId>,
    numbers: BTreeMap<NodeId, u16>,
    without: usize,
}

impl Aliases {
    /// Computes the short ids of these names, which must be in order; `bits` is at least 1 and at most [`BITS_MAX`].
    pub fn of<'i>(names: impl Iterator<Item = &'i NodeId>, bits: u32) -> Self {
        let size = 1_u64 << bits.clamp(1, BITS_MAX);
        let mut aliases = Self::default();
        for name in names {
            if aliases.names.len() as u64 == size {
                aliases.without += 1;
                continue;
            }
            let mut place = mix(hash_bytes(name.as_str().as_bytes())) % size;
            while aliases.names.contains_key(&short(place)) {
                place = (place + 1) % size;
            }
            aliases.names.insert(short(place), name.clone());
            aliases.numbers.insert(name.clone(), short(place));
        }
        aliases
    }

    /// The name of the member with this number.
    #[must_use]
    pub fn name(&self, number: u16) -> Option<&NodeId> {
        self.names.get(&number)
    }

    /// A member's number.
    #[must_use]
    pub fn number(&self, name: &NodeId) -> Option<u16> {
        self.numbers.get(name).copied()
    }

    /// The number of members without a short id.
    #[must_use]
    pub const fn without(&self) -> usize {
        self.without
    }
}

/// The number of `name` among these names, which are in order and contain it: the same as [`Aliases::number`], without the
/// numbers of the others. O(names).
fn number_of<'i>(name: &NodeId, names: impl Iterator<Item = &'i NodeId>, bits: u32) -> Option<u16> {
    let size = 1_u64 << bits.clamp(1, BITS_MAX);
    let mut taken = vec![false; usize::try_from(size).ok()?];
    for (at, other) in names.enumerate() {
        if at as u64 >= size {
            return None;
        }
        let mut place = mix(hash_bytes(other.as_str().as_bytes())) % size;
        while taken[usize::from(short(place))] {
            place = (place + 1) % size;
        }
        if other == name {
            return Some(short(place));
        }
        taken[usize::from(short(place))] = true;
    }
    None
}

fn short(place: u64) -> u16 {
    u16::try_from(place).unwrap_or(u16::MAX)
}

impl Topology {
    /// The short ids of all known members. O(n log n).
    #[must_use]
    pub fn aliases(&self, bits: u32) -> Aliases {
        Aliases::of(self.records().map(|record| record.id()), bits)
    }

    /// The short id of one known member; none if all short ids are taken. O(n).
    pub(crate) fn alias_of(&self, name: &NodeId, bits: u32) -> Option<u16> {
        number_of(name, self.records().map(|record| record.id()), bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn names(numbers: &BTreeSet<u16>) -> Vec<NodeId> {
        let texts: BTreeSet<String> = numbers.iter().map(|number| format!("n{number}")).collect();
        texts
            .iter()
            .map(|text| NodeId::new(text).unwrap())
            .collect()
    }

    /// Names that hash to this number of `bits` bits, in order.
    fn of_one_number(number: u64, bits: u32, count: usize) -> Vec<NodeId> {
        let all = (0..).map(|index| NodeId::new(&format!("n{index:06}")).unwrap());
        let place = |id: &NodeId| mix(hash_bytes(id.as_str().as_bytes())) % (1 << bits);
        all.filter(|id| place(id) == number).take(count).collect()
    }

    #[test]
    fn a_lower_name_takes_the_number_and_the_higher_name_gets_it_back() {
        let number = 0x1a2;
        let names = of_one_number(number, BITS, 2);
        let (low, high) = (&names[0], &names[1]);
        let number = short(number);
        let alone = Aliases::of([high].into_iter(), BITS);
        assert_eq!(alone.number(high), Some(number));
        // The number of the higher name is invalid as soon as the lower name is present: it means the lower name.
        let both = Aliases::of([low, high].into_iter(), BITS);
        assert_eq!(both.name(number), Some(low));
        assert_eq!(both.number(high), Some(number + 1));
        // The higher name gets its number back when the lower name is forgotten.
        let again = Aliases::of([high].into_iter(), BITS);
        assert_eq!(again, alone);
    }

    #[test]
    fn a_member_without_a_number_gets_one_when_a_number_is_free() {
        let names = of_one_number(3, 2, 5);
        let full = Aliases::of(names.iter(), 2);
        let last = &names[4];
        assert_eq!((full.number(last), full.without()), (None, 1));
        // Each place that becomes free reaches the last name, whichever member is forgotten.
        for gone in &names[..4] {
            let rest = names.iter().filter(|name| *name != gone);
            let freed = Aliases::of(rest, 2);
            assert_eq!(freed.without(), 0);
            let number = freed.number(last).unwrap();
            assert_eq!(freed.name(number), Some(last), "without {gone}");
            assert_eq!(freed.number(gone), None);
        }
    }

    #[test]
    fn equal_sets_of_names_have_equal_numbers_after_any_history() {
        let names: BTreeSet<u16> = (0..5_000).collect();
        let names = self::names(&names);
        let bits = BITS;
        let direct = Aliases::of(names.iter().filter(|name| name.as_str() > "n3"), bits);
        let mut view: BTreeSet<&NodeId> = names.iter().collect();
        assert_eq!(
            Aliases::of(view.iter().copied(), bits).without(),
            5_000 - 4_096
        );
        view.retain(|name| name.as_str() > "n3");
        assert_eq!(Aliases::of(view.iter().copied(), bits), direct);
        assert_eq!(direct.without(), 0);
    }

    proptest! {
        #[test]
        fn every_member_has_a_number_of_its_own_while_there_are_numbers(
            members in prop::collection::btree_set(any::<u16>(), 0..80),
            bits in 1_u32..8,
        ) {
            let names = names(&members);
            let aliases = Aliases::of(names.iter(), bits);
            let numbered: BTreeSet<u16> = names.iter().filter_map(|name| aliases.number(name)).collect();
            prop_assert_eq!(numbered.len(), names.len().min(1 << bits));
            prop_assert_eq!(aliases.without(), names.len() - numbered.len());
            for name in &names {
                prop_assert_eq!(number_of(name, names.iter(), bits), aliases.number(name));
            }
            for name in &names {
                if let Some(number) = aliases.number(name) {
                    prop_assert_eq!(aliases.name(number), Some(name));
                    prop_assert!(u32::from(number) < 1 << bits);
                }
            }
        }

        #[test]
        fn a_later_alias_takes_nothing_from_earlier_ones(
            members in prop::collection::btree_set(any::<u16>(), 1..60),
            newcomer in any::<u16>(),
        ) {
            let before = names(&members);
            let mut with = members;
            with.insert(newcomer);
            let after = names(&with);
            let (old, new) = (Aliases::of(before.iter(), 8), Aliases::of(after.iter(), 8));
            let newcomer = NodeId::new(&format!("n{newcomer}")).unwrap();
            for name in before.iter().filter(|name| **name < newcomer) {
                prop_assert_eq!(old.number(name), new.number(name));
            }
        }
    }
}
