//! A grow-only counter (Shapiro et al., 2011): each start of a node has its own count, and the
//! value is their sum.

use phalanx_core::channel::Mergeable;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The count of each start of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counter {
    counts: BTreeMap<String, u64>,
}

impl Counter {
    /// Decodes lines of the form: name, a blank, count.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        let mut counts = BTreeMap::new();
        for line in text.lines() {
            let count = line
                .split_once(' ')
                .and_then(|(who, count)| Some((who.to_owned(), count.parse().ok()?)));
            let (who, count) = count.ok_or_else(|| format!("{line:?} is not a valid count"))?;
            counts.insert(who, count);
        }
        Ok(Self { counts })
    }

    /// Creates an update that sets the count of `who`.
    pub(crate) fn of(who: &str, count: u64) -> Self {
        let counts = BTreeMap::from([(who.to_owned(), count)]);
        Self { counts }
    }

    pub(crate) fn count_of(&self, who: &str) -> u64 {
        self.counts.get(who).copied().unwrap_or(0)
    }

    pub(crate) fn value(&self) -> u64 {
        self.counts.values().sum()
    }
}

impl Mergeable for Counter {
    fn encode(&self) -> Vec<u8> {
        let mut text = String::new();
        for (who, count) in &self.counts {
            // Writing to a string cannot fail.
            let _fine = writeln!(text, "{who} {count}").is_ok();
        }
        text.into_bytes()
    }

    fn merge(&mut self, update: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let mut news = Self::default();
        for (who, count) in Self::decode(update)?.counts {
            if count > self.count_of(&who) {
                self.counts.insert(who.clone(), count);
                news.counts.insert(who, count);
            }
        }
        Ok((!news.counts.is_empty()).then(|| news.encode()))
    }

    fn boxed(&self) -> Box<dyn Mergeable> {
        Box::new(self.clone())
    }
}
