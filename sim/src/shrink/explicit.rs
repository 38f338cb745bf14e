//! Converts a scenario to one without random choices: every fault has fixed nodes and a fixed instant.

use crate::scenario::plan::{Cut, LinkSettingChange, Plan, Planned, ScheduledAction};
use crate::scenario::{
    Action, Condition, Direction, Disk, Expectation, Extent, Mode, NetworkAction, NodeAction,
    OwnAction, Pairs, Scenario, Selector, Sides, Step, When,
};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

/// Returns the scenario with the random choices of its plan written as steps.
pub(crate) fn explicit(scenario: &Scenario, plan: &Plan) -> Scenario {
    let mut writer = Writer {
        scenario,
        plan,
        steps: Vec::new(),
        ran: BTreeSet::new(),
        written: BTreeSet::new(),
        program: None,
        place: (scenario.file.clone(), 0),
    };
    for (at, planned) in plan.actions.iter().enumerate() {
        writer.action(at, planned);
    }
    let waiting = scenario
        .steps
        .iter()
        .filter(|step| matches!(step.when, When::After(_)));
    let waiting: Vec<Step> = waiting
        .map(|step| mapped_step(step, &plan.named, &Some))
        .collect();
    let mut steps = writer.steps;
    steps.extend(waiting);
    let mut explicit = Scenario {
        chaos: None,
        steps,
        confluent: false,
        ..scenario.clone()
    };
    for host in &mut explicit.hosts {
        // A role may decide which programs the host runs.
        (host.region, host.zone, host.group) = (None, None, None);
    }
    for expectation in &mut explicit.expectations {
        expectation.mode = mapped_mode(&expectation.mode, &plan.named, &Some);
    }
    explicit
}

struct Writer<'a> {
    scenario: &'a Scenario,
    plan: &'a Plan,
    steps: Vec<Step>,
    /// The hosts that have been started.
    ran: BTreeSet<usize>,
    /// The steps that shrinking keeps unchanged, and that are already written.
    written: BTreeSet<usize>,
    /// The program that the current action concerns.
    program: Option<&'static str>,
    /// The file and line of the step that the current action comes from; line 0 for chaos.
    place: (String, usize),
}

