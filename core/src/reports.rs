//! Limits reports about events that other machines can cause, so that no machine fills the log of a node.
//!
//! Each kind of report has a rate for each source and a rate for all sources together (the generic cell rate
//! algorithm). A report above a rate is counted instead of published. The counts of a kind are published as one
//! [`ReportSummary`] at the end of a window, with the names of some sources: the most frequent one, and then the rarest
//! ones, because a flood of one source must not hide a single report of another.
//!
//! The caller decides the kind and the source of a report, and publishes. Bounds: [`KINDS_MAX`] kinds, and
//! [`SOURCES_MAX`] sources for each kind; further sources share one rate, and are counted without a name.

use crate::identity::NodeId;
use crate::link::Address;
use crate::time::{Duration, Instant};
use core::fmt;
use core::net::IpAddr;
use std::collections::BTreeMap;

/// Maximum number of kinds; reports of further kinds share one kind.
pub const KINDS_MAX: usize = 64;
/// Maximum number of sources of one kind that have their own rate.
pub const SOURCES_MAX: usize = 256;
/// Maximum number of sources that a summary names.
pub const NAMED_MAX: usize = 5;
/// The kind of all reports beyond [`KINDS_MAX`].
const OTHER_KINDS: &str = "other";

/// The cause of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReportSource {
    /// The node itself, or an unknown cause.
    #[default]
    Unknown,
    /// A member.
    Member(NodeId),
    /// A host without an identity.
    Host(IpAddr),
    /// An address that this node dials.
    Address(Address),
}

impl fmt::Display for ReportSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("unnamed"),
            Self::Member(id) => f.write_str(id.as_str()),
            Self::Host(host) => host.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// A rate: a burst, and then one report for each interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportRate {
    /// The number of reports published at once.
    pub burst: u32,
    /// The time for one further report.
    pub interval: Duration,
}

impl ReportRate {
    /// Whether one more report conforms. `next` is the time at which the next report conforms without a burst.
    fn admits(self, now: Instant, next: Instant) -> bool {
        now.max(next) - now <= self.interval * self.burst.saturating_sub(1)
    }
}

/// The rates of each kind, and the windows of summaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportRates {
    /// The rate of each source.
    pub source: ReportRate,
    /// The rate of all sources together.
    pub kind: ReportRate,
    /// The time from the first counted report to its summary.
    pub window_min: Duration,
    /// The minimum time between two summaries of one kind.
    pub window_max: Duration,
}

impl ReportRates {
    /// Rates of the log: at most about 130 lines of each kind an hour.
    pub const LOG: Self = Self {
        source: ReportRate {
            burst: 5,
            interval: Duration::from_secs(300),
        },
        kind: ReportRate {
            burst: 20,
            interval: Duration::from_secs(30),
        },
        window_min: Duration::from_secs(10),
        window_max: Duration::from_secs(300),
    };

    /// Rates of events kept for the log and for watchers.
    pub const EVENTS: Self = Self {
        source: ReportRate {
            burst: 20,
            interval: Duration::from_secs(1),
        },
        kind: ReportRate {
            burst: 100,
            interval: Duration::from_millis(100),
        },
        window_min: Duration::from_secs(1),
        window_max: Duration::from_secs(10),
    };
}

/// The reports of one kind that were counted instead of published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportSummary {
    /// The kind.
    pub kind: &'static str,
    /// The number of reports.
    pub count: u64,
    /// The number of sources; at least one.
    pub sources: usize,
    /// Some sources with their numbers of reports, the most frequent first: at most [`NAMED_MAX`].
    pub named: Vec<(ReportSource, u64)>,
}

impl fmt::Display for ReportSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, kind, sources) = (self.count, self.kind, self.sources);
        let plural = if sources == 1 { "source" } else { "sources" };
        let events = if count == 1 { "event" } else { "events" };
        write!(f, "{count} more {kind} {events} of {sources} {plural}: ")?;
        for (at, (source, count)) in self.named.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{source} ({count})")?;
        }
        if self.named.len() < sources {
            f.write_str(", …")?;
        }
        Ok(())
    }
}

