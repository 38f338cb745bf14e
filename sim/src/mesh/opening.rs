//! How a node's applications open a channel.

use crate::scenario::{suggestion, text};
use core::time::Duration;
use phalanx_core::channel::{INTERVAL_MAX, INTERVAL_MIN, Kind};

/// The parameters of opening a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelOpening {
    /// The kind of the channel.
    pub kind: Kind,
    /// The time between two comparisons with neighbours; none for the default.
    pub interval: Option<Duration>,
    /// The maximum number of delivered messages that the application has not consumed; none for the default.
    pub room: Option<u32>,
    /// The time that the application takes to consume each message sent to it.
    pub takes: Duration,
}

impl ChannelOpening {
    /// The default parameters for a channel of this kind.
    #[must_use]
    pub const fn of(kind: Kind) -> Self {
        Self {
            kind,
            interval: None,
            room: None,
            takes: Duration::ZERO,
        }
    }

    /// The kind with this word.
    ///
    /// # Errors
    /// The error is that no kind has this name.
    pub(super) fn kind_named(word: &str) -> Result<Kind, String> {
        const KINDS: [Kind; 3] = [Kind::Messages, Kind::Map, Kind::Custom];
        let found = KINDS.into_iter().find(|kind| kind.word() == word);
        found.ok_or_else(|| {
            let near = suggestion(word, KINDS.iter().map(|kind| kind.word()));
            format!("`{word}` is not a kind of channel{near}")
        })
    }

    /// Parses a text such as `map every 2s`.
    ///
    /// # Errors
    /// Returns an error if the text is malformed, names an unknown kind, or has an interval outside the bounds.
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
