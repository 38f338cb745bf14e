//! What happens when: the timeline.

use super::error::{ScenarioError, Source};
use super::file::{CutTable, PartitionTable, StepTable, Text};
use super::names::{Names, Selector};
use super::read::{optional, services, with};
use super::{Direction, Disk, text};
use core::time::Duration;
use phalanx_core::topology::record::Service;
use serde_spanned::Spanned;
use std::collections::{BTreeMap, BTreeSet};

/// One entry of the timeline.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its line in the file.
    pub line: usize,
    /// When it happens first.
    pub time: Duration,
    /// How often, this far apart.
    pub repeat: Option<(Duration, u32)>,
    /// From node to node, this far apart.
    pub stagger: Option<Duration>,
    /// A word for the nodes it draws.
    pub named: Option<String>,
    /// What happens.
    pub action: Action,
}

/// What happens.
#[derive(Clone, Debug)]
pub enum Action {
    /// The network splits.
    Partition(Sides, Direction),
    /// All partitions end.
    Heal,
    /// Single pairs cannot reach each other; `true`: for good.
    Cut(Pairs, Direction, bool),
    /// All cuts end.
    Restore,
    /// Processes are killed.
    Crash(Selector),
    /// Machines lose power.
    PowerLoss(Selector),
    /// Nodes start again.
    Restart(Selector, Disk),
    /// Processes stop for a while.
    Pause {
        /// Which.
        who: Selector,
        /// How long.
        length: Duration,
    },
    /// Processes take longer for each input.
    Slow {
        /// Which.
        who: Selector,
        /// By how much.
        by: Duration,
        /// How long; none: until the faults are lifted.
        length: Option<Duration>,
    },
    /// Clocks change.
    Clock {
        /// Whose.
        who: Selector,
        /// They jump forward.
        jump: Duration,
        /// They drift from here on.
        drift_ppm: Option<i32>,
    },
    /// Nodes that waited start.
    Join(Selector),
    /// Nodes leave gracefully.
    Leave(Selector),
    /// Nodes publish other content.
    Announce {
        /// Which.
        who: Selector,
        /// All they serve; none: as before.
        services: Option<BTreeSet<Service>>,
        /// All metadata; none: as before.
        metadata: Option<BTreeMap<String, String>>,
    },
    /// The share of segments lost from here on, in parts per million.
    Loss(u32),
    /// The latency from here on, shortest and longest.
    Latency(Duration, Duration),
    /// Nodes publish steadily.
    Updates {
        /// Which.
        who: Selector,
        /// Each once in this time.
        every: Duration,
        /// How long.
        length: Duration,
    },
    /// A clone starts: this host.
    Clone(usize),
}

impl Action {
    /// The word for it in scenario files.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Partition(..) => "partition",
            Self::Heal => "heal",
            Self::Cut(..) => "cut",
            Self::Restore => "restore",
            Self::Crash(_) => "crash",
            Self::PowerLoss(_) => "power-loss",
            Self::Restart(..) => "restart",
            Self::Pause { .. } => "pause",
            Self::Slow { .. } => "slow",
            Self::Clock { .. } => "clock",
            Self::Join(_) => "join",
            Self::Leave(_) => "leave",
            Self::Announce { .. } => "announce",
            Self::Loss(_) => "loss",
            Self::Latency(..) => "latency",
            Self::Updates { .. } => "updates",
            Self::Clone(_) => "clone",
        }
    }
}

/// How the network splits.
#[derive(Clone, Debug)]
pub enum Sides {
    /// Into these.
    Sets(Vec<Selector>),
    /// Into two random halves.
    Halves,
    /// These against all others.
    Isolate(Selector),
}

/// Which pairs are cut.
#[derive(Clone, Debug)]
pub enum Pairs {
    /// Those between two choices.
    Between(Selector, Selector),
    /// A drawn share of all, in parts per million.
    Fraction(u32),
}