/// The state of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Kind {
    /// The time at which the next report of any source conforms.
    next: Instant,
    sources: BTreeMap<ReportSource, Source>,
    /// The number of reports since the last summary that were not published.
    suppressed: u64,
    /// The time of the next summary, if reports were suppressed.
    summary_at: Option<Instant>,
    /// The earliest time of the summary after the last one.
    summary_min: Instant,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Source {
    next: Instant,
    suppressed: u64,
}

/// The limits of all kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportLimits {
    rates: ReportRates,
    kinds: BTreeMap<&'static str, Kind>,
}

impl ReportLimits {
    /// Limits with these rates.
    #[must_use]
    pub const fn new(rates: ReportRates) -> Self {
        Self {
            rates,
            kinds: BTreeMap::new(),
        }
    }

    /// Whether one more report is published; a report that is not published is counted.
    pub fn admit(&mut self, now: Instant, kind: &'static str, source: &ReportSource) -> bool {
        let rates = self.rates;
        let kind = self.kind(kind);
        let place = kind.place(now, source);
        let one = kind.sources.get(&place).copied().unwrap_or_default();
        let admitted = rates.source.admits(now, one.next) && rates.kind.admits(now, kind.next);
        if admitted {
            kind.next = now.max(kind.next) + rates.kind.interval;
            let next = now.max(one.next) + rates.source.interval;
            kind.sources.insert(place, Source { next, ..one });
        } else {
            kind.suppress(now, rates, place, 1);
        }
        admitted
    }

    /// Adds reports that another limit counted.
    pub fn count(&mut self, now: Instant, summary: &ReportSummary) {
        let rates = self.rates;
        let kind = self.kind(summary.kind);
        let mut rest = summary.count;
        for (source, count) in &summary.named {
            let place = kind.place(now, source);
            kind.suppress(now, rates, place, *count);
            rest = rest.saturating_sub(*count);
        }
        if rest > 0 {
            kind.suppress(now, rates, ReportSource::Unknown, rest);
        }
    }

    /// The time of the next summary, if reports were counted.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.kinds.values().filter_map(|kind| kind.summary_at).min()
    }

    /// The summaries that are due.
    pub fn due(&mut self, now: Instant) -> Vec<ReportSummary> {
        let window_max = self.rates.window_max;
        let due = self.kinds.iter_mut();
        let due = due.filter(|(_, kind)| kind.summary_at.is_some_and(|at| at <= now));
        due.map(|(name, kind)| kind.summary(name, now, window_max))
            .collect()
    }

    fn kind(&mut self, name: &'static str) -> &mut Kind {
        let known = self.kinds.contains_key(name) || self.kinds.len() < KINDS_MAX;
        let name = if known { name } else { OTHER_KINDS };
        self.kinds.entry(name).or_default()
    }
}

impl Kind {
    /// The source under which a report is counted: itself, or the shared one when the sources are at their bound.
    fn place(&mut self, now: Instant, source: &ReportSource) -> ReportSource {
        if self.sources.len() >= SOURCES_MAX && !self.sources.contains_key(source) {
            self.sources
                .retain(|_, source| source.next > now || source.suppressed > 0);
            if self.sources.len() >= SOURCES_MAX {
                return ReportSource::Unknown;
            }
        }
        source.clone()
    }

    fn suppress(&mut self, now: Instant, rates: ReportRates, place: ReportSource, count: u64) {
        let source = self.sources.entry(place).or_default();
        source.suppressed = source.suppressed.saturating_add(count);
        self.suppressed = self.suppressed.saturating_add(count);
        let at = (now + rates.window_min).max(self.summary_min);
        self.summary_at.get_or_insert(at);
    }

