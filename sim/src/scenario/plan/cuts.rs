//! Cuts: sets of ordered pairs of hosts whose traffic is blocked.

use crate::scenario::Direction;
use phalanx_core::random::Random;
use std::collections::BTreeSet;

/// Maximum number of attempts to draw a share of pairs such that a path between any two hosts remains.
const DRAWS_MAX: usize = 100;

/// Blocked traffic between some nodes; blocked packets are dropped silently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    shape: Shape,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Shape {
    /// The side of each host, from 1; 0 for a host on no side.
    Sides { side: Vec<u8>, direction: Direction },
    /// Every pair.
    All,
    /// Ordered pairs: traffic from the first to the second host is blocked.
    Pairs(BTreeSet<(usize, usize)>),
}

impl Cut {
    /// Creates a cut that splits the network into sides.
    pub(super) fn partition(hosts: usize, sides: &[Vec<usize>], direction: Direction) -> Self {
        let mut side = vec![0; hosts];
        for (number, members) in (1_u8..).zip(sides) {
            for host in members {
                side[*host] = number;
            }
        }
        Self {
            shape: Shape::Sides { side, direction },
        }
    }

    /// Creates a cut of every pair.
    pub(super) const fn everything() -> Self {
        let shape = Shape::All;
        Self { shape }
    }

    /// Returns whether the cut contains every pair.
    #[must_use]
    pub const fn is_everything(&self) -> bool {
        matches!(self.shape, Shape::All)
    }

    /// Creates a cut of every pair of two sets.
    pub(super) fn between(from: &[usize], to: &[usize], direction: Direction) -> Self {
        let pairs = from
            .iter()
            .flat_map(|a| to.iter().map(move |b| (*a, *b)))
            .filter(|(a, b)| a != b);
        Self::of_pairs(pairs, direction)
    }

    /// Draws a share of all pairs such that a path between any two hosts remains.
    pub(super) fn drawn(
        hosts: usize,
        share_ppm: u32,
        direction: Direction,
        random: &mut Random,
    ) -> Result<Self, String> {
        let all: Vec<(usize, usize)> = (0..hosts)
            .flat_map(|a| (a + 1..hosts).map(move |b| (a, b)))
            .collect();
        let count = all.len() * share_ppm as usize / 1_000_000;
        for _ in 0..DRAWS_MAX {
            let mut pairs = all.clone();
            random.shuffle(&mut pairs);
            let open = pairs.split_off(count);
            if connected(hosts, &open) {
                return Ok(Self::of_pairs(pairs.into_iter(), direction));
            }
        }
        Err(format!(
            "{DRAWS_MAX} draws left some node without a path; cut a smaller share"
        ))
    }

    fn of_pairs(pairs: impl Iterator<Item = (usize, usize)>, direction: Direction) -> Self {
        let mut ordered = BTreeSet::new();
        for (a, b) in pairs {
            if direction != Direction::In {
                ordered.insert((a, b));
            }
            if direction != Direction::Out {
                ordered.insert((b, a));
            }
        }
        Self {
            shape: Shape::Pairs(ordered),
        }
    }

    /// Returns whether traffic from `from` to `to` is blocked.
    #[must_use]
    pub fn blocks(&self, from: usize, to: usize) -> bool {
        match &self.shape {
            Shape::All => true,
            Shape::Pairs(pairs) => pairs.contains(&(from, to)),
            Shape::Sides { side, direction } => {
                let (from, to) = (side[from], side[to]);
                from != 0
                    && to != 0
                    && from != to
                    && match direction {
                        Direction::Both => true,
                        Direction::Out => from == 1,
                        Direction::In => to == 1,
                    }
            }
        }
    }

    /// Iterates over every blocked ordered pair of `hosts` hosts.
    pub fn pairs(&self, hosts: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        (0..hosts)
            .flat_map(move |from| (0..hosts).map(move |to| (from, to)))
            .filter(|(from, to)| from != to && self.blocks(*from, *to))
    }

    /// Returns the sides, if a `partition` step created the cut.
    #[must_use]
    pub fn sides(&self) -> Option<(Vec<Vec<usize>>, Direction)> {
        let Shape::Sides { side, direction } = &self.shape else {
            return None;
        };
        let most = side.iter().copied().max().unwrap_or(0);
        let members = |number| {
            (0..side.len())
                .filter(|host| side[*host] == number)
                .collect()
        };
        Some(((1..=most).map(members).collect(), *direction))
    }

    /// Returns the blocked pairs as a small number of pairs of sets: traffic from `.0` to `.1` is blocked, and with
    /// `Both` also in the other direction.
    #[must_use]
    pub fn choices(&self, hosts: usize) -> Vec<(Vec<usize>, Vec<usize>, Direction)> {
        let mut choices: Vec<(Vec<usize>, Vec<usize>, Direction)> = Vec::new();
        for from in 0..hosts {
            let both = |to: &usize| self.blocks(from, *to) && self.blocks(*to, from);
            let others: Vec<usize> = (from + 1..hosts).filter(both).collect();
            let out = |to: &usize| *to != from && self.blocks(from, *to) && !both(to);
            let deaf: Vec<usize> = (0..hosts).filter(out).collect();
            for (to, direction) in [(others, Direction::Both), (deaf, Direction::Out)] {
                let same = |choice: &&mut (Vec<usize>, Vec<usize>, Direction)| {
                    choice.1 == to && choice.2 == direction
                };
                match choices.iter_mut().find(same) {
                    _ if to.is_empty() => {}
                    Some(choice) => choice.0.push(from),
                    None => choices.push((vec![from], to, direction)),
                }
            }
        }
        choices
    }

    /// Returns whether a `partition` step created the cut.
    pub(super) const fn is_partition(&self) -> bool {
        matches!(self.shape, Shape::Sides { .. })
    }
}

fn connected(hosts: usize, open: &[(usize, usize)]) -> bool {
    let mut group: Vec<usize> = (0..hosts).collect();
    let root = |group: &mut Vec<usize>, mut host: usize| {
        while group[host] != host {
            group[host] = group[group[host]];
            host = group[host];
        }
        host
    };
    let mut groups = hosts;
    for (a, b) in open {
        let (a, b) = (root(&mut group, *a), root(&mut group, *b));
        if a != b {
            group[a] = b;
            groups -= 1;
        }
    }
    groups <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_one_way_partition_blocks_one_way() {
        let cut = Cut::partition(3, &[vec![0], vec![1]], Direction::Out);
        assert!(cut.blocks(0, 1));
        assert!(!cut.blocks(1, 0) && !cut.blocks(0, 2) && !cut.blocks(2, 1));
    }

    #[test]
    fn a_drawn_share_leaves_a_path() {
        let mut random = Random::from_seed(1);
        let cut = Cut::drawn(10, 300_000, Direction::Both, &mut random).unwrap();
        assert_eq!(cut.pairs(10).count(), 2 * 13);
        assert!(Cut::drawn(4, 1_000_000, Direction::Both, &mut random).is_err());
    }
}
