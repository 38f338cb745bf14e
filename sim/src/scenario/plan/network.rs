//! Plans the actions of steps on the network.

use super::{Cut, LinkSettingChange, Origin, Planner, ScheduledAction, Work};
use crate::scenario::{Direction, NetworkAction, Pairs, ScenarioError, Selector, Sides};
use core::time::Duration;
use phalanx_core::random::Random;

impl Planner<'_> {
    /// Plans a step's action on the network.
    pub(super) fn network(
        &mut self,
        at: Duration,
        index: usize,
        action: &NetworkAction,
        random: &mut Random,
    ) -> Result<(), ScenarioError> {
        let step = &self.scenario.steps[index];
        let from = Origin::step(self.scenario, index);
        let until = |length: Duration| at + length;
        match action {
            NetworkAction::Partition(sides, direction) => {
                let sides = self.sides(sides, random);
                self.name(step.named.as_deref(), &sides);
                let cut = Cut::partition(self.scenario.hosts.len(), &sides, *direction);
                self.cut(at, from, cut, false, step.length);
            }
            NetworkAction::Cut(pairs, direction, kept) => {
                let cut = self.pairs(index, pairs, *direction, random)?;
                self.cut(at, from, cut, *kept, step.length);
            }
            NetworkAction::Hold(pairs, direction) => {
                let cut = self.pairs(index, pairs, *direction, random)?;
                self.hold(at, from, cut, step.length);
            }
            NetworkAction::Clog(who) => {
                let who = self.select(who, random);
                let cut = self.around(&who);
                self.hold(at, from, cut, step.length);
            }
            NetworkAction::Swizzle(who) => self.swizzle(at, index, who, random),
            NetworkAction::Heal => {
                let partitions: Vec<bool> = self.plan.cuts.iter().map(Cut::is_partition).collect();
                self.mend(at, from, |cut, _| partitions[cut]);
            }
            NetworkAction::Restore => {
                let partitions: Vec<bool> = self.plan.cuts.iter().map(Cut::is_partition).collect();
                self.mend(at, from, |cut, _| !partitions[cut]);
            }
            NetworkAction::Loss(ppm) => {
                self.schedule(at, from, ScheduledAction::Loss(Some(*ppm)));
                if let Some(length) = step.length {
                    self.later(until(length), from, ScheduledAction::Loss(None));
                }
            }
            NetworkAction::Latency(latency) => {
                self.schedule(at, from, ScheduledAction::Latency(Some(*latency)));
                if let Some(length) = step.length {
                    self.later(until(length), from, ScheduledAction::Latency(None));
                }
            }
            NetworkAction::Links(pairs, direction, setting) => {
                let pairs = self.pairs(index, pairs, *direction, random)?;
                let (change, setting) = (self.plan.link_changes.len(), *setting);
                self.plan
                    .link_changes
                    .push(LinkSettingChange { pairs, setting });
                let links = |on| ScheduledAction::Links { change, on };
                self.schedule(at, from, links(true));
                if let Some(length) = step.length {
                    self.later(until(length), from, links(false));
                }
            }
            NetworkAction::Reset(pairs) => {
                let cut = self.pairs(index, pairs, Direction::Both, random)?;
                let index = self.plan.cuts.len();
                self.plan.cuts.push(cut);
                self.schedule(at, from, ScheduledAction::Reset(index));
            }
        }
        Ok(())
    }

    fn pairs(
        &self,
        index: usize,
        pairs: &Pairs,
        direction: Direction,
        random: &mut Random,
    ) -> Result<Cut, ScenarioError> {
        match pairs {
            Pairs::All => Ok(Cut::everything()),
            Pairs::Between(from, to) => {
                let (from, to) = (self.select(from, random), self.select(to, random));
                Ok(Cut::between(&from, &to, direction))
            }
            Pairs::Fraction(ppm) => Cut::drawn(self.scenario.hosts.len(), *ppm, direction, random)
                .map_err(|why| self.error(index, "fraction", why)),
        }
    }

    /// Returns all pairs with one end among these nodes.
    fn around(&self, who: &[usize]) -> Cut {
        let all: Vec<usize> = (0..self.scenario.hosts.len()).collect();
        Cut::between(who, &all, Direction::Both)
    }

    /// Schedules a cut, and its end after `length` or at the end of the fault phase, whichever is earlier.
    pub(super) fn cut(
        &mut self,
        at: Duration,
        from: Origin,
        cut: Cut,
        kept: bool,
        length: Option<Duration>,
    ) {
        let index = self.plan.cuts.len();
        self.plan.cuts.push(cut);
        self.schedule(at, from, ScheduledAction::Cut(index));
        if self.trigger.is_some() {
            if let Some(length) = length {
                self.schedule(at + length, from, ScheduledAction::Heal(index));
            }
        } else if let Some(length) = length {
            self.push(at + length, Work::Heal(index, from));
        }
        self.active.push((index, kept));
    }

    /// Schedules a hold: traffic between the pairs is delayed until `length` has passed or all faults are lifted.
    pub(super) fn hold(&mut self, at: Duration, from: Origin, cut: Cut, length: Option<Duration>) {
        let left = self.plan.faults_end.saturating_sub(at);
        let length = length.map_or(left, |length| length.min(left));
        let index = self.plan.cuts.len();
        self.plan.cuts.push(cut);
        self.later(at, from, ScheduledAction::Hold { cut: index, length });
    }

    /// Clogs nodes one after another and frees them in another order.
    fn swizzle(&mut self, at: Duration, index: usize, who: &Selector, random: &mut Random) {
        let step = &self.scenario.steps[index];
        let left = self.plan.faults_end.saturating_sub(at);
        let length = step.length.map_or(left, |length| length.min(left));
        let mut hosts = self.select(who, random);
        let count = u32::try_from(hosts.len()).unwrap_or(u32::MAX);
        random.shuffle(&mut hosts);
        let mut freed = hosts.clone();
        random.shuffle(&mut freed);
        for (number, host) in (0..count).zip(&hosts) {
            let position = freed
                .iter()
                .position(|other| other == host)
                .unwrap_or_default();
            let position = u32::try_from(position + 1).unwrap_or(u32::MAX);
            let begin = length / 2 * number / count;
            let end = length / 2 + length / 2 * position / count;
            let cut = self.around(&[*host]);
            self.hold(
                at + begin,
                Origin::step(self.scenario, index),
                cut,
                Some(end - begin),
            );
        }
    }

    pub(super) fn sides(&self, sides: &Sides, random: &mut Random) -> Vec<Vec<usize>> {
        let all = 0..self.scenario.hosts.len();
        let split = |random: &mut Random, size: usize| {
            let mut hosts: Vec<usize> = all.clone().collect();
            random.shuffle(&mut hosts);
            let second = hosts.split_off(size);
            vec![hosts, second]
        };
        match sides {
            Sides::Sets(sets) => {
                let mut sides: Vec<Vec<usize>> =
                    sets.iter().map(|set| self.select(set, random)).collect();
                if let Some(rest) = sets.iter().position(Selector::is_rest) {
                    let chosen = |host: &usize| sides.iter().any(|side| side.contains(host));
                    let others = all.filter(|host| !chosen(host)).collect();
                    sides[rest] = others;
                }
                sides
            }
            Sides::Halves => split(random, all.len() / 2),
            Sides::Random => {
                let size = 1 + random.below((all.len() as u64).saturating_sub(1)) as usize;
                split(random, size.min(all.len()))
            }
            Sides::Isolate(who) => {
                let who = self.select(who, random);
                let others = all.filter(|host| !who.contains(host)).collect();
                vec![who, others]
            }
        }
    }

    /// Names the sides `word.1`, `word.2`, ...; `word` alone is the first side.
    fn name(&mut self, word: Option<&str>, sides: &[Vec<usize>]) {
        let Some(word) = word else { return };
        let named = &mut self.plan.named;
        for (index, side) in sides.iter().enumerate() {
            named.insert(format!("{word}.{}", index + 1), side.clone());
        }
        named.insert(word.to_owned(), sides.first().cloned().unwrap_or_default());
    }
}