impl Writer<'_> {
    fn action(&mut self, index: usize, planned: &Planned) {
        self.program = planned.program;
        let step = planned.step.and_then(|step| self.scenario.steps.get(step));
        self.place = match step {
            Some(step) => (step.file.clone(), step.line),
            None => (self.scenario.file.clone(), 0),
        };
        if planned.step.is_none() && !planned.chaos {
            if let ScheduledAction::Start { host, .. } = planned.action {
                self.ran.insert(host);
            }
            return;
        }
        let at = planned.at;
        match &planned.action {
            ScheduledAction::Start { host, disk } => self.start(at, *host, *disk),
            ScheduledAction::Stop { host, power_loss } => {
                let action = if *power_loss {
                    NodeAction::PowerLoss
                } else {
                    NodeAction::Crash
                };
                self.nodes(at, *host, action, None);
            }
            // The action has no effect.
            ScheduledAction::NoPower { .. } => {}
            ScheduledAction::Cut(_)
            | ScheduledAction::Hold { .. }
            | ScheduledAction::Loss(Some(_))
            | ScheduledAction::Latency(Some(_))
            | ScheduledAction::Links { on: true, .. }
            | ScheduledAction::Reset(_) => self.network(index, planned),
            // The end of a fault is written together with its beginning.
            ScheduledAction::Heal(_)
            | ScheduledAction::Trouble { on: false, .. }
            | ScheduledAction::Links { on: false, .. }
            | ScheduledAction::Loss(None)
            | ScheduledAction::Latency(None)
            | ScheduledAction::Disk { fault: None, .. } => {}
            ScheduledAction::Pause { host, length } => {
                self.nodes(at, *host, NodeAction::Pause(*length), None)
            }
            ScheduledAction::Clock { .. }
            | ScheduledAction::Trouble { on: true, .. }
            | ScheduledAction::Disk { fault: Some(_), .. } => self.machine(index, planned),
            ScheduledAction::Move(host) => self.nodes(at, *host, NodeAction::Move, None),
            ScheduledAction::Slow { host, by } => self.slow(index, at, *host, *by),
            ScheduledAction::Certificate { host, is } => {
                self.nodes(at, *host, NodeAction::Certificate(*is), None);
            }
            ScheduledAction::Leave(host) => self.nodes(at, *host, NodeAction::Leave, None),
            ScheduledAction::Own { host, action } => self.own(index, planned, *host, action),
            ScheduledAction::Command {
                host,
                name,
                with,
                refused,
            } => {
                let action = NodeAction::Command {
                    name: name.clone(),
                    with: with.clone(),
                    refused: *refused,
                };
                self.nodes(at, *host, action, None);
            }
        }
    }

    /// Writes a fault of a machine: its clock, its disk, or a lasting condition.
    fn machine(&mut self, index: usize, planned: &Planned) {
        let at = planned.at;
        if let ScheduledAction::Clock {
            host,
            jump,
            back,
            drift_ppm,
        } = planned.action
        {
            let clock = NodeAction::Clock {
                jump,
                back,
                drift_ppm,
            };
            self.nodes(at, host, clock, None);
        } else if let ScheduledAction::Trouble { host, trouble, .. } = planned.action {
            let on = false;
            let end = ScheduledAction::Trouble { host, trouble, on };
            let length = self.ends(index, at, &end);
            self.nodes(at, host, NodeAction::Trouble(trouble), length);
        } else if let ScheduledAction::Disk {
            host,
            fault: Some(fault),
        } = planned.action
        {
            let works = ScheduledAction::Disk { host, fault: None };
            let length = self.ends(index, at, &works);
            self.nodes(at, host, NodeAction::Disk(fault), length);
        }
    }

    /// Writes a fault of the network.
    fn network(&mut self, index: usize, planned: &Planned) {
        let at = planned.at;
        if let ScheduledAction::Cut(cut) = &planned.action {
            self.cut_until(index, at, *cut);
        } else if let ScheduledAction::Hold { cut, length } = &planned.action {
            self.hold(at, *cut, *length);
        } else if let ScheduledAction::Links { change, .. } = &planned.action {
            self.links(index, at, *change);
        } else if let ScheduledAction::Loss(Some(ppm)) = &planned.action {
            let next = self.next(index, |action| matches!(action, ScheduledAction::Loss(_)));
            let length = self.length(at, next, &ScheduledAction::Loss(None));
            self.push(at, Action::Network(NetworkAction::Loss(*ppm)), length);
        } else if let ScheduledAction::Latency(Some(latency)) = &planned.action {
            let next = self.next(index, |action| {
                matches!(action, ScheduledAction::Latency(_))
            });
            let length = self.length(at, next, &ScheduledAction::Latency(None));
            let action = NetworkAction::Latency(*latency);
            self.push(at, Action::Network(action), length);
        } else if let ScheduledAction::Reset(cut) = &planned.action {
            for (from, to, _) in self.choices(&self.plan.cuts[*cut]) {
                let from = from.running(planned.program);
                let action = NetworkAction::Reset(Pairs::Between(from, to));
                self.push(at, Action::Network(action), None);
            }
        }
    }

    /// Writes a delay of a node's inputs, up to the action that ends it.
    fn slow(&mut self, index: usize, at: Duration, host: usize, by: Duration) {
        if by.is_zero() {
            return;
        }
        let next = self.next(
            index,
            |order| matches!(order, ScheduledAction::Slow { host: other, .. } if *other == host),
        );
        let end = ScheduledAction::Slow {
            host,
            by: Duration::ZERO,
        };
        let length = self.length(at, next, &end);
        self.nodes(at, host, NodeAction::Slow { by, length }, None);
    }

    /// Writes a cut, up to the action that ends it.
    fn cut_until(&mut self, index: usize, at: Duration, cut: usize) {
        let mended = self.until(index, |order| *order == ScheduledAction::Heal(cut));
        let kept = mended.is_none();
        let length = self.ends(index, at, &ScheduledAction::Heal(cut));
        self.cut(at, &self.plan.cuts[cut], kept, length);
    }

    /// Writes a change of links, up to the action that ends it.
    fn links(&mut self, index: usize, at: Duration, change: usize) {
        let end = ScheduledAction::Links { change, on: false };
        let length = self.ends(index, at, &end);
        let LinkSettingChange { pairs, setting } = &self.plan.link_changes[change];
        let setting = *setting;
        if pairs.is_everything() {
            let action = NetworkAction::Links(Pairs::All, Direction::Both, setting);
            return self.push(at, Action::Network(action), length);
        }
        for (from, to, direction) in self.choices(pairs) {
            let action = NetworkAction::Links(Pairs::Between(from, to), direction, setting);
            self.push(at, Action::Network(action), length);
        }
    }

    fn hold(&mut self, at: Duration, cut: usize, length: Duration) {
        for (from, to, direction) in self.choices(&self.plan.cuts[cut]) {
            let action = NetworkAction::Hold(Pairs::Between(from, to), direction);
            self.push(at, Action::Network(action), Some(length));
        }
    }

    /// Returns the duration of a fault, if the action `end` lifts the fault before the end of all faults.
    fn ends(&self, index: usize, at: Duration, end: &ScheduledAction) -> Option<Duration> {
        let end = self.until(index, |order| order == end);
        end.filter(|end| *end < self.plan.faults_end)
            .map(|end| end - at)
    }

    /// Returns the next action after `index` that matches, with its time.
    fn next(
        &self,
        index: usize,
        fits: impl Fn(&ScheduledAction) -> bool,
    ) -> Option<(Duration, &ScheduledAction)> {
        let later = self.plan.actions[index + 1..].iter();
        later
            .map(|planned| (planned.at, &planned.action))
            .find(|(_, order)| fits(order))
    }

    fn until(&self, index: usize, fits: impl Fn(&ScheduledAction) -> bool) -> Option<Duration> {
        self.next(index, fits).map(|(at, _)| at)
    }

    /// Returns the duration of a fault that is lifted by an action `end` before the end of all faults.
    fn length(
        &self,
        at: Duration,
        next: Option<(Duration, &ScheduledAction)>,
        end: &ScheduledAction,
    ) -> Option<Duration> {
        let next = next.filter(|(time, order)| *order == end && *time < self.plan.faults_end);
        next.map(|(time, _)| time - at)
    }

    fn push(&mut self, at: Duration, action: Action, length: Option<Duration>) {
        let (file, line) = self.place.clone();
        self.steps.push(Step {
            file,
            line,
            when: When::At(at),
            repeat: None,
            stagger: None,
            length: length.filter(|length| !length.is_zero()),
            named: None,
            action,
        });
    }

    /// Applies an action to one more node; the node is added to the latest step if this has the same action at the same
    /// time.
    fn nodes(&mut self, at: Duration, host: usize, action: NodeAction, length: Option<Duration>) {
        if let Some(step) = self.steps.last_mut()
            && step.when == When::At(at)
            && step.length == length
            && (step.file.as_str(), step.line) == (self.place.0.as_str(), self.place.1)
            && let Action::Nodes(who, same) = &mut step.action
            && *same == action
            && who.program() == self.program
            && let Some(mut hosts) = who.fixed()
        {
            hosts.push(host);
            *who = Selector::of(&hosts).running(self.program);
            return;
        }
        let who = Selector::of(&[host]).running(self.program);
        self.push(at, Action::Nodes(who, action), length);
    }

    fn start(&mut self, at: Duration, host: usize, disk: Disk) {
        if !self.ran.insert(host) {
            self.unstop(at, host);
            self.nodes(at, host, NodeAction::Restart(disk), None);
        } else if self.scenario.hosts[host].clone_of.is_some() {
            self.push(at, Action::Clone(host), None);
        } else {
            self.nodes(at, host, NodeAction::Join, None);
        }
    }

    /// Removes a stop at the same instant as a restart, because a restart includes the stop.
    fn unstop(&mut self, at: Duration, host: usize) {
        let Some(step) = self
            .steps
            .last_mut()
            .filter(|step| step.when == When::At(at))
        else {
            return;
        };
        if let Action::Nodes(who, NodeAction::Crash) = &mut step.action
            && who.program() == self.program
            && let Some(mut hosts) = who.fixed()
        {
            hosts.retain(|other| *other != host);
            *who = Selector::of(&hosts).running(self.program);
            if hosts.is_empty() {
                self.steps.pop();
            }
        }
    }

    fn cut(&mut self, at: Duration, cut: &Cut, kept: bool, length: Option<Duration>) {
        if let Some((sides, direction)) = cut.sides() {
            let sides = Sides::Sets(sides.iter().map(|side| Selector::of(side)).collect());
            let action = NetworkAction::Partition(sides, direction);
            self.push(at, Action::Network(action), length);
            return;
        }
        for (from, to, direction) in self.choices(cut) {
            let action = NetworkAction::Cut(Pairs::Between(from, to), direction, kept);
            self.push(at, Action::Network(action), length);
        }
    }

    fn choices(&self, cut: &Cut) -> Vec<(Selector, Selector, Direction)> {
        let choices = cut.choices(self.scenario.hosts.len()).into_iter();
        let choices = choices.map(|(from, to, way)| (Selector::of(&from), Selector::of(&to), way));
        choices.collect()
    }

    /// Writes an action of a program's own vocabulary.
    fn own(&mut self, index: usize, planned: &Planned, host: usize, action: &OwnAction) {
        let at = planned.at;
        if let Some(step) = planned.step
            && let Some(steady) = self.steady(step)
        {
            if self.written.insert(step) {
                let hosts = self.hosts_of(step);
                let action = Action::Nodes(Selector::of(&hosts), NodeAction::Own(steady));
                self.push(at, action, None);
            }
            return;
        }
        let length = match action.extent {
            Extent::Once => None,
            Extent::Until(_) => {
                let end = action.end();
                let ends = |order: &ScheduledAction| matches!(order, ScheduledAction::Own { host: of, action } if *of == host && Some(action) == end.as_ref());
                let end = self.until(index, ends);
                let end = end.filter(|end| *end < self.plan.faults_end);
                end.map(|end| end - at)
            }
            // The step that began the effect was written together with the effect's duration.
            Extent::Ends(_) => return,
        };
        self.nodes(at, host, NodeAction::Own(action.clone()), length);
    }

    /// The action of a step, if shrinking keeps the step unchanged.
    fn steady(&self, step: usize) -> Option<OwnAction> {
        let step = self.scenario.steps.get(step)?;
        let Action::Nodes(_, NodeAction::Own(action)) = &step.action else {
            return None;
        };
        let word = self.scenario.vocabulary.step(action.program, action.word)?;
        let once = step.repeat.is_none() && step.stagger.is_none();
        (word.steady && once).then(|| action.clone())
    }

    /// The hosts for which a step of a program's own vocabulary planned actions.
    fn hosts_of(&self, step: usize) -> Vec<usize> {
        let orders = self.plan.actions.iter();
        let orders = orders.filter(|planned| planned.step == Some(step));
        let hosts = orders.filter_map(|planned| {
            if let ScheduledAction::Own { host, .. } = planned.action {
                Some(host)
            } else {
                None
            }
        });
        let hosts: BTreeSet<usize> = hosts.collect();
        hosts.into_iter().collect()
    }
}

