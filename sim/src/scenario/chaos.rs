//! Random faults within a budget: their kinds, their number and duration, and the time in which they occur.

use super::engine::Engine;
use super::error::{ScenarioError, SourceText};
use super::file::{At, ChaosTable};
use super::text;
use super::value::{optional, with};
use super::vocabulary::Vocabulary;
use super::words::{word_for, word_of};
use core::time::Duration;

/// One kind of random fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChaosKind {
    /// A process is killed and restarts later.
    Crash,
    /// A machine loses power and restarts later.
    PowerLoss,
    /// A machine loses power and its disk, and restarts later.
    Wipe,
    /// A node leaves and restarts later.
    Leave,
    /// A process is paused.
    Pause,
    /// Each input of a process is delayed.
    Slow,
    /// A clock jumps forward.
    Jump,
    /// A clock drifts for a while.
    Drift,
    /// The network splits.
    Partition,
    /// Traffic between single pairs is blocked.
    Cut,
    /// Traffic between single pairs is delayed.
    Hold,
    /// Segments are lost on all links.
    Loss,
    /// Latency rises on all links.
    Latency,
    /// The network of all nodes of a zone is cut from the others.
    ZonePartition,
    /// All machines of a zone lose power and restart later.
    ZonePowerLoss,
    /// A fault of a program's own.
    Own {
        /// The name of the fault.
        word: &'static str,
        /// The engines that support the fault.
        engines: &'static [Engine],
    },
}

impl ChaosKind {
    /// Every kind that all systems have, and its name.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::Crash, "crash"),
        (Self::PowerLoss, "power-loss"),
        (Self::Wipe, "wipe"),
        (Self::Leave, "leave"),
        (Self::Pause, "pause"),
        (Self::Slow, "slow"),
        (Self::Jump, "jump"),
        (Self::Drift, "drift"),
        (Self::Partition, "partition"),
        (Self::Cut, "cut"),
        (Self::Hold, "hold"),
        (Self::Loss, "loss"),
        (Self::Latency, "latency"),
        (Self::ZonePartition, "zone-partition"),
        (Self::ZonePowerLoss, "zone-power-loss"),
    ];

    /// Returns whether the kind is among the kinds of a budget that names none. Faults of zones must be named.
    const fn is_usual(self) -> bool {
        !matches!(self, Self::ZonePartition | Self::ZonePowerLoss)
    }

    /// Returns the name of the kind in scenario files.
    #[must_use]
    pub fn word(self) -> &'static str {
        if let Self::Own { word, .. } = self {
            word
        } else {
            word_for(self, Self::ALL)
        }
    }

    /// Returns every kind that a system has: those of all systems, then those of its programs.
    pub(super) fn all(vocabulary: &Vocabulary) -> Vec<Self> {
        let own = vocabulary.programs.iter().flat_map(|words| words.faults);
        let own = own.map(|fault| Self::Own {
            word: fault.word,
            engines: fault.engines,
        });
        let general = Self::ALL.iter().map(|(kind, _)| *kind);
        general.chain(own).collect()
    }

    /// Returns the index of the kind among all kinds of a system.
    pub(super) fn index(self, vocabulary: &Vocabulary) -> usize {
        let all = Self::all(vocabulary);
        let place = all.iter().position(|kind| *kind == self);
        place.unwrap_or_default()
    }

    /// Returns whether an engine supports the kind.
    #[must_use]
    pub fn is_for(self, engine: Engine) -> bool {
        if let Self::Own { engines, .. } = self {
            return engines.contains(&engine);
        }
        match engine {
            Engine::Model => true,
            Engine::Wire => matches!(
                self,
                Self::Crash
                    | Self::PowerLoss
                    | Self::Wipe
                    | Self::Leave
                    | Self::Partition
                    | Self::ZonePartition
                    | Self::ZonePowerLoss
                    | Self::Cut
            ),
            Engine::Madsim => matches!(
                self,
                Self::Crash
                    | Self::Leave
                    | Self::Partition
                    | Self::ZonePartition
                    | Self::Cut
                    | Self::Pause
                    | Self::Wipe
            ),
        }
    }
}

/// A budget of random faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chaos {
    /// The line of `[chaos]`; 0 if the search added the budget.
    pub line: usize,
    /// The kinds of faults.
    pub kinds: Vec<ChaosKind>,
    /// The share of the faults of nodes that strike all nodes of a zone, in parts per million.
    pub by_zone_ppm: u32,
    /// Maximum number of simultaneous faults.
    pub at_once: usize,
    /// Mean interval between the starts of two faults.
    pub every: Duration,
    /// Minimum duration of a fault.
    pub shortest: Duration,
    /// Maximum duration of a fault.
    pub longest: Duration,
    /// Minimum number of nodes that no fault affects, at any time.
    pub stay_up: usize,
    /// The earliest start of a fault.
    pub from: Duration,
    /// The time by which every fault is lifted; none starts from then on.
    pub quiet: Duration,
}

impl Chaos {
    /// Returns the first key that needs zones, and the value that needs them.
    pub(super) fn zone_kind(&self) -> Option<(&'static str, &'static str)> {
        let mut kinds = self.kinds.iter();
        let named = kinds.find(|kind| !kind.is_usual());
        let named = named.map(|kind| ("kinds", kind.word()));
        named.or((self.by_zone_ppm > 0).then_some(("by-zone", "a share")))
    }

