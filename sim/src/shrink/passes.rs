//! The simplifications of a scenario, one change at a time.

use super::Shrinker;
use super::ddmin::ddmin;
use super::explicit::{is_left, is_whole, mapped_mode, mapped_step};
use crate::scenario::{
    Action, Clock, Direction, LinkRule, NetworkAction, NodeAction, OwnAction, Pairs,
    PathProperties, Scenario, Selector, Sides, Step, When,
};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

impl Shrinker<'_> {
    /// Tries each simplification once; returns whether any was kept.
    pub(super) fn round(&mut self) -> bool {
        let before = self.best.to_toml();
        self.shorter_run();
        self.fewer_steps();
        self.fewer_nodes();
        self.plainer_world();
        self.smaller_steps();
        self.rounder_times();
        !self.stopped && self.best.to_toml() != before
    }

    /// Applies the changes that only improve readability.
    pub(super) fn finish(&mut self) {
        for index in 0..self.best.steps.len() {
            self.change(|scenario| isolate_smaller_side(scenario, index));
        }
        // These changes may have made a step unnecessary.
        self.fewer_steps();
    }

    fn fewer_steps(&mut self) {
        let steps = self.best.steps.clone();
        ddmin(&steps, &mut |some| {
            let some = some.to_vec();
            self.change(|scenario| scenario.steps = some)
        });
    }

    fn fewer_nodes(&mut self) {
        let base = self.best.clone();
        let all: Vec<usize> = (0..base.hosts.len()).collect();
        ddmin(&all, &mut |some| {
            let kept: BTreeSet<usize> = some.iter().copied().collect();
            with_hosts(&base, &kept).is_some_and(|smaller| self.try_with(smaller))
        });
    }

    /// Ends the fault phase soon after the last step, and reduces the recovery time to the necessary time.
    fn shorter_run(&mut self) {
        let last = self
            .best
            .steps
            .iter()
            .map(|step| step.when.earliest())
            .max();
        let least = last.unwrap_or_default() + Duration::from_millis(1);
        self.lower(least, duration_of, end_earlier);
        if self
            .target
            .expectation
            .starts_with(super::likeness::RECOVERY)
        {
            let recovery = |scenario: &Scenario| scenario.recovery;
            self.lower(Duration::from_secs(5), recovery, |scenario, time| {
                scenario.recovery = time;
            });
        }
    }

    /// Reduces a time as far as possible, in steps to round values, but not below `least`.
    fn lower(
        &mut self,
        least: Duration,
        get: impl Fn(&Scenario) -> Duration,
        set: impl Fn(&mut Scenario, Duration),
    ) {
        loop {
            let value = get(&self.best);
            let room = value.saturating_sub(least);
            let tries = [0, 1, 2, 3].map(|quarters| round_up(least + room * quarters / 4));
            let mut lower = tries.into_iter().filter(|time| *time < value);
            if !lower.any(|time| self.change(|scenario| set(scenario, time))) {
                return;
            }
        }
    }

    fn plainer_world(&mut self) {
        let best = &self.best;
        if best.network != PathProperties::default() {
            self.change(|scenario| scenario.network = PathProperties::default());
        }
        let links = self.best.links.clone();
        ddmin(&links, &mut |some: &[LinkRule]| {
            let some = some.to_vec();
            self.change(|scenario| scenario.links = some)
        });
        for (key, _) in self.best.settings.clone().iter() {
            self.change(|scenario| scenario.settings = scenario.settings.without(key));
        }
        if !self.best.spread.is_zero() {
            self.change(|scenario| scenario.spread = Duration::from_millis(100));
        }
        let programs = self.best.vocabulary.programs.iter();
        let keys = programs.flat_map(|words| words.hosts);
        let keys: Vec<&'static str> = keys.map(|field| field.key).collect();
        for key in keys {
            if self
                .best
                .hosts
                .iter()
                .any(|host| host.own.get(key).is_some())
            {
                self.change(|scenario| without_own(scenario, key));
            }
        }
        for simpler in [no_roles, plain_clocks, at_once] {
            let mut candidate = self.best.clone();
            simpler(&mut candidate);
            if candidate.hosts != self.best.hosts {
                self.try_with(candidate);
            }
        }
    }

    /// Removes nodes from each step, and simplifies its fault.
    fn smaller_steps(&mut self) {
        for index in 0..self.best.steps.len() {
            for part in 0..parts(&mut self.best.steps[index].clone()).len() {
                self.fewer_of(index, part);
            }
            for simpler in [both_ways, unending, short_pause] {
                let mut step = self.best.steps[index].clone();
                if simpler(&mut step) {
                    self.change(|scenario| scenario.steps[index] = step);
                }
            }
            for shorter in shorter_words(&self.best, index) {
                self.change(|scenario| scenario.steps[index].action = shorter);
            }
        }
    }

    /// Removes nodes from one part of a step.
    fn fewer_of(&mut self, index: usize, part: usize) {
        let mut step = self.best.steps[index].clone();
        let Some(hosts) = parts(&mut step)[part]
            .fixed()
            .filter(|hosts| hosts.len() > 1)
        else {
            return;
        };
        ddmin(&hosts, &mut |some| {
            let mut step = step.clone();
            let who = &mut *parts(&mut step)[part];
            *who = Selector::of(some).running(who.program());
            !some.is_empty()
                && is_left(&step)
                && self.change(|scenario| scenario.steps[index] = step)
        });
    }

    /// Rounds times to whole seconds, or else to tenths of a second.
    fn rounder_times(&mut self) {
        for index in 0..self.best.steps.len() {
            let When::At(time) = self.best.steps[index].when else {
                continue;
            };
            self.rounder(time, |scenario| match &mut scenario.steps[index].when {
                When::At(time) => Some(time),
                When::Between(..) | When::After(_) => None,
            });
            if let Some(length) = self.best.steps[index].length {
                self.rounder(length, |scenario| scenario.steps[index].length.as_mut());
            }
            if let Some(length) = own_length(&mut self.best.steps[index].clone()) {
                let length = *length;
                self.rounder(length, |scenario| own_length(&mut scenario.steps[index]));
            }
        }
        // Keeps the steps ordered by their times.
        let sorted = self
            .best
            .steps
            .is_sorted_by_key(|step| step.when.earliest());
        if !sorted {
            self.change(|scenario| scenario.steps.sort_by_key(|step| step.when.earliest()));
        }
    }

    fn rounder(&mut self, time: Duration, field: impl Fn(&mut Scenario) -> Option<&mut Duration>) {
        let nanos = time.as_nanos() as u64;
        for unit in [1_000_000_000, 100_000_000, 10_000_000, 1_000_000] {
            if nanos.is_multiple_of(unit) {
                return;
            }
            for round in [nanos / unit * unit, nanos.div_ceil(unit) * unit] {
                let round = Duration::from_nanos(round);
                let fits = !round.is_zero() && round < self.best.duration;
                let changed = fits
                    && self.change(|scenario| {
                        if let Some(time) = field(scenario) {
                            *time = round;
                        }
                    });
                if changed {
                    return;
                }
            }
        }
    }
}

