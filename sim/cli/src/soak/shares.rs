//! The shares of a soak's time: each scenario has the same, and the search has as much as all scenarios together.

use std::time::Duration;

/// The next work of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// A trial of the search.
    Search,
    /// A run of an unchanged scenario.
    Scenario {
        /// The index of the scenario.
        index: usize,
        /// The seed.
        seed: u64,
    },
}

/// The time spent so far.
#[derive(Clone, Debug)]
pub(super) struct Shares {
    scenarios: Vec<ScenarioShare>,
    search: Duration,
}

#[derive(Clone, Copy, Debug)]
struct ScenarioShare {
    spent: Duration,
    /// The number of runs that began and did not end. Each counts as the average of the ended ones.
    running: u32,
    ended: u32,
    next_seed: u64,
}

impl ScenarioShare {
    /// Returns the time spent, with the expected time of the present runs.
    fn expected(&self) -> Duration {
        let average = self.spent / self.ended.max(1);
        self.spent + average * self.running
    }
}

impl Shares {
    pub(super) fn new(scenarios: usize, first_seed: u64) -> Self {
        let share = ScenarioShare {
            spent: Duration::ZERO,
            running: 0,
            ended: 0,
            next_seed: first_seed,
        };
        Self {
            scenarios: vec![share; scenarios],
            search: Duration::ZERO,
        }
    }

    /// Returns the next work: of the search if it had less time than the scenarios, or else of the scenario that had the
    /// least time. Scenarios that never ran come first.
    pub(super) fn next(&mut self) -> Share {
        let spent: Duration = self.scenarios.iter().map(|share| share.spent).sum();
        let shares = self.scenarios.iter_mut().enumerate();
        let least = shares.min_by_key(|(_, share)| {
            let begun = share.ended + share.running;
            (begun > 0, share.expected(), begun)
        });
        match least {
            Some((index, share)) if share.ended + share.running == 0 || spent <= self.search => {
                let seed = share.next_seed;
                share.next_seed = seed.saturating_add(1);
                share.running += 1;
                Share::Scenario { index, seed }
            }
            Some(_) | None => Share::Search,
        }
    }

    /// Adds the time of work that ended.
    pub(super) fn spend(&mut self, share: Share, time: Duration) {
        match share {
            Share::Search => self.search += time,
            Share::Scenario { index, .. } => {
                let share = &mut self.scenarios[index];
                share.spent += time;
                share.running = share.running.saturating_sub(1);
                share.ended += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_scenario_has_no_more_time_than_the_others_and_search_has_half() {
        let mut shares = Shares::new(3, 5);
        let (mut runs, mut trials) = ([0_u64; 3], 0);
        for _ in 0..1_000 {
            let share = shares.next();
            let time = match share {
                Share::Search => {
                    trials += 1;
                    1
                }
                Share::Scenario { index, seed } => {
                    assert_eq!(seed, 5 + runs[index]);
                    runs[index] += 1;
                    [1, 1, 100][index]
                }
            };
            shares.spend(share, Duration::from_millis(time));
        }
        assert!(runs[2] >= 1 && runs[0] > 30 * runs[2], "{runs:?}");
        let spent = runs[0] + runs[1] + 100 * runs[2];
        assert!(trials * 2 > spent && trials < spent * 2, "{trials} {spent}");
    }
}
