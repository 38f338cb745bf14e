//! The broadcasts that hosts are told they missed.

use phalanx_core::channel::UpdateId;
use std::collections::BTreeMap;

/// For each host, the first and last broadcast of each notice.
#[derive(Debug, Default)]
pub(super) struct Misses {
    told: BTreeMap<usize, BTreeMap<UpdateId, UpdateId>>,
}

impl Misses {
    /// A host starts, and its process knows no notices.
    pub(super) fn forget(&mut self, host: usize) {
        self.told.remove(&host);
    }

    /// A host is told that it missed the broadcasts from `first` to `last`, which have the same origin and epoch.
    pub(super) fn tell(&mut self, host: usize, first: UpdateId, last: UpdateId) {
        self.told.entry(host).or_default().insert(first, last);
    }

    /// Whether a host was told that it missed a broadcast.
    pub(super) fn was_told(&self, host: usize, id: &UpdateId) -> bool {
        let told = self.told.get(&host);
        let before = told.and_then(|told| told.range(..=id).next_back());
        before.is_some_and(|(_, last)| id <= last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_core::identity::NodeId;

    fn update(origin: &str, sequence: u64) -> UpdateId {
        UpdateId {
            channel: "chat".parse().unwrap(),
            origin: NodeId::new(origin).unwrap(),
            epoch: 1,
            sequence,
        }
    }

    #[test]
    fn a_notice_covers_its_broadcasts_on_its_host_until_the_host_starts_again() {
        let mut misses = Misses::default();
        misses.tell(1, update("a", 3), update("a", 5));
        misses.tell(1, update("b", 1), update("b", 1));
        let told = |misses: &Misses, host, origin| {
            (1..9)
                .filter(|at| misses.was_told(host, &update(origin, *at)))
                .collect::<Vec<u64>>()
        };
        assert_eq!(told(&misses, 1, "a"), [3, 4, 5]);
        assert_eq!(told(&misses, 1, "b"), [1]);
        assert!(told(&misses, 0, "a").is_empty() && told(&misses, 1, "c").is_empty());
        misses.forget(1);
        assert!(told(&misses, 1, "a").is_empty());
    }
}