const fn duration_of(scenario: &Scenario) -> Duration {
    scenario.duration
}

/// Ends the fault phase earlier, and moves later expectations accordingly.
fn end_earlier(scenario: &mut Scenario, duration: Duration) {
    let earlier = scenario.duration.saturating_sub(duration);
    for expectation in &mut scenario.expectations {
        if expectation.from >= scenario.duration {
            expectation.from -= earlier;
            expectation.to = expectation.to.map(|to| to - earlier);
        }
    }
    scenario.duration = duration;
    if let Some(chaos) = &mut scenario.chaos {
        chaos.quiet = chaos.quiet.min(duration);
    }
}

/// Rounds up to a whole second above two seconds, otherwise to a tenth.
fn round_up(time: Duration) -> Duration {
    let unit = if time > Duration::from_secs(2) {
        1_000_000_000
    } else {
        100_000_000
    };
    Duration::from_nanos((time.as_nanos() as u64).div_ceil(unit) * unit)
}

/// Returns the scenario with only some of its hosts; `None` if the failing expectation needs another host.
fn with_hosts(scenario: &Scenario, kept: &BTreeSet<usize>) -> Option<Scenario> {
    let stays = |host: usize| {
        kept.contains(&host)
            && scenario.hosts[host]
                .clone_of
                .is_none_or(|of| kept.contains(&of))
    };
    let left: Vec<usize> = (0..scenario.hosts.len())
        .filter(|host| stays(*host))
        .collect();
    let place = |host: usize| left.iter().position(|other| *other == host);
    let named = BTreeMap::new();
    let mut smaller = scenario.clone();
    smaller.hosts = left
        .iter()
        .map(|host| scenario.hosts[*host].clone())
        .collect();
    for host in &mut smaller.hosts {
        host.clone_of = host.clone_of.and_then(place);
    }
    smaller.seeds = scenario
        .seeds
        .iter()
        .filter_map(|seed| place(*seed))
        .collect();
    if smaller.seeds.is_empty() {
        smaller.seeds.push(0);
        smaller.seed_name = None;
    }
    let map = |hosts: &[usize]| hosts.iter().filter_map(|host| place(*host)).collect();
    for hosts in smaller.names.values_mut() {
        *hosts = map(hosts);
    }
    smaller.names.retain(|_, hosts| !hosts.is_empty());
    for rule in &mut smaller.links {
        (rule.from, rule.to) = (map(&rule.from), map(&rule.to));
    }
    smaller
        .links
        .retain(|rule| !rule.from.is_empty() && !rule.to.is_empty());
    let steps = scenario
        .steps
        .iter()
        .map(|step| mapped_step(step, &named, &place));
    smaller.steps = steps.filter(is_left).collect();
    for expectation in &mut smaller.expectations {
        expectation.mode = mapped_mode(&expectation.mode, &named, &place);
    }
    let whole = smaller.expectations.iter().all(is_whole);
    (whole && !smaller.hosts.is_empty()).then_some(smaller)
}

