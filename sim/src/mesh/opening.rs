//! How a node's applications open a channel.

use crate::scenario::{suggestion, text};
use core::time::Duration;
use phalanx_core::channel::{INTERVAL_MAX, INTERVAL_MIN, Kind};

/// How a channel is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// What its broadcasts are.
    pub kind: Kind,
    /// Time between two comparisons with neighbours; none: the usual.
    pub interval: Option<Duration>,
    /// The most messages handed over and not consumed; none: the usual.
    pub room: Option<u32>,
    /// How long the application takes for each message sent to it.
    pub takes: Duration,
}

impl Opening {
    /// The usual way to open a channel of a kind.
    #[must_use]
    pub const fn of(kind: Kind) -> Self {
        Self {
            kind,
            interval: None,
            room: None,
            takes: Duration::ZERO,
        }
    }

    /// The kind of this word.
    ///
    /// # Errors
    /// That there is none.
    pub(super) fn kind_named(word: &str) -> Result<Kind, String> {
        const KINDS: [Kind; 3] = [Kind::Messages, Kind::Map, Kind::Custom];
        let found = KINDS.into_iter().find(|kind| kind.word() == word);
        found.ok_or_else(|| {
            let near = suggestion(word, KINDS.iter().map(|kind| kind.word()));
            format!("`{word}` is no kind of channel{near}")
        })
    }

    /// What a text such as `map every 2s` says.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(words: &str) -> Result<Self, String> {
        let (kind, interval) = match words.split_once(" every ") {
            Some((kind, interval)) => (kind, Some(text::duration(interval)?)),
            None => (words, None),
        };
        if interval.is_some_and(|interval| !(INTERVAL_MIN..=INTERVAL_MAX).contains(&interval)) {
            return Err(format!(
                "a channel is compared every {} to {}",
                text::show(INTERVAL_MIN),
                text::show(INTERVAL_MAX)
            ));
        }
        Ok(Self {
            interval,
            ..Self::of(Self::kind_named(kind.trim())?)
        })
    }
}
