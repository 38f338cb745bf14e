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
