//! One trial: a scenario as it stands, or with chaos of a certain mix and strength on top.

use crate::scenario::{Chaos, Condition, Engine, Expectation, Mode, Scenario};
use core::time::Duration;
use phalanx_core::random::Random;

/// After chaos that the search added, all views must be right within this, or within the scenario's own time.
const RECOVERY: Duration = Duration::from_secs(30);

/// One run of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Its number, from 0.
    pub number: u64,
    /// Which scenario.
    pub base: usize,
    /// The seed.
    pub seed: u64,
    /// Other settings of chaos than the scenario's own.
    pub chaos: Option<Chaos>,
}

impl Trial {
    /// The scenario as it stands.
    pub(super) const fn plain(number: u64, base: usize, seed: u64) -> Self {
        Self {
            number,
            base,
            seed,
            chaos: None,
        }
    }

    /// A random part of the faults, at random strength.
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

    /// A trial near this one.
    pub(super) fn mutated(&self, number: u64, scenario: &Scenario, random: &mut Random) -> Self {
        let budget = budget(scenario);
        let seed = if random.chance_ppm(700_000) {
            1 + random.below(1 << 32)
        } else {
            self.seed
        };
        let mut chaos = match &self.chaos {
            Some(chaos) => chaos.clone(),
            None => {
                return Self {
                    number,
                    seed,
                    ..self.clone()
                };
            }
        };
        if random.chance_ppm(400_000)
            && let Some(kind) = random.pick(&budget.kinds)
        {
            if chaos.kinds.len() > 1 && chaos.kinds.contains(kind) {
                chaos.kinds.retain(|known| known != kind);
            } else if !chaos.kinds.contains(kind) {
                chaos.kinds.push(*kind);
            }
        }
        if random.chance_ppm(300_000) {
            chaos = strength(chaos, &budget, random);
        }
        Self {
            number,
            seed,
            chaos: Some(chaos),
            ..self.clone()
        }
    }

    /// What it runs.
    pub(super) fn scenario(&self, base: &Scenario) -> Scenario {
        let mut scenario = base.clone();
        let Some(chaos) = &self.chaos else {
            return scenario;
        };
        if base.chaos.is_none() {
            // What was expected of the scenario was expected without chaos: recovery and invariants remain.
            scenario.recovery = scenario.recovery.max(RECOVERY);
            scenario.expectations = vec![recovers(&scenario)];
            scenario.confluent = false;
            scenario.engines = vec![Engine::Model];
        }
        scenario.chaos = Some(chaos.clone());
        scenario
    }
}

/// What may happen at most: the scenario's own chaos, or the usual.
fn budget(scenario: &Scenario) -> Chaos {
    let usual = || Chaos {
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

/// Another strength within the budget.
fn strength(chaos: Chaos, budget: &Chaos, random: &mut Random) -> Chaos {
    let span = budget.longest.saturating_sub(budget.shortest);
    let shift = random.below(4) as u32;
    let hosts = (budget.stay_up as u64 + 1).max(4);
    Chaos {
        at_once: 1 + random.below(budget.at_once as u64) as usize,
        every: budget.every * (1 + random.below(6) as u32),
        longest: budget.shortest + span / 2_u32.pow(shift),
        // A scenario's own word on how many must stay is kept.
        stay_up: if chaos.line > 0 {
            budget.stay_up
        } else {
            budget.stay_up + random.below(hosts / 2) as usize
        },
        ..chaos
    }
}

/// All views are right after the faults.
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
