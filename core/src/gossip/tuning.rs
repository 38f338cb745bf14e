//! The settings of the protocol that operators and scenarios may change: names, units, bounds and meanings.
//!
//! The configuration of the daemon (file, environment) and the simulator (scenario files) use this table. The defaults
//! are those of [`Tuning::default`].

use super::config::Tuning;
use crate::time::Duration;
use crate::topology::MEMBERS_LIMIT;

/// The value that a setting changes.
#[derive(Clone, Copy, Debug)]
pub enum TuningField {
    /// A duration; a number is in milliseconds.
    Time(fn(&mut Tuning) -> &mut Duration),
    /// A count, such as a number of links.
    Count(fn(&mut Tuning) -> &mut usize),
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct TuningKey {
    /// The name with its unit, as in the daemon's file: `dial_timeout_ms`.
    pub name: &'static str,
    /// The name with its table: `tuning.dial_timeout_ms`.
    pub path: &'static str,
    /// The name without the unit, as in scenario files: `dial-timeout`.
    pub word: &'static str,
    /// The meaning of the setting.
    pub about: &'static str,
    /// The value.
    pub field: TuningField,
    /// The lowest allowed number.
    pub min: u64,
    /// The highest allowed number; `u64::MAX` if there is no upper bound.
    pub max: u64,
    /// Whether operators may set this setting; the other settings are only for simulations.
    pub is_for_operators: bool,
}

impl TuningKey {
    /// Returns the number of this setting, in its unit.
    #[must_use]
    pub fn get(&self, tuning: &Tuning) -> u64 {
        // Each setting has only one accessor, which borrows mutably, so the tuning is cloned for a read.
        let mut tuning = tuning.clone();
        match self.field {
            TuningField::Time(of) => u64::try_from(of(&mut tuning).as_millis()),
            TuningField::Count(of) => u64::try_from(*of(&mut tuning)),
        }
        .unwrap_or(u64::MAX)
    }

    /// Sets the number of this setting, in its unit.
    ///
    /// # Errors
    /// Returns an error if the number is out of bounds.
    pub fn set(&self, tuning: &mut Tuning, number: u64) -> Result<(), String> {
        if !(self.min..=self.max).contains(&number) {
            return Err(match self.max {
                u64::MAX => format!("is not a whole number from {} up", self.min),
                max => format!("is not a whole number from {} to {max}", self.min),
            });
        }
        match self.field {
            TuningField::Time(of) => *of(tuning) = Duration::from_millis(number),
            TuningField::Count(of) => *of(tuning) = usize::try_from(number).unwrap_or(usize::MAX),
        }
        Ok(())
    }
}

/// Minimum for the bound of links; with fewer links, the overlay may become disconnected.
const LINKS_MIN: u64 = 8;
/// Maximum for the bounds of links and members: the capacity of a view.
const COUNT_MAX: u64 = MEMBERS_LIMIT as u64;

/// Defines a duration of at least a millisecond.
macro_rules! time {
    ($field:ident, $word:literal, $about:literal) => {
        TuningKey {
            name: concat!(stringify!($field), "_ms"),
            path: concat!("tuning.", stringify!($field), "_ms"),
            word: $word,
            about: $about,
            field: TuningField::Time(|tuning| &mut tuning.$field),
            min: 1,
            max: u64::MAX,
            is_for_operators: true,
        }
    };
}

/// Defines a bound between a minimum and the capacity of a view.
macro_rules! count {
    ($field:ident, $word:literal, $min:expr, $about:literal) => {
        TuningKey {
            name: stringify!($field),
            path: concat!("tuning.", stringify!($field)),
            word: $word,
            about: $about,
            field: TuningField::Count(|tuning| &mut tuning.$field),
            min: $min,
            max: COUNT_MAX,
            is_for_operators: true,
        }
    };
}

impl TuningKey {
    /// Maximum time between two heartbeats on one link.
    pub const HEARTBEAT_INTERVAL_MAX: Self = time!(
        heartbeat_interval_max,
        "heartbeat-interval-max",
        "Maximum time between two heartbeats on one link."
    );
    /// Maximum time between two heartbeats of one node, over all of its links.
    pub const HEARTBEAT_SPACING: Self = time!(
        heartbeat_spacing,
        "heartbeat-spacing",
        "Maximum time between two heartbeats of one node, which may go to different neighbours."
    );
    /// Silence after which a neighbour is redialled.
    pub const REDIAL_AFTER: Self = time!(
        redial_after,
        "redial-after",
        "Silence after which a neighbour is redialled."
    );
    /// Silence after which an edge is published as down.
    pub const SILENT_AFTER: Self = time!(
        silent_after,
        "silent-after",
        "Silence after which an edge is published as down."
    );
    /// Age of the latest evidence of life after which an unreachable member is down.
    pub const DOWN_AFTER: Self = time!(
        down_after,
        "down-after",
        "Age of the latest evidence of life after which an unreachable member is down."
    );
    /// Time after which an unanswered dial counts as failed.
    pub const DIAL_TIMEOUT: Self = time!(
        dial_timeout,
        "dial-timeout",
        "Time after which an unanswered dial counts as failed."
    );
    /// Time after which an unanswered resolution of a name counts as failed.
    pub const RESOLUTION_TIMEOUT: Self = time!(
        resolution_timeout,
        "resolution-timeout",
        "Time after which an unanswered resolution of a name counts as failed."
    );
    /// Delay before a failed seed address is dialled again.
    pub const RETRY_MIN: Self = time!(
        retry_min,
        "retry-min",
        "Delay before a failed seed address is dialled again; grows with each failure."
    );
    /// Maximum delay before a failed seed address is dialled again.
    pub const RETRY_MAX: Self = time!(
        retry_max,
        "retry-max",
        "Maximum delay before a failed seed address is dialled again."
    );
    /// Time after which members that are down or left are forgotten.
    pub const FORGET_AFTER: Self = time!(
        forget_after,
        "forget-after",
        "Time after which members that are down or left are forgotten."
    );
    /// Maximum number of links of one node.
    pub const LINKS_MAX: Self = count!(
        links_max,
        "links-max",
        LINKS_MIN,
        "Maximum number of links of one node."
    );
    /// Maximum number of known members.
    pub const MEMBERS_MAX: Self = count!(
        members_max,
        "members-max",
        2,
        "Maximum number of known members, alive, down or left."
    );
    /// Maximum size of the messages and maps of all channels on one node, in KiB.
    pub const CHANNEL_KIB_MAX: Self = Self {
        max: u32::MAX as u64,
        ..count!(
            channel_kib_max,
            "channel-kib-max",
            1_000,
            "Maximum size of the messages and maps of all channels on one node, in KiB; a quarter of it for the messages of one origin."
        )
    };
    /// Time after which the extra random link is replaced.
    pub const RANDOM_LINK_INTERVAL: Self = Self {
        is_for_operators: false,
        ..time!(
            random_link_interval,
            "random-link-interval",
            "Time after which the extra random link is replaced."
        )
    };
    /// Maximum time between two hashes of a view on one link.
    pub const HASH_INTERVAL: Self = Self {
        is_for_operators: false,
        ..time!(
            hash_interval,
            "hash-interval",
            "Maximum time between two hashes of a view on one link."
        )
    };