type Named = BTreeMap<String, Vec<usize>>;
type Host<'a> = &'a dyn Fn(usize) -> Option<usize>;

/// Returns a step with its nodes renamed or removed.
pub(super) fn mapped_step(step: &Step, named: &Named, host: Host<'_>) -> Step {
    let map = |who: &Selector| who.mapped(named, host);
    let pairs = |pairs: &Pairs| match pairs {
        Pairs::Between(from, to) => Pairs::Between(map(from), map(to)),
        Pairs::Fraction(ppm) => Pairs::Fraction(*ppm),
        Pairs::All => Pairs::All,
    };
    let action = match &step.action {
        Action::Nodes(who, action) => Action::Nodes(map(who), action.clone()),
        Action::Clone(clone) => Action::Clone(host(*clone).unwrap_or(usize::MAX)),
        Action::Network(action) => Action::Network(match action {
            NetworkAction::Partition(Sides::Sets(sets), direction) => {
                NetworkAction::Partition(Sides::Sets(sets.iter().map(map).collect()), *direction)
            }
            NetworkAction::Partition(Sides::Isolate(who), direction) => {
                NetworkAction::Partition(Sides::Isolate(map(who)), *direction)
            }
            NetworkAction::Cut(between, direction, kept) => {
                NetworkAction::Cut(pairs(between), *direction, *kept)
            }
            NetworkAction::Hold(between, direction) => {
                NetworkAction::Hold(pairs(between), *direction)
            }
            NetworkAction::Links(between, direction, setting) => {
                NetworkAction::Links(pairs(between), *direction, *setting)
            }
            NetworkAction::Reset(between) => NetworkAction::Reset(pairs(between)),
            NetworkAction::Clog(who) => NetworkAction::Clog(map(who)),
            NetworkAction::Swizzle(who) => NetworkAction::Swizzle(map(who)),
            NetworkAction::Partition(Sides::Halves | Sides::Random, _)
            | NetworkAction::Heal
            | NetworkAction::Restore
            | NetworkAction::Loss(_)
            | NetworkAction::Latency(_) => action.clone(),
        }),
    };
    let mut when = step.when.clone();
    if let When::After(trigger) = &mut when {
        trigger.by = map(&trigger.by);
        trigger.about = trigger.about.as_ref().map(map);
    }
    Step {
        action,
        when,
        named: None,
        ..step.clone()
    }
}

