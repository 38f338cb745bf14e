//! The timeline: steps and their times.

mod links;

use super::action::{
    Action, CertificateChange, NetworkAction, NodeAction, OwnAction, Pairs, Sides, Trouble,
};
use super::error::{ScenarioError, SourceText};
use super::file::{
    AfterTable, At, ClockTable, CutTable, DiskTable, OwnKey, OwnKeys, PartitionTable, StepTable,
    Text,
};
use super::host::Disk;
use super::names::{Names, Selector};
use super::network::Direction;
use super::value::{drift, optional, with};
use super::words::word_of;
use super::{own, own_words, text};
use crate::disk::DiskFault;
use core::time::Duration;

/// A step of the timeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The file of the step.
    pub file: String,
    /// The line in that file.
    pub line: usize,
    /// The time of the first occurrence.
    pub when: When,
    /// Interval and total number of repetitions. Without a number, the step repeats until all faults are lifted.
    pub repeat: Option<(Duration, Option<u32>)>,
    /// Delay from node to node.
    pub stagger: Option<Duration>,
    /// Duration after which the fault is lifted.
    pub length: Option<Duration>,
    /// A name for the nodes that the step draws.
    pub named: Option<String>,
    /// The action.
    pub action: Action,
}

/// The time of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// A fixed time.
    At(Duration),
    /// A random time within a range.
    Between(Duration, Duration),
    /// The first report of an event.
    After(Trigger),
}

impl When {
    /// Returns the earliest time; the start of the run for a step that waits for an event.
    #[must_use]
    pub const fn earliest(&self) -> Duration {
        match self {
            Self::At(time) | Self::Between(time, _) => *time,
            Self::After(_) => Duration::ZERO,
        }
    }
}

/// An event that a step waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// The event.
    pub event: &'static str,
    /// The nodes that report the event.
    pub by: Selector,
    /// The nodes that the event concerns; `None`: any.
    pub about: Option<Selector>,
    /// Delay of the step after the event.
    pub delay: Duration,
    /// The time before which reports do not count.
    pub from: Duration,
    /// The report that counts, from 1.
    pub nth: u32,
}

pub(crate) fn read(
    source: &SourceText<'_>,
    names: &Names,
    step: &At<StepTable>,
    own: OwnKeys<'_>,
) -> Result<Step, ScenarioError> {
    let at = step.span().start;
    let table = step.get_ref();
    let reader = OwnKeysReader { source, names, at };
    let repeat = reader.repeat(table)?;
    let action = reader.action(table, own)?;
    if let Some(length) = &table.length
        && !action.can_end()
    {
        let message = format!("`{}` has no end that a step could bring", action.word());
        return Err(source.error(length.span().start, "for", message));
    }
    Ok(Step {
        file: source.file_at(at).to_owned(),
        line: source.line(at),
        when: reader.when(table)?,
        repeat,
        stagger: optional(source, table.stagger.as_ref(), text::duration)?,
        length: optional(source, table.length.as_ref(), text::positive)?,
        named: table.named.as_ref().map(|word| word.get_ref().clone()),
        action,
    })
}

/// Reads a direction; without one, both.
pub(crate) fn direction(
    source: &SourceText<'_>,
    text: Option<&Text>,
) -> Result<Direction, ScenarioError> {
    let read = |word: &str| match word {
        "both" => Ok(Direction::Both),
        "out" => Ok(Direction::Out),
        "in" => Ok(Direction::In),
        _ => Err(format!(
            "`{word}` is not a direction; write both, out or in"
        )),
    };
    Ok(optional(source, text, read)?.unwrap_or(Direction::Both))
}

struct OwnKeysReader<'a> {
    source: &'a SourceText<'a>,
    names: &'a Names,
    at: usize,
}