    /// Every setting, in the order in which documentation lists them.
    pub const ALL: [Self; 15] = [
        Self::HEARTBEAT_INTERVAL_MAX,
        Self::HEARTBEAT_SPACING,
        Self::REDIAL_AFTER,
        Self::SILENT_AFTER,
        Self::DOWN_AFTER,
        Self::DIAL_TIMEOUT,
        Self::RESOLUTION_TIMEOUT,
        Self::RETRY_MIN,
        Self::RETRY_MAX,
        Self::FORGET_AFTER,
        Self::LINKS_MAX,
        Self::MEMBERS_MAX,
        Self::CHANNEL_KIB_MAX,
        Self::RANDOM_LINK_INTERVAL,
        Self::HASH_INTERVAL,
    ];

    /// Pairs of settings; the first setting of a pair must not exceed the second.
    const ORDERED: [(Self, Self); 4] = [
        (Self::HEARTBEAT_INTERVAL_MAX, Self::REDIAL_AFTER),
        (Self::REDIAL_AFTER, Self::SILENT_AFTER),
        (Self::SILENT_AFTER, Self::DOWN_AFTER),
        (Self::RETRY_MIN, Self::RETRY_MAX),
    ];
}

/// Two settings, of which the first must not exceed the second but does.
#[derive(Clone, Copy, Debug)]
pub struct TuningConflict {
    /// The setting that must not exceed the other, and is too high.
    pub low: TuningKey,
    /// The setting that the other must not exceed.
    pub high: TuningKey,
    /// The numbers of both settings, in milliseconds.
    pub numbers: (u64, u64),
}

impl Tuning {
    /// Returns the settings that contradict each other.
    #[must_use]
    pub fn conflicts(&self) -> Vec<TuningConflict> {
        let pairs = TuningKey::ORDERED.into_iter();
        let pairs = pairs.map(|(low, high)| TuningConflict {
            low,
            high,
            numbers: (low.get(self), high.get(self)),
        });
        pairs
            .filter(|conflict| conflict.numbers.0 > conflict.numbers.1)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_set_within_its_bounds_and_read_again() {
        for (key, number) in TuningKey::ALL.into_iter().zip(1_000..) {
            let mut tuning = Tuning::default();
            assert_eq!(key.set(&mut tuning, number), Ok(()), "{}", key.name);
            assert_eq!(key.get(&tuning), number, "{}", key.name);
            let changed = TuningKey::ALL.into_iter();
            let changed =
                changed.filter(|other| other.get(&tuning) != other.get(&Tuning::default()));
            assert_eq!(changed.count(), 1, "{}", key.name);
            assert!(key.set(&mut tuning, 0).is_err(), "{}", key.name);
        }
        let message = TuningKey::LINKS_MAX.set(&mut Tuning::default(), 7);
        assert!(message.is_err_and(|why| why.starts_with("is not a whole number from 8 to")));
    }

    #[test]
    fn the_names_of_a_setting_agree() {
        for key in TuningKey::ALL {
            let unit = if matches!(key.field, TuningField::Time(_)) {
                "_ms"
            } else {
                ""
            };
            assert_eq!(key.name, format!("{}{unit}", key.word.replace('-', "_")));
            assert_eq!(key.path, format!("tuning.{}", key.name));
        }
    }

    #[test]
    fn the_defaults_do_not_contradict_each_other_and_others_may() {
        let mut tuning = Tuning::default();
        assert!(tuning.conflicts().is_empty());
        tuning.down_after = Duration::from_millis(3_000);
        let found = tuning.conflicts();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].low.word, found[0].numbers),
            ("silent-after", (3_500, 3_000))
        );
    }
}
