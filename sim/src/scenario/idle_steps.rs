//! Steps that change nothing, as far as a file tells: they test nothing.
//!
//! Each is a warning with the line of the step, and an error under `--strict`. The effects that only a run shows are
//! in [`crate::outcome`]. A step that might change something, because its nodes or its time are drawn, is left alone.

mod network;

use super::action::{Action, Extent, NodeAction, OwnAction};
use super::chaos::ChaosKind;
use super::definition::Scenario;
use super::error::ScenarioError;
use super::names::Selector;
use super::steps::{Step, When};
use super::text;
use super::vocabulary::{OwnTimeline, OwnUsage};
use core::time::Duration;

/// The shortest fault that a node can notice: messages take longer, and timers are set in milliseconds.
const NOTICEABLE: Duration = Duration::from_millis(1);

/// Maximum number of steps of a scenario whose steps are compared with each other.
const COMPARED_MAX: usize = 2_000;

impl Scenario {
    /// Returns a warning for each step that changes nothing, ordered by the steps' times, and for each expectation whose
    /// window ends after the run.
    #[must_use]
    pub fn warnings(&self) -> Vec<ScenarioError> {
        let steps = self.steps.iter().enumerate();
        let mut found: Vec<ScenarioError> = steps
            .filter_map(|(index, step)| {
                let why = self.idle(index, step)?;
                Some(warning(step, step.action.word(), why))
            })
            .collect();
        found.extend(self.idle_own_steps());
        if let Some(chaos) = &self.chaos
            && chaos.longest < NOTICEABLE
        {
            found.push(ScenarioError {
                file: self.file.clone(),
                line: chaos.line,
                key: "longest".to_owned(),
                message: too_short(chaos.longest),
            });
        }
        found.extend(self.late_windows());
        found
    }

    /// Returns the reason why a step changes nothing; `None` if it may change something.
    fn idle(&self, index: usize, step: &Step) -> Option<String> {
        let chosen = match &step.action {
            Action::Network(action) => network::idle(self, index, step, action),
            Action::Nodes(who, action) => who
                .mischoice()
                .or_else(|| self.idle_action(index, who, action)),
            Action::Clone(_) => None,
        };
        chosen
            .or_else(|| self.short(step))
            .or_else(|| self.late(step))
    }

    /// Returns the reason why some occurrences of a step never happen: their times are after the faults. A step without
    /// a number of repetitions repeats as long as it can.
    fn late(&self, step: &Step) -> Option<String> {
        let When::At(first) = step.when else {
            return None;
        };
        let (apart, count, what) = match (&step.action, step.stagger, step.repeat) {
            (Action::Nodes(who, _), Some(stagger), _) => (stagger, who.fixed()?.len(), "nodes"),
            (_, None, Some((every, Some(times)))) => {
                (every, usize::try_from(times).ok()?, "repetitions")
            }
            _ => return None,
        };
        let left = self.duration.saturating_sub(first).as_nanos();
        let early = left.div_ceil(apart.as_nanos().max(1));
        let early = usize::try_from(early).unwrap_or(usize::MAX);
        (early < count).then(|| {
            let end = text::show(self.duration);
            format!(
                "reaches only {early} of {count} {what} before the end of the fault phase ({end})"
            )
        })
    }

    fn idle_action(&self, index: usize, who: &Selector, action: &NodeAction) -> Option<String> {
        match action {
            NodeAction::Pause(length) => (*length < NOTICEABLE).then(|| too_short(*length)),
            NodeAction::Slow { by, length } => {
                if let Some(length) = length.filter(|length| *length < NOTICEABLE) {
                    return Some(too_short(length));
                }
                let slowed = |action: &NodeAction| matches!(action, NodeAction::Slow { by, .. } if !by.is_zero());
                let idle = by.is_zero() && !self.may_precede(index, who, slowed, ChaosKind::Slow);
                idle.then(|| "delays no input: no node is slow".to_owned())
            }
            NodeAction::Clock {
                jump, drift_ppm, ..
            } => {
                let drifted = |action: &NodeAction| matches!(action, NodeAction::Clock { drift_ppm: Some(other), .. } if Some(*other) != *drift_ppm);
                let keeps = |ppm| {
                    self.every_drift_is(who, ppm)
                        && !self.may_precede(index, who, drifted, ChaosKind::Drift)
                };
                (jump.is_zero() && drift_ppm.is_none_or(keeps))
                    .then(|| "leaves the clocks as they are".to_owned())
            }
            NodeAction::Crash | NodeAction::PowerLoss | NodeAction::Restart(_) => None,
            NodeAction::Disk(_) | NodeAction::Certificate(_) => None,
            NodeAction::Join | NodeAction::Leave => None,
            NodeAction::Trouble(_) | NodeAction::Move => None,
            NodeAction::Own(_) | NodeAction::Command { .. } => None,
        }
    }

    /// Returns whether the clocks of all of these nodes drift by this at their start.
    fn every_drift_is(&self, who: &Selector, ppm: i32) -> bool {
        let all = || (0..self.hosts.len()).collect();
        let hosts = who.fixed().unwrap_or_else(all);
        hosts
            .iter()
            .all(|host| self.hosts[*host].clock.drift_ppm == ppm)
    }