/// Returns whether a step still affects a node.
pub(super) fn is_left(step: &Step) -> bool {
    let some = |who: &Selector| who.fixed().is_none_or(|hosts| !hosts.is_empty());
    match &step.action {
        Action::Nodes(who, _) => some(who),
        Action::Clone(host) => *host != usize::MAX,
        Action::Network(action) => match action {
            NetworkAction::Partition(Sides::Sets(sets), _) => {
                sets.iter().filter(|set| some(set)).count() >= 2
            }
            NetworkAction::Partition(Sides::Isolate(who), _)
            | NetworkAction::Clog(who)
            | NetworkAction::Swizzle(who) => some(who),
            NetworkAction::Cut(Pairs::Between(from, to), ..)
            | NetworkAction::Links(Pairs::Between(from, to), ..)
            | NetworkAction::Reset(Pairs::Between(from, to))
            | NetworkAction::Hold(Pairs::Between(from, to), _) => some(from) && some(to),
            NetworkAction::Links(..) | NetworkAction::Reset(_) => true,
            NetworkAction::Partition(..) | NetworkAction::Cut(..) | NetworkAction::Hold(..) => true,
            NetworkAction::Heal | NetworkAction::Restore => true,
            NetworkAction::Loss(_) | NetworkAction::Latency(_) => true,
        },
    }
}

