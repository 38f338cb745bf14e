//! A counter that only grows (Shapiro et al., 2011): each start of a node counts for itself, the sum is the value.

use phalanx_core::channel::Mergeable;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How often each start of a node counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counter {
    counts: BTreeMap<String, u64>,
}

impl Counter {
    /// The counter of these lines: who, a blank, how often.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        let mut counts = BTreeMap::new();
        for line in text.lines() {
            let count = line
                .split_once(' ')
                .and_then(|(who, count)| Some((who.to_owned(), count.parse().ok()?)));
            let (who, count) = count.ok_or_else(|| format!("{line:?} is no count"))?;
            counts.insert(who, count);
        }
        Ok(Self { counts })
    }

    /// An update: `who` counted so often.
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
            // Writing to a string does not fail.
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