impl OwnKeysReader<'_> {
    fn select(&self, text: &Text) -> Result<Selector, ScenarioError> {
        with(self.source, text, |word| self.names.selector(word))
    }

    /// Parses a selector of hosts, or of processes of one program on them.
    fn processes(&self, text: &Text) -> Result<Selector, ScenarioError> {
        with(self.source, text, |word| self.names.processes(word))
    }

    fn duration(&self, text: &Text) -> Result<Duration, ScenarioError> {
        with(self.source, text, text::duration)
    }

    fn repeat(&self, table: &StepTable) -> Result<Option<(Duration, Option<u32>)>, ScenarioError> {
        let every = optional(self.source, table.every.as_ref(), text::positive)?;
        match (every, &table.times) {
            (None, None) => Ok(None),
            (Some(every), times) => {
                if let Some(times) = times.as_ref().filter(|times| *times.get_ref() == 0) {
                    let at = times.span().start;
                    return Err(self.source.error(at, "times", "must be at least 1"));
                }
                Ok(Some((every, times.as_ref().map(|times| *times.get_ref()))))
            }
            (None, Some(times)) => {
                let at = times.span().start;
                Err(self
                    .source
                    .error(at, "times", "needs `every`, the interval"))
            }
        }
    }

    fn when(&self, table: &StepTable) -> Result<When, ScenarioError> {
        match (&table.time, &table.between, &table.after) {
            (Some(time), None, None) => Ok(When::At(self.duration(time)?)),
            (None, Some(between), None) => {
                let at = between.span().start;
                let error = |why: String| self.source.error(at, "between", why);
                let (first, last) = between.get_ref();
                let (first, last) = (text::duration(first), text::duration(last));
                let (first, last) = (first.map_err(error)?, last.map_err(error)?);
                if last <= first {
                    return Err(error("the second time is not after the first".to_owned()));
                }
                Ok(When::Between(first, last))
            }
            (None, None, Some(after)) => {
                if table.every.is_some() || table.stagger.is_some() {
                    let message = "happens once; `every` and `stagger` go with `time`";
                    return Err(self.source.error(after.span().start, "after", message));
                }
                self.after(after.get_ref()).map(When::After)
            }
            _ => {
                let message = "needs exactly one of `time`, `between`, `after`";
                Err(self.source.error(self.at, "at", message))
            }
        }
    }

    fn after(&self, after: &AfterTable) -> Result<Trigger, ScenarioError> {
        let all = || self.names.selector("all");
        let by = match &after.by {
            Some(by) => self.processes(by)?,
            None => all().map_err(|why| self.source.error(self.at, "by", why))?,
        };
        Ok(Trigger {
            event: own::known(
                self.source,
                "event",
                &self.source.vocabulary.events(),
                &after.event,
            )?,
            by,
            about: after
                .about
                .as_ref()
                .map(|about| self.select(about))
                .transpose()?,
            delay: optional(self.source, after.delay.as_ref(), text::duration)?.unwrap_or_default(),
            from: optional(self.source, after.from.as_ref(), text::duration)?.unwrap_or_default(),
            nth: self.nth(after)?,
        })
    }

    fn nth(&self, after: &AfterTable) -> Result<u32, ScenarioError> {
        match &after.nth {
            Some(nth) if *nth.get_ref() == 0 => {
                let message = "must be at least 1, the first report";
                Err(self.source.error(nth.span().start, "nth", message))
            }
            nth => Ok(nth.as_ref().map_or(1, |nth| *nth.get_ref())),
        }
    }

    fn action(&self, table: &StepTable, own: OwnKeys<'_>) -> Result<Action, ScenarioError> {
        let mut found = Vec::new();
        self.network(table, &mut found)?;
        self.stops(table, &mut found)?;
        self.trouble(table, &mut found)?;
        self.workload(table, own, &mut found)?;
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => {
                let message = "has no action; add one, such as `crash = \"n1\"`";
                Err(self.source.error(self.at, "at", message))
            }
            _ => {
                let words: Vec<_> = found.iter().map(Action::word).collect();
                let words = words.join(" and ");
                let message = format!("has {words}; one step does one thing: make several");
                Err(self.source.error(self.at, "at", message))
            }
        }
    }

    fn network(&self, table: &StepTable, found: &mut Vec<Action>) -> Result<(), ScenarioError> {
        let mut add = |action| found.push(Action::Network(action));
        if let Some(partition) = &table.partition {
            add(self.partition(partition)?);
        }
        if let Some(cut) = &table.cut {
            let (pairs, direction) = self.pairs("cut", cut)?;
            add(NetworkAction::Cut(pairs, direction, cut.kept));
        }
        if let Some(hold) = &table.hold {
            let (pairs, direction) = self.pairs("hold", hold)?;
            if hold.kept {
                let message = "goes with `cut`; what is held must arrive";
                return Err(self.source.error(self.at, "kept", message));
            }
            add(NetworkAction::Hold(pairs, direction));
        }
        if let Some(who) = &table.clog {
            add(NetworkAction::Clog(self.select(who)?));
        }
        if let Some(who) = &table.swizzle_clog {
            add(NetworkAction::Swizzle(self.select(who)?));
        }
        for (flag, key, action) in [
            (&table.heal, "heal", NetworkAction::Heal),
            (&table.restore, "restore", NetworkAction::Restore),
        ] {
            if self.flag(flag.as_ref(), key)? {
                add(action);
            }
        }
        self.links(table)?.into_iter().for_each(add);
        Ok(())
    }

    /// Reads a key that is either `true` or absent.
    fn flag(&self, flag: Option<&At<bool>>, key: &str) -> Result<bool, ScenarioError> {
        match flag {
            None => Ok(false),
            Some(flag) if *flag.get_ref() => Ok(true),
            Some(flag) => Err(self
                .source
                .error(flag.span().start, key, "can only be true")),
        }
    }

    /// Converts the steps that stop and start nodes.
    fn stops(&self, table: &StepTable, found: &mut Vec<Action>) -> Result<(), ScenarioError> {
        for (who, action) in [
            (&table.crash, NodeAction::Crash),
            (&table.power_loss, NodeAction::PowerLoss),
            (&table.join, NodeAction::Join),
            (&table.leave, NodeAction::Leave),
        ] {
            if let Some(who) = who {
                let who = if matches!(action, NodeAction::Crash | NodeAction::Leave) {
                    self.processes(who)?
                } else {
                    self.select(who)?
                };
                found.push(Action::Nodes(who, action));
            }
        }
        if let Some(restart) = &table.restart {
            let disk = |word: &str| match word {
                "keep" => Ok(Disk::Keep),
                "synced" => Ok(Disk::Synced),
                "lose" => Ok(Disk::Lose),
                _ => Err(format!(
                    "`{word}` is not a state; write keep, synced or lose"
                )),
            };
            let state = optional(self.source, restart.state.as_ref(), disk)?;
            let who = match state {
                None | Some(Disk::Keep) => self.processes(&restart.who)?,
                // All programs of a host share its disk.
                Some(Disk::Synced | Disk::Lose) => self.select(&restart.who)?,
            };
            let action = NodeAction::Restart(state.unwrap_or(Disk::Keep));
            found.push(Action::Nodes(who, action));
        }
        if let Some(clone) = &table.clone {
            let host = with(self.source, &clone.name, |word| self.names.fixed(word))?;
            found.push(Action::Clone(host.first().copied().unwrap_or_default()));
        }
        Ok(())
    }

    /// Converts the steps that impair running nodes.
    fn trouble(&self, table: &StepTable, found: &mut Vec<Action>) -> Result<(), ScenarioError> {
        if let Some(pause) = &table.pause {
            let action = NodeAction::Pause(self.duration(&pause.length)?);
            found.push(Action::Nodes(self.processes(&pause.who)?, action));
        }
        if let Some(slow) = &table.slow {
            let by = self.duration(&slow.by)?;
            let length = optional(self.source, slow.length.as_ref(), text::duration)?;
            let action = NodeAction::Slow { by, length };
            found.push(Action::Nodes(self.processes(&slow.who)?, action));
        }
        if let Some(clock) = &table.clock {
            found.push(self.clock(clock)?);
        }
        if let Some(disk) = &table.disk {
            found.push(self.disk(disk)?);
        }
        if let Some(who) = &table.refuse {
            let action = NodeAction::Trouble(Trouble::Refuse);
            found.push(Action::Nodes(self.processes(who)?, action));
        }
        if let Some(nat) = &table.nat {
            let idle = with(self.source, &nat.idle, text::positive)?;
            let action = NodeAction::Trouble(Trouble::NatIdle(idle));
            found.push(Action::Nodes(self.select(&nat.who)?, action));
        }
        if let Some(who) = &table.moves {
            found.push(Action::Nodes(self.select(who)?, NodeAction::Move));
        }
        if let Some(certificate) = &table.certificate {
            let is = with(self.source, &certificate.is, |word| {
                word_of("state of a certificate", CertificateChange::ALL, word)
            })?;
            let who = self.select(&certificate.who)?;
            found.push(Action::Nodes(who, NodeAction::Certificate(is)));
        }
        Ok(())
    }

    fn disk(&self, disk: &DiskTable) -> Result<Action, ScenarioError> {
        let action = match (&disk.fault, &disk.slow) {
            (Some(fault), None) => NodeAction::Disk(with(self.source, fault, |word| {
                word_of("fault of a disk", DiskFault::ALL, word)
            })?),
            (None, Some(slow)) => {
                let by = with(self.source, slow, text::positive)?;
                NodeAction::Trouble(Trouble::SlowDisk(by))
            }
            (Some(_), Some(_)) | (None, None) => {
                let message = "needs `fault` or `slow`, and not both";
                return Err(self.source.error(self.at, "disk", message));
            }
        };
        Ok(Action::Nodes(self.select(&disk.who)?, action))
    }

    fn clock(&self, clock: &ClockTable) -> Result<Action, ScenarioError> {
        let Some(who) = &clock.who else {
            return Err(self
                .source
                .error(self.at, "clock", "needs `who`, whose clocks"));
        };
        if let Some(offset) = &clock.offset {
            let message = "belongs to `nodes`; a step has `jump`";
            return Err(self.source.error(offset.span().start, "offset", message));
        }
        let jump = optional(self.source, clock.jump.as_ref(), text::signed_duration)?;
        let drift = |ppm| drift(self.source, ppm);
        let drift_ppm = clock.drift_ppm.as_ref().map(drift).transpose()?;
        if jump.is_none() && drift_ppm.is_none() {
            let message = "needs `jump` or `drift-ppm`: without them nothing happens";
            return Err(self.source.error(self.at, "clock", message));
        }
        let nanos = jump.unwrap_or_default();
        let action = NodeAction::Clock {
            jump: Duration::from_nanos(nanos.unsigned_abs()),
            back: nanos < 0,
            drift_ppm,
        };
        Ok(Action::Nodes(self.select(who)?, action))
    }

    /// Converts the steps in the vocabulary of programs.
    fn workload(
        &self,
        table: &StepTable,
        own: OwnKeys<'_>,
        found: &mut Vec<Action>,
    ) -> Result<(), ScenarioError> {
        for key in own {
            found.push(self.own(key)?);
        }
        if let Some(command) = &table.command {
            found.push(own::command(self.source, self.names, command)?);
        }
        Ok(())
    }

    /// Converts a step with a key of a program's own vocabulary.
    fn own(&self, key: OwnKey<'_>) -> Result<Action, ScenarioError> {
        let (program, word) = (key.program, key.field.key);
        let step = self.source.vocabulary.step(program, word);
        let extent = step.map(|step| step.extent).unwrap_or_default();
        let reader = own_words::OwnKeysReader {
            source: self.source,
            names: Some(self.names),
            at: self.at,
        };
        let (who, arguments) = reader.about(key)?;
        let action = NodeAction::Own(OwnAction {
            program,
            word,
            extent,
            arguments,
        });
        Ok(Action::Nodes(who, action))
    }

    fn direction(&self, text: Option<&Text>) -> Result<Direction, ScenarioError> {
        direction(self.source, text)
    }

    fn partition(&self, table: &PartitionTable) -> Result<NetworkAction, ScenarioError> {
        let direction = self.direction(table.direction.as_ref())?;
        let halves = self.flag(table.halves.as_ref(), "halves")?;
        let random = self.flag(table.random.as_ref(), "random")?;
        let sides = match (&table.sets, halves, random, &table.isolate) {
            (Some(sets), false, false, None) if sets.len() >= 2 => {
                let side = |set: &Text| match set.get_ref().trim() {
                    "rest" => Ok(Selector::rest()),
                    _ => self.select(set),
                };
                let rests = sets.iter().filter(|set| set.get_ref().trim() == "rest");
                if let Some(second) = rests.clone().nth(1) {
                    let message = "has `rest` twice; one side is what the others leave";
                    return Err(self.source.error(second.span().start, "sets", message));
                }
                Sides::Sets(sets.iter().map(side).collect::<Result<_, _>>()?)
            }
            (Some(_), false, false, None) => {
                return Err(self
                    .source
                    .error(self.at, "sets", "needs at least two sides"));
            }
            (None, true, false, None) => Sides::Halves,
            (None, false, true, None) => Sides::Random,
            (None, false, false, Some(who)) => Sides::Isolate(self.select(who)?),
            _ => {
                let message = "needs exactly one of `sets`, `halves`, `random`, `isolate`";
                return Err(self.source.error(self.at, "partition", message));
            }
        };
        Ok(NetworkAction::Partition(sides, direction))
    }

    fn pairs(&self, key: &str, table: &CutTable) -> Result<(Pairs, Direction), ScenarioError> {
        let direction = self.direction(table.direction.as_ref())?;
        let pairs = self.ends(key, self.at, (&table.from, &table.to, &table.fraction))?;
        Ok((pairs, direction))
    }
}