    /// Returns whether chaos, or a step before this one, may perform such an action on one of these nodes.
    fn may_precede(
        &self,
        index: usize,
        who: &Selector,
        is_such: impl Fn(&NodeAction) -> bool,
        kind: ChaosKind,
    ) -> bool {
        let meets = |other: &Selector| match (who.fixed(), other.fixed()) {
            (Some(one), Some(two)) => one.iter().any(|host| two.contains(host)),
            (None, _) | (_, None) => true,
        };
        !self.is_comparable()
            || self.draws(kind)
            || self.others_before(index).any(|step| {
                matches!(&step.action, Action::Nodes(who, action) if is_such(action) && meets(who))
            })
    }

    /// Returns whether the scenario is small enough to compare each step with all others.
    fn is_comparable(&self) -> bool {
        self.steps.len() <= COMPARED_MAX
    }

    /// Returns whether chaos may draw a fault of this kind.
    fn draws(&self, kind: ChaosKind) -> bool {
        let chaos = self.chaos.as_ref();
        chaos.is_some_and(|chaos| chaos.kinds.contains(&kind))
    }

    /// Iterates over the other steps that may happen before the last occurrence of a step.
    ///
    /// The caller has checked [`Self::is_comparable`].
    fn others_before(&self, index: usize) -> impl Iterator<Item = &Step> {
        let latest = latest(&self.steps[index]);
        let others = self.steps.iter().enumerate();
        let others = others.filter(move |(other, _)| *other != index);
        let others = others.map(|(_, step)| step);
        others.filter(move |other| latest.is_none_or(|latest| other.when.earliest() <= latest))
    }

    /// Returns the reason why a lasting fault is too short to be noticed.
    fn short(&self, step: &Step) -> Option<String> {
        let lasts = match &step.action {
            Action::Network(_) => step.action.can_end(),
            Action::Nodes(
                _,
                NodeAction::Disk(_) | NodeAction::Certificate(_) | NodeAction::Trouble(_),
            ) => true,
            Action::Nodes(_, NodeAction::Own(OwnAction { extent, .. })) => {
                matches!(extent, Extent::Until(_))
            }
            // A node that starts again at once has lost its connections and its state.
            Action::Nodes(..) | Action::Clone(_) => false,
        };
        if !lasts {
            return None;
        }
        if let Some(length) = step.length.filter(|length| *length < NOTICEABLE) {
            return Some(too_short(length));
        }
        let left = self.duration.saturating_sub(step.when.earliest());
        let kept = matches!(
            &step.action,
            Action::Network(super::NetworkAction::Cut(.., true))
        );
        (left < NOTICEABLE && !kept).then(|| {
            let end = text::short(self.duration);
            format!(
                "begins {} before all faults are lifted ({end}): nothing can notice it",
                text::short(left)
            )
        })
    }

    /// Returns the steps of programs' own vocabularies that change nothing, as the programs tell.
    fn idle_own_steps(&self) -> Vec<ScenarioError> {
        let mut found = Vec::new();
        for words in &self.vocabulary.programs {
            let Some(idle) = words.idle_steps else {
                continue;
            };
            let steps = self.steps.iter();
            let (steps, usages): (Vec<&Step>, Vec<OwnUsage<'_>>) = steps
                .filter_map(|step| own_usage(step, words.program))
                .unzip();
            let chaos = self.chaos.iter().flat_map(|chaos| &chaos.kinds);
            let is_own =
                |kind: &ChaosKind| words.faults.iter().any(|fault| fault.word == kind.word());
            let timeline = OwnTimeline {
                steps: usages,
                hosts: &self.hosts,
                drawn: chaos.into_iter().any(is_own),
                restarts: self.chaos.is_some() || self.steps.iter().any(restarts),
            };
            for (index, why) in idle(&timeline) {
                found.push(warning(steps[index], steps[index].action.word(), why));
            }
        }
        found
    }
}

/// Returns the use of a program's own step; `None` for other steps.
fn own_usage<'a>(step: &'a Step, program: &str) -> Option<(&'a Step, OwnUsage<'a>)> {
    match &step.action {
        Action::Nodes(who, NodeAction::Own(action)) if action.program == program => {
            let usage = OwnUsage {
                action,
                who: who.fixed(),
                at_fixed_time: matches!(step.when, When::At(_)),
            };
            Some((step, usage))
        }
        Action::Network(_) | Action::Nodes(..) | Action::Clone(_) => None,
    }
}

/// Returns whether a step of the vocabulary of all systems stops or starts nodes.
const fn restarts(step: &Step) -> bool {
    matches!(
        &step.action,
        Action::Clone(_)
            | Action::Nodes(
                _,
                NodeAction::Crash
                    | NodeAction::PowerLoss
                    | NodeAction::Restart(_)
                    | NodeAction::Join
                    | NodeAction::Leave
            )
    )
}

/// Returns the latest time of a step's last occurrence; `None` if it is unknown.
const fn latest(step: &Step) -> Option<Duration> {
    if step.repeat.is_some() {
        return None;
    }
    match &step.when {
        When::At(time) | When::Between(_, time) => Some(*time),
        When::After(_) => None,
    }
}

fn too_short(length: Duration) -> String {
    format!(
        "lasts {}: nothing can notice a fault of less than {}",
        text::short(length),
        text::short(NOTICEABLE)
    )
}

fn warning(step: &Step, key: &str, message: String) -> ScenarioError {
    ScenarioError {
        file: step.file.clone(),
        line: step.line,
        key: key.to_owned(),
        message,
    }
}
