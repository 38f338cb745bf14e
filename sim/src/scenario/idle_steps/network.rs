//! Steps on the network that change nothing.

use super::latest;
use crate::scenario::chaos::ChaosKind;
use crate::scenario::{
    Action, Latency, LinkSetting, NetworkAction, Pairs, PathProperties, Scenario, Selector, Sides,
    Step, When,
};
use core::time::Duration;
use std::collections::BTreeSet;

/// Returns the reason why a step on the network changes nothing; `None` if it may change something.
pub(super) fn idle(
    scenario: &Scenario,
    index: usize,
    step: &Step,
    action: &NetworkAction,
) -> Option<String> {
    if scenario.hosts.len() < 2 {
        return Some("there is no other node, so there is no traffic".to_owned());
    }
    match action {
        NetworkAction::Links(pairs, _, setting) => {
            no_pairs(scenario.hosts.len(), pairs).or_else(|| is_set(scenario, index, *setting))
        }
        NetworkAction::Reset(pairs) => no_pairs(scenario.hosts.len(), pairs),
        NetworkAction::Partition(sides, _) => partition(scenario, sides),
        NetworkAction::Cut(pairs, ..) | NetworkAction::Hold(pairs, _) => {
            no_pairs(scenario.hosts.len(), pairs)
        }
        NetworkAction::Clog(who) | NetworkAction::Swizzle(who) => who.mischoice(),
        NetworkAction::Heal => {
            let drawn = scenario.draws(ChaosKind::Partition);
            let is_partition =
                |action: &NetworkAction| matches!(action, NetworkAction::Partition(..));
            let idle = !drawn && !may_last(scenario, index, is_partition);
            idle.then(|| "ends partitions, and there is none at that time".to_owned())
        }
        NetworkAction::Restore => {
            let drawn = scenario.draws(ChaosKind::Cut);
            let is_cut = |action: &NetworkAction| matches!(action, NetworkAction::Cut(..));
            let idle = !drawn && !may_last(scenario, index, is_cut);
            idle.then(|| "ends cuts, and there is none at that time".to_owned())
        }
        NetworkAction::Loss(ppm) => {
            let set = |action: &NetworkAction| {
                let NetworkAction::Loss(ppm) = action else {
                    return None;
                };
                Some(*ppm)
            };
            let base = |network: &PathProperties| network.loss_ppm;
            let idle = !scenario.draws(ChaosKind::Loss) && holds(scenario, step, *ppm, set, base);
            idle.then(|| "is the loss at that time already".to_owned())
        }
        NetworkAction::Latency(latency) => {
            let set = |action: &NetworkAction| {
                let NetworkAction::Latency(latency) = action else {
                    return None;
                };
                Some(canonical(*latency))
            };
            let base = |network: &PathProperties| canonical(network.latency);
            let latency = canonical(*latency);
            let idle =
                !scenario.draws(ChaosKind::Latency) && holds(scenario, step, latency, set, base);
            idle.then(|| "is the latency at that time already".to_owned())
        }
    }
}

/// Returns a latency in its simplest form.
fn canonical(latency: Latency) -> Latency {
    match latency.bounds() {
        Some((least, most)) if least == most => Latency::Constant(least),
        Some(_) | None => latency,
    }
}

/// Returns the reason why a partition separates no nodes, or not those that its sides name.
fn partition(scenario: &Scenario, sides: &Sides) -> Option<String> {
    let of = |set: &Selector| set.fixed().unwrap_or_default();
    match sides {
        Sides::Halves | Sides::Random => None,
        Sides::Isolate(who) => who.mischoice().or_else(|| {
            let all = who.fixed()?.len() == scenario.hosts.len();
            all.then(|| "isolates all nodes, so that no node is on the other side".to_owned())
        }),
        Sides::Sets(sets) => {
            if let Some(why) = sets.iter().find_map(Selector::mischoice) {
                return Some(format!("a side {why}"));
            }
            let is_all = |set: &Selector| of(set).len() == scenario.hosts.len();
            if sets.iter().any(is_all) {
                return Some(
                    "one side has all nodes, so that no node is on another side".to_owned(),
                );
            }
            let mut taken = BTreeSet::new();
            let mut all = sets.iter().flat_map(of);
            let twice = all.find(|host| !taken.insert(*host))?;
            let name = &scenario.hosts[twice].name;
            Some(format!("{name} is on two sides"))
        }
    }
}