    /// Returns the default budget for `hosts` machines and a fault phase of `duration`.
    ///
    /// # Panics
    /// Panics if the vocabulary excludes a kind that does not exist.
    #[must_use]
    pub fn usual(
        vocabulary: &Vocabulary,
        engines: &[Engine],
        hosts: usize,
        duration: Duration,
    ) -> Self {
        let kinds = ChaosKind::all(vocabulary);
        let excluded: Vec<_> = vocabulary.every(|words| &words.excluded_chaos).collect();
        for word in &excluded {
            let is_kind = kinds.iter().any(|kind| kind.word() == *word);
            assert!(is_kind, "{word} is not a kind of chaos");
        }
        Self {
            line: 0,
            kinds: kinds
                .into_iter()
                .filter(|kind| kind.is_usual() && !excluded.contains(&kind.word()))
                .filter(|kind| engines.iter().all(|engine| kind.is_for(*engine)))
                .collect(),
            by_zone_ppm: 0,
            at_once: 2,
            every: Duration::from_secs(3),
            shortest: Duration::from_millis(500),
            longest: Duration::from_secs(8).min(duration / 2),
            stay_up: hosts.div_ceil(2),
            from: Duration::from_secs(3).min(duration / 4),
            quiet: duration,
        }
    }
}

pub(super) fn read(
    source: &SourceText<'_>,
    table: &At<ChaosTable>,
    engines: &[Engine],
    hosts: usize,
    duration: Duration,
) -> Result<Chaos, ScenarioError> {
    let at = table.span().start;
    let table = table.get_ref();
    let usual = Chaos::usual(source.vocabulary, engines, hosts, duration);
    let kinds = match &table.kinds {
        None => usual.kinds,
        Some(list) if list.is_empty() => {
            return Err(source.error(at, "kinds", "is empty; name a kind or leave `[chaos]` out"));
        }
        Some(list) => {
            let kinds = ChaosKind::all(source.vocabulary).into_iter();
            let kinds: Vec<_> = kinds.map(|kind| (kind, kind.word())).collect();
            let kind = |word: &str| word_of("kind of chaos", &kinds, word);
            let kinds: Result<_, _> = list.iter().map(|word| with(source, word, kind)).collect();
            kinds?
        }
    };
    let every = optional(source, table.every.as_ref(), text::positive)?;
    let shortest = optional(source, table.shortest.as_ref(), text::positive)?;
    let longest = optional(source, table.longest.as_ref(), text::positive)?;
    let quiet = optional(source, table.quiet.as_ref(), text::duration)?;
    let from = optional(source, table.from.as_ref(), text::duration)?;
    let longest_or_usual = longest.unwrap_or(usual.longest);
    let shortest = shortest.unwrap_or(usual.shortest.min(longest_or_usual));
    let chaos = Chaos {
        line: source.line(at),
        kinds,
        by_zone_ppm: optional(source, table.by_zone.as_ref(), text::share)?.unwrap_or(0),
        at_once: count(table.at_once.as_ref(), usual.at_once),
        every: every.unwrap_or(usual.every),
        shortest,
        longest: longest.unwrap_or(usual.longest.max(shortest)),
        stay_up: count(table.stay_up.as_ref(), usual.stay_up),
        from: from.unwrap_or(usual.from),
        quiet: quiet.unwrap_or(duration),
    };
    let wrong = if chaos.at_once == 0 {
        Some(("at-once", "must be at least 1".to_owned()))
    } else if chaos.longest < chaos.shortest {
        Some(("longest", "is below `shortest`".to_owned()))
    } else if chaos.stay_up >= hosts {
        let message = format!("leaves no node for faults; the scenario has {hosts} nodes");
        Some(("stay-up", message))
    } else if chaos.quiet > duration {
        let message = format!("is behind `duration` ({})", text::show(duration));
        Some(("quiet", message))
    } else if chaos.quiet < chaos.from + chaos.shortest {
        let message = "leaves no time for a fault after `from`".to_owned();
        Some(("quiet", message))
    } else {
        None
    };
    match wrong {
        None => Ok(chaos),
        Some((key, message)) => Err(source.error(source.place_of(at, key), key, message)),
    }
}

fn count(value: Option<&At<u32>>, usual: usize) -> usize {
    value.map_or(usual, |value| *value.get_ref() as usize)
}

#[cfg(test)]
mod tests {
    use super::super::vocabulary::Words;
    use super::*;

    fn drawn(excluded: &[&'static str]) -> Vec<&'static str> {
        let words = Words {
            excluded_chaos: excluded.to_vec(),
            ..Words::default()
        };
        let vocabulary = Vocabulary::of("a test", [words]);
        let budget = Chaos::usual(&vocabulary, &[Engine::Model], 5, Duration::from_secs(20));
        budget.kinds.into_iter().map(ChaosKind::word).collect()
    }

    #[test]
    fn a_budget_that_names_no_kind_has_no_excluded_kind() {
        assert!(drawn(&[]).contains(&"wipe"));
        assert!(!drawn(&["wipe"]).contains(&"wipe"));
        assert_eq!(drawn(&["wipe"]).len() + 1, drawn(&[]).len());
    }

    #[test]
    #[should_panic(expected = "wype is not a kind of chaos")]
    fn an_excluded_kind_exists() {
        drawn(&["wype"]);
    }
}