    fn summary(&mut self, kind: &'static str, now: Instant, pause: Duration) -> ReportSummary {
        let mut counted: Vec<(ReportSource, u64)> = self
            .sources
            .iter()
            .filter(|(_, source)| source.suppressed > 0)
            .map(|(name, source)| (name.clone(), source.suppressed))
            .collect();
        let sources = counted.len();
        counted.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        if sources > NAMED_MAX {
            counted.drain(1..=sources - NAMED_MAX);
        }
        for source in self.sources.values_mut() {
            source.suppressed = 0;
        }
        self.summary_at = None;
        self.summary_min = now + pause;
        ReportSummary {
            kind,
            count: core::mem::take(&mut self.suppressed),
            sources,
            named: counted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KIND: &str = "handshake-failed";

    fn host(number: u32) -> ReportSource {
        ReportSource::Host(IpAddr::V4(number.into()))
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_flood_of_one_source_is_counted_and_another_source_is_published() {
        let mut limits = ReportLimits::new(ReportRates::LOG);
        let flood = (0..10_000)
            .filter(|_| limits.admit(at(1), KIND, &host(1)))
            .count();
        assert_eq!(flood, ReportRates::LOG.source.burst as usize);
        assert!(limits.admit(at(1), KIND, &host(2)));
        assert!(limits.admit(at(1), "link-denied", &host(1)), "another kind");
        assert_eq!(limits.due(at(10)), []);
        let due = limits.next_deadline().unwrap();
        let summary = limits.due(due).pop().unwrap();
        assert_eq!(
            (summary.count, summary.named),
            (9_995, vec![(host(1), 9_995)])
        );
        assert_eq!(limits.next_deadline(), None);
    }

    #[test]
    fn a_summary_names_the_most_frequent_source_and_the_rarest_ones() {
        let mut limits = ReportLimits::new(ReportRates::LOG);
        for source in 1..=100 {
            (0..100).for_each(|_| _ = limits.admit(at(1), KIND, &host(source)));
        }
        (0..1_000).for_each(|_| _ = limits.admit(at(1), KIND, &host(50)));
        assert!(
            !limits.admit(at(1), KIND, &host(777)),
            "the rate of the kind is reached"
        );
        let summary = limits.due(at(11)).pop().unwrap();
        assert_eq!(summary.named.len(), NAMED_MAX);
        assert_eq!(summary.named[0].0, host(50));
        assert_eq!(summary.named[4], (host(777), 1));
        let text = summary.to_string();
        assert!(text.contains("0.0.3.9 (1)") && text.len() < 200, "{text}");
        // Further summaries of the kind have longer pauses.
        limits.admit(at(12), KIND, &host(50));
        assert_eq!(
            limits.next_deadline(),
            Some(at(11) + ReportRates::LOG.window_max)
        );
        let single = ReportSummary {
            count: 1,
            sources: 1,
            named: vec![(host(1), 1)],
            ..summary
        };
        let text = single.to_string();
        assert!(
            text.starts_with(&format!("1 more {KIND} event of 1 source: ")),
            "{text}"
        );
    }

    #[test]
    fn counts_of_another_limit_are_added() {
        let mut limits = ReportLimits::new(ReportRates::LOG);
        let earlier = ReportSummary {
            kind: KIND,
            count: 9,
            sources: 3,
            named: vec![(host(1), 5)],
        };
        limits.count(at(1), &earlier);
        limits.count(at(1), &earlier);
        let summary = limits.due(at(11)).pop().unwrap();
        assert_eq!(summary.count, 18);
        assert_eq!(summary.named, [(host(1), 10), (ReportSource::Unknown, 8)]);
    }

    proptest! {
        #[test]
        fn every_report_is_published_or_counted_and_the_bounds_hold(
            reports in prop::collection::vec((0_u64..50_000, 0_u32..600), 1..2_000)
        ) {
            let mut limits = ReportLimits::new(ReportRates::LOG);
            let (mut now, mut published, mut counted) = (Instant::ZERO, 0, 0);
            let mut lines = 0;
            for (millis, source) in &reports {
                now += Duration::from_millis(*millis);
                let due = limits.due(now);
                lines += due.len();
                counted += due.iter().map(|summary| summary.count).sum::<u64>();
                published += u64::from(limits.admit(now, KIND, &host(*source)));
                prop_assert!(limits.kinds[KIND].sources.len() <= SOURCES_MAX + 1);
            }
            let rest = limits.due(now + ReportRates::LOG.window_max);
            counted += rest.iter().map(|summary| summary.count).sum::<u64>();
            prop_assert_eq!(published + counted, reports.len() as u64);
            let hours = now.as_millis() / 3_600_000 + 1;
            prop_assert!(published + lines as u64 <= 20 + 140 * hours);
        }
    }
}