/// Returns the reason why a cut or hold concerns no pair of nodes.
fn no_pairs(hosts: usize, pairs: &Pairs) -> Option<String> {
    match pairs {
        Pairs::All => None,
        Pairs::Between(from, to) => from.mischoice().or_else(|| to.mischoice()).or_else(|| {
            let (from, to) = (from.fixed()?, to.fixed()?);
            let mut all = from
                .iter()
                .flat_map(|one| to.iter().map(move |two| one != two));
            let none = !all.any(|differ| differ);
            none.then(|| "concerns no pair of different nodes".to_owned())
        }),
        Pairs::Fraction(ppm) => {
            let all = hosts * (hosts - 1) / 2;
            let none = all * *ppm as usize / 1_000_000 == 0;
            none.then(|| format!("is less than one of {all} pairs"))
        }
    }
}

/// Returns whether a fault of this kind may be in effect at the time of a step.
fn may_last(scenario: &Scenario, index: usize, is_such: impl Fn(&NetworkAction) -> bool) -> bool {
    if !scenario.is_comparable() {
        return true;
    }
    let at = scenario.steps[index].when.earliest();
    let is_over = |step: &Step| match (latest(step), step.length) {
        (Some(begin), Some(length)) => begin + length < at,
        (None, _) | (_, None) => false,
    };
    let mut others = scenario.others_before(index);
    others.any(|step| {
        matches!(&step.action, Action::Network(action) if is_such(action)) && !is_over(step)
    })
}

/// Returns the reason why a setting of chosen links holds already, if no other step changes such a setting.
fn is_set(scenario: &Scenario, index: usize, setting: LinkSetting) -> Option<String> {
    let word = setting.word();
    let drawn = scenario.draws(ChaosKind::Loss) || scenario.draws(ChaosKind::Latency);
    let mut others = scenario.others_before(index);
    if drawn || !scenario.is_comparable() || others.any(|step| step.action.word() == word) {
        return None;
    }
    let links = scenario.links.iter().map(|link| link.network);
    let mut all = links.chain([scenario.network]);
    let holds = all.all(|network| match setting {
        LinkSetting::Latency(latency) => canonical(network.latency) == canonical(latency),
        LinkSetting::Loss(ppm) => network.loss_ppm == ppm,
        LinkSetting::Bandwidth(rate) => network.bandwidth == Some(rate),
        LinkSetting::Duplicate(ppm) | LinkSetting::Corrupt(ppm) => ppm == 0,
        LinkSetting::Mtu(_) => false,
    });
    holds.then(|| format!("is the {word} at that time already"))
}

/// Returns whether a value of the network holds already when a step sets it.
fn holds<T: PartialEq + Copy>(
    scenario: &Scenario,
    step: &Step,
    value: T,
    set: impl Fn(&NetworkAction) -> Option<T>,
    base: impl Fn(&PathProperties) -> T,
) -> bool {
    let word = step.action.word();
    let fixed = |step: &Step| match step.when {
        When::At(time) if step.repeat.is_none() => Some(time),
        When::At(_) | When::Between(..) | When::After(_) => None,
    };
    let Some(now) = fixed(step).filter(|_| scenario.is_comparable()) else {
        return false;
    };
    // The changes before the step, in time order: to a value, or back to the file's network.
    let mut changes: Vec<(Duration, Option<T>)> = Vec::new();
    for other in &scenario.steps {
        let Action::Network(action) = &other.action else {
            continue;
        };
        if matches!(action, NetworkAction::Links(_, _, setting) if setting.word() == word) {
            return false;
        }
        let Some(value) = set(action) else { continue };
        if core::ptr::eq(other, step) {
            continue;
        }
        let Some(at) = fixed(other) else {
            return false;
        };
        if at <= now {
            changes.push((at, Some(value)));
        }
        if let Some(end) = other.length.map(|length| at + length)
            && end <= now
        {
            changes.push((end, None));
        }
    }
    changes.sort_by_key(|(at, _)| *at);
    match changes.last() {
        Some((_, Some(held))) => *held == value,
        Some((_, None)) | None => {
            let links = scenario.links.iter().map(|link| base(&link.network));
            let mut all = links.chain([base(&scenario.network)]);
            all.all(|held| held == value)
        }
    }
}