/// Returns the node selectors of a step.
fn parts(step: &mut Step) -> Vec<&mut Selector> {
    match &mut step.action {
        Action::Nodes(who, _) => vec![who],
        Action::Clone(_) => Vec::new(),
        Action::Network(action) => match action {
            NetworkAction::Partition(Sides::Sets(sets), _) => sets.iter_mut().collect(),
            NetworkAction::Partition(Sides::Isolate(who), _)
            | NetworkAction::Clog(who)
            | NetworkAction::Swizzle(who) => vec![who],
            NetworkAction::Cut(Pairs::Between(from, to), ..)
            | NetworkAction::Links(Pairs::Between(from, to), ..)
            | NetworkAction::Reset(Pairs::Between(from, to))
            | NetworkAction::Hold(Pairs::Between(from, to), _) => vec![from, to],
            NetworkAction::Partition(..) | NetworkAction::Cut(..) | NetworkAction::Hold(..) => {
                Vec::new()
            }
            NetworkAction::Links(..) | NetworkAction::Reset(_) => Vec::new(),
            NetworkAction::Heal | NetworkAction::Restore => Vec::new(),
            NetworkAction::Loss(_) | NetworkAction::Latency(_) => Vec::new(),
        },
    }
}

fn both_ways(step: &mut Step) -> bool {
    let Action::Network(action) = &mut step.action else {
        return false;
    };
    match action {
        NetworkAction::Partition(_, direction)
        | NetworkAction::Cut(_, direction, _)
        | NetworkAction::Links(_, direction, _)
        | NetworkAction::Hold(_, direction) => {
            std::mem::replace(direction, Direction::Both) != Direction::Both
        }
        NetworkAction::Heal | NetworkAction::Restore | NetworkAction::Reset(_) => false,
        NetworkAction::Clog(_) | NetworkAction::Swizzle(_) => false,
        NetworkAction::Loss(_) | NetworkAction::Latency(_) => false,
    }
}

/// Makes a fault last until all faults are lifted.
const fn unending(step: &mut Step) -> bool {
    step.length.take().is_some()
}

/// Halves a pause.
fn short_pause(step: &mut Step) -> bool {
    match own_length(step) {
        Some(length) if *length > Duration::from_secs(2) => {
            *length = round_up(*length / 2);
            true
        }
        _ => false,
    }
}