pub(crate) fn read(
    source: &Source<'_>,
    names: &Names,
    step: &Spanned<StepTable>,
) -> Result<Step, ScenarioError> {
    let at = step.span().start;
    let table = step.get_ref();
    let every = optional(source, table.every.as_ref(), text::duration)?;
    let repeat = match (every, &table.times) {
        (None, None) => None,
        (Some(every), Some(times)) if *times.get_ref() > 0 => Some((every, *times.get_ref())),
        (Some(_), Some(times)) => {
            return Err(source.error(times.span().start, "times", "must be at least 1"));
        }
        (Some(_), None) => {
            return Err(source.error(at, "every", "needs `times`, how often in all"));
        }
        (None, Some(times)) => {
            return Err(source.error(times.span().start, "times", "needs `every`, the interval"));
        }
    };
    Ok(Step {
        line: source.line(at),
        time: with(source, &table.time, text::duration)?,
        repeat,
        stagger: optional(source, table.stagger.as_ref(), text::duration)?,
        named: table.named.as_ref().map(|word| word.get_ref().clone()),
        action: action(source, names, at, table)?,
    })
}

fn action(
    source: &Source<'_>,
    names: &Names,
    at: usize,
    table: &StepTable,
) -> Result<Action, ScenarioError> {
    let mut found = Vec::new();
    faults_of_the_network(source, names, at, table, &mut found)?;
    faults_of_nodes(source, names, at, table, &mut found)?;
    workload(source, names, at, table, &mut found)?;
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(source.error(at, "at", "has no action; add one, such as `crash = \"n1\"`")),
        _ => {
            let words: Vec<_> = found.iter().map(Action::word).collect();
            Err(source.error(
                at,
                "at",
                format!(
                    "has {}; one step does one thing: make several",
                    words.join(" and ")
                ),
            ))
        }
    }
}

fn faults_of_the_network(
    source: &Source<'_>,
    names: &Names,
    at: usize,
    table: &StepTable,
    found: &mut Vec<Action>,
) -> Result<(), ScenarioError> {
    if let Some(partition) = &table.partition {
        found.push(read_partition(source, names, at, partition)?);
    }
    if let Some(cut) = &table.cut {
        found.push(read_cut(source, names, at, cut)?);
    }
    for (flag, key, action) in [
        (&table.heal, "heal", Action::Heal),
        (&table.restore, "restore", Action::Restore),
    ] {
        if let Some(flag) = flag {
            if !flag.get_ref() {
                return Err(source.error(flag.span().start, key, "can only be true"));
            }
            found.push(action);
        }
    }
    if let Some(loss) = &table.loss {
        found.push(Action::Loss(with(source, loss, text::share)?));
    }
    if let Some(latency) = &table.latency {
        let min = with(source, &latency.min, text::duration)?;
        let max = optional(source, latency.max.as_ref(), text::duration)?.unwrap_or(min);
        if max < min {
            return Err(source.error(latency.min.span().start, "min", "is above `max`"));
        }
        found.push(Action::Latency(min, max));
    }
    Ok(())
}

fn faults_of_nodes(
    source: &Source<'_>,
    names: &Names,
    at: usize,
    table: &StepTable,
    found: &mut Vec<Action>,
) -> Result<(), ScenarioError> {
    let select = |text: &Text| with(source, text, |word| names.selector(word));
    if let Some(who) = &table.crash {
        found.push(Action::Crash(select(who)?));
    }
    if let Some(who) = &table.power_loss {
        found.push(Action::PowerLoss(select(who)?));
    }
    if let Some(restart) = &table.restart {
        let disk = |word: &str| match word {
            "keep" => Ok(Disk::Keep),
            "lose" => Ok(Disk::Lose),
            _ => Err(format!("`{word}` is neither `keep` nor `lose`")),
        };
        let state = optional(source, restart.state.as_ref(), disk)?.unwrap_or(Disk::Keep);
        found.push(Action::Restart(select(&restart.who)?, state));
    }
    if let Some(pause) = &table.pause {
        let length = with(source, &pause.length, text::duration)?;
        found.push(Action::Pause {
            who: select(&pause.who)?,
            length,
        });
    }
    if let Some(slow) = &table.slow {
        let by = with(source, &slow.by, text::duration)?;
        let length = optional(source, slow.length.as_ref(), text::duration)?;
        found.push(Action::Slow {
            who: select(&slow.who)?,
            by,
            length,
        });
    }
    if let Some(clock) = &table.clock {
        let Some(who) = &clock.who else {
            return Err(source.error(at, "clock", "needs `who`, whose clocks"));
        };
        if let Some(offset) = &clock.offset {
            return Err(source.error(
                offset.span().start,
                "offset",
                "belongs to `nodes`; a step has `jump`",
            ));
        }
        let jump = optional(source, clock.jump.as_ref(), text::duration)?.unwrap_or_default();
        let drift_ppm = clock
            .drift_ppm
            .as_ref()
            .map(|drift| super::read::drift(source, drift))
            .transpose()?;
        found.push(Action::Clock {
            who: select(who)?,
            jump,
            drift_ppm,
        });
    }
    Ok(())
}