/// Returns the condition of an expectation with its nodes renamed or removed.
pub(super) fn mapped_mode(mode: &Mode, named: &Named, host: Host<'_>) -> Mode {
    let map = |who: &Selector| who.mapped(named, host);
    let condition = |condition: &Condition| match condition {
        Condition::Converged => Condition::Converged,
        Condition::State {
            who,
            key,
            is,
            count,
        } => Condition::State {
            who: map(who),
            key: key.clone(),
            is: is.clone(),
            count: *count,
        },
        Condition::Agree { who, key } => Condition::Agree {
            who: map(who),
            key: key.clone(),
        },
        Condition::Own(own) => Condition::Own(own.mapped(&map)),
        Condition::Event(kind, by, about, min) => {
            Condition::Event(kind, map(by), about.as_ref().map(map), *min)
        }
    };
    match mode {
        Mode::Eventually(inner) => Mode::Eventually(condition(inner)),
        Mode::Always(inner) => Mode::Always(condition(inner)),
        Mode::Never(inner) => Mode::Never(condition(inner)),
        Mode::Sometimes(inner) => Mode::Sometimes(condition(inner)),
        Mode::Metric(metric, who, bound) => Mode::Metric(*metric, map(who), *bound),
    }
}

/// Returns whether an expectation still has all its nodes; without one of its nodes, the expectation would have another
/// meaning.
pub(super) fn is_whole(expectation: &Expectation) -> bool {
    let some = |who: &Selector| who.fixed().is_none_or(|hosts| !hosts.is_empty());
    let condition = match &expectation.mode {
        Mode::Eventually(condition) | Mode::Always(condition) => condition,
        Mode::Never(condition) | Mode::Sometimes(condition) => condition,
        Mode::Metric(_, who, _) => return some(who),
    };
    match condition {
        Condition::Converged => true,
        Condition::State { who, .. } | Condition::Agree { who, .. } => some(who),
        Condition::Own(own) => !own.lacks_nodes(),
        Condition::Event(_, by, about, _) => some(by) && about.as_ref().is_none_or(some),
    }
}
