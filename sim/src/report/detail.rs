//! Selects the messages and reports that a page contains individually. Counts are always complete;
//! lines and marks are limited.

use crate::record::{RecordedEvent, Recording};
use std::collections::{BTreeMap, BTreeSet};

/// Maximum number of messages drawn individually.
pub(super) const MESSAGES_MAX: usize = 40_000;
/// Maximum number of reports marked individually.
pub(super) const REPORTS_MAX: usize = 20_000;
/// Share of the messages, in percent, reserved for those that changed the receiver's view.
const NEWS_PERCENT: usize = 75;

/// The selected messages, in columns.
#[derive(Debug, Default, serde::Serialize)]
pub(super) struct Messages {
    /// The event at the receiver.
    pub(super) event: Vec<u64>,
    /// Time of sending, in microseconds.
    pub(super) sent: Vec<u64>,
    /// Time of arrival, in microseconds.
    pub(super) took: Vec<u64>,
    pub(super) from: Vec<usize>,
    pub(super) to: Vec<usize>,
    /// Index in `kinds`.
    pub(super) kind: Vec<usize>,
    pub(super) size: Vec<u32>,
    /// 1 if the receiver's view changed, otherwise 0.
    pub(super) news: Vec<u8>,
    pub(super) kinds: Vec<&'static str>,
    /// Number of all messages.
    pub(super) total: u64,
    /// Number of all messages of each kind.
    pub(super) totals: BTreeMap<&'static str, u64>,
}

impl Messages {
    /// Selects messages of a run; those in `always` are always included.
    pub(super) fn of(recording: &Recording<'_>, always: &BTreeSet<u64>) -> Self {
        let mut found = Self::default();
        let mut news = 0;
        each(recording, |event, _, changed| {
            found.total += 1;
            *found.totals.entry(event.kind).or_default() += 1;
            news += usize::from(changed);
        });
        found.kinds = found.totals.keys().copied().collect();
        let total = usize::try_from(found.total).unwrap_or(usize::MAX);
        let everything = total <= MESSAGES_MAX;
        let news_max =
            (MESSAGES_MAX * NEWS_PERCENT / 100).max(MESSAGES_MAX.saturating_sub(total - news));
        let rest_max = MESSAGES_MAX - news.min(news_max);
        let mut thin = [Thin::new(news, news_max), Thin::new(total - news, rest_max)];
        let kinds = found.kinds.clone();
        each(recording, |event, sender, changed| {
            let chosen = thin[usize::from(!changed)].take();
            if everything || chosen || always.contains(&event.number) {
                let sent = recording
                    .event(event.cause)
                    .map_or(event.at, |sent| sent.at);
                found.event.push(event.number);
                found.sent.push(sent / 1_000);
                found.took.push(event.at / 1_000);
                found.from.push(sender);
                found.to.push(event.host.unwrap_or(0));
                found.kind.push(
                    kinds
                        .iter()
                        .position(|kind| *kind == event.kind)
                        .unwrap_or(0),
                );
                found.size.push(event.size);
                found.news.push(u8::from(changed));
            }
        });
        found
    }
}

/// Calls `tell` for every message with its sender, and whether the receiver's view changed.
fn each(recording: &Recording<'_>, mut tell: impl FnMut(&RecordedEvent, usize, bool)) {
    let mut digests = vec![0; recording.scenario().hosts.len()];
    for event in recording.events() {
        let Some(host) = event.host else { continue };
        let changed = digests[host] != event.digest;
        digests[host] = event.digest;
        if let Some((sender, _)) = recording.sending(&event) {
            tell(&event, sender, changed);
        }
    }
}

/// Selects a number of items evenly.
struct Thin {
    of: usize,
    max: usize,
    sum: usize,
}

impl Thin {
    const fn new(of: usize, max: usize) -> Self {
        Self { of, max, sum: 0 }
    }

    const fn take(&mut self) -> bool {
        self.sum += self.max;
        let take = self.sum >= self.of;
        if take {
            self.sum -= self.of;
        }
        take
    }
}

/// The selected reports of nodes, in columns.
#[derive(Debug, Default, serde::Serialize)]
pub(super) struct Reports {
    pub(super) event: Vec<u64>,
    /// Time, in microseconds.
    pub(super) at: Vec<u64>,
    pub(super) node: Vec<usize>,
    /// Index in `words`.
    pub(super) word: Vec<usize>,
    /// Index of the node that the report is about; -1 for none.
    pub(super) about: Vec<i64>,
    pub(super) words: Vec<&'static str>,
    /// Number of all reports of each word.
    pub(super) totals: BTreeMap<&'static str, u64>,
}

impl Reports {
    /// Selects reports of a run up to a limit, which the words share; rare words are complete.
    pub(super) fn of(recording: &Recording<'_>) -> Self {
        let mut found = Self::default();
        for report in recording.reports() {
            *found.totals.entry(report.word).or_default() += 1;
        }
        let words: Vec<(&'static str, u64)> = found.totals.clone().into_iter().collect();
        let mut by_count: Vec<usize> = (0..words.len()).collect();
        by_count.sort_by_key(|word| words[*word].1);
        let mut left = REPORTS_MAX;
        let mut thin: BTreeMap<&str, Thin> = BTreeMap::new();
        for (position, word) in by_count.iter().enumerate() {
            let (word, count) = words[*word];
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            let share = count.min(left / (words.len() - position));
            left -= share;
            thin.insert(word, Thin::new(count, share));
        }
        found.words = words.iter().map(|(word, _)| *word).collect();
        for report in recording.reports() {
            let chosen = thin.get_mut(report.word).is_some_and(Thin::take);
            let Some(event) = recording.event(report.event).filter(|_| chosen) else {
                continue;
            };
            found.event.push(event.number);
            found.at.push(event.at / 1_000);
            found.node.push(event.host.unwrap_or(0));
            let word = found.words.iter().position(|word| *word == report.word);
            found.word.push(word.unwrap_or(0));
            let about = report.about.and_then(|host| i64::try_from(host).ok());
            found.about.push(about.unwrap_or(-1));
        }
        found
    }
}