fn workload(
    source: &Source<'_>,
    names: &Names,
    at: usize,
    table: &StepTable,
    found: &mut Vec<Action>,
) -> Result<(), ScenarioError> {
    let select = |text: &Text| with(source, text, |word| names.selector(word));
    if let Some(who) = &table.join {
        found.push(Action::Join(select(who)?));
    }
    if let Some(who) = &table.leave {
        found.push(Action::Leave(select(who)?));
    }
    if let Some(announce) = &table.announce {
        let list = announce
            .services
            .as_ref()
            .map(|list| services(source, list))
            .transpose()?;
        if list.is_none() && announce.metadata.is_none() {
            return Err(source.error(at, "announce", "needs `services` or `metadata`"));
        }
        found.push(Action::Announce {
            who: select(&announce.who)?,
            services: list,
            metadata: announce.metadata.clone(),
        });
    }
    if let Some(updates) = &table.updates {
        let every = with(source, &updates.every, text::duration)?;
        if every.is_zero() {
            return Err(source.error(
                updates.every.span().start,
                "every",
                "must be longer than nothing",
            ));
        }
        let length = with(source, &updates.length, text::duration)?;
        found.push(Action::Updates {
            who: select(&updates.who)?,
            every,
            length,
        });
    }
    if let Some(clone) = &table.clone {
        let host = with(source, &clone.name, |word| names.fixed(word))?;
        found.push(Action::Clone(host.first().copied().unwrap_or_default()));
    }
    Ok(())
}

fn direction(word: &str) -> Result<Direction, String> {
    match word {
        "both" => Ok(Direction::Both),
        "out" => Ok(Direction::Out),
        "in" => Ok(Direction::In),
        _ => Err(format!("`{word}` is no direction; there is both, out, in")),
    }
}

fn read_partition(
    source: &Source<'_>,
    names: &Names,
    at: usize,
    table: &PartitionTable,
) -> Result<Action, ScenarioError> {
    let select = |text: &Text| with(source, text, |word| names.selector(word));
    let direction =
        optional(source, table.direction.as_ref(), direction)?.unwrap_or(Direction::Both);
    let sides = match (&table.sets, &table.halves, &table.isolate) {
        (Some(sets), None, None) if sets.len() >= 2 => {
            Sides::Sets(sets.iter().map(select).collect::<Result<_, _>>()?)
        }
        (Some(_), None, None) => return Err(source.error(at, "sets", "needs at least two sides")),
        (None, Some(_), None) => Sides::Halves,
        (None, None, Some(who)) => Sides::Isolate(select(who)?),
        _ => {
            return Err(source.error(
                at,
                "partition",
                "needs exactly one of `sets`, `halves`, `isolate`",
            ));
        }
    };
    Ok(Action::Partition(sides, direction))
}

fn read_cut(
    source: &Source<'_>,
    names: &Names,
    at: usize,
    table: &CutTable,
) -> Result<Action, ScenarioError> {
    let select = |text: &Text| with(source, text, |word| names.selector(word));
    let direction =
        optional(source, table.direction.as_ref(), direction)?.unwrap_or(Direction::Both);
    let pairs = match (&table.from, &table.to, &table.fraction) {
        (Some(from), Some(to), None) => Pairs::Between(select(from)?, select(to)?),
        (None, None, Some(fraction)) => Pairs::Fraction(with(source, fraction, text::share)?),
        _ => return Err(source.error(at, "cut", "needs `from` and `to`, or `fraction`")),
    };
    Ok(Action::Cut(pairs, direction, table.kept))
}
