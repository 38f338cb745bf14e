//! One trial: a scenario unchanged, or with chaos of a certain mix and intensity.

use crate::scenario::{Chaos, Condition, Engine, Expectation, Mode, Scenario};
use core::time::Duration;
use phalanx_core::random::Random;

/// Time within which all views must be correct after chaos added by the search; at least the
/// scenario's own time.
const RECOVERY: Duration = Duration::from_secs(30);

/// The share of drawn faults that strike whole zones, in a scenario that has zones and no chaos of its own.
const BY_ZONE_PPM: u32 = 250_000;

/// One run of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The number of the trial, from 0.
    pub number: u64,
    /// The index of the scenario.
    pub base: usize,
    /// The seed.
    pub seed: u64,
    /// Chaos settings that replace those of the scenario.
    pub chaos: Option<Chaos>,
}

impl Trial {
    /// Creates a trial of the unchanged scenario.
    pub(super) const fn plain(number: u64, base: usize, seed: u64) -> Self {
        Self {
            number,
            base,
            seed,
            chaos: None,
        }
    }

    /// Creates a trial with a random part of the faults, at random intensity.
    pub(super) fn swarm(
        number: u64,
        base: usize,
        seed: u64,
        scenario: &Scenario,
        random: &mut Random,
    ) -> Self {
        let budget = budget(scenario);
        let mut kinds = budget.kinds.clone();
        random.shuffle(&mut kinds);
        kinds.truncate(1 + random.below(kinds.len().min(6) as u64) as usize);
        let chaos = Chaos {
            kinds,
            ..budget.clone()
        };
        let chaos = strength(chaos, &budget, random);
        Self {
            number,
            base,
            seed,
            chaos: Some(chaos),
        }
    }

    /// Returns the scenario of the trial.
    pub(super) fn scenario(&self, base: &Scenario) -> Scenario {
        let mut scenario = base.clone();
        let Some(chaos) = &self.chaos else {
            return scenario;
        };
        if base.chaos.is_none() {
            // The scenario's own expectations assume no chaos; only recovery and invariants are
            // checked.
            scenario.recovery = scenario.recovery.max(RECOVERY);
            scenario.expectations = vec![recovers(&scenario)];
            scenario.confluent = false;
            scenario.engines = vec![Engine::Model];
        }
        scenario.chaos = Some(chaos.clone());
        scenario
    }
}

/// Returns the limits of chaos: the scenario's own chaos, or the default.
fn budget(scenario: &Scenario) -> Chaos {
    let has_zones = scenario.hosts.iter().any(|host| host.zone.is_some());
    let usual = || Chaos {
        by_zone_ppm: if has_zones { BY_ZONE_PPM } else { 0 },
        at_once: 4,
        stay_up: 1,
        shortest: Duration::from_millis(200),
        every: Duration::from_millis(700),
        longest: (scenario.duration / 2)
            .min(scenario.longest_fault())
            .min(Duration::from_secs(15)),
        ..Chaos::usual(
            &scenario.vocabulary,
            &[Engine::Model],
            scenario.hosts.len(),
            scenario.duration,
        )
    };
    scenario.chaos.clone().unwrap_or_else(usual)
}

/// Draws another intensity within the budget.
fn strength(chaos: Chaos, budget: &Chaos, random: &mut Random) -> Chaos {
    let span = budget.longest.saturating_sub(budget.shortest);
    let shift = random.below(4) as u32;
    let hosts = (budget.stay_up as u64 + 1).max(4);
    Chaos {
        at_once: 1 + random.below(budget.at_once as u64) as usize,
        every: budget.every * (1 + random.below(6) as u32),
        longest: budget.shortest + span / 2_u32.pow(shift),
        // The scenario's own number of nodes that stay up is kept.
        stay_up: if chaos.line > 0 {
            budget.stay_up
        } else {
            budget.stay_up + random.below(hosts / 2) as usize
        },
        ..chaos
    }
}

/// Returns the expectation that all views are correct after the faults.
fn recovers(scenario: &Scenario) -> Expectation {
    Expectation {
        file: scenario.file.clone(),
        line: 0,
        text: "eventually = { converged = true }".to_owned(),
        mode: Mode::Eventually(Condition::Converged),
        from: scenario.duration,
        to: Some(scenario.duration + scenario.recovery),
    }
}
