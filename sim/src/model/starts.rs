//! The starts of processes: the random stream of each life, and the hosts that started.

use phalanx_core::random::Random;
use std::collections::BTreeSet;

/// The starts of one run.
#[derive(Debug)]
pub(super) struct Starts {
    seeds: Random,
    /// The hosts whose processes were started at least once.
    started: BTreeSet<usize>,
}

impl Starts {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seeds: Random::from_seed(seed).child("nodes"),
            started: BTreeSet::new(),
        }
    }

    /// Returns the random stream of one life of a process; `place` is the index of the process on its host.
    pub(super) fn random(&self, host: usize, place: usize, life: u32) -> Random {
        let mut seeds = self.seeds.nth_child("host", host as u64);
        if place > 0 {
            seeds = seeds.nth_child("program", place as u64);
        }
        seeds.nth_child("life", life.into())
    }

    /// Notes that a process of a host started.
    pub(super) fn note(&mut self, host: usize) {
        self.started.insert(host);
    }

    /// Returns the hosts whose processes were started at least once.
    pub(super) const fn hosts(&self) -> &BTreeSet<usize> {
        &self.started
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_life_of_each_process_has_a_random_stream_of_its_own() {
        let starts = Starts::new(1);
        let first = |host, place, life| starts.random(host, place, life).next_u64();
        let drawn = [
            first(0, 0, 1),
            first(0, 0, 2),
            first(0, 1, 1),
            first(1, 0, 1),
        ];
        let distinct: BTreeSet<u64> = drawn.into_iter().collect();
        assert_eq!(distinct.len(), drawn.len());
        assert_eq!(first(0, 1, 1), drawn[2]);
    }
}
