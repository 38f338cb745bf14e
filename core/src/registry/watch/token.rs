//! Resume tokens: the position of a watcher in the log of a region, bound to the scope that it watches.
//!
//! A token is opaque to clients. It is not signed: a forged token names another position of the same client's own
//! watch, which may cause a new snapshot and reveals nothing.

use crate::random::hash_bytes;
use crate::registry::log::LogEpoch;
use crate::registry::name::RegionId;
use core::fmt;
use core::str::FromStr;

/// A resume token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeToken {
    /// The region that owns the log.
    pub region: RegionId,
    /// The epoch in which the batch of the position was committed.
    pub epoch: LogEpoch,
    /// The sequence number of the last batch that the watcher has.
    pub sequence: u64,
    /// The hash of the watched scope.
    pub scope: u64,
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
        let LogEpoch {
            number,
            incarnation,
        } = self.epoch;
        let (region, sequence, scope) = (&self.region, self.sequence, self.scope);
        format!("{region}.{number:x}.{incarnation:x}.{sequence:x}.{scope:x}")
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
    let mut parts = text.split('.');
    let region = parts.next()?.parse().ok()?;
    let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
    let epoch = LogEpoch {
        number: number()?,
        incarnation: number()?,
    };
    let (sequence, scope) = (number()?, number()?);
    Some(ResumeToken {
        region,
        epoch,
        sequence,
        scope,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_is_read_back_and_a_changed_one_is_refused(
            (number, incarnation, sequence, scope) in any::<(u64, u64, u64, u64)>(),
            at in any::<prop::sample::Index>(),
        ) {
            let epoch = LogEpoch { number, incarnation };
            let token = ResumeToken { region: "eu".parse().unwrap(), epoch, sequence, scope };
            let text = token.to_string();
            prop_assert_eq!(text.parse(), Ok(token));
            let at = at.index(text.len());
            let other = if &text[at..=at] == "1" { "2" } else { "1" };
            let changed = text[..at].to_owned() + other + &text[at + 1..];
            prop_assert_eq!(changed.parse::<ResumeToken>(), Err(ResumeTokenError));
        }

        #[test]
        fn reading_never_panics(text in "[a-f0-9.é+]{0,40}") {
            drop(text.parse::<ResumeToken>());
        }
    }
}