/// Returns the duration that an action itself contains.
fn own_length(step: &mut Step) -> Option<&mut Duration> {
    match &mut step.action {
        Action::Nodes(_, action) => match action {
            NodeAction::Pause(length) => Some(length),
            NodeAction::Slow { length, .. } => length.as_mut(),
            NodeAction::Own(action) => action.arguments.time_mut("for"),
            NodeAction::Clock { jump, .. } => Some(jump),
            NodeAction::Crash | NodeAction::PowerLoss | NodeAction::Restart(_) => None,
            NodeAction::Disk(_) | NodeAction::Certificate(_) => None,
            NodeAction::Trouble(_) | NodeAction::Move => None,
            NodeAction::Join | NodeAction::Leave => None,
            NodeAction::Command { .. } => None,
        },
        Action::Network(_) | Action::Clone(_) => None,
    }
}

/// Returns the variants of a program-specific step's action that lack one optional argument.
fn shorter_words(scenario: &Scenario, index: usize) -> Vec<Action> {
    let Action::Nodes(who, NodeAction::Own(action)) = &scenario.steps[index].action else {
        return Vec::new();
    };
    let Some(words) = scenario.vocabulary.program(action.program) else {
        return Vec::new();
    };
    let optional = words.optional_arguments(action.word).into_iter();
    let given = optional.filter(|key| action.arguments.get(key).is_some());
    let shorter = given.map(|key| OwnAction {
        arguments: action.arguments.without(key),
        ..action.clone()
    });
    let allowed = shorter.filter(|action| words.allow(action));
    allowed
        .map(|action| Action::Nodes(who.clone(), NodeAction::Own(action)))
        .collect()
}

fn plain_clocks(scenario: &mut Scenario) {
    for host in &mut scenario.hosts {
        host.clock = Clock::default();
    }
}

/// Removes a key of a program from all hosts.
fn without_own(scenario: &mut Scenario, key: &str) {
    for host in &mut scenario.hosts {
        host.own = host.own.without(key);
    }
}

/// Removes the roles of all nodes.
fn no_roles(scenario: &mut Scenario) {
    for host in &mut scenario.hosts {
        host.role = None;
    }
}

fn at_once(scenario: &mut Scenario) {
    for host in &mut scenario.hosts {
        host.start = host.start.map(|_| Duration::ZERO);
    }
}

/// Replaces a partition into two sides that together contain all nodes by the isolation of the smaller side.
fn isolate_smaller_side(scenario: &mut Scenario, index: usize) {
    let hosts = scenario.hosts.len();
    let Some(step) = scenario.steps.get_mut(index) else {
        return;
    };
    let Action::Network(NetworkAction::Partition(sides, direction)) = &mut step.action else {
        return;
    };
    let Sides::Sets(sets) = &*sides else { return };
    let fixed: Option<Vec<Vec<usize>>> = sets.iter().map(Selector::fixed).collect();
    let Some([one, two]) = fixed.as_deref() else {
        return;
    };
    if one.len() + two.len() != hosts {
        return;
    }
    let (smaller, turned) = if two.len() < one.len() {
        (two, true)
    } else {
        (one, false)
    };
    *sides = Sides::Isolate(Selector::of(smaller));
    *direction = match *direction {
        Direction::Out if turned => Direction::In,
        Direction::In if turned => Direction::Out,
        Direction::Both | Direction::Out | Direction::In => *direction,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chaos_ends_before_the_end_of_a_shortened_run() {
        let text = "scenario = 1\nname = \"a\"\nabout = \"Faults at random.\"\nengines = [\"model\"]\nduration = \"20s\"\n\
            [chaos]\nkinds = [\"pause\"]\nat-once = 1\nstay-up = 1\nevery = \"1s\"\nshortest = \"1s\"\nlongest = \"2s\"\n\
            from = \"3s\"\nquiet = \"20s\"\n[[nodes]]\ncount = 3\n\
            [[expect]]\neventually = { converged = true }\nfrom = \"20s\"\nwithin = \"5s\"\n";
        let mut scenario = Scenario::parse("a.toml", text).expect("it is right");
        end_earlier(&mut scenario, Duration::from_secs(10));
        let written = scenario.to_toml();
        let again = Scenario::parse("b.toml", &written);
        let again = again.unwrap_or_else(|why| panic!("{why}\n{written}"));
        assert_eq!(again.duration, Duration::from_secs(10));
    }
}
