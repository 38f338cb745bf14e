//! Resume tokens: the position of a watcher in the logs of regions, bound to the scope that it watches.
//!
//! A token has a position for each region whose objects the watcher has heard of, so it can be resumed at the registry
//! of another region. A token is opaque to clients. It is not signed: a forged token names another position of the same
//! client's own watch, which may cause a new snapshot and reveals nothing.

use crate::random::hash_bytes;
use crate::registry::log::{LogEpoch, LogPosition};
use crate::registry::name::RegionId;
use crate::registry::region_logs::REGIONS_MAX;
use core::fmt;
use core::str::FromStr;
use std::collections::BTreeMap;

/// A resume token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeToken {
    /// The position of the last batch that the watcher has, in the log of each region.
    pub positions: BTreeMap<RegionId, LogPosition>,
    /// The hash of the watched scope.
    pub scope: u64,
}

impl ResumeToken {
    /// A token with a position in the log of one region.
    #[must_use]
    pub fn of(region: RegionId, position: LogPosition, scope: u64) -> Self {
        Self {
            positions: [(region, position)].into(),
            scope,
        }
    }

    /// The sequence number of the last batch of a region; 0 for a region that the token does not name.
    #[must_use]
    pub fn sequence(&self, region: &RegionId) -> u64 {
        self.positions.get(region).map_or(0, |it| it.sequence)
    }

    /// The number of batches before the position, in all logs together.
    #[must_use]
    pub fn batches(&self) -> u64 {
        let numbers = self.positions.values().map(|it| it.sequence);
        numbers.fold(0, u64::saturating_add)
    }

    /// Whether the position is not before another one in any log.
    #[must_use]
    pub fn is_at_least(&self, other: &Self) -> bool {
        let mut before = other.positions.iter();
        before.all(|(region, it)| self.sequence(region) >= it.sequence)
    }
}

/// The text is not a resume token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumeTokenError;

impl fmt::Display for ResumeTokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the resume token is damaged; watch without it to get a snapshot")
    }
}

impl core::error::Error for ResumeTokenError {}

impl ResumeToken {
    fn content(&self) -> String {
        let positions = self.positions.iter().map(|(region, position)| {
            let LogPosition { epoch, sequence } = position;
            let (number, incarnation) = (epoch.number, epoch.incarnation);
            format!("{region}.{number:x}.{incarnation:x}.{sequence:x}")
        });
        let positions: Vec<String> = positions.collect();
        format!("{}.{:x}", positions.join("+"), self.scope)
    }
}

impl fmt::Display for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = self.content();
        write!(f, "{content}.{:x}", hash_bytes(content.as_bytes()))
    }
}

impl FromStr for ResumeToken {
    type Err = ResumeTokenError;

    fn from_str(text: &str) -> Result<Self, ResumeTokenError> {
        let token = read(text).ok_or(ResumeTokenError)?;
        // There is one text for each token.
        if token.to_string() == text {
            Ok(token)
        } else {
            Err(ResumeTokenError)
        }
    }
}

fn read(text: &str) -> Option<ResumeToken> {
    let mut ends = text.rsplitn(3, '.');
    let _hash = ends.next()?;
    let scope = u64::from_str_radix(ends.next()?, 16).ok()?;
    let mut positions = BTreeMap::new();
    for part in ends.next()?.split('+') {
        // The region itself and its copies.
        if positions.len() > REGIONS_MAX {
            return None;
        }
        let (region, position) = read_position(part)?;
        positions.insert(region, position);
    }
    Some(ResumeToken { positions, scope })
}

fn read_position(text: &str) -> Option<(RegionId, LogPosition)> {
    let mut parts = text.split('.');
    let region = parts.next()?.parse().ok()?;
    let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
    let epoch = LogEpoch {
        number: number()?,
        incarnation: number()?,
    };
    let sequence = number()?;
    Some((region, LogPosition { epoch, sequence }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_is_read_back_and_a_changed_one_is_refused(
            (number, incarnation, sequence, scope) in any::<(u64, u64, u64, u64)>(),
            has_two in any::<bool>(),
            at in any::<prop::sample::Index>(),
        ) {
            let epoch = LogEpoch { number, incarnation };
            let position = LogPosition { epoch, sequence };
            let mut token = ResumeToken::of("eu".parse().unwrap(), position, scope);
            if has_two {
                token.positions.insert("us-1".parse().unwrap(), LogPosition::default());
            }
            let text = token.to_string();
            prop_assert_eq!(text.parse(), Ok(token));
            let at = at.index(text.len());
            let other = if &text[at..=at] == "1" { "2" } else { "1" };
            let changed = text[..at].to_owned() + other + &text[at + 1..];
            prop_assert_eq!(changed.parse::<ResumeToken>(), Err(ResumeTokenError));
        }

        #[test]
        fn reading_never_panics(text in "[a-f0-9.é+]{0,60}") {
            drop(text.parse::<ResumeToken>());
        }
    }
}
